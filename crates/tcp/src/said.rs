use std::collections::VecDeque;
use std::hash::BuildHasher;

use tollgate_wire::Seq;

/// What the segments said that a changed stream was made of, as long as they are not acknowledged: so that a
/// copy with other bytes is noticed although what leaves is cut from what they have become.
///
/// Digests, 16 bytes a segment and a bounded number of them: a copy that is cut as the first was, which is
/// how nearly every sender repeats itself, is compared, and any other is not. What leaves is the same in
/// either case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// In order; none overlaps the next.
    segments: VecDeque<Segment>,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    start: Seq,
    len: u32,
    digest: u64,
}

impl Said {
    /// Notes the bytes of a segment that begins at `start`.
    pub(crate) fn note(&mut self, start: Seq, bytes: &[u8], key: &impl BuildHasher) {
        if bytes.is_empty() {
            return;
        }
        if self.segments.len() == SEGMENTS_MAX {
            self.segments.pop_front();
        }
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.segments.push_back(Segment { start, len, digest: key.hash_one(bytes) });
    }

    /// Forgets segments before `ack`.
    pub(crate) fn acknowledged(&mut self, ack: Seq) {
        let ends = |segment: &Segment| segment.start + segment.len;
        while self.segments.front().is_some_and(|first| ends(first).at_or_before(ack)) {
            self.segments.pop_front();
        }
        if self.segments.is_empty() {
            self.segments.shrink_to(SEGMENTS_MIN);
        }
    }

    /// Whether a copy from `seq` on is cut as one segment or several were, and one of them said something
    /// else.
    pub(crate) fn contradicts(&self, seq: Seq, mut copy: &[u8], key: &impl BuildHasher) -> bool {
        let at = self.segments.partition_point(|segment| segment.start.before(seq));
        let mut next = seq;
        for segment in self.segments.range(at..) {
            let len = usize::try_from(segment.len).unwrap_or(usize::MAX);
            let Some((bytes, rest)) = copy.split_at_checked(len) else { return false };
            if segment.start != next {
                return false;
            }
            if key.hash_one(bytes) != segment.digest {
                return true;
            }
            (next, copy) = (next + segment.len, rest);
        }
        false
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.segments.len() * size_of::<Segment>()
    }
}

/// 16 KiB; of full segments, those of a megabyte and a half. A guess.
const SEGMENTS_MAX: usize = 1024;
/// What may stay allocated.
const SEGMENTS_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, DefaultHasher};

    use super::*;

    const KEY: BuildHasherDefault<DefaultHasher> = BuildHasherDefault::new();

    fn said(texts: &[&str]) -> Said {
        let (mut said, mut at) = (Said::default(), Seq(u32::MAX - 4));
        for text in texts {
            said.note(at, text.as_bytes(), &KEY);
            at += u32::try_from(text.len()).unwrap();
        }
        said
    }

    #[test]
    fn a_copy_that_is_cut_alike_and_says_something_else_contradicts() {
        let mut said = said(&["ab", "cde", "f"]);
        let start = Seq(u32::MAX - 4);
        for (at, copy, contradicts) in [
            (0, "ab", false),
            (0, "aX", true),
            (0, "abcdef", false),
            (0, "abcXef", true),
            (2, "cdX", true),
            (5, "X", true),
            // New bytes behind, and other cuts.
            (5, "fX", false),
            (0, "Xbc", true),
            (1, "X", false),
            (0, "X", false),
            (6, "X", false),
        ] {
            assert_eq!(said.contradicts(start + at, copy.as_bytes(), &KEY), contradicts, "{copy}");
        }
        said.acknowledged(start + 4);
        assert!(!said.contradicts(start, b"aX", &KEY));
        assert!(said.contradicts(start + 2, b"cdX", &KEY));
        assert_eq!(said.memory(), 32);
    }

    #[test]
    fn segments_are_bounded_and_the_oldest_go_first() {
        let mut said = Said::default();
        for at in 0..3000 {
            said.note(Seq(at), b"x", &KEY);
        }
        assert_eq!(said.memory(), SEGMENTS_MAX * 16);
        assert!(!said.contradicts(Seq(0), b"y", &KEY) && said.contradicts(Seq(2999), b"y", &KEY));
    }
}
