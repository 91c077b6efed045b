//! What is wrong with a script, told without running it: names that nobody knows, in the branches, too, that no
//! traffic has reached yet.
//!
//! [`Library::new`] reads what there is to name from the annotations in `editors/luals/library`, the same that editors
//! complete from. [`lint`] reads the script's files and follows what it can: what `require` and the calls of the
//! library give, what the functions of a rule are called with. Where it does not know what something is, it says nothing.
//! Nor does it where the script asks for silence: `---@diagnostic disable-line`, or `disable-next-line` above.
#![forbid(unsafe_code)]

mod check;
mod lexer;
mod library;
mod names;
mod parser;
mod syntax;
mod types;

use std::path::{Path, PathBuf};

pub use library::{FILES, File, Library};

/// One file of a script.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// Its name.
    pub file: &'a Path,
    /// What is in it. The interpreter has accepted it.
    pub bytes: &'a [u8],
}

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It may be meant so.
    Warning,
    /// It fails, or does not do what it says, when it is reached.
    Fault,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// How sure it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
}

/// Looks at all files of a script, by file and line. `is_whole` says that there are no others, so that what is given a
/// value nowhere has none.
#[must_use]
pub fn lint(library: &Library, texts: &[Text<'_>], is_whole: bool) -> Vec<Finding> {
    let mut names = names::Names::new(is_whole);
    let mut scripts = Vec::new();
    let mut findings = Vec::new();
    for text in texts {
        match parser::parse(text.bytes) {
            Ok(script) => {
                names.gather(&script);
                scripts.push((text.file, script));
            }
            Err(line) => {
                names.is_whole = false;
                findings.push(Finding {
                    file: text.file.to_owned(),
                    line,
                    severity: Severity::Warning,
                    message: "from here on nothing is checked before it runs: this is nested too deep, or no Lua"
                        .to_owned(),
                });
            }
        }
    }
    for (file, script) in &scripts {
        let mut found = check::check(library, &names, script);
        found.retain(|(line, ..)| !script.silent.contains(line));
        found.sort_by_key(|(line, ..)| *line);
        found.dedup();
        findings.extend(found.into_iter().map(|(line, severity, message)| Finding {
            file: (*file).to_owned(),
            line,
            severity,
            message,
        }));
    }
    findings
}

/// Names further apart than this are not taken for a slip of the finger.
const SUGGESTION_DISTANCE_MAX: usize = 3;

/// "; did you mean x", or nothing.
fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = known
        .into_iter()
        .map(|near| (distance(name, near), near))
        .filter(|(distance, near)| *distance <= SUGGESTION_DISTANCE_MAX.min(near.len() / 2))
        // Slips are rare in a first letter.
        .min_by_key(|(distance, near)| (*distance, near.chars().next() != name.chars().next()));
    near.map(|(_, near)| format!("; did you mean {near}")).unwrap_or_default()
}

/// How far a name is from another. What was shortened is as near as one slip.
fn distance(name: &str, other: &str) -> usize {
    let is_short = name.len() > 2 && other.len() > 3 && other.starts_with(name);
    if is_short { 1 } else { strsim::damerau_levenshtein(name, other) }
}
