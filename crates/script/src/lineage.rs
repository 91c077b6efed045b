use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::fault::{Failure, FailureKind};

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

/// What the rules of a worker hand on when others take their place: the numbers that connections know
/// them by, so that no two connections ever have the same, and what was counted. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Lineage(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    tags: RefCell<Tags>,
    errors: Cell<RuleErrors>,
}

impl Lineage {
    /// A number for a connection.
    pub(crate) fn take_tag(&self) -> u32 {
        self.0.tags.borrow_mut().take()
    }

    /// The connection has ended.
    pub(crate) fn give_back(&self, tag: u32) {
        self.0.tags.borrow_mut().free.push(tag);
    }

    pub(crate) fn errors(&self) -> RuleErrors {
        self.0.errors.get()
    }

    pub(crate) fn count(&self, failure: &Failure) {
        let mut errors = self.errors();
        match failure.kind {
            FailureKind::Error => errors.errors += 1,
            FailureKind::Instructions => errors.instructions += 1,
            FailureKind::Memory => errors.memory += 1,
        }
        self.0.errors.set(errors);
    }

    pub(crate) fn count_restart(&self) {
        let errors = self.errors();
        self.0.errors.set(RuleErrors { restarts: errors.restarts + 1, ..errors });
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
}
