//! Traffic that wants to hurt: each frame is one that a network lets through, with right checksums.
//!
//! Whatever needs connections opens its own first ([`Attacker::open`]); all of them talk to one server
//! that answers nobody but the one-byte and the overlap attack, whose windows must move on.

use tollgate_link::Port;

use crate::dice::Dice;
use crate::frame::{self, ACK, End, FIN, RST, SYN, Tcp, WINDOW_SCALE, sum};

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// SYNs of 30,000 sources, over and over, and nothing else.
    HalfOpen,
    /// SYNs of sources that never come twice.
    Syns,
    /// Segments of one byte, the last one first, 256 at a time.
    BytesReversed,
    /// The same with 4,096 at a time, more than may wait.
    BytesReversedBeyond,
    /// Every other eight bytes, then all with other content, then all again.
    Overlaps,
    /// Thousands of connections that leave one hole each and go on behind it.
    Holes,
    /// Connections whose receiver acknowledges nothing, so that all they sent must be remembered.
    Unacknowledged,
    /// First fragments, each of a datagram of its own.
    Fragments,
    /// FIN, RST and ACK of connections that are not there.
    Strays,
}

impl Attack {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::HalfOpen,
        Self::Syns,
        Self::BytesReversed,
        Self::BytesReversedBeyond,
        Self::Overlaps,
        Self::Holes,
        Self::Unacknowledged,
        Self::Fragments,
        Self::Strays,
    ];

    /// As it stands in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HalfOpen => "half-open",
            Self::Syns => "syn-flood",
            Self::BytesReversed => "bytes-reversed",
            Self::BytesReversedBeyond => "bytes-reversed-beyond",
            Self::Overlaps => "overlaps",
            Self::Holes => "holes",
            Self::Unacknowledged => "unacknowledged",
            Self::Fragments => "fragments",
            Self::Strays => "strays",
        }
    }

    /// Connections that it opens beforehand.
    #[must_use]
    pub const fn connections(self) -> usize {
        match self {
            Self::BytesReversed | Self::BytesReversedBeyond | Self::Overlaps => 16,
            Self::Holes => 8192,
            Self::Unacknowledged => 1024,
            Self::HalfOpen | Self::Syns | Self::Fragments | Self::Strays => 0,
        }
    }
}

/// The one who tries.
#[derive(Debug)]
pub struct Attacker {
    attack: Attack,
    dice: Dice,
    /// Frames written so far, those of handshakes not among them.
    written: u64,
    /// What each connection will send next, as an offset from its first byte.
    offsets: Vec<u32>,
    /// Which connection has the word, and how far it is in its round.
    speaker: usize,
    step: u32,
}

/// SYN, SYN-ACK, ACK, and an ACK that opens the server's window.
pub const OPENING_STEPS: usize = 4;
const ISN: u32 = 0x7fff_f000;
const SERVER: End = ([198, 19, 0, 2], 80);
/// What the one-byte attacks put behind a hole.
const REVERSED: u32 = 256;
const REVERSED_BEYOND: u32 = 4096;
/// Blocks of sixteen bytes in a round of the overlap attack: fewer than the holes that are allowed.
const BLOCKS: u32 = 60;
/// Sources of the half-open attack.
const SOURCES: u64 = 30_000;
const FULL: [u8; 1460] = [b'u'; 1460];

impl Attacker {
    /// One who has not begun yet.
    #[must_use]
    pub fn new(attack: Attack) -> Self {
        Self {
            attack,
            dice: Dice::new(7),
            written: 0,
            offsets: vec![0; attack.connections()],
            speaker: 0,
            step: 0,
        }
    }

    /// Writes a step of the handshake of one of its connections.
    pub fn open(&self, connection: usize, step: usize, out: &mut [u8]) -> (Port, usize) {
        let (next, window) = (ISN.wrapping_add(1), &WINDOW_SCALE[..]);
        let (port, seq, ack, flags, options) = match step {
            0 => (Port::A, ISN, 0, SYN, window),
            1 => (Port::B, ISN, next, SYN | ACK, window),
            2 => (Port::A, next, next, ACK, &[][..]),
            _ => (Port::B, next, next, ACK, &[][..]),
        };
        segment(out, port, client(connection), Tcp { seq, ack, flags, options }, &[])
    }

    /// Writes the next frame.
    pub fn next(&mut self, out: &mut [u8]) -> (Port, usize) {
        self.written += 1;
        match self.attack {
            Attack::HalfOpen => {
                let source = (self.written % SOURCES).to_be_bytes();
                syn(out, [10, 1, source[6], source[7]], 4000, ISN)
            }
            Attack::Syns => {
                let [a, b, c, d, e, f, g, h] = self.dice.bytes();
                let port = u16::from_be_bytes([d, e]) | 1024;
                syn(out, [10, a, b, c], port, u32::from_be_bytes([e, f, g, h]))
            }
            Attack::BytesReversed => self.reversed(REVERSED, out),
            Attack::BytesReversedBeyond => self.reversed(REVERSED_BEYOND, out),
            Attack::Overlaps => self.overlap(out),
            Attack::Holes => {
                let offset = 100 + 20 * self.round();
                self.say(self.speaker, offset, b"0123456789", out)
            }
            Attack::Unacknowledged => {
                let offset = self.round() * 1460;
                self.say(self.speaker, offset, &FULL, out)
            }
            Attack::Fragments => {
                let [a, b, c, d, e, ..] = self.dice.bytes();
                let identification = u16::from_be_bytes([d, e]);
                (Port::A, frame::first_fragment(out, [10, a, b, c], SERVER.0, identification, 64))
            }
            Attack::Strays => {
                let [a, b, c, d, e, f, g, h] = self.dice.bytes();
                let flags = match h % 3 {
                    0 => FIN | ACK,
                    1 => RST,
                    _ => ACK,
                };
                let from = ([10, a, b, c], u16::from_be_bytes([d, e]) | 1024);
                let seq = u32::from_be_bytes([e, f, g, h]);
                segment(out, Port::A, from, Tcp { seq, ack: seq, flags, options: &[] }, &[])
            }
        }
    }

    /// Gives the word to the next connection, and says how often that has had it.
    fn round(&mut self) -> u32 {
        self.speaker = (self.speaker + 1) % self.offsets.len().max(1);
        let round = self.offsets.get_mut(self.speaker);
        // Not so far that it leaves the window.
        round.map_or(0, |round| std::mem::replace(round, (*round + 1) % 5000))
    }

    /// One byte of `count`, the last first; at the end the first, and an acknowledgment.
    fn reversed(&mut self, count: u32, out: &mut [u8]) -> (Port, usize) {
        let step = self.step;
        self.step += 1;
        if step == 0 {
            return self.acknowledge(out);
        }
        let offset = self.offset() + count - step;
        let frame = self.say(self.speaker, offset, b"r", out);
        if step == count {
            // What was refused is lost: the next round begins behind what surely passed.
            self.end_round(count.min(REVERSED / 2));
        }
        frame
    }

    fn overlap(&mut self, out: &mut [u8]) -> (Port, usize) {
        let step = self.step;
        self.step += 1;
        let Some(piece) = step.checked_sub(1) else { return self.acknowledge(out) };
        let (start, block) = (self.offset(), 16 * (piece % BLOCKS));
        match piece / BLOCKS {
            0 => self.say(self.speaker, start + block + 8, b"AAAAAAAA", out),
            1 => self.say(self.speaker, start + block + 4, b"BBBBBBBB", out),
            2 => self.say(self.speaker, start + block + 12, b"CCCCCCCC", out),
            _ => {
                let frame = self.say(self.speaker, start, b"DDDDDDDDDDDDDDDD", out);
                self.end_round(16 * BLOCKS + 4);
                frame
            }
        }
    }

    fn offset(&self) -> u32 {
        self.offsets.get(self.speaker).copied().unwrap_or(0)
    }

    fn end_round(&mut self, sent: u32) {
        if let Some(offset) = self.offsets.get_mut(self.speaker) {
            *offset = offset.wrapping_add(sent);
        }
        self.speaker = (self.speaker + 1) % self.offsets.len().max(1);
        self.step = 0;
    }

    /// The server has all that the connection said in its rounds before.
    fn acknowledge(&self, out: &mut [u8]) -> (Port, usize) {
        let (seq, ack) = (ISN.wrapping_add(1), ISN.wrapping_add(1).wrapping_add(self.offset()));
        let tcp = Tcp { seq, ack, flags: ACK, options: &[] };
        segment(out, Port::B, client(self.speaker), tcp, &[])
    }

    fn say(&self, connection: usize, offset: u32, text: &[u8], out: &mut [u8]) -> (Port, usize) {
        let (seq, ack) = (ISN.wrapping_add(1).wrapping_add(offset), ISN.wrapping_add(1));
        segment(out, Port::A, client(connection), Tcp { seq, ack, flags: ACK, options: &[] }, text)
    }
}

fn client(connection: usize) -> End {
    let [.., high, low] = connection.to_be_bytes();
    ([198, 18, 200, 1], u16::from_be_bytes([high, low]).wrapping_add(1024))
}

fn syn(out: &mut [u8], address: [u8; 4], port: u16, seq: u32) -> (Port, usize) {
    let tcp = Tcp { seq, ack: 0, flags: SYN, options: &WINDOW_SCALE };
    segment(out, Port::A, (address, port), tcp, &[])
}

fn segment(out: &mut [u8], port: Port, client: End, tcp: Tcp<'_>, text: &[u8]) -> (Port, usize) {
    let (from, to) = if port == Port::A { (client, SERVER) } else { (SERVER, client) };
    (port, frame::tcp(out, port, from, to, tcp, text, sum(0, text)))
}
