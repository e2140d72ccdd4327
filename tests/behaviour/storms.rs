//! Servers that are stopped, woken and killed at random moments while work rolls over many payments: at the end the books are right.
//!
//! A storm that misses proves nothing, so each counts how often it hit.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
};

use crate::support::{
    Engine, Payment, Shop,
    dice::{Dice, seed},
    environment, euros,
    mall::{Mall, serve_with},
    outcome,
    process::Process,
    run, say,
    track::{all_powerful, books},
};

/// Locks that run out soon.
const SETTINGS: [&str; 1] = ["--payment-lock-ttl=1s"];
/// So many payments are worked on at any time, each by several at once.
const LIVE: usize = 8;
const WORKERS: usize = 20;
/// However bad the machine: a storm ends.
const LONGEST: Duration = Duration::from_secs(120);

/// Everything that the workers and the weather share.
struct Storm {
    /// The shop as each server shows it that is there now.
    shops: Mutex<Vec<Shop>>,
    live: Mutex<Vec<Payment>>,
    all: Mutex<Vec<Payment>>,
    answers: Mutex<BTreeMap<String, usize>>,
    keys: AtomicUsize,
    is_over: AtomicBool,
}

impl Storm {
    fn over(shops: &[Shop]) -> Arc<Self> {
        Arc::new(Self {
            shops: Mutex::new(shops.to_vec()),
            live: Mutex::default(),
            all: Mutex::default(),
            answers: Mutex::default(),
            keys: AtomicUsize::new(1),
            is_over: AtomicBool::new(false),
        })
    }

    fn key(&self) -> String {
        format!("storm {}", self.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks one of the servers for a mutation: its answer in one word, and its payload. A connection that is cut is an answer too.
    async fn asks(&self, dice: &mut Dice, mutation: &str, input: Value, selection: &str) -> (String, Value) {
        let shop = dice.pick(&self.shops.lock().unwrap().clone());
        let answer = all_powerful(&shop).dares(mutation, input, selection, LONGEST).await;
        let Some(mut answer) = answer else {
            // Whoever listened there is gone; another will.
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.notes("CUT");
            return ("CUT".to_owned(), Value::Null);
        };
        let word = outcome(&answer);
        let payload = answer["data"][mutation].take();
        let word = match payload["outcome"]["status"].as_str() {
            Some(status) if word == "ok" => status.to_owned(),
            _ => word,
        };
        self.notes(&word);
        (word, payload)
    }

    fn notes(&self, answer: &str) {
        *self.answers.lock().unwrap().entry(answer.to_owned()).or_default() += 1;
    }

    /// Sends the same until it is done.
    async fn makes(&self, dice: &mut Dice, mutation: &str, input: Value, made: &str) -> String {
        loop {
            let (_, payload) = self.asks(dice, mutation, input.clone(), &format!("{made} {{ id }}")).await;
            if let Some(id) = payload[made]["id"].as_str() {
                return id.to_owned();
            }
        }
    }

    /// Makes a payment of 29.90 on an order of its own.
    async fn makes_payment(&self, dice: &mut Dice) {
        let cart = json!({ "currency": "EUR", "lines": [{ "sku": "TEA", "name": "Tea", "quantity": 1, "unitPrice": "29.90" }] });
        let owner = json!({ "kind": "USER", "id": "ada" });
        let input = json!({ "owner": owner, "cart": cart, "idempotencyKey": self.key() });
        let order = self.makes(dice, "createOrder", input, "order").await;
        let input = json!({
            "orderId": order, "provider": "sandbox", "amount": euros("29.90"), "methodToken": "tok_ok", "idempotencyKey": self.key(),
        });
        let id = self.makes(dice, "createPayment", input, "payment").await;
        let payment = Payment { id, order };
        self.all.lock().unwrap().push(payment.clone());
        self.live.lock().unwrap().push(payment);
    }

    async fn moves(&self, dice: &mut Dice, mutation: &str, payment: &Payment) -> String {
        let input = json!({ "paymentId": payment.id, "amount": euros("29.90"), "idempotencyKey": self.key() });
        self.asks(dice, mutation, input, "outcome { status }").await.0
    }

    /// Wants all of a payment authorized, and captured, each under a new key, whatever others want. Gives whether that is so now.
    async fn works_on(&self, dice: &mut Dice, payment: &Payment) -> bool {
        let nothing_left = |answer: &str| ["AMOUNT_EXCEEDS_AVAILABLE", "ORDER_ALREADY_PAID"].contains(&answer);
        let captured = self.moves(dice, "capturePayment", payment).await;
        if !nothing_left(&captured) {
            return captured == "SUCCEEDED";
        }
        // It is not authorized, or it is captured.
        let authorized = self.moves(dice, "authorizePayment", payment).await;
        nothing_left(&authorized) && nothing_left(&self.moves(dice, "capturePayment", payment).await)
    }

    /// Works on whatever there is, until the storm is over.
    async fn works(self: Arc<Self>, seed: u64) {
        let mut dice = Dice(seed);
        while !self.is_over.load(Ordering::Relaxed) {
            let live = self.live.lock().unwrap().clone();
            if live.len() < LIVE {
                self.makes_payment(&mut dice).await;
                continue;
            }
            let payment = dice.pick(&live);
            if self.works_on(&mut dice, &payment).await {
                self.live.lock().unwrap().retain(|one| *one != payment);
            }
        }
    }

    fn begins(self: &Arc<Self>, seed: u64) -> JoinSet<()> {
        let mut working = JoinSet::new();
        for worker in 0..WORKERS {
            working.spawn(Arc::clone(self).works(seed + worker as u64));
        }
        working
    }

    /// Lets the workers come to their end, finishes what they left, and looks at all books: each payment was authorized once and captured once.
    async fn ends(&self, mut working: JoinSet<()>, seed: u64) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = working.join_next().await {
            ended.expect("it works to the end");
        }
        let mut dice = Dice(seed);
        let live = self.live.lock().unwrap().clone();
        for payment in &live {
            let begun = Instant::now();
            while !self.works_on(&mut dice, payment).await {
                assert!(begun.elapsed() < LONGEST, "{} is never captured: {:?}", payment.id, self.told());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let all = self.all.lock().unwrap().clone();
        let shop = self.shops.lock().unwrap()[0].clone();
        let books = books(&all_powerful(&shop), &all).await;
        let wrong: Vec<_> = books
            .iter()
            .filter(|(_, moved)| **moved != [("authorize".to_owned(), 2990), ("capture".to_owned(), 2990)])
            .collect();
        assert_eq!((wrong, books.len()), (vec![], all.len()));
        all.len()
    }

    fn told(&self) -> BTreeMap<String, usize> {
        self.answers.lock().unwrap().clone()
    }
}

/// Stops a server and wakes it again, until the storm is over: mostly for a moment, sometimes for longer than its locks last.
async fn hangs_now_and_then(
    storm: Arc<Storm>,
    server: Process,
    seed: u64,
    others: Arc<Semaphore>,
    cycles: Arc<AtomicUsize>,
) -> Process {
    let (mut dice, server) = (Dice(seed), Arc::new(server));
    while !storm.is_over.load(Ordering::Relaxed) {
        tokio::time::sleep(dice.millis(60, 200)).await;
        // One is always awake.
        let _place = others.acquire().await.expect("a place");
        let stopping = Arc::clone(&server);
        spawn_blocking(move || stopping.freezes()).await.expect("it stops");
        let asleep = if dice.below(8) == 0 { dice.millis(1250, 1600) } else { dice.millis(5, 60) };
        tokio::time::sleep(asleep).await;
        server.thaws();
        cycles.fetch_add(1, Ordering::Relaxed);
    }
    Arc::into_inner(server).expect("nobody else has it")
}

// rules K5, K8, P4, P7: two hundred times a server hangs
#[test]
fn servers_that_hang_at_random_charge_nobody_twice() {
    run(Engine::Postgres, async |shop| {
        let seed = seed();
        say(&format!("a storm of hanging servers: seed {seed}"));
        let Mall { sandbox, servers, shops } = Mall::<3>::open_with(&shop, &SETTINGS).await;
        shop.hires_an_auditor().await;
        let (storm, begun) = (Storm::over(&shops), Instant::now());
        let working = storm.begins(seed);
        let (others, cycles) = (Arc::new(Semaphore::new(2)), Arc::new(AtomicUsize::new(0)));
        let mut weather = JoinSet::new();
        for (at, server) in (1..).zip(servers) {
            weather.spawn(hangs_now_and_then(
                Arc::clone(&storm),
                server,
                seed + 100 * at,
                Arc::clone(&others),
                Arc::clone(&cycles),
            ));
        }
        // Until it has hit often enough, on a busy machine too.
        while (cycles.load(Ordering::Relaxed) < 200 || shop.losses().await < 10) && begun.elapsed() < LONGEST {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        storm.is_over.store(true, Ordering::Relaxed);
        let (raged, servers) = (begun.elapsed(), weather.join_all().await);

        let payments = storm.ends(working, seed).await;

        let (cycles, losses, answers) = (cycles.load(Ordering::Relaxed), shop.losses().await, storm.told());
        say(&format!(
            "{cycles} times a server hung, {raged:?}; {payments} payments; {losses} locks were lost; {answers:?}"
        ));
        assert!(cycles >= 200, "{cycles}");
        assert!(losses >= 10, "only {losses} locks were lost: this proves nothing");
        shop.numbers_never_go_down().await;
        let errors: Vec<String> = servers.iter().flat_map(Process::errors).collect();
        assert_eq!(answers.get("INTERNAL"), None, "{errors:#?}");
        drop(sandbox);
    });
}

/// Kills one server after the other, so many times, and starts another in its place. Gives the faults that they had logged.
async fn kills(
    storm: &Storm,
    shop: &Shop,
    sandbox: &Process,
    servers: &mut Vec<Process>,
    mut dice: Dice,
    times: usize,
) -> Vec<String> {
    let mut errors = vec![];
    for _ in 0..times {
        tokio::time::sleep(dice.millis(150, 450)).await;
        let at = usize::try_from(dice.below(servers.len() as u64)).expect("a place");
        storm.shops.lock().unwrap().swap_remove(at);
        let killed = servers.swap_remove(at);
        errors.extend(killed.errors());
        drop(killed);
        let (database_url, sandbox_url) = (shop.database_url().to_owned(), sandbox.url.clone());
        let started =
            spawn_blocking(move || serve_with(&database_url, &sandbox_url, &SETTINGS)).await.expect("it starts");
        storm.shops.lock().unwrap().push(shop.at(&started.url, &sandbox.url));
        servers.push(started);
    }
    errors
}

/// So many servers are killed; `ORDERPAY_TEST_KILLS` asks for another number.
const KILLS: usize = 35;

/// Twenty clients of three servers want each payment authorized and captured, each under a key of its own, while the servers are killed (test P2).
fn servers_that_are_killed_at_random_charge_nobody_twice(engine: Engine) {
    run(engine, async |shop| {
        let seed = seed();
        let times = environment("ORDERPAY_TEST_KILLS").map_or(KILLS, |times| times.parse().expect("a number"));
        say(&format!("a storm of killed servers on {engine:?}: seed {seed}"));
        let Mall { sandbox, servers, shops } = Mall::<3>::open_with(&shop, &SETTINGS).await;
        shop.hires_an_auditor().await;
        let (storm, begun) = (Storm::over(&shops), Instant::now());
        let mut servers = Vec::from(servers);
        let working = storm.begins(seed);

        let mut errors = kills(&storm, &shop, &sandbox, &mut servers, Dice(seed + 100), times).await;
        let raged = begun.elapsed();
        let payments = storm.ends(working, seed).await;

        errors.extend(servers.iter().flat_map(Process::errors));
        let (losses, answers) = (shop.losses().await, storm.told());
        say(&format!(
            "{times} servers were killed on {engine:?}, {raged:?}; {payments} payments; {losses} locks were lost; {answers:?}"
        ));
        let enough = i64::try_from(times).expect("a number") / 7;
        assert!(losses >= enough, "only {losses} of them had locked something: this proves nothing");
        assert_eq!(answers.get("INTERNAL"), None, "{errors:#?}");
        shop.numbers_never_go_down().await;
        if engine == Engine::Sqlite {
            assert_eq!(shop.database().await.texts("PRAGMA integrity_check", "integrity_check").await, ["ok"]);
        }
    });
}

// rules K3, K8, P6, R2
mod servers_that_are_killed_at_random_charge_nobody_twice {
    use super::{Engine, servers_that_are_killed_at_random_charge_nobody_twice};

    #[test]
    fn sqlite() {
        servers_that_are_killed_at_random_charge_nobody_twice(Engine::Sqlite);
    }

    #[test]
    fn postgres() {
        servers_that_are_killed_at_random_charge_nobody_twice(Engine::Postgres);
    }
}
