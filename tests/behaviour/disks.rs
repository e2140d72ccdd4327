//! A disk that is full: what can't be written is refused and leaves nothing behind, and with room again the work goes on.

use std::fs;

use orderpay::sandbox::sign;
use serde_json::{Value, json};

use crate::support::{
    Database, Payment, Shop, cluster::Cluster, database::Look, disk::Disk, is_discreet, outcome, runtime, sums,
};

/// An order with a cart that takes room: 500 lines, of which no two are alike.
async fn makes_an_order(shop: &Shop) -> String {
    // In letters: some hexadecimal digits look like the number of a card.
    let spelled = |digits: String| digits.replace(|of: char| of.is_ascii_digit(), "z");
    let name = |at: usize| spelled((0..6).map(|part| sign(b"tea", part, &at.to_le_bytes())).collect());
    let line = |at: usize| json!({ "sku": format!("TEA-{at}"), "name": name(at), "quantity": 1, "unitPrice": "1.00" });
    let lines: Vec<Value> = (0..500).map(line).collect();
    let owner = shop.user("ada").as_owner();
    let cart = json!({ "currency": "EUR", "lines": lines });
    let input = json!({ "owner": owner, "cart": cart, "idempotencyKey": shop.fresh_key() });
    let answer = shop.checkout().tries("createOrder", input, "order { id }").await;
    is_discreet(&answer.to_string());
    outcome(&answer)
}

/// Makes orders until one is refused: how many were made, and the word that it was refused with.
async fn fills_up(shop: &Shop) -> (usize, String) {
    for made in 0..500 {
        let told = makes_an_order(shop).await;
        if told != "ok" {
            return (made, told);
        }
    }
    panic!("it never fills up");
}

/// As many orders as were acknowledged, and everything that belongs to each.
async fn has_whole_orders(look: &Look, orders: usize) {
    for rows in
        ["orders", "operation WHERE mutation = 'createOrder' AND state = 'SUCCEEDED'", "outbox WHERE topic = 'ORDER'"]
    {
        let sql = format!("SELECT count(*) AS n FROM {rows}");
        assert_eq!(look.number(&sql).await, i64::try_from(orders).unwrap(), "{rows}");
    }
    assert_eq!(
        look.number("SELECT CAST(sum(order_count) AS bigint) AS n FROM order_owner").await,
        i64::try_from(orders).unwrap()
    );
}

async fn captures(shop: &Shop, payment: &Payment) -> String {
    let input = json!({
        "paymentId": payment.id, "amount": crate::support::euros("10.00"), "idempotencyKey": shop.fresh_key(),
    });
    outcome(&shop.checkout().tries("capturePayment", input, "outcome { status }").await)
}

// F11
#[test]
fn a_full_disk_under_sqlite_loses_nothing_and_leaves_no_half_order() {
    let Some(disk) = Disk::of("16m") else { return };
    let url = format!("sqlite://{}/orderpay.db?mode=rwc", disk.place.display());
    runtime().block_on(async {
        let shop = Shop::open_with(Database::at(&url), &[]).await;
        let payment = shop.authorized().await;
        // What is made free again is enough to bring the write-ahead log home.
        let ballast = disk.holds(8);
        let look = Look::at(&url).await;

        let (made, told) = fills_up(&shop).await;

        assert_eq!(told, "INTERNAL");
        has_whole_orders(&look, made + 1).await;

        // What only reads needs no room.
        let seen = shop.checkout().sees_payment(&payment).await;
        assert_eq!(sums(&seen["summary"]), ["29.90", "0.00", "0.00", "0.00"]);

        fs::remove_file(ballast).unwrap();

        assert_eq!(makes_an_order(&shop).await, "ok");
        assert_eq!(captures(&shop, &payment).await, "ok");
        assert_eq!(look.texts("PRAGMA integrity_check", "integrity_check").await, ["ok"]);
        has_whole_orders(&look, made + 2).await;
        shop.was_left_sound().await;
        shop.stop().await;
    });
}

// F10: the tables on a disk that is full, where PostgreSQL's own files are not.
#[test]
fn a_full_disk_under_postgresql_leaves_no_half_order() {
    let Some(cluster) = Cluster::start() else { return };
    let Some(disk) = Disk::of("8m") else { return };
    let name = cluster.create();
    let url = Cluster::url_at(cluster.address, &name);
    runtime().block_on(async {
        let shop = Shop::open_with(Database::at(&url), &[]).await;
        let payment = shop.authorized().await;
        let look = Look::at(&url).await;
        let tables = disk.place.join("tables");
        cluster.owns(&tables);
        look.run(&format!("CREATE TABLESPACE small LOCATION '{}'", tables.display())).await;
        look.run("ALTER TABLE orders SET TABLESPACE small").await;
        let (made, told) = fills_up(&shop).await;
        assert_eq!(told, "INTERNAL");
        has_whole_orders(&look, made + 1).await;
        assert_eq!(captures(&shop, &payment).await, "ok", "what is on another disk goes on");

        look.run("ALTER TABLE orders SET TABLESPACE pg_default").await;

        assert_eq!(makes_an_order(&shop).await, "ok");
        has_whole_orders(&look, made + 2).await;
        shop.was_left_sound().await;
        shop.stop().await;
    });
}
