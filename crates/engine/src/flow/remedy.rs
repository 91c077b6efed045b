//! A connection that cannot be treated as it should be, and one that crosses uninspected.

use tollgate_link::{Frame, Link, Port};
use tollgate_policy::{Phase, Policy, Verdict};
use tollgate_tcp::{Held, Invalid, Segment, Tracker};
use tollgate_wire::{Direction, Flags, Packet};

use super::{Context, Course, Flow};
use crate::buffer::Buffer;
use crate::counters::{Cause, Reason};
use crate::identity::Identity;
use crate::remedy::{Remedy, Trouble};
use crate::unseen::{Crossing, Unseen};

impl<F: Frame> Flow<F> {
    /// One that was there before us, and of which a packet has crossed unseen in `direction`. Rules
    /// are told of it when the other end speaks, and it is [another flow](Flow::packet) then.
    pub(crate) fn one_sided(mut about: Identity, direction: Direction, segment: &Segment) -> Self {
        about.over = true;
        Self::on_course(about, Tracker::pickup(direction, segment), Course::OneSided(direction))
    }

    /// One that crosses uninspected; its end has been told.
    pub(crate) fn unseen(about: Identity, tracker: Tracker, unseen: Unseen) -> Self {
        let mut flow = Self::on_course(about, tracker, Course::Unseen);
        if unseen != Unseen::default() {
            flow.aside_mut().unseen = unseen;
            flow.recorded = flow.standing();
        }
        flow
    }

    fn on_course(about: Identity, tracker: Tracker, course: Course) -> Self {
        let mut flow = Self { course, ..Self::new(about, tracker) };
        flow.recorded = flow.standing();
        flow
    }

    /// Whether it is not followed because one of its ends has not spoken yet.
    pub(crate) const fn is_one_sided(&self) -> bool {
        matches!(self.course, Course::OneSided(_))
    }

    /// A packet of a connection that is not followed. Given back as [`Flow::packet`] does.
    #[cold]
    pub(super) fn cross<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        mut packet: Packet<F>,
        segment: &Segment,
        direction: Direction,
        port: Port,
    ) -> Option<Packet<F>> {
        match self.course {
            Course::Unseen => match self.aside_mut().unseen.segment(direction, segment) {
                Crossing::Reopen => return Some(packet),
                Crossing::Answered => {
                    cx.ports.drop(packet.into_frame(), Reason::Invalid(Invalid::UnexpectedSynAck));
                    return None;
                }
                Crossing::Forward => cx.ports.counters.bypassed += 1,
            },
            Course::OneSided(from) => {
                let opens = segment.has(Flags::SYN) && !segment.has(Flags::ACK);
                if opens || (direction != from && is_followable(segment)) {
                    return Some(packet);
                }
                cx.ports.counters.untracked += 1;
            }
            Course::Shunted => {
                return self.cross_shunted(cx, packet, segment, direction, port);
            }
            Course::Followed => return Some(packet),
        }
        self.about.received(direction, &packet, port, &mut cx.ports.neighbours, cx.now);
        if segment.has_stray_payload() {
            packet.trim(0..0, false);
        }
        cx.ports.forward(packet, port.peer());
        None
    }

    /// Does what the configuration has for `trouble`, and says what is left to do with the packet that
    /// showed it.
    #[cold]
    pub(super) fn meet<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        trouble: Trouble,
    ) -> Remedy {
        cx.ports.counters.trouble(trouble);
        let reason = Reason::Cause(match trouble {
            Trouble::Memory => Cause::Memory,
            Trouble::Asymmetric => Cause::Asymmetric,
            Trouble::GapTimeout => Cause::GapTimeout,
        });
        let mut remedy = cx.config.remedies.of(trouble);
        if remedy == Remedy::Bypass && self.edited.as_ref().is_some_and(|edited| !edited.is_even())
        {
            // Its ends count differently, and only what is translated can cross.
            cx.ports.counters.edits.lost += 1;
            remedy = Remedy::Reset;
        }
        if !matches!(remedy, Remedy::DropPacket | Remedy::Pass) {
            // It may be long silent, and what it has become lives from now on.
            self.about.last_seen = cx.now;
        }
        match remedy {
            Remedy::DropPacket | Remedy::Pass => {}
            Remedy::DropFlow => self.finish_off(cx, Verdict::Drop, reason, Phase::Evicted),
            Remedy::Reset => self.finish_off(cx, Verdict::Reset, reason, Phase::Reset),
            Remedy::Bypass => self.let_cross(cx),
        }
        remedy
    }

    /// Gives up what is kept of bytes in flight of which none has been acknowledged for long, as memory is
    /// short: the bytes first, their digests later. Where rules have changed them the connection cannot go on without.
    #[cold]
    pub(crate) fn forget_silent<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
    ) {
        for direction in Direction::BOTH {
            let forgot = cx.retained.forget_silent(&mut self.kept[direction]);
            cx.ports.counters.silenced += u64::from(forgot);
        }
        if self.has_fallen_silent() {
            cx.ports.counters.silenced += 1;
            cx.ports.counters.trouble(Trouble::Memory);
            self.about.last_seen = cx.now;
            let reason = Reason::Cause(Cause::Memory);
            match cx.config.remedies.memory {
                Remedy::DropFlow => self.finish_off(cx, Verdict::Drop, reason, Phase::Evicted),
                _ => self.finish_off(cx, Verdict::Reset, reason, Phase::Reset),
            }
        }
    }

    /// From here on it crosses uninspected. What waits leaves now, and nothing is compared any more.
    fn let_cross<L: Link<Frame = F>, P: Policy>(&mut self, cx: &mut Context<'_, L, P>) {
        self.forget_edits(cx, Reason::Cause(Cause::Edited));
        for direction in Direction::BOTH {
            cx.retained.forget(&mut self.kept[direction]);
            let port = self.about.routes[direction].port.peer();
            let stream = &mut self.streams[direction];
            cx.held.change(stream.held(), Held::default());
            for buffer in stream.drain() {
                match buffer {
                    Buffer::Packet(mut packet) => {
                        // Its bytes may have been made equal to those of one that waited before.
                        packet.complete_checksum();
                        cx.ports.counters.held -= 1;
                        cx.ports.counters.bypassed += 1;
                        cx.ports.forward(packet, port);
                    }
                    Buffer::Small(small) => self.release_run(cx, &mut small.into(), direction),
                }
            }
        }
        self.end(cx, Phase::Bypassed);
        self.course = Course::Unseen;
        if let Some(aside) = &mut self.aside {
            aside.unseen = Unseen::default();
        }
    }

    /// Whether a segment that was refused for `why` shows that the other end's packets go another way.
    pub(super) fn is_unanswered<L: Link<Frame = F>, P>(
        &mut self,
        cx: &Context<'_, L, P>,
        why: Invalid,
        direction: Direction,
    ) -> bool {
        let heard = self.about.traffic(direction.reverse()).packets;
        matches!(why, Invalid::AckBeyond | Invalid::BeyondWindow)
            && self.aside_mut().unanswered.refused(direction, heard, cx.now, &cx.config.remedies)
    }

    /// The packet that showed it, refused for `why`.
    pub(super) fn asymmetric<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        packet: Packet<F>,
        port: Port,
        why: Invalid,
    ) {
        match self.meet(cx, Trouble::Asymmetric) {
            Remedy::DropPacket => cx.ports.drop(packet.into_frame(), Reason::Invalid(why)),
            Remedy::DropFlow | Remedy::Reset => {
                cx.ports.drop(packet.into_frame(), Reason::Cause(Cause::Asymmetric));
            }
            Remedy::Pass | Remedy::Bypass => {
                cx.ports.counters.bypassed += 1;
                cx.ports.forward(packet, port.peer());
            }
        }
    }

    /// A packet of nothing but bytes that left before and that nobody remembers. Gives it back if it is
    /// to be sent as the configuration has it for such bytes.
    pub(super) fn forgotten<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        packet: Packet<F>,
        port: Port,
    ) -> Option<Packet<F>> {
        match self.meet(cx, Trouble::Memory) {
            Remedy::DropPacket | Remedy::Pass => return Some(packet),
            Remedy::DropFlow | Remedy::Reset => {
                cx.ports.drop(packet.into_frame(), Reason::Cause(Cause::Memory));
            }
            Remedy::Bypass => {
                cx.ports.counters.bypassed += 1;
                cx.ports.forward(packet, port.peer());
            }
        }
        None
    }
}

/// Whether a connection can be taken up at this segment.
pub(crate) fn is_followable(segment: &Segment) -> bool {
    segment.has(Flags::ACK) && !segment.flags.intersects(Flags::SYN | Flags::RST)
}
