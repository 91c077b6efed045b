//! Rules in Lua: Haka's rule language over `tollgate_policy`'s events.
//!
//! [`Rules::load`] reads a script, runs it once, and says every fault with its line. Each worker
//! then makes itself a [`LuaPolicy`] of its own with [`Rules::policy`]: one LuaJIT state, nothing
//! shared.
//!
//! # How an event reaches a rule
//!
//! What a rule sees is built in Lua, by the files of `src/prelude`: small tables over getters that
//! Rust lends (`src/native`). The bytes of an event are copied once into a buffer that stays with
//! the state. Lending them without a copy would need either `unsafe` (mlua's userdata must be
//! `'static`) or a closure made anew for each event through `Lua::scope`, which was tried: 620 ns
//! more for each event, where copying 1460 bytes took 26 ns more. Nothing is turned into a Lua
//! string until a rule asks for it, and an object kept beyond its event carries a generation that
//! no longer matches: using it is an error with a line number, never a read of other bytes.
//!
//! # What a rule cannot do
//!
//! A rule that loops, leaks or fails costs its connection, not the worker: see [`Limits`]. Scripts
//! have no files, processes, network or bytecode.
#![forbid(unsafe_code)]

mod ahead;
mod budget;
mod collector;
mod edits;
mod event;
mod fault;
mod heads;
mod http;
mod limits;
mod lineage;
mod load;
mod native;
mod near;
mod packets;
mod pattern;
mod place;
mod policy;
mod requests;
mod sandbox;
mod settings;
mod shelf;
mod skips;
mod source;
mod state;

pub use budget::Watch;
pub use fault::{Fault, LoadError};
pub use limits::Limits;
pub use lineage::{Lineage, RuleErrors};
pub use load::Rules;
pub use policy::LuaPolicy;
pub use settings::{OnRuleError, Settings};
