//! Frames as they cross: written with right checksums, and read with distrust.
//!
//! Not Tollgate's parser on purpose: who judges it must not share its mistakes. Only what the
//! generator itself sends is understood; all else is a stranger, and counted.

use tollgate_link::Port;

use crate::addresses::{Addresses, Ip};

pub(crate) const ETHERNET_LEN: usize = 14;
pub(crate) const TCP_LEN: usize = 20;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const PROTOCOL_TCP: u8 = 6;
/// MSS and window scale, padded: on both SYNs.
const SYN_OPTIONS_LEN: usize = 8;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;

/// What differs from segment to segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) connection: u64,
    /// Whose it is: the client is at port A, the server at B.
    pub(crate) from: Port,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
}

/// What was read: the segment, and where its payload begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen<'a> {
    pub(crate) segment: Segment,
    pub(crate) payload: &'a [u8],
}

/// Why a frame is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Nothing that we send: ARP, neighbour discovery, other people's traffic.
    Stranger,
    /// A checksum or a length is wrong.
    Broken,
}

/// Bytes of a frame with `payload` bytes.
pub(crate) const fn len(addresses: &Addresses, flags: u8, payload: usize) -> usize {
    let ip = if addresses.ipv6 { IPV6_LEN } else { IPV4_LEN };
    let options = if flags & SYN != 0 { SYN_OPTIONS_LEN } else { 0 };
    ETHERNET_LEN + ip + TCP_LEN + options + payload
}

/// Writes a frame of [`len`] bytes. Of a stamp, the first bytes of the payload are taken instead.
pub(crate) fn write(
    out: &mut [u8],
    addresses: &Addresses,
    segment: Segment,
    payload: &[u8],
    stamp: Option<u64>,
) {
    let (client, server) = (addresses.client(segment.connection), addresses.server());
    let (from, to) = if segment.from == Port::A { (client, server) } else { (server, client) };
    let options: &[u8] = if segment.flags & SYN != 0 { &SYN_OPTIONS } else { &[] };
    let tcp_len = TCP_LEN + options.len() + payload.len();

    let Some((ethernet, rest)) = out.split_first_chunk_mut::<ETHERNET_LEN>() else { return };
    write_ethernet(ethernet, addresses, segment.from);
    let Some((rest, pseudo)) = write_ip(rest, from.0, to.0, tcp_len) else { return };
    let Some((header, rest)) = rest.split_first_chunk_mut::<TCP_LEN>() else { return };
    header[0..2].copy_from_slice(&from.1.to_be_bytes());
    header[2..4].copy_from_slice(&to.1.to_be_bytes());
    header[4..8].copy_from_slice(&segment.seq.to_be_bytes());
    header[8..12].copy_from_slice(&segment.ack.to_be_bytes());
    header[12..14].copy_from_slice(&[if options.is_empty() { 0x50 } else { 0x70 }, segment.flags]);
    header[14..20].copy_from_slice(&[0xff, 0xff, 0, 0, 0, 0]);
    let Some((room, rest)) = rest.split_at_mut_checked(options.len()) else { return };
    room.copy_from_slice(options);
    let Some((room, _)) = rest.split_at_mut_checked(payload.len()) else { return };
    room.copy_from_slice(payload);
    if let (Some(stamp), Some(first)) = (stamp, room.first_chunk_mut::<STAMP_LEN>()) {
        *first = stamp.to_be_bytes();
    }
    let sum = pseudo + sum(header) + sum(options) + sum(room);
    header[16..18].copy_from_slice(&complement(sum));
}

/// Bytes of a time stamp.
pub(crate) const STAMP_LEN: usize = 8;
/// An MSS of 1460, a window scale of 7, and an end of options.
const SYN_OPTIONS: [u8; SYN_OPTIONS_LEN] = [2, 4, 5, 180, 3, 3, 7, 0];

/// Reads a frame that has crossed, and verifies both checksums.
pub(crate) fn read<'a>(addresses: &Addresses, bytes: &'a [u8]) -> Result<Seen<'a>, Doubt> {
    let (ethernet, rest) = bytes.split_first_chunk::<ETHERNET_LEN>().ok_or(Doubt::Stranger)?;
    let (from, to, tcp, pseudo) = match (ethernet[12], ethernet[13]) {
        (0x08, 0x00) => read_ipv4(rest)?,
        (0x86, 0xdd) => read_ipv6(rest)?,
        _ => return Err(Doubt::Stranger),
    };
    let header = tcp.first_chunk::<TCP_LEN>().ok_or(Doubt::Broken)?;
    let port = |high, low| u16::from_be_bytes([high, low]);
    let from = (from, port(header[0], header[1]));
    let to = (to, port(header[2], header[3]));
    let (side, connection) = addresses
        .connection(from, to)
        .map(|connection| (Port::A, connection))
        .or_else(|| addresses.connection(to, from).map(|connection| (Port::B, connection)))
        .ok_or(Doubt::Stranger)?;
    let payload = tcp.get(usize::from(header[12] >> 4) * 4..).ok_or(Doubt::Broken)?;
    if fold(pseudo + sum(tcp)) != 0xffff {
        return Err(Doubt::Broken);
    }
    let number = |at: [u8; 4]| u32::from_be_bytes(at);
    let segment = Segment {
        connection,
        from: side,
        seq: number([header[4], header[5], header[6], header[7]]),
        ack: number([header[8], header[9], header[10], header[11]]),
        flags: header[13],
    };
    Ok(Seen { segment, payload })
}

/// The stamp that a payload begins with.
pub(crate) fn stamp(payload: &[u8]) -> Option<u64> {
    payload.first_chunk::<STAMP_LEN>().map(|bytes| u64::from_be_bytes(*bytes))
}

fn write_ethernet(out: &mut [u8; ETHERNET_LEN], addresses: &Addresses, from: Port) {
    let Addresses { client_mac, server_mac, ipv6, .. } = addresses;
    let (to, from) =
        if from == Port::A { (server_mac, client_mac) } else { (client_mac, server_mac) };
    out[..6].copy_from_slice(to);
    out[6..12].copy_from_slice(from);
    out[12..].copy_from_slice(if *ipv6 { &[0x86, 0xdd] } else { &[0x08, 0] });
}

/// Gives what comes behind the IP header, and what the pseudo-header adds to TCP's checksum.
fn write_ip(out: &mut [u8], from: Ip, to: Ip, tcp_len: usize) -> Option<(&mut [u8], u64)> {
    let tcp_len = u16::try_from(tcp_len).ok()?;
    match (from, to) {
        (Ip::V4(from), Ip::V4(to)) => {
            let (ip, rest) = out.split_first_chunk_mut::<IPV4_LEN>()?;
            *ip = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, PROTOCOL_TCP, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            ip[2..4].copy_from_slice(&(tcp_len + 20).to_be_bytes());
            ip[12..16].copy_from_slice(&from);
            ip[16..20].copy_from_slice(&to);
            let checksum = complement(sum(ip));
            ip[10..12].copy_from_slice(&checksum);
            Some((rest, pseudo(&from, &to, tcp_len)))
        }
        (Ip::V6(from), Ip::V6(to)) => {
            let (ip, rest) = out.split_first_chunk_mut::<IPV6_LEN>()?;
            ip[..4].copy_from_slice(&[0x60, 0, 0, 0]);
            ip[4..6].copy_from_slice(&tcp_len.to_be_bytes());
            ip[6..8].copy_from_slice(&[PROTOCOL_TCP, 64]);
            ip[8..24].copy_from_slice(&from);
            ip[24..40].copy_from_slice(&to);
            Some((rest, pseudo(&from, &to, tcp_len)))
        }
        _ => None,
    }
}

type Datagram<'a> = (Ip, Ip, &'a [u8], u64);

fn read_ipv4(bytes: &[u8]) -> Result<Datagram<'_>, Doubt> {
    let (ip, rest) = bytes.split_first_chunk::<IPV4_LEN>().ok_or(Doubt::Stranger)?;
    if ip[0] != 0x45 || ip[9] != PROTOCOL_TCP {
        return Err(Doubt::Stranger);
    }
    if fold(sum(ip)) != 0xffff {
        return Err(Doubt::Broken);
    }
    let from = [ip[12], ip[13], ip[14], ip[15]];
    let to = [ip[16], ip[17], ip[18], ip[19]];
    let tcp_len = u16::from_be_bytes([ip[2], ip[3]]).checked_sub(20).ok_or(Doubt::Broken)?;
    // A frame may be padded behind its packet.
    let tcp = rest.get(..usize::from(tcp_len)).ok_or(Doubt::Broken)?;
    Ok((Ip::V4(from), Ip::V4(to), tcp, pseudo(&from, &to, tcp_len)))
}

fn read_ipv6(bytes: &[u8]) -> Result<Datagram<'_>, Doubt> {
    let (ip, rest) = bytes.split_first_chunk::<IPV6_LEN>().ok_or(Doubt::Stranger)?;
    if ip[0] >> 4 != 6 || ip[6] != PROTOCOL_TCP {
        return Err(Doubt::Stranger);
    }
    let (mut from, mut to) = ([0; 16], [0; 16]);
    from.copy_from_slice(&ip[8..24]);
    to.copy_from_slice(&ip[24..40]);
    let tcp_len = u16::from_be_bytes([ip[4], ip[5]]);
    let tcp = rest.get(..usize::from(tcp_len)).ok_or(Doubt::Broken)?;
    Ok((Ip::V6(from), Ip::V6(to), tcp, pseudo(&from, &to, tcp_len)))
}

fn pseudo(from: &[u8], to: &[u8], tcp_len: u16) -> u64 {
    sum(from) + sum(to) + sum(&tcp_len.to_be_bytes()) + sum(&[0, PROTOCOL_TCP])
}

/// Adds words in memory's own byte order, which one's complement does not mind (RFC 1071); an odd end is
/// padded with a zero. Lanes, so that the compiler makes vectors of it.
fn sum(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut lanes = [0_u64; 8];
    for block in blocks {
        let (words, _) = block.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    let (pairs, odd) = rest.as_chunks::<2>();
    let rest: u64 = pairs.iter().map(|pair| u64::from(u16::from_ne_bytes(*pair))).sum();
    let odd = odd.first().map_or(0, |&last| u64::from(u16::from_ne_bytes([last, 0])));
    lanes.iter().sum::<u64>() + rest + odd
}

#[expect(clippy::cast_possible_truncation, reason = "the loop has made it fit")]
const fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

const fn complement(sum: u64) -> [u8; 2] {
    (!fold(sum)).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(ipv6: bool) -> Addresses {
        Addresses { ipv6, server_port: 80, client_mac: [2; 6], server_mac: [4; 6] }
    }

    #[test]
    fn what_is_written_is_read() {
        for ipv6 in [false, true] {
            for from in Port::BOTH {
                for (flags, payload) in [(SYN, &b""[..]), (ACK, b"odd"), (ACK | PSH, &[7; 1460])] {
                    let addresses = addresses(ipv6);
                    let segment =
                        Segment { connection: 70_000, from, seq: 0xffff_fff0, ack: 5, flags };
                    let mut frame = vec![0xee; len(&addresses, flags, payload.len())];
                    write(&mut frame, &addresses, segment, payload, None);
                    assert_eq!(read(&addresses, &frame), Ok(Seen { segment, payload }));
                    // Padding is no payload.
                    frame.extend_from_slice(&[9; 6]);
                    assert_eq!(read(&addresses, &frame), Ok(Seen { segment, payload }));
                }
            }
        }
    }

    #[test]
    fn any_flipped_bit_behind_the_ethernet_header_is_noticed() {
        let addresses = addresses(false);
        let segment = Segment { connection: 1, from: Port::A, seq: 1, ack: 2, flags: ACK };
        let mut frame = vec![0; len(&addresses, ACK, 11)];
        write(&mut frame, &addresses, segment, b"hello world", None);
        for at in ETHERNET_LEN..frame.len() {
            for bit in 0..8 {
                frame[at] ^= 1 << bit;
                assert!(read(&addresses, &frame).is_err(), "byte {at} bit {bit}");
                frame[at] ^= 1 << bit;
            }
        }
    }

    #[test]
    fn a_stamp_takes_the_place_of_the_first_bytes_and_is_summed() {
        let addresses = addresses(false);
        let segment = Segment { connection: 1, from: Port::A, seq: 1, ack: 2, flags: ACK };
        let mut frame = vec![0; len(&addresses, ACK, 10)];
        write(&mut frame, &addresses, segment, &[7; 10], Some(0x0102_0304_0506_0708));
        let seen = read(&addresses, &frame).unwrap();
        assert_eq!(stamp(seen.payload), Some(0x0102_0304_0506_0708));
        assert_eq!(seen.payload[8..], [7, 7]);
    }

    #[test]
    fn strangers_are_told_from_broken_ones() {
        let mut arp = [0; 60];
        arp[12..14].copy_from_slice(&[8, 6]);
        assert_eq!(read(&addresses(false), &arp), Err(Doubt::Stranger));
        assert_eq!(read(&addresses(false), &[]), Err(Doubt::Stranger));
    }
}
