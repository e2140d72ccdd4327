//! What each decision about a session's money comes to: a table, which is the policy (rule R3). Those about transactions are in
//! `transaction_decisions`.
//!
//! A line tells how the decision was taken; then how the order stands and what is due on it; the attempt or the transaction, and the payment; what the
//! payment's summary says was captured, was refunded and is pending; what money moved at the provider in all; and what a new attempt comes to.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{News, Payment, Shop, sums};

on_each_database![decisions_about_a_session];

const RESOLUTIONS: [&str; 4] = ["ACCEPT", "REFUND", "WRITE_OFF", "RECHECK"];

/// A case, on the first payment of an order of ada's.
struct Dispute {
    order: String,
    case: Value,
    /// How many movements there were before.
    moved: usize,
}

impl Dispute {
    /// The case that something led to.
    async fn after(shop: &Shop, make: impl AsyncFnOnce() -> String) -> Self {
        let (moved, known) = (shop.movements().await.len(), shop.count("reconciliation_case").await);
        let order = make().await;
        assert!(shop.count("reconciliation_case").await > known, "there is a case");
        Self { order, case: shop.newest_case().await, moved }
    }

    fn payment(&self) -> Payment {
        Payment { id: self.case["payment"]["id"].as_str().expect("a payment").to_owned(), order: self.order.clone() }
    }

    /// Decides it so, and tells what that came to.
    async fn decided(&self, shop: &Shop, resolution: &str) -> String {
        let accountant = shop.accountant();
        let payload = accountant.decides(&self.case, resolution, "the bank's statement").await;
        self.is_recorded(&payload, resolution);
        let answer = match (&payload["problem"]["code"], &payload["case"]["state"]) {
            (Value::Null, state) => state.as_str().expect("a state").to_owned(),
            (code, _) => code.as_str().expect("a code").to_owned(),
        };
        let seen = shop.user("ada").looks_at(&self.order).await;
        let payment = shop.back_office().sees_payment(&self.payment()).await;
        let [_, captured, refunded, pending] = sums(&payment["summary"]);
        let moved = shop.moved().await[self.moved..].join(", ");
        shop.summary_agrees(&self.payment()).await;
        format!(
            "{answer}; {}, due {}; {}, {}; {captured} {refunded} {pending}; {}; {}",
            seen["status"].as_str().expect("a status"),
            seen["amountDue"]["amount"].as_str().expect("an amount"),
            self.subject(shop).await,
            payment["status"].as_str().expect("a status"),
            if moved.is_empty() { "nothing" } else { &moved },
            next_attempt(shop, &self.order).await,
        )
    }

    /// Who decided what, and on which evidence; nothing of it where it is still open, or where the provider's answer settled it.
    fn is_recorded(&self, payload: &Value, resolution: &str) {
        let case = &payload["case"];
        let told = [&case["resolution"], &case["evidence"], &case["resolvedBy"]];
        match case["state"].as_str() {
            Some("RESOLVED") if case["resolution"].is_null() => {
                assert_eq!((resolution, told[2]), ("RECHECK", &json!("server")));
            }
            Some("RESOLVED") => assert_eq!(told, [resolution, "the bank's statement", "SERVICE carla"]),
            Some(_) => assert_eq!(
                (told, case["checks"].as_i64()),
                ([&Value::Null; 3], self.case["checks"].as_i64().map(|checks| checks + 1))
            ),
            None => assert_ne!(payload["problem"], Value::Null),
        }
    }

    /// The attempt's status, or the payment's ledger.
    async fn subject(&self, shop: &Shop) -> String {
        if self.case["attempt"].is_null() {
            return shop.back_office().sees_ledger(&self.payment()).await.join(" + ");
        }
        shop.case_again(&self.case).await["attempt"]["status"].as_str().expect("a status").to_owned()
    }
}

/// What ada's next attempt on the order comes to; she does not go on with it.
async fn next_attempt(shop: &Shop, order: &str) -> String {
    let tried = shop.user("ada").tries_to_pay(order, json!({})).await;
    if let Some(code) = tried["problem"]["code"].as_str() {
        return code.to_owned();
    }
    let attempt = &tried["attempt"];
    let session = attempt["externalId"].as_str().expect("a session");
    shop.hears(&News::of_session(session, "cancelled")).await;
    format!("attempt of {}", attempt["amount"]["amount"].as_str().expect("an amount"))
}

/// One line for each decision about each of these.
pub async fn table<const N: usize>(
    shop: &Shop,
    reasons: [&str; N],
    dispute: impl AsyncFn(&Shop, &str) -> String,
) -> String {
    let mut table = String::new();
    for name in reasons {
        table += &format!("{name}\n");
        for resolution in RESOLUTIONS {
            let case = Dispute::after(shop, async || dispute(shop, name).await).await;
            table += &format!("  {resolution:<9} {}\n", case.decided(shop, resolution).await);
            if case.case["reason"] == "OUTCOME_UNKNOWN" {
                // Nothing is left that the next one could be taken for.
                shop.accountant().decides(&case.case, "RECHECK", "it is over").await;
            }
        }
    }
    table
}

/// An order of ada's on whose attempt there is such a case.
async fn session_dispute(shop: &Shop, name: &str) -> String {
    if name == "OUTCOME_UNKNOWN" {
        let order = shop.adas_order().await;
        shop.provider_will("create_session", "answer_lost").await;
        shop.user("ada").tries_to_pay(&order, json!({})).await;
        shop.kept_news_never_came().await;
        shop.provider_will("find_session", "error_500").await;
        shop.moves_time_by(TimeDelta::seconds(31));
        shop.reconciles().await;
        return order;
    }
    let (order, attempt) = shop.open_attempt().await;
    match name {
        "AMOUNT_MISMATCH" => shop.shopper_pays_with(&attempt, "tok_wrong_amount").await,
        "AMOUNT_MISMATCH, too much" => shop.hears(&News::that(&attempt, "succeeded").received(3000, "EUR")).await,
        "CURRENCY_MISMATCH" => shop.hears(&News::that(&attempt, "succeeded").received(2990, "USD")).await,
        "CART_CHANGED" => {
            shop.hears(&News::that(&attempt, "failed")).await;
            let cup = json!({ "sku": "CUP", "name": "Cup", "quantity": 1, "unitPrice": "35.00" });
            shop.checkout().changes_cart(&order, json!({ "currency": "EUR", "lines": [cup] })).await;
            shop.shopper_pays(&attempt).await;
        }
        "PAID_TWICE" => {
            shop.hears(&News::that(&attempt, "failed")).await;
            let newer = shop.user("ada").attempts_to_pay(&order).await;
            shop.hears(&News::that(&newer, "succeeded")).await;
            shop.shopper_pays(&attempt).await;
        }
        "CONTRADICTING_RESULT" => {
            shop.hears(&News::that(&attempt, "cancelled")).await;
            shop.checkout().cancels(&order).await;
            shop.shopper_pays(&attempt).await;
        }
        other => panic!("{other}"),
    }
    order
}

// rules R3, T5, O7: a session whose money is taken in gives back what is refunded, and once somebody has decided the order may be paid as far as it is not
async fn decisions_about_a_session(shop: Shop) {
    let reasons = [
        "OUTCOME_UNKNOWN",
        "AMOUNT_MISMATCH",
        "AMOUNT_MISMATCH, too much",
        "CURRENCY_MISMATCH",
        "CART_CHANGED",
        "PAID_TWICE",
        "CONTRADICTING_RESULT",
    ];
    let table = table(&shop, reasons, session_dispute).await;

    insta::allow_duplicates! {
        insta::assert_snapshot!(table, @r"
        OUTCOME_UNKNOWN
          ACCEPT    INVALID_INPUT; AWAITING_PAYMENT, due 29.90; CREATED, ACTIVE; 0.00 0.00 0.00; nothing; attempt of 29.90
          REFUND    INVALID_INPUT; AWAITING_PAYMENT, due 29.90; CREATED, ACTIVE; 0.00 0.00 0.00; nothing; attempt of 29.90
          WRITE_OFF RESOLVED; AWAITING_PAYMENT, due 29.90; FAILED, ARCHIVED; 0.00 0.00 0.00; nothing; attempt of 29.90
          RECHECK   RESOLVED; AWAITING_PAYMENT, due 29.90; PENDING, ACTIVE; 0.00 0.00 0.00; nothing; attempt of 29.90
        AMOUNT_MISMATCH
          ACCEPT    RESOLVED; AWAITING_PAYMENT, due 0.01; SUCCEEDED, ACTIVE; 29.89 0.00 0.00; authorize_and_capture 2989; attempt of 0.01
          REFUND    RESOLVED; AWAITING_PAYMENT, due 29.90; CONFLICTED, ARCHIVED; 0.00 0.00 0.00; authorize_and_capture 2989, refund 2989; attempt of 29.90
          WRITE_OFF RESOLVED; AWAITING_PAYMENT, due 29.90; CONFLICTED, ARCHIVED; 0.00 0.00 0.00; authorize_and_capture 2989; attempt of 29.90
          RECHECK   OPEN; AWAITING_PAYMENT, due 29.90; CONFLICTED, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2989; ATTEMPT_CONFLICTED
        AMOUNT_MISMATCH, too much
          ACCEPT    RESOLVED; PAID, due 0.00; SUCCEEDED, ACTIVE; 30.00 0.00 0.00; nothing; ORDER_ALREADY_PAID
          REFUND    RESOLVED; AWAITING_PAYMENT, due 29.90; CONFLICTED, ARCHIVED; 0.00 0.00 0.00; nothing; attempt of 29.90
          WRITE_OFF RESOLVED; AWAITING_PAYMENT, due 29.90; CONFLICTED, ARCHIVED; 0.00 0.00 0.00; nothing; attempt of 29.90
          RECHECK   OPEN; AWAITING_PAYMENT, due 29.90; CONFLICTED, ACTIVE; 0.00 0.00 0.00; nothing; ATTEMPT_CONFLICTED
        CURRENCY_MISMATCH
          ACCEPT    INVALID_INPUT; AWAITING_PAYMENT, due 29.90; CONFLICTED, ACTIVE; 0.00 0.00 0.00; nothing; ATTEMPT_CONFLICTED
          REFUND    INVALID_INPUT; AWAITING_PAYMENT, due 29.90; CONFLICTED, ACTIVE; 0.00 0.00 0.00; nothing; ATTEMPT_CONFLICTED
          WRITE_OFF RESOLVED; AWAITING_PAYMENT, due 29.90; CONFLICTED, ARCHIVED; 0.00 0.00 0.00; nothing; attempt of 29.90
          RECHECK   OPEN; AWAITING_PAYMENT, due 29.90; CONFLICTED, ACTIVE; 0.00 0.00 0.00; nothing; ATTEMPT_CONFLICTED
        CART_CHANGED
          ACCEPT    RESOLVED; AWAITING_PAYMENT, due 5.10; SUCCEEDED, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; attempt of 5.10
          REFUND    RESOLVED; AWAITING_PAYMENT, due 35.00; CONFLICTED, ARCHIVED; 0.00 0.00 0.00; authorize_and_capture 2990, refund 2990; attempt of 35.00
          WRITE_OFF RESOLVED; AWAITING_PAYMENT, due 35.00; CONFLICTED, ARCHIVED; 0.00 0.00 0.00; authorize_and_capture 2990; attempt of 35.00
          RECHECK   OPEN; AWAITING_PAYMENT, due 35.00; CONFLICTED, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2990; ATTEMPT_CONFLICTED
        PAID_TWICE
          ACCEPT    RESOLVED; PAID, due 0.00; SUCCEEDED, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_ALREADY_PAID
          REFUND    RESOLVED; PAID, due 0.00; CONFLICTED, ARCHIVED; 0.00 0.00 0.00; authorize_and_capture 2990, refund 2990; ORDER_ALREADY_PAID
          WRITE_OFF RESOLVED; PAID, due 0.00; CONFLICTED, ARCHIVED; 0.00 0.00 0.00; authorize_and_capture 2990; ORDER_ALREADY_PAID
          RECHECK   OPEN; PAID, due 0.00; CONFLICTED, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2990; ORDER_ALREADY_PAID
        CONTRADICTING_RESULT
          ACCEPT    RESOLVED; CANCELLED, due 0.00; SUCCEEDED, ACTIVE; 29.90 0.00 0.00; authorize_and_capture 2990; ORDER_CANCELLED
          REFUND    RESOLVED; CANCELLED, due 0.00; CONFLICTED, ARCHIVED; 0.00 0.00 0.00; authorize_and_capture 2990, refund 2990; ORDER_CANCELLED
          WRITE_OFF RESOLVED; CANCELLED, due 0.00; CONFLICTED, ARCHIVED; 0.00 0.00 0.00; authorize_and_capture 2990; ORDER_CANCELLED
          RECHECK   OPEN; CANCELLED, due 0.00; CONFLICTED, ACTIVE; 0.00 0.00 0.00; authorize_and_capture 2990; ORDER_CANCELLED
        ");
    }
}
