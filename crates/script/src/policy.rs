use std::sync::Arc;

use tollgate_policy::{
    Alert, Confidence, Data, Edit, EditError, Flow, FrameEdit, Injected, Interest, Level,
    PacketView, Policy, Reports, Severity, Verdict,
};
use tollgate_wire::{Direction, Endpoint, IpVersion, Timestamp};

use crate::ahead::Taken;
use crate::fault::{Failure, FailureKind, LoadError};
use crate::heads::{self, Hook};
use crate::lineage::{Lineage, RuleErrors};
use crate::settings::Settings;
use crate::source::Source;
use crate::state::State;

/// Rules in a Lua state: a [`Policy`] for one worker. It stays in the thread that made it.
#[derive(Debug)]
pub struct LuaPolicy {
    pub(crate) state: State,
    source: Arc<Source>,
    pub(crate) settings: Settings,
    lineage: Lineage,
    /// The running event has cost its connection because a rule failed, and Haka's forms are wanted.
    failed: bool,
}

impl LuaPolicy {
    pub(crate) fn new(
        source: &Arc<Source>,
        settings: Settings,
        lineage: &Lineage,
        breathe: Option<Box<dyn FnMut()>>,
    ) -> Result<Self, LoadError> {
        let state = State::load(source, settings, breathe)?;
        state.messages();
        Ok(Self {
            state,
            source: Arc::clone(source),
            settings,
            lineage: lineage.clone(),
            failed: false,
        })
    }

    /// How often the rules of this worker have failed so far, those before this script's included.
    #[must_use]
    pub fn rule_errors(&self) -> RuleErrors {
        self.lineage.errors()
    }

    /// What is to be handed on to the rules that take the place of these.
    #[must_use]
    pub const fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// Bytes that the Lua state takes at the moment.
    #[must_use]
    pub fn used_memory_bytes(&self) -> usize {
        self.state.lua.used_memory()
    }

    /// Copies the event to where Lua reads it.
    pub(crate) fn enter(&self, flow: &mut Flow<'_>, reports: &mut Reports) {
        if self.state.keeps_flows && *flow.tag == 0 {
            *flow.tag = self.lineage.take_tag();
        }
        self.state.shared.event.borrow_mut().begin(flow);
        self.open(reports);
    }

    /// Lends the engine's reports to the rules of an event.
    pub(crate) fn open(&self, reports: &mut Reports) {
        let shared = &self.state.shared;
        shared.verdict.set(Verdict::Accept);
        shared.edits.borrow_mut().clear();
        shared.hold_from.set(None);
        std::mem::swap(&mut *shared.reports.borrow_mut(), reports);
    }

    /// Runs an event's listeners. One that fails ends the event, or is passed over, as configured.
    pub(crate) fn run(
        &mut self,
        about: About,
        reports: &mut Reports,
        call: impl Fn(&State, usize) -> mlua::Result<()>,
    ) -> Verdict {
        let mut from = 1;
        let mut verdict = Verdict::Accept;
        let mut memory_full = false;
        loop {
            self.state.shared.budget.restart(self.settings.limits.instructions_max);
            self.state.shared.failure.take();
            let Err(error) = call(&self.state, from) else { break };
            let failure = self.state.failure(&error);
            memory_full |= failure.kind == FailureKind::Memory;
            self.lineage.count(&failure);
            tell(&failure, about, self.settings, &self.state);
            verdict = self.settings.on_rule_error.verdict();
            if about.ends.is_some() {
                self.lose(verdict);
            }
            match self.state.dispatch.at.call::<usize>(()) {
                // A rule that failed has its step's number, at least `from`: this ends.
                Ok(at) if verdict == Verdict::Accept && at >= from => from = at + 1,
                _ => break,
            }
        }
        let shared = &self.state.shared;
        std::mem::swap(&mut *shared.reports.borrow_mut(), reports);
        shared.collector.after(&self.state.lua);
        verdict = verdict.max(shared.verdict.get());
        if memory_full {
            self.relieve(about.now, reports);
        }
        verdict
    }

    /// After a failure: Haka forgets the connection, and tells of what still comes of it.
    fn lose(&mut self, verdict: Verdict) {
        self.failed = verdict == Verdict::Drop && self.settings.quiet_failures;
    }

    /// Which rules are asked in an event of `flow`; `None` if no one need hear of it.
    fn chosen(&self, hook: Hook, flow: &Flow<'_>, direction: Option<Direction>) -> Option<u64> {
        let shared = &self.state.shared;
        let choice = shared.heads.borrow_mut().choose(hook, flow, direction);
        // Dissectors follow the data of connections that no rule asks for, and what a timeout has decided
        // about a connection is carried out by its next event.
        let must_enter =
            (hook == Hook::ReceiveData && self.state.follows_dissectors) || shared.is_doomed.get();
        (choice != heads::NOBODY || must_enter).then_some(choice)
    }

    /// What becomes of this data before any rule is told of it.
    fn beforehand(&self, tag: u32, data: &Data<'_>, direction: Direction) -> Taken {
        if self.state.looks_only {
            return data.is_empty().into();
        }
        let shared = &self.state.shared;
        let skips = shared.skips.borrow();
        if skips.is_unheard(tag)
            || (!data.is_end() && skips.covers(tag, direction, data.end_offset()))
        {
            return Taken::Whole;
        }
        if shared.is_doomed.get() {
            return Taken::Nothing;
        }
        let fuel = self.settings.limits.instructions_max;
        shared.sleepers.borrow_mut().take_in(tag, direction, data, fuel)
    }

    /// No rule has chosen a dissector for a new connection, since none was asked: its bytes need not be shown, unless
    /// a later event chooses one.
    fn pass_over(&self, flow: &mut Flow<'_>) {
        if *flow.tag == 0 {
            *flow.tag = self.lineage.take_tag();
        }
        self.state.shared.skips.borrow_mut().unhear(*flow.tag, true);
    }

    /// Carries out what the rules of an event want, `verdict` among it.
    pub(crate) fn carry_out(
        &mut self,
        verdict: Verdict,
        flow: &Flow<'_>,
        data: &mut Data<'_>,
        reports: &mut Reports,
    ) -> Verdict {
        if verdict.ends_flow() {
            return verdict;
        }
        match self.wish(data) {
            Ok(()) => verdict,
            Err(error) => {
                let failure = Failure::new(FailureKind::Error, &error.to_string(), "");
                self.lineage.count(&failure);
                let ends = (flow.client, flow.server);
                tell_of_flow(&failure, flow.now, ends, self.settings, reports);
                self.lose(self.settings.on_rule_error.verdict());
                verdict.max(self.settings.on_rule_error.verdict())
            }
        }
    }

    /// Tells the engine what the rules of the event want changed and held.
    fn wish(&self, data: &mut Data<'_>) -> Result<(), EditError> {
        let shared = &self.state.shared;
        for Edit { start, erased, bytes } in shared.edits.borrow_mut().drain(..) {
            data.replace(start..start + erased, bytes)?;
        }
        shared.hold_from.take().map_or(Ok(()), |at| data.hold_from(at))
    }

    /// After an event that found the memory full. What only that event held is garbage now; if that
    /// is not most of it, the rules remember too much, every further event would fail too, and the
    /// script starts afresh: it loses its globals and what it stored in flows.
    fn relieve(&mut self, now: Timestamp, reports: &mut Reports) {
        self.state.shared.collector.collect(&self.state.lua);
        if !self.state.shared.memory_is_full(&self.state.lua) {
            return;
        }
        let max = self.settings.limits.memory_bytes_max;
        let Ok(fresh) = State::load(&self.source, self.settings, None) else { return };
        fresh.messages();
        self.state = fresh;
        self.lineage.count_restart();
        let message = format!("the rules have filled their {max} bytes of memory: started afresh");
        reports.log(now, Level::Error, "lua", message);
    }
}

/// What an event is about, for those who read that its rule has failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    pub(crate) now: Timestamp,
    /// The connection's ends; none where a packet is judged without one.
    pub(crate) ends: Option<(Endpoint, Endpoint)>,
}

impl About {
    pub(crate) const fn of(flow: &Flow<'_>) -> Self {
        Self { now: flow.now, ends: Some((flow.client, flow.server)) }
    }
}

/// Where the headers of a connection's packet are: IP header, version, TCP header, end.
fn places(packet: &PacketView<'_>) -> (u16, u8, u16, u32) {
    let headers = packet.headers;
    let version = if headers.ip_version == IpVersion::V4 { 4 } else { 6 };
    (headers.ip, version, headers.tcp, headers.end)
}

/// Which way an event's data goes, whether it is the last, and whether it may be changed: one number costs less
/// than three booleans.
fn flags(data: &Data<'_>, direction: Direction) -> u8 {
    u8::from(direction == Direction::ToServer)
        | u8::from(data.is_end()) << 1
        | u8::from(data.is_writable()) << 2
}

/// The failure as the log's line, and as an alert if it has cost a connection.
fn tell(failure: &Failure, about: About, settings: Settings, state: &State) {
    let mut reports = state.shared.reports.borrow_mut();
    let Some(ends) = about.ends else {
        let (section, layer): (String, String) =
            state.dispatch.place.call(()).unwrap_or_else(|_| ("lua".to_owned(), String::new()));
        reports.log(about.now, Level::Error, &section, layer + &failure.message);
        return;
    };
    tell_of_flow(failure, about.now, ends, settings, &mut reports);
}

fn tell_of_flow(
    failure: &Failure,
    now: Timestamp,
    (client, server): (Endpoint, Endpoint),
    settings: Settings,
    reports: &mut Reports,
) {
    reports.log(now, Level::Error, "tcp", failure.message.clone());
    if settings.quiet_failures {
        return reports.log(now, Level::Debug, "tcp", failure.text());
    }
    reports.alert(Alert {
        time: now,
        description: Some(format!("a rule failed: {}", failure.text())),
        severity: Some(Severity::High),
        confidence: Some(Confidence::High),
        sources: vec![format!("address: {}, {}", client.addr, client.port)],
        targets: vec![format!("address: {}, {}", server.addr, server.port)],
        ..Alert::default()
    });
}

impl Policy for LuaPolicy {
    fn interest(&self) -> Interest {
        self.state.interest
    }

    fn new_connection(
        &mut self,
        flow: &mut Flow<'_>,
        packet: &PacketView<'_>,
        reports: &mut Reports,
    ) -> Verdict {
        let Some(choice) = self.chosen(Hook::NewConnection, flow, None) else {
            if self.state.only_dissectors {
                self.pass_over(flow);
            }
            return Verdict::Accept;
        };
        self.enter(flow, reports);
        self.state.shared.event.borrow_mut().packet(packet.frame);
        let (tag, (ip, version, tcp, end)) = (*flow.tag, places(packet));
        self.run(About::of(flow), reports, |state, from| {
            state.dispatch.new_connection.call((from, tag, choice, true, ip, version, tcp, end))
        })
    }

    fn receive_packet(
        &mut self,
        flow: &mut Flow<'_>,
        packet: &PacketView<'_>,
        direction: Direction,
        reports: &mut Reports,
    ) -> Verdict {
        let Some(choice) = self.chosen(Hook::ReceivePacket, flow, Some(direction)) else {
            return Verdict::Accept;
        };
        self.enter(flow, reports);
        self.state.shared.event.borrow_mut().packet(packet.frame);
        let (tag, (ip, version, tcp, end)) = (*flow.tag, places(packet));
        let is_up = direction == Direction::ToServer;
        self.run(About::of(flow), reports, |state, from| {
            state.dispatch.receive_packet.call((from, tag, choice, is_up, ip, version, tcp, end))
        })
    }

    fn receive_data(
        &mut self,
        flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        direction: Direction,
        reports: &mut Reports,
    ) -> Verdict {
        match self.beforehand(*flow.tag, data, direction) {
            Taken::Whole => return Verdict::Accept,
            Taken::Request(plain) => return self.request(flow, data, plain, reports),
            Taken::Nothing => {}
        }
        let Some(choice) = self.chosen(Hook::ReceiveData, flow, Some(direction)) else {
            return Verdict::Accept;
        };
        self.enter(flow, reports);
        self.state.shared.event.borrow_mut().data(data);
        let stretch = (*flow.tag, flags(data, direction), data.offset(), data.len());
        let seen = data.fresh_from() - data.offset();
        let verdict = self.run(About::of(flow), reports, |state, from| {
            let (tag, flags, offset, len) = stretch;
            state.dispatch.receive_data.call((from, tag, choice, flags, offset, len, seen))
        });
        self.carry_out(verdict, flow, data, reports)
    }

    fn end_connection(&mut self, flow: &mut Flow<'_>, reports: &mut Reports) {
        if self.state.hears_end
            && let Some(choice) = self.chosen(Hook::EndConnection, flow, None)
        {
            self.enter(flow, reports);
            let tag = *flow.tag;
            // The connection is over: whatever a failing rule would have done to it is done.
            self.run(About::of(flow), reports, |state, from| {
                state.dispatch.end_connection.call((from, tag, choice))
            });
            self.failed = false;
        }
        if *flow.tag != 0 {
            // Cannot fail but for memory, which a later event will find full and tell of.
            let _ = self.state.dispatch.forget.call::<()>(*flow.tag);
            self.state.shared.skips.borrow_mut().forget(*flow.tag);
            self.state.shared.sleepers.borrow_mut().forget(*flow.tag);
            self.lineage.give_back(*flow.tag);
            *flow.tag = 0;
        }
    }

    fn receive_frame(&mut self, frame: &mut FrameEdit<'_>, reports: &mut Reports) -> Verdict {
        self.frame(frame, Interest::RECEIVE_FRAME, reports, |state| &state.dispatch.receive_frame)
    }

    fn receive_datagram(&mut self, frame: &mut FrameEdit<'_>, reports: &mut Reports) -> Verdict {
        let event = Interest::RECEIVE_DATAGRAM;
        self.frame(frame, event, reports, |state| &state.dispatch.receive_datagram)
    }

    fn send_frame(&mut self, frame: &mut FrameEdit<'_>, reports: &mut Reports) -> Verdict {
        self.frame(frame, Interest::SEND_FRAME, reports, |state| &state.dispatch.send_frame)
    }

    fn tick(&mut self, now: Timestamp, reports: &mut Reports) {
        self.state.shared.event.borrow_mut().begin_at(now);
        self.expire(now, false, reports);
    }

    fn take_failure(&mut self) -> bool {
        std::mem::take(&mut self.failed)
    }

    fn take_injected(&mut self) -> Option<Injected> {
        self.state.shared.injected.borrow_mut().pop_front()
    }

    fn exiting(&mut self, now: Timestamp, reports: &mut Reports) {
        self.state.shared.event.borrow_mut().begin_at(now);
        if self.state.hears_exit {
            self.every(now, reports, |state, from| state.dispatch.exiting.call(from));
        }
        self.expire(now, true, reports);
    }
}
