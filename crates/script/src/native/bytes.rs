use std::rc::Rc;

use mlua::{Lua, LuaString, Table};
use tollgate_policy::Edit;

use crate::event::{Event, Shared};

/// Adds `byte`, `slice` and `patch`, which read, `copied`, which charges for copies, and `edit` and `hold`, which tell what the rules of
/// the event want done to its bytes.
pub(super) fn add(lua: &Lua, native: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    let of = Rc::clone(shared);
    native.set(
        "byte",
        lua.create_function(move |_, at: usize| Ok(of.event.borrow().bytes.get(at).copied()))?,
    )?;
    let of = Rc::clone(shared);
    native.set(
        "slice",
        lua.create_function(move |lua, (from, len): (usize, usize)| {
            let event = of.event.borrow();
            let to = from.saturating_add(len).min(event.bytes.len());
            lua.create_string(event.bytes.get(from..to).unwrap_or_default())
        })?,
    )?;
    native.set(
        "patch",
        lua.create_function(|lua, (text, patch): (LuaString, Table)| {
            let mut bytes = text.as_bytes().to_vec();
            for pair in patch.pairs::<usize, u8>() {
                let (at, value) = pair?;
                // Lua counts from 1.
                if let Some(byte) = at.checked_sub(1).and_then(|at| bytes.get_mut(at)) {
                    *byte = value;
                }
            }
            lua.create_string(bytes)
        })?,
    )?;
    let of = Rc::clone(shared);
    native.set(
        "copied",
        lua.create_function(move |_, bytes: u64| {
            of.budget.copied(bytes);
            Ok(())
        })?,
    )?;
    let of = Rc::clone(shared);
    native.set(
        "edit",
        lua.create_function(move |_, (start, erased, bytes): (u64, u64, LuaString)| {
            edit(&of, start, erased, &bytes.as_bytes());
            Ok(())
        })?,
    )?;
    let of = Rc::clone(shared);
    native.set(
        "hold",
        lua.create_function(move |_, from: u64| {
            of.hold_from.set(Some(from));
            Ok(())
        })?,
    )
}

/// Notes that `erased` bytes at `start` of the sender's stream are to give way to `bytes`.
pub(super) fn edit(shared: &Shared, start: u64, erased: u64, bytes: &[u8]) {
    let edit = narrowed(&shared.event.borrow(), start, erased, bytes);
    if edit.erased > 0 || !edit.bytes.is_empty() {
        shared.edits.borrow_mut().push(edit);
    }
}

/// The edit without what is the same before and after: a rule that takes bytes out and puts them back
/// has changed nothing. What takes bytes out and puts more in keeps one of them: a mere insertion
/// would wait with the byte behind it, which may be held.
fn narrowed(event: &Event, start: u64, erased: u64, bytes: &[u8]) -> Edit {
    let whole = Edit { start, erased, bytes: bytes.to_vec() };
    let Some(at) = start.checked_sub(event.offset).and_then(|at| usize::try_from(at).ok()) else {
        return whole;
    };
    let Some(old) = usize::try_from(erased)
        .ok()
        .and_then(|erased| event.bytes.get(at..at.checked_add(erased)?))
    else {
        return whole;
    };
    let same = |(old, new): &(&u8, &u8)| old == new;
    let head = old.iter().zip(bytes).take_while(same).count();
    let (old, new) = (old.get(head..).unwrap_or_default(), bytes.get(head..).unwrap_or_default());
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(same).count();
    let bytes = new.get(..new.len() - tail).unwrap_or_default();
    match (old.len() - tail, whole.bytes.get(head.wrapping_sub(1))) {
        (0, Some(before)) if !bytes.is_empty() => {
            Edit { start: start + head as u64 - 1, erased: 1, bytes: [&[*before], bytes].concat() }
        }
        (erased, _) => {
            Edit { start: start + head as u64, erased: erased as u64, bytes: bytes.to_vec() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_told_without_what_stays_the_same() {
        let mut event = Event::none();
        event.offset = 100;
        event.bytes = b"Host: example\r\n".to_vec();
        let edit = |start, erased, bytes: &str| Edit { start, erased, bytes: bytes.into() };
        assert_eq!(narrowed(&event, 106, 7, b"exile"), edit(108, 3, "i"));
        assert_eq!(narrowed(&event, 106, 7, b"example"), edit(113, 0, ""));
        assert_eq!(narrowed(&event, 100, 0, b"X"), edit(100, 0, "X"));
        assert_eq!(narrowed(&event, 103, 1, b"tt"), edit(103, 1, "tt"));
        // What the data does not hold cannot be compared.
        assert_eq!(narrowed(&event, 99, 1, b"a"), edit(99, 1, "a"));
        assert_eq!(narrowed(&event, 114, 9, b"a"), edit(114, 9, "a"));
    }
}
