//! What becomes of orders, and how often.
//!
//! Together they come to one payment and a little over two transactions an order.

use std::collections::BTreeMap;

use entity::{id::TransactionId, metadata::Metadata, money::Money, payment::MethodToken, transaction::Kind};

use super::{
    SeedError,
    history::History,
    page::Page,
    till::{Ask, Till},
};

/// What becomes of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// Paid on the provider's page, perhaps at the second try, and given back in part so many times.
    PaidOnPage { declined_first: bool, refunds: u32 },
    /// Authorized, perhaps at the second try; captured at once or as it is sent in two parcels; given back in part or not.
    Captured { declined_first: bool, parcels: u32, refunds: u32 },
    /// Nobody came back to pay it.
    Forgotten,
    /// The card was declined on the provider's page, and nobody came back.
    DeclinedOnPage,
    /// The card was declined.
    DeclinedCard,
    /// Cancelled before anybody paid.
    Cancelled,
    /// Cancelled after the money was held, which was given back.
    CancelledLate,
}

/// How often of a hundred.
pub const STORIES: [(u64, Story); 14] = [
    (22, Story::PaidOnPage { declined_first: false, refunds: 0 }),
    (4, Story::PaidOnPage { declined_first: true, refunds: 0 }),
    (13, Story::PaidOnPage { declined_first: false, refunds: 1 }),
    (6, Story::PaidOnPage { declined_first: false, refunds: 2 }),
    (12, Story::Captured { declined_first: false, parcels: 1, refunds: 0 }),
    (12, Story::Captured { declined_first: false, parcels: 1, refunds: 1 }),
    (12, Story::Captured { declined_first: false, parcels: 2, refunds: 0 }),
    (5, Story::Captured { declined_first: true, parcels: 1, refunds: 1 }),
    (5, Story::Captured { declined_first: false, parcels: 2, refunds: 1 }),
    (2, Story::Forgotten),
    (2, Story::DeclinedOnPage),
    (2, Story::DeclinedCard),
    (2, Story::Cancelled),
    (1, Story::CancelledLate),
];

impl Story {
    /// Tells it of an order that was just made.
    pub fn tell(self, history: &mut History<'_>) -> Result<(), SeedError> {
        history.wait(20, 600);
        match self {
            Self::PaidOnPage { declined_first, refunds } => {
                if declined_first {
                    declined_on_page(history);
                }
                paid_on_page(history, refunds)
            }
            Self::Captured { declined_first, parcels, refunds } => captured(history, declined_first, parcels, refunds),
            Self::Forgotten => Ok(()),
            Self::DeclinedOnPage => {
                declined_on_page(history);
                Ok(())
            }
            Self::DeclinedCard => {
                let mut till = with_card(history)?;
                till.ask_in_vain(history, authorize(&till))?;
                till.close(history);
                Ok(())
            }
            Self::Cancelled => history.cancel("nobody paid"),
            Self::CancelledLate => cancelled_late(history),
        }
    }
}

fn paid_on_page(history: &mut History<'_>, refunds: u32) -> Result<(), SeedError> {
    let mut page = Page::open(history);
    history.wait(15, 900);
    let paid = page.pay(history)?;
    refund(history, &mut page.till, paid, history.order.total(), refunds)?;
    page.close(history);
    Ok(())
}

fn declined_on_page(history: &mut History<'_>) {
    let mut page = Page::open(history);
    history.wait(15, 900);
    page.decline(history);
    page.close(history);
    history.wait(5, 120);
}

fn captured(history: &mut History<'_>, declined_first: bool, parcels: u32, refunds: u32) -> Result<(), SeedError> {
    let mut till = with_card(history)?;
    if declined_first {
        till.ask_in_vain(history, authorize(&till))?;
        history.wait(10, 300);
    }
    let held = till.ask(history, authorize(&till))?;
    let total = till.payment.amount();
    let mut left = total;
    if parcels > 1 {
        history.wait(3_600, 2 * 86_400);
        let first = part(history, total, 30, 70);
        capture(history, &mut till, held, first)?;
        left = left.minus(first).map_err(wrong)?;
    }
    history.wait(3_600, 4 * 86_400);
    let last = capture(history, &mut till, held, left)?;
    history.pay(None)?;
    refund(history, &mut till, last, left, refunds)?;
    till.close(history);
    Ok(())
}

fn cancelled_late(history: &mut History<'_>) -> Result<(), SeedError> {
    let mut till = with_card(history)?;
    let held = till.ask(history, authorize(&till))?;
    history.wait(600, 86_400);
    history.cancel("changed their mind")?;
    till.undo(history, held)?;
    till.close(history);
    Ok(())
}

/// A payment with a card that the shop keeps a token of.
fn with_card(history: &mut History<'_>) -> Result<Till, SeedError> {
    let pairs = [("brand", "visa"), ("last4", "4242"), ("expiry", "12/30")];
    let pairs: BTreeMap<String, String> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let display = Metadata::new(pairs).map_err(|faults| SeedError(format!("what is shown of a card: {faults:?}")))?;
    let till = Till::open(history, Some(MethodToken("tok_ok".into())), display);
    history.wait(1, 5);
    Ok(till)
}

fn authorize(till: &Till) -> Ask {
    Ask { kind: Kind::Authorize, amount: till.payment.amount(), parent: None }
}

fn capture(
    history: &mut History<'_>,
    till: &mut Till,
    held: TransactionId,
    amount: Money,
) -> Result<TransactionId, SeedError> {
    till.ask(history, Ask { kind: Kind::Capture, amount, parent: Some(held) })
}

/// Gives back a part of what was taken, so many times and never all of it.
fn refund(
    history: &mut History<'_>,
    till: &mut Till,
    taken: TransactionId,
    amount: Money,
    times: u32,
) -> Result<(), SeedError> {
    for _ in 0..times {
        history.wait(86_400, 15 * 86_400);
        let amount = part(history, amount, 10, 40);
        till.ask(history, Ask { kind: Kind::Refund, amount, parent: Some(taken) })?;
    }
    Ok(())
}

/// Some hundredths of an amount, and never nothing.
fn part(history: &mut History<'_>, of: Money, least: i64, most: i64) -> Money {
    let share = of.minor() / 100 * history.dice.within(least, most);
    Money::new(share.max(1), of.currency())
}

fn wrong(error: entity::money::MoneyError) -> SeedError {
    SeedError(format!("an amount {error}"))
}
