use std::sync::Arc;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, Table};

use crate::source::Source;

/// Adds `module`: the function that runs a module of the script's own, or nil and what is wrong.
pub(super) fn add(lua: &Lua, native: &Table, source: &Arc<Source>) -> mlua::Result<()> {
    let source = Arc::clone(source);
    native.set(
        "module",
        lua.create_function(move |lua, name: String| Ok(function(lua, &source, &name)))?,
    )
}

fn function(lua: &Lua, source: &Source, name: &str) -> (Option<Function>, Option<String>) {
    let made = source.module(name).and_then(|(chunk, text)| {
        let chunk = lua.load(&*text).set_name(format!("@{chunk}")).set_mode(ChunkMode::Text);
        chunk.into_function().map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => message,
            other => other.to_string(),
        })
    });
    match made {
        Ok(function) => (Some(function), None),
        Err(problem) => (None, Some(problem)),
    }
}
