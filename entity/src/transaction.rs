//! A transaction: one thing that was asked of a provider for a payment, and what it said.
//!
//! Its status (what the provider said) and its management state (what we still owe) are two axes (rule P2), each with its life in one match.

use std::fmt;

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{
    id::{AttemptId, PaymentId, TransactionId},
    money::{Currency, Money},
    payment,
    summary::Entry,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    Authorize,
    AuthorizeAndCapture,
    Capture,
    ReverseAuthorize,
    Refund,
    DetachedCredit,
}

impl Kind {
    /// What it acts on (rule P3); the others act on nothing earlier.
    pub fn parents(self) -> &'static [Self] {
        match self {
            Self::Capture | Self::ReverseAuthorize => &[Self::Authorize],
            Self::Refund => &[Self::Capture, Self::AuthorizeAndCapture],
            Self::Authorize | Self::AuthorizeAndCapture | Self::DetachedCredit => &[],
        }
    }

    /// Whether it takes or holds the shopper's money, instead of giving it back.
    pub fn charges(self) -> bool {
        match self {
            Self::Authorize | Self::AuthorizeAndCapture | Self::Capture => true,
            Self::ReverseAuthorize | Self::Refund | Self::DetachedCredit => false,
        }
    }

    /// Whether it may pay an order.
    pub fn captures(self) -> bool {
        matches!(self, Self::AuthorizeAndCapture | Self::Capture)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Written down, and perhaps sent.
    Sent,
    /// The provider took it and will say later.
    Pending,
    /// No answer that can be trusted.
    Unknown,
    Succeeded,
    Failed,
}

/// What a provider was heard to say of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter)]
pub enum Heard {
    /// Nothing that can be trusted.
    Nothing,
    Pending,
    Succeeded,
    Failed,
}

/// The statuses that are not the last word: the amount is reserved (rule S2).
pub const UNANSWERED: [Status; 3] = [Status::Sent, Status::Pending, Status::Unknown];

impl Status {
    /// The whole life of a transaction (rule P2): the next status, or `None` where nothing changes.
    pub fn on(self, heard: Heard) -> Option<Self> {
        match (self, heard) {
            (Self::Sent, Heard::Nothing) => Some(Self::Unknown),
            (Self::Sent | Self::Unknown, Heard::Pending) => Some(Self::Pending),
            (Self::Sent | Self::Pending | Self::Unknown, Heard::Succeeded) => Some(Self::Succeeded),
            (Self::Sent | Self::Pending | Self::Unknown, Heard::Failed) => Some(Self::Failed),
            _ => None,
        }
    }

    /// Whether what is heard now is the opposite of what was the last word (rule P2).
    pub fn contradicts(self, heard: Heard) -> bool {
        matches!((self, heard), (Self::Succeeded, Heard::Failed) | (Self::Failed, Heard::Succeeded))
    }

    pub fn is_unanswered(self) -> bool {
        UNANSWERED.contains(&self)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ManagementState {
    ReversalCandidate,
    RequiresReversal,
    ReversalInProgress,
    Reversed,
    FailedReversal,
    ReversalTransaction,
    AutomaticReversalNotAllowed,
}

/// What may happen to a transaction that is not wanted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter)]
pub enum Undoing {
    /// Its payment was archived, or has another amount now.
    Unwanted,
    /// What undoes it was written down.
    Begun,
    Done,
    /// The provider refused to undo it.
    Failed,
    /// The provider could not be asked at all.
    NotAsked,
    /// It is to be tried once more.
    Again,
    /// Somebody undid it by hand.
    ByHand,
}

impl ManagementState {
    /// How what is not wanted any more is undone: the next state, or `None` where nothing changes.
    pub fn on(state: Option<Self>, undoing: Undoing) -> Option<Self> {
        match (state, undoing) {
            (None | Some(Self::ReversalCandidate), Undoing::Unwanted) => Some(Self::RequiresReversal),
            (Some(Self::RequiresReversal), Undoing::Begun) => Some(Self::ReversalInProgress),
            (Some(Self::ReversalInProgress | Self::RequiresReversal | Self::FailedReversal), Undoing::Done) => {
                Some(Self::Reversed)
            }
            (Some(Self::FailedReversal), Undoing::Again) => Some(Self::RequiresReversal),
            (Some(Self::FailedReversal), Undoing::ByHand) => Some(Self::Reversed),
            (Some(Self::ReversalInProgress | Self::Reversed), Undoing::Failed) => Some(Self::FailedReversal),
            (Some(Self::ReversalInProgress), Undoing::NotAsked) => Some(Self::RequiresReversal),
            _ => None,
        }
    }

    /// Whether a transaction in this state counts in the summary and may be acted on (rules S1, P3).
    pub fn counts(state: Option<Self>) -> bool {
        match state {
            None | Some(Self::ReversalCandidate | Self::AutomaticReversalNotAllowed) => true,
            Some(
                Self::RequiresReversal
                | Self::ReversalInProgress
                | Self::Reversed
                | Self::FailedReversal
                | Self::ReversalTransaction,
            ) => false,
        }
    }
}

/// Whether a decline may be tried again with the same method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Decline {
    Soft,
    Hard,
}

/// Why something failed, in the provider's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: String,
    pub message: String,
    pub decline: Option<Decline>,
}

/// The provider's own name for what it did. Sensitive: its Debug shows nothing (rule P11).
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct ProviderReference(pub String);

impl fmt::Debug for ProviderReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderReference")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_transaction")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TransactionId,
    pub payment_id: PaymentId,
    pub kind: Kind,
    pub status: Status,
    pub management_state: Option<ManagementState>,
    pub amount_minor: i64,
    pub currency: Currency,
    pub parent_id: Option<TransactionId>,
    /// The attempt whose hosted session moved this money, where it was one.
    pub attempt_id: Option<AttemptId>,
    /// Ours, unique, sent to the provider so that both sides can be matched.
    pub reference: String,
    pub provider_reference: Option<ProviderReference>,
    pub failure_code: Option<String>,
    pub failure_message: Option<String>,
    pub decline: Option<Decline>,
    /// Who asked for it, and for the sake of what: the caller's own words.
    pub source: Option<String>,
    pub source_entity_type: Option<String>,
    pub source_entity_id: Option<String>,
    /// The lock's, under which it was written (rule K5); null where a provider's news brought it.
    pub fencing_number: Option<i64>,
    /// How many set out to send it: the one who wrote it down, and whoever repeated the call since.
    pub sends: i32,
    /// When the last of them did.
    pub sent_at: Option<DateTime<Utc>>,
    /// How often the provider was asked after it since.
    pub checks: i32,
    /// When it is asked after next; null: a while after it was written.
    pub next_check_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
}

impl Model {
    pub fn amount(&self) -> Money {
        Money::new(self.amount_minor, self.currency)
    }

    pub fn entry(&self) -> Entry {
        Entry { kind: self.kind, status: self.status, management_state: self.management_state, amount: self.amount() }
    }

    /// Why this can't have acted on that one of the same payment (rule P3). What failed did nothing, so that its parent may have come to anything.
    pub fn misfit(&self, parent: &Self) -> Option<&'static str> {
        if !self.kind.parents().contains(&parent.kind) {
            return Some("is of a kind that it can't act on");
        }
        if self.status == Status::Failed {
            return None;
        }
        if parent.status != Status::Succeeded {
            return Some("did not succeed");
        }
        let undoes = self.management_state == Some(ManagementState::ReversalTransaction);
        (!undoes && !ManagementState::counts(parent.management_state)).then_some("is undone, or about to be")
    }

    pub fn failure(&self) -> Option<Failure> {
        Some(Failure {
            code: self.failure_code.clone()?,
            message: self.failure_message.clone().unwrap_or_default(),
            decline: self.decline,
        })
    }
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(belongs_to = "payment::Entity", from = "Column::PaymentId", to = "payment::Column::Id")]
    Payment,
}

impl Related<payment::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Payment.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::Iterable;

    /// What becomes of each row with each column.
    fn table<R: fmt::Debug, C: fmt::Debug, T: fmt::Debug>(
        rows: impl IntoIterator<Item = R>,
        columns: &[C],
        next: impl Fn(&R, &C) -> Option<T>,
    ) -> String {
        let line = |first: String, cells: Vec<String>| {
            let cells: String = cells.iter().map(|cell| format!("{cell:<19}")).collect();
            format!("{first:<34}{}\n", cells.trim_end())
        };
        let cell = |to: Option<T>| to.map_or("-".into(), |to| format!("{to:?}"));
        let head = line("on".into(), columns.iter().map(|column| format!("{column:?}")).collect());
        let body = rows
            .into_iter()
            .map(|row| line(format!("{row:?}"), columns.iter().map(|column| cell(next(&row, column))).collect()));
        head + &body.collect::<String>()
    }

    // rule P2
    #[test]
    fn the_whole_life_of_a_transaction() {
        let heard: Vec<Heard> = Heard::iter().collect();
        let life = table(Status::iter(), &heard, |from, heard| from.on(*heard));
        insta::assert_snapshot!(life, @r"
        on                                Nothing            Pending            Succeeded          Failed
        Sent                              Unknown            Pending            Succeeded          Failed
        Pending                           -                  -                  Succeeded          Failed
        Unknown                           -                  Pending            Succeeded          Failed
        Succeeded                         -                  -                  -                  -
        Failed                            -                  -                  -                  -
        ");
    }

    // rule P2
    #[test]
    fn only_the_opposite_of_a_last_word_contradicts_it() {
        let pairs = Status::iter().flat_map(|status| Heard::iter().map(move |heard| (status, heard)));
        let contradictions: Vec<_> = pairs.filter(|(status, heard)| status.contradicts(*heard)).collect();
        let opposites = [(Status::Succeeded, Heard::Failed), (Status::Failed, Heard::Succeeded)];
        assert_eq!(contradictions, opposites);
    }

    #[test]
    fn how_what_is_unwanted_is_undone() {
        let undoings: Vec<Undoing> = Undoing::iter().collect();
        let states = std::iter::once(None).chain(ManagementState::iter().map(Some));
        let life = table(states, &undoings, |from, undoing| ManagementState::on(*from, *undoing));
        insta::assert_snapshot!(life, @r"
        on                                Unwanted           Begun              Done               Failed             NotAsked           Again              ByHand
        None                              RequiresReversal   -                  -                  -                  -                  -                  -
        Some(ReversalCandidate)           RequiresReversal   -                  -                  -                  -                  -                  -
        Some(RequiresReversal)            -                  ReversalInProgress Reversed           -                  -                  -                  -
        Some(ReversalInProgress)          -                  -                  Reversed           FailedReversal     RequiresReversal   -                  -
        Some(Reversed)                    -                  -                  -                  FailedReversal     -                  -                  -
        Some(FailedReversal)              -                  -                  Reversed           -                  -                  RequiresReversal   Reversed
        Some(ReversalTransaction)         -                  -                  -                  -                  -                  -                  -
        Some(AutomaticReversalNotAllowed) -                  -                  -                  -                  -                  -                  -
        ");
    }

    // rule S1
    #[test]
    fn what_is_undone_or_undoes_counts_nowhere() {
        let states = std::iter::once(None).chain(ManagementState::iter().map(Some));
        let counting: Vec<_> = states.filter(|state| ManagementState::counts(*state)).collect();
        let candidate = Some(ManagementState::ReversalCandidate);
        assert_eq!(counting, [None, candidate, Some(ManagementState::AutomaticReversalNotAllowed)]);
    }

    // rule P3
    #[test]
    fn what_acts_on_what() {
        let parents: String = Kind::iter().map(|kind| format!("{kind:?} on {:?}\n", kind.parents())).collect();
        insta::assert_snapshot!(parents, @r"
        Authorize on []
        AuthorizeAndCapture on []
        Capture on [Authorize]
        ReverseAuthorize on [Authorize]
        Refund on [Capture, AuthorizeAndCapture]
        DetachedCredit on []
        ");
    }
}
