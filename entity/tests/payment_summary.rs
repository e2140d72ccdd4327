//! The summary against worked cases, and against what must hold for every history of a payment.

#![expect(
    clippy::unwrap_used,
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test may fail; and its dice are floats"
)]

use entity::{
    money::{Currency, Money},
    order,
    summary::{Entry, PaymentSummary, amount_due},
    transaction::{Kind, ManagementState, Status},
};
use proptest::prelude::*;
use sea_orm::ActiveEnum;
use serde_json::{Value, json};

fn euro() -> Currency {
    "EUR".parse().unwrap()
}

fn money(minor: i64) -> Money {
    Money::new(minor, euro())
}

fn named<T: ActiveEnum<Value = String>>(value: &Value) -> T {
    T::try_from_value(&value.as_str().unwrap().to_owned()).unwrap()
}

fn entry(transaction: &Value) -> Entry {
    let state = &transaction["managementState"];
    Entry {
        kind: named::<Kind>(&transaction["kind"]),
        status: named::<Status>(&transaction["status"]),
        management_state: (!state.is_null()).then(|| named::<ManagementState>(state)),
        amount: money(transaction["amount"].as_i64().unwrap()),
    }
}

fn shown(summary: &PaymentSummary) -> Value {
    json!({
        "amountAuthorized": summary.authorized.minor(),
        "amountCaptured": summary.captured.minor(),
        "amountRefunded": summary.refunded.minor(),
        "amountCredited": summary.credited.minor(),
        "amountAvailableForAuthorize": summary.available_for_authorize.minor(),
        "amountAvailableForCapture": summary.available_for_capture.minor(),
        "amountAvailableForAuthorizeAndCapture": summary.available_for_authorize_and_capture.minor(),
        "amountAvailableForReverseAuthorization": summary.available_for_reverse_authorization.minor(),
        "amountAvailableForRefund": summary.available_for_refund.minor(),
        "fullyAuthorized": summary.fully_authorized,
        "fullyCaptured": summary.fully_captured,
        "partiallyCaptured": summary.partially_captured,
        "totalEverCaptured": summary.total_ever_captured.minor(),
        "fullyRefunded": summary.fully_refunded,
        "amountPending": summary.pending.minor(),
        "amountStuckInReversal": summary.stuck_in_reversal.minor(),
    })
}

// rules S1 to S5
#[test]
fn every_worked_case_comes_out_as_written() {
    let file: Value = serde_json::from_str(include_str!("payment_summary.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 74);
    for case in cases {
        let entries: Vec<Entry> = case["transactions"].as_array().unwrap().iter().map(entry).collect();
        let amount = money(case["paymentAmount"].as_i64().unwrap());
        let summary = PaymentSummary::of(amount, &entries).unwrap();
        assert_eq!(shown(&summary), case["summary"], "{}", case["name"]);
    }
}

// rule M3
#[test]
fn a_transaction_of_another_currency_is_refused() {
    let yen = Money::new(1, "JPY".parse().unwrap());
    let entry = Entry { amount: yen, ..succeeded(Kind::Capture, 1) };
    assert!(PaymentSummary::of(money(1), &[entry]).is_err());
}

// rule S5
#[test]
fn a_broken_bound_is_not_hidden() {
    let captured = [succeeded(Kind::Authorize, 5), succeeded(Kind::Capture, 6)];
    let summary = PaymentSummary::of(money(10), &captured).unwrap();
    assert!(!summary.sound);
    assert_eq!(summary.available_for_capture, money(0));
}

// rule S7
#[test]
fn a_refund_does_not_raise_what_is_due_and_a_paid_order_owes_nothing() {
    let entries = [succeeded(Kind::AuthorizeAndCapture, 40), succeeded(Kind::Refund, 40)];
    let due = |status| amount_due(status, money(100), &entries).unwrap();
    assert_eq!(due(order::Status::AwaitingPayment), money(60));
    assert_eq!(due(order::Status::Paid), money(0));
    assert_eq!(due(order::Status::Cancelled), money(0));
}

fn succeeded(kind: Kind, minor: i64) -> Entry {
    Entry { kind, status: Status::Succeeded, management_state: None, amount: money(minor) }
}

const KINDS: [Kind; 6] = [
    Kind::Authorize,
    Kind::AuthorizeAndCapture,
    Kind::Capture,
    Kind::ReverseAuthorize,
    Kind::Refund,
    Kind::DetachedCredit,
];

/// What may be asked of a payment in this state, at the most.
fn available(summary: &PaymentSummary, kind: Kind) -> i64 {
    match kind {
        Kind::Authorize => summary.available_for_authorize.minor(),
        Kind::AuthorizeAndCapture => summary.available_for_authorize_and_capture.minor(),
        Kind::Capture => summary.available_for_capture.minor(),
        Kind::ReverseAuthorize => summary.available_for_reverse_authorization.minor(),
        Kind::Refund => summary.available_for_refund.minor(),
        Kind::DetachedCredit => 1_000,
    }
}

/// Plays requests that each keep to what is available, and whatever answers come.
fn history() -> impl Strategy<Value = (i64, Vec<Entry>)> {
    let statuses = [Status::Sent, Status::Pending, Status::Unknown, Status::Succeeded, Status::Failed];
    let step = (prop::sample::select(KINDS.to_vec()), prop::sample::select(statuses.to_vec()), 0.0_f64..=1.0);
    (1_i64..100_000, prop::collection::vec(step, 0..24)).prop_map(|(amount, steps)| {
        let mut entries = Vec::new();
        for (kind, status, share) in steps {
            let summary = PaymentSummary::of(money(amount), &entries).unwrap();
            let most = available(&summary, kind);
            // A test's dice: no amount of the program is ever a float.
            let minor = (most as f64 * share).ceil() as i64;
            if minor > 0 {
                entries.push(Entry { status, ..succeeded(kind, minor) });
            }
        }
        (amount, entries)
    })
}

proptest! {
    #[test]
    fn no_history_of_allowed_requests_breaks_a_bound((amount, entries) in history()) {
        let summary = PaymentSummary::of(money(amount), &entries).unwrap();
        prop_assert!(summary.sound);
        prop_assert!(summary.authorized.minor() <= amount);
        prop_assert!(summary.total_ever_captured.minor() <= amount);
        prop_assert!(summary.refunded.minor() <= summary.total_ever_captured.minor());
    }

    #[test]
    fn the_order_of_transactions_does_not_matter((amount, entries) in history(), seed: u64) {
        let mut shuffled = entries.clone();
        if !shuffled.is_empty() {
            let by = usize::try_from(seed % shuffled.len() as u64).unwrap();
            shuffled.rotate_left(by);
            shuffled.reverse();
        }
        let of = |entries: &[Entry]| PaymentSummary::of(money(amount), entries).unwrap();
        prop_assert_eq!(of(&entries), of(&shuffled));
    }

    // rule S4
    #[test]
    fn a_refund_never_reopens_what_may_be_captured_or_charged((amount, mut entries) in history()) {
        let before = PaymentSummary::of(money(amount), &entries).unwrap();
        let refundable = before.available_for_refund.minor();
        if refundable > 0 {
            entries.push(succeeded(Kind::Refund, refundable));
            let after = PaymentSummary::of(money(amount), &entries).unwrap();
            prop_assert_eq!(after.available_for_capture, before.available_for_capture);
            prop_assert_eq!(after.available_for_authorize, before.available_for_authorize);
            prop_assert_eq!(after.available_for_refund, money(0));
        }
    }

    // rule S1
    #[test]
    fn a_failed_transaction_counts_nowhere((amount, mut entries) in history(), kind in prop::sample::select(KINDS.to_vec())) {
        let before = PaymentSummary::of(money(amount), &entries).unwrap();
        entries.push(Entry { status: Status::Failed, ..succeeded(kind, amount) });
        prop_assert_eq!(PaymentSummary::of(money(amount), &entries).unwrap(), before);
    }
}
