//! Rules that are exchanged while connections live.

use tollgate_wire::{Direction, Timestamp};

use crate::{
    Data, Flow, FlowId, FrameEdit, Injected, Interest, PacketView, Policy, Reports, Verdict,
};

/// Older rules that may live beside the current ones. Each holds what its rules remember, so a guess:
/// enough for a few changes in a row while long connections live on.
const OLDER_MAX: usize = 4;

/// What becomes of the connections that live while rules are exchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Living {
    /// They keep the rules they began with, to their end.
    #[default]
    Keep,
    /// They have the new rules from their next event on. What the old ones knew of them is forgotten.
    Move,
}

/// A [`Policy`] that can be exchanged under traffic: the current rules, and older ones for as long as
/// connections live that began under them.
///
/// A connection's number ([`FlowId`]) tells under which rules it began, since numbers grow; nothing
/// needs to be kept for each. If too many older rules would live at once, the connections of the oldest
/// move to the next older ones. What concerns no connection (frames, datagrams, ticks) is asked
/// of the current rules only.
#[derive(Debug)]
pub struct Generations<P> {
    current: Generation<P>,
    /// The oldest first, so that their `first` ascends up to that of the current ones; none without
    /// connections; at most [`OLDER_MAX`].
    older: Vec<Generation<P>>,
    /// The number of the youngest connection that any rules were told of.
    youngest: FlowId,
    /// How often rules were exchanged.
    exchanges: u64,
    exiting: bool,
}

#[derive(Debug)]
struct Generation<P> {
    policy: P,
    interest: Interest,
    /// Connections from this number on have these rules, up to the `first` of the next generation.
    first: FlowId,
    /// How many of them live.
    flows: u64,
}

impl<P: Policy> Generation<P> {
    fn new(policy: P, first: FlowId) -> Self {
        Self { interest: policy.interest(), policy, first, flows: 0 }
    }

    fn hears(&self, event: Interest) -> bool {
        self.interest.intersects(event)
    }
}

impl<P: Policy> Generations<P> {
    /// The first rules.
    pub fn new(policy: P) -> Self {
        Self {
            current: Generation::new(policy, FlowId(0)),
            older: Vec::new(),
            youngest: FlowId(0),
            exchanges: 0,
            exiting: false,
        }
    }

    /// The current rules.
    #[must_use]
    pub const fn current(&self) -> &P {
        &self.current.policy
    }

    /// The rules that live, the oldest first and the current ones last.
    pub fn all(&self) -> impl Iterator<Item = &P> {
        self.older.iter().chain([&self.current]).map(|generation| &generation.policy)
    }

    /// How often rules were exchanged.
    #[must_use]
    pub const fn exchanges(&self) -> u64 {
        self.exchanges
    }

    /// Puts `policy` in the place of the current rules, between two packets. The engine must be made to
    /// ask for the interest anew. Rules that have no connection left are told that they exit.
    pub fn exchange(&mut self, policy: P, living: Living, now: Timestamp, reports: &mut Reports) {
        self.exchanges += 1;
        let next = Generation::new(policy, FlowId(self.youngest.0 + 1));
        self.older.push(std::mem::replace(&mut self.current, next));
        match living {
            Living::Move => (0..self.older.len()).for_each(|_| self.retire(0, now, reports)),
            Living::Keep => {
                let last = self.older.len() - 1;
                if self.older.last().is_some_and(|old| old.flows == 0) {
                    self.retire(last, now, reports);
                }
                if self.older.len() > OLDER_MAX {
                    self.retire(0, now, reports);
                }
            }
        }
    }

    /// Lets the older rules at `at` go; what connections they have move to the next ones.
    fn retire(&mut self, at: usize, now: Timestamp, reports: &mut Reports) {
        let Generation { mut policy, first, flows, .. } = self.older.remove(at);
        policy.exiting(now, reports);
        let heir = self.older.get_mut(at).unwrap_or(&mut self.current);
        heir.flows += flows;
        if at == 0 {
            heir.first = first;
        }
    }

    /// The rules that a connection has.
    fn of(&mut self, id: FlowId) -> &mut Generation<P> {
        let older = self.older.iter_mut().rev();
        [&mut self.current]
            .into_iter()
            .chain(older)
            .find(|generation| id >= generation.first)
            .expect("the first of the oldest is 0")
    }
}

impl<P: Policy> Policy for Generations<P> {
    /// What any of the rules that live listen to; and, unless they are about packets only, the beginning
    /// and the end of connections, which are counted here.
    fn interest(&self) -> Interest {
        let all = || self.older.iter().chain([&self.current]).map(|generation| generation.interest);
        let stateless = all().all(|interest| interest.contains(Interest::STATELESS));
        let mut interest = all().fold(Interest::empty(), Interest::union);
        interest.set(Interest::STATELESS, stateless);
        if !stateless {
            interest |= Interest::NEW_CONNECTION | Interest::END_CONNECTION;
        }
        interest
    }

    fn new_connection(
        &mut self,
        flow: &mut Flow<'_>,
        packet: &PacketView<'_>,
        reports: &mut Reports,
    ) -> Verdict {
        self.youngest = self.youngest.max(flow.id);
        self.current.flows += 1;
        if !self.current.hears(Interest::NEW_CONNECTION) {
            return Verdict::Accept;
        }
        self.current.policy.new_connection(flow, packet, reports)
    }

    fn receive_packet(
        &mut self,
        flow: &mut Flow<'_>,
        packet: &PacketView<'_>,
        direction: Direction,
        reports: &mut Reports,
    ) -> Verdict {
        let generation = self.of(flow.id);
        if !generation.hears(Interest::RECEIVE_PACKET) {
            return Verdict::Accept;
        }
        generation.policy.receive_packet(flow, packet, direction, reports)
    }

    fn receive_data(
        &mut self,
        flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        direction: Direction,
        reports: &mut Reports,
    ) -> Verdict {
        let generation = self.of(flow.id);
        if !generation.hears(Interest::RECEIVE_DATA) {
            return Verdict::Accept;
        }
        generation.policy.receive_data(flow, data, direction, reports)
    }

    /// The rules that a connection has hear of its end if they listen to it, or have left a number in its
    /// tag; rules whose last connection it was are let go.
    fn end_connection(&mut self, flow: &mut Flow<'_>, reports: &mut Reports) {
        let (id, now) = (flow.id, flow.now);
        let generation = self.of(id);
        if generation.hears(Interest::END_CONNECTION) || *flow.tag != 0 {
            generation.policy.end_connection(flow, reports);
        }
        generation.flows = generation.flows.saturating_sub(1);
        // When the program stops, all have been told already.
        if self.exiting || self.older.is_empty() {
            return;
        }
        if let Some(at) = self.older.iter().position(|generation| generation.flows == 0) {
            self.retire(at, now, reports);
        }
    }

    fn receive_frame(&mut self, frame: &mut FrameEdit<'_>, reports: &mut Reports) -> Verdict {
        if !self.current.hears(Interest::RECEIVE_FRAME) {
            return Verdict::Accept;
        }
        self.current.policy.receive_frame(frame, reports)
    }

    fn receive_datagram(&mut self, frame: &mut FrameEdit<'_>, reports: &mut Reports) -> Verdict {
        if !self.current.hears(Interest::RECEIVE_DATAGRAM) {
            return Verdict::Accept;
        }
        self.current.policy.receive_datagram(frame, reports)
    }

    fn send_frame(&mut self, frame: &mut FrameEdit<'_>, reports: &mut Reports) -> Verdict {
        if !self.current.hears(Interest::SEND_FRAME) {
            return Verdict::Accept;
        }
        self.current.policy.send_frame(frame, reports)
    }

    fn tick(&mut self, now: Timestamp, reports: &mut Reports) {
        for generation in self.older.iter_mut().chain([&mut self.current]) {
            if generation.hears(Interest::TICK) {
                generation.policy.tick(now, reports);
            }
        }
    }

    fn take_failure(&mut self) -> bool {
        let all = self.older.iter_mut().chain([&mut self.current]);
        all.map(|generation| generation.policy.take_failure()).max().unwrap_or(false)
    }

    fn take_injected(&mut self) -> Option<Injected> {
        self.older
            .iter_mut()
            .chain([&mut self.current])
            .filter(|generation| generation.hears(Interest::INJECT))
            .find_map(|generation| generation.policy.take_injected())
    }

    fn exiting(&mut self, now: Timestamp, reports: &mut Reports) {
        self.exiting = true;
        for generation in self.older.iter_mut().chain([&mut self.current]) {
            generation.policy.exiting(now, reports);
        }
    }
}
