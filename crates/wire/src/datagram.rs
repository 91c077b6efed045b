use smoltcp::wire::Ipv4Packet;

use crate::Malformed;
use crate::link_header::{ethertype, walk};
use crate::parse::{self, protocol};

/// What a frame is to whoever looks at IP datagrams of any protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// No IP at all.
    NoIp,
    /// A whole one. Its lengths are right; nothing else was looked at, its checksums neither.
    Whole,
    /// A fragment of one.
    Fragment,
    /// Meant to be one, but its lengths contradict each other or the frame.
    Broken(Malformed),
}

impl Datagram {
    /// Reads an Ethernet frame.
    #[must_use]
    pub fn of(frame: &[u8]) -> Self {
        let Some(link) = walk(frame) else { return Self::NoIp };
        let bytes = frame.get(link.end..).unwrap_or_default();
        match link.ethertype {
            ethertype::IPV4 => ipv4(bytes),
            ethertype::IPV6 => ipv6(bytes),
            _ => Self::NoIp,
        }
    }
}

fn ipv4(bytes: &[u8]) -> Datagram {
    match measured_ipv4(bytes) {
        Err(why) => Datagram::Broken(why),
        Ok(packet) if packet.more_frags() || packet.frag_offset() != 0 => Datagram::Fragment,
        Ok(_) => Datagram::Whole,
    }
}

fn ipv6(bytes: &[u8]) -> Datagram {
    let packet = match parse::checked_ipv6(bytes) {
        Ok(packet) => packet,
        Err(why) => return Datagram::Broken(why),
    };
    let datagram = bytes.get(..packet.total_len()).unwrap_or_default();
    match parse::unfragmentable(datagram) {
        Ok(chain) if chain.protocol == protocol::FRAGMENT && !parse::is_atomic(datagram, chain) => {
            Datagram::Fragment
        }
        // Broken extension headers are still a datagram's: its lengths are right.
        Ok(_) | Err(_) => Datagram::Whole,
    }
}

/// An IPv4 header whose version and lengths are right; the checksum is not looked at.
pub(crate) fn measured_ipv4(bytes: &[u8]) -> Result<Ipv4Packet<&[u8]>, Malformed> {
    let packet = Ipv4Packet::new_checked(bytes).map_err(|_| Malformed::Ipv4)?;
    if packet.version() == 4 { Ok(packet) } else { Err(Malformed::Ipv4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ethertype: u16, datagram: &[u8]) -> Vec<u8> {
        [&[2; 12], &ethertype.to_be_bytes()[..], datagram].concat()
    }

    fn v4(total_len: u16, fragment: u16) -> Vec<u8> {
        let mut header = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0xba, 0xad];
        header.extend([198, 18, 0, 1, 198, 18, 0, 2]);
        header[2..4].copy_from_slice(&total_len.to_be_bytes());
        header[6..8].copy_from_slice(&fragment.to_be_bytes());
        header.extend([7; 16]);
        frame(ethertype::IPV4, &header)
    }

    fn v6(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = vec![0x60, 0, 0, 0, 0, u8::try_from(rest.len()).unwrap(), next, 64];
        header.extend([0xfd; 32]);
        header.extend(rest);
        frame(ethertype::IPV6, &header)
    }

    #[test]
    fn a_datagram_is_whole_whatever_its_checksum() {
        assert_eq!(Datagram::of(&v4(36, 0)), Datagram::Whole);
        assert_eq!(Datagram::of(&v4(36, 0x4000)), Datagram::Whole);
        assert_eq!(Datagram::of(&v6(17, &[0; 8])), Datagram::Whole);
        // An atomic fragment (RFC 6946) is whole, and so is one with a broken chain.
        assert_eq!(Datagram::of(&v6(44, &[17, 0, 0, 0, 0, 0, 0, 1])), Datagram::Whole);
        assert_eq!(Datagram::of(&v6(0, &[17, 9, 0, 0])), Datagram::Whole);
    }

    #[test]
    fn fragments_are_told_by_offset_or_by_more_to_come() {
        assert_eq!(Datagram::of(&v4(36, 0x2000)), Datagram::Fragment);
        assert_eq!(Datagram::of(&v4(36, 1)), Datagram::Fragment);
        assert_eq!(Datagram::of(&v6(44, &[17, 0, 0, 1, 0, 0, 0, 1])), Datagram::Fragment);
        assert_eq!(Datagram::of(&v6(44, &[17, 0, 0, 8, 0, 0, 0, 1])), Datagram::Fragment);
    }

    #[test]
    fn lengths_that_contradict_are_broken_and_other_protocols_no_ip() {
        assert_eq!(Datagram::of(&v4(37, 0)), Datagram::Broken(Malformed::Ipv4));
        assert_eq!(Datagram::of(&v4(19, 0)), Datagram::Broken(Malformed::Ipv4));
        let mut long = v6(17, &[0; 8]);
        long[19] = 9;
        assert_eq!(Datagram::of(&long), Datagram::Broken(Malformed::Ipv6));
        assert_eq!(Datagram::of(&frame(ethertype::ARP, &[0; 28])), Datagram::NoIp);
        assert_eq!(Datagram::of(&[0; 13]), Datagram::NoIp);
    }
}
