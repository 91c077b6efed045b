use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// IPv4 or IPv6 address.
    pub addr: IpAddr,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// Puts the two together.
    #[must_use]
    pub const fn new(addr: IpAddr, port: u16) -> Self {
        Self { addr, port }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self::new(addr.ip(), addr.port())
    }
}

/// `198.18.0.1:80`, `[fd00::1]:80`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.addr, self.port).fmt(f)
    }
}

/// The VLAN identifiers in front of a packet, outer first; 0 where there is no tag.
/// Part of the key: the same addresses in two VLANs are two connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vlans {
    /// The first tag's 12-bit identifier.
    pub outer: u16,
    /// The second tag's.
    pub inner: u16,
}

/// Which of the two endpoints of a [`FlowKey`] sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The lower endpoint did.
    Low,
    /// The higher one did.
    High,
}

/// A connection's identity: the same value for both directions, since the lower endpoint (by
/// address, then port) always comes first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FlowKey {
    // IPv4 addresses sit in the last four bytes (as in ::ffff:0:0/96); `v6` tells them apart from
    // real IPv6 packets that carry mapped addresses.
    low: [u8; 16],
    high: [u8; 16],
    low_port: u16,
    high_port: u16,
    vlans: Vlans,
    v6: bool,
}

impl FlowKey {
    /// The key of a packet from `source` to `destination`, and which side sent it.
    ///
    /// Endpoints of different IP versions do not occur in one packet; if given, both are kept as
    /// IPv6.
    #[must_use]
    pub fn new(source: Endpoint, destination: Endpoint, vlans: Vlans) -> (Self, Side) {
        let v6 = source.addr.is_ipv6() || destination.addr.is_ipv6();
        let (from, to) = (octets(source.addr), octets(destination.addr));
        Self::from_octets(v6, (from, source.port), (to, destination.port), vlans)
    }

    /// The same from raw octets, for the parser: IPv4 in the last four of the sixteen, the rest as
    /// [`Ipv4Addr::to_ipv6_mapped`] has it.
    #[inline]
    pub(crate) fn from_octets(
        v6: bool,
        source: ([u8; 16], u16),
        destination: ([u8; 16], u16),
        vlans: Vlans,
    ) -> (Self, Side) {
        let (side, (low, low_port), (high, high_port)) = if source <= destination {
            (Side::Low, source, destination)
        } else {
            (Side::High, destination, source)
        };
        (Self { low, high, low_port, high_port, vlans, v6 }, side)
    }

    /// The same for IPv4 from the numbers in its headers.
    #[inline]
    pub(crate) fn from_v4(
        source: (u32, u16),
        destination: (u32, u16),
        vlans: Vlans,
    ) -> (Self, Side) {
        // As numbers, so that the lower is chosen without a branch: which of both sends is nothing to foresee.
        let [from, to] =
            [source, destination].map(|(address, port)| u64::from(address) << 16 | u64::from(port));
        let (low, high) = (from.min(to), from.max(to));
        let octets = |end: u64| (V4_MAPPED | u128::from(end >> 16)).to_be_bytes();
        let key = Self {
            low: octets(low),
            high: octets(high),
            low_port: (low & 0xffff) as u16,
            high_port: (high & 0xffff) as u16,
            vlans,
            v6: false,
        };
        (key, if from > to { Side::High } else { Side::Low })
    }

    /// The endpoint on one side.
    #[must_use]
    #[inline]
    pub fn endpoint(&self, side: Side) -> Endpoint {
        let (addr, port) = match side {
            Side::Low => (self.low, self.low_port),
            Side::High => (self.high, self.high_port),
        };
        let addr = if self.v6 {
            IpAddr::V6(Ipv6Addr::from(addr))
        } else {
            let [.., a, b, c, d] = addr;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        };
        Endpoint::new(addr, port)
    }

    /// The VLAN identifiers.
    #[must_use]
    pub const fn vlans(&self) -> Vlans {
        self.vlans
    }

    /// Whether the packets are IPv6.
    #[must_use]
    pub const fn is_ipv6(&self) -> bool {
        self.v6
    }
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

/// A key in 16 bytes: all of it over IPv4, a part of it over IPv6. What records keep where a packet looks
/// first, of which there are many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortKey {
    /// The lower address, or the end of it, and the higher one.
    addresses: u64,
    /// Both ports and both VLANs; those have 12 bits, and the top one of the outer says IPv6.
    rest: u64,
}

impl ShortKey {
    /// The key that it is all of; to be asked only where it [is](Self::is_whole).
    #[must_use]
    #[inline]
    pub fn full(self) -> FlowKey {
        debug_assert!(self.is_whole());
        let octets = |address: u64| (V4_MAPPED | u128::from(address)).to_be_bytes();
        let [low, high, outer, inner] = self.words();
        FlowKey {
            low: octets(self.addresses >> 32),
            high: octets(self.addresses & 0xffff_ffff),
            low_port: low,
            high_port: high,
            vlans: Vlans { outer, inner },
            v6: false,
        }
    }

    /// One side's endpoint in that key.
    #[must_use]
    #[inline]
    pub fn endpoint(self, side: Side) -> Endpoint {
        debug_assert!(self.is_whole());
        let (addresses, ports) = match side {
            Side::Low => (self.addresses >> 32, self.rest >> 48),
            Side::High => (self.addresses & 0xffff_ffff, self.rest >> 32 & 0xffff),
        };
        // Neither is more than what it is made of.
        let (addr, port) = (u32::try_from(addresses), u16::try_from(ports));
        Endpoint::new(IpAddr::V4(Ipv4Addr::from_bits(addr.unwrap_or(0))), port.unwrap_or(0))
    }

    /// Whether it is all of its key.
    #[must_use]
    #[inline]
    pub const fn is_whole(&self) -> bool {
        self.rest & V6_MARK == 0
    }

    /// Both ports and both VLANs.
    const fn words(self) -> [u16; 4] {
        let [a, b, c, d, e, f, g, h] = self.rest.to_be_bytes();
        [
            u16::from_be_bytes([a, b]),
            u16::from_be_bytes([c, d]),
            u16::from_be_bytes([e, f]),
            u16::from_be_bytes([g, h]),
        ]
    }
}

impl FlowKey {
    /// The same in fewer bytes, or a part of it.
    #[must_use]
    #[inline]
    pub fn short(&self) -> ShortKey {
        let address = |octets: [u8; 16]| {
            let [.., a, b, c, d] = octets;
            u64::from(u32::from_be_bytes([a, b, c, d]))
        };
        let ports = u64::from(self.low_port) << 16 | u64::from(self.high_port);
        let vlans = u64::from(self.vlans.outer) << 16 | u64::from(self.vlans.inner);
        debug_assert!(vlans & V6_MARK == 0, "12 bits");
        let mark = if self.v6 { V6_MARK } else { 0 };
        ShortKey {
            addresses: address(self.low) << 32 | address(self.high),
            rest: ports << 32 | vlans | mark,
        }
    }
}

/// In words of 64 bits, and for IPv4 only in those that say something: it is done for every packet.
impl Hash for FlowKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let word = |octets: &[u8; 16], at: usize| {
            octets.as_chunks::<8>().0.get(at).map_or(0, |word| u64::from_ne_bytes(*word))
        };
        let (low, high) = (word(&self.low, 1), word(&self.high, 1));
        if self.v6 {
            state.write_u64(word(&self.low, 0));
            state.write_u64(low);
            state.write_u64(word(&self.high, 0));
            state.write_u64(high);
        } else {
            // The address is the upper half in memory.
            state.write_u64(low.to_be() << 32 | high.to_be() & 0xffff_ffff);
        }
        let ports = u64::from(self.low_port) << 16 | u64::from(self.high_port);
        let vlans = u64::from(self.vlans.outer) << 16 | u64::from(self.vlans.inner);
        state.write_u64(vlans << 32 | ports);
    }
}

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <-> {}", self.endpoint(Side::Low), self.endpoint(Side::High))?;
        match self.vlans {
            Vlans { outer: 0, .. } => Ok(()),
            Vlans { outer, inner: 0 } => write!(f, " vlan {outer}"),
            Vlans { outer, inner } => write!(f, " vlan {outer}.{inner}"),
        }
    }
}

/// `::ffff:0:0`, as [`Ipv4Addr::to_ipv6_mapped`] has it.
const V4_MAPPED: u128 = 0xffff << 32;
/// In [`ShortKey::rest`].
const V6_MARK: u64 = 1 << 31;

fn octets(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(v4) => Ipv4Addr::to_ipv6_mapped(&v4).octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse::<SocketAddr>().unwrap().into()
    }

    #[test]
    fn both_directions_have_one_key_and_different_sides() {
        for (a, b) in [
            ("198.18.0.1:4000", "198.18.0.2:80"),
            ("[fd00::2]:80", "[fd00::1]:80"),
            ("1.1.1.1:2", "1.1.1.1:1"),
        ] {
            let (a, b) = (endpoint(a), endpoint(b));
            let (there, from_a) = FlowKey::new(a, b, Vlans::default());
            let (back, from_b) = FlowKey::new(b, a, Vlans::default());
            assert_eq!(there, back);
            assert_eq!(from_a, from_b.other());
            assert_eq!((there.endpoint(from_a), there.endpoint(from_b)), (a, b));
        }
    }

    #[test]
    fn the_short_key_is_the_same_key() {
        for (a, b) in [("198.18.0.1:4000", "198.18.0.2:80"), ("1.1.1.1:2", "1.1.1.1:1")] {
            let vlans = Vlans { outer: 4095, inner: 7 };
            let (key, _) = FlowKey::new(endpoint(a), endpoint(b), vlans);
            let short = key.short();
            assert!(short.is_whole());
            assert_eq!(short.full(), key);
            for side in [Side::Low, Side::High] {
                assert_eq!(short.endpoint(side), key.endpoint(side));
            }
            let (other, _) = FlowKey::new(endpoint(a), endpoint(b), Vlans::default());
            assert_ne!(other.short(), short);
        }
        let v6 = FlowKey::new(endpoint("[fd00::2]:80"), endpoint("[fd00::1]:80"), Vlans::default());
        assert!(!v6.0.short().is_whole());
        assert_eq!(size_of::<ShortKey>(), 16);
    }

    #[test]
    fn a_mapped_v6_address_is_not_the_v4_one() {
        let v4 = FlowKey::new(endpoint("1.2.3.4:1"), endpoint("1.2.3.5:1"), Vlans::default()).0;
        let v6 = FlowKey::new(
            endpoint("[::ffff:1.2.3.4]:1"),
            endpoint("[::ffff:1.2.3.5]:1"),
            Vlans::default(),
        )
        .0;
        assert_ne!(v4, v6);
        assert!(v6.endpoint(Side::Low).addr.is_ipv6());
    }

    #[test]
    fn the_same_addresses_in_another_vlan_are_another_flow() {
        let (a, b) = (endpoint("1.2.3.4:1"), endpoint("1.2.3.5:1"));
        assert_ne!(
            FlowKey::new(a, b, Vlans { outer: 7, inner: 0 }).0,
            FlowKey::new(a, b, Vlans { outer: 8, inner: 0 }).0
        );
    }
}
