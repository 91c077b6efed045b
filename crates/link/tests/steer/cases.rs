//! The frames: a description, the bytes, and what they are to the program.

pub(crate) const TCP: u8 = 6;
pub(crate) const ICMP: u8 = 1;
pub(crate) const UDP: u8 = 17;
pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const ESP: u8 = 50;
pub(crate) const AUTHENTICATION: u8 = 51;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const NO_NEXT_HEADER: u8 = 59;
pub(crate) const DESTINATION: u8 = 60;

pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const VLAN: u16 = 0x8100;
pub(crate) const SERVICE_VLAN: u16 = 0x88a8;

/// What a frame is to the program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Tcp,
    Other,
    Malformed,
}

pub(crate) fn ethernet(tags: &[u16], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 42]);
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

fn ipv4_with(first: u8, fragment: u16, protocol: u8) -> Vec<u8> {
    let mut packet = vec![0; usize::from(first & 15).max(5) * 4 + 20];
    packet[0] = first;
    packet[3] = 40;
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    packet[8] = 64;
    packet[9] = protocol;
    packet
}

pub(crate) fn ipv4(protocol: u8) -> Vec<u8> {
    ipv4_with(0x45, 0, protocol)
}

/// IPv6, a chain of (type, the header's bytes after its first), and 20 bytes of `last`.
fn ipv6(chain: &[(u8, Vec<u8>)], last: u8) -> Vec<u8> {
    let mut packet = vec![0; 40];
    packet[0] = 0x60;
    packet[7] = 64;
    let nexts = chain.iter().map(|(kind, _)| *kind).chain([last]);
    let mut place = 6;
    for (next, bytes) in nexts.zip(chain.iter().map(|(_, bytes)| Some(bytes)).chain([None])) {
        packet[place] = next;
        place = packet.len();
        if let Some(bytes) = bytes {
            packet.push(0);
            packet.extend(bytes);
        }
    }
    packet.extend([0; 20]);
    packet
}

/// An option or routing header of `units` times 8 bytes.
fn extension(kind: u8, units: usize) -> (u8, Vec<u8>) {
    let mut bytes = vec![0; units * 8 - 1];
    bytes[0] = u8::try_from(units - 1).unwrap();
    (kind, bytes)
}

/// One of 24 bytes: its length field counts words, less two.
fn authentication() -> (u8, Vec<u8>) {
    let mut bytes = vec![0; 23];
    bytes[0] = 4;
    (AUTHENTICATION, bytes)
}

/// A fragment header with this offset (in 8 bytes) and more to come.
fn fragment(offset: u16) -> (u8, Vec<u8>) {
    let [high, low] = (offset << 3 | 1).to_be_bytes();
    (FRAGMENT, vec![0, high, low, 0, 0, 0, 7])
}

/// A fragment header of a datagram that is whole (RFC 6946).
fn whole_fragment() -> (u8, Vec<u8>) {
    (FRAGMENT, vec![0, 0, 0, 0, 0, 0, 7])
}

/// All of them.
pub(crate) fn cases() -> Vec<(&'static str, Vec<u8>, Kind)> {
    let mut cases = ipv4_cases();
    cases.extend(ipv6_cases());
    cases.extend(ipv6_fragment_cases());
    cases.extend(icmp_cases());
    cases.extend(other_cases());
    cases
}

fn ipv4_cases() -> Vec<(&'static str, Vec<u8>, Kind)> {
    use Kind::{Malformed, Other, Tcp};
    let plain = |packet: Vec<u8>| ethernet(&[], IPV4, &packet);
    vec![
        ("IPv4 TCP", plain(ipv4(TCP)), Tcp),
        ("IPv4 TCP with options", plain(ipv4_with(0x4f, 0, TCP)), Tcp),
        ("IPv4 UDP", plain(ipv4(UDP)), Other),
        ("IPv4 ICMP", plain(ipv4(1)), Other),
        ("IPv6 in IPv4", plain(ipv4(41)), Other),
        ("first fragment of TCP", plain(ipv4_with(0x45, 0x2000, TCP)), Tcp),
        ("later fragment of TCP", plain(ipv4_with(0x45, 0x2010, TCP)), Tcp),
        ("last fragment of TCP", plain(ipv4_with(0x45, 0x0010, TCP)), Tcp),
        ("first fragment of UDP", plain(ipv4_with(0x45, 0x2000, UDP)), Other),
        ("later fragment of UDP", plain(ipv4_with(0x45, 0x2010, UDP)), Other),
        ("IPv4 header of 16 bytes", plain(ipv4_with(0x44, 0, TCP)), Malformed),
        ("version 5 as IPv4", plain(ipv4_with(0x55, 0, TCP)), Malformed),
        ("version 5 as IPv4, UDP", plain(ipv4_with(0x55, 0, UDP)), Malformed),
        ("IPv4 cut in its header", plain(ipv4(TCP)[..19].to_vec()), Malformed),
        ("IPv4 cut after its header", plain(ipv4(TCP)[..20].to_vec()), Tcp),
        ("one tag, TCP", ethernet(&[VLAN], IPV4, &ipv4(TCP)), Tcp),
        ("one tag, UDP", ethernet(&[VLAN], IPV4, &ipv4(UDP)), Other),
        ("one service tag, TCP", ethernet(&[SERVICE_VLAN], IPV4, &ipv4(TCP)), Tcp),
        ("two tags, TCP", ethernet(&[SERVICE_VLAN, VLAN], IPV4, &ipv4(TCP)), Tcp),
        ("two equal tags, TCP", ethernet(&[VLAN, VLAN], IPV4, &ipv4(TCP)), Tcp),
        ("three tags, TCP", ethernet(&[VLAN; 3], IPV4, &ipv4(TCP)), Other),
        ("cut in its tag", ethernet(&[VLAN], IPV4, &[])[..17].to_vec(), Malformed),
        ("cut in its second tag", ethernet(&[VLAN; 2], IPV4, &[])[..20].to_vec(), Malformed),
    ]
}

fn ipv6_cases() -> Vec<(&'static str, Vec<u8>, Kind)> {
    use Kind::{Malformed, Other, Tcp};
    let plain = |packet: Vec<u8>| ethernet(&[], IPV6, &packet);
    let chain = |chain: &[(u8, Vec<u8>)], last| ethernet(&[], IPV6, &ipv6(chain, last));
    let hops = |count| vec![extension(DESTINATION, 1); count];
    let mut version = ipv6(&[], TCP);
    version[0] = 0x40;
    let beyond = chain(&[(HOP_BY_HOP, vec![200, 0, 0, 0, 0, 0, 0])], TCP);
    vec![
        ("IPv6 TCP", chain(&[], TCP), Tcp),
        ("IPv6 UDP", chain(&[], UDP), Other),
        ("neighbour discovery", chain(&[], ICMPV6), Other),
        ("MLD behind hop-by-hop", chain(&[extension(HOP_BY_HOP, 1)], ICMPV6), Other),
        ("hop-by-hop, TCP", chain(&[extension(HOP_BY_HOP, 1)], TCP), Tcp),
        ("destination, TCP", chain(&[extension(DESTINATION, 3)], TCP), Tcp),
        ("routing, TCP", chain(&[extension(ROUTING, 5)], TCP), Tcp),
        ("authentication, TCP", chain(&[authentication()], TCP), Tcp),
        ("authentication, UDP", chain(&[authentication()], UDP), Other),
        (
            "four of them, TCP",
            chain(
                &[
                    extension(HOP_BY_HOP, 1),
                    extension(ROUTING, 3),
                    authentication(),
                    extension(DESTINATION, 2),
                ],
                TCP,
            ),
            Tcp,
        ),
        ("eight, TCP", chain(&hops(8), TCP), Tcp),
        ("eight, UDP", chain(&hops(8), UDP), Other),
        ("nine, TCP", chain(&hops(9), TCP), Malformed),
        ("nine, UDP", chain(&hops(9), UDP), Malformed),
        ("longer than its frame, and another", beyond, Tcp),
        (
            "a long one, then a cut one",
            {
                let mut frame = chain(&[extension(HOP_BY_HOP, 4), extension(DESTINATION, 1)], TCP);
                frame.truncate(14 + 40 + 32 + 1);
                frame
            },
            Malformed,
        ),
        (
            "longest, beyond its frame, then options",
            { chain(&[(HOP_BY_HOP, vec![255; 7]), extension(DESTINATION, 1)], TCP) },
            Malformed,
        ),
        ("ESP", chain(&[], ESP), Other),
        ("no next header", chain(&[], NO_NEXT_HEADER), Other),
        ("version 4 as IPv6", plain(version), Malformed),
        ("IPv6 cut in its header", chain(&[], TCP)[..14 + 39].to_vec(), Malformed),
        ("IPv6 cut after its header", chain(&[], TCP)[..14 + 40].to_vec(), Tcp),
        ("one tag, IPv6 TCP", ethernet(&[VLAN], IPV6, &ipv6(&[], TCP)), Tcp),
        ("two tags, IPv6 TCP", ethernet(&[SERVICE_VLAN, VLAN], IPV6, &ipv6(&[], TCP)), Tcp),
    ]
}

fn ipv6_fragment_cases() -> Vec<(&'static str, Vec<u8>, Kind)> {
    use Kind::{Malformed, Other, Tcp};
    let chain = |chain: &[(u8, Vec<u8>)], last| ethernet(&[], IPV6, &ipv6(chain, last));
    vec![
        ("first fragment of TCP", chain(&[fragment(0)], TCP), Tcp),
        ("later fragment of TCP", chain(&[fragment(9)], TCP), Tcp),
        ("first fragment of UDP", chain(&[fragment(0)], UDP), Other),
        ("later fragment of UDP", chain(&[fragment(9)], UDP), Other),
        (
            "first fragment, options, TCP",
            chain(&[fragment(0), extension(DESTINATION, 1)], TCP),
            Tcp,
        ),
        (
            "first fragment, options, UDP",
            chain(&[fragment(0), extension(DESTINATION, 1)], UDP),
            Tcp,
        ),
        ("whole in one fragment, TCP", chain(&[whole_fragment()], TCP), Tcp),
        (
            "whole in one, options, TCP",
            chain(&[whole_fragment(), extension(DESTINATION, 1)], TCP),
            Tcp,
        ),
        (
            "whole in one, options, UDP",
            chain(&[whole_fragment(), extension(DESTINATION, 1)], UDP),
            Other,
        ),
        ("later fragment of who knows", chain(&[fragment(9), extension(DESTINATION, 1)], UDP), Tcp),
        ("hop-by-hop, fragment of TCP", chain(&[extension(HOP_BY_HOP, 1), fragment(9)], TCP), Tcp),
        ("cut in its fragment header", chain(&[fragment(0)], TCP)[..60].to_vec(), Malformed),
    ]
}

/// An ICMP message: its header, and the first `len` bytes of the packet that it quotes.
fn message(kind: u8, quoted: &[u8], len: usize) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    message.extend(&quoted[..len]);
    message
}

/// In IPv4 with this first byte and fragment word.
fn icmpv4(first: u8, fragment: u16, message: &[u8]) -> Vec<u8> {
    let mut packet = ipv4_with(first, fragment, ICMP);
    packet.truncate(usize::from(first & 15) * 4);
    packet.extend(message);
    ethernet(&[], IPV4, &packet)
}

/// In IPv6 behind this chain.
fn icmpv6(headers: &[(u8, Vec<u8>)], message: &[u8]) -> Vec<u8> {
    let mut packet = ipv6(headers, ICMPV6);
    packet.truncate(packet.len() - 20);
    packet.extend(message);
    ethernet(&[], IPV6, &packet)
}

pub(crate) fn icmp_cases() -> Vec<(&'static str, Vec<u8>, Kind)> {
    use Kind::{Other, Tcp};
    let (tcp, udp) = (ipv4(TCP), ipv4(UDP));
    let (tcp6, udp6) = (ipv6(&[], TCP), ipv6(&[], UDP));
    let behind = ipv6(&[extension(DESTINATION, 1)], UDP);
    let more = 0x2000;
    vec![
        ("unreachable about TCP", icmpv4(0x45, 0, &message(3, &tcp, 28)), Tcp),
        ("quench about TCP", icmpv4(0x45, 0, &message(4, &tcp, 28)), Tcp),
        ("redirect about TCP", icmpv4(0x45, 0, &message(5, &tcp, 28)), Tcp),
        ("time exceeded about TCP", icmpv4(0x45, 0, &message(11, &tcp, 28)), Tcp),
        ("parameter problem about TCP", icmpv4(0x45, 0, &message(12, &tcp, 28)), Tcp),
        ("unreachable about TCP, with options", icmpv4(0x4f, 0, &message(3, &tcp, 28)), Tcp),
        ("unreachable about TCP, no ports", icmpv4(0x45, 0, &message(3, &tcp, 20)), Tcp),
        ("unreachable about nobody knows what", icmpv4(0x45, 0, &message(3, &tcp, 19)), Other),
        ("unreachable about UDP", icmpv4(0x45, 0, &message(3, &udp, 28)), Other),
        ("echo that quotes TCP", icmpv4(0x45, 0, &message(8, &tcp, 28)), Other),
        ("ICMP cut in its header", icmpv4(0x45, 0, &[3, 1, 0, 0, 0, 0, 0]), Other),
        ("first fragment, about TCP", icmpv4(0x45, more, &message(3, &tcp, 28)), Tcp),
        ("first fragment, quote hidden", icmpv4(0x45, more, &message(3, &tcp, 16)), Tcp),
        ("first fragment, type hidden", icmpv4(0x45, more, &[3, 1, 0, 0, 0, 0, 0]), Tcp),
        ("first fragment, about UDP", icmpv4(0x45, more, &message(3, &udp, 28)), Other),
        ("later fragment of ICMP", icmpv4(0x45, 1, &message(3, &tcp, 28)), Other),
        ("v6 unreachable about TCP", icmpv6(&[], &message(1, &tcp6, 48)), Tcp),
        ("v6 too big about TCP", icmpv6(&[], &message(2, &tcp6, 60)), Tcp),
        ("v6 time exceeded about TCP", icmpv6(&[], &message(3, &tcp6, 48)), Tcp),
        ("v6 parameter problem about TCP", icmpv6(&[], &message(4, &tcp6, 40)), Tcp),
        ("v6 unassigned error about TCP", icmpv6(&[], &message(127, &tcp6, 48)), Tcp),
        ("v6 echo that quotes TCP", icmpv6(&[], &message(128, &tcp6, 48)), Other),
        ("v6 too big about UDP", icmpv6(&[], &message(2, &udp6, 48)), Other),
        ("v6 too big about options and UDP", icmpv6(&[], &message(2, &behind, 56)), Tcp),
        ("v6 too big, quote hidden", icmpv6(&[], &message(2, &tcp6, 39)), Other),
        (
            "v6 too big behind options",
            icmpv6(&[extension(HOP_BY_HOP, 1), authentication()], &message(2, &tcp6, 48)),
            Tcp,
        ),
        ("v6 whole in one fragment", icmpv6(&[whole_fragment()], &message(2, &tcp6, 48)), Tcp),
        ("v6 first fragment, about TCP", icmpv6(&[fragment(0)], &message(2, &tcp6, 48)), Tcp),
        ("v6 first fragment, quote hidden", icmpv6(&[fragment(0)], &message(2, &tcp6, 8)), Tcp),
        ("v6 first fragment, about UDP", icmpv6(&[fragment(0)], &message(2, &udp6, 48)), Other),
        ("v6 later fragment of ICMP", icmpv6(&[fragment(9)], &message(2, &tcp6, 48)), Other),
    ]
}

fn other_cases() -> Vec<(&'static str, Vec<u8>, Kind)> {
    use Kind::Other;
    vec![
        ("ARP", ethernet(&[], 0x0806, &[0; 28]), Other),
        ("ARP in a VLAN", ethernet(&[VLAN], 0x0806, &[0; 28]), Other),
        ("LLDP", ethernet(&[], 0x88cc, &[0; 46]), Other),
        ("802.3 with a length", ethernet(&[], 38, &[0; 46]), Other),
        ("MPLS", ethernet(&[], 0x8847, &ipv4(TCP)), Other),
        ("nothing but a header", ethernet(&[], 0x9000, &[]), Other),
    ]
}

/// With ports and flags that a parser can believe, and [`sized`].
pub(crate) fn whole(mut frame: Vec<u8>) -> Vec<u8> {
    let tcp = frame.len().saturating_sub(20);
    if ip_at(&frame) + 40 <= frame.len() {
        frame[tcp..tcp + 4].copy_from_slice(&[0x30, 0x39, 0, 80]);
        (frame[tcp + 12], frame[tcp + 13]) = (0x50, 0x10);
    }
    sized(frame)
}

fn ip_at(frame: &[u8]) -> usize {
    let mut at = 12;
    while at + 4 <= frame.len() && matches!((frame[at], frame[at + 1]), (0x81, 0) | (0x88, 0xa8)) {
        at += 4;
    }
    at + 2
}

/// With lengths and an IPv4 header checksum that a parser can believe.
pub(crate) fn sized(mut frame: Vec<u8>) -> Vec<u8> {
    let ip = ip_at(&frame);
    if ip + 40 > frame.len() {
        return frame;
    }
    let len = u16::try_from(frame.len() - ip).unwrap();
    match frame[ip] >> 4 {
        4 => {
            frame[ip + 2..ip + 4].copy_from_slice(&len.to_be_bytes());
            frame[ip + 10..ip + 12].fill(0);
            let header = ip..(ip + usize::from(frame[ip] & 15) * 4).min(frame.len());
            let sum: u32 = frame[header]
                .chunks(2)
                .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
                .sum();
            let folded = (sum & 0xffff) + (sum >> 16);
            let folded = u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
            frame[ip + 10..ip + 12].copy_from_slice(&(!folded).to_be_bytes());
        }
        6 => frame[ip + 4..ip + 6].copy_from_slice(&(len - 40).to_be_bytes()),
        _ => {}
    }
    frame
}
