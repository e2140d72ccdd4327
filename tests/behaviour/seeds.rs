//! `orderpay seed`: what it writes is as if the server had written it.

use serde_json::json;

use crate::support::{Database, Engine, Shop, process, runtime};

on_each_database![
    nothing_is_wrong_with_what_it_writes,
    a_seeded_list_is_dense_and_newest_first,
    an_order_in_it_keeps_a_database_as_it_is,
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// What it prints and what it logs, and whether it went well.
fn seeds(url: &str, arguments: &[&str]) -> (String, String, bool) {
    let ended = process::run(&[&["--database-url", url, "seed"], arguments].concat());
    (text(&ended.stdout), text(&ended.stderr), ended.status.success())
}

const SOME: [&str; 3] = ["--orders=3000", "--users=100", "--whale=500"];

async fn nothing_is_wrong_with_what_it_writes(shop: Shop) {
    let (told, log, went_well) = seeds(shop.database_url(), &SOME);

    assert!(went_well, "{log}");
    assert!(told.starts_with("wrote 3000 orders, ") && told.contains(" of 100 users: whale, 20 with 60"), "{told}");
    let (faults, verdict) = shop.verdict().await;
    assert_eq!(faults, Vec::<String>::new(), "{verdict}");
    assert!(verdict.to_string().starts_with("looked at 3,000 orders, "), "{verdict}");
    let counted = async |rows: &str| shop.count(rows).await;
    assert_eq!(counted("order_owner WHERE order_count = 60").await, 20);
    for rows in [
        "orders WHERE status = 'CANCELLED'",
        "orders WHERE status = 'AWAITING_PAYMENT'",
        "orders WHERE currency = 'USD'",
        "orders WHERE currency = 'JPY'",
        "payment WHERE status = 'ARCHIVED'",
        "payment WHERE method_token IS NOT NULL",
        "payment_attempt WHERE status = 'SUCCEEDED'",
        "payment_attempt WHERE status = 'FAILED'",
        "payment_transaction WHERE kind = 'CAPTURE'",
        "payment_transaction WHERE kind = 'REFUND'",
        "payment_transaction WHERE management_state = 'REVERSED'",
        "payment_transaction WHERE status = 'FAILED'",
    ] {
        assert!(counted(rows).await > 0, "no {rows}");
    }
    assert_eq!(shop.reconciles().await, 0, "nobody has to come back to anything");
}

// rules L1, L2, L5
async fn a_seeded_list_is_dense_and_newest_first(shop: Shop) {
    seeds(shop.database_url(), &SOME);

    let query = "query($page: Int) { viewer { orders(page: $page, first: 20) { totalCount nodes { createdAt paymentSummary { amountCaptured { amount } }
        payments { id } paymentAttempts { id } } } } }";
    let whale = shop.user("whale");
    let mut seen: Vec<String> = vec![];
    for page in 1..=25 {
        let shown = whale.sees(query, json!({ "page": page })).await;
        assert_eq!(shown["viewer"]["orders"]["totalCount"], 500);
        let orders = shown["viewer"]["orders"]["nodes"].as_array().expect("orders");
        seen.extend(orders.iter().map(|order| order["createdAt"].as_str().expect("a time").to_owned()));
    }
    assert_eq!(seen.len(), 500);
    assert!(seen.is_sorted_by(|newer, older| newer > older));
}

async fn an_order_in_it_keeps_a_database_as_it_is(shop: Shop) {
    shop.adas_order().await;
    let before = shop.rows().await;

    let (told, log, went_well) = seeds(shop.database_url(), &SOME);

    assert_eq!((told.as_str(), went_well), ("", false), "{log}");
    assert!(log.contains("there are orders in it already"), "{log}");
    assert_eq!(shop.rows().await, before);
}

#[test]
fn an_empty_file_is_migrated_and_the_same_seed_writes_the_same() {
    let rows = |seed: &str| {
        let database = Database::make(Engine::Sqlite).expect("SQLite");
        let (_, log, went_well) = seeds(&database.url, &["--orders=300", "--users=20", "--whale=100", seed]);
        assert!(went_well, "{log}");
        assert!(log.contains("100 % of 300 orders are written"), "{log}");
        let ids = runtime().block_on(async {
            let sql = "SELECT hex(id) || number || cart_digest AS it FROM orders UNION SELECT reference FROM payment_transaction";
            database.look().await.texts(sql, "it").await
        });
        database.remove();
        ids
    };
    assert_eq!(rows("--seed=5"), rows("--seed=5"));
    assert_ne!(rows("--seed=5"), rows("--seed=6"));
}

#[test]
fn too_few_orders_are_refused_before_anything_is_written() {
    let database = Database::make(Engine::Sqlite).expect("SQLite");

    let (_, log, went_well) = seeds(&database.url, &["--orders=50"]);

    assert!(!went_well && log.contains("50 orders are too few for 50000 users of whom one has 100000"), "{log}");
    database.remove();
}
