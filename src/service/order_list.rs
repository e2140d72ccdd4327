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
    sea_query::{Expr, ExprTrait},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    app::App,
    auth::{Audience, Caller, Scope},
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
    let list = match caller.audience(Scope::OrdersRead)? {
        Audience::Owner(own) if own != owner => List::Hidden,
        Audience::Owner(_) | Audience::Everyone => List::Owner(owner),
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
    let owned = match &list {
        List::Everybody => None,
        List::Owner(owner) => Some(count_of(app, owner).await?),
        List::Hidden => Some(count_of(app, &nobody()).await?),
    };
    let unfiltered = owned.filter(|_| filter.is_empty());
    let mut query = select(&list, &filter);
    query = range.narrow(query, &list, unfiltered);
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
    let (has_next, has_previous) = match (range.backward, &range.from) {
        (false, from) => (more, from.is_some() || (range.page > 1 && total > Some(0))),
        (true, from) => (from.is_some(), more),
    };
    let per_page = range.count;
    Ok(Page { orders, has_next, has_previous, per_page, total, list, filter })
}

/// An owner that can't be: ids have at least one character.
fn nobody() -> Owner {
    let kind = OwnerKind::User;
    Owner { kind, id: String::new() }
}

async fn count_of(app: &App, owner: &Owner) -> Result<u64, Error> {
    let row = owner::Entity::find_by_id((owner.kind, owner.id.clone())).one(app.db.read()).await?;
    Ok(row.map_or(0, |row| row.order_count.try_into().unwrap_or_default()))
}

fn select(list: &List, filter: &Filter) -> Select<Entity> {
    let nobody = nobody();
    let owner = match list {
        List::Owner(owner) => Some(owner),
        List::Hidden => Some(&nobody),
        List::Everybody => None,
    };
    let query = Entity::find().apply_if(owner, |query, owner| {
        query.filter(Column::OwnerKind.eq(owner.kind)).filter(Column::OwnerId.eq(owner.id.clone()))
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
    from: Option<OrderId>,
    page: u32,
}

impl Range {
    fn new(list: &List, filter: &Filter, part: &Part) -> Result<Self, Problem> {
        let read = |name: &str, cursor: &Option<String>| {
            let position = cursor.as_ref().map(|cursor| position(list, filter, cursor));
            match position {
                None => Ok(None),
                Some(None) => Err(Problem::invalid(name, "is not a cursor of this list with this filter")),
                Some(position) => Ok(position),
            }
        };
        let (count, backward, from, page) = match part {
            Part::First { count, after } => (*count, false, read("after", after)?, 1),
            Part::Last { count, before } => (*count, true, read("before", before)?, 1),
            Part::Page { count, page } => (*count, false, None, *page),
        };
        if !(1..=MOST_PER_PAGE).contains(&count) {
            let name = if backward { "last" } else { "first" };
            return Err(Problem::invalid(name, format!("is {count}; 1 to {MOST_PER_PAGE} are allowed")));
        }
        if let Part::Page { .. } = part {
            if page == 0 {
                return Err(Problem::invalid("page", "is 0; pages are counted from 1"));
            }
            if !filter.is_empty() || *list == List::Everybody {
                let why = "jumps in one shopper's whole list only; go through a filtered list by cursor";
                return Err(Problem::invalid("page", why));
            }
        }
        Ok(Self { count, backward, from, page })
    }

    /// Puts the rows in order and leaves out those before the range begins.
    fn narrow(&self, query: Select<Entity>, list: &List, owned: Option<u64>) -> Select<Entity> {
        let key = if *list == List::Everybody { Column::Id } else { Column::OwnerSequence };
        let direction = if self.backward { Direction::Asc } else { Direction::Desc };
        let query = query.order_by(key, direction);
        if let Some(owned) = owned.filter(|_| self.page > 1) {
            let skipped = i64::from(self.page - 1) * i64::from(self.count);
            let last = i64::try_from(owned).unwrap_or(i64::MAX) - skipped;
            return query.filter(Column::OwnerSequence.lte(last));
        }
        let Some(from) = self.from else { return query };
        let position = match key {
            Column::Id => Expr::value(from),
            // Looked up when it is used: orders that were claimed meanwhile have moved it.
            _ => Expr::SubQuery(
                None,
                Box::new(
                    Entity::find()
                        .select_only()
                        .column(Column::OwnerSequence)
                        .filter(Column::Id.eq(from))
                        .into_query()
                        .into(),
                ),
            ),
        };
        match self.backward {
            false => query.filter(Expr::col((Entity, key)).lt(position)),
            true => query.filter(Expr::col((Entity, key)).gt(position)),
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

/// Binds a cursor to its list and filter. It keeps cursors from being mixed up; what may be read is decided without it.
fn seal(list: &List, filter: &Filter, id: &[u8; 16]) -> [u8; 8] {
    let mut hash = Sha256::new();
    hash.update(format!("{list:?} {filter:?}"));
    hash.update(id);
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
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
}
