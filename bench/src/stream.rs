//! One connection in which one side sends and the other acknowledges, for as long as one likes.

use tollgate_link::Port;

use crate::frame::{self, ACK, End, SYN, Tcp, WINDOW_SCALE, sum};

/// SYN, SYN-ACK, ACK, and an ACK that opens the server's window.
pub const HANDSHAKE_STEPS: usize = 4;
const ISN: u32 = 0xc0de_0000;
const SERVER: End = ([198, 19, 0, 1], 80);

/// The connection.
#[derive(Debug)]
pub struct Stream {
    client: End,
    payload: Vec<u8>,
    payload_sum: u32,
    /// What becomes of a segment's payload on its way: so many bytes arrive.
    arrives: usize,
    sent: u64,
}

impl Stream {
    /// A connection of its own for each `number`, whose segments carry `payload` bytes.
    #[must_use]
    pub fn new(number: u16, payload: usize) -> Self {
        let payload: Vec<u8> = (0u8..=255).cycle().take(payload).collect();
        let client = ([198, 18, 0, 1], 10_000 + number);
        Self { client, payload_sum: sum(0, &payload), arrives: payload.len(), payload, sent: 0 }
    }

    /// The same, where rules take so many bytes out of every segment.
    #[must_use]
    pub const fn shortened(mut self, by: usize) -> Self {
        self.arrives -= by;
        self
    }

    /// Bytes of payload of a segment.
    #[must_use]
    pub const fn payload_len(&self) -> usize {
        self.payload.len()
    }

    /// Bytes of payload so far.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Writes a step of the handshake.
    pub fn handshake(&self, step: usize, out: &mut [u8]) -> (Port, usize) {
        let (next, window) = (ISN.wrapping_add(1), &WINDOW_SCALE[..]);
        let (port, seq, ack, flags, options) = match step {
            0 => (Port::A, ISN, 0, SYN, window),
            1 => (Port::B, ISN, next, SYN | ACK, window),
            2 => (Port::A, next, next, ACK, &[][..]),
            _ => (Port::B, next, next, ACK, &[][..]),
        };
        self.write(out, port, Tcp { seq, ack, flags, options }, false)
    }

    /// Writes the next segment.
    pub fn data(&mut self, out: &mut [u8]) -> (Port, usize) {
        let (seq, ack) = (self.next(), ISN.wrapping_add(1));
        self.sent += self.payload.len() as u64;
        self.write(out, Port::A, Tcp { seq, ack, flags: ACK, options: &[] }, true)
    }

    /// Writes the server's acknowledgment of all but the last `but` segments.
    pub fn acknowledge(&self, but: usize, out: &mut [u8]) -> (Port, usize) {
        let segments = self.sent / self.payload.len() as u64 - but as u64;
        let (seq, ack) = (ISN.wrapping_add(1), number(segments * self.arrives as u64));
        self.write(out, Port::B, Tcp { seq, ack, flags: ACK, options: &[] }, false)
    }

    /// The number of the next byte.
    fn next(&self) -> u32 {
        number(self.sent)
    }

    fn write(&self, out: &mut [u8], port: Port, tcp: Tcp<'_>, full: bool) -> (Port, usize) {
        let (from, to) = match port {
            Port::A => (self.client, SERVER),
            Port::B => (SERVER, self.client),
        };
        let (payload, sum) =
            if full { (&self.payload[..], self.payload_sum) } else { (&[][..], 0) };
        (port, frame::tcp(out, port, from, to, tcp, payload, sum))
    }
}

/// The sequence number of a position.
fn number(position: u64) -> u32 {
    let [.., a, b, c, d] = position.to_be_bytes();
    ISN.wrapping_add(1).wrapping_add(u32::from_be_bytes([a, b, c, d]))
}
