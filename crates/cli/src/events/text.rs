//! One line an event for people: time, kind, who -> whom, what.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use tollgate_policy::{Alert, Completion, Confidence, Connection, Log, Phase, Report, Severity};

use super::{Origin, WallTime};

/// Width of the column that names the kind; the longest is "reset_by_peer".
const KIND_WIDTH: usize = 13;

pub(super) fn line(out: &mut Vec<u8>, origin: Origin<'_>, report: &Report) -> io::Result<()> {
    match report {
        Report::Alert(alert) => self::alert(out, origin, alert),
        Report::Log(log) => self::log(out, log),
        Report::Connection(connection) => self::connection(out, connection),
    }
}

fn connection(out: &mut Vec<u8>, connection: &Connection) -> io::Result<()> {
    let Connection { time, client, server, phase, traffic, .. } = connection;
    let name = phase.name();
    write!(out, "{} {name:KIND_WIDTH$} {client} -> {server}", WallTime(*time))?;
    if !matches!(phase, Phase::New | Phase::Established) {
        let (up, down) = (traffic.to_server, traffic.to_client);
        write!(
            out,
            "  up {} packets {} bytes, down {} packets {} bytes",
            up.packets, up.bytes, down.packets, down.bytes
        )?;
    }
    writeln!(out)
}

fn log(out: &mut Vec<u8>, log: &Log) -> io::Result<()> {
    let Log { time, level, section, message, .. } = log;
    let name = level.name();
    // A message of several lines becomes several lines, each whole.
    for text in message.trim_end_matches('\n').split('\n') {
        let (time, section, text) = (WallTime(*time), Plain(section), Plain(text));
        writeln!(out, "{time} {name:KIND_WIDTH$} {section}: {text}")?;
    }
    Ok(())
}

fn alert(out: &mut Vec<u8>, origin: Origin<'_>, alert: &Alert) -> io::Result<()> {
    let kind = if alert.is_update { "alert_update" } else { "alert" };
    write!(out, "{} {kind:KIND_WIDTH$} ", WallTime(alert.time))?;
    // Numbers are the worker's, so with several the two together name an alert.
    write!(out, "#{}.{}", origin.worker, alert.number)?;
    if let Some(severity) = alert.severity {
        write!(out, " {}", severity_name(severity))?;
    }
    if !alert.sources.is_empty() || !alert.targets.is_empty() {
        write!(out, "  {} -> {}", Nodes(&alert.sources), Nodes(&alert.targets))?;
    }
    let description = alert.description.as_deref().unwrap_or("(no description)");
    write!(out, "  {}", Plain(description))?;
    if let Some(method) = alert.method.as_ref().and_then(|method| method.description.as_deref()) {
        write!(out, "; method: {}", Plain(method))?;
    }
    if let Some(confidence) = alert.confidence {
        match confidence_name(confidence) {
            Ok(name) => write!(out, "; confidence {name}")?,
            Err(number) => write!(out, "; confidence {number}")?,
        }
    }
    if let Some(completion) = alert.completion {
        write!(out, "; {}", completion_name(completion))?;
    }
    let method_refs = alert.method.iter().flat_map(|method| &method.refs);
    for (index, reference) in alert.refs.iter().chain(method_refs).enumerate() {
        write!(out, "{}{}", if index == 0 { "; see " } else { ", " }, Plain(reference))?;
    }
    writeln!(out)
}

pub(super) const fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
    }
}

/// The name of a degree, or the rule's own number.
pub(super) const fn confidence_name(confidence: Confidence) -> Result<&'static str, f64> {
    match confidence {
        Confidence::Low => Ok("low"),
        Confidence::Medium => Ok("medium"),
        Confidence::High => Ok("high"),
        Confidence::Number(number) => Err(number),
    }
}

pub(super) const fn completion_name(completion: Completion) -> &'static str {
    match completion {
        Completion::Failed => "failed",
        Completion::Successful => "successful",
    }
}

/// Sources or targets (`address: 192.0.2.1`, `service: tcp/80`) without the words before the colon.
struct Nodes<'a>(&'a [String]);

impl fmt::Display for Nodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("?");
        }
        for (index, node) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_char(' ')?;
            }
            let value = node.split_once(": ").map_or(node.as_str(), |(_, value)| value);
            Plain(value).fmt(f)?;
        }
        Ok(())
    }
}

/// Text that a peer may have written: control characters are escaped, lest it drive the terminal
/// or forge a line.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() && c != '\t' {
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
    use tollgate_policy::{FlowId, Level, Method, Traffic};
    use tollgate_wire::{Endpoint, PerDirection, Timestamp};

    fn text(report: &Report) -> String {
        let mut out = Vec::new();
        line(&mut out, Origin { pair: None, worker: 0 }, report).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn endpoint(text: &str) -> Endpoint {
        text.parse::<std::net::SocketAddr>().unwrap().into()
    }

    #[test]
    fn a_connection_is_one_line_and_its_end_tells_the_traffic() {
        let mut connection = Connection {
            time: Timestamp(1_500_000),
            flow: FlowId(7),
            client: endpoint("198.18.0.1:4242"),
            server: endpoint("[fd00::1]:80"),
            phase: Phase::New,
            traffic: PerDirection {
                to_server: Traffic { packets: 3, bytes: 180 },
                to_client: Traffic { packets: 2, bytes: 1580 },
            },
        };
        assert_eq!(
            text(&Report::Connection(Box::new(connection.clone()))),
            "1970-01-01T00:00:00.001500Z new           198.18.0.1:4242 -> [fd00::1]:80\n"
        );
        connection.phase = Phase::ResetByPeer;
        assert_eq!(
            text(&Report::Connection(Box::new(connection))),
            "1970-01-01T00:00:00.001500Z reset_by_peer 198.18.0.1:4242 -> [fd00::1]:80  \
             up 3 packets 180 bytes, down 2 packets 1580 bytes\n"
        );
    }

    #[test]
    fn an_alert_is_one_line_with_what_the_rule_gave() {
        let mut alert = Alert { number: 4, ..Alert::default() };
        assert_eq!(
            text(&Report::Alert(Box::new(alert.clone()))),
            "1970-01-01T00:00:00.000000Z alert         #0.4  (no description)\n"
        );
        alert.severity = Some(Severity::Low);
        alert.description = Some("filtered\nIP".into());
        alert.sources = vec!["address: 198.18.0.1".into(), "service: tcp/4242".into()];
        alert.method = Some(Method { description: Some("scan".into()), refs: vec!["r1".into()] });
        alert.confidence = Some(Confidence::Number(0.5));
        alert.completion = Some(Completion::Failed);
        assert_eq!(
            text(&Report::Alert(Box::new(alert))),
            "1970-01-01T00:00:00.000000Z alert         #0.4 low  198.18.0.1 tcp/4242 -> ?  \
             filtered\\nIP; method: scan; confidence 0.5; failed; see r1\n"
        );
    }

    #[test]
    fn a_log_of_two_lines_is_two_whole_lines_and_cannot_drive_the_terminal() {
        let report = Report::Log(Log {
            time: Timestamp(0),
            level: Level::Warning,
            section: "external".into(),
            message: "one\n\u{1b}[2Jtwo\n".into(),
            bytes: None,
        });
        assert_eq!(
            text(&report),
            "1970-01-01T00:00:00.000000Z warn          external: one\n\
             1970-01-01T00:00:00.000000Z warn          external: \\u{1b}[2Jtwo\n"
        );
    }
}
