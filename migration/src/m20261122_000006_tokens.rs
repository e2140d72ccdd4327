//! Which of the tokens that an anonymous user was given are good.

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, &[ANONYMOUS_TOKEN]).await
    }
}

/// A row for whose tokens were revoked, and no other: most guests never need one. There is no reference to an owner of orders, because a guest may have
/// a token before the first order.
const ANONYMOUS_TOKEN: &str = "
CREATE TABLE anonymous_token (
    anonymous_user_id text      NOT NULL CONSTRAINT anonymous_token_pkey PRIMARY KEY,
    generation        bigint    NOT NULL,
    revoked_at        {instant} NOT NULL,
    CONSTRAINT anonymous_token_anonymous_user_id CHECK (length(anonymous_user_id) BETWEEN 1 AND 255),
    CONSTRAINT anonymous_token_generation CHECK (generation >= 1)
) {strict}";
