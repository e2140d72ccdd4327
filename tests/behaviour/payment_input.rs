//! Bad requests about payments: each kind of mistake is refused by name, in words that say what would be right, and nothing is written.

use entity::id::PaymentId;
use serde_json::{Value, json};

use crate::support::{Actor, Payment, Shop, code, euros, outcome, with, writing_nothing};

on_each_database![
    an_amount_of_zero_is_refused,
    a_negative_amount_is_refused,
    more_places_than_euros_have_are_refused,
    an_amount_that_overflows_is_refused,
    an_amount_as_a_json_number_is_refused,
    an_amount_in_another_currency_is_refused,
    an_id_of_another_kind_is_refused,
    a_payment_that_is_not_there_is_refused,
    a_text_that_is_too_long_or_empty_is_refused,
    all_mistakes_in_a_transaction_are_told_at_once,
    a_payment_of_nothing_is_refused,
    an_empty_method_token_is_refused,
    an_oversized_method_token_is_refused_and_not_repeated,
    a_change_of_nothing_is_refused,
    a_lock_of_no_time_or_too_long_is_refused,
    a_lock_on_more_than_a_hundred_payments_is_refused,
    an_empty_list_of_locks_is_refused,
    versions_that_do_not_match_the_payments_are_refused,
    an_id_of_another_kind_among_locks_is_refused,
];

/// Who may do everything that is tried here.
fn service(shop: &Shop) -> Actor {
    shop.service(&[
        "orders:read",
        "payments:write",
        "payments:capture",
        "payments:refund",
        "payments:credit",
        "locks:write",
    ])
}

/// The mutation refuses this field by name, in words that contain these, and writes nothing.
async fn refused(shop: &Shop, mutation: &str, input: Value, path: &[&str], words: &str) {
    let service = service(shop);
    let payload = writing_nothing(shop, async || service.does(mutation, input, "").await).await;
    assert_eq!(code(&payload), "INVALID_INPUT", "{payload}");
    let fields = payload["problem"]["fields"].as_array().expect("fields");
    let field = fields.iter().find(|field| field["path"] == json!(path)).unwrap_or_else(|| panic!("{fields:?}"));
    let message = field["message"].as_str().expect("a message");
    assert!(message.contains(words), "{message}");
}

const EACH: [&str; 6] = [
    "authorizePayment",
    "authorizeAndCapturePayment",
    "capturePayment",
    "reverseAuthorization",
    "refundPayment",
    "creditPayment",
];

fn input(payment: &Payment, more: Value) -> Value {
    with(json!({ "paymentId": payment.id, "amount": euros("1.00"), "idempotencyKey": "k" }), more)
}

/// Each of the six, and whatever else takes an amount, refuses it.
async fn amount_refused(shop: &Shop, amount: &str, words: &str) {
    let payment = shop.authorized().await;
    let amount = json!({ "amount": euros(amount) });
    for mutation in EACH.into_iter().chain(["updatePayment"]) {
        let mut input = input(&payment, amount.clone());
        if mutation == "updatePayment" {
            input.as_object_mut().expect("an object").remove("idempotencyKey");
        }
        refused(shop, mutation, input, &["amount", "amount"], words).await;
    }
    let making = with(new_payment(&payment.order), amount);
    refused(shop, "createPayment", making, &["amount", "amount"], words).await;
}

fn new_payment(order: &str) -> Value {
    json!({
        "orderId": order, "provider": "sandbox", "amount": euros("1.00"), "methodToken": "tok_ok", "idempotencyKey": "k",
    })
}

// rule M4
async fn an_amount_of_zero_is_refused(shop: Shop) {
    amount_refused(&shop, "0.00", "must be above zero").await;
}

// rule M4
async fn a_negative_amount_is_refused(shop: Shop) {
    amount_refused(&shop, "-0.01", "must be above zero").await;
}

// rule M2
async fn more_places_than_euros_have_are_refused(shop: Shop) {
    amount_refused(&shop, "10.005", "EUR has 2").await;
}

// rule M4
async fn an_amount_that_overflows_is_refused(shop: Shop) {
    amount_refused(&shop, "92233720368547758.08", "is too large").await;
}

// rule M2
async fn an_amount_as_a_json_number_is_refused(shop: Shop) {
    let payment = shop.authorized().await;
    let amount = json!({ "amount": { "amount": 1.5, "currency": "EUR" } });
    for mutation in EACH {
        refused(&shop, mutation, input(&payment, amount.clone()), &["amount", "amount"], "string").await;
    }
}

// rule M3
async fn an_amount_in_another_currency_is_refused(shop: Shop) {
    let payment = shop.authorized().await;
    let dollars = json!({ "amount": { "amount": "1.00", "currency": "USD" } });
    for mutation in EACH {
        let sent = input(&payment, dollars.clone());
        let payload = writing_nothing(&shop, async || service(&shop).does(mutation, sent, "").await).await;
        assert_eq!(code(&payload), "CURRENCY_MISMATCH", "{mutation}");
        let words = payload["problem"]["message"].as_str().expect("a message");
        assert!(words.contains("EUR") && words.contains("USD"), "{words}");
    }
}

async fn an_id_of_another_kind_is_refused(shop: Shop) {
    let payment = shop.authorized().await;
    let order = json!({ "paymentId": payment.order });
    let its_own = json!({ "parentTransactionId": payment.id });
    for mutation in EACH {
        let of_an_order = input(&payment, order.clone());
        refused(&shop, mutation, of_an_order, &["paymentId"], "is the id of an order, not of a payment").await;
        let of_a_payment = input(&payment, its_own.clone());
        refused(
            &shop,
            mutation,
            of_a_payment,
            &["parentTransactionId"],
            "is the id of a payment, not of a payment transaction",
        )
        .await;
    }
    let order = json!({ "paymentId": payment.order, "display": {} });
    refused(&shop, "updatePayment", order, &["paymentId"], "not of a payment").await;
    refused(&shop, "archivePayment", json!({ "paymentId": "7" }), &["paymentId"], "pay_").await;
    refused(&shop, "createPayment", new_payment(&payment.id), &["orderId"], "not of an order").await;
}

async fn a_payment_that_is_not_there_is_refused(shop: Shop) {
    let nowhere = Payment { id: PaymentId::new(shop.now()).to_string(), order: String::new() };
    let change = json!({ "paymentId": nowhere.id, "display": {} });
    let others = [
        ("updatePayment", change),
        ("archivePayment", json!({ "paymentId": nowhere.id })),
        ("lockPayments", json!({ "paymentIds": [nowhere.id] })),
        ("extendPaymentLocks", json!({ "locks": [{ "paymentId": nowhere.id, "token": "lck_1" }] })),
    ];
    let six = EACH.map(|mutation| (mutation, input(&nowhere, json!({}))));
    for (mutation, input) in six.into_iter().chain(others) {
        let payload = writing_nothing(&shop, async || service(&shop).does(mutation, input, "").await).await;
        assert_eq!(code(&payload), "PAYMENT_NOT_FOUND", "{mutation}");
    }
}

async fn a_text_that_is_too_long_or_empty_is_refused(shop: Shop) {
    let payment = shop.authorized().await;
    for (field, text) in ["source", "sourceEntityType", "sourceEntityId", "idempotencyKey", "lockToken"]
        .map(|field| (field, "ü".repeat(256)))
    {
        for text in [text, String::new()] {
            let sent = input(&payment, json!({ field: text }));
            refused(&shop, "capturePayment", sent, &[field], "1 to 255 are allowed").await;
        }
    }
    let nul = input(&payment, json!({ "source": "a\u{0}b" }));
    refused(&shop, "capturePayment", nul, &["source"], "NUL").await;
    let named = json!({ "provider": "x".repeat(51) });
    refused(&shop, "createPayment", with(new_payment(&payment.order), named), &["provider"], "1 to 50 are allowed")
        .await;
    let purpose = json!({ "paymentIds": [payment.id], "purpose": "" });
    refused(&shop, "lockPayments", purpose, &["purpose"], "1 to 255 are allowed").await;
}

async fn all_mistakes_in_a_transaction_are_told_at_once(shop: Shop) {
    let wrong = json!({
        "paymentId": "7", "amount": euros("-1"), "parentTransactionId": "8", "idempotencyKey": "", "lockToken": "", "source": "",
    });

    let payload = writing_nothing(&shop, async || service(&shop).does("capturePayment", wrong, "").await).await;

    let fields = payload["problem"]["fields"].as_array().expect("fields");
    let paths: Vec<String> = fields.iter().map(|field| field["path"].to_string()).collect();
    let expected = ["paymentId", "amount\",\"amount", "parentTransactionId", "idempotencyKey", "lockToken", "source"];
    assert_eq!(paths, expected.map(|path| format!("[\"{path}\"]")));
}

async fn a_payment_of_nothing_is_refused(shop: Shop) {
    let order = shop.adas_order().await;
    let nothing = json!({ "amount": euros("0"), "display": { "": "x" } });
    refused(&shop, "createPayment", with(new_payment(&order), nothing), &["amount", "amount"], "above zero").await;
}

async fn an_empty_method_token_is_refused(shop: Shop) {
    let empty = with(new_payment(&shop.adas_order().await), json!({ "methodToken": "" }));
    refused(&shop, "createPayment", empty, &["methodToken"], "1 to 255 are allowed").await;
}

// rule P11
async fn an_oversized_method_token_is_refused_and_not_repeated(shop: Shop) {
    let order = shop.adas_order().await;
    for token in [json!("hush".repeat(64)), json!(["hush"]), json!({ "hush": "hush" }), json!(4_815_162_342_u64)] {
        let input = with(new_payment(&order), json!({ "methodToken": token }));
        let answer = service(&shop).tries("createPayment", input, "").await;
        assert_ne!(outcome(&answer), "ok");
        assert!(!answer.to_string().contains("hush") && !answer.to_string().contains("4815162342"), "{answer}");
    }
}

async fn a_change_of_nothing_is_refused(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    refused(&shop, "updatePayment", json!({ "paymentId": payment.id }), &["amount"], "or display is needed").await;
}

// rule K3
async fn a_lock_of_no_time_or_too_long_is_refused(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let token = shop.checkout().locks_one(&payment).await;
    for seconds in [0, -1, 301, i32::MAX] {
        let taken = json!({ "paymentIds": [payment.id], "ttlSeconds": seconds });
        refused(&shop, "lockPayments", taken, &["ttlSeconds"], "1 to 300 are allowed").await;
        let held = json!({ "locks": [{ "paymentId": payment.id, "token": token }], "ttlSeconds": seconds });
        refused(&shop, "extendPaymentLocks", held, &["ttlSeconds"], "1 to 300 are allowed").await;
    }
}

// rule K4
async fn a_lock_on_more_than_a_hundred_payments_is_refused(shop: Shop) {
    let ids: Vec<String> = (0..101).map(|_| PaymentId::new(shop.now()).to_string()).collect();
    let locks: Vec<Value> = ids.iter().map(|id| json!({ "paymentId": id, "token": "lck_1" })).collect();
    refused(&shop, "lockPayments", json!({ "paymentIds": ids }), &["paymentIds"], "1 to 100 are allowed").await;
    for mutation in ["extendPaymentLocks", "unlockPayments"] {
        refused(&shop, mutation, json!({ "locks": locks }), &["locks"], "1 to 100 are allowed").await;
    }
}

async fn an_empty_list_of_locks_is_refused(shop: Shop) {
    refused(&shop, "lockPayments", json!({ "paymentIds": [] }), &["paymentIds"], "1 to 100 are allowed").await;
    for mutation in ["extendPaymentLocks", "unlockPayments"] {
        refused(&shop, mutation, json!({ "locks": [] }), &["locks"], "1 to 100 are allowed").await;
    }
}

// rule K4
async fn versions_that_do_not_match_the_payments_are_refused(shop: Shop) {
    let (one, other) = (shop.payment("tok_ok").await, shop.payment("tok_ok").await);
    let of = |ids: &[&str], versions: &[i32]| json!({ "paymentIds": ids, "expectedVersions": versions });
    for versions in [&[1][..], &[1, 1, 1], &[]] {
        let sent = of(&[&one.id, &other.id], versions);
        refused(&shop, "lockPayments", sent, &["expectedVersions"], "one for each of 2 paymentIds").await;
    }
    let twice = of(&[&one.id, &one.id], &[1, 2]);
    refused(&shop, "lockPayments", twice, &["expectedVersions", "1"], "1 was given for the same payment").await;
}

async fn an_id_of_another_kind_among_locks_is_refused(shop: Shop) {
    let payment = shop.payment("tok_ok").await;
    let ids = json!({ "paymentIds": [payment.id, payment.order] });
    refused(&shop, "lockPayments", ids, &["paymentIds", "1"], "is the id of an order, not of a payment").await;
    let locks = json!({ "locks": [{ "paymentId": payment.order, "token": "" }] });
    for mutation in ["extendPaymentLocks", "unlockPayments"] {
        refused(&shop, mutation, locks.clone(), &["locks", "0", "paymentId"], "not of a payment").await;
        refused(&shop, mutation, locks.clone(), &["locks", "0", "token"], "1 to 255 are allowed").await;
    }
}
