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
pub mod station;
pub mod summary;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};
use fault::Faults;

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
            say(&told(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, none twice: some messages hold their cause already. Faults of files
/// stand alone, each `file:line: …` at the beginning of a line, where editors look for it.
fn told(error: &anyhow::Error) -> String {
    if let Some(faults) = error.downcast_ref::<Faults>() {
        return faults.to_string();
    }
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
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
    // Whoever scrapes badly must not be able to fill the log.
    let ours = || EnvFilter::new(format!("{level},metrics_exporter_prometheus=error"));
    let filter = EnvFilter::try_from_env("TOLLGATE_LOG").unwrap_or_else(|_| ours());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn an_error_is_told_with_its_causes_and_none_twice() {
        let cause = || anyhow::anyhow!("disk full");
        assert_eq!(told(&cause().context("out.pcap")), "error: out.pcap: disk full");
        assert_eq!(told(&cause().context("out.pcap: disk full")), "error: out.pcap: disk full");
        let fault = fault::Fault::of_file(Path::new("a.lua"), "no such file");
        let faults = Faults(vec![fault.clone(), fault]);
        assert_eq!(told(&faults.into()), "a.lua: no such file\na.lua: no such file");
    }
}
