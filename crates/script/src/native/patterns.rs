use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{Lua, LuaString, Table, UserData, UserDataRef, UserDataRefMut, Value};
use tollgate_inspect::regexp::{Flags, PatternError};
use tollgate_inspect::signatures::{Hit, Matcher, Signature, SignatureError, Signatures, Watch};

use super::matching::{FULL, Share, Shares, charge_compiled, charged, with_bytes};
use crate::event::Shared;
use crate::source::Source;

/// A set and the machine of this state that runs it.
struct Set {
    signatures: Signatures,
    matcher: Rc<RefCell<Matcher>>,
    _share: Share,
}

impl UserData for Set {}

/// A stream that is looked through.
struct Stream {
    matcher: Rc<RefCell<Matcher>>,
    watch: Watch,
}

impl UserData for Stream {}

/// Adds `patterns`: `compile` takes a list of tables (`text` or `regexp`, `nocase`, `extended`) and gives
/// the set, or nil, what is wrong, and with which of them; `watch` begins with a stream; `feed` gives a
/// flat list of hits (number, end, start or false), or nil.
pub(super) fn add(
    lua: &Lua,
    native: &Table,
    shared: &Rc<Shared>,
    source: &Arc<Source>,
    shares: &Shares,
) -> mlua::Result<()> {
    let patterns = lua.create_table()?;
    let (of, source, shares) = (Rc::clone(shared), Arc::clone(source), shares.clone());
    patterns.set(
        "compile",
        lua.create_function(move |lua, (list, is_loading): (Vec<Table>, bool)| {
            let list = list.iter().map(signature).collect::<mlua::Result<Vec<_>>>()?;
            let compiled =
                if is_loading { source.shelf.set(list) } else { Signatures::compile(&list) };
            match compiled.and_then(|signatures| set(lua, &of, &shares, signatures)) {
                Ok(set) => Ok((Some(lua.create_userdata(set)?), None, None)),
                Err(SignatureError { signature, error }) => {
                    // Lua counts from 1.
                    Ok((None, Some(error.to_string()), signature.map(|number| number + 1)))
                }
            }
        })?,
    )?;
    patterns.set(
        "watch",
        lua.create_function(|lua, (set, every): (UserDataRef<Set>, bool)| {
            let matcher = Rc::clone(&set.matcher);
            lua.create_userdata(Stream { matcher, watch: set.signatures.watch(every) })
        })?,
    )?;
    let of = Rc::clone(shared);
    let hits = RefCell::new(Vec::new());
    patterns.set(
        "feed",
        lua.create_function(move |lua, (mut stream, text, from, len, is_end): Portion| {
            let Stream { matcher, watch } = &mut *stream;
            let mut matcher = matcher.borrow_mut();
            let mut hits = hits.borrow_mut();
            hits.clear();
            charged(lua, &of, len, |fuel| {
                with_bytes(&of, text.as_ref(), from, len, |bytes| {
                    watch.feed(&mut matcher, bytes, is_end, fuel, &mut hits)
                })
            })?;
            if hits.is_empty() { Ok(None) } else { flat(lua, &hits).map(Some) }
        })?,
    )?;
    native.set("patterns", patterns)
}

/// A stream and the bytes for it, as of a search for an expression.
type Portion = (UserDataRefMut<Stream>, Option<LuaString>, usize, usize, bool);

fn set(
    lua: &Lua,
    shared: &Shared,
    shares: &Shares,
    signatures: Signatures,
) -> Result<Set, SignatureError> {
    charge_compiled(shared, signatures.memory_bytes());
    let full = PatternError { message: FULL.to_owned(), position: None };
    let share = shares
        .take(lua, signatures.memory_bytes())
        .ok_or(SignatureError { signature: None, error: full })?;
    let matcher = Rc::new(RefCell::new(signatures.matcher()));
    Ok(Set { signatures, matcher, _share: share })
}

/// The prelude has seen to it that there is one of both.
fn signature(table: &Table) -> mlua::Result<Signature> {
    let case_insensitive = table.get("nocase")?;
    let expression: Option<LuaString> = table.get("regexp")?;
    Ok(match expression {
        Some(pattern) => Signature::Expression {
            pattern: pattern.as_bytes().to_vec(),
            flags: Flags { case_insensitive, extended: table.get("extended")? },
        },
        None => {
            let text: LuaString = table.get("text")?;
            Signature::Literal { bytes: text.as_bytes().to_vec(), case_insensitive }
        }
    })
}

fn flat(lua: &Lua, hits: &[Hit]) -> mlua::Result<Table> {
    let values = hits.iter().flat_map(|hit| {
        let number = |place: u64| Value::Number(place as f64);
        let start = hit.start.map_or(Value::Boolean(false), number);
        [number(hit.signature as u64 + 1), number(hit.end), start]
    });
    lua.create_sequence_from(values)
}
