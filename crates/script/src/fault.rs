use std::fmt;
use std::path::{Path, PathBuf};

use crate::near::suggest;

/// One thing that is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The script.
    pub file: PathBuf,
    /// Line from 1; absent where no line is to blame (a file that cannot be read).
    pub line: Option<usize>,
    /// What is wrong; more than one line if there is a traceback.
    pub message: String,
}

/// `file:line: message`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// Why a script was not loaded: everything that was found, at least one fault, in the order of
/// the script's run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// Not empty.
    pub faults: Vec<Fault>,
}

impl LoadError {
    /// A single fault of the file as a whole.
    pub(crate) fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self { faults: vec![Fault { file: file.to_owned(), line: None, message: message.into() }] }
    }
}

/// One fault a line.
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

/// What went wrong in Lua, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// The message, `file:line: text` where Lua knew the line.
    pub(crate) message: String,
    /// The script's own part of the stack, one `file:line: in …` each.
    pub(crate) traceback: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    Error,
    Instructions,
    Memory,
}

/// What Lua says when calls are nested too deeply.
pub(crate) const OVERFLOW: &str = "stack overflow";

/// What a method says that was called without its object.
const DOT: &str = "a method is called with a colon, as in object:method(), and here it was a dot";

/// What Lua says when an error could not be made text: its `__tostring` has failed.
pub(crate) const UNTOLD: &str = "error in error handling";

/// Name of every chunk of the prelude, to keep it out of tracebacks.
pub(crate) const PRELUDE: &str = "tollgate";

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: &str, traceback: &str) -> Self {
        Self { kind, message: message.trim_end().to_owned(), traceback: own_lines(traceback) }
    }

    /// Takes mlua's error apart. `exceeded` when the instruction limit was reached; `full` when the
    /// memory is nearly so.
    pub(crate) fn of(error: &mlua::Error, exceeded: bool, full: bool) -> Self {
        let (message, traceback) = split(error);
        let kind = if exceeded {
            FailureKind::Instructions
        } else if is_memory(error)
            || message.starts_with("not enough memory")
            // What Lua says when the handler of the first error found no memory either.
            || (full && message.starts_with(UNTOLD))
        {
            FailureKind::Memory
        } else {
            FailureKind::Error
        };
        let mut failure = Self::new(kind, &message, &traceback);
        failure.place();
        failure.hint();
        if kind == FailureKind::Memory {
            "the rules' memory is exhausted".clone_into(&mut failure.message);
        }
        failure
    }

    /// An error inside the prelude is the fault of the script's line that called it. Of a stack that is full
    /// the interpreter names no line at all.
    pub(crate) fn place(&mut self) {
        let message = match strip_location(&self.message, PRELUDE) {
            Some((_, message)) if message.starts_with("attempt to index local 'self'") => DOT,
            Some((_, message)) => message,
            None if self.message == OVERFLOW => OVERFLOW,
            None => return,
        };
        let top = self.traceback.lines().next().unwrap_or_default().trim_start();
        let mut parts = top.splitn(3, ':');
        self.message = match (parts.next(), parts.next().map(str::parse::<usize>)) {
            (Some(file), Some(Ok(line))) => format!("{file}:{line}: {message}"),
            _ => message.to_owned(),
        };
    }

    /// Says the way out where a global is asked for that scripts do not have.
    fn hint(&mut self) {
        let asked =
            self.message.split_once(" global '").and_then(|(_, rest)| rest.split_once('\''));
        let Some((name, " (a nil value)")) = asked else { return };
        if SHUT.contains(&name) {
            self.message.push_str("; ");
            self.message.push_str(NO_DOORS);
        } else if let Some(near) = suggest(name, GLOBALS.map(str::to_owned).to_vec()) {
            self.message.push_str("; did you mean ");
            self.message.push_str(&near);
        }
    }

    /// Message and traceback in one text.
    pub(crate) fn text(&self) -> String {
        if self.traceback.is_empty() {
            self.message.clone()
        } else {
            format!("{}\nstack traceback:\n{}", self.message, self.traceback)
        }
    }

    /// The fault that it is at load: the line is taken from the message, else from the top of the
    /// stack. `chunk` is the name that Lua knows the file by.
    pub(crate) fn into_fault(self, file: &Path, chunk: &str) -> Fault {
        let (line, message) = match strip_location(&self.message, chunk) {
            Some((line, message)) => (Some(line), message.to_owned()),
            None => {
                let top = self.traceback.lines().next().unwrap_or_default().trim_start();
                (strip_location(top, chunk).map(|(line, _)| line), self.message.clone())
            }
        };
        let message = Self { message, ..self }.text();
        Fault { file: file.to_owned(), line, message }
    }
}

/// What Lua has and scripts have not.
const SHUT: [&str; 13] = [
    "io",
    "os",
    "package",
    "ffi",
    "jit",
    "load",
    "loadstring",
    "loadfile",
    "dofile",
    "module",
    "getfenv",
    "setfenv",
    "newproxy",
];
const NO_DOORS: &str = "scripts have no files, processes or code but their own: print() writes, require() reads the \
    modules beside the script, haka.network_time() knows the time";

/// What scripts ask for most.
const GLOBALS: [&str; 17] = [
    "haka",
    "raw",
    "ipv4",
    "ipv6",
    "tcp",
    "udp",
    "icmp",
    "tcp_connection",
    "udp_connection",
    "dns",
    "http",
    "print",
    "require",
    "string",
    "table",
    "tostring",
    "ipairs",
];

/// `chunk:12: text` into 12 and text.
fn strip_location<'a>(text: &'a str, chunk: &str) -> Option<(usize, &'a str)> {
    let rest = text.strip_prefix(chunk)?.strip_prefix(':')?;
    let (line, message) = rest.split_once(':')?;
    Some((line.parse().ok()?, message.trim_start()))
}

fn split(error: &mlua::Error) -> (String, String) {
    match error {
        mlua::Error::CallbackError { traceback, cause } => {
            let (message, inner) = split(cause);
            (message, if inner.is_empty() { traceback.clone() } else { inner })
        }
        mlua::Error::RuntimeError(text) | mlua::Error::SyntaxError { message: text, .. } => {
            match text.split_once("\nstack traceback:") {
                Some((message, traceback)) => (message.to_owned(), traceback.to_owned()),
                None => (text.clone(), String::new()),
            }
        }
        other => (other.to_string(), String::new()),
    }
}

fn is_memory(error: &mlua::Error) -> bool {
    match error {
        mlua::Error::MemoryError(_) => true,
        mlua::Error::CallbackError { cause, .. } => is_memory(cause),
        _ => false,
    }
}

/// The lines of a traceback that are the script's.
fn own_lines(traceback: &str) -> String {
    traceback
        .lines()
        .filter(|line| {
            let line = line.trim_start();
            !line.is_empty()
                && !line.starts_with("[C]")
                && !line.starts_with("stack traceback:")
                && line.strip_prefix(PRELUDE).is_none_or(|rest| !rest.starts_with(':'))
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceback_keeps_the_lines_of_the_script_only() {
        let text = "\n\t[C]: in function 'error'\n\ttollgate:4: in function <tollgate:1>\n\
                    \ta.lua:7: in main chunk";
        assert_eq!(own_lines(text), "\ta.lua:7: in main chunk");
    }

    #[test]
    fn an_error_inside_the_prelude_is_that_of_the_line_that_called_it() {
        let traceback = "stack traceback:\n\ttollgate:9: in function 'x'\n\ta.lua:7: in main chunk";
        let error = mlua::Error::runtime(format!("tollgate:9: bad argument\n{traceback}"));
        assert_eq!(Failure::of(&error, false, false).message, "a.lua:7: bad argument");
    }

    #[test]
    fn the_line_comes_from_the_message_or_from_the_stack() {
        let of = |message, traceback| {
            Failure::new(FailureKind::Error, message, traceback)
                .into_fault(Path::new("/x/a.lua"), "a.lua")
        };
        assert_eq!(of("a.lua:3: bad", "").to_string(), "/x/a.lua:3: bad");
        assert_eq!(of("bad", "\ta.lua:9: in main chunk").line, Some(9));
        assert_eq!(of("bad", "").to_string(), "/x/a.lua: bad");
    }
}
