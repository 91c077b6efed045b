//! Many TCP connections that talk in turn: each frame is valid for its connection, in order, with the
//! right checksums, and all that is known from the number of the flow.

use tollgate_link::Port;

use crate::dice::Dice;
use crate::frame::{self, ACK, End, FIN, HEADERS_LEN, PSH, SYN, Tcp, WINDOW_SCALE, sum};

/// SYN, SYN-ACK, ACK, and an ACK that opens the server's window.
pub const HANDSHAKE_STEPS: usize = 4;
/// SYN, SYN-ACK, ACK, data, FIN, FIN, ACK.
pub const LIFE_STEPS: usize = 7;

/// Sequence number of every client's SYN.
const CLIENT_ISN: u32 = 0xc11e_0000;
/// And of every server's: data of both wraps around sooner or later, which is as it should be.
const SERVER_ISN: u32 = 0x5e12_7e12;

/// Addresses of the network for benchmarks (RFC 2544).
const CLIENT_NET: [u8; 2] = [198, 18];
const SERVER: End = ([198, 19, 0, 1], 80);
/// Clients behind one address.
const CLIENT_PORTS: usize = 50_000;
const CLIENT_PORT_FIRST: u16 = 10_000;

/// Where a connection stands: what each side will send next.
#[derive(Clone, Copy, Debug)]
struct Standing {
    client_seq: u32,
    server_seq: u32,
    client_speaks: bool,
    /// The speaker's last frame came early: the one before it comes next.
    owes: bool,
    /// The last burst in which it spoke.
    burst: u32,
}

/// All connections.
#[derive(Debug)]
pub struct Conversations {
    standings: Vec<Standing>,
    /// Of the longest frame.
    payload: Vec<u8>,
    /// Lengths of payload, in turn, each with its share of the checksum.
    lens: Vec<(usize, u32)>,
    /// What servers say in each frame, if not the same, and its share of the checksum.
    answer: Option<(Vec<u8>, u32)>,
    turn: usize,
    burst: u32,
    early_percent: u32,
    dice: Dice,
}

impl Conversations {
    /// `flows` connections, each of whose data frames is `frame_len` bytes long without FCS.
    ///
    /// # Panics
    ///
    /// When `frame_len` has no room for the headers and a byte, or is beyond 1514.
    #[must_use]
    pub fn new(flows: usize, frame_len: usize) -> Self {
        Self::with_lengths(flows, &[frame_len])
    }

    /// The same with frames of several lengths in turn.
    ///
    /// # Panics
    ///
    /// When one has no room for the headers and a byte, or is beyond 1514.
    #[must_use]
    pub fn with_lengths(flows: usize, frame_lens: &[usize]) -> Self {
        let longest = frame_lens.iter().copied().max().unwrap_or(0);
        for frame_len in frame_lens {
            assert!((HEADERS_LEN + 1..=1514).contains(frame_len), "a frame of {frame_len} bytes");
        }
        let payload: Vec<u8> = (0u8..=255).cycle().take(longest - HEADERS_LEN).collect();
        let len = |frame_len: &usize| {
            let len = frame_len - HEADERS_LEN;
            (len, sum(0, payload.get(..len).unwrap_or_default()))
        };
        let first = Standing {
            client_seq: CLIENT_ISN,
            server_seq: SERVER_ISN,
            client_speaks: true,
            owes: false,
            burst: 0,
        };
        Self {
            standings: vec![first; flows],
            lens: frame_lens.iter().map(len).collect(),
            answer: None,
            payload,
            turn: 0,
            burst: 0,
            early_percent: 0,
            dice: Dice::new(1),
        }
    }

    /// `flows` connections whose client says `up` in each of its frames, and whose server `down`.
    ///
    /// # Panics
    ///
    /// As for [`Conversations::new`].
    #[must_use]
    pub fn saying(flows: usize, up: Vec<u8>, down: Vec<u8>) -> Self {
        let plain = Self::new(flows, HEADERS_LEN + up.len());
        let lens = vec![(up.len(), sum(0, &up))];
        let down_sum = sum(0, &down);
        let answer = Some((down, down_sum));
        Self { lens, payload: up, answer, ..plain }
    }

    /// How many there are.
    #[must_use]
    pub const fn flows(&self) -> usize {
        self.standings.len()
    }

    /// Bytes that each of them takes here: to be left out where memory is measured.
    #[must_use]
    pub const fn bytes_each() -> usize {
        size_of::<Standing>()
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

    /// The same, but of a hundred data frames so many change places with the one before.
    #[must_use]
    pub const fn with_early(mut self, percent: u32) -> Self {
        self.early_percent = percent;
        self
    }

    /// A burst begins. In one burst only one side of a flow speaks, for the ports of a burst are not served
    /// in order of time, and nobody acknowledges what has not been sent. Where no burst is begun, each frame is
    /// one of its own.
    pub const fn begin_burst(&mut self) {
        self.burst = self.burst.wrapping_add(1);
    }

    /// Writes the next data frame of a flow. Client and server take turns, and each acknowledges all
    /// that the other has said. Frames come early only where all are of one length.
    pub fn data(&mut self, flow: usize, out: &mut [u8]) -> Option<(Port, usize)> {
        let standing = self.standings.get_mut(flow)?;
        self.turn = (self.turn + 1) % self.lens.len();
        let (len, payload_sum) = self.lens.get(self.turn).copied()?;
        let again = std::mem::replace(&mut standing.burst, self.burst) == self.burst;
        standing.client_speaks ^= again && self.burst > 0 && !standing.owes;
        let speaks = standing.client_speaks;
        let (payload, payload_sum) = match &self.answer {
            Some((answer, sum)) if !speaks => (answer.as_slice(), *sum),
            _ => (self.payload.get(..len)?, payload_sum),
        };
        let spoken = u32::try_from(payload.len()).ok()?;
        let (port, seq, ack) = match speaks {
            true => (Port::A, &mut standing.client_seq, standing.server_seq),
            false => (Port::B, &mut standing.server_seq, standing.client_seq),
        };
        let next = *seq;
        let pays = std::mem::take(&mut standing.owes);
        let number = if pays {
            next.wrapping_sub(2 * spoken)
        } else if self.early_percent > 0 && self.dice.below(100) < self.early_percent {
            standing.owes = true;
            *seq = next.wrapping_add(2 * spoken);
            next.wrapping_add(spoken)
        } else {
            *seq = next.wrapping_add(spoken);
            next
        };
        standing.client_speaks = speaks == standing.owes;
        let tcp = Tcp { seq: number, ack, flags: PSH | ACK, options: &[] };
        Some((port, write(out, flow, port, tcp, payload, payload_sum)))
    }

    /// Writes the `step`-th frame of a connection that is opened, says one thing, and is closed; none after
    /// [`LIFE_STEPS`]. Its numbers are the same each time, so the last one between the same ends must be
    /// forgotten by then.
    pub fn life(&self, flow: usize, step: usize, out: &mut [u8]) -> Option<(Port, usize)> {
        let (len, payload_sum) = self.lens.first().copied()?;
        let said = u32::try_from(len).ok()?;
        let (up, down) = (CLIENT_ISN.wrapping_add(1), SERVER_ISN.wrapping_add(1));
        let end = up.wrapping_add(said);
        let (port, seq, ack, flags) = match step {
            0 => (Port::A, CLIENT_ISN, 0, SYN),
            1 => (Port::B, SERVER_ISN, up, SYN | ACK),
            2 => (Port::A, up, down, ACK),
            3 => (Port::A, up, down, PSH | ACK),
            4 => (Port::A, end, down, FIN | ACK),
            5 => (Port::B, down, end.wrapping_add(1), FIN | ACK),
            6 => (Port::A, end.wrapping_add(1), down.wrapping_add(1), ACK),
            _ => return None,
        };
        let options: &[u8] = if step < 2 { &WINDOW_SCALE } else { &[] };
        let payload = if step == 3 { self.payload.get(..len)? } else { &[] };
        let payload_sum = if step == 3 { payload_sum } else { 0 };
        Some((port, write(out, flow, port, Tcp { seq, ack, flags, options }, payload, payload_sum)))
    }
}

/// Writes a whole frame and gives its length. `payload_sum` is the payload's share of the checksum.
fn write(
    out: &mut [u8],
    flow: usize,
    port: Port,
    tcp: Tcp<'_>,
    payload: &[u8],
    payload_sum: u32,
) -> usize {
    let client = client(flow);
    let (from, to) = match port {
        Port::A => (client, SERVER),
        Port::B => (SERVER, client),
    };
    frame::tcp(out, port, from, to, tcp, payload, payload_sum)
}

fn client(flow: usize) -> End {
    let port =
        u16::try_from(usize::from(CLIENT_PORT_FIRST) + flow % CLIENT_PORTS).unwrap_or(u16::MAX);
    let host = u16::try_from(flow / CLIENT_PORTS + 1).unwrap_or(u16::MAX).to_be_bytes();
    ([CLIENT_NET[0], CLIENT_NET[1], host[0], host[1]], port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ETHERNET_LEN, IP_LEN, is_whole};

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

    #[test]
    fn a_frame_that_comes_early_is_followed_by_the_one_before_it() {
        let mut talk = Conversations::new(1, HEADERS_LEN + 10).with_early(100);
        let mut out = [0; 2048];
        let mut next = || {
            let (port, _) = talk.data(0, &mut out).unwrap();
            (port, u32::from_be_bytes(out[38..42].try_into().unwrap()))
        };
        let seen = [next(), next(), next(), next(), next()];
        let up = |offset| (Port::A, CLIENT_ISN.wrapping_add(offset));
        let down = |offset| (Port::B, SERVER_ISN.wrapping_add(offset));
        assert_eq!(seen, [up(10), up(0), down(10), down(0), up(30)]);
    }
}
