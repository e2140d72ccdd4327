//! A provider's news, kept word for word under the session that it is about and the provider's own id of it.
//!
//! One row an event: the same event again finds it and changes nothing (rule T3). News of a session that is not known yet is
//! parked, not dropped (rule W2).

use std::fmt;

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Its session is not known yet.
    Parked,
    /// What it says has been taken in.
    Applied,
}

/// What the provider sent, as it was sent. Sensitive: its Debug shows nothing (rule P11).
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct Report(pub String);

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Report")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "provider_event")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_id: String,
    /// The provider's id of the session that the news is about. Part of the key: a caller may use one event id for two sessions.
    #[sea_orm(primary_key, auto_increment = false)]
    pub external_id: String,
    pub state: State,
    pub report: Report,
    /// How often it was tried to take it in, since it was parked.
    pub tries: i32,
    /// When that is tried next; null: a while after it was received.
    pub next_try_at: Option<DateTime<Utc>>,
    pub received_at: DateTime<Utc>,
    pub applied_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
