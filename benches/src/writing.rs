//! The writing job: a provider's webhook says that a session succeeded, and its order is paid when it is answered. What that costs here, and what one
//! statement costs that writes the same rows.
//!
//! Both write in turns (A B A B …), on copies of one database in one cluster, and are compared within each round: the machine is another one a minute
//! later. Afterwards each database is verified as a whole.

mod floor;
mod news;
mod rows;
mod tap;
mod till;
mod trips;
mod turn;

use std::{net::Ipv4Addr, rc::Rc, time::Instant};

use self::{
    floor::Floor,
    news::{News, webhook},
    rows::Written,
    turn::Turn,
};
use crate::{
    load, machine,
    postgres::Postgres,
    say,
    server::{self, Server},
    table::count,
    wire::Client,
};

const CLIENTS: usize = 16;
/// What each client sends before it is measured: more than the runs after which PostgreSQL keeps the plan of a statement.
const WARMING_UP: usize = 8;
/// Nothing is left unanswered here, and no provider is asked while others are measured.
const SETTINGS: [(&str, &str); 1] = [("ORDERPAY_RECONCILE_AFTER", "1h")];

/// How much is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Extent {
    /// How many orders of two years the database holds before
    #[arg(long, default_value_t = 100_000)]
    orders: u32,
    /// How many webhooks come in each turn
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(200..=100_000))]
    webhooks: u32,
    /// How many turns the server and the statement have each
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: u8,
    /// How many webhooks come while round trips are counted
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(50..=5000))]
    tapped: u16,
}

impl Extent {
    /// What each client sends in a turn.
    fn of_each(&self) -> usize {
        (self.webhooks as usize).div_ceil(CLIENTS)
    }

    /// What is sent in a round, with what warms up.
    fn of_round(&self) -> usize {
        (self.of_each() + WARMING_UP) * CLIENTS
    }

    /// What is sent to both: first so much that it can be seen what each writes, then the rounds.
    fn of_both(&self) -> usize {
        WARMING_UP * CLIENTS + self.of_round() * usize::from(self.rounds)
    }
}

/// All of it, and a document about it.
pub async fn measure(extent: Extent) -> String {
    let postgres = Postgres::start();
    say("making orders");
    // On empty tables PostgreSQL would plan as nobody's does.
    server::seed(&postgres, &postgres.url(), extent.orders);
    say("opening sessions");
    let begun = Instant::now();
    let news = till::open_sessions(&postgres, extent.of_both() + trips::webhooks(extent.tapped.into())).await;
    let a_second = news.len() as f64 / begun.elapsed().as_secs_f64();
    let (of_both, of_trips) = news.split_at(extent.of_both());
    let floor = Floor::open(&postgres, of_both).await;
    let (written, turns) = rounds(&postgres, &floor, of_both, extent).await;
    say("counting round trips");
    let trips = trips::count(&postgres, of_trips).await;
    say("verifying");
    verify(&postgres, "orderpay", &news).await;
    verify(&postgres, floor::DATABASE, of_both).await;
    format!(
        "## Writing\n\n{}\n{CLIENTS} clients on kept connections, each of whom waits for its answer; {} rounds of {} webhooks each, in turns; median \
         (lowest to highest). Ratios are to the one statement in the same round. {}.\n\n{}\n{trips}\n\nAfterwards all {} orders were paid by the \
         server and all {} by the statement, each once and in full, and `orderpay check` found nothing wrong with either database. They were made \
         before through the API beside {} others, each with a session at the sandbox, {a_second:.0} a second.\n",
        turn::table(&turns),
        extent.rounds,
        count(extent.of_each() * CLIENTS),
        machine::describe(&postgres.version()),
        rows::table(&written),
        count(news.len()),
        count(of_both.len()),
        count(extent.orders as usize),
    )
}

/// What the server and the statement write for a webhook, and their turns. Given up where they write not the same: the floor would be another job's.
async fn rounds(postgres: &Postgres, floor: &Floor, news: &[News], extent: Extent) -> ([Written; 2], [Vec<Turn>; 2]) {
    let server = Server::start_with(postgres, &postgres.url(), &SETTINGS);
    let client = Rc::new(Client::new(Ipv4Addr::LOCALHOST, server.address));
    let (first, news) = news.split_at(WARMING_UP * CLIENTS);
    let mark = rows::mark(postgres).await;
    tell(&client, CLIENTS, first).await;
    let orderpay = rows::since(postgres, "orderpay", &mark, first.len()).await;
    let mark = rows::mark(postgres).await;
    floor.run(postgres, WARMING_UP);
    let statement = rows::since(postgres, floor::DATABASE, &mark, first.len()).await;
    rows::compare(&orderpay, &statement);

    let mut turns = [vec![], vec![]];
    for (number, news) in news.chunks(extent.of_round()).enumerate() {
        let (warming_up, measured) = news.split_at(WARMING_UP * CLIENTS);
        say(&format!("round {}: orderpay", number + 1));
        postgres.sql("CHECKPOINT", "postgres");
        tell(&client, CLIENTS, warming_up).await;
        turns[0].push(turn::of_server(&server, postgres, &client, measured).await);
        say(&format!("round {}: one statement", number + 1));
        postgres.sql("CHECKPOINT", "postgres");
        turns[1].push(turn::of_floor(floor, postgres, extent.of_each()).await);
    }
    assert_eq!(server.faults(), Vec::<String>::new(), "the server had no faults");
    ([orderpay, statement], turns)
}

/// Sends these, signed now, and waits for all answers.
async fn tell(client: &Rc<Client>, clients: usize, news: &[News]) -> Vec<load::Told<bool>> {
    let requests: Rc<Vec<Vec<u8>>> = Rc::new(news.iter().map(webhook).collect());
    let (client, number) = (Rc::clone(client), requests.len());
    let told = load::each(clients, number, move |number| {
        let (client, requests) = (Rc::clone(&client), Rc::clone(&requests));
        async move { client.ask(&requests[number]).await.is_ok_and(|answer| answer.status / 100 == 2) }
    });
    let told = told.await;
    assert!(told.iter().all(|one| one.outcome), "all webhooks are acknowledged");
    told
}

/// Panics unless the orders of all news that were told are paid, each by one transaction in full, and nothing else is wrong with the database.
async fn verify(postgres: &Postgres, database: &str, told: &[News]) {
    let paid = sqlx::query_scalar(
        "SELECT count(DISTINCT o.id)
        FROM provider_event AS e JOIN payment_attempt AS a ON a.external_id = e.external_id JOIN orders AS o ON o.id = a.order_id
        WHERE e.event_id = ANY($1) AND e.state = 'APPLIED' AND o.status = 'PAID'
            AND 1 = (SELECT count(*) FROM payment_transaction AS t JOIN payment AS p ON p.id = t.payment_id
                WHERE p.order_id = o.id AND t.status = 'SUCCEEDED' AND t.amount_minor = o.total_minor)",
    );
    let events: Vec<&str> = told.iter().map(|news| news.event_id.as_str()).collect();
    let paid: i64 = paid.bind(events).fetch_one(&mut postgres.connect(database).await).await.expect("a count");
    assert_eq!(usize::try_from(paid), Ok(told.len()), "whoever was told of is paid in {database}");
    server::verify(postgres, &postgres.url_of(database));
}
