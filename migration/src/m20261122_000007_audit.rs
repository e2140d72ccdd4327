//! The audit trail: an entry for each change of a transaction, which nobody changes or deletes.
//!
//! The transactions that are there already begin it, each with an entry that says how it stands. A server older than this step writes none: what it
//! changes after the step, beside newer ones, `orderpay check` names.

use chrono::{DateTime, Utc};
use entity::{
    audit::{Actor, Head, Model, Standing},
    id::{PaymentId, TransactionId},
};
use sea_orm_migration::{
    prelude::*,
    sea_orm::{ActiveEnum, ConnectionTrait, DbBackend, FromQueryResult, Statement, Value},
};

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, &[PAYMENT_AUDIT]).await?;
        begin(manager.get_connection()).await?;
        match manager.get_database_backend() {
            DbBackend::Postgres => run(manager, &APPEND_ONLY_ON_POSTGRES).await,
            _ => run(manager, &APPEND_ONLY_ON_SQLITE).await,
        }
    }
}

/// `sequence` counts from 1 in each payment, and `digest` is over the entry and the digest before it. Callers have an id, others have none.
const PAYMENT_AUDIT: &str = "
CREATE TABLE payment_audit (
    payment_id        {uuid}    NOT NULL,
    sequence          bigint    NOT NULL,
    transaction_id    {uuid}    NOT NULL,
    kind              text      NOT NULL,
    status            text      NOT NULL,
    management_state  text,
    amount_minor      bigint    NOT NULL,
    currency          text      NOT NULL,
    actor_kind        text      NOT NULL,
    actor_id          text,
    written_at        {instant} NOT NULL,
    digest            {bytes}   NOT NULL,
    CONSTRAINT payment_audit_pkey PRIMARY KEY (payment_id, sequence),
    CONSTRAINT payment_audit_transaction FOREIGN KEY (transaction_id) REFERENCES payment_transaction (id),
    CONSTRAINT payment_audit_sequence CHECK (sequence >= 1),
    CONSTRAINT payment_audit_digest CHECK (length(digest) = 32),
    CONSTRAINT payment_audit_actor CHECK
        (actor_kind IN ('USER', 'ANONYMOUS', 'SERVICE', 'PROVIDER', 'SERVER', 'MIGRATION')),
    CONSTRAINT payment_audit_caller CHECK ((actor_kind IN ('USER', 'ANONYMOUS', 'SERVICE')) = (actor_id IS NOT NULL))
) {strict}";

const APPEND_ONLY_ON_POSTGRES: [&str; 2] = [
    "CREATE FUNCTION payment_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the audit trail is only added to' USING ERRCODE = 'restrict_violation'; END $$",
    "CREATE TRIGGER payment_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payment_audit
        FOR EACH STATEMENT EXECUTE FUNCTION payment_audit_append_only()",
];

/// INSERT OR REPLACE deletes without asking the second one.
const APPEND_ONLY_ON_SQLITE: [&str; 3] = [
    "CREATE TRIGGER payment_audit_no_update BEFORE UPDATE ON payment_audit
        BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END",
    "CREATE TRIGGER payment_audit_no_delete BEFORE DELETE ON payment_audit
        BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END",
    "CREATE TRIGGER payment_audit_no_replace BEFORE INSERT ON payment_audit
        WHEN EXISTS (SELECT 1 FROM payment_audit WHERE payment_id = NEW.payment_id AND sequence = NEW.sequence)
        BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END",
];

/// So many transactions are read and begun at a time.
const PAGE: usize = 500;

/// Begins the chain of each payment that has transactions, oldest first.
async fn begin(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    let now = now(db).await?;
    let mut after = None;
    let mut end: Option<(PaymentId, Head)> = None;
    loop {
        let page = page(db, after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some((last.payment_id, last.transaction_id));
        let mut entries = vec![];
        for standing in page {
            let payment = standing.payment_id;
            let head = end.take().filter(|(of, _)| *of == payment).map(|(_, head)| head);
            let entry = Model::after(head.as_ref(), standing, Actor::MIGRATION, now);
            end = Some((payment, entry.head()));
            entries.push(entry);
        }
        insert(db, entries).await?;
    }
}

/// The database's time: a step has no other clock.
async fn now(db: &impl ConnectionTrait) -> Result<DateTime<Utc>, DbErr> {
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => "SELECT now() AS now",
        _ => "SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now') AS now",
    };
    let row = db.query_one_raw(Statement::from_string(backend, sql)).await?;
    row.ok_or_else(|| DbErr::Custom("the database does not know what time it is".into()))?.try_get("", "now")
}

/// The next transactions, payment by payment.
async fn page(db: &impl ConnectionTrait, after: Option<(PaymentId, TransactionId)>) -> Result<Vec<Standing>, DbErr> {
    let (from, values): (&str, Vec<Value>) = match after {
        Some((payment, transaction)) => ("WHERE (payment_id, id) > ($1, $2)", vec![payment.into(), transaction.into()]),
        None => ("", vec![]),
    };
    let sql = format!(
        "SELECT id, payment_id, kind, status, management_state, amount_minor, currency
        FROM payment_transaction {from} ORDER BY payment_id, id LIMIT {PAGE}"
    );
    let rows = db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
    rows.iter().map(|row| Standing::from_query_result(row, "")).collect()
}

/// Named column by column: what later steps add to the table is not there yet.
async fn insert(db: &impl ConnectionTrait, entries: Vec<Model>) -> Result<(), DbErr> {
    let (mut places, mut values) = (vec![], Vec::<Value>::new());
    for entry in entries {
        let row: [Value; 11] = [
            entry.payment_id.into(),
            entry.sequence.into(),
            entry.transaction_id.into(),
            entry.kind.to_value().into(),
            entry.status.to_value().into(),
            entry.management_state.map(|state| state.to_value()).into(),
            entry.amount_minor.into(),
            entry.currency.code().into(),
            entry.actor_kind.to_value().into(),
            entry.written_at.into(),
            entry.digest.into(),
        ];
        let first = values.len() + 1;
        let marks: Vec<String> = (first..first + row.len()).map(|at| format!("${at}")).collect();
        places.push(format!("({})", marks.join(", ")));
        values.extend(row);
    }
    let sql = format!(
        "INSERT INTO payment_audit (payment_id, sequence, transaction_id, kind, status, management_state, amount_minor,
            currency, actor_kind, written_at, digest) VALUES {}",
        places.join(", ")
    );
    db.execute_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await.map(|_| ())
}
