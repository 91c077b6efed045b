//! What one event may cost.
//!
//! LuaJIT's count hook never fires inside compiled traces, so scripts run in the interpreter only
//! (`sandbox`): slower than compiled code, but an endless loop ends. The hook is set once and
//! counts on from event to event; only the sum is cleared, so an event may be charged for at most
//! one interval of its predecessor.
//!
//! What the hook does not see is time spent inside one instruction. A long copy makes garbage, which is
//! charged for (`collector`). Functions of Lua's library that can work for long without making any are
//! charged for what they do, or replaced (`prelude/guard.lua`, `pattern`). What is left is what an operator
//! does with strings of megabytes that are there already: `a .. b` makes no garbage where its result is
//! known, and `a < b` none at all. For these a live run lends its clock ([`Watch`]); a replay has none, so that
//! what it says never depends on the machine.
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use mlua::debug::Debug;
use mlua::{HookTriggers, Lua, VmState};

use crate::event::Shared;
use crate::fault::{Failure, FailureKind};
use crate::native;

/// Instructions between two looks at the sum. A guess: rare enough to cost nothing, fine enough for
/// the smallest sensible limit.
const INTERVAL: u32 = 2_000;

/// Bytes that are copied in the time of an instruction of the interpreter, roughly: 10 ns.
const COPIED_PER_INSTRUCTION: u64 = 64;

/// A clock that runs while a rule does, and what one event may take by it.
#[derive(Clone, Copy)]
pub struct Watch {
    /// Any time whose differences count: that of the thread, best, which others cannot take away.
    pub now: fn() -> Duration,
    /// More is the rule's error.
    pub max: Duration,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("max", &self.max).finish_non_exhaustive()
    }
}

/// What a script may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lua instructions for one event of one connection; more is the rule's error. Too low and
    /// honest rules fail on long data; too high and a loop holds up the worker, by about 10 ms for
    /// each million.
    pub instructions_max: u64,
    /// Lua instructions for running the script once, at load.
    pub load_instructions_max: u64,
    /// Bytes of one worker's Lua state, everything that rules remember included. 0 is no limit.
    pub memory_bytes_max: usize,
    /// Bytes that a streamed rule may leave unread, for each connection and direction.
    pub unread_bytes_max: usize,
    /// Bytes of a script.
    pub script_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instructions_max: 2_000_000,
            load_instructions_max: 200_000_000,
            memory_bytes_max: 128 << 20,
            unread_bytes_max: 256 << 10,
            script_bytes_max: 8 << 20,
        }
    }
}

/// What the thread does now and then while a script loads, so that its other work is not held up.
#[derive(Default)]
pub(crate) struct Breath(RefCell<Option<Box<dyn FnMut()>>>);

impl Breath {
    pub(crate) fn set(&self, breathe: Option<Box<dyn FnMut()>>) {
        self.0.replace(breathe);
    }

    pub(crate) fn draw(&self) {
        if let Some(breathe) = &mut *self.0.borrow_mut() {
            breathe();
        }
    }
}

impl fmt::Debug for Breath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Breath")
    }
}

/// The running sum of an event's instructions.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    used: Cell<u64>,
    max: Cell<u64>,
    exceeded: Cell<bool>,
    watch: Cell<Option<Watch>>,
    /// When the running event was looked at first.
    since: Cell<Option<Duration>>,
    is_late: Cell<bool>,
}

impl Budget {
    pub(crate) fn restart(&self, max: u64) {
        self.used.set(0);
        self.max.set(max);
        self.exceeded.set(false);
        self.since.set(None);
        self.is_late.set(false);
    }

    /// From now on events are held against the clock, too.
    pub(crate) fn watch(&self, watch: Option<Watch>) {
        self.watch.set(watch);
    }

    /// Looks at the clock, if there is one.
    fn look(&self) {
        let Some(watch) = self.watch.get() else { return };
        let now = (watch.now)();
        match self.since.get() {
            Some(since) if now.saturating_sub(since) > watch.max => {
                self.is_late.set(true);
                self.exhaust();
            }
            Some(_) => {}
            None => self.since.set(Some(now)),
        }
    }

    /// It has run out, whatever the sum says.
    pub(crate) fn exhaust(&self) {
        self.exceeded.set(true);
    }

    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded.get()
    }

    /// Charges for work done on `bytes` in one call, where the hook does not look; it looks next.
    pub(crate) fn copied(&self, bytes: u64) {
        self.used.set(self.used.get().saturating_add(bytes / COPIED_PER_INSTRUCTION));
    }

    /// What is left of it.
    pub(crate) fn left(&self) -> u64 {
        self.max.get().saturating_sub(self.used.get())
    }

    /// Charges for instructions; whether that was too much.
    pub(crate) fn charge(&self, instructions: u64) -> bool {
        let used = self.used.get().saturating_add(instructions);
        self.used.set(used);
        if used > self.max.get() {
            self.exceeded.set(true);
        }
        self.exceeded.get()
    }
}

/// Makes `lua` charge what it runs to the budget. The hook is a global one: it holds in coroutines
/// too.
pub(crate) fn install(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<()> {
    let shared = Rc::clone(shared);
    let triggers = HookTriggers::new().every_nth_instruction(INTERVAL);
    lua.set_global_hook(triggers, move |lua, debug| {
        shared.breath.draw();
        let budget = &shared.budget;
        shared.collector.look(lua, budget);
        budget.look();
        if !budget.charge(u64::from(INTERVAL)) {
            return Ok(VmState::Continue);
        }
        let place = place(debug).unwrap_or_else(|| native::location(lua));
        Err(overrun_at(lua, &shared, &place))
    })
}

/// The error of a budget that has run out, raised by one of our own functions.
pub(crate) fn overrun(lua: &Lua, shared: &Shared) -> mlua::Error {
    overrun_at(lua, shared, &native::location(lua))
}

fn overrun_at(lua: &Lua, shared: &Shared, place: &str) -> mlua::Error {
    let budget = &shared.budget;
    let message = match budget.watch.get() {
        Some(watch) if budget.is_late.get() => {
            format!("{place}a rule ran for more than {} ms", watch.max.as_millis())
        }
        _ => format!("{place}a rule ran for more than {} instructions", budget.max.get()),
    };
    // The error itself is bare, and its stack is gone when it arrives. Of a coroutine only the
    // line is to be had here.
    let traceback = lua.traceback(None, 0).map(|text| text.to_string_lossy()).unwrap_or_default();
    let failure = Failure::new(FailureKind::Instructions, &message, &traceback);
    shared.failure.borrow_mut().get_or_insert(failure);
    mlua::Error::runtime(message)
}

/// `file:line: ` of the running function, if it is the script's.
fn place(debug: &Debug<'_>) -> Option<String> {
    let line = debug.current_line()?;
    let source = debug.source();
    let file = source.source.as_deref()?.strip_prefix('@')?;
    Some(format!("{file}:{line}: "))
}
