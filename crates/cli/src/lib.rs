//! The program `tollgate` as a library, so that tests reach its parts: arguments, configuration,
//! threads, printing, metrics, replay. It holds no rule and no protocol; those are below it.
#![forbid(unsafe_code)]

pub mod args;
pub mod check;
pub mod config;
pub mod events;
pub mod fault;
pub mod metrics;
pub mod replay;
pub mod rules;
pub mod run;
pub mod summary;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};

/// The whole program: reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { command, verbose, quiet } = Cli::parse();
    log(verbose, quiet);
    let result = match command {
        Command::Run(args) => run::run(&args, quiet),
        Command::Replay(args) => replay::replay(&args, quiet),
        Command::Check(args) => check::check(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A line, or a block, for people. If stderr is gone there is nobody to tell.
pub(crate) fn say(text: &dyn Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The program's own log, on stderr; nothing of it is on the path of a packet.
fn log(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    let filter = EnvFilter::try_from_env("TOLLGATE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}
