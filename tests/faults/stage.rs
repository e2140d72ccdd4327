//! Everything that plays a part, each as a process of its own: PostgreSQL, the payment provider and three servers, with a network between each
//! two of them that can fail.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use sea_orm::ConnectionTrait;

use crate::{
    options::Broken,
    support::{
        self, Database, Engine, JWT_SECRET, Shop, WEBHOOK_SECRET,
        cluster::Cluster,
        process::{Process, orderpay},
        proxy::{Proxy, Weather, address_of},
    },
    told::now,
};

pub const SERVERS: usize = 3;
/// How long a process may take to start before it is started anew.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what is said to the provider takes to arrive, and what it answers.
const FAR: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_millis(100);
/// Nobody asks the provider by the shop: it is asked past all weather.
const NOWHERE: &str = "http://127.0.0.1:9";

pub struct Stage {
    cluster: Mutex<Cluster>,
    database: String,
    sandbox: Mutex<Option<Process>>,
    sandbox_database: String,
    /// Shoppers to the provider.
    pub page: Proxy,
    pub servers: [Place; SERVERS],
    broken: Option<Broken>,
    is_over: AtomicBool,
}

/// The place of one server: its networks stay, whoever serves there.
pub struct Place {
    process: Mutex<Option<Process>>,
    /// Clients to the server.
    pub front: Proxy,
    /// The provider's webhooks to the server.
    pub news: Proxy,
    pub to_database: Proxy,
    pub to_sandbox: Proxy,
    /// The shop as clients see it here.
    pub shop: Shop,
    /// When somebody was killed here, in milliseconds.
    pub deaths: Mutex<Vec<i64>>,
}

impl Stage {
    /// `None` where PostgreSQL is not to be had. Needs a runtime, and not its threads.
    pub async fn set(broken: Option<Broken>) -> Option<Self> {
        let started = tokio::task::spawn_blocking(|| {
            let cluster = Cluster::start()?;
            let name = cluster.create();
            Some((cluster, name))
        });
        let (cluster, database) = started.await.expect("PostgreSQL starts")?;
        let page = Proxy::to_nobody().await;
        let mut places = vec![];
        for _ in 0..SERVERS {
            places.push(Place::set(&cluster, &database).await);
        }
        let servers = places.try_into().ok().expect("a place for each");
        Some(Self {
            cluster: Mutex::new(cluster),
            database,
            sandbox: Mutex::new(None),
            sandbox_database: support::fresh_file("sandbox"),
            page,
            servers,
            broken,
            is_over: AtomicBool::new(false),
        })
    }

    /// From now on nobody is started in the place of those who end.
    pub fn closes(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub fn starts_sandbox(&self) {
        let mut sandbox = guard(&self.sandbox);
        if sandbox.is_some() {
            return;
        }
        let public_url = format!("--public-url=http://{}", self.page.address);
        let arguments = [
            "--listen=127.0.0.1:0",
            &public_url,
            "--sandbox-webhook-secret",
            WEBHOOK_SECRET,
            "--sandbox-database-url",
            &self.sandbox_database,
            "sandbox",
        ];
        let Some(started) = self.starts(|| orderpay(&arguments)) else { return };
        let address = address_of(&started.url);
        self.page.leads_to(address);
        for place in &self.servers {
            place.to_sandbox.leads_to(address);
        }
        *sandbox = Some(started);
    }

    pub fn kills_sandbox(&self) {
        let mut sandbox = guard(&self.sandbox);
        drop(sandbox.take());
        self.page.leads_nowhere();
        self.servers.iter().for_each(|place| place.to_sandbox.leads_nowhere());
    }

    /// Where the provider is at this moment, by no proxy.
    pub fn sandbox_url(&self) -> Option<String> {
        guard(&self.sandbox).as_ref().map(|sandbox| sandbox.url.clone())
    }

    pub fn sandbox_database(&self) -> &str {
        &self.sandbox_database
    }

    /// The database by its Unix socket, past all weather.
    pub fn database_url(&self) -> String {
        guard(&self.cluster).url(&self.database)
    }

    pub fn starts_server(&self, at: usize) {
        let place = &self.servers[at];
        let mut process = guard(&place.process);
        if process.is_some() {
            return;
        }
        let database = Cluster::url_at(place.to_database.address, &self.database);
        let (sandbox, news) =
            (format!("http://{}", place.to_sandbox.address), format!("http://{}", place.news.address));
        let command = || {
            let mut command =
                orderpay(&["--database-url", &database, "--sandbox-url", &sandbox, "--public-url", &news]);
            command.args(["--jwt-secret", JWT_SECRET, "--sandbox-webhook-secret", WEBHOOK_SECRET]);
            command.args(SETTINGS).arg("serve");
            if let Some(broken) = self.broken {
                command.env("ORDERPAY_BREAK", broken.name());
            }
            command
        };
        let Some(started) = self.starts(command) else { return };
        let address = address_of(&started.url);
        place.front.leads_to(address);
        place.news.leads_to(address);
        *process = Some(started);
    }

    pub fn kills_server(&self, at: usize) {
        let place = &self.servers[at];
        let mut process = guard(&place.process);
        drop(process.take());
        place.front.leads_nowhere();
        place.news.leads_nowhere();
        guard(&place.deaths).push(now());
    }

    /// Stops a server for so long, unless it is not there.
    pub fn hangs(&self, at: usize, time: Duration) {
        let process = guard(&self.servers[at].process);
        if let Some(process) = process.as_ref() {
            process.freezes();
            thread::sleep(time);
            process.thaws();
        }
    }

    pub fn kills_postgres(&self) {
        let mut cluster = guard(&self.cluster);
        cluster.kill();
        self.servers.iter().for_each(|place| place.to_database.leads_nowhere());
    }

    pub fn starts_postgres(&self) {
        let mut cluster = guard(&self.cluster);
        cluster.restart();
        self.servers.iter().for_each(|place| place.to_database.leads_to(cluster.address));
    }

    /// All networks, each with a name.
    pub fn networks(&self) -> Vec<(&'static str, &Proxy)> {
        let mut all = vec![("shoppers to the provider", &self.page)];
        for place in &self.servers {
            all.push(("clients to a server", &place.front));
            all.push(("the provider to a server", &place.news));
            all.push(("a server to PostgreSQL", &place.to_database));
            all.push(("a server to the provider", &place.to_sandbox));
        }
        all
    }

    /// The weather when nothing is wrong: providers are far away, in the storm.
    pub fn usual(&self, network: &Proxy) -> Weather {
        let is_far = self.servers.iter().any(|place| place.to_sandbox.address == network.address);
        if is_far { Weather::Slow(FAR) } else { Weather::Clear }
    }

    /// Everybody is there, every network is clear, and the provider tells at once what it had put off.
    pub fn heals(&self) {
        for (_, network) in self.networks() {
            network.turns(Weather::Clear);
        }
        self.is_over.store(false, Ordering::Relaxed);
        self.starts_postgres();
        self.kills_sandbox();
        support::runtime().block_on(async {
            let events = sea_orm::Database::connect(&self.sandbox_database).await.expect("the provider's file opens");
            let sql = "UPDATE sandbox_event SET due_at = 0 WHERE state = 'due'";
            events.execute_unprepared(sql).await.expect(sql);
            events.close().await.expect("it closes");
        });
        self.starts_sandbox();
        for at in 0..SERVERS {
            self.starts_server(at);
        }
    }

    /// Starts a program until it listens, as whoever keeps it would; not where everything is over.
    fn starts(&self, command: impl Fn() -> std::process::Command) -> Option<Process> {
        while !self.is_over.load(Ordering::Relaxed) {
            match Process::dared(command(), PATIENCE) {
                Ok(process) => return Some(process),
                Err(_) => thread::sleep(PAUSE),
            }
        }
        None
    }

    /// What `orderpay check` finds, a line each; the end of its log where it could not look.
    pub fn checks(&self) -> Vec<String> {
        let url = self.database_url();
        let told = orderpay(&["--database-url", &url, "check"]).output().expect("the program runs");
        let lines =
            |bytes: &[u8]| -> Vec<String> { String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect() };
        match told.status.success() {
            true => vec![],
            false => [lines(&told.stdout), lines(&told.stderr)].concat(),
        }
    }
}

/// Locks run out soon, a lost call is given up soon, and what is unanswered is asked after soon. A few shoppers stand for many.
const SETTINGS: [&str; 8] = [
    "--listen=127.0.0.1:0",
    "--providers=sandbox",
    "--return-origins=https://shop.example",
    "--reconcile-after=1s,2s,3s,5s",
    "--payment-lock-ttl=2s",
    "--provider-timeout=1s",
    "--max-concurrent-per-shopper=0",
    "--rate-per-shopper=0",
];

impl Place {
    async fn set(cluster: &Cluster, database: &str) -> Self {
        let front = Proxy::to_nobody().await;
        let database = Database { engine: Engine::Postgres, url: cluster.url(database), name: database.to_owned() };
        Self {
            process: Mutex::new(None),
            shop: Shop::elsewhere(database, &format!("http://{}", front.address), NOWHERE),
            front,
            news: Proxy::to_nobody().await,
            to_database: Proxy::to(cluster.address).await,
            to_sandbox: Proxy::to_nobody().await,
            deaths: Mutex::default(),
        }
    }
}

/// Somebody who panicked with it in hand does not matter: the panic is told.
pub fn guard<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
