//! The API's own scalars: how they look on the wire.
//!
//! What comes in is kept as text and made into a noun further on, where a mistake can be told with the field's path.

use std::collections::BTreeMap;

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{DateTime, SecondsFormat, Utc};
use entity::money::{Currency, Money};

use super::walk::leaf;

/// A decimal number as it is sent or shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decimal {
    Text(String),
    /// Sent as a JSON number: it may have lost digits on its way, so it is not read.
    Number,
}

impl Decimal {
    /// The text, if it was sent as one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number => None,
        }
    }
}

impl From<Money> for Decimal {
    fn from(money: Money) -> Self {
        Self::Text(money.to_decimal().to_string())
    }
}

/// An exact decimal number, always a JSON string, in and out, with the currency's own number of places on the way out: "12.50",
/// "1250", "1.000".
#[Scalar(name = "Decimal")]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self::Text(text)),
            // Taken in, so that it can be refused with the field's path.
            Value::Number(_) => Ok(Self::Number),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        self.text().map_or(Value::Null, Value::from)
    }
}

/// An ISO 4217 alphabetic code: "EUR", "JPY", "KWD".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrencyCode(pub String);

impl From<Currency> for CurrencyCode {
    fn from(currency: Currency) -> Self {
        Self(currency.to_string())
    }
}

/// An ISO 4217 alphabetic code: "EUR", "JPY", "KWD".
#[Scalar(name = "CurrencyCode")]
impl ScalarType for CurrencyCode {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// An instant, RFC 3339 in UTC with millisecond precision: "2026-11-21T09:30:00.000Z".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant(pub DateTime<Utc>);

/// An instant, RFC 3339 in UTC with millisecond precision: "2026-11-21T09:30:00.000Z".
#[Scalar(name = "DateTime")]
impl ScalarType for Instant {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        DateTime::parse_from_rfc3339(text)
            .map(|instant| Self(instant.to_utc()))
            .map_err(|_| InputValueError::custom("must be RFC 3339, such as \"2026-11-21T09:30:00.000Z\""))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

/// Free-form string keys and values kept for the caller, at most 50 pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(pub BTreeMap<String, String>);

impl From<&entity::metadata::Metadata> for Metadata {
    fn from(metadata: &entity::metadata::Metadata) -> Self {
        Self(metadata.pairs().clone())
    }
}

/// Free-form string keys and values kept for the caller, at most 50 pairs.
#[Scalar(name = "Metadata")]
impl ScalarType for Metadata {
    fn parse(value: Value) -> InputValueResult<Self> {
        let not_pairs = || InputValueError::custom("must be an object whose values are strings");
        let Value::Object(object) = value else { return Err(not_pairs()) };
        let pairs = object.into_iter().map(|(key, value)| match value {
            Value::String(value) => Ok((key.to_string(), value)),
            _ => Err(not_pairs()),
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    fn to_value(&self) -> Value {
        let pairs = self.0.iter();
        Value::Object(pairs.map(|(key, value)| (async_graphql::Name::new(key), Value::String(value.clone()))).collect())
    }
}

leaf!(Decimal, |it| it.to_value());
leaf!(CurrencyCode, |it| it.to_value());
leaf!(Instant, |it| it.to_value());
leaf!(Metadata, |it| it.to_value());
