//! Fragments of IP datagrams (RFC 791 section 3.2, RFC 8200 section 4.5): what one says, the
//! header of the datagram they make together, and how to cut that one again.
//!
//! Collecting them, and refusing those that overlap (RFC 5722), is the engine's.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;

use crate::checksum::Sum;
use crate::datagram::measured_ipv4;
use crate::link_header::{ethertype, walk};
use crate::parse::{self, protocol};
use crate::{IpVersion, LinkHeader, Malformed, Vlans};

/// Bytes of the longest datagram.
const DATAGRAM_LEN_MAX: u32 = 65_535;
const FRAGMENT_HEADER_LEN: usize = 8;
const MORE_V4: u16 = 1 << 13;
/// What every fragment may carry besides: with the longest header less than what every host takes
/// (RFC 791 section 3.1).
const PIECE_MIN: usize = 512;

/// Which datagram a fragment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    source: [u8; 16],
    destination: [u8; 16],
    identification: u32,
    /// Part of the key in IPv4 (RFC 791); 0 in IPv6, where only the first fragment's next header
    /// counts (RFC 8200 section 4.5).
    protocol: u8,
    vlans: Vlans,
    v6: bool,
}

/// One fragment, and where everything is in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentHeaders {
    /// Which datagram it belongs to.
    pub key: FragmentKey,
    /// IPv4 or IPv6.
    pub ip_version: IpVersion,
    /// Where its bytes belong in what the datagram carries, in bytes; a multiple of 8.
    pub offset: u32,
    /// Whether it is not the last.
    pub more: bool,
    /// Offset in the frame of the IP header.
    pub ip: u16,
    /// Offset in the frame of the end of the headers that every fragment repeats: the IPv4 header
    /// with its options, or IPv6 up to the fragment header.
    pub repeated: u16,
    /// Offset in the frame of its part of what the datagram carries.
    pub payload: u16,
    /// Offset in the frame of the end of that; Ethernet padding may follow.
    pub end: u32,
    /// Offset in the frame of the `next header` field that names the fragment header; IPv6 only.
    named_at: u16,
}

impl FragmentKey {
    /// What the fragments of the datagram have in common: 16 bits in IPv4, 32 in IPv6.
    #[must_use]
    pub const fn identification(&self) -> u32 {
        self.identification
    }

    /// Who sends the datagram, and to whom.
    #[must_use]
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.source, self.destination]
            .map(Ipv6Addr::from)
            .map(|address| if self.v6 { address.into() } else { address.to_canonical() })
    }

    /// Whether it is of IPv6.
    #[must_use]
    pub const fn is_ipv6(&self) -> bool {
        self.v6
    }
}

impl FragmentHeaders {
    /// Reads an Ethernet frame that [`crate::Packet::parse`] refused as a fragment.
    ///
    /// # Errors
    ///
    /// A fragment that is not the last must be a multiple of 8 long, none may be empty, and none
    /// may reach beyond 65535 bytes ("ping of death"). Nor is a frame accepted that is no fragment
    /// at all.
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        let link = walk(frame).ok_or(Malformed::Ethernet)?;
        let datagram = frame.get(link.end..).unwrap_or_default();
        let found = match link.ethertype {
            ethertype::IPV4 => ipv4(datagram, link.vlans)?,
            ethertype::IPV6 => ipv6(datagram, link.vlans)?,
            _ => return Err(Malformed::Ethernet),
        };
        found.below(link.end)
    }

    /// Bytes it contributes.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.end.saturating_sub(self.payload as u32)
    }

    /// Never: the parser refuses empty fragments.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where those bytes stand in the frame.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        usize::from(self.payload)..usize::try_from(self.end).unwrap_or(usize::MAX)
    }

    /// Where its part ends in what the datagram carries.
    #[must_use]
    pub const fn offset_end(&self) -> u32 {
        self.offset + self.len()
    }

    /// Writes link and IP header of the whole datagram to the front of `out`, and gives their
    /// length: where `carried` bytes are to follow. `self` and `frame` are the **first** fragment,
    /// whose headers count for all.
    ///
    /// The whole is to be parsed like any other frame. In IPv6 it may turn out to be a fragment once
    /// more, which only an attacker sends: to be dropped then, not collected again.
    ///
    /// In IPv4 the fragment fields are cleared, length and checksum set; in IPv6 the fragment header
    /// is gone. None when `out` is too short, the datagram too long, or `self` not the first.
    #[must_use]
    pub fn whole(&self, frame: &[u8], carried: u32, out: &mut [u8]) -> Option<usize> {
        if self.offset != 0 {
            return None;
        }
        let (ip, end) = (usize::from(self.ip), usize::from(self.repeated));
        out.get_mut(..end)?.copy_from_slice(frame.get(..end)?);
        let header_len = u32::from(self.repeated - self.ip);
        match self.ip_version {
            IpVersion::V4 => {
                let header = out.get_mut(ip..end)?;
                set_ipv4(header, u16::try_from(header_len + carried).ok()?, 0)?;
            }
            IpVersion::V6 => {
                let len = u16::try_from(header_len - 40 + carried).ok()?;
                put(out, ip + 4, &len.to_be_bytes())?;
                // What the fragment header named is now named by whoever named the fragment header.
                let next = *frame.get(end)?;
                put(out, usize::from(self.named_at), &[next])?;
            }
        }
        Some(end)
    }
}

fn ipv4(datagram: &[u8], vlans: Vlans) -> Result<FragmentHeaders, Malformed> {
    let packet = parse::checked_ipv4(datagram)?;
    if packet.version() != 4 {
        return Err(Malformed::Ipv4);
    }
    let (offset, more) = (u32::from(packet.frag_offset()), packet.more_frags());
    let header_len = packet.header_len();
    let found = FragmentHeaders {
        key: FragmentKey {
            source: packet.src_addr().to_ipv6_mapped().octets(),
            destination: packet.dst_addr().to_ipv6_mapped().octets(),
            identification: u32::from(packet.ident()),
            protocol: packet.next_header().into(),
            vlans,
            v6: false,
        },
        ip_version: IpVersion::V4,
        offset,
        more,
        ip: 0,
        repeated: u16::from(header_len),
        payload: u16::from(header_len),
        end: u32::from(packet.total_len()),
        named_at: 0,
    };
    found.judged(Malformed::Ipv4)
}

fn ipv6(datagram: &[u8], vlans: Vlans) -> Result<FragmentHeaders, Malformed> {
    let packet = parse::checked_ipv6(datagram)?;
    let datagram = datagram.get(..packet.total_len()).ok_or(Malformed::Ipv6)?;
    let chain = parse::unfragmentable(datagram)?;
    let header = datagram.get(chain.end..).and_then(|rest| rest.first_chunk::<8>());
    let (protocol::FRAGMENT, Some(header)) = (chain.protocol, header) else {
        return Err(Malformed::Ipv6Extension);
    };
    let word = u16::from_be_bytes([header[2], header[3]]);
    let offset = |at: usize| u16::try_from(at).map_err(|_| Malformed::Ipv6Extension);
    let found = FragmentHeaders {
        key: FragmentKey {
            source: packet.src_addr().octets(),
            destination: packet.dst_addr().octets(),
            identification: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            protocol: 0,
            vlans,
            v6: true,
        },
        ip_version: IpVersion::V6,
        offset: u32::from(word & !7),
        more: word & 1 == 1,
        ip: 0,
        repeated: offset(chain.end)?,
        payload: offset(chain.end + FRAGMENT_HEADER_LEN)?,
        end: u32::try_from(datagram.len()).map_err(|_| Malformed::Ipv6)?,
        named_at: offset(chain.named_at)?,
    };
    found.judged(Malformed::Ipv6Extension)
}

impl FragmentHeaders {
    /// Whether it can be part of any datagram.
    fn judged(self, why: Malformed) -> Result<Self, Malformed> {
        let ragged = self.more && !self.len().is_multiple_of(8);
        // What all fragments repeat stands once in the whole; IPv6 does not count its fixed header.
        let repeated = match self.ip_version {
            IpVersion::V4 => u32::from(self.repeated),
            IpVersion::V6 => u32::from(self.repeated) - 40,
        };
        let too_far = repeated + self.offset_end() > DATAGRAM_LEN_MAX;
        let whole = self.ip_version == IpVersion::V4 && self.offset == 0 && !self.more;
        if ragged || too_far || whole || self.is_empty() { Err(why) } else { Ok(self) }
    }

    /// From offsets in the datagram to offsets in the frame.
    fn below(mut self, link: usize) -> Result<Self, Malformed> {
        let link = u16::try_from(link).map_err(|_| Malformed::Ethernet)?;
        let offsets = [&mut self.ip, &mut self.repeated, &mut self.payload, &mut self.named_at];
        for offset in offsets {
            *offset = offset.checked_add(link).ok_or(Malformed::Ethernet)?;
        }
        self.end += u32::from(link);
        Ok(self)
    }
}

/// Cuts a datagram into fragments again, each as a frame, front to back.
#[derive(Debug)]
pub struct Split<'a> {
    frame: &'a [u8],
    link: LinkHeader,
    ip_version: IpVersion,
    identification: u32,
    ip: usize,
    /// End of the headers that every fragment repeats.
    repeated: usize,
    /// Offset in the frame of the `next header` field that will name the fragment header; IPv6 only.
    named_at: usize,
    /// What that field said: what the fragment header will name.
    carries: u8,
    end: usize,
    /// Bytes of the payload that a fragment takes at most; a multiple of 8.
    piece: usize,
    /// What the next ones take instead, the first in front.
    pieces: &'a [u32],
    /// Offset in the frame of what has not been cut off yet.
    at: usize,
}

impl<'a> Split<'a> {
    /// Cuts `frame`, an Ethernet frame with a whole datagram, into fragments of at most `mtu` bytes
    /// (IP header included), which share `identification`: that of the fragments the datagram came
    /// in, or a fresh one. IPv4 takes its lower 16 bits.
    ///
    /// None when the frame holds no whole datagram, or its headers leave no room for 8 bytes.
    #[must_use]
    pub fn new(frame: &'a [u8], identification: u32, mtu: usize) -> Option<Self> {
        let mut whole = Self::of(frame, identification)?;
        let added = if whole.ip_version == IpVersion::V6 { FRAGMENT_HEADER_LEN } else { 0 };
        whole.piece = mtu.checked_sub(whole.repeated - whole.ip + added)? & !7;
        (whole.piece > 0).then_some(whole)
    }

    /// Cuts `frame` where it was cut before: into fragments that carry `pieces` bytes, which are the
    /// lengths of the original ones in their order, for a datagram that may have become longer or
    /// shorter. The last takes what is left, as far as it is no longer than the longest of them, or
    /// than any path takes.
    ///
    /// None when the frame holds no whole datagram.
    #[must_use]
    pub fn along(frame: &'a [u8], identification: u32, pieces: &'a [u32]) -> Option<Self> {
        let mut whole = Self::of(frame, identification)?;
        let longest = pieces.iter().copied().max().and_then(|len| usize::try_from(len).ok());
        whole.piece = longest.unwrap_or(0).max(PIECE_MIN) & !7;
        whole.pieces = pieces;
        Some(whole)
    }

    /// Not cut yet, and without a length to cut it into.
    fn of(frame: &'a [u8], identification: u32) -> Option<Self> {
        let link = walk(frame)?;
        let datagram = frame.get(link.end..)?;
        let (ip_version, header, named_at, total_len) = match link.ethertype {
            ethertype::IPV4 => {
                // Each fragment gets a checksum of its own.
                let packet = measured_ipv4(datagram).ok()?;
                let header_len = usize::from(packet.header_len());
                (IpVersion::V4, header_len, 9, usize::from(packet.total_len()))
            }
            ethertype::IPV6 => {
                let packet = parse::checked_ipv6(datagram).ok()?;
                let chain = parse::unfragmentable(datagram.get(..packet.total_len())?).ok()?;
                (chain.protocol != protocol::FRAGMENT).then_some(())?;
                (IpVersion::V6, chain.end, chain.named_at, packet.total_len())
            }
            _ => return None,
        };
        Some(Self {
            frame,
            link: LinkHeader::of(frame)?,
            ip_version,
            identification,
            ip: link.end,
            repeated: link.end + header,
            named_at: link.end + named_at,
            carries: *datagram.get(named_at)?,
            end: link.end + total_len,
            piece: 0,
            pieces: &[],
            at: link.end + header,
        })
    }

    /// Whether every byte has been written.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.at == self.end
    }

    /// Where the next fragment ends.
    fn next_cut(&mut self) -> usize {
        let left = self.end - self.at;
        let len = match self.pieces.split_first() {
            // It was the last, and takes what was added.
            Some((_, [])) | None => self.piece,
            Some((&len, _)) => usize::try_from(len).unwrap_or(usize::MAX),
        };
        self.pieces = self.pieces.get(1..).unwrap_or_default();
        // What is not the last ends at a multiple of 8 (RFC 791 section 3.2).
        if left <= len { self.end } else { self.at + (len & !7).max(8) }
    }

    /// Writes the next fragment to the front of `out` and gives the length of its frame; none after
    /// the last, or when `out` is too short (`mtu` and the link header always suffice).
    #[must_use]
    pub fn write(&mut self, out: &mut [u8]) -> Option<usize> {
        let (from, to) = (self.at, self.next_cut());
        if from == to {
            return None;
        }
        let more = to < self.end;
        let offset = u16::try_from(from - self.repeated).ok()?;
        out.get_mut(..self.repeated)?.copy_from_slice(self.frame.get(..self.repeated)?);
        out.get_mut(..self.ip)?.copy_from_slice(self.link.as_bytes());
        let (header_len, len) = (self.repeated - self.ip, to - from);
        let payload = match self.ip_version {
            IpVersion::V4 => {
                let [.., id_0, id_1] = self.identification.to_be_bytes();
                put(out, self.ip + 4, &[id_0, id_1])?;
                let word = offset >> 3 | if more { MORE_V4 } else { 0 };
                let header = out.get_mut(self.ip..self.repeated)?;
                set_ipv4(header, u16::try_from(header_len + len).ok()?, word)?;
                self.repeated
            }
            IpVersion::V6 => {
                let total = header_len - 40 + FRAGMENT_HEADER_LEN + len;
                put(out, self.ip + 4, &u16::try_from(total).ok()?.to_be_bytes())?;
                put(out, self.named_at, &[protocol::FRAGMENT])?;
                let [word_0, word_1] = (offset | u16::from(more)).to_be_bytes();
                put(out, self.repeated, &[self.carries, 0, word_0, word_1])?;
                put(out, self.repeated + 4, &self.identification.to_be_bytes())?;
                self.repeated + FRAGMENT_HEADER_LEN
            }
        };
        put(out, payload, self.frame.get(from..to)?)?;
        self.at = to;
        Some(payload + len)
    }
}

/// Sets length and fragment word of an IPv4 header, and its checksum.
fn set_ipv4(header: &mut [u8], total_len: u16, fragment: u16) -> Option<()> {
    put(header, 2, &total_len.to_be_bytes())?;
    put(header, 6, &fragment.to_be_bytes())?;
    put(header, 10, &[0, 0])?;
    let checksum = Sum::default().bytes(header).complement();
    put(header, 10, &checksum)
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> Option<()> {
    out.get_mut(at..at.checked_add(bytes.len())?)?.copy_from_slice(bytes);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first fragment of a UDP datagram.
    fn fragment_v6(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 16, 44, 64]);
        frame.extend([source, destination].map(|address| address.octets()).concat());
        frame.extend([17, 0, 0, 1, 0, 0, 0, 9]);
        frame.extend([0; 8]);
        frame
    }

    #[test]
    fn an_address_that_maps_one_of_ipv4_is_one_of_ipv6_all_the_same() {
        let ends = ["::ffff:198.18.0.1", "fd00::2"].map(|end| end.parse::<Ipv6Addr>().unwrap());
        let key = FragmentHeaders::parse(&fragment_v6(ends[0], ends[1])).unwrap().key;
        assert!(key.is_ipv6());
        assert_eq!(key.addresses(), ends.map(IpAddr::V6));
    }
}
