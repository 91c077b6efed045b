//! Many TCP connections that talk in turn: each frame is valid for its connection, in order, with the
//! right checksums, and all that is known from the number of the flow.

use tollgate_link::Port;

const ETHERNET_LEN: usize = 14;
const IP_LEN: usize = 20;
const TCP_LEN: usize = 20;
/// Ethernet, IPv4 and TCP without options: what a frame adds to its payload.
pub const HEADERS_LEN: usize = ETHERNET_LEN + IP_LEN + TCP_LEN;

const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
/// SYN, SYN-ACK, ACK, and an ACK that opens the server's window.
pub const HANDSHAKE_STEPS: usize = 4;
const WINDOW: u16 = u16::MAX;
/// On both SYNs, as Linux has it there (RFC 7323).
const WINDOW_SCALE: [u8; 4] = [1, 3, 3, 7];

/// Sequence number of every client's SYN.
const CLIENT_ISN: u32 = 0xc11e_0000;
/// And of every server's: data of both wraps around sooner or later, which is as it should be.
const SERVER_ISN: u32 = 0x5e12_7e12;

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xc];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x5];
/// Addresses of the network for benchmarks (RFC 2544).
const CLIENT_NET: [u8; 2] = [198, 18];
const SERVER: [u8; 4] = [198, 19, 0, 1];
const SERVER_PORT: u16 = 80;
/// Clients behind one address.
const CLIENT_PORTS: usize = 50_000;
const CLIENT_PORT_FIRST: u16 = 10_000;

/// Where a connection stands: what each side will send next.
#[derive(Clone, Copy, Debug)]
struct Standing {
    client_seq: u32,
    server_seq: u32,
    client_speaks: bool,
}

/// All connections.
#[derive(Debug)]
pub struct Conversations {
    standings: Vec<Standing>,
    payload: Vec<u8>,
    payload_sum: u32,
}

impl Conversations {
    /// `flows` connections, each of whose data frames is `frame_len` bytes long without FCS.
    ///
    /// # Panics
    ///
    /// When `frame_len` has no room for the headers and a byte, or is beyond 1514.
    #[must_use]
    pub fn new(flows: usize, frame_len: usize) -> Self {
        assert!((HEADERS_LEN + 1..=1514).contains(&frame_len), "a frame of {frame_len} bytes");
        let payload: Vec<u8> = (0u8..=255).cycle().take(frame_len - HEADERS_LEN).collect();
        let first =
            Standing { client_seq: CLIENT_ISN, server_seq: SERVER_ISN, client_speaks: true };
        Self { standings: vec![first; flows], payload_sum: sum(0, &payload), payload }
    }

    /// How many there are.
    #[must_use]
    pub const fn flows(&self) -> usize {
        self.standings.len()
    }

    /// Writes the `step`-th frame of a flow's handshake; none after [`HANDSHAKE_STEPS`].
    pub fn handshake(&mut self, flow: usize, step: usize, out: &mut [u8]) -> Option<(Port, usize)> {
        let standing = self.standings.get_mut(flow)?;
        let Standing { client_seq, server_seq, .. } = *standing;
        let (port, seq, ack, flags) = match step {
            0 => (Port::A, client_seq, 0, SYN),
            1 => (Port::B, server_seq, client_seq.wrapping_add(1), SYN | ACK),
            2 => {
                standing.client_seq = client_seq.wrapping_add(1);
                standing.server_seq = server_seq.wrapping_add(1);
                (Port::A, standing.client_seq, standing.server_seq, ACK)
            }
            // The server's first word on its window: those of a SYN are not scaled (RFC 7323 section 2.2).
            3 => (Port::B, server_seq, client_seq, ACK),
            _ => return None,
        };
        let options: &[u8] = if step < 2 { &WINDOW_SCALE } else { &[] };
        Some((port, write(out, flow, port, Tcp { seq, ack, flags, options }, &[], 0)))
    }

    /// Writes the next data frame of a flow. Client and server take turns, and each acknowledges all
    /// that the other has said.
    pub fn data(&mut self, flow: usize, out: &mut [u8]) -> Option<(Port, usize)> {
        let standing = self.standings.get_mut(flow)?;
        let Standing { client_seq, server_seq, client_speaks } = *standing;
        let spoken = u32::try_from(self.payload.len()).ok()?;
        let (port, seq, ack) = if client_speaks {
            standing.client_seq = client_seq.wrapping_add(spoken);
            (Port::A, client_seq, server_seq)
        } else {
            standing.server_seq = server_seq.wrapping_add(spoken);
            (Port::B, server_seq, client_seq)
        };
        standing.client_speaks = !client_speaks;
        let tcp = Tcp { seq, ack, flags: PSH | ACK, options: &[] };
        Some((port, write(out, flow, port, tcp, &self.payload, self.payload_sum)))
    }
}

#[derive(Clone, Copy)]
struct Tcp<'a> {
    seq: u32,
    ack: u32,
    flags: u8,
    /// None, or one word.
    options: &'a [u8],
}

/// Writes a whole frame and gives its length. `payload_sum` is the payload's share of the checksum.
fn write(
    out: &mut [u8],
    flow: usize,
    port: Port,
    tcp: Tcp<'_>,
    payload: &[u8],
    sum_: u32,
) -> usize {
    let client_port =
        u16::try_from(usize::from(CLIENT_PORT_FIRST) + flow % CLIENT_PORTS).unwrap_or(u16::MAX);
    let host = u16::try_from(flow / CLIENT_PORTS + 1).unwrap_or(u16::MAX).to_be_bytes();
    let client = [CLIENT_NET[0], CLIENT_NET[1], host[0], host[1]];
    let (macs, from, to, ports) = match port {
        Port::A => ((SERVER_MAC, CLIENT_MAC), client, SERVER, (client_port, SERVER_PORT)),
        Port::B => ((CLIENT_MAC, SERVER_MAC), SERVER, client, (SERVER_PORT, client_port)),
    };
    let tcp_len = u16::try_from(TCP_LEN + tcp.options.len() + payload.len()).unwrap_or(u16::MAX);
    let mut ip = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    ip[2..4].copy_from_slice(&(tcp_len + 20).to_be_bytes());
    ip[12..16].copy_from_slice(&from);
    ip[16..20].copy_from_slice(&to);
    let ip_sum = fold(sum(0, &ip));
    ip[10..12].copy_from_slice(&ip_sum);

    let mut header = [0; TCP_LEN];
    header[0..2].copy_from_slice(&ports.0.to_be_bytes());
    header[2..4].copy_from_slice(&ports.1.to_be_bytes());
    header[4..8].copy_from_slice(&tcp.seq.to_be_bytes());
    header[8..12].copy_from_slice(&tcp.ack.to_be_bytes());
    header[12..14].copy_from_slice(&[if tcp.options.is_empty() { 0x50 } else { 0x60 }, tcp.flags]);
    header[14..16].copy_from_slice(&WINDOW.to_be_bytes());
    let pseudo = sum(sum(u32::from(tcp_len) + 6, &from), &to);
    let tcp_sum = fold(sum(sum(pseudo, &header), tcp.options) + sum_);
    header[16..18].copy_from_slice(&tcp_sum);

    let parts: [&[u8]; 7] = [&macs.0, &macs.1, &[0x08, 0x00], &ip, &header, tcp.options, payload];
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
fn sum(start: u32, bytes: &[u8]) -> u32 {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums to all ones, as a receiver checks it.
    fn is_whole(bytes: &[u8], pseudo: u32) -> bool {
        fold(sum(pseudo, bytes)) == [0, 0]
    }

    #[test]
    fn frames_carry_the_right_checksums_and_lengths() {
        let mut talk = Conversations::new(100_000, 1514);
        let mut out = [0; 2048];
        for flow in [0, 1, 77_777] {
            for step in 0..HANDSHAKE_STEPS + 2 {
                let frame = match step {
                    0..HANDSHAKE_STEPS => talk.handshake(flow, step, &mut out),
                    _ => talk.data(flow, &mut out),
                };
                let (_, len) = frame.unwrap();
                assert_eq!(len, [58, 58, 54, 54, 1514, 1514][step]);
                let ip = &out[ETHERNET_LEN..len];
                assert!(is_whole(&ip[..IP_LEN], 0));
                let pseudo = sum(u32::try_from(len).unwrap() - 34 + 6, &ip[12..20]);
                assert!(is_whole(&ip[IP_LEN..], pseudo));
            }
        }
    }

    #[test]
    fn client_and_server_take_turns_and_acknowledge_each_other() {
        let mut talk = Conversations::new(1, 60);
        let mut out = [0; 2048];
        for step in 0..HANDSHAKE_STEPS {
            talk.handshake(0, step, &mut out).unwrap();
        }
        let field = |out: &[u8], at: usize| u32::from_be_bytes(out[at..at + 4].try_into().unwrap());
        assert_eq!(talk.data(0, &mut out).unwrap().0, Port::A);
        let (client_seq, server_seq) = (field(&out, 38), field(&out, 42));
        assert_eq!(talk.data(0, &mut out).unwrap().0, Port::B);
        assert_eq!((field(&out, 38), field(&out, 42)), (server_seq, client_seq.wrapping_add(6)));
    }
}
