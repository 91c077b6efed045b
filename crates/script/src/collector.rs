//! When garbage is collected, and what making it costs.
//!
//! The interpreter collects as it allocates, so that nobody sees how much a rule has allocated: a loop
//! of `s = s .. "x"` copies gigabytes and never has more than a few kilobytes in use, with some hundred
//! copies between two looks of the hook. Here nothing is collected while a rule runs. So what the memory has
//! grown by is what was allocated, and is charged for; and between two looks no more can be than the
//! memory limit leaves. Garbage goes after the event, in steps.
use std::cell::Cell;

use mlua::Lua;
use mlua::state::{GcIncParams, GcMode};

use crate::budget::Budget;

/// Bytes that are allocated, and those that are collected, in the time of an instruction. Guesses: between
/// a long string and many small tables lies a factor of ten, and the latter cost instructions, too.
const ALLOCATED_PER_INSTRUCTION: usize = 128;
const COLLECTED_PER_INSTRUCTION: usize = 512;
/// Percent; the work of a step in hundredths of a kilobyte: 16 KiB, some 10 us. A guess.
const STEP_MULTIPLIER: std::ffi::c_int = 1600;
/// Memory that an event has allocated for each step after it: a quarter of what a step looks at.
const BYTES_PER_STEP: usize = 4 << 10;
/// Steps after one event.
const STEPS_MAX: usize = 128;
/// A heap is small if it takes less than one part in so many of what it may.
const SMALL: usize = 16;
/// A heap grows by so much at least before it is collected again.
const GROWTH_MIN: usize = 256 << 10;

/// The collector of one Lua state.
#[derive(Debug)]
pub(crate) struct Collector {
    /// Memory in use when it was last looked at.
    seen: Cell<usize>,
    /// With so much in use a cycle begins.
    due: Cell<usize>,
    /// With so much, whoever runs must wait for a whole one: a cycle that goes on between events was outrun.
    pressing: Cell<usize>,
    /// A cycle is under way.
    busy: Cell<bool>,
    memory_max: usize,
}

impl Collector {
    /// `memory_max` is the memory limit, 0 for none.
    pub(crate) fn new(memory_max: usize) -> Self {
        let memory_max = if memory_max == 0 { usize::MAX } else { memory_max };
        Self {
            seen: Cell::new(0),
            due: Cell::new(0),
            pressing: Cell::new(0),
            busy: Cell::new(false),
            memory_max,
        }
    }

    /// Takes over from the interpreter.
    pub(crate) fn begin(&self, lua: &Lua) {
        let steps = GcIncParams::default().step_multiplier(STEP_MULTIPLIER);
        lua.gc_set_mode(GcMode::Incremental(steps));
        lua.gc_stop();
        self.ended(lua);
    }

    /// In the midst of an event: what was allocated since the last look is charged for, and collected
    /// if it is too much.
    pub(crate) fn look(&self, lua: &Lua, budget: &Budget) {
        let used = lua.used_memory();
        let allocated = used.saturating_sub(self.seen.replace(used));
        budget.charge((allocated / ALLOCATED_PER_INSTRUCTION) as u64);
        if used > self.pressing.get() {
            self.collect(lua);
            budget.charge((used / COLLECTED_PER_INSTRUCTION) as u64);
        }
    }

    /// After an event: goes on with a cycle, or begins one where it is due.
    pub(crate) fn after(&self, lua: &Lua) {
        let used = lua.used_memory();
        let allocated = used.saturating_sub(self.seen.replace(used));
        if !self.busy.get() {
            if used <= self.due.get() {
                return;
            }
            self.busy.set(true);
        }
        let steps = (1 + allocated / BYTES_PER_STEP).min(STEPS_MAX);
        // No finalizer of a script's runs, so no step fails.
        let ended = (0..steps).any(|_| lua.gc_step().unwrap_or(true));
        lua.gc_stop();
        self.seen.set(lua.used_memory());
        if ended {
            self.ended(lua);
        }
    }

    /// All of it, at once.
    pub(crate) fn collect(&self, lua: &Lua) {
        // As for the steps.
        let _ = lua.gc_collect();
        lua.gc_stop();
        self.ended(lua);
    }

    fn ended(&self, lua: &Lua) {
        let used = lua.used_memory();
        self.seen.set(used);
        self.busy.set(false);
        // By a half: while the steps of a cycle go on, as much as a quarter comes to it, so that no more than about as
        // much is garbage as is in use. A small heap may grow more, and is looked at less often for it.
        let growth = if used < self.memory_max / SMALL { used } else { used / 2 };
        let grown = used.saturating_add(growth.max(GROWTH_MIN));
        // Where little is left the next cycle comes sooner, but never at once.
        let late = (self.memory_max / 4 * 3).max(used.saturating_add(self.memory_max / 32));
        let due = grown.min(late);
        self.due.set(due);
        self.pressing.set(due.saturating_add(due / 2).min(late));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_heap_is_collected_in_steps_between_events() {
        let lua = crate::sandbox::lua(128 << 20).expect("a state");
        let keeps = "kept = {} for i = 1, 50000 do kept[i] = { i } end";
        lua.load(keeps).exec().expect("memory");
        let event = lua.load("for i = 1, 20 do local garbage = { i } end").into_function();
        let event = event.expect("memory");
        let (collector, budget) = (Collector::new(128 << 20), Budget::default());
        collector.begin(&lua);
        let (mut cycles, mut most) = (0, 0);
        for _ in 0..20_000 {
            event.call::<()>(()).expect("memory");
            let (before, was_busy) = (lua.used_memory(), collector.busy.get());
            collector.look(&lua, &budget);
            collector.after(&lua);
            most = most.max(before.saturating_sub(lua.used_memory()));
            cycles += u32::from(was_busy && !collector.busy.get());
        }
        assert!(cycles > 1 && most < 256 << 10, "{cycles} cycles, {most} bytes at once");
    }
}
