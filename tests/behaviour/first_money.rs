//! The first money of an order, told by its provider: on PostgreSQL it is taken in at once, on SQLite step by step, and nobody can tell which (rules T4 to
//! T6). Whatever happens between the look and the writing is seen.

use crate::support::{Engine, News, Shop, run};

on_each_database![the_first_money_of_an_order_leaves_the_same_rows_whichever_way_it_came];

/// All that is written of it but ids and times, in words that both databases understand.
const ROWS: [&str; 8] = [
    "SELECT state || ' ' || tries || ' ' || (applied_at IS NOT NULL) AS row FROM provider_event WHERE event_id LIKE 'evt_test_%'",
    "SELECT t.kind || ' ' || t.status || ' ' || t.amount_minor || ' ' || t.currency || ' ' || (t.reference = a.reference) || ' '
        || (t.provider_reference = a.external_id) || ' ' || t.sends || ' ' || t.checks || ' ' || (t.settled_at = t.created_at) || ' '
        || (t.management_state IS NULL AND t.parent_id IS NULL AND t.fencing_number IS NULL AND t.failure_code IS NULL) AS row
        FROM payment_transaction t JOIN payment_attempt a ON a.id = t.attempt_id AND a.payment_id = t.payment_id",
    "SELECT sequence || ' ' || e.kind || ' ' || e.status || ' ' || e.amount_minor || ' ' || e.currency || ' ' || actor_kind || ' '
        || (actor_id IS NULL) || ' ' || (written_at = t.created_at) AS row
        FROM payment_audit e JOIN payment_transaction t ON t.id = e.transaction_id AND t.payment_id = e.payment_id",
    "SELECT status || ' ' || (failure_code IS NULL) || ' ' || (redirect_url IS NULL) || ' ' || checks AS row FROM payment_attempt",
    "SELECT p.status || ' ' || p.version || ' ' || (p.updated_at = t.created_at) AS row
        FROM payment p JOIN payment_transaction t ON t.payment_id = p.id",
    "SELECT status || ' ' || version || ' ' || (paid_at = updated_at) AS row FROM orders",
    "SELECT (s.cart_digest = o.cart_digest) || ' ' || (s.cart = o.cart) || ' ' || (s.attempt_id = a.id) || ' ' || (s.taken_at = o.paid_at) AS row
        FROM order_snapshot s JOIN orders o ON o.id = s.order_id JOIN payment_attempt a ON a.order_id = o.id",
    "SELECT topic || ' ' || (subject_id IN (SELECT id FROM orders UNION SELECT id FROM payment UNION SELECT id FROM payment_attempt)) AS row
        FROM outbox WHERE id > (SELECT max(id) - 3 FROM outbox) ORDER BY id",
];

// rule T4
async fn the_first_money_of_an_order_leaves_the_same_rows_whichever_way_it_came(shop: Shop) {
    let (_, attempt) = shop.open_attempt().await;

    shop.hears(&News::that(&attempt, "succeeded")).await;

    let mut rows = vec![];
    for sql in ROWS {
        let told = shop.database().await.texts(sql, "row").await;
        // A truth is a number on SQLite.
        rows.extend(told.iter().map(|row| row.replace("true", "1").replace("false", "0")));
    }
    assert_eq!(
        rows,
        [
            "APPLIED 0 1",
            "AUTHORIZE_AND_CAPTURE SUCCEEDED 2990 EUR 1 1 1 0 1 1",
            "1 AUTHORIZE_AND_CAPTURE SUCCEEDED 2990 EUR PROVIDER 1 1",
            "SUCCEEDED 1 0 0",
            "ACTIVE 2 1",
            "PAID 2 1",
            "1 1 1 1",
            "PAYMENT_ATTEMPT 1",
            "PAYMENT 1",
            "ORDER 1",
        ]
    );
}

/// What is asked of the database, beside the beginning and the end of a transaction, and what listens for changes.
#[test]
fn the_first_money_of_an_order_takes_one_statement_to_read_and_one_to_write() {
    run(Engine::Postgres, async |shop: Shop| {
        let (_, attempt) = shop.open_attempt().await;
        // The provider tells the first server what it will.
        let quiet = shop.second(&[]).await;
        quiet.forgets_statements();

        quiet.hears(&News::that(&attempt, "succeeded")).await;

        let ran = quiet.statements();
        quiet.stop().await;
        let begins = |sql: &String| sql.split_whitespace().next().unwrap_or_default().to_owned();
        let ran: Vec<String> = ran.iter().filter(|sql| !sql.contains("FROM outbox")).map(begins).collect();
        assert_eq!(ran, ["SELECT", "WITH"]);
    });
}

/// Tells of ada's money while somebody holds her order, or her attempt, who changes this once the news has looked and waits; gives the statuses, and why
/// there are cases.
async fn meanwhile(shop: &Shop, held: &str, change: &str) -> (String, Vec<String>) {
    let (order, attempt) = shop.open_attempt().await;
    let holder = shop.another_look().await;
    holder.run(&format!("BEGIN; SELECT FROM {held} FOR UPDATE")).await;
    shop.is_tampered_with();

    let change = async {
        shop.comes_to_have("pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").await;
        holder.run(change).await;
        holder.run("COMMIT").await;
    };
    let news = News::that(&attempt, "succeeded");
    tokio::join!(shop.hears(&news), change);

    (shop.statuses(&order).await.to_string(), shop.cases().await)
}

/// The same, where one thing is expected, and the order is held.
fn comes_to(change: &'static str, statuses: &'static str, cases: usize, transactions: i64) {
    comes_to_while("orders", change, statuses, cases, transactions);
}

fn comes_to_while(held: &'static str, change: &'static str, statuses: &'static str, cases: usize, transactions: i64) {
    run(Engine::Postgres, async |shop: Shop| {
        let (came_to, why) = meanwhile(&shop, held, change).await;
        let count = shop.count("payment_transaction").await;
        assert_eq!((came_to.as_str(), why.len(), count), (statuses, cases, transactions), "{why:?}");
        assert_eq!(shop.count("provider_event WHERE state <> 'APPLIED'").await, 0);
    });
}

// rule T5
#[test]
fn money_for_an_order_that_was_cancelled_meanwhile_is_not_accepted() {
    let cancel = "UPDATE orders SET status = 'CANCELLED', cancelled_at = now(), version = version + 1";
    comes_to(cancel, r#"["CANCELLED",["CONFLICTED"],["ACTIVE"]]"#, 1, 0);
}

// rule T5
#[test]
fn money_for_another_cart_is_not_accepted() {
    let change = "UPDATE orders SET cart_digest = repeat('0', 64), version = version + 1";
    comes_to(change, r#"["AWAITING_PAYMENT",["CONFLICTED"],["ACTIVE"]]"#, 1, 0);
}

// rule T5: nothing but the transaction tells of it; neither the order nor this payment changed
#[test]
fn money_for_an_order_that_another_payment_covered_meanwhile_is_not_accepted() {
    let pay = "INSERT INTO payment (id, order_id, provider, status, amount_minor, currency, display, version, created_at, updated_at)
            SELECT gen_random_uuid(), order_id, provider, status, amount_minor, currency, display, 1, created_at + interval '1 second', updated_at
            FROM payment;
        INSERT INTO payment_transaction (id, payment_id, kind, status, amount_minor, currency, reference, created_at, settled_at)
            SELECT id, id, 'AUTHORIZE_AND_CAPTURE', 'SUCCEEDED', amount_minor, currency, 'another', now(), now()
            FROM payment ORDER BY created_at DESC LIMIT 1";
    comes_to(pay, r#"["AWAITING_PAYMENT",["CONFLICTED"],["ACTIVE","ACTIVE"]]"#, 1, 1);
}

// rule T5
#[test]
fn money_that_somebody_decides_about_is_not_accepted() {
    let refuse = "INSERT INTO reconciliation_case (id, state, reason, payment_id, attempt_id, reported_minor, reported_currency, created_at)
        SELECT gen_random_uuid(), 'OPEN', 'PAID_TWICE', payment_id, id, amount_minor, currency, now() FROM payment_attempt";
    comes_to(refuse, r#"["AWAITING_PAYMENT",["CANCELLED"],["ARCHIVED"]]"#, 1, 0);
}

// rule T3: money that moved wins over what was said before
#[test]
fn money_of_a_session_that_failed_meanwhile_is_accepted() {
    let fail = "UPDATE payment_attempt SET status = 'FAILED', failure_code = 'card_declined';
        UPDATE payment SET status = 'ARCHIVED', version = version + 1";
    comes_to(fail, r#"["PAID",["SUCCEEDED"],["ACTIVE"]]"#, 0, 1);
}

// rule W2
#[test]
fn what_was_kept_of_a_session_is_taken_in_with_its_money() {
    let park = r#"INSERT INTO provider_event (provider, event_id, external_id, state, report, tries, received_at)
        SELECT provider, 'evt_kept', external_id, 'PARKED', format('{"id":"evt_kept","type":"session.processing",
            "created_at":"2026-11-21T09:30:00.000Z","data":{"session":{"id":"%s","reference":"r","amount":2990,"currency":"EUR",
            "status":"processing","amount_received":null,"currency_received":null,"redirect_url":"http://127.0.0.1/","client_secret":"s",
            "expires_at":"2026-11-21T10:30:00.000Z","created_at":"2026-11-21T09:30:00.000Z","failure":null}}}', external_id), 0, now()
        FROM payment_attempt"#;
    comes_to(park, r#"["PAID",["SUCCEEDED"],["ACTIVE"]]"#, 0, 1);
}

/// The reconciler takes attempts to itself without their orders.
#[test]
fn money_of_a_session_that_is_to_be_asked_after_is_accepted() {
    let claim = "UPDATE payment_attempt SET next_check_at = now() + interval '1 hour'";
    comes_to_while("payment_attempt", claim, r#"["PAID",["SUCCEEDED"],["ACTIVE"]]"#, 0, 1);
}
