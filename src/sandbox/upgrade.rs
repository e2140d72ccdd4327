//! The tables of the store: made where they are missing, and rebuilt where an earlier version made them otherwise.
//!
//! Loses no row, and is all or nothing: it runs in one database transaction, however many processes open the file at once.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

use super::rows::sql;

/// Counts the shapes that the tables have had. The first one did not write down that it was one.
const VERSION: i64 = 1;

/// A table that had another shape in version 0. SQLite changes no constraint of a table in place.
struct Rebuilt {
    table: &'static str,
    aside: &'static str,
    back: &'static str,
}

const REBUILT: [Rebuilt; 2] = [
    Rebuilt {
        table: "sandbox_movement",
        aside: "ALTER TABLE sandbox_movement RENAME TO sandbox_movement_0;",
        back: "INSERT INTO sandbox_movement (id, session_id, kind, amount, currency, at)
                   SELECT id, session_id, kind, amount, currency, at FROM sandbox_movement_0 ORDER BY rowid;
               DROP TABLE sandbox_movement_0;",
    },
    Rebuilt {
        table: "sandbox_event",
        // The names of indexes stay with the table that is put aside.
        aside: "DROP INDEX IF EXISTS sandbox_event_by_due;
                DROP INDEX IF EXISTS sandbox_event_by_session;
                ALTER TABLE sandbox_event RENAME TO sandbox_event_0;",
        back: "INSERT INTO sandbox_event (position, subject, webhook_url, body, state, copies_left, attempts, due_at, created_at)
                   SELECT e.position, e.session_id, s.webhook_url, e.body, e.state, e.copies_left, e.attempts, e.due_at,
                          e.created_at
                   FROM sandbox_event_0 e JOIN sandbox_session s ON s.id = e.session_id ORDER BY e.position;
               DROP TABLE sandbox_event_0;",
    },
];

/// Brings the tables to the shape that this version works with. The caller's transaction must have taken its turn to write.
pub async fn upgrade(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    if number(tx, "SELECT user_version AS number FROM pragma_user_version").await? >= VERSION {
        return Ok(());
    }
    let mut earlier = Vec::new();
    for rebuilt in REBUILT {
        let there =
            format!("SELECT count(*) AS number FROM sqlite_master WHERE type = 'table' AND name = '{}'", rebuilt.table);
        if number(tx, &there).await? == 1 {
            tx.execute_unprepared(rebuilt.aside).await?;
            earlier.push(rebuilt);
        }
    }
    tx.execute_unprepared(include_str!("schema.sql")).await?;
    for rebuilt in earlier {
        tx.execute_unprepared(rebuilt.back).await?;
    }
    tx.execute_unprepared(&format!("PRAGMA user_version = {VERSION}")).await?;
    Ok(())
}

async fn number(tx: &DatabaseTransaction, text: &str) -> Result<i64, DbErr> {
    let row = tx.query_one_raw(sql(text, [])).await?;
    row.map_or(Ok(0), |row| row.try_get("", "number"))
}
