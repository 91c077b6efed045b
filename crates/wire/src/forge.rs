//! Packets that we write ourselves.

use std::net::IpAddr;

use crate::checksum::Sum;
use crate::link_header::ethertype;
use crate::parse::{protocol, pseudo_header};
use crate::{Endpoint, Flags, IpVersion, LinkHeader, Seq, Timestamps};

/// Bytes of the longest header: Ethernet with two tags, IPv6, TCP with timestamps and SACK blocks.
pub const HEADER_LEN_MAX: usize = 22 + 40 + 20 + TIMESTAMPS_LEN + 4 + 8 * SACK_BLOCKS_MAX;

/// SACK blocks that a segment has room for beside timestamps (RFC 2018 section 3).
pub const SACK_BLOCKS_MAX: usize = 3;

const TCP_LEN: usize = 20;
/// NOP, NOP, timestamps (RFC 7323 appendix A).
const TIMESTAMPS_LEN: usize = 12;
const DONT_FRAGMENT: u16 = 1 << 14;
/// The ECN field: a reset, a pure acknowledgment and a retransmission are sent as not ECN-capable
/// (RFC 3168 section 6.1), and what else we forge had better be.
const ECN: u8 = 0b11;

/// Whom a packet pretends to come from, whom it is for, and how packets on that way look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// In front of it. Its EtherType is set to fit the addresses.
    pub link: LinkHeader,
    /// Whom it pretends to come from.
    pub from: Endpoint,
    /// Whom it is for.
    pub to: Endpoint,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// DSCP and ECN as the peer's packets have them; ECN is left out.
    pub traffic_class: u8,
    /// IPv6 flow label; the lower 20 bits count.
    pub flow_label: u32,
    /// Whether a router may cut it where it is IPv4.
    pub may_fragment: bool,
}

/// A segment to forge, but for its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged {
    /// Whose it is.
    pub ends: Ends,
    /// Sequence number.
    pub seq: Seq,
    /// With an ACK of this number, or without one.
    pub ack: Option<Seq>,
    /// Other control bits.
    pub flags: Flags,
    /// Window, as it stands in the header.
    pub window: u16,
    /// A timestamps option, where the connection has them.
    pub timestamps: Option<Timestamps>,
    /// SACK blocks, the most recent first; those after the first that is none are left out.
    pub sack: [Option<(Seq, Seq)>; SACK_BLOCKS_MAX],
}

impl Forged {
    /// A RST: no options, window 0.
    #[must_use]
    pub const fn rst(ends: Ends, seq: Seq, ack: Option<Seq>) -> Self {
        Self {
            ends,
            seq,
            ack,
            flags: Flags::RST,
            window: 0,
            timestamps: None,
            sack: [None; SACK_BLOCKS_MAX],
        }
    }

    /// Bytes of TCP header.
    #[must_use]
    pub fn header_len(&self) -> usize {
        let sack = match self.blocks().count() {
            0 => 0,
            blocks => 4 + 8 * blocks,
        };
        TCP_LEN + if self.timestamps.is_some() { TIMESTAMPS_LEN } else { 0 } + sack
    }

    fn blocks(&self) -> impl Iterator<Item = (Seq, Seq)> {
        self.sack.iter().map_while(|block| *block)
    }

    /// Writes it to the front of `out`, the pieces of its payload one behind the other, and gives its
    /// length; none if `out` is too short ([`HEADER_LEN_MAX`] and the payload always suffice), the
    /// datagram would be too long for its length field, or the two addresses are of different IP
    /// versions.
    ///
    /// In IPv4 its identification is 0, and unless the ends say otherwise it may not be fragmented: such a datagram is
    /// atomic, and its identification has no meaning (RFC 6864 section 4.1).
    #[must_use]
    pub fn write(&self, payload: [&[u8]; 2], out: &mut [u8]) -> Option<usize> {
        let ether = match self.ends.to.addr {
            IpAddr::V4(_) => ethertype::IPV4,
            IpAddr::V6(_) => ethertype::IPV6,
        };
        let link = self.ends.link.with_ethertype(ether);
        let ip = link.as_bytes().len();
        let len = self.header_len() + payload[0].len() + payload[1].len();
        out.get_mut(..ip)?.copy_from_slice(link.as_bytes());
        let (version, header_len) = match (self.ends.from.addr, self.ends.to.addr) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let header = self.ends.ipv4_header(from.octets(), to.octets(), len)?;
                out.get_mut(ip..)?.first_chunk_mut::<20>()?.copy_from_slice(&header);
                (IpVersion::V4, header.len())
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let fixed = out.get_mut(ip..)?.first_chunk_mut::<40>()?;
                self.ends.ipv6_header(from.octets(), to.octets(), len, fixed)?;
                (IpVersion::V6, fixed.len())
            }
            _ => return None,
        };
        let tcp = ip + header_len;
        let end = tcp + len;
        let segment = out.get_mut(tcp..end)?;
        segment.get_mut(..TCP_LEN)?.copy_from_slice(&self.tcp_header());
        let mut at = TCP_LEN;
        if let Some(timestamps) = self.timestamps {
            let option = segment.get_mut(at..at + TIMESTAMPS_LEN)?;
            option.copy_from_slice(&timestamps_option(timestamps));
            at += TIMESTAMPS_LEN;
        }
        at += self.write_sack(segment.get_mut(at..)?)?;
        for bytes in payload {
            segment.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
            at += bytes.len();
        }
        let sum = pseudo_header(out, version, ip, u32::try_from(len).ok()?);
        let checksum = sum.bytes(out.get(tcp..end)?).complement();
        out.get_mut(tcp + 16..tcp + 18)?.copy_from_slice(&checksum);
        Some(end)
    }

    /// Writes the SACK blocks, padded to whole words as Linux does, and gives their length.
    fn write_sack(&self, out: &mut [u8]) -> Option<usize> {
        let option_len = u8::try_from(2 + 8 * self.blocks().count()).ok().filter(|len| *len > 2);
        let Some(option_len) = option_len else { return Some(0) };
        out.get_mut(..4)?.copy_from_slice(&[1, 1, 5, option_len]);
        let mut len = 4;
        for (left, right) in self.blocks() {
            for edge in [left, right] {
                out.get_mut(len..len + 4)?.copy_from_slice(&edge.0.to_be_bytes());
                len += 4;
            }
        }
        Some(len)
    }

    fn tcp_header(&self) -> [u8; TCP_LEN] {
        let mut header = [0; TCP_LEN];
        let mut flags = self.flags;
        flags.set(Flags::ACK, self.ack.is_some());
        let words = u16::try_from(self.header_len() / 4).unwrap_or(0);
        [header[0], header[1]] = self.ends.from.port.to_be_bytes();
        [header[2], header[3]] = self.ends.to.port.to_be_bytes();
        [header[4], header[5], header[6], header[7]] = self.seq.0.to_be_bytes();
        let ack = self.ack.unwrap_or_default();
        [header[8], header[9], header[10], header[11]] = ack.0.to_be_bytes();
        [header[12], header[13]] = (words << 12 | flags.bits()).to_be_bytes();
        [header[14], header[15]] = self.window.to_be_bytes();
        header
    }
}

impl Ends {
    fn ipv4_header(&self, from: [u8; 4], to: [u8; 4], len: usize) -> Option<[u8; 20]> {
        let mut header = [0; 20];
        header[0] = 0x45;
        header[1] = self.traffic_class & !ECN;
        [header[2], header[3]] = u16::try_from(20 + len).ok()?.to_be_bytes();
        if !self.may_fragment {
            [header[6], header[7]] = DONT_FRAGMENT.to_be_bytes();
        }
        header[8] = self.ttl;
        header[9] = protocol::TCP;
        [header[12], header[13], header[14], header[15]] = from;
        [header[16], header[17], header[18], header[19]] = to;
        [header[10], header[11]] = Sum::default().bytes(&header).complement();
        Some(header)
    }

    fn ipv6_header(
        &self,
        from: [u8; 16],
        to: [u8; 16],
        len: usize,
        header: &mut [u8; 40],
    ) -> Option<()> {
        let class = u32::from(self.traffic_class & !ECN) << 20;
        let word = 6 << 28 | class | (self.flow_label & 0x000f_ffff);
        let [len_0, len_1] = u16::try_from(len).ok()?.to_be_bytes();
        let parts = word.to_be_bytes().into_iter().chain([len_0, len_1, protocol::TCP, self.ttl]);
        for (byte, value) in header.iter_mut().zip(parts.chain(from).chain(to)) {
            *byte = value;
        }
        Some(())
    }
}

fn timestamps_option(timestamps: Timestamps) -> [u8; TIMESTAMPS_LEN] {
    let [a, b, c, d] = timestamps.value.to_be_bytes();
    let [e, f, g, h] = timestamps.echo.to_be_bytes();
    [1, 1, 8, 10, a, b, c, d, e, f, g, h]
}
