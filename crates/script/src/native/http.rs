//! `native.http`: conversations in HTTP, and the heads of their messages.
use std::cell::RefCell;
use std::rc::Rc;

use mlua::{IntoLua, Lua, LuaString, Table, UserData, UserDataRef, Value};
use tollgate_wire::Direction;

use super::bytes::edit;
use super::texts::Texts;
use crate::ahead::{Asleep, Sleeper};
use crate::event::Shared;
use crate::http::{
    Body, Conversation, Ended, Head, Limits, Part, Spares, Splice, Step, What, Wrong,
};

/// A connection's, as Lua holds it.
struct Talk(Rc<RefCell<Conversation>>);

impl UserData for Talk {}

type Ref = UserDataRef<Talk>;

/// Of what is read next: see [`step`].
type Answer = (u8, usize, bool, Value, Value, Value, Value);

const MORE: u8 = 0;
const HEAD: u8 = 1;
const BODY: u8 = 2;
const FRAMING: u8 = 3;
const RAW: u8 = 4;
const WRONG: u8 = 5;

pub(super) fn add(lua: &Lua, native: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    let http = lua.create_table()?;
    reading(lua, &http, shared)?;
    state(lua, &http, shared)?;
    messages(lua, &http)?;
    changes(lua, &http, shared)?;
    native.set("http", http)
}

const fn direction(is_up: bool) -> Direction {
    if is_up { Direction::ToServer } else { Direction::ToClient }
}

/// Adds `step` and `finish`, which read bytes.
fn reading(lua: &Lua, http: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    let of = Rc::clone(shared);
    http.set(
        "step",
        lua.create_function(
            move |lua,
                  (talk, is_up, text, from, len): (
                Ref,
                bool,
                Option<LuaString>,
                usize,
                usize,
            )| {
                with_bytes(&of, text.as_ref(), from, len, |bytes| {
                    step(lua, &mut talk.0.borrow_mut(), direction(is_up), bytes)
                })
            },
        )?,
    )?;
    let of = Rc::clone(shared);
    http.set(
        "finish",
        lua.create_function(
            move |_,
                  (talk, is_up, text, from, len): (
                Ref,
                bool,
                Option<LuaString>,
                usize,
                usize,
            )| {
                with_bytes(&of, text.as_ref(), from, len, |held| {
                    Ok(match talk.0.borrow_mut().end(direction(is_up), held) {
                        Ok(ended) => (ended == Ended::Message, None),
                        Err(Wrong(why)) => (false, Some(why)),
                    })
                })
            },
        )?,
    )
}

/// Adds `new`, `pass`, `skip`, `sleep`, after which what is plain is read without Lua, if that may come next, `ahead`, how
/// many bytes were read so, `has_begun`, `done` and `give_up`.
fn state(lua: &Lua, http: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    let spares = Spares::default();
    http.set(
        "new",
        lua.create_function(move |lua, (head_bytes_max, is_lenient): (usize, bool)| {
            let limits = Limits { head_bytes_max, is_lenient };
            let talk = Conversation::new(limits, spares.clone());
            lua.create_userdata(Talk(Rc::new(RefCell::new(talk))))
        })?,
    )?;
    http.set(
        "pass",
        lua.create_function(|_, (talk, is_up, len): (Ref, bool, u64)| {
            Ok(talk.0.borrow_mut().pass_unseen(direction(is_up), len))
        })?,
    )?;
    let of = Rc::clone(shared);
    http.set(
        "sleep",
        lua.create_function(
            move |_, (talk, tag, is_up, next, are_heard): (Ref, u32, bool, u64, bool)| {
                let (talk, direction) = (Rc::clone(&talk.0), direction(is_up));
                if !talk.borrow().may_be_plain(direction) {
                    return Ok(false);
                }
                let what = match direction {
                    Direction::ToServer => Asleep::Requests { talk, are_heard },
                    Direction::ToClient => Asleep::Responses(talk),
                };
                of.sleepers.borrow_mut().put(tag, direction, Sleeper { what, next });
                Ok(true)
            },
        )?,
    )?;
    http.set(
        "ahead",
        lua.create_function(|_, (talk, is_up): (Ref, bool)| {
            Ok(talk.0.borrow_mut().ahead(direction(is_up)))
        })?,
    )?;
    http.set("has_begun", lua.create_function(|_, talk: Ref| Ok(talk.0.borrow().has_begun()))?)?;
    let of = Rc::clone(shared);
    http.set(
        "skip",
        lua.create_function(move |_, (talk, tag, is_up, from): (Ref, u32, bool, u64)| {
            let left = talk.0.borrow().skippable(direction(is_up));
            of.skips.borrow_mut().set(tag, direction(is_up), from.saturating_add(left));
            Ok(())
        })?,
    )?;
    http.set(
        "done",
        lua.create_function(|_, talk: Ref| {
            let mut talk = talk.0.borrow_mut();
            let answered = talk.answered();
            Ok(talk.response_done().then_some(answered))
        })?,
    )?;
    http.set(
        "give_up",
        lua.create_function(|_, talk: Ref| {
            talk.0.borrow_mut().give_up();
            Ok(())
        })?,
    )
}

/// The bytes in a text of Lua's, or else in the running event.
fn with_bytes<R>(
    shared: &Shared,
    text: Option<&LuaString>,
    from: usize,
    len: usize,
    read: impl FnOnce(&[u8]) -> mlua::Result<R>,
) -> mlua::Result<R> {
    let cut = |bytes: &[u8]| from..from.saturating_add(len).min(bytes.len());
    match text {
        Some(text) => {
            let bytes = text.as_bytes();
            read(bytes.get(cut(&bytes)).unwrap_or_default())
        }
        None => {
            let event = shared.event.borrow();
            read(event.bytes.get(cut(&event.bytes)).unwrap_or_default())
        }
    }
}

/// What comes next, how many bytes it is, whether the message ends with it, and what is wrong or
/// ambiguous in it. Behind a head: the message's number (0 is the response) and the kind of its body.
/// Behind framing: where the digits of a size are, how many, and where the trailer begins.
fn step(
    lua: &Lua,
    talk: &mut Conversation,
    direction: Direction,
    bytes: &[u8],
) -> mlua::Result<Answer> {
    let none = (Value::Nil, Value::Nil, Value::Nil);
    let (Step { what, len, ends }, why) = match talk.step(direction, bytes) {
        Ok(step) => (step, step.shape()),
        Err(Wrong(why)) => return Ok((WRONG, 0, true, why.into_lua(lua)?, none.0, none.1, none.2)),
    };
    let (code, (x, y, z)) = match what {
        What::More => (MORE, none),
        What::Body => (BODY, none),
        What::Raw => (RAW, none),
        What::Head { body, .. } => {
            let number = if direction == Direction::ToServer { talk.last_request() } else { 0 };
            let body = match body {
                Body::None => Value::Boolean(false),
                Body::Length(_) => "length".into_lua(lua)?,
                Body::Chunked => "chunked".into_lua(lua)?,
                Body::Close => "close".into_lua(lua)?,
            };
            (HEAD, (number.into_lua(lua)?, body, Value::Nil))
        }
        What::Framing(framing) => {
            let (at, count) = framing.digits.unzip();
            let trailer = framing.trailer.into_lua(lua)?;
            (FRAMING, (at.into_lua(lua)?, count.into_lua(lua)?, trailer))
        }
    };
    Ok((code, len, ends, why.map(|shape| shape.0).into_lua(lua)?, x, y, z))
}

/// Adds `part`, `field`, `fields`, `answered` and `length_field`: what messages say.
fn messages(lua: &Lua, http: &Table) -> mlua::Result<()> {
    let texts = Rc::new(Texts::new());
    let of = Rc::clone(&texts);
    http.set(
        "part",
        lua.create_function(move |lua, (talk, number, which): (Ref, u64, u8)| {
            let talk = talk.0.borrow();
            let (Some(head), Some(part)) = (talk.head(number), part(which)) else {
                return Ok(None);
            };
            of.get(lua, head.part(part)).map(Some)
        })?,
    )?;
    http.set(
        "field",
        lua.create_function(move |lua, (talk, number, name): (Ref, u64, LuaString)| {
            let talk = talk.0.borrow();
            let value = talk.head(number).and_then(|head| head.get(&name.as_bytes()));
            value.map(|value| texts.get(lua, value)).transpose()
        })?,
    )?;
    http.set(
        "fields",
        lua.create_function(|lua, (talk, number): (Ref, u64)| {
            let list = lua.create_table()?;
            for (name, value) in talk.0.borrow().head(number).into_iter().flat_map(Head::iter) {
                list.push(lua.create_string(name)?)?;
                list.push(lua.create_string(value)?)?;
            }
            Ok(list)
        })?,
    )?;
    http.set("answered", lua.create_function(|_, talk: Ref| Ok(talk.0.borrow().answered()))?)?;
    http.set(
        "knows",
        lua.create_function(|_, (talk, number): (Ref, u64)| {
            Ok(talk.0.borrow().head(number).is_some())
        })?,
    )?;
    http.set(
        "length_field",
        lua.create_function(|_, (talk, number): (Ref, u64)| {
            let range = talk.0.borrow().head(number).and_then(Head::length_field);
            Ok(range.map(|range| (range.start, range.len())).unzip())
        })?,
    )
}

/// Adds `set_part`, `set_field`, `splices` and `write`: what rules change.
fn changes(lua: &Lua, http: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    http.set(
        "set_part",
        lua.create_function(|_, (talk, number, which, value): (Ref, u64, u8, LuaString)| {
            Ok(match (talk.0.borrow_mut().head_mut(number), part(which)) {
                (Some(head), Some(part)) => head.set_part(part, &value.as_bytes()).err(),
                _ => None,
            })
        })?,
    )?;
    http.set(
        "set_field",
        lua.create_function(
            |_, (talk, number, name, value): (Ref, u64, LuaString, Option<LuaString>)| {
                let value = value.as_ref().map(LuaString::as_bytes);
                let mut talk = talk.0.borrow_mut();
                let head = talk.head_mut(number);
                Ok(head.and_then(|head| head.set(&name.as_bytes(), value.as_deref()).err()))
            },
        )?,
    )?;
    http.set(
        "splices",
        lua.create_function(|lua, (talk, number): (Ref, u64)| {
            let mut talk = talk.0.borrow_mut();
            talk.changed(number);
            let list = lua.create_table()?;
            for splice in talk.head(number).map(Head::splices).unwrap_or_default() {
                list.push(splice.at)?;
                list.push(splice.out)?;
                list.push(lua.create_string(splice.text)?)?;
            }
            Ok(list)
        })?,
    )?;
    let of = Rc::clone(shared);
    http.set(
        "write",
        lua.create_function(move |_, (talk, number, at): (Ref, u64, u64)| {
            let mut talk = talk.0.borrow_mut();
            talk.changed(number);
            for Splice { at: from, out, text } in
                talk.head(number).map(Head::splices).unwrap_or_default()
            {
                edit(&of, at + from as u64, out as u64, &text);
            }
            Ok(())
        })?,
    )
}

/// By the numbers that the prelude knows them by.
const fn part(which: u8) -> Option<Part> {
    match which {
        1 => Some(Part::Method),
        2 => Some(Part::Uri),
        3 => Some(Part::Version),
        4 => Some(Part::Status),
        5 => Some(Part::Reason),
        _ => None,
    }
}
