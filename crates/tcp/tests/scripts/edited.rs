//! A changed stream between a sender that repeats and a receiver with a window, on a wire that loses:
//! the receiver gets what the changes make of the input, every byte the same in every copy, and the
//! sender is told that all has arrived.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tollgate_tcp::{Change, EditedStream, Receiver, Retention};
use tollgate_wire::Seq;

use crate::support::KEY;

/// Changes as a rule makes them: offset, bytes erased, bytes in their place.
type Changes = Vec<(usize, usize, Vec<u8>)>;

struct Run {
    rng: SmallRng,
    start: Seq,
    input: Vec<u8>,
    stream: EditedStream,
    /// Bytes of the input that were shown, and that stay back.
    shown: usize,
    held: usize,
    finished: bool,
    /// What the receiver should get in the end, without the FIN.
    expected: Vec<u8>,
    /// What the receiver has got, by position; the FIN is a byte of its own.
    received: BTreeMap<usize, Option<u8>>,
    window: usize,
    /// What the sender knows to have arrived.
    una: usize,
}

fn seq_at(start: Seq, offset: usize) -> Seq {
    start + u32::try_from(offset).unwrap()
}

fn offset(start: Seq, seq: Seq) -> usize {
    usize::try_from(seq.distance(start)).unwrap()
}

/// A receiver that has acknowledged so far, and has room up to `window_edge`.
fn receiver(acknowledged: Seq, window_edge: Seq) -> Receiver {
    Receiver { acknowledged, window_edge, window_max: 500, window_shift: 0 }
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let start =
            Seq(if rng.random() { u32::MAX - rng.random_range(0..300) } else { rng.random() });
        let input: Vec<u8> = (0..rng.random_range(1..800)).map(|_| rng.random()).collect();
        // A part has left before the first edit, all of it or the end of it is known.
        let before = rng.random_range(0..input.len());
        let known = rng.random_range(0..=before);
        let mut kept = Retention::new(start);
        kept.record(start, &input[..before], 10_000, &KEY);
        kept.acknowledged(seq_at(start, before - known));
        let window = rng.random_range(1..500);
        let edge = seq_at(start, before);
        let acknowledged = seq_at(start, before - known);
        let kept = Some(&mut kept).filter(|_| known > 0);
        let stream = EditedStream::new(edge, false, kept, receiver(acknowledged, edge));
        let received = (0..before - known).map(|at| (at, Some(input[at]))).collect();
        let expected = input[..before].to_vec();
        let una = before - known;
        Self {
            rng,
            start,
            input,
            stream,
            shown: before,
            held: 0,
            finished: false,
            expected,
            received,
            window,
            una,
        }
    }

    fn changes(&mut self, len: usize, fin: bool) -> Changes {
        let mut changes = Vec::new();
        let mut at = 0;
        while at <= len && self.rng.random_bool(0.6) && (len > 0 || fin) {
            let start = self.rng.random_range(at..=len);
            let erased = self.rng.random_range(0..=(len - start).min(40));
            let given = if self.rng.random() { 0 } else { self.rng.random_range(0..60) };
            changes.push((start, erased, (0..given).map(|_| self.rng.random()).collect()));
            at = start + erased;
        }
        changes
    }

    /// The next bytes arrive, and are shown and changed.
    fn show(&mut self) {
        let left = self.input.len() - self.shown;
        let fresh = self.rng.random_range(0..=left.min(100));
        let fin = fresh == left && self.rng.random();
        if fresh == 0 && !fin {
            return;
        }
        let event = &self.input[self.shown - self.held..self.shown + fresh].to_vec();
        assert_eq!(self.stream.held(), &event[..self.held]);
        let changes = self.changes(event.len(), fin);
        let hold =
            (!fin && self.rng.random_bool(0.3)).then(|| self.rng.random_range(0..=event.len()));
        let changes: Changes = changes
            .into_iter()
            .filter(|(start, ..)| hold.is_none_or(|hold| *start < hold))
            .collect();
        let list: Vec<_> = changes
            .iter()
            .map(|(start, erased, bytes)| Change { start: *start, erased: *erased, bytes })
            .collect();
        let (one, other) = event[self.held..].split_at(self.rng.random_range(0..=fresh));
        self.stream.take(&[one, other], &list, hold, fin);
        let mut at = 0;
        for (start, erased, bytes) in &changes {
            self.expected.extend(&event[at..*start]);
            self.expected.extend(bytes);
            at = start + erased;
        }
        let end = hold.unwrap_or(event.len()).max(at);
        self.expected.extend(&event[at..end]);
        self.held = event.len() - end;
        self.shown += fresh;
        self.finished |= fin;
    }

    /// The sender sends a part of what was shown, for the first time or again.
    fn send(&mut self) {
        let end = self.shown + usize::from(self.finished);
        // What is lost is repeated now and then, and not only pieces of what follows it.
        let again = self.rng.random();
        let from = if again { self.una } else { self.rng.random_range(self.una..=end) };
        let to = self.rng.random_range(from..=end);
        let Some(span) = self.stream.span(seq_at(self.start, from), seq_at(self.start, to)) else {
            return;
        };
        self.carry(span);
    }

    fn carry(&mut self, (mut from, to): (Seq, Seq)) {
        while from != to {
            let piece = self.stream.piece(from, to, self.rng.random_range(1..100));
            assert!(piece.end().after(from) && piece.end().at_or_before(to));
            let bytes = self.stream.bytes(&piece).concat();
            assert_eq!(u32::try_from(bytes.len()).unwrap(), piece.len);
            let at = offset(self.start, piece.seq);
            let end = at + bytes.len() + usize::from(piece.fin);
            assert!(
                end <= self.expects() + self.window
                    || self.stream.edge_sent().at_or_after(piece.end())
            );
            self.stream.sent(piece.end());
            if self.rng.random_bool(0.7) {
                let units = bytes.into_iter().map(Some).chain(piece.fin.then_some(None));
                for (at, unit) in (at..).zip(units) {
                    let before = self.received.insert(at, unit);
                    assert!(before.is_none_or(|before| before == unit), "two copies differ");
                }
            }
            from = piece.end();
        }
    }

    fn expects(&self) -> usize {
        (0..).take_while(|at| self.received.contains_key(at)).count()
    }

    /// The receiver acknowledges, and what it has room for now leaves.
    fn acknowledge(&mut self) {
        self.window = (self.window + self.rng.random_range(0..20)).min(500);
        let ack = seq_at(self.start, self.expects());
        self.stream.acknowledge(ack, seq_at(ack, self.window));
        let room = self.stream.window_edge();
        let beyond = self.stream.edge_sent() + 1;
        assert!(self.stream.input_ack(beyond, room).after(self.stream.held_from()));
        self.una = offset(self.start, self.stream.input_ack(ack, room));
        // With what is held, if the receiver has all before it; never with what nobody has seen.
        let seen = self.shown + usize::from(self.finished);
        assert!(self.una <= seen);
        let has_all = self.expects() == self.expected.len() + usize::from(self.finished);
        if has_all && !self.stream.is_stuck() {
            assert_eq!(self.una, seen, "nothing keeps the sender waiting");
        }
        assert_eq!(self.stream.settled(), self.stream.input_ack(ack, room));
        if let Some(span) = self.stream.unsent() {
            self.carry(span);
        }
    }

    fn is_over(&self) -> bool {
        self.finished && self.una == self.input.len() + 1
    }
}

/// Three thousand have passed; so many are enough to notice a change.
const RUNS: u64 = 300;

#[test]
fn the_receiver_gets_what_the_changes_make_of_the_input_and_the_sender_is_told() {
    for seed in 0..RUNS {
        let mut run = Run::new(seed);
        let mut rounds = 0;
        while !run.is_over() {
            rounds += 1;
            assert!(rounds < 5000, "seed {seed} has stalled at {:?}", run.stream);
            match run.rng.random_range(0..6) {
                0 if !run.finished => run.show(),
                1..4 => run.send(),
                _ => run.acknowledge(),
            }
        }
        let got: Vec<u8> = run.received.values().copied().flatten().collect();
        assert!(got == run.expected, "seed {seed}");
        assert_eq!(run.received.len(), run.expected.len() + 1, "the FIN is one more");
        assert!(run.stream.is_settled() && run.stream.memory() == 0, "seed {seed}");
    }
}

#[test]
fn an_insertion_takes_a_neighbour_in_behind_it_or_before_it_or_the_fin() {
    let mut stream = EditedStream::new(Seq(100), false, None, receiver(Seq(100), Seq(1000)));
    let insert = |start| Change { start, erased: 0, bytes: b"xyz" };
    stream.take(&[b"abcd"], &[insert(1), insert(4)], None, false);
    let edge = stream.span(Seq(100), Seq(104)).unwrap();
    let piece = stream.piece(edge.0, edge.1, 100);
    assert_eq!(stream.bytes(&piece).concat(), b"axyzbcdxyz");
    stream.sent(edge.1);
    stream.acknowledge(Seq(104), Seq(1000));
    assert_eq!(stream.settled(), Seq(101), "b is in the box of the insertion before it");
    stream.acknowledge(Seq(106), Seq(1000));
    assert_eq!(stream.settled(), Seq(103), "d is in the box of the insertion behind it");
    stream.acknowledge(Seq(110), Seq(1000));
    assert_eq!(stream.settled(), Seq(104));

    stream.take(&[], &[insert(0)], None, true);
    let (from, to) = stream.span(Seq(104), Seq(105)).unwrap();
    let piece = stream.piece(from, to, 100);
    assert!(piece.fin && piece.len == 3);
    stream.sent(to);
    stream.acknowledge(Seq(113), Seq(1000));
    assert_eq!(stream.settled(), Seq(104));
    stream.acknowledge(Seq(114), Seq(1000));
    assert_eq!(stream.settled(), Seq(105));
}

#[test]
fn selective_acknowledgments_name_only_whole_bytes_of_the_sender() {
    let mut stream = EditedStream::new(Seq(0), false, None, receiver(Seq(0), Seq(1000)));
    let grow = Change { start: 2, erased: 2, bytes: b"12345678" };
    stream.take(&[b"abcdef"], &[grow], None, false);
    stream.sent(Seq(12));
    assert_eq!(stream.input_block((Seq(1), Seq(12))), Some((Seq(1), Seq(6))));
    assert_eq!(stream.input_block((Seq(2), Seq(10))), Some((Seq(2), Seq(4))));
    assert_eq!(stream.input_block((Seq(1), Seq(9))), Some((Seq(1), Seq(2))));
    assert_eq!(stream.input_block((Seq(3), Seq(12))), Some((Seq(4), Seq(6))));
    assert_eq!(stream.input_block((Seq(3), Seq(9))), None);
    // What was not sent is not taken for anything that was.
    assert_eq!(stream.input_block((Seq(11), Seq(14))), Some((Seq(5), Seq(8))));
    assert_eq!(stream.input_ack(Seq(13), Seq(1000)), Seq(7));
}

#[test]
fn a_window_that_ends_in_an_edit_ends_before_it_for_the_sender() {
    let mut stream = EditedStream::new(Seq(0), false, None, receiver(Seq(0), Seq(6)));
    let grow = Change { start: 2, erased: 1, bytes: b"12345678" };
    stream.take(&[b"abcdef"], &[grow], None, false);
    assert_eq!(stream.span(Seq(0), Seq(6)), Some((Seq(0), Seq(6))));
    stream.sent(Seq(6));
    assert_eq!(stream.unsent(), None);
    assert_eq!(stream.input_window_edge(Seq(6)), Seq(2));
    stream.acknowledge(Seq(6), Seq(12));
    assert_eq!(stream.unsent(), Some((Seq(6), Seq(12))));
    assert_eq!(stream.input_window_edge(Seq(12)), Seq(5));
    // A repetition brings what is not acknowledged, and what was not sent.
    assert_eq!(stream.span(Seq(2), Seq(4)), Some((Seq(6), Seq(11))));
}
