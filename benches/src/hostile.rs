//! Hostile traffic: what refusing it costs, and whether anybody else notices.

mod documents;
mod neighbour;
mod sockets;

use std::{collections::BTreeMap, net::Ipv4Addr, rc::Rc, time::Duration};

use tokio::time::sleep;

use self::{
    documents::{Attack, attacks},
    neighbour::{Neighbour, RATE, Seen},
    sockets::{Siege, sieges},
};
use crate::{
    latency::Latencies,
    load, machine,
    postgres::Postgres,
    process::{Memory, Work},
    say,
    server::Server,
    shop::Shop,
    table::{Table, count, megabytes, ms},
    wire::{Answer, Client},
};

/// How often an attack comes in a second, and for how long.
const ATTACKS: f64 = 100.0;
const LASTS: Duration = Duration::from_secs(4);
/// Long enough that the server cuts each connection off once.
const SIEGE: Duration = Duration::from_secs(14);
const QUIET: Duration = Duration::from_secs(8);

struct Stage {
    server: Server,
    neighbour: Neighbour,
    /// What the server works for the well-behaved alone, of each second.
    quiet: f64,
}

/// What was found of one kind of attack.
struct Found {
    name: &'static str,
    answers: String,
    size: usize,
    work: String,
    memory: [Memory; 2],
    seen: Seen,
}

/// All kinds, one after the other, and a document about them.
pub async fn measure() -> String {
    let postgres = Postgres::start();
    let server = Server::start(&postgres);
    say("making orders");
    let shop = Shop::open(&postgres, &server).await;
    let neighbour = Neighbour::move_in(&shop, &server);
    sleep(Duration::from_secs(2)).await;
    let mut stage = Stage { server, neighbour, quiet: 0.0 };
    let before = stage.watch_the_quiet().await;
    let mut found = vec![];
    for attack in attacks(&shop) {
        say(attack.name);
        found.push(stage.suffer(attack).await);
    }
    for siege in sieges(&shop) {
        say(siege.name);
        found.push(stage.hold_out(&siege).await);
    }
    document(&postgres, &stage, &before, &found)
}

impl Stage {
    async fn watch_the_quiet(&mut self) -> Latencies {
        self.neighbour.seen();
        let work = self.server.work();
        sleep(QUIET).await;
        self.quiet = (self.server.work() - work).as_secs_f64() / QUIET.as_secs_f64();
        self.neighbour.seen().latencies()
    }

    /// What the server has worked since then beside what the well-behaved took.
    fn extra_work(&self, since: Work, time: Duration) -> Duration {
        (self.server.work() - since).saturating_sub(Duration::from_secs_f64(self.quiet * time.as_secs_f64()))
    }

    async fn suffer(&self, attack: Attack) -> Found {
        let (memory, work) = self.begin();
        let client = Rc::new(Client::new(Ipv4Addr::LOCALHOST, self.server.address));
        let request: Rc<[u8]> = attack.request.into();
        let told = load::open(ATTACKS, LASTS, move |_| {
            let (client, request) = (Rc::clone(&client), Rc::clone(&request));
            async move { client.ask(&request).await.map_err(|error| error.kind().to_string()) }
        });
        let told = told.await;
        let worked = self.extra_work(work, LASTS);
        let mut answers = BTreeMap::new();
        told.iter().for_each(|one| *answers.entry(said(&one.outcome)).or_default() += 1);
        let size = told.iter().filter_map(|one| one.outcome.as_ref().ok()).map(|answer| answer.body.len()).max();
        let work = format!("{} µs", count((worked.as_micros() / told.len() as u128) as usize));
        self.end(attack.name, &answers, size.unwrap_or_default(), work, memory)
    }

    async fn hold_out(&self, siege: &Siege) -> Found {
        let (memory, work) = self.begin();
        let ends = siege.lay(&self.server, SIEGE).await;
        let worked = self.extra_work(work, SIEGE);
        let work = format!("{} a second", ms(worked.div_f64(SIEGE.as_secs_f64())));
        self.end(siege.name, &ends, 0, work, memory)
    }

    fn begin(&self) -> (Memory, Work) {
        self.server.forget_peak();
        self.neighbour.seen();
        (self.server.memory(), self.server.work())
    }

    fn end(
        &self,
        name: &'static str,
        answers: &BTreeMap<String, usize>,
        size: usize,
        work: String,
        before: Memory,
    ) -> Found {
        let answers: Vec<String> =
            answers.iter().map(|(answer, times)| format!("{answer} × {}", count(*times))).collect();
        let (memory, seen) = ([before, self.server.memory()], self.neighbour.seen());
        Found { name, answers: answers.join(", "), size, work, memory, seen }
    }
}

/// The status of an answer and the code of its first error.
fn said(outcome: &Result<Answer, String>) -> String {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(error) => return error.clone(),
    };
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = body["errors"][0]["extensions"]["code"].as_str().unwrap_or(if answer.is_good() { "data" } else { "?" });
    format!("{} {code}", answer.status)
}

fn document(postgres: &Postgres, stage: &Stage, quiet: &Latencies, found: &[Found]) -> String {
    let faults = stage.server.faults();
    faults.iter().take(10).for_each(|fault| say(fault));
    found.iter().flat_map(|one| &one.seen.errors).take(10).for_each(|error| say(error));
    let asked: usize = found.iter().map(|one| one.seen.errors.len() + one.seen.latencies().len()).sum();
    let errors: usize = found.iter().map(|one| one.seen.errors.len()).sum();
    format!(
        "## Under attack\n\nEach request comes {ATTACKS:.0} times a second for {} s, each siege lasts {} s, and whoever is cut off comes back. Beside that, \
         {RATE} times a second and from another address, somebody asks for a page of twenty orders; with nobody else there it takes {} in the median, {} in \
         p99, and {:.0} % of a core. CPU is the server's for each request, without what those pages take. Memory is the server's, before and at its \
         peak.\n\n{}\nOf {} pages {} were not answered. Panics and errors in the server's log: {}. At most {} files may be open.\n\n{}.\n",
        LASTS.as_secs(),
        SIEGE.as_secs(),
        ms(quiet.p50()),
        ms(quiet.p99()),
        stage.quiet * 100.0,
        table(found),
        count(asked),
        count(errors),
        faults.len(),
        count(machine::files() as usize),
        machine::describe(&postgres.version()),
    )
}

fn table(found: &[Found]) -> String {
    let mut table =
        Table::new(&["attack", "answers", "bytes", "CPU", "memory, MB", "pages of others: p50, p99, errors"]);
    for Found { name, answers, size, work, memory: [before, after], seen } in found {
        let latencies = seen.latencies();
        table.row(vec![
            (*name).into(),
            answers.clone(),
            count(*size),
            work.clone(),
            format!("{} to {}", megabytes(before.now), megabytes(after.peak)),
            format!("{}, {}, {}", ms(latencies.p50()), ms(latencies.p99()), count(seen.errors.len())),
        ]);
    }
    table.finish()
}
