//! Where this run of the tests keeps its things: one directory, which goes away when the process ends, however it ends.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::postgres::Source;

pub struct Setting {
    pub directory: PathBuf,
    pub postgres: Source,
    /// Its end of the pipe is closed when this process ends; then it cleans up.
    _guardian: Child,
}

/// Stops the cluster, if one was started in `$1`, and removes the directory, once nobody holds the other end of its input any more. A
/// terminal's Ctrl-C reaches the whole group of processes, so it pays no heed to that. SIGQUIT is PostgreSQL's immediate shutdown.
const GUARDIAN: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
if [ -f "$1/postgres/postmaster.pid" ]; then
    read -r postmaster <"$1/postgres/postmaster.pid"
    kill -QUIT "$postmaster"
    while kill -0 "$postmaster" 2>/dev/null; do sleep 0.05; done
fi
rm -rf "$1"
"#;

pub fn setting() -> &'static Setting {
    static SETTING: OnceLock<Setting> = OnceLock::new();
    SETTING.get_or_init(|| {
        let directory = std::env::temp_dir().join(format!("orderpay-tests-{}", std::process::id()));
        // What an earlier process of the same number left behind, had even its guardian been killed.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("a directory for the tests");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("its permissions");
        let guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "guardian"])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a guardian");
        let postgres = Source::find();
        say(&format!("behaviour tests run on SQLite and {postgres}"));
        Setting {
            directory,
            postgres,
            _guardian: guardian,
        }
    })
}

/// Past libtest, which keeps what passing tests print to itself.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A name that no other test of this process has.
pub fn fresh(prefix: &str) -> String {
    static NAMES: AtomicUsize = AtomicUsize::new(1);
    format!("{prefix}{}", NAMES.fetch_add(1, Ordering::Relaxed))
}

/// Whether this process may do everything, and so may not run PostgreSQL itself.
pub fn is_root(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|metadata| metadata.uid() == 0)
}
