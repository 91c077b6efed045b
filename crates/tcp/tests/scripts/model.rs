//! Two honest endpoints through the gate, over a network that loses, repeats and reorders on both
//! sides of it. No honest segment may be refused, both streams must arrive whole, and the tracker
//! must see the end.

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tollgate_tcp::{Invalid, State};
use tollgate_wire::{Direction, Flags, Seq, Timestamp};

use crate::support::{C, Fate, Gate, Packet, S, cases};

const MSS: usize = 100;

/// One TCP, simplified: everything is retransmitted at random instead of by a timer.
struct Endpoint {
    way: Direction,
    scale: u8,
    peer_scale: u8,
    timestamps: bool,
    data: Vec<u8>,
    iss: u32,
    /// Offsets into data; `data.len()` is the FIN, one more its acknowledgment.
    una: usize,
    nxt: usize,
    /// The peer's right edge, as an offset.
    edge: usize,
    irs: Option<u32>,
    received: Vec<u8>,
    ahead: BTreeMap<usize, u8>,
    peer_fin: Option<usize>,
    /// Received bytes that the reader has taken: the window is what is left of the buffer.
    read: usize,
    buffer: usize,
    ts_recent: u32,
    synchronised: bool,
}

impl Endpoint {
    fn new(way: Direction, rng: &mut SmallRng, timestamps: bool) -> Self {
        let len = rng.random_range(0..4000);
        Self {
            way,
            scale: rng.random_range(0..5),
            peer_scale: 0,
            timestamps,
            data: (0..len).map(|_| rng.random()).collect(),
            iss: if rng.random() {
                0_u32.wrapping_sub(rng.random_range(0..3000))
            } else {
                rng.random()
            },
            una: 0,
            nxt: 0,
            edge: 0,
            irs: None,
            received: Vec::new(),
            ahead: BTreeMap::new(),
            peer_fin: None,
            read: 0,
            buffer: rng.random_range(200..3000),
            ts_recent: 0,
            synchronised: false,
        }
    }

    fn window(&self) -> u16 {
        let room = self.buffer - (self.received.len() - self.read);
        u16::try_from(room >> self.scale).unwrap_or(u16::MAX)
    }

    fn rcv_nxt(&self) -> u32 {
        let fin = self.peer_fin == Some(self.received.len());
        let bytes = u32::try_from(self.received.len()).unwrap();
        self.irs.unwrap().wrapping_add(1 + bytes + u32::from(fin))
    }

    fn segment(&self, from: usize, to: usize, clock: u32) -> Packet {
        let seq = self.iss.wrapping_add(1 + u32::try_from(from).unwrap());
        let mut flags = Flags::ACK;
        flags.set(Flags::FIN, from <= self.data.len() && to > self.data.len());
        let bytes = &self.data[from.min(self.data.len())..to.min(self.data.len())];
        let packet = Packet::new(self.way, seq, self.rcv_nxt(), flags, bytes).window(self.window());
        if self.timestamps { packet.timestamp(clock) } else { packet }
    }

    fn syn(&self, clock: u32) -> Packet {
        let flags = if self.irs.is_some() { Flags::SYN | Flags::ACK } else { Flags::SYN };
        let ack = self.irs.map_or(0, |irs| irs.wrapping_add(1));
        let window = u16::try_from(self.buffer).unwrap();
        let packet =
            Packet::new(self.way, self.iss, ack, flags, b"").window(window).scale(self.scale);
        if self.timestamps { packet.timestamp(clock) } else { packet }
    }

    /// What it feels like sending now.
    fn tick(&mut self, rng: &mut SmallRng, clock: u32) -> Option<Packet> {
        if !self.synchronised {
            return (self.way == C || self.irs.is_some()).then(|| self.syn(clock));
        }
        self.read = rng.random_range(self.read..=self.received.len());
        let end = self.data.len() + 1;
        match rng.random_range(0..10) {
            // New data, as far as the window allows; a FIN needs none.
            0..5 if self.nxt < end => {
                let size = if rng.random_ratio(1, 8) { 5 * MSS } else { rng.random_range(1..=MSS) };
                let mut to = (self.nxt + size).min(self.edge).min(self.data.len());
                if to <= self.nxt && self.nxt < self.data.len() {
                    // A probe of a closed window: one byte beyond it.
                    if self.una < self.nxt || self.edge > self.nxt {
                        return None;
                    }
                    return Some(self.segment(self.nxt, self.nxt + 1, clock));
                }
                to = to.max(self.nxt);
                if to == self.data.len() && rng.random() {
                    to = end;
                }
                let packet = self.segment(self.nxt, to, clock);
                self.nxt = to;
                Some(packet)
            }
            // Something again, cut anew.
            5..8 if self.una < self.nxt => {
                let from =
                    if rng.random() { self.una } else { rng.random_range(self.una..self.nxt) };
                let to = (from + rng.random_range(1..=3 * MSS)).min(self.nxt);
                Some(self.segment(from, to, clock))
            }
            // A keep-alive.
            8 if self.una == self.nxt && self.nxt > 0 && self.nxt <= self.data.len() => {
                let len = usize::from(rng.random::<bool>());
                let mut packet = self.segment(self.nxt - 1, self.nxt - 1 + len, clock);
                packet.bytes.fill(b'?');
                Some(packet)
            }
            _ => Some(self.segment(self.nxt, self.nxt, clock)),
        }
    }

    /// Takes a packet; true when it wants to be acknowledged.
    fn receive(&mut self, packet: &Packet) -> bool {
        let segment = packet.segment();
        if segment.has(Flags::SYN) {
            assert!(packet.bytes.is_empty());
            if self.irs.is_none() && segment.has(Flags::ACK) == (self.way == C) {
                self.irs = Some(packet.seq);
                self.edge = usize::from(packet.window);
                self.ts_recent = packet.options.timestamps.map_or(0, |clock| clock.value);
                self.synchronised = self.way == C;
            }
            // Once synchronised, a challenge.
            return self.synchronised;
        }
        let Some(irs) = self.irs else { return false };
        let from = segment.seq.distance(Seq(irs) + 1);
        let old = packet.options.timestamps.is_some_and(|clock| {
            self.timestamps && clock.value.wrapping_sub(self.ts_recent).cast_signed() < 0
        });
        let expected = Seq(self.rcv_nxt());
        let window_end = expected + u32::try_from(self.buffer).unwrap();
        if segment.end().before(expected) || segment.seq.after(window_end) || old {
            return true;
        }
        let acked = segment.ack.distance(Seq(self.iss) + 1);
        let Ok(acked) = usize::try_from(acked) else { return true };
        assert!(acked <= self.nxt.max(self.una) + 1, "an ACK of what was never sent");
        self.synchronised = true;
        if let Some(clock) =
            packet.options.timestamps.filter(|_| segment.seq.at_or_before(expected))
        {
            self.ts_recent = clock.value;
        }
        self.una = self.una.max(acked);
        // A probe's byte may be taken though it was not counted as sent.
        self.nxt = self.nxt.max(self.una);
        self.edge = self.edge.max(acked + (usize::from(packet.window) << self.peer_scale));
        let room = self.read + self.buffer;
        for (index, &byte) in packet.bytes.iter().enumerate() {
            let Ok(at) = usize::try_from(from + i32::try_from(index).unwrap()) else { continue };
            if at >= self.received.len() && at < room {
                self.ahead.entry(at).or_insert(byte);
            }
        }
        if segment.has(Flags::FIN) {
            let at = usize::try_from(from).unwrap() + packet.bytes.len();
            self.peer_fin = Some(at);
        }
        while let Some(byte) = self.ahead.remove(&self.received.len()) {
            self.received.push(byte);
        }
        !packet.bytes.is_empty() || segment.has(Flags::FIN)
    }

    fn progress(&self) -> String {
        let (una, nxt, edge, received) = (self.una, self.nxt, self.edge, self.received.len());
        let (len, fin) = (self.data.len(), self.peer_fin);
        format!("una {una} nxt {nxt} edge {edge} of {len}; received {received}, FIN at {fin:?}")
    }

    fn is_done(&self) -> bool {
        self.una == self.data.len() + 1 && self.peer_fin == Some(self.received.len())
    }
}

/// One direction of one cable.
#[derive(Default)]
struct Cable(VecDeque<Packet>);

impl Cable {
    fn send(&mut self, packet: Packet, rng: &mut SmallRng) {
        if self.0.len() > 30 || rng.random_ratio(1, 10) {
            return;
        }
        if rng.random_ratio(1, 10) {
            self.0.push_back(packet.clone());
        }
        self.0.push_back(packet);
    }

    fn receive(&mut self, rng: &mut SmallRng) -> Option<Packet> {
        let index = if rng.random_ratio(1, 4) { rng.random_range(0..4) } else { 0 };
        self.0.remove(index.min(self.0.len().checked_sub(1)?))
    }
}

fn run(seed: u64) {
    let rng = &mut SmallRng::seed_from_u64(seed);
    let timestamps = rng.random();
    let mut ends = [Endpoint::new(C, rng, timestamps), Endpoint::new(S, rng, timestamps)];
    let scales = [ends[0].scale, ends[1].scale];
    ends[0].peer_scale = scales[1];
    ends[1].peer_scale = scales[0];
    let mut gate = Gate::default();
    let mut before: [Cable; 2] = Default::default();
    let mut after: [Cable; 2] = Default::default();
    for step in 0..400_000_u32 {
        let clock = 1000 + step / 16;
        gate.now = Timestamp(1_000_000_000_000 + u64::from(step) * 1_000_000);
        let side = usize::from(rng.random::<bool>());
        match rng.random_range(0..3) {
            0 => {
                if let Some(packet) = ends[side].tick(rng, clock) {
                    before[side].send(packet, rng);
                }
            }
            1 => {
                let Some(packet) = before[side].receive(rng) else { continue };
                match gate.packet(packet.clone()) {
                    Fate::Left(packets) => {
                        for packet in packets {
                            after[side].send(packet, rng);
                        }
                    }
                    Fate::Held | Fate::Redundant => {}
                    // An old copy that the receiver would not take either.
                    Fate::Dropped(Invalid::Paws) => assert!(timestamps),
                    refused => panic!("seed {seed}, step {step}: {refused:?} of {packet:?}"),
                }
            }
            _ => {
                let Some(packet) = after[side].receive(rng) else { continue };
                let receiver = &mut ends[1 - side];
                if receiver.receive(&packet) && receiver.synchronised {
                    let ack = receiver.segment(receiver.nxt, receiver.nxt, clock);
                    before[1 - side].send(ack, rng);
                }
            }
        }
        if ends.iter().all(Endpoint::is_done) && gate.state() == Some(State::TimeWait) {
            break;
        }
    }
    let progress: Vec<String> = ends.iter().map(Endpoint::progress).collect();
    assert_eq!(gate.state(), Some(State::TimeWait), "seed {seed}: {progress:#?} {gate:?}");
    assert!(!gate.reset && gate.reopened == 0);
    for (end, peer) in [(0, 1), (1, 0)] {
        assert!(ends[end].data == ends[peer].received, "seed {seed}: what arrived");
        let way = ends[end].way;
        assert!(ends[end].data == gate.open().streams[way].shown, "seed {seed}: what was shown");
        assert!(gate.open().streams[way].ended);
    }
}

#[test]
fn no_honest_segment_is_refused_and_both_streams_arrive_whole() {
    for seed in 0..u64::from(cases().cases) / 8 {
        run(seed);
    }
}
