//! What several tests want: packets of a conversation, captures of them, and the program.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test file uses a part of it, so an expectation would fail in some"
)]

use std::path::Path;

use assert_cmd::Command;

/// The program under test.
pub(crate) fn tollgate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
}

/// Both outputs and the exit code.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs it to its end.
pub(crate) fn say(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    // What scripts print of packets need not be text.
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Control bits, as in the TCP header.
pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;

/// The two ends of a connection, and what they will send next.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) client: ([u8; 4], u16),
    pub(crate) server: ([u8; 4], u16),
    pub(crate) client_next: u32,
    pub(crate) server_next: u32,
}

impl Talk {
    pub(crate) const fn new(client: ([u8; 4], u16), server: ([u8; 4], u16)) -> Self {
        Self { client, server, client_next: 1000, server_next: 5_000_000 }
    }

    /// The next segment of the client.
    pub(crate) fn up(&mut self, flags: u8, payload: &[u8]) -> Vec<u8> {
        let ack = if flags & ACK == 0 { 0 } else { self.server_next };
        let frame = segment(self.client, self.server, self.client_next, ack, flags, payload);
        self.client_next = advance(self.client_next, flags, payload);
        frame
    }

    /// The next segment of the server.
    pub(crate) fn down(&mut self, flags: u8, payload: &[u8]) -> Vec<u8> {
        let frame =
            segment(self.server, self.client, self.server_next, self.client_next, flags, payload);
        self.server_next = advance(self.server_next, flags, payload);
        frame
    }

    /// SYN, SYN-ACK, ACK.
    pub(crate) fn open(&mut self) -> Vec<Vec<u8>> {
        vec![self.up(SYN, b""), self.down(SYN | ACK, b""), self.up(ACK, b"")]
    }

    /// FIN of the client, FIN of the server, the last ACK.
    pub(crate) fn close(&mut self) -> Vec<Vec<u8>> {
        vec![self.up(FIN | ACK, b""), self.down(FIN | ACK, b""), self.up(ACK, b"")]
    }
}

fn advance(seq: u32, flags: u8, payload: &[u8]) -> u32 {
    let control = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    seq.wrapping_add(control).wrapping_add(u32::try_from(payload.len()).unwrap())
}

/// One frame: Ethernet, IPv4, TCP without options, with right checksums.
pub(crate) fn segment(
    from: ([u8; 4], u16),
    to: ([u8; 4], u16),
    seq: u32,
    ack: u32,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut tcp = Vec::new();
    tcp.extend(from.1.to_be_bytes());
    tcp.extend(to.1.to_be_bytes());
    tcp.extend(seq.to_be_bytes());
    tcp.extend(ack.to_be_bytes());
    tcp.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend(payload);
    let length = u16::try_from(tcp.len()).unwrap();
    let mut pseudo = [from.0, to.0].concat();
    pseudo.extend([0, 6]);
    pseudo.extend(length.to_be_bytes());
    pseudo.extend(&tcp);
    let sum = checksum(&pseudo).to_be_bytes();
    tcp[16..18].copy_from_slice(&sum);

    let mut ip = vec![0x45, 0];
    ip.extend((length + 20).to_be_bytes());
    ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    ip.extend(from.0);
    ip.extend(to.0);
    let sum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);

    let mac = |address: [u8; 4]| [2, 0, address[0], address[1], address[2], address[3]];
    [&mac(to.0)[..], &mac(from.0), &[8, 0], &ip, &tcp].concat()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

/// A classic capture of Ethernet frames, one a millisecond from 2026-01-01 on.
pub(crate) fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    capture_at(&(0..).zip(frames.iter().cloned()).collect::<Vec<_>>())
}

/// The same at times of one's own, in ms from 2026-01-01 on.
pub(crate) fn capture_at(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(0xa1b2_c3d4_u32.to_le_bytes());
    out.extend([2, 0, 4, 0]);
    out.extend([0; 8]);
    out.extend(262_144_u32.to_le_bytes());
    out.extend(1_u32.to_le_bytes());
    for (ms, frame) in frames {
        let micros = u32::try_from(ms * 1000).unwrap();
        let length = u32::try_from(frame.len()).unwrap();
        for word in [1_767_225_600 + micros / 1_000_000, micros % 1_000_000, length, length] {
            out.extend(word.to_le_bytes());
        }
        out.extend(frame);
    }
    out
}

/// Times (ns since 1970) and frames of a classic capture with microseconds, in this machine's order.
pub(crate) fn read_capture(path: &Path) -> Vec<(u64, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let unit = match word(0) {
        0xa1b2_c3d4 => 1000,
        0xa1b2_3c4d => 1,
        other => panic!("no classic little-endian capture: {other:#x}"),
    };
    let (mut at, mut frames) = (24, Vec::new());
    while at < bytes.len() {
        let length = usize::try_from(word(at + 8)).unwrap();
        let time = u64::from(word(at)) * 1_000_000_000 + u64::from(word(at + 4)) * unit;
        frames.push((time, bytes[at + 16..at + 16 + length].to_vec()));
        at += 16 + length;
    }
    frames
}

/// FIPS 180-4, in hexadecimal: a test needs no crate for it.
pub(crate) fn sha256(message: &[u8]) -> String {
    let prime = |count: usize| (2_u32..).filter(|n| (2..*n).all(|d| n % d != 0)).take(count);
    // The first 32 bits of the fractional part of a root, by bisection in integers.
    let fraction = |n: u32, power: u32| {
        let (mut low, mut high) = (0_u128, 1_u128 << 40);
        while high - low > 1 {
            let middle = u128::midpoint(low, high);
            let below = match power {
                2 => middle * middle <= u128::from(n) << 64,
                _ => middle * middle * middle <= u128::from(n) << 96,
            };
            if below { low = middle } else { high = middle }
        }
        u32::try_from(low & 0xffff_ffff).unwrap()
    };
    let keys: Vec<u32> = prime(64).map(|n| fraction(n, 3)).collect();
    let mut state: Vec<u32> = prime(8).map(|n| fraction(n, 2)).collect();
    let mut bytes = message.to_vec();
    bytes.push(0x80);
    // Zeros until the 8 bytes of the length end a block.
    bytes.resize((bytes.len() + 8).next_multiple_of(64) - 8, 0);
    bytes.extend((message.len() as u64 * 8).to_be_bytes());
    for block in bytes.chunks(64) {
        let mut w: Vec<u32> =
            block.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        for i in 16..64 {
            let s0 = w[i - 15].rotate_right(7) ^ w[i - 15].rotate_right(18) ^ (w[i - 15] >> 3);
            let s1 = w[i - 2].rotate_right(17) ^ w[i - 2].rotate_right(19) ^ (w[i - 2] >> 10);
            w.push(w[i - 16].wrapping_add(s0).wrapping_add(w[i - 7]).wrapping_add(s1));
        }
        let mut v = state.clone();
        for i in 0..64 {
            let s1 = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
            let choice = (v[4] & v[5]) ^ (!v[4] & v[6]);
            let one =
                v[7].wrapping_add(s1).wrapping_add(choice).wrapping_add(keys[i]).wrapping_add(w[i]);
            let s0 = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
            let majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
            v.rotate_right(1);
            v[4] = v[4].wrapping_add(one);
            v[0] = one.wrapping_add(s0).wrapping_add(majority);
        }
        for (sum, word) in state.iter_mut().zip(v) {
            *sum = sum.wrapping_add(word);
        }
    }
    state.iter().map(|word| format!("{word:08x}")).collect()
}
