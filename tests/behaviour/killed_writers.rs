//! A server on SQLite that is killed while many write: what it acknowledged is there.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{task::JoinSet, task::spawn_blocking, time::sleep};

use crate::support::{
    Engine, Shop, WEBHOOK_SECRET, euros, eventually, fresh, fresh_file, mall::serve, process::Process, run, say, tea,
    track::all_powerful, with,
};

const CLIENTS: usize = 10;
const KILLS: usize = 50;

/// What the clients were told.
#[derive(Default)]
struct Told {
    orders: Vec<String>,
    payments: Vec<String>,
    /// Payments whose capture was acknowledged.
    captured: Vec<String>,
}

struct Load {
    /// The shop as the server shows it that is there now.
    shop: Mutex<Shop>,
    told: Mutex<Told>,
    is_over: AtomicBool,
}

impl Load {
    /// The payload of a mutation if it was acknowledged without a problem.
    async fn asks(&self, mutation: &str, input: Value, selection: &str) -> Option<Value> {
        let shop = self.shop.lock().unwrap().clone();
        let kind = match mutation {
            "createOrder" => "CreateOrderInput",
            "createPayment" => "CreatePaymentInput",
            _ => "TransactionInput",
        };
        let document =
            format!("mutation($input: {kind}!) {{ {mutation}(input: $input) {{ {selection} problem {{ code }} }} }}");
        let request = shop.client().post(shop.url("/graphql")).bearer_auth(all_powerful(&shop).token());
        let input = with(input, json!({ "idempotencyKey": fresh("written ") }));
        let answer = request.json(&json!({ "query": document, "variables": { "input": input } })).send().await.ok()?;
        let mut answer: Value = answer.json().await.ok()?;
        let payload = answer["data"][mutation].take();
        (!payload.is_null() && payload["problem"].is_null()).then_some(payload)
    }

    /// Writes until it is over, and remembers what was acknowledged.
    async fn writes(self: Arc<Self>) {
        while !self.is_over.load(Ordering::Relaxed) {
            if self.sells().await.is_none() {
                // The server is gone; another comes.
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn sells(&self) -> Option<()> {
        let owner = json!({ "kind": "USER", "id": "ada" });
        let order = self.asks("createOrder", json!({ "owner": owner, "cart": tea() }), "order { id }").await?;
        let order = order["order"]["id"].as_str()?.to_owned();
        self.told.lock().unwrap().orders.push(order.clone());
        let new = json!({ "orderId": order, "provider": "sandbox", "amount": euros("29.90"), "methodToken": "tok_ok" });
        let payment = self.asks("createPayment", new, "payment { id }").await?;
        let payment = payment["payment"]["id"].as_str()?.to_owned();
        self.told.lock().unwrap().payments.push(payment.clone());
        let all = json!({ "paymentId": payment, "amount": euros("29.90") });
        let sold = self.asks("authorizeAndCapturePayment", all, "outcome { status }").await?;
        if sold["outcome"]["status"] == "SUCCEEDED" {
            self.told.lock().unwrap().captured.push(payment);
        }
        Some(())
    }

    /// How many writes were acknowledged so far.
    fn acknowledged(&self) -> usize {
        let told = self.told.lock().unwrap();
        told.orders.len() + told.payments.len() + told.captured.len()
    }
}

// F1, F12
#[test]
fn fifty_kills_under_load_lose_nothing_that_was_acknowledged() {
    run(Engine::Sqlite, async |shop| {
        shop.stop().await;
        let sandbox = Process::start(&[
            "--listen=127.0.0.1:0",
            "--sandbox-webhook-secret",
            WEBHOOK_SECRET,
            "--sandbox-database-url",
            &fresh_file("sandbox"),
            "sandbox",
        ]);
        let starts = async || {
            let (url, sandbox) = (shop.database_url().to_owned(), sandbox.url.clone());
            spawn_blocking(move || serve(&url, &sandbox)).await.expect("it starts")
        };
        let mut server = starts().await;
        let load = Arc::new(Load {
            shop: Mutex::new(shop.at(&server.url, &sandbox.url)),
            told: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(Arc::clone(&load).writes());
        }
        for kill in 0..KILLS {
            let before = load.acknowledged();
            // In the middle of it: after so many acknowledgements, another number each time.
            eventually("they write", async || (load.acknowledged() > before + kill * 7 % 45).then_some(())).await;
            drop(server);
            server = starts().await;
            *load.shop.lock().unwrap() = shop.at(&server.url, &sandbox.url);
        }
        load.is_over.store(true, Ordering::Relaxed);
        clients.join_all().await;

        let told = std::mem::take(&mut *load.told.lock().unwrap());
        let look = shop.database().await;
        let ids = |sql: &'static str| async move { look.texts(sql, "id").await };
        let orders = ids("SELECT lower(hex(id)) AS id FROM orders").await;
        let payments = ids("SELECT lower(hex(id)) AS id FROM payment").await;
        let captured =
            ids("SELECT lower(hex(payment_id)) AS id FROM payment_transaction WHERE status = 'SUCCEEDED'").await;
        say(&format!(
            "{KILLS} kills; {} orders, {} payments and {} captures were acknowledged",
            told.orders.len(),
            told.payments.len(),
            told.captured.len()
        ));
        assert!(told.captured.len() > KILLS, "too few for a proof");
        for (told, kept) in [(&told.orders, &orders), (&told.payments, &payments), (&told.captured, &captured)] {
            let lost: Vec<&String> = told.iter().filter(|id| !kept.contains(&bare(id))).collect();
            assert_eq!(lost, Vec::<&String>::new());
        }
        assert_eq!(look.texts("PRAGMA integrity_check", "integrity_check").await, ["ok"]);
        drop((server, sandbox));
    });
}

/// An id as the database has it.
fn bare(id: &str) -> String {
    id.split_once('_').expect("a prefix").1.replace('-', "")
}
