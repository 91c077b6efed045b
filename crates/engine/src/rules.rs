//! The policy, and what is told to it and to people.

mod frames;

use tollgate_link::Link;
use tollgate_policy::{
    Alert, Connection, Data, FlowId, Interest, PacketView, Phase, Policy, Report, Reports, Route,
    Severity, Verdict,
};
use tollgate_tcp::State;
use tollgate_wire::fragment::FragmentKey;
use tollgate_wire::{Direction, Endpoint, Headers, Timestamp};

use crate::config::{Config, Follow, Shunt};
use crate::counters::Counters;
use crate::identity::Identity;
use crate::ports::Ports;
use crate::shunt_counters::Unshunted;

pub(crate) use frames::{FrameEvent, Shown};

/// A policy with its interest and its reports. An event that nobody listens to is not even put
/// together.
#[derive(Debug)]
pub(crate) struct Rules<P> {
    pub(crate) policy: P,
    pub(crate) reports: Reports,
    interest: Interest,
    /// Connections with lower numbers began when nobody read data.
    pub(super) read_since: FlowId,
    follow: Follow,
    shunt: Shunt,
    /// TCP is like any other protocol.
    stateless: bool,
    one_by_one: bool,
    /// The second of the last tick.
    ticked: Option<u64>,
    report_connections: bool,
    alerts_per_second_max: u32,
    alert_second: u64,
    alerts_this_second: u32,
}

impl<P: Policy> Rules<P> {
    pub(crate) fn new(policy: P, config: &Config) -> Self {
        let mut rules = Self {
            interest: Interest::empty(),
            policy,
            read_since: FlowId(0),
            reports: Reports::new(config.reports_max),
            follow: config.follow,
            shunt: config.shunt,
            stateless: false,
            one_by_one: false,
            ticked: None,
            report_connections: config.report_connections,
            alerts_per_second_max: config.alerts_per_second_max,
            alert_second: 0,
            alerts_this_second: 0,
        };
        rules.refresh(FlowId(0));
        rules
    }

    /// Whether a connection began when nobody read data: what was in flight when somebody began to
    /// was shown to no one and is not remembered.
    pub(crate) fn began_unread(&self, id: FlowId) -> bool {
        id < self.read_since
    }

    /// Whether anybody wants to see packets.
    pub(crate) const fn wants_packets(&self) -> bool {
        self.interest.contains(Interest::RECEIVE_PACKET)
    }

    /// Whether anybody wants to see data.
    pub(crate) const fn wants_data(&self) -> bool {
        self.interest.contains(Interest::RECEIVE_DATA)
    }

    /// Whether anybody may change what it sees.
    pub(crate) const fn edits_data(&self) -> bool {
        self.interest.contains(Interest::EDIT_DATA)
    }

    /// Whether a packet that is as nearly all are may go the short way: nobody wants to see it before its
    /// flow does, and nobody changes what it brings.
    #[inline]
    pub(crate) const fn allows_short_way(&self) -> bool {
        !self.interest.intersects(Interest::RECEIVE_PACKET.union(Interest::EDIT_DATA))
    }

    /// Whether a connection is to be shunted as soon as it is established, since nobody listens to what
    /// it says.
    pub(crate) const fn releases_by_itself(&self) -> bool {
        matches!(self.shunt, Shunt::Unwatched) && !self.interest.intersects(Interest::CONTENT)
    }

    pub(crate) fn new_connection<L: Link>(
        &mut self,
        about: &mut Identity,
        state: State,
        packet: &PacketView<'_>,
        ports: &mut Ports<L>,
    ) -> Verdict {
        let mut verdict = Verdict::Accept;
        if self.interest.contains(Interest::NEW_CONNECTION) {
            let mut flow = about.view(state, packet.received);
            verdict = self.policy.new_connection(&mut flow, packet, &mut self.reports);
        }
        self.follow_up(ports);
        let verdict = counted(&mut ports.counters, whole(verdict));
        if verdict.forwards() {
            self.phase(about, Phase::New, packet.received, &mut ports.counters);
        }
        self.obey(verdict, about, state, packet.received, ports)
    }

    pub(crate) fn receive_packet<L: Link>(
        &mut self,
        about: &mut Identity,
        state: State,
        packet: &PacketView<'_>,
        direction: Direction,
        ports: &mut Ports<L>,
    ) -> Verdict {
        if about.over || about.released || !self.interest.contains(Interest::RECEIVE_PACKET) {
            return Verdict::Accept;
        }
        let mut flow = about.view(state, packet.received);
        let verdict = self.policy.receive_packet(&mut flow, packet, direction, &mut self.reports);
        self.follow_up(ports);
        let verdict = counted(&mut ports.counters, verdict);
        self.obey(verdict, about, state, packet.received, ports)
    }

    #[inline]
    pub(crate) fn receive_data<L: Link>(
        &mut self,
        about: &mut Identity,
        state: State,
        data: &mut Data<'_>,
        direction: Direction,
        now: Timestamp,
        ports: &mut Ports<L>,
    ) -> Verdict {
        if about.over || about.released {
            return Verdict::Accept;
        }
        let mut flow = about.view(state, now);
        let verdict = self.policy.receive_data(&mut flow, data, direction, &mut self.reports);
        self.follow_up(ports);
        // There is no single packet to drop.
        let verdict = counted(&mut ports.counters, whole(verdict));
        self.obey(verdict, about, state, now, ports)
    }

    /// What of a verdict is left to do: a bypass is done, for rules are told of nothing after the end, and
    /// a shunt waits for the moment at which it can be.
    #[inline]
    fn obey<L: Link>(
        &mut self,
        verdict: Verdict,
        about: &mut Identity,
        state: State,
        now: Timestamp,
        ports: &mut Ports<L>,
    ) -> Verdict {
        match verdict {
            Verdict::Bypass => {
                about.unseen = true;
                about.released = self.shunt == Shunt::Unwatched;
                self.end(about, state, Phase::Bypassed, now, ports);
                Verdict::Accept
            }
            Verdict::Shunt => {
                about.released = self.shunt != Shunt::Never;
                if !about.released {
                    ports.counters.shunts.refuse(Unshunted::Never);
                }
                Verdict::Accept
            }
            _ => verdict,
        }
    }

    /// Tells that a connection is over, once, however often it is called.
    pub(crate) fn end<L: Link>(
        &mut self,
        about: &mut Identity,
        state: State,
        phase: Phase,
        now: Timestamp,
        ports: &mut Ports<L>,
    ) {
        if about.over {
            return;
        }
        about.over = true;
        self.phase(about, phase, now, &mut ports.counters);
        if self.interest.contains(Interest::END_CONNECTION) {
            let mut flow = about.view(state, now);
            self.policy.end_connection(&mut flow, &mut self.reports);
            self.follow_up(ports);
        }
        about.tag = 0;
    }

    /// Frames that the policy has made in an event of a connection: they leave before what that event
    /// is about, or come in when it has had its effect.
    #[inline]
    fn follow_up<L: Link>(&mut self, ports: &mut Ports<L>) {
        if self.makes_frames() {
            self.follow_up_with_frames(ports);
        }
    }

    #[cold]
    fn follow_up_with_frames<L: Link>(&mut self, ports: &mut Ports<L>) {
        self.made(ports, |ports, made| match made.route {
            Route::Send => ports.send_made(made),
            Route::Receive => ports.transit.reenter(made),
        });
    }

    /// Tells that the program stops.
    pub(crate) fn exiting(&mut self, now: Timestamp) {
        self.policy.exiting(now, &mut self.reports);
    }

    /// Counts a step of a connection's life, and reports it where that is wanted.
    pub(crate) fn phase(
        &mut self,
        about: &Identity,
        phase: Phase,
        now: Timestamp,
        counters: &mut Counters,
    ) {
        counters.phase(phase);
        if self.report_connections {
            let (client, server) = about.ends(Direction::ToServer);
            self.reports.push(Report::Connection(Box::new(Connection {
                time: now,
                flow: about.id,
                client,
                server,
                phase,
                traffic: about.traffics(),
            })));
        }
    }

    /// Haka's alert for a packet that no connection is known for, at a bounded rate.
    pub(crate) fn alert_no_connection(
        &mut self,
        headers: &Headers,
        now: Timestamp,
        counters: &mut Counters,
    ) {
        let ends = [headers.source, headers.source.other()].map(|side| headers.key.endpoint(side));
        let alert = ("no connection found for tcp packet", Severity::Low);
        self.alert(alert, ends.map(node), now, counters);
    }

    /// Haka's alert for fragments that contradict each other, once for each datagram.
    pub(crate) fn alert_fragment(
        &mut self,
        key: &FragmentKey,
        now: Timestamp,
        counters: &mut Counters,
    ) {
        let version = if key.is_ipv6() { "invalid ipv6 fragment" } else { "invalid ipv4 fragment" };
        let nodes = key.addresses().map(|address| vec![format!("address: {address}")]);
        self.alert((version, Severity::Medium), nodes, now, counters);
    }

    /// That a sender has sent two different copies of a byte, once for each connection: nobody does
    /// so by accident, and the receiver is not fooled.
    pub(crate) fn alert_conflict(
        &mut self,
        about: &Identity,
        direction: Direction,
        now: Timestamp,
        counters: &mut Counters,
    ) {
        let (from, to) = about.ends(direction);
        let alert = ("overlap with different bytes", Severity::Medium);
        self.alert(alert, [from, to].map(node), now, counters);
    }

    /// An alert of the engine's own, if the rate allows.
    #[cold]
    fn alert(
        &mut self,
        (description, severity): (&str, Severity),
        [sources, targets]: [Vec<String>; 2],
        now: Timestamp,
        counters: &mut Counters,
    ) {
        let second = now.nanos() / 1_000_000_000;
        if second != self.alert_second {
            self.alert_second = second;
            self.alerts_this_second = 0;
        }
        if self.alerts_this_second >= self.alerts_per_second_max {
            counters.alerts_suppressed += 1;
            return;
        }
        self.alerts_this_second += 1;
        self.reports.alert(Alert {
            time: now,
            description: Some(description.to_owned()),
            severity: Some(severity),
            sources,
            targets,
            ..Alert::default()
        });
    }
}

/// An end of a connection, as alerts name it.
fn node(end: Endpoint) -> Vec<String> {
    vec![format!("address: {}", end.addr), format!("service: tcp/{}", end.port)]
}

/// The number of the next connection.
#[derive(Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) const fn new() -> Self {
        Self(0)
    }

    pub(crate) const fn next(&mut self) -> FlowId {
        self.0 += 1;
        FlowId(self.0)
    }

    /// What [`Self::next`] will give.
    pub(crate) const fn coming(&self) -> FlowId {
        FlowId(self.0 + 1)
    }
}

/// How the reports call the end that a verdict brings.
pub(crate) const fn phase_of(verdict: Verdict) -> Phase {
    match verdict {
        Verdict::Reset => Phase::Reset,
        Verdict::HalfReset => Phase::HalfReset,
        Verdict::Accept
        | Verdict::Shunt
        | Verdict::Bypass
        | Verdict::DropPacket
        | Verdict::Drop => Phase::Dropped,
    }
}

/// Where the packet *is* the connection so far, dropping it drops the connection.
const fn whole(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::DropPacket => Verdict::Drop,
        other => other,
    }
}

#[inline]
fn counted(counters: &mut Counters, verdict: Verdict) -> Verdict {
    if verdict != Verdict::Accept {
        counters.verdict(verdict);
    }
    verdict
}
