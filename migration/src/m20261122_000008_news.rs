//! News that was given up is not looked through again and again.

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
                "DROP INDEX provider_event_to_try",
                "CREATE INDEX provider_event_to_try ON provider_event (next_try_at) WHERE state = 'PARKED' AND tries < 5",
            ],
        )
        .await
    }
}
