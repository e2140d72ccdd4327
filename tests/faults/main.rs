//! A storm over three servers: they are killed, stopped and cut off, and so are PostgreSQL and the payment provider, while clients go on buying.
//! Then everything is healed, has to settle by itself, and three books are compared: what clients were told, what the database holds, and what
//! money did at the provider.
//!
//! `cargo test` runs it in a short form; `cargo test --test faults -- --help` tells of the others.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells what it found"
)]

#[path = "../behaviour/support/mod.rs"]
#[expect(dead_code, unused_imports, unused_macros, reason = "the behaviour tests use the rest of it")]
mod support;

mod answers;
mod audit;
mod books;
mod clients;
mod healing;
mod made;
mod options;
mod order;
mod provider;
mod report;
mod shoppers;
mod shown;
mod stage;
mod story;
mod told;
mod weather;
mod wrong;

use std::process::ExitCode;

use self::options::Options;

fn main() -> ExitCode {
    match Options::read() {
        Some(options) => story::play(&options),
        None => ExitCode::SUCCESS,
    }
}
