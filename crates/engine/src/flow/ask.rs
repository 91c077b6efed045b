//! Asking for what is missing, where what waits behind a gap is not seen by its receiver.
//!
//! Where rules may edit, early segments are held, so their receiver says nothing to them, and their
//! sender would wait for its time-out. So it is told in its receiver's name what the receiver itself
//! would tell: a duplicate acknowledgment for each, with SACK blocks where both ends have agreed on them
//! (RFC 5681 section 3.2, RFC 2018).
//!
//! Three rules keep that honest:
//!
//! - It is never said before the receiver has acknowledged everything up to the gap. Else the sender
//!   would take what is still under way behind us for lost, and send all of it again.
//! - Nothing is acknowledged but selectively, and only what is held here. When the gap closes it leaves,
//!   and if it is lost then, it is sent again from here ([`promise`](super::promise)). Its sender must not
//!   forget it before it is acknowledged cumulatively (RFC 2018 section 8), and has the last word.
//! - Number, window and timestamps are those that the receiver last said.

use tollgate_link::{Frame, Link};
use tollgate_policy::Policy;
use tollgate_wire::forge::SACK_BLOCKS_MAX;
use tollgate_wire::{Direction, Seq};

use super::{Context, Flow};

type Blocks = [Option<(Seq, Seq)>; SACK_BLOCKS_MAX];

impl<F: Frame> Flow<F> {
    /// Whether the receiver of `direction` has acknowledged all that there is before the gap.
    pub(super) fn is_read_to_the_gap(&self, direction: Direction) -> bool {
        self.tracker.acknowledged(direction) == self.streams[direction].next()
    }

    /// Tells the sender of `direction` that a segment beginning at `seq` has come early and is held.
    #[cold]
    pub(super) fn ask<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        direction: Direction,
        seq: Seq,
    ) {
        if self.is_read_to_the_gap(direction) {
            let newest = |run: &(Seq, Seq)| run.0.at_or_before(seq) && run.1.after(seq);
            let first = self.streams[direction].held_runs().find(newest);
            self.forge_duplicates(cx, direction, first, 1);
        }
    }

    /// The same for all that is held, as soon as the receiver has acknowledged everything before: without
    /// SACK blocks as often as makes the sender repeat what is missing.
    #[cold]
    pub(super) fn ask_later<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        direction: Direction,
    ) {
        if self.is_read_to_the_gap(direction) {
            let first = self.streams[direction].held_runs().last();
            let held = self.streams[direction].held_buffers();
            let times = if self.sacks { 1 } else { held.min(DUPLICATES) };
            self.forge_duplicates(cx, direction, first, times);
        }
    }

    fn forge_duplicates<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        direction: Direction,
        first: Option<(Seq, Seq)>,
        times: u32,
    ) {
        // Of a connection that was picked up in its middle neither the windows are known nor what its
        // receiver has got.
        let may_speak = self.may_speak(cx) && !self.tracker.is_midstream();
        let back = direction.reverse();
        let Some(mut forged) = self.header(cx, back).filter(|_| may_speak && first.is_some())
        else {
            return;
        };
        if self.sacks {
            forged.sack = self.blocks(direction, first);
            for block in forged.sack.into_iter().flatten() {
                self.promise(direction, block);
            }
        }
        for _ in 0..times {
            let Some(frame) = cx.ports.forge() else { return };
            if cx.ports.write(&self.about, back, &forged, [&[], &[]], frame).is_none() {
                return;
            }
            cx.ports.counters.edits.duplicate_acks += 1;
        }
    }

    /// The run that has changed last, then those nearest to the gap.
    fn blocks(&self, direction: Direction, first: Option<(Seq, Seq)>) -> Blocks {
        let mut blocks = [first, None, None];
        let others = self.streams[direction].held_runs().filter(|run| Some(*run) != first);
        for (block, run) in blocks.iter_mut().skip(1).zip(others) {
            *block = Some(run);
        }
        blocks
    }
}

/// What a sender takes for a loss (RFC 5681 section 3.2).
const DUPLICATES: u32 = 3;
