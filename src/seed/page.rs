//! An attempt to pay on the provider's page, and what came of it.

use chrono::TimeDelta;
use entity::{
    attempt::{ClientSecret, Model, News, Status},
    audit::{Actor, Standing},
    id::{AttemptId, TransactionId},
    metadata::Metadata,
    payment,
    transaction::{self, Kind, ProviderReference},
};

use super::{
    PROVIDER, SeedError,
    history::History,
    till::{Till, declined, provider_id},
};

/// How long a shopper might have taken on the page.
const SESSION: TimeDelta = TimeDelta::minutes(30);

/// A session that is open, and the payment that it is for.
pub struct Page {
    attempt: Model,
    pub till: Till,
}

impl Page {
    /// The attempt is written, and the provider opens the session.
    pub fn open(history: &mut History<'_>) -> Self {
        let till = Till::open(history, None, Metadata::default());
        let (id, created_at) = (AttemptId::drawn(history.now, history.dice.bytes()), history.now);
        history.wait_for_provider();
        let external_id = provider_id("ses", history.dice);
        let attempt = Model {
            id,
            order_id: history.order.id,
            payment_id: till.payment.id,
            provider: PROVIDER.to_owned(),
            reference: id.to_string(),
            redirect_url: Some(format!("http://127.0.0.1:8080/sandbox/pay/{external_id}")),
            external_id: Some(external_id),
            status: Status::Created.on(News::Opened).unwrap_or(Status::Created),
            amount_minor: till.payment.amount_minor,
            currency: till.payment.currency,
            cart_digest: history.order.cart_digest.clone(),
            return_url: None,
            client_secret: Some(ClientSecret(provider_id("sec", history.dice))),
            failure_code: None,
            failure_message: None,
            decline: None,
            expires_at: Some(created_at + SESSION),
            checks: 0,
            next_check_at: None,
            created_at,
            updated_at: history.now,
        };
        Self { attempt, till }
    }

    /// The shopper pays: the money comes into the ledger, and the order is paid. Gives what is there to be refunded.
    pub fn pay(&mut self, history: &mut History<'_>) -> Result<TransactionId, SeedError> {
        let attempt = &self.attempt;
        let id = TransactionId::drawn(history.now, history.dice.bytes());
        let transaction = transaction::Model {
            id,
            payment_id: attempt.payment_id,
            kind: Kind::AuthorizeAndCapture,
            status: transaction::Status::Succeeded,
            management_state: None,
            amount_minor: attempt.amount_minor,
            currency: attempt.currency,
            parent_id: None,
            attempt_id: Some(attempt.id),
            reference: attempt.reference.clone(),
            provider_reference: attempt.external_id.clone().map(ProviderReference),
            failure_code: None,
            failure_message: None,
            decline: None,
            source: None,
            source_entity_type: None,
            source_entity_id: None,
            fencing_number: None,
            sends: 1,
            sent_at: None,
            checks: 0,
            next_check_at: None,
            created_at: history.now,
            settled_at: Some(history.now),
        };
        self.till.note(Standing::from(&transaction), Actor::PROVIDER, history.now);
        history.batch.transactions.push(transaction);
        self.advance(history, News::MoneyAccepted);
        history.pay(Some(self.attempt.id))?;
        Ok(id)
    }

    /// The shopper's card is declined, and the payment is put away.
    pub fn decline(&mut self, history: &History<'_>) {
        let failure = declined();
        self.attempt.failure_code = Some(failure.code);
        self.attempt.failure_message = Some(failure.message);
        self.attempt.decline = failure.decline;
        self.advance(history, News::Failed);
        self.till.payment.status = payment::Status::Archived;
    }

    fn advance(&mut self, history: &History<'_>, news: News) {
        self.attempt.status = self.attempt.status.on(news).unwrap_or(self.attempt.status);
        self.attempt.updated_at = history.now;
        self.till.touch(history);
    }

    /// That was all.
    pub fn close(self, history: &mut History<'_>) {
        history.batch.attempts.push(self.attempt);
        self.till.close(history);
    }
}
