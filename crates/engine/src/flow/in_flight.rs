//! What of a connection is in flight, for errors that quote it.

use tollgate_link::Frame;
use tollgate_wire::{Direction, Seq};

use super::{Course, Flow};

impl<F: Frame> Flow<F> {
    /// What the sender of `direction` calls what left as `seq`, if that can be in flight; none
    /// otherwise.
    ///
    /// Where frames have crossed unseen nobody knows what is in flight, and anything may be.
    pub(crate) fn in_flight(&self, direction: Direction, seq: Seq) -> Option<Seq> {
        let known = match &self.edited {
            None => self.tracker.is_in_flight(direction, seq),
            Some(edited) => {
                let stream = &edited.streams[direction];
                seq.at_or_after(stream.acknowledged()) && seq.at_or_before(stream.edge_sent())
            }
        };
        (known || self.bypassed || self.course != Course::Followed)
            .then(|| self.sent_as(direction, seq))
    }

    /// The number by which the sender of `direction` knows what left as `seq`.
    fn sent_as(&self, direction: Direction, seq: Seq) -> Seq {
        match &self.edited {
            None => seq,
            Some(edited) => {
                let stream = &edited.streams[direction];
                stream.input_ack(seq, stream.window_edge())
            }
        }
    }
}
