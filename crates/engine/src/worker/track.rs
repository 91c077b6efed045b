//! Stage 4: each packet in the order of arrival, to its flow, its handshake, or neither.

use tollgate_link::Link;
use tollgate_policy::{PacketView, Phase, Policy, Verdict};
use tollgate_tcp::{Segment, State, Tracker};
use tollgate_wire::{Flags, Packet, Side, Timestamp};

use super::expire::{GAP_LOOK, SHUNT_LOOK};
use super::{Arrival, Worker, split};
use crate::config::Midstream;
use crate::counters::{Cause, Reason};
use crate::flow::{Flow, is_followable};
use crate::flow_table::Foreseen;
use crate::identity::{Identity, Standing};

impl<L: Link, P: Policy> Worker<L, P> {
    /// Stage 4: everything that arrived this turn. Where frames go one by one, what has been tracked leaves, and
    /// the next is looked at only then.
    pub(super) fn track(&mut self, now: Timestamp) {
        let one_by_one = self.rules.goes_one_by_one();
        let mut arrivals = std::mem::take(&mut self.arrivals);
        loop {
            for (number, arrival) in arrivals.drain(..).enumerate() {
                if !self.notices.is_empty() {
                    self.notices_before(number, now);
                }
                let foreseen = self.foreseen.get(number).copied().unwrap_or(Foreseen::Unknown);
                self.packet(arrival, foreseen, now);
            }
            self.foreseen.clear();
            self.notices_before(usize::MAX, now);
            if !one_by_one || !self.next_arrival(now) {
                break;
            }
            arrivals.append(&mut self.arrivals);
        }
        self.arrivals = arrivals;
    }

    fn packet(&mut self, arrival: Arrival<L::Frame>, foreseen: Foreseen, now: Timestamp) {
        let key = &arrival.packet.headers().key;
        let found = match foreseen {
            Foreseen::Number(number) if self.flows.is(number, key) => Some(number),
            Foreseen::Nothing if self.foreseen_holds => None,
            _ => self.flows.find(arrival.hash, key),
        };
        if let Some(number) = found {
            match self.short_way(number, &arrival.packet, now) {
                Some(Verdict::Accept) => self.ports.forward(arrival.packet, arrival.port.peer()),
                Some(Verdict::Shunt) => {
                    self.ports.forward(arrival.packet, arrival.port.peer());
                    self.shunt(number, now);
                }
                Some(verdict) => self.refused(number, arrival.packet, verdict, now),
                None => self.flow_packet(number, arrival, now),
            }
        } else if let Some(number) = self.half_open.find(arrival.hash, key) {
            self.handshake_packet(number, arrival, now);
        } else {
            self.first_packet(arrival, now);
        }
    }

    /// What is to become of a packet that is as nearly all are; none, and nothing has happened, if it is not.
    #[inline]
    fn short_way(
        &mut self,
        number: u32,
        packet: &Packet<L::Frame>,
        now: Timestamp,
    ) -> Option<Verdict> {
        if !self.rules.allows_short_way() {
            return None;
        }
        let (flows, mut context) = split(self, now);
        let flow = flows.get_mut(number)?;
        let verdict = flow.take_plain(&mut context, packet)?;
        if verdict == Verdict::Accept && !flow.goes_the_short_way() {
            self.settle(number, now);
        }
        Some(verdict)
    }

    #[cold]
    fn refused(&mut self, number: u32, packet: Packet<L::Frame>, verdict: Verdict, now: Timestamp) {
        self.ports.drop(packet.into_frame(), Reason::Refused(verdict));
        let (flows, mut context) = split(self, now);
        if let Some(flow) = flows.get_mut(number) {
            flow.refused(&mut context, verdict);
        }
        self.settle(number, now);
    }

    /// Shunts a flow that rules have released, if it can be.
    #[cold]
    fn shunt(&mut self, number: u32, now: Timestamp) {
        let (flows, mut context) = split(self, now);
        let Some(flow) = flows.get_mut(number) else { return };
        flow.shunt(&mut context);
        if flow.is_shunted() {
            flows.arm(number, now + SHUNT_LOOK, now);
        }
        self.settle(number, now);
    }

    fn flow_packet(&mut self, number: u32, arrival: Arrival<L::Frame>, now: Timestamp) {
        let Arrival { packet, port, hash } = arrival;
        let (flows, mut context) = split(self, now);
        // `find` gave the number just now.
        let Some(flow) = flows.get_mut(number) else {
            return context.ports.drop(packet.into_frame(), Reason::Cause(Cause::NoConnection));
        };
        let early = context.ports.counters.out_of_order;
        let was_shunted = flow.is_shunted();
        let anew = flow.packet(&mut context, packet, port);
        if flow.about.released && !was_shunted {
            flow.shunt(&mut context);
        }
        let is_early = context.ports.counters.out_of_order != early;
        let shunts = flow.is_shunted() && !was_shunted;
        if is_early && flow.watch_gaps(now) {
            flows.arm(number, now + GAP_LOOK, now);
        } else if shunts {
            flows.arm(number, now + SHUNT_LOOK, now);
        }
        self.settle(number, now);
        if let Some(packet) = anew {
            self.begin_anew(number, Arrival { packet, port, hash }, now);
        }
    }

    /// After a packet: if the flow's standing has changed, its timer may have to go off sooner, and
    /// its end may have to be told.
    pub(super) fn settle(&mut self, number: u32, now: Timestamp) {
        let Some(flow) = self.flows.get_mut(number) else { return };
        let standing = flow.standing();
        let before = std::mem::replace(&mut flow.recorded, standing);
        flow.look();
        if standing != before {
            self.settle_anew(number, before, standing, now);
        }
    }

    fn settle_anew(&mut self, number: u32, before: Standing, standing: Standing, now: Timestamp) {
        // As soon as under pressure, which may come at any time.
        let [timeout, old] = [standing, before].map(|standing| standing.timeout(&self.pressed));
        let (flows, mut context) = split(self, now);
        let Some(flow) = flows.get_mut(number) else { return };
        if standing == Standing::Live(State::TimeWait) {
            // Haka tells the end here, not when the entry goes.
            flow.end(&mut context, Phase::Closed);
        }
        if let Some(again) = flow.next_farewell() {
            flows.arm(number, again, now);
        } else if timeout < old {
            let deadline = flow.about.last_seen + timeout;
            flows.arm(number, deadline, now);
        }
        self.count_standing(Some(before), Some(standing));
    }

    /// Forgets a flow. Its end is told as `phase`, or, without one, as what its state says.
    pub(super) fn close_flow(
        &mut self,
        number: u32,
        phase: Option<Phase>,
        cause: Cause,
        now: Timestamp,
    ) {
        let Some(mut flow) = self.flows.close(number) else { return };
        flow.surface(&mut self.ports, now);
        self.count_standing(Some(flow.recorded), None);
        let phase = phase.unwrap_or_else(|| flow.silent_phase());
        let (_, mut context) = split(self, now);
        flow.close(&mut context, phase, cause);
    }

    /// Takes a flow in. Gives it back if there is no room.
    #[expect(clippy::result_large_err, reason = "it moves once, into the table or back")]
    pub(super) fn open_flow(
        &mut self,
        hash: u64,
        mut flow: Flow<L::Frame>,
        now: Timestamp,
    ) -> Result<u32, Flow<L::Frame>> {
        flow.about.released |= self.rules.releases_by_itself();
        let standing = flow.recorded;
        let timeout = standing.timeout(&self.pressed);
        let number = self.flows.open(hash, flow, timeout, now)?;
        self.foreseen_holds = false;
        self.count_standing(None, Some(standing));
        Ok(number)
    }

    /// A packet of no connection that is known: a SYN opens one; for the rest the configuration
    /// says what to do.
    pub(super) fn first_packet(&mut self, arrival: Arrival<L::Frame>, now: Timestamp) {
        let headers = arrival.packet.headers();
        if headers.flags.contains(Flags::SYN) && !headers.flags.contains(Flags::ACK) {
            return self.open_handshake(arrival, now);
        }
        let followable = is_followable(&Segment::of(&arrival.packet));
        let Arrival { packet, port, hash } = arrival;
        let midstream = self.midstream(now);
        match midstream {
            Midstream::Pickup if followable => {
                self.pick_up(Arrival { packet, port, hash }, now);
            }
            Midstream::Pass if followable => {
                self.await_other_end(Arrival { packet, port, hash }, now);
            }
            Midstream::Pass | Midstream::Bypass | Midstream::Pickup => {
                self.forward_untracked(packet, port);
            }
            Midstream::Drop | Midstream::Reset => {
                if midstream == Midstream::Reset {
                    self.refuse(&packet, port, now);
                }
                let counters = &mut self.ports.counters;
                self.rules.alert_no_connection(packet.headers(), now, counters);
                self.ports.drop(packet.into_frame(), Reason::Cause(Cause::NoConnection));
            }
        }
    }

    /// Follows a connection from its middle on. Who the client is can only be guessed: the one with
    /// the higher port, for servers listen on low ones.
    pub(super) fn pick_up(&mut self, arrival: Arrival<L::Frame>, now: Timestamp) {
        let Arrival { packet, port, hash } = arrival;
        let headers = packet.headers();
        let ports = [Side::Low, Side::High].map(|side| headers.key.endpoint(side).port);
        let client = if ports[0] >= ports[1] { Side::Low } else { Side::High };
        let mut about = Identity::new(self.numbers.next(), headers, client, port);
        let direction = about.direction(headers.source);
        let segment = Segment::of(&packet);
        about.received(direction, &packet, port, &mut self.ports.neighbours, now);
        let flow = Flow::new(about, Tracker::pickup(direction, &segment));
        let Ok(number) = self.open_flow(hash, flow, now) else {
            return self.no_room_to_pick_up(packet, port);
        };
        let (flows, mut context) = split(self, now);
        if let Some(flow) = flows.get_mut(number) {
            let view = PacketView {
                frame: packet.frame().as_ref(),
                headers: packet.headers(),
                received: now,
            };
            let verdict = flow.introduce(&mut context, &view, direction);
            if verdict == Verdict::Accept {
                flow.segment(&mut context, packet, &segment, direction, port, None);
            } else {
                context.ports.drop(packet.into_frame(), Reason::Refused(verdict));
            }
        }
        self.settle(number, now);
    }

    pub(super) fn count_standing(&mut self, from: Option<Standing>, to: Option<Standing>) {
        if let Some(count) = from.and_then(|from| self.standings.get_mut(from.index())) {
            *count -= 1;
        }
        if let Some(count) = to.and_then(|to| self.standings.get_mut(to.index())) {
            *count += 1;
        }
    }
}
