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
//! known, and `a < b` none at all. For these a live run lends its clock ([`Watch`](crate::Watch)); a replay has none, so that
//! what it says never depends on the machine.
use std::rc::Rc;

use mlua::{HookTriggers, Lua, VmState};

use crate::event::Shared;
use crate::fault::{Failure, FailureKind};
use crate::place;

/// Instructions between two looks at the sum. A guess: rare enough to cost nothing, fine enough for
/// the smallest sensible limit.
const INTERVAL: u32 = 2_000;

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
        let place = place::of(debug).unwrap_or_else(|| place::location(lua));
        Err(overrun_at(lua, &shared, &place))
    })
}

/// The error of a budget that has run out, raised by one of our own functions.
pub(crate) fn overrun(lua: &Lua, shared: &Shared) -> mlua::Error {
    overrun_at(lua, shared, &place::location(lua))
}

fn overrun_at(lua: &Lua, shared: &Shared, place: &str) -> mlua::Error {
    let budget = &shared.budget;
    let message = match budget.late() {
        Some(watch) => format!("{place}a rule ran for more than {} ms", watch.max.as_millis()),
        None => format!("{place}a rule ran for more than {} instructions", budget.max()),
    };
    // The error itself is bare, and its stack is gone when it arrives. Of a coroutine only the
    // line is to be had here.
    let traceback = lua.traceback(None, 0).map(|text| text.to_string_lossy()).unwrap_or_default();
    let failure = Failure::new(FailureKind::Instructions, &message, &traceback);
    shared.failure.borrow_mut().get_or_insert(failure);
    mlua::Error::runtime(message)
}
