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
        let known = self.tracker.is_in_flight(direction, seq);
        (known || self.bypassed || self.course != Course::Followed)
            .then(|| self.sent_as(direction, seq))
    }

    /// The number by which the sender of `direction` knows what left as `seq`. The two are the same
    /// as long as no rule changes the length of a stream.
    #[expect(clippy::unused_self, reason = "an edited stream has numbers of its own")]
    const fn sent_as(&self, _direction: Direction, seq: Seq) -> Seq {
        seq
    }
}
