//! The schema's steps, and what the database knows of itself.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, EntityTrait, Statement};

use migration::{Migrator, MigratorTrait, seaql_migrations};

use super::{Check, Finding};

impl Check<'_> {
    /// Whether every step of the schema that this program knows was applied: without one of them nothing else can be looked at. Fails where there are
    /// steps that it does not know, because it would take what they brought for faults.
    pub(super) async fn schema_is_whole(&mut self) -> Result<bool, DbErr> {
        let applied = seaql_migrations::Entity::find().all(self.db).await?;
        let known = Migrator::migrations();
        let newer = applied.iter().find(|applied| known.iter().all(|step| step.name() != applied.version));
        if let Some(newer) = newer {
            let what =
                format!("the schema has the step {}, which this program does not know: use a newer one", newer.version);
            return Err(DbErr::Custom(what));
        }
        let missing = known.iter().filter(|step| applied.iter().all(|applied| applied.version != step.name()));
        let missing: Vec<&str> = missing.map(|step| step.name()).collect();
        for step in &missing {
            self.finds(&Finding::new("the schema", format!("lacks the step {step}: `orderpay migrate` applies it")));
        }
        Ok(missing.is_empty())
    }

    /// What SQLite finds wrong with its own file. PostgreSQL looks after itself.
    pub(super) async fn own_books(&mut self) -> Result<(), DbErr> {
        if self.db.get_database_backend() != DbBackend::Sqlite {
            return Ok(());
        }
        let rows = self.sqlite("PRAGMA integrity_check(100)").await?;
        for row in rows {
            let told: String = row.try_get("", "integrity_check")?;
            if told != "ok" {
                self.finds(&Finding::new("the database", told));
            }
        }
        let sql = "SELECT \"table\" AS of, parent, count(*) AS n FROM pragma_foreign_key_check GROUP BY 1, 2";
        for row in self.sqlite(sql).await? {
            let (of, parent): (String, String) = (row.try_get("", "of")?, row.try_get("", "parent")?);
            let count: i64 = row.try_get("", "n")?;
            self.finds(&Finding::new(of, format!("{count} of its rows point to a row of {parent} that is not there")));
        }
        Ok(())
    }

    async fn sqlite(&self, sql: &str) -> Result<Vec<sea_orm::QueryResult>, DbErr> {
        self.db.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await
    }
}
