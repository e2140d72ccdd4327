//! An auditor whom the server knows nothing of: the database itself notes each transaction that is written, and each lock that is taken from
//! somebody who had not given it back.

use super::{database::Engine, shop::Shop};

const SQLITE: &str = "
CREATE TABLE audit (n INTEGER PRIMARY KEY, what TEXT NOT NULL, payment_id BLOB NOT NULL, number BIGINT NOT NULL, lock_number BIGINT NOT NULL);
CREATE TRIGGER audit_writes AFTER INSERT ON payment_transaction WHEN NEW.fencing_number IS NOT NULL BEGIN
    INSERT INTO audit (what, payment_id, number, lock_number)
    SELECT 'WRITE', NEW.payment_id, NEW.fencing_number, fencing_number FROM payment_lock WHERE payment_id = NEW.payment_id;
END;
CREATE TRIGGER audit_losses AFTER UPDATE ON payment_lock
WHEN NEW.fencing_number > OLD.fencing_number AND OLD.token_hash IS NOT NULL BEGIN
    INSERT INTO audit (what, payment_id, number, lock_number)
    VALUES ('LOSS', NEW.payment_id, OLD.fencing_number, NEW.fencing_number);
END";

const POSTGRES: &str = "
CREATE TABLE audit (n bigserial PRIMARY KEY, what text NOT NULL, payment_id uuid NOT NULL, number bigint NOT NULL, lock_number bigint NOT NULL);
CREATE FUNCTION audit_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit (what, payment_id, number, lock_number)
    SELECT 'WRITE', NEW.payment_id, NEW.fencing_number, fencing_number FROM payment_lock WHERE payment_id = NEW.payment_id;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_writes AFTER INSERT ON payment_transaction FOR EACH ROW WHEN (NEW.fencing_number IS NOT NULL)
    EXECUTE FUNCTION audit_write();
CREATE FUNCTION audit_loss() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit (what, payment_id, number, lock_number)
    VALUES ('LOSS', NEW.payment_id, OLD.fencing_number, NEW.fencing_number);
    RETURN NEW;
END $$;
CREATE TRIGGER audit_losses AFTER UPDATE ON payment_lock FOR EACH ROW
    WHEN (NEW.fencing_number > OLD.fencing_number AND OLD.token_hash IS NOT NULL) EXECUTE FUNCTION audit_loss()";

impl Shop {
    pub async fn hires_an_auditor(&self) {
        let sql = match self.engine() {
            Engine::Sqlite => SQLITE,
            Engine::Postgres => POSTGRES,
        };
        self.database().await.run(sql).await;
    }

    /// How many transactions were written.
    pub async fn writes(&self) -> i64 {
        self.count("audit WHERE what = 'WRITE'").await
    }

    /// How often somebody's lock had run out when another took it.
    pub async fn losses(&self) -> i64 {
        self.count("audit WHERE what = 'LOSS'").await
    }

    /// Every transaction was written under the number that its payment's lock had at that moment, and the numbers never go down (rule K5).
    pub async fn numbers_never_go_down(&self) {
        assert_eq!(self.count("audit WHERE what = 'WRITE' AND number <> lock_number").await, 0, "under an older lock");
        let falls = "audit a JOIN audit b ON b.payment_id = a.payment_id AND b.n > a.n AND b.number < a.number
            WHERE a.what = 'WRITE' AND b.what = 'WRITE'";
        assert_eq!(self.count(falls).await, 0, "an older number was written later");
    }
}
