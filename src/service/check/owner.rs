//! The orders of each owner are as many as are counted, and numbered from one without a gap (rule L2).

use entity::owner::{Model, OwnerKind};
use sea_orm::{ActiveEnum, ConnectionTrait, DbErr, FromQueryResult, QueryResult, Statement};

use super::{Check, Finding, row::Rows};

/// So many owners at a time: of each only a line is read.
const OWNERS: i64 = 1000;

const SQL: &str = "
SELECT w.kind, w.id, w.order_count, count(o.id) AS orders, min(o.owner_sequence) AS first, max(o.owner_sequence) AS last
FROM (SELECT kind, id, order_count FROM order_owner WHERE (kind, id) > ($1, $2) ORDER BY kind, id LIMIT $3) w
LEFT JOIN orders o ON o.owner_kind = w.kind AND o.owner_id = w.id
GROUP BY w.kind, w.id, w.order_count
ORDER BY w.kind, w.id";

impl Check<'_> {
    pub(super) async fn owners(&mut self) -> Result<(), DbErr> {
        let mut after = (String::new(), String::new());
        loop {
            let values = [after.0.into(), after.1.into(), OWNERS.into()];
            let statement = Statement::from_sql_and_values(self.db.get_database_backend(), SQL, values);
            let rows = self.db.query_all_raw(statement).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.try_get("", "kind")?, last.try_get("", "id")?);
            self.counts(Rows::Owners, rows.len());
            for row in &rows {
                self.owner(row)?;
            }
        }
    }

    fn owner(&mut self, row: &QueryResult) -> Result<(), DbErr> {
        let owner = match Model::from_query_result(row, "") {
            Ok(owner) => owner,
            Err(error) => {
                self.finds(&Finding::new("a row of order_owner", format!("can't be read: {error}")));
                return Ok(());
            }
        };
        let orders: i64 = row.try_get("", "orders")?;
        let (first, last): (Option<i64>, Option<i64>) = (row.try_get("", "first")?, row.try_get("", "last")?);
        if owner.is_dense(orders, first, last) {
            return Ok(());
        }
        let numbers = match (first, last) {
            (Some(first), Some(last)) => format!("has {orders} orders, numbered {first} to {last}"),
            _ => "has no orders".to_owned(),
        };
        self.finds(&Finding::new(
            name(owner.kind, &owner.id),
            format!("{numbers}, and {} are counted", owner.order_count),
        ));
        Ok(())
    }
}

fn name(kind: OwnerKind, id: &str) -> String {
    format!("owner {} {id:?}", kind.to_value())
}
