//! PostgreSQL's programs: where they are, and as whom they run.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::setting::is_root;

/// A directory with PostgreSQL's programs in it.
#[derive(Clone, Debug)]
pub struct Programs(PathBuf);

impl Programs {
    pub fn find() -> Option<Self> {
        let mut places: Vec<PathBuf> =
            std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        places.extend(told_by_pg_config());
        places.extend(installed_by_debian());
        let complete = |place: &PathBuf| ["initdb", "pg_ctl", "postgres"].iter().all(|name| place.join(name).exists());
        places.into_iter().find(complete).map(Self)
    }

    pub fn place(&self) -> &Path {
        &self.0
    }

    /// A program that works on this data, run by the data's owner, and heard by nobody.
    pub fn command(&self, program: &str, data: &Path) -> Command {
        let mut command = Command::new(self.0.join(program));
        command.arg("-D").arg(data).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = somebody(data) {
            command.uid(user).gid(group);
        }
        command
    }

    /// Makes a cluster's data where there is nothing yet.
    pub fn lay_out(&self, data: &Path) {
        fs::create_dir(data).expect("a directory for PostgreSQL");
        if let Some((user, group)) = somebody(data) {
            chown(data, Some(user), Some(group)).expect("the directory is handed over");
        }
        let mut initdb = self.command("initdb", data);
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        let ended = initdb.status().expect("initdb");
        assert!(ended.success(), "initdb failed: {ended}");
    }
}

/// PostgreSQL refuses to run as root: the user and group that it runs as instead.
fn somebody(data: &Path) -> Option<(u32, u32)> {
    let parent = data.parent().expect("a directory that is somewhere");
    is_root(parent).then(somebody_else)
}

fn somebody_else() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let ids_of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(str::parse);
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    };
    ids_of("postgres").or_else(|| ids_of("nobody")).expect("a user postgres or nobody")
}

fn told_by_pg_config() -> Option<PathBuf> {
    let told = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(told.stdout).ok()?.trim()))
}

/// The newest first.
fn installed_by_debian() -> Vec<PathBuf> {
    let Ok(versions) = fs::read_dir("/usr/lib/postgresql") else {
        return vec![];
    };
    let mut versions: Vec<PathBuf> = versions.flatten().map(|version| version.path()).collect();
    versions.sort_by_key(|version| {
        let name = version.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        std::cmp::Reverse(name.split('.').next().and_then(|major| major.parse::<u32>().ok()))
    });
    versions.into_iter().map(|version| version.join("bin")).collect()
}
