//! The settings of WebSockets: how much one may hold, and how long its other side may be silent.

use std::{ops::RangeInclusive, time::Duration};

use clap::Args;

use super::mistake::Mistakes;

/// Below this no document fits.
const MESSAGE_BYTES: RangeInclusive<usize> = 1024..=16 * 1024 * 1024;
const SUBSCRIPTIONS: RangeInclusive<usize> = 1..=10_000;
/// How long a client may take: shorter, and a phone in a tunnel is cut off.
const WAITING: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);
const KEEPING: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// The settings as they were given, not checked yet.
#[derive(Args, Clone)]
#[command(next_help_heading = "WebSockets")]
pub struct SocketSettings {
    /// The longest message that is read of a WebSocket, in bytes
    #[arg(long, env = "ORDERPAY_SOCKET_MESSAGE_BYTES", global = true, value_name = "N", default_value = "65536")]
    socket_message_bytes: String,

    /// How many subscriptions may be open on one WebSocket: 1 to 10000
    #[arg(long, env = "ORDERPAY_SOCKET_SUBSCRIPTIONS", global = true, value_name = "N", default_value = "100")]
    socket_subscriptions: String,

    /// How long a client may take to say who it is: 100ms to 5m
    #[arg(long, env = "ORDERPAY_SOCKET_INIT_TIMEOUT", global = true, value_name = "TIME", default_value = "10s")]
    socket_init_timeout: String,

    /// How long a client may take to read one message: 100ms to 5m
    #[arg(long, env = "ORDERPAY_SOCKET_WRITE_TIMEOUT", global = true, value_name = "TIME", default_value = "5s")]
    socket_write_timeout: String,

    /// How often a client is asked whether it is still there, and its token looked at again: 100ms to 1h. Proxies end connections on which nothing
    /// comes for longer than they wait, mostly a minute
    #[arg(long, env = "ORDERPAY_SOCKET_PING_INTERVAL", global = true, value_name = "TIME", default_value = "15s")]
    socket_ping_interval: String,

    /// After how long without a word a client is taken to be gone: 100ms to 1h, and longer than ORDERPAY_SOCKET_PING_INTERVAL
    #[arg(long, env = "ORDERPAY_SOCKET_SILENCE", global = true, value_name = "TIME", default_value = "50s")]
    socket_silence: String,
}

/// What holds for each WebSocket, checked.
#[derive(Clone, Copy, Debug)]
pub struct Sockets {
    pub message_bytes: usize,
    pub subscriptions: usize,
    pub init_timeout: Duration,
    pub write_timeout: Duration,
    pub ping_interval: Duration,
    pub silence: Duration,
}

impl SocketSettings {
    pub(super) fn check(&self, mistakes: &mut Mistakes) -> Sockets {
        let sockets = Sockets {
            message_bytes: mistakes.number("ORDERPAY_SOCKET_MESSAGE_BYTES", &self.socket_message_bytes, &MESSAGE_BYTES),
            subscriptions: mistakes.number("ORDERPAY_SOCKET_SUBSCRIPTIONS", &self.socket_subscriptions, &SUBSCRIPTIONS),
            init_timeout: mistakes.duration("ORDERPAY_SOCKET_INIT_TIMEOUT", &self.socket_init_timeout, &WAITING),
            write_timeout: mistakes.duration("ORDERPAY_SOCKET_WRITE_TIMEOUT", &self.socket_write_timeout, &WAITING),
            ping_interval: mistakes.duration("ORDERPAY_SOCKET_PING_INTERVAL", &self.socket_ping_interval, &KEEPING),
            silence: mistakes.duration("ORDERPAY_SOCKET_SILENCE", &self.socket_silence, &KEEPING),
        };
        if sockets.silence <= sockets.ping_interval {
            mistakes.add(
                "ORDERPAY_SOCKET_SILENCE",
                "must be longer than ORDERPAY_SOCKET_PING_INTERVAL: nobody answers who was not asked",
            );
        }
        sockets
    }
}
