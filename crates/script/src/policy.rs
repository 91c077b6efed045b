use std::sync::Arc;

use mlua::Function;
use tollgate_policy::{
    Alert, Confidence, Data, Edit, EditError, Flow, Interest, Level, PacketView, Policy, Reports,
    Severity, Verdict,
};
use tollgate_wire::{Direction, Timestamp};

use crate::fault::{Failure, FailureKind, LoadError};
use crate::load::Settings;
use crate::source::Source;
use crate::state::State;

/// How often rules have failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleErrors {
    /// Ordinary Lua errors.
    pub errors: u64,
    /// Events stopped by the instruction limit.
    pub instructions: u64,
    /// Events stopped by the memory limit.
    pub memory: u64,
    /// Times that the memory stayed full, so that the script was started afresh.
    pub restarts: u64,
}

/// Rules in a Lua state: a [`Policy`] for one worker. It stays in the thread that made it.
#[derive(Debug)]
pub struct LuaPolicy {
    state: State,
    source: Arc<Source>,
    settings: Settings,
    tags: Tags,
    errors: RuleErrors,
}

impl LuaPolicy {
    pub(crate) fn new(source: &Arc<Source>, settings: Settings) -> Result<Self, LoadError> {
        let state = State::load(source, settings)?;
        state.messages();
        let tags = Tags::default();
        Ok(Self {
            state,
            source: Arc::clone(source),
            settings,
            tags,
            errors: RuleErrors::default(),
        })
    }

    /// How often rules have failed so far.
    #[must_use]
    pub const fn rule_errors(&self) -> RuleErrors {
        self.errors
    }

    /// Bytes that the Lua state takes at the moment.
    #[must_use]
    pub fn used_memory_bytes(&self) -> usize {
        self.state.lua.used_memory()
    }

    /// Copies the event to where Lua reads it.
    fn enter(&mut self, flow: &mut Flow<'_>, reports: &mut Reports) {
        if self.state.keeps_flows && *flow.tag == 0 {
            *flow.tag = self.tags.take();
        }
        let shared = &self.state.shared;
        shared.event.borrow_mut().begin(flow);
        shared.verdict.set(Verdict::Accept);
        shared.edits.borrow_mut().clear();
        shared.hold_from.set(None);
        std::mem::swap(&mut *shared.reports.borrow_mut(), reports);
    }

    /// Runs an event's listeners. One that fails ends the event, or is passed over, as configured.
    fn run(&mut self, event: Event, flow: &Flow<'_>, reports: &mut Reports) -> Verdict {
        let mut from = 1;
        let mut verdict = Verdict::Accept;
        let mut memory_full = false;
        loop {
            self.state.shared.budget.restart(self.settings.limits.instructions_max);
            self.state.shared.failure.take();
            let door = (event.door)(&self.state);
            let result = event.call(door, from, *flow.tag);
            let Err(error) = result else { break };
            let failure = self.state.failure(&error);
            memory_full |= failure.kind == FailureKind::Memory;
            self.count(&failure);
            tell(&failure, flow, &mut self.state.shared.reports.borrow_mut());
            verdict = self.settings.on_rule_error.verdict();
            match self.state.dispatch.at.call::<usize>(()) {
                // A rule that failed has its step's number, at least `from`: this ends.
                Ok(at) if verdict == Verdict::Accept && at >= from => from = at + 1,
                _ => break,
            }
        }
        let shared = &self.state.shared;
        std::mem::swap(&mut *shared.reports.borrow_mut(), reports);
        verdict = verdict.max(shared.verdict.get());
        if memory_full {
            self.relieve(flow, reports);
        }
        verdict
    }

    /// Tells the engine what the rules of the event want changed and held.
    fn wish(&self, data: &mut Data<'_>) -> Result<(), EditError> {
        let shared = &self.state.shared;
        for Edit { start, erased, bytes } in shared.edits.borrow_mut().drain(..) {
            data.replace(start..start + erased, bytes)?;
        }
        shared.hold_from.take().map_or(Ok(()), |at| data.hold_from(at))
    }

    const fn count(&mut self, failure: &Failure) {
        match failure.kind {
            FailureKind::Error => self.errors.errors += 1,
            FailureKind::Instructions => self.errors.instructions += 1,
            FailureKind::Memory => self.errors.memory += 1,
        }
    }

    /// After an event that found the memory full. What only that event held is garbage now; if that
    /// is not most of it, the rules remember too much, every further event would fail too, and the
    /// script starts afresh: it loses its globals and what it stored in flows.
    fn relieve(&mut self, flow: &Flow<'_>, reports: &mut Reports) {
        let collected = self.state.lua.gc_collect().is_ok();
        if collected && !self.state.shared.memory_is_full(&self.state.lua) {
            return;
        }
        let max = self.settings.limits.memory_bytes_max;
        let Ok(fresh) = State::load(&self.source, self.settings) else { return };
        fresh.messages();
        self.state = fresh;
        self.errors.restarts += 1;
        let message = format!("the rules have filled their {max} bytes of memory: started afresh");
        reports.log(flow.now, Level::Error, "lua", message);
    }
}

/// What an event hands to Lua beside the shared copy.
#[derive(Clone, Copy)]
struct Event {
    door: fn(&State) -> &Function,
    is_up: bool,
    data: Option<Stretch>,
}

/// Which part of the stream an event of data shows.
#[derive(Clone, Copy)]
struct Stretch {
    offset: u64,
    len: usize,
    seen: u64,
    is_end: bool,
    is_writable: bool,
}

impl Event {
    const fn of(door: fn(&State) -> &Function) -> Self {
        Self { door, is_up: true, data: None }
    }

    fn towards(self, direction: Direction) -> Self {
        Self { is_up: direction == Direction::ToServer, ..self }
    }

    fn with(self, data: &Data<'_>) -> Self {
        let data = Stretch {
            offset: data.offset(),
            len: data.len(),
            seen: data.fresh_from() - data.offset(),
            is_end: data.is_end(),
            is_writable: data.is_writable(),
        };
        Self { data: Some(data), ..self }
    }

    fn call(self, door: &Function, from: usize, tag: u32) -> mlua::Result<()> {
        let Some(data) = self.data else { return door.call((from, tag, self.is_up)) };
        // One number costs less than three booleans.
        let flags =
            u8::from(self.is_up) | u8::from(data.is_end) << 1 | u8::from(data.is_writable) << 2;
        door.call((from, tag, flags, data.offset, data.len, data.seen))
    }
}

/// Numbers for the flow objects in Lua; 0 is none. As many as were ever needed at once.
#[derive(Debug, Default)]
struct Tags {
    free: Vec<u32>,
    last: u32,
}

impl Tags {
    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.last = self.last.wrapping_add(1).max(1);
            self.last
        })
    }

    fn give_back(&mut self, tag: u32) {
        self.free.push(tag);
    }
}

/// The failure as the log's line and as an alert.
fn tell(failure: &Failure, flow: &Flow<'_>, reports: &mut Reports) {
    reports.log(flow.now, Level::Error, "tcp", failure.message.clone());
    reports.alert(Alert {
        time: flow.now,
        description: Some(format!("a rule failed: {}", failure.text())),
        severity: Some(Severity::High),
        confidence: Some(Confidence::High),
        sources: vec![format!("address: {}, {}", flow.client.addr, flow.client.port)],
        targets: vec![format!("address: {}, {}", flow.server.addr, flow.server.port)],
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
        self.enter(flow, reports);
        self.state.shared.event.borrow_mut().packet(packet);
        self.run(Event::of(|state| &state.dispatch.new_connection), flow, reports)
    }

    fn receive_packet(
        &mut self,
        flow: &mut Flow<'_>,
        packet: &PacketView<'_>,
        direction: Direction,
        reports: &mut Reports,
    ) -> Verdict {
        self.enter(flow, reports);
        self.state.shared.event.borrow_mut().packet(packet);
        let event = Event::of(|state| &state.dispatch.receive_packet).towards(direction);
        self.run(event, flow, reports)
    }

    fn receive_data(
        &mut self,
        flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        direction: Direction,
        reports: &mut Reports,
    ) -> Verdict {
        let skips = &self.state.shared.skips;
        if !data.is_end() && skips.borrow().covers(*flow.tag, direction, data.end_offset()) {
            return Verdict::Accept;
        }
        self.enter(flow, reports);
        self.state.shared.event.borrow_mut().data(data);
        let event = Event::of(|state| &state.dispatch.receive_data).towards(direction).with(data);
        let verdict = self.run(event, flow, reports);
        if verdict.ends_flow() {
            return verdict;
        }
        match self.wish(data) {
            Ok(()) => verdict,
            Err(error) => {
                let failure = Failure::new(FailureKind::Error, &error.to_string(), "");
                self.count(&failure);
                tell(&failure, flow, reports);
                verdict.max(self.settings.on_rule_error.verdict())
            }
        }
    }

    fn end_connection(&mut self, flow: &mut Flow<'_>, reports: &mut Reports) {
        if self.state.hears_end {
            self.enter(flow, reports);
            // The connection is over: whatever a failing rule would have done to it is done.
            self.run(Event::of(|state| &state.dispatch.end_connection), flow, reports);
        }
        if *flow.tag != 0 {
            // Cannot fail but for memory, which a later event will find full and tell of.
            let _ = self.state.dispatch.forget.call::<()>(*flow.tag);
            self.state.shared.skips.borrow_mut().forget(*flow.tag);
            self.tags.give_back(*flow.tag);
            *flow.tag = 0;
        }
    }

    fn exiting(&mut self, now: Timestamp, reports: &mut Reports) {
        if !self.state.hears_exit {
            return;
        }
        let shared = &self.state.shared;
        shared.event.borrow_mut().now = now;
        std::mem::swap(&mut *shared.reports.borrow_mut(), reports);
        let mut from = 1;
        loop {
            shared.budget.restart(self.settings.limits.instructions_max);
            let Err(error) = self.state.dispatch.exiting.call::<()>(from) else { break };
            let failure = self.state.failure(&error);
            shared.reports.borrow_mut().log(now, Level::Error, "lua", failure.text());
            match self.state.dispatch.at.call::<usize>(()) {
                Ok(at) if at >= from => from = at + 1,
                _ => break,
            }
        }
        std::mem::swap(&mut *shared.reports.borrow_mut(), reports);
    }
}
