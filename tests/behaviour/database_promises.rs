//! What a database has to promise before a server writes anything into it.

use std::time::Duration;

use crate::support::{
    process::{Process, orderpay},
    setting,
};

/// Longer than a server takes to find out.
const PATIENCE: Duration = Duration::from_secs(30);

// F12
#[test]
fn a_sqlite_that_may_lose_commits_is_not_served_from() {
    // Without locks and shared memory there is no write-ahead log.
    let file = setting().directory.join("promises-nothing.db");
    let url = format!("sqlite://{}?mode=rwc&vfs=unix-none", file.display());

    let served = Process::dared(orderpay(&["--database-url", &url, "--listen=127.0.0.1:0", "serve"]), PATIENCE);

    let told = served.err().expect("it does not come to listen");
    assert!(told.contains("ORDERPAY_DATABASE_URL can't be opened"), "{told}");
    assert!(told.contains("journal_mode = delete"), "{told}");
}
