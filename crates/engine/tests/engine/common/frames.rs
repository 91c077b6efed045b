use std::net::{IpAddr, SocketAddr};

use tollgate_link::Port;

use super::{CLIENT_ISN, SERVER_ISN};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;

pub(crate) const CLIENT: &str = "198.18.0.1:4000";
pub(crate) const SERVER: &str = "198.18.0.2:80";

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A TCP segment to be written.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) from_client: bool,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) payload: Vec<u8>,
    pub(crate) vlans: Vec<u16>,
    pub(crate) ttl: u8,
    pub(crate) options: Vec<u8>,
}

/// What is read of a frame that came out: enough to tell two packets apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) port: Port,
    pub(crate) source: SocketAddr,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
    pub(crate) vlans: Vec<u16>,
    pub(crate) ttl: u8,
}

impl Frame {
    /// From the client, with numbers relative to both ISNs.
    pub(crate) fn client(seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Self {
        Self {
            from_client: true,
            client: CLIENT.parse().unwrap(),
            server: SERVER.parse().unwrap(),
            seq: CLIENT_ISN.wrapping_add(seq),
            ack: if flags & ACK == 0 { 0 } else { SERVER_ISN.wrapping_add(ack) },
            flags,
            window: 60_000,
            urgent: 0,
            payload: payload.to_vec(),
            vlans: Vec::new(),
            ttl: 63,
            options: Vec::new(),
        }
    }

    /// From the server.
    pub(crate) fn server(seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Self {
        Self {
            from_client: false,
            seq: SERVER_ISN.wrapping_add(seq),
            ack: if flags & ACK == 0 { 0 } else { CLIENT_ISN.wrapping_add(ack) },
            ttl: 57,
            ..Self::client(0, 0, flags, payload)
        }
    }

    pub(crate) fn between(mut self, client: &str, server: &str) -> Self {
        self.client = client.parse().unwrap();
        self.server = server.parse().unwrap();
        self
    }

    pub(crate) fn vlans(mut self, vlans: &[u16]) -> Self {
        self.vlans = vlans.to_vec();
        self
    }

    /// Clients are at A, servers at B.
    pub(crate) fn port(&self) -> Port {
        if self.from_client { Port::A } else { Port::B }
    }

    /// What its sender is told in the other end's name while this waits behind the gap at `gap`.
    pub(crate) fn asked(&self, gap: u32) -> Seen {
        let (seq, ack) = match self.from_client {
            true => (self.ack.wrapping_sub(SERVER_ISN), gap),
            false => (self.ack.wrapping_sub(CLIENT_ISN), gap),
        };
        let answer = if self.from_client { Self::server } else { Self::client };
        Self { vlans: self.vlans.clone(), ..answer(seq, ack, ACK, b"") }.crossed()
    }

    /// How it looks at the other port if nothing has changed it.
    pub(crate) fn crossed(&self) -> Seen {
        Seen::read(self.port().peer(), &self.bytes())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = self.ethernet();
        let tcp = self.tcp();
        let (from, to) = self.ends();
        match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut ip = vec![0x45, 0, 0, 0, 0, 7, 0x40, 0, self.ttl, 6, 0, 0];
                ip[2..4].copy_from_slice(&(20 + tcp.len() as u16).to_be_bytes());
                ip.extend(from.octets());
                ip.extend(to.octets());
                let sum = checksum(0, &ip);
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
                out.extend(ip);
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                out.extend([0x6a, 0x51, 0x23, 0x45]);
                out.extend((tcp.len() as u16).to_be_bytes());
                out.extend([6, self.ttl]);
                out.extend(from.octets());
                out.extend(to.octets());
            }
            _ => panic!("one version"),
        }
        out.extend(tcp);
        out.resize(out.len().max(60), 0);
        out
    }

    /// The same as IPv4 fragments with at most `size` bytes (a multiple of 8) of TCP each.
    pub(crate) fn fragments(&self, size: usize, id: u16) -> Vec<Vec<u8>> {
        let tcp = self.tcp();
        let whole = self.bytes();
        let ethernet = self.ethernet();
        let mut out = Vec::new();
        for (number, piece) in tcp.chunks(size).enumerate() {
            let mut ip = whole[ethernet.len()..ethernet.len() + 20].to_vec();
            let more = (number + 1) * size < tcp.len();
            let field = (number * size / 8) as u16 | if more { 0x2000 } else { 0 };
            ip[2..4].copy_from_slice(&(20 + piece.len() as u16).to_be_bytes());
            ip[4..6].copy_from_slice(&id.to_be_bytes());
            ip[6..8].copy_from_slice(&field.to_be_bytes());
            ip[10..12].copy_from_slice(&[0, 0]);
            let sum = checksum(0, &ip);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
            let mut frame = ethernet.clone();
            frame.extend(ip);
            frame.extend(piece);
            out.push(frame);
        }
        out
    }

    /// The ICMP error that a router beyond us sends back for it, with an MTU of 1280: an IP header and
    /// eight bytes are quoted.
    pub(crate) fn icmp_error(&self, kind: u8) -> Vec<u8> {
        let link = self.ethernet().len();
        let mut out = Self { from_client: !self.from_client, ..self.clone() }.ethernet();
        let whole = self.bytes();
        let v4 = self.client.is_ipv4();
        let quoted = &whole[link..link + if v4 { 28 } else { 48 }];
        let mut message = vec![kind, 4, 0, 0, 0, 0, 5, 0];
        message.extend(quoted);
        let len = message.len() as u16;
        let start = if v4 {
            let mut ip = vec![0x45, 0, 0, 0, 0, 7, 0, 0, 61, 1, 0, 0, 198, 18, 0, 99];
            ip[2..4].copy_from_slice(&(20 + len).to_be_bytes());
            ip.extend(&quoted[12..16]);
            let sum = checksum(0, &ip);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
            out.extend(ip);
            0
        } else {
            out.extend([0x60, 0, 0, 0]);
            out.extend(len.to_be_bytes());
            out.extend([58, 61]);
            let (router, to) = ("fd00::99".parse().unwrap(), self.ends().0.ip());
            for address in [router, to] {
                let IpAddr::V6(address) = address else { panic!("IPv6") };
                out.extend(address.octets());
            }
            // The pseudo-header counts TCP's number, ICMPv6 has another.
            pseudo_header(router, to, message.len()) + 58 - 6
        };
        let sum = checksum(start, &message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        out.extend(message);
        out
    }

    fn ends(&self) -> (SocketAddr, SocketAddr) {
        if self.from_client { (self.client, self.server) } else { (self.server, self.client) }
    }

    fn ethernet(&self) -> Vec<u8> {
        let macs =
            if self.from_client { [SERVER_MAC, CLIENT_MAC] } else { [CLIENT_MAC, SERVER_MAC] };
        let mut out = macs.concat();
        for vlan in &self.vlans {
            out.extend([0x81, 0]);
            out.extend(vlan.to_be_bytes());
        }
        out.extend(if self.client.is_ipv4() { [8, 0] } else { [0x86, 0xdd] });
        out
    }

    fn tcp(&self) -> Vec<u8> {
        let (from, to) = self.ends();
        let mut out = Vec::new();
        out.extend(from.port().to_be_bytes());
        out.extend(to.port().to_be_bytes());
        out.extend(self.seq.to_be_bytes());
        out.extend(self.ack.to_be_bytes());
        out.extend([(5 + self.options.len() as u8 / 4) << 4, self.flags]);
        out.extend(self.window.to_be_bytes());
        out.extend([0; 2]);
        out.extend(self.urgent.to_be_bytes());
        out.extend(&self.options);
        out.extend(&self.payload);
        let sum = checksum(pseudo_header(from.ip(), to.ip(), out.len()), &out);
        out[16..18].copy_from_slice(&sum.to_be_bytes());
        out
    }
}

impl Seen {
    /// Reads a frame that came out of `port`, and checks both of its checksums.
    pub(crate) fn read(port: Port, bytes: &[u8]) -> Self {
        let mut at = 12;
        let mut vlans = Vec::new();
        while bytes[at..at + 2] == [0x81, 0] {
            vlans.push(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            at += 4;
        }
        let ip = &bytes[at + 2..];
        let (from, to, ttl, tcp) = if ip[0] >> 4 == 4 {
            assert_eq!(checksum(0, &ip[..20]), 0, "IPv4 header checksum of {ip:?}");
            let from = <[u8; 4]>::try_from(&ip[12..16]).unwrap();
            let to = <[u8; 4]>::try_from(&ip[16..20]).unwrap();
            let end = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
            (IpAddr::from(from), IpAddr::from(to), ip[8], &ip[20..end])
        } else {
            let from = <[u8; 16]>::try_from(&ip[8..24]).unwrap();
            let to = <[u8; 16]>::try_from(&ip[24..40]).unwrap();
            let end = 40 + usize::from(u16::from_be_bytes([ip[4], ip[5]]));
            (IpAddr::from(from), IpAddr::from(to), ip[7], &ip[40..end])
        };
        assert_eq!(checksum(pseudo_header(from, to, tcp.len()), tcp), 0, "TCP checksum");
        Self {
            port,
            source: SocketAddr::new(from, u16::from_be_bytes([tcp[0], tcp[1]])),
            seq: u32::from_be_bytes(tcp[4..8].try_into().unwrap()),
            ack: u32::from_be_bytes(tcp[8..12].try_into().unwrap()),
            flags: tcp[13],
            payload: tcp[usize::from(tcp[12] >> 4) * 4..].to_vec(),
            vlans,
            ttl,
        }
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

fn pseudo_header(from: IpAddr, to: IpAddr, len: usize) -> u32 {
    let sum = |bytes: &[u8]| {
        bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u32>()
    };
    let addresses = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => sum(&from.octets()) + sum(&to.octets()),
        (IpAddr::V6(from), IpAddr::V6(to)) => sum(&from.octets()) + sum(&to.octets()),
        _ => panic!("one version"),
    };
    addresses + 6 + len as u32
}

fn checksum(start: u32, bytes: &[u8]) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
