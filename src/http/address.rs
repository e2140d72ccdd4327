//! The address that a request comes from, and how often it may fail.
//!
//! An address is no caller: many stand behind one. So nobody is shut out for where they come from; only whoever fails too often is no longer told
//! why, and a good request from the same address passes.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{admission::come_again, meter::Meter, refusal};
use crate::config::{Network, Traffic};

const MINUTE: Duration = Duration::from_secs(60);

/// What is told to whoever failed too often.
pub const TOO_OFTEN: &str = "Too many requests from this address came with a bad token or signature.";

/// Counts failures by address. Its clones are the same one.
#[derive(Clone)]
pub struct Failures(Arc<Inner>);

/// Where somebody is: all the addresses that one client has.
#[derive(Clone, Copy, Debug)]
pub struct Place(IpAddr);

struct Inner {
    /// `None`: nobody counts.
    meter: Option<Meter>,
    proxies: Vec<Network>,
    numbers: RandomState,
}

impl Failures {
    pub fn new(traffic: &Traffic) -> Self {
        let meter = Meter::new(traffic.failures_per_address, MINUTE, MINUTE);
        Self(Arc::new(Inner { meter, proxies: traffic.trusted_proxies.clone(), numbers: RandomState::new() }))
    }

    /// Counts one more failure of whoever sent this; gives what is answered where there were too many.
    pub fn one_more(&self, peer: SocketAddr, headers: &HeaderMap) -> Option<Response> {
        let after = self.count(self.place(peer, headers))?;
        Some(come_again(refusal(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", TOO_OFTEN), after))
    }

    /// Where this was sent from, for what fails later.
    pub fn place(&self, peer: SocketAddr, headers: &HeaderMap) -> Place {
        Place(block(client(peer.ip(), headers, &self.0.proxies)))
    }

    /// Counts one more failure of whoever is there; where there were too many, gives after which time the next one is told why.
    pub fn count(&self, place: Place) -> Option<Duration> {
        let meter = self.0.meter.as_ref()?;
        meter.spend(self.0.numbers.hash_one(place.0), 1, Instant::now()).err()
    }
}

/// The nearest address that is no proxy of ours. What a stranger writes into `X-Forwarded-For` stands further to the left, and is not read.
fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let is_ours = |address: &IpAddr| proxies.iter().any(|proxy| proxy.contains(*address));
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or("?")).collect();
    let mut nearest = peer;
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_ours(&nearest) {
            break;
        }
        // What can't be read was not written by a proxy of ours.
        let Some(address) = address(hop.trim()) else { break };
        nearest = address;
    }
    nearest
}

/// An address, with a port or without.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| hop.parse().ok().map(|address: SocketAddr| address.ip()))
}

/// All the addresses that one client has: with IPv6 a whole /64.
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str]) -> String {
        let proxies = ["10.0.0.0/8".parse().unwrap(), "2001:db8:1::1".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        client(peer.parse().unwrap(), &headers, &proxies).to_string()
    }

    #[test]
    fn a_stranger_does_not_say_where_they_come_from() {
        assert_eq!(seen("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1", "198.51.100.1", "10.0.0.2,10.0.0.3"]), "198.51.100.1");
        assert_eq!(seen("2001:db8:1::1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
    }

    #[test]
    fn what_a_proxy_did_not_write_is_not_believed() {
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["198.51.100.1, nobody, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(seen("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn a_hop_may_have_a_port() {
        assert_eq!(seen("10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &["[2001:db8:2::7]:4711"]), "2001:db8:2::7");
        assert_eq!(seen("10.0.0.1", &["[2001:db8:2::7]"]), "2001:db8:2::7");
    }

    #[test]
    fn an_address_of_ipv6_is_one_of_many_of_the_same_client() {
        let of = |address: &str| block(address.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("::ffff:192.0.2.1"), of("::ffff:192.0.2.2"));
    }
}
