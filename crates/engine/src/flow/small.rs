//! Small segments behind a gap, where what is behind one is held: as copies of their bytes, so that their
//! frames are free at once. A flow of single bytes would pin as many frames as an honest one, and hold
//! next to nothing.
//!
//! When the gap closes, what lies together leaves together, in segments of our own as their sender would
//! send them now. There may be no frame for one: then it is as if it had been lost behind us, for its bytes
//! are remembered like all that has left, and its sender repeats it.

use tollgate_link::{Frame, Link};
use tollgate_policy::Policy;
use tollgate_tcp::{Gap, Push, Ready};
use tollgate_wire::{Direction, Flags, Packet, Seq};

use super::{Context, Flow};
use crate::buffer::{Buffer, Small};
use crate::counters::{Cause, Reason};

/// Bytes of small segments that leave together.
#[derive(Debug, Default)]
pub(super) struct Run {
    seq: Seq,
    bytes: Vec<u8>,
    push: bool,
    fin: bool,
}

impl From<Small> for Run {
    fn from(Small { seq, bytes, push, fin }: Small) -> Self {
        Self { seq, bytes: bytes.into(), push, fin }
    }
}

impl Run {
    fn end(&self) -> Seq {
        self.seq + u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }
}

impl<F: Frame> Flow<F> {
    /// Holds a small packet that has a gap before it as a copy. Gives it back if it is not one, or if there
    /// is no room for the copy.
    pub(super) fn hold_small<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        packet: Packet<F>,
        seq: Seq,
        fin: bool,
        direction: Direction,
    ) -> Option<Packet<F>> {
        let stream = &mut self.streams[direction];
        if packet.headers().payload_len() > SMALL_MAX
            || seq.at_or_before(stream.next())
            || stream.has_left_early()
            || !cx.rules.edits_data()
            // Every packet of a recording leaves as itself.
            || cx.config.recorded_ends
            // What cannot be forged must keep its frame.
            || self.tracker.is_signed()
            || self.tracker.is_midstream()
        {
            return Some(packet);
        }
        let before = stream.held();
        let push = packet.headers().flags.contains(Flags::PSH);
        let copy = Buffer::Small(Small { seq, bytes: packet.payload().into(), push, fin });
        match stream.push(seq, fin, copy, Gap::Hold, &cx.held.limits) {
            Push::Held => {
                cx.held.change(before, stream.held());
                cx.ports.counters.out_of_order += 1;
                cx.ports.merge(packet.into_frame());
            }
            Push::Redundant(_) => {
                cx.ports.drop(packet.into_frame(), Reason::Cause(Cause::Redundant));
            }
            // The others do not happen to what has a gap before it.
            Push::Full(..)
            | Push::Ready(_)
            | Push::Early(_)
            | Push::Duplicate(_)
            | Push::Stray(_) => {
                return Some(packet);
            }
        }
        self.ask(cx, direction, seq);
        None
    }

    /// Adds what is new of a small segment whose turn has come, and has been shown, to those before it.
    pub(super) fn release_small<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        ready: &Ready<Small>,
        run: &mut Run,
        direction: Direction,
    ) {
        if ready.rewritten {
            self.conflict(cx, direction);
        }
        if ready.fresh.is_empty() && !ready.fin {
            // All of it left with another.
            return;
        }
        let seq = ready.buffer.seq + ready.fresh.start;
        let range = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        let fresh = ready.buffer.bytes.get(range(ready.fresh.start)..range(ready.fresh.end));
        let fresh = fresh.unwrap_or_default();
        if cx.rules.wants_data() {
            cx.retained.record(&mut self.kept[direction], seq, fresh);
        }
        if seq != run.end() || run.fin {
            self.release_run(cx, run, direction);
            run.seq = seq;
        }
        run.bytes.extend(fresh);
        run.push = ready.buffer.push;
        run.fin |= ready.fin;
    }

    /// Sends those that lie together.
    pub(super) fn release_run<L: Link<Frame = F>, P: Policy>(
        &self,
        cx: &mut Context<'_, L, P>,
        run: &mut Run,
        direction: Direction,
    ) {
        let Run { mut seq, bytes, push, fin } = std::mem::take(run);
        if bytes.is_empty() && !fin {
            return;
        }
        let Some(mut forged) = self.header(cx, direction) else { return };
        let most = self.forged_payload_max(cx, &forged, direction);
        let mut rest = &bytes[..];
        loop {
            let len = rest.len().min(usize::try_from(most).unwrap_or(usize::MAX));
            let (now, later) = rest.split_at(len);
            let last = later.is_empty();
            forged.seq = seq;
            forged.flags.set(Flags::FIN, fin && last);
            forged.flags.set(Flags::PSH, push && last);
            let Some(frame) = cx.ports.forge() else { return };
            if cx.ports.write(&self.about, direction, &forged, [now, &[]], frame).is_none() || last
            {
                return;
            }
            seq += u32::try_from(len).unwrap_or(u32::MAX);
            rest = later;
        }
    }
}

/// Bytes of payload: a line of the cache or a few, far below what a frame has room for.
const SMALL_MAX: u32 = 256;
