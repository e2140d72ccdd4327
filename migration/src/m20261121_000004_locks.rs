//! A lock for each payment from the start, what a mutation became at the provider, and who set out to send it.

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
                LOCKS,
                "ALTER TABLE operation ADD COLUMN transactions {document}",
                "ALTER TABLE payment_transaction ADD COLUMN sends integer NOT NULL DEFAULT 1",
                "ALTER TABLE payment_transaction ADD COLUMN sent_at {instant}",
                "CREATE INDEX reconciliation_case_transaction_id ON reconciliation_case (transaction_id)
                    WHERE transaction_id IS NOT NULL",
                "CREATE INDEX operation_idempotency_key ON operation (caller_kind, caller_id, idempotency_key, started_at)",
            ],
        )
        .await
    }
}

/// Whoever locks a payment locks this row, so it has to be there before: two who both made it could not wait for each other.
const LOCKS: &str = "
INSERT INTO payment_lock (payment_id, fencing_number)
SELECT id, 1 FROM payment WHERE NOT EXISTS (SELECT 1 FROM payment_lock WHERE payment_lock.payment_id = payment.id)";
