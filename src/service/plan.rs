//! What a transaction that is asked for would come to: everything is checked here, and nothing is written (rules P3 to P5, P10).
//!
//! The order's row and the payment's lock are held by whoever asks, so that what is found out here still holds when it is written.

use entity::{
    capability::Capabilities,
    money::{Money, MoneyError},
    order, payment,
    reconciliation::{self, Reason},
    share::{self, Refusal, Share, Wanted, rest, share_out},
    summary::{Entry, PaymentSummary, capturable, chargeable},
    transaction::{Kind, Model, Status},
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::{attempt, lock::expect_version, payment as payments, transaction::TransactionRequest};
use crate::{
    app::App,
    db::WriteTransaction,
    error::{Error, Problem},
};

/// What is to be sent, and on what ground.
pub(super) struct Plan {
    pub payment: payment::Model,
    pub kind: Kind,
    pub shares: Vec<Share>,
    ledger: Vec<Model>,
    capabilities: Capabilities,
}

/// Checks a request against the payment, its ledger, the provider and the order.
pub(super) async fn plan(
    app: &App,
    tx: &WriteTransaction,
    order: &order::Model,
    kind: Kind,
    request: &TransactionRequest,
) -> Result<Plan, Error> {
    let payment = payments::by_id(tx, request.payment_id).await?;
    expect_version(&payment, request.expected_version)?;
    if payment.status == payment::Status::Archived {
        return Err(Problem::PaymentArchived.into());
    }
    if request.amount.currency() != payment.currency {
        let message = format!("The payment is in {}, not in {}.", payment.currency, request.amount.currency());
        return Err(Problem::CurrencyMismatch { message }.into());
    }
    let provider = app.providers.named(&payment.provider);
    let capabilities = provider.ok_or_else(|| Problem::unknown_provider(&payment.provider))?.capabilities();
    if kind.charges() && order.status == order::Status::Cancelled {
        return Err(Problem::OrderCancelled.into());
    }
    let ledger = payments::transactions(tx, payment.id).await?;
    let wanted = Wanted { kind, amount: request.amount, parent: request.parent };
    let shares = share_out(wanted, payment.amount(), &ledger, &capabilities)?;
    let shares = shares.map_err(|refusal| refused(refusal, request, &payment))?;
    let plan = Plan { payment, kind, shares, ledger, capabilities };
    plan.check_method(tx).await?;
    plan.check_cases(tx).await?;
    let summary = plan.summary();
    summary.map_err(|error| Problem::invalid("amount", format!("is too much for this payment's books: it {error}")))?;
    if kind.charges() {
        attempt::may_be_charged(tx, order).await?;
    }
    check_order(tx, order, &plan.payment, kind, request.amount).await?;
    Ok(plan)
}

impl Plan {
    /// Only a payment with a method of its own can be charged, or credited, without the shopper.
    async fn check_method(&self, tx: &WriteTransaction) -> Result<(), Error> {
        if !self.kind.parents().is_empty() {
            return Ok(());
        }
        let method = entity::method::Entity::find_by_id(self.payment.id).one(tx).await?;
        match method.and_then(|row| row.method_token) {
            Some(_) => Ok(()),
            None => {
                let why =
                    "The payment goes through the provider's page; it has no payment method of its own".to_owned();
                Err(Problem::ProviderUnsupported { why }.into())
            }
        }
    }

    /// A call that failed and then was reported to have succeeded is not made good by another one: somebody has to look first (rule P2).
    async fn check_cases(&self, tx: &WriteTransaction) -> Result<(), Error> {
        if self.kind.charges() {
            return Ok(());
        }
        let cases = reconciliation::Entity::find()
            .filter(reconciliation::Column::PaymentId.eq(self.payment.id))
            .filter(reconciliation::Column::State.eq(reconciliation::State::Open))
            .filter(reconciliation::Column::Reason.eq(Reason::ContradictingResult))
            .all(tx)
            .await?;
        let contradicted = |row: &Model| {
            row.kind == self.kind
                && row.status == Status::Failed
                && cases.iter().any(|case| case.transaction_id == Some(row.id))
        };
        match self.ledger.iter().any(contradicted) {
            true => Err(Problem::OutcomeUnknown.into()),
            false => Ok(()),
        }
    }

    /// What the payment's summary would be if all of it succeeded.
    pub fn summary(&self) -> Result<PaymentSummary, MoneyError> {
        let mut entries: Vec<Entry> = self.ledger.iter().map(Model::entry).collect();
        for share in &self.shares {
            entries.push(succeeded(self.kind, share.amount));
            if let Some(released) = self.released(share)? {
                entries.push(succeeded(Kind::ReverseAuthorize, released));
            }
        }
        PaymentSummary::of(self.payment.amount(), &entries)
    }

    /// What a capture would let go of its authorization (rule P10).
    fn released(&self, share: &Share) -> Result<Option<Money>, MoneyError> {
        if self.kind != Kind::Capture || !self.capabilities.partial_capture_ends_authorization {
            return Ok(None);
        }
        let parent = self.ledger.iter().find(|row| Some(row.id) == share.parent);
        let left = parent.map(|parent| rest(parent, &self.ledger)?.minus(share.amount)).transpose()?;
        Ok(left.filter(|left| left.minor() > 0))
    }
}

fn succeeded(kind: Kind, amount: Money) -> Entry {
    Entry { kind, status: Status::Succeeded, management_state: None, amount }
}

fn refused(refusal: Refusal, request: &TransactionRequest, payment: &payment::Model) -> Problem {
    match refusal {
        Refusal::Unsuitable(why) => Problem::ParentTransactionUnsuitable { why: why.to_owned() },
        Refusal::Exceeds(available) => Problem::AmountExceedsAvailable { requested: request.amount, available },
        Refusal::Unsupported(why) => {
            Problem::ProviderUnsupported { why: format!("The provider {} {why}", payment.provider) }
        }
        Refusal::Unanswered => Problem::OutcomeUnknown,
        Refusal::TooMany => {
            let most = share::MOST_SHARES;
            let why = format!(
                "would be spread over more than {most} earlier transactions; ask for less, or name one with parentTransactionId"
            );
            Problem::invalid("amount", why)
        }
    }
}

/// Two payments for the whole order, or a payment and an open attempt, can't both charge it; and no more is captured than the order, and the payment,
/// cost by now.
async fn check_order(
    tx: &WriteTransaction,
    order: &order::Model,
    payment: &payment::Model,
    kind: Kind,
    amount: Money,
) -> Result<(), Error> {
    let ledger = payments::ledger(tx, order.id).await?;
    let too_much =
        |error: MoneyError| Problem::invalid("amount", format!("is too much for this order's books: it {error}"));
    ledger.summary_with(order, succeeded(kind, amount)).map_err(too_much)?;
    let free = match kind {
        Kind::Authorize | Kind::AuthorizeAndCapture => chargeable(order.total(), &ledger.active_entries())?,
        Kind::Capture => {
            let of_order = capturable(order.total(), &ledger.all_entries())?;
            let of_payment = capturable(payment.amount(), &ledger.entries_of(payment.id))?;
            if of_order.covers(of_payment)? { of_payment } else { of_order }
        }
        Kind::ReverseAuthorize | Kind::Refund | Kind::DetachedCredit => return Ok(()),
    };
    if !free.covers(amount)? {
        return Err(Problem::AmountExceedsAvailable { requested: amount, available: free }.into());
    }
    if kind == Kind::Capture {
        return Ok(());
    }
    match attempt::open_on(tx, order.id).await? {
        Some(open) if !free.minus(open.amount())?.covers(amount)? => Err(Problem::OrderHasOpenAttempt.into()),
        _ => Ok(()),
    }
}
