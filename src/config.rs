//! Every setting: its flag, its environment variable, its default and its doc. `--help` prints this file, so to speak.
//!
//! Settings are read once, here and nowhere else; all mistakes are told together, each with the setting's name.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, builder::PossibleValuesParser};
use reqwest::Url;

use crate::{
    auth::{KeySource, Policy},
    db::is_database_url,
    secret::Secret,
};

/// The settings as they were given, not checked yet.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Settings")]
pub struct Settings {
    /// The database: `sqlite://FILE?mode=rwc` or `postgres://USER@HOST/NAME`
    #[arg(long, env = "ORDERPAY_DATABASE_URL", global = true, value_name = "URL", hide_env_values = true)]
    #[arg(default_value = "sqlite://orderpay.db?mode=rwc")]
    database_url: String,

    /// Connections to the database, at the most
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
    jwt_secret: Option<String>,

    /// The public keys that tokens are signed with, as a JWK set: a file or an https URL
    #[arg(long, env = "ORDERPAY_JWT_JWKS", global = true, value_name = "FILE|URL")]
    jwt_jwks: Option<String>,

    /// The issuer (`iss`) that a token must name
    #[arg(long, env = "ORDERPAY_JWT_ISSUER", global = true, value_name = "ISSUER")]
    jwt_issuer: Option<String>,

    /// The audience (`aud`) that a token must name
    #[arg(long, env = "ORDERPAY_JWT_AUDIENCE", global = true, value_name = "AUDIENCE")]
    jwt_audience: Option<String>,

    /// The payment providers, the usual one first: `sandbox`. No default outside development
    #[arg(long, env = "ORDERPAY_PROVIDERS", global = true, value_name = "NAME,…")]
    providers: Option<String>,

    /// How long a provider may take to answer
    #[arg(long, env = "ORDERPAY_PROVIDER_TIMEOUT", global = true, value_name = "TIME", default_value = "6s")]
    provider_timeout: String,

    /// Where the sandbox provider runs as a process of its own [default: it runs inside this server]
    #[arg(long, env = "ORDERPAY_SANDBOX_URL", global = true, value_name = "URL")]
    sandbox_url: Option<String>,

    /// The secret that the sandbox signs its webhooks with; both sides need it [default: random where the sandbox runs inside]
    #[arg(long, env = "ORDERPAY_SANDBOX_WEBHOOK_SECRET", global = true, value_name = "SECRET", hide_env_values = true)]
    sandbox_webhook_secret: Option<String>,

    /// The sandbox's own database: always SQLite
    #[arg(long, env = "ORDERPAY_SANDBOX_DATABASE_URL", global = true, value_name = "URL")]
    #[arg(default_value = "sqlite://orderpay-sandbox.db?mode=rwc")]
    sandbox_database_url: String,

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

    /// The largest request body that is read, in bytes
    #[arg(long, env = "ORDERPAY_MAX_BODY_BYTES", global = true, value_name = "N", default_value = "1048576")]
    max_body_bytes: String,

    /// What is logged: `info`, `orderpay=debug,warn`, …
    #[arg(long, env = "ORDERPAY_LOG", global = true, value_name = "FILTER", default_value = "info")]
    log: String,

    /// How it is logged
    #[arg(long, env = "ORDERPAY_LOG_FORMAT", global = true, default_value = "text")]
    #[arg(value_parser = PossibleValuesParser::new(["text", "json"]))]
    log_format: String,
}

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub database_url: String,
    pub database_connections: u32,
    pub listen: SocketAddr,
    pub public_url: Option<Url>,
    /// `None`: development mode (rule A6).
    pub keys: Option<KeySource>,
    pub tokens: Policy,
    pub providers: Vec<ProviderName>,
    pub provider_timeout: Duration,
    pub sandbox_url: Option<Url>,
    pub sandbox_webhook_secret: Option<Secret>,
    pub sandbox_database_url: String,
    pub return_origins: ReturnOrigins,
    pub introspection: bool,
    pub graphiql: bool,
    pub demo: bool,
    pub max_body_bytes: usize,
    pub log: String,
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
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

/// What is wrong with the settings, each line with the setting's name.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the settings can't be used:")?;
        self.0.iter().try_for_each(|mistake| writeln!(f, "  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

impl Mistakes {
    fn add(&mut self, setting: &str, what: impl fmt::Display) {
        self.0.push(format!("{setting}: {what}"));
    }

    fn take<T, E: fmt::Display>(&mut self, setting: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.add(setting, error)).ok()
    }

    fn each<T>(&mut self, setting: &str, list: Option<&str>) -> Vec<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let names = list.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
        names.filter_map(|name| self.take(&format!("{setting}, {name:?}"), name.parse())).collect()
    }

    fn switch(&mut self, setting: &str, value: Option<&str>, default: bool) -> bool {
        match value {
            None => default,
            Some("on" | "true") => true,
            Some("off" | "false") => false,
            Some(other) => {
                self.add(setting, format!("{other:?} is neither on nor off"));
                default
            }
        }
    }

    fn url(&mut self, setting: &str, value: Option<&str>) -> Option<Url> {
        let url: Url = self.take(setting, value?.parse())?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            self.add(setting, "must begin with http:// or https://");
            return None;
        }
        Some(url)
    }
}

impl Settings {
    /// Checks all settings, and tells all mistakes at once.
    pub fn check(self) -> Result<Config, Mistakes> {
        let mut mistakes = Mistakes(vec![]);
        let keys = self.keys(&mut mistakes);
        let development = self.jwt_secret.is_none() && self.jwt_jwks.is_none();
        let listen: Option<SocketAddr> = mistakes.take("ORDERPAY_LISTEN", self.listen.parse());
        if development && listen.is_some_and(|listen| !listen.ip().is_loopback()) {
            mistakes.add(
                "ORDERPAY_LISTEN",
                "without ORDERPAY_JWT_SECRET or ORDERPAY_JWT_JWKS the server starts on a loopback address only",
            );
        }
        let providers = self.providers(&mut mistakes, development);
        let sandbox_url = mistakes.url("ORDERPAY_SANDBOX_URL", self.sandbox_url.as_deref());
        if sandbox_url.is_some() && self.sandbox_webhook_secret.is_none() {
            mistakes.add("ORDERPAY_SANDBOX_WEBHOOK_SECRET", "is needed beside ORDERPAY_SANDBOX_URL");
        }
        for (setting, url) in [
            ("ORDERPAY_DATABASE_URL", &self.database_url),
            ("ORDERPAY_SANDBOX_DATABASE_URL", &self.sandbox_database_url),
        ] {
            if !is_database_url(url) {
                mistakes.add(setting, "must be sqlite://FILE?mode=rwc or postgres://USER@HOST/NAME");
            }
        }
        let config = Config {
            keys,
            tokens: Policy { issuer: self.jwt_issuer, audience: self.jwt_audience },
            database_connections: number(&mut mistakes, "ORDERPAY_DATABASE_CONNECTIONS", &self.database_connections, 1),
            max_body_bytes: number(&mut mistakes, "ORDERPAY_MAX_BODY_BYTES", &self.max_body_bytes, 1024),
            public_url: mistakes.url("ORDERPAY_PUBLIC_URL", self.public_url.as_deref()),
            provider_timeout: mistakes
                .take("ORDERPAY_PROVIDER_TIMEOUT", humantime::parse_duration(&self.provider_timeout))
                .unwrap_or_default(),
            return_origins: return_origins(&mut mistakes, self.return_origins.as_deref(), development),
            introspection: mistakes.switch("ORDERPAY_INTROSPECTION", self.introspection.as_deref(), development),
            graphiql: mistakes.switch("ORDERPAY_GRAPHIQL", self.graphiql.as_deref(), development),
            demo: development && !self.no_demo,
            listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
            providers,
            sandbox_url,
            sandbox_webhook_secret: self.sandbox_webhook_secret.map(Secret::new),
            sandbox_database_url: self.sandbox_database_url,
            database_url: self.database_url,
            log: self.log,
            log_format: if self.log_format == "json" { LogFormat::Json } else { LogFormat::Text },
        };
        if mistakes.0.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    fn keys(&self, mistakes: &mut Mistakes) -> Option<KeySource> {
        match (&self.jwt_secret, &self.jwt_jwks) {
            (Some(_), Some(_)) => {
                mistakes.add("ORDERPAY_JWT_JWKS", "can't be used together with ORDERPAY_JWT_SECRET");
                None
            }
            (Some(secret), None) => {
                if secret.len() < 32 {
                    mistakes.add("ORDERPAY_JWT_SECRET", "must have at least 32 bytes");
                }
                Some(KeySource::Secret(Secret::new(secret.clone())))
            }
            (None, Some(place)) if place.starts_with("http:") || place.starts_with("https:") => {
                let url = mistakes.url("ORDERPAY_JWT_JWKS", Some(place))?;
                if url.scheme() == "http" && !is_loopback(&url) {
                    mistakes.add("ORDERPAY_JWT_JWKS", "keys are fetched by https only, but from a loopback address");
                }
                Some(KeySource::Url(url))
            }
            (None, Some(file)) => Some(KeySource::File(PathBuf::from(file))),
            (None, None) => None,
        }
    }

    fn providers(&self, mistakes: &mut Mistakes, development: bool) -> Vec<ProviderName> {
        match self.providers.as_deref() {
            None if development => vec![ProviderName::Sandbox],
            None => {
                mistakes
                    .add("ORDERPAY_PROVIDERS", "names the payment providers; it has no default outside development");
                vec![]
            }
            Some(list) => mistakes.each("ORDERPAY_PROVIDERS", Some(list)),
        }
    }
}

fn number<T>(mistakes: &mut Mistakes, setting: &str, value: &str, least: T) -> T
where
    T: FromStr + PartialOrd + Copy + fmt::Display,
    T::Err: fmt::Display,
{
    let number = mistakes.take(setting, value.parse()).unwrap_or(least);
    if number < least {
        mistakes.add(setting, format!("must be at least {least}"));
    }
    number
}

/// An origin as it is configured: `https://shop.example`, no path.
struct Origin(url::Origin);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url: Url = text.parse().map_err(|error| format!("{error}"))?;
        match url.origin() {
            origin @ url::Origin::Tuple(..) if origin.ascii_serialization() == text.trim_end_matches('/') => {
                Ok(Self(origin))
            }
            _ => Err("must be an origin such as https://shop.example, without a path".into()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        settings: Settings,
    }

    fn check(arguments: &[&str]) -> Result<Config, String> {
        let arguments = std::iter::once("orderpay").chain(arguments.iter().copied());
        Cli::try_parse_from(arguments).unwrap().settings.check().map_err(|mistakes| mistakes.to_string())
    }

    const PRODUCTION: [&str; 4] = ["--jwt-secret", "0123456789abcdef0123456789abcdef", "--providers", "sandbox"];

    #[test]
    fn without_keys_it_is_development_and_with_keys_it_is_not() {
        let development = check(&[]).unwrap();
        assert!(development.graphiql && development.introspection && development.demo);
        assert_eq!(development.return_origins, ReturnOrigins::Loopback);
        let production = check(&PRODUCTION).unwrap();
        assert!(!production.graphiql && !production.introspection && !production.demo);
        assert_eq!(production.return_origins, ReturnOrigins::These(vec![]));
    }

    // rule A6
    #[test]
    fn development_listens_on_a_loopback_address_only() {
        assert!(check(&["--listen", "0.0.0.0:8080"]).unwrap_err().contains("ORDERPAY_LISTEN"));
        let production: Vec<&str> = PRODUCTION.into_iter().chain(["--listen", "0.0.0.0:8080"]).collect();
        assert!(check(&production).is_ok());
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let told = check(&[
            "--listen=nowhere",
            "--jwt-secret=short",
            "--database-url=mysql://x",
            "--providers=sandbox,paypal",
            "--return-origins=https://shop.example/cart",
            "--introspection=maybe",
            "--provider-timeout=soon",
            "--database-connections=0",
            "--sandbox-url=ftp://x",
        ])
        .unwrap_err();
        for name in [
            "LISTEN",
            "JWT_SECRET",
            "DATABASE_URL",
            "PROVIDERS, \"paypal\"",
            "RETURN_ORIGINS",
            "INTROSPECTION",
            "PROVIDER_TIMEOUT",
            "DATABASE_CONNECTIONS",
            "SANDBOX_URL",
        ] {
            assert!(told.contains(&format!("ORDERPAY_{name}")), "{name} in {told}");
        }
        assert!(!told.contains("short"), "a secret is never repeated");
    }

    // rule A7
    #[test]
    fn a_shopper_is_sent_back_to_a_configured_origin_only() {
        let allows = |origins: &ReturnOrigins, url: &str| origins.allow(&url.parse().unwrap());
        let development = check(&[]).unwrap().return_origins;
        assert!(allows(&development, "http://localhost:3000/done"));
        assert!(allows(&development, "http://[::1]:3000/done"));
        assert!(!allows(&development, "http://localhost.evil.example/"));
        assert!(!allows(&development, "javascript:alert(1)"));
        let arguments: Vec<&str> = PRODUCTION.into_iter().chain(["--return-origins", "https://shop.example"]).collect();
        let production = check(&arguments).unwrap().return_origins;
        assert!(allows(&production, "https://shop.example/done?x=1"));
        for foreign in [
            "http://shop.example/",
            "https://shop.example.evil/",
            "https://shop.example:8443/",
            "https://shop.example@evil/",
        ] {
            assert!(!allows(&production, foreign), "{foreign}");
        }
    }
}
