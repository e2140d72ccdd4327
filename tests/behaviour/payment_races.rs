//! scratch
use std::sync::Arc;
use std::time::Instant;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use crate::support::{Shop, outcome_of, mall::Mall};

on_each_database![throughput];

async fn throughput(shop: Shop) {
    let t = Instant::now();
    let mall = Mall::<2>::open(&shop).await;
    eprintln!("mall {:?} {:?}", shop.engine(), t.elapsed());
    let first = mall.shops[0].clone();
    let line = json!({ "sku": "TEA", "name": "Tea", "quantity": 500, "unitPrice": "29.90" });
    let mut orders = vec![];
    for _ in 0..8 {
        orders.push(first.checkout().creates_order_of(&first.user("ada"), json!({ "currency": "EUR", "lines": [line] })).await);
    }
    for width in [1usize, 4, 16] {
        let t = Instant::now();
        let gate = Arc::new(Semaphore::new(width));
        let mut set = JoinSet::new();
        for at in 0..200 {
            let (shop, order, gate) = (first.clone(), orders[at % orders.len()].clone(), gate.clone());
            set.spawn(async move { let _p = gate.acquire().await.unwrap(); shop.payment_on(&order, "29.90", "tok_ok").await });
        }
        let payments = set.join_all().await;
        eprintln!("create width {width}: {:?}/200", t.elapsed());
        let t = Instant::now();
        let mut set = JoinSet::new();
        for (at, payment) in payments.into_iter().enumerate() {
            let (shop, gate) = (mall.shops[at % 2].clone(), gate.clone());
            set.spawn(async move { let _p = gate.acquire().await.unwrap();
                let done = shop.checkout().moves("authorizePayment", &payment, "29.90", json!({ "idempotencyKey": format!("a-{width}-{at}") })).await;
                assert_eq!(outcome_of(&done), "SUCCEEDED 29.90");
            });
        }
        set.join_all().await;
        eprintln!("authorize width {width}: {:?}/200", t.elapsed());
    }
}
