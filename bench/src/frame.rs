//! Frames of Ethernet, IPv4 and TCP, written into memory that is there already, with right checksums.

use tollgate_link::Port;

/// Bytes of the Ethernet header.
pub const ETHERNET_LEN: usize = 14;
/// Bytes of the IPv4 header, which never has options here.
pub const IP_LEN: usize = 20;
/// Bytes of the TCP header without options.
pub const TCP_LEN: usize = 20;
/// Ethernet, IPv4 and TCP without options: what a frame adds to its payload.
pub const HEADERS_LEN: usize = ETHERNET_LEN + IP_LEN + TCP_LEN;

/// TCP's control bits (RFC 9293 section 3.1).
pub const FIN: u8 = 0x01;
/// Opens a connection.
pub const SYN: u8 = 0x02;
/// Ends it at once.
pub const RST: u8 = 0x04;
/// To be given to the receiver without waiting for more.
pub const PSH: u8 = 0x08;
/// The acknowledgment number counts.
pub const ACK: u8 = 0x10;

/// On both SYNs, as Linux has it there (RFC 7323).
pub const WINDOW_SCALE: [u8; 4] = [1, 3, 3, 7];
const WINDOW: u16 = u16::MAX;

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xc];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x5];

/// Address and port.
pub type End = ([u8; 4], u16);

/// What differs from segment to segment.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    /// Number of the first byte.
    pub seq: u32,
    /// The acknowledgment.
    pub ack: u32,
    /// Control bits.
    pub flags: u8,
    /// None, or one word.
    pub options: &'a [u8],
}

/// Writes a whole frame as it arrives at `port`, and gives its length. `payload_sum` is the
/// payload's share of the checksum: [`sum`] of it, from 0.
pub fn tcp(
    out: &mut [u8],
    port: Port,
    from: End,
    to: End,
    tcp: Tcp<'_>,
    payload: &[u8],
    payload_sum: u32,
) -> usize {
    let tcp_len = u16::try_from(TCP_LEN + tcp.options.len() + payload.len()).unwrap_or(u16::MAX);
    let ip = ip(from.0, to.0, tcp_len, 0, DONT_FRAGMENT);
    let mut header = [0; TCP_LEN];
    header[0..2].copy_from_slice(&from.1.to_be_bytes());
    header[2..4].copy_from_slice(&to.1.to_be_bytes());
    header[4..8].copy_from_slice(&tcp.seq.to_be_bytes());
    header[8..12].copy_from_slice(&tcp.ack.to_be_bytes());
    header[12..14].copy_from_slice(&[if tcp.options.is_empty() { 0x50 } else { 0x60 }, tcp.flags]);
    header[14..16].copy_from_slice(&WINDOW.to_be_bytes());
    let pseudo = sum(sum(u32::from(tcp_len) + 6, &from.0), &to.0);
    let tcp_sum = fold(sum(sum(pseudo, &header), tcp.options) + payload_sum);
    header[16..18].copy_from_slice(&tcp_sum);
    write(out, &[&ethernet(port), &ip, &header, tcp.options, payload])
}

/// Writes the first fragment of a datagram, `len` bytes (a multiple of eight) of a TCP segment, at port
/// A. Nobody checks a checksum before the rest is there.
pub fn first_fragment(
    out: &mut [u8],
    from: [u8; 4],
    to: [u8; 4],
    identification: u16,
    len: u16,
) -> usize {
    let ip = ip(from, to, len, identification, MORE_FRAGMENTS);
    let headers = write(out, &[&ethernet(Port::A), &ip]);
    let end = headers + usize::from(len);
    if let Some(rest) = out.get_mut(headers..end) {
        rest.fill(0);
    }
    end
}

const MORE_FRAGMENTS: u16 = 0x2000;
const DONT_FRAGMENT: u16 = 0x4000;

fn ip(
    from: [u8; 4],
    to: [u8; 4],
    payload_len: u16,
    identification: u16,
    fragment: u16,
) -> [u8; 20] {
    let mut ip = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    ip[2..4].copy_from_slice(&(payload_len + 20).to_be_bytes());
    ip[4..6].copy_from_slice(&identification.to_be_bytes());
    ip[6..8].copy_from_slice(&fragment.to_be_bytes());
    ip[12..16].copy_from_slice(&from);
    ip[16..20].copy_from_slice(&to);
    let ip_sum = fold(sum(0, &ip));
    ip[10..12].copy_from_slice(&ip_sum);
    ip
}

fn ethernet(port: Port) -> [u8; ETHERNET_LEN] {
    let (to, from) = match port {
        Port::A => (SERVER_MAC, CLIENT_MAC),
        Port::B => (CLIENT_MAC, SERVER_MAC),
    };
    let mut header = [0; ETHERNET_LEN];
    header[..6].copy_from_slice(&to);
    header[6..12].copy_from_slice(&from);
    header[12] = 0x08;
    header
}

fn write(out: &mut [u8], parts: &[&[u8]]) -> usize {
    let mut len = 0;
    for part in parts {
        if let Some(room) = out.get_mut(len..len + part.len()) {
            room.copy_from_slice(part);
        }
        len += part.len();
    }
    len
}

/// Adds big-endian words (RFC 1071); `bytes` of an odd length end with a zero.
#[must_use]
pub fn sum(start: u32, bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(u16::from_be_bytes([high, 0])),
        _ => 0,
    });
    words.fold(start, u32::wrapping_add)
}

fn fold(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [_, _, high, low] = (!sum).to_be_bytes();
    [high, low]
}

/// Sums to all ones, as a receiver checks it.
#[cfg(test)]
pub(crate) fn is_whole(bytes: &[u8], pseudo: u32) -> bool {
    fold(sum(pseudo, bytes)) == [0, 0]
}
