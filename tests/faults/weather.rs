//! What goes wrong, by the dice: processes are killed, stopped and started again, and networks fail.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::runtime::Handle;

use crate::{
    provider,
    stage::{SERVERS, Stage, guard},
    support::{dice::Dice, proxy::Weather, shop::client},
};

/// So many networks fail at once, at the most.
const NETWORKS: u64 = 2;

/// What can be done to the provider's next answers.
const FAULTS: [(&str, &str); 14] = [
    ("run_transaction", "answer_lost"),
    ("run_transaction", "answer_lost"),
    ("run_transaction", "request_lost"),
    ("run_transaction", "error_500"),
    ("run_transaction", "error_429"),
    ("run_transaction", "garbage"),
    ("run_transaction", "slow_drip"),
    ("run_transaction", "pending"),
    ("find_transaction", "error_500"),
    ("create_session", "answer_lost"),
    ("create_session", "request_lost"),
    ("create_session", "garbage"),
    ("cancel_session", "succeed_first"),
    ("cancel_session", "answer_lost"),
];

/// A storm that rages until it is told to end.
pub struct Storm {
    sky: Arc<Sky>,
    raging: Vec<JoinHandle<()>>,
}

struct Sky {
    stage: Arc<Stage>,
    client: reqwest::Client,
    runtime: Handle,
    is_over: AtomicBool,
    counts: Mutex<BTreeMap<String, usize>>,
}

impl Storm {
    /// Needs a runtime.
    pub fn begins(stage: &Arc<Stage>, seed: u64) -> Self {
        let sky = Arc::new(Sky {
            stage: Arc::clone(stage),
            client: client(),
            runtime: Handle::current(),
            is_over: AtomicBool::new(false),
            counts: Mutex::default(),
        });
        let mut all: Vec<fn(&Sky, Dice)> = vec![servers_die, servers_hang, postgres_dies, sandbox_dies, answers_fail];
        all.extend((0..NETWORKS).map(|_| networks_fail as fn(&Sky, Dice)));
        let rages = |(at, one): (u64, fn(&Sky, Dice))| {
            let sky = Arc::clone(&sky);
            thread::spawn(move || one(&sky, Dice(seed.wrapping_add(1000 * at))))
        };
        let raging = (1..).zip(all).map(rages).collect();
        Self { sky, raging }
    }

    /// Ends it; gives how often each thing was done.
    pub fn ends(self) -> BTreeMap<String, usize> {
        self.sky.is_over.store(true, Ordering::Relaxed);
        self.sky.stage.closes();
        for one in self.raging {
            one.join().expect("the weather");
        }
        guard(&self.sky.counts).clone()
    }
}

impl Sky {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn counts(&self, what: &str) {
        *guard(&self.counts).entry(what.to_owned()).or_default() += 1;
    }

    /// So long, unless everything is over before.
    fn waits(&self, time: Duration) {
        let (step, mut left) = (Duration::from_millis(20), time);
        while !self.is_over() && !left.is_zero() {
            thread::sleep(step.min(left));
            left = left.saturating_sub(step);
        }
    }
}

fn servers_die(sky: &Sky, mut dice: Dice) {
    loop {
        sky.waits(dice.millis(200, 700));
        if sky.is_over() {
            return;
        }
        let at = usize::try_from(dice.below(SERVERS as u64)).expect("a place");
        sky.stage.kills_server(at);
        sky.counts("kill: server");
        sky.stage.starts_server(at);
    }
}

fn servers_hang(sky: &Sky, mut dice: Dice) {
    loop {
        sky.waits(dice.millis(300, 2000));
        if sky.is_over() {
            return;
        }
        let at = usize::try_from(dice.below(SERVERS as u64)).expect("a place");
        // Sometimes for longer than its locks last.
        let time = if dice.below(6) == 0 { dice.millis(2100, 2600) } else { dice.millis(20, 400) };
        sky.stage.hangs(at, time);
        sky.counts("stop: server");
    }
}

fn postgres_dies(sky: &Sky, mut dice: Dice) {
    loop {
        sky.waits(dice.millis(5000, 12_000));
        if sky.is_over() {
            return;
        }
        sky.stage.kills_postgres();
        sky.counts("kill: PostgreSQL");
        sky.waits(dice.millis(10, 500));
        sky.stage.starts_postgres();
    }
}

fn sandbox_dies(sky: &Sky, mut dice: Dice) {
    loop {
        sky.waits(dice.millis(2000, 6000));
        if sky.is_over() {
            return;
        }
        sky.stage.kills_sandbox();
        sky.counts("kill: provider");
        sky.waits(dice.millis(10, 500));
        sky.stage.starts_sandbox();
    }
}

fn answers_fail(sky: &Sky, mut dice: Dice) {
    loop {
        sky.waits(dice.millis(50, 400));
        if sky.is_over() {
            return;
        }
        let (operation, fault) = dice.pick(&FAULTS);
        let Some(url) = sky.stage.sandbox_url() else { continue };
        if sky.runtime.block_on(provider::arms(&sky.client, &url, operation, fault)) {
            sky.counts("fault: an answer of the provider's");
        }
    }
}

fn networks_fail(sky: &Sky, mut dice: Dice) {
    let networks = sky.stage.networks();
    loop {
        sky.waits(dice.millis(20, 300));
        if sky.is_over() {
            return;
        }
        let (name, network) = networks[usize::try_from(dice.below(networks.len() as u64)).expect("a place")];
        let (weather, what) = match dice.below(10) {
            // A request asks its database many times.
            0..4 if name.ends_with("PostgreSQL") => (Weather::Slow(dice.millis(2, 15)), "slow"),
            0..4 => (Weather::Slow(dice.millis(20, 150)), "slow"),
            4 => (Weather::Swallowing, "black hole"),
            5 => (Weather::AnswersLost, "answers lost"),
            6 | 7 => (Weather::AnswersCut, "answers cut"),
            _ => (Weather::Cut, "cut"),
        };
        network.turns(weather);
        sky.counts(&format!("network: {what}, {name}"));
        // A black hole lasts longer than anybody's patience, now and then.
        sky.waits(if what == "black hole" { dice.millis(500, 3500) } else { dice.millis(100, 1500) });
        network.turns(sky.stage.usual(network));
    }
}
