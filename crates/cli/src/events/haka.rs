//! Reports in the forms that Haka prints, for replays: a rule writer compares them with what the
//! original says of the same capture.
//!
//! A log line is its level, its section and the message, in columns; an alert is a block; what a
//! script prints stands as it is. Haka has no form for connections, which keep their line of text.

use std::fmt::{self, Display, Write as _};
use std::io::{self, Write as _};

use tollgate_policy::{Alert, Log, Report};
use tollgate_wire::Timestamp;

use super::clock::Calendar;
use super::{Origin, text};

/// Longer names of sections do not widen the column: a script may take any.
const SECTION_WIDTH_MAX: usize = 32;

/// Remembers how wide the column of sections has become.
#[derive(Debug)]
pub(super) struct Haka {
    section_width: usize,
    /// Whether what scripts say must not drive a terminal; a file gets it to the byte.
    escapes: bool,
}

impl Haka {
    pub(super) const fn new(escapes: bool) -> Self {
        Self { section_width: 0, escapes }
    }

    pub(super) fn report(
        &mut self,
        out: &mut Vec<u8>,
        origin: Origin<'_>,
        report: &Report,
    ) -> io::Result<()> {
        match report {
            Report::Alert(alert) => out.write_all(block(alert).unwrap_or_default().as_bytes()),
            Report::Log(log) => self.log(out, log),
            Report::Connection(_) => text::line(out, origin, report),
        }
    }

    fn log(&mut self, out: &mut Vec<u8>, log: &Log) -> io::Result<()> {
        if log.section != "print" {
            self.columns(out, log)?;
        }
        match log.bytes.as_deref() {
            _ if self.escapes => write!(out, "{}", Plain(&log.message))?,
            Some(bytes) => out.write_all(bytes)?,
            None => out.write_all(log.message.as_bytes())?,
        }
        out.write_all(b"\n")
    }

    fn columns(&mut self, out: &mut Vec<u8>, log: &Log) -> io::Result<()> {
        let section = format!("{}:", Plain(&log.section));
        let width = section.chars().count();
        if width <= SECTION_WIDTH_MAX {
            self.section_width = self.section_width.max(width);
        }
        let (level, columns) = (log.level.name(), self.section_width);
        write!(out, "{level:<5} {section:<columns$} ")
    }
}

fn block(alert: &Alert) -> Result<String, fmt::Error> {
    let mut out = String::new();
    let update = if alert.is_update { "update " } else { "" };
    writeln!(out, "alert: {update}id = {}", alert.number)?;
    writeln!(out, "\ttime = {}", Calendar(alert.time))?;
    let seconds = |at: Option<f64>| at.map(|at| Calendar(timestamp(at)));
    field(&mut out, "start time", seconds(alert.start_time))?;
    field(&mut out, "end time", seconds(alert.end_time))?;
    field(&mut out, "severity", alert.severity.map(text::severity_name))?;
    match alert.confidence.map(text::confidence_name) {
        Some(Ok(name)) => field(&mut out, "confidence", Some(name))?,
        Some(Err(number)) => field(&mut out, "confidence", Some(number))?,
        None => {}
    }
    field(&mut out, "completion", alert.completion.map(text::completion_name))?;
    field(&mut out, "description", alert.description.as_deref().map(Plain))?;
    if let Some(method) = &alert.method {
        out.push_str("\tmethod = {\n");
        if let Some(description) = &method.description {
            writeln!(out, "\t\tdescription = {}", Plain(description))?;
        }
        if !method.refs.is_empty() {
            writeln!(out, "\t\tref = {{ {} }}", Joined(&method.refs))?;
        }
        out.push_str("\t}\n");
    }
    nodes(&mut out, "sources", &alert.sources)?;
    nodes(&mut out, "targets", &alert.targets)?;
    if !alert.refs.is_empty() {
        writeln!(out, "\trefs = {{ {} }}", Joined(&alert.refs))?;
    }
    Ok(out)
}

fn field(out: &mut String, name: &str, value: Option<impl Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| writeln!(out, "\t{name} = {value}"))
}

fn nodes(out: &mut String, name: &str, nodes: &[String]) -> fmt::Result {
    if nodes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\t{name} = {{")?;
    for node in nodes {
        writeln!(out, "\t\t{}", Plain(node))?;
    }
    out.push_str("\t}\n");
    Ok(())
}

/// Seconds since 1970 as a rule gave them; what no clock shows counts as 1970.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded before")]
fn timestamp(seconds: f64) -> Timestamp {
    // Half of what 64 bits of nanoseconds hold, the year 2262.
    let nanos = (seconds * 1e9).clamp(0.0, 9.2e18);
    Timestamp(nanos as u64)
}

struct Joined<'a>(&'a [String]);

impl Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, text) in self.0.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, Plain(text))?;
        }
        Ok(())
    }
}

/// Text as it is, but nothing that drives a terminal.
#[derive(Clone, Copy)]
struct Plain<'a>(&'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() && !matches!(c, '\t' | '\n' | '\r') {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_policy::{Completion, Confidence, Level, Method, Severity};

    fn printed(reports: &[Report]) -> String {
        let (mut haka, mut out) = (Haka::new(true), Vec::new());
        for report in reports {
            haka.report(&mut out, Origin { pair: None, worker: 0 }, report).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    fn log(level: Level, section: &str, message: &str) -> Report {
        let (section, message) = (section.into(), message.into());
        Report::Log(Log { time: Timestamp(0), level, section, message, bytes: None })
    }

    #[test]
    fn a_log_line_stands_in_columns_that_only_widen() {
        let lines = printed(&[
            log(Level::Info, "tcp", "one"),
            log(Level::Warning, "external", "two"),
            log(Level::Debug, "tcp", "three"),
            log(Level::Info, "print", "as\tit is\r"),
            log(Level::Info, "tcp", "\u{1b}[2J"),
        ]);
        assert_eq!(
            lines,
            "info  tcp: one\nwarn  external: two\ndebug tcp:      three\nas\tit is\r\n\
             info  tcp:      \\u{1b}[2J\n"
        );
    }

    #[test]
    fn a_file_gets_what_is_printed_to_the_byte() {
        let Report::Log(log) = log(Level::Info, "print", "a\u{fffd}\u{1}") else { unreachable!() };
        let report = Report::Log(Log { bytes: Some(b"a\xff\x01".as_slice().into()), ..log });
        let mut out = Vec::new();
        Haka::new(false).report(&mut out, Origin { pair: None, worker: 0 }, &report).unwrap();
        assert_eq!(out, b"a\xff\x01\n");
        out.clear();
        Haka::new(true).report(&mut out, Origin { pair: None, worker: 0 }, &report).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\u{fffd}\\u{1}\n");
    }

    #[test]
    fn an_alert_is_a_block_of_what_the_rule_gave() {
        let mut alert = Alert { number: 3, ..Alert::default() };
        alert.time = Timestamp::from_secs(1_767_225_600);
        let report = |alert: &Alert| Report::Alert(Box::new(alert.clone()));
        assert_eq!(
            printed(&[report(&alert)]),
            "alert: id = 3\n\ttime = Thu Jan  1 00:00:00 2026\n"
        );
        alert.is_update = true;
        alert.start_time = Some(1_767_225_601.5);
        alert.severity = Some(Severity::Low);
        alert.confidence = Some(Confidence::Number(0.5));
        alert.completion = Some(Completion::Failed);
        alert.description = Some("filtered".into());
        alert.method = Some(Method { description: Some("scan".into()), refs: vec!["r1".into()] });
        alert.sources = vec!["address: 198.18.0.1, 80".into(), "service: tcp/80".into()];
        alert.refs = vec!["1".into(), "2".into()];
        assert_eq!(
            printed(&[report(&alert)]),
            "alert: update id = 3\n\ttime = Thu Jan  1 00:00:00 2026\n\
             \tstart time = Thu Jan  1 00:00:01 2026\n\tseverity = low\n\tconfidence = 0.5\n\
             \tcompletion = failed\n\tdescription = filtered\n\tmethod = {\n\
             \t\tdescription = scan\n\t\tref = { r1 }\n\t}\n\tsources = {\n\
             \t\taddress: 198.18.0.1, 80\n\t\tservice: tcp/80\n\t}\n\trefs = { 1, 2 }\n"
        );
    }
}
