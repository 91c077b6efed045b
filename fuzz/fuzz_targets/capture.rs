//! The reader of captures, on files of an attacker's choice. What it found is replayed by
//! `crates/link/tests/hostile`.
#![no_main]

#[path = "../../crates/link/tests/hostile/capture.rs"]
mod capture;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| capture::run(bytes));
