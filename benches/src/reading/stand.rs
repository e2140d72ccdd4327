//! All that is compared, side by side over one database.

use std::time::{Duration, Instant};

use super::{Extent, peer::Peer, pgbench::Pgbench, postgraphile::PostGraphile, question::Question};
use crate::{
    floor::Floor,
    postgres::Postgres,
    say,
    server::{self, Seeded, Server},
    token::Mint,
    wire::{post, request},
};

/// There are few shoppers, and each asks for more than one may; the rate is watched all the same.
const SETTINGS: [(&str, &str); 1] = [("ORDERPAY_RATE_PER_SHOPPER", "1000000")];

/// The database's cluster comes last: it is ended when nobody asks it any more.
pub struct Stand {
    pub server: Server,
    pub floor: Floor,
    postgraphile: Option<PostGraphile>,
    shoppers: Mint,
    services: Mint,
    pub seeded: Seeded,
    pub seeded_in: Duration,
    pub ready_in: Duration,
    sqlite: bool,
    pub postgres: Postgres,
}

impl Stand {
    /// Makes the orders and starts whoever is asked for them.
    pub fn set_up(extent: Extent) -> Self {
        let postgres = Postgres::start();
        let database = if extent.sqlite { server::sqlite_url(&postgres) } else { postgres.url() };
        say("making orders");
        let begun = Instant::now();
        let seeded = server::seed(&postgres, &database, extent.orders);
        let seeded_in = begun.elapsed();
        let begun = Instant::now();
        let server = Server::start_with(&postgres, &database, &SETTINGS);
        let ready_in = begun.elapsed();
        let floor = Floor::start(&database);
        let postgraphile = extent.postgraphile.then(|| PostGraphile::start(&postgres));
        let [shoppers, services] = ["user", "service"].map(|kind| server::mint(&postgres, kind));
        Self {
            server,
            floor,
            postgraphile,
            shoppers,
            services,
            seeded,
            seeded_in,
            ready_in,
            sqlite: extent.sqlite,
            postgres,
        }
    }

    /// Each shopper with a token of their own, checked as always.
    pub fn orderpay(&self) -> Peer {
        let ask = |user: &str| post(&self.shoppers.token(user), &Question::newest_of(user).to_orderpay());
        Peer::new("orderpay", self.server.process(), self.server.address, self.of_each_regular(ask))
    }

    pub fn bare_handler(&self) -> Peer {
        let ask = |user: &str| request("/page", "", &Question::newest_of(user).to_floor());
        Peer::new("a bare handler", self.floor.process(), self.floor.address, self.of_each_regular(ask))
    }

    /// The bare handler's process, without a database.
    pub fn fixed(&self) -> Peer {
        let ask = vec![request("/static", "", b"{}")];
        Peer::new("a static answer", self.floor.process(), self.floor.address, ask)
    }

    pub fn postgraphile(&self) -> Option<Peer> {
        let postgraphile = self.postgraphile.as_ref()?;
        let ask = |user: &str| to_postgraphile(&Question::newest_of(user));
        let asked = self.of_each_regular(ask);
        Some(Peer::new("PostGraphile", postgraphile.process(), postgraphile.address, asked))
    }

    pub fn pgbench(&self) -> Option<Pgbench<'_>> {
        (!self.sqlite).then(|| Pgbench::new(&self.postgres, self.seeded.regulars))
    }

    /// A request of a service, which may ask for anybody's orders as often as it likes: one shopper may not.
    pub fn by_service(&self, question: &Question<'_>) -> Vec<u8> {
        post(&self.services.token("benches"), &question.to_orderpay())
    }

    fn of_each_regular(&self, ask: impl Fn(&str) -> Vec<u8>) -> Vec<Vec<u8>> {
        (1..=self.seeded.regulars).map(|regular| ask(&format!("regular-{regular}"))).collect()
    }
}

pub fn to_postgraphile(question: &Question<'_>) -> Vec<u8> {
    request("/graphql", "", &question.to_postgraphile())
}
