//! What the ends of a recording acknowledge, as Haka writes it.
//!
//! They have acknowledged bytes as those were, and Haka takes it for an acknowledgment of the changed bytes: inside of
//! a segment it is as far behind its beginning as it says, and of the segment that is counted from, the beginning is
//! known in both numberings. What follows on the connection does not depend on it.

use std::collections::VecDeque;

use tollgate_wire::Seq;

/// Where segments of one direction begin that are numbered otherwise than the one before: as their sender counts, and
/// as they have left.
#[derive(Debug, Default)]
pub(super) struct Leaps(VecDeque<(Seq, Seq)>);

impl Leaps {
    /// A segment that begins at `input` leaves as `output`, behind all others.
    pub(super) fn segment(&mut self, input: Seq, output: Seq) {
        let even = (Seq(0), Seq(0));
        let (before, after) = *self.0.back().unwrap_or(&even);
        if before.distance(after) == input.distance(output) {
            return;
        }
        if self.0.len() == LEAPS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((input, output));
    }

    /// What an acknowledgment of bytes that have left is, counted from the beginning of their segment.
    pub(super) fn input(&self, ack: Seq) -> Seq {
        let segment = self.0.iter().rev().find(|(_, output)| output.at_or_before(ack));
        segment.map_or(ack, |(input, output)| ack + input.distance(*output).cast_unsigned())
    }
}

/// More changes of the length than this between a byte and its acknowledgment are a guess's business.
const LEAPS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn leaps(segments: &[(u32, u32)]) -> Leaps {
        let mut leaps = Leaps::default();
        for (input, output) in segments {
            leaps.segment(Seq(*input), Seq(*output));
        }
        leaps
    }

    #[test]
    fn an_acknowledgment_is_counted_from_its_segment() {
        // The second of three segments of ten bytes has grown to fifteen, the third has shrunk to four.
        let leaps = leaps(&[(100, 100), (110, 110), (120, 125), (130, 129)]);
        for (ack, input) in [
            (95, 95),
            (110, 110),
            // Inside of what has grown, as far as it was said.
            (120, 120),
            (124, 124),
            (125, 120),
            (127, 122),
            (129, 130),
            (135, 136),
        ] {
            assert_eq!(leaps.input(Seq(ack)), Seq(input), "{ack}");
        }
    }

    #[test]
    fn numbers_may_pass_zero_and_what_is_kept_is_bounded() {
        let around = leaps(&[(u32::MAX - 4, u32::MAX - 4), (5, 9)]);
        assert_eq!([around.input(Seq(2)), around.input(Seq(12))], [Seq(2), Seq(8)]);
        let segments: Vec<_> = (0..10_000).map(|n| (n * 10, n * 11)).collect();
        let many = leaps(&segments);
        assert_eq!(many.0.len(), LEAPS_MAX);
        assert_eq!(many.input(Seq(11 * 9_999 + 3)), Seq(10 * 9_999 + 3));
    }
}
