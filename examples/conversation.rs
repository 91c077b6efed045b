//! For the tests of the examples: a conversation as a capture, and what the receivers read after it.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses a part of it, so an expectation would fail in some"
)]

use std::path::Path;

const CLIENT: ([u8; 4], u16) = ([198, 18, 0, 1], 4242);
const SERVER: [u8; 4] = [198, 18, 1, 1];

/// The two directions of a connection between one client and one server.
pub(crate) struct Conversation {
    port: u16,
    next: [u32; 2],
    frames: Vec<Vec<u8>>,
}

impl Conversation {
    /// A handshake with a port of the server.
    pub(crate) fn open(port: u16) -> Self {
        let mut conversation = Self { port, next: [1000, 5_000_000], frames: Vec::new() };
        conversation.say(0, 0x02, b"");
        conversation.say(1, 0x12, b"");
        conversation.say(0, 0x10, b"");
        conversation
    }

    /// A segment of the client's.
    pub(crate) fn up(&mut self, payload: &[u8]) {
        self.say(0, 0x18, payload);
    }

    /// A segment of the server's.
    pub(crate) fn down(&mut self, payload: &[u8]) {
        self.say(1, 0x18, payload);
    }

    /// A question to port 53, by UDP without a checksum.
    pub(crate) fn ask(&mut self, server: [u8; 4], question: &[u8]) {
        let length = |header: usize| u16::try_from(header + question.len()).unwrap().to_be_bytes();
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
        frame.extend(length(28));
        frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
        frame.extend([CLIENT.0, server].concat());
        frame.extend([CLIENT.1.to_be_bytes(), 53_u16.to_be_bytes()].concat());
        frame.extend([length(8), [0, 0]].concat());
        frame.extend(question);
        self.frames.push(frame);
    }

    fn say(&mut self, who: usize, flags: u8, payload: &[u8]) {
        let [mine, theirs] = [self.next[who], self.next[1 - who]];
        let ends = [CLIENT, (SERVER, self.port)];
        let (from, to) = (ends[who], ends[1 - who]);
        let ack = if flags & 0x10 == 0 { 0 } else { theirs };
        let length = u16::try_from(40 + payload.len()).unwrap();
        // Checksums are left at zero: the replay repairs them.
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
        frame.extend(length.to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        frame.extend(from.0);
        frame.extend(to.0);
        frame.extend([from.1.to_be_bytes(), to.1.to_be_bytes()].concat());
        frame.extend([mine.to_be_bytes(), ack.to_be_bytes()].concat());
        frame.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        frame.extend(payload);
        self.frames.push(frame);
        let syn = u32::from(flags & 0x02 != 0);
        self.next[who] = mine + syn + u32::try_from(payload.len()).unwrap();
    }

    /// Writes a classic capture, one frame a millisecond.
    pub(crate) fn write(&self, path: &Path) {
        let mut out = Vec::new();
        out.extend(0xa1b2_c3d4_u32.to_le_bytes());
        out.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend([262_144_u32.to_le_bytes(), 1_u32.to_le_bytes()].concat());
        for (number, frame) in self.frames.iter().enumerate() {
            let micros = u32::try_from(number).unwrap() * 1000;
            let length = u32::try_from(frame.len()).unwrap();
            for word in [1_767_225_600, micros, length, length] {
                out.extend(word.to_le_bytes());
            }
            out.extend(frame);
        }
        std::fs::write(path, out).unwrap();
    }
}

/// What the server and the client read by a capture: the payloads, put where their numbers say.
pub(crate) fn read(path: &Path) -> [String; 2] {
    let mut streams = [Vec::new(), Vec::new()];
    for frame in frames(path).iter().filter(|frame| frame[23] == 6) {
        let total = u16::from_be_bytes([frame[16], frame[17]]);
        let payload = &frame[14 + 20 + usize::from(frame[46] >> 4) * 4..14 + usize::from(total)];
        let seq = u32::from_be_bytes(frame[38..42].try_into().unwrap());
        let (stream, first) = if frame[26..30] == CLIENT.0 { (0, 1001) } else { (1, 5_000_001) };
        let from = seq.saturating_sub(first) as usize;
        let stream: &mut Vec<u8> = &mut streams[stream];
        assert!(from <= stream.len() || payload.is_empty(), "a gap before {seq}");
        if !payload.is_empty() {
            stream.truncate(from);
            stream.extend(payload);
        }
    }
    streams.map(|stream| String::from_utf8(stream).unwrap())
}

/// The frames of a classic capture.
pub(crate) fn frames(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let (mut at, mut frames) = (24, Vec::new());
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        frames.push(bytes[at + 16..at + 16 + length].to_vec());
        at += 16 + length;
    }
    frames
}
