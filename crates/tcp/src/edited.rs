//! One direction of a stream whose bytes are changed on their way.
//!
//! What the sender sends is only what the output is made of: the changed bytes are kept here, as the
//! receiver numbers them, from its cumulative acknowledgment on. Whatever leaves is cut from them, so
//! that every copy of a byte is the same, however the sender cuts its repetitions. It is the sender
//! who repeats, for an edit that is not acknowledged whole is not acknowledged to him
//! ([`EditMap`]); nothing here has a timer.
//!
//! Bytes that are held back are an exception to that. A sender whose next segment was lost repeats only
//! what is not acknowledged first, and that would be them, for ever. So as soon as the receiver has all
//! output before them, the sender is told that they have arrived, and this stream vouches for them: a
//! repetition that begins where the sender was told to go on brings what became of them as well. There
//! is such a repetition whenever it is needed, since they are only let go by bytes that follow.
//!
//! The receiver's window is respected: what does not fit stays here unsent, until an acknowledgment
//! makes room.

mod writer;

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::iter;
use std::time::Duration;

use tollgate_wire::{Seq, Timestamp};

use crate::said::Said;
use crate::{EditMap, Retention};
use writer::{Source, Writer};

/// The output of one direction, and its two numberings.
///
/// Invariants, in the receiver's numbers: `acknowledged <= sent <= map.edge()`; `bytes` are those
/// from `first` up to there, without the FIN; `first` is beyond `acknowledged` only while bytes that
/// left before the first edit are not acknowledged and were not retained.
#[derive(Clone, Debug)]
pub struct EditedStream {
    map: EditMap,
    first: Seq,
    bytes: VecDeque<u8>,
    /// A FIN stands behind the last byte.
    finished: bool,
    sent: Seq,
    acknowledged: Seq,
    /// Right-most window edge that the receiver has offered.
    window_edge: Seq,
    /// Widest window that the receiver has offered, in bytes.
    window_max: u32,
    window_shift: u8,
    /// Since when what is held has taken all the room there was.
    stuck_since: Option<Timestamp>,
    /// Of the sender, behind the edge of the map: shown, and held back.
    held: Vec<u8>,
    /// The sender's number up to which it may have been told that all has arrived because it was held,
    /// as of the last event that let some of it go. What became of it may still be under way.
    vouched: Seq,
    /// What came from the first change on; what left before is known itself, up to `even`.
    said: Said,
    even: Seq,
}

/// What the receiver of a stream has told by the time of its first change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// The number before which it has everything.
    pub acknowledged: Seq,
    /// Right-most window edge that it has offered.
    pub window_edge: Seq,
    /// Widest window that it has offered, in bytes.
    pub window_max: u32,
    /// How far its windows are shifted.
    pub window_shift: u8,
}

/// A change to the bytes of one event: `erased` of them at `start` give way to `bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// Offset from the first byte that was held, or else is new.
    pub start: usize,
    /// How many go.
    pub erased: usize,
    /// What comes in their place.
    pub bytes: &'a [u8],
}

/// A part of the output that fits into one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// As the receiver numbers it.
    pub seq: Seq,
    /// Bytes.
    pub len: u32,
    /// Whether the FIN follows them.
    pub fin: bool,
}

impl Piece {
    /// The number after it, FIN included.
    #[must_use]
    pub fn end(&self) -> Seq {
        self.seq + self.len + u32::from(self.fin)
    }
}

impl EditedStream {
    /// A stream that was not changed so far: everything before `edge` has left (the FIN included if
    /// `finished`), and `kept` of it is known. Its receiver stands where `receiver` says.
    #[must_use]
    pub fn new(
        edge: Seq,
        finished: bool,
        kept: Option<&mut Retention>,
        receiver: Receiver,
    ) -> Self {
        let Receiver { acknowledged, window_edge, window_max, window_shift } = receiver;
        let data_end = edge - u32::from(finished);
        let (first, bytes) = match kept {
            Some(kept) if kept.end() == data_end => kept.take(),
            _ => (data_end, VecDeque::new()),
        };
        let mut map = EditMap::new(edge);
        map.acknowledged(acknowledged);
        Self {
            map,
            first,
            bytes,
            finished,
            sent: edge,
            acknowledged,
            window_edge,
            window_max,
            window_shift,
            stuck_since: None,
            held: Vec::new(),
            vouched: acknowledged,
            said: Said::default(),
            even: data_end,
        }
    }

    /// Takes the bytes of an event, as they were changed: those that were held, then `fresh`. The
    /// changes are in order and do not overlap; what lies at `hold_from` or behind stays back, but
    /// for what a change takes away; `fin` when the FIN follows, and then nothing is held.
    pub fn take(
        &mut self,
        fresh: &[&[u8]],
        changes: &[Change<'_>],
        hold_from: Option<usize>,
        fin: bool,
    ) {
        if fin || !fresh.is_empty() {
            // Without, something is let go that was taken a moment ago, and nobody was told of it.
            self.vouched = self.settled();
        }
        let held = std::mem::take(&mut self.held);
        let len = held.len() + fresh.iter().map(|chunk| chunk.len()).sum::<usize>();
        let changed = changes.last().map_or(0, |last| last.start + last.erased);
        let end = hold_from.filter(|_| !fin).unwrap_or(len).max(changed).min(len);
        let chunks = iter::once(held.as_slice()).chain(fresh.iter().copied());
        let mut writer = Writer { stream: self, source: Source::new(chunks), at: 0, open: None };
        for change in changes {
            writer.change(change, end, fin);
        }
        writer.finish(end, fin);
        let rest = writer.source.rest();
        self.held = rest;
        self.finished |= fin;
    }

    /// Notes what the bytes of a segment are, as its sender numbers them from `seq` on.
    pub fn note(&mut self, seq: Seq, bytes: &[u8], key: &impl BuildHasher) {
        self.said.note(seq, bytes, key);
    }

    /// Whether a copy that its sender numbers from `seq` on is found to say something else than the first
    /// did. One that is cut in another way is not compared.
    #[must_use]
    pub fn contradicts(&self, seq: Seq, copy: &[u8], key: &impl BuildHasher) -> bool {
        let old = usize::try_from(self.even.distance(seq)).unwrap_or(0).min(copy.len());
        let (before, after) = copy.split_at(old);
        if before.is_empty() {
            return self.said.contradicts(seq, after, key);
        }
        // Not changed, so it is the same on both sides.
        let unknown = usize::try_from(self.first.distance(seq)).unwrap_or(0).min(before.len());
        let known = before.get(unknown..).unwrap_or_default();
        let skip = usize::try_from(seq.distance(self.first)).unwrap_or(0);
        let differs = |(copy, byte): (&u8, &u8)| copy != byte;
        known.iter().zip(self.bytes.iter().skip(skip)).any(differs)
            || self.said.contradicts(self.even, after, key)
    }

    /// Lets go what is held.
    pub fn release(&mut self) {
        self.take(&[], &[], None, false);
    }

    /// Whether what is held takes all the room that its receiver has offered, so that its sender cannot send
    /// what would end the hold: what is left is nothing, as a window says it.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.is_stuck_at(self.acknowledged, self.window_edge)
    }

    /// Whether what is held is [stuck](EditedStream::is_stuck) and to be let go, since more room is not to be
    /// expected.
    ///
    /// A receiver that just does not read will offer more when it does, and nothing is won by letting go.
    /// It is taken for one if it has offered more than twice as much before; but not for ever, since it may have
    /// got a smaller buffer.
    #[must_use]
    pub fn holds_too_much(&mut self, now: Timestamp) -> bool {
        if !self.is_stuck() {
            self.stuck_since = None;
            return false;
        }
        let since = *self.stuck_since.get_or_insert(now);
        let window = self.window_edge.distance(self.acknowledged).max(0).cast_unsigned();
        window > 0 && (window >= self.window_max / 2 || now >= since + STUCK_MAX)
    }

    fn is_stuck_at(&self, ack: Seq, window_edge: Seq) -> bool {
        if self.held.is_empty() || ack != self.map.edge().output {
            return false;
        }
        let room = self.input_window_edge(window_edge).distance(self.edge()).max(0);
        room >> self.window_shift == 0
    }

    /// Takes a cumulative acknowledgment of the receiver and the window edge beside it, both in its
    /// numbers.
    pub fn acknowledge(&mut self, ack: Seq, window_edge: Seq) {
        debug_assert!(ack.at_or_before(self.sent), "nobody has got what was not sent");
        self.acknowledged = self.acknowledged.max(ack);
        self.window_edge = self.window_edge.max(window_edge);
        let window = u32::try_from(window_edge.distance(ack)).unwrap_or(0);
        self.window_max = self.window_max.max(window);
        self.map.acknowledged(self.acknowledged);
        self.said.acknowledged(self.map.input_to(self.acknowledged));
        let count = usize::try_from(self.acknowledged.distance(self.first)).unwrap_or(0);
        let count = count.min(self.bytes.len());
        self.bytes.drain(..count);
        self.first += small(count);
        // Whoever had megabytes in flight once must not keep the memory of them.
        if self.bytes.capacity() > SPARE_BYTES_MAX.max(4 * self.bytes.len()) {
            self.bytes.shrink_to(2 * self.bytes.len());
        }
    }

    /// Forgets all bytes: nothing is sent any more. The numbers stay.
    pub fn forget(&mut self) {
        self.bytes = VecDeque::new();
        self.held = Vec::new();
        self.first = self.map.edge().output - u32::from(self.finished);
    }

    /// The output up to `end` has left.
    pub fn sent(&mut self, end: Seq) {
        debug_assert!(end.at_or_before(self.map.edge().output), "what is sent is there");
        self.sent = self.sent.max(end);
    }

    /// What a repetition brings whose bytes (and FIN) the sender numbers from `from` up to `to`: all
    /// that became of them and is not acknowledged, and what has not left before, as far as the
    /// receiver has room. None if that is nothing.
    #[must_use]
    pub fn span(&self, from: Seq, to: Seq) -> Option<(Seq, Seq)> {
        self.between(self.start(from, self.map.output_from(from)), to)
    }

    /// The same for a segment with something new. What begins within an edit leaves it to the segment
    /// before, which took it along.
    #[must_use]
    pub fn span_fresh(&self, from: Seq, to: Seq) -> Option<(Seq, Seq)> {
        self.between(self.start(from, self.map.output_to(from)), to)
    }

    /// The same where every segment leaves, once, and in order: what has not left before it ends.
    #[must_use]
    pub fn span_next(&self, to: Seq) -> Option<(Seq, Seq)> {
        self.between(self.sent, to)
    }

    /// Where the output of a segment begins that the sender numbers `from`: at `start`, unless the
    /// sender has been told to go on there by whom it can expect to bring what is before.
    fn start(&self, from: Seq, start: Seq) -> Seq {
        if from.at_or_before(self.vouched) { self.acknowledged } else { start }
    }

    fn between(&self, start: Seq, to: Seq) -> Option<(Seq, Seq)> {
        let to = to.min(self.map.edge().input);
        let end = self.map.output_to(to).min(self.room());
        let start = start.max(self.acknowledged).max(self.first).min(self.sent);
        start.before(end).then_some((start, end))
    }

    /// What has not left, as far as the receiver has room.
    #[must_use]
    pub fn unsent(&self) -> Option<(Seq, Seq)> {
        let end = self.map.edge().output.min(self.room());
        self.sent.before(end).then_some((self.sent, end))
    }

    /// The first part of the output between `from` and `to`, with `len_max` bytes at most.
    #[must_use]
    pub fn piece(&self, from: Seq, to: Seq, len_max: u32) -> Piece {
        let edge = self.map.edge().output;
        let data_end = edge - u32::from(self.finished);
        let end = to.min(data_end).min(from + len_max);
        let fin = self.finished && to == edge && end == data_end;
        Piece { seq: from, len: end.distance(from).max(0).cast_unsigned(), fin }
    }

    /// The bytes of a piece.
    #[must_use]
    pub fn bytes(&self, piece: &Piece) -> [&[u8]; 2] {
        let start = usize::try_from(piece.seq.distance(self.first)).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(piece.len).unwrap_or(usize::MAX));
        let (front, back) = self.bytes.as_slices();
        let cut = |bytes: usize| (start.min(bytes), end.min(bytes));
        let (from, to) = cut(front.len());
        let one = front.get(from..to).unwrap_or_default();
        let (from, to) = (start.max(front.len()) - front.len(), end.max(front.len()) - front.len());
        [one, back.get(from.min(back.len())..to.min(back.len())).unwrap_or_default()]
    }

    /// What an acknowledgment of the receiver means to the sender, beside which it offers room up to
    /// `window_edge`. One of what was not sent stays one.
    #[must_use]
    pub fn input_ack(&self, ack: Seq, window_edge: Seq) -> Seq {
        // An old one is left old.
        if ack.before(self.acknowledged) || ack.after(self.sent) {
            return self.input(ack);
        }
        self.got(ack, window_edge.max(self.window_edge))
    }

    /// In a recording, where what is held was acknowledged when it was sent: an acknowledgment of more than has left
    /// is as far beyond the sender's last byte that has.
    #[must_use]
    pub fn input_beyond(&self, ack: Seq) -> Seq {
        let edge = self.map.edge();
        let left = if self.sent == edge.output { edge.input } else { self.map.input_to(self.sent) };
        left + ack.distance(self.sent).try_into().unwrap_or(0)
    }

    /// The end of the sender's bytes that the receiver has whole when it has all before `output`.
    fn input(&self, output: Seq) -> Seq {
        match u32::try_from(output.distance(self.sent)) {
            Ok(beyond @ 1..) => self.edge() + beyond,
            _ => self.map.input_to(output),
        }
    }

    /// What the sender may be told if the receiver has everything before `ack`, which is what it has
    /// acknowledged or more, and room up to `window_edge`.
    ///
    /// Of what is held and stuck it is not told: that may be let go with nothing of its own to follow, so it must
    /// be the one to repeat it.
    fn got(&self, ack: Seq, window_edge: Seq) -> Seq {
        if ack == self.map.edge().output && !self.is_stuck_at(ack, window_edge) {
            return self.edge();
        }
        self.map.input_to(ack).max(self.vouched)
    }

    /// What a window edge of the receiver means to the sender. It may lie before what he has sent
    /// already: the window shrinks by what was put in.
    #[must_use]
    pub fn input_window_edge(&self, edge: Seq) -> Seq {
        self.map.input_to(edge)
    }

    /// What a selective acknowledgment of the receiver means to the sender; none if it names no whole
    /// byte of his.
    #[must_use]
    pub fn input_block(&self, (left, right): (Seq, Seq)) -> Option<(Seq, Seq)> {
        let (left, right) = (self.map.input_from(left), self.input(right));
        // With what the sender repeats next, what was vouched for comes again: it must not be left out.
        let settled = self.settled();
        let is_next = left.at_or_before(settled) && right.after(settled);
        (left.before(right) && !is_next).then_some((left, right))
    }

    /// The number for a segment of the sender without payload: beyond what was sent if he is, old if
    /// he is.
    #[must_use]
    pub fn output_bare(&self, seq: Seq) -> Seq {
        let acknowledged = self.settled();
        if seq.at_or_before(acknowledged) {
            return self.acknowledged - acknowledged.0.wrapping_sub(seq.0);
        }
        let edge = self.edge();
        if seq.at_or_after(edge) {
            return self.sent + seq.0.wrapping_sub(edge.0);
        }
        self.map.output_from(seq).max(self.acknowledged).min(self.sent)
    }

    /// Up to where the sender may be told that the receiver has everything.
    #[must_use]
    pub fn settled(&self) -> Seq {
        self.got(self.acknowledged, self.window_edge)
    }

    /// Whether the receiver has all that the sender was told of.
    #[must_use]
    pub fn owes_nothing(&self) -> bool {
        self.held.is_empty() && self.vouched.at_or_before(self.map.input_to(self.acknowledged))
    }

    /// Whether the receiver has acknowledged all output there is, so that no acknowledgment of his is
    /// to be expected.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.acknowledged == self.map.edge().output
    }

    /// The receiver's highest cumulative acknowledgment, in his numbers.
    #[must_use]
    pub const fn acknowledged(&self) -> Seq {
        self.acknowledged
    }

    /// The edge of what has left, in the receiver's numbers.
    #[must_use]
    pub const fn edge_sent(&self) -> Seq {
        self.sent
    }

    /// The right-most window edge that the receiver has offered, in his numbers.
    #[must_use]
    pub const fn window_edge(&self) -> Seq {
        self.window_edge
    }

    /// Bytes that were shown and are held back.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// The sender's number of the first byte that is held, or would be.
    #[must_use]
    pub fn held_from(&self) -> Seq {
        self.map.edge().input
    }

    /// The first output number that can be sent again; what is before it was forgotten before the
    /// first edit, and has the same number on both sides.
    #[must_use]
    pub const fn first(&self) -> Seq {
        self.first
    }

    /// Whether what the sender numbers `from` left before the first change, is not acknowledged, and is
    /// not known any more.
    #[must_use]
    pub fn is_forgotten(&self, from: Seq) -> bool {
        self.map.output_from(from).max(self.acknowledged).before(self.first)
    }

    /// Whether the receiver has all that was sent, and has room for nothing.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.acknowledged == self.sent && self.window_edge.at_or_before(self.sent)
    }

    /// Units of output that have not left.
    #[must_use]
    pub fn unsent_len(&self) -> u32 {
        self.map.edge().output.0.wrapping_sub(self.sent.0)
    }

    /// Whether the two numberings are the same from here on.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.map.is_identity()
    }

    /// Memory that it takes, in bytes: what is kept, what is held, and the map.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes.len() + self.held.len() + self.map.edits() * 16 + self.said.memory()
    }

    /// The sender's number after all that was taken, held or not.
    fn edge(&self) -> Seq {
        self.map.edge().input + small(self.held.len())
    }

    /// Where the receiver's room ends. What was sent stays sent, whatever he says later.
    fn room(&self) -> Seq {
        self.window_edge.max(self.sent)
    }
}

/// A length as sequence numbers count. What is kept is bounded far below.
fn small(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// For how long a receiver is taken for one that will read again. A guess: longer than a busy machine makes its
/// programs wait, shorter than people do.
const STUCK_MAX: Duration = Duration::from_secs(10);
/// What may stay allocated however little is kept: some segments, below which giving back is not worth the
/// call.
const SPARE_BYTES_MAX: usize = 16 << 10;
