//! Three servers on one database are replaced one by one, under load, and nobody who keeps the balancer's rule notices: who is not ready is sent
//! nothing.

use std::{
    cell::{Cell, RefCell},
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    task::{AbortHandle, spawn_local},
    time::{sleep, timeout},
};

use super::crowd::{Crowd, Failure, Outcome, failures};
use crate::{
    latency::Latencies,
    load,
    postgres::Postgres,
    say,
    server::Server,
    shop::Shop,
    table::{Table, count, ms},
    wire::Client,
};

const SERVERS: usize = 3;
/// How often the balancer asks each server whether it is ready, and how long it waits for the answer.
const LOOKS_EVERY: Duration = Duration::from_millis(500);
const LONGEST_LOOK: Duration = Duration::from_secs(1);
const BETWEEN: Duration = Duration::from_secs(3);
const LASTS: Duration = Duration::from_secs(45);

/// What a balancer does: it asks each server whether it is ready, and sends requests to those that are, one after the other.
struct Balancer {
    places: Vec<Place>,
    next: Cell<usize>,
}

struct Place {
    crowd: RefCell<Crowd>,
    address: SocketAddr,
    is_ready: Cell<bool>,
}

pub async fn measure(postgres: &Postgres, shop: &Shop, capacity: f64) -> String {
    say("three servers");
    let mut servers: Vec<Server> = (0..SERVERS).map(|_| Server::start(postgres)).collect();
    let crowd = Crowd::before(servers[0].address, shop);
    let place = |server: &Server| {
        let crowd = RefCell::new(crowd.moved_to(server.address));
        Place { crowd, address: server.address, is_ready: Cell::new(true) }
    };
    let balancer = Rc::new(Balancer { places: servers.iter().map(place).collect(), next: Cell::new(0) });
    let looking: Vec<AbortHandle> =
        (0..SERVERS).map(|number| spawn_local(Rc::clone(&balancer).looks_at(number)).abort_handle()).collect();

    let asking = Rc::clone(&balancer);
    let load = load::open(capacity / 2.0, LASTS, move |_| {
        let balancer = Rc::clone(&asking);
        async move { balancer.ask().await }
    });
    let (told, ends) = tokio::join!(load, replace_all(&mut servers, postgres, &balancer));
    looking.iter().for_each(AbortHandle::abort);

    let mut table = Table::new(&[
        "requests",
        "served",
        "refused",
        "failed",
        "p50",
        "p99",
        "longest",
        "each server: code, time to end",
    ]);
    let number = |is: fn(&Outcome) -> bool| count(told.iter().filter(|one| is(&one.outcome)).count());
    let took: Latencies = told.iter().map(|one| one.took).collect();
    table.row(vec![
        count(told.len()),
        number(|outcome| *outcome == Outcome::Served),
        number(|outcome| matches!(outcome, Outcome::Refused { .. })),
        failures(&told),
        ms(took.p50()),
        ms(took.p99()),
        ms(took.longest()),
        ends.join("; "),
    ]);
    format!(
        "Three servers on one database, each told to end by SIGTERM and replaced by another one, one after the other, while half of what one can do is asked \
         of all three in {} s. A server that says at `/readyz` that it is not ready is sent nothing more; it is asked every {} ms.\n\n{}",
        LASTS.as_secs(),
        LOOKS_EVERY.as_millis(),
        table.finish()
    )
}

/// One after the other; gives how each ended.
async fn replace_all(servers: &mut Vec<Server>, postgres: &Postgres, balancer: &Balancer) -> Vec<String> {
    let mut ends = vec![];
    for place in &balancer.places {
        sleep(BETWEEN).await;
        let server = servers.remove(0);
        let begun = Instant::now();
        let ended = server.ends_by_sigterm().await;
        ends.push(format!(
            "{}, {:.1} s",
            ended.code().map_or("none".into(), |code| code.to_string()),
            begun.elapsed().as_secs_f64()
        ));
        servers.push(Server::start_at(postgres, place.address));
        while !place.is_ready.get() {
            sleep(LOOKS_EVERY).await;
        }
    }
    ends
}

impl Balancer {
    async fn looks_at(self: Rc<Self>, number: usize) {
        let place = &self.places[number];
        loop {
            // A connection of its own each time: what matters is whether new ones are taken.
            let client = Client::new(Ipv4Addr::LOCALHOST, place.address);
            let answer = timeout(LONGEST_LOOK, client.ask(b"GET /readyz HTTP/1.1\r\nhost: orderpay\r\n\r\n")).await;
            let is_ready = matches!(answer, Ok(Ok(answer)) if answer.status == 200);
            if is_ready && !place.is_ready.get() {
                // Connections to the one that was there before lead nowhere.
                let fresh = place.crowd.borrow().moved_to(place.address);
                place.crowd.replace(fresh);
            }
            place.is_ready.set(is_ready);
            sleep(LOOKS_EVERY).await;
        }
    }

    async fn ask(&self) -> Outcome {
        for _ in 0..SERVERS {
            let place = &self.places[self.next.replace((self.next.get() + 1) % SERVERS)];
            if place.is_ready.get() {
                let crowd = place.crowd.borrow().clone();
                return crowd.ask().await;
            }
        }
        Outcome::Failed(Failure::NoServer)
    }
}
