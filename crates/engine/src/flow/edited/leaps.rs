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
