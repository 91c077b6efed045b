//! TCP options on every kind of segment: read as the naive reader does, and left as they are, but
//! for SACK blocks that name what has not left.
//!
//! The bytes are a program: terms of the handshake, then segments, each with options of its own.

use std::net::SocketAddr;
use std::time::Duration;

use tollgate_engine::{Config, FastOpen, Mesh, Worker};
use tollgate_link::Port;
use tollgate_link::memory::MemoryLink;
use tollgate_wire::{Endpoint, Options, Seq, Timestamp, Timestamps};

use super::naive::{self, RawOption};
use super::witness::Witness;
use crate::common::{
    ACK, CLIENT, CLIENT_ISN, FIN, Frame, PSH, Program, SERVER, SERVER_ISN, SYN, Seen, small,
};

/// Runs a program and checks what must hold whatever it is.
pub(crate) fn run(bytes: &[u8]) {
    check_parser(&bytes[..bytes.len().min(60)]);
    let mut program = Program(bytes);
    let start = program.byte();
    let config = Config {
        fast_open: if start & 1 == 0 { FastOpen::Strip } else { FastOpen::Allow },
        flows_max: 4,
        half_open_max: 4,
        datagrams_max: 8,
        batch_max: 4,
        reports_max: 4,
        ..small()
    };
    let allowed = config.fast_open == FastOpen::Allow;
    let worker = Worker::new(config, MemoryLink::new(), Witness::default(), Mesh::alone());
    let mut run = Run {
        worker,
        allowed,
        now: Timestamp::from_secs(1_000_000),
        left: [1; 2],
        ended: [false; 2],
    };
    let early: &[u8] = if start & 2 == 0 { b"" } else { b"early" };
    let syn = Frame { options: options(&mut program), ..Frame::client(0, 0, SYN, early) };
    run.put(&syn);
    let acked = if start & 4 == 0 { 1 } else { 6 };
    let answer =
        Frame { options: options(&mut program), ..Frame::server(0, acked, SYN | ACK, b"") };
    run.put(&answer);
    run.put(&Frame { options: options(&mut program), ..Frame::client(1, 1, ACK, b"") });
    while !program.is_over() {
        let frame = segment(&mut program, run.left, run.ended);
        run.put(&frame);
    }
    run.worker.finish(run.now);
    let counters = run.worker.counters();
    assert_eq!((counters.balance(), counters.unbalanced_turns, counters.held), (0, 0, 0));
}

struct Run {
    worker: Worker<MemoryLink, Witness>,
    /// Payload of SYNs may leave.
    allowed: bool,
    now: Timestamp,
    /// The next position that each side has not sent through the worker, by way; 0 is the SYN.
    left: [u32; 2],
    ended: [bool; 2],
}

/// A segment in order, with options.
fn segment(program: &mut Program<'_>, left: [u32; 2], ended: [bool; 2]) -> Frame {
    let (what, len) = (program.byte(), program.byte());
    let way = usize::from(what & 1);
    let flags = match what >> 1 & 7 {
        0..4 => ACK,
        4 => ACK | PSH,
        5 => ACK | FIN,
        6 => SYN | ACK,
        _ => SYN,
    };
    let (flags, len) = if ended[way] { (ACK, 0) } else { (flags, u32::from(len & 31)) };
    let ack = if flags == SYN { 0 } else { left[1 - way] };
    let seq = if flags & SYN == 0 { left[way] } else { 0 };
    let letter = |at: u32| b'a' + (at % 26) as u8;
    let payload: Vec<u8> = (seq..seq + len).map(letter).collect();
    let frame = if way == 0 {
        Frame::client(seq, ack, flags, &payload)
    } else {
        Frame::server(seq, ack, flags, &payload)
    };
    // Blocks near the edge are worth more than any number that a fuzzer hits upon.
    let near = if way == 0 { SERVER_ISN } else { CLIENT_ISN }.wrapping_add(left[1 - way]);
    let mut options = options(program);
    if what & 64 != 0 {
        let (found, _) = naive::options(&options);
        for option in found.iter().filter(|option| option.kind == 5) {
            for (number, edge) in option.body.chunks_exact(4).enumerate() {
                let at = option.at + 2 + 4 * number;
                let delta = i32::from(edge[3].cast_signed());
                options[at..at + 4].copy_from_slice(&near.wrapping_add_signed(delta).to_be_bytes());
            }
        }
    }
    Frame { options, ..frame }
}

/// Up to 40 bytes, filled up to a multiple of four.
fn options(program: &mut Program<'_>) -> Vec<u8> {
    let len = usize::from(program.byte());
    let mut options = program.take(len % 41);
    let fill = if len >= 128 { 0 } else { 1 };
    options.resize(options.len().next_multiple_of(4), fill);
    options
}

impl Run {
    fn put(&mut self, frame: &Frame) {
        self.now = self.now + Duration::from_micros(1);
        let bytes = frame.bytes();
        self.worker.link_mut().inject(frame.port(), &bytes);
        self.worker.poll(self.now);
        let out = self.worker.link_mut().sent(frame.port().peer());
        if super::TRACE {
            println!("{frame:?} left {} times: {:?}", out.len(), self.left);
        }
        assert!(self.worker.link_mut().sent(frame.port()).is_empty(), "nothing is answered");
        assert!(out.len() <= 1, "all is in order, so nothing waits");
        let way = usize::from(frame.port() == Port::B);
        for left in out {
            self.check(way, frame, &Seen::read(frame.port(), &bytes), &left);
        }
        // Rules have read to the edge of what has left. The server may have opened it.
        let ends = [CLIENT, SERVER].map(|end| {
            let end: SocketAddr = end.parse().unwrap();
            Endpoint { addr: end.ip(), port: end.port() }
        });
        if let Some((life, ordinary)) = self.worker.policy().latest(ends[0], ends[1]) {
            let shown = &self.worker.policy().connections[&life];
            for way in 0..2 {
                let side = if ordinary { way } else { 1 - way };
                self.ended[way] = shown.ended[side];
                self.left[way] = 1 + shown.bytes[side].len() as u32 + u32::from(shown.ended[side]);
            }
        }
    }

    /// One frame came and left: header for header what it was, but for what had to change.
    fn check(&self, way: usize, frame: &Frame, came: &Seen, bytes: &[u8]) {
        let left = Seen::read(frame.port().peer(), bytes);
        assert_eq!((left.seq, left.ack, left.ttl), (came.seq, came.ack, came.ttl));
        assert_eq!(left.flags, came.flags);
        let (before, after) = (&frame.options[..], naive::tcp_options(bytes));
        assert_eq!(before.len(), after.len(), "the header is as long as it was");
        let (old, broken) = naive::options(before);
        assert!(!broken, "broken options have left");
        if frame.flags & SYN != 0 {
            let cookie = old.iter().any(|option| option.kind == 34 || is_experiment(option));
            let may = self.allowed && cookie && frame.flags & ACK == 0;
            assert!(left.payload.is_empty() || may, "a SYN with payload");
            // Blocks mean nothing there, and may go.
            let blocks = naive::sack_blocks(before).len();
            assert!(blocks > 0 || before == after, "options of a SYN: {before:?} {after:?}");
            return;
        }
        if self.worker.gauges().flows.iter().sum::<u64>() == 0 {
            // Whoever gets a segment before the handshake is over answers it with a RST.
            assert_eq!(before, after);
            return;
        }
        assert_eq!(left.payload, came.payload);
        let edge = if way == 0 { SERVER_ISN } else { CLIENT_ISN }.wrapping_add(self.left[1 - way]);
        let mut first = true;
        let mut expected = before.to_vec();
        let mut dishonest = false;
        let all = old.iter().filter(|option| option.kind == 5 && option.body.len() % 8 == 0);
        let distance = |a: u32, b: u32| a.wrapping_sub(b).cast_signed();
        let mut exact = true;
        for option in all {
            let mut kept = Vec::new();
            for (block, (from, to)) in naive::blocks(&option.body).into_iter().enumerate() {
                let honest = distance(from, to) < 0 && distance(to, edge) <= 0;
                // Both edges, for numbers may stand half way round.
                let within = |lowest: u32| distance(from, lowest) >= 0 && distance(to, lowest) > 0;
                let above = within(came.ack);
                let duplicate = first && within(came.ack.wrapping_sub(60_000));
                if honest && first && !duplicate {
                    // How far back a duplicate may be reported depends on windows.
                    exact = false;
                }
                first = false;
                if honest && (above || duplicate) {
                    kept.extend(&option.body[8 * block..8 * block + 8]);
                } else {
                    dishonest = true;
                }
            }
            rewrite(&mut expected[option.at..option.at + 2 + option.body.len()], &kept);
        }
        if !dishonest {
            // Where nothing has to go, empty options stay too.
            expected.copy_from_slice(before);
        }
        if exact && expected != after {
            // Options that no stack reads as SACK may go too, once something had to.
            let odd = old.iter().any(|option| option.kind == 5 && option.body.len() % 8 != 0);
            assert!(odd, "{before:?} became {after:?}, not {expected:?}");
        }
        for (from, to) in naive::sack_blocks(after) {
            assert!(distance(from, to) < 0 && distance(to, edge) <= 0, "a dishonest block");
        }
        let others = |options: Vec<RawOption>| -> Vec<RawOption> {
            options.into_iter().filter(|option| option.kind != 5 && option.kind != 1).collect()
        };
        assert_eq!(others(naive::options(after).0), others(old), "other options stay");
    }
}

/// Puts `blocks` into a SACK option, NOPs behind them; none leave NOPs only.
fn rewrite(option: &mut [u8], blocks: &[u8]) {
    option.fill(1);
    if !blocks.is_empty() {
        option[..2].copy_from_slice(&[5, 2 + blocks.len() as u8]);
        option[2..2 + blocks.len()].copy_from_slice(blocks);
    }
}

fn is_experiment(option: &RawOption) -> bool {
    option.kind == 254 && option.body.starts_with(&[0xf9, 0x89])
}

/// The parser against one that only looks for one thing at a time.
fn check_parser(bytes: &[u8]) {
    let parsed = Options::parse(bytes);
    let (found, malformed) = naive::options(bytes);
    let word = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let last = |kind: u8, len: usize| {
        let of_kind = |option: &&RawOption| option.kind == kind && option.body.len() == len;
        found.iter().rfind(of_kind).map(|option| option.body.clone())
    };
    let any = |kind: u8| found.iter().any(|option| option.kind == kind);
    let mut sack = [None; 4];
    for (slot, (left, right)) in sack.iter_mut().zip(naive::sack_blocks(bytes)) {
        *slot = Some((Seq(left), Seq(right)));
    }
    let expected = Options {
        mss: last(2, 2).map(|body| u16::from_be_bytes([body[0], body[1]])),
        window_scale: last(3, 1).map(|body| body[0]),
        sack_permitted: last(4, 0).is_some(),
        timestamps: last(8, 8)
            .map(|body| Timestamps { value: word(&body[..4]), echo: word(&body[4..]) }),
        sack,
        fast_open: any(34) || found.iter().any(is_experiment),
        signed: any(19) || any(29),
        malformed,
    };
    assert_eq!(parsed, expected, "{bytes:?}");
}
