use std::collections::VecDeque;

use tollgate_wire::{Endpoint, PerDirection, Timestamp};

use crate::{FlowId, Traffic};

/// Something for people to read: on standard output, as JSON, in a log.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A rule's `haka.alert`, or the engine's own.
    Alert(Box<Alert>),
    /// A rule's `haka.log`, or what a script printed.
    Log(Log),
    /// A connection began, became established or ended.
    Connection(Box<Connection>),
}

/// A step in a connection's life.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// When.
    pub time: Timestamp,
    /// Which.
    pub flow: FlowId,
    /// The sender of the SYN.
    pub client: Endpoint,
    /// Its peer.
    pub server: Endpoint,
    /// What happened to it.
    pub phase: Phase,
    /// Received so far.
    pub traffic: PerDirection<Traffic>,
}

/// What a [`Connection`] report tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// First SYN seen and accepted.
    New,
    /// Handshake complete.
    Established,
    /// Both ends have closed.
    Closed,
    /// An endpoint's RST ended it.
    ResetByPeer,
    /// A rule dropped it.
    Dropped,
    /// A rule reset it, at the server only.
    HalfReset,
    /// A rule reset it, at both ends; or the configuration did, for a connection that could not be
    /// treated as it should be.
    Reset,
    /// Idle for too long.
    Expired,
    /// Given up under pressure: a bound was reached.
    Evicted,
    /// The program stopped.
    Stopped,
    /// It crosses uninspected from here on.
    Bypassed,
    /// It crosses in the kernel from here on, and rules see no more of it than its end.
    Shunted,
}

impl Phase {
    /// As events and metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Closed => "closed",
            Self::ResetByPeer => "reset_by_peer",
            Self::Dropped => "dropped",
            Self::HalfReset => "halfreset",
            Self::Reset => "reset",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
            Self::Stopped => "stopped",
            Self::Bypassed => "bypassed",
            Self::Shunted => "shunted",
        }
    }
}

/// How loud a [`Log`] is; Haka's levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
    Fatal,
}

impl Level {
    /// As Haka prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}

/// A line of log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// When.
    pub time: Timestamp,
    /// How loud.
    pub level: Level,
    /// Who speaks: "external" for scripts, "tcp", "lua"; "print" for what a script printed.
    pub section: String,
    /// The text, one line or more.
    pub message: String,
    /// The same to the byte, if it is not all text: `message` has marks where it is none.
    pub bytes: Option<Box<[u8]>>,
}

/// Haka's three degrees; absent where a rule gave none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Severity {
    Low,
    Medium,
    High,
}

/// A degree, or a number of the rule's own.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Confidence {
    Low,
    Medium,
    High,
    Number(f64),
}

/// Whether what was alerted of succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Completion {
    Failed,
    Successful,
}

/// How an attack works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Method {
    /// In words.
    pub description: Option<String>,
    /// Where to read about it.
    pub refs: Vec<String>,
}

/// A `haka.alert`; every field but the number may be absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alert {
    /// 1 for the worker's first alert, and so on; an update carries the number of its alert.
    pub number: u64,
    /// Whether it changes an earlier alert.
    pub is_update: bool,
    /// When it was raised.
    pub time: Timestamp,
    /// When the incident began, in seconds since 1970 as the rule gave it.
    pub start_time: Option<f64>,
    /// When it ended.
    pub end_time: Option<f64>,
    /// In words.
    pub description: Option<String>,
    /// How bad.
    pub severity: Option<Severity>,
    /// How sure.
    pub confidence: Option<Confidence>,
    /// Whether it worked.
    pub completion: Option<Completion>,
    /// How it works.
    pub method: Option<Method>,
    /// From where: lines such as `address: 192.0.2.1, 80`.
    pub sources: Vec<String>,
    /// At what.
    pub targets: Vec<String>,
    /// Where to read about it, or numbers of related alerts.
    pub refs: Vec<String>,
}

/// Reports on their way out, bounded: a rule that reports without end costs memory no one has.
/// What did not fit is counted.
#[derive(Debug)]
pub struct Reports {
    queue: VecDeque<Report>,
    pending_max: usize,
    /// Alerts raised so far, those that did not fit included.
    pub alerts: u64,
    /// Reports of any kind that did not fit.
    pub lost: u64,
}

impl Reports {
    /// Room for `pending_max` reports between two calls of [`Reports::drain`].
    #[must_use]
    pub fn new(pending_max: usize) -> Self {
        Self { queue: VecDeque::new(), pending_max, alerts: 0, lost: 0 }
    }

    /// Queues a report, or counts it as lost.
    pub fn push(&mut self, report: Report) {
        if self.queue.len() < self.pending_max {
            self.queue.push_back(report);
        } else {
            self.lost += 1;
        }
    }

    /// Numbers an alert, queues it, and gives the number back for updates.
    pub fn alert(&mut self, mut alert: Alert) -> u64 {
        if !alert.is_update {
            self.alerts += 1;
            alert.number = self.alerts;
        }
        let number = alert.number;
        self.push(Report::Alert(Box::new(alert)));
        number
    }

    /// Queues a line of log.
    pub fn log(&mut self, time: Timestamp, level: Level, section: &str, message: String) {
        let section = section.to_owned();
        self.push(Report::Log(Log { time, level, section, message, bytes: None }));
    }

    /// Queues a line of log, of text or not.
    pub fn log_bytes(&mut self, time: Timestamp, level: Level, section: &str, line: &[u8]) {
        let message = String::from_utf8_lossy(line);
        let bytes = matches!(message, std::borrow::Cow::Owned(_)).then(|| line.into());
        let (section, message) = (section.to_owned(), message.into_owned());
        self.push(Report::Log(Log { time, level, section, message, bytes }));
    }

    /// Takes out what is queued, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = Report> + '_ {
        self.queue.drain(..)
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_nothing_grows() {
        let mut reports = Reports::new(2);
        for number in 1..=3 {
            assert_eq!(reports.alert(Alert::default()), number);
        }
        assert_eq!((reports.alerts, reports.lost, reports.drain().count()), (3, 1, 2));
        assert!(reports.is_empty());
    }
}
