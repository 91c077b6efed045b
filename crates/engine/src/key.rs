//! A connection's key as its record keeps it: 16 bytes where it is IPv4, and else a box.
//!
//! What is looked up has the key of a packet, [`FlowKey`], which has room for both. A million records have
//! not.

use tollgate_wire::{Endpoint, FlowKey, FlowKeyV4, Side};

/// A key that is kept.
#[derive(Debug)]
pub(crate) enum Key {
    V4(FlowKeyV4),
    V6(Box<FlowKey>),
}

impl Key {
    pub(crate) fn new(key: &FlowKey) -> Self {
        key.short().map_or_else(|| Self::V6(Box::new(*key)), Self::V4)
    }

    /// As packets have it.
    pub(crate) fn full(&self) -> FlowKey {
        match self {
            Self::V4(short) => FlowKey::from(*short),
            Self::V6(key) => **key,
        }
    }

    #[inline]
    pub(crate) fn is(&self, key: &FlowKey) -> bool {
        match self {
            Self::V4(short) => key.short().is_some_and(|other| other == *short),
            Self::V6(own) => **own == *key,
        }
    }

    pub(crate) const fn is_ipv6(&self) -> bool {
        matches!(self, Self::V6(_))
    }

    #[inline]
    pub(crate) fn endpoint(&self, side: Side) -> Endpoint {
        match self {
            Self::V4(short) => short.endpoint(side),
            Self::V6(key) => key.endpoint(side),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;
    use tollgate_wire::Vlans;

    #[test]
    fn it_is_its_own_key_and_no_other() {
        let v4 = |host| IpAddr::V4(Ipv4Addr::new(198, 18, 0, host));
        let v6 = |host| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host));
        let mapped = IpAddr::V6(Ipv4Addr::new(198, 18, 0, 1).to_ipv6_mapped());
        let ends =
            [(v4(1), v4(2)), (v4(1), v4(3)), (v6(1), v6(2)), (v6(1), v6(3)), (mapped, v6(2))];
        let mut keys = Vec::new();
        for (from, to) in ends {
            for vlans in [Vlans::default(), Vlans { outer: 5, inner: 0 }] {
                let (from, to) = (Endpoint::new(from, 4000), Endpoint::new(to, 80));
                keys.push(FlowKey::new(from, to, vlans).0);
            }
        }
        for (at, key) in keys.iter().enumerate() {
            let kept = Key::new(key);
            assert_eq!((kept.full(), kept.is_ipv6()), (*key, key.is_ipv6()));
            for side in [Side::Low, Side::High] {
                assert_eq!(kept.endpoint(side), key.endpoint(side));
            }
            for (other_at, other) in keys.iter().enumerate() {
                assert_eq!(kept.is(other), at == other_at, "{key:?} and {other:?}");
            }
        }
    }
}
