//! From bytes to [`Headers`].
//!
//! What is judged here is what every endpoint judges the same way: lengths, the IPv4 header
//! checksum, ports, combinations of control bits. The TCP checksum costs a pass over the payload
//! and is the owner's to ask for ([`crate::Packet::checksum`]).

use smoltcp::wire::{Ipv4Packet, Ipv6Packet, TcpPacket};

use crate::checksum::Sum;
use crate::link_header::{LinkEnd, ethertype, walk};
use crate::{Flags, FlowKey, Headers, IpVersion, Malformed, Other, Refusal, Seq, Vlans};

/// IP protocol numbers (IANA) that matter here.
pub(crate) mod protocol {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const AUTHENTICATION: u8 = 51;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const DESTINATION: u8 = 60;
}

/// Extension headers walked at most. RFC 8200 section 4.1 names six that may occur; an attacker may
/// send thousands.
pub(crate) const EXTENSIONS_MAX: usize = 8;

/// The IP layer of a frame.
pub(crate) struct IpLayer {
    pub(crate) version: IpVersion,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    /// Offset of what the IP header and its extensions carry.
    pub(crate) payload: usize,
    /// Offset of the end of the datagram.
    pub(crate) end: usize,
}

/// Everything in one pass, outside in.
#[inline]
pub(crate) fn headers(frame: &[u8]) -> Result<Headers, Refusal> {
    match plain(frame) {
        Some(headers) => Ok(headers),
        None => long_way(frame),
    }
}

/// What nearly every frame is: IPv4 without options right behind Ethernet, and nothing wrong with it. None
/// says only that it is something else, and [`long_way`] finds out what.
#[inline]
fn plain(frame: &[u8]) -> Option<Headers> {
    const IP: u16 = 14;
    const TCP: u16 = IP + 20;
    let fixed = frame.first_chunk::<54>()?;
    let pair = |at: usize| match fixed.get(at..at + 2) {
        Some(&[a, b]) => u16::from_be_bytes([a, b]),
        _ => 0,
    };
    let word = |at: usize| u32::from(pair(at)) << 16 | u32::from(pair(at + 2));
    // EtherType, version and length; "more fragments" and offset; protocol.
    if word(12) >> 8 != 0x0008_0045 || word(20) & 0x3fff_00ff != u32::from(protocol::TCP) {
        return None;
    }
    let end = u32::from(IP) + u32::from(pair(16));
    let payload = TCP + u16::from(fixed[46] >> 4) * 4;
    let (source, destination) = ((word(26), pair(34)), (word(30), pair(36)));
    let flags = Flags::from_bits_truncate(pair(46));
    let is_whole = payload >= TCP + 20 && u32::from(payload) <= end && end as usize <= frame.len();
    let is_intact = Sum::default().bytes(fixed.get(14..34)?).is_intact();
    if !(is_whole && is_intact && source.1 != 0 && destination.1 != 0 && sendable(flags)) {
        return None;
    }
    let (key, side) = FlowKey::from_v4(source, destination, Vlans::default());
    Some(Headers {
        key,
        source: side,
        ip_version: IpVersion::V4,
        ttl: fixed[22],
        ip: IP,
        tcp: TCP,
        payload,
        end,
        flags,
        seq: Seq(word(38)),
        ack: Seq(word(42)),
        window: pair(48),
        urgent: pair(52),
    })
}

fn long_way(frame: &[u8]) -> Result<Headers, Refusal> {
    let link = walk(frame).ok_or(Refusal::Malformed(Malformed::Ethernet))?;
    let ip = match link.ethertype {
        ethertype::IPV4 => ipv4(frame, link.end)?,
        ethertype::IPV6 => ipv6(frame, link.end)?,
        ethertype::ARP => return Err(Refusal::Other(Other::Arp)),
        _ => return Err(Refusal::Other(Other::Link)),
    };
    if ip.protocol != protocol::TCP {
        return Err(Refusal::Other(Other::Ip));
    }
    tcp(frame, &link, &ip).map_err(Refusal::Malformed)
}

#[inline]
fn ipv4(frame: &[u8], at: usize) -> Result<IpLayer, Refusal> {
    let bytes = frame.get(at..).unwrap_or_default();
    let fixed = bytes.first_chunk::<20>().ok_or(Refusal::Malformed(Malformed::Ipv4))?;
    if fixed[0] >> 4 != 4 {
        return Err(Refusal::Malformed(Malformed::Ipv4));
    }
    // Whatever else is wrong with it, no endpoint takes it for TCP.
    if fixed[9] != protocol::TCP {
        return Err(Refusal::Other(Other::Ip));
    }
    let packet = checked_ipv4(bytes).map_err(Refusal::Malformed)?;
    if packet.more_frags() || packet.frag_offset() != 0 {
        return Err(Refusal::Fragment);
    }
    Ok(IpLayer {
        version: IpVersion::V4,
        source: packet.src_addr().to_ipv6_mapped().octets(),
        destination: packet.dst_addr().to_ipv6_mapped().octets(),
        ttl: packet.hop_limit(),
        protocol: protocol::TCP,
        payload: at + usize::from(packet.header_len()),
        end: at + usize::from(packet.total_len()),
    })
}

/// An IPv4 header whose lengths and checksum are right.
#[inline]
pub(crate) fn checked_ipv4(bytes: &[u8]) -> Result<Ipv4Packet<&[u8]>, Malformed> {
    let packet = Ipv4Packet::new_checked(bytes).map_err(|_| Malformed::Ipv4)?;
    let header = bytes.get(..usize::from(packet.header_len())).unwrap_or_default();
    if !Sum::default().bytes(header).is_intact() {
        return Err(Malformed::Ipv4Checksum);
    }
    Ok(packet)
}

#[inline]
fn ipv6(frame: &[u8], at: usize) -> Result<IpLayer, Refusal> {
    let bytes = frame.get(at..).unwrap_or_default();
    let packet = checked_ipv6(bytes).map_err(Refusal::Malformed)?;
    let datagram = bytes.get(..packet.total_len()).unwrap_or_default();
    let chain = extensions(datagram)?;
    Ok(IpLayer {
        version: IpVersion::V6,
        source: packet.src_addr().octets(),
        destination: packet.dst_addr().octets(),
        ttl: packet.hop_limit(),
        protocol: chain.protocol,
        payload: at + chain.end,
        end: at + datagram.len(),
    })
}

/// An IPv6 header whose version and length are right. A jumbogram (RFC 2675: payload length 0, then
/// a hop-by-hop header) is none: no link here carries one.
#[inline]
pub(crate) fn checked_ipv6(bytes: &[u8]) -> Result<Ipv6Packet<&[u8]>, Malformed> {
    let packet = Ipv6Packet::new_checked(bytes).map_err(|_| Malformed::Ipv6)?;
    let jumbo = packet.payload_len() == 0 && bytes.get(6) == Some(&protocol::HOP_BY_HOP);
    if packet.version() != 6 || jumbo {
        return Err(Malformed::Ipv6);
    }
    Ok(packet)
}

/// Where a chain of IPv6 extension headers ends.
#[derive(Clone, Copy)]
pub(crate) struct Chain {
    pub(crate) protocol: u8,
    /// Offset in the datagram of what `protocol` names.
    pub(crate) end: usize,
    /// Offset in the datagram of the `next header` field that names it.
    pub(crate) named_at: usize,
}

impl Chain {
    /// The fixed header only.
    pub(crate) fn start(datagram: &[u8]) -> Self {
        Self { protocol: datagram.get(6).copied().unwrap_or(0), end: 40, named_at: 6 }
    }

    /// One header further. None when the datagram ends inside it.
    pub(crate) fn step(self, datagram: &[u8]) -> Option<Self> {
        let header = datagram.get(self.end..)?.first_chunk::<8>()?;
        let len = match self.protocol {
            protocol::FRAGMENT => 8,
            // RFC 4302 section 2.2: in words of four, less two.
            protocol::AUTHENTICATION => (usize::from(header[1]) + 2) * 4,
            _ => (usize::from(header[1]) + 1) * 8,
        };
        let end = self.end + len;
        (end <= datagram.len()).then_some(Self { protocol: header[0], end, named_at: self.end })
    }
}

/// Whether a header of that number is followed by another header.
pub(crate) const fn is_extension(number: u8) -> bool {
    matches!(
        number,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION
    )
}

/// Walks the chain up to the first fragment header, or to the end when there is none.
pub(crate) fn unfragmentable(datagram: &[u8]) -> Result<Chain, Malformed> {
    let mut chain = Chain::start(datagram);
    for _ in 0..EXTENSIONS_MAX {
        if chain.protocol == protocol::FRAGMENT || !is_extension(chain.protocol) {
            return Ok(chain);
        }
        chain = extension(datagram, chain)?;
    }
    Err(Malformed::Ipv6Extension)
}

/// Walks all of it. Atomic fragments (RFC 6946) are whole datagrams.
pub(crate) fn extensions(datagram: &[u8]) -> Result<Chain, Refusal> {
    let mut chain = Chain::start(datagram);
    for _ in 0..EXTENSIONS_MAX {
        if !is_extension(chain.protocol) {
            return Ok(chain);
        }
        let next = extension(datagram, chain).map_err(Refusal::Malformed)?;
        if chain.protocol == protocol::FRAGMENT && !is_atomic(datagram, chain) {
            // Whether it carries TCP must be told alike from the first fragment and from every
            // later one, which only repeats the number in the fragment header. An extension header
            // there may hide TCP behind it.
            let may_be_tcp = next.protocol == protocol::TCP || is_extension(next.protocol);
            return Err(if may_be_tcp { Refusal::Fragment } else { Refusal::Other(Other::Ip) });
        }
        chain = next;
    }
    Err(Refusal::Malformed(Malformed::Ipv6Extension))
}

/// One header further, or the reason why not.
fn extension(datagram: &[u8], chain: Chain) -> Result<Chain, Malformed> {
    // A routing header with segments left: the address in the fixed header is only the next
    // waypoint's, while the TCP checksum and the connection belong to the last one's
    // (RFC 8200 section 8.1). Hosts refuse it by default (RFC 5095), and nobody could check it here.
    let waypoint = chain.protocol == protocol::ROUTING
        && datagram.get(chain.end + 3).is_none_or(|&segments_left| segments_left != 0);
    if waypoint {
        return Err(Malformed::Ipv6Extension);
    }
    chain.step(datagram).ok_or(Malformed::Ipv6Extension)
}

/// Whether the fragment header at the end of `chain` says that this is all of its datagram (RFC 6946).
pub(crate) fn is_atomic(datagram: &[u8], chain: Chain) -> bool {
    let word = datagram.get(chain.end + 2..).and_then(|rest| rest.first_chunk());
    // Offset in the upper 13 bits, two reserved, then "more fragments".
    word.is_some_and(|&word| u16::from_be_bytes(word) & 0xfff9 == 0)
}

#[inline]
fn tcp(frame: &[u8], link: &LinkEnd, ip: &IpLayer) -> Result<Headers, Malformed> {
    let segment = frame.get(ip.payload..ip.end).unwrap_or_default();
    let fixed = segment.first_chunk::<20>().ok_or(Malformed::Tcp)?;
    let packet = TcpPacket::new_checked(segment).map_err(|_| Malformed::Tcp)?;
    let (from, to) = (packet.src_port(), packet.dst_port());
    if from == 0 || to == 0 {
        return Err(Malformed::TcpPort);
    }
    let flags = Flags::from_bits_truncate(u16::from_be_bytes([fixed[12], fixed[13]]));
    if !sendable(flags) {
        return Err(Malformed::TcpFlags);
    }
    let v6 = ip.version == IpVersion::V6;
    let (key, source) =
        FlowKey::from_octets(v6, (ip.source, from), (ip.destination, to), link.vlans);
    let offset = |at: usize| u16::try_from(at).map_err(|_| Malformed::Tcp);
    Ok(Headers {
        key,
        source,
        ip_version: ip.version,
        ttl: ip.ttl,
        ip: offset(link.end)?,
        tcp: offset(ip.payload)?,
        payload: offset(ip.payload + usize::from(packet.header_len()))?,
        end: u32::try_from(ip.end).map_err(|_| Malformed::Tcp)?,
        flags,
        seq: Seq(u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]])),
        ack: Seq(u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]])),
        window: packet.window_len(),
        urgent: u16::from_be_bytes([fixed[18], fixed[19]]),
    })
}

/// Whether some stack sends this combination of control bits. PSH and the bits of ECN are free; of
/// the other five these sets are known: SYN, SYN URG, SYN ACK, RST, RST ACK, ACK, ACK URG, FIN ACK,
/// FIN ACK URG.
const fn sendable(flags: Flags) -> bool {
    const SYN: u16 = Flags::SYN.bits();
    const FIN: u16 = Flags::FIN.bits();
    const RST: u16 = Flags::RST.bits();
    const ACK: u16 = Flags::ACK.bits();
    const URG: u16 = Flags::URG.bits();
    const SETS: u64 = 1 << SYN
        | 1 << (SYN | URG)
        | 1 << (SYN | ACK)
        | 1 << RST
        | 1 << (RST | ACK)
        | 1 << ACK
        | 1 << (ACK | URG)
        | 1 << (FIN | ACK)
        | 1 << (FIN | ACK | URG);
    SETS >> (flags.bits() & (SYN | FIN | RST | ACK | URG)) & 1 == 1
}

/// The sum of the pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1) for a segment of `len`
/// bytes below the IP header at `ip`.
#[inline]
pub(crate) fn pseudo_header(frame: &[u8], version: IpVersion, ip: usize, len: u32) -> Sum {
    let addresses = match version {
        IpVersion::V4 => ip + 12..ip + 20,
        IpVersion::V6 => ip + 8..ip + 40,
    };
    let addresses = frame.get(addresses).unwrap_or_default();
    pseudo_numbers(len).bytes(addresses)
}

/// The same without the addresses.
#[inline]
pub(crate) const fn pseudo_numbers(len: u32) -> Sum {
    Sum::EMPTY.number(protocol::TCP as u32).number(len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A segment with options and payload, padded by as many bytes.
    fn frame(options: usize, payload: usize, padding: usize) -> Vec<u8> {
        let words = u8::try_from(options).unwrap();
        let len = u16::try_from(40 + 4 * options + payload).unwrap().to_be_bytes();
        let mut frame = vec![2; 12];
        frame.extend([8, 0, 0x45, 0, len[0], len[1], 0, 7, 0x40, 0, 61, 6, 0, 0]);
        frame.extend([198, 18, 0, 1, 198, 18, 0, 2]);
        let sum = Sum::default().bytes(&frame[14..34]).complement();
        frame[24..26].copy_from_slice(&sum);
        frame.extend([
            1,
            2,
            0,
            80,
            0,
            0,
            0,
            1,
            0,
            0,
            0,
            2,
            (5 + words) << 4,
            0x10,
            1,
            1,
            0,
            0,
            0,
            0,
        ]);
        frame.resize(frame.len() + 4 * options + payload + padding, 1);
        frame
    }

    proptest! {
        /// The short way may only refuse what the long way then takes or refuses.
        #[test]
        fn the_short_way_finds_what_the_long_way_finds(
            options in 0_usize..=10,
            payload in 0_usize..40,
            padding in 0_usize..8,
            changes in proptest::collection::vec((0_usize..70, any::<u8>()), 0..3),
            repaired in any::<bool>(),
            cut in 0_usize..60,
        ) {
            let mut frame = frame(options, payload, padding);
            prop_assert!(plain(&frame).is_some());
            let untouched = changes.is_empty();
            for (at, byte) in changes {
                if let Some(place) = frame.get_mut(at) { *place = byte; }
            }
            if repaired {
                frame[24..26].fill(0);
                let sum = Sum::default().bytes(&frame[14..34]).complement();
                frame[24..26].copy_from_slice(&sum);
            }
            if !untouched && cut < 20 {
                frame.truncate(frame.len().saturating_sub(cut));
            }
            if let Some(headers) = plain(&frame) {
                prop_assert_eq!(Ok(headers), long_way(&frame));
            }
            prop_assert_eq!(headers(&frame), long_way(&frame));
        }
    }
}
