//! Where the layers of a frame of any protocol are, and its lengths and checksums.
//!
//! [`crate::Packet`] refuses what no endpoint would take; [`Layers`] refuses nothing, because rules
//! also look at what is broken, and write what will be whole only in the end. Every offset lies
//! within the frame, whatever the bytes say.

use crate::IpVersion;
use crate::checksum::Sum;
use crate::link_header::{ethertype, walk};
use crate::parse::{Chain, EXTENSIONS_MAX, is_extension, protocol};

/// Offsets of the layers of a frame: `network <= transport <= end <= frame.len()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// What follows the link header.
    pub network: usize,
    /// None where that is not IP, or its fixed header is not all there.
    pub version: Option<IpVersion>,
    /// What the IP header, extensions included, carries.
    pub transport: usize,
    /// Its protocol number (IANA); 59, "nothing", without an IP header.
    pub protocol: u8,
    /// Where the datagram ends: by its own length, or where the frame does.
    pub end: usize,
    /// Whether it is a part of a datagram, the first part included.
    pub is_fragment: bool,
}

/// IANA's number for "no next header" (RFC 8200 section 4.7).
const NOTHING: u8 = 59;

impl Layers {
    /// Looks at the lengths and numbers in `frame`.
    #[must_use]
    pub fn of(frame: &[u8]) -> Self {
        let Some(link) = walk(frame) else { return Self::none(frame.len(), frame.len()) };
        match link.ethertype {
            ethertype::IPV4 => Self::ipv4(frame, link.end),
            ethertype::IPV6 => Self::ipv6(frame, link.end),
            _ => None,
        }
        .unwrap_or_else(|| Self::none(link.end, frame.len()))
    }

    const fn none(network: usize, end: usize) -> Self {
        let transport = end;
        Self { network, version: None, transport, protocol: NOTHING, end, is_fragment: false }
    }

    fn ipv4(frame: &[u8], network: usize) -> Option<Self> {
        let header = frame.get(network..)?.first_chunk::<20>()?;
        let len = u16::from_be_bytes([header[2], header[3]]);
        let fragment = u16::from_be_bytes([header[6], header[7]]);
        let header_len = (usize::from(header[0] & 0xf) * 4).max(20);
        let end = (network + usize::from(len)).clamp(network + 20, frame.len());
        Some(Self {
            network,
            version: Some(IpVersion::V4),
            transport: (network + header_len).min(end),
            protocol: header[9],
            end,
            // Anything but the reserved bit and "don't fragment".
            is_fragment: fragment & 0x3fff != 0,
        })
    }

    fn ipv6(frame: &[u8], network: usize) -> Option<Self> {
        let header = frame.get(network..)?.first_chunk::<40>()?;
        let len = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
        let end = (network + len).min(frame.len());
        let datagram = frame.get(network..end)?;
        let mut chain = Chain::start(datagram);
        let mut is_fragment = false;
        for _ in 0..EXTENSIONS_MAX {
            if !is_extension(chain.protocol) || is_fragment {
                break;
            }
            if chain.protocol == protocol::FRAGMENT {
                let word = datagram.get(chain.end + 2..).and_then(|rest| rest.first_chunk());
                // Atomic fragments (RFC 6946) are whole.
                is_fragment = word.is_none_or(|&word| u16::from_be_bytes(word) & 0xfff9 != 0);
            }
            let Some(next) = chain.step(datagram) else { break };
            chain = next;
        }
        Some(Self {
            network,
            version: Some(IpVersion::V6),
            transport: network + chain.end,
            protocol: chain.protocol,
            end,
            is_fragment,
        })
    }

    /// The same for a frame whose datagram now ends elsewhere.
    #[must_use]
    pub fn ending_at(mut self, end: usize, frame: &[u8]) -> Self {
        self.end = end.clamp(self.transport, frame.len().max(self.transport));
        self
    }

    /// Whether the checksum of the IPv4 header is right. IPv6 has none, and what is not IP neither.
    #[must_use]
    pub fn is_network_intact(&self, frame: &[u8]) -> bool {
        self.ipv4_header(frame).is_none_or(|header| Sum::default().bytes(header).is_intact())
    }

    /// Whether the checksum of TCP, UDP or ICMP is right, as its receiver judges; a fragment's cannot
    /// be. Other protocols have none that we know.
    #[must_use]
    pub fn is_transport_intact(&self, frame: &[u8]) -> bool {
        let Some(field) = self.field() else { return true };
        let segment = self.segment(frame);
        let Some(&sum) = segment.get(field..).and_then(|rest| rest.first_chunk::<2>()) else {
            return false;
        };
        // RFC 768: zero says that the sender has made none.
        (self.protocol == protocol::UDP && sum == [0, 0])
            || self.pseudo(frame).bytes(segment).is_intact()
    }

    /// Writes the datagram's length into the IP header, and into that of UDP. What does not fit into
    /// 16 bits becomes the greatest that does.
    pub fn write_lengths(&self, frame: &mut [u8]) {
        let (at, len) = match self.version {
            Some(IpVersion::V4) => (self.network + 2, self.end - self.network),
            Some(IpVersion::V6) => (self.network + 4, (self.end - self.network).saturating_sub(40)),
            None => return,
        };
        write_pair(frame, at, len);
        if self.protocol == protocol::UDP && !self.is_fragment {
            write_pair(frame, self.transport + 4, self.end - self.transport);
        }
    }

    /// Writes the checksum of the IPv4 header.
    pub fn write_network_checksum(&self, frame: &mut [u8]) {
        if self.ipv4_header(frame).is_none() {
            return;
        }
        write_pair(frame, self.network + 10, 0);
        let header = self.ipv4_header(frame).unwrap_or_default();
        let sum = Sum::default().bytes(header).complement();
        write_pair(frame, self.network + 10, u16::from_be_bytes(sum).into());
    }

    /// Writes the checksum of TCP, UDP or ICMP; not that of a fragment, which covers bytes elsewhere.
    pub fn write_transport_checksum(&self, frame: &mut [u8]) {
        let Some(field) = self.field().filter(|_| !self.is_fragment) else { return };
        if self.segment(frame).len() < field + 2 {
            return;
        }
        write_pair(frame, self.transport + field, 0);
        let sum = self.pseudo(frame).bytes(self.segment(frame)).complement();
        let sum = match u16::from_be_bytes(sum) {
            // RFC 768: zero would say that there is none.
            0 if self.protocol == protocol::UDP => u16::MAX,
            sum => sum,
        };
        write_pair(frame, self.transport + field, sum.into());
    }

    fn segment<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.transport..self.end).unwrap_or_default()
    }

    fn ipv4_header<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        let header = frame.get(self.network..self.transport)?;
        (self.version == Some(IpVersion::V4)).then_some(header)
    }

    /// Offset of the checksum in the transport header.
    fn field(&self) -> Option<usize> {
        match (self.version?, self.protocol) {
            (_, protocol::TCP) => Some(16),
            (_, protocol::UDP) => Some(6),
            (IpVersion::V4, protocol::ICMP) | (IpVersion::V6, protocol::ICMPV6) => Some(2),
            _ => None,
        }
    }

    /// The pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1); ICMP over IPv4 has none.
    fn pseudo(&self, frame: &[u8]) -> Sum {
        let addresses = match (self.version, self.protocol) {
            (_, protocol::ICMP) | (None, _) => return Sum::default(),
            (Some(IpVersion::V4), _) => self.network + 12..self.network + 20,
            (Some(IpVersion::V6), _) => self.network + 8..self.network + 40,
        };
        let len = u32::try_from(self.end - self.transport).unwrap_or(u32::MAX);
        let addresses = frame.get(addresses).unwrap_or_default();
        Sum::default().bytes(addresses).number(u32::from(self.protocol)).number(len)
    }
}

fn write_pair(frame: &mut [u8], at: usize, value: usize) {
    let value = u16::try_from(value).unwrap_or(u16::MAX);
    if let Some(field) = frame.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// The EtherType under which a version of IP travels.
#[must_use]
pub const fn ethertype_of(version: IpVersion) -> u16 {
    match version {
        IpVersion::V4 => ethertype::IPV4,
        IpVersion::V6 => ethertype::IPV6,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::{Checksum, Packet, repair_checksums};

    /// TCP over IPv4 and IPv6, UDP, ICMP: headers with zero lengths and checksums.
    fn make(version: IpVersion, protocol: u8, rest: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(ethertype_of(version).to_be_bytes());
        match version {
            IpVersion::V4 => {
                frame.extend([0x45, 0, 0, 0, 0, 7, 0x40, 0, 61, protocol, 0, 0]);
                frame.extend([198, 18, 0, 1, 198, 18, 0, 2]);
            }
            IpVersion::V6 => {
                frame.extend([0x60, 0, 0, 0, 0, 0, protocol, 61]);
                frame.extend([0xfd; 32]);
            }
        }
        frame.extend(rest);
        let whole = Layers::of(&frame).ending_at(frame.len(), &frame);
        whole.write_lengths(&mut frame);
        frame
    }

    const TCP: [u8; 23] =
        [1, 2, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 1, 0, 0, 0, 0, b'a', b'b', b'c'];

    #[test]
    fn what_is_written_is_what_the_parser_takes() {
        for version in [IpVersion::V4, IpVersion::V6] {
            let mut frame = make(version, protocol::TCP, &TCP);
            let layers = Layers::of(&frame);
            assert!(!layers.is_transport_intact(&frame));
            assert_eq!(layers.is_network_intact(&frame), version == IpVersion::V6);
            layers.write_network_checksum(&mut frame);
            layers.write_transport_checksum(&mut frame);
            assert!(layers.is_network_intact(&frame) && layers.is_transport_intact(&frame));
            let packet = Packet::parse(frame.as_slice()).unwrap();
            assert_eq!((packet.checksum(), packet.payload()), (Checksum::Good, &b"abc"[..]));
            let mut repaired = frame.clone();
            repair_checksums(&mut repaired);
            assert_eq!(repaired, frame);
        }
    }

    #[test]
    fn udp_without_a_checksum_is_right_and_one_that_is_made_is_never_zero() {
        let mut frame = make(IpVersion::V4, protocol::UDP, &[0, 53, 0, 53, 0, 0, 0, 0, 0, 0]);
        let layers = Layers::of(&frame);
        assert_eq!(frame[38..40], [0, 10]);
        assert!(layers.is_transport_intact(&frame));
        // The word that makes the sum of all the rest nothing.
        let sum = layers.pseudo(&frame).bytes(layers.segment(&frame)).complement();
        frame[42..44].copy_from_slice(&sum);
        layers.write_transport_checksum(&mut frame);
        assert_eq!(frame[40..42], [0xff, 0xff]);
        assert!(layers.is_transport_intact(&frame));
    }

    #[test]
    fn icmp_has_a_pseudo_header_only_in_version_six() {
        for (version, number) in
            [(IpVersion::V4, protocol::ICMP), (IpVersion::V6, protocol::ICMPV6)]
        {
            let mut frame = make(version, number, &[8, 0, 0, 0, 0, 1, 0, 2]);
            let layers = Layers::of(&frame);
            layers.write_transport_checksum(&mut frame);
            assert!(layers.is_transport_intact(&frame));
            let alone = Sum::default().bytes(layers.segment(&frame)).is_intact();
            assert_eq!(alone, version == IpVersion::V4);
        }
    }

    #[test]
    fn a_fragment_is_told_and_its_transport_checksum_left_alone() {
        let mut frame = make(IpVersion::V4, protocol::TCP, &TCP);
        frame[20..22].copy_from_slice(&[0x20, 0]);
        let layers = Layers::of(&frame);
        assert!(layers.is_fragment);
        let before = frame.clone();
        layers.write_transport_checksum(&mut frame);
        assert_eq!(frame, before);
        // An atomic fragment of IPv6 is whole.
        let mut rest = vec![protocol::TCP, 0, 0, 0, 0, 0, 0, 1];
        rest.extend(TCP);
        let mut atom = make(IpVersion::V6, protocol::FRAGMENT, &rest);
        let layers = Layers::of(&atom);
        assert!(!layers.is_fragment);
        assert_eq!((layers.transport, layers.protocol), (14 + 48, protocol::TCP));
        atom[14 + 40 + 3] = 1;
        assert!(Layers::of(&atom).is_fragment);
    }

    #[test]
    fn what_is_not_ip_has_a_link_layer_only() {
        let mut arp = vec![0; 42];
        arp[12..14].copy_from_slice(&[8, 6]);
        let layers = Layers::of(&arp);
        assert_eq!((layers.network, layers.version, layers.end), (14, None, 42));
        assert_eq!(Layers::of(&[1, 2, 3]).network, 3);
    }

    proptest! {
        #[test]
        fn no_bytes_take_it_out_of_the_frame(
            mut frame in vec(any::<u8>(), 0..120),
            kind in 0..3_u8,
            number in prop_oneof![Just(6_u8), Just(17), Just(1), Just(58), Just(0), Just(44), any::<u8>()],
            end in 0..200_usize,
        ) {
            if let Some(link) = frame.get_mut(12..14) {
                link.copy_from_slice(&[[8, 0], [0x86, 0xdd], [0x81, 0]][usize::from(kind)]);
            }
            for at in [20, 23] {
                if let Some(byte) = frame.get_mut(at) { *byte = number; }
            }
            for layers in [Layers::of(&frame), Layers::of(&frame).ending_at(end, &frame)] {
                prop_assert!(layers.network <= layers.transport && layers.transport <= layers.end);
                prop_assert!(layers.end <= frame.len());
                let _ = (layers.is_network_intact(&frame), layers.is_transport_intact(&frame));
                let mut written = frame.clone();
                layers.write_lengths(&mut written);
                layers.write_network_checksum(&mut written);
                layers.write_transport_checksum(&mut written);
                prop_assert_eq!(written.len(), frame.len());
            }
        }
    }
}
