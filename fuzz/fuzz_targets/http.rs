//! Conversations of HTTP, both sides of them. What it found is replayed by `crates/script/tests/fuzzed`.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the test's helpers, not all of which are needed here")]

#[path = "../../crates/script/tests/common/mod.rs"]
mod common;
#[path = "../../crates/script/tests/fuzzed/http.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzed::run(bytes));
