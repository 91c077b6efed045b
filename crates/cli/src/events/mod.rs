//! Events on standard output: what rules and the engine report, as lines of text or of JSON.
//!
//! Nothing here may hold up a packet. A worker hands its reports over in batches through a bounded
//! channel and never waits; a thread of its own prints. What does not fit is counted.

mod clock;
mod haka;
mod json;
mod levels;
mod printer;
mod text;

use std::io::{self, Write};
use std::str::FromStr;

use tollgate_policy::Report;

pub use clock::WallTime;
pub use levels::Levels;
pub use printer::{Hose, Printer};

/// Which events are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// `haka.alert`, and the engine's own.
    pub alerts: bool,
    /// `haka.log`, and what scripts print.
    pub logs: bool,
    /// Connections that begin, become established and end.
    pub connections: bool,
}

impl Kinds {
    /// Every kind.
    pub const ALL: Self = Self { alerts: true, logs: true, connections: true };
    /// Not one.
    pub const NONE: Self = Self { alerts: false, logs: false, connections: false };

    const fn want(self, report: &Report) -> bool {
        match report {
            Report::Alert(_) => self.alerts,
            Report::Log(_) => self.logs,
            Report::Connection(_) => self.connections,
        }
    }
}

impl FromStr for Kinds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut kinds = Self::NONE;
        for word in text.split(',') {
            match word.trim() {
                "all" => kinds = Self::ALL,
                "none" => {}
                "alerts" => kinds.alerts = true,
                "logs" => kinds.logs = true,
                "connections" => kinds.connections = true,
                other => {
                    return Err(format!(
                        "\"{other}\" is no kind of event: want alerts, logs, connections, all or \
                         none, with commas between them"
                    ));
                }
            }
        }
        Ok(kinds)
    }
}

/// Text for people or JSON for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One line an event, columns in a fixed order.
    Text,
    /// One JSON object a line.
    Json,
    /// The forms of Haka: logs in columns, alerts as blocks.
    Haka,
}

/// Where a report comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// `eth1:eth2`; none in a replay.
    pub pair: Option<&'a str>,
    /// The worker's number, from 0. Alerts and flows are numbered by worker.
    pub worker: usize,
}

/// Writes reports to `out` as lines.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    format: Format,
    kinds: Kinds,
    levels: Levels,
    haka: haka::Haka,
    line: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes those of `kinds` in `format`, logs as loud as `levels` say.
    pub fn new(out: W, format: Format, kinds: Kinds, levels: Levels) -> Self {
        Self { out, format, kinds, levels, haka: haka::Haka::new(false), line: Vec::new() }
    }

    /// For a terminal: nothing that a script prints may drive it. (Text and JSON never do.)
    #[must_use]
    pub fn for_terminal(mut self, is_terminal: bool) -> Self {
        self.haka = haka::Haka::new(is_terminal);
        self
    }

    /// Writes one report if it is wanted.
    ///
    /// # Errors
    /// What `out` says; [`io::ErrorKind::BrokenPipe`] when its reader has gone.
    pub fn write(&mut self, origin: Origin<'_>, report: &Report) -> io::Result<()> {
        let loud = match report {
            Report::Log(log) => self.levels.want(log),
            _ => true,
        };
        if !loud || !self.kinds.want(report) {
            return Ok(());
        }
        self.line.clear();
        match self.format {
            Format::Text => text::line(&mut self.line, origin, report)?,
            Format::Json => json::line(&mut self.line, origin, report)?,
            Format::Haka => self.haka.report(&mut self.line, origin, report)?,
        }
        // Whole lines only, so that a reader never sees half an event.
        self.out.write_all(&self.line)
    }

    /// Hands on what is buffered.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Gives the inner writer back.
    pub fn into_inner(self) -> W {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_words_with_commas() {
        assert_eq!("all".parse(), Ok(Kinds::ALL));
        assert_eq!("none".parse(), Ok(Kinds::NONE));
        assert_eq!("alerts, logs".parse(), Ok(Kinds { connections: false, ..Kinds::ALL }));
        assert!("alert".parse::<Kinds>().is_err_and(|message| message.contains("want alerts")));
    }
}
