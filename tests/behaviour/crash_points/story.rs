//! The stories in which a server dies: what is there before, and the one thing that it does.
//!
//! A story says nothing of its end: it is the one that it comes to where nobody dies.

use serde_json::{Value, json};

use super::scene::{Before, KEY, Scene};
use crate::support::{euros, news_of_transaction, tea};

/// What the server does.
#[derive(Clone, Copy)]
pub enum Act {
    /// It is asked for a mutation.
    Asked(&'static str, fn(&Scene) -> Value),
    /// The provider tells it of something.
    Told(fn(&Scene) -> String),
    /// Its reconciler sees to what is due.
    Reconciles,
}

#[derive(Clone, Copy)]
pub struct Story {
    pub name: &'static str,
    pub before: Before,
    pub act: Act,
    /// The server's settings.
    pub settings: &'static [&'static str],
    /// Whether whoever comes later finds another way: an attempt whose session was never opened is given up, and a transaction that was given up is
    /// sent after all.
    pub may_end_otherwise: bool,
}

const fn story(name: &'static str, before: Before, act: Act) -> Story {
    Story { name, before, act, settings: &[], may_end_otherwise: false }
}

const fn asked(name: &'static str, before: Before, mutation: &'static str, input: fn(&Scene) -> Value) -> Story {
    story(name, before, Act::Asked(mutation, input))
}

const fn reconciles(name: &'static str, before: Before) -> Story {
    let settings = &["--reconciler=on", "--reconcile-after=1s,1m"];
    Story { settings, ..story(name, before, Act::Reconciles) }
}

/// Whether it is one of those in which money is held, taken, given back or let go of.
pub fn moves_money(story: &Story) -> bool {
    let verb = story.name.split(',').next().unwrap_or_default();
    ["authorize", "capture", "refund", "void"].contains(&verb)
}

/// All of them.
pub fn stories() -> Vec<Story> {
    [&ORDERS[..], &ATTEMPTS, &PAYMENTS, &MONEY, &LOST, &LEFT, &LOCKS, &CASES, &RECONCILER].concat()
}

const ORDERS: [Story; 8] = [
    asked(
        "an order is made",
        Before::Nothing,
        "createOrder",
        |_| json!({ "owner": { "kind": "USER", "id": "ada" }, "cart": tea(), "idempotencyKey": KEY }),
    ),
    asked("a cart is changed", Before::Order, "updateOrderCart", |scene| {
        let line = json!({ "sku": "CUP", "name": "A cup", "quantity": 3, "unitPrice": "4.00" });
        json!({ "orderId": scene.order, "cart": { "currency": "EUR", "lines": [line] } })
    }),
    asked("an order is cancelled", Before::Order, "cancelOrder", |scene| json!({ "orderId": scene.order })),
    asked(
        "an order with an open session is cancelled",
        Before::OpenAttempt,
        "cancelOrder",
        |scene| json!({ "orderId": scene.order }),
    ),
    asked(
        "an order that money is held for is cancelled",
        Before::Authorized("tok_ok"),
        "cancelOrder",
        |scene| json!({ "orderId": scene.order }),
    ),
    asked(
        "an order that costs nothing is paid",
        Before::FreeOrder,
        "processOrderToPaid",
        |scene| json!({ "orderId": scene.order }),
    ),
    asked(
        "a guest's orders are claimed",
        Before::GuestOrders,
        "claimAnonymousOrders",
        |_| json!({ "anonymousUserId": "g-1", "userId": "ada" }),
    ),
    Story {
        settings: &["--reconciler=off", "--anonymous-token-secret=the tokens of guests are signed with this"],
        ..asked(
            "a guest's tokens are revoked",
            Before::GuestOrders,
            "revokeAnonymousTokens",
            |_| json!({ "anonymousUserId": "g-1" }),
        )
    },
];

fn to_pay(scene: &Scene) -> Value {
    json!({ "orderId": scene.order, "returnUrl": "https://shop.example/thanks", "idempotencyKey": KEY })
}

const ATTEMPTS: [Story; 13] = [
    Story { may_end_otherwise: true, ..asked("an attempt is made", Before::Order, "attemptToPayForOrder", to_pay) },
    asked("an attempt is asked for that is open", Before::OpenAttempt, "attemptToPayForOrder", to_pay),
    asked("an attempt is asked for that was paid", Before::PaidAttempt, "attemptToPayForOrder", to_pay),
    Story {
        may_end_otherwise: true,
        ..asked("an attempt is superseded", Before::AttemptForTooLittle, "attemptToPayForOrder", to_pay)
    },
    Story {
        may_end_otherwise: true,
        ..asked("an attempt is asked for again", Before::Unopened("request_lost"), "attemptToPayForOrder", to_pay)
    },
    asked("an opened attempt is asked for again", Before::Unopened("answer_lost"), "attemptToPayForOrder", to_pay),
    Story {
        may_end_otherwise: true,
        ..asked(
            "an attempt is opened, and not answered",
            Before::FaultyOpening("answer_lost"),
            "attemptToPayForOrder",
            to_pay,
        )
    },
    Story {
        may_end_otherwise: true,
        ..asked("an attempt is refused", Before::FaultyOpening("rejected"), "attemptToPayForOrder", to_pay)
    },
    story("news of a paid session", Before::PaidAttempt, Act::Told(|scene| scene.news("succeeded"))),
    story(
        "news of a paid session while another is open",
        Before::TwoSessions,
        Act::Told(|scene| scene.news("succeeded")),
    ),
    story("news of a declined session", Before::OpenAttempt, Act::Told(|scene| scene.news("failed"))),
    story("news of a session that nobody knows", Before::Nothing, Act::Told(|scene| scene.news("succeeded"))),
    asked(
        "a service reports a paid session",
        Before::PaidAttempt,
        "updateAttemptToPay",
        |scene| json!({ "attemptExternalId": scene.session, "status": "SUCCEEDED", "totalAmount": "29.90", "currency": "EUR" }),
    ),
];

const PAYMENTS: [Story; 5] = [
    asked(
        "a payment is made",
        Before::Order,
        "createPayment",
        |scene| json!({ "orderId": scene.order, "provider": "sandbox", "amount": euros("29.90"), "methodToken": "tok_ok", "idempotencyKey": KEY }),
    ),
    asked(
        "what is shown of a payment is changed",
        Before::Payment("tok_ok"),
        "updatePayment",
        |scene| json!({ "paymentId": scene.payment, "display": { "brand": "Visa" } }),
    ),
    asked(
        "an authorized payment's amount is changed",
        Before::Authorized("tok_ok"),
        "updatePayment",
        |scene| json!({ "paymentId": scene.payment, "amount": euros("20.00") }),
    ),
    asked(
        "a partly captured payment's amount is changed",
        Before::PartlyCaptured,
        "updatePayment",
        |scene| json!({ "paymentId": scene.payment, "amount": euros("10.00") }),
    ),
    asked(
        "an authorized payment is archived",
        Before::Authorized("tok_ok"),
        "archivePayment",
        |scene| json!({ "paymentId": scene.payment }),
    ),
];

const MONEY: [Story; 9] = [
    asked("authorize", Before::Payment("tok_ok"), "authorizePayment", |scene| scene.moves("29.90")),
    asked("capture", Before::Authorized("tok_ok"), "capturePayment", |scene| scene.moves("29.90")),
    asked("refund", Before::Captured("tok_ok"), "refundPayment", |scene| scene.moves("12.00")),
    asked("void", Before::Authorized("tok_ok"), "reverseAuthorization", |scene| scene.moves("29.90")),
    asked("authorize and capture", Before::Payment("tok_ok"), "authorizeAndCapturePayment", |scene| {
        scene.moves("29.90")
    }),
    asked("credit", Before::Captured("tok_ok"), "creditPayment", |scene| scene.moves("5.00")),
    asked("capture of two authorizations", Before::AuthorizedInTwo, "capturePayment", |scene| scene.moves("25.00")),
    asked("authorize, declined", Before::Payment("tok_declined_soft"), "authorizePayment", |scene| {
        scene.moves("29.90")
    }),
    asked("authorize, pending", Before::Payment("tok_no_webhook"), "authorizePayment", |scene| scene.moves("29.90")),
];

/// The same where the request was sent and not received, or received and its answer lost.
const LOST: [Story; 9] = [
    asked("authorize, request lost", Before::Payment("tok_request_lost"), "authorizePayment", |scene| {
        scene.moves("29.90")
    }),
    asked("authorize, answer lost", Before::Payment("tok_answer_lost"), "authorizePayment", |scene| {
        scene.moves("29.90")
    }),
    asked("capture, request lost", Before::Authorized("tok_request_lost"), "capturePayment", |scene| {
        scene.moves("29.90")
    }),
    asked("capture, answer lost", Before::Authorized("tok_answer_lost"), "capturePayment", |scene| {
        scene.moves("29.90")
    }),
    asked("refund, request lost", Before::Captured("tok_request_lost"), "refundPayment", |scene| scene.moves("12.00")),
    asked("refund, answer lost", Before::Captured("tok_answer_lost"), "refundPayment", |scene| scene.moves("12.00")),
    asked("void, request lost", Before::Authorized("tok_request_lost"), "reverseAuthorization", |scene| {
        scene.moves("29.90")
    }),
    asked("void, answer lost", Before::Authorized("tok_answer_lost"), "reverseAuthorization", |scene| {
        scene.moves("29.90")
    }),
    Story {
        settings: &["--provider-timeout=1s", "--payment-lock-ttl=1s"],
        ..asked("authorize, slow", Before::Payment("tok_slow"), "authorizePayment", |scene| scene.moves("29.90"))
    },
];

fn told_of_money(scene: &Scene) -> String {
    news_of_transaction("evt_the_act", &json!(scene.reference), "succeeded", (2990, "EUR"))
}

const LEFT: [Story; 8] = [
    asked("authorize again, answer lost", Before::Begun("tok_answer_lost"), "authorizePayment", |scene| {
        scene.moves("29.90")
    }),
    asked("authorize again, request lost", Before::Begun("tok_request_lost"), "authorizePayment", |scene| {
        scene.moves("29.90")
    }),
    asked("authorize again, answered meanwhile", Before::Answered, "authorizePayment", |scene| scene.moves("29.90")),
    asked("capture after an answer was lost", Before::Unanswered("tok_answer_lost"), "capturePayment", |scene| {
        scene.moves("29.90")
    }),
    asked("capture after a request was lost", Before::Unanswered("tok_request_lost"), "capturePayment", |scene| {
        scene.moves("29.90")
    }),
    Story {
        may_end_otherwise: true,
        ..asked("authorize, the lock is lost", Before::LockThatRunsOut, "authorizePayment", |scene| {
            scene.moves("29.90")
        })
    },
    story("news of an authorization", Before::Arrived("authorizePayment"), Act::Told(told_of_money)),
    story("news of money that pays the order", Before::Arrived("authorizeAndCapturePayment"), Act::Told(told_of_money)),
];

fn own_lock(scene: &Scene) -> Value {
    json!([{ "paymentId": scene.payment, "token": scene.token }])
}

const LOCKS: [Story; 5] = [
    asked(
        "a payment is locked",
        Before::Payment("tok_ok"),
        "lockPayments",
        |scene| json!({ "paymentIds": [scene.payment], "ttlSeconds": 300, "purpose": "till" }),
    ),
    asked(
        "a lock is extended",
        Before::Locked,
        "extendPaymentLocks",
        |scene| json!({ "locks": own_lock(scene), "ttlSeconds": 300 }),
    ),
    asked("a payment is unlocked", Before::Locked, "unlockPayments", |scene| json!({ "locks": own_lock(scene) })),
    asked("capture under the caller's lock", Before::Locked, "capturePayment", |scene| scene.moves_locked("29.90")),
    asked("capture of two under the caller's lock", Before::LockedInTwo, "capturePayment", |scene| {
        scene.moves_locked("29.90")
    }),
];

fn decides(scene: &Scene, resolution: &str) -> Value {
    json!({ "caseId": scene.case, "resolution": resolution, "evidence": "the bank's statement" })
}

const CASES: [Story; 5] = [
    asked("another amount is accepted", Before::Odd, "resolveReconciliationCase", |scene| decides(scene, "ACCEPT")),
    asked("a session's other amount is accepted", Before::OddAttempt, "resolveReconciliationCase", |scene| {
        decides(scene, "ACCEPT")
    }),
    asked("a session's other amount is given back", Before::OddAttempt, "resolveReconciliationCase", |scene| {
        decides(scene, "REFUND")
    }),
    asked("another amount is written off", Before::Odd, "resolveReconciliationCase", |scene| {
        decides(scene, "WRITE_OFF")
    }),
    asked("another amount is asked about", Before::Odd, "resolveReconciliationCase", |scene| decides(scene, "RECHECK")),
];

const RECONCILER: [Story; 13] = [
    reconciles("an answer that was lost is found", Before::Unanswered("tok_answer_lost")),
    reconciles("a request that was lost is repeated", Before::Begun("tok_request_lost")),
    reconciles("nobody says what came of it", Before::Silent),
    reconciles("somebody else works on it", Before::UnansweredAndLocked),
    reconciles("money that nobody told of is found", Before::Arrived("authorizeAndCapturePayment")),
    reconciles("a session is still open", Before::OpenAttempt),
    reconciles("a paid session is found", Before::PaidAttempt),
    reconciles("an opened session is found", Before::Unopened("answer_lost")),
    reconciles("a session that was never opened is given up", Before::Unopened("request_lost")),
    reconciles("news that was kept is taken in", Before::ParkedNews),
    reconciles("news that nobody knows is tried again", Before::StrangeNews),
    reconciles("a mark that is not right any more is taken back", Before::MarkedAndUsed),
    reconciles("a key that was left is ended", Before::Answered),
];
