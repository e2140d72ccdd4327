//! Tokens as they are sent: strings to whoever sends them, and nothing that could be shown here.

use std::{borrow::Cow, fmt};

use async_graphql::{InputType, InputValueError, InputValueResult, Value, registry::Registry};
use entity::fault::Faults;

use crate::service::lock::Token;

/// Whoever knows it may do something with it. Its Debug shows nothing, and no error repeats it.
#[derive(Clone)]
pub struct TokenText(String);

impl TokenText {
    /// The text; what is wrong with it is noted at this path.
    pub fn read(self, faults: &mut Faults, path: &str) -> String {
        faults.text(path, &self.0, 1..=255);
        self.0
    }
}

/// The lock that a mutation is to run under, where it names one.
pub fn lock_token(faults: &mut Faults, token: Option<TokenText>) -> Option<Token> {
    token.map(|token| Token::new(token.read(faults, "lockToken")))
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText")
    }
}

impl InputType for TokenText {
    type RawValueType = Self;

    fn type_name() -> Cow<'static, str> {
        <String as InputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <String as InputType>::create_type_info(registry)
    }

    fn parse(value: Option<Value>) -> InputValueResult<Self> {
        match value {
            Some(Value::String(text)) => Ok(Self(text)),
            // The usual words quote what was sent instead.
            _ => Err(InputValueError::custom("it is not a string")),
        }
    }

    // Asked of defaults only, and a token has none.
    fn to_value(&self) -> Value {
        Value::Null
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }
}
