//! What the reconciler looks for, found without a search; and what a case needs to be decided.

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
                "DROP INDEX payment_attempt_unanswered",
                "CREATE INDEX payment_attempt_to_check ON payment_attempt (next_check_at)
                    WHERE status IN ('CREATED', 'PENDING', 'PROCESSING')",
                "DROP INDEX payment_transaction_unanswered",
                TRANSACTION_TO_CHECK,
                "CREATE INDEX operation_in_progress ON operation (lease_expires_at) WHERE state = 'IN_PROGRESS'",
                "ALTER TABLE provider_event ADD COLUMN next_try_at {instant}",
                "CREATE INDEX provider_event_to_try ON provider_event (next_try_at) WHERE state = 'PARKED'",
                REPORTED_STATUS,
                "CREATE UNIQUE INDEX reconciliation_case_unknown_transaction ON reconciliation_case (transaction_id)
                    WHERE state = 'OPEN' AND reason = 'OUTCOME_UNKNOWN' AND transaction_id IS NOT NULL",
                "CREATE UNIQUE INDEX reconciliation_case_unknown_attempt ON reconciliation_case (attempt_id)
                    WHERE state = 'OPEN' AND reason = 'OUTCOME_UNKNOWN' AND attempt_id IS NOT NULL",
            ],
        )
        .await
    }
}

/// What is to be asked after, and what is to be given back (rule R1).
const TRANSACTION_TO_CHECK: &str = "
CREATE INDEX payment_transaction_to_check ON payment_transaction (next_check_at)
    WHERE status IN ('SENT', 'PENDING', 'UNKNOWN') OR management_state = 'REQUIRES_REVERSAL'";

/// What a provider said of a transaction, where that is the opposite of what was its last word.
const REPORTED_STATUS: &str = "
ALTER TABLE reconciliation_case ADD COLUMN reported_status text
    CONSTRAINT reconciliation_case_reported_status CHECK (reported_status IN ('SUCCEEDED', 'FAILED'))";
