//! A small disk, which a test can fill.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::setting::{fresh, say, setting};

/// A file system of its own size, in memory. Dropped, it is gone.
pub struct Disk {
    pub place: PathBuf,
}

impl Disk {
    /// `None` where this process may not mount any.
    pub fn of(size: &str) -> Option<Self> {
        let place = setting().directory.join(fresh("disk-"));
        fs::create_dir(&place).expect("a place for a disk");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0777"), "tmpfs"]).arg(&place);
        if mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            return Some(Self { place });
        }
        say("passed without a look: a small disk can't be had here");
        None
    }

    /// Fills all that is free with a file; gives the file.
    pub fn fills_up(&self) -> PathBuf {
        let ballast = self.place.join("ballast");
        let mut fill = Command::new("dd");
        fill.args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", ballast.display()));
        fill.stderr(Stdio::null()).status().expect("dd");
        assert_eq!(free(&self.place), 0, "there is room left");
        ballast
    }
}

/// How many blocks of 4 KiB are free.
fn free(place: &Path) -> u64 {
    let told = Command::new("stat").args(["-f", "-c", "%a"]).arg(place).output().expect("stat");
    String::from_utf8_lossy(&told.stdout).trim().parse().expect("a number")
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Somebody may still have a file open on it.
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}
