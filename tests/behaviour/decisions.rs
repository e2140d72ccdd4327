//! What each decision about each kind of case comes to: two tables, which are the policy (rule R3).
//!
//! A line tells how the decision was taken; then how the order stands and what is due on it; the attempt or the transaction, and the payment; what the
//! payment's summary says was captured, was refunded and is pending; what money moved at the provider in all; and what a new attempt comes to.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{Database, News, Payment, Shop, fresh_file, outcome_of, sums};

on_each_database![decisions_about_a_session, decisions_about_a_transaction];

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
        assert_eq!(shop.count("reconciliation_case").await, known + 1, "one case more");
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

    /// Who decided what, and on which evidence; nothing of it where it is still open.
    fn is_recorded(&self, payload: &Value, resolution: &str) {
        let case = &payload["case"];
        let told = [&case["resolution"], &case["evidence"], &case["resolvedBy"]];
        match case["state"].as_str() {
            Some("RESOLVED") => assert_eq!(told, [resolution, "the bank's statement", "service carla"]),
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
async fn table<const N: usize>(shop: &Shop, reasons: [&str; N], dispute: impl AsyncFn(&Shop, &str) -> String) -> String {
    let mut table = String::new();
    for name in reasons {
        for resolution in RESOLUTIONS {
            let case = Dispute::after(shop, async || dispute(shop, name).await).await;
            table += &format!("{name}, {resolution}: {}\n", case.decided(shop, resolution).await);
        }
        table += "\n";
    }
    table
}

// ── a session's money ──

/// An order of ada's on whose attempt there is such a case.
async fn session_dispute(shop: &Shop, name: &str) -> String {
    if name == "OUTCOME_UNKNOWN" {
        let order = shop.adas_order().await;
        shop.provider_will("create_session", "answer_lost").await;
        shop.user("ada").tries_to_pay(&order, json!({})).await;
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
        insta::assert_snapshot!(table, @"");
    }
}

// ── transactions ──

/// A sale whose answer was lost, and its reference.
async fn unanswered_sale(shop: &Shop) -> (Payment, Value) {
    let payment = shop.payment("tok_ok").await;
    shop.provider_will("run_transaction", "answer_lost").await;
    shop.checkout().sells(&payment, "29.90").await;
    let reference = shop.back_office().sees_transactions(&payment).await[0]["reference"].clone();
    (payment, reference)
}

/// A sale that was unanswered is found, while the provider can be asked or not.
async fn seen_to(shop: &Shop, fault: Option<&str>) {
    if let Some(fault) = fault {
        shop.provider_will("find_transaction", fault).await;
    }
    shop.moves_time_by(TimeDelta::seconds(31));
    shop.reconciles().await;
}

/// An order of ada's on one of whose transactions there is such a case.
async fn transaction_dispute(shop: &Shop, bank: &Database, name: &str) -> String {
    let (checkout, office) = (shop.checkout(), shop.back_office());
    match name {
        "OUTCOME_UNKNOWN of a sale" => {
            let (payment, _) = unanswered_sale(shop).await;
            seen_to(shop, Some("error_500")).await;
            payment.order
        }
        "OUTCOME_UNKNOWN of a capture" => {
            let payment = shop.authorized().await;
            shop.provider_will("run_transaction", "answer_lost").await;
            checkout.captures(&payment, "29.90").await;
            seen_to(shop, Some("error_500")).await;
            payment.order
        }
        "OUTCOME_UNKNOWN of a refund" => {
            let payment = shop.captured().await;
            shop.provider_will("run_transaction", "answer_lost").await;
            office.refunds(&payment, "29.90").await;
            seen_to(shop, Some("error_500")).await;
            payment.order
        }
        "AMOUNT_MISMATCH of a sale" | "AMOUNT_MISMATCH of a hold" => {
            let payment = shop.payment("tok_wrong_amount").await;
            match name.ends_with("sale") {
                true => checkout.sells(&payment, "29.90").await,
                false => checkout.authorizes(&payment, "29.90").await,
            };
            payment.order
        }
        "CURRENCY_MISMATCH of a sale" => {
            let (payment, reference) = unanswered_sale(shop).await;
            shop.hears_of_transaction_in(&reference, "succeeded", 2990, "USD").await;
            payment.order
        }
        "CONTRADICTING_RESULT, a sale that failed succeeded" => {
            let payment = shop.payment("tok_declined_hard").await;
            checkout.sells(&payment, "29.90").await;
            let reference = office.sees_transactions(&payment).await[0]["reference"].clone();
            changes_its_mind(bank, reference.as_str().expect("a reference")).await;
            shop.hears_of_transaction(&reference, "succeeded", 2990).await;
            payment.order
        }
        "CONTRADICTING_RESULT, a hold that succeeded failed" => {
            let payment = shop.authorized().await;
            let reference = office.sees_transactions(&payment).await[0]["reference"].clone();
            shop.hears_of_transaction(&reference, "failed", 2990).await;
            payment.order
        }
        "CONTRADICTING_RESULT, a sale that paid the order failed" => {
            let payment = shop.payment("tok_ok").await;
            checkout.sells(&payment, "29.90").await;
            let reference = office.sees_transactions(&payment).await[0]["reference"].clone();
            shop.hears_of_transaction(&reference, "failed", 2990).await;
            payment.order
        }
        "CONTRADICTING_RESULT, a sale for a cancelled order" => {
            let (payment, _) = unanswered_sale(shop).await;
            checkout.cancels(&payment.order).await;
            seen_to(shop, None).await;
            payment.order
        }
        "PAID_TWICE by a sale" => {
            let (order, attempt) = shop.open_attempt().await;
            shop.hears(&News::that(&attempt, "failed")).await;
            let payment = shop.payment_on(&order, "29.90", "tok_ok").await;
            shop.provider_will("run_transaction", "answer_lost").await;
            checkout.sells(&payment, "29.90").await;
            shop.hears(&News::that(&attempt, "succeeded")).await;
            seen_to(shop, None).await;
            order
        }
        "FAILED_REVERSAL of a hold" => {
            let payment = shop.authorized().await;
            shop.provider_will("run_transaction", "declined").await;
            checkout.archives(&payment).await;
            payment.order
        }
        "FAILED_REVERSAL of a sale" => {
            let payment = shop.payment("tok_wrong_amount").await;
            checkout.sells(&payment, "29.90").await;
            shop.provider_will("run_transaction", "declined").await;
            let refunded = shop.accountant().decides(&shop.newest_case().await, "REFUND", "not wanted").await;
            assert_eq!(outcome_of(&refunded), "null");
            payment.order
        }
        other => panic!("{other}"),
    }
}

/// The provider carries out what it had declined.
async fn changes_its_mind(bank: &Database, reference: &str) {
    let look = bank.look().await;
    look.run(&format!(
        "UPDATE sandbox_transaction SET status = 'succeeded', amount_moved = amount, failure = NULL, decline = NULL WHERE reference = '{reference}'"
    ))
    .await;
    look.run(&format!(
        "INSERT INTO sandbox_movement (id, transaction_id, kind, amount, currency, at)
         SELECT 'mov_' || id, id, kind, amount, currency, created_at FROM sandbox_transaction WHERE reference = '{reference}'"
    ))
    .await;
}

// rules R3, P2, P4, S4
async fn decisions_about_a_transaction(shop: Shop) {
    let url = fresh_file("bank");
    let shop = shop.second(&["--sandbox-database-url", &url]).await;
    let bank = Database::of_file(&url);
    let reasons = [
        "OUTCOME_UNKNOWN of a sale",
        "OUTCOME_UNKNOWN of a capture",
        "OUTCOME_UNKNOWN of a refund",
        "CONTRADICTING_RESULT, a sale for a cancelled order",
        "PAID_TWICE by a sale",
        "AMOUNT_MISMATCH of a sale",
        "AMOUNT_MISMATCH of a hold",
        "CURRENCY_MISMATCH of a sale",
        "CONTRADICTING_RESULT, a sale that failed succeeded",
        "CONTRADICTING_RESULT, a hold that succeeded failed",
        "CONTRADICTING_RESULT, a sale that paid the order failed",
        "FAILED_REVERSAL of a hold",
        "FAILED_REVERSAL of a sale",
    ];
    let table = table(&shop, reasons, async |shop: &Shop, name: &str| transaction_dispute(shop, &bank, name).await).await;

    insta::allow_duplicates! {
        insta::assert_snapshot!(table, @"");
    }
    shop.stop().await;
}
