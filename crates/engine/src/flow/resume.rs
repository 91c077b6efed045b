//! Taking a connection up again after bytes of it have crossed without us.
//!
//! Where the steering program bypasses a worker that is late (`fail = "wire"`), the wire lives and
//! the worker has gaps: it would wait for ever for bytes that their receiver has long read, and drop
//! acknowledgments of them as lies. So each connection is taken up at its next packet, as one is that
//! began before us: what lies between is given up, unseen. What rules have decided stays.

use tollgate_link::{Frame, Link};
use tollgate_policy::{Policy, Verdict};
use tollgate_tcp::{Segment, State};
use tollgate_wire::{Direction, Flags};

use super::{Context, Flow};
use crate::counters::{Cause, Reason};

impl<F: Frame> Flow<F> {
    /// Bytes may have crossed unseen: the next packet tells where the streams stand.
    pub(crate) fn bypassed(&mut self) {
        self.go_long_way();
        self.bypassed = true;
    }

    /// Takes the connection up at `segment`, if it was bypassed and the segment can tell. Says whether
    /// it goes on: if bytes of it have changed their numbers, the ends no longer understand each other,
    /// for what crossed unseen kept its own.
    #[cold]
    pub(super) fn resume<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        segment: &Segment,
        direction: Direction,
    ) -> bool {
        let tells = segment.has(Flags::ACK) && !segment.flags.intersects(Flags::SYN | Flags::RST);
        if !tells {
            return true;
        }
        self.bypassed = false;
        if !matches!(self.tracker.state(), State::Established | State::HalfClosed) {
            return true;
        }
        if self.edited.as_ref().is_some_and(|edited| !edited.is_even()) {
            cx.ports.counters.edits.lost += 1;
            self.condemn(cx, Verdict::Reset);
            return false;
        }
        self.forget_edits(cx, Reason::Cause(Cause::Edited));
        // Between the held bytes and the edge may be a gap that nobody will fill. Their sender
        // repeats what its peer lacks.
        for way in Direction::BOTH {
            self.let_go(cx, way, Reason::Cause(Cause::Bypassed));
        }
        self.tracker = self.tracker.pickup_again(direction, segment);
        for way in Direction::BOTH {
            let (stream, edge) = (&mut self.streams[way], self.tracker.next(way));
            if stream.next().after(edge) || stream.is_finished() {
                // An old segment, or an old acknowledgment: we know more than it tells.
                self.tracker.committed(way, stream.next(), stream.is_finished());
                self.tracker.forwarded(way, stream.next());
            } else {
                cx.ports.counters.unseen += u64::from(edge.0.wrapping_sub(stream.next().0));
                stream.skip_to(edge);
            }
        }
        true
    }
}
