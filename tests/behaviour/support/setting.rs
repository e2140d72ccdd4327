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

/// Once nobody holds the other end of its input any more: stops the clusters that run in `$1`; removes the databases that begin
/// with `$2` from a server that was there already; and removes the directory. A terminal's Ctrl-C reaches the whole group of processes, so
/// it pays no heed to that. A disk that a test mounted is let go of. SIGQUIT is PostgreSQL's immediate shutdown.
const GUARDIAN: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
for file in "$1"/postgres*/postmaster.pid; do
    [ -f "$file" ] || continue
    read -r postmaster <"$file"
    kill -QUIT "$postmaster"
    while kill -0 "$postmaster" 2>/dev/null; do sleep 0.05; done
done
if [ -n "$ORDERPAY_TEST_POSTGRES_URL" ]; then
    ours="SELECT 'DROP DATABASE ' || datname || ' WITH (FORCE)' FROM pg_database WHERE datname ~ '^$2(_[0-9]+)?$'"
    psql --dbname "$ORDERPAY_TEST_POSTGRES_URL" --no-align --tuples-only --command "$ours" |
        psql --dbname "$ORDERPAY_TEST_POSTGRES_URL"
fi
for disk in "$1"/disk-*; do umount -l "$disk" 2>/dev/null; done
rm -rf "$1"
"#;

/// What the names of this process's databases begin with, where others share the server.
pub fn database_prefix() -> String {
    format!("orderpay_tests_{}", std::process::id())
}

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
            .arg(database_prefix())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a guardian");
        let postgres = Source::find();
        say(&format!("the tests run on SQLite and {postgres}"));
        Setting { directory, postgres, _guardian: guardian }
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

/// The URL of a SQLite database that is not there yet.
pub fn fresh_file(name: &str) -> String {
    let file = setting().directory.join(format!("{}.db", fresh(&format!("{name}-"))));
    format!("sqlite://{}?mode=rwc", file.display())
}

/// Whether this process may do everything, and so may not run PostgreSQL itself.
pub fn is_root(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|metadata| metadata.uid() == 0)
}
