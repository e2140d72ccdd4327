//! Payments: their transactions, the attempts that lead to them, and their locks.

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
                PAYMENT,
                "CREATE INDEX payment_order ON payment (order_id, id)",
                PAYMENT_ATTEMPT,
                "CREATE INDEX payment_attempt_order ON payment_attempt (order_id, id)",
                ONE_OPEN_ATTEMPT,
                "CREATE INDEX payment_attempt_unanswered ON payment_attempt (next_check_at) WHERE status = 'CREATED'",
                PAYMENT_TRANSACTION,
                "CREATE INDEX payment_transaction_payment ON payment_transaction (payment_id, id)",
                "CREATE INDEX payment_transaction_parent ON payment_transaction (parent_id) WHERE parent_id IS NOT NULL",
                ONE_MOVE_PER_ATTEMPT,
                TRANSACTION_UNANSWERED,
                PAYMENT_LOCK,
            ],
        )
        .await
    }
}

/// `method_token` stays null for a payment through a provider's own page.
const PAYMENT: &str = "
CREATE TABLE payment (
    id            {uuid}     NOT NULL CONSTRAINT payment_pkey PRIMARY KEY,
    order_id      {uuid}     NOT NULL,
    provider      text       NOT NULL,
    status        text       NOT NULL,
    amount_minor  bigint     NOT NULL,
    currency      text       NOT NULL,
    method_token  text,
    display       {document} NOT NULL,
    version       integer    NOT NULL,
    created_at    {instant}  NOT NULL,
    updated_at    {instant}  NOT NULL,
    CONSTRAINT payment_belongs_to_order FOREIGN KEY (order_id) REFERENCES orders (id),
    CONSTRAINT payment_status CHECK (status IN ('ACTIVE', 'ARCHIVED')),
    CONSTRAINT payment_amount CHECK (amount_minor > 0),
    CONSTRAINT payment_currency CHECK (length(currency) = 3),
    CONSTRAINT payment_version CHECK (version >= 1)
) {strict}";

/// `reference` is ours and goes to the provider, so that a session can be found although the answer was lost; `external_id` is the
/// provider's and comes with the answer. `cart_digest` is the cart that the amount was asked for.
const PAYMENT_ATTEMPT: &str = "
CREATE TABLE payment_attempt (
    id               {uuid}    NOT NULL CONSTRAINT payment_attempt_pkey PRIMARY KEY,
    order_id         {uuid}    NOT NULL,
    payment_id       {uuid}    NOT NULL,
    provider         text      NOT NULL,
    reference        text      NOT NULL,
    external_id      text,
    status           text      NOT NULL,
    amount_minor     bigint    NOT NULL,
    currency         text      NOT NULL,
    cart_digest      text      NOT NULL,
    return_url       text,
    redirect_url     text,
    client_secret    text,
    failure_code     text,
    failure_message  text,
    decline          text,
    expires_at       {instant},
    checks           integer   NOT NULL DEFAULT 0,
    next_check_at    {instant},
    created_at       {instant} NOT NULL,
    updated_at       {instant} NOT NULL,
    CONSTRAINT payment_attempt_of_order FOREIGN KEY (order_id) REFERENCES orders (id),
    CONSTRAINT payment_attempt_payment FOREIGN KEY (payment_id) REFERENCES payment (id),
    CONSTRAINT payment_attempt_reference UNIQUE (reference),
    CONSTRAINT payment_attempt_external_id UNIQUE (external_id, provider),
    CONSTRAINT payment_attempt_status CHECK (status IN
        ('CREATED', 'PENDING', 'PROCESSING', 'SUCCEEDED', 'FAILED', 'CANCELLED', 'EXPIRED', 'CONFLICTED')),
    CONSTRAINT payment_attempt_session CHECK (external_id IS NOT NULL OR status NOT IN
        ('PENDING', 'PROCESSING', 'SUCCEEDED', 'CONFLICTED')),
    CONSTRAINT payment_attempt_amount CHECK (amount_minor > 0),
    CONSTRAINT payment_attempt_decline CHECK (decline IN ('SOFT', 'HARD'))
) {strict}";

/// Rule T2: one open attempt per order, whoever races.
const ONE_OPEN_ATTEMPT: &str = "
CREATE UNIQUE INDEX payment_attempt_open ON payment_attempt (order_id)
    WHERE status IN ('CREATED', 'PENDING', 'PROCESSING')";

/// `status` is what the provider said, `management_state` what we still owe: two axes (rule P2). `fencing_number` is the lock's, under
/// which the row was written.
const PAYMENT_TRANSACTION: &str = "
CREATE TABLE payment_transaction (
    id                  {uuid}    NOT NULL CONSTRAINT payment_transaction_pkey PRIMARY KEY,
    payment_id          {uuid}    NOT NULL,
    kind                text      NOT NULL,
    status              text      NOT NULL,
    management_state    text,
    amount_minor        bigint    NOT NULL,
    currency            text      NOT NULL,
    parent_id           {uuid},
    attempt_id          {uuid},
    reference           text      NOT NULL,
    provider_reference  text,
    failure_code        text,
    failure_message     text,
    decline             text,
    source              text,
    source_entity_type  text,
    source_entity_id    text,
    fencing_number      bigint,
    checks              integer   NOT NULL DEFAULT 0,
    next_check_at       {instant},
    created_at          {instant} NOT NULL,
    settled_at          {instant},
    CONSTRAINT payment_transaction_payment_id FOREIGN KEY (payment_id) REFERENCES payment (id),
    CONSTRAINT payment_transaction_parent_id FOREIGN KEY (parent_id) REFERENCES payment_transaction (id),
    CONSTRAINT payment_transaction_attempt_id FOREIGN KEY (attempt_id) REFERENCES payment_attempt (id),
    CONSTRAINT payment_transaction_reference UNIQUE (reference),
    CONSTRAINT payment_transaction_kind CHECK (kind IN
        ('AUTHORIZE', 'AUTHORIZE_AND_CAPTURE', 'CAPTURE', 'REVERSE_AUTHORIZE', 'REFUND', 'DETACHED_CREDIT')),
    CONSTRAINT payment_transaction_status CHECK (status IN ('SENT', 'PENDING', 'UNKNOWN', 'SUCCEEDED', 'FAILED')),
    CONSTRAINT payment_transaction_management_state CHECK (management_state IN
        ('REVERSAL_CANDIDATE', 'REQUIRES_REVERSAL', 'REVERSAL_IN_PROGRESS', 'REVERSED', 'FAILED_REVERSAL',
         'REVERSAL_TRANSACTION', 'AUTOMATIC_REVERSAL_NOT_ALLOWED')),
    CONSTRAINT payment_transaction_amount CHECK (amount_minor > 0),
    CONSTRAINT payment_transaction_parent_by_kind CHECK
        ((kind IN ('CAPTURE', 'REVERSE_AUTHORIZE', 'REFUND')) = (parent_id IS NOT NULL)),
    CONSTRAINT payment_transaction_settled_at CHECK
        ((status IN ('SUCCEEDED', 'FAILED')) = (settled_at IS NOT NULL)),
    CONSTRAINT payment_transaction_decline CHECK (decline IN ('SOFT', 'HARD'))
) {strict}";

/// Rule T6: an attempt's money is taken in once, however many copies of the news arrive.
const ONE_MOVE_PER_ATTEMPT: &str = "
CREATE UNIQUE INDEX payment_transaction_attempt ON payment_transaction (attempt_id)
    WHERE attempt_id IS NOT NULL";

const TRANSACTION_UNANSWERED: &str = "
CREATE INDEX payment_transaction_unanswered ON payment_transaction (next_check_at)
    WHERE status IN ('SENT', 'PENDING', 'UNKNOWN')";

/// A row per payment that was ever locked; it stays when the lock goes, because its fencing number must only grow (rule K5).
const PAYMENT_LOCK: &str = "
CREATE TABLE payment_lock (
    payment_id      {uuid}  NOT NULL CONSTRAINT payment_lock_pkey PRIMARY KEY,
    token_hash      {bytes},
    fencing_number  bigint  NOT NULL,
    purpose         text,
    acquired_at     {instant},
    expires_at      {instant},
    CONSTRAINT payment_lock_payment FOREIGN KEY (payment_id) REFERENCES payment (id),
    CONSTRAINT payment_lock_fencing_number CHECK (fencing_number >= 1),
    CONSTRAINT payment_lock_held CHECK ((token_hash IS NULL) = (expires_at IS NULL))
) {strict}";
