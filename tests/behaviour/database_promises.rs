//! What a database has to promise before a server writes anything into it.

use crate::support::{process, setting};

// F12
#[test]
fn a_sqlite_that_may_lose_commits_is_not_served_from() {
    // Without locks and shared memory there is no write-ahead log.
    let file = setting().directory.join("promises-nothing.db");
    let url = format!("sqlite://{}?mode=rwc&vfs=unix-none", file.display());

    let ended = process::run(&["--database-url", &url, "--listen=127.0.0.1:0", "serve"]);

    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success());
    assert!(told.contains("ORDERPAY_DATABASE_URL can't be opened"), "{told}");
    assert!(told.contains("journal_mode = delete"), "{told}");
}
