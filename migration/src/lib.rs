//! The database's schema, step by step, forward only.
//!
//! One set of steps for SQLite and PostgreSQL. The rules of the domain hold here too, as named constraints: what the
//! program must not do, the database refuses.

mod dialect;
mod m20261121_000001_orders;
mod m20261121_000002_payments;
mod m20261121_000003_work;
mod m20261121_000004_locks;
mod m20261122_000005_checks;
mod m20261122_000006_tokens;
mod m20261122_000007_audit;
mod m20261122_000008_news;

pub use sea_orm_migration::{MigratorTrait, seaql_migrations};

/// All steps, in order.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn sea_orm_migration::MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_orders::Migration),
            Box::new(m20261121_000002_payments::Migration),
            Box::new(m20261121_000003_work::Migration),
            Box::new(m20261121_000004_locks::Migration),
            Box::new(m20261122_000005_checks::Migration),
            Box::new(m20261122_000006_tokens::Migration),
            Box::new(m20261122_000007_audit::Migration),
            Box::new(m20261122_000008_news::Migration),
        ]
    }
}
