//! A worker on a memory link, with a policy that writes down what it hears, and frames to feed it.

pub(crate) mod frames;
pub(crate) mod program;
pub(crate) mod script;
pub(crate) mod shared;

use std::time::Duration;

use tollgate_engine::{Config, Counters, Mesh, Worker};
use tollgate_link::Port;
use tollgate_link::memory::MemoryLink;
use tollgate_policy::Interest;
use tollgate_wire::Timestamp;

pub(crate) use frames::{ACK, CLIENT, FIN, Frame, PSH, RST, SERVER, SYN, Seen};
pub(crate) use program::Program;
pub(crate) use script::Script;
pub(crate) use shared::SharedLink;

/// How often a straggler of a refused connection is let up: `STEER_UP_NS` of `bpf/steer.h`.
const STRAGGLER_UP: Duration = Duration::from_millis(50);

/// First sequence numbers of client and server.
pub(crate) const CLIENT_ISN: u32 = 1000;
pub(crate) const SERVER_ISN: u32 = 5000;

/// One worker and its clock.
pub(crate) struct Gate {
    pub(crate) worker: Worker<MemoryLink, Script>,
    pub(crate) now: Timestamp,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self::with(small())
    }

    pub(crate) fn with(config: Config) -> Self {
        Self::with_link(config, MemoryLink::new())
    }

    pub(crate) fn with_link(config: Config, link: MemoryLink) -> Self {
        let worker = Worker::new(config, link, Script::default(), Mesh::alone());
        Self { worker, now: Timestamp::from_secs(1_000_000) }
    }

    /// With a policy that may change what it sees, so that segments behind a gap are held.
    pub(crate) fn editing(config: Config) -> Self {
        let mut gate = Self::with(config);
        let interest = Interest::EVENTS | Interest::EDIT_DATA;
        gate.worker.replace_policy(Script { interest, ..Script::default() });
        gate
    }

    /// Puts a frame in at the port where its sender is, lets a turn pass, and gives what came out,
    /// both ports together, A's first.
    pub(crate) fn put(&mut self, frame: &Frame) -> Vec<Seen> {
        self.put_all(std::slice::from_ref(frame))
    }

    /// The same for frames that arrive in one batch.
    pub(crate) fn put_all(&mut self, frames: &[Frame]) -> Vec<Seen> {
        for frame in frames {
            self.worker.link_mut().inject(frame.port(), &frame.bytes());
        }
        self.turn()
    }

    /// A frame as bytes, in at a port.
    pub(crate) fn put_bytes(&mut self, port: Port, bytes: &[u8]) -> Vec<Seen> {
        self.worker.link_mut().inject(port, bytes);
        self.turn()
    }

    /// The same, with all that came out as bytes: for what is not TCP.
    pub(crate) fn put_raw(&mut self, port: Port, bytes: &[u8]) -> Vec<(Port, Vec<u8>)> {
        self.worker.link_mut().inject(port, bytes);
        self.now = self.now + Duration::from_millis(1);
        self.worker.poll(self.now);
        let mut sent = |port| {
            let sent = self.worker.link_mut().sent(port);
            sent.into_iter().map(move |bytes| (port, bytes))
        };
        Port::BOTH.into_iter().flat_map(|port| sent(port).collect::<Vec<_>>()).collect()
    }

    pub(crate) fn turn(&mut self) -> Vec<Seen> {
        self.now = self.now + Duration::from_millis(1);
        self.worker.poll(self.now);
        Port::BOTH.into_iter().flat_map(|port| self.sent(port)).collect()
    }

    /// Lets time pass: for the link too, which has no clock by which to let stragglers up.
    pub(crate) fn wait(&mut self, span: Duration) -> Vec<Seen> {
        self.now = self.now + span;
        if span >= STRAGGLER_UP {
            self.worker.link_mut().shunts().let_up();
        }
        self.turn()
    }

    pub(crate) fn sent(&mut self, port: Port) -> Vec<Seen> {
        let sent = self.worker.link_mut().sent(port);
        sent.into_iter().map(|bytes| Seen::read(port, &bytes)).collect()
    }

    /// A handshake; all of it must pass as it is.
    pub(crate) fn establish(&mut self) {
        for frame in handshake() {
            let out = self.put(&frame);
            assert_eq!(out, [frame.crossed()]);
        }
    }

    pub(crate) fn events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.worker.policy_mut().events)
    }

    pub(crate) fn policy(&mut self) -> &mut Script {
        self.worker.policy_mut()
    }

    pub(crate) fn counters(&self) -> &Counters {
        self.worker.counters()
    }

    /// Ends the run: nothing may be lost, kept, or left open.
    pub(crate) fn finish(mut self) -> Counters {
        self.worker.finish(self.now);
        for port in Port::BOTH {
            self.worker.link_mut().sent(port);
        }
        let counters = self.worker.counters().clone();
        assert_eq!(counters.balance(), 0, "{counters:?}");
        assert_eq!(counters.unbalanced_turns, 0);
        assert_eq!(counters.held, 0, "{counters:?}");
        assert_eq!(self.worker.link().outstanding(), 0, "frames leaked");
        let script = self.worker.policy();
        assert_eq!(script.opened, script.ended, "each connection ends once");
        counters
    }
}

/// Bounds that a test can reach.
pub(crate) fn small() -> Config {
    Config {
        flows_max: 1000,
        half_open_max: 1000,
        hash_keys: [11, 22, 33, 44],
        shunt_packets_min: 0,
        ..Config::default()
    }
}

/// SYN, SYN-ACK, ACK.
pub(crate) fn handshake() -> [Frame; 3] {
    [
        Frame::client(0, 0, SYN, b""),
        Frame::server(0, 1, SYN | ACK, b""),
        Frame::client(1, 1, ACK, b""),
    ]
}
