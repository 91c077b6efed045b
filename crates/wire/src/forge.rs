//! Packets that we write ourselves.

use std::net::IpAddr;

use crate::checksum::Sum;
use crate::link_header::ethertype;
use crate::parse::{protocol, pseudo_header};
use crate::{Endpoint, Flags, IpVersion, LinkHeader, Seq};

/// Bytes of the longest RST: Ethernet with two tags, IPv6, TCP.
pub const RST_LEN_MAX: usize = 22 + 40 + 20;

const TCP_LEN: u16 = 20;
const DONT_FRAGMENT: u16 = 1 << 14;
/// The ECN field: a reset is sent as not ECN-capable (RFC 3168 section 6.1.1).
const ECN: u8 = 0b11;

/// An RST to forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RstSpec {
    /// In front of it. Its EtherType is set to fit the addresses.
    pub link: LinkHeader,
    /// Whom it pretends to come from.
    pub from: Endpoint,
    /// Whom it shall reset.
    pub to: Endpoint,
    /// Sequence number.
    pub seq: Seq,
    /// With an ACK of this number, or without one.
    pub ack: Option<Seq>,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// DSCP and ECN as the peer's packets have them; ECN is left out of the RST.
    pub traffic_class: u8,
    /// IPv6 flow label; the lower 20 bits count.
    pub flow_label: u32,
}

/// Writes an RST to the front of `out` and gives its length; none if `out` is too short
/// ([`RST_LEN_MAX`] always suffices) or the two addresses are of different IP versions.
///
/// No options, window 0. In IPv4 its identification is 0 and it may not be fragmented: such a
/// datagram is atomic, and its identification has no meaning (RFC 6864 section 4.1).
#[must_use]
pub fn rst(spec: &RstSpec, out: &mut [u8]) -> Option<usize> {
    let ether = match spec.to.addr {
        IpAddr::V4(_) => ethertype::IPV4,
        IpAddr::V6(_) => ethertype::IPV6,
    };
    let link = spec.link.with_ethertype(ether);
    let ip = link.as_bytes().len();
    out.get_mut(..ip)?.copy_from_slice(link.as_bytes());
    let (version, header_len) = match (spec.from.addr, spec.to.addr) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let header = ipv4_header(spec, from.octets(), to.octets());
            out.get_mut(ip..)?.first_chunk_mut::<20>()?.copy_from_slice(&header);
            (IpVersion::V4, header.len())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let fixed = out.get_mut(ip..)?.first_chunk_mut::<40>()?;
            ipv6_header(spec, from.octets(), to.octets(), fixed);
            (IpVersion::V6, fixed.len())
        }
        _ => return None,
    };
    let tcp = ip + header_len;
    let mut segment = tcp_header(spec);
    let sum = pseudo_header(out, version, ip, u32::from(TCP_LEN)).bytes(&segment);
    [segment[16], segment[17]] = sum.complement();
    out.get_mut(tcp..)?.first_chunk_mut::<20>()?.copy_from_slice(&segment);
    Some(tcp + segment.len())
}

fn ipv4_header(spec: &RstSpec, from: [u8; 4], to: [u8; 4]) -> [u8; 20] {
    let mut header = [0; 20];
    header[0] = 0x45;
    header[1] = spec.traffic_class & !ECN;
    [header[2], header[3]] = (20 + TCP_LEN).to_be_bytes();
    [header[6], header[7]] = DONT_FRAGMENT.to_be_bytes();
    header[8] = spec.ttl;
    header[9] = protocol::TCP;
    [header[12], header[13], header[14], header[15]] = from;
    [header[16], header[17], header[18], header[19]] = to;
    [header[10], header[11]] = Sum::default().bytes(&header).complement();
    header
}

fn ipv6_header(spec: &RstSpec, from: [u8; 16], to: [u8; 16], header: &mut [u8; 40]) {
    let class = u32::from(spec.traffic_class & !ECN) << 20;
    let word = 6 << 28 | class | (spec.flow_label & 0x000f_ffff);
    let [len_0, len_1] = TCP_LEN.to_be_bytes();
    let parts = word.to_be_bytes().into_iter().chain([len_0, len_1, protocol::TCP, spec.ttl]);
    for (byte, value) in header.iter_mut().zip(parts.chain(from).chain(to)) {
        *byte = value;
    }
}

fn tcp_header(spec: &RstSpec) -> [u8; 20] {
    let mut header = [0; 20];
    let flags = if spec.ack.is_some() { Flags::RST | Flags::ACK } else { Flags::RST };
    [header[0], header[1]] = spec.from.port.to_be_bytes();
    [header[2], header[3]] = spec.to.port.to_be_bytes();
    [header[4], header[5], header[6], header[7]] = spec.seq.0.to_be_bytes();
    [header[8], header[9], header[10], header[11]] = spec.ack.unwrap_or_default().0.to_be_bytes();
    [header[12], header[13]] = (5 << 12 | flags.bits()).to_be_bytes();
    header
}
