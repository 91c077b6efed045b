//! The map of edits against the list of all places, on edits and acknowledgments of an attacker's
//! choice.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the test's oracle, not all of which is needed here")]

#[path = "../../crates/tcp/tests/scripts/edit_map.rs"]
mod edit_map;

libfuzzer_sys::fuzz_target!(|program: &[u8]| edit_map::run(program));
