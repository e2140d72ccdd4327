//! What an answer must not show of the server's inside (test G16).

/// Words of databases, of programs, and of places in them.
const WORDS: [&str; 20] = [
    "SELECT ",
    "INSERT ",
    "UPDATE ",
    "DELETE ",
    "SQLSTATE",
    "sqlite",
    "postgres",
    "sqlx",
    "DbErr",
    "database:",
    "violates",
    "constraint",
    "relation \"",
    "payment_transaction",
    "planted",
    "panicked",
    "backtrace",
    ".rs:",
    "::",
    "127.0.0.1",
];
const PLACES: [&str; 5] = ["/tmp/", "/var/", "/usr/", "/home/", "src/"];

/// Nothing in the answer tells how the server is made, where it is, or what it stands on.
pub fn is_discreet(answer: &str) {
    let small = answer.to_lowercase();
    let told: Vec<&&str> = WORDS.iter().chain(&PLACES).filter(|word| small.contains(&word.to_lowercase())).collect();
    assert!(told.is_empty(), "{told:?}: {answer}");
}
