//! How a shop stands, without what differs from one time to the next: two stories that came to the same end give the same picture.

use serde_json::{Value, json};

use crate::support::{Actor, Shop};

const ORDERS: &str = "{ orders(first: 20) { nodes {
    owner { kind id } status total { amount } cart { lines { sku } } snapshot { takenAt }
    paymentAttempts { status amount { amount } redirectUrl }
    payments { status amount { amount } display lock { purpose }
        summary { amountAuthorized { amount } amountCaptured { amount } amountRefunded { amount } amountCredited { amount } amountPending { amount } }
        transactions { reference kind status managementState source sourceEntityId amount { amount } parent { kind amount { amount } } failure { code } } } } } }";

/// A line for each thing that there is, oldest first. It ends with what is in one of the two books only, which is nothing where all is well.
pub async fn picture(actor: &Actor) -> Vec<String> {
    let mut lines = vec![];
    let mut seen = actor.sees(ORDERS, json!({})).await;
    let Value::Array(mut orders) = seen["orders"]["nodes"].take() else { panic!("orders") };
    orders.reverse();
    for order in &orders {
        let snapshot = if order["snapshot"].is_null() { "" } else { ", with a snapshot" };
        lines.push(words(&[&order["owner"]["id"], &order["status"], &order["total"]["amount"]]) + snapshot);
        lines.extend(list(order, "paymentAttempts").map(attempt));
        for payment in list(order, "payments") {
            lines.push(of_payment(payment));
            let mut ledger: Vec<String> = list(payment, "transactions").map(transaction).collect();
            ledger.sort();
            lines.extend(ledger);
        }
    }
    lines.extend(operations(&actor.shop).await);
    lines.extend(cases(&actor.shop).await);
    let off = off_the_books(&actor.shop, &orders).await;
    lines.extend(off);
    lines
}

fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of[name].as_array().expect("a list").iter()
}

fn words(values: &[&Value]) -> String {
    let words: Vec<&str> = values.iter().filter_map(|value| value.as_str()).collect();
    words.join(" ")
}

fn attempt(it: &Value) -> String {
    let open = if it["redirectUrl"].is_null() { "" } else { ", open" };
    format!("  attempt {}{open}", words(&[&it["status"], &it["amount"]["amount"]]))
}

fn of_payment(it: &Value) -> String {
    let sums = ["Authorized", "Captured", "Refunded", "Credited", "Pending"];
    let sums = sums.map(|sum| format!("{sum} {}", words(&[&it["summary"][format!("amount{sum}")]["amount"]])));
    let lock =
        if it["lock"].is_null() { String::new() } else { format!(", locked: {}", words(&[&it["lock"]["purpose"]])) };
    let display = it["display"].as_object().map_or(0, serde_json::Map::len);
    let named = words(&[&it["status"], &it["amount"]["amount"]]);
    format!("  payment {named}, {}, {display} to display{lock}", sums.join(" "))
}

fn transaction(it: &Value) -> String {
    let of = match it["parent"].is_null() {
        true => String::new(),
        false => format!(" of {}", words(&[&it["parent"]["kind"], &it["parent"]["amount"]["amount"]])),
    };
    let own = [&it["kind"], &it["status"], &it["amount"]["amount"], &it["managementState"], &it["failure"]["code"]];
    format!("    {}{of}", words(&own))
}

async fn operations(shop: &Shop) -> Vec<String> {
    let sql = "SELECT '  key of ' || mutation || ': ' || state || ' ' || coalesce(CAST(problem AS text), '') AS line
        FROM operation ORDER BY 1";
    shop.database().await.texts(sql, "line").await
}

/// Those that a person has to decide, or has; not those that the provider's answer has settled.
async fn cases(shop: &Shop) -> Vec<String> {
    let sql =
        "SELECT '  case ' || reason || ' ' || state || ' ' || coalesce(resolution, '') AS line FROM reconciliation_case
        WHERE state = 'OPEN' OR resolution IS NOT NULL ORDER BY 1";
    shop.database().await.texts(sql, "line").await
}

/// What money did and no transaction tells of, or the other way round; each movement has one transaction of its own reference that succeeded.
async fn off_the_books(shop: &Shop, orders: &[Value]) -> Vec<String> {
    let mut left: Vec<(String, String, i64)> = shop.movements().await;
    left.retain(|(_, kind, _)| kind != "release");
    let mut off = vec![];
    let payments = orders.iter().flat_map(|order| list(order, "payments"));
    let rows = payments.flat_map(|payment| list(payment, "transactions"));
    for row in rows.filter(|row| row["status"] == "SUCCEEDED" && row["source"] != "provider") {
        let cents = crate::support::cents(&row["amount"]);
        let found = left.iter().position(|(reference, _, amount)| row["reference"] == **reference && *amount == cents);
        match found {
            Some(at) => drop(left.remove(at)),
            None => off.push(format!("no money moved for{}", transaction(row))),
        }
    }
    off.extend(left.iter().map(|(_, kind, amount)| format!("nobody knows of {kind} {amount}")));
    off.sort();
    off
}
