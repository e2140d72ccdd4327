//! An attempt to pay: one session at a provider, and its life from news to news.
//!
//! News moves an attempt forward only. Whether reported money is accepted is decided here too; who reports, and what follows for the
//! order, is not.

use std::fmt;

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{
    cart::CartDigest,
    id::{AttemptId, OrderId, PaymentId},
    money::{Currency, Money},
    order,
    reconciliation::Reason,
    transaction::{Decline, Failure},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Written down, the provider has not answered yet.
    Created,
    /// The session is open and waits for the shopper.
    Pending,
    /// The shopper is done, the provider is still working.
    Processing,
    Succeeded,
    Failed,
    Cancelled,
    Expired,
    /// The provider reported money that does not match: kept, not accepted, and waiting for a decision.
    Conflicted,
}

/// The statuses in which an order has an open attempt (rule T2).
pub const OPEN: [Status; 3] = [Status::Created, Status::Pending, Status::Processing];

/// What a provider may report of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Report {
    Pending,
    Processing,
    Succeeded,
    Failed,
    Cancelled,
    Expired,
}

/// News of an attempt, after reported money was judged by [`judge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter)]
pub enum News {
    Opened,
    Processing,
    Failed,
    Cancelled,
    Expired,
    /// Money moved, and it is the money that was asked for.
    MoneyAccepted,
    /// Money moved, and it is not what was asked for, or not wanted any more.
    MoneyRefused,
}

impl Status {
    pub fn is_open(self) -> bool {
        OPEN.contains(&self)
    }

    /// The whole life of an attempt (rule T3): the next status, or `None` where the news is old or changes nothing.
    ///
    /// Money that moved wins over whatever was said before; nothing undoes it. Accepted money also ends a conflict, so that the same
    /// reports in another order end in the same status.
    pub fn on(self, news: News) -> Option<Self> {
        use Status::{Cancelled, Conflicted, Created, Expired, Failed, Pending, Processing, Succeeded};
        match (self, news) {
            (Created, News::Opened) => Some(Pending),
            (Created | Pending, News::Processing) => Some(Processing),
            (Created | Pending | Processing, News::Failed) => Some(Failed),
            (Created | Pending | Processing, News::Cancelled) => Some(Cancelled),
            (Created | Pending | Processing, News::Expired) => Some(Expired),
            (Created | Pending | Processing | Failed | Cancelled | Expired | Conflicted, News::MoneyAccepted) => {
                Some(Succeeded)
            }
            (Created | Pending | Processing | Failed | Cancelled | Expired, News::MoneyRefused) => Some(Conflicted),
            _ => None,
        }
    }

    /// Whether a shopper can still be sent to the session: it waits for one.
    pub fn is_payable(self) -> bool {
        self == Self::Pending
    }

    /// Whether an attempt that comes to this status ended without money, so that its payment is archived (rule T3).
    pub fn ended_without_money(self) -> bool {
        matches!(self, Self::Failed | Self::Cancelled | Self::Expired)
    }
}

/// Whether reported money is what the attempt asked for, and still wanted (rules T4, T5).
///
/// `None`: it is. Otherwise why not; where several reasons hold, the one that is least about us. `due` is what the order's payments leave to be paid.
pub fn judge(attempt: &Model, order: &order::Model, due: Money, reported: Money) -> Option<Reason> {
    if reported.currency() != attempt.currency {
        return Some(Reason::CurrencyMismatch);
    }
    if reported.minor() != attempt.amount_minor {
        return Some(Reason::AmountMismatch);
    }
    match order.status {
        order::Status::Paid => Some(Reason::PaidTwice),
        order::Status::Cancelled => Some(Reason::ContradictingResult),
        order::Status::AwaitingPayment if order.cart_digest != attempt.cart_digest => Some(Reason::CartChanged),
        // Another payment has taken its place meanwhile.
        order::Status::AwaitingPayment if due.minor() < attempt.amount_minor => Some(Reason::PaidTwice),
        order::Status::AwaitingPayment => None,
    }
}

/// A provider's secret for its embedded form. Its Debug shows nothing.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct ClientSecret(pub String);

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_attempt")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AttemptId,
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    pub provider: String,
    /// Ours, unique: what the provider knows the session by even if its answer is lost (rule T1).
    pub reference: String,
    /// The provider's id of the session.
    pub external_id: Option<String>,
    pub status: Status,
    pub amount_minor: i64,
    pub currency: Currency,
    /// The cart that the attempt was started for (rule T4).
    pub cart_digest: CartDigest,
    pub return_url: Option<String>,
    pub redirect_url: Option<String>,
    pub client_secret: Option<ClientSecret>,
    pub failure_code: Option<String>,
    pub failure_message: Option<String>,
    pub decline: Option<Decline>,
    pub expires_at: Option<DateTime<Utc>>,
    /// How often the provider was asked after it.
    pub checks: i32,
    /// When it is asked after next; null: a while after it was written.
    pub next_check_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Model {
    /// Whether the shopper can be sent to where it is paid: the way there is taken back from one that must not be.
    pub fn can_be_paid(&self) -> bool {
        self.redirect_url.is_some() || self.client_secret.is_some()
    }

    pub fn amount(&self) -> Money {
        Money::new(self.amount_minor, self.currency)
    }

    pub fn failure(&self) -> Option<Failure> {
        Some(Failure {
            code: self.failure_code.clone()?,
            message: self.failure_message.clone().unwrap_or_default(),
            decline: self.decline,
        })
    }
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::Iterable;

    // rule T3
    #[test]
    fn the_whole_life_of_an_attempt() {
        let row = |from: Status| {
            let next: Vec<String> =
                News::iter().map(|news| from.on(news).map_or("-".into(), |to| format!("{to:?}"))).collect();
            format!("{:<10} {}\n", format!("{from:?}"), next.join(" "))
        };
        let table: String = Status::iter().map(row).collect();
        insta::assert_snapshot!(table, @r"
        Created    Pending Processing Failed Cancelled Expired Succeeded Conflicted
        Pending    - Processing Failed Cancelled Expired Succeeded Conflicted
        Processing - - Failed Cancelled Expired Succeeded Conflicted
        Succeeded  - - - - - - -
        Failed     - - - - - Succeeded Conflicted
        Cancelled  - - - - - Succeeded Conflicted
        Expired    - - - - - Succeeded Conflicted
        Conflicted - - - - - Succeeded -
        ");
    }

    #[test]
    fn the_same_news_twice_changes_nothing_the_second_time() {
        for (from, news) in Status::iter().flat_map(|from| News::iter().map(move |news| (from, news))) {
            if let Some(to) = from.on(news) {
                assert_eq!(to.on(news), None, "{from:?} on {news:?}");
            }
        }
    }

    // rule T3: whatever the order, money that was accepted decides
    #[test]
    fn news_with_accepted_money_ends_in_success_in_every_order() {
        for (before, after) in News::iter().flat_map(|one| News::iter().map(move |other| (one, other))) {
            let told = [before, News::MoneyAccepted, after];
            let end = told.iter().fold(Status::Created, |status, news| status.on(*news).unwrap_or(status));
            assert_eq!(end, Status::Succeeded, "{told:?}");
        }
    }
}
