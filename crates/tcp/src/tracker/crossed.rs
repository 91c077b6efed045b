//! What has crossed without being asked for: from the edges that are left of it, the tracker goes on.

use tollgate_wire::{Direction, PerDirection, Seq};

use super::Tracker;

/// How far the segments of one direction have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// The highest number after a byte of one.
    pub end: Seq,
    /// The highest acknowledgment.
    pub ack: Seq,
    /// The right-most edge of the window that was offered beside one.
    pub window: Seq,
    /// Some came since this was told last, so their sender lives.
    pub moved: bool,
}

impl Tracker {
    /// Takes note of segments that have crossed unseen: what they carried is taken for committed and
    /// forwarded. `far` if so much has crossed since this was told last that the numbers of then and now
    /// cannot be compared.
    ///
    /// Whether there was a gap is not known, so the edge may lie beyond what the receiver has.
    pub fn crossed(&mut self, crossed: &PerDirection<Crossed>, far: bool) {
        for direction in Direction::BOTH {
            let Crossed { end, moved, .. } = crossed[direction];
            if moved && self.doubt == Some(direction) {
                self.doubt = None;
            }
            let half = &mut self.halves[direction];
            // Numbers may have gone round since the first: it is nothing to measure by any more.
            half.young = false;
            if half.fin {
                continue;
            }
            if far {
                (half.next, half.forwarded, half.end_max) = (end, end, end);
            } else {
                half.commit(end, false);
                half.forward(end);
            }
        }
        for direction in Direction::BOTH {
            let Crossed { ack, window, .. } = crossed[direction];
            // The two directions are read one after the other, so an acknowledgment may be ahead.
            let ack = ack.min(self.halves[direction.reverse()].forwarded);
            let half = &mut self.halves[direction];
            half.window_max = half.window_max.max(window.distance(ack).max(0).cast_unsigned());
            if far {
                (half.ack_max, half.edge_max) = (ack, window);
            } else {
                half.ack_max = half.ack_max.max(ack);
                half.edge_max = half.edge_max.max(window);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Segment, State, Step};
    use tollgate_wire::{Flags, Options, Timestamp};

    const UP: Direction = Direction::ToServer;
    const NOW: Timestamp = Timestamp(0);

    fn segment(seq: u32, ack: u32, flags: Flags) -> Segment {
        let (seq, ack) = (Seq(seq), Seq(ack));
        Segment { seq, ack, flags, len: 0, window: 100, options: Options::default() }
    }

    fn seen(end: u32, ack: u32) -> Crossed {
        Crossed { end: Seq(end), ack: Seq(ack), window: Seq(ack + 1000), moved: true }
    }

    /// Taken up where the client is at 1000 and the server at 5000.
    fn tracker() -> Tracker {
        Tracker::pickup(UP, &segment(1000, 5000, Flags::ACK))
    }

    #[test]
    fn ends_are_where_the_crossed_have_come_whether_near_or_far() {
        for (end, far) in [(2000, false), (0x9000_0000, true), (500, true)] {
            let mut tracker = tracker();
            let crossed = PerDirection { to_server: seen(end, 5000), to_client: seen(5000, end) };
            tracker.crossed(&crossed, far);
            for off in [end - 1, end + 1, 1000] {
                let rst = segment(off, 5000, Flags::RST);
                assert_ne!(tracker.clone().segment(UP, &rst, NOW), Ok(Step::Reset), "{off}");
            }
            let rst = segment(end, 5000, Flags::RST);
            assert_eq!(tracker.clone().segment(UP, &rst, NOW), Ok(Step::Reset), "{end}");
            let fin = segment(end, 5000, Flags::FIN | Flags::ACK);
            let step = tracker.segment(UP, &fin, NOW);
            assert!(matches!(step, Ok(Step::Data { fin: true, .. })), "{end}: {step:?}");
        }
    }

    #[test]
    fn an_acknowledgment_that_is_read_too_early_counts_as_far_as_it_can() {
        let mut tracker = tracker();
        let crossed = PerDirection { to_server: seen(2000, 5000), to_client: seen(5000, 2500) };
        tracker.crossed(&crossed, false);
        assert_eq!(tracker.acknowledged(UP), Seq(2000));
    }

    #[test]
    fn a_fin_stays_where_it_is() {
        let mut tracker = tracker();
        tracker.committed(UP, Seq(1001), true);
        tracker.forwarded(UP, Seq(1001));
        let crossed = PerDirection { to_server: seen(1000, 6000), to_client: seen(6000, 1001) };
        tracker.crossed(&crossed, false);
        assert_eq!((tracker.next(UP), tracker.state()), (Seq(1001), State::HalfClosed));
    }
}
