//! Rows that are written together: the models as they are read, turned into the values of columns.

use entity::{attempt, audit, lock, method, order, payment, snapshot, transaction};
use sea_orm::{EntityName, EntityTrait, Iden, Iterable, ModelTrait, Value};

/// Orders with all that hangs on them.
#[derive(Default)]
pub struct Batch {
    pub orders: Vec<order::Model>,
    pub payments: Vec<payment::Model>,
    /// The one column of the payments that their model does not hold, in the order of the payments.
    pub methods: Vec<method::Model>,
    pub locks: Vec<lock::Model>,
    pub attempts: Vec<attempt::Model>,
    pub transactions: Vec<transaction::Model>,
    pub audit: Vec<audit::Model>,
    pub snapshots: Vec<snapshot::Model>,
}

impl Batch {
    /// The rows of each table; none points to one that comes later.
    pub fn rows(&self) -> [Rows; 7] {
        [
            Rows::of(&self.orders),
            Rows::of(&self.payments).beside(Rows::of(&self.methods)),
            Rows::of(&self.locks),
            Rows::of(&self.attempts),
            Rows::of(&self.transactions),
            Rows::of(&self.audit),
            Rows::of(&self.snapshots),
        ]
    }
}

/// Rows of one table.
pub struct Rows {
    pub table: String,
    pub columns: Vec<String>,
    pub values: Vec<Vec<Value>>,
}

impl Rows {
    /// All that these models hold, whatever columns they have.
    pub fn of<M: ModelTrait>(models: &[M]) -> Self {
        let columns: Vec<_> = <M::Entity as EntityTrait>::Column::iter().collect();
        Self {
            table: M::Entity::default().table_name().to_owned(),
            columns: columns.iter().map(|column| column.unquoted().to_owned()).collect(),
            values: models.iter().map(|model| columns.iter().map(|column| model.get(*column)).collect()).collect(),
        }
    }

    /// The columns of another view of the same rows, those that are not here yet, beside these.
    fn beside(mut self, other: Self) -> Self {
        let is_new: Vec<bool> = other.columns.iter().map(|column| !self.columns.contains(column)).collect();
        let new = |is_new: &bool| *is_new;
        for (ours, theirs) in self.values.iter_mut().zip(other.values) {
            ours.extend(theirs.into_iter().zip(&is_new).filter(|(_, is_new)| new(is_new)).map(|(value, _)| value));
        }
        self.columns
            .extend(other.columns.into_iter().zip(&is_new).filter(|(_, is_new)| new(is_new)).map(|(name, _)| name));
        self
    }
}
