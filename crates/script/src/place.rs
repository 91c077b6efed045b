//! Where in a script something is.
use mlua::Lua;
use mlua::debug::Debug;

/// How many frames are looked through for one of the script's own.
const DEPTH_MAX: usize = 64;

/// The innermost frame that is the script's: its file and line.
pub(crate) fn frame(lua: &Lua) -> Option<(String, usize)> {
    for depth in 0..DEPTH_MAX {
        let found = lua.inspect_stack(depth, running)?;
        if found.is_some() {
            return found;
        }
    }
    None
}

/// `file:line: ` of the script's own frame, to put before a message.
pub(crate) fn location(lua: &Lua) -> String {
    frame(lua).map(before).unwrap_or_default()
}

/// `file:line: ` of the running function, if it is the script's.
pub(crate) fn of(debug: &Debug<'_>) -> Option<String> {
    running(debug).map(before)
}

fn running(debug: &Debug<'_>) -> Option<(String, usize)> {
    let line = debug.current_line()?;
    let source = debug.source();
    let file = source.source.as_deref()?.strip_prefix('@')?;
    Some((file.to_owned(), line))
}

fn before((file, line): (String, usize)) -> String {
    format!("{file}:{line}: ")
}
