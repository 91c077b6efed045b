//! Fragments of IPv4 and IPv6 datagrams, whole or twice, overlapping, contradicting each other, in
//! any order: what leaves is what a naive reassembler of its own makes of them, to the byte, and
//! nothing else.
//!
//! The bytes are a program: bounds, then operations on a few datagrams.

use std::time::Duration;

use tollgate_engine::{Config, Mesh, Midstream, Worker};
use tollgate_link::Port;
use tollgate_link::memory::MemoryLink;
use tollgate_policy::AcceptAll;
use tollgate_wire::{Checksum, Packet, Timestamp};

use super::reassembly::{Fate, Piece, Reassembly};
use crate::common::{ACK, FIN, Frame, PSH, Program, small};

/// Runs a program and checks what must hold whatever it is.
pub(crate) fn run(bytes: &[u8]) {
    let mut program = Program(bytes);
    let bounds = program.byte();
    let config = Config {
        datagrams_max: 8,
        fragments_max: if bounds & 1 == 0 { 512 } else { 6 },
        mtu: [1500, 600, 100, 68][usize::from(bounds >> 1 & 3)],
        midstream: Midstream::Pass,
        flows_max: 4,
        half_open_max: 4,
        batch_max: 4,
        reports_max: 4,
        ..small()
    };
    let capacity = if bounds & 8 == 0 { 2048 } else { 9216 };
    let link = MemoryLink::with_frames(1024, capacity);
    let mut run = Run {
        model: Reassembly::new(config.datagrams_max, config.fragments_max, 64),
        worker: Worker::new(config.clone(), link, AcceptAll, Mesh::alone()),
        config,
        capacity,
        now: Timestamp::from_secs(1_000_000),
        last: None,
    };
    for _ in 0..OPERATIONS_MAX {
        if program.is_over() {
            break;
        }
        run.operate(&mut program);
    }
    run.finish();
}

struct Run {
    worker: Worker<MemoryLink, AcceptAll>,
    config: Config,
    /// Bytes of the longest frame.
    capacity: usize,
    model: Reassembly,
    now: Timestamp,
    last: Option<(Port, Vec<u8>)>,
}

impl Run {
    fn operate(&mut self, program: &mut Program<'_>) {
        let operation = program.byte();
        match operation & 7 {
            0 => {
                self.now = self.now + Duration::from_millis(1 << (operation >> 4));
                self.turn();
            }
            1 => {
                if let Some((port, bytes)) = self.last.clone() {
                    self.put(port, bytes);
                }
            }
            // A whole segment in pieces of one size, some of them missing.
            2 => {
                let (port, datagram) = segment(program);
                let size = 8 * (1 + usize::from(operation >> 4));
                let missing = program.byte();
                let backwards = operation & 8 != 0;
                let mut starts: Vec<usize> = (0..datagram.carried.len()).step_by(size).collect();
                starts.truncate(70);
                if backwards {
                    starts.reverse();
                }
                for (number, start) in starts.into_iter().enumerate() {
                    if number > 7 || missing >> number & 1 == 0 {
                        let end = (start + size).min(datagram.carried.len());
                        let more = end < datagram.carried.len();
                        self.put(port, datagram.fragment(start, end, more));
                    }
                }
            }
            // One piece from anywhere.
            _ => {
                let (port, datagram) = segment(program);
                let [start, len, what] = [(); 3].map(|()| program.byte());
                let all = datagram.carried.len();
                let start = (usize::from(start) * 8).min(all);
                let end = match len {
                    0 => all,
                    len => (start + usize::from(len & 63) * 8 + usize::from(len >> 6)).min(all),
                };
                let more = if what & 1 == 0 { end < all } else { end >= all };
                let mut bytes = datagram.fragment(start, end, more);
                if what & 2 != 0 {
                    // Far away, where a datagram grows too long.
                    datagram.move_to(&mut bytes, 65_536 - 8 * usize::from(what >> 2), more);
                }
                self.put(port, bytes);
            }
        }
    }

    fn put(&mut self, port: Port, bytes: Vec<u8>) {
        self.turn();
        if !self.worker.link_mut().inject(port, &bytes) {
            return;
        }
        self.worker.poll(self.now);
        let mut left = self.worker.link_mut().sent(port.peer());
        assert!(self.worker.link_mut().sent(port).is_empty(), "nothing turns back");
        let fate = match Piece::read(&bytes) {
            Some(piece) => self.model.push(piece, self.now),
            None => Fate::Whole(bytes.clone()),
        };
        let expected = match fate {
            // There is no frame for it.
            Fate::Whole(whole) if whole.len() > self.capacity => None,
            Fate::Whole(whole) => Packet::parse(whole).ok().and_then(|mut packet| {
                if packet.checksum() == Checksum::Partial {
                    packet.complete_checksum();
                }
                (packet.checksum() == Checksum::Good).then_some(packet)
            }),
            Fate::Waits => None,
        };
        match expected {
            None => assert!(left.is_empty(), "{bytes:02x?} made {left:02x?} leave"),
            Some(packet) => {
                let whole = packet.headers().end as usize;
                let fits = packet.ip_len() <= self.config.mtu;
                let mtu = self.config.mtu as usize + 14;
                assert!(
                    left.iter().all(|frame| frame.len() <= mtu.max(60)),
                    "longer than the port takes"
                );
                if !fits && packet.frame()[12..14] == [0x86, 0xdd] && packet.frame()[20] == FRAGMENT
                {
                    // An atomic fragment that the port is too narrow for cannot be cut once more.
                    assert!(left.is_empty());
                    return;
                }
                if !fits {
                    assert!(!left.is_empty(), "nothing left of {:02x?}", packet.frame());
                    left = vec![rejoined(&left)];
                }
                assert_eq!(left.len(), 1, "one datagram: {left:02x?}");
                let same = same_datagram(&left[0], &packet.frame()[..whole], fits);
                assert!(same, "{:02x?} is not {:02x?}", left[0], packet.frame());
            }
        }
        self.last = Some((port, bytes));
        self.check();
    }

    /// Time goes on, so that no two frames come at once; what is too old goes.
    fn turn(&mut self) {
        self.now = self.now + Duration::from_micros(1);
        self.worker.poll(self.now);
        self.model.expire(self.now);
        self.check();
    }

    fn check(&mut self) {
        let gauges = self.worker.gauges();
        assert_eq!((gauges.fragments, gauges.datagrams), self.model.levels());
        assert!(gauges.fragments <= self.config.fragments_max && gauges.datagrams <= 8);
        for port in Port::BOTH {
            assert!(self.worker.link_mut().sent(port).is_empty(), "nothing came, something left");
        }
    }

    fn finish(mut self) {
        self.worker.finish(self.now);
        let counters = self.worker.counters();
        assert_eq!((counters.balance(), counters.unbalanced_turns, counters.held), (0, 0, 0));
        assert_eq!(self.worker.link().outstanding(), 0, "frames leaked");
    }
}

/// Fragments that left, made whole again.
fn rejoined(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut model = Reassembly::new(8, 10_000, 10_000);
    for (number, frame) in frames.iter().enumerate() {
        let piece = Piece::read(frame).expect("a fragment");
        match model.push(piece, Timestamp::default()) {
            Fate::Whole(whole) => {
                assert_eq!(number + 1, frames.len(), "something follows the last fragment");
                return whole;
            }
            Fate::Waits => {}
        }
    }
    panic!("fragments of no whole datagram: {frames:02x?}");
}

/// Whether two frames carry the same datagram. A split one has its identification anew, and IPv6
/// that came with a fragment header leaves without it.
fn same_datagram(left: &[u8], expected: &[u8], to_the_bit: bool) -> bool {
    let at = if expected[12..14] == [8, 0] { Some(14) } else { None };
    let mut sides = [left.to_vec(), expected.to_vec()];
    for side in &mut sides {
        side.resize(expected.len().max(60), 0);
        if let (Some(at), false) = (at, to_the_bit) {
            // Identification and "do not fragment", with the checksum over them.
            side[at + 4..at + 8].fill(0);
            side[at + 10..at + 12].fill(0);
        }
    }
    sides[0] == sides[1]
}

/// A datagram that is to be cut.
struct Datagram {
    /// Ethernet and IP header; for IPv6 without the fragment header.
    head: Vec<u8>,
    next_header: u8,
    /// What the fragments share out.
    carried: Vec<u8>,
    identification: u32,
    v6: bool,
}

/// One of a few datagrams, or of many, by the program.
fn segment(program: &mut Program<'_>) -> (Port, Datagram) {
    let [who, len, seed] = [(); 3].map(|()| program.byte());
    let payload: Vec<u8> = (0..u16::from(len) * if who & 16 == 0 { 1 } else { 8 })
        .map(|at| (at as u8).wrapping_mul(7) ^ (seed >> 4))
        .collect();
    let flags = if who & 32 == 0 { ACK | PSH } else { ACK | FIN };
    let mut frame = Frame::client(u32::from(seed & 15), 1, flags, &payload);
    if who & 64 != 0 {
        frame.options = vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    }
    let v6 = who & 1 != 0;
    let frame = if v6 { frame.between("[fd00::1]:4000", "[fd00::2]:80") } else { frame };
    let bytes = frame.bytes();
    let ip = if v6 { 14 + 40 } else { 14 + 20 };
    let end = ip + 20 + frame.options.len() + payload.len();
    let mut carried = bytes[ip..end].to_vec();
    if who & 128 != 0 && seed & 8 != 0 {
        // A checksum that is wrong.
        carried[16] ^= 0x55;
    }
    let datagram = Datagram {
        head: bytes[..ip].to_vec(),
        next_header: 6,
        carried,
        identification: u32::from(who >> 1 & 7)
            | if seed & 4 == 0 { 0 } else { u32::from(seed) << 8 },
        v6,
    };
    (Port::A, datagram)
}

impl Datagram {
    fn fragment(&self, start: usize, end: usize, more: bool) -> Vec<u8> {
        let mut out = self.head.clone();
        if self.v6 {
            let len = 8 + end - start;
            out[14 + 4..14 + 6].copy_from_slice(&(len as u16).to_be_bytes());
            out[14 + 6] = 44;
            out.extend([self.next_header, 0, 0, 0]);
            out.extend(self.identification.to_be_bytes());
        } else {
            let len = 20 + end - start;
            out[14 + 2..14 + 4].copy_from_slice(&(len as u16).to_be_bytes());
            let identification = self.identification as u16;
            out[14 + 4..14 + 6].copy_from_slice(&identification.to_be_bytes());
        }
        out.extend(&self.carried[start..end]);
        self.move_to(&mut out, start, more);
        out
    }

    /// Writes the offset of a fragment, and whether more follow.
    fn move_to(&self, bytes: &mut [u8], offset: usize, more: bool) {
        let words = (offset / 8) as u16;
        if self.v6 {
            let field = words << 3 | u16::from(more);
            bytes[54 + 2..54 + 4].copy_from_slice(&field.to_be_bytes());
        } else {
            let field = words & 0x1fff | u16::from(more) << 13;
            bytes[14 + 6..14 + 8].copy_from_slice(&field.to_be_bytes());
            bytes[14 + 10..14 + 12].fill(0);
            let sum = super::reassembly::ones_complement(&bytes[14..34]);
            bytes[14 + 10..14 + 12].copy_from_slice(&sum.to_be_bytes());
        }
    }
}

const OPERATIONS_MAX: usize = 300;
/// IPv6's number for a fragment header.
const FRAGMENT: u8 = 44;
