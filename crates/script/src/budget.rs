//! What one event has cost so far, and of how much.
use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Duration;

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
    pub(crate) fn look(&self) {
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

    /// The clock by which it has run out, if it has by that.
    pub(crate) fn late(&self) -> Option<Watch> {
        self.watch.get().filter(|_| self.is_late.get())
    }

    /// All of it.
    pub(crate) fn max(&self) -> u64 {
        self.max.get()
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
