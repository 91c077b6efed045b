//! What `regexp`, `patterns` and `tls` share: bytes that are lent, and work that is charged.
use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, LuaString};

use crate::event::Shared;
use crate::place::location;

/// What all that a script has compiled and still holds may take, in each worker's count.
const COMPILED_BYTES_MAX: usize = 256 << 20;
/// States that are visited in the time of an instruction of the interpreter. A guess: both take some
/// 10 ns.
const VISITS_PER_INSTRUCTION: u64 = 1;
/// Bytes that are looked through in that time, at 4 Gbit/s.
const BYTES_PER_INSTRUCTION: u64 = 4;
/// Bytes of a compiled expression that are made in that time.
const COMPILED_PER_INSTRUCTION: usize = 2;

/// A share of what a state's compiled expressions take, given back when it is collected.
#[derive(Debug)]
pub(super) struct Share {
    total: Rc<Cell<usize>>,
    bytes: usize,
}

/// Keeps count of them: Lua does not know what lies behind its userdata, and would not collect in time.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares(Rc<Cell<usize>>);

impl Shares {
    /// `None` if the script holds too much already.
    pub(super) fn take(&self, lua: &Lua, bytes: usize) -> Option<Share> {
        if self.0.get() + bytes > COMPILED_BYTES_MAX {
            // What fails here is a finalizer of the script's, and it has none.
            let _ = lua.gc_collect();
        }
        let total = self.0.get() + bytes;
        (total <= COMPILED_BYTES_MAX).then(|| {
            self.0.set(total);
            Share { total: Rc::clone(&self.0), bytes }
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.total.set(self.total.get() - self.bytes);
    }
}

pub(super) const FULL: &str = "the script holds more than 256 MiB of compiled expressions";

/// Lends bytes: of `text`, or of the running event where there is none.
pub(super) fn with_bytes<R>(
    shared: &Shared,
    text: Option<&LuaString>,
    from: usize,
    len: usize,
    read: impl FnOnce(&[u8]) -> R,
) -> R {
    let range = from..from.saturating_add(len);
    match text {
        Some(text) => read(text.as_bytes().get(range).unwrap_or_default()),
        None => read(shared.event.borrow().bytes.get(range).unwrap_or_default()),
    }
}

/// Charges the rule for what it had compiled.
pub(super) fn charge_compiled(shared: &Shared, bytes: usize) {
    shared.budget.charge((bytes / COMPILED_PER_INSTRUCTION) as u64);
}

/// Does work that is counted in visits of states, over `len` bytes, and charges the rule for it.
pub(super) fn charged<R, E>(
    lua: &Lua,
    shared: &Shared,
    len: usize,
    work: impl FnOnce(&mut u64) -> Result<R, E>,
) -> mlua::Result<R> {
    let left = shared.budget.left().saturating_mul(VISITS_PER_INSTRUCTION);
    let mut fuel = left;
    let done = work(&mut fuel);
    let visits = (left - fuel) / VISITS_PER_INSTRUCTION;
    let spent = visits.saturating_add(len as u64 / BYTES_PER_INSTRUCTION);
    let is_over = shared.budget.charge(if done.is_ok() { spent } else { u64::MAX });
    match done {
        Ok(done) if !is_over => Ok(done),
        _ => {
            let place = location(lua);
            Err(mlua::Error::runtime(format!("{place}matching took longer than a rule may run")))
        }
    }
}
