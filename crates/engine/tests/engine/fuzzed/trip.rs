//! What has left of one connection, seen from behind the worker: every byte, FIN and SYN of both
//! ways, what receivers make of them, and what must hold of the next frame.

use std::collections::BTreeMap;

use super::naive;
use super::stacks::{Stack, Taste};
use super::witness::Shown;
use crate::common::{ACK, FIN, RST, SYN, Seen};

const URG: u8 = 32;

/// One connection, from its first SYN on. Way 0 leads from A's side to B's.
#[derive(Debug, Default)]
pub(crate) struct Trip {
    pub(crate) ways: [Way; 2],
    pub(crate) established: bool,
}

/// What has left one way.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// Numbers of SYNs.
    syns: Vec<u32>,
    /// By sequence number.
    bytes: BTreeMap<u32, u8>,
    fin: Option<u32>,
    /// The number of the first byte of the stream, once that is agreed.
    pub(crate) start: u32,
    /// What has left without a hole, as a position in the stream.
    pub(crate) edge: u32,
    /// The highest acknowledgment that has left for what this way carries, as such a position.
    pub(crate) acknowledged: u32,
    stacks: Vec<Stack>,
}

impl Way {
    fn begin(&mut self, start: u32) {
        self.start = start;
        self.stacks = Taste::ALL.map(Stack::new).into();
        // What left with a SYN was the front of the stream, or there would be another connection.
        let early: Vec<u8> =
            (0..).map_while(|at| self.bytes.get(&start.wrapping_add(at)).copied()).collect();
        assert_eq!(early.len(), self.bytes.len(), "early data");
        self.feed(start, &early, false);
        self.advance();
    }

    fn feed(&mut self, seq: u32, payload: &[u8], fin: bool) {
        let start = i64::from(seq.wrapping_sub(self.start).cast_signed());
        for stack in &mut self.stacks {
            stack.receive(start, payload, fin);
        }
    }

    fn advance(&mut self) {
        while self.bytes.contains_key(&self.start.wrapping_add(self.edge))
            || self.fin == Some(self.start.wrapping_add(self.edge))
        {
            self.edge += 1;
        }
    }

    /// Whether its FIN is among what has left without a hole.
    fn fin_left(&self) -> bool {
        self.fin.is_some_and(|fin| self.start.wrapping_add(self.edge) == fin.wrapping_add(1))
    }

    /// The number of the SYN that `ack` acknowledges, with payload that left beside it or not.
    pub(crate) fn answered(&self, ack: u32) -> u32 {
        let early = self.bytes.len() as u32;
        let behind = |isn: &&u32| (1..=1 + early).contains(&ack.wrapping_sub(**isn));
        self.syns.iter().find(behind).copied().unwrap_or_else(|| ack.wrapping_sub(1))
    }

    fn position(&self, seq: u32) -> i64 {
        i64::from(seq.wrapping_sub(self.start).cast_signed())
    }

    /// Notes what a frame carries; every copy of a position says the same.
    fn note(&mut self, seen: &Seen) {
        let first = seen.seq.wrapping_add(u32::from(seen.has(SYN)));
        let mut seq = first;
        for byte in &seen.payload {
            let before = *self.bytes.entry(seq).or_insert(*byte);
            assert_eq!(before, *byte, "two copies of {seq} differ");
            assert!(
                self.fin.is_none_or(|fin| seq.wrapping_sub(fin).cast_signed() < 0),
                "after FIN"
            );
            seq = seq.wrapping_add(1);
        }
        if seen.has(FIN) {
            assert_eq!(*self.fin.get_or_insert(seq), seq, "two FINs");
            let beyond = |other: &u32| other.wrapping_sub(seq).cast_signed() >= 0;
            assert!(!self.bytes.keys().any(beyond), "bytes beyond the FIN");
        }
    }
}

impl Trip {
    /// The numbers of the first bytes are agreed: `starts` by way.
    pub(crate) fn establish(&mut self, starts: [u32; 2]) {
        self.established = true;
        for (way, start) in self.ways.iter_mut().zip(starts) {
            assert!(way.syns.contains(&start.wrapping_sub(1)), "its SYN has not left");
            way.begin(start);
        }
    }

    /// A frame leaves along `way`; `options` are its TCP options.
    pub(crate) fn left(&mut self, way: usize, seen: &Seen, options: &[u8], shown: &Shown) {
        assert!(!seen.has(URG), "an urgent pointer has left");
        if seen.has(RST) {
            assert!(seen.payload.is_empty(), "a RST with payload");
            return;
        }
        assert!(!shown.condemned, "something has left after the verdict");
        if seen.has(SYN) {
            self.ways[way].syns.push(seen.seq);
        }
        if !self.established {
            self.left_early(way, seen);
            return;
        }
        assert!(!seen.has(SYN) || seen.payload.is_empty(), "a SYN with payload");
        if !seen.has(SYN) || seen.has(ACK) {
            assert!(seen.has(ACK), "no ACK bit");
            let acknowledged = &self.ways[1 - way];
            let ack = acknowledged.position(seen.ack);
            assert!(ack <= i64::from(acknowledged.edge), "acknowledges what has not left");
        }
        if !seen.payload.is_empty() {
            assert!(self.ways[way].position(seen.seq) >= 0, "payload before the first byte");
        }
        self.check_sack(way, options);
        let carrier = &mut self.ways[way];
        carrier.note(seen);
        if !seen.has(SYN) {
            carrier.feed(seen.seq, &seen.payload, seen.has(FIN));
        }
        carrier.advance();
        let acknowledged = &mut self.ways[1 - way];
        if !seen.has(SYN)
            && let Ok(ack) = u32::try_from(acknowledged.position(seen.ack))
        {
            acknowledged.acknowledged = acknowledged.acknowledged.max(ack);
        }
    }

    /// Before the connection is established nothing leaves but SYNs and what has no payload.
    fn left_early(&mut self, way: usize, seen: &Seen) {
        assert!(seen.has(SYN) || seen.payload.is_empty(), "payload before the handshake is over");
        assert!(
            !seen.has(SYN) || !seen.has(ACK) || seen.payload.is_empty(),
            "SYN-ACK with payload"
        );
        assert!(!seen.has(FIN), "a FIN before the handshake is over");
        self.ways[way].note(seen);
        if seen.has(SYN) && seen.has(ACK) {
            let answered = &self.ways[1 - way];
            let early = answered.bytes.len() as u32;
            let honest = |isn: &u32| (1..=1 + early).contains(&seen.ack.wrapping_sub(*isn));
            assert!(answered.syns.iter().any(honest), "acknowledges no SYN that has left");
        }
    }

    /// No block reaches beyond the furthest byte that has left towards its sender (case D10). One that
    /// names a hole before it fools nobody but its sender, which waits for these bytes itself.
    fn check_sack(&self, way: usize, options: &[u8]) {
        let named = &self.ways[1 - way];
        let left_until = named.bytes.keys().chain(&named.fin).map(|seq| named.position(*seq) + 1);
        let furthest = left_until.max().unwrap_or(0).max(named.edge.into());
        for (left, right) in naive::sack_blocks(options) {
            let (left, right) = (named.position(left), named.position(right));
            assert!(left < right, "an empty block");
            assert!(right <= furthest, "a block names {right}, beyond {furthest}");
        }
    }

    /// A RST was believed: it stands at the exact edge, or at the FIN before it.
    pub(crate) fn check_reset(&self, way: usize, seq: u32) {
        let way = &self.ways[way];
        let position = way.position(seq);
        let edge = i64::from(way.edge);
        assert!(
            position == edge || (way.fin_left() && position == edge - 1),
            "a RST at {position} was believed, the edge is {edge}"
        );
    }

    /// Whatever copy a receiver prefers, it has read what rules were shown; `turned` when way 0
    /// carries what the second to send a SYN says.
    pub(crate) fn check_read(&self, shown: &Shown, turned: bool) {
        if !self.established {
            return;
        }
        for (number, way) in self.ways.iter().enumerate() {
            let side = usize::from(turned) ^ number;
            let (bytes, ended) = (&shown.bytes[side], shown.ended[side]);
            for stack in &way.stacks {
                assert!(
                    bytes.starts_with(&stack.read),
                    "{number}: read what was not shown: {stack:?}"
                );
                assert!(!stack.ended || (ended && stack.read.len() == bytes.len()), "{stack:?}");
                let all = stack.read.len() == bytes.len() && stack.ended == ended;
                assert!(shown.condemned || all, "{number}: shown, not sent: {stack:?} {shown:?}");
            }
        }
    }
}
