use std::collections::VecDeque;

use super::held::{Fit, span, span_mut};
use super::{Early, Held, Limits, Payload, Push};

/// Copies of bytes behind a gap whose frames have left.
///
/// What touches is one run, so that small segments cost no more than large ones, and a flow behind
/// one gap has one run however many segments it sends. Two runs that meet are joined by moving the
/// shorter one, at either end: so a byte is moved at most once for each doubling of its run,
/// whatever the order in which segments arrive.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// Sorted by `start`; none is empty, no two overlap or touch.
    runs: VecDeque<Run>,
    /// Bytes of all runs.
    bytes: u32,
    /// Where the stream ends, if a segment that has left says so. No run reaches beyond it.
    fin: Option<i64>,
}

#[derive(Debug)]
struct Run {
    start: i64,
    bytes: VecDeque<u8>,
}

/// What a segment would add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Growth {
    /// Runs that it overlaps or touches: these, and how many.
    first: usize,
    runs: usize,
    /// Bytes that no run has.
    bytes: u32,
}

impl Copies {
    /// Copies what is new of a segment beyond the edge, if there is room, and gives it back to leave.
    pub(super) fn push<B: Payload>(&mut self, fit: Fit, mut buffer: B, limits: &Limits) -> Push<B> {
        let growth = self.growth(&fit);
        let bytes = self.bytes.saturating_add(growth.bytes);
        if growth.bytes > 0 {
            // What touches a run makes no more of them.
            let extents = if growth.runs == 0 { self.extents() + 1 } else { 0 };
            if let Some(bound) = limits.reached(&Held { frames: 0, bytes, extents }) {
                return Push::Full(buffer, bound);
            }
        }
        let new = growth.bytes > 0 || (fit.fin && self.fin.is_none());
        let rewritten = self.rewrite(&fit, &mut buffer);
        if growth.bytes > 0 {
            self.absorb(&fit, growth, &buffer);
            self.bytes = bytes;
        }
        if fit.fin {
            self.fin = Some(fit.bytes_end());
        }
        self.check();
        Push::Early(Early { buffer, keep: fit.keep, keep_fin: fit.fin, rewritten, new })
    }

    /// The next run, or end of the stream, that brings something at `edge`.
    pub(super) fn pop(&mut self, edge: i64) -> Option<(VecDeque<u8>, Fit)> {
        while self.runs.front().is_some_and(|run| run.start <= edge) {
            let run = self.runs.pop_front()?;
            let fin = self.fin.take_if(|fin| *fin == run.end()).is_some();
            let keep = run.len();
            self.bytes -= keep;
            let fit = Fit { start: run.start, keep, fin };
            if fit.end() > edge {
                return Some((run.bytes, fit));
            }
        }
        // The edge may have gone over the end together with another copy of it.
        let fin = self.fin.take_if(|fin| *fin <= edge)?;
        (fin == edge).then(|| (VecDeque::new(), Fit { start: edge, keep: 0, fin: true }))
    }

    /// Makes the bytes of `buffer` that have left before equal to what left. Says whether that
    /// changed any.
    pub(super) fn rewrite<B: Payload>(&self, fit: &Fit, buffer: &mut B) -> bool {
        let mut changed = false;
        for run in self.runs.range(self.first_touching(fit.start)..) {
            let (start, end) = (run.start.max(fit.start), run.end().min(fit.bytes_end()));
            if start >= end {
                if run.start >= fit.bytes_end() {
                    break;
                }
                continue;
            }
            let copy = span_mut(buffer.payload_mut(), fit.start, start, end);
            changed |= copy.is_some_and(|copy| run.overwrite(start, copy));
        }
        changed
    }

    /// Trims a newcomer to the FIN that has left, or takes its FIN away if data beyond it has.
    pub(super) fn respect_fin(&self, fit: &mut Fit) {
        match self.fin {
            Some(fin) => fit.end_at(fin),
            None => fit.fin &= self.runs.back().is_none_or(|last| last.end() <= fit.bytes_end()),
        }
    }

    pub(super) fn sizes(&self) -> Held {
        Held { frames: 0, bytes: self.bytes, extents: self.extents() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.fin.is_none()
    }

    fn extents(&self) -> u32 {
        u32::try_from(self.runs.len()).unwrap_or(u32::MAX)
    }

    /// Index of the first run that ends at `position` or after it.
    fn first_touching(&self, position: i64) -> usize {
        match self.runs.back() {
            Some(last) if last.end() < position => self.runs.len(),
            Some(last) if last.start <= position => self.runs.len() - 1,
            _ => self.runs.partition_point(|run| run.end() < position),
        }
    }

    fn growth(&self, fit: &Fit) -> Growth {
        let first = self.first_touching(fit.start);
        let touching = self.runs.range(first..).take_while(|run| run.start <= fit.bytes_end());
        let (mut runs, mut bytes) = (0, fit.keep);
        for run in touching {
            let (start, end) = (run.start.max(fit.start), run.end().min(fit.bytes_end()));
            bytes -= u32::try_from(end - start).unwrap_or(0);
            runs += 1;
        }
        Growth { first, runs, bytes }
    }

    /// Copies what is new, and makes one run of what it touches.
    fn absorb<B: Payload>(&mut self, fit: &Fit, growth: Growth, buffer: &B) {
        let payload = buffer.payload();
        let piece = |start: i64, end: i64| span(payload, fit.start, start, end).unwrap_or_default();
        let Growth { first, runs, .. } = growth;
        if let (1, Some(run)) = (runs, self.runs.get_mut(first))
            && run.start <= fit.start
        {
            // At the tail of a run: what every segment but the first behind a gap does.
            let end = run.end();
            run.bytes.extend(piece(end, fit.bytes_end()));
            return;
        }
        let mut whole = Run { start: fit.start, bytes: VecDeque::new() };
        for run in self.runs.drain(first..first + runs) {
            let end = whole.end();
            if run.start > end {
                whole.bytes.extend(piece(end, run.start));
            }
            whole.join(run);
        }
        let end = whole.end();
        whole.bytes.extend(piece(end, fit.bytes_end()));
        self.runs.insert(first, whole);
    }

    /// The invariants of the fields, in debug builds.
    fn check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let mut end = i64::MIN;
        let mut bytes = 0;
        for run in &self.runs {
            debug_assert!(!run.bytes.is_empty(), "no run is empty");
            debug_assert!(run.start > end, "sorted, and no two touch");
            end = run.end();
            bytes += run.len();
        }
        debug_assert_eq!(bytes, self.bytes, "bytes are counted");
        debug_assert!(self.fin.is_none_or(|fin| end <= fin), "nothing beyond the FIN");
    }
}

impl Run {
    /// Bytes in it. Far fewer than the bound on all of them, which is a `u32`.
    fn len(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }

    fn end(&self) -> i64 {
        self.start + i64::from(self.len())
    }

    /// Makes `copy`, whose first byte has the position `start` in it, equal to it.
    fn overwrite(&self, start: i64, copy: &mut [u8]) -> bool {
        let (front, back) = self.bytes.as_slices();
        let skip = usize::try_from(start - self.start).unwrap_or(usize::MAX);
        let halves = [
            front.get(skip..).unwrap_or_default(),
            back.get(skip.saturating_sub(front.len())..).unwrap_or_default(),
        ];
        let (mut rest, mut changed) = (copy, false);
        for half in halves {
            let (now, later) = rest.split_at_mut(half.len().min(rest.len()));
            if let Some(half) = half.get(..now.len()).filter(|half| *half != now) {
                now.copy_from_slice(half);
                changed = true;
            }
            rest = later;
        }
        changed
    }

    /// Puts `next`, which begins where this one ends or holds nothing before it, behind it.
    fn join(&mut self, mut next: Self) {
        if self.bytes.is_empty() {
            *self = next;
        } else if self.bytes.len() >= next.bytes.len() {
            self.bytes.append(&mut next.bytes);
        } else {
            // To the back, and round to the front: costs as much as is moved.
            let len = self.bytes.len();
            next.bytes.append(&mut self.bytes);
            next.bytes.rotate_right(len);
            self.bytes = next.bytes;
        }
    }
}
