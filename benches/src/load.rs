//! Loads: a closed one, in which each client waits for its answer before it asks again, for so long or until all is asked, and an open one, in which
//! requests come as they come.
//!
//! An open load measures from the moment at which a request was meant to be sent: a stall of the server, or of the load itself, is in the numbers.

use std::{
    cell::Cell,
    future::Future,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};

/// What became of one request.
#[derive(Clone, Debug)]
pub struct Told<T> {
    /// When it was meant to be sent, since the load began.
    pub at: Duration,
    /// From then until its answer was there.
    pub took: Duration,
    pub outcome: T,
}

impl<T> Told<T> {
    /// When its answer was there, since the load began.
    pub fn ended(&self) -> Duration {
        self.at + self.took
    }
}

/// How finely an open load is timed: requests that are due by then are sent together.
const GRAIN: Duration = Duration::from_millis(1);

/// So many a second, evenly, for so long; then the answers that are missing are waited for. `ask` is told the number of its request.
pub async fn open<T: 'static, F: Future<Output = T> + 'static>(
    rate: f64,
    lasts: Duration,
    ask: impl Fn(usize) -> F + 'static,
) -> Vec<Told<T>> {
    let (begun, ask) = (Instant::now(), Rc::new(ask));
    let all = (rate * lasts.as_secs_f64()).round() as usize;
    let (mut running, mut told) = (JoinSet::new(), Vec::with_capacity(all));
    let mut next = 0;
    while next < all {
        let due = (begun.elapsed().as_secs_f64() * rate) as usize;
        for number in next..=due.min(all - 1) {
            let at = Duration::from_secs_f64(number as f64 / rate);
            let ask = Rc::clone(&ask);
            running.spawn_local(async move {
                let outcome = ask(number).await;
                Told { at, took: begun.elapsed().saturating_sub(at), outcome }
            });
        }
        next = next.max(due + 1);
        while let Some(one) = running.try_join_next() {
            told.push(one.expect("a request does not panic"));
        }
        sleep(GRAIN).await;
    }
    told.extend(running.join_all().await);
    told
}

/// As many as there is an answer to, by so many clients, for so long. `ask` is told the number of its client and of its request.
pub async fn closed<T: 'static, F: Future<Output = T> + 'static>(
    clients: usize,
    lasts: Duration,
    ask: impl Fn(usize, usize) -> F + 'static,
) -> Vec<Told<T>> {
    let (begun, ask) = (Instant::now(), Rc::new(ask));
    let mut running = JoinSet::new();
    for client in 0..clients {
        let ask = Rc::clone(&ask);
        running.spawn_local(async move {
            let mut told = vec![];
            while begun.elapsed() < lasts {
                let at = begun.elapsed();
                let outcome = ask(client, told.len()).await;
                told.push(Told { at, took: begun.elapsed().saturating_sub(at), outcome });
            }
            told
        });
    }
    running.join_all().await.into_iter().flatten().collect()
}

/// Each of so many requests once, by so many clients. `ask` is told the number of its request.
pub async fn each<T: 'static, F: Future<Output = T> + 'static>(
    clients: usize,
    requests: usize,
    ask: impl Fn(usize) -> F + 'static,
) -> Vec<Told<T>> {
    let (begun, ask, next) = (Instant::now(), Rc::new(ask), Rc::new(Cell::new(0)));
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (ask, next) = (Rc::clone(&ask), Rc::clone(&next));
        running.spawn_local(async move {
            let mut told = vec![];
            while next.get() < requests {
                let (number, at) = (next.replace(next.get() + 1), begun.elapsed());
                let outcome = ask(number).await;
                told.push(Told { at, took: begun.elapsed().saturating_sub(at), outcome });
            }
            told
        });
    }
    running.join_all().await.into_iter().flatten().collect()
}
