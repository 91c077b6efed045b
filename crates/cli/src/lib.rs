//! The program `tollgate` as a library, so that tests reach its parts: arguments, configuration,
//! threads, printing, metrics, replay. It holds no rule and no protocol; those are below it.
#![forbid(unsafe_code)]

pub mod args;
pub mod config;
pub mod events;
pub mod fault;

use std::process::ExitCode;

pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
