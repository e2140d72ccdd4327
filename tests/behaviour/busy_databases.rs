//! A database that refuses a transaction for now: it is tried again where nothing was sent, a few times, and then the caller is told.

use serde_json::{Value, json};

use crate::support::{Engine, Shop, euros, outcome, run, tea};

/// PostgreSQL refuses the first rows of a table, as it does where two transactions are in each other's way. What a sequence has counted is not undone.
async fn refuses(shop: &Shop, code: &str, table: &str, times: u32) {
    let look = shop.database().await;
    look.run("CREATE SEQUENCE IF NOT EXISTS refused").await;
    look.run(&format!(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('refused') <= {times} THEN RAISE EXCEPTION 'not now' USING ERRCODE = '{code}'; END IF;
            RETURN NEW; END $$"
    ))
    .await;
    look.run(&format!("CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()")).await;
}

/// How often rows were written or refused since, and no more are refused.
async fn tries(shop: &Shop, table: &str) -> i64 {
    let look = shop.database().await;
    let tries = look.number("SELECT last_value AS n FROM refused").await;
    look.run(&format!("DROP TRIGGER refuse ON {table}; DROP SEQUENCE refused")).await;
    tries
}

/// The answer to `createOrder` in one word.
async fn creates(shop: &Shop) -> String {
    let owner = shop.user("ada").as_owner();
    let input = json!({ "owner": owner, "cart": tea(), "idempotencyKey": shop.fresh_key() });
    outcome(&shop.checkout().tries("createOrder", input, "order { id }").await)
}

#[test]
fn what_postgresql_refuses_for_now_is_tried_three_times() {
    run(Engine::Postgres, async |shop| {
        // A serialization failure, a deadlock, a lock that was not to be had.
        for code in ["40001", "40P01", "55P03"] {
            refuses(&shop, code, "orders", 2).await;
            assert_eq!((creates(&shop).await.as_str(), tries(&shop, "orders").await), ("ok", 3), "{code}");
        }
        assert_eq!(shop.count("orders").await, 3);

        refuses(&shop, "40001", "orders", 100).await;
        assert_eq!((creates(&shop).await.as_str(), tries(&shop, "orders").await), ("UNAVAILABLE", 3));
        assert_eq!([shop.count("orders").await, shop.count("operation").await], [3, 3]);

        // No other moment would do better.
        refuses(&shop, "22012", "orders", 100).await;
        assert_eq!((creates(&shop).await.as_str(), tries(&shop, "orders").await), ("INTERNAL", 1));
    });
}

// rule P6: a try that was refused had sent nothing.
#[test]
fn money_moves_once_however_often_it_was_tried_to_be_written_down() {
    run(Engine::Postgres, async |shop| {
        let payment = shop.payment("tok_ok").await;
        refuses(&shop, "40P01", "payment_transaction", 2).await;

        let input = json!({ "paymentId": payment.id, "amount": euros("29.90"), "idempotencyKey": shop.fresh_key() });
        let answer = shop.checkout().tries("authorizePayment", input, "outcome { status }").await;

        assert_eq!(answer["data"]["authorizePayment"]["outcome"]["status"], "SUCCEEDED");
        assert_eq!((tries(&shop, "payment_transaction").await, shop.movements().await.len()), (3, 1));
    });
}

#[test]
fn whoever_finds_sqlite_taken_for_long_is_told_that_it_is_busy() {
    run(Engine::Sqlite, async |shop| {
        let look = shop.database().await;
        look.run("BEGIN IMMEDIATE").await;

        let answer = creates(&shop).await;
        let seen: Value = shop.user("ada").lists(&shop.user("ada"), "first: 1").await;
        look.run("ROLLBACK").await;

        assert_eq!((answer.as_str(), &seen["totalCount"]), ("UNAVAILABLE", &json!(0)));
        assert_eq!(creates(&shop).await, "ok");
    });
}
