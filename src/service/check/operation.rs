//! Idempotency keys against what they came to: none points nowhere, and none is left behind (rules I1 to I3).

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use entity::{
    attempt,
    id::{AttemptId, TransactionId},
    operation::{Entity, Model, State},
    reconciliation, transaction,
};
use sea_orm::{ActiveEnum, ColumnTrait, Condition, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::{Check, Finding, row::operation_name};

/// The reconciler ends what its server left; that takes it a moment.
const LEFT: TimeDelta = TimeDelta::minutes(1);
/// After so long somebody would have to know what became of it.
const LONGEST: TimeDelta = TimeDelta::hours(24);

/// What a page of operations points to, by the statuses as they are written: unreadable ones are told elsewhere.
struct Targets {
    /// Each with the payment that it is of.
    transactions: HashMap<Uuid, (Uuid, String)>,
    attempts: HashMap<Uuid, String>,
}

impl Check<'_> {
    pub(super) async fn operations(&mut self) -> Result<(), DbErr> {
        let mut after = None;
        while let Some(page) = self.page::<Entity>(after.as_deref(), &mut HashSet::new()).await? {
            let targets = self.targets(&page.rows).await?;
            for operation in &page.rows {
                if let Some(what) = self.wrong(operation, &targets).await? {
                    self.finds(&Finding::new(name(operation), what));
                }
            }
            after = Some(page.last);
        }
        Ok(())
    }

    async fn targets(&self, operations: &[Model]) -> Result<Targets, DbErr> {
        use {attempt::Column as Attempt, transaction::Column as Transaction};
        let transactions = transaction::Entity::find()
            .select_only()
            .columns([Transaction::Id, Transaction::PaymentId, Transaction::Status])
            .filter(Transaction::Id.is_in(operations.iter().flat_map(sent)));
        let transactions: Vec<(Uuid, Uuid, String)> = transactions.into_tuple().all(self.db).await?;
        let attempts = attempt::Entity::find()
            .select_only()
            .columns([Attempt::Id, Attempt::Status])
            .filter(Attempt::Id.is_in(operations.iter().filter_map(|operation| operation.attempt_id)));
        Ok(Targets {
            transactions: transactions.into_iter().map(|(id, payment, status)| (id, (payment, status))).collect(),
            attempts: attempts.into_tuple::<(Uuid, String)>().all(self.db).await?.into_iter().collect(),
        })
    }

    async fn wrong(&self, operation: &Model, targets: &Targets) -> Result<Option<String>, DbErr> {
        if operation.state != State::InProgress {
            return Ok(finished(operation, targets));
        }
        let waits = targets.waits_for(operation);
        if waits.is_empty() {
            let ran_out = operation.lease_expires_at;
            let orphan = format!("is IN_PROGRESS, its lease ran out at {ran_out}, and nothing of it is unanswered");
            return Ok((ran_out + LEFT < self.now).then_some(orphan));
        }
        if operation.started_at + LONGEST > self.now || self.somebody_is_asked(operation).await? {
            return Ok(None);
        }
        Ok(Some(format!("is IN_PROGRESS since {}, and unanswered: {}", operation.started_at, waits.join(", "))))
    }

    /// Whether there is a case about what it waits for.
    async fn somebody_is_asked(&self, operation: &Model) -> Result<bool, DbErr> {
        use reconciliation::Column as Case;
        let about = Condition::any()
            .add(Case::TransactionId.is_in(sent(operation)))
            .add(Case::AttemptId.is_in(operation.attempt_id));
        Ok(reconciliation::Entity::find().filter(about).count(self.db).await? > 0)
    }
}

impl Targets {
    /// What it asked of a provider and was not answered. What is PENDING will be told of, and keeps no key waiting.
    fn waits_for(&self, operation: &Model) -> Vec<String> {
        let unanswered = [transaction::Status::Sent, transaction::Status::Unknown].map(|status| status.to_value());
        let transactions = sent(operation)
            .filter(|id| self.transactions.get(id).is_some_and(|(_, status)| unanswered.contains(status)));
        let is_created = |id: &AttemptId| self.attempts.get(&id.uuid()) == Some(&attempt::Status::Created.to_value());
        let transactions = transactions.map(|id| TransactionId::from(id).to_string());
        transactions.chain(operation.attempt_id.filter(is_created).map(|id| id.to_string())).collect()
    }
}

fn sent(operation: &Model) -> impl Iterator<Item = Uuid> {
    operation.transactions.iter().flat_map(|sent| sent.0.iter().copied())
}

/// What a finished operation fails to say.
fn finished(operation: &Model, targets: &Targets) -> Option<String> {
    let state = operation.state.to_value();
    match (operation.state, &operation.problem) {
        (State::Succeeded, Some(_)) => return Some("is SUCCEEDED with a problem".into()),
        (State::Refused, None) => return Some("is REFUSED without a problem".into()),
        (State::InProgress | State::Succeeded | State::Refused, _) => {}
    }
    if let Some(lost) = sent(operation).map(|id| (id, targets.transactions.get(&id))).find_map(not_its(operation)) {
        return Some(format!("is {state} and points to {lost}, which is not a transaction of its payment"));
    }
    let points = match operation.mutation.as_str() {
        "createOrder" => operation.order_id.is_some(),
        "createPayment" => operation.payment_id.is_some(),
        "attemptToPayForOrder" => operation.attempt_id.is_some(),
        "authorizePayment"
        | "authorizeAndCapturePayment"
        | "capturePayment"
        | "reverseAuthorization"
        | "refundPayment"
        | "creditPayment" => operation.payment_id.is_some() && sent(operation).next().is_some(),
        _ => true,
    };
    (!points).then(|| format!("is {state}, and does not say what it came to"))
}

type Target<'a> = (Uuid, Option<&'a (Uuid, String)>);

fn not_its(operation: &Model) -> impl Fn(Target<'_>) -> Option<TransactionId> {
    let ours = operation.payment_id.map(|id| id.uuid());
    move |(id, found)| (found.map(|(payment, _)| *payment) != ours || ours.is_none()).then(|| TransactionId::from(id))
}

fn name(operation: &Model) -> String {
    let Model { mutation, caller_kind, caller_id, idempotency_key, .. } = operation;
    operation_name(mutation, caller_kind, caller_id, idempotency_key)
}
