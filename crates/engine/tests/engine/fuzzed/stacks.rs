//! Receivers as stacks build them, each with its own answer to overlapping segments.

use std::ops::Range;

/// Which copy of a byte that is not read yet a stack prefers: the policies of target-based systems
/// (Novak and Sturges, "Target-Based TCP Stream Reassembly", 2007), which cover what stacks were found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taste {
    /// The one that came first.
    First,
    /// The one that came last.
    Last,
    /// The newer one if its segment begins before the older.
    Bsd,
    /// The same, and if both begin together, the newer one if it is longer.
    Linux,
    /// The newer one if its segment ends after the older; if both end together, if it is no shorter.
    Solaris,
}

impl Taste {
    pub(crate) const ALL: [Self; 5] =
        [Self::First, Self::Last, Self::Bsd, Self::Linux, Self::Solaris];

    /// Whether the copy of a newer segment is preferred; both as the positions that they take.
    fn prefers(self, newer: &Range<usize>, older: &Range<usize>) -> bool {
        match self {
            Self::First => false,
            Self::Last => true,
            Self::Bsd => newer.start < older.start,
            Self::Linux => (newer.start, older.end) < (older.start, newer.end),
            Self::Solaris => (older.end, newer.start) <= (newer.end, older.start),
        }
    }
}

/// One direction's receiver: a queue of segments, cut up as they come, and what the program reads.
///
/// Positions count from the first byte of the stream.
#[derive(Debug)]
pub(crate) struct Stack {
    taste: Taste,
    /// Sorted by start; no two overlap, none is empty but a FIN alone.
    queue: Vec<Queued>,
    pub(crate) read: Vec<u8>,
    pub(crate) ended: bool,
}

#[derive(Clone, Debug)]
struct Queued {
    start: usize,
    bytes: Vec<u8>,
    /// Where the segment lay that it is of.
    of: Range<usize>,
    fin: bool,
}

impl Queued {
    fn end(&self) -> usize {
        self.start + self.bytes.len()
    }

    /// What is left of it where `other` wins. A FIN goes with what follows the last byte.
    fn without(&self, other: &Self) -> Vec<Self> {
        if self.end() <= other.start || self.start >= other.end() {
            return vec![self.clone()];
        }
        let before = self.bytes.get(..other.start.saturating_sub(self.start)).unwrap_or_default();
        let after = self.end().checked_sub(other.end()).filter(|left| *left > 0 || self.fin);
        let mut left = Vec::new();
        if !before.is_empty() {
            left.push(Self { bytes: before.to_vec(), fin: false, ..self.clone() });
        }
        if let Some(after) = after {
            let bytes = self.bytes[self.bytes.len() - after..].to_vec();
            left.push(Self { start: other.end(), bytes, ..self.clone() });
        }
        left
    }
}

impl Stack {
    pub(crate) fn new(taste: Taste) -> Self {
        Self { taste, queue: Vec::new(), read: Vec::new(), ended: false }
    }

    /// Takes a segment; `start` may lie before the first byte.
    pub(crate) fn receive(&mut self, start: i64, bytes: &[u8], fin: bool) {
        if self.ended {
            return;
        }
        let edge = self.read.len() as i64;
        let skip = usize::try_from((edge - start).clamp(0, bytes.len() as i64)).unwrap();
        let Ok(begin) = usize::try_from(start + skip as i64) else { return };
        if begin < self.read.len() || (bytes.len() == skip && !fin) {
            return;
        }
        let of = usize::try_from(start).unwrap_or(0)..begin + bytes.len() - skip;
        self.insert(Queued { start: begin, bytes: bytes[skip..].to_vec(), of, fin });
        while self.queue.first().is_some_and(|first| first.start == self.read.len()) {
            let first = self.queue.remove(0);
            self.read.extend(first.bytes);
            if first.fin {
                self.ended = true;
                self.queue.clear();
            }
        }
    }

    fn insert(&mut self, new: Queued) {
        let mut queue = Vec::new();
        let mut fresh = vec![new.clone()];
        for old in std::mem::take(&mut self.queue) {
            if self.taste.prefers(&new.of, &old.of) {
                queue.extend(old.without(&new));
            } else {
                fresh = fresh.iter().flat_map(|new| new.without(&old)).collect();
                queue.push(old);
            }
        }
        queue.extend(fresh);
        queue.sort_by_key(|queued| (queued.start, queued.fin));
        self.queue = queue;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nine ways in which two segments overlap, by whose bytes each taste reads there.
    #[test]
    fn each_taste_decides_as_its_policy_is_known_to() {
        // Older, newer; then whether the newer one wins, for each taste.
        for (older, newer, wins) in [
            (2..6, 4..8, [false, true, false, false, true]),
            (4..8, 2..6, [false, true, true, true, false]),
            (2..6, 2..6, [false, true, false, false, true]),
            (2..8, 4..6, [false, true, false, false, false]),
            (4..6, 2..8, [false, true, true, true, true]),
            (2..8, 2..6, [false, true, false, false, false]),
            (2..6, 2..8, [false, true, false, true, true]),
            (2..8, 4..8, [false, true, false, false, false]),
            (4..8, 2..8, [false, true, true, true, true]),
        ] {
            for (taste, wins) in Taste::ALL.into_iter().zip(wins) {
                let mut stack = Stack::new(taste);
                stack.receive(older.start as i64, &vec![b'o'; older.len()], false);
                stack.receive(newer.start as i64, &vec![b'n'; newer.len()], false);
                stack.receive(0, b"..", false);
                let shared = older.start.max(newer.start);
                let read = stack.read[shared];
                assert_eq!(read, if wins { b'n' } else { b'o' }, "{taste:?} {older:?} {newer:?}");
            }
        }
    }
}
