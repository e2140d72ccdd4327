//! The trail that money leaves: an entry for each change of a transaction, chained by digests, so that none can be changed or taken out unseen (test
//! G23).
//!
//! Each payment has a chain of its own: whoever changes one of its transactions holds the payment's lock row, so that entries are numbered without a
//! race, and no write waits for another payment's. An entry says how the transaction stands after the change, and by whom. It is written once; the
//! database refuses to change or delete it.
//!
//! Not kept here: what was asked for in whose words, and what the provider answered. The ledger and the cases have that.

use std::fmt;

use chrono::{DateTime, Utc};
use sea_orm::{FromQueryResult, entity::prelude::*};

use crate::{
    canonical::Canonical,
    id::{PaymentId, TransactionId},
    money::{Currency, Money},
    transaction::{self, Kind, ManagementState, Status},
};

/// What kind of somebody changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ActorKind {
    User,
    Anonymous,
    Service,
    /// The payment's provider, by an answer or by news.
    Provider,
    /// The server of itself: it undoes what is not wanted, withdraws what was not sent, notes that nothing was heard.
    Server,
    /// The step of the schema that began the trail: what was changed before it, nobody noted.
    Migration,
}

/// Who changed it. Callers have an id, the `sub` of their token; the others are known without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub kind: ActorKind,
    pub id: Option<String>,
}

impl Actor {
    pub const PROVIDER: Self = Self { kind: ActorKind::Provider, id: None };
    pub const SERVER: Self = Self { kind: ActorKind::Server, id: None };
    pub const MIGRATION: Self = Self { kind: ActorKind::Migration, id: None };
}

/// SHA-256 over an entry and the digest of the one before it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
pub struct Digest(Vec<u8>);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How a transaction stands: what an entry keeps of it.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Standing {
    pub payment_id: PaymentId,
    #[sea_orm(from_alias = "id")]
    pub transaction_id: TransactionId,
    pub kind: Kind,
    pub status: Status,
    pub management_state: Option<ManagementState>,
    pub amount_minor: i64,
    pub currency: Currency,
}

impl From<&transaction::Model> for Standing {
    fn from(row: &transaction::Model) -> Self {
        let transaction::Model { id, payment_id, kind, status, management_state, amount_minor, currency, .. } = *row;
        Self { payment_id, transaction_id: id, kind, status, management_state, amount_minor, currency }
    }
}

/// `CAPTURE of 29.90 EUR, SUCCEEDED`, with the management state after it where there is one.
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = Money::new(self.amount_minor, self.currency);
        write!(f, "{} of {amount}, {}", self.kind.to_value(), self.status.to_value())?;
        self.management_state.map_or(Ok(()), |state| write!(f, ", {}", state.to_value()))
    }
}

/// Where a chain ends: the next entry is built on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub sequence: i64,
    pub digest: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_audit")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub payment_id: PaymentId,
    /// 1, 2, 3, … in each payment.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sequence: i64,
    pub transaction_id: TransactionId,
    pub kind: Kind,
    pub status: Status,
    pub management_state: Option<ManagementState>,
    pub amount_minor: i64,
    pub currency: Currency,
    pub actor_kind: ActorKind,
    pub actor_id: Option<String>,
    pub written_at: DateTime<Utc>,
    pub digest: Digest,
}

impl Model {
    /// The entry that follows on this end of its payment's chain, or begins the chain.
    pub fn after(head: Option<&Head>, standing: Standing, by: Actor, written_at: DateTime<Utc>) -> Self {
        let Standing { payment_id, transaction_id, kind, status, management_state, amount_minor, currency } = standing;
        let unsigned = Self {
            payment_id,
            sequence: head.map_or(FIRST, |head| head.sequence.saturating_add(1)),
            transaction_id,
            kind,
            status,
            management_state,
            amount_minor,
            currency,
            actor_kind: by.kind,
            actor_id: by.id,
            written_at,
            digest: Digest(vec![]),
        };
        Self { digest: unsigned.digest_after(head.map(|head| &head.digest)), ..unsigned }
    }

    pub fn head(&self) -> Head {
        Head { sequence: self.sequence, digest: self.digest.clone() }
    }

    /// How the transaction stood after this change.
    pub fn standing(&self) -> Standing {
        let Self { payment_id, transaction_id, kind, status, management_state, amount_minor, currency, .. } = *self;
        Standing { payment_id, transaction_id, kind, status, management_state, amount_minor, currency }
    }

    /// SHA-256 over the canonical form (how each text is written is said in `canonical`):
    ///
    /// 1. `orderpay audit 1`, the name and version of this form;
    /// 2. the digest of the entry before, or an empty text where there is none;
    /// 3. the payment's id, the sequence number, the transaction's id;
    /// 4. kind, status, and management state, `=` before it, or an empty text where there is none;
    /// 5. the amount as a whole number of the currency's smallest unit, and the currency's code;
    /// 6. what kind of somebody, and their id, `=` before it, or an empty text where there is none;
    /// 7. when, in microseconds since 1970.
    fn digest_after(&self, before: Option<&Digest>) -> Digest {
        let mut form = Canonical::new("orderpay audit 1");
        form.bytes(before.map(|digest| digest.0.as_slice()).unwrap_or_default());
        form.text(&self.payment_id.to_string());
        form.number(self.sequence);
        form.text(&self.transaction_id.to_string());
        form.text(&self.kind.to_value());
        form.text(&self.status.to_value());
        form.optional(self.management_state.map(|state| state.to_value()).as_deref());
        form.number(self.amount_minor);
        form.text(self.currency.code());
        form.text(&self.actor_kind.to_value());
        form.optional(self.actor_id.as_deref());
        form.number(self.written_at.timestamp_micros());
        Digest(form.finish().into())
    }
}

/// The number of a chain's first entry.
const FIRST: i64 = 1;

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// What stands here is not what was written after the entry before it.
    Altered { sequence: i64 },
    /// Entries are missing before this one: that of the number `due` follows next.
    Missing { due: i64, found: i64 },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { sequence } => write!(f, "entry {sequence} of its audit trail is not as it was written"),
            Self::Missing { due, found } => {
                write!(f, "its audit trail goes on with entry {found} where entry {due} is due")
            }
        }
    }
}

/// All that is wrong with a payment's chain, whose entries are in the order of their numbers. An end that was cut off can't be seen here: the
/// transactions that it was about stand otherwise than the last entries say.
pub fn verify(chain: &[Model]) -> Vec<Flaw> {
    let mut flaws = vec![];
    let mut before: Option<&Model> = None;
    for entry in chain {
        let (sequence, due) = (entry.sequence, before.map_or(FIRST, |before| before.sequence.saturating_add(1)));
        if sequence != due {
            flaws.push(Flaw::Missing { due, found: sequence });
        } else if entry.digest != entry.digest_after(before.map(|before| &before.digest)) {
            flaws.push(Flaw::Altered { sequence });
        }
        before = Some(entry);
    }
    flaws
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
