//! ICMP errors about TCP segments (RFC 792, RFC 4443), each of which quotes the segment that it is
//! about.
//!
//! Endpoints act on them: they send smaller segments, take another route, give up. Nothing but the quote
//! says that the sender has seen the connection at all, so whoever guesses addresses and ports can forge
//! one, and only the quoted sequence number is hard to guess (RFC 5927 section 4.1). What is read here
//! is what that check needs, of bytes that anybody may have written.

use std::net::Ipv4Addr;

use crate::checksum::{Sum, update};
use crate::link_header::{LinkEnd, ethertype, walk};
use crate::parse::{self, Chain, protocol};
use crate::{FlowKey, Malformed, Refusal, Seq, Side};

/// An ICMP error about a TCP segment, and where its quote stands in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// The connection of the quoted segment.
    pub key: FlowKey,
    /// Which side of `key` sent that segment; the error is addressed to it.
    pub source: Side,
    /// The quoted sequence number.
    pub seq: Seq,
    /// If the segment was too long for the next link: how long a datagram that one carries (RFC 1191
    /// section 4, RFC 4443 section 3.2).
    pub link_mtu: Option<u16>,
    /// Offset of the ICMP header in the frame.
    icmp: u16,
    /// Offset of the quoted sequence number in the frame.
    seq_at: u16,
}

impl IcmpError {
    /// Reads an Ethernet frame that [`crate::Packet::parse`] refused as something else than TCP. None
    /// if it is no ICMP error, or one about something else than TCP: nothing is known about such
    /// frames, and nothing is wrong with them.
    ///
    /// Of ICMPv6 every type below 128 is an error; hosts hand the unassigned ones up as well
    /// (RFC 4443 section 2.4 (a)).
    ///
    /// # Errors
    ///
    /// An error about TCP that no host takes, or no honest one sends: with a wrong length or checksum;
    /// a quote without ports and sequence number (RFC 792 has eight bytes behind the IP header);
    /// not addressed to the sender of what it quotes; in fragments, for errors fit into every link
    /// (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c)). A first fragment that hides what is quoted
    /// is one of them.
    pub fn parse(frame: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some(link) = walk(frame) else { return Ok(None) };
        let datagram = frame.get(link.end..).unwrap_or_default();
        match link.ethertype {
            ethertype::IPV4 => ipv4(datagram, &link),
            ethertype::IPV6 => ipv6(datagram, &link),
            _ => Ok(None),
        }
    }

    /// Makes the error in `frame`, the one that was parsed, quote another sequence number, for a sender
    /// that knows its segment by that one. Its checksum follows.
    pub fn requote(&mut self, frame: &mut [u8], seq: Seq) {
        let checksum_at = usize::from(self.icmp) + 2;
        let (old, new) = (self.seq.0.to_be_bytes(), seq.0.to_be_bytes());
        let read = frame.get(checksum_at..).and_then(|rest| rest.first_chunk::<2>());
        let Some(checksum) = read.map(|field| update(*field, &old, &new)) else { return };
        for (at, bytes) in [(checksum_at, &checksum[..]), (usize::from(self.seq_at), &new[..])] {
            if let Some(field) = frame.get_mut(at..at + bytes.len()) {
                field.copy_from_slice(bytes);
            }
        }
        self.seq = seq;
    }
}

/// Bytes of an ICMP header; what is quoted follows (RFC 792, RFC 4443 section 3).
const HEADER_LEN: usize = 8;
/// Offset of the fragment fields in an IPv4 header, and the bits of the offset.
const FRAGMENT_AT: usize = 6;
const OFFSET_V4: u16 = 0x1fff;

/// Destination unreachable, source quench, redirect, time exceeded, parameter problem.
const fn is_error_v4(kind: u8) -> bool {
    matches!(kind, 3 | 4 | 5 | 11 | 12)
}

const fn is_error_v6(kind: u8) -> bool {
    kind < 128
}

/// What a quote says of the segment in it.
struct Quote {
    source: [u8; 16],
    destination: [u8; 16],
    /// Offset in the quote of the TCP header.
    tcp: usize,
}

fn ipv4(datagram: &[u8], link: &LinkEnd) -> Result<Option<IcmpError>, Malformed> {
    // (1) Whether it is an ICMP error at all. Of fragments only the first tells.
    let Some(fixed) = datagram.first_chunk::<20>() else { return Ok(None) };
    let icmp = header_len_v4(fixed[0]);
    let is_icmp = fixed[0] >> 4 == 4 && fixed[9] == protocol::ICMP && offset_v4(fixed) == 0;
    if !is_icmp || !datagram.get(icmp).is_some_and(|&kind| is_error_v4(kind)) {
        return Ok(None);
    }
    // (2) Whether it quotes TCP.
    let quote = datagram.get(icmp + HEADER_LEN..).unwrap_or_default();
    let more = u16::from_be_bytes([fixed[FRAGMENT_AT], fixed[FRAGMENT_AT + 1]]) & 1 << 13 != 0;
    let Some(quoted) = quote.first_chunk::<20>() else {
        return if more { Err(Malformed::Icmp) } else { Ok(None) };
    };
    if quoted[0] >> 4 != 4 || quoted[9] != protocol::TCP {
        return Ok(None);
    }
    // (3) Whether it is as it has to be.
    let packet = parse::checked_ipv4(datagram)?;
    let tcp = header_len_v4(quoted[0]);
    if more || tcp < 20 || offset_v4(quoted) != 0 {
        return Err(Malformed::Icmp);
    }
    let message = datagram.get(icmp..usize::from(packet.total_len())).unwrap_or_default();
    let [.., a, b, c, d, e, f, g, h] = *quoted;
    let quote = Quote { source: mapped([a, b, c, d]), destination: mapped([e, f, g, h]), tcp };
    let destination = packet.dst_addr().to_ipv6_mapped().octets();
    Located { link, icmp, message, destination, v6: false }.read(&quote, Sum::default())
}

fn ipv6(datagram: &[u8], link: &LinkEnd) -> Result<Option<IcmpError>, Malformed> {
    // (1) Whether it is an ICMP error at all.
    let packet = parse::checked_ipv6(datagram)?;
    let datagram = datagram.get(..packet.total_len()).unwrap_or_default();
    let (icmp, whole) = match parse::extensions(datagram) {
        Ok(chain) if chain.protocol == protocol::ICMPV6 => (chain.end, true),
        Err(Refusal::Other(_)) => match first_fragment(datagram)? {
            Some(payload) => (payload, false),
            None => return Ok(None),
        },
        Ok(_) | Err(_) => return Ok(None),
    };
    if !datagram.get(icmp).is_some_and(|&kind| is_error_v6(kind)) {
        return Ok(None);
    }
    // (2) Whether it quotes TCP.
    let message = datagram.get(icmp..).unwrap_or_default();
    let quoted = message.get(HEADER_LEN..).unwrap_or_default();
    let quote = match quoted_v6(quoted)? {
        Carries::Tcp(quote) => quote,
        Carries::Unseen if !whole => return Err(Malformed::Icmp),
        Carries::Unseen | Carries::Other => return Ok(None),
    };
    // (3) Whether it is as it has to be.
    if !whole {
        return Err(Malformed::Icmp);
    }
    let destination = packet.dst_addr().octets();
    let len = u32::try_from(message.len()).map_err(|_| Malformed::Icmp)?;
    let pseudo = Sum::default()
        .bytes(&packet.src_addr().octets())
        .bytes(&destination)
        .number(u32::from(protocol::ICMPV6))
        .number(len);
    Located { link, icmp, message, destination, v6: true }.read(&quote, pseudo)
}

/// Where the payload of a first fragment of ICMPv6 begins; none for any other fragment.
fn first_fragment(datagram: &[u8]) -> Result<Option<usize>, Malformed> {
    let chain = parse::unfragmentable(datagram)?;
    let header = datagram.get(chain.end..).and_then(|rest| rest.first_chunk::<8>());
    Ok(header
        .filter(|header| chain.protocol == protocol::FRAGMENT && header[0] == protocol::ICMPV6)
        .filter(|header| u16::from_be_bytes([header[2], header[3]]) >> 3 == 0)
        .map(|_| chain.end + 8))
}

/// What a quoted IPv6 packet carries.
enum Carries {
    Tcp(Quote),
    Other,
    /// The quote ends before it says so.
    Unseen,
}

/// Walks the quoted chain. A quote whose chain is longer than we walk is refused: a host might walk on.
fn quoted_v6(quote: &[u8]) -> Result<Carries, Malformed> {
    let Some(fixed) = quote.first_chunk::<40>() else { return Ok(Carries::Unseen) };
    if fixed[0] >> 4 != 6 {
        return Ok(Carries::Other);
    }
    let mut chain = Chain::start(quote);
    for _ in 0..=parse::EXTENSIONS_MAX {
        if chain.protocol == protocol::TCP {
            let mut addresses = [[0; 16]; 2];
            for (address, octets) in addresses.iter_mut().zip(fixed[8..].chunks_exact(16)) {
                address.copy_from_slice(octets);
            }
            let [source, destination] = addresses;
            return Ok(Carries::Tcp(Quote { source, destination, tcp: chain.end }));
        }
        if !parse::is_extension(chain.protocol) {
            return Ok(Carries::Other);
        }
        let later = chain.protocol == protocol::FRAGMENT
            && quote
                .get(chain.end + 2..)
                .and_then(|rest| rest.first_chunk())
                .is_some_and(|&word| u16::from_be_bytes(word) >> 3 != 0);
        let Some(next) = chain.step(quote) else { return Ok(Carries::Unseen) };
        if later && next.protocol == protocol::TCP {
            return Err(Malformed::Icmp);
        }
        chain = next;
    }
    Err(Malformed::Icmp)
}

/// An ICMP error in its frame.
struct Located<'a> {
    link: &'a LinkEnd,
    /// Offset in the datagram of the ICMP header.
    icmp: usize,
    /// From there to the end of the datagram.
    message: &'a [u8],
    destination: [u8; 16],
    v6: bool,
}

impl Located<'_> {
    /// Reads ports and sequence number behind the quoted IP header. `pseudo` is what the checksum
    /// covers besides the message.
    fn read(&self, quote: &Quote, pseudo: Sum) -> Result<Option<IcmpError>, Malformed> {
        let tcp = HEADER_LEN + quote.tcp;
        let quoted = self.message.get(tcp..).and_then(|rest| rest.first_chunk::<8>());
        let &[a, b, c, d, s0, s1, s2, s3] = quoted.ok_or(Malformed::Icmp)?;
        if !pseudo.bytes(self.message).is_intact() {
            return Err(Malformed::IcmpChecksum);
        }
        if quote.source != self.destination {
            return Err(Malformed::Icmp);
        }
        let (from, to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let (key, source) = FlowKey::from_octets(
            self.v6,
            (quote.source, from),
            (quote.destination, to),
            self.link.vlans,
        );
        let icmp = self.link.end + self.icmp;
        let offset = |at: usize| u16::try_from(at).map_err(|_| Malformed::Icmp);
        Ok(Some(IcmpError {
            key,
            source,
            seq: Seq(u32::from_be_bytes([s0, s1, s2, s3])),
            link_mtu: self.link_mtu(),
            icmp: offset(icmp)?,
            seq_at: offset(icmp + tcp + 4)?,
        }))
    }
}

impl Located<'_> {
    fn link_mtu(&self) -> Option<u16> {
        let &[kind, code, _, _, a, b, c, d] = self.message.first_chunk::<HEADER_LEN>()?;
        let mtu = match (self.v6, kind, code) {
            // Routers before RFC 1191 leave it zero.
            (false, 3, 4) => u32::from(u16::from_be_bytes([c, d])),
            (true, 2, _) => u32::from_be_bytes([a, b, c, d]),
            _ => 0,
        };
        (mtu > 0).then(|| u16::try_from(mtu).unwrap_or(u16::MAX))
    }
}

fn mapped(address: [u8; 4]) -> [u8; 16] {
    Ipv4Addr::from(address).to_ipv6_mapped().octets()
}

fn header_len_v4(first: u8) -> usize {
    usize::from(first & 0x0f) * 4
}

const fn offset_v4(header: &[u8; 20]) -> u16 {
    u16::from_be_bytes([header[FRAGMENT_AT], header[FRAGMENT_AT + 1]]) & OFFSET_V4
}
