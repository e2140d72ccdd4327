//! The program's commands, as somebody at a terminal has them.

use std::fs;

use serde_json::json;

use crate::support::{Actor, JWT_SECRET, Shop, process};

on_each_database![migrate_makes_a_database_ready, a_minted_token_is_good];

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

// Whoever changes the API writes it down: `cargo run schema > schema.graphql`.
#[test]
fn the_schema_in_the_repository_is_the_one_that_is_served() {
    let printed = process::run(&["schema"]);

    let kept = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql")).expect("schema.graphql");
    assert!(printed.status.success());
    assert!(text(&printed.stdout) == kept, "schema.graphql is stale: `cargo run -- schema > schema.graphql`");
}

#[test]
fn all_mistakes_in_the_settings_are_told_at_once() {
    let told = process::run(&["--listen=nowhere", "--jwt-secret=short", "--database-url=mysql://x", "serve"]);

    let words = text(&told.stderr);
    assert!(!told.status.success());
    for setting in ["ORDERPAY_LISTEN", "ORDERPAY_JWT_SECRET", "ORDERPAY_DATABASE_URL", "ORDERPAY_PROVIDERS"] {
        assert!(words.contains(setting), "{setting} is not in: {words}");
    }
}

#[test]
fn a_secret_is_never_repeated() {
    let told = process::run(&["--jwt-secret=hunter2", "serve"]);

    assert!(!text(&told.stderr).contains("hunter2") && !text(&told.stdout).contains("hunter2"));
}

// rule A6
#[test]
fn without_keys_it_does_not_listen_to_the_world() {
    let told = process::run(&["--listen=0.0.0.0:0", "serve"]);

    assert!(!told.status.success());
    assert!(text(&told.stderr).contains("loopback"), "{}", text(&told.stderr));
}

#[test]
fn help_names_every_setting() {
    let help = text(&process::run(&["--help"]).stdout);

    for setting in ["DATABASE_URL", "LISTEN", "PUBLIC_URL", "JWT_SECRET", "JWT_JWKS", "PROVIDERS", "SANDBOX_URL", "LOG"]
    {
        assert!(help.contains(&format!("ORDERPAY_{setting}")), "{setting}");
    }
}

async fn migrate_makes_a_database_ready(shop: Shop) {
    shop.is_tampered_with();
    let newest = "('m20261121_000003_work', 'm20261121_000004_locks')";
    let tables = ["outbox", "reconciliation_case", "provider_event", "operation"];
    for table in tables {
        shop.database().await.run(&format!("DROP TABLE {table}")).await;
    }
    for column in ["sends", "sent_at"] {
        shop.database().await.run(&format!("ALTER TABLE payment_transaction DROP COLUMN {column}")).await;
    }
    shop.database().await.run(&format!("DELETE FROM seaql_migrations WHERE version IN {newest}")).await;

    let migrated = process::run(&["--database-url", shop.database_url(), "migrate"]);

    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    let ready = shop.client().get(shop.url("/readyz")).send().await.unwrap();
    assert_eq!((ready.status().as_u16(), shop.count("outbox").await), (200, 0));
}

async fn a_minted_token_is_good(shop: Shop) {
    // The token is for the machine's time, at which this shop's clock began.
    let minted = process::run(&[
        "--jwt-secret",
        JWT_SECRET,
        "--providers=sandbox",
        "token",
        "--kind=service",
        "--sub=till",
        "--scope=orders:read orders:write",
    ]);

    let till = Actor::with_token(&shop, text(&minted.stdout).trim());
    let viewer = till.sees("{ viewer { id kind scopes } }", json!({})).await;
    let expected = json!({ "viewer": { "id": "till", "kind": "SERVICE", "scopes": ["orders:read", "orders:write"] } });
    assert_eq!(viewer, expected);
}
