use crate::link_header::{ethertype, walk};
use crate::{Packet, checksum::Sum};

/// Makes the IPv4 header checksum and the TCP checksum of a frame right, whatever they were: for
/// captures taken on a machine that left them to its card, where they were never on a wire.
/// Whatever else is wrong with the frame stays wrong, and what is not TCP, or a fragment, keeps its
/// transport checksum.
pub fn repair_checksums(frame: &mut [u8]) {
    repair_ipv4(frame);
    if let Ok(mut packet) = Packet::parse(frame) {
        packet.complete_checksum();
    }
}

fn repair_ipv4(frame: &mut [u8]) {
    let Some(link) = walk(frame).filter(|link| link.ethertype == ethertype::IPV4) else { return };
    let Some(ip) = frame.get_mut(link.end..) else { return };
    let Some(&first) = ip.first() else { return };
    // The header length, in words of four bytes (RFC 791 section 3.1).
    let Some(header) = ip.get_mut(..usize::from(first & 0x0f) * 4) else { return };
    if let Some(field) = header.get_mut(10..12) {
        field.fill(0);
        let checksum = Sum::default().bytes(header).complement();
        if let Some(field) = header.get_mut(10..12) {
            field.copy_from_slice(&checksum);
        }
    }
}
