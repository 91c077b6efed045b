use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{AnyUserData, Lua, LuaString, Table, UserData, UserDataRef, UserDataRefMut};
use tollgate_inspect::regexp::{Automaton, Flags, Found, Regexp, Scan};

use super::matching::{FULL, Share, Shares, charge_compiled, charged, with_bytes};
use crate::event::Shared;
use crate::source::Source;

/// By the numbers that the prelude knows them by.
const NOTHING: u8 = 0;
const MATCH: u8 = 1;
const OPEN: u8 = 2;
const CERTAIN: u8 = 3;

/// An expression and the machine of this state that runs it.
struct Expression {
    automaton: Rc<RefCell<Automaton>>,
    _share: Share,
}

impl UserData for Expression {}

/// A search in a stream.
struct Search {
    automaton: Rc<RefCell<Automaton>>,
    scan: Scan,
}

impl UserData for Search {}

/// Adds `regexp`: `compile` (nil and what is wrong, if it cannot), `scan`, which begins a search, `feed`
/// and `is_partial`.
pub(super) fn add(
    lua: &Lua,
    native: &Table,
    shared: &Rc<Shared>,
    source: &Arc<Source>,
    shares: &Shares,
) -> mlua::Result<()> {
    let regexp = lua.create_table()?;
    let (of, source, shares) = (Rc::clone(shared), Arc::clone(source), shares.clone());
    regexp.set(
        "compile",
        lua.create_function(move |lua, (pattern, flags, is_loading): (LuaString, u8, bool)| {
            let flags = Flags { case_insensitive: flags & 1 != 0, extended: flags & 2 != 0 };
            let compiled = if is_loading {
                source.shelf.expression(&pattern.as_bytes(), flags)
            } else {
                Regexp::compile(&pattern.as_bytes(), flags)
            };
            match compiled {
                Ok(regexp) => expression(lua, &of, &shares, &regexp),
                Err(error) => Ok((None, Some(error.to_string()))),
            }
        })?,
    )?;
    regexp.set(
        "scan",
        lua.create_function(|lua, expression: UserDataRef<Expression>| {
            let automaton = Rc::clone(&expression.automaton);
            lua.create_userdata(Search { automaton, scan: Scan::default() })
        })?,
    )?;
    regexp.set(
        "is_partial",
        lua.create_function(|_, search: UserDataRef<Search>| Ok(search.scan.is_partial()))?,
    )?;
    let of = Rc::clone(shared);
    regexp.set(
        "feed",
        lua.create_function(move |lua, (mut search, text, from, len, is_end): Portion| {
            let Search { automaton, scan } = &mut *search;
            let mut automaton = automaton.borrow_mut();
            let found = charged(lua, &of, len, |fuel| {
                with_bytes(&of, text.as_ref(), from, len, |bytes| {
                    scan.feed(&mut automaton, bytes, is_end, fuel)
                })
            })?;
            Ok(match found {
                Found::Nothing => (NOTHING, 0, 0),
                Found::Match { start, end } => (MATCH, start, end),
                Found::More { from, is_certain: false } => (OPEN, from, 0),
                Found::More { from, is_certain: true } => (CERTAIN, from, 0),
            })
        })?,
    )?;
    native.set("regexp", regexp)
}

/// A search, and the bytes for it: a text or nil for the event's own, from where in it (from 0) and how
/// many; whether the stream ends behind them.
type Portion = (UserDataRefMut<Search>, Option<LuaString>, usize, usize, bool);

fn expression(
    lua: &Lua,
    shared: &Shared,
    shares: &Shares,
    regexp: &Regexp,
) -> mlua::Result<(Option<AnyUserData>, Option<String>)> {
    charge_compiled(shared, regexp.memory_bytes());
    let Some(share) = shares.take(lua, regexp.memory_bytes()) else {
        return Ok((None, Some(FULL.to_owned())));
    };
    let automaton = Rc::new(RefCell::new(regexp.automaton()));
    lua.create_userdata(Expression { automaton, _share: share }).map(|made| (Some(made), None))
}
