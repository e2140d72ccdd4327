//! What keeps the work exactly once: idempotency keys, providers' news, open questions, and changes to be told.

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            &[
                OPERATION,
                "CREATE INDEX operation_started ON operation (started_at)",
                PROVIDER_EVENT,
                "CREATE INDEX provider_event_parked ON provider_event (provider, external_id) WHERE state = 'PARKED'",
                RECONCILIATION_CASE,
                "CREATE INDEX reconciliation_case_attempt ON reconciliation_case (attempt_id) WHERE attempt_id IS NOT NULL",
                "CREATE INDEX reconciliation_case_open ON reconciliation_case (id) WHERE state = 'OPEN'",
                "CREATE INDEX reconciliation_case_payment ON reconciliation_case (payment_id)",
                OUTBOX,
            ],
        )
        .await
    }
}

/// The key is unique for the caller and the mutation (rule I1). `lease_expires_at` tells a mutation that runs from one whose server died;
/// what it led to stands in the three ids.
const OPERATION: &str = "
CREATE TABLE operation (
    caller_kind       text      NOT NULL,
    caller_id         text      NOT NULL,
    mutation          text      NOT NULL,
    idempotency_key   text      NOT NULL,
    fingerprint       text      NOT NULL,
    state             text      NOT NULL,
    lease_expires_at  {instant} NOT NULL,
    problem           {document},
    order_id          {uuid},
    payment_id        {uuid},
    attempt_id        {uuid},
    started_at        {instant} NOT NULL,
    finished_at       {instant},
    CONSTRAINT operation_pkey PRIMARY KEY (caller_kind, caller_id, mutation, idempotency_key),
    CONSTRAINT operation_caller_kind CHECK (caller_kind IN ('USER', 'ANONYMOUS', 'SERVICE')),
    CONSTRAINT operation_key CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    CONSTRAINT operation_state CHECK (state IN ('IN_PROGRESS', 'SUCCEEDED', 'REFUSED')),
    CONSTRAINT operation_finished_at CHECK ((state = 'IN_PROGRESS') = (finished_at IS NULL)),
    CONSTRAINT operation_order FOREIGN KEY (order_id) REFERENCES orders (id),
    CONSTRAINT operation_payment FOREIGN KEY (payment_id) REFERENCES payment (id),
    CONSTRAINT operation_attempt FOREIGN KEY (attempt_id) REFERENCES payment_attempt (id)
) {strict}";

/// A provider's event once for its session: a copy of it finds the row (rule T3). `report` is the body as it was sent.
const PROVIDER_EVENT: &str = "
CREATE TABLE provider_event (
    provider     text      NOT NULL,
    event_id     text      NOT NULL,
    external_id  text      NOT NULL,
    state        text      NOT NULL,
    report       text      NOT NULL,
    tries        integer   NOT NULL DEFAULT 0,
    received_at  {instant} NOT NULL,
    applied_at   {instant},
    CONSTRAINT provider_event_pkey PRIMARY KEY (provider, external_id, event_id),
    CONSTRAINT provider_event_state CHECK (state IN ('PARKED', 'APPLIED')),
    CONSTRAINT provider_event_applied_at CHECK ((state = 'APPLIED') = (applied_at IS NOT NULL))
) {strict}";

const RECONCILIATION_CASE: &str = "
CREATE TABLE reconciliation_case (
    id                 {uuid}    NOT NULL CONSTRAINT reconciliation_case_pkey PRIMARY KEY,
    state              text      NOT NULL,
    reason             text      NOT NULL,
    payment_id         {uuid}    NOT NULL,
    attempt_id         {uuid},
    transaction_id     {uuid},
    expected_minor     bigint,
    expected_currency  text,
    reported_minor     bigint,
    reported_currency  text,
    report             text,
    checks             integer   NOT NULL DEFAULT 0,
    next_check_at      {instant},
    resolution         text,
    evidence           text,
    resolved_by        text,
    created_at         {instant} NOT NULL,
    resolved_at        {instant},
    CONSTRAINT reconciliation_case_payment_id FOREIGN KEY (payment_id) REFERENCES payment (id),
    CONSTRAINT reconciliation_case_attempt_id FOREIGN KEY (attempt_id) REFERENCES payment_attempt (id),
    CONSTRAINT reconciliation_case_transaction FOREIGN KEY (transaction_id) REFERENCES payment_transaction (id),
    CONSTRAINT reconciliation_case_state CHECK (state IN ('OPEN', 'RESOLVED')),
    CONSTRAINT reconciliation_case_reason CHECK (reason IN
        ('OUTCOME_UNKNOWN', 'AMOUNT_MISMATCH', 'CURRENCY_MISMATCH', 'CART_CHANGED', 'PAID_TWICE', 'FAILED_REVERSAL',
         'CONTRADICTING_RESULT')),
    CONSTRAINT reconciliation_case_resolved CHECK ((state = 'RESOLVED') = (resolved_at IS NOT NULL)),
    CONSTRAINT reconciliation_case_expected CHECK ((expected_minor IS NULL) = (expected_currency IS NULL)),
    CONSTRAINT reconciliation_case_reported CHECK ((reported_minor IS NULL) = (reported_currency IS NULL))
) {strict}";

/// Written with the change that it tells of; `id` grows, and changes of one order are written one after the other.
const OUTBOX: &str = "
CREATE TABLE outbox (
    id          {counter},
    topic       text      NOT NULL,
    order_id    {uuid}    NOT NULL,
    subject_id  {uuid}    NOT NULL,
    created_at  {instant} NOT NULL,
    CONSTRAINT outbox_topic CHECK (topic IN ('ORDER', 'PAYMENT', 'PAYMENT_ATTEMPT')),
    CONSTRAINT outbox_order FOREIGN KEY (order_id) REFERENCES orders (id)
) {strict}";
