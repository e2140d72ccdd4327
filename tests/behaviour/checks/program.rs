//! The program itself: what it prints, how it ends, and what it never does.

use sea_orm::{ConnectionTrait, DatabaseTransaction, Statement};

use crate::support::{Engine, News, Shop, fresh_file, process, run};

use super::{finds, sorted};

on_each_database![
    it_says_what_it_looked_at,
    it_names_the_faults_and_fails,
    it_never_tells_what_is_sensitive,
    it_looks_at_every_page,
    it_names_a_schema_that_is_behind,
    it_refuses_a_schema_that_is_ahead,
    a_snapshot_is_of_one_moment_and_writes_nothing,
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// What it prints, line by line, and its exit code.
fn checked(url: &str) -> (Vec<String>, Option<i32>) {
    let ended = process::run(&["--database-url", url, "check"]);
    (text(&ended.stdout).lines().map(str::to_owned).collect(), ended.status.code())
}

async fn it_says_what_it_looked_at(shop: Shop) {
    shop.captured().await;

    let (lines, code) = checked(shop.database_url());

    let sum = "looked at 1 orders, 1 payments, 2 transactions, 4 audit entries, 0 attempts, 1 snapshots, 1 locks, 0 cases, 1 owners, \
        4 operations, 0 provider events, ";
    assert_eq!((lines.len(), code), (1, Some(0)), "{lines:#?}");
    assert!(lines[0].starts_with(sum) && lines[0].ends_with(" changes: nothing is wrong"), "{lines:#?}");
}

async fn it_names_the_faults_and_fails(shop: Shop) {
    let [first, second] = [shop.captured().await.order, shop.captured().await.order];
    shop.plants("DELETE FROM order_snapshot").await;

    let (lines, code) = checked(shop.database_url());

    let faults = [first, second].map(|order| format!("{order}: is PAID and has no snapshot"));
    assert_eq!((sorted(lines[..2].to_vec()), code), (sorted(faults.into()), Some(1)), "{lines:#?}");
    assert!(lines.len() == 3 && lines[2].ends_with(": 2 faults"), "{lines:#?}");
}

#[test]
fn where_there_is_no_database_none_is_made() {
    let url = fresh_file("nowhere");

    let ended = process::run(&["--database-url", &url, "check"]);

    let file = url.trim_start_matches("sqlite://").trim_end_matches("?mode=rwc");
    assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(2), ""));
    assert!(text(&ended.stderr).contains("ORDERPAY_DATABASE_URL can't be opened"), "{}", text(&ended.stderr));
    assert!(!std::path::Path::new(file).exists());
}

#[test]
fn settings_that_make_no_sense_are_no_fault_of_the_database() {
    let ended = process::run(&["--database-url=mysql://x", "check"]);

    assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(2), ""));
}

#[test]
fn another_database_is_not_looked_at() {
    let url = fresh_file("another");
    let file = url.trim_start_matches("sqlite://").trim_end_matches("?mode=rwc");
    std::fs::write(file, "").expect("a file");

    let ended = process::run(&["--database-url", &url, "check"]);

    assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(2), ""));
    assert!(text(&ended.stderr).contains("can't be looked at"), "{}", text(&ended.stderr));
}

// rule P11
async fn it_never_tells_what_is_sensitive(shop: Shop) {
    let payment = shop.captured().await;
    let token = shop.checkout().locks_one(&payment).await;
    shop.hears(&News::of_session("cs_secret_session", "succeeded")).await;
    shop.lets_anything_be_written().await;
    for sql in [
        "UPDATE payment_transaction SET provider_reference = 'secret-reference', fencing_number = 99, currency = 'secret'",
        "UPDATE payment SET method_token = 'secret-method', currency = 'USD'",
        "UPDATE provider_event SET tries = 7, report = 'secret-report', state = 'secret'",
        "DELETE FROM order_snapshot",
    ] {
        shop.plants(sql).await;
    }

    let ended = process::run(&["--database-url", shop.database_url(), "--log=trace", "check"]);

    let told = text(&ended.stdout) + &text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    for secret in ["secret-reference", "secret-method", "secret-report", "cs_secret_session", token.as_str()] {
        assert!(!told.contains(secret), "{secret} is told: {told}");
    }
}

/// Two pages and a half, and the last order of all is wrong.
async fn it_looks_at_every_page(shop: Shop) {
    let order = shop.adas_order().await;
    let id = match shop.engine() {
        Engine::Sqlite => "randomblob(16)",
        Engine::Postgres => "gen_random_uuid()",
    };
    let more = "WITH RECURSIVE more (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM more WHERE n < 500)";
    shop.plants(&format!(
        "{more} INSERT INTO orders
        SELECT {id}, owner_kind, owner_id, n, number || n, status, cart, cart_digest, currency, total_minor, metadata, version,
            created_at, updated_at, paid_at, cancelled_at, cancel_reason FROM orders, more WHERE orders.id = [{order}]"
    ))
    .await;
    shop.plants("UPDATE order_owner SET order_count = 500").await;
    let (faults, verdict) = shop.verdict().await;
    assert_eq!((faults, verdict.to_string().starts_with("looked at 500 orders")), (vec![], true));

    shop.plants("UPDATE orders SET total_minor = 1 WHERE id = (SELECT id FROM orders ORDER BY id DESC LIMIT 1)").await;

    let faults = shop.faults().await;
    assert!(
        faults.len() == 1 && faults[0].ends_with("its cart costs 29.90 EUR, and 0.01 EUR is written beside it"),
        "{faults:?}"
    );
}

async fn it_names_a_schema_that_is_behind(shop: Shop) {
    let newest = "SELECT max(version) AS version FROM seaql_migrations";
    let step = shop.database().await.texts(newest, "version").await.remove(0);

    let fault = format!("the schema: lacks the step {step}: `orderpay migrate` applies it");
    finds(&shop, &format!("DELETE FROM seaql_migrations WHERE version = '{step}'"), &[&fault]).await;
    assert_eq!(shop.verdict().await.1.to_string(), "looked at the schema only: 1 fault");
}

async fn it_refuses_a_schema_that_is_ahead(shop: Shop) {
    shop.plants("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_better', 0)").await;

    let ended = process::run(&["--database-url", shop.database_url(), "check"]);

    assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(2), ""));
    assert!(text(&ended.stderr).contains("m29991231_000001_better"), "{}", text(&ended.stderr));
}

async fn a_snapshot_is_of_one_moment_and_writes_nothing(shop: Shop) {
    let orders = async |tx: &DatabaseTransaction| {
        let sql = "SELECT count(*) AS n FROM orders";
        let row = tx.query_one_raw(Statement::from_string(tx.get_database_backend(), sql)).await.unwrap().unwrap();
        row.try_get::<i64>("", "n").unwrap()
    };
    let db = orderpay::db::ReadOnlyDatabase::open(shop.database_url()).await.unwrap();
    let snapshot = db.begin_snapshot().await.unwrap();
    assert_eq!(orders(&snapshot).await, 0);

    shop.adas_order().await;

    assert_eq!(orders(&snapshot).await, 0);
    assert!(snapshot.execute_unprepared("DELETE FROM orders").await.is_err());
    snapshot.rollback().await.unwrap();
    let later = db.begin_snapshot().await.unwrap();
    assert_eq!(orders(&later).await, 1);
    later.rollback().await.unwrap();
    db.close().await.unwrap();
}

// what SQLite knows of its own file
#[test]
fn rows_that_point_nowhere_are_told() {
    run(Engine::Sqlite, async |shop| {
        let order = shop.authorized().await.order;
        shop.lets_anything_be_written().await;

        shop.plants(&format!("DELETE FROM orders WHERE id = [{order}]")).await;

        let faults = shop.faults().await;
        for fault in [
            "payment: 1 of its rows point to a row of orders that is not there",
            "payment: has 1 rows, of which 0 belong to something that is there",
            "payment_transaction: has 1 rows, of which 0 belong to something that is there",
            r#"owner USER "ada": has no orders, and 1 are counted"#,
        ] {
            assert!(faults.contains(&fault.to_owned()), "{fault} is not in {faults:#?}");
        }
    });
}

#[test]
fn an_index_that_lacks_a_row_is_told() {
    run(Engine::Sqlite, async |shop| {
        shop.adas_order().await;
        shop.plants("PRAGMA writable_schema = ON").await;
        shop.plants(
            "UPDATE sqlite_schema SET sql = replace(sql, 'started_at', 'mutation') WHERE name = 'operation_started'",
        )
        .await;

        let faults = shop.faults().await;

        assert!(faults.contains(&"the database: row 1 missing from index operation_started".to_owned()), "{faults:#?}");
    });
}
