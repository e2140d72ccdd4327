//! Rows go into PostgreSQL by COPY, as text.

use chrono::SecondsFormat;
use sea_orm::{
    Value,
    sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, postgres::PgConnectOptions},
};

use super::{SeedError, batch::Rows};
use crate::secret::hex;

/// A connection beside the pool: what is written here takes longer than any request may.
pub struct Copying(PgConnection);

impl Copying {
    /// Begins the one transaction in which all is written. Nobody else writes orders meanwhile.
    pub async fn begin(options: &PgConnectOptions) -> Result<Self, SeedError> {
        let mut copying = Self(PgConnection::connect_with(options).await?);
        copying.run("SET statement_timeout = 0").await?;
        copying.run("SET idle_in_transaction_session_timeout = 0").await?;
        copying.run("BEGIN").await?;
        copying.run("LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE").await?;
        Ok(copying)
    }

    async fn run(&mut self, sql: &str) -> Result<(), SeedError> {
        self.0.execute(AssertSqlSafe(sql.to_owned())).await?;
        Ok(())
    }

    pub async fn finds(&mut self, sql: &'static str) -> Result<bool, SeedError> {
        Ok(self.0.fetch_optional(sql).await?.is_some())
    }

    pub async fn write(&mut self, rows: &Rows) -> Result<(), SeedError> {
        let statement = format!("COPY {} ({}) FROM STDIN", rows.table, rows.columns.join(", "));
        let text = text(rows)?;
        let mut copy = self.0.copy_in_raw(&statement).await?;
        copy.send(text.as_bytes()).await?;
        copy.finish().await?;
        Ok(())
    }

    /// Commits, and tells the planner what is there; index-only scans need to know that all of it is seen by everybody.
    pub async fn commit(mut self, tables: &[String]) -> Result<(), SeedError> {
        self.run("COMMIT").await?;
        self.run(&format!("VACUUM (ANALYZE) {}", tables.join(", "))).await?;
        Ok(self.0.close().await?)
    }
}

/// A line a row, a tab between values.
fn text(rows: &Rows) -> Result<String, SeedError> {
    let mut text = String::new();
    for row in &rows.values {
        for (at, value) in row.iter().enumerate() {
            if at > 0 {
                text.push('\t');
            }
            match spelled(value)? {
                None => text.push_str("\\N"),
                Some(spelled) => escape(&mut text, &spelled),
            }
        }
        text.push('\n');
    }
    Ok(text)
}

/// A value in PostgreSQL's own words; `None` for null.
fn spelled(value: &Value) -> Result<Option<String>, SeedError> {
    Ok(match value {
        Value::Int(number) => number.map(|number| number.to_string()),
        Value::BigInt(number) => number.map(|number| number.to_string()),
        Value::String(text) => text.clone(),
        Value::Uuid(uuid) => uuid.map(|uuid| uuid.hyphenated().to_string()),
        Value::ChronoDateTimeUtc(at) => at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        Value::Json(json) => json.as_ref().map(|json| json.to_string()),
        Value::Bytes(bytes) => bytes.as_ref().map(|bytes| format!("\\x{}", hex(bytes))),
        other => return Err(SeedError(format!("nobody knows yet how to copy {other:?}"))),
    })
}

fn escape(text: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            letter => text.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_to_copy_is_escaped() {
        let values = vec![
            Value::String(Some("a\tb\\N\nc\r".into())),
            Value::String(None),
            Value::Bytes(Some(vec![0, 255])),
            Value::Int(Some(-1)),
        ];
        let rows = Rows { table: "t".into(), columns: vec![], values: vec![values, vec![Value::BigInt(None)]] };
        assert_eq!(text(&rows).unwrap(), "a\\tb\\\\N\\nc\\r\t\\N\t\\\\x00ff\t-1\n\\N\n");
    }

    #[test]
    fn a_value_that_nobody_has_thought_of_is_no_guess() {
        let rows = Rows { table: "t".into(), columns: vec![], values: vec![vec![Value::Double(Some(0.5))]] };
        assert!(text(&rows).is_err());
    }
}
