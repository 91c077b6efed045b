//! Texts that come again and again: names, versions, hosts, paths.
//!
//! To make a Lua string under a memory limit takes a protected call, some thousand instructions; to give one again
//! that was made before takes a tenth.
use std::cell::RefCell;

use mlua::{Lua, LuaString};

/// A power of two. A guess: what a server's clients say most of the time.
const SLOTS: usize = 256;

/// Longer ones do not come again, or not so often that it would matter.
const LEN_MAX: usize = 64;

/// The last text of each slot; which slot is a text's, its bytes say.
#[derive(Debug)]
pub(super) struct Texts(RefCell<Vec<Slot>>);

#[derive(Debug, Default)]
struct Slot {
    bytes: Vec<u8>,
    text: Option<LuaString>,
}

impl Texts {
    pub(super) fn new() -> Self {
        Self(RefCell::new(std::iter::repeat_with(Slot::default).take(SLOTS).collect()))
    }

    /// `bytes` as Lua has them.
    pub(super) fn get(&self, lua: &Lua, bytes: &[u8]) -> mlua::Result<LuaString> {
        let mut slots = self.0.borrow_mut();
        let index = slot(bytes);
        let Some(slot) = slots.get_mut(index).filter(|_| bytes.len() <= LEN_MAX) else {
            return lua.create_string(bytes);
        };
        if let Some(text) = &slot.text
            && slot.bytes == bytes
        {
            return Ok(text.clone());
        }
        let text = lua.create_string(bytes)?;
        slot.bytes.clear();
        slot.bytes.extend_from_slice(bytes);
        slot.text = Some(text.clone());
        Ok(text)
    }
}

/// Whoever makes texts fall together gains nothing by it.
fn slot(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    if let Some(into) = last.get_mut(..rest.len()) {
        into.copy_from_slice(rest);
    }
    let mix = |hash: u64, word: &[u8; 8]| {
        (hash.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x517c_c1b7_2722_0a95)
    };
    let hash = mix(words.iter().fold(bytes.len() as u64, mix), &last);
    // The high bits are those that all of the text has gone into.
    (hash >> 48) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_its_bytes_are_however_many_there_were() {
        let (lua, texts) = (Lua::new(), Texts::new());
        let long = "x".repeat(LEN_MAX + 1);
        for round in 0..3 {
            for number in 0..4 * SLOTS {
                let text = format!("/path/{}", number / (1 + round));
                assert_eq!(texts.get(&lua, text.as_bytes()).expect("memory"), text.as_str());
            }
            assert_eq!(texts.get(&lua, long.as_bytes()).expect("memory"), long.as_str());
            assert_eq!(texts.get(&lua, b"").expect("memory"), "");
        }
    }
}
