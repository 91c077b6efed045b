//! The reassembler against a naive one: a map from position to byte where the first wins.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tollgate_tcp::{Early, Forwarded, Gap, Limits, Next, Push, Ready, Reassembler};
use tollgate_wire::{Flags, Seq};

use crate::support::{C, Packet, cases, gaps};

/// One segment: where it begins, how long it is, whether a FIN follows.
#[derive(Clone, Debug)]
struct Arrival {
    offset: i32,
    len: usize,
    fin: bool,
}

#[derive(Default)]
struct Naive {
    bytes: BTreeMap<i32, u8>,
    fin: Option<i32>,
    edge: i32,
}

impl Naive {
    /// Takes a segment; says whether anything in it was new.
    fn push(&mut self, arrival: &Arrival, fill: u8) -> bool {
        let end = arrival.offset + i32::try_from(arrival.len).unwrap();
        let stop = self.fin.map_or(end, |fin| fin.min(end));
        let mut new = false;
        for position in arrival.offset.max(0)..stop {
            self.bytes.entry(position).or_insert_with(|| {
                new = true;
                fill
            });
        }
        let beyond = self.bytes.range(end..).next().is_some();
        if arrival.fin && self.fin.is_none() && !beyond && end >= self.edge {
            self.fin = Some(end);
            new = true;
        }
        while self.bytes.contains_key(&self.edge) {
            self.edge += 1;
        }
        new
    }

    fn prefix(&self) -> Vec<u8> {
        (0..self.edge).map(|position| self.bytes[&position]).collect()
    }

    /// Whether anything lies beyond a gap.
    fn is_waiting(&self) -> bool {
        self.bytes.range(self.edge..).next().is_some()
            || self.fin.is_some_and(|fin| fin > self.edge)
    }

    /// Bytes beyond the gap, and runs of them.
    fn beyond(&self) -> (u32, u32) {
        let (mut bytes, mut runs, mut end) = (0, 0, None);
        for (&position, _) in self.bytes.range(self.edge..) {
            bytes += 1;
            runs += u32::from(end != Some(position));
            end = Some(position + 1);
        }
        (bytes, runs)
    }

    fn ended(&self) -> bool {
        self.fin == Some(self.edge)
    }
}

/// What has come out of the reassembler.
struct Out {
    start: Seq,
    shown: Vec<u8>,
    ended: bool,
    /// Every copy of a position that left, unless it was committed before it arrived.
    copies: Vec<(i32, u8)>,
    /// Where FINs stood that left.
    fins: Vec<i32>,
}

impl Out {
    fn take(&mut self, ready: Ready<Packet>, edge_at_arrival: i32) {
        let Ready { buffer, fresh, fin, keep, keep_fin, .. } = ready;
        let offset = buffer.segment().data_seq().distance(self.start);
        assert!(!self.ended || (fresh.is_empty() && !fin), "nothing after the end");
        assert!(fresh.end <= keep && keep as usize <= buffer.bytes.len());
        assert!(!keep_fin || buffer.flags.contains(Flags::FIN), "no FIN out of nothing");
        let fresh = fresh.start as usize..fresh.end as usize;
        if !fresh.is_empty() {
            let at = offset + i32::try_from(fresh.start).unwrap();
            assert_eq!(at, i32::try_from(self.shown.len()).unwrap(), "shown in order, once");
        }
        self.shown.extend_from_slice(&buffer.bytes[fresh]);
        self.ended |= fin;
        for (index, &byte) in buffer.bytes[..keep as usize].iter().enumerate() {
            let position = offset + i32::try_from(index).unwrap();
            if position >= edge_at_arrival {
                self.copies.push((position, byte));
            }
        }
        if keep_fin {
            self.fins.push(offset + i32::try_from(keep).unwrap());
        }
    }

    fn show(&mut self, Forwarded { mut bytes, fresh, seq, fin }: Forwarded) {
        assert!(!self.ended || (fresh.is_empty() && !fin), "nothing after the end");
        assert!(!fresh.is_empty() || fin, "what brings nothing does not come out");
        let at = usize::try_from(seq.distance(self.start)).unwrap();
        assert_eq!(at, self.shown.len(), "in order, once");
        let fresh = fresh.start as usize..fresh.end as usize;
        self.shown.extend_from_slice(&bytes.make_contiguous()[fresh]);
        self.ended |= fin;
    }

    /// What leaves ahead of its turn.
    fn early(&mut self, early: &Early<Packet>) {
        let offset = early.buffer.segment().data_seq().distance(self.start);
        let has_fin = early.buffer.flags.contains(Flags::FIN);
        assert!(!early.keep_fin || has_fin, "no FIN out of nothing");
        for (position, &byte) in (offset..).zip(&early.buffer.bytes[..early.keep as usize]) {
            self.copies.push((position, byte));
        }
        if early.keep_fin {
            self.fins.push(offset + i32::try_from(early.keep).unwrap());
        }
    }
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let arrival = (-3..60_i32, 0..14_usize, prop::bool::weighted(0.04))
        .prop_map(|(offset, len, fin)| Arrival { offset, len, fin });
    prop::collection::vec(arrival, 1..60)
}

fn packet(start: Seq, arrival: &Arrival, fill: u8) -> Packet {
    let seq = start.0.wrapping_add_signed(arrival.offset);
    let flags = if arrival.fin { Flags::ACK | Flags::FIN } else { Flags::ACK };
    Packet::new(C, seq, 0, flags, &vec![fill; arrival.len])
}

fn run(start: Seq, arrivals: &[Arrival], gap: Gap, limits: &Limits) -> Result<(), TestCaseError> {
    let mut naive = Naive::default();
    let mut stream = Reassembler::new(start);
    let mut out =
        Out { start, shown: Vec::new(), ended: false, copies: Vec::new(), fins: Vec::new() };
    let mut inside = 0;
    for (arrival, fill) in arrivals.iter().zip((b'A'..=b'z').cycle()) {
        let edge = naive.edge;
        let buffer = packet(start, arrival, fill);
        match stream.push(buffer.segment().data_seq(), arrival.fin, buffer.clone(), gap, limits) {
            Push::Full(back, _) => {
                prop_assert_eq!(back, buffer, "what is refused is unchanged");
                prop_assert!(arrival.offset > edge, "the hole is always filled");
                continue;
            }
            Push::Ready(ready) => {
                naive.push(arrival, fill);
                out.take(ready, edge);
                while let Some(next) = stream.pop() {
                    match next {
                        Next::Held(ready) => {
                            out.take(ready, 0);
                            inside -= 1;
                        }
                        Next::Forwarded(forwarded) => out.show(forwarded),
                    }
                }
            }
            Push::Early(early) => {
                prop_assert_eq!(gap, Gap::Forward);
                prop_assert_eq!(naive.push(arrival, fill), early.new);
                out.early(&early);
            }
            Push::Held => {
                prop_assert_eq!(gap, Gap::Hold);
                prop_assert!(naive.push(arrival, fill), "what is held brings something");
                inside += 1;
            }
            Push::Duplicate(back) => {
                prop_assert_eq!(back, buffer);
                prop_assert!(!naive.push(arrival, fill));
            }
            Push::Redundant(_) | Push::Stray(_) => prop_assert!(!naive.push(arrival, fill)),
        }
        prop_assert_eq!(&out.shown, &naive.prefix());
        prop_assert_eq!(out.ended, naive.ended());
        prop_assert_eq!(stream.is_finished(), naive.ended());
        prop_assert_eq!(stream.offset(), u64::try_from(naive.edge).unwrap());
        let next = start + naive.edge.cast_unsigned() + u32::from(naive.ended());
        prop_assert_eq!(stream.next(), next);
        let held = stream.held();
        prop_assert_eq!(held.frames, inside);
        prop_assert!(held.frames <= limits.frames && held.bytes <= limits.bytes);
        prop_assert!(held.extents <= limits.extents);
        prop_assert_eq!(stream.is_waiting(), naive.is_waiting());
        if gap == Gap::Forward {
            prop_assert_eq!((held.bytes, held.extents), naive.beyond());
        }
    }
    // Receivers that prefer the first copy and those that prefer the last read the same (N12).
    for (position, byte) in &out.copies {
        prop_assert_eq!(naive.bytes.get(position), Some(byte), "at {}", position);
    }
    for fin in &out.fins {
        prop_assert_eq!(naive.fin, Some(*fin), "a FIN never moves");
    }
    let held = stream.held().frames;
    prop_assert_eq!(u32::try_from(stream.drain().count()).unwrap(), held);
    Ok(())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_reassembler_agrees_with_a_map_of_first_bytes(
        start in any::<u32>(), list in arrivals(), gap in gaps()
    ) {
        let limits = Limits { frames: 1000, bytes: 100_000, extents: 1000 };
        run(Seq(start), &list, gap, &limits)?;
    }

    #[test]
    fn numbers_that_wrap_change_nothing(back in 0..60_u32, list in arrivals(), gap in gaps()) {
        run(Seq(0) - back, &list, gap, &Limits::default())?;
    }

    #[test]
    fn a_bound_refuses_and_breaks_nothing(
        list in arrivals(), gap in gaps(), frames in 0..6_u32, bytes in 0..40_u32, extents in 0..4_u32
    ) {
        run(Seq(7), &list, gap, &Limits { frames, bytes, extents })?;
    }
}
