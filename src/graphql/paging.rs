//! Connections of orders: the arguments of a list, and its pages.

use async_graphql::{Context, InputObject, Lookahead, SimpleObject};
use entity::fault::Faults;

use super::{
    failure::Failure,
    order::{self, Order, OrderStatus},
    scalar::Instant,
    shape::Shape,
    walk::{Walked, at_hand},
};
use crate::{
    error::Problem,
    service::order_list::{Filter, MOST_PER_PAGE, Page, Part, Wanted},
};

const USUAL_PAGE: u32 = 20;

/// Which orders of a list are wanted; all that are given must hold.
#[derive(Clone, Debug, Default, InputObject)]
pub struct OrderFilter {
    /// Any of these.
    status: Option<Vec<OrderStatus>>,
    /// Made then or later.
    created_from: Option<Instant>,
    /// Made before then.
    created_to: Option<Instant>,
    /// Exact order number, as printed on the receipt.
    number: Option<String>,
}

/// The filter that is meant, or what is wrong with it.
pub fn filter_of(filter: Option<OrderFilter>) -> Result<Filter, Problem> {
    let OrderFilter { status, created_from, created_to, number } = filter.unwrap_or_default();
    let mut faults = Faults::default();
    if let Some(number) = &number {
        faults.text("filter.number", number, 1..=32);
    }
    let statuses = status.map(|statuses| statuses.into_iter().map(Into::into).collect());
    let created_from = created_from.and_then(|from| from.read(&mut faults, "filter.createdFrom"));
    let created_to = created_to.and_then(|to| to.read(&mut faults, "filter.createdTo"));
    // People read numbers out and type them in.
    let number = number.map(|number| number.trim().to_uppercase());
    Ok(faults.or(Some(Filter { statuses, created_from, created_to, number }))?)
}

/// The arguments of a connection, as they came.
pub struct PageArguments {
    pub first: Option<i32>,
    pub after: Option<String>,
    pub last: Option<i32>,
    pub before: Option<String>,
    pub page: Option<i32>,
}

impl PageArguments {
    /// The part of a list that is meant, or why none can be (rules L1, L5).
    pub fn part(self) -> Result<Part, Problem> {
        let Self { first, after, last, before, page } = self;
        let mut faults = Faults::default();
        if last.is_some() && first.is_some() {
            faults.add("last", "can't be combined with first");
        }
        if page.is_some() && (last.is_some() || after.is_some() || before.is_some()) {
            faults.add("page", "can't be combined with after, before or last; it goes with first alone");
        }
        if before.is_some() && (last.is_none() || after.is_some()) {
            faults.add("before", "needs last, and can't be combined with after");
        }
        if after.is_some() && last.is_some() {
            faults.add("after", "needs first, and can't be combined with last");
        }
        let mut number = |name: &str, number: Option<i32>, usual: u32, most: u32| match number {
            None => Some(usual),
            Some(number) => {
                let allowed = u32::try_from(number).ok().filter(|number| (1..=most).contains(number));
                let why = match most {
                    u32::MAX => format!("is {number}; pages are counted from 1"),
                    most => format!("is {number}; 1 to {most} are allowed"),
                };
                faults.take(name, allowed.ok_or(why))
            }
        };
        let of_first = number("first", first, USUAL_PAGE, MOST_PER_PAGE);
        let of_last = number("last", last, USUAL_PAGE, MOST_PER_PAGE);
        let of_page = number("page", page, 1, u32::MAX);
        let part = match (of_first, of_last, of_page) {
            (Some(count), _, Some(number)) if page.is_some() => Some(Part::Page { count, page: number }),
            (_, Some(count), _) if last.is_some() => Some(Part::Last { count, before }),
            (Some(count), ..) => Some(Part::First { count, after }),
            (None, ..) => None,
        };
        Ok(faults.or(part)?)
    }
}

/// A Relay connection that can also jump: `page: 7` with `first: 20` is the seventh page of 20, at the same cost as the first.
#[derive(SimpleObject)]
pub struct OrderConnection {
    /// The orders of this page with their cursors.
    edges: Vec<OrderEdge>,
    /// The orders of this page.
    nodes: Vec<Walked<Order>>,
    /// What lies before and after this page.
    page_info: PageInfo,
    /// How many orders the whole list has.
    total_count: i32,
    /// How many pages of this size the whole list has.
    page_count: i32,
}

/// An order and where it stands in the list.
#[derive(Clone, SimpleObject)]
pub struct OrderEdge {
    /// Opaque; good for this list with this filter.
    cursor: String,
    /// The order.
    node: Walked<Order>,
}

/// What lies before and after a page. Newest first: the next page holds older ones.
#[derive(SimpleObject)]
pub struct PageInfo {
    /// Whether there are older ones.
    has_next_page: bool,
    /// Whether there are newer ones.
    has_previous_page: bool,
    /// The cursor of the first one of this page.
    start_cursor: Option<String>,
    /// The cursor of the last one of this page.
    end_cursor: Option<String>,
}

at_hand!(OrderConnection,
    "edges" => |it| it.edges,
    "nodes" => |it| it.nodes,
    "pageInfo" => |it| it.page_info,
    "totalCount" => |it| it.total_count,
    "pageCount" => |it| it.page_count,
);
at_hand!(OrderEdge,
    "cursor" => |it| it.cursor,
    "node" => |it| it.node,
);
at_hand!(PageInfo,
    "hasNextPage" => |it| it.has_next_page,
    "hasPreviousPage" => |it| it.has_previous_page,
    "startCursor" => |it| it.start_cursor,
    "endCursor" => |it| it.end_cursor,
);

impl PageInfo {
    /// Of a page whose first and last entry stand at these cursors.
    pub fn of(has_next_page: bool, has_previous_page: bool, cursors: &[String]) -> Self {
        let (start_cursor, end_cursor) = (cursors.first().cloned(), cursors.last().cloned());
        Self { has_next_page, has_previous_page, start_cursor, end_cursor }
    }
}

/// What the selection asks for of a page and its orders.
pub fn wanted(ctx: &Context<'_>) -> Wanted {
    let selected = ctx.look_ahead();
    let total = selected.field("totalCount").exists() || selected.field("pageCount").exists();
    let displays = !ctx.data_opt::<Shape>().is_some_and(|shape| shape.shows_no_display);
    Wanted { total, displays, ..order::wanted(&orders(&selected)) }
}

/// What is selected of the orders of a page, each way that leads to them.
fn orders<'a>(page: &Lookahead<'a>) -> [Lookahead<'a>; 2] {
    [page.field("nodes"), page.field("edges").field("node")]
}

/// A page with all that is selected under it.
pub async fn connection(ctx: &Context<'_>, page: Page) -> Result<Walked<OrderConnection>, Failure> {
    let cursors: Vec<String> = page.orders.iter().map(|order| page.cursor(order.head.id)).collect();
    let total = page.total.unwrap_or_default();
    let per_page = u64::from(page.per_page);
    let page_info = PageInfo::of(page.has_next, page.has_previous, &cursors);
    let nodes = Order::listed(ctx, page.orders, &orders(&ctx.look_ahead())).await?;
    let nodes: Vec<_> = nodes.into_iter().map(Walked).collect();
    let edges = cursors.into_iter().zip(nodes.iter().cloned());
    Ok(Walked(OrderConnection {
        edges: edges.map(|(cursor, node)| OrderEdge { cursor, node }).collect(),
        nodes,
        page_info,
        total_count: total.try_into().unwrap_or(i32::MAX),
        page_count: total.div_ceil(per_page).try_into().unwrap_or(i32::MAX),
    }))
}
