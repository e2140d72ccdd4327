//! A payment on its way: its amount, its lock, and what was asked of the provider for it.

use chrono::{DateTime, Utc};
use entity::{
    audit::{self, Actor, ActorKind, Standing},
    id::{PaymentId, TransactionId},
    lock,
    metadata::Metadata,
    method,
    money::Money,
    payment::{self, MethodToken, Status as PaymentStatus},
    transaction::{self, Decline, Failure, Heard, Kind, ManagementState, ProviderReference, Status, Undoing},
};

use super::{PROVIDER, SeedError, dice::Dice, history::History};
use crate::secret::hex;

/// Whom the server names where it asks for something itself.
const SERVER: &str = "server";

/// A payment and its lock.
pub struct Till {
    pub payment: payment::Model,
    method_token: Option<MethodToken>,
    lock: lock::Model,
    /// What became of its transactions, entry by entry.
    trail: Vec<audit::Model>,
}

/// What is asked of the provider.
pub struct Ask {
    pub kind: Kind,
    pub amount: Money,
    pub parent: Option<TransactionId>,
}

impl Till {
    /// A payment of the whole order.
    pub fn open(history: &mut History<'_>, method_token: Option<MethodToken>, display: Metadata) -> Self {
        let (id, order, now) = (PaymentId::drawn(history.now, history.dice.bytes()), &history.order, history.now);
        let payment = payment::Model {
            id,
            order_id: order.id,
            provider: PROVIDER.to_owned(),
            status: PaymentStatus::Active,
            amount_minor: order.total_minor,
            currency: order.currency,
            display,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        Self { payment, method_token, lock: lock::Model::new(id), trail: vec![] }
    }

    /// Whoever read it has read something old.
    pub fn touch(&mut self, history: &History<'_>) {
        self.payment.version += 1;
        self.payment.updated_at = history.now;
    }

    /// The lock is taken for a piece of work and given back at its end.
    pub fn lock(&mut self, history: &History<'_>) -> Result<(), SeedError> {
        let passed = self.lock.take_and_give_back(history.now);
        self.lock = passed.map_err(|busy| SeedError(format!("{} is locked: {busy:?}", self.payment.id)))?;
        Ok(())
    }

    /// Asks the provider under the lock, and hears that it is done.
    pub fn ask(&mut self, history: &mut History<'_>, ask: Ask) -> Result<TransactionId, SeedError> {
        self.lock(history)?;
        Ok(self.run(history, ask, None, None))
    }

    /// Asks the provider under the lock, and hears a no.
    pub fn ask_in_vain(&mut self, history: &mut History<'_>, ask: Ask) -> Result<(), SeedError> {
        self.lock(history)?;
        self.run(history, ask, Some(declined()), None);
        Ok(())
    }

    /// The server gives back what was held for an order that is cancelled: marked as it is cancelled, and reversed after.
    pub fn undo(&mut self, history: &mut History<'_>, held: TransactionId) -> Result<(), SeedError> {
        self.lock(history)?;
        self.touch(history);
        self.mark(history, held, Undoing::Unwanted, Actor::SERVER)?;
        self.lock(history)?;
        self.mark(history, held, Undoing::Begun, Actor::SERVER)?;
        let amount = self.payment.amount();
        let ask = Ask { kind: Kind::ReverseAuthorize, amount, parent: Some(held) };
        self.run(history, ask, None, Some(ManagementState::ReversalTransaction));
        self.mark(history, held, Undoing::Done, Actor::PROVIDER)
    }

    fn mark(
        &mut self,
        history: &mut History<'_>,
        id: TransactionId,
        step: Undoing,
        by: Actor,
    ) -> Result<(), SeedError> {
        let row = history.batch.transactions.iter_mut().rev().find(|row| row.id == id);
        let row = row.ok_or_else(|| SeedError(format!("{id} is not there")))?;
        row.management_state = ManagementState::on(row.management_state, step);
        let standing = Standing::from(&*row);
        self.note(standing, by, history.now);
        Ok(())
    }

    /// An entry of the trail: how a transaction stands from this moment on.
    pub fn note(&mut self, standing: Standing, by: Actor, at: DateTime<Utc>) {
        let head = self.trail.last().map(audit::Model::head);
        self.trail.push(audit::Model::after(head.as_ref(), standing, by, at));
    }

    fn run(
        &mut self,
        history: &mut History<'_>,
        Ask { kind, amount, parent }: Ask,
        failure: Option<Failure>,
        management_state: Option<ManagementState>,
    ) -> TransactionId {
        let (id, sent_at) = (TransactionId::drawn(history.now, history.dice.bytes()), history.now);
        self.touch(history);
        history.wait_for_provider();
        self.touch(history);
        let heard = if failure.is_some() { Heard::Failed } else { Heard::Succeeded };
        let provider_reference = provider_id("trx", history.dice);
        let transaction = transaction::Model {
            id,
            payment_id: self.payment.id,
            kind,
            status: Status::Sent.on(heard).unwrap_or(Status::Sent),
            management_state,
            amount_minor: amount.minor(),
            currency: amount.currency(),
            parent_id: parent,
            attempt_id: None,
            reference: id.to_string(),
            provider_reference: Some(ProviderReference(provider_reference)),
            failure_code: failure.as_ref().map(|failure| failure.code.clone()),
            failure_message: failure.as_ref().map(|failure| failure.message.clone()),
            decline: failure.and_then(|failure| failure.decline),
            source: management_state.map(|_| SERVER.to_owned()),
            source_entity_type: None,
            source_entity_id: None,
            fencing_number: Some(self.lock.fencing_number),
            sends: 1,
            sent_at: Some(sent_at),
            checks: 0,
            next_check_at: None,
            created_at: sent_at,
            settled_at: Some(history.now),
        };
        let answered = Standing::from(&transaction);
        let by = if management_state.is_some() { Actor::SERVER } else { checkout() };
        self.note(Standing { status: Status::Sent, ..answered }, by, sent_at);
        self.note(answered, Actor::PROVIDER, history.now);
        history.batch.transactions.push(transaction);
        id
    }

    /// That was all.
    pub fn close(self, history: &mut History<'_>) {
        history.batch.methods.push(method::Model { id: self.payment.id, method_token: self.method_token });
        history.batch.payments.push(self.payment);
        history.batch.locks.push(self.lock);
        history.batch.audit.extend(self.trail);
    }
}

/// Who asks for what the server does not ask for of itself.
fn checkout() -> Actor {
    Actor { kind: ActorKind::Service, id: Some("checkout".into()) }
}

/// As the sandbox says no.
pub fn declined() -> Failure {
    Failure {
        code: "card_declined".into(),
        message: "The card was declined; another try may succeed.".into(),
        decline: Some(Decline::Soft),
    }
}

/// A name as the sandbox gives it.
pub fn provider_id(prefix: &str, dice: &mut Dice) -> String {
    format!("{prefix}_{}", hex(&dice.bytes::<16>()))
}
