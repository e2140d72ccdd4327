//! Puts the server together and runs it: the same way for the program and for the tests.

mod door;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use self::door::Door;
use crate::{
    app::App,
    clock::Clock,
    config::{Config, Mistakes, ProviderName},
    db::{Database, DatabaseUrl, ReadOnlyDatabase},
    development::demo,
    graphql::{self, Schema, Trusted},
    http::{
        self, Admission, Face, Failures, Wrapping,
        graphiql::{self, DemoCaller},
    },
    provider::{PaymentProvider, Providers, sandbox::Sandbox as SandboxClient},
    reconciler,
    sandbox::{self, Sandbox},
    secret::Secret,
    service::{change::Changes, change_hub, reconcile},
};

/// How long the database may take to let go of its connections, once nothing runs any more.
const CLOSING: Duration = Duration::from_secs(5);
/// How long a shopper may take on the sandbox's page.
const SANDBOX_SESSION_TTL: Duration = Duration::from_secs(30 * 60);

/// Why the server can't run, in words for whoever starts it.
#[derive(Debug)]
pub struct ServerError(String);

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServerError {}

impl From<Mistakes> for ServerError {
    fn from(mistakes: Mistakes) -> Self {
        Self(mistakes.to_string())
    }
}

/// Names what was tried beside what went wrong.
pub fn failed<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> ServerError {
    move |error| ServerError(format!("{what}: {error}"))
}

/// Told of each SQL statement.
pub type OnStatement = Arc<dyn Fn(&str) + Send + Sync>;

/// What tests put in place of the machine's own.
#[derive(Clone, Default)]
pub struct Instruments {
    pub clock: Clock,
    pub on_statement: Option<OnStatement>,
}

/// A server that listens.
pub struct Running {
    pub address: SocketAddr,
    /// Whom a developer can play: none outside development.
    pub callers: Vec<DemoCaller>,
    app: Arc<App>,
    leaving: CancellationToken,
    stop: CancellationToken,
    tasks: TaskTracker,
    drain_timeout: Duration,
    db: Database,
}

impl Running {
    /// Sees at once to all that is due, as the reconciler does now and then: for whoever's clock is not the machine's. Gives how much it was.
    pub async fn reconcile(&self) -> Result<usize, ServerError> {
        let done = reconcile::reconcile(&self.app).await;
        done.map_err(|error| ServerError(format!("the reconciler failed: {error:?}")))
    }

    /// Goes on as before, but says that it is not ready and keeps no connection for another request: so that whoever sends requests to several
    /// servers sends them elsewhere before this one stops.
    pub fn leave(&self) {
        self.leaving.cancel();
    }

    /// Stops accepting, lets what runs come to its end within the time that is set for that, and lets go of the database.
    pub async fn stop(self) -> Result<(), ServerError> {
        end(&self.stop, &self.tasks, self.drain_timeout).await;
        match tokio::time::timeout(CLOSING, self.db.close()).await {
            Ok(closed) => closed.map_err(failed("the database could not be closed")),
            Err(_) => {
                tracing::warn!("the database was still at work when the time was up");
                Ok(())
            }
        }
    }
}

/// Listens, migrates, and serves until it is stopped. All that may keep it from starting comes before the schema is touched.
pub async fn start(config: Config, instruments: Instruments) -> Result<Running, ServerError> {
    let (listener, address) = listen(&config).await?;
    let Door { issuers, anonymous_tokens, callers } = door::open(&config, &instruments.clock).await?;
    let db = open_database(&config, config.database_connections).await?;
    let (leaving, stop, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
    let (providers, provider_routes) = open_providers(&config, address, &stop, &tasks).await?;
    let db = migrated(db, &instruments).await?;
    let app = Arc::new(App {
        db: db.clone(),
        clock: instruments.clock,
        providers,
        changes: Changes::default(),
        return_origins: config.return_origins.clone(),
        anonymous_tokens,
        provider_timeout: config.provider_timeout,
        payment_lock_ttl: config.payment_lock_ttl,
        checks: config.reconcile_after.clone(),
    });
    tasks.spawn(change_hub::run(Arc::clone(&app), stop.clone()));
    let schema = open_schema(&config, &app).await?;
    let face = Face {
        app: Arc::clone(&app),
        schema,
        issuers,
        traffic: config.traffic.clone(),
        sockets: config.sockets,
        admission: Admission::new(&config.traffic),
        failures: Failures::new(&config.traffic),
        tasks: tasks.clone(),
        leaving: leaving.clone(),
        stop: stop.clone(),
    };
    let routes = provider_routes.merge(routes(&config, face, &callers));
    serve(&config, listener, guarded(&config, routes), &stop, &tasks);
    if config.demo {
        let made = demo::fill_if_empty(&app).await;
        made.map_err(failed("the demo can't be made (it can be left out with --no-demo)"))?;
    }
    if config.reconciler {
        tasks.spawn(reconciler::run(Arc::clone(&app), stop.clone(), tasks.clone()));
    }
    Ok(Running { address, callers, app, leaving, stop, tasks, drain_timeout: config.stop.drain_timeout, db })
}

async fn listen(config: &Config) -> Result<(TcpListener, SocketAddr), ServerError> {
    let bound = TcpListener::bind(config.listen).await;
    let listener = bound.map_err(failed(&format!("can't listen on ORDERPAY_LISTEN, {}", config.listen)))?;
    let address = listener.local_addr().map_err(failed("the address is not known"))?;
    Ok((listener, address))
}

/// The schema, and the documents that alone may run, where there are such.
async fn open_schema(config: &Config, app: &Arc<App>) -> Result<Schema, ServerError> {
    let mut settings = graphql::Settings { limits: config.limits, trusted: None, introspection: config.introspection };
    let Some(file) = &config.trusted_documents else { return Ok(Schema::new(Arc::clone(app), settings)) };
    let place = format!("ORDERPAY_TRUSTED_DOCUMENTS, {}, can't be used", file.display());
    let json = std::fs::read(file).map_err(failed(&place))?;
    settings.trusted = Some(Trusted::read(&json, &config.limits).map_err(failed(&place))?);
    let schema = Schema::new(Arc::clone(app), settings);
    schema.check_documents().await.map_err(failed(&place))?;
    Ok(schema)
}

/// The providers, and what one that runs inside this server is reached by.
async fn open_providers(
    config: &Config,
    address: SocketAddr,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<(Providers, Router), ServerError> {
    let mut routes = Router::new();
    let mut providers: Vec<Box<dyn PaymentProvider>> = vec![];
    for ProviderName::Sandbox in &config.providers {
        let (client, embedded) = open_sandbox(config, address).await?;
        if let Some(sandbox) = embedded {
            routes = routes.nest("/sandbox", sandbox.router());
            let stop = stop.clone();
            tasks.spawn(async move { sandbox.deliver_webhooks(stop).await });
        }
        providers.push(Box::new(client));
    }
    Ok((Providers::new(providers), routes))
}

fn routes(config: &Config, face: Face, callers: &[DemoCaller]) -> Router {
    let routes = http::routes(face);
    if !config.graphiql {
        return routes;
    }
    let page = graphiql::PageSettings { endpoint: "/graphql".into(), callers: callers.to_vec() };
    routes.merge(graphiql::routes(&page))
}

/// In development there are tokens on the page, which no website may read (rule A6).
fn guarded(config: &Config, routes: Router) -> Router {
    match config.is_development() {
        false => routes,
        true => http::host::for_this_machine_only(routes, config.public_url.as_ref()),
    }
}

/// Serves until `stop`; what is served until then comes to its end as one of the `tasks`.
fn serve(config: &Config, listener: TcpListener, routes: Router, stop: &CancellationToken, tasks: &TaskTracker) {
    let wrapping = Wrapping {
        body_timeout: config.traffic.body_timeout,
        cors_origins: config.traffic.cors_origins.clone(),
        is_https: config.public_url.as_ref().is_some_and(|url| url.scheme() == "https"),
    };
    http::serve(listener, http::wrapped(routes, wrapping), &config.traffic, stop, tasks);
}

/// Asks all that runs to come to its end, and waits for it as long as there is time. A connection that says nothing keeps nobody longer.
async fn end(stop: &CancellationToken, tasks: &TaskTracker, time: Duration) {
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(time, tasks.wait()).await.is_err() {
        tracing::warn!("connections were still open, or requests running, when the time was up");
    }
}

/// A pool of connections to the configured database.
pub async fn open_database(config: &Config, connections: u32) -> Result<Database, ServerError> {
    let url = &config.database_url;
    Database::open(url.as_str(), connections).await.map_err(cannot_open("ORDERPAY_DATABASE_URL", url))
}

/// The configured database, of which nothing can be changed.
pub async fn open_database_to_look(config: &Config) -> Result<ReadOnlyDatabase, ServerError> {
    let opened = ReadOnlyDatabase::open(config.database_url.as_str()).await;
    opened.map_err(failed("ORDERPAY_DATABASE_URL can't be opened"))
}

/// Names the setting and, for a SQLite file, what may be missing: without the mode a file that is not there is not made.
fn cannot_open<E: std::fmt::Display>(
    setting: &'static str,
    url: &DatabaseUrl,
) -> impl FnOnce(E) -> ServerError + use<E> {
    let hint = match url.is_postgres() || url.as_str().contains("mode=") {
        true => "",
        false => " (a file that is not there is made only with ?mode=rwc at the end)",
    };
    move |error| ServerError(format!("{setting} can't be opened{hint}: {error}"))
}

async fn migrated(mut db: Database, instruments: &Instruments) -> Result<Database, ServerError> {
    db.migrate().await.map_err(failed("the database can't be migrated"))?;
    if let Some(on_statement) = instruments.on_statement.clone() {
        db.watch(move |statement| on_statement(statement));
    }
    Ok(db)
}

/// The sandbox's client and, unless it runs elsewhere, the sandbox itself. The client speaks HTTP to it either way.
async fn open_sandbox(config: &Config, address: SocketAddr) -> Result<(SandboxClient, Option<Sandbox>), ServerError> {
    tracing::warn!("the SANDBOX payment provider is on: its money is NOT REAL");
    let own = reachable(address);
    let public =
        config.public_url.clone().map_or_else(|| own.clone(), |url| url.as_str().trim_end_matches('/').to_owned());
    let secret = match &config.sandbox_webhook_secret {
        Some(secret) => secret.clone(),
        None => Secret::random().map_err(failed("no secret for the sandbox"))?,
    };
    let (base, webhooks, embedded) = match &config.sandbox_url {
        Some(url) => (url.to_string(), format!("{public}/webhooks/sandbox"), None),
        None => {
            let sandbox = run_sandbox(config, format!("{public}/sandbox"), &secret).await?;
            (format!("{own}/sandbox"), format!("{own}/webhooks/sandbox"), Some(sandbox))
        }
    };
    let url = |text: String| {
        Url::parse(&text).map_err(failed("ORDERPAY_PUBLIC_URL and ORDERPAY_SANDBOX_URL don't make an address"))
    };
    let client = SandboxClient::new(url(base)?, url(webhooks)?, secret, config.provider_timeout, config.sandbox_limits);
    Ok((client.map_err(failed("no HTTP client"))?, embedded))
}

/// Where this machine reaches what listens at an address.
fn reachable(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    format!("http://{address}")
}

async fn run_sandbox(config: &Config, public_url: String, secret: &Secret) -> Result<Sandbox, ServerError> {
    let settings = sandbox::Settings {
        database_url: config.sandbox_database_url.as_str().to_owned(),
        public_url,
        secret: sandbox::Secret::new(secret.expose()),
        session_ttl: SANDBOX_SESSION_TTL,
        limits: config.sandbox_limits,
    };
    let opened = Sandbox::open(settings).await;
    opened.map_err(cannot_open("ORDERPAY_SANDBOX_DATABASE_URL", &config.sandbox_database_url))
}

/// Runs the sandbox alone until it is stopped; `listening` is told where.
pub async fn serve_sandbox(
    config: Config,
    listening: impl FnOnce(SocketAddr),
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServerError> {
    let (listener, address) = listen(&config).await?;
    let Some(secret) = &config.sandbox_webhook_secret else {
        return Err(ServerError("ORDERPAY_SANDBOX_WEBHOOK_SECRET is needed: both sides have to know it".into()));
    };
    let public = config
        .sandbox_url
        .as_ref()
        .map_or_else(|| reachable(address), |url| url.as_str().trim_end_matches('/').to_owned());
    let sandbox = run_sandbox(&config, public, secret).await?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (courier, cancelled) = (sandbox.clone(), stop.clone());
    tasks.spawn(async move { courier.deliver_webhooks(cancelled).await });
    serve(&config, listener, sandbox.router(), &stop, &tasks);
    listening(address);
    stopped.await;
    end(&stop, &tasks, config.stop.drain_timeout).await;
    Ok(())
}
