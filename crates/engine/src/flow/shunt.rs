//! A connection that crosses without being received, so that only its end is seen.
//!
//! It is a wire then: what is received of it crosses as well, valid or not. But the tracker is told from
//! the link how far the numbers have come, so that a FIN or a RST ends the connection here only where it
//! ends it for the receiver. When both sides have closed, everything is received again, for the last
//! acknowledgments tell when it is over. One that was refused is dropped by the link instead.

use tollgate_link::shunt::{Fate, NoShunt};
use tollgate_link::{Frame, Link, Port};
use tollgate_policy::{Phase, Policy};
use tollgate_tcp::{Invalid, Segment, State, Step};
use tollgate_wire::{Direction, Flags, Packet, Timestamp};

use super::{Context, Course, Flow};
use crate::below::{Below, Growth};
use crate::config::Shunt;
use crate::counters::{Cause, Reason};
use crate::ports::Ports;
use crate::shunt_counters::Unshunted;

impl<F: Frame> Flow<F> {
    /// Whether it crosses or is dropped below, or would if the link could.
    pub(crate) const fn is_shunted(&self) -> bool {
        matches!(self.course, Course::Shunted)
    }

    /// Shunts a connection that rules have released, unless something of it has still to be done here.
    #[cold]
    pub(crate) fn shunt<L: Link<Frame = F>, P: Policy>(&mut self, cx: &mut Context<'_, L, P>) {
        self.go_long_way();
        let followed = self.course == Course::Followed && self.about.zombie.is_none();
        let lives = matches!(self.tracker.state(), State::Established | State::HalfClosed);
        let waits = Direction::BOTH.iter().any(|&way| self.streams[way].is_waiting());
        if !followed || !lives || waits || self.bypassed {
            return;
        }
        let below = if self.edited.is_some() {
            Err(Unshunted::Edited)
        } else if cx.ports.counters.checksums_completed > 0 {
            Err(Unshunted::Checksums)
        } else if self.about.packets() < cx.config.shunt_packets_min {
            return;
        } else {
            let opened =
                Below::open(&mut cx.ports.link, &self.about, Some(&self.tracker), Fate::Cross);
            match opened {
                Ok(below) => Ok(Some(below)),
                Err(NoShunt::Unable) => Ok(None),
                Err(NoShunt::Full) => Err(Unshunted::Full),
            }
        };
        match below {
            Ok(below) => {
                for direction in Direction::BOTH {
                    cx.retained.forget(&mut self.kept[direction]);
                }
                self.goes_below(below);
                let counters = &mut cx.ports.counters;
                counters.shunts.crossing += 1;
                if !self.about.over {
                    cx.rules.phase(&self.about, Phase::Shunted, cx.now, counters);
                }
            }
            Err(why) => {
                self.about.released = false;
                cx.ports.counters.shunts.refuse(why);
            }
        }
    }

    fn goes_below(&mut self, below: Option<Below>) {
        self.course = Course::Shunted;
        if below.is_some() {
            self.aside_mut().below = below;
        }
    }

    /// A straggler of a refused connection: after some of them the rest are dropped below.
    pub(super) fn straggled<L: Link<Frame = F>, P>(&mut self, cx: &mut Context<'_, L, P>) {
        let many = self.about.zombie.as_mut().is_some_and(|zombie| zombie.straggles(cx.now));
        if many && !self.is_shunted() && cx.config.shunt != Shunt::Never {
            let below = Below::refuse(cx.ports, &self.about);
            self.goes_below(below);
        }
    }

    /// A packet that was received though the connection is shunted. Given back as [`Flow::packet`] does.
    #[cold]
    pub(super) fn cross_shunted<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        mut packet: Packet<F>,
        segment: &Segment,
        direction: Direction,
        port: Port,
    ) -> Option<Packet<F>> {
        if segment.flags.intersects(Flags::SYN | Flags::FIN | Flags::RST) {
            self.learn(cx.ports, cx.now);
        }
        let segment = &self.caught_up(segment, direction);
        let step = self.tracker.segment(direction, segment, cx.now);
        match &step {
            Ok(Step::Reopen) => return Some(packet),
            // It would accept a SYN that crossed, and the next connection would be open unseen.
            Err(why @ Invalid::UnexpectedSynAck) => {
                cx.ports.drop(packet.into_frame(), Reason::Invalid(*why));
                return None;
            }
            Ok(Step::Data { fin, .. }) => {
                let edge = self.tracker.next(direction).max(step_end(&step, segment));
                self.tracker.committed(direction, edge, *fin);
                self.tracker.forwarded(direction, edge);
            }
            Ok(Step::Pass | Step::Strip | Step::Reset) | Err(_) => {}
        }
        self.about.received(direction, &packet, port, &mut cx.ports.neighbours, cx.now);
        if segment.has_stray_payload() {
            packet.trim(0..0, false);
        }
        cx.ports.counters.shunts.above += 1;
        if !matches!(self.tracker.state(), State::Established | State::HalfClosed) {
            self.surface(cx.ports, cx.now);
        }
        cx.ports.forward(packet, port.peer());
        if step == Ok(Step::Reset) {
            self.note_reset(cx.now);
            self.close(cx, Phase::ResetByPeer, Cause::Closed);
        }
        None
    }

    /// A segment as it would be if it had not waited to be received, while others of its sender crossed: its
    /// acknowledgment may be old by more than a window, which is no reason to doubt it.
    fn caught_up(&self, segment: &Segment, direction: Direction) -> Segment {
        let newest = self.tracker.acknowledged(direction.reverse());
        let waits = segment.has(Flags::ACK) && !segment.has(Flags::SYN);
        Segment { ack: if waits { segment.ack.max(newest) } else { segment.ack }, ..*segment }
    }

    /// Asks the link what has come of the connection.
    pub(crate) fn learn<L: Link<Frame = F>>(&mut self, ports: &mut Ports<L>, now: Timestamp) {
        let Some(aside) = self.aside.as_deref_mut() else { return };
        let Some(below) = &mut aside.below else { return };
        match below.look(&mut ports.link) {
            Some(growth) => self.grow(&growth, ports, now),
            // Somebody has taken it out, and everything is received again.
            None => aside.below = None,
        }
    }

    /// From now on everything of it is received.
    pub(crate) fn surface<L: Link<Frame = F>>(&mut self, ports: &mut Ports<L>, now: Timestamp) {
        if let Some(below) = self.aside.as_deref_mut().and_then(|aside| aside.below.take()) {
            let growth = below.close(&mut ports.link);
            self.grow(&growth, ports, now);
        }
    }

    fn grow<L: Link<Frame = F>>(&mut self, growth: &Growth, ports: &mut Ports<L>, now: Timestamp) {
        self.about.grow(growth, &mut ports.counters.shunts, now);
        if self.about.zombie.is_none() {
            self.tracker.crossed(&growth.crossed, growth.is_far());
        }
    }
}

/// Where a valid segment ends, of what leaves of it.
fn step_end(step: &Result<Step, Invalid>, segment: &Segment) -> tollgate_wire::Seq {
    step.as_ref().map_or(segment.seq, |step| step.end(segment))
}
