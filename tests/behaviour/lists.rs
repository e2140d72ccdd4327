//! Lists of orders: newest first, by cursor both ways and by page, counted, filtered, and steady while orders come in.

use serde_json::{Value, json};

use crate::support::{Actor, Shop};

on_each_database![
    orders_are_listed_newest_first,
    a_guests_orders_are_listed_too,
    a_viewers_orders_are_their_own_list,
    a_page_has_twenty_orders_unless_asked_otherwise,
    paging_forward_shows_each_order_once,
    paging_backward_shows_each_order_once,
    the_last_orders_are_the_oldest,
    pages_by_number_show_each_order_once,
    a_page_beyond_the_last_is_empty_and_counts_all_the_same,
    the_ends_of_a_list_are_told,
    an_empty_list_has_no_pages,
    a_filter_by_status_shows_and_counts_only_those,
    a_filter_by_no_status_shows_nothing,
    a_filter_by_time_includes_its_beginning_and_not_its_end,
    a_filter_by_number_finds_the_one_order,
    a_filtered_list_is_paged_by_cursor,
    an_order_made_while_paging_neither_repeats_nor_hides_one,
    an_order_made_while_paging_backward_is_seen_at_the_end,
    a_back_office_lists_everybodys_orders,
    a_back_office_pages_through_everybodys_orders,
];

/// So many orders of ada's: their ids, newest first.
async fn orders(shop: &Shop, count: usize) -> Vec<String> {
    let mut orders = vec![];
    for _ in 0..count {
        orders.push(shop.adas_order().await);
    }
    orders.reverse();
    orders
}

fn ids(list: &Value) -> Vec<String> {
    let nodes = list["nodes"].as_array().expect("nodes");
    nodes.iter().map(|node| node["id"].as_str().expect("an id").to_owned()).collect()
}

/// A part of ada's own list.
async fn part(shop: &Shop, part: &str) -> Value {
    let ada = shop.user("ada");
    ada.lists(&ada, part).await
}

// rule L1
async fn orders_are_listed_newest_first(shop: Shop) {
    let newest_first = orders(&shop, 3).await;

    assert_eq!(ids(&part(&shop, "first: 10").await), newest_first);
}

async fn a_guests_orders_are_listed_too(shop: Shop) {
    let guest = shop.guest("g-1");
    let order = shop.checkout().creates_order_for(&guest).await;

    assert_eq!(ids(&guest.lists(&guest, "first: 10").await), [order]);
}

async fn a_viewers_orders_are_their_own_list(shop: Shop) {
    let newest_first = orders(&shop, 2).await;
    shop.checkout().creates_order_for(&shop.user("bob")).await;

    let seen = shop.user("ada").sees("{ viewer { orders { nodes { id } totalCount } } }", json!({})).await;

    let list = &seen["viewer"]["orders"];
    assert_eq!((ids(list), &list["totalCount"]), (newest_first, &json!(2)));
}

// rule L1
async fn a_page_has_twenty_orders_unless_asked_otherwise(shop: Shop) {
    let newest_first = orders(&shop, 21).await;

    let seen = shop.user("ada").sees("{ userOrders(userId: \"ada\") { nodes { id } pageCount } }", json!({})).await;

    let list = &seen["userOrders"];
    assert_eq!((ids(list), &list["pageCount"]), (newest_first[..20].to_vec(), &json!(2)));
}

/// Follows a list's cursors to its end; `step` is `first: 2` or `last: 2`.
async fn walk(actor: &Actor, owner: &Actor, step: &str, filter: &str) -> Vec<Vec<String>> {
    let (more, cursor, way) = match step.starts_with("first") {
        true => ("hasNextPage", "endCursor", "after"),
        false => ("hasPreviousPage", "startCursor", "before"),
    };
    let mut page = actor.lists(owner, &format!("{step} {filter}")).await;
    let mut pages = vec![ids(&page)];
    while page["pageInfo"][more] == true {
        assert!(pages.len() < 100, "the list never ends");
        let at = &page["pageInfo"][cursor];
        page = actor.lists(owner, &format!("{step}, {way}: {at} {filter}")).await;
        pages.push(ids(&page));
    }
    pages
}

async fn walk_own(shop: &Shop, step: &str) -> Vec<Vec<String>> {
    let ada = shop.user("ada");
    walk(&ada, &ada, step, "").await
}

// rule L1
async fn paging_forward_shows_each_order_once(shop: Shop) {
    let newest_first = orders(&shop, 5).await;

    let pages = walk_own(&shop, "first: 2").await;

    let expected: Vec<Vec<String>> = newest_first.chunks(2).map(<[String]>::to_vec).collect();
    assert_eq!(pages, expected);
}

// rule L1
async fn paging_backward_shows_each_order_once(shop: Shop) {
    let newest_first = orders(&shop, 5).await;

    let mut pages = walk_own(&shop, "last: 2").await;

    pages.reverse();
    assert_eq!((pages.len(), pages.concat()), (3, newest_first));
}

async fn the_last_orders_are_the_oldest(shop: Shop) {
    let newest_first = orders(&shop, 5).await;

    assert_eq!(ids(&part(&shop, "last: 2").await), newest_first[3..]);
}

// rules L1, L2
async fn pages_by_number_show_each_order_once(shop: Shop) {
    let newest_first = orders(&shop, 5).await;

    let mut pages = vec![];
    for page in 1..=3 {
        pages.push(ids(&part(&shop, &format!("page: {page}, first: 2")).await));
    }

    let expected: Vec<Vec<String>> = newest_first.chunks(2).map(<[String]>::to_vec).collect();
    assert_eq!(pages, expected);
}

// rule L5
async fn a_page_beyond_the_last_is_empty_and_counts_all_the_same(shop: Shop) {
    orders(&shop, 5).await;

    let beyond = part(&shop, "page: 4, first: 2").await;

    let page_info = json!({ "hasNextPage": false, "hasPreviousPage": true, "startCursor": null, "endCursor": null });
    let expected = json!({ "nodes": [], "edges": [], "totalCount": 5, "pageCount": 3, "pageInfo": page_info });
    assert_eq!(beyond, expected);
}

async fn the_ends_of_a_list_are_told(shop: Shop) {
    orders(&shop, 5).await;

    let mut told = vec![];
    for page in 1..=3 {
        let info = part(&shop, &format!("page: {page}, first: 2")).await["pageInfo"].take();
        told.push(json!([info["hasPreviousPage"], info["hasNextPage"]]));
    }

    assert_eq!(Value::from(told), json!([[false, true], [true, true], [true, false]]));
}

async fn an_empty_list_has_no_pages(shop: Shop) {
    let list = part(&shop, "page: 1, first: 2").await;

    let page_info = json!({ "hasNextPage": false, "hasPreviousPage": false, "startCursor": null, "endCursor": null });
    let expected = json!({ "nodes": [], "edges": [], "totalCount": 0, "pageCount": 0, "pageInfo": page_info });
    assert_eq!(list, expected);
}

async fn a_filter_by_status_shows_and_counts_only_those(shop: Shop) {
    let newest_first = orders(&shop, 5).await;
    for order in &newest_first[1..4] {
        shop.checkout().cancels(order).await;
    }

    let list = part(&shop, "first: 2, filter: { status: [CANCELLED, PAID] }").await;

    assert_eq!(
        json!([ids(&list), list["totalCount"], list["pageCount"]]),
        json!([[newest_first[1], newest_first[2]], 3, 2])
    );
}

async fn a_filter_by_no_status_shows_nothing(shop: Shop) {
    orders(&shop, 2).await;

    let list = part(&shop, "first: 2, filter: { status: [] }").await;

    assert_eq!(json!([ids(&list), list["totalCount"]]), json!([[], 0]));
}

async fn a_filter_by_time_includes_its_beginning_and_not_its_end(shop: Shop) {
    let mut newest_first = vec![];
    for _ in 0..4 {
        shop.moves_time_by(chrono::Duration::seconds(1));
        newest_first.insert(0, shop.adas_order().await);
    }
    // Instants are shown in milliseconds and kept in microseconds, so whole seconds between the orders stand for them.
    let made = part(&shop, "first: 4").await;
    let (from, to) = (&made["nodes"][2]["createdAt"], &made["nodes"][0]["createdAt"]);

    let list = part(&shop, &format!("first: 4, filter: {{ createdFrom: {from}, createdTo: {to} }}")).await;

    assert_eq!(ids(&list), newest_first[1..3]);
}

async fn a_filter_by_number_finds_the_one_order(shop: Shop) {
    let newest_first = orders(&shop, 3).await;
    let number = shop.user("ada").looks_at(&newest_first[1]).await["number"].take();

    let list = part(&shop, &format!("first: 2, filter: {{ number: {number} }}")).await;

    assert_eq!(ids(&list), newest_first[1..2]);
}

async fn a_filtered_list_is_paged_by_cursor(shop: Shop) {
    let newest_first = orders(&shop, 5).await;
    for order in &newest_first[1..4] {
        shop.checkout().cancels(order).await;
    }

    let ada = shop.user("ada");
    let pages = walk(&ada, &ada, "first: 2", ", filter: { status: [CANCELLED] }").await;

    assert_eq!(pages, [newest_first[1..3].to_vec(), newest_first[3..4].to_vec()]);
}

// rule L3
async fn an_order_made_while_paging_neither_repeats_nor_hides_one(shop: Shop) {
    let newest_first = orders(&shop, 4).await;
    let first = part(&shop, "first: 2").await;

    orders(&shop, 1).await;

    let second = part(&shop, &format!("first: 2, after: {}", first["pageInfo"]["endCursor"])).await;
    assert_eq!([ids(&first), ids(&second)].concat(), newest_first);
}

// rule L3
async fn an_order_made_while_paging_backward_is_seen_at_the_end(shop: Shop) {
    let older = orders(&shop, 3).await;
    let last = part(&shop, "last: 2").await;

    let newer = orders(&shop, 1).await;

    let rest = part(&shop, &format!("last: 5, before: {}", last["pageInfo"]["startCursor"])).await;
    assert_eq!([ids(&rest), ids(&last)].concat(), [newer, older].concat());
}

/// Orders of three owners, one after the other: ids, newest first.
async fn orders_of_three(shop: &Shop) -> Vec<String> {
    let mut orders = vec![];
    for owner in [shop.user("ada"), shop.guest("g-1"), shop.user("bob"), shop.user("ada"), shop.guest("g-1")] {
        orders.insert(0, shop.checkout().creates_order_for(&owner).await);
    }
    orders
}

async fn a_back_office_lists_everybodys_orders(shop: Shop) {
    let newest_first = orders_of_three(&shop).await;

    let document = "{ orders(first: 10) { nodes { id } totalCount } }";
    let seen = shop.service(&["orders:read"]).sees(document, json!({})).await;

    assert_eq!(json!([ids(&seen["orders"]), seen["orders"]["totalCount"]]), json!([newest_first, 5]));
}

async fn a_back_office_pages_through_everybodys_orders(shop: Shop) {
    let newest_first = orders_of_three(&shop).await;
    let office = shop.service(&["orders:read"]);

    let document = "query($after: String) { orders(first: 2, after: $after) {
        nodes { id } pageInfo { endCursor hasNextPage } } }";
    let (mut seen, mut after, mut more) = (vec![], Value::Null, true);
    while more {
        let page = office.sees(document, json!({ "after": after })).await["orders"].take();
        seen.extend(ids(&page));
        after = page["pageInfo"]["endCursor"].clone();
        more = page["pageInfo"]["hasNextPage"] == true && seen.len() < 10;
    }

    assert_eq!(seen, newest_first);
}
