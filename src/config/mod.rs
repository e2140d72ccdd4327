//! Every setting: its flag, its environment variable, its default and its doc. `--help` prints this file, so to speak.
//!
//! Settings are read once, here and nowhere else; all mistakes are told together, each with the setting's name.

mod limits;
mod mistake;
mod network;
mod socket;
mod stop;
#[cfg(test)]
mod tests;
mod token;
mod traffic;

use std::{
    convert::Infallible, fmt, net::SocketAddr, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration,
};

use chrono::TimeDelta;
use clap::Args;
use entity::schedule::Schedule;
use reqwest::Url;
use tracing_subscriber::filter::Targets;

use self::{
    limits::LimitSettings, mistake::names, socket::SocketSettings, stop::StopSettings, traffic::TrafficSettings,
};
pub use self::{
    mistake::Mistakes,
    network::Network,
    socket::Sockets,
    stop::Stop,
    token::{TokenConfig, TrustedIssuer},
    traffic::{Allowance, Traffic},
};
use crate::{
    auth::{KeySource, Policy},
    db::DatabaseUrl,
    graphql,
    sandbox::Limits,
    secret::Secret,
};

/// How many connections to the database a server may hold.
const CONNECTIONS: RangeInclusive<u32> = 1..=1000;
/// Shorter, and no provider answers in time; longer, and no shopper is still there.
const PROVIDER_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// What a lock may be taken for (rule K3).
const PAYMENT_LOCK_TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

/// Sooner, and a request that still runs is disturbed; later, and nobody remembers what it was about.
const RECONCILE_AFTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 60 * 60);

/// The settings as they were given, not checked yet.
#[derive(Args, Clone)]
#[command(next_help_heading = "Settings")]
pub struct Settings {
    /// The database: `sqlite://FILE?mode=rwc` or `postgres://USER@HOST/NAME`
    #[arg(long, env = "ORDERPAY_DATABASE_URL", global = true, value_name = "URL", hide_env_values = true)]
    #[arg(default_value = "sqlite://orderpay.db?mode=rwc")]
    database_url: String,

    /// Maximum connections to the database
    #[arg(long, env = "ORDERPAY_DATABASE_CONNECTIONS", global = true, value_name = "N", default_value = "8")]
    database_connections: String,

    /// The address that the server listens on
    #[arg(long, env = "ORDERPAY_LISTEN", global = true, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: String,

    /// The address that browsers and providers reach it under [default: http:// and the address it listens on]
    #[arg(long, env = "ORDERPAY_PUBLIC_URL", global = true, value_name = "URL")]
    public_url: Option<String>,

    /// The shared secret that tokens are signed with, HS256, 32 bytes or more. Without this and without a JWK set the server is in
    /// development mode: only on a loopback address, with tokens to try, a demo, GraphiQL and the sandbox
    #[arg(long, env = "ORDERPAY_JWT_SECRET", global = true, value_name = "SECRET", hide_env_values = true)]
    #[arg(value_parser = secret)]
    jwt_secret: Option<Secret>,

    /// The public keys that tokens are signed with, as a JWK set: a file or an https URL
    #[arg(long, env = "ORDERPAY_JWT_JWKS", global = true, value_name = "FILE|URL")]
    jwt_jwks: Option<String>,

    /// The issuer (`iss`) that a token must name
    #[arg(long, env = "ORDERPAY_JWT_ISSUER", global = true, value_name = "ISSUER")]
    jwt_issuer: Option<String>,

    /// The audience (`aud`) that a token must name
    #[arg(long, env = "ORDERPAY_JWT_AUDIENCE", global = true, value_name = "AUDIENCE")]
    jwt_audience: Option<String>,

    #[command(flatten)]
    token: token::TokenSettings,

    /// The payment providers, the default one first: `sandbox`. No default outside development
    #[arg(long, env = "ORDERPAY_PROVIDERS", global = true, value_name = "NAME,…")]
    providers: Option<String>,

    /// How long a provider may take to answer: 100ms to 60s
    #[arg(long, env = "ORDERPAY_PROVIDER_TIMEOUT", global = true, value_name = "TIME", default_value = "6s")]
    provider_timeout: String,

    /// How long a payment stays locked by a mutation that takes the lock itself, if the server dies meanwhile: 1s to 300s
    #[arg(long, env = "ORDERPAY_PAYMENT_LOCK_TTL", global = true, value_name = "TIME", default_value = "10s")]
    payment_lock_ttl: String,

    /// When a provider is asked again about what it has not answered: after the first of these, then after the second, and so on; the last one
    /// repeats. Each is 1s to 7d
    #[arg(
        long,
        env = "ORDERPAY_RECONCILE_AFTER",
        global = true,
        value_name = "TIME,…",
        default_value = "30s,2m,10m,1h,1d"
    )]
    reconcile_after: String,

    /// Whether this server looks for what is unanswered; one of those that share a database has to
    #[arg(long, env = "ORDERPAY_RECONCILER", global = true, value_name = "on|off")]
    reconciler: Option<String>,

    /// Where the sandbox provider runs as a process of its own [default: it runs inside this server]
    #[arg(long, env = "ORDERPAY_SANDBOX_URL", global = true, value_name = "URL")]
    sandbox_url: Option<String>,

    /// The secret that the sandbox signs its webhooks with; both sides need it [default: random where the sandbox runs inside]
    #[arg(long, env = "ORDERPAY_SANDBOX_WEBHOOK_SECRET", global = true, value_name = "SECRET", hide_env_values = true)]
    #[arg(value_parser = secret)]
    sandbox_webhook_secret: Option<Secret>,

    /// The sandbox's own database: always SQLite
    #[arg(long, env = "ORDERPAY_SANDBOX_DATABASE_URL", global = true, value_name = "URL")]
    #[arg(default_value = "sqlite://orderpay-sandbox.db?mode=rwc")]
    sandbox_database_url: String,

    /// What the sandbox can't do, for trying how that goes: any of `single-capture`, `capture-ends-authorization` and
    /// `no-partial-reversal`. Where it runs as a process of its own, both sides need the same
    #[arg(long, env = "ORDERPAY_SANDBOX_LIMITS", global = true, value_name = "LIMIT,…")]
    sandbox_limits: Option<String>,

    /// The origins that a shopper may be sent back to: `https://shop.example,…` [in development: any loopback address]
    #[arg(long, env = "ORDERPAY_RETURN_ORIGINS", global = true, value_name = "ORIGIN,…")]
    return_origins: Option<String>,

    /// Whether callers may introspect the schema [default: in development only]
    #[arg(long, env = "ORDERPAY_INTROSPECTION", global = true, value_name = "on|off")]
    introspection: Option<String>,

    /// Whether GraphiQL is served at / [default: in development only]
    #[arg(long, env = "ORDERPAY_GRAPHIQL", global = true, value_name = "on|off")]
    graphiql: Option<String>,

    /// Leave the demo data out of an empty development database
    #[arg(long, global = true)]
    no_demo: bool,

    #[command(flatten)]
    limits: LimitSettings,

    /// What is logged: `info`, `orderpay=debug,warn`, …
    #[arg(long, env = "ORDERPAY_LOG", global = true, value_name = "FILTER", default_value = "info")]
    log: String,

    /// How it is logged
    #[arg(long, env = "ORDERPAY_LOG_FORMAT", global = true, value_name = "text|json", default_value = "text")]
    log_format: String,

    #[command(flatten)]
    traffic: TrafficSettings,

    #[command(flatten)]
    sockets: SocketSettings,

    #[command(flatten)]
    stop: StopSettings,
}

/// Shows nothing: nobody has looked yet in which settings a password stands.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

/// What the settings are for: a command asks for those only that it can't do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Serve,
    Migrate,
    Token,
    Check,
    Sandbox,
}

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub database_url: DatabaseUrl,
    pub database_connections: u32,
    pub listen: SocketAddr,
    pub public_url: Option<Url>,
    /// `None`: development mode (rule A6), unless there are other issuers.
    pub keys: Option<KeySource>,
    pub tokens: Policy,
    pub more_tokens: TokenConfig,
    pub providers: Vec<ProviderName>,
    pub provider_timeout: Duration,
    pub payment_lock_ttl: Duration,
    pub reconcile_after: Schedule,
    pub reconciler: bool,
    pub sandbox_url: Option<Url>,
    pub sandbox_webhook_secret: Option<Secret>,
    pub sandbox_database_url: DatabaseUrl,
    pub sandbox_limits: Limits,
    pub return_origins: ReturnOrigins,
    pub introspection: bool,
    pub graphiql: bool,
    pub demo: bool,
    pub limits: graphql::Limits,
    pub trusted_documents: Option<PathBuf>,
    pub traffic: Traffic,
    pub sockets: Sockets,
    pub stop: Stop,
    pub log: Targets,
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be text or json"),
        }
    }
}

/// The providers that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderName {
    Sandbox,
}

impl FromStr for ProviderName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "sandbox" => Ok(Self::Sandbox),
            _ => Err("the providers are: sandbox"),
        }
    }
}

/// Where a shopper may be sent back to (rule A7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnOrigins {
    /// Any loopback address: in development.
    Loopback,
    These(Vec<url::Origin>),
}

impl ReturnOrigins {
    /// Whether the server may hand this address to a provider to send a shopper back to.
    pub fn allow(&self, url: &Url) -> bool {
        match self {
            Self::Loopback => matches!(url.scheme(), "http" | "https") && is_loopback(url),
            Self::These(origins) => origins.contains(&url.origin()),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl Config {
    /// Whether nobody said who may come in, so that the server makes its own tokens to try (rule A6).
    pub fn is_development(&self) -> bool {
        self.keys.is_none() && self.more_tokens.issuers.is_empty()
    }
}

impl Settings {
    /// Checks all settings for serving, and tells all mistakes at once.
    pub fn check(self) -> Result<Config, Mistakes> {
        self.check_for(Purpose::Serve)
    }

    /// Checks that all settings which are given make sense, and that none is missing for this purpose.
    pub fn check_for(self, purpose: Purpose) -> Result<Config, Mistakes> {
        let mut mistakes = Mistakes::default();
        let development = self.is_development();
        let listen: Option<SocketAddr> =
            mistakes.parse("ORDERPAY_LISTEN", &self.listen, "an IP address and a port such as 127.0.0.1:8080");
        match purpose {
            Purpose::Serve => self.needed_to_serve(&mut mistakes, listen),
            Purpose::Sandbox => self.needed_for_the_sandbox(&mut mistakes),
            Purpose::Migrate | Purpose::Token | Purpose::Check => {}
        }
        let config = Config {
            keys: self.keys(&mut mistakes),
            more_tokens: self.more_tokens(&mut mistakes, purpose),
            tokens: Policy { issuer: self.jwt_issuer.clone(), audience: self.jwt_audience.clone() },
            database_url: mistakes.take("ORDERPAY_DATABASE_URL", self.database_url.parse()).unwrap_or_default(),
            database_connections: mistakes.number(
                "ORDERPAY_DATABASE_CONNECTIONS",
                &self.database_connections,
                &CONNECTIONS,
            ),
            limits: self.limits.check(&mut mistakes),
            trusted_documents: self.limits.trusted_documents.clone(),
            traffic: self.traffic.check(&mut mistakes),
            sockets: self.sockets.check(&mut mistakes),
            stop: self.stop.check(&mut mistakes, development),
            public_url: mistakes.url("ORDERPAY_PUBLIC_URL", self.public_url.as_deref()),
            providers: self.providers(&mut mistakes),
            provider_timeout: mistakes.duration("ORDERPAY_PROVIDER_TIMEOUT", &self.provider_timeout, &PROVIDER_TIMEOUT),
            payment_lock_ttl: mistakes.duration("ORDERPAY_PAYMENT_LOCK_TTL", &self.payment_lock_ttl, &PAYMENT_LOCK_TTL),
            reconcile_after: reconcile_after(&mut mistakes, &self.reconcile_after),
            reconciler: mistakes.switch("ORDERPAY_RECONCILER", self.reconciler.as_deref(), true),
            sandbox_url: mistakes.url("ORDERPAY_SANDBOX_URL", self.sandbox_url.as_deref()),
            sandbox_database_url: self.sandbox_database_url(&mut mistakes),
            sandbox_limits: sandbox_limits(&mut mistakes, self.sandbox_limits.as_deref()),
            return_origins: return_origins(&mut mistakes, self.return_origins.as_deref(), development),
            introspection: mistakes.switch("ORDERPAY_INTROSPECTION", self.introspection.as_deref(), development),
            graphiql: mistakes.switch("ORDERPAY_GRAPHIQL", self.graphiql.as_deref(), development),
            demo: development && !self.no_demo,
            log: mistakes
                .parse("ORDERPAY_LOG", &self.log, "a level or a list such as info or orderpay=debug,warn")
                .unwrap_or_default(),
            log_format: mistakes.take("ORDERPAY_LOG_FORMAT", self.log_format.parse()).unwrap_or(LogFormat::Text),
            listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
            sandbox_webhook_secret: self.webhook_secret(&mut mistakes),
        };
        mistakes.or(config)
    }

    fn is_development(&self) -> bool {
        self.jwt_secret.is_none() && self.jwt_jwks.is_none() && self.token.jwt_issuers.is_none()
    }

    fn more_tokens(&self, mistakes: &mut Mistakes, purpose: Purpose) -> TokenConfig {
        let is_one = self.jwt_secret.is_some() || self.jwt_jwks.is_some() || self.token.jwt_issuers.is_none();
        let one = is_one.then_some(self.jwt_issuer.as_deref());
        self.token.check(mistakes, one, matches!(purpose, Purpose::Serve | Purpose::Token))
    }

    fn needed_to_serve(&self, mistakes: &mut Mistakes, listen: Option<SocketAddr>) {
        // rule A6
        if self.is_development() && listen.is_some_and(|listen| !listen.ip().is_loopback()) {
            mistakes.add(
                "ORDERPAY_LISTEN",
                "without ORDERPAY_JWT_SECRET, ORDERPAY_JWT_JWKS or ORDERPAY_JWT_ISSUERS the server starts on a loopback address only",
            );
        }
        let is_blank = |list: &str| names(list).next().is_none();
        if self.providers.as_deref().map_or(!self.is_development(), is_blank) {
            mistakes.add("ORDERPAY_PROVIDERS", "names the payment providers; it has no default outside development");
        }
        if self.sandbox_url.is_some() && self.sandbox_webhook_secret.is_none() {
            mistakes.add("ORDERPAY_SANDBOX_WEBHOOK_SECRET", "is needed beside ORDERPAY_SANDBOX_URL");
        }
    }

    fn needed_for_the_sandbox(&self, mistakes: &mut Mistakes) {
        if self.sandbox_webhook_secret.is_none() {
            mistakes.add("ORDERPAY_SANDBOX_WEBHOOK_SECRET", "is needed: the server has to know it too");
        }
    }

    fn webhook_secret(&self, mistakes: &mut Mistakes) -> Option<Secret> {
        let secret = self.sandbox_webhook_secret.clone()?;
        if secret.expose().is_empty() {
            mistakes.add("ORDERPAY_SANDBOX_WEBHOOK_SECRET", "must not be empty");
        }
        Some(secret)
    }

    fn sandbox_database_url(&self, mistakes: &mut Mistakes) -> DatabaseUrl {
        let setting = "ORDERPAY_SANDBOX_DATABASE_URL";
        let url: DatabaseUrl = mistakes.take(setting, self.sandbox_database_url.parse()).unwrap_or_default();
        if url.is_postgres() {
            mistakes.add(setting, "must be SQLite: sqlite://FILE?mode=rwc");
        }
        url
    }

    fn keys(&self, mistakes: &mut Mistakes) -> Option<KeySource> {
        match (&self.jwt_secret, &self.jwt_jwks) {
            (Some(_), Some(_)) => {
                mistakes.add("ORDERPAY_JWT_JWKS", "can't be used together with ORDERPAY_JWT_SECRET");
                None
            }
            (Some(secret), None) => {
                if secret.expose().len() < 32 {
                    mistakes.add("ORDERPAY_JWT_SECRET", "must have at least 32 bytes");
                }
                Some(KeySource::Secret(secret.clone()))
            }
            (None, Some(place)) => jwks(mistakes, "ORDERPAY_JWT_JWKS", place),
            (None, None) => None,
        }
    }

    fn providers(&self, mistakes: &mut Mistakes) -> Vec<ProviderName> {
        let Some(list) = self.providers.as_deref() else {
            return if self.is_development() { vec![ProviderName::Sandbox] } else { vec![] };
        };
        let mut providers = vec![];
        for provider in mistakes.each("ORDERPAY_PROVIDERS", Some(list)) {
            if providers.contains(&provider) {
                mistakes.add("ORDERPAY_PROVIDERS", "names a provider twice");
            }
            providers.push(provider);
        }
        providers
    }
}

/// Where a JWK set is published.
fn jwks(mistakes: &mut Mistakes, setting: &str, place: &str) -> Option<KeySource> {
    if !place.starts_with("http:") && !place.starts_with("https:") {
        return Some(KeySource::File(PathBuf::from(place)));
    }
    let url = mistakes.url(setting, Some(place))?;
    if url.scheme() == "http" && !is_loopback(&url) {
        mistakes.add(setting, "keys are fetched by https only, but from a loopback address");
    }
    Some(KeySource::Url(url))
}

/// One pause of the reconciler's.
struct Pause(TimeDelta);

impl FromStr for Pause {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pause = humantime::parse_duration(text).ok().filter(|pause| RECONCILE_AFTER.contains(pause));
        let pause = pause.and_then(|pause| TimeDelta::from_std(pause).ok());
        pause.map(Self).ok_or("must be 1s to 7d, a number and its unit")
    }
}

fn reconcile_after(mistakes: &mut Mistakes, list: &str) -> Schedule {
    let setting = "ORDERPAY_RECONCILE_AFTER";
    let pauses: Vec<Pause> = mistakes.each(setting, Some(list));
    Schedule::new(pauses.into_iter().map(|pause| pause.0).collect()).unwrap_or_else(|| {
        mistakes.add(setting, "must name one pause at least, such as 30s");
        Schedule::usual()
    })
}

/// One thing that the sandbox can't do.
enum Limit {
    SingleCapture,
    CaptureEndsAuthorization,
    NoPartialReversal,
}

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "single-capture" => Ok(Self::SingleCapture),
            "capture-ends-authorization" => Ok(Self::CaptureEndsAuthorization),
            "no-partial-reversal" => Ok(Self::NoPartialReversal),
            _ => Err("must be single-capture, capture-ends-authorization or no-partial-reversal"),
        }
    }
}

fn sandbox_limits(mistakes: &mut Mistakes, list: Option<&str>) -> Limits {
    let mut limits = Limits::default();
    for limit in mistakes.each("ORDERPAY_SANDBOX_LIMITS", list) {
        match limit {
            Limit::SingleCapture => limits.single_capture = true,
            Limit::CaptureEndsAuthorization => limits.capture_ends_authorization = true,
            Limit::NoPartialReversal => limits.no_partial_reversal = true,
        }
    }
    limits
}

/// An origin as it is configured: `https://shop.example`, no path.
struct Origin(url::Origin);

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse().map(|url: Url| url.origin()) {
            Ok(origin @ url::Origin::Tuple(..)) if origin.ascii_serialization() == text.trim_end_matches('/') => {
                Ok(Self(origin))
            }
            _ => Err("must be an origin such as https://shop.example, without a path"),
        }
    }
}

fn return_origins(mistakes: &mut Mistakes, list: Option<&str>, development: bool) -> ReturnOrigins {
    if list.is_none() && development {
        return ReturnOrigins::Loopback;
    }
    let origins: Vec<Origin> = mistakes.each("ORDERPAY_RETURN_ORIGINS", list);
    ReturnOrigins::These(origins.into_iter().map(|origin| origin.0).collect())
}
