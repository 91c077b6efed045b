//! `tollgate check`: every fault of rules and configurations, each with its file and line.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::args::CheckArgs;
use crate::config::{Config, Follow, OnRuleError};
use crate::fault::{Fault, Faults};
use crate::rules::{Load, Rules, Terms, unfollowed};

/// Checks each file; what is good is said on stdout, what is not is the error.
///
/// # Errors
/// All faults of all files.
pub(crate) fn check<R: Rules>(args: &CheckArgs, load: &impl Load<R>) -> anyhow::Result<()> {
    let mut faults = Vec::new();
    let follow = follow_of(&args.files);
    for path in &args.files {
        match check_file(path, follow, load) {
            // Whether anybody reads this does not change what is found.
            Ok(what) => drop(writeln!(io::stdout(), "{}: {what}", path.display())),
            Err(found) => faults.extend(found.0),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Faults(faults).into()) }
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
) -> Result<String, Faults> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => Config::load(path).map(|_| "configuration is good".into()),
        Some("lua") => {
            let terms = Terms { on_rule_error: OnRuleError::DropFlow, pass_through: false };
            load(Some(path), terms).map(|rules| match unfollowed(rules.interest(), follow) {
                None => format!("rules are good: {rules}"),
                Some(unfollowed) => format!("rules are good: {rules}; {unfollowed}"),
            })
        }
        _ => Err(Faults(vec![Fault::of_file(
            path,
            "want rules (a name that ends in .lua) or a configuration (.toml)",
        )])),
    }
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
