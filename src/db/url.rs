//! Where a database is.

use std::{fmt, str::FromStr};

use sea_orm::sqlx::{postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

/// Where a database is: `sqlite://…` or `postgres://…`. There may be a password in it, so Debug shows no more than that.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_postgres(&self) -> bool {
        self.0.starts_with("postgres")
    }
}

impl FromStr for DatabaseUrl {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let is_meant = match url.split_once(':') {
            Some(("sqlite", _)) => SqliteConnectOptions::from_str(url).is_ok(),
            Some(("postgres" | "postgresql", _)) => PgConnectOptions::from_str(url).is_ok(),
            _ => false,
        };
        if is_meant {
            Ok(Self(url.to_owned()))
        } else {
            Err("must be sqlite://FILE?mode=rwc or postgres://USER@HOST/NAME")
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_postgres() { "postgres://…" } else { "sqlite://…" })
    }
}
