//! What a machine could not decide, with the evidence kept, and what a person may decide about it (rule R3).
//!
//! What a decision means is one match: it depends on what the question was and on how its subject stands by now. Nothing is done here.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{
    attempt,
    event::Report,
    id::{AttemptId, CaseId, PaymentId, TransactionId},
    money::{Currency, Money},
    transaction::{self, Kind},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    Open,
    Resolved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// The provider was asked, and it is still not known what came of it.
    OutcomeUnknown,
    AmountMismatch,
    CurrencyMismatch,
    CartChanged,
    PaidTwice,
    FailedReversal,
    /// The provider says one thing now and said another before, or money came for a cancelled order.
    ContradictingResult,
}

/// The reasons for which money may lie at a provider that is not in the books as it should be: to charge once more could charge twice.
pub const MONEY_UNDECIDED: [Reason; 5] = [
    Reason::AmountMismatch,
    Reason::CurrencyMismatch,
    Reason::CartChanged,
    Reason::PaidTwice,
    Reason::ContradictingResult,
];

/// What somebody decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Resolution {
    /// What the provider reported is right: the books follow it.
    Accept,
    /// It is right, and not wanted: the money is given back.
    Refund,
    /// The books stay as they are, or nothing came of it; what remains to be done is done elsewhere.
    WriteOff,
    /// The provider is asked again, or what failed is tried again.
    Recheck,
}

/// How that which a case is about stands by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Attempt(attempt::Status),
    Transaction {
        kind: Kind,
        status: transaction::Status,
        /// What the provider was heard to say against it.
        reported: Option<transaction::Status>,
    },
}

/// What is done about a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing but to close it.
    Leave,
    /// The money comes into the books as it was reported.
    TakeIn,
    /// It comes into the books as something to be undone, and is.
    TakeInUnwanted,
    /// It is in the books, and is given back.
    GiveBack,
    /// Nothing came of it.
    GiveUp,
    /// The provider is asked how it stands.
    Ask,
    /// The reversal is tried once more.
    ReverseAgain,
    /// Somebody reversed it by hand.
    Reversed,
}

/// What a decision about a case comes to, or why it can't be made.
pub fn step(reason: Reason, subject: Subject, resolution: Resolution) -> Result<Step, &'static str> {
    match (resolution, subject) {
        _ if reason == Reason::FailedReversal => reversal(resolution),
        (Resolution::Recheck, _) => Ok(Step::Ask),
        (_, Subject::Attempt(status)) => of_attempt(reason, status, resolution),
        (_, Subject::Transaction { kind, status, reported }) => {
            of_transaction(reason, kind, status, reported, resolution)
        }
    }
}

const OTHER_CURRENCY: &str =
    "can't be that: the money is in another currency than the order; give it back at the provider, and WRITE_OFF";
const OTHER_AMOUNT: &str =
    "can't be that: it is in the books with another amount already; settle the rest at the provider, and WRITE_OFF";
const NO_MONEY: &str = "can't be that: no money was reported; RECHECK, or WRITE_OFF";
const NO_CHARGE: &str = "can't be that: only what was charged can be given back";

fn reversal(resolution: Resolution) -> Result<Step, &'static str> {
    match resolution {
        Resolution::Accept => Ok(Step::Reversed),
        Resolution::WriteOff => Ok(Step::Leave),
        Resolution::Recheck => Ok(Step::ReverseAgain),
        Resolution::Refund => {
            Err("can't be that: RECHECK tries the reversal again, ACCEPT says that it was done by hand")
        }
    }
}

fn of_attempt(reason: Reason, status: attempt::Status, resolution: Resolution) -> Result<Step, &'static str> {
    use attempt::Status::{Conflicted, Created, Succeeded};
    match (resolution, status) {
        (Resolution::WriteOff, Created | Conflicted) => Ok(Step::GiveUp),
        (Resolution::WriteOff, _) => Ok(Step::Leave),
        _ if reason == Reason::OutcomeUnknown => Err(NO_MONEY),
        _ if reason == Reason::CurrencyMismatch => Err(OTHER_CURRENCY),
        (_, Succeeded) => Err(OTHER_AMOUNT),
        (Resolution::Accept, _) => Ok(Step::TakeIn),
        (Resolution::Refund, _) => Ok(Step::TakeInUnwanted),
        (Resolution::Recheck, _) => Ok(Step::Ask),
    }
}

fn of_transaction(
    reason: Reason,
    kind: Kind,
    status: transaction::Status,
    reported: Option<transaction::Status>,
    resolution: Resolution,
) -> Result<Step, &'static str> {
    use transaction::Status::{Failed, Succeeded};
    let contradicts = reported.is_some_and(|reported| reported != status);
    match (resolution, status) {
        (Resolution::WriteOff, Succeeded | Failed) => Ok(Step::Leave),
        (Resolution::WriteOff, _) => Ok(Step::GiveUp),
        _ if reason == Reason::CurrencyMismatch => Err(OTHER_CURRENCY),
        (_, Succeeded) if reason == Reason::AmountMismatch => Err(OTHER_AMOUNT),
        (Resolution::Refund, _) if !kind.charges() => Err(NO_CHARGE),
        (Resolution::Accept, Succeeded) if contradicts => Ok(Step::GiveUp),
        (Resolution::Refund, Succeeded) if contradicts => Err(NO_MONEY),
        (Resolution::Accept, Succeeded) => Ok(Step::Leave),
        (Resolution::Refund, Succeeded) => Ok(Step::GiveBack),
        (Resolution::Accept | Resolution::Refund, Failed) if !contradicts => Err(NO_MONEY),
        (Resolution::Accept, _) => Ok(Step::TakeIn),
        (Resolution::Refund, _) => Ok(Step::TakeInUnwanted),
        (Resolution::Recheck, _) => Ok(Step::Ask),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reconciliation_case")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CaseId,
    pub state: State,
    pub reason: Reason,
    pub payment_id: PaymentId,
    pub attempt_id: Option<AttemptId>,
    pub transaction_id: Option<TransactionId>,
    pub expected_minor: Option<i64>,
    pub expected_currency: Option<Currency>,
    pub reported_minor: Option<i64>,
    pub reported_currency: Option<Currency>,
    /// What a provider said of a transaction, where that is the opposite of what was its last word.
    pub reported_status: Option<transaction::Status>,
    /// What the provider said, word for word.
    pub report: Option<Report>,
    /// How often the provider was asked about it.
    pub checks: i32,
    pub next_check_at: Option<DateTime<Utc>>,
    /// What was decided; null where the provider's answer settled it.
    pub resolution: Option<Resolution>,
    /// What whoever resolved it went by.
    pub evidence: Option<String>,
    /// Who resolved it: the kind and id of a caller, or the server.
    pub resolved_by: Option<String>,
    pub created_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
}

impl Model {
    pub fn expected(&self) -> Option<Money> {
        Some(Money::new(self.expected_minor?, self.expected_currency?))
    }

    pub fn reported(&self) -> Option<Money> {
        Some(Money::new(self.reported_minor?, self.reported_currency?))
    }

    /// Whether a person has decided, and not the provider's answer.
    pub fn is_decided(&self) -> bool {
        self.state == State::Resolved && self.resolution.is_some()
    }

    /// Whether what it describes is known and stays as it is: it waits for a person, or a person decided so.
    pub fn stands(&self) -> bool {
        self.state == State::Open || matches!(self.resolution, Some(Resolution::Accept | Resolution::WriteOff))
    }
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::Iterable;

    fn table(reason: Reason, subjects: impl IntoIterator<Item = Subject>) -> String {
        let line = |subject: Subject| {
            let told = Resolution::iter().map(|resolution| match step(reason, subject, resolution) {
                Ok(step) => format!("{step:?}"),
                Err(_) => "-".into(),
            });
            let cells: String = told.map(|cell| format!("{cell:<16}")).collect();
            let name = match subject {
                Subject::Attempt(status) => format!("{status:?}"),
                Subject::Transaction { status, reported: Some(reported), .. } => {
                    format!("{status:?}, told {reported:?}")
                }
                Subject::Transaction { status, .. } => format!("{status:?}"),
            };
            format!("{name:<26}{}\n", cells.trim_end())
        };
        subjects.into_iter().map(line).collect()
    }

    fn attempts() -> impl Iterator<Item = Subject> {
        attempt::Status::iter().map(Subject::Attempt)
    }

    fn captures() -> impl Iterator<Item = Subject> {
        let told = [None, Some(transaction::Status::Succeeded), Some(transaction::Status::Failed)];
        transaction::Status::iter().flat_map(move |status| {
            told.into_iter().map(move |reported| Subject::Transaction { kind: Kind::Capture, status, reported })
        })
    }

    // rule R3: Accept, Refund, WriteOff, Recheck
    #[test]
    fn what_may_be_decided_about_an_attempt() {
        insta::assert_snapshot!(table(Reason::AmountMismatch, attempts()), @r"
        Created                   TakeIn          TakeInUnwanted  GiveUp          Ask
        Pending                   TakeIn          TakeInUnwanted  Leave           Ask
        Processing                TakeIn          TakeInUnwanted  Leave           Ask
        Succeeded                 -               -               Leave           Ask
        Failed                    TakeIn          TakeInUnwanted  Leave           Ask
        Cancelled                 TakeIn          TakeInUnwanted  Leave           Ask
        Expired                   TakeIn          TakeInUnwanted  Leave           Ask
        Conflicted                TakeIn          TakeInUnwanted  GiveUp          Ask
        ");
        let unknown = Subject::Attempt(attempt::Status::Created);
        let decided = Resolution::iter().map(|resolution| step(Reason::OutcomeUnknown, unknown, resolution));
        assert!(decided.eq([Err(NO_MONEY), Err(NO_MONEY), Ok(Step::GiveUp), Ok(Step::Ask)]));
    }

    // rule R3: Accept, Refund, WriteOff, Recheck
    #[test]
    fn what_may_be_decided_about_a_transaction() {
        insta::assert_snapshot!(table(Reason::ContradictingResult, captures()), @r"
        Sent                      TakeIn          TakeInUnwanted  GiveUp          Ask
        Sent, told Succeeded      TakeIn          TakeInUnwanted  GiveUp          Ask
        Sent, told Failed         TakeIn          TakeInUnwanted  GiveUp          Ask
        Pending                   TakeIn          TakeInUnwanted  GiveUp          Ask
        Pending, told Succeeded   TakeIn          TakeInUnwanted  GiveUp          Ask
        Pending, told Failed      TakeIn          TakeInUnwanted  GiveUp          Ask
        Unknown                   TakeIn          TakeInUnwanted  GiveUp          Ask
        Unknown, told Succeeded   TakeIn          TakeInUnwanted  GiveUp          Ask
        Unknown, told Failed      TakeIn          TakeInUnwanted  GiveUp          Ask
        Succeeded                 Leave           GiveBack        Leave           Ask
        Succeeded, told Succeeded Leave           GiveBack        Leave           Ask
        Succeeded, told Failed    GiveUp          -               Leave           Ask
        Failed                    -               -               Leave           Ask
        Failed, told Succeeded    TakeIn          TakeInUnwanted  Leave           Ask
        Failed, told Failed       -               -               Leave           Ask
        ");
    }

    // rule M3
    #[test]
    fn money_of_another_currency_never_comes_into_the_books() {
        let all = attempts().chain(captures());
        for (subject, resolution) in all.flat_map(|subject| Resolution::iter().map(move |it| (subject, it))) {
            let step = step(Reason::CurrencyMismatch, subject, resolution);
            assert!(!matches!(step, Ok(Step::TakeIn | Step::TakeInUnwanted | Step::GiveBack)), "{subject:?}");
        }
    }

    #[test]
    fn what_gave_money_back_is_not_given_back() {
        for kind in [Kind::Refund, Kind::DetachedCredit, Kind::ReverseAuthorize] {
            let subject = Subject::Transaction { kind, status: transaction::Status::Unknown, reported: None };
            assert_eq!(step(Reason::OutcomeUnknown, subject, Resolution::Refund), Err(NO_CHARGE));
        }
    }
}
