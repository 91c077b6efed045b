//! What Rust lends to the prelude.
//!
//! None of these fails on what a script may pass through the prelude; problems are values, so that
//! the prelude can name the script's own line.
mod bytes;
mod flow;
pub(crate) mod frame;
mod heads;
mod http;
mod limits;
mod matching;
mod modules;
mod patterns;
mod regexp;
mod report;
mod scan;
mod texts;
mod tls;

use std::rc::Rc;
use std::sync::Arc;

use mlua::{Function, Lua, LuaString, Table, Value};
use tollgate_policy::Verdict;

use crate::event::Shared;
use crate::fault::{Failure, FailureKind, Fault};
use crate::limits::Limits;
use crate::near::suggest;
use crate::place::{frame, location};
use crate::source::Source;

/// The table `P.native` of the prelude.
pub(crate) fn table(
    lua: &Lua,
    shared: &Rc<Shared>,
    source: &Arc<Source>,
    limits: &Limits,
) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    errors(lua, &native, shared, source)?;
    bytes::add(lua, &native, shared)?;
    modules::add(lua, &native, source)?;
    flow::add(lua, &native, shared)?;
    heads::add(lua, &native, shared)?;
    frame::add(lua, &native, shared)?;
    report::add(lua, &native, shared)?;
    http::add(lua, &native, shared)?;
    let shares = matching::Shares::default();
    regexp::add(lua, &native, shared, source, &shares)?;
    patterns::add(lua, &native, shared, source, &shares)?;
    tls::add(lua, &native, shared)?;
    scan::add(lua, &native, shared)?;
    limits::add(lua, &native, shared)?;
    native.set("unread_max", limits.unread_bytes_max)?;
    native.set(
        "metatable",
        lua.create_function(|lua, value: Value| {
            Ok(match value {
                Value::Table(table) => table.metatable(),
                Value::String(_) => lua.type_metatable::<LuaString>(),
                _ => None,
            })
        })?,
    )?;
    let shared = Rc::clone(shared);
    native.set(
        "verdict",
        lua.create_function(move |_, code: usize| {
            let verdict = VERDICTS.get(code).copied().unwrap_or(Verdict::Drop);
            shared.verdict.set(shared.verdict.get().max(verdict));
            Ok(())
        })?,
    )?;
    Ok(native)
}

/// By the numbers that the prelude knows them by.
const VERDICTS: [Verdict; 6] = [
    Verdict::Accept,
    Verdict::DropPacket,
    Verdict::Drop,
    Verdict::HalfReset,
    Verdict::Reset,
    Verdict::Shunt,
];

fn errors(
    lua: &Lua,
    native: &Table,
    shared: &Rc<Shared>,
    source: &Arc<Source>,
) -> mlua::Result<()> {
    native.set("where", lua.create_function(|lua, ()| Ok(location(lua)))?)?;
    native.set(
        "traceback",
        lua.create_function(|lua, text: Option<String>| {
            let own = Failure::new(FailureKind::Error, text.as_deref().unwrap_or(""), &stack(lua)?);
            Ok(own.text())
        })?,
    )?;
    native.set(
        "suggest",
        lua.create_function(|_, (name, known): (String, Vec<String>)| Ok(suggest(&name, known)))?,
    )?;
    let of = Rc::clone(shared);
    native.set("exceeded", lua.create_function(move |_, ()| Ok(of.budget.exceeded()))?)?;
    native.set(
        "defined_at",
        lua.create_function(|_, function: Function| {
            let info = function.info();
            let file = info.source.as_deref().and_then(|source| source.strip_prefix('@'));
            Ok(file
                .zip(info.line_defined)
                .map_or(String::new(), |(file, line)| format!("{file}:{line}: ")))
        })?,
    )?;
    // Where an error began that is no text, in case it cannot be made one.
    let of = Rc::clone(shared);
    native.set(
        "raised",
        lua.create_function(move |lua, ()| {
            of.raised.replace(location(lua));
            Ok(())
        })?,
    )?;
    let of = Rc::clone(shared);
    native.set(
        "failure",
        lua.create_function(move |lua, message: String| {
            let mut failure = Failure::new(FailureKind::Error, &message, &stack(lua)?);
            failure.place();
            of.failure.replace(Some(failure));
            Ok(())
        })?,
    )?;
    let of = Rc::clone(shared);
    let source = Arc::clone(source);
    native.set(
        "fault",
        lua.create_function(move |lua, message: String| {
            let frame = frame(lua);
            let chunk = frame.as_ref().map_or(source.chunk.as_str(), |(chunk, _)| chunk);
            let file = source.file(chunk);
            let fault = Fault { file, line: frame.map(|(_, line)| line), message };
            let mut faults = of.faults.borrow_mut();
            // One slip in a loop is one fault.
            if !faults.contains(&fault) {
                faults.push(fault);
            }
            Ok(())
        })?,
    )
}

fn stack(lua: &Lua) -> mlua::Result<String> {
    let text: LuaString = lua.traceback(None, 0)?;
    Ok(text.to_string_lossy())
}
