//! Receivers as stacks build them, each with its own answer to overlapping segments.

/// Which copy of a byte that is not read yet a stack prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taste {
    /// The one that came first.
    First,
    /// The one that came last.
    Last,
    /// Linux's and BSD's: the newer one if its segment begins before the older.
    LeftMost,
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
    /// Where the segment that it is of began.
    began: usize,
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
        let began = usize::try_from(start).unwrap_or(0);
        self.insert(Queued { start: begin, bytes: bytes[skip..].to_vec(), began, fin });
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
            let newer_wins = match self.taste {
                Taste::First => false,
                Taste::Last => true,
                Taste::LeftMost => new.began < old.began,
            };
            if newer_wins {
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
