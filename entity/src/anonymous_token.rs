//! What is known of an anonymous user's tokens: which generation of them is good. No token is kept, and whose were never revoked have no row.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

/// The generation of tokens that are made before any was revoked.
pub const FIRST_GENERATION: i64 = 0;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "anonymous_token")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub anonymous_user_id: String,
    /// Grows with every revocation: tokens of an earlier one are good for nothing.
    pub generation: i64,
    /// When they were revoked last.
    pub revoked_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
