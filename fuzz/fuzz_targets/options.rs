//! TCP options on every kind of segment, against a naive reader. What it found is replayed
//! by `crates/engine/tests/engine/fuzzed`.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the test's helpers, not all of which are needed here")]

#[path = "../../crates/engine/tests/engine/common/mod.rs"]
mod common;
#[path = "../../crates/engine/tests/engine/fuzzed/mod.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|program: &[u8]| fuzzed::options::run(program));
