use std::net::Ipv6Addr;

/// `198.18.0.1` to `198.18.0.2`.
pub(crate) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    let mut ip = vec![0x45, 0, 0, 0, 0, 9, 0, 0, 64, protocol, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2];
    ip[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    frame.extend(ip);
    frame.extend(payload);
    fix(&mut frame);
    frame
}

/// Makes the checksum of an IPv4 header right.
pub(crate) fn fix(frame: &mut [u8]) {
    let end = 14 + usize::from(frame[14] & 15) * 4;
    frame[24..26].fill(0);
    let mut sum: u32 = frame[14..end]
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

fn udp_header(payload: &[u8]) -> Vec<u8> {
    let mut udp = vec![0x10, 0, 0, 53, 0, 0, 0, 0];
    udp[4..6].copy_from_slice(&(8 + payload.len() as u16).to_be_bytes());
    udp.extend(payload);
    udp
}

pub(crate) fn udp(payload: &[u8]) -> Vec<u8> {
    ipv4(17, &udp_header(payload))
}

pub(crate) fn ping() -> Vec<u8> {
    ipv4(1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0])
}

pub(crate) fn udp6(payload: &[u8]) -> Vec<u8> {
    ipv6(17, &udp_header(payload))
}

pub(crate) fn ipv6(next: u8, rest: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0];
    frame.extend((rest.len() as u16).to_be_bytes());
    frame.extend([next, 64]);
    for address in ["fd00::1", "fd00::2"] {
        frame.extend(address.parse::<Ipv6Addr>().unwrap().octets());
    }
    frame.extend(rest);
    frame
}

pub(crate) fn arp() -> Vec<u8> {
    let mut frame = vec![0xff; 12];
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.resize(60, 3);
    frame
}

/// An IPv4 frame in fragments with `sizes` bytes each (multiples of 8), and one with the rest.
pub(crate) fn cut(frame: &[u8], sizes: &[usize], id: u16) -> Vec<Vec<u8>> {
    let (header, mut rest) = frame.split_at(34);
    let mut out = Vec::new();
    let mut at = 0;
    for size in sizes.iter().copied().chain([usize::MAX]) {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        let mut fragment = [header, piece].concat();
        let word = (at / 8) as u16 | if rest.is_empty() { 0 } else { 0x2000 };
        fragment[16..18].copy_from_slice(&(20 + piece.len() as u16).to_be_bytes());
        fragment[18..20].copy_from_slice(&id.to_be_bytes());
        fragment[20..22].copy_from_slice(&word.to_be_bytes());
        fix(&mut fragment);
        out.push(fragment);
        at += piece.len();
        if rest.is_empty() {
            break;
        }
    }
    out
}

/// The same for IPv6.
pub(crate) fn cut6(frame: &[u8], sizes: &[usize], id: u32) -> Vec<Vec<u8>> {
    let (header, mut rest) = frame.split_at(54);
    let mut out = Vec::new();
    let mut at = 0;
    for size in sizes.iter().copied().chain([usize::MAX]) {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        let word = at as u16 | u16::from(!rest.is_empty());
        let mut fragment = header.to_vec();
        fragment[18..20].copy_from_slice(&(8 + piece.len() as u16).to_be_bytes());
        fragment[20] = 44;
        fragment.extend([header[20], 0]);
        fragment.extend(word.to_be_bytes());
        fragment.extend(id.to_be_bytes());
        fragment.extend(piece);
        out.push(fragment);
        at += piece.len();
        if rest.is_empty() {
            break;
        }
    }
    out
}

/// What carries a frame, and its last bytes if they are text.
pub(crate) fn name(frame: &[u8]) -> String {
    let kind = match frame.get(12..14) {
        Some([8, 0]) if frame.len() >= 34 => {
            let word = u16::from_be_bytes([frame[20], frame[21]]);
            match (word & 0x3fff, frame[23]) {
                (0, 6) => "tcp",
                (0, 17) => "udp",
                (0, 1) => "icmp",
                (0, _) => "ip",
                _ => "fragment",
            }
        }
        Some([0x86, 0xdd]) if frame.len() >= 54 => match frame[20] {
            6 => "tcp6",
            17 => "udp6",
            44 => "fragment6",
            _ => "ip6",
        },
        Some([8, 6]) => "arp",
        _ => "other",
    };
    let padding = |byte: &u8| *byte == 0;
    let text = frame.iter().rev().copied().skip_while(padding);
    let text: Vec<u8> = text.take_while(u8::is_ascii_lowercase).collect();
    let text: String = text.into_iter().rev().map(char::from).collect();
    format!("{kind} {text}").trim_end().to_owned()
}
