use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{AnyUserData, Lua, LuaString, Table, UserData, UserDataRef};
use tollgate_inspect::regexp::{Automaton, Flags, Found, Regexp, Scan};
use tollgate_wire::Direction;

use super::matching::{FULL, Share, Shares, charge_compiled, charged, with_bytes};
use crate::ahead::{Asleep, Search, Sleeper};
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

/// A search as Lua holds it.
struct Held(Rc<RefCell<Search>>);

impl UserData for Held {}

/// Adds `regexp`: `compile` (nil and what is wrong, if it cannot), `scan`, which begins a search, `feed`,
/// `is_partial`, `sleep`, after which a search goes on without Lua, and `ahead`, how far it has.
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
            let search = Search { automaton, scan: Scan::default(), ahead: 0 };
            lua.create_userdata(Held(Rc::new(RefCell::new(search))))
        })?,
    )?;
    regexp.set(
        "is_partial",
        lua.create_function(|_, search: UserDataRef<Held>| {
            Ok(search.0.borrow().scan.is_partial())
        })?,
    )?;
    let of = Rc::clone(shared);
    regexp.set(
        "feed",
        lua.create_function(move |lua, (search, text, from, len, is_end): Portion| {
            let Search { automaton, scan, .. } = &mut *search.0.borrow_mut();
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
    sleeping(lua, &regexp, shared)?;
    native.set("regexp", regexp)
}

/// `sleep`: the flow's tag and whether the bytes go to the server, the search, whether it wants what may be a
/// match held, and the position of the next byte.
fn sleeping(lua: &Lua, regexp: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    let of = Rc::clone(shared);
    type Rule = (u32, bool, UserDataRef<Held>, bool, u64);
    regexp.set(
        "sleep",
        lua.create_function(move |_, (tag, is_up, search, wants, next): Rule| {
            let direction = if is_up { Direction::ToServer } else { Direction::ToClient };
            let what = Asleep::Search { search: Rc::clone(&search.0), wants };
            let sleeper = Sleeper { what, next };
            of.sleepers.borrow_mut().put(tag, direction, sleeper);
            Ok(())
        })?,
    )?;
    regexp.set(
        "ahead",
        lua.create_function(|_, search: UserDataRef<Held>| {
            Ok(std::mem::take(&mut search.0.borrow_mut().ahead))
        })?,
    )
}

/// A search, and the bytes for it: a text or nil for the event's own, from where in it (from 0) and how
/// many; whether the stream ends behind them.
type Portion = (UserDataRef<Held>, Option<LuaString>, usize, usize, bool);

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
