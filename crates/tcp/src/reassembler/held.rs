use std::collections::VecDeque;

use super::{Held, Limits, Payload, Push, length};

/// Where a segment lies in the stream, and which part of it may leave.
///
/// Positions are signed, since a segment may begin before the stream does. A FIN takes the position
/// after the last byte, as in sequence space, so that it is covered and owned like a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    pub(super) start: i64,
    /// Payload bytes that do not lie beyond a FIN.
    pub(super) keep: u32,
    pub(super) fin: bool,
}

/// Positions that one buffer was the first to bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    start: i64,
    end: i64,
    slot: u32,
}

/// Runs that a newcomer makes one of: these, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Joined {
    first: usize,
    len: u32,
}

#[derive(Debug)]
struct Slot<B> {
    /// Taken when its turn comes; the slot stays until no piece points to it.
    buffer: Option<B>,
    fit: Fit,
    rewritten: bool,
    pieces: u32,
}

/// Buffers behind a hole.
///
/// A buffer keeps all of its bytes, but owns only those that it was the first to bring; bytes that an
/// earlier one owns are rewritten from it on arrival, so that all buffers agree and any of them may
/// leave whole, in any order.
#[derive(Debug)]
pub(super) struct HeldFrames<B> {
    /// Sorted by `start`; none is empty, no two overlap. Arrivals at either end, which is nearly all
    /// of them, cost no search; others a binary search and a move of a bounded few kilobytes.
    pieces: VecDeque<Piece>,
    slots: Vec<Slot<B>>,
    /// Slots without buffer and without piece.
    free: Vec<u32>,
    /// What is held, start and end, in order: no two overlap or touch.
    runs: VecDeque<(i64, i64)>,
    /// Extents are the runs.
    sizes: Held,
    /// Where the stream ends, if a held buffer says so. No piece reaches beyond it but the FIN's.
    fin: Option<i64>,
}

impl Fit {
    /// The position after it, its FIN included.
    pub(super) fn end(&self) -> i64 {
        self.bytes_end() + i64::from(self.fin)
    }

    /// The position after its last byte that may leave.
    pub(super) fn bytes_end(&self) -> i64 {
        self.start + i64::from(self.keep)
    }

    /// Trims it to a stream that ends at `fin`.
    pub(super) fn end_at(&mut self, fin: i64) {
        self.fin &= self.bytes_end() == fin;
        let room = u32::try_from((fin - self.start).max(0)).unwrap_or(u32::MAX);
        self.keep = self.keep.min(room);
    }
}

impl<B> Default for HeldFrames<B> {
    fn default() -> Self {
        Self {
            pieces: VecDeque::new(),
            slots: Vec::new(),
            free: Vec::new(),
            runs: VecDeque::new(),
            sizes: Held::default(),
            fin: None,
        }
    }
}

impl<B: Payload> HeldFrames<B> {
    /// Holds a buffer that begins beyond the edge, if it brings anything new and there is room.
    pub(super) fn push(&mut self, fit: Fit, mut buffer: B, limits: &Limits) -> Push<B> {
        let Some(joined) = self.joined(&fit) else {
            return Push::Redundant(buffer);
        };
        let runs = self.sizes.extents + 1 - joined.len;
        let [frame, bytes] = sizes(&buffer);
        let frames = self.sizes.frames.saturating_add(frame);
        let bytes = self.sizes.bytes.saturating_add(bytes);
        // What is no frame does not mind how many of those there are.
        let counted = if frame == 0 { 0 } else { frames };
        if let Some(bound) = limits.reached(&Held { frames: counted, bytes, extents: runs }) {
            return Push::Full(buffer, bound);
        }
        let rewritten = self.rewrite(&fit, &mut buffer);
        let slot = self.store(Slot { buffer: Some(buffer), fit, rewritten, pieces: 0 });
        self.own_the_gaps(&fit, self.first_after(fit.start), slot);
        self.join(&fit, &joined);
        (self.sizes.frames, self.sizes.bytes) = (frames, bytes);
        if fit.fin {
            self.fin = Some(fit.bytes_end());
        }
        self.check();
        Push::Held
    }

    /// The next buffer that owns a position at `edge` or before, and whether it was rewritten.
    pub(super) fn pop(&mut self, edge: i64) -> Option<(B, Fit, bool)> {
        while let Some(piece) = self.pieces.front().copied().filter(|piece| piece.start <= edge) {
            self.pieces.pop_front();
            if let Some(run) = self.runs.front_mut() {
                run.0 = piece.end;
                if run.0 >= run.1 {
                    self.runs.pop_front();
                    self.sizes.extents -= 1;
                }
            }
            let Some(slot) = self.slots.get_mut(index(piece.slot)) else { continue };
            slot.pieces -= 1;
            let (buffer, fit, rewritten) = (slot.buffer.take(), slot.fit, slot.rewritten);
            if slot.pieces == 0 {
                self.free.push(piece.slot);
            }
            if let Some(buffer) = buffer {
                let [frames, bytes] = sizes(&buffer);
                self.sizes.frames -= frames;
                self.sizes.bytes -= bytes;
                return Some((buffer, fit, rewritten));
            }
        }
        None
    }

    /// Makes the bytes of `buffer` that are held already equal to the held ones. Says whether that
    /// changed any.
    pub(super) fn rewrite(&self, fit: &Fit, buffer: &mut B) -> bool {
        let mut changed = false;
        for piece in self.pieces.range(self.first_after(fit.start)..) {
            let (start, end) = (piece.start.max(fit.start), piece.end.min(fit.bytes_end()));
            if start >= end {
                break;
            }
            let Some(slot) = self.slots.get(index(piece.slot)) else { continue };
            let Some(owner) = &slot.buffer else { continue };
            let from = span(owner.payload(), slot.fit.start, start, end);
            let Some(to) = span_mut(buffer.payload_mut(), fit.start, start, end) else { continue };
            if let Some(from) = from.filter(|from| from.len() == to.len() && *from != to) {
                to.copy_from_slice(from);
                changed = true;
            }
        }
        changed
    }

    /// Trims a newcomer to the FIN that is held, or takes its FIN away if data beyond it is held.
    pub(super) fn respect_fin(&self, fit: &mut Fit) {
        match self.fin {
            Some(fin) => fit.end_at(fin),
            None => fit.fin &= self.pieces.back().is_none_or(|last| last.end <= fit.bytes_end()),
        }
    }

    /// What is held, start and end, in order.
    pub(super) fn runs(&self) -> impl Iterator<Item = (i64, i64)> {
        self.runs.iter().copied()
    }

    pub(super) fn buffers(&self) -> u32 {
        u32::try_from(self.slots.len() - self.free.len()).unwrap_or(u32::MAX)
    }

    pub(super) const fn sizes(&self) -> Held {
        self.sizes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn into_buffers(self) -> impl Iterator<Item = B> {
        self.slots.into_iter().filter_map(|slot| slot.buffer)
    }

    /// Index of the first piece that ends after `position`.
    fn first_after(&self, position: i64) -> usize {
        match (self.pieces.front(), self.pieces.back()) {
            (_, Some(last)) if last.end <= position => self.pieces.len(),
            (Some(first), _) if first.end > position => 0,
            _ => self.pieces.partition_point(|piece| piece.end <= position),
        }
    }

    /// The runs that `fit` overlaps or touches; none when it brings nothing new.
    fn joined(&self, fit: &Fit) -> Option<Joined> {
        // Arrivals at the end, which is nearly all of them, cost no search.
        let first = match self.runs.back() {
            Some(last) if last.1 < fit.start => self.runs.len(),
            _ => self.runs.partition_point(|run| run.1 < fit.start),
        };
        let mut joined = Joined { first, len: 0 };
        for run in self.runs.range(first..).take_while(|run| run.0 <= fit.end()) {
            if run.0 <= fit.start && fit.end() <= run.1 {
                return None;
            }
            joined.len += 1;
        }
        Some(joined)
    }

    /// Makes one run of `fit` and those that it joins.
    fn join(&mut self, fit: &Fit, joined: &Joined) {
        let (mut start, mut end) = (fit.start, fit.end());
        for _ in 0..joined.len {
            if let Some(run) = self.runs.remove(joined.first) {
                (start, end) = (start.min(run.0), end.max(run.1));
            }
        }
        self.runs.insert(joined.first, (start, end));
        self.sizes.extents = self.sizes.extents + 1 - joined.len;
    }

    /// Makes `slot` the owner of every position of `fit` that has none.
    fn own_the_gaps(&mut self, fit: &Fit, first: usize, slot: u32) {
        let (mut cursor, mut at, mut owned) = (fit.start, first, 0);
        while cursor < fit.end() {
            let next = self.pieces.get(at).copied().filter(|piece| piece.start < fit.end());
            let gap_end = next.map_or_else(|| fit.end(), |piece| piece.start);
            if gap_end > cursor {
                self.pieces.insert(at, Piece { start: cursor, end: gap_end, slot });
                owned += 1;
                at += 1;
            }
            cursor = next.map_or(gap_end, |piece| piece.end);
            at += 1;
        }
        if let Some(slot) = self.slots.get_mut(index(slot)) {
            slot.pieces = owned;
        }
    }

    fn store(&mut self, slot: Slot<B>) -> u32 {
        if let Some(number) = self.free.pop() {
            if let Some(place) = self.slots.get_mut(index(number)) {
                *place = slot;
            }
            return number;
        }
        self.slots.push(slot);
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    /// The invariants of the fields, in debug builds.
    fn check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let mut runs = VecDeque::<(i64, i64)>::new();
        let mut end = i64::MIN;
        for piece in &self.pieces {
            debug_assert!(piece.start < piece.end, "no piece is empty");
            debug_assert!(piece.start >= end, "sorted, and no two overlap");
            match runs.back_mut() {
                Some(last) if last.1 == piece.start => last.1 = piece.end,
                _ => runs.push_back((piece.start, piece.end)),
            }
            end = piece.end;
        }
        debug_assert_eq!(runs, self.runs, "pieces that touch are a run");
        let runs = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        debug_assert!(self.fin.is_none_or(|fin| end <= fin + 1), "nothing beyond the FIN");
        let (mut frames, mut bytes) = (0, 0);
        for buffer in self.slots.iter().filter_map(|slot| slot.buffer.as_ref()) {
            let [one, more] = sizes(buffer);
            frames += one;
            bytes += more;
        }
        debug_assert_eq!(Held { frames, bytes, extents: runs }, self.sizes, "sizes are counted");
    }
}

/// Frames and bytes for which a buffer counts.
fn sizes<B: Payload>(buffer: &B) -> [u32; 2] {
    let len = length(buffer);
    if buffer.is_frame() {
        return [1, len];
    }
    // Two allocations' worth of bookkeeping beside its place here: a guess.
    let place = size_of::<Slot<B>>() + size_of::<Piece>() + 32;
    [0, len + u32::try_from(place).unwrap_or(u32::MAX)]
}

/// `slots` never outgrows the bounds on frames and bytes, far below what an index can say.
fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

/// The bytes at positions `start..end` of a payload whose first is at `origin`.
pub(super) fn span(payload: &[u8], origin: i64, start: i64, end: i64) -> Option<&[u8]> {
    let (from, to) = (usize::try_from(start - origin).ok()?, usize::try_from(end - origin).ok()?);
    payload.get(from..to)
}

pub(super) fn span_mut(payload: &mut [u8], origin: i64, start: i64, end: i64) -> Option<&mut [u8]> {
    let (from, to) = (usize::try_from(start - origin).ok()?, usize::try_from(end - origin).ok()?);
    payload.get_mut(from..to)
}
