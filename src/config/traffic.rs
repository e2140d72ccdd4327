//! The settings of the front door: how much may come in, how fast, and from where.
//!
//! Each limit is generous for an honest client. Those of one caller or one address can be switched off; those that keep the server alive can't.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

use axum::http::HeaderValue;
use clap::Args;
use reqwest::Url;

use super::{mistake::Mistakes, network::Network};
use crate::auth::CallerKind;

/// Below this no honest request fits, and above it no server has room.
const BODY_BYTES: RangeInclusive<usize> = 1024..=100 * 1024 * 1024;
/// What a machine can hold open.
const CONNECTIONS: RangeInclusive<usize> = 1..=1_000_000;
/// How long a client may take to send something: shorter, and a phone in a tunnel is cut off.
const SENDING: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);
/// Fewer places could not be shared out.
const REQUESTS: RangeInclusive<usize> = 4..=100_000;
/// What one caller or address may do; 0 is no limit.
const EACH: RangeInclusive<u32> = 0..=1_000_000;
const QUERY: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);

impl Traffic {
    /// The largest body that is read of such a caller's requests.
    pub fn body_bytes_of(&self, kind: CallerKind) -> usize {
        match kind {
            CallerKind::Service => self.max_service_body_bytes,
            CallerKind::User | CallerKind::Anonymous => self.max_body_bytes,
        }
    }

    /// The largest body that is read of anybody's.
    pub fn most_body_bytes(&self) -> usize {
        self.max_body_bytes.max(self.max_service_body_bytes)
    }
}

/// The settings of the front door as they were given, not checked yet.
#[derive(Args, Clone)]
#[command(next_help_heading = "Limits")]
pub struct TrafficSettings {
    /// The largest body of a shopper's GraphQL request that is read, in bytes
    #[arg(long, env = "ORDERPAY_MAX_BODY_BYTES", global = true, value_name = "N", default_value = "65536")]
    max_body_bytes: String,

    /// The largest body of a service's GraphQL request that is read, in bytes: a cart of 500 lines is long
    #[arg(long, env = "ORDERPAY_MAX_SERVICE_BODY_BYTES", global = true, value_name = "N", default_value = "1048576")]
    max_service_body_bytes: String,

    /// The largest webhook that is read, in bytes
    #[arg(long, env = "ORDERPAY_MAX_WEBHOOK_BYTES", global = true, value_name = "N", default_value = "262144")]
    max_webhook_bytes: String,

    /// How many connections are open at once; further ones wait until one of them ends. Each needs a file descriptor (`ulimit -n`)
    #[arg(long, env = "ORDERPAY_MAX_CONNECTIONS", global = true, value_name = "N", default_value = "20000")]
    max_connections: String,

    /// How long the headers of a request may take to come, and how long a connection is kept open for the next one: 100ms to 5m. Where a
    /// proxy keeps connections for longer than that, make this the longer one
    #[arg(long, env = "ORDERPAY_HEADER_TIMEOUT", global = true, value_name = "TIME", default_value = "10s")]
    header_timeout: String,

    /// How long the body of a request may take to come: 100ms to 5m
    #[arg(long, env = "ORDERPAY_BODY_TIMEOUT", global = true, value_name = "TIME", default_value = "10s")]
    body_timeout: String,

    /// How long a query may take: 100ms to 5m
    #[arg(long, env = "ORDERPAY_QUERY_TIMEOUT", global = true, value_name = "TIME", default_value = "10s")]
    query_timeout: String,

    /// How many requests run at once: queries in half of the places, mutations in all but 8 (or an eighth, if that is less), webhooks in all
    #[arg(long, env = "ORDERPAY_MAX_CONCURRENT_REQUESTS", global = true, value_name = "N", default_value = "128")]
    max_concurrent_requests: String,

    /// How many requests of one shopper run at once; 0: no limit
    #[arg(long, env = "ORDERPAY_MAX_CONCURRENT_PER_SHOPPER", global = true, value_name = "N", default_value = "20")]
    max_concurrent_per_shopper: String,

    /// How many requests of one service run at once; 0: no limit, since a service stands for a crowd
    #[arg(long, env = "ORDERPAY_MAX_CONCURRENT_PER_SERVICE", global = true, value_name = "N", default_value = "0")]
    max_concurrent_per_service: String,

    /// How much one shopper may ask for, in points of a request's cost per second, with ten seconds' worth in advance; 0: no limit
    #[arg(long, env = "ORDERPAY_RATE_PER_SHOPPER", global = true, value_name = "POINTS", default_value = "200")]
    rate_per_shopper: String,

    /// The same of one service; 0: no limit
    #[arg(long, env = "ORDERPAY_RATE_PER_SERVICE", global = true, value_name = "POINTS", default_value = "0")]
    rate_per_service: String,

    /// How many WebSockets one shopper may have open; 0: no limit
    #[arg(long, env = "ORDERPAY_MAX_SOCKETS_PER_SHOPPER", global = true, value_name = "N", default_value = "20")]
    max_sockets_per_shopper: String,

    /// How many bad tokens and bad webhook signatures one address (of IPv6: one /64) is told the reason of in a minute; 0: no limit
    #[arg(long, env = "ORDERPAY_FAILURES_PER_ADDRESS", global = true, value_name = "N", default_value = "20")]
    failures_per_address: String,

    /// The proxies whose `X-Forwarded-For` is believed: `10.0.0.0/8,…`
    #[arg(long, env = "ORDERPAY_TRUSTED_PROXIES", global = true, value_name = "NETWORK,…")]
    trusted_proxies: Option<String>,

    /// The websites whose pages may call this server from a browser: `https://shop.example,…`
    #[arg(long, env = "ORDERPAY_CORS_ORIGINS", global = true, value_name = "ORIGIN,…")]
    cors_origins: Option<String>,
}

/// What may come in, checked.
#[derive(Clone, Debug)]
pub struct Traffic {
    pub max_body_bytes: usize,
    pub max_service_body_bytes: usize,
    pub max_webhook_bytes: usize,
    pub max_connections: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub query_timeout: Duration,
    pub max_concurrent_requests: usize,
    pub shopper: Allowance,
    pub service: Allowance,
    /// Bad tokens and signatures of one address in a minute; 0: no limit.
    pub failures_per_address: u32,
    pub trusted_proxies: Vec<Network>,
    /// As a browser sends them in `Origin`.
    pub cors_origins: Vec<HeaderValue>,
}

/// What one caller may do; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests at once.
    pub requests: u32,
    /// Points per second.
    pub rate: u32,
    /// WebSockets at once.
    pub sockets: u32,
}

impl TrafficSettings {
    pub(super) fn check(&self, mistakes: &mut Mistakes) -> Traffic {
        let mut each = |setting: &str, value: &str| mistakes.number(setting, value, &EACH);
        let shopper = Allowance {
            requests: each("ORDERPAY_MAX_CONCURRENT_PER_SHOPPER", &self.max_concurrent_per_shopper),
            rate: each("ORDERPAY_RATE_PER_SHOPPER", &self.rate_per_shopper),
            sockets: each("ORDERPAY_MAX_SOCKETS_PER_SHOPPER", &self.max_sockets_per_shopper),
        };
        let service = Allowance {
            requests: each("ORDERPAY_MAX_CONCURRENT_PER_SERVICE", &self.max_concurrent_per_service),
            rate: each("ORDERPAY_RATE_PER_SERVICE", &self.rate_per_service),
            sockets: 0,
        };
        let failures_per_address = each("ORDERPAY_FAILURES_PER_ADDRESS", &self.failures_per_address);
        let origins: Vec<BrowserOrigin> = mistakes.each("ORDERPAY_CORS_ORIGINS", self.cors_origins.as_deref());
        Traffic {
            max_body_bytes: mistakes.number("ORDERPAY_MAX_BODY_BYTES", &self.max_body_bytes, &BODY_BYTES),
            max_service_body_bytes: mistakes.number(
                "ORDERPAY_MAX_SERVICE_BODY_BYTES",
                &self.max_service_body_bytes,
                &BODY_BYTES,
            ),
            max_webhook_bytes: mistakes.number("ORDERPAY_MAX_WEBHOOK_BYTES", &self.max_webhook_bytes, &BODY_BYTES),
            max_connections: mistakes.number("ORDERPAY_MAX_CONNECTIONS", &self.max_connections, &CONNECTIONS),
            header_timeout: mistakes.duration("ORDERPAY_HEADER_TIMEOUT", &self.header_timeout, &SENDING),
            body_timeout: mistakes.duration("ORDERPAY_BODY_TIMEOUT", &self.body_timeout, &SENDING),
            query_timeout: mistakes.duration("ORDERPAY_QUERY_TIMEOUT", &self.query_timeout, &QUERY),
            max_concurrent_requests: mistakes.number(
                "ORDERPAY_MAX_CONCURRENT_REQUESTS",
                &self.max_concurrent_requests,
                &REQUESTS,
            ),
            shopper,
            service,
            failures_per_address,
            trusted_proxies: mistakes.each("ORDERPAY_TRUSTED_PROXIES", self.trusted_proxies.as_deref()),
            cors_origins: origins.into_iter().map(|origin| origin.0).collect(),
        }
    }
}

/// An origin, letter by letter as a browser writes it: it is compared so.
struct BrowserOrigin(HeaderValue);

impl FromStr for BrowserOrigin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "must be an origin as browsers write it, such as https://shop.example: no *, no null, no path, no slash at the end, \
                     no capital letters, and no port that goes without saying";
        let url: Url = text.parse().map_err(|_| wrong)?;
        let is_web = matches!(url.scheme(), "http" | "https");
        // A host may have a star in its name, and would be taken for many.
        if !is_web || text.contains('*') || url.origin().ascii_serialization() != text {
            return Err(wrong);
        }
        text.parse().map(Self).map_err(|_| wrong)
    }
}
