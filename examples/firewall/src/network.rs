//! Blocks of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    first: IpAddr,
    /// 0 to 32, or to 128.
    prefix: u32,
}

impl Network {
    pub(crate) const EVERYBODY_V4: Self =
        Self { first: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix: 0 };
    pub(crate) const EVERYBODY_V6: Self =
        Self { first: IpAddr::V6(Ipv6Addr::UNSPECIFIED), prefix: 0 };

    /// A block of IPv4: `v4([192, 168, 10, 0], 24)`.
    pub(crate) const fn v4([a, b, c, d]: [u8; 4], prefix: u32) -> Self {
        Self { first: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    /// Whether an address is in it.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        let differing = match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                (first.to_bits() ^ address.to_bits()).leading_zeros()
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                (first.to_bits() ^ address.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        differing >= self.prefix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_begins_with_its_bits() {
        let office = Network::v4([192, 168, 10, 0], 24);
        let v4 = |d| IpAddr::V4(Ipv4Addr::new(192, 168, 10, d));
        assert!(office.contains(v4(0)) && office.contains(v4(255)));
        assert!(!office.contains(IpAddr::V4(Ipv4Addr::new(192, 168, 11, 0))));
        assert!(!office.contains(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert!(Network::EVERYBODY_V6.contains(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert!(!Network::EVERYBODY_V6.contains(v4(1)));
        assert!(Network::v4([192, 168, 10, 7], 32).contains(v4(7)));
        assert!(!Network::v4([192, 168, 10, 7], 32).contains(v4(6)));
    }
}
