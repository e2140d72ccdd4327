//! Cases as the API shows them, and what is sent to decide one.

use std::{ops::RangeInclusive, sync::Arc};

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use entity::{
    fault::Faults,
    reconciliation::{Model, Reason, Resolution, State},
};

use super::{
    attempt::PaymentAttempt,
    failure::{Failure, part},
    loader::{AttemptOf, PaymentOf, TransactionsOf, loader},
    money::Money,
    paging::PageInfo,
    payment::Payment,
    problem::Problem,
    scalar::Instant,
    walk::Walked,
};
use crate::{
    error::{Error, Read},
    service::{
        case::{CasePage, CasePart, MOST_PER_PAGE, cursor},
        resolution::Decision,
    },
};

const USUAL_PAGE: i32 = 20;
const EVIDENCE: RangeInclusive<usize> = 1..=2000;

/// Whether somebody, or the provider's answer, has settled a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "State")]
pub enum ReconciliationState {
    /// It waits for a decision, or for the provider's answer.
    Open,
    /// It was decided, or answered.
    Resolved,
}

/// Why there is a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Reason")]
pub enum ReconciliationReason {
    /// The provider was asked, and it is still not known what came of it. It is asked again at nextCheckAt.
    OutcomeUnknown,
    /// Another amount moved than was asked for.
    AmountMismatch,
    /// Money of another currency moved.
    CurrencyMismatch,
    /// Money came for a cart that has changed meanwhile.
    CartChanged,
    /// Money came for an order that is paid already, or more than it costs.
    PaidTwice,
    /// What was to be given back could not be.
    FailedReversal,
    /// The provider says the opposite of what it said before, or money came for a cancelled order.
    ContradictingResult,
}

/// What is decided about a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Resolution")]
pub enum ReconciliationResolution {
    /// What the provider reported is right: the books follow it, and the order is paid if that covers it. Of FAILED_REVERSAL: it was reversed by hand.
    Accept,
    /// It is right and not wanted: the money is given back at the provider.
    Refund,
    /// The books stay as they are, or nothing came of it; what remains to be done is done elsewhere.
    WriteOff,
    /// The provider is asked again now, or the reversal tried again. The case stays open where that settles nothing.
    Recheck,
}

/// A payment whose real state at the provider is not known or contradicts ours.
pub struct ReconciliationCase(Arc<Model>);

/// A payment whose real state at the provider is not known or contradicts ours.
#[Object]
impl ReconciliationCase {
    /// `rec_` and a UUIDv7.
    async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Whether it is settled.
    async fn state(&self) -> ReconciliationState {
        self.0.state.into()
    }

    /// Why there is a case.
    async fn reason(&self) -> ReconciliationReason {
        self.0.reason.into()
    }

    /// What a person has to decide, in a sentence: what the books say, and what the provider says.
    async fn question(&self, ctx: &Context<'_>) -> Result<String, Failure> {
        let case = &self.0;
        let Some(id) = case.transaction_id else {
            return Ok(match (case.expected(), case.reported()) {
                (Some(expected), Some(reported)) => {
                    format!("A session for {expected} was opened, and the provider reported that {reported} were paid.")
                }
                _ => "It is not known whether the provider opened a session.".to_owned(),
            });
        };
        let ledger = loader(ctx).load_one(TransactionsOf(case.payment_id)).await?.unwrap_or_default();
        let row = ledger.iter().find(|row| row.id == id).ok_or_else(|| Error::missing(id))?;
        let is = format!("In the books {:?} {} is {:?}", row.kind, row.amount(), row.status);
        Ok(match (case.reason, case.reported_status, case.reported()) {
            (Reason::FailedReversal, ..) => format!("{is}, and what was to be given back could not be."),
            (_, Some(status), Some(reported)) => format!("{is}; the provider reported {status:?}, {reported}."),
            _ => format!("{is}; the provider does not say what came of it."),
        })
    }

    /// The payment that it is about.
    async fn payment(&self, ctx: &Context<'_>) -> Result<Walked<Payment>, Failure> {
        let id = self.0.payment_id;
        let booked = loader(ctx).load_one(PaymentOf(id)).await?.ok_or_else(|| Error::missing(id))?;
        Ok(Walked(Payment::from(booked)))
    }

    /// The attempt whose session it is about; null where it is about a transaction.
    async fn attempt(&self, ctx: &Context<'_>) -> Result<Option<Walked<PaymentAttempt>>, Failure> {
        let Some(id) = self.0.attempt_id else { return Ok(None) };
        let row = loader(ctx).load_one(AttemptOf(id)).await?;
        Ok(row.map(|row| Walked(PaymentAttempt(row))))
    }

    /// What was asked for.
    async fn expected(&self) -> Option<Walked<Money>> {
        self.0.expected().map(|amount| Walked(amount.into()))
    }

    /// What the provider reported; null where it has not.
    async fn reported(&self) -> Option<Walked<Money>> {
        self.0.reported().map(|amount| Walked(amount.into()))
    }

    /// How often the provider was asked about it.
    async fn checks(&self) -> i32 {
        self.0.checks
    }

    /// When the provider is asked next; null where only a person can tell.
    async fn next_check_at(&self) -> Option<Instant> {
        self.0.next_check_at.map(Instant::At)
    }

    /// What was decided; null where the provider's answer settled it, or nothing has yet.
    async fn resolution(&self) -> Option<ReconciliationResolution> {
        self.0.resolution.map(Into::into)
    }

    /// What the decision went by, in the words of whoever decided.
    async fn evidence(&self) -> Option<String> {
        self.0.evidence.clone()
    }

    /// Who decided: a caller's kind and id, or `server` where the provider's answer settled it.
    async fn resolved_by(&self) -> Option<String> {
        self.0.resolved_by.clone()
    }

    /// When it was opened.
    async fn created_at(&self) -> Instant {
        Instant::At(self.0.created_at)
    }

    /// When it was settled.
    async fn resolved_at(&self) -> Option<Instant> {
        self.0.resolved_at.map(Instant::At)
    }
}

/// A page of cases, newest first.
#[derive(SimpleObject)]
pub struct ReconciliationCaseConnection {
    /// The cases of this page with their cursors.
    edges: Vec<ReconciliationCaseEdge>,
    /// The cases of this page.
    nodes: Vec<ReconciliationCase>,
    /// What lies before and after this page.
    page_info: PageInfo,
}

/// A case and where it stands in the list.
#[derive(SimpleObject)]
pub struct ReconciliationCaseEdge {
    /// Opaque; good for this list with this state.
    cursor: String,
    /// The case.
    node: ReconciliationCase,
}

impl ReconciliationCaseConnection {
    pub fn of(page: CasePage, state: Option<State>) -> Self {
        let cursors: Vec<String> = page.cases.iter().map(|case| cursor(state, case)).collect();
        let page_info = PageInfo::of(page.has_next, page.has_previous, &cursors);
        let cases: Vec<Arc<Model>> = page.cases.into_iter().map(Arc::new).collect();
        let nodes = cases.iter().cloned().map(ReconciliationCase).collect();
        let edges = cursors.into_iter().zip(cases);
        let edges = edges.map(|(cursor, case)| ReconciliationCaseEdge { cursor, node: ReconciliationCase(case) });
        Self { edges: edges.collect(), nodes, page_info }
    }
}

/// The part of the list of cases that is meant, or why none can be.
pub fn cases(first: Option<i32>, after: Option<String>, state: Option<State>) -> Read<CasePart> {
    let mut faults = Faults::default();
    let first = first.unwrap_or(USUAL_PAGE);
    let allowed = u64::try_from(first).ok().filter(|_| (1..=MOST_PER_PAGE).contains(&first));
    let count = faults.take("first", allowed.ok_or(format!("is {first}; 1 to {MOST_PER_PAGE} are allowed")));
    faults.or(count.map(|count| CasePart { count, after, state }))
}

/// A decision about a case.
#[derive(Clone, Debug, InputObject)]
pub struct ResolveReconciliationCaseInput {
    /// The case's id (rec_…).
    case_id: ID,
    /// What is decided.
    resolution: ReconciliationResolution,
    /// What the decision goes by, for the record: 1 to 2000 characters.
    evidence: String,
}

impl ResolveReconciliationCaseInput {
    pub fn read(self) -> Read<Decision> {
        let mut faults = Faults::default();
        let case_id = faults.take("caseId", self.case_id.parse());
        faults.text("evidence", &self.evidence, EVIDENCE);
        let (resolution, evidence) = (self.resolution.into(), self.evidence);
        faults.or(case_id.map(|case_id| Decision { case_id, resolution, evidence }))
    }
}

/// What came of a decision.
#[derive(SimpleObject)]
pub struct ReconciliationCasePayload {
    /// The case as it is now.
    case: Option<ReconciliationCase>,
    /// Null on success.
    problem: Option<Problem>,
}

impl ReconciliationCasePayload {
    pub fn of(decided: Result<Model, Error>) -> Result<Self, Failure> {
        let (case, problem) = part(decided)?;
        let case = case.map(|case| ReconciliationCase(Arc::new(case)));
        Ok(Self { case, problem: problem.map(Problem::from) })
    }
}
