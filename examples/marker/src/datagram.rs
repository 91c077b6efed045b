//! As much of IPv4 and UDP as these rules need: fields where they lie, and nothing that panics on what
//! comes from the wire.

/// A whole IPv4 datagram in an Ethernet frame without VLAN tags.
#[derive(Debug)]
pub(crate) struct Ipv4<'a> {
    header: &'a mut [u8],
    payload: &'a [u8],
}

impl<'a> Ipv4<'a> {
    pub(crate) fn of(frame: &'a mut [u8]) -> Option<Self> {
        if frame.get(12..14)? != [0x08, 0x00] {
            return None;
        }
        let datagram = frame.get_mut(14..)?;
        let header_len = usize::from(*datagram.first()? & 0x0f) * 4;
        if header_len < 20 {
            return None;
        }
        let (header, payload) = datagram.split_at_mut_checked(header_len)?;
        Some(Self { header, payload })
    }

    pub(crate) fn protocol(&self) -> u8 {
        self.header.get(9).copied().unwrap_or(0)
    }

    pub(crate) fn destination(&self) -> Option<[u8; 4]> {
        self.header.get(16..20)?.first_chunk().copied()
    }

    /// Source and destination port of TCP or UDP.
    pub(crate) fn ports(&self) -> Option<[u16; 2]> {
        let &[a, b, c, d] = self.payload.first_chunk()?;
        Some([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])])
    }

    /// Sets the class of service, and the header's checksum with it.
    pub(crate) fn set_class(&mut self, class: u8) {
        if let Some(field) = self.header.get_mut(1) {
            *field = class;
        }
        if let Some(field) = self.header.get_mut(10..12) {
            field.fill(0);
        }
        let checksum = checksum(self.header);
        if let Some(field) = self.header.get_mut(10..12) {
            field.copy_from_slice(&checksum);
        }
    }
}

/// The answer of a router that a port cannot be reached (RFC 792): as a frame, from where the datagram in
/// `frame` was sent to.
pub(crate) fn unreachable(frame: &[u8]) -> Option<Vec<u8>> {
    let (to, from, ip) = (frame.get(0..6)?, frame.get(6..12)?, frame.get(14..)?);
    let quoted = ip.get(..ip.len().min(28))?;
    let mut message = vec![3, 3, 0, 0, 0, 0, 0, 0];
    message.extend(quoted);
    let sum = checksum(&message);
    message.get_mut(2..4)?.copy_from_slice(&sum);

    let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0];
    let total_len = u16::try_from(20 + message.len()).ok()?;
    header.get_mut(2..4)?.copy_from_slice(&total_len.to_be_bytes());
    header.extend([ip.get(16..20)?, ip.get(12..16)?].concat());
    let sum = checksum(&header);
    header.get_mut(10..12)?.copy_from_slice(&sum);
    Some([from, to, &[0x08, 0x00], &header, &message].concat())
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let word = |pair: &[u8]| match *pair {
        [a, b] => u32::from(u16::from_be_bytes([a, b])),
        [a] => u32::from(u16::from_be_bytes([a, 0])),
        _ => 0,
    };
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [.., a, b] = (!sum).to_be_bytes();
    [a, b]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_any_length_are_read_without_a_panic() {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x4f]);
        frame.resize(100, 0xff);
        for len in 0..frame.len() {
            let mut cut = frame[..len].to_vec();
            drop(unreachable(&cut));
            if let Some(mut ip) = Ipv4::of(&mut cut) {
                ip.set_class(1);
                let _ = (ip.protocol(), ip.destination(), ip.ports());
            }
        }
    }

    #[test]
    fn a_header_with_a_new_class_sums_up() {
        let mut frame = vec![0; 12];
        frame
            .extend([8, 0, 0x45, 0, 0, 20, 0, 1, 0, 0, 64, 17, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2]);
        Ipv4::of(&mut frame).unwrap().set_class(0x28);
        assert_eq!(frame[15], 0x28);
        assert_eq!(checksum(&frame[14..]), [0, 0]);
    }
}
