//! What is sent to make and change payments, and what comes back.

use async_graphql::{ID, InputObject, SimpleObject};
use entity::{fault::Faults, payment::MethodToken};

use super::{
    failure::{Failure, part},
    money::MoneyInput,
    payment::Payment,
    problem::Problem,
    scalar::Metadata,
    token::{TokenText, lock_token},
    walk::Walked,
};
use crate::{
    error::{Error, Read},
    service::{
        payment::Booked,
        payment_change::{Archiving, NewPayment, PaymentChange},
    },
};

/// A payment to be made.
#[derive(Clone, Debug, InputObject)]
pub struct CreatePaymentInput {
    /// The order that it is to pay for (ord_…).
    order_id: ID,
    /// The provider by name, 1 to 50 characters.
    provider: String,
    /// Its share of the order, above zero, in the order's currency.
    amount: MoneyInput,
    /// The provider's token of the payment method, 1 to 255 characters. It is never shown again.
    method_token: TokenText,
    /// Safe to show: brand, last four digits, expiry. Never a token.
    display: Option<Metadata>,
    /// 1 to 255 characters: the same key again gives the same payment back.
    pub idempotency_key: String,
}

impl CreatePaymentInput {
    pub fn read(self) -> Read<NewPayment> {
        let mut faults = Faults::default();
        let order_id = faults.take("orderId", self.order_id.parse());
        faults.text("provider", &self.provider, 1..=50);
        let amount = self.amount.read_above_zero(&mut faults, "amount");
        let method_token = MethodToken(self.method_token.read(&mut faults, "methodToken"));
        let display = self.display.unwrap_or_default().read(&mut faults, "display");
        faults.text("idempotencyKey", &self.idempotency_key, 1..=255);
        let Self { provider, .. } = self;
        let new =
            || Some(NewPayment { order_id: order_id?, provider, amount: amount?, method_token, display: display? });
        faults.or(new())
    }
}

/// A payment to be changed.
#[derive(Clone, Debug, InputObject)]
pub struct UpdatePaymentInput {
    /// The payment's id (pay_…).
    payment_id: ID,
    /// Its new share of the order, above zero, in the same currency, and not less than was captured.
    amount: Option<MoneyInput>,
    /// Safe to show: brand, last four digits, expiry. It takes the place of what was there.
    display: Option<Metadata>,
    /// The version that was read; another one is STALE_VERSION.
    expected_version: Option<i32>,
    /// The token of a lock on the payment: the change is made inside that lock, and leaves it held.
    lock_token: Option<TokenText>,
}

impl UpdatePaymentInput {
    pub fn read(self) -> Read<PaymentChange> {
        let mut faults = Faults::default();
        let payment_id = faults.take("paymentId", self.payment_id.parse());
        if self.amount.is_none() && self.display.is_none() {
            faults.add("amount", "or display is needed: there is nothing to change");
        }
        let amount = self.amount.and_then(|amount| amount.read_above_zero(&mut faults, "amount"));
        let display = self.display.and_then(|display| display.read(&mut faults, "display"));
        let lock_token = lock_token(&mut faults, self.lock_token);
        let expected_version = self.expected_version;
        faults.or(payment_id.map(|payment_id| PaymentChange {
            payment_id,
            amount,
            display,
            expected_version,
            lock_token,
        }))
    }
}

/// A payment to be archived.
#[derive(Clone, Debug, InputObject)]
pub struct ArchivePaymentInput {
    /// The payment's id (pay_…).
    payment_id: ID,
    /// The version that was read; another one is STALE_VERSION.
    expected_version: Option<i32>,
    /// The token of a lock on the payment: it is archived inside that lock, which stays held.
    lock_token: Option<TokenText>,
}

impl ArchivePaymentInput {
    pub fn read(self) -> Read<Archiving> {
        let mut faults = Faults::default();
        let payment_id = faults.take("paymentId", self.payment_id.parse());
        let lock_token = lock_token(&mut faults, self.lock_token);
        let expected_version = self.expected_version;
        faults.or(payment_id.map(|payment_id| Archiving { payment_id, expected_version, lock_token }))
    }
}

/// A payment, or why not.
#[derive(SimpleObject)]
pub struct PaymentPayload {
    /// The payment as it is now; null where there is a problem.
    payment: Option<Walked<Payment>>,
    /// Null on success.
    problem: Option<Problem>,
}

impl PaymentPayload {
    pub fn of(given: Result<Booked, Error>) -> Result<Self, Failure> {
        let (booked, problem) = part(given)?;
        Ok(Self { payment: booked.map(|booked| Walked(booked.into())), problem: problem.map(Problem::from) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::{InputType, Value, value};
    use chrono::DateTime;
    use entity::id::{OrderId, PaymentId};

    fn new_payment(method_token: Value) -> Value {
        let amount = value!({ "amount": "12.50", "currency": "EUR" });
        let order_id = OrderId::new(DateTime::UNIX_EPOCH).to_string();
        value!({
            "orderId": order_id,
            "provider": "sandbox",
            "amount": amount,
            "methodToken": method_token,
            "idempotencyKey": "k",
        })
    }

    // rule P11
    #[test]
    fn a_method_token_is_in_no_debug_output() {
        let input = CreatePaymentInput::parse(Some(new_payment("pm_secret".into()))).ok().unwrap();
        assert!(!format!("{input:?}").contains("secret"));
        let read = input.read();
        assert!(read.is_ok() && !format!("{read:?}").contains("secret"));
    }

    // rule P11
    #[test]
    fn a_method_token_that_is_refused_is_not_repeated() {
        let oversized = CreatePaymentInput::parse(Some(new_payment("secret".repeat(50).into()))).ok().unwrap();
        let faults = oversized.read().unwrap_err();
        assert_eq!(faults[0].path, ["methodToken"]);
        assert!(!faults[0].message.contains("secret"));
        let no_text = CreatePaymentInput::parse(Some(new_payment(value!(["secret"]))));
        assert!(!format!("{:?}", no_text.err().unwrap()).contains("secret"));
    }

    #[test]
    fn a_change_of_nothing_is_refused() {
        let payment_id = PaymentId::new(DateTime::UNIX_EPOCH).to_string();
        let nothing = value!({ "paymentId": payment_id, "display": null });
        let faults = UpdatePaymentInput::parse(Some(nothing)).ok().unwrap().read().unwrap_err();
        assert_eq!(faults[0].path, ["amount"]);
        assert_eq!(faults[0].message, "or display is needed: there is nothing to change");
    }
}
