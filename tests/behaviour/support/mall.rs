//! Several servers on one database, and the payment provider as a process of its own.

use std::process::Command;

use super::{
    process::{Process, orderpay},
    setting::fresh_file,
    shop::{JWT_SECRET, Shop, WEBHOOK_SECRET, unlimited},
};

/// So many servers on one database.
pub struct Mall<const N: usize> {
    pub sandbox: Process,
    pub servers: [Process; N],
    /// The shop as each of the servers shows it.
    pub shops: [Shop; N],
}

impl<const N: usize> Mall<N> {
    /// In place of the server that the shop came with.
    pub async fn open(shop: &Shop) -> Self {
        Self::open_with(shop, &[]).await
    }

    /// With other settings for each server; `settings` are flags.
    pub async fn open_with(shop: &Shop, settings: &[&str]) -> Self {
        shop.stop().await;
        let sandbox = Process::start(&[
            "--listen=127.0.0.1:0",
            "--sandbox-webhook-secret",
            WEBHOOK_SECRET,
            "--sandbox-database-url",
            &fresh_file("sandbox"),
            "sandbox",
        ]);
        let servers = [(); N].map(|()| serve_with(shop.database_url(), &sandbox.url, settings));
        let shops = servers.each_ref().map(|server| shop.at(&server.url, &sandbox.url));
        Self { sandbox, servers, shops }
    }
}

/// A server on this database, whose provider is there.
pub fn serve(database_url: &str, sandbox_url: &str) -> Process {
    serve_with(database_url, sandbox_url, &[])
}

/// One with other settings; `settings` are flags.
pub fn serve_with(database_url: &str, sandbox_url: &str, settings: &[&str]) -> Process {
    Process::of(to_serve(database_url, sandbox_url, settings))
}

/// The command that starts one.
pub fn to_serve(database_url: &str, sandbox_url: &str, settings: &[&str]) -> Command {
    let usual = [
        "--database-url",
        database_url,
        "--listen=127.0.0.1:0",
        "--jwt-secret",
        JWT_SECRET,
        "--providers=sandbox",
        "--sandbox-url",
        sandbox_url,
        "--sandbox-webhook-secret",
        WEBHOOK_SECRET,
        "--return-origins=https://shop.example",
    ];
    // No balancer has to hear of it, but in the tests that are one.
    let delay = ["--stop-delay=0s"];
    let is_set = settings.iter().any(|setting| setting.starts_with("--stop-delay"));
    let delay = if is_set { &[][..] } else { &delay };
    orderpay(&[&usual, delay, &unlimited(settings)[..], &["serve"]].concat())
}
