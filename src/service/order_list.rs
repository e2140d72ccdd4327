//! Pages of orders, newest first, each at the same cost (rules L1 to L5).
//!
//! An owner's orders carry 1, 2, 3 … without gaps, so page k is a range of numbers and the total is the owner's count: no OFFSET, and no
//! count over rows unless a filter asks for one. A cursor names the order that it stands at, so a list that is renumbered under it goes on at the
//! right place.

mod cursor;
mod page;

use chrono::{DateTime, Utc};
use entity::{
    cart::Cart,
    id::OrderId,
    metadata::Metadata,
    order::{Head, Status},
    owner::{Owner, OwnerKind},
};

#[cfg(test)]
pub use self::cursor::forged;
use self::{
    cursor::Seal,
    page::{Cut, Start},
};
use super::payment::Ledger;
use crate::{
    app::App,
    auth::{Caller, Scope},
    error::{Error, Problem},
};

/// The largest page.
pub const MOST_PER_PAGE: u32 = 100;

/// Which orders of a list are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// None: every status.
    pub statuses: Option<Vec<Status>>,
    pub created_from: Option<DateTime<Utc>>,
    /// Not included itself.
    pub created_to: Option<DateTime<Utc>>,
    pub number: Option<String>,
}

impl Filter {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Which part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first `count`, after a cursor where there is one.
    First { count: u32, after: Option<String> },
    /// The last `count`, before a cursor where there is one.
    Last { count: u32, before: Option<String> },
    /// The k-th page of `count`, from 1.
    Page { count: u32, page: u32 },
}

/// What is wanted of the orders of a page: nothing else is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// How many orders the whole list has.
    pub total: bool,
    pub carts: bool,
    pub metadata: bool,
    pub ledgers: bool,
    /// What payments show; without it the ledgers' payments show nothing.
    pub displays: bool,
}

/// Whose list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum List {
    /// A shopper's.
    Owner(Owner),
    /// All orders there are.
    Everybody,
    /// One that the caller may not see: it looks like that of somebody who has no orders, and takes as long (rule A2).
    Hidden,
}

/// An order of a page, with what was wanted of it.
#[derive(Clone, Debug)]
pub struct Listed {
    pub head: Head,
    pub cart: Option<Cart>,
    pub metadata: Option<Metadata>,
    pub ledger: Option<Ledger>,
}

/// A part of a list, newest first.
#[derive(Clone, Debug)]
pub struct Page {
    pub orders: Vec<Listed>,
    pub has_next: bool,
    pub has_previous: bool,
    /// How many orders were asked for.
    pub per_page: u32,
    /// Of the whole list; `None` if it was not wanted and would have cost a count.
    pub total: Option<u64>,
    seal: Seal,
}

impl Page {
    /// The cursor that stands at an order of this page.
    pub fn cursor(&self, order: OrderId) -> String {
        self.seal.cursor(order)
    }
}

/// A part of one shopper's list: their own, or anybody's for a service with `orders:read`.
pub async fn get_owner_orders(
    app: &App,
    caller: &Caller,
    owner: Owner,
    filter: Filter,
    part: Part,
    wanted: Wanted,
) -> Result<Page, Error> {
    let list = match caller.audience(Scope::OrdersRead)?.owner() {
        Some(own) if *own != owner => List::Hidden,
        Some(_) | None => List::Owner(owner),
    };
    read(app, list, filter, part, wanted).await
}

/// A part of the caller's own list; a service owns no orders.
pub async fn get_own_orders(
    app: &App,
    caller: &Caller,
    filter: Filter,
    part: Part,
    wanted: Wanted,
) -> Result<Page, Error> {
    let list = caller.as_owner().map_or(List::Hidden, List::Owner);
    read(app, list, filter, part, wanted).await
}

/// A part of the list of all orders, for services with `orders:read`.
pub async fn get_orders(app: &App, caller: &Caller, filter: Filter, part: Part, wanted: Wanted) -> Result<Page, Error> {
    caller.require(Scope::OrdersRead)?;
    read(app, List::Everybody, filter, part, wanted).await
}

async fn read(app: &App, list: List, filter: Filter, part: Part, wanted: Wanted) -> Result<Page, Error> {
    let seal = Seal::of(&list, &filter);
    let Range { count, backward, start, argument } = Range::new(&list, &filter, &part, &seal)?;
    // One more than asked for tells whether there is a next one.
    let cut = Cut { list: &list, filter: &filter, start, backward, limit: count + 1, wanted };
    let page::Read { mut orders, owned, counted, is_placed } = page::read(app.db.read(), &cut).await?;
    if matches!(start, Start::Behind(_)) && !is_placed {
        return Err(not_a_cursor(argument).into());
    }
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let more = orders.len() > most;
    orders.truncate(most);
    if backward {
        orders.reverse();
    }
    let total = owned.filter(|_| filter.is_empty()).or(counted);
    let total = total.map(|total| total.try_into().unwrap_or_default());
    let behind = match start {
        Start::End => false,
        Start::Skip(_) => total > Some(0),
        Start::Behind(_) => true,
    };
    let (has_next, has_previous) = if backward { (behind, more) } else { (more, behind) };
    Ok(Page { orders, has_next, has_previous, per_page: count, total, seal })
}

impl List {
    /// Whose orders it holds; `None`: everybody's.
    fn owner(&self) -> Option<Owner> {
        match self {
            Self::Owner(owner) => Some(owner.clone()),
            // An owner that can't be: ids have at least one character.
            Self::Hidden => Some(Owner { kind: OwnerKind::User, id: String::new() }),
            Self::Everybody => None,
        }
    }
}

fn not_a_cursor(argument: &str) -> Problem {
    Problem::invalid(argument, "is not a cursor of this list with this filter")
}

/// A part, checked: where it begins, which way it goes, and how long it is.
struct Range {
    count: u32,
    backward: bool,
    start: Start,
    /// What names the order that it begins behind.
    argument: &'static str,
}

impl Range {
    fn new(list: &List, filter: &Filter, part: &Part, seal: &Seal) -> Result<Self, Problem> {
        let (count, backward, argument, cursor) = match part {
            Part::First { count, after } => (*count, false, "after", after.as_deref()),
            Part::Last { count, before } => (*count, true, "before", before.as_deref()),
            Part::Page { count, .. } => (*count, false, "page", None),
        };
        // The face says what is allowed; whoever calls past it gets no more either.
        let count = count.clamp(1, MOST_PER_PAGE);
        let start = match (part, cursor) {
            (Part::Page { .. }, _) if !filter.is_empty() || *list == List::Everybody => {
                let why = "jumps in one shopper's whole list only; go through a filtered list by cursor";
                return Err(Problem::invalid("page", why));
            }
            (Part::Page { page, .. }, _) if *page > 1 => Start::Skip(i64::from(page - 1) * i64::from(count)),
            (_, Some(cursor)) => Start::Behind(seal.position(cursor).ok_or_else(|| not_a_cursor(argument))?),
            (_, None) => Start::End,
        };
        Ok(Self { count, backward, start, argument })
    }
}
