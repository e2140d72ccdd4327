//! Locks on payments as the API shows them.

use async_graphql::SimpleObject;
use entity::lock::Model;

use super::{
    payment::Payment,
    scalar::Instant,
    walk::{Walked, at_hand},
};
use crate::{error::Error, service::lock::Granted};

/// Who works on a payment, and until when; without the token.
#[derive(SimpleObject)]
pub struct PaymentLockState {
    /// What it was taken for, in the words of whoever took it.
    purpose: Option<String>,
    /// When it was taken.
    acquired_at: Instant,
    /// When it runs out by itself, unless it is extended.
    expires_at: Instant,
    /// Grows with every acquisition of this payment's lock.
    fencing_number: String,
}

at_hand!(PaymentLockState,
    "purpose" => |it| it.purpose,
    "acquiredAt" => |it| it.acquired_at,
    "expiresAt" => |it| it.expires_at,
    "fencingNumber" => |it| it.fencing_number,
);

impl TryFrom<Model> for PaymentLockState {
    type Error = Error;

    fn try_from(row: Model) -> Result<Self, Error> {
        let times = row.acquired_at.zip(row.expires_at);
        let (acquired_at, expires_at) =
            times.ok_or_else(|| Error::Fault(format!("the lock of {} is held and has no times", row.payment_id)))?;
        Ok(Self {
            purpose: row.purpose,
            acquired_at: Instant::At(acquired_at),
            expires_at: Instant::At(expires_at),
            fencing_number: row.fencing_number.to_string(),
        })
    }
}

/// Given once, to whoever took the lock.
#[derive(SimpleObject)]
pub struct PaymentLock {
    /// The payment as it is under the lock.
    payment: Walked<Payment>,
    /// What works under the lock, extends it and gives it back. It is shown here and nowhere else.
    token: String,
    /// Grows with every acquisition of this payment's lock; a write under an older number is refused.
    fencing_number: String,
    /// When the lock runs out by itself, unless it is extended.
    expires_at: Instant,
}

impl From<Granted> for PaymentLock {
    fn from(granted: Granted) -> Self {
        Self {
            payment: Walked(granted.payment.into()),
            token: granted.token.expose().to_owned(),
            fencing_number: granted.fencing_number.to_string(),
            expires_at: Instant::At(granted.expires_at),
        }
    }
}
