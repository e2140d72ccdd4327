//! Money that nobody doubts is taken in at once (rule T4): by far the most news is of a first payment that covers its order, and all that follows of it
//! is written in one statement, four round trips in all.
//!
//! What is to be written is decided by what was read before anything was locked. So the statement first looks whether all of that still holds, now that
//! nobody else can change it, and writes nothing where it doesn't; then the news is compared step by step, as all other news is. On SQLite, where a
//! statement is no round trip, it always is.

use chrono::{DateTime, Utc};
use entity::{
    attempt::{self, News, judge},
    audit::Actor,
    event::{Model as Event, State},
    order,
    outbox::Topic,
    payment,
    summary::Entry,
};
use sea_orm::{ConnectionTrait, DbBackend, IntoActiveModel};

use super::{
    Settled, Told,
    money::{MONEY_MOVED, booking},
};
use crate::{
    app::App,
    db::{RowLock, Sql, WriteTransaction},
    error::Error,
    faults::{self, Broken},
    service::{audit, event, order::next, payment::Ledger},
};

/// Writes what follows of the provider's news, and leaves the commit to the caller. `None` where there is more to be looked at; nothing is written then.
pub(super) async fn take_in(
    app: &App,
    attempt: &attempt::Model,
    order: &order::Model,
    told: &Told,
) -> Result<Option<(WriteTransaction, Settled)>, Error> {
    let is_postgres = app.db.read().get_database_backend() == DbBackend::Postgres;
    if !is_postgres || faults::is_broken(Broken::NoLock) || !covers(attempt, order, told)? {
        return Ok(None);
    }
    let now = app.clock.now();
    let external_id = attempt.external_id.as_deref().unwrap_or_default();
    let (to, event) =
        (attempt.status.on(News::MoneyAccepted), event::applied(&attempt.provider, external_id, told, now));
    let (Some(to), Some(event)) = (to, event) else { return Ok(None) };
    let locks = [
        RowLock { table: "orders", key: "id", id: order.id.uuid() },
        RowLock { table: "payment_lock", key: "payment_id", id: attempt.payment_id.uuid() },
    ];
    let tx = app.db.begin_write_locking(&locks).await?;
    let paid = order::Model {
        status: next(order, order::Event::Paid)?,
        paid_at: Some(now),
        version: order.version + 1,
        updated_at: now,
        ..order.clone()
    };
    let statement = writing(attempt, to, &paid, event, now).statement(DbBackend::Postgres);
    if tx.query_one_raw(statement).await?.is_none() {
        tx.rollback().await?;
        return Ok(None);
    }
    tx.tells();
    let attempt = attempt::Model {
        status: to,
        failure_code: None,
        failure_message: None,
        decline: None,
        updated_at: now,
        ..attempt.clone()
    };
    Ok(Some((tx, Settled { attempt, order: paid, already_processed: false, problem: None, none_is_open: true })))
}

/// Whether this is the money that an open session asked for, and covers an order that nothing was paid of before.
fn covers(attempt: &attempt::Model, order: &order::Model, told: &Told) -> Result<bool, Error> {
    use attempt::Status::{Pending, Processing};
    let is_open = matches!(attempt.status, Pending | Processing) && order.status == order::Status::AwaitingPayment;
    if !is_open || told.report != attempt::Report::Succeeded {
        return Ok(false);
    }
    let nothing = Ledger::default();
    if judge(attempt, order, nothing.amount_due(order.status, order.total())?, told.amount).is_some() {
        return Ok(false);
    }
    let (kind, status) = MONEY_MOVED;
    let first = Entry { kind, status, management_state: None, amount: told.amount };
    Ok(nothing.summary_with(order, first)?.captured.covers(order.total())?)
}

/// One statement, which gives a row if all still is as it was read, and writes nothing otherwise. Its parts see the tables as they were when it began:
/// the rows that it goes by are locked by then.
fn writing(
    attempt: &attempt::Model,
    to: attempt::Status,
    paid: &order::Model,
    event: Event,
    now: DateTime<Utc>,
) -> Sql {
    let amount = attempt.amount();
    let mut sql = Sql::default();
    let (id, order_id, payment_id) = (sql.bind(attempt.id), sql.bind(paid.id), sql.bind(attempt.payment_id));
    let (from, to, at) = (sql.bind(attempt.status), sql.bind(to), sql.bind(now));
    let (old_version, version) = (sql.bind(paid.version - 1), sql.bind(paid.version));
    let status = sql.bind(paid.status);
    let active = sql.bind(payment::Status::Active);
    let parked = sql.bind(State::Parked);
    sql.push(&format!(
        "WITH unchanged AS (
            SELECT FROM payment_attempt a
            JOIN orders o ON o.id = a.order_id
            JOIN payment_lock l ON l.payment_id = a.payment_id
            WHERE a.id = {id} AND a.status = {from} AND o.version = {old_version}
                AND NOT EXISTS (SELECT FROM payment p JOIN payment_transaction t ON t.payment_id = p.id WHERE p.order_id = o.id)
                AND NOT EXISTS (SELECT FROM reconciliation_case c WHERE c.attempt_id = a.id)
                AND NOT EXISTS (SELECT FROM provider_event e
                    WHERE e.provider = a.provider AND e.external_id = a.external_id AND e.state = {parked})
        ), news AS ("
    ));
    sql.insert(event.into_active_model(), "unchanged");
    sql.push(" ON CONFLICT DO NOTHING RETURNING event_id), ");
    audit::insert_first(&mut sql, booking(attempt, amount, None, now), Actor::PROVIDER, "news", now);
    let changes = [(Topic::PaymentAttempt, &id), (Topic::Payment, &payment_id), (Topic::Order, &order_id)];
    let changes: Vec<String> =
        (1..).zip(changes).map(|(n, (topic, of))| format!("({n}, {}, {of})", sql.bind(topic))).collect();
    let changes = changes.join(", ");
    sql.push(&format!(
        ", attempt AS (
            UPDATE payment_attempt SET status = {to}, failure_code = NULL, failure_message = NULL, decline = NULL, updated_at = {at}
            FROM news WHERE id = {id}
        ), payment AS (
            UPDATE payment SET status = {active}, version = version + 1, updated_at = {at} FROM news WHERE id = {payment_id}
        ), paid AS (
            UPDATE orders SET status = {status}, paid_at = {at}, version = {version}, updated_at = {at} FROM news WHERE id = {order_id}
        ), snapshot AS (
            INSERT INTO order_snapshot (order_id, cart, cart_digest, attempt_id, taken_at)
            SELECT o.id, o.cart, o.cart_digest, {id}, {at} FROM news, orders o WHERE o.id = {order_id}
        ), told AS (
            INSERT INTO outbox (topic, order_id, subject_id, created_at)
            SELECT change.topic, {order_id}, change.subject_id, {at} FROM news, (VALUES {changes}) AS change (n, topic, subject_id) ORDER BY change.n
        )
        SELECT FROM news"
    ));
    sql
}
