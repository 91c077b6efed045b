//! A whole worker on bytes of an attacker's choice. Findings are kept in
//! `crates/engine/tests/regressions` and replayed by its tests on a stable compiler.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the test's helpers, not all of which are needed here")]

#[path = "../../crates/engine/tests/engine/common/mod.rs"]
mod common;
#[path = "../../crates/engine/tests/engine/hostile.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|program: &[u8]| {
    hostile::run(program);
});
