//! One direction's bytes in order: first data wins, and every copy that leaves is made to agree.
//!
//! In order and with nothing held, a segment is handed back at once: two additions, no copy and no
//! allocation. Everything else is in `held`, which exists only while there is a hole.
//!
//! Bytes are forgotten here once they are committed. That a later copy of a byte that was forwarded
//! but not acknowledged equals the first is the job of [`Retention`](crate::Retention).

mod held;

use std::ops::Range;

use tollgate_wire::Seq;

use held::{Fit, HeldFrames};

/// What the reassembler asks of a buffer: the bytes of its segment.
pub trait Payload {
    /// The TCP payload.
    fn payload(&self) -> &[u8];
    /// The same, to make later copies equal to the first.
    fn payload_mut(&mut self) -> &mut [u8];
}

/// The bytes of one direction of one connection, in order.
#[derive(Debug)]
pub struct Reassembler<B> {
    held: Option<Box<HeldFrames<B>>>,
    /// Stream position of `next`; a FIN counts for one once it is committed.
    position: u64,
    next: Seq,
    finished: bool,
}

/// What became of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Push<B> {
    /// It is next: show its fresh bytes, forward it. [`Reassembler::pop`] may have more.
    Ready(Ready<B>),
    /// There is a hole before it; it is kept until the hole is filled.
    Held,
    /// All of it was committed before: forward it, for the receiver may have lost the first copy.
    Duplicate(B),
    /// Every byte of it is held already, or lies beyond the FIN: drop it. The held copy will go.
    Redundant(B),
    /// A bound is reached: drop it. Its sender will send it again.
    Full(B),
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

/// Bounds on what one direction holds behind a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Buffers.
    pub frames: u32,
    /// Bytes of their payloads.
    pub bytes: u32,
    /// Runs of bytes without a hole in them.
    pub extents: u32,
}

/// What one direction holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Buffers.
    pub frames: u32,
    /// Bytes of their payloads.
    pub bytes: u32,
}

impl Default for Limits {
    /// Honest traffic has one hole and a handful of segments behind it; a window of 256 KiB may wait.
    fn default() -> Self {
        Self { frames: 256, bytes: 256 << 10, extents: 64 }
    }
}

impl<B: Payload> Reassembler<B> {
    /// An empty stream whose first byte has the number `start`.
    #[must_use]
    pub const fn new(start: Seq) -> Self {
        Self { held: None, position: 0, next: start, finished: false }
    }

    /// Takes the buffer of a segment whose payload begins at `seq`; `fin` when a FIN follows it.
    pub fn push(&mut self, seq: Seq, fin: bool, buffer: B, limits: &Limits) -> Push<B> {
        let len = length(&buffer);
        if seq == self.next && !fin && len > 0 && self.held.is_none() && !self.finished {
            self.next += len;
            self.position += u64::from(len);
            return Push::Ready(Ready {
                buffer,
                fresh: 0..len,
                fin: false,
                keep: len,
                keep_fin: false,
                rewritten: false,
            });
        }
        self.push_slow(seq, fin, buffer, limits)
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

    /// The next held buffer that no hole is before, until there is none.
    pub fn pop(&mut self) -> Option<Ready<B>> {
        let edge = self.edge();
        let held = self.held.as_mut()?;
        let Some((buffer, fit, rewritten)) = held.pop(edge) else {
            if held.is_empty() {
                self.held = None;
            }
            return None;
        };
        Some(self.commit(buffer, fit, rewritten))
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

    /// What waits behind a hole.
    #[must_use]
    pub fn held(&self) -> Held {
        self.held.as_ref().map_or_else(Held::default, |held| held.sizes())
    }

    /// Gives every held buffer back, in no particular order. The stream stays where it is.
    pub fn drain(&mut self) -> impl Iterator<Item = B> + use<B> {
        self.held.take().into_iter().flat_map(|held| held.into_buffers())
    }

    #[inline(never)]
    fn push_slow(&mut self, seq: Seq, fin: bool, buffer: B, limits: &Limits) -> Push<B> {
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
            return Push::Redundant(buffer);
        }
        let whole = fit.keep == len && fit.fin == fin;
        if fit.end() <= edge && whole {
            return Push::Duplicate(buffer);
        }
        if start > edge {
            let push = self.held.get_or_insert_default().push(fit, buffer, limits);
            self.held.take_if(|held| held.is_empty());
            return push;
        }
        let mut buffer = buffer;
        let rewritten = self.held.as_ref().is_some_and(|held| held.rewrite(&fit, &mut buffer));
        Push::Ready(self.commit(buffer, fit, rewritten))
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
        if let Some(held) = &self.held {
            held.respect_fin(fit);
        }
    }

    /// Moves the edge over a buffer that begins at it or before.
    fn commit(&mut self, buffer: B, fit: Fit, rewritten: bool) -> Ready<B> {
        let edge = self.edge();
        let shown = u32::try_from(edge - fit.start).unwrap_or(u32::MAX).min(fit.keep);
        let advance = u32::try_from(fit.end() - edge).unwrap_or(0);
        let ends = fit.fin && advance > 0;
        self.position += u64::from(advance);
        self.next += advance;
        self.finished |= ends;
        Ready {
            buffer,
            fresh: shown..fit.keep,
            fin: ends,
            keep: fit.keep,
            keep_fin: fit.fin,
            rewritten,
        }
    }

    /// The contiguous edge as a signed position. No stream reaches 2⁶³ bytes.
    const fn edge(&self) -> i64 {
        self.position.cast_signed()
    }
}

/// Bytes of payload in `buffer`. A segment is no longer than its IP datagram, so this loses nothing.
fn length<B: Payload>(buffer: &B) -> u32 {
    u32::try_from(buffer.payload().len()).unwrap_or(u32::MAX)
}
