//! Whether those who are compared answer the same: whoever leaves something out would be faster for it.

use serde_json::Value;

use super::{question::PER_PAGE, stand::Stand};
use crate::say;

/// What a page says of an order: its number, its status and total, and of each payment the status, amount and sums, in smallest units.
type Told = (String, String, i64, Vec<(String, [i64; 4])>);

/// Asks all servers for some of the pages that are measured.
pub async fn check(stand: &Stand) {
    let regulars = stand.seeded.regulars as usize;
    let (orderpay, others) = (stand.orderpay(), [Some(stand.bare_handler()), stand.postgraphile()]);
    for number in [0, regulars / 2, regulars - 1] {
        let page = orderpay.answer(number).await;
        let told = told(&page);
        assert_eq!(told.len(), PER_PAGE as usize, "a full page of {number}");
        for other in others.iter().flatten() {
            let body = other.answer(number).await;
            assert_eq!(told, self::told(&body), "{} and {} tell the same", orderpay.name, other.name);
            say(&format!("{}: {} bytes, {}: {} bytes", orderpay.name, page.len(), other.name, body.len()));
        }
    }
}

/// The numbers of a page's orders.
pub fn numbers(body: &[u8]) -> Vec<String> {
    told(body).into_iter().map(|(number, ..)| number).collect()
}

/// Where the next page begins.
pub fn end_cursor(body: &[u8]) -> String {
    text(&page(body)["pageInfo"]["endCursor"])
}

/// How many orders there are, if it was asked.
pub fn total(body: &[u8]) -> Option<u64> {
    page(body)["totalCount"].as_u64()
}

/// Whatever it is called.
fn page(body: &[u8]) -> Value {
    let answer: Value = serde_json::from_slice(body).expect("JSON");
    let data = answer["data"].as_object().expect("data");
    data.values().next().expect("a page").clone()
}

fn told(body: &[u8]) -> Vec<Told> {
    let page = page(body);
    let edges = page["edges"].as_array().expect("edges");
    edges.iter().map(|edge| order(&edge["node"])).collect()
}

fn order(node: &Value) -> Told {
    let (total, payments) = match &node["total"] {
        Value::Null => (minor(&node["totalMinor"]), &node["paymentsByOrderId"]["nodes"]),
        total => (minor(&total["amount"]), &node["payments"]),
    };
    let payments = payments.as_array().expect("payments").iter().map(payment).collect();
    (text(&node["number"]), text(&node["status"]), total, payments)
}

fn payment(payment: &Value) -> (String, [i64; 4]) {
    let summary = &payment["summary"];
    let amounts = match &payment["amount"] {
        Value::Null => {
            [&payment["amountMinor"], &summary["authorized"], &summary["captured"], &summary["refunded"]].map(minor)
        }
        amount => {
            let sums =
                ["amountAuthorized", "amountCaptured", "amountRefunded"].map(|sum| minor(&summary[sum]["amount"]));
            [minor(&amount["amount"]), sums[0], sums[1], sums[2]]
        }
    };
    (text(&payment["status"]), amounts)
}

/// Of a decimal with all of its currency's places, or of such units as they are.
fn minor(amount: &Value) -> i64 {
    text(amount).replace('.', "").parse().expect("an amount")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
