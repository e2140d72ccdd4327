//! Orders: whose they are, what is in them, and the cart that was paid.

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, &[ORDER_OWNER, ORDERS, ORDER_SNAPSHOT]).await
    }
}

/// How many orders each owner has: the next order's sequence number comes from here, and a list's total count.
const ORDER_OWNER: &str = "
CREATE TABLE order_owner (
    kind         text   NOT NULL,
    id           text   NOT NULL,
    order_count  bigint NOT NULL,
    CONSTRAINT order_owner_pkey PRIMARY KEY (kind, id),
    CONSTRAINT order_owner_kind CHECK (kind IN ('USER', 'ANONYMOUS')),
    CONSTRAINT order_owner_id CHECK (length(id) BETWEEN 1 AND 255),
    CONSTRAINT order_owner_order_count CHECK (order_count >= 0)
) {strict}";

/// The owner comes first in the one index that lists need, so that an owner's orders lie together, on one machine or on many.
/// `owner_sequence` is dense from 1; it is negative only inside the transaction that renumbers an owner's orders, hence no CHECK on its
/// sign. `cart` keeps what can't be derived; `total_minor` is beside it because summaries need it without the cart.
const ORDERS: &str = "
CREATE TABLE orders (
    id              {uuid}     NOT NULL CONSTRAINT orders_pkey PRIMARY KEY,
    owner_kind      text       NOT NULL,
    owner_id        text       NOT NULL,
    owner_sequence  bigint     NOT NULL,
    number          text       NOT NULL,
    status          text       NOT NULL,
    cart            {document} NOT NULL,
    cart_digest     text       NOT NULL,
    currency        text       NOT NULL,
    total_minor     bigint     NOT NULL,
    metadata        {document} NOT NULL,
    version         integer    NOT NULL,
    created_at      {instant}  NOT NULL,
    updated_at      {instant}  NOT NULL,
    paid_at         {instant},
    cancelled_at    {instant},
    cancel_reason   text,
    CONSTRAINT orders_owner FOREIGN KEY (owner_kind, owner_id) REFERENCES order_owner (kind, id),
    CONSTRAINT orders_owner_sequence UNIQUE (owner_kind, owner_id, owner_sequence),
    CONSTRAINT orders_number UNIQUE (number),
    CONSTRAINT orders_status CHECK (status IN ('AWAITING_PAYMENT', 'PAID', 'CANCELLED')),
    CONSTRAINT orders_paid_at CHECK ((status = 'PAID') = (paid_at IS NOT NULL)),
    CONSTRAINT orders_cancelled_at CHECK ((status = 'CANCELLED') = (cancelled_at IS NOT NULL)),
    CONSTRAINT orders_total CHECK (total_minor >= 0),
    CONSTRAINT orders_currency CHECK (length(currency) = 3),
    CONSTRAINT orders_cart_digest CHECK (length(cart_digest) = 64),
    CONSTRAINT orders_version CHECK (version >= 1)
) {strict}";

/// One per paid order: the primary key sees to it that there is never a second one.
const ORDER_SNAPSHOT: &str = "
CREATE TABLE order_snapshot (
    order_id     {uuid}     NOT NULL CONSTRAINT order_snapshot_pkey PRIMARY KEY,
    cart         {document} NOT NULL,
    cart_digest  text       NOT NULL,
    attempt_id   {uuid},
    taken_at     {instant}  NOT NULL,
    CONSTRAINT order_snapshot_order FOREIGN KEY (order_id) REFERENCES orders (id)
) {strict}";
