//! What to type instead, where a command line is nearly right.

use std::ffi::OsString;

use clap::Parser as _;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::args::Cli;

/// Reads a command line, the name of the program first. One that cannot be understood ends the program, as
/// clap does, but says what is meant instead where clap's own guess would lead astray.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Cli {
    let arguments: Vec<_> = arguments.into_iter().collect();
    Cli::try_parse_from(&arguments).unwrap_or_else(|mut error| {
        if let Some(tip) = tip(&arguments, &error) {
            let tip = ContextValue::StyledStrs(vec![StyledStr::from(tip)]);
            error.insert(ContextKind::Suggested, tip);
        }
        error.exit()
    })
}

/// The tip for an argument that the command does not know.
fn tip(arguments: &[OsString], error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let is_option = unknown.starts_with('-');
    let called = |command| arguments.iter().skip(1).any(|argument| argument == command);
    if called("replay") && !is_option {
        Some(format!("the capture goes with -r: tollgate replay -r {unknown}"))
    } else if called("check") && matches!(unknown.as_str(), "--config" | "--rules") {
        Some("files stand alone: tollgate check firewall.lua tollgate.toml".into())
    } else if called("run") && !is_option && unknown.contains(':') {
        Some(format!("interfaces go with --pair: tollgate run --pair {unknown}"))
    } else {
        None
    }
}
