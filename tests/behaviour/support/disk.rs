//! A small disk, which a test can fill.

use std::{
    fs,
    path::PathBuf,
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

    /// Puts so many megabytes on it; gives the file.
    pub fn holds(&self, megabytes: usize) -> PathBuf {
        let ballast = self.place.join("ballast");
        fs::write(&ballast, vec![0; megabytes << 20]).expect("there is room");
        ballast
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Somebody may still have a file open on it.
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}
