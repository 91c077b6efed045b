//! Stage 4 for connections whose handshake is not complete.

use tollgate_link::{Link, Port};
use tollgate_policy::{PacketView, Phase, Policy, Verdict};
use tollgate_tcp::reset::{self, Resettable};
use tollgate_tcp::{Handshake, Invalid, Progress, Segment, State, Step, Tracker};
use tollgate_wire::{Direction, Flags, Packet, Timestamp};

use super::{Arrival, Worker, split};
use crate::below::Below;
use crate::config::Shunt;
use crate::counters::{Cause, Reason};
use crate::flow::Flow;
use crate::half_open::HalfOpen;
use crate::identity::Identity;
use crate::rules::phase_of;
use crate::zombie::Zombie;

impl<L: Link, P: Policy> Worker<L, P> {
    /// A SYN of no connection that is known. The rules hear of it before it is sent on.
    pub(super) fn open_handshake(&mut self, arrival: Arrival<L::Frame>, now: Timestamp) {
        let Arrival { packet, port, hash } = arrival;
        let syn = Segment::of(&packet);
        let handshake = match Handshake::open(&syn) {
            Ok(handshake) => handshake,
            Err(why) => return self.ports.drop(packet.into_frame(), Reason::Invalid(why)),
        };
        self.make_room(now);
        let headers = packet.headers();
        let mut about = Identity::new(self.numbers.next(), headers, headers.source, port);
        about.received(Direction::ToServer, &packet, port, &mut self.ports.neighbours, now);
        let mut record = HalfOpen::new(about, handshake);
        record.note_terms(Direction::ToServer, &syn);
        let timeout = record.timeout(&self.pressed);
        let Some(number) = self.half_open.open(hash, record, timeout, now) else {
            let full = Reason::Cause(Cause::HalfOpenFull);
            return self.ports.drop(packet.into_frame(), full);
        };
        let Some(record) = self.half_open.get_mut(number) else { return };
        let view =
            PacketView { frame: packet.frame().as_ref(), headers: packet.headers(), received: now };
        let ports = &mut self.ports;
        let about = &mut record.about;
        let mut verdict = self.rules.new_connection(about, State::SynSent, &view, ports);
        if verdict == Verdict::Accept {
            let to = Direction::ToServer;
            verdict = self.rules.receive_packet(about, State::SynSent, &view, to, ports);
        }
        if verdict == Verdict::Accept {
            self.forward_syn(number, packet, &syn, port, now);
        } else {
            self.ports.drop(packet.into_frame(), Reason::Refused(verdict));
            if verdict.ends_flow() {
                self.condemn_half_open(number, verdict, now);
            }
        }
    }

    /// A packet of a half-open connection.
    pub(super) fn handshake_packet(
        &mut self,
        number: u32,
        arrival: Arrival<L::Frame>,
        now: Timestamp,
    ) {
        let Arrival { packet, port, hash } = arrival;
        let segment = Segment::of(&packet);
        // `find` gave the number just now.
        let Some(record) = self.half_open.get_mut(number) else {
            return self.ports.drop(packet.into_frame(), Reason::Cause(Cause::NoConnection));
        };
        if record.unseen.is_some() {
            return self.cross_half_open(number, Arrival { packet, port, hash }, &segment, now);
        }
        let over = record.about.zombie.is_some() || record.reset;
        let direction = record.about.direction(packet.headers().source);
        let outdated = direction == Direction::ToServer && record.is_outdated_by(&segment);
        if outdated || (over && segment.has(Flags::SYN) && !segment.has(Flags::ACK)) {
            if let Err(why) = Handshake::open(&segment) {
                // What can open nothing ends nothing.
                return self.ports.drop(packet.into_frame(), Reason::Invalid(why));
            }
            self.close_half_open(number, Phase::Closed, now);
            return self.open_handshake(Arrival { packet, port, hash }, now);
        }
        record.about.received(direction, &packet, port, &mut self.ports.neighbours, now);
        if over {
            return self.half_open_straggler(number, packet, &segment, direction, now);
        }
        let view =
            PacketView { frame: packet.frame().as_ref(), headers: packet.headers(), received: now };
        let state = record.handshake.state();
        let ports = &mut self.ports;
        let verdict = self.rules.receive_packet(&mut record.about, state, &view, direction, ports);
        if verdict != Verdict::Accept {
            self.ports.drop(packet.into_frame(), Reason::Refused(verdict));
            if verdict.ends_flow() {
                self.condemn_half_open(number, verdict, now);
            }
            return;
        }
        if direction == Direction::ToClient && !record.forwarded {
            // Rules have dropped the SYN, so that whatever this answers has not left.
            let why = Reason::Invalid(Invalid::SynAckMismatch);
            return self.ports.drop(packet.into_frame(), why);
        }
        // A copy, for a handshake moves on only with what leaves.
        let mut handshake = record.handshake;
        match handshake.segment(direction, &segment) {
            Ok(Progress::Waiting) => {
                record.handshake = handshake;
                record.note_terms(direction, &segment);
                self.forward_half_open(number, packet, &segment, port);
            }
            Ok(Progress::Reset) => {
                record.reset = true;
                let about = &mut record.about;
                self.rules.end(about, state, Phase::ResetByPeer, now, &mut self.ports);
                self.forward_half_open(number, packet, &segment, port);
                self.arm_half_open(number, now);
            }
            Ok(Progress::Established) => {
                let arrival = Arrival { packet, port, hash };
                self.establish(number, &handshake, arrival, &segment, direction, now);
            }
            Err(why) => {
                let arrival = Arrival { packet, port, hash };
                self.invalid_handshake(number, arrival, &segment, direction, why, now);
            }
        }
    }

    /// The `handshake` is complete: the connection moves to the flow table, and its packet with it.
    fn establish(
        &mut self,
        number: u32,
        handshake: &Handshake,
        arrival: Arrival<L::Frame>,
        segment: &Segment,
        direction: Direction,
        now: Timestamp,
    ) {
        let mut tracker = handshake.establish();
        let step = match tracker.segment(direction, segment, now) {
            Ok(step) => step,
            Err(why) => {
                return self.ports.drop(arrival.packet.into_frame(), Reason::Invalid(why));
            }
        };
        if let Err(why) = self.may_open(number, &tracker, &step, segment, direction) {
            return self.ports.drop(arrival.packet.into_frame(), why);
        }
        if self.flows.is_full() {
            return self.no_room(number, handshake, arrival, segment, direction, now);
        }
        let Arrival { packet, port, hash } = arrival;
        let full = Reason::Cause(Cause::FlowTableFull);
        let Some(half_open) = self.half_open.close(number) else {
            return self.ports.drop(packet.into_frame(), full);
        };
        let sacks = half_open.sacks();
        let HalfOpen { about, early, kept, mss, .. } = half_open;
        let mut flow = Flow::new(about, tracker);
        flow.mss = mss;
        flow.sacks = sacks;
        if early.is_some() {
            flow.begin_early(kept);
        }
        let number = match self.open_flow(hash, flow, now) {
            Ok(number) => number,
            Err(mut crowded) => {
                let (_, mut context) = split(self, now);
                crowded.close(&mut context, Phase::Evicted, Cause::FlowTableFull);
                return self.ports.drop(packet.into_frame(), full);
            }
        };
        let (flows, mut context) = split(self, now);
        if let Some(flow) = flows.get_mut(number) {
            let counters = &mut context.ports.counters;
            context.rules.phase(&flow.about, Phase::Established, now, counters);
            flow.segment(&mut context, packet, segment, direction, port, Some(Ok(step)));
        }
        self.settle(number, now);
    }

    /// Whether the segment that completes a handshake is to leave, as far as that is not for rules to
    /// say. If it is refused, or would have to wait, the server has not heard the ACK: the connection is
    /// not open for it, so it must not be for us.
    fn may_open(
        &mut self,
        number: u32,
        tracker: &Tracker,
        step: &Step,
        segment: &Segment,
        direction: Direction,
    ) -> Result<(), Reason> {
        let Step::Data { take, .. } = step else { return Ok(()) };
        let len = take.end - take.start;
        if (segment.data_seq() + take.start).at_or_before(tracker.next(direction)) {
            let kept = self.half_open.get_mut(number).map_or(&None, |record| &record.kept);
            let may = !self.rules.wants_data() || self.retained.may_leave(kept, len);
            return if may { Ok(()) } else { Err(Reason::Cause(self.retained.full())) };
        }
        if self.rules.edits_data() {
            return Err(Reason::Invalid(Invalid::BeforeHandshake));
        }
        let full = self.held.limits.refuses(len).map(|bound| self.held.full(bound));
        full.map_or(Ok(()), |cause| Err(Reason::Cause(cause)))
    }

    /// Sends a packet of the handshake on, without payload where none may leave.
    pub(super) fn forward_half_open(
        &mut self,
        number: u32,
        mut packet: Packet<L::Frame>,
        segment: &Segment,
        port: Port,
    ) {
        if segment.has_stray_payload() {
            packet.trim(0..0, false);
        }
        if segment.has(Flags::URG) {
            self.ports.clear_urgent(&mut packet);
        }
        if let Some(record) = self.half_open.get_mut(number) {
            record.forwarded = true;
        }
        self.ports.forward(packet, port.peer());
    }

    /// Ends a half-open connection as a rule wants it.
    pub(super) fn condemn_half_open(&mut self, number: u32, verdict: Verdict, now: Timestamp) {
        let is_lost = self.rules.policy.take_failure();
        self.finish_off_half_open(number, verdict, phase_of(verdict), now);
        let record = self.half_open.get_mut(number);
        if let Some(zombie) = record.and_then(|record| record.about.zombie.as_mut()) {
            zombie.is_lost = is_lost;
        }
    }

    /// The same, told as `phase`.
    pub(super) fn finish_off_half_open(
        &mut self,
        number: u32,
        verdict: Verdict,
        phase: Phase,
        now: Timestamp,
    ) {
        let Some(record) = self.half_open.get_mut(number) else { return };
        let about = &mut record.about;
        for to in Direction::BOTH {
            let wanted = match verdict {
                Verdict::Reset => true,
                Verdict::HalfReset => to == Direction::ToServer,
                Verdict::Accept
                | Verdict::Shunt
                | Verdict::Bypass
                | Verdict::DropPacket
                | Verdict::Drop => false,
            };
            // A server that has been sent nothing has nothing to reset.
            if wanted && (to == Direction::ToClient || record.forwarded) {
                for rst in record.handshake.rsts(to) {
                    self.ports.rst(about, &rst);
                }
            }
        }
        // Signed segments cannot be forged, and a recording hears nothing, so nobody is answered later either.
        let signed = record.handshake.rsts(Direction::ToClient).is_empty();
        self.retained.forget(&mut record.kept);
        let hears = !signed && !self.config.recorded_ends;
        let answered = if hears { verdict } else { Verdict::Drop };
        about.zombie = Some(Box::new(Zombie::of(answered, now)));
        let state = record.handshake.state();
        self.rules.end(about, state, phase, now, &mut self.ports);
        self.arm_half_open(number, now);
    }

    /// What still comes after a verdict or a RST.
    fn half_open_straggler(
        &mut self,
        number: u32,
        packet: Packet<L::Frame>,
        segment: &Segment,
        direction: Direction,
        now: Timestamp,
    ) {
        let zombie = self.half_open.get_mut(number).and_then(|record| record.about.zombie.as_mut());
        if zombie.as_ref().is_some_and(|zombie| zombie.is_lost) {
            let counters = &mut self.ports.counters;
            self.rules.alert_no_connection(packet.headers(), now, counters);
        }
        let why = match zombie {
            Some(_) => Reason::Cause(Cause::ConnectionOver),
            None => Reason::Invalid(Invalid::AfterReset),
        };
        self.ports.drop(packet.into_frame(), why);
        let Some(record) = self.half_open.get_mut(number) else { return };
        let Some(zombie) = &mut record.about.zombie else { return };
        if let Some(rst) = reset::answer(segment, direction)
            && zombie.may_answer(rst.to, now)
        {
            self.ports.rst(&record.about, &rst);
        }
        let many = record.about.zombie.as_mut().is_some_and(|zombie| zombie.straggles(now));
        if many && record.below.is_none() && self.config.shunt != Shunt::Never {
            record.below = Below::refuse(&mut self.ports, &record.about).map(Box::new);
            self.arm_half_open(number, now);
        }
    }

    /// Gives a half-open connection up, chosen at random, if there is no room for another.
    fn make_room(&mut self, now: Timestamp) {
        if self.half_open.is_full()
            && let Some(number) = self.lots.draw(&self.half_open)
        {
            self.close_half_open(number, Phase::Evicted, now);
        }
    }

    /// Forgets a half-open connection; its end is told unless it was.
    pub(super) fn close_half_open(&mut self, number: u32, phase: Phase, now: Timestamp) {
        let Some(mut record) = self.half_open.close(number) else { return };
        self.half_open_unseen -= u64::from(record.unseen.is_some());
        self.retained.forget(&mut record.kept);
        if let Some(below) = record.below.take() {
            let growth = below.close(&mut self.ports.link);
            record.about.grow(&growth, &mut self.ports.counters.shunts, now);
        }
        let state = record.handshake.state();
        self.rules.end(&mut record.about, state, phase, now, &mut self.ports);
    }

    pub(super) fn arm_half_open(&mut self, number: u32, now: Timestamp) {
        if let Some(record) = self.half_open.get_mut(number) {
            let deadline = record.deadline(&self.pressed);
            self.half_open.arm(number, deadline, now);
        }
    }
}
