//! A network as it is configured: an address, or a block of them such as `10.0.0.0/8`.

use std::{net::IpAddr, str::FromStr};

/// All addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: u128,
    /// The bits that an address has in common with the first one.
    mask: u128,
}

impl Network {
    /// Whether an address is one of this network's.
    pub fn contains(&self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.first
    }
}

/// IPv4 addresses stand where IPv6 has a place for them, so that both are compared alike.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "must be an IP address or a block of them such as 10.0.0.0/8";
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| wrong)?;
        let most: u32 = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Ok(most), str::parse).map_err(|_| wrong)?;
        let free = most.checked_sub(length).ok_or(wrong)?;
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        let first = bits(address);
        if first & mask != first {
            return Err("names an address inside of the block; write the block's first one");
        }
        Ok(Self { first, mask })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_ends_where_its_block_ends() {
        for (network, inside, outside) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("192.0.2.4/31", "192.0.2.5", "192.0.2.6"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
        ] {
            assert_eq!((contains(network, inside), contains(network, outside)), (true, false), "{network}");
        }
        assert!(contains("0.0.0.0/0", "203.0.113.9") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "203.0.113.9") && contains("::/0", "2001:db8::1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in
            ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.1/8", "::/129", "proxy.example", "10.0.0/8"]
        {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
