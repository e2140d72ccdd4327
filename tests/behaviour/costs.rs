//! What a page of a list costs: as many statements for a hundred orders as for one, and as few rows at the end of 100,000 orders as at the
//! beginning.

use serde_json::json;

use crate::support::{Engine, Shop, eventually};

on_each_database![
    a_page_of_a_hundred_orders_takes_as_many_statements_as_one_of_one,
    the_way_back_to_a_hundred_orders_takes_as_many_statements_as_to_one,
    a_page_without_payments_reads_no_payments,
    the_total_of_a_list_is_not_counted,
    every_page_of_a_long_list_is_read_from_the_index,
];

/// What a client shows of a page of orders.
const PAGE: &str =
    "query($first: Int!) { userOrders(userId: \"ada\", first: $first) { totalCount pageCount edges { cursor node {
    id number status version total { amount } amountDue { amount } cart { digest lines { sku } }
    snapshot { takenAt cart { digest } }
    payments { id status amount { amount } summary { amountCaptured { amount } fullyCaptured } }
    paymentAttempts { id status amount { amount } }
    paymentSummary { amountCaptured { amount } amountAvailableForRefund { amount } }
} } } }";

/// The same page, and from what belongs to an order back to it and across.
const PAGE_AND_BACK: &str = "query($first: Int!) { userOrders(userId: \"ada\", first: $first) { nodes {
    id snapshot { paymentAttempt { id status } }
    payments { id order { id status } }
    paymentAttempts { id order { id status } payment { id summary { amountCaptured { amount } } } }
} } }";

/// The statements that a query of ada's runs, at a server of its own: the first one may still be told news by the provider.
async fn statements(shop: &Shop, document: &str, first: i32) -> Vec<String> {
    let quiet = shop.second(&["--max-cost=2000"]).await;
    quiet.forgets_statements();
    quiet.user("ada").sees(document, json!({ "first": first })).await;
    let ran = quiet.statements();
    quiet.stop().await;
    // The server listens for changes all the while.
    ran.into_iter().filter(|sql| !sql.contains("outbox")).collect()
}

/// What they read first, in place of their whole text.
fn tables(statements: &[String]) -> Vec<&str> {
    statements.iter().filter_map(|sql| sql.split(" FROM ").nth(1)?.split(' ').next()).collect()
}

/// A hundred paid orders of ada's.
async fn a_hundred_paid_orders(shop: &Shop) {
    let (ada, checkout) = (shop.user("ada"), shop.checkout());
    for _ in 0..100 {
        let order = checkout.creates_order_for(&ada).await;
        let attempt = ada.attempts_to_pay(&order).await;
        checkout.reports(&attempt.external_id, "SUCCEEDED", "29.90").await;
    }
}

// rules L4, S8
async fn a_page_of_a_hundred_orders_takes_as_many_statements_as_one_of_one(shop: Shop) {
    a_hundred_paid_orders(&shop).await;

    let of_one = statements(&shop, PAGE, 1).await;
    let of_all = statements(&shop, PAGE, 100).await;

    assert_eq!(of_one.len(), of_all.len(), "{:?}", tables(&of_all));
    assert!((1..=6).contains(&of_one.len()), "{:?}", tables(&of_one));
}

// rule L4
async fn the_way_back_to_a_hundred_orders_takes_as_many_statements_as_to_one(shop: Shop) {
    a_hundred_paid_orders(&shop).await;

    let of_one = statements(&shop, PAGE_AND_BACK, 1).await;
    let of_all = statements(&shop, PAGE_AND_BACK, 100).await;

    assert_eq!(of_one.len(), of_all.len(), "{:?}", tables(&of_all));
}

async fn a_page_without_payments_reads_no_payments(shop: Shop) {
    shop.adas_order().await;

    let document =
        "query($first: Int!) { userOrders(userId: \"ada\", first: $first) { nodes { id total { amount } } } }";
    let ran = statements(&shop, document, 2).await;

    assert!(!ran.is_empty() && !ran.iter().any(|sql| sql.contains("payment")), "{ran:#?}");
}

// rule L2
async fn the_total_of_a_list_is_not_counted(shop: Shop) {
    shop.adas_order().await;

    let ran =
        statements(&shop, "query($first: Int!) { userOrders(userId: \"ada\", first: $first) { totalCount } }", 2).await;

    assert!(!ran.is_empty() && !ran.iter().any(|sql| sql.to_lowercase().contains("count(")), "{ran:#?}");
}

/// Far more orders than a shopper has.
const MANY: usize = 100_000;

/// Gives ada as many orders as that, all like her one order, in one statement.
async fn becomes_a_whale(shop: &Shop) {
    shop.adas_order().await;
    let (numbers, id) = match shop.engine() {
        Engine::Sqlite => (
            format!("WITH RECURSIVE n(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < {MANY})"),
            "randomblob(16)",
        ),
        Engine::Postgres => (format!("WITH n AS (SELECT n FROM generate_series(2, {MANY}) AS n)"), "gen_random_uuid()"),
    };
    let look = shop.database().await;
    look.run(&format!(
        "INSERT INTO orders (id, owner_kind, owner_id, owner_sequence, number, status, cart, cart_digest, currency,
             total_minor, metadata, version, created_at, updated_at)
         {numbers}
         SELECT {id}, owner_kind, owner_id, n, 'N' || n, status, cart, cart_digest, currency,
             total_minor, metadata, version, created_at, updated_at
         FROM orders, n WHERE owner_sequence = 1"
    ))
    .await;
    look.run(&format!("UPDATE order_owner SET order_count = {MANY} WHERE id = 'ada'")).await;
    look.run("ANALYZE").await;
}

/// The first page and the last, each way that there is to it.
const PAGES: [&str; 5] =
    ["page: 1, first: 20", "page: 5000, first: 20", "last: 20", "last: 20, before: CURSOR", "first: 20, after: CURSOR"];

/// The pages, and a deep one behind a cursor far from both ends.
async fn pages(shop: &Shop) -> Vec<String> {
    let ada = shop.user("ada");
    let deep = ada.lists(&ada, "page: 4999, first: 20").await["pageInfo"]["endCursor"].take();
    PAGES.iter().map(|page| page.replace("CURSOR", &deep.to_string())).collect()
}

// rule L2
async fn every_page_of_a_long_list_is_read_from_the_index(shop: Shop) {
    becomes_a_whale(&shop).await;
    let pages = pages(&shop).await;
    match shop.engine() {
        Engine::Sqlite => plans_are_ranges_of_the_index(&shop, &pages).await,
        Engine::Postgres => as_many_rows_are_read(&shop, &pages).await,
    }
}

/// A page of ada's with twenty orders in it.
async fn reads(shop: &Shop, page: &str) {
    let ada = shop.user("ada");
    let list = ada.lists(&ada, page).await;
    assert_eq!((list["nodes"].as_array().map(Vec::len), &list["totalCount"]), (Some(20), &json!(MANY)), "{page}");
}

/// SQLite tells how it goes about a statement: only by an index, never through all of it, and without sorting.
async fn plans_are_ranges_of_the_index(shop: &Shop, pages: &[String]) {
    for page in pages {
        shop.forgets_statements();
        reads(shop, page).await;
        let of_orders: Vec<String> = shop.statements().into_iter().filter(|sql| sql.contains("FROM orders")).collect();
        assert!(!of_orders.is_empty(), "{page}");
        for sql in of_orders {
            assert!(!sql.contains("OFFSET"), "{sql}");
            let plan = shop.database().await.texts(&format!("EXPLAIN QUERY PLAN {sql}"), "detail").await.join("\n");
            let jumps = if page.starts_with("page: 1,") || page == "last: 20" {
                plan.contains("(owner_kind=? AND owner_id=?)")
            } else {
                plan.contains("(owner_kind=? AND owner_id=? AND owner_sequence")
            };
            // Where a cursor stands is looked up by its order's id; and what was cut out is gone through, in the order in which it was.
            let walks = plan.contains("SCAN orders") || plan.contains("TEMP B-TREE");
            assert!(jumps && !walks, "{page}: {sql}\n{plan}");
        }
    }
}

/// PostgreSQL counts the rows that it reads: for each page as many as for the first. A server of its own reads each page, because the
/// counts are complete once its connections are closed.
async fn as_many_rows_are_read(shop: &Shop, pages: &[String]) {
    shop.stop().await;
    let mut read = vec![];
    for page in pages {
        let before = rows_read(shop).await;
        let reader = shop.second(&[]).await;
        reads(&reader, page).await;
        reader.stop().await;
        let after = rows_read(shop).await;
        read.push(after - before);
    }

    // Twenty, one more to know whether there is a next one, and the one that a cursor stands at.
    assert!(read.iter().all(|rows| (20..=22).contains(rows)), "{read:?} for {pages:?}");
}

/// How many rows of `orders` were ever read, once all other connections have told theirs.
async fn rows_read(shop: &Shop) -> i64 {
    let look = shop.database().await;
    eventually("the server's connections are closed", async || {
        let others =
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        (look.number(others).await == 0).then_some(())
    })
    .await;
    look.number("SELECT seq_tup_read + idx_tup_fetch AS n FROM pg_stat_user_tables WHERE relname = 'orders'").await
}
