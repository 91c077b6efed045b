//! How a connection ends: by a verdict or a remedy of ours, by its ends, or in silence.

use arrayvec::ArrayVec;
use tollgate_link::{Frame, Link};
use tollgate_policy::{Phase, Policy, Verdict};
use tollgate_tcp::reset::{RSTS_MAX, Rst};
use tollgate_tcp::{Held, Segment, State, reset};
use tollgate_wire::{Direction, Timestamp};

use super::{Context, Flow};
use crate::buffer::Buffer;
use crate::counters::{Cause, Reason};
use crate::farewell::Farewell;
use crate::ports::Ports;
use crate::rules::phase_of;
use crate::zombie::Zombie;

impl<F: Frame> Flow<F> {
    /// Answers a segment that came after a RST had passed.
    #[cold]
    pub(super) fn tell_again<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        segment: &Segment,
        direction: Direction,
    ) {
        if let Some(rst) = reset::answer(segment, direction)
            && self.may_speak(cx)
            && self
                .aside
                .as_mut()
                .and_then(|aside| aside.reset.as_mut())
                .is_some_and(|reset| reset.may_answer(rst.to, cx.now))
        {
            cx.ports.rst(&self.about, &rst);
        }
    }

    /// A RST of an endpoint has passed.
    pub(super) fn note_reset(&mut self, now: Timestamp) {
        self.aside_mut().reset.get_or_insert_with(|| Zombie::of(Verdict::Reset, now));
    }

    /// Whether one has.
    pub(super) fn has_passed_reset(&self) -> bool {
        self.aside().is_some_and(|aside| aside.reset.is_some())
    }

    /// Whether the ends can be told anything in each other's names: not where segments are signed, which
    /// nobody else can; not in a recording, which hears nothing.
    pub(super) fn may_speak<L: Link<Frame = F>, P>(&self, cx: &Context<'_, L, P>) -> bool {
        !self.tracker.is_signed() && !cx.config.recorded_ends
    }

    /// Ends the connection as a rule wants it: what is held is dropped, RSTs are sent, and a zombie
    /// stays behind.
    pub(super) fn condemn<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        verdict: Verdict,
    ) {
        // Asked before the end is told, which is another event.
        let is_lost = cx.rules.policy.take_failure();
        self.finish_off(cx, verdict, Reason::Refused(verdict), phase_of(verdict));
        if let Some(zombie) = &mut self.about.zombie {
            zombie.is_lost = is_lost;
        }
    }

    /// The same, for any `reason`.
    pub(super) fn finish_off<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        verdict: Verdict,
        reason: Reason,
        phase: Phase,
    ) {
        let rsts = match (verdict, &self.edited) {
            (Verdict::Reset, None) => reset::both(&self.tracker),
            (Verdict::Reset, Some(edited)) => reset::both(&edited.streams),
            (Verdict::HalfReset, None) => reset::half(&self.tracker),
            (Verdict::HalfReset, Some(edited)) => reset::half(&edited.streams),
            (
                Verdict::Accept
                | Verdict::Shunt
                | Verdict::Bypass
                | Verdict::DropPacket
                | Verdict::Drop,
                _,
            ) => Default::default(),
        };
        let rsts = if cx.config.recorded_ends { at_the_edges(&rsts) } else { rsts };
        self.give_up(cx, reason);
        for rst in &rsts {
            cx.ports.rst(&self.about, rst);
        }
        // Nor is anybody answered later to whom nothing can be said now.
        let may_speak = self.may_speak(cx);
        let answered = if may_speak { verdict } else { Verdict::Drop };
        self.about.zombie = Some(Box::new(Zombie::of(answered, cx.now)));
        let farewell = Farewell::new(rsts, cx.now).filter(|_| may_speak);
        if self.aside.is_some() || farewell.is_some() {
            self.aside_mut().farewell = farewell;
        }
        self.end(cx, phase);
    }

    /// When RSTs are to be sent again, if ever.
    pub(crate) fn next_farewell(&self) -> Option<Timestamp> {
        self.aside()?.farewell.as_ref()?.next()
    }

    /// Sends RSTs again whose time has come. Gives the next time, if there is one.
    pub(crate) fn say_farewell<L: Link<Frame = F>>(
        &mut self,
        ports: &mut Ports<L>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let farewell = self.aside.as_mut()?.farewell.as_mut()?;
        let before = ports.counters.rsts;
        for rst in farewell.due(now) {
            ports.rst(&self.about, rst);
        }
        ports.counters.rsts_repeated += ports.counters.rsts - before;
        farewell.next()
    }

    /// Ends the connection otherwise: what is held is dropped, and its end is told.
    pub(crate) fn close<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        phase: Phase,
        cause: Cause,
    ) {
        self.give_up(cx, Reason::Cause(cause));
        self.end(cx, phase);
    }

    /// Tells that the connection is over, once.
    pub(crate) fn end<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        phase: Phase,
    ) {
        let state = self.tracker.state();
        cx.rules.end(&mut self.about, state, phase, cx.now, cx.ports);
    }

    /// How a connection that fell silent ended: in peace, if both had said good-bye.
    pub(crate) fn silent_phase(&self) -> Phase {
        match self.tracker.state() {
            State::Closing | State::TimeWait => Phase::Closed,
            _ => Phase::Expired,
        }
    }

    /// Drops what is held and forgets what is retained.
    pub(super) fn give_up<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        reason: Reason,
    ) {
        self.forget_edits(cx, reason);
        for direction in Direction::BOTH {
            cx.retained.forget(&mut self.kept[direction]);
            self.let_go(cx, direction, reason);
        }
    }

    /// Drops what waits behind a gap.
    pub(super) fn let_go<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        direction: Direction,
        reason: Reason,
    ) {
        let stream = &mut self.streams[direction];
        cx.held.change(stream.held(), Held::default());
        for packet in stream.drain().filter_map(Buffer::into_packet) {
            cx.ports.counters.held -= 1;
            cx.ports.drop(packet.into_frame(), reason);
        }
    }
}

/// One RST towards each end, the client's first, as Haka has it: the ends of a recording have got all that
/// left, so there is one number only that each of them expects.
fn at_the_edges(rsts: &[Rst]) -> ArrayVec<Rst, RSTS_MAX> {
    let ends = [Direction::ToClient, Direction::ToServer];
    ends.iter().filter_map(|end| rsts.iter().rfind(|rst| rst.to == *end)).copied().collect()
}
