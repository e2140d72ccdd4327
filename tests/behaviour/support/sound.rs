//! `orderpay check` on a shop's database, and what it takes to write into one what no server writes.

use chrono::{DateTime, Utc};
use orderpay::service::check::{Finding, Verdict, check};

use super::{database::Engine, shop::Shop};

impl Shop {
    /// What `orderpay check` finds wrong with the database at this time, line by line.
    pub async fn faults(&self) -> Vec<String> {
        self.verdict().await.0
    }

    /// The faults, and the line that sums up.
    pub async fn verdict(&self) -> (Vec<String>, Verdict) {
        self.verdict_at(self.now()).await
    }

    async fn verdict_at(&self, now: DateTime<Utc>) -> (Vec<String>, Verdict) {
        let db = orderpay::db::ReadOnlyDatabase::open(self.database_url()).await.expect("the database opens");
        let mut faults = vec![];
        let verdict = check(&db, now, &mut |finding: &Finding| faults.push(finding.to_string())).await;
        db.close().await.expect("it closes");
        (faults, verdict.expect("it can be looked at"))
    }

    /// Nothing is wrong with the database, whatever happened to the servers.
    pub async fn is_sound(&self) {
        let (faults, verdict) = self.verdict().await;
        assert_eq!(faults, Vec::<String>::new(), "{verdict}");
    }

    /// As [`Shop::is_sound`], however long something waits: as every test leaves its database, unless it was tampered with.
    pub async fn was_left_sound(&self) {
        if !self.was_tampered_with() {
            let (faults, verdict) = self.verdict_at(self.opened_at()).await;
            assert_eq!(faults, Vec::<String>::new(), "{verdict}");
        }
    }

    /// Runs a statement in which ids as the API shows them stand for themselves: `[pay_…]`.
    pub async fn plants(&self, sql: &str) {
        self.is_tampered_with();
        let mut parts = sql.split(['[', ']']);
        let mut spelled = parts.next().unwrap_or_default().to_owned();
        while let (Some(id), Some(rest)) = (parts.next(), parts.next()) {
            spelled += &self.spells(id);
            spelled += rest;
        }
        self.database().await.run(&spelled).await;
    }

    /// An id as the database writes it.
    pub fn spells(&self, id: &str) -> String {
        let (_, uuid) = id.split_once('_').expect("an id");
        match self.engine() {
            Engine::Sqlite => format!("x'{}'", uuid.replace('-', "")),
            Engine::Postgres => format!("'{uuid}'"),
        }
    }

    /// As an insider would begin: the audit trail is not only added to any more.
    pub async fn audit_trail_can_be_changed(&self) {
        self.is_tampered_with();
        let sql = match self.engine() {
            Engine::Sqlite => {
                "DROP TRIGGER IF EXISTS payment_audit_no_update; DROP TRIGGER IF EXISTS payment_audit_no_delete;
                DROP TRIGGER IF EXISTS payment_audit_no_replace"
            }
            Engine::Postgres => "DROP TRIGGER IF EXISTS payment_audit_append_only ON payment_audit",
        };
        self.database().await.run(sql).await;
    }

    /// From now on the database takes what its constraints refuse.
    pub async fn lets_anything_be_written(&self) {
        let sql = match self.engine() {
            Engine::Sqlite => "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF",
            Engine::Postgres => {
                "SET session_replication_role = replica;
                DO $$ DECLARE it record; BEGIN
                    FOR it IN SELECT conrelid::regclass AS of, conname FROM pg_constraint
                        WHERE contype = 'c' AND connamespace = 'public'::regnamespace
                    LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', it.of, it.conname); END LOOP;
                END $$"
            }
        };
        self.database().await.run(sql).await;
    }
}
