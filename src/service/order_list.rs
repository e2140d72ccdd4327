//! Pages of orders, newest first, each at the same cost (rules L1 to L5).
//!
//! An owner's orders carry 1, 2, 3 … without gaps, so page k is a range of numbers and the total is the owner's count: no OFFSET, and no
//! count over rows unless a filter asks for one. A cursor names the order that it stands at, so a list that is renumbered under it goes on at the
//! right place.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use entity::{
    id::OrderId,
    order::{Column, Entity, Model, Status},
    owner::{self, Owner, OwnerKind},
};
use sea_orm::{
    ColumnTrait, EntityTrait, Order as Direction, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    Select,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

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

/// A part of a list, newest first.
#[derive(Clone, Debug)]
pub struct Page {
    pub orders: Vec<Model>,
    pub has_next: bool,
    pub has_previous: bool,
    /// How many orders were asked for.
    pub per_page: u32,
    /// Of the whole list; `None` if it was not asked for and would have cost a count.
    pub total: Option<u64>,
    list: List,
    filter: Filter,
}

impl Page {
    /// The cursor that stands at an order of this page.
    pub fn cursor(&self, order: &Model) -> String {
        let id = order.id.as_bytes();
        let mut bytes = id.to_vec();
        bytes.extend(seal(&self.list, &self.filter, id));
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// A part of one shopper's list: their own, or anybody's for a service with `orders:read`.
pub async fn get_owner_orders(
    app: &App,
    caller: &Caller,
    owner: Owner,
    filter: Filter,
    part: Part,
    counted: bool,
) -> Result<Page, Error> {
    let list = match caller.audience(Scope::OrdersRead)?.owner() {
        Some(own) if *own != owner => List::Hidden,
        Some(_) | None => List::Owner(owner),
    };
    read(app, list, filter, part, counted).await
}

/// A part of the caller's own list; a service owns no orders.
pub async fn get_own_orders(
    app: &App,
    caller: &Caller,
    filter: Filter,
    part: Part,
    counted: bool,
) -> Result<Page, Error> {
    let list = caller.as_owner().map_or(List::Hidden, List::Owner);
    read(app, list, filter, part, counted).await
}

/// A part of the list of all orders, for services with `orders:read`.
pub async fn get_orders(app: &App, caller: &Caller, filter: Filter, part: Part, counted: bool) -> Result<Page, Error> {
    caller.require(Scope::OrdersRead)?;
    read(app, List::Everybody, filter, part, counted).await
}

async fn read(app: &App, list: List, filter: Filter, part: Part, counted: bool) -> Result<Page, Error> {
    let range = Range::new(&list, &filter, &part)?;
    let from = match &range.from {
        Some((argument, id)) => Some(place(app, &list, *id).await?.ok_or_else(|| not_a_cursor(argument))?),
        None => None,
    };
    let owned = match list.owner() {
        Some(owner) => Some(count_of(app, &owner).await?),
        None => None,
    };
    let unfiltered = owned.filter(|_| filter.is_empty());
    let query = range.narrow(select(&list, &filter), &list, from, unfiltered);
    // One more than asked for tells whether there is a next one.
    let mut orders = query.limit(u64::from(range.count) + 1).all(app.db.read()).await?;
    let count = usize::try_from(range.count).unwrap_or(usize::MAX);
    let more = orders.len() > count;
    orders.truncate(count);
    if range.backward {
        orders.reverse();
    }
    let total = match unfiltered {
        Some(owned) => Some(owned),
        None if counted => Some(select(&list, &filter).count(app.db.read()).await?),
        None => None,
    };
    let behind = from.is_some() || (range.page > 1 && total > Some(0));
    let (has_next, has_previous) = if range.backward { (behind, more) } else { (more, behind) };
    let per_page = range.count;
    Ok(Page { orders, has_next, has_previous, per_page, total, list, filter })
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

/// Where an order stands in a list.
#[derive(Clone, Copy)]
enum Place {
    Sequence(i64),
    Id(OrderId),
}

/// Where this order stands, if it is in the list: orders that were claimed meanwhile have moved, or left.
async fn place(app: &App, list: &List, id: OrderId) -> Result<Option<Place>, Error> {
    let query = select(list, &Filter::default()).filter(Column::Id.eq(id));
    let sequence: Option<i64> =
        query.select_only().column(Column::OwnerSequence).into_tuple().one(app.db.read()).await?;
    Ok(sequence.map(|sequence| match list {
        List::Everybody => Place::Id(id),
        List::Owner(_) | List::Hidden => Place::Sequence(sequence),
    }))
}

fn not_a_cursor(argument: &str) -> Problem {
    Problem::invalid(argument, "is not a cursor of this list with this filter")
}

async fn count_of(app: &App, owner: &Owner) -> Result<u64, Error> {
    let row = owner::Entity::find_by_id((owner.kind, owner.id.clone())).one(app.db.read()).await?;
    Ok(row.map_or(0, |row| row.order_count.try_into().unwrap_or_default()))
}

fn select(list: &List, filter: &Filter) -> Select<Entity> {
    let query = Entity::find().apply_if(list.owner(), |query, owner| {
        query.filter(Column::OwnerKind.eq(owner.kind)).filter(Column::OwnerId.eq(owner.id))
    });
    query
        .apply_if(filter.statuses.as_ref(), |query, statuses| {
            query.filter(Column::Status.is_in(statuses.iter().copied()))
        })
        .apply_if(filter.created_from, |query, from| query.filter(Column::CreatedAt.gte(from)))
        .apply_if(filter.created_to, |query, to| query.filter(Column::CreatedAt.lt(to)))
        .apply_if(filter.number.as_ref(), |query, number| query.filter(Column::Number.eq(number)))
}

/// A part, checked: where it begins, which way it goes, and how long it is.
struct Range {
    count: u32,
    backward: bool,
    /// The argument that names it, and the order that it begins behind.
    from: Option<(&'static str, OrderId)>,
    page: u32,
}

impl Range {
    fn new(list: &List, filter: &Filter, part: &Part) -> Result<Self, Problem> {
        let read = |argument: &'static str, cursor: &Option<String>| match cursor {
            None => Ok(None),
            Some(cursor) => match position(list, filter, cursor) {
                Some(id) => Ok(Some((argument, id))),
                None => Err(not_a_cursor(argument)),
            },
        };
        let (count, backward, from, page) = match part {
            Part::First { count, after } => (*count, false, read("after", after)?, 1),
            Part::Last { count, before } => (*count, true, read("before", before)?, 1),
            Part::Page { count, page } => (*count, false, None, *page),
        };
        // The face says what is allowed; whoever calls past it gets no more either.
        let count = count.clamp(1, MOST_PER_PAGE);
        if let Part::Page { .. } = part
            && (!filter.is_empty() || *list == List::Everybody)
        {
            let why = "jumps in one shopper's whole list only; go through a filtered list by cursor";
            return Err(Problem::invalid("page", why));
        }
        Ok(Self { count, backward, from, page })
    }

    /// Puts the rows in order and leaves out those before the range begins.
    fn narrow(&self, query: Select<Entity>, list: &List, from: Option<Place>, owned: Option<u64>) -> Select<Entity> {
        let key = if *list == List::Everybody { Column::Id } else { Column::OwnerSequence };
        let query = query.order_by(key, if self.backward { Direction::Asc } else { Direction::Desc });
        if let Some(owned) = owned.filter(|_| self.page > 1) {
            let skipped = i64::from(self.page - 1) * i64::from(self.count);
            let last = i64::try_from(owned).unwrap_or(i64::MAX) - skipped;
            return query.filter(Column::OwnerSequence.lte(last));
        }
        match (from, self.backward) {
            (None, _) => query,
            (Some(Place::Sequence(from)), false) => query.filter(Column::OwnerSequence.lt(from)),
            (Some(Place::Sequence(from)), true) => query.filter(Column::OwnerSequence.gt(from)),
            (Some(Place::Id(from)), false) => query.filter(Column::Id.lt(from)),
            (Some(Place::Id(from)), true) => query.filter(Column::Id.gt(from)),
        }
    }
}

/// The order that a cursor stands at, if it is one of this list with this filter (rule L1).
fn position(list: &List, filter: &Filter, cursor: &str) -> Option<OrderId> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (id, sealed) = bytes.split_at_checked(16)?;
    let id: &[u8; 16] = id.try_into().ok()?;
    (sealed == seal(list, filter, id)).then(|| Uuid::from_bytes(*id).into())
}

/// Binds a cursor to its list and filter, so that cursors are not mixed up. It is no secret: whether the order is in the list is looked up all the
/// same.
fn seal(list: &List, filter: &Filter, id: &[u8; 16]) -> [u8; 8] {
    let mut hash = Sha256::new();
    hash.update(format!("{list:?} {filter:?}"));
    hash.update(id);
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    [a, b, c, d, e, f, g, h]
}

/// A cursor of this owner's list that stands at any order, as anybody could make it who has read this file: for tests.
#[cfg(test)]
pub fn forged(owner: Owner, order: OrderId) -> String {
    let id = order.as_bytes();
    URL_SAFE_NO_PAD.encode([id.to_vec(), seal(&List::Owner(owner), &Filter::default(), id).to_vec()].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(id: &str) -> List {
        let kind = OwnerKind::User;
        List::Owner(Owner { kind, id: id.into() })
    }

    fn cursor(list: &List, filter: &Filter) -> String {
        let id = [7; 16];
        URL_SAFE_NO_PAD.encode([id.to_vec(), seal(list, filter, &id).to_vec()].concat())
    }

    // rule L1
    #[test]
    fn a_cursor_is_good_for_its_list_and_filter_only() {
        let paid = Filter { statuses: Some(vec![Status::Paid]), ..Filter::default() };
        let own = cursor(&list("ada"), &Filter::default());
        assert!(position(&list("ada"), &Filter::default(), &own).is_some());
        assert!(position(&list("bob"), &Filter::default(), &own).is_none());
        assert!(position(&list("ada"), &paid, &own).is_none());
        assert!(position(&List::Everybody, &Filter::default(), &own).is_none());
    }

    #[test]
    fn every_bit_of_a_cursor_counts() {
        let own = cursor(&list("ada"), &Filter::default());
        let bytes = URL_SAFE_NO_PAD.decode(&own).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let cursor = URL_SAFE_NO_PAD.encode(flipped);
            assert!(position(&list("ada"), &Filter::default(), &cursor).is_none(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn any_text_that_is_a_cursor_was_sealed_for_its_list(text in "[A-Za-z0-9_-]{0,40}|\\PC{0,60}", id: [u8; 16]) {
            prop_assert!(position(&list("ada"), &Filter::default(), &text).is_none());
            let other = URL_SAFE_NO_PAD.encode([id.to_vec(), seal(&list("bob"), &Filter::default(), &id).to_vec()].concat());
            prop_assert!(position(&list("ada"), &Filter::default(), &other).is_none());
        }
    }
}
