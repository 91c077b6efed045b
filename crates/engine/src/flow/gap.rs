//! Gaps that nobody fills.
//!
//! Honest senders fill a gap within some retransmission timeouts; who opens gaps to fill our memory does
//! not. So a gap has its time, which begins anew whenever the stream moves on. Nothing of it is touched
//! by a packet in order: the worker asks to [watch](Flow::watch_gaps) when one has come early, and
//! looks when the flow's timer goes off.

use tollgate_link::{Frame, Link};
use tollgate_policy::Policy;
use tollgate_wire::{Direction, Seq, Timestamp};

use super::{Context, Flow};
use crate::counters::{Cause, Reason};
use crate::remedy::{Remedy, Trouble};

/// Where a stream stood when it was last found to move on, with a gap before what waits; nothing of one that is not
/// [watched](Flow::watched).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stall {
    edge: Seq,
    /// In [`moment`]s.
    since: u32,
}

impl<F: Frame> Flow<F> {
    /// Notes which streams have a gap. Gives true if one of them had none before, so that the flow's
    /// timer must go off soon.
    #[cold]
    pub(crate) fn watch_gaps(&mut self, now: Timestamp) -> bool {
        let mut begins = false;
        for direction in Direction::BOTH {
            let stream = &self.streams[direction];
            if stream.is_waiting() && !self.watched[direction] {
                let stall = Stall { edge: stream.next(), since: moment(now) };
                self.aside_mut().stalls[direction] = stall;
                self.watched[direction] = true;
                begins = true;
            }
        }
        begins
    }

    /// Looks at the gaps, and does what the configuration has for one older than `max_ms` milliseconds.
    /// Gives true while there is one, so that somebody must look again.
    pub(crate) fn look_at_gaps<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        max_ms: u32,
    ) -> bool {
        let mut remains = false;
        for direction in Direction::BOTH {
            if !self.watched[direction] {
                continue;
            }
            let (stream, Some(aside)) = (&self.streams[direction], &mut self.aside) else { break };
            let stall = &mut aside.stalls[direction];
            if !stream.is_waiting() {
                *stall = Stall::default();
                self.watched[direction] = false;
            } else if stall.edge != stream.next() {
                *stall = Stall { edge: stream.next(), since: moment(cx.now) };
            } else if moment(cx.now).wrapping_sub(stall.since) >= max_ms {
                // What stays after the remedy has its time again.
                stall.since = moment(cx.now);
                if self.meet(cx, Trouble::GapTimeout) != Remedy::DropPacket {
                    return false;
                }
                self.give_back(cx, direction);
            }
            remains |= self.streams[direction].is_waiting();
        }
        self.aside.take_if(|aside| aside.is_unused());
        remains
    }

    /// Gives up what waits as frames. What has left early stays remembered: its receiver may have it.
    fn give_back<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        direction: Direction,
    ) {
        if self.streams[direction].has_left_early() {
            return;
        }
        self.let_go(cx, direction, Reason::Cause(Cause::GapTimeout));
        if let Some(aside) = &mut self.aside {
            aside.stalls[direction] = Stall::default();
        }
        self.watched[direction] = false;
    }
}

/// Milliseconds; they wrap after seven weeks and are only subtracted.
fn moment(now: Timestamp) -> u32 {
    u32::try_from((now.nanos() / 1_000_000) & u64::from(u32::MAX)).unwrap_or(0)
}
