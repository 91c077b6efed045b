//! A worker whose rule changes streams, and its segments in and out with relative numbers.

use std::time::Duration;

use tollgate_engine::{Config, Counters, Mesh, Worker};
use tollgate_link::Port;
use tollgate_link::memory::MemoryLink;
use tollgate_policy::Data;
use tollgate_wire::Timestamp;

use super::editor::Scripted;
use crate::common::{ACK, CLIENT_ISN, Frame, PSH, SERVER_ISN, Seen, handshake, small};

/// A worker whose rule does one thing an event.
pub(super) struct Gate {
    pub(super) worker: Worker<MemoryLink, Scripted>,
    pub(super) now: Timestamp,
}

/// A segment that came out, with relative numbers: who has it now, where it begins, what it
/// acknowledges, its flags and its bytes.
pub(super) type Out = (char, u32, u32, u8, String);

impl Gate {
    pub(super) fn new() -> Self {
        Self::with(small(), &handshake())
    }

    pub(super) fn with(config: Config, handshake: &[Frame]) -> Self {
        let worker = Worker::new(config, MemoryLink::new(), Scripted::default(), Mesh::alone());
        let mut gate = Self { worker, now: Timestamp::from_secs(1_000_000) };
        for frame in handshake {
            assert_eq!(gate.put(frame).len(), 1);
        }
        gate
    }

    /// The rule for the next event.
    pub(super) fn rule(&mut self, rule: impl FnMut(&mut Data<'_>) + 'static) {
        self.worker.policy_mut().then(rule);
    }

    pub(super) fn bytes(&mut self, frame: &Frame) -> Vec<(Port, Vec<u8>)> {
        self.raw(frame.port(), &frame.bytes())
    }

    /// The same for what is not TCP.
    pub(super) fn raw(&mut self, port: Port, bytes: &[u8]) -> Vec<(Port, Vec<u8>)> {
        self.worker.link_mut().inject(port, bytes);
        self.now = self.now + Duration::from_millis(1);
        self.worker.poll(self.now);
        let mut out = Vec::new();
        for port in Port::BOTH {
            out.extend(self.worker.link_mut().sent(port).into_iter().map(|bytes| (port, bytes)));
        }
        out
    }

    pub(super) fn seen(&mut self, frame: &Frame) -> Vec<Seen> {
        self.bytes(frame).iter().map(|(port, bytes)| Seen::read(*port, bytes)).collect()
    }

    pub(super) fn put(&mut self, frame: &Frame) -> Vec<Out> {
        self.seen(frame).into_iter().map(out).collect()
    }

    pub(super) fn shown(&self) -> Vec<String> {
        let shown = &self.worker.policy().shown;
        shown.iter().map(|(_, _, bytes)| String::from_utf8(bytes.clone()).unwrap()).collect()
    }

    pub(super) fn finish(mut self) -> Counters {
        self.worker.finish(self.now);
        for port in Port::BOTH {
            self.worker.link_mut().sent(port);
        }
        let counters = self.worker.counters().clone();
        assert_eq!((counters.balance(), counters.unbalanced_turns, counters.held), (0, 0, 0));
        assert_eq!(self.worker.link().outstanding(), 0, "frames leaked");
        assert_eq!(self.worker.gauges().retained_bytes, 0, "bytes leaked");
        counters
    }
}

pub(super) fn out(seen: Seen) -> Out {
    let (who, from, to) = match seen.port {
        Port::A => ('c', SERVER_ISN, CLIENT_ISN),
        Port::B => ('s', CLIENT_ISN, SERVER_ISN),
    };
    let ack = if seen.has(ACK) { seen.ack.wrapping_sub(to) } else { 0 };
    (who, seen.seq.wrapping_sub(from), ack, seen.flags, String::from_utf8(seen.payload).unwrap())
}

/// To the server: where it begins, what it acknowledges, its bytes.
pub(super) fn s(seq: u32, ack: u32, bytes: &str) -> Out {
    let flags = if bytes.is_empty() { ACK } else { PSH | ACK };
    ('s', seq, ack, flags, bytes.to_owned())
}

/// To the client.
pub(super) fn c(seq: u32, ack: u32, bytes: &str) -> Out {
    let (_, seq, ack, flags, bytes) = s(seq, ack, bytes);
    ('c', seq, ack, flags, bytes)
}

/// From the client.
pub(super) fn up(seq: u32, ack: u32, bytes: &str) -> Frame {
    let flags = if bytes.is_empty() { ACK } else { PSH | ACK };
    Frame::client(seq, ack, flags, bytes.as_bytes())
}

/// From the server.
pub(super) fn down(seq: u32, ack: u32, bytes: &str) -> Frame {
    let flags = if bytes.is_empty() { ACK } else { PSH | ACK };
    Frame::server(seq, ack, flags, bytes.as_bytes())
}
