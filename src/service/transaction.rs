//! Authorize, capture, reverse, refund, credit: the six verbs that move a payment's money, and what comes of them (rules P3 to P10).
//!
//! They differ in their kind and in the scope that they need; the way they go is one, and it is in `work`.

use entity::{
    id::{PaymentId, TransactionId},
    money::Money,
    summary::PaymentSummary,
    transaction::{Column, Entity, Failure, Kind, Model, Status},
};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};

use super::{lock::Token, payment::Booked, work};
use crate::{
    app::App,
    auth::{Caller, Scope},
    error::{Error, Problem, Read},
};

/// A transaction that is asked for.
#[derive(Clone, Debug)]
pub struct TransactionRequest {
    pub payment_id: PaymentId,
    pub amount: Money,
    /// The earlier transaction to act on; the oldest ones that fit where there is none.
    pub parent: Option<TransactionId>,
    /// The caller's own lock on the payment.
    pub lock_token: Option<Token>,
    /// The payment's version that the caller read.
    pub expected_version: Option<i32>,
    pub source: Option<String>,
    pub source_entity_type: Option<String>,
    pub source_entity_id: Option<String>,
    /// Check everything, and touch nothing.
    pub dry_run: bool,
}

/// What came of it, beside the payment as it is now.
#[derive(Clone, Debug)]
pub struct Transacted {
    pub payment: Booked,
    pub outcome: Option<Outcome>,
    /// Whether it was sent under this key before.
    pub replayed: bool,
    pub problem: Option<Problem>,
}

/// What the provider said, without the transactions that one request became. Where their parts ended differently, the status is that of the part
/// that is furthest from success, and the amount is that part's: a declined part shows, and the rest stands in the summary.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub status: Status,
    pub amount: Money,
    pub failure: Option<Failure>,
    pub summary: PaymentSummary,
}

/// One of the six, under its name in the API.
#[derive(Clone, Copy)]
pub(super) struct Verb {
    pub kind: Kind,
    pub mutation: &'static str,
    pub scope: Scope,
}

/// Holds an amount on the shopper's account. Needs `payments:write`.
pub async fn authorize_payment(
    app: &App,
    caller: &Caller,
    request: Read<TransactionRequest>,
    idempotency_key: &str,
) -> Result<Transacted, Error> {
    let verb = Verb { kind: Kind::Authorize, mutation: "authorizePayment", scope: Scope::PaymentsWrite };
    work::run(app, caller, verb, request, idempotency_key).await
}

/// Holds an amount and takes it at once. Needs `payments:capture`.
pub async fn authorize_and_capture_payment(
    app: &App,
    caller: &Caller,
    request: Read<TransactionRequest>,
    idempotency_key: &str,
) -> Result<Transacted, Error> {
    let kind = Kind::AuthorizeAndCapture;
    let verb = Verb { kind, mutation: "authorizeAndCapturePayment", scope: Scope::PaymentsCapture };
    work::run(app, caller, verb, request, idempotency_key).await
}

/// Takes an amount that is authorized. Needs `payments:capture`.
pub async fn capture_payment(
    app: &App,
    caller: &Caller,
    request: Read<TransactionRequest>,
    idempotency_key: &str,
) -> Result<Transacted, Error> {
    let verb = Verb { kind: Kind::Capture, mutation: "capturePayment", scope: Scope::PaymentsCapture };
    work::run(app, caller, verb, request, idempotency_key).await
}

/// Gives an authorized amount back unused. Needs `payments:write`.
pub async fn reverse_authorization(
    app: &App,
    caller: &Caller,
    request: Read<TransactionRequest>,
    idempotency_key: &str,
) -> Result<Transacted, Error> {
    let verb = Verb { kind: Kind::ReverseAuthorize, mutation: "reverseAuthorization", scope: Scope::PaymentsWrite };
    work::run(app, caller, verb, request, idempotency_key).await
}

/// Gives a captured amount back. Needs `payments:refund`.
pub async fn refund_payment(
    app: &App,
    caller: &Caller,
    request: Read<TransactionRequest>,
    idempotency_key: &str,
) -> Result<Transacted, Error> {
    let verb = Verb { kind: Kind::Refund, mutation: "refundPayment", scope: Scope::PaymentsRefund };
    work::run(app, caller, verb, request, idempotency_key).await
}

/// Gives an amount that acts on nothing earlier. Needs `payments:credit`.
pub async fn credit_payment(
    app: &App,
    caller: &Caller,
    request: Read<TransactionRequest>,
    idempotency_key: &str,
) -> Result<Transacted, Error> {
    let verb = Verb { kind: Kind::DetachedCredit, mutation: "creditPayment", scope: Scope::PaymentsCredit };
    work::run(app, caller, verb, request, idempotency_key).await
}

/// The transactions of these payments, oldest first. The payments were found for a caller before, who may see them: this looks at neither.
pub async fn of_payments(db: &impl ConnectionTrait, payments: &[PaymentId]) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(Column::PaymentId.is_in(payments.iter().copied()));
    query.order_by_asc(Column::CreatedAt).order_by_asc(Column::Id).all(db).await
}

/// These transactions, oldest first.
pub(super) async fn by_ids(db: &impl ConnectionTrait, ids: &[TransactionId]) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(Column::Id.is_in(ids.iter().copied()));
    query.order_by_asc(Column::CreatedAt).order_by_asc(Column::Id).all(db).await
}
