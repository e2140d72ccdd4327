//! Two things at once: whichever comes first, what is left is as if they had come one after the other.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Shop, code};

on_each_database![
    news_that_comes_while_its_session_is_recorded_is_not_left_lying,
    a_payment_and_a_cancellation_at_once_agree_on_the_money,
    an_order_marked_paid_ten_times_at_once_has_one_snapshot,
    a_cart_changed_and_paid_at_once_is_paid_as_it_was_or_not_changed,
    a_guest_claimed_twice_at_once_goes_to_one_user,
    orders_made_during_a_claim_are_in_one_list_or_the_other,
    orders_made_at_once_are_numbered_without_gaps,
];

// rule W2: the provider tells of a session while its answer is still on the way
async fn news_that_comes_while_its_session_is_recorded_is_not_left_lying(shop: Shop) {
    let mut attempting = JoinSet::new();
    for at in 0..60 {
        let shop = shop.clone();
        attempting.spawn(async move {
            let ada = shop.user(&format!("ada {at}"));
            let order = shop.checkout().creates_order_for(&ada).await;
            // This waits until the news is taken in.
            ada.attempts_to_pay(&order).await;
        });
    }

    attempting.join_all().await;

    assert_eq!(shop.count("provider_event WHERE state = 'PARKED'").await, 0);
}

// rules O5, O7, T2
async fn a_payment_and_a_cancellation_at_once_agree_on_the_money(shop: Shop) {
    for _ in 0..8 {
        let (order, attempt) = shop.open_attempt().await;
        let checkout = shop.checkout();

        tokio::join!(shop.shopper_presses(&attempt, "pay", "tok_ok"), checkout.cancels(&order));

        let status = shop.user("ada").looks_at(&order).await["status"].take();
        let moved = shop.money_moved(&attempt.id).await;
        let agreed = [(json!("PAID"), vec![2990]), (json!("CANCELLED"), vec![])];
        assert!(agreed.contains(&(status.clone(), moved.clone())), "{status}, {moved:?}");
    }
    assert_eq!(shop.count("reconciliation_case").await, 0);
}

// rule O6
async fn an_order_marked_paid_ten_times_at_once_has_one_snapshot(shop: Shop) {
    let sample = json!({ "sku": "SAMPLE", "name": "Sample", "quantity": 1, "unitPrice": "0" });
    let cart = json!({ "currency": "EUR", "lines": [sample] });
    let order = shop.checkout().creates_order_of(&shop.user("ada"), cart).await;
    let mut marking = JoinSet::new();
    for _ in 0..10 {
        let (checkout, order) = (shop.checkout(), order.clone());
        marking.spawn(async move { checkout.marks_paid(&order).await });
    }

    let mut answers = marking.join_all().await;

    answers.dedup();
    assert_eq!((answers.len(), code(&answers[0]), shop.count("order_snapshot").await), (1, &Value::Null, 1));
}

// rules O7, T4
async fn a_cart_changed_and_paid_at_once_is_paid_as_it_was_or_not_changed(shop: Shop) {
    for _ in 0..8 {
        let order = shop.adas_order().await;
        let (ada, checkout) = (shop.user("ada"), shop.checkout());
        let cup = json!({ "sku": "CUP", "name": "Cup", "quantity": 1, "unitPrice": "14.40" });

        let (attempted, _) = tokio::join!(
            ada.tries_to_pay(&order, json!({})),
            checkout.changes_cart(&order, json!({ "currency": "EUR", "lines": [cup] }))
        );

        let total = ada.looks_at(&order).await["total"]["amount"].take();
        assert_eq!(attempted["attempt"]["amount"]["amount"], total);
    }
}

async fn claims(shop: &Shop, user: &str) -> Value {
    let input = json!({ "anonymousUserId": "g-1", "userId": user });
    shop.checkout().does("claimAnonymousOrders", input, "claimedCount").await
}

/// How many orders an owner's list says that it has, and how many it shows.
async fn counts(shop: &Shop, kind: &str, id: &str) -> (i64, usize) {
    let owner = if kind == "USER" { shop.user(id) } else { shop.guest(id) };
    let list = owner.lists(&owner, "first: 100").await;
    (list["totalCount"].as_i64().expect("a count"), list["nodes"].as_array().expect("nodes").len())
}

/// Every owner's orders carry 1, 2, 3 … up to the owner's count (rule L2).
async fn numbers_are_dense(shop: &Shop) {
    let uneven = "(SELECT 1 AS x FROM orders o JOIN order_owner w ON w.kind = o.owner_kind AND w.id = o.owner_id
        GROUP BY w.kind, w.id, w.order_count
        HAVING count(*) <> w.order_count OR min(owner_sequence) <> 1 OR max(owner_sequence) <> w.order_count) AS uneven";
    assert_eq!(shop.count(uneven).await, 0);
}

// rule O9
async fn a_guest_claimed_twice_at_once_goes_to_one_user(shop: Shop) {
    for _ in 0..4 {
        shop.checkout().creates_order_for(&shop.guest("g-1")).await;
    }

    let claimed = tokio::join!(claims(&shop, "ada"), claims(&shop, "bob"));

    let mut moved = [&claimed.0["claimedCount"], &claimed.1["claimedCount"]].map(Value::as_i64);
    moved.sort_unstable();
    assert_eq!(moved, [Some(0), Some(4)]);
    numbers_are_dense(&shop).await;
}

// rules O9, L2
async fn orders_made_during_a_claim_are_in_one_list_or_the_other(shop: Shop) {
    let mut making = JoinSet::new();
    for at in 0..12 {
        let shop = shop.clone();
        making.spawn(async move {
            match at % 4 {
                0 => drop(claims(&shop, "ada").await),
                1 => drop(shop.adas_order().await),
                _ => drop(shop.checkout().creates_order_for(&shop.guest("g-1")).await),
            }
        });
    }
    making.join_all().await;

    let (users, guests) = (counts(&shop, "USER", "ada").await, counts(&shop, "ANONYMOUS", "g-1").await);
    assert_eq!((users.0 + guests.0, users.1 + guests.1), (9, 9));
    numbers_are_dense(&shop).await;
}

// rule L2
async fn orders_made_at_once_are_numbered_without_gaps(shop: Shop) {
    let mut making = JoinSet::new();
    for _ in 0..20 {
        let shop = shop.clone();
        making.spawn(async move { shop.adas_order().await });
    }

    making.join_all().await;

    assert_eq!(counts(&shop, "USER", "ada").await, (20, 20));
    numbers_are_dense(&shop).await;
}
