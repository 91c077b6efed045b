//! One direction's bytes in order: first data wins, and every copy that leaves is made to agree.
//!
//! In order and with nothing held, a segment is handed back at once: two additions, no copy and no
//! allocation. Everything else exists only while there is a gap: `held` where the frames wait until it
//! closes, `copies` where they leave at once and only their bytes stay ([`Gap`]).
//!
//! Bytes are forgotten here once they are committed. That a later copy of a byte that was forwarded
//! but not acknowledged equals the first is the job of [`Retention`](crate::Retention).

mod copies;
mod held;

use std::collections::VecDeque;
use std::ops::Range;

use tollgate_wire::Seq;

use copies::Copies;
use held::{Fit, HeldFrames};

/// What the reassembler asks of a buffer: the bytes of its segment.
pub trait Payload {
    /// The TCP payload.
    fn payload(&self) -> &[u8];
    /// The same, to make later copies equal to the first.
    fn payload_mut(&mut self) -> &mut [u8];

    /// Whether it is a frame of the link, which is missing there while it is held; otherwise it is a copy,
    /// which counts for all the memory that it takes.
    fn is_frame(&self) -> bool {
        true
    }
}

/// The bytes of one direction of one connection, in order.
#[derive(Debug)]
pub struct Reassembler<B> {
    waiting: Option<Box<Waiting<B>>>,
    /// Stream position of `next`; a FIN counts for one once it is committed.
    position: u64,
    next: Seq,
    finished: bool,
}

/// What a segment behind a gap does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// It is kept until the gap closes: for whoever may still change its bytes, or cannot be sure that
    /// its receiver has the gap, too.
    Hold,
    /// It leaves at once, and a copy of its bytes is kept: its receiver cannot read past the gap, and
    /// by acknowledging what came behind it tells the sender of the loss.
    Forward,
}

/// What waits behind a gap: all in one way or all in the other, until the gap closes.
#[derive(Debug)]
enum Waiting<B> {
    Held(HeldFrames<B>),
    Copied(Copies),
}

/// What became of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Push<B> {
    /// It is next: show its fresh bytes, forward it. [`Reassembler::pop`] may have more.
    Ready(Ready<B>),
    /// There is a gap before it; it is kept until the gap closes.
    Held,
    /// There is a gap before it, and a copy of its bytes is kept: it may leave.
    Early(Early<B>),
    /// All of it was committed before: forward it, for the receiver may have lost the first copy.
    Duplicate(B),
    /// Every byte of it is held already: drop it. The held copy will go.
    Redundant(B),
    /// Nothing of it belongs to the stream: it lies beyond the FIN, or says that the FIN is elsewhere.
    Stray(B),
    /// A bound is reached: drop it. Its sender will send it again.
    Full(B, Bound),
}

/// A buffer whose turn has come.
#[derive(Debug, PartialEq, Eq)]
pub struct Ready<B> {
    /// The buffer. Every byte of it agrees with every other copy in the reassembler.
    pub buffer: B,
    /// Payload offsets that were never shown before; may be empty.
    pub fresh: Range<u32>,
    /// The stream ends after `fresh`. True once in a stream.
    pub fin: bool,
    /// Payload bytes that may leave; those after lie beyond the FIN and are to be trimmed.
    pub keep: u32,
    /// Whether a FIN bit on it stands; if it has one and this is false, the bit is to be cleared.
    pub keep_fin: bool,
    /// Whether bytes of it were changed, so that its checksum is wrong.
    pub rewritten: bool,
}

/// A buffer ahead of its turn that may leave.
#[derive(Debug, PartialEq, Eq)]
pub struct Early<B> {
    /// The buffer. Every byte of it that may leave agrees with every other copy.
    pub buffer: B,
    /// Payload bytes that may leave; those after lie beyond the FIN and are to be trimmed.
    pub keep: u32,
    /// Whether a FIN bit on it stands; if it has one and this is false, the bit is to be cleared.
    pub keep_fin: bool,
    /// Whether bytes of it were changed, so that its checksum is wrong.
    pub rewritten: bool,
    /// Whether it brought anything; if not, all of it has left before.
    pub new: bool,
}

/// What comes next in the stream after a gap has closed.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<B> {
    /// A buffer that was held: show its fresh bytes, forward it.
    Held(Ready<B>),
    /// Bytes that have left already: show the fresh ones.
    Forwarded(Forwarded),
}

/// Bytes whose buffers left while there was a gap before them.
#[derive(Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The bytes.
    pub bytes: VecDeque<u8>,
    /// Those of them that were never shown before; may be empty.
    pub fresh: Range<u32>,
    /// The number of the first fresh one.
    pub seq: Seq,
    /// The stream ends after `fresh`. True once in a stream.
    pub fin: bool,
}

/// Bounds on what one direction holds behind a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Buffers that are [frames](Payload::is_frame); those that leave at once do not count.
    pub frames: u32,
    /// Bytes of their payloads, or copies of them; the memory for copies is up to twice as much, but for
    /// buffers that are no frames it is all in here.
    pub bytes: u32,
    /// Runs of bytes without a gap in them.
    pub extents: u32,
}

/// Which of [`Limits`] is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// [`Limits::frames`].
    Frames,
    /// [`Limits::bytes`].
    Bytes,
    /// [`Limits::extents`].
    Extents,
}

/// What one direction holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Buffers that are [frames](Payload::is_frame).
    pub frames: u32,
    /// Bytes of their payloads, or copies of them and what it takes to keep them.
    pub bytes: u32,
    /// Runs of bytes without a gap in them.
    pub extents: u32,
}

impl Limits {
    /// The bound that is reached where so much would be held.
    fn reached(&self, held: &Held) -> Option<Bound> {
        [
            (Bound::Frames, held.frames, self.frames),
            (Bound::Bytes, held.bytes, self.bytes),
            (Bound::Extents, held.extents, self.extents),
        ]
        .into_iter()
        .find_map(|(bound, held, max)| (held > max).then_some(bound))
    }

    /// The bound that keeps a direction that holds nothing from taking so many bytes behind a gap.
    #[must_use]
    pub fn refuses(&self, bytes: u32) -> Option<Bound> {
        self.reached(&Held { frames: 0, bytes, extents: u32::from(bytes > 0) })
    }
}

impl Default for Limits {
    /// Honest traffic has a gap or a few, and behind the first of them all that its sender sends in a
    /// round trip, which may be the whole window.
    fn default() -> Self {
        Self { frames: 256, bytes: 4 << 20, extents: 64 }
    }
}

impl<B: Payload> Reassembler<B> {
    /// An empty stream whose first byte has the number `start`.
    #[must_use]
    pub const fn new(start: Seq) -> Self {
        Self { waiting: None, position: 0, next: start, finished: false }
    }

    /// Takes the buffer of a segment whose payload begins at `seq`; `fin` when a FIN follows it. What
    /// waits already decides over `gap`, so that all that waits behind one gap waits in one way.
    pub fn push(&mut self, seq: Seq, fin: bool, buffer: B, gap: Gap, limits: &Limits) -> Push<B> {
        let len = length(&buffer);
        if seq == self.next && (fin || len > 0) && self.is_plain() {
            self.append(len);
            if fin {
                self.next += 1;
                self.position += 1;
                self.finished = true;
            }
            return Push::Ready(Ready {
                buffer,
                fresh: 0..len,
                fin,
                keep: len,
                keep_fin: fin,
                rewritten: false,
            });
        }
        self.push_slow(seq, fin, buffer, gap, limits)
    }

    /// Whether nothing waits and nothing ends it, so that [`Reassembler::append`] may be used.
    #[must_use]
    #[inline]
    pub const fn is_plain(&self) -> bool {
        self.waiting.is_none() && !self.finished
    }

    /// Commits `len` bytes that come next, without their buffer: what [`Reassembler::push`] does with one
    /// that is in order. The stream [is plain](Reassembler::is_plain).
    #[inline]
    pub fn append(&mut self, len: u32) {
        debug_assert!(self.is_plain());
        self.next += len;
        self.position += u64::from(len);
    }

    /// Gives up the bytes before `seq`, which the receiver has without us: only for a connection that
    /// was picked up in the middle. Does nothing unless `seq` lies ahead. [`Reassembler::pop`] may then
    /// have more.
    pub fn skip_to(&mut self, seq: Seq) {
        if let Ok(ahead @ 1..) = u32::try_from(seq.distance(self.next)) {
            self.next += ahead;
            self.position += u64::from(ahead);
        }
    }

    /// What comes next of that which waited behind a gap, until there is another gap or nothing.
    pub fn pop(&mut self) -> Option<Next<B>> {
        let edge = self.edge();
        let next = match &mut **self.waiting.as_mut()? {
            Waiting::Held(held) => held
                .pop(edge)
                .map(|(buffer, fit, rewritten)| Next::Held(self.commit(buffer, fit, rewritten))),
            Waiting::Copied(copies) => copies.pop(edge).map(|(bytes, fit)| {
                let seq = self.next;
                let (fresh, fin) = self.advance(fit);
                Next::Forwarded(Forwarded { bytes, fresh, seq, fin })
            }),
        };
        self.waiting.take_if(|waiting| waiting.is_empty());
        next
    }

    /// The number that comes next: the contiguous edge, past the FIN once that is committed.
    #[must_use]
    pub const fn next(&self) -> Seq {
        self.next
    }

    /// Position in the stream of the next byte; 0 is the first.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.position - u64::from(self.finished)
    }

    /// Whether the FIN is committed: the stream is whole.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether anything waits behind a gap, so that [`Reassembler::pop`] may have something.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether bytes behind a gap have left, so that they cannot be changed or moved any more.
    #[must_use]
    pub fn has_left_early(&self) -> bool {
        matches!(self.waiting.as_deref(), Some(Waiting::Copied(_)))
    }

    /// What waits behind a gap.
    #[must_use]
    pub fn held(&self) -> Held {
        match self.waiting.as_deref() {
            None => Held::default(),
            Some(Waiting::Held(held)) => held.sizes(),
            Some(Waiting::Copied(copies)) => copies.sizes(),
        }
    }

    /// The runs of bytes that are held in buffers, in order: the numbers of their first and after their
    /// last. A FIN counts for one.
    pub fn held_runs(&self) -> impl Iterator<Item = (Seq, Seq)> {
        let held = match self.waiting.as_deref() {
            Some(Waiting::Held(held)) => Some(held),
            _ => None,
        };
        // They lie within a window of the edge.
        let seq = |position: i64| self.next + u32::try_from(position - self.edge()).unwrap_or(0);
        held.into_iter().flat_map(HeldFrames::runs).map(move |(from, to)| (seq(from), seq(to)))
    }

    /// How many buffers are held, frames or not.
    #[must_use]
    pub fn held_buffers(&self) -> u32 {
        match self.waiting.as_deref() {
            Some(Waiting::Held(held)) => held.buffers(),
            _ => 0,
        }
    }

    /// Gives every held buffer back, in no particular order, and forgets what was copied. The stream
    /// stays where it is.
    pub fn drain(&mut self) -> impl Iterator<Item = B> + use<B> {
        let held = self.waiting.take().and_then(|waiting| match *waiting {
            Waiting::Held(held) => Some(held),
            Waiting::Copied(_) => None,
        });
        held.into_iter().flat_map(HeldFrames::into_buffers)
    }

    #[inline(never)]
    fn push_slow(
        &mut self,
        seq: Seq,
        fin: bool,
        mut buffer: B,
        gap: Gap,
        limits: &Limits,
    ) -> Push<B> {
        let len = length(&buffer);
        if len == 0 && !fin {
            return Push::Duplicate(buffer);
        }
        let edge = self.edge();
        // A segment may begin before the stream does; what lies there is never shown.
        let start = edge + i64::from(seq.distance(self.next));
        let mut fit = Fit { start, keep: len, fin };
        self.respect_fin(&mut fit);
        if fit.keep == 0 && !fit.fin {
            return Push::Stray(buffer);
        }
        let whole = fit.keep == len && fit.fin == fin;
        if fit.end() <= edge && whole {
            return Push::Duplicate(buffer);
        }
        if start > edge {
            return self.wait(fit, buffer, gap, limits);
        }
        let rewritten = match self.waiting.as_deref() {
            None => false,
            Some(Waiting::Held(held)) => held.rewrite(&fit, &mut buffer),
            Some(Waiting::Copied(copies)) => copies.rewrite(&fit, &mut buffer),
        };
        Push::Ready(self.commit(buffer, fit, rewritten))
    }

    /// Takes a buffer that has a gap before it.
    fn wait(&mut self, fit: Fit, buffer: B, gap: Gap, limits: &Limits) -> Push<B> {
        let waiting = self.waiting.get_or_insert_with(|| {
            Box::new(match gap {
                Gap::Hold => Waiting::Held(HeldFrames::default()),
                Gap::Forward => Waiting::Copied(Copies::default()),
            })
        });
        let push = match &mut **waiting {
            Waiting::Held(held) => held.push(fit, buffer, limits),
            Waiting::Copied(copies) => copies.push(fit, buffer, limits),
        };
        self.waiting.take_if(|waiting| waiting.is_empty());
        push
    }

    /// A FIN is a position with the same rule as a byte: the first one, or the first data beyond
    /// it, decides.
    fn respect_fin(&self, fit: &mut Fit) {
        let edge = self.edge();
        if self.finished {
            fit.end_at(edge - 1);
        } else if fit.bytes_end() < edge {
            fit.fin = false;
        }
        match self.waiting.as_deref() {
            None => {}
            Some(Waiting::Held(held)) => held.respect_fin(fit),
            Some(Waiting::Copied(copies)) => copies.respect_fin(fit),
        }
    }

    /// Moves the edge over a buffer that begins at it or before.
    fn commit(&mut self, buffer: B, fit: Fit, rewritten: bool) -> Ready<B> {
        let (fresh, fin) = self.advance(fit);
        Ready { buffer, fresh, fin, keep: fit.keep, keep_fin: fit.fin, rewritten }
    }

    /// Moves the edge over what begins at it or before. Gives what of it is new, and whether the
    /// stream ends with it.
    fn advance(&mut self, fit: Fit) -> (Range<u32>, bool) {
        let edge = self.edge();
        let shown = u32::try_from(edge - fit.start).unwrap_or(u32::MAX).min(fit.keep);
        let advance = u32::try_from(fit.end() - edge).unwrap_or(0);
        let ends = fit.fin && advance > 0;
        self.position += u64::from(advance);
        self.next += advance;
        self.finished |= ends;
        (shown..fit.keep, ends)
    }

    /// The contiguous edge as a signed position. No stream reaches 2⁶³ bytes.
    const fn edge(&self) -> i64 {
        self.position.cast_signed()
    }
}

impl<B: Payload> Waiting<B> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Held(held) => held.is_empty(),
            Self::Copied(copies) => copies.is_empty(),
        }
    }
}

/// Bytes of payload in `buffer`. A segment is no longer than its IP datagram, so this loses nothing.
fn length<B: Payload>(buffer: &B) -> u32 {
    u32::try_from(buffer.payload().len()).unwrap_or(u32::MAX)
}
