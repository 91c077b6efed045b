//! A fault in a file, and where it is: what `check` lists and what stops a start.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Something wrong at a place: `tollgate.toml:12:1: unknown key "flow_max"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file as it was named to us.
    pub file: PathBuf,
    /// Line, and column where it is known, from 1; absent where the fault concerns the whole file.
    pub place: Option<(usize, Option<usize>)>,
    /// What is wrong, and where possible the way out.
    pub message: String,
}

impl Fault {
    /// A fault of the whole file: it cannot be read, for instance.
    #[must_use]
    pub fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), place: None, message: message.into() }
    }

    /// A fault at bytes `span` of `text`.
    #[must_use]
    pub fn at(file: &Path, text: &str, span: &Range<usize>, message: impl Into<String>) -> Self {
        let (line, column) = place(text, span.start);
        Self { file: file.to_owned(), place: Some((line, Some(column))), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, "{line}:")?;
            if let Some(column) = column {
                write!(f, "{column}:")?;
            }
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for Fault {}

/// Several at once, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// What the system says of a file, in words that name the way out.
#[must_use]
pub fn reading(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "no such file".into(),
        ErrorKind::PermissionDenied => "may not be read by this user (permission denied)".into(),
        ErrorKind::IsADirectory => "is a directory; a file is wanted".into(),
        ErrorKind::InvalidData => "is not UTF-8 text".into(),
        _ => error.to_string(),
    }
}

/// Line and column (in characters, as editors count) of a byte offset, both from 1.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one_and_by_character() {
        assert_eq!(place("", 0), (1, 1));
        assert_eq!(place("a\nbä\nc", 3), (2, 2));
        assert_eq!(place("a\nbä\nc", 5), (2, 3));
        assert_eq!(place("a\nbä\nc", 6), (3, 1));
        assert_eq!(place("a", 99), (1, 2));
    }

    #[test]
    fn a_fault_reads_like_a_compilers() {
        let file = Path::new("t.toml");
        assert_eq!(Fault::at(file, "x\ny", &(2..3), "wrong").to_string(), "t.toml:2:1: wrong");
        assert_eq!(Fault::of_file(file, "no such file").to_string(), "t.toml: no such file");
    }
}
