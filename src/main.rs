//! Reads the command line and does what it says.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use orderpay::command::{self, Cli};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the end waits for what can't be told to end: the system looks for a name for as long as it likes. By then a command has let go of its
/// database, so that nothing is left half done.
const LEAVING: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let failure = cli.failure();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the threads can't be started: {error}");
            return failure;
        }
    };
    let done = runtime.block_on(command::run(cli));
    runtime.shutdown_timeout(LEAVING);
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            failure
        }
    }
}
