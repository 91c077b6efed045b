//! `tollgate check`: every fault of rules and configurations, each with its file and line.

use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tollgate_lint::{Finding, Library, Severity, Text, lint};

use crate::args::CheckArgs;
use crate::config::{Config, Follow, OnRuleError};
use crate::fault::{Fault, Faults};
use crate::rules::{Load, Rules, Terms, unfollowed};
use crate::say;

/// Checks each file; what is good is said on stdout, what may be meant otherwise on stderr, what is not good is
/// the error.
///
/// # Errors
/// All faults of all files.
pub(crate) fn check<R: Rules>(args: &CheckArgs, load: &impl Load<R>) -> anyhow::Result<()> {
    let mut faults = Vec::new();
    let follow = follow_of(&args.files);
    for path in &args.files {
        match check_file(path, follow, load) {
            Ok(Checked { what, warnings }) if warnings.is_empty() || !args.strict => {
                warnings.iter().for_each(|warning| say(warning));
                // Whether anybody reads this does not change what is found.
                drop(writeln!(io::stdout(), "{}: {what}", path.display()));
            }
            Ok(Checked { warnings, .. }) => faults.extend(warnings.into_iter().map(|one| one.0)),
            Err(found) => faults.extend(found.0),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Faults(faults).into()) }
}

/// What a good file holds, and what in it may be meant otherwise.
struct Checked {
    what: String,
    warnings: Vec<Warning>,
}

/// A fault, perhaps.
struct Warning(Fault);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = format!("warning: {}", self.0.message);
        Fault { message, ..self.0.clone() }.fmt(f)
    }
}

/// Whether a configuration among the files has TCP followed always.
fn follow_of(files: &[PathBuf]) -> Follow {
    let is_toml = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    let mut configured = files.iter().filter(is_toml).filter_map(|path| Config::load(path).ok());
    if configured.any(|config| config.follow == Follow::Always) {
        Follow::Always
    } else {
        Follow::AsRules
    }
}

/// Looks at one file, as its name says what it is.
fn check_file<R: Rules>(
    path: &Path,
    follow: Follow,
    load: &impl Load<R>,
) -> Result<Checked, Faults> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => Config::load(path)
            .map(|_| Checked { what: "configuration is good".into(), warnings: Vec::new() }),
        Some("lua") => check_rules(path, follow, load),
        _ => Err(Faults(vec![Fault::of_file(
            path,
            "want rules (a name that ends in .lua) or a configuration (.toml)",
        )])),
    }
}

/// Runs a script as a start would, then reads it for what only traffic would have found.
fn check_rules<R: Rules>(
    path: &Path,
    follow: Follow,
    load: &impl Load<R>,
) -> Result<Checked, Faults> {
    let terms = Terms {
        on_rule_error: OnRuleError::DropFlow,
        pass_through: false,
        quiet_failures: false,
        watch: None,
    };
    let rules = match load(Some(path), terms) {
        Ok(rules) => rules,
        Err(faults) => return Err(with_more(faults, path)),
    };
    let texts = rules.texts();
    let (faults, warnings): (Vec<_>, Vec<_>) =
        read(&texts, true).into_iter().partition(|found| found.severity == Severity::Fault);
    if !faults.is_empty() {
        return Err(Faults(faults.into_iter().chain(warnings).map(fault).collect()));
    }
    let mut what = format!("rules are good: {rules}");
    if let Some(unfollowed) = unfollowed(rules.interest(), follow) {
        what = format!("{what}; {unfollowed}");
    }
    Ok(Checked { what, warnings: warnings.into_iter().map(fault).map(Warning).collect() })
}

/// The faults of a script that does not even load, and what else is wrong with the text, though its modules are not
/// known.
fn with_more(mut faults: Faults, path: &Path) -> Faults {
    let Ok(text) = std::fs::read(path) else { return faults };
    let lines: Vec<_> = faults.0.iter().filter(|fault| fault.file == path).map(line_of).collect();
    let more = read(&[(path.to_owned(), text)], false).into_iter();
    let more = more.filter(|found| found.severity == Severity::Fault);
    // What was said of a line already is the same slip in other words.
    faults.0.extend(more.map(fault).filter(|fault| !lines.contains(&line_of(fault))));
    faults
}

fn line_of(fault: &Fault) -> Option<usize> {
    fault.place.map(|(line, _)| line)
}

fn read(texts: &[(PathBuf, Vec<u8>)], is_whole: bool) -> Vec<Finding> {
    let texts: Vec<_> = texts.iter().map(|(file, bytes)| Text { file, bytes }).collect();
    lint(&Library::new(), &texts, is_whole)
}

fn fault(found: Finding) -> Fault {
    Fault { file: found.file, place: Some((found.line, None)), message: found.message }
}

#[cfg(test)]
mod tests {
    use tollgate_policy::Interest;

    use super::*;

    #[test]
    fn a_configuration_beside_the_rules_says_whether_tcp_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (rules, plain) = (file("rules.lua", "follow = 'always'"), file("plain.toml", ""));
        let always = file("always.toml", "follow = 'always'\n");
        let stateless = Interest::RECEIVE_FRAME | Interest::STATELESS;
        let follow = follow_of(&[rules.clone(), plain]);
        assert!(unfollowed(stateless, follow).is_some());
        assert!(unfollowed(Interest::RECEIVE_FRAME, follow).is_none());
        assert!(unfollowed(stateless, follow_of(&[rules, always])).is_none());
    }
}
