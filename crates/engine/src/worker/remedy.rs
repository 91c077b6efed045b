//! Stage 4 where there is no room, one end is not heard, or the beginning was not seen: packets that
//! cross uninspected, or are refused.

use tollgate_link::{Link, Port};
use tollgate_policy::{FlowId, Phase, Policy, Verdict};
use tollgate_tcp::{Handshake, Invalid, Segment, State, Tracker, reset};
use tollgate_wire::{Direction, Packet, Timestamp};

use super::{Arrival, Worker};
use crate::counters::{Cause, Reason};
use crate::flow::{Flow, is_followable};
use crate::identity::Identity;
use crate::remedy::{Remedy, Trouble};
use crate::unseen::Crossing;

impl<L: Link, P: Policy> Worker<L, P> {
    /// A packet that a flow gave back: the flow is forgotten, and the packet is the first of another,
    /// or of the same one followed.
    pub(super) fn begin_anew(&mut self, number: u32, arrival: Arrival<L::Frame>, now: Timestamp) {
        let one_sided = self.flows.get(number).is_some_and(Flow::is_one_sided);
        self.close_flow(number, Some(Phase::Closed), Cause::Closed, now);
        if one_sided && is_followable(&Segment::of(&arrival.packet)) {
            self.pick_up(arrival, now);
        } else {
            self.first_packet(arrival, now);
        }
    }

    /// Lets a packet of no connection cross.
    pub(super) fn forward_untracked(&mut self, packet: Packet<L::Frame>, port: Port) {
        self.ports.counters.untracked += 1;
        self.ports.forward(packet, port.peer());
    }

    /// Lets the first packet of a connection that was there before us cross, and notes who sent it. In
    /// a table that is nearly full nobody notes it: the next packet is the first then.
    pub(super) fn await_other_end(&mut self, arrival: Arrival<L::Frame>, now: Timestamp) {
        let Arrival { packet, port, hash } = arrival;
        if !self.flows.is_pressed() {
            let headers = packet.headers();
            let mut about = Identity::new(FlowId(0), headers, headers.source, port);
            let direction = Direction::ToServer;
            about.received(direction, &packet, port, &mut self.ports.neighbours, now);
            let flow = Flow::one_sided(about, direction, &Segment::of(&packet));
            // Without room it is as if nobody had noted it.
            drop(self.open_flow(hash, flow, now));
        }
        self.forward_untracked(packet, port);
    }

    /// Tells the sender of a packet of no connection that it is over. Its peer is told when it speaks.
    pub(super) fn refuse(&mut self, packet: &Packet<L::Frame>, port: Port, now: Timestamp) {
        let (segment, direction) = (Segment::of(packet), Direction::ToServer);
        let Some(rst) = reset::answer(&segment, direction) else { return };
        // What is signed cannot be forged; and a RST for each forged packet would serve an attacker.
        if segment.options.signed || !self.refusals.allows(now) {
            return;
        }
        let headers = packet.headers();
        let mut about = Identity::new(FlowId(0), headers, headers.source, port);
        about.received(direction, packet, port, &mut self.ports.neighbours, now);
        self.ports.rst(&about, &rst);
    }

    /// A connection that is to be picked up, and no room for it.
    pub(super) fn no_room_to_pick_up(&mut self, packet: Packet<L::Frame>, port: Port) {
        self.ports.counters.trouble(Trouble::Memory);
        match self.config.remedies.memory {
            Remedy::Pass | Remedy::Bypass => self.forward_untracked(packet, port),
            // There is no record in which to note more, so its next packet comes here again.
            Remedy::DropPacket | Remedy::DropFlow | Remedy::Reset => {
                self.ports.drop(packet.into_frame(), Reason::Cause(Cause::FlowTableFull));
            }
        }
    }

    /// A handshake is complete, and there is no room for another connection.
    #[cold]
    pub(super) fn no_room(
        &mut self,
        number: u32,
        handshake: &Handshake,
        arrival: Arrival<L::Frame>,
        segment: &Segment,
        direction: Direction,
        now: Timestamp,
    ) {
        self.ports.counters.trouble(Trouble::Memory);
        let (verdict, phase) = match self.config.remedies.memory {
            // It stays half-open; its client tries again, and there may be room then.
            Remedy::DropPacket => (Verdict::DropPacket, Phase::Evicted),
            Remedy::DropFlow => (Verdict::Drop, Phase::Evicted),
            Remedy::Reset => (Verdict::Reset, Phase::Reset),
            Remedy::Pass | Remedy::Bypass => {
                return self.bypass_half_open(number, arrival, segment, direction, now);
            }
        };
        let full = Reason::Cause(Cause::FlowTableFull);
        self.ports.drop(arrival.packet.into_frame(), full);
        if verdict.ends_flow() {
            if let Some(record) = self.half_open.get_mut(number) {
                record.handshake = *handshake;
            }
            self.finish_off_half_open(number, verdict, phase, now);
        }
    }

    /// A packet that a handshake refused for `why`. A client that goes on without a SYN-ACK that we
    /// have seen got one another way.
    #[cold]
    pub(super) fn invalid_handshake(
        &mut self,
        number: u32,
        arrival: Arrival<L::Frame>,
        segment: &Segment,
        direction: Direction,
        why: Invalid,
        now: Timestamp,
    ) {
        let remedies = &self.config.remedies;
        let unanswered = self.half_open.get_mut(number).is_some_and(|record| {
            let heard = record.about.traffic(direction.reverse()).packets;
            why == Invalid::BeforeHandshake
                && record.handshake.state() == State::SynSent
                && is_followable(segment)
                && record.unanswered.refused(direction, heard, now, remedies)
        });
        let mut reason = Reason::Invalid(why);
        if unanswered {
            self.ports.counters.trouble(Trouble::Asymmetric);
            let (verdict, phase) = match remedies.asymmetric {
                Remedy::DropPacket => (Verdict::DropPacket, Phase::Evicted),
                Remedy::DropFlow => (Verdict::Drop, Phase::Evicted),
                Remedy::Reset => (Verdict::Reset, Phase::Reset),
                Remedy::Pass | Remedy::Bypass => {
                    return self.bypass_half_open(number, arrival, segment, direction, now);
                }
            };
            if verdict.ends_flow() {
                reason = Reason::Cause(Cause::Asymmetric);
                self.finish_off_half_open(number, verdict, phase, now);
            }
        }
        self.ports.drop(arrival.packet.into_frame(), reason);
    }

    /// Lets a connection whose handshake is not complete cross uninspected from this packet on: in the
    /// flow table if there is room, else from where it is.
    fn bypass_half_open(
        &mut self,
        number: u32,
        arrival: Arrival<L::Frame>,
        segment: &Segment,
        direction: Direction,
        now: Timestamp,
    ) {
        let Some(record) = self.half_open.get_mut(number) else {
            return self.forward_untracked(arrival.packet, arrival.port);
        };
        if record.unseen.is_none() {
            record.unseen = Some(Default::default());
            self.half_open_unseen += 1;
            self.retained.forget(&mut record.kept);
            let (about, state) = (&mut record.about, record.handshake.state());
            self.rules.end(about, state, Phase::Bypassed, now, &mut self.ports);
        }
        self.ports.counters.bypassed += 1;
        self.ports.forward(arrival.packet, arrival.port.peer());
        if self.flows.is_full() {
            self.arm_half_open(number, now);
        } else if let Some(record) = self.half_open.close(number) {
            self.half_open_unseen -= 1;
            let tracker = Tracker::pickup(direction, segment);
            let flow = Flow::unseen(record.about, tracker, record.unseen.unwrap_or_default());
            // Without room it is a connection whose beginning was not seen.
            drop(self.open_flow(arrival.hash, flow, now));
        }
    }

    /// A packet of a half-open connection that crosses uninspected, there having been no room for it.
    #[cold]
    pub(super) fn cross_half_open(
        &mut self,
        number: u32,
        arrival: Arrival<L::Frame>,
        segment: &Segment,
        now: Timestamp,
    ) {
        let Some(record) = self.half_open.get_mut(number) else { return };
        let Some(unseen) = &mut record.unseen else { return };
        let Arrival { mut packet, port, hash } = arrival;
        let direction = record.about.direction(packet.headers().source);
        match unseen.segment(direction, segment) {
            Crossing::Reopen => {
                self.close_half_open(number, Phase::Closed, now);
                return self.open_handshake(Arrival { packet, port, hash }, now);
            }
            Crossing::Answered => {
                let why = Reason::Invalid(Invalid::UnexpectedSynAck);
                return self.ports.drop(packet.into_frame(), why);
            }
            Crossing::Forward => {}
        }
        record.about.received(direction, &packet, port, &mut self.ports.neighbours, now);
        let there_is_room = is_followable(segment) && !self.flows.is_full();
        if there_is_room && self.config.remedies.memory == Remedy::Pass {
            self.close_half_open(number, Phase::Closed, now);
            return self.pick_up(Arrival { packet, port, hash }, now);
        }
        if there_is_room {
            let arrival = Arrival { packet, port, hash };
            return self.bypass_half_open(number, arrival, segment, direction, now);
        }
        if segment.has_stray_payload() {
            packet.trim(0..0, false);
        }
        self.ports.counters.bypassed += 1;
        self.ports.forward(packet, port.peer());
    }
}
