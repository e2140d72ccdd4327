//! Ids are a prefix and a UUIDv7, and each kind is a type of its own.
//!
//! An id of one kind is never taken for another: neither by the compiler, nor when a client sends one.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, DeriveValueType, TryFromU64};
use uuid::{Builder, NoContext, Timestamp, Uuid};

/// Why a text is not the id that was asked for. Its words are meant for the caller who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdError {
    /// The prefix says that this is the id of something else.
    WrongKind { expected: &'static str, found: &'static str },
    /// Not an id of ours at all.
    Malformed { expected: &'static str },
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongKind { expected, found } => {
                write!(f, "is the id of {}, not of {}", article(found), article(expected))
            }
            Self::Malformed { expected } => {
                write!(f, "is not the id of {}: it would be {}… and a UUID", article(expected), prefix_of(expected))
            }
        }
    }
}

impl std::error::Error for IdError {}

/// Every kind of id: its prefix and its name for people.
const KINDS: [(&str, &str); 5] = [
    ("ord_", "order"),
    ("pay_", "payment"),
    ("att_", "payment attempt"),
    ("txn_", "payment transaction"),
    ("rec_", "reconciliation case"),
];

fn prefix_of(kind: &str) -> &'static str {
    KINDS.iter().find(|(_, name)| *name == kind).map_or("", |(prefix, _)| prefix)
}

fn article(kind: &str) -> String {
    let an = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if an { "an" } else { "a" })
}

fn parse(text: &str, expected: &'static str) -> Result<Uuid, IdError> {
    let malformed = IdError::Malformed { expected };
    let Some((prefix, kind)) = KINDS.iter().find(|(prefix, _)| text.starts_with(prefix)) else {
        return Err(malformed);
    };
    if *kind != expected {
        return Err(IdError::WrongKind { expected, found: kind });
    }
    let uuid = &text[prefix.len()..];
    // One spelling an id: the hyphenated lower-case one, so that equal ids are equal texts.
    match Uuid::try_parse(uuid) {
        Ok(parsed) if parsed.hyphenated().to_string() == uuid => Ok(parsed),
        _ => Err(malformed),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id of something that came to be at this instant: ids sort by it.
            #[expect(clippy::disallowed_methods, reason = "this is the constructor that everybody else is sent to")]
            pub fn new(at: DateTime<Utc>) -> Self {
                let seconds = u64::try_from(at.timestamp()).unwrap_or_default();
                let timestamp = Timestamp::from_unix(NoContext, seconds, at.timestamp_subsec_nanos());
                Self(Uuid::new_v7(timestamp))
            }

            /// The id of something that came to be at this instant, with these random bytes in it: the same again for the same. Whoever makes it sees
            /// to it that they are not drawn twice.
            pub fn drawn(at: DateTime<Utc>, random: [u8; 10]) -> Self {
                let millis = u64::try_from(at.timestamp_millis()).unwrap_or_default();
                Self(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }

            /// The sixteen bytes behind the prefix.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The bare UUID, as it stands in the database.
            pub fn uuid(&self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl TryFromU64 for $name {
            // SeaORM asks this of every primary key; ours are never counted up by a database.
            fn try_from_u64(_: u64) -> Result<Self, DbErr> {
                Err(DbErr::ConvertFromU64(stringify!($name)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", prefix_of($kind), self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text, $kind).map(Self)
            }
        }
    };
}

id!(
    /// The id of an order: `ord_` and a UUIDv7.
    OrderId,
    "order"
);
id!(
    /// The id of a payment: `pay_` and a UUIDv7.
    PaymentId,
    "payment"
);
id!(
    /// The id of a payment attempt: `att_` and a UUIDv7.
    AttemptId,
    "payment attempt"
);
id!(
    /// The id of a payment transaction: `txn_` and a UUIDv7.
    TransactionId,
    "payment transaction"
);
id!(
    /// The id of a reconciliation case: `rec_` and a UUIDv7.
    CaseId,
    "reconciliation case"
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_reads_back_as_itself() {
        let id = OrderId::new(DateTime::UNIX_EPOCH);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn an_id_of_the_wrong_kind_is_refused_by_name() {
        let payment = PaymentId::new(DateTime::UNIX_EPOCH).to_string();
        let refused = payment.parse::<OrderId>().map_err(|error| error.to_string());
        assert_eq!(refused, Err("is the id of a payment, not of an order".into()));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let upper = OrderId::new(DateTime::UNIX_EPOCH).to_string().to_uppercase();
        for text in ["", "ord_", "ord_1", "0190", "ord_zzzzzzzz-0000-7000-8000-000000000000", &upper] {
            let refused = text.parse::<OrderId>();
            assert_eq!(refused, Err(IdError::Malformed { expected: "order" }), "{text}");
        }
    }

    #[test]
    fn ids_sort_by_the_instant_they_were_made_at() {
        let later = DateTime::UNIX_EPOCH + chrono::Duration::milliseconds(1);
        assert!(OrderId::new(DateTime::UNIX_EPOCH) < OrderId::new(later));
    }

    #[test]
    fn an_id_with_drawn_bytes_is_as_any_other() {
        let at = DateTime::UNIX_EPOCH + chrono::Duration::days(20_000);
        let drawn = |random: u8| OrderId::drawn(at, [random; 10]);
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        assert_eq!(drawn(0xff).uuid().get_version_num(), 7);
        assert_eq!(drawn(7).as_bytes()[..6], OrderId::new(at).as_bytes()[..6], "both begin with the instant");
    }

    proptest! {
        #[test]
        fn any_text_that_is_read_as_an_id_is_written_the_same(text in "(ord_|pay_|att_|rec_)?[0-9a-fA-F-]{0,40}|\\PC{0,60}") {
            if let Ok(id) = text.parse::<OrderId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn any_id_reads_back_as_itself(bytes: [u8; 16]) {
            let id = OrderId::from(Uuid::from_bytes(bytes));
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }
    }
}
