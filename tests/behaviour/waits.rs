//! How long anybody waits for a database that has something else to do: as long as a query may take, and as long as PostgreSQL lets a statement wait for
//! a row or work (test F7). That nobody waits for a connection is in `connections`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Database, Engine, Payment, Shop, cluster::Cluster, database::Look, euros, outcome, run, runtime};

/// Longer than the limit that is looked at, and sooner than the next one.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn nobody_waits_for_a_query_longer_than_it_may_take() {
    run(Engine::Postgres, async |shop| {
        let Payment { order, .. } = shop.payment("tok_ok").await;
        let hasty = shop.second(&["--query-timeout=500ms"]).await;
        let ada = hasty.user("ada");
        let body = json!({ "query": "query($id: ID!) { order(id: $id) { id } }", "variables": { "id": order } });
        let asks = async || {
            let begun = Instant::now();
            let (status, answer) = ada.sends(body.to_string()).await;
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            (status, outcome(&answer), begun.elapsed())
        };
        let holder = shop.another_look().await;
        holder.run("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await;

        let (status, word, after) = asks().await;
        holder.run("ROLLBACK").await;

        assert_eq!((status, word.as_str()), (503, "UNAVAILABLE"));
        assert!(after < SOON, "it was told after {after:?}");
        assert_eq!(asks().await.1, "ok");
        hasty.stop().await;
    });
}

/// Whatever is written of a payment takes a minute.
const SLOW: &str =
    "CREATE FUNCTION sleeps() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
    CREATE TRIGGER sleeps BEFORE INSERT ON payment FOR EACH ROW EXECUTE FUNCTION sleeps()";

/// The answer to a mutation about an order, in one word.
async fn does(shop: &Shop, mutation: &str, order: &str, more: Value) -> String {
    let input = crate::support::with(json!({ "orderId": order }), more);
    outcome(&shop.checkout().tries(mutation, input, "__typename").await)
}

#[test]
fn postgresql_itself_ends_what_waits_for_a_row_or_works_for_too_long() {
    let Some(cluster) = Cluster::start() else { return };
    let name = cluster.create();
    let url = Cluster::url_at(cluster.address, &name);
    runtime().block_on(async {
        let (look, holder) = (Look::at(&url).await, Look::at(&url).await);
        look.run(&format!("ALTER DATABASE {name} SET log_min_messages = 'error'")).await;
        let shop = Shop::open_with(Database::at(&url), &[]).await;
        let [waits, works] = [shop.adas_order().await, shop.adas_order().await];
        let payment = json!({
            "provider": "sandbox", "amount": euros("29.90"), "methodToken": "tok_ok", "idempotencyKey": shop.fresh_key(),
        });
        holder.run(&format!("BEGIN; SELECT FROM orders WHERE id = {} FOR UPDATE", holder.id_of(&waits))).await;
        look.run(SLOW).await;

        let told = tokio::join!(
            does(&shop, "cancelOrder", &waits, json!({})),
            does(&shop, "createPayment", &works, payment.clone())
        );

        assert_eq!([told.0.as_str(), &told.1], ["UNAVAILABLE"; 2]);
        let log = cluster.log();
        for why in ["canceling statement due to lock timeout", "canceling statement due to statement timeout"] {
            assert!(log.contains(why), "{why}: {log}");
        }
        holder.run("ROLLBACK").await;
        look.run("DROP TRIGGER sleeps ON payment").await;
        assert_eq!(does(&shop, "cancelOrder", &waits, json!({})).await, "ok");
        assert_eq!(does(&shop, "createPayment", &works, payment).await, "ok");
        shop.stop().await;
        shop.was_left_sound().await;
    });
}
