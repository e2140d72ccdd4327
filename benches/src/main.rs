//! Measures the server as it would be run: a release build on a PostgreSQL of its own, asked over HTTP. Prints one Markdown document.
//!
//! It is no part of the tests: what it finds are numbers, and those are the machine's as much as the server's.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a measurement fails by panicking, tells what it found, and reckons with numbers that are not money"
)]

mod floor;
mod hostile;
mod latency;
mod load;
mod machine;
mod overload;
mod postgres;
mod process;
mod reading;
mod server;
mod shop;
mod spread;
mod table;
mod token;
mod wire;
mod writing;

use clap::{Parser, Subcommand};
use tokio::{
    runtime,
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
    task::LocalSet,
};

/// Builds the server as it is released, runs it on a PostgreSQL of its own, and measures it. The answer is a Markdown document.
#[derive(Parser)]
#[command(name = "benches", max_term_width = 120)]
struct Cli {
    /// Measures the server as it was built last, and does not build it first
    #[arg(long, global = true)]
    no_build: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// What it costs the server to refuse hostile traffic, and whether a well-behaved client notices (3 minutes)
    ///
    /// Each kind comes a hundred times a second for a few seconds, or as thousands of connections, while a shopper's page is asked for forty
    /// times a second from elsewhere. Told are the answers, the server's CPU time for each, its memory, and what the well-behaved client saw.
    Hostile,
    /// What is left of the server's work when twice as much is asked for as it can do, and how soon it is over (5 minutes)
    ///
    /// First as much as it can do is found out; then twice that comes for a minute, then half of it. Then again with clients that repeat at
    /// once whatever is refused. Last, three servers on one database are replaced one by one, while a balancer sends half of what they can do.
    Overload,
    /// What a page of orders costs of a million, beside what the same rows cost in a bare handler (10 minutes and the time to make the orders)
    ///
    /// The server, a handler of axum and sqlx that does nothing but read the same rows and write them, a static answer, and on PostgreSQL pgbench with
    /// the bare handler's statement are asked in turns, on the same database; with --postgraphile a PostGraphile, too. Told are processor time, answers
    /// a second, latency, memory. Then requests come at a fixed rate, and last, pages are asked for that lie deep in a long list.
    Reading(reading::Extent),
    /// What it costs to take in a provider's webhook that makes an order paid, beside one statement that writes the same rows (5 minutes)
    ///
    /// The server, and pgbench with that statement on a copy of the same database, write in turns. Told are processor time, webhooks a second,
    /// latency, the rows that are written, and how often the server waits for the database.
    Writing(writing::Extent),
    /// Serves as the bare handler over a database: for `reading`, which starts it
    #[command(hide = true)]
    Floor { database: String },
}

fn main() {
    let cli = Cli::parse();
    if let What::Floor { database } = &cli.what {
        return runtime::Runtime::new().expect("a runtime").block_on(floor::serve(database));
    }
    machine::open_many_files();
    if !cli.no_build {
        server::build();
    }
    // One thread: the other core is for those that are measured.
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let measured = async {
        match cli.what {
            What::Hostile => hostile::measure().await,
            What::Overload => overload::measure().await,
            What::Reading(extent) => reading::measure(extent).await,
            What::Writing(extent) => writing::measure(extent).await,
            What::Floor { .. } => unreachable!("it was served before"),
        }
    };
    // Whatever was started is ended when it is dropped, and so when this process is told to end, too.
    LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            document = measured => println!("{document}"),
            () = told_to_end() => say("interrupted"),
        }
    });
}

async fn told_to_end() {
    let mut terminated = signal(SignalKind::terminate()).expect("SIGTERM can be heard");
    tokio::select! {
        _ = terminated.recv() => {}
        heard = ctrl_c() => heard.expect("Ctrl-C can be heard"),
    }
}

/// What goes on is told on standard error.
fn say(line: &str) {
    eprintln!("{line}");
}
