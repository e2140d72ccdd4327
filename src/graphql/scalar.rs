//! The API's own scalars: how they look on the wire.
//!
//! What comes in is kept as text and made into a noun further on, where a mistake can be told with the field's path.

use std::collections::BTreeMap;

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{DateTime, SecondsFormat, Utc};
use entity::{
    fault::{Fault, Faults},
    metadata,
    money::{Currency, Money},
};

use super::walk::{leaf, text};

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

/// An instant as it is sent or shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instant {
    At(DateTime<Utc>),
    /// Sent as something else.
    Unreadable,
}

impl Instant {
    /// The instant, or a fault at this path.
    pub fn read(self, faults: &mut Faults, path: &str) -> Option<DateTime<Utc>> {
        match self {
            Self::At(instant) => Some(instant),
            Self::Unreadable => {
                faults.add(path, "is not an RFC 3339 instant such as \"2026-11-21T09:30:00.000Z\"");
                None
            }
        }
    }
}

/// An instant, RFC 3339 in UTC with millisecond precision: "2026-11-21T09:30:00.000Z".
#[Scalar(name = "DateTime")]
impl ScalarType for Instant {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        let instant = DateTime::parse_from_rfc3339(text);
        // Taken in, so that it can be refused with the field's path.
        Ok(instant.map_or(Self::Unreadable, |instant| Self::At(instant.to_utc())))
    }

    fn to_value(&self) -> Value {
        match self {
            Self::At(instant) => Value::String(instant.to_rfc3339_opts(SecondsFormat::Millis, true)),
            Self::Unreadable => Value::Null,
        }
    }
}

/// Pairs as they are sent or shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    pairs: BTreeMap<String, String>,
    /// The keys of values that were sent as something else than strings.
    unreadable: Vec<String>,
}

impl Metadata {
    /// Pairs that hold to their bounds, or faults under this path.
    pub fn read(self, faults: &mut Faults, path: &str) -> Option<metadata::Metadata> {
        for key in &self.unreadable {
            let mut of_key = Faults::default();
            of_key.nest_key(key, vec![Fault { path: vec![], message: "is not a string".into() }]);
            faults.nest(path, of_key.or::<()>(None).err().unwrap_or_default());
        }
        let pairs = metadata::Metadata::new(self.pairs).map_err(|found| faults.nest(path, found)).ok();
        pairs.filter(|_| self.unreadable.is_empty())
    }
}

impl From<&metadata::Metadata> for Metadata {
    fn from(metadata: &metadata::Metadata) -> Self {
        Self { pairs: metadata.pairs().clone(), unreadable: vec![] }
    }
}

/// Free-form string keys and values kept for the caller, at most 50 pairs.
#[Scalar(name = "Metadata")]
impl ScalarType for Metadata {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::Object(object) = value else { return Err(InputValueError::expected_type(value)) };
        let mut metadata = Self::default();
        for (key, value) in object {
            match value {
                Value::String(value) => drop(metadata.pairs.insert(key.to_string(), value)),
                // Taken in, so that it can be refused with its key.
                _ => metadata.unreadable.push(key.to_string()),
            }
        }
        Ok(metadata)
    }

    fn to_value(&self) -> Value {
        let pairs = self.pairs.iter();
        Value::Object(pairs.map(|(key, value)| (async_graphql::Name::new(key), Value::String(value.clone()))).collect())
    }
}

leaf!(Decimal, |it| it.to_value());
text!(CurrencyCode, |it| it.0.as_str());
leaf!(Instant, |it| it.to_value());
leaf!(Metadata, |it| it.to_value());
