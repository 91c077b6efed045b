use mlua::state::{GcIncParams, GcMode};
use mlua::{Lua, LuaOptions, StdLib};

/// How much the collector does for each allocation, in percent of it. With Lua's own 200 it is outrun
/// by a rule that copies a large buffer again and again: for it an allocation is a kilobyte, however
/// large, and garbage fills the limit before one cycle over the prelude is done. A guess that holds.
const COLLECTED_PERCENT: i32 = 1000;

/// A Lua state with nothing in it that reaches outside, and no compiler for traces: see `limits`.
/// The prelude takes out what remains of loaders and bytecode.
pub(crate) fn lua(memory_bytes_max: usize) -> mlua::Result<Lua> {
    let libs = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::BIT | StdLib::JIT;
    // Lua's own pcall, not mlua's stand-in that lets panics through: streamed rules sleep inside
    // it, which only the interpreter's own can, and nothing that is lent to Lua panics.
    let lua = Lua::new_with(libs, LuaOptions::new().catch_rust_panics(true))?;
    lua.globals().get::<mlua::Table>("jit")?.get::<mlua::Function>("off")?.call::<()>(())?;
    lua.set_memory_limit(memory_bytes_max)?;
    lua.gc_set_mode(GcMode::Incremental(GcIncParams::default().step_multiplier(COLLECTED_PERCENT)));
    Ok(lua)
}
