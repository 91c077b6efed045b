use std::rc::Rc;
use std::sync::Arc;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, Table};
use tollgate_policy::{Interest, Log, Report};

use crate::edits::{EDITS, INJECTS};
use crate::event::Shared;
use crate::fault::{Failure, LoadError, OVERFLOW, PRELUDE, UNTOLD};
use crate::settings::{OnRuleError, Settings};
use crate::source::Source;
use crate::{limits, native, sandbox};

/// The prelude, in the order in which its parts need each other.
const PARTS: [&str; 37] = [
    include_str!("prelude/base.lua"),
    include_str!("prelude/guard.lua"),
    include_str!("prelude/address.lua"),
    include_str!("prelude/store.lua"),
    include_str!("prelude/vbuffer.lua"),
    include_str!("prelude/iterator.lua"),
    include_str!("prelude/stream.lua"),
    include_str!("prelude/regexp.lua"),
    include_str!("prelude/patterns.lua"),
    include_str!("prelude/flow.lua"),
    include_str!("prelude/time.lua"),
    include_str!("prelude/packet.lua"),
    include_str!("prelude/head.lua"),
    include_str!("prelude/rule.lua"),
    include_str!("prelude/class.lua"),
    include_str!("prelude/grammar/result.lua"),
    include_str!("prelude/grammar/context.lua"),
    include_str!("prelude/grammar/entity.lua"),
    include_str!("prelude/grammar/scalar.lua"),
    include_str!("prelude/grammar/bytes.lua"),
    include_str!("prelude/grammar/compound.lua"),
    include_str!("prelude/grammar/new.lua"),
    include_str!("prelude/machine.lua"),
    include_str!("prelude/timers.lua"),
    include_str!("prelude/dissector.lua"),
    include_str!("prelude/frames.lua"),
    include_str!("prelude/udp_flow.lua"),
    include_str!("prelude/dispatch.lua"),
    include_str!("prelude/alert.lua"),
    include_str!("prelude/dns_message.lua"),
    include_str!("prelude/log.lua"),
    include_str!("prelude/debug.lua"),
    include_str!("prelude/http/uri.lua"),
    include_str!("prelude/http/message.lua"),
    include_str!("prelude/http/body.lua"),
    include_str!("prelude/http/dissector.lua"),
    include_str!("prelude/haka.lua"),
];

/// What `require` finds: the name, and the text that makes the module when it is first asked for.
const MODULES: [(&str, &str); 13] = [
    ("class", include_str!("prelude/modules/class.lua")),
    ("protocol/raw", include_str!("prelude/modules/raw.lua")),
    ("protocol/ipv4", include_str!("prelude/modules/ipv4.lua")),
    ("protocol/ipv6", include_str!("prelude/modules/ipv6.lua")),
    ("protocol/tcp", include_str!("prelude/modules/tcp.lua")),
    ("protocol/tcp_connection", include_str!("prelude/modules/tcp_connection.lua")),
    ("protocol/udp", include_str!("prelude/modules/udp.lua")),
    ("protocol/udp_connection", include_str!("prelude/modules/udp_connection.lua")),
    ("protocol/icmp", include_str!("prelude/modules/icmp.lua")),
    ("protocol/dns", include_str!("prelude/modules/dns.lua")),
    ("protocol/http", include_str!("prelude/modules/http.lua")),
    ("protocol/tls", include_str!("prelude/modules/tls.lua")),
    ("regexp/pcre", include_str!("prelude/modules/regexp.lua")),
];

/// A script in a Lua state, run once: its rules wait for events.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) lua: Lua,
    pub(crate) shared: Rc<Shared>,
    pub(crate) dispatch: Dispatch,
    /// The events that must reach Lua.
    pub(crate) interest: Interest,
    /// Whether a later event can ask for the flow object of an earlier one.
    pub(crate) keeps_flows: bool,
    /// Whether rules look at the bytes of an event and keep none: of an event without any they hear
    /// nothing.
    pub(crate) looks_only: bool,
    /// Whether dissectors may follow connections.
    pub(crate) follows_dissectors: bool,
    /// Whether bytes are wanted by dissectors only.
    pub(crate) only_dissectors: bool,
    /// Whether any rule listens to `end_connection`.
    pub(crate) hears_end: bool,
    /// Whether any rule listens to `haka.events.exiting`.
    pub(crate) hears_exit: bool,
    /// Whether the script means connections, not only packets.
    pub(crate) follows_connections: bool,
}

/// The prelude's doors.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) new_connection: Function,
    pub(crate) receive_packet: Function,
    pub(crate) receive_data: Function,
    /// A request that came whole; whether it goes on as if nobody had looked.
    pub(crate) request: Function,
    pub(crate) end_connection: Function,
    pub(crate) receive_frame: Function,
    pub(crate) receive_datagram: Function,
    pub(crate) send_frame: Function,
    pub(crate) expire: Function,
    pub(crate) exiting: Function,
    pub(crate) forget: Function,
    /// The step that an event has reached.
    pub(crate) at: Function,
    /// Where a rule of packets has failed: the section of the log, and what to put before the message.
    pub(crate) place: Function,
    pub(crate) begins: Function,
}

impl State {
    /// Runs a script in a fresh state, and tells its rules that it has started.
    /// `breathe` is called now and then meanwhile.
    pub(crate) fn load(
        source: &Arc<Source>,
        settings: Settings,
        breathe: Option<Box<dyn FnMut()>>,
    ) -> Result<Self, LoadError> {
        let of_file =
            |error: mlua::Error| LoadError::of_file(source.path(), format!("Lua: {error}"));
        let shared = Shared::new(settings.limits.memory_bytes_max);
        shared.breath.set(breathe);
        let (lua, doors) = prepare(&shared, source, settings).map_err(of_file)?;
        shared.budget.restart(settings.limits.load_instructions_max);
        let run = lua
            .load(source.text.as_slice())
            .set_name(format!("@{}", source.chunk))
            .set_mode(ChunkMode::Text)
            .exec();
        let mut faults = shared.faults.take();
        if let Err(error) = run {
            faults.push(failure(&lua, &shared, &error).into_fault(source.path(), &source.chunk));
        }
        if !faults.is_empty() {
            return Err(LoadError { faults });
        }
        let state =
            Self::seal(lua, Rc::clone(&shared), &doors, source, settings).map_err(of_file)?;
        let started: Function = doors.get("started").map_err(of_file)?;
        if let Err(error) = started.call::<()>(1) {
            let fault = state.failure(&error).into_fault(source.path(), &source.chunk);
            return Err(LoadError { faults: vec![fault] });
        }
        let reports =
            std::mem::replace(&mut *shared.reports.borrow_mut(), tollgate_policy::Reports::new(0));
        shared.messages.replace(logs(reports));
        shared.budget.watch(settings.watch);
        // What loading has left behind would count as the first events' memory.
        shared.collector.collect(&state.lua);
        shared.breath.set(None);
        Ok(state)
    }

    fn seal(
        lua: Lua,
        shared: Rc<Shared>,
        doors: &Table,
        source: &Source,
        settings: Settings,
    ) -> mlua::Result<Self> {
        let seal: Function = doors.get("seal")?;
        let heard: Table = seal.call(source.names(&[b"http"]))?;
        let hears = |event: &str| heard.get::<bool>(event);
        let names = |calls| source.names(calls);
        let data = hears("receive_data")?;
        let edits = hears("edits")? || names(EDITS);
        let can_edit = data && !settings.pass_through && edits;
        // Who only looks needs no store for each stream.
        let looks_only = hears("looks_only")? && !edits && !settings.pass_through;
        let follows_connections = hears("connections")?;
        let allow: Function = doors.get("allow")?;
        let passes_errors =
            matches!(settings.on_rule_error, OnRuleError::Pass | OnRuleError::Bypass);
        allow.call::<()>((can_edit, settings.pass_through, passes_errors))?;
        let mut interest = Interest::empty();
        for (event, bit) in [
            ("new_connection", Interest::NEW_CONNECTION),
            ("receive_packet", Interest::RECEIVE_PACKET),
            ("frames", Interest::RECEIVE_FRAME),
            ("datagrams", Interest::RECEIVE_DATAGRAM),
            ("sending", Interest::SEND_FRAME),
            ("time", Interest::TICK),
        ] {
            interest.set(bit, hears(event)?);
        }
        interest.set(Interest::RECEIVE_DATA, data);
        interest.set(Interest::EDIT_DATA, can_edit);
        interest.set(Interest::STATELESS, !follows_connections);
        interest.set(Interest::INJECT, names(INJECTS));
        let hears_end = hears("end_connection")?;
        let of_flows = Interest::RECEIVE_PACKET | Interest::RECEIVE_DATA;
        let keeps_flows = interest.intersects(of_flows) || hears_end;
        // Flow objects are freed at the end, so a script that makes any must hear of it.
        interest.set(Interest::END_CONNECTION, keeps_flows);
        let dispatch = Dispatch {
            new_connection: doors.get("new_connection")?,
            receive_packet: doors.get("receive_packet")?,
            receive_data: doors.get(if looks_only { "look_at_data" } else { "receive_data" })?,
            request: doors.get("request")?,
            end_connection: doors.get("end_connection")?,
            receive_frame: doors.get("receive_frame")?,
            receive_datagram: doors.get("receive_datagram")?,
            send_frame: doors.get("send_frame")?,
            expire: doors.get("expire")?,
            exiting: doors.get("exiting")?,
            forget: doors.get("forget")?,
            at: doors.get("at")?,
            place: doors.get("place")?,
            begins: doors.get("begins")?,
        };
        Ok(Self {
            lua,
            shared,
            dispatch,
            interest,
            keeps_flows,
            looks_only,
            follows_dissectors: hears("dissectors")?,
            only_dissectors: hears("only_dissectors")?,
            hears_end,
            hears_exit: hears("exiting")?,
            follows_connections,
        })
    }

    /// What the script said at load.
    pub(crate) fn messages(&self) -> Vec<Log> {
        self.shared.messages.take()
    }

    /// What failed, of an error that came out of a dispatch.
    pub(crate) fn failure(&self, error: &mlua::Error) -> Failure {
        let mut failure = failure(&self.lua, &self.shared, error);
        // On a full stack there may have been no room to look where it is.
        if failure.message == OVERFLOW {
            let begins: String = self.dispatch.begins.call(()).unwrap_or_default();
            failure.message.insert_str(0, &begins);
        }
        failure
    }
}

/// A state with the prelude in it; gives the prelude's doors.
fn prepare(
    shared: &Rc<Shared>,
    source: &Arc<Source>,
    settings: Settings,
) -> mlua::Result<(Lua, Table)> {
    let lua = sandbox::lua(settings.limits.memory_bytes_max)?;
    let globals = lua.globals();
    let own_globals = lua.create_table()?;
    for pair in globals.pairs::<mlua::Value, mlua::Value>() {
        let (key, value) = pair?;
        own_globals.set(key, value)?;
    }
    let parts = lua.create_table()?;
    parts.set("globals", globals)?;
    parts.set("native", native::table(&lua, shared, source, &settings.limits)?)?;
    let chunk = |text: &'static str| {
        lua.load(text).set_name(format!("={PRELUDE}")).set_environment(own_globals.clone())
    };
    let modules = lua.create_table()?;
    for (name, text) in MODULES {
        modules.set(name, chunk(text).into_function()?)?;
    }
    parts.set("modules", modules)?;
    for text in PARTS {
        shared.breath.draw();
        chunk(text).call::<()>(&parts)?;
    }
    shared.collector.begin(&lua);
    limits::install(&lua, shared)?;
    let doors = parts.get("dispatch")?;
    Ok((lua, doors))
}

fn failure(lua: &Lua, shared: &Shared, error: &mlua::Error) -> Failure {
    if let Some(failure) = shared.failure.take() {
        return failure;
    }
    let mut failure = Failure::of(error, shared.budget.exceeded(), shared.memory_is_full(lua));
    if failure.message == UNTOLD {
        failure.message.insert_str(0, &shared.raised.take());
    }
    failure
}

fn logs(mut reports: tollgate_policy::Reports) -> Vec<Log> {
    reports
        .drain()
        .filter_map(|report| match report {
            Report::Log(log) => Some(log),
            Report::Alert(_) | Report::Connection(_) => None,
        })
        .collect()
}
