use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};

use tollgate_wire::Seq;

/// How the bytes of one direction were cut that have left and are not acknowledged, and digests of what
/// the oldest segments said, whose bytes are not kept: a copy that is cut like them can still be
/// verified, which is how nearly every sender repeats itself.
///
/// With a key that nobody knows, no second segment with the digest of the first can be looked for.
/// Segments are bounded in number; where there are more, the oldest digests are given up, or two
/// segments count as one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receipts {
    /// In order; each reaches to where the next begins, the last to the end of all.
    segments: VecDeque<Receipt>,
    /// So many of them, from the front, have a digest.
    digested: usize,
}

#[derive(Clone, Copy, Debug)]
struct Receipt {
    start: Seq,
    digest: u64,
}

impl Receipts {
    /// A segment leaves that begins at `start`, where the last one ends.
    pub(crate) fn sent(&mut self, start: Seq) {
        if self.segments.len() == SEGMENTS_MAX {
            if self.digested == 0 {
                return;
            }
            self.segments.pop_front();
            self.digested -= 1;
        }
        self.segments.push_back(Receipt { start, digest: 0 });
    }

    /// Where the oldest segment ends whose bytes are kept, none if that is the end of all.
    pub(crate) fn oldest_end(&self) -> Option<Seq> {
        self.segments.get(self.digested + 1).map(|next| next.start)
    }

    /// The bytes of that segment are not kept any more.
    pub(crate) fn demote(&mut self, digest: u64) {
        if let Some(oldest) = self.segments.get_mut(self.digested) {
            oldest.digest = digest;
            self.digested += 1;
        }
    }

    /// Forgets what lies before `ack`. Gives true if that was something.
    pub(crate) fn acknowledged(&mut self, ack: Seq) -> bool {
        let before = self.segments.len();
        while self.segments.get(1).is_some_and(|next| next.start.at_or_before(ack)) {
            self.segments.pop_front();
            self.digested = self.digested.saturating_sub(1);
        }
        if let (0, Some(first)) = (self.digested, self.segments.front_mut()) {
            // The rest of it, which is how a copy will come.
            first.start = first.start.max(ack);
        }
        self.segments.len() < before
    }

    /// Whether a copy from `seq` on is one segment, or several together, of which all have digests, and
    /// says the same. `first` is the first byte that is kept, where the last digest ends.
    pub(crate) fn verify(
        &self,
        mut seq: Seq,
        mut copy: &[u8],
        first: Seq,
        key: &impl BuildHasher,
    ) -> bool {
        let at = self.segments.partition_point(|segment| segment.start.before(seq));
        let mut digested = self.segments.range(at.min(self.digested)..self.digested).peekable();
        while let Some(segment) = digested.next() {
            let end = digested.peek().map_or(first, |next| next.start);
            let len = usize::try_from(end.distance(seq)).unwrap_or(usize::MAX);
            let Some((bytes, rest)) = copy.split_at_checked(len) else { return false };
            if segment.start != seq || segment.digest != digest([bytes, &[]], key) {
                return false;
            }
            (seq, copy) = (end, rest);
            if copy.is_empty() {
                return true;
            }
        }
        false
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.segments.clear();
        self.digested = 0;
    }

    /// Bytes of memory that they take.
    pub(crate) fn memory(&self) -> usize {
        self.segments.capacity() * size_of::<Receipt>()
    }

    /// Gives memory back that only a great many segments need.
    pub(crate) fn shrink(&mut self) {
        if self.segments.capacity() > SEGMENTS_MIN.max(4 * self.segments.len()) {
            self.segments.shrink_to(2 * self.segments.len());
        }
    }
}

/// What is known of a segment, whose bytes are given in two parts, when they are not kept.
pub(crate) fn digest(parts: [&[u8]; 2], key: &impl BuildHasher) -> u64 {
    let mut hasher = key.build_hasher();
    parts.into_iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

/// 128 KiB; of full segments, those of 11 MB.
const SEGMENTS_MAX: usize = 8192;
/// A guess: a kilobyte, below which giving back is not worth the call.
const SEGMENTS_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;

    #[test]
    fn a_digest_does_not_depend_on_where_the_ring_of_bytes_begins() {
        let (key, bytes) =
            (RandomState::new(), [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2]);
        let whole = digest([&bytes, &[]], &key);
        for cut in 0..bytes.len() {
            let (front, back) = bytes.split_at(cut);
            assert_eq!(digest([front, back], &key), whole);
        }
        assert_ne!(whole, digest([&bytes, &[]], &RandomState::new()), "it is keyed");
    }

    #[test]
    fn segments_are_bounded_and_the_oldest_digests_go_first() {
        let (key, sent) = (RandomState::new(), 3 * u32::try_from(SEGMENTS_MAX).unwrap());
        let mut receipts = Receipts::default();
        for number in 0..sent {
            receipts.sent(Seq(number));
            if number > 0 {
                receipts.demote(digest([&[7], &[]], &key));
            }
        }
        assert_eq!(receipts.segments.len(), SEGMENTS_MAX);
        assert!(receipts.verify(Seq(sent - 2), &[7], Seq(sent - 1), &key));
        assert!(!receipts.verify(Seq(0), &[7], Seq(sent - 1), &key));
        assert!(receipts.memory() <= 2 * SEGMENTS_MAX * size_of::<Receipt>());
    }
}
