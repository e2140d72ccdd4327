//! A statement in the making, in words of our own: for what a query builder has none for.

use std::fmt::Write;

use sea_orm::{
    ActiveModelTrait, ActiveValue, DbBackend, EntityName, EntityTrait, IdenStatic, Iterable, Statement, Value,
};

/// Text, and the values that it names by their places. A place may be named more than once.
#[derive(Default)]
pub struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Takes a value in: what stands for it in the text.
    pub fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        let mut place = String::new();
        let _infallible = write!(place, "${}", self.values.len());
        place
    }

    /// Inserts this row as often as `from` has one: once, or not at all.
    pub fn insert<A: ActiveModelTrait>(&mut self, row: A, from: &str) {
        let (mut columns, mut values) = (vec![], vec![]);
        for column in <A::Entity as EntityTrait>::Column::iter() {
            if let ActiveValue::Set(value) | ActiveValue::Unchanged(value) = row.get(column) {
                columns.push(column.as_str());
                values.push(self.bind(value));
            }
        }
        let (table, columns, values) =
            (A::Entity::default().table_name().to_owned(), columns.join(", "), values.join(", "));
        self.push(&format!("INSERT INTO {table} ({columns}) SELECT {values} FROM {from}"));
    }

    pub fn statement(self, backend: DbBackend) -> Statement {
        Statement::from_sql_and_values(backend, self.text, self.values)
    }
}
