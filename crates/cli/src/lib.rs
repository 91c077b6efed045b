//! The program `tollgate` as a library: arguments, configuration, threads, printing, metrics, replay.
//! It holds no rule and no protocol; those are below it.
//!
//! Rules in Rust are a [`Policy`] and a program of three lines, which has all commands of `tollgate`
//! but takes no script:
//!
//! ```no_run
//! use tollgate::policy::{Flow, Interest, PacketView, Policy, Reports, Verdict};
//!
//! /// Nobody may speak to port 23.
//! struct NoTelnet;
//!
//! impl Policy for NoTelnet {
//!     fn interest(&self) -> Interest {
//!         Interest::NEW_CONNECTION
//!     }
//!
//!     fn new_connection(
//!         &mut self,
//!         flow: &mut Flow<'_>,
//!         _packet: &PacketView<'_>,
//!         _reports: &mut Reports,
//!     ) -> Verdict {
//!         if flow.server.port == 23 { Verdict::Reset } else { Verdict::Accept }
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     tollgate::main_with(|| NoTelnet)
//! }
//! ```
//!
//! `docs/rust-rules.md` tells the rest; two such programs are in `examples`.
#![forbid(unsafe_code)]

pub mod args;
mod built_in;
pub mod check;
pub mod config;
pub mod events;
pub mod fault;
mod hint;
pub mod metrics;
mod new;
pub mod replay;
pub mod rules;
pub mod run;
pub mod station;
pub mod summary;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tollgate_policy::Policy;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command, ReloadArgs};
use built_in::BuiltIn;
use config::Flows;
use fault::Faults;
use rules::{Load, RuleSet, Rules, Terms};
use run::control;

pub use tollgate_policy as policy;
pub use tollgate_wire as wire;

/// The whole program: reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    obey(hint::parse(std::env::args_os()), &RuleSet::load)
}

/// The whole program with rules in Rust instead of scripts: each worker asks a policy of its own,
/// which `make` makes in that worker's thread. See the top of this page.
#[must_use]
pub fn main_with<P: Policy>(make: impl Fn() -> P + Send + Sync + 'static) -> ExitCode {
    main_with_args(std::env::args_os(), make)
}

/// The same with a command line of the caller's own, the name of the program first.
#[must_use]
pub fn main_with_args<P: Policy>(
    arguments: impl IntoIterator<Item = OsString>,
    make: impl Fn() -> P + Send + Sync + 'static,
) -> ExitCode {
    let make = Arc::new(make);
    obey(Cli::of_built_in(arguments), &|path: Option<&Path>, terms: Terms| {
        let make = Arc::clone(&make);
        BuiltIn::load(path, terms, move || make())
    })
}

/// Does what the command line says, with what `load` makes of the rules that it names.
fn obey<R: Rules>(cli: Cli, load: &impl Load<R>) -> ExitCode {
    let Cli { command, verbose, quiet } = cli;
    log(verbose, quiet);
    let result = match command {
        Command::Run(args) => run::run(&args, quiet, load),
        Command::Replay(args) => replay::replay(&args, quiet, load),
        Command::Check(args) => check::check(&args, load),
        Command::New(args) => new::new(&args),
        Command::Reload(args) => reload(&args, quiet),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&told(&error));
            ExitCode::FAILURE
        }
    }
}

/// Asks a running one to load its rules again.
fn reload(args: &ReloadArgs, quiet: bool) -> anyhow::Result<()> {
    let question = control::Question::Reload(args.flows.map(Flows::living));
    match control::ask(&args.control, args.pid, question)? {
        Ok(text) if quiet => drop(text),
        Ok(text) => say(&text),
        Err(why) => anyhow::bail!("the old rules go on:\n{why}"),
    }
    Ok(())
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
