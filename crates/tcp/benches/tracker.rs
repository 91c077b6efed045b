//! What a segment costs in the tracker and the reassembler.
#![allow(missing_docs, reason = "criterion's macros define undocumented functions")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tollgate_tcp::{
    Gap, Handshake, Limits, Next, Payload, Progress, Push, Reassembler, Retention, Segment, Step,
    Tracker,
};
use tollgate_wire::{Direction, Flags, Options, Seq, Timestamp, Timestamps};

const LEN: u32 = 1448;
const NOW: Timestamp = Timestamp::from_secs(1);

/// A buffer as the engine has it: a handle, whose bytes are elsewhere.
struct Frame(Box<[u8]>);

impl Payload for Frame {
    fn payload(&self) -> &[u8] {
        &self.0
    }
    fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

fn frame() -> Frame {
    Frame(vec![0; LEN as usize].into_boxed_slice())
}

fn segment(seq: u32, ack: u32, flags: Flags, len: u32) -> Segment {
    let timestamps = Some(Timestamps { value: 1, echo: 1 });
    let options = Options { window_scale: Some(7), timestamps, ..Options::default() };
    Segment { seq: Seq(seq), ack: Seq(ack), flags, window: 65_535, len, options }
}

fn established() -> Tracker {
    let mut handshake = Handshake::open(&segment(0, 0, Flags::SYN, 0)).expect("a proper SYN");
    let syn_ack = segment(0, 1, Flags::SYN | Flags::ACK, 0);
    handshake.segment(Direction::ToClient, &syn_ack).expect("it answers the SYN");
    let ack = segment(1, 1, Flags::ACK, 0);
    let progress = handshake.segment(Direction::ToServer, &ack).expect("it answers the SYN-ACK");
    assert_eq!(progress, Progress::Established);
    handshake.establish()
}

/// Data one way and an ACK for it the other, through tracker and reassembler.
fn in_order(c: &mut Criterion) {
    let mut group = c.benchmark_group("in order");
    group.throughput(Throughput::Elements(2));
    let mut tracker = established();
    let mut stream = Reassembler::new(tracker.start(Direction::ToServer));
    let limits = Limits::default();
    let mut data = segment(1, 1, Flags::ACK, LEN);
    let mut ack = segment(1, 1, Flags::ACK, 0);
    let mut buffer = Some(frame());
    group.bench_function("data and its ACK", |b| {
        b.iter(|| {
            let step = tracker.segment(Direction::ToServer, black_box(&data), NOW);
            assert!(matches!(step, Ok(Step::Data { .. })));
            let Some(owned) = buffer.take() else { return };
            let Push::Ready(ready) = stream.push(data.seq, false, owned, Gap::Forward, &limits)
            else {
                return;
            };
            buffer = Some(ready.buffer);
            tracker.committed(Direction::ToServer, stream.next(), false);
            tracker.forwarded(Direction::ToServer, stream.next());
            data.seq += LEN;
            ack.ack = data.seq;
            let step = tracker.segment(Direction::ToClient, black_box(&ack), NOW);
            assert!(matches!(step, Ok(Step::Pass)));
        });
    });
    group.finish();
}

/// What it costs to remember a payload until it is acknowledged, and to compare a copy with it.
fn retained(c: &mut Criterion) {
    let mut group = c.benchmark_group("retained");
    group.throughput(Throughput::Bytes(u64::from(LEN)));
    let payload = frame();
    let key = std::hash::RandomState::new();
    let mut retention = Retention::new(Seq(0));
    let mut seq = Seq(0);
    group.bench_function("remember and forget", |b| {
        b.iter(|| {
            retention.record(seq, black_box(&payload.0), 1 << 20, &key);
            seq += LEN;
            // A window of 64 segments is in flight.
            retention.acknowledged(seq - 64 * LEN);
        });
    });
    let mut copy = frame();
    group.bench_function("verify a copy", |b| {
        b.iter(|| retention.check(seq - 32 * LEN, black_box(&mut copy.0), &key));
    });
    group.finish();
}

/// Sixty-four segments whose first comes last.
fn out_of_order(c: &mut Criterion) {
    const COUNT: u32 = 64;
    let mut group = c.benchmark_group("out of order");
    group.throughput(Throughput::Elements(u64::from(COUNT)));
    let limits = Limits::default();
    let orders: [(&str, Vec<u32>); 3] = [
        ("behind one hole", (1..COUNT).chain([0]).collect()),
        ("in reverse", (0..COUNT).rev().collect()),
        ("every other one first", (1..COUNT).step_by(2).chain((0..COUNT).step_by(2)).collect()),
    ];
    let ways = [("held", Gap::Hold), ("forwarded", Gap::Forward)];
    for ((name, order), (way, gap)) in orders.iter().flat_map(|order| ways.map(|way| (order, way)))
    {
        group.bench_function(format!("{name}, {way}"), |b| {
            let frames = || (0..COUNT).map(|_| frame()).collect::<Vec<_>>();
            let run = |mut frames: Vec<Frame>| {
                let mut stream = Reassembler::new(Seq(0));
                let mut popped = Vec::with_capacity(frames.len());
                let mut left = Vec::with_capacity(frames.len());
                for number in order {
                    let Some(owned) = frames.pop() else { break };
                    match stream.push(Seq(number * LEN), false, owned, gap, &limits) {
                        Push::Ready(ready) => popped.push(Next::Held(ready)),
                        Push::Early(early) => left.push(early.buffer),
                        _ => {}
                    }
                    popped.extend(std::iter::from_fn(|| stream.pop()));
                }
                assert_eq!(stream.next(), Seq(COUNT * LEN));
                (popped, left)
            };
            b.iter_batched(frames, run, BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, in_order, retained, out_of_order);
criterion_main!(benches);
