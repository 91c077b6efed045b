use crate::Packet;
use crate::checksum::{Sum, same};
use crate::datagram::measured_ipv4;
use crate::link_header::{ethertype, walk};
use crate::parse::{self, protocol};

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

/// Completes the checksum of a TCP segment or UDP datagram of which the sender has only written the sum
/// of the pseudo-header, for its network card to do the rest (Linux's `CHECKSUM_PARTIAL`), where there
/// is no card. Gives whether there was anything to complete. A checksum that is right stays as it is:
/// one in 65536 looks partial, and is completed to what it was.
pub fn complete_partial(frame: &mut [u8]) -> bool {
    let Some(transport) = Transport::of(frame) else { return false };
    let Transport { start, end, field, pseudo } = transport;
    let Some(written) = frame.get(field..).and_then(|rest| rest.first_chunk()).copied() else {
        return false;
    };
    if written == [0, 0] || !same(written, pseudo.folded()) {
        return false;
    }
    let rest = pseudo.bytes(frame.get(start..end).unwrap_or_default());
    // The field was summed too, and counts as zero.
    let [a, b] = written;
    let complete = match rest.bytes(&[!a, !b]).complement() {
        // To UDP zero means none (RFC 768).
        [0, 0] => [0xff, 0xff],
        complete => complete,
    };
    if let Some(field) = frame.get_mut(field..field + 2) {
        field.copy_from_slice(&complete);
    }
    complete != written
}

/// A whole TCP segment or UDP datagram in a frame.
struct Transport {
    start: usize,
    end: usize,
    /// Where its checksum is.
    field: usize,
    /// The sum of its pseudo-header.
    pseudo: Sum,
}

impl Transport {
    fn of(frame: &[u8]) -> Option<Self> {
        let link = walk(frame)?;
        let ip = frame.get(link.end..)?;
        let (number, header_len, total_len, addresses) = match link.ethertype {
            ethertype::IPV4 => {
                let packet = measured_ipv4(ip).ok()?;
                (!packet.more_frags() && packet.frag_offset() == 0).then_some(())?;
                let header_len = usize::from(packet.header_len());
                (packet.next_header().into(), header_len, packet.total_len().into(), 12..20)
            }
            ethertype::IPV6 => {
                let packet = parse::checked_ipv6(ip).ok()?;
                let chain = parse::unfragmentable(ip.get(..packet.total_len())?).ok()?;
                (chain.protocol, chain.end, packet.total_len(), 8..40)
            }
            _ => return None,
        };
        let field = match number {
            protocol::TCP => 16,
            protocol::UDP => 6,
            _ => return None,
        };
        let len = u32::try_from(total_len.checked_sub(header_len)?).ok()?;
        let pseudo = Sum::default().bytes(ip.get(addresses)?).number(number.into()).number(len);
        let (start, end) = (link.end + header_len, link.end + total_len);
        (start + field + 2 <= end).then_some(Self { start, end, field: start + field, pseudo })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn udp4(payload: &[u8]) -> Vec<u8> {
        let len = u16::try_from(payload.len()).unwrap();
        let mut frame = vec![2; 12];
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((28 + len).to_be_bytes());
        frame.extend([0, 1, 0, 0, 64, 17, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2, 0, 7, 0, 8]);
        frame.extend((8 + len).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(payload);
        frame
    }

    fn udp6(payload: &[u8]) -> Vec<u8> {
        let len = u16::try_from(payload.len()).unwrap() + 8;
        let mut frame = vec![2; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(len.to_be_bytes());
        frame.extend([17, 64]);
        frame.extend([0xfd; 32]);
        frame.extend([0, 7, 0, 8]);
        frame.extend(len.to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(payload);
        frame
    }

    /// The sum over pseudo-header and datagram, as its receiver has it.
    fn is_intact(frame: &[u8]) -> bool {
        let Transport { start, end, pseudo, .. } = Transport::of(frame).unwrap();
        pseudo.bytes(&frame[start..end]).is_intact()
    }

    #[test]
    fn half_a_sum_is_completed_and_a_whole_one_left_alone() {
        for (mut frame, at) in [(udp4(b"odd length."), 40), (udp6(b"even length."), 60)] {
            let pseudo = Transport::of(&frame).unwrap().pseudo.folded();
            frame[at..at + 2].copy_from_slice(&pseudo);
            assert!(!is_intact(&frame));
            assert!(complete_partial(&mut frame));
            assert!(is_intact(&frame));
            let good = frame.clone();
            assert!(!complete_partial(&mut frame));
            assert_eq!(frame, good);
            // A wrong one is not ours to mend, and none at all stays none.
            for field in [[1, 2], [0, 0]] {
                frame[at..at + 2].copy_from_slice(&field);
                assert!(!complete_partial(&mut frame));
                assert_eq!(frame[at..at + 2], field);
            }
        }
    }

    #[test]
    fn fragments_and_what_is_cut_short_are_left_alone() {
        let mut frame = udp4(b"payload");
        let pseudo = Transport::of(&frame).unwrap().pseudo.folded();
        frame[40..42].copy_from_slice(&pseudo);
        let whole = frame.clone();
        frame[20] = 0x20;
        assert!(!complete_partial(&mut frame));
        for len in 0..whole.len() {
            assert!(!complete_partial(&mut whole[..len].to_vec()));
        }
    }
}
