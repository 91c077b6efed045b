//! One JSON object a line for programs. The names are an interface: `docs/events.md` lists them,
//! and a test holds the two together.

use std::io;

use serde::Serialize;
use tollgate_policy::{Alert, Connection, Log, Report, Traffic};
use tollgate_wire::Direction;

use super::text::{completion_name, confidence_name, severity_name};
use super::{Origin, WallTime};

pub(super) fn line(out: &mut Vec<u8>, origin: Origin<'_>, report: &Report) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Line::of(origin, report))?;
    out.push(b'\n');
    Ok(())
}

/// What every event has, then what its kind has.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<&'a str>,
    worker: usize,
    #[serde(flatten)]
    event: Event<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Alert(AlertLine<'a>),
    Log {
        level: &'static str,
        section: &'a str,
        message: &'a str,
    },
    Connection {
        phase: &'static str,
        flow: u64,
        client: String,
        server: String,
        to_server: TrafficLine,
        to_client: TrafficLine,
    },
}

#[derive(Serialize)]
struct TrafficLine {
    packets: u64,
    bytes: u64,
}

/// A field that the rule did not give is left out.
#[derive(Serialize)]
struct AlertLine<'a> {
    number: u64,
    update: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<Degree>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<MethodLine<'a>>,
    sources: &'a [String],
    targets: &'a [String],
    refs: &'a [String],
}

#[derive(Serialize)]
struct MethodLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    refs: &'a [String],
}

#[derive(Serialize)]
#[serde(untagged)]
enum Degree {
    Name(&'static str),
    Number(f64),
}

impl<'a> Line<'a> {
    fn of(origin: Origin<'a>, report: &'a Report) -> Self {
        let (time, event) = match report {
            Report::Alert(alert) => (alert.time, Event::Alert(AlertLine::of(alert))),
            Report::Log(Log { time, level, section, message, .. }) => {
                (*time, Event::Log { level: level.name(), section, message })
            }
            Report::Connection(connection) => {
                let Connection { time, flow, client, server, phase, traffic } = &**connection;
                let event = Event::Connection {
                    phase: phase.name(),
                    flow: flow.0,
                    client: client.to_string(),
                    server: server.to_string(),
                    to_server: TrafficLine::of(traffic[Direction::ToServer]),
                    to_client: TrafficLine::of(traffic[Direction::ToClient]),
                };
                (*time, event)
            }
        };
        let time = WallTime(time).to_string();
        Self { time, pair: origin.pair, worker: origin.worker, event }
    }
}

impl TrafficLine {
    const fn of(traffic: Traffic) -> Self {
        Self { packets: traffic.packets, bytes: traffic.bytes }
    }
}

impl<'a> AlertLine<'a> {
    fn of(alert: &'a Alert) -> Self {
        Self {
            number: alert.number,
            update: alert.is_update,
            severity: alert.severity.map(severity_name),
            confidence: alert.confidence.map(|confidence| match confidence_name(confidence) {
                Ok(name) => Degree::Name(name),
                Err(number) => Degree::Number(number),
            }),
            completion: alert.completion.map(completion_name),
            description: alert.description.as_deref(),
            start_time: alert.start_time,
            end_time: alert.end_time,
            method: alert.method.as_ref().map(|method| MethodLine {
                description: method.description.as_deref(),
                refs: &method.refs,
            }),
            sources: &alert.sources,
            targets: &alert.targets,
            refs: &alert.refs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tollgate_policy::{Completion, Confidence, FlowId, Level, Method, Phase, Report, Severity};
    use tollgate_wire::{Endpoint, PerDirection, Timestamp};

    fn value(pair: Option<&str>, report: &Report) -> Value {
        let mut out = Vec::new();
        line(&mut out, Origin { pair, worker: 1 }, report).unwrap();
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&out).unwrap()
    }

    fn everything() -> [Report; 3] {
        let endpoint = Endpoint::new(std::net::Ipv4Addr::new(198, 18, 0, 1).into(), 80);
        [
            Report::Alert(Box::new(Alert {
                number: 3,
                is_update: true,
                time: Timestamp(0),
                start_time: Some(1.5),
                end_time: Some(2.5),
                description: Some("a\nb".into()),
                severity: Some(Severity::Medium),
                confidence: Some(Confidence::High),
                completion: Some(Completion::Successful),
                method: Some(Method { description: Some("m".into()), refs: vec!["x".into()] }),
                sources: vec!["address: 198.18.0.1".into()],
                targets: vec![],
                refs: vec!["y".into()],
            })),
            Report::Log(Log {
                time: Timestamp(0),
                level: Level::Info,
                section: "external".into(),
                message: "\u{1b}".into(),
                bytes: None,
            }),
            Report::Connection(Box::new(Connection {
                time: Timestamp(0),
                flow: FlowId(9),
                client: endpoint,
                server: endpoint,
                phase: Phase::Closed,
                traffic: PerDirection {
                    to_server: Traffic { packets: 1, bytes: 2 },
                    to_client: Traffic { packets: 3, bytes: 4 },
                },
            })),
        ]
    }

    #[test]
    fn each_kind_has_its_documented_fields() {
        let [alert, log, connection] = everything();
        assert_eq!(
            value(Some("a:b"), &alert),
            json!({
                "event": "alert", "time": "1970-01-01T00:00:00.000000Z", "pair": "a:b", "worker": 1,
                "number": 3, "update": true, "severity": "medium", "confidence": "high",
                "completion": "successful", "description": "a\nb", "start_time": 1.5, "end_time": 2.5,
                "method": {"description": "m", "refs": ["x"]},
                "sources": ["address: 198.18.0.1"], "targets": [], "refs": ["y"]
            })
        );
        assert_eq!(
            value(None, &log),
            json!({
                "event": "log", "time": "1970-01-01T00:00:00.000000Z", "worker": 1,
                "level": "info", "section": "external", "message": "\u{1b}"
            })
        );
        assert_eq!(
            value(None, &connection),
            json!({
                "event": "connection", "time": "1970-01-01T00:00:00.000000Z", "worker": 1,
                "phase": "closed", "flow": 9, "client": "198.18.0.1:80", "server": "198.18.0.1:80",
                "to_server": {"packets": 1, "bytes": 2}, "to_client": {"packets": 3, "bytes": 4}
            })
        );
    }

    #[test]
    fn the_document_names_every_field() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events.md");
        let document = std::fs::read_to_string(path).unwrap();
        for report in &everything() {
            let Value::Object(fields) = value(Some("a:b"), report) else { unreachable!() };
            for (field, value) in fields {
                assert!(document.contains(&format!("`{field}`")), "docs/events.md lacks {field}");
                for inner in value.as_object().into_iter().flat_map(|inner| inner.keys()) {
                    let name = format!("`{field}.{inner}`");
                    assert!(document.contains(&name), "docs/events.md lacks {name}");
                }
            }
        }
    }
}
