//! What is sent to start an attempt to pay and to tell how it ended, and what comes back.

use async_graphql::{ID, InputObject, SimpleObject};
use chrono::{DateTime, Utc};
use entity::{event::Report, fault::Faults, money::Currency, transaction::Failure as Declined};
use serde_json::json;

use super::{
    attempt::{PaymentAttempt, PaymentAttemptStatus},
    failure::{Failure, part},
    money::{MoneyInput, amount},
    order::Order,
    problem::Problem,
    scalar::{CurrencyCode, Decimal, Instant},
    token::{TokenText, lock_token},
    walk::Walked,
};
use crate::{
    error::{Error, Read},
    service::{
        attempt::{AttemptToPay, Attempted},
        settle::{Reported, Settled, Told},
    },
};

/// An attempt to be started.
#[derive(Clone, Debug, InputObject)]
pub struct AttemptToPayForOrderInput {
    /// The order's id (ord_…).
    order_id: ID,
    /// By name, 1 to 50 characters; the server's default one where none is given.
    provider: Option<String>,
    /// Where the shopper goes afterwards, up to 2000 characters; its origin must be configured.
    return_url: Option<String>,
    /// What the shopper was shown. A different amount due is a problem, not a surprise on the card.
    expected_amount: Option<MoneyInput>,
    /// 1 to 255 characters: the same key again gives the same attempt back.
    pub idempotency_key: String,
    /// The token of a lock on the payment of the attempt that is open, where one has to give way: it is ended inside that lock, which stays held.
    lock_token: Option<TokenText>,
}

impl AttemptToPayForOrderInput {
    pub fn read(self) -> Read<AttemptToPay> {
        let mut faults = Faults::default();
        let order_id = faults.take("orderId", self.order_id.parse());
        if let Some(provider) = &self.provider {
            faults.text("provider", provider, 1..=50);
        }
        if let Some(address) = &self.return_url {
            faults.address("returnUrl", address, 1..=2000);
        }
        let not_an_address = "is not an address such as https://shop.example/paid";
        let return_url = self.return_url.map(|text| faults.take("returnUrl", text.parse().map_err(|_| not_an_address)));
        let expected_amount = self.expected_amount.map(|amount| amount.read(&mut faults, "expectedAmount"));
        faults.text("idempotencyKey", &self.idempotency_key, 1..=255);
        let lock_token = lock_token(&mut faults, self.lock_token);
        let request = order_id.map(|order_id| AttemptToPay {
            order_id,
            provider: self.provider,
            return_url: return_url.flatten(),
            expected_amount: expected_amount.flatten(),
            lock_token,
        });
        faults.or(request)
    }
}

/// Why something failed, as a provider told it.
#[derive(Clone, Debug, InputObject)]
pub struct FailureInput {
    /// The provider's code.
    code: String,
    /// The provider's words.
    message: String,
}

/// News of a session, as a provider told it.
#[derive(Clone, Debug, InputObject)]
pub struct UpdateAttemptToPayInput {
    /// The provider's id of the session.
    attempt_external_id: String,
    /// What the provider reports: any status but CREATED and CONFLICTED, which are the server's own.
    status: PaymentAttemptStatus,
    /// The amount that the provider reports.
    total_amount: Decimal,
    /// The currency that the provider reports.
    currency: CurrencyCode,
    /// The provider's event id, where it has one: the same event twice changes nothing.
    event_id: Option<String>,
    /// When it happened, in the provider's words; kept with the report.
    occurred_at: Option<Instant>,
    /// Why it failed, where it did.
    failure: Option<FailureInput>,
    /// The token of a lock on the attempt's payment: the news is taken in inside that lock, which stays held.
    lock_token: Option<TokenText>,
}

impl UpdateAttemptToPayInput {
    pub fn read(self) -> Read<Reported> {
        let mut faults = Faults::default();
        faults.text("attemptExternalId", &self.attempt_external_id, 1..=255);
        if let Some(event_id) = &self.event_id {
            faults.text("eventId", event_id, 1..=255);
        }
        let occurred_at = self.occurred_at.map(|at| at.read(&mut faults, "occurredAt"));
        let words = Report(self.words(occurred_at.flatten()));
        let report = self.status.reported();
        if report.is_none() {
            faults.add("status", "is the server's own; a provider reports any of the others");
        }
        let currency: Option<Currency> = faults.take("currency", self.currency.0.parse());
        let amount = currency.and_then(|currency| amount(&mut faults, "totalAmount", &self.total_amount, currency));
        let failure = self.failure.map(|failure| {
            faults.text("failure.code", &failure.code, 1..=255);
            faults.text("failure.message", &failure.message, 0..=1000);
            Declined { code: failure.code, message: failure.message, decline: None }
        });
        let lock_token = lock_token(&mut faults, self.lock_token);
        let (event_id, external_id) = (self.event_id, self.attempt_external_id);
        let told = report.zip(amount).map(|(report, amount)| Told { report, amount, failure, event_id, words });
        faults.or(told.map(|told| Reported { external_id, told, lock_token }))
    }

    /// The report as it was sent, under the API's names: it may be evidence.
    fn words(&self, occurred_at: Option<DateTime<Utc>>) -> String {
        let failure = self.failure.as_ref().map(|it| json!({ "code": it.code, "message": it.message }));
        json!({
            "attemptExternalId": self.attempt_external_id,
            "status": async_graphql::resolver_utils::enum_value(self.status),
            "totalAmount": self.total_amount.text(),
            "currency": self.currency.0,
            "eventId": self.event_id,
            "occurredAt": occurred_at.map(|at| at.to_rfc3339()),
            "failure": failure,
        })
        .to_string()
    }
}

/// An attempt, or why none.
#[derive(SimpleObject)]
pub struct PaymentAttemptPayload {
    /// The attempt as it is now. It may be there beside a problem: what was written down stays. Where it ended meanwhile, its status says how, and
    /// there is no redirectUrl: start another attempt under a new key.
    attempt: Option<Walked<PaymentAttempt>>,
    /// Whether it was there before.
    replayed: bool,
    /// Null on success.
    problem: Option<Problem>,
}

impl PaymentAttemptPayload {
    pub fn of(given: Result<Attempted, Error>) -> Result<Self, Failure> {
        let (attempted, problem) = part(given)?;
        let Some(Attempted { attempt, replayed, problem }) = attempted else {
            return Ok(Self { attempt: None, replayed: false, problem: problem.map(Problem::from) });
        };
        let attempt = attempt.map(|row| Walked(PaymentAttempt(row)));
        Ok(Self { attempt, replayed, problem: problem.map(Problem::from) })
    }
}

/// What came of news.
#[derive(SimpleObject)]
pub struct UpdateAttemptToPayPayload {
    /// The attempt as it is now.
    attempt: Option<Walked<PaymentAttempt>>,
    /// Its order as it is now.
    order: Option<Walked<Order>>,
    /// Whether nothing changed, because the news was known or old.
    already_processed: bool,
    /// Null on success.
    problem: Option<Problem>,
}

impl UpdateAttemptToPayPayload {
    pub fn of(given: Result<Settled, Error>) -> Result<Self, Failure> {
        let (settled, problem) = part(given)?;
        let Some(Settled { attempt, order, already_processed, problem, .. }) = settled else {
            let problem = problem.map(Problem::from);
            return Ok(Self { attempt: None, order: None, already_processed: false, problem });
        };
        Ok(Self {
            attempt: Some(Walked(PaymentAttempt(attempt))),
            order: Some(Walked(Order::new(&order))),
            already_processed,
            problem: problem.map(Problem::from),
        })
    }
}
