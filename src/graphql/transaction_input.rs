//! What is sent to move a payment's money, and what comes back.

use async_graphql::{ID, InputObject, SimpleObject};
use entity::fault::Faults;

use super::{
    failure::{Failure, part},
    money::{Money, MoneyInput},
    payment::Payment,
    problem::Problem,
    provider_failure::ProviderFailure,
    summary::PaymentSummary,
    token::{TokenText, lock_token},
    transaction::TransactionStatus,
    walk::Walked,
};
use crate::{
    error::{Error, Read},
    service::transaction::{Outcome, Transacted, TransactionRequest},
};

/// Money to be moved, held or let go.
#[derive(Clone, Debug, InputObject)]
pub struct TransactionInput {
    /// The payment's id (pay_…).
    payment_id: ID,
    /// How much, above zero, in the payment's currency. More than is available is AMOUNT_EXCEEDS_AVAILABLE, never less than was asked for.
    amount: MoneyInput,
    /// Which earlier transaction this one acts on; found by itself where only one fits, split over several where one is not enough.
    parent_transaction_id: Option<ID>,
    /// 1 to 255 characters: the same key again gives what came of it the first time.
    pub idempotency_key: String,
    /// The token of a lock on the payment: it runs inside that lock, and leaves it held. Without one it takes the lock itself and gives it back.
    lock_token: Option<TokenText>,
    /// The payment's version that was read; another one is STALE_VERSION.
    expected_version: Option<i32>,
    /// Who asks for it, for the record: 1 to 255 characters, but neither "server" nor "provider".
    source: Option<String>,
    /// What kind of thing it is for the sake of, for the record: 1 to 255 characters.
    source_entity_type: Option<String>,
    /// Which one, for the record: 1 to 255 characters.
    source_entity_id: Option<String>,
    /// Check everything, say what the summary would be, and touch nothing.
    #[graphql(default_with = "Some(false)")]
    dry_run: Option<bool>,
}

impl TransactionInput {
    pub fn read(self) -> Read<TransactionRequest> {
        let mut faults = Faults::default();
        let payment_id = faults.take("paymentId", self.payment_id.parse());
        let amount = self.amount.read_above_zero(&mut faults, "amount");
        let parent = self.parent_transaction_id.map(|id| faults.take("parentTransactionId", id.parse()));
        faults.text("idempotencyKey", &self.idempotency_key, 1..=255);
        let lock_token = lock_token(&mut faults, self.lock_token);
        let words = [
            ("source", &self.source),
            ("sourceEntityType", &self.source_entity_type),
            ("sourceEntityId", &self.source_entity_id),
        ];
        for (path, text) in words {
            if let Some(text) = text {
                faults.text(path, text, 1..=255);
            }
        }
        if let Some(own @ ("server" | "provider")) = self.source.as_deref() {
            faults.add("source", format!("can't be {own:?}: that is what the server says of its own work"));
        }
        let request = payment_id.zip(amount).map(|(payment_id, amount)| TransactionRequest {
            payment_id,
            amount,
            parent: parent.flatten(),
            lock_token,
            expected_version: self.expected_version,
            source: self.source,
            source_entity_type: self.source_entity_type,
            source_entity_id: self.source_entity_id,
            dry_run: self.dry_run.unwrap_or_default(),
        });
        faults.or(request)
    }
}

/// What came of it, or why nothing was sent.
#[derive(SimpleObject)]
pub struct TransactionPayload {
    /// The payment as it is now. It may be there beside a problem: what was written down stays.
    payment: Option<Walked<Payment>>,
    /// What came of it; null where nothing was sent. A decline is an outcome, not a problem.
    outcome: Option<TransactionOutcome>,
    /// Whether it was sent under this key before.
    replayed: bool,
    /// Null on success.
    problem: Option<Problem>,
}

impl TransactionPayload {
    pub fn of(given: Result<Transacted, Error>) -> Result<Self, Failure> {
        let (transacted, problem) = part(given)?;
        let Some(Transacted { payment, outcome, replayed, problem }) = transacted else {
            let problem = problem.map(Problem::from);
            return Ok(Self { payment: None, outcome: None, replayed: false, problem });
        };
        Ok(Self {
            payment: Some(Walked(payment.into())),
            outcome: outcome.map(TransactionOutcome::from),
            replayed,
            problem: problem.map(Problem::from),
        })
    }
}

/// What came of it, without the transaction itself. Where one request became several transactions and they ended differently, it tells of the part
/// that is furthest from success; the summary has all.
#[derive(SimpleObject)]
pub struct TransactionOutcome {
    /// What the provider said; with dryRun, SUCCEEDED.
    status: TransactionStatus,
    /// How much money it is about.
    amount: Walked<Money>,
    /// Why it failed, where it did.
    failure: Option<Walked<ProviderFailure>>,
    /// The payment's summary with it; with dryRun, what it would be.
    summary: Walked<PaymentSummary>,
}

impl From<Outcome> for TransactionOutcome {
    fn from(outcome: Outcome) -> Self {
        Self {
            status: outcome.status.into(),
            amount: Walked(outcome.amount.into()),
            failure: outcome.failure.map(|failure| Walked(failure.into())),
            summary: Walked(outcome.summary.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::{InputType, value};
    use chrono::DateTime;
    use entity::id::PaymentId;

    fn input(amount: &str, parent: &str, token: &str) -> TransactionInput {
        let sent = value!({
            "paymentId": (PaymentId::new(DateTime::UNIX_EPOCH).to_string()),
            "amount": { "amount": amount, "currency": "EUR" },
            "parentTransactionId": parent,
            "idempotencyKey": "k",
            "lockToken": token,
            "source": "",
        });
        TransactionInput::parse(Some(sent)).ok().unwrap()
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let faults = input("0", "pay_1", "").read().unwrap_err();
        let paths: Vec<String> = faults.iter().map(|fault| fault.path.join(".")).collect();
        assert_eq!(paths, ["amount.amount", "parentTransactionId", "lockToken", "source"]);
    }

    // rule M4
    #[test]
    fn only_an_amount_above_zero_moves() {
        for amount in ["0", "0.00", "-1"] {
            let faults = input(amount, "txn_1", "t").read().unwrap_err();
            assert_eq!(faults[0].message, "must be above zero", "{amount}");
        }
    }

    // rule P11
    #[test]
    fn a_lock_token_is_in_no_debug_output_and_in_no_fault() {
        let secret = "s".repeat(256);
        let input = input("1", "txn_1", &secret);
        assert!(!format!("{input:?}").contains(&secret));
        assert!(!format!("{:?}", input.read()).contains(&secret));
    }
}
