use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mlua::{IntoLua, Lua, LuaString, MultiValue, Table, Value};

use crate::event::Shared;
use crate::limits;
use crate::pattern::{Capture, Found, Pattern};

/// Patterns that are kept ready; rules have few. When there are more, all are forgotten.
const PATTERNS_MAX: usize = 256;

/// Steps of a matcher that take as long as an instruction of the interpreter.
const STEPS_PER_INSTRUCTION: u64 = 4;

/// Patterns that were read before.
type Known = Rc<RefCell<BTreeMap<Vec<u8>, Rc<Pattern>>>>;

/// Adds `spend`, which charges for work that no hook sees and fails if it was too much; `find` and
/// `find_plain`, which look for a pattern or a text and charge for what they do; and `used_kilobytes`.
pub(super) fn add(lua: &Lua, native: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    let of = Rc::clone(shared);
    native.set(
        "spend",
        lua.create_function(move |lua, instructions: u64| {
            if of.budget.charge(instructions) { Err(limits::overrun(lua, &of)) } else { Ok(()) }
        })?,
    )?;
    native.set(
        "used_kilobytes",
        lua.create_function(|lua, ()| Ok(lua.used_memory() as f64 / 1024.0))?,
    )?;
    let of = Rc::clone(shared);
    let known = Known::default();
    native.set(
        "find",
        lua.create_function(move |lua, (pattern, text, from): (LuaString, LuaString, usize)| {
            let pattern = match parsed(&known, &pattern.as_bytes()) {
                Ok(pattern) => pattern,
                Err(problem) => {
                    return Ok(MultiValue::from_iter([
                        Value::Boolean(false),
                        problem.into_lua(lua)?,
                    ]));
                }
            };
            let bytes = text.as_bytes();
            let left = of.budget.left().saturating_mul(STEPS_PER_INSTRUCTION);
            let mut steps = left;
            let found = pattern.find(&bytes, from, &mut steps);
            let over = of.budget.charge((left - steps) / STEPS_PER_INSTRUCTION);
            match found {
                Ok(found) if !over => values(lua, &bytes, found),
                _ => {
                    of.budget.exhaust();
                    Err(limits::overrun(lua, &of))
                }
            }
        })?,
    )?;
    native.set(
        "find_plain",
        lua.create_function(|_, (needle, text, from): (LuaString, LuaString, usize)| {
            let (needle, text) = (needle.as_bytes(), text.as_bytes());
            let rest = text.get(from..).unwrap_or_default();
            let at = memchr::memmem::find(rest, &needle).map(|at| from + at);
            Ok((at.map(|at| at + 1), at.map(|at| at + needle.len())))
        })?,
    )
}

fn parsed(known: &Known, text: &[u8]) -> Result<Rc<Pattern>, &'static str> {
    let mut known = known.borrow_mut();
    if let Some(pattern) = known.get(text) {
        return Ok(Rc::clone(pattern));
    }
    let pattern = Rc::new(Pattern::parse(text)?);
    if known.len() >= PATTERNS_MAX {
        known.clear();
    }
    known.insert(text.to_owned(), Rc::clone(&pattern));
    Ok(pattern)
}

/// Where it is, counted from 1, and what was captured.
fn values(lua: &Lua, text: &[u8], found: Option<Found>) -> mlua::Result<MultiValue> {
    let Some(Found { start, end, captures }) = found else { return Ok(MultiValue::new()) };
    let number = |place: usize| (place as f64).into_lua(lua);
    let mut values = vec![number(start + 1)?, number(end)?];
    for capture in captures {
        values.push(match capture {
            Capture::Place(at) => number(at + 1)?,
            Capture::Range(start, end) => {
                let part = text.get(start..end).unwrap_or_default();
                Value::String(lua.create_string(part)?)
            }
        });
    }
    Ok(MultiValue::from_vec(values))
}
