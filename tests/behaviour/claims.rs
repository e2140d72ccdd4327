//! A guest turns out to be a user: their orders move, all of them, into the user's list.

use serde_json::{Value, json};

use crate::support::{Actor, Shop, code};

on_each_database![
    claimed_orders_stand_among_the_users_own_by_creation,
    claimed_orders_are_counted_by_page_too,
    the_guests_list_is_empty_afterwards,
    a_dry_run_only_counts,
    claiming_again_moves_nothing,
    the_users_cursors_go_on_working,
    a_guest_may_order_anew_after_a_claim,
    a_claim_for_nobody_is_refused,
];

async fn claims(shop: &Shop, dry_run: bool) -> Value {
    let input = json!({ "anonymousUserId": "g-1", "userId": "ada", "dryRun": dry_run });
    shop.checkout().does("claimAnonymousOrders", input, "claimedCount").await
}

/// Six orders, made in turn by ada and a guest: ids, oldest first.
async fn mixed_orders(shop: &Shop) -> Vec<String> {
    let (ada, guest) = (shop.user("ada"), shop.guest("g-1"));
    let mut orders = vec![];
    for owner in [&ada, &guest, &guest, &ada, &guest, &ada] {
        orders.push(shop.checkout().creates_order_for(owner).await);
    }
    orders
}

fn ids(list: &Value) -> Vec<String> {
    let nodes = list["nodes"].as_array().expect("nodes");
    nodes.iter().map(|node| node["id"].as_str().expect("an id").to_owned()).collect()
}

async fn list(owner: &Actor) -> Value {
    owner.lists(owner, "first: 10").await
}

// rule O9
async fn claimed_orders_stand_among_the_users_own_by_creation(shop: Shop) {
    let mut newest_first = mixed_orders(&shop).await;
    newest_first.reverse();

    let claimed = claims(&shop, false).await;

    let seen = list(&shop.user("ada")).await;
    assert_eq!((&claimed["claimedCount"], &seen["totalCount"]), (&json!(3), &json!(6)));
    assert_eq!(ids(&seen), newest_first);
}

// rules L2, O9: the sequence is dense again
async fn claimed_orders_are_counted_by_page_too(shop: Shop) {
    let mut newest_first = mixed_orders(&shop).await;
    newest_first.reverse();
    claims(&shop, false).await;

    let ada = shop.user("ada");
    let pages = [ada.lists(&ada, "page: 1, first: 4").await, ada.lists(&ada, "page: 2, first: 4").await];

    assert_eq!(pages.map(|page| ids(&page)), [newest_first[..4].to_vec(), newest_first[4..].to_vec()]);
}

// rule O9
async fn the_guests_list_is_empty_afterwards(shop: Shop) {
    mixed_orders(&shop).await;

    claims(&shop, false).await;

    let seen = list(&shop.guest("g-1")).await;
    assert_eq!((ids(&seen), &seen["totalCount"]), (vec![], &json!(0)));
}

// rule O9
async fn a_dry_run_only_counts(shop: Shop) {
    mixed_orders(&shop).await;
    let before = (list(&shop.user("ada")).await, list(&shop.guest("g-1")).await, shop.rows().await);

    let counted = claims(&shop, true).await;

    assert_eq!(counted["claimedCount"], 3);
    let after = (list(&shop.user("ada")).await, list(&shop.guest("g-1")).await, shop.rows().await);
    assert_eq!(after, before);
}

async fn claiming_again_moves_nothing(shop: Shop) {
    mixed_orders(&shop).await;
    claims(&shop, false).await;
    let before = list(&shop.user("ada")).await;

    let again = claims(&shop, false).await;

    assert_eq!((&again["claimedCount"], list(&shop.user("ada")).await), (&json!(0), before));
}

// rules L1, O9
async fn the_users_cursors_go_on_working(shop: Shop) {
    let orders = mixed_orders(&shop).await;
    let ada = shop.user("ada");
    let cursor = ada.lists(&ada, "first: 1").await["pageInfo"]["endCursor"].take();

    claims(&shop, false).await;

    let rest = ada.lists(&ada, &format!("first: 10, after: {cursor}")).await;
    let expected: Vec<String> = orders[..5].iter().rev().cloned().collect();
    assert_eq!(ids(&rest), expected);
}

async fn a_guest_may_order_anew_after_a_claim(shop: Shop) {
    mixed_orders(&shop).await;
    claims(&shop, false).await;

    let anew = shop.checkout().creates_order_for(&shop.guest("g-1")).await;

    let seen = list(&shop.guest("g-1")).await;
    assert_eq!((ids(&seen), &seen["totalCount"]), (vec![anew], &json!(1)));
}

// rule O1
async fn a_claim_for_nobody_is_refused(shop: Shop) {
    mixed_orders(&shop).await;
    let input = json!({ "anonymousUserId": "g-1", "userId": "" });

    let refused = shop.checkout().does("claimAnonymousOrders", input, "claimedCount").await;

    assert_eq!((code(&refused), &list(&shop.guest("g-1")).await["totalCount"]), (&json!("INVALID_INPUT"), &json!(3)));
}
