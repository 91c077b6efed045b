//! A RST ahead of what has left, as where the last data before it was lost on its way to us.
//!
//! It does not pass, for some stacks take it and others do not. Those that do not would challenge it: tell
//! its sender what they expect, who then sends a RST that is exact (RFC 5961 section 3.2). Were it only
//! dropped, a receiver that has nothing to say would wait for ever. So its receiver is sent what makes it
//! tell just that: an old number without bytes, as a keep-alive has it. If the RST was forged, its alleged
//! sender gets one duplicate acknowledgment, as it would without us.

use tollgate_link::{Frame, Link};
use tollgate_tcp::{Invalid, Segment};
use tollgate_wire::Direction;

use super::{Context, Flow};

impl<F: Frame> Flow<F> {
    /// After a segment that travels in `direction` was refused for `why`.
    #[cold]
    pub(super) fn have_challenged<L: Link<Frame = F>, P>(
        &self,
        cx: &mut Context<'_, L, P>,
        segment: &Segment,
        why: Invalid,
        direction: Direction,
    ) {
        let (edge, window) = (self.tracker.edge(direction), self.tracker.window_edge(direction));
        let is_ahead = segment.seq.after(edge) && segment.seq.at_or_before(window);
        if why != Invalid::RstOffEdge
            || !is_ahead
            || !self.may_speak(cx)
            // Neither its windows nor what its receiver has got are known.
            || self.tracker.is_midstream()
        {
            return;
        }
        let Some(mut forged) = self.header(cx, direction) else { return };
        forged.seq = self.received(direction) - 1;
        let Some(frame) = cx.ports.forge() else { return };
        if cx.ports.write(&self.about, direction, &forged, [&[], &[]], frame).is_some() {
            cx.ports.counters.rsts_challenged += 1;
        }
    }
}
