//! Reads the command line and does what it says.

use std::process::ExitCode;

use clap::Parser;
use orderpay::command::{self, Cli};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let failure = cli.failure();
    match command::run(cli).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            failure
        }
    }
}
