use std::collections::VecDeque;

use tollgate_engine::{Config, Counters, Mesh, Worker};
use tollgate_link::Port;
use tollgate_link::memory::MemoryLink;
use tollgate_policy::{
    Data, Flow, FrameEdit, Injected, Interest, PacketView, Policy, Reports, Route, Side, Verdict,
};
use tollgate_wire::{Direction, Timestamp};

use super::traffic::name;
use crate::common::small;

/// Which event a frame is shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Frame,
    Datagram,
    Send,
}

type Act = Box<dyn FnMut(Event, &mut FrameEdit<'_>, &mut VecDeque<Injected>) -> Verdict>;

/// A policy that writes down what it sees, and does with frames what the test says.
pub(crate) struct Looker {
    pub(crate) interest: Interest,
    pub(crate) events: Vec<String>,
    pub(crate) injected: VecDeque<Injected>,
    /// What to make in each `receive_data`, `end_connection` and `tick`.
    pub(crate) makes: Vec<(&'static str, Injected)>,
    act: Act,
}

pub(crate) const FRAMES: Interest =
    Interest::RECEIVE_FRAME.union(Interest::RECEIVE_DATAGRAM).union(Interest::SEND_FRAME);

impl Looker {
    pub(crate) fn new(
        interest: Interest,
        act: impl FnMut(Event, &mut FrameEdit<'_>, &mut VecDeque<Injected>) -> Verdict + 'static,
    ) -> Self {
        Self {
            interest,
            events: Vec::new(),
            injected: VecDeque::new(),
            makes: Vec::new(),
            act: Box::new(act),
        }
    }

    /// It only looks.
    pub(crate) fn accepting(interest: Interest) -> Self {
        Self::new(interest, |_, _, _| Verdict::Accept)
    }

    fn see(&mut self, event: Event, frame: &mut FrameEdit<'_>) -> Verdict {
        let word = match event {
            Event::Frame => "frame",
            Event::Datagram => "datagram",
            Event::Send => "send",
        };
        let from = if frame.from() == Side::A { "a" } else { "b" };
        self.events.push(format!("{word} {from} {}", name(frame.bytes())));
        (self.act)(event, frame, &mut self.injected)
    }

    fn make(&mut self, event: &str) {
        let made = self.makes.iter().filter(|(when, _)| *when == event);
        self.injected.extend(made.map(|(_, injected)| injected.clone()));
    }
}

impl Policy for Looker {
    fn interest(&self) -> Interest {
        self.interest
    }

    fn new_connection(
        &mut self,
        _flow: &mut Flow<'_>,
        _packet: &PacketView<'_>,
        _reports: &mut Reports,
    ) -> Verdict {
        self.events.push("new".into());
        self.make("new");
        Verdict::Accept
    }

    fn receive_data(
        &mut self,
        _flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        _direction: Direction,
        _reports: &mut Reports,
    ) -> Verdict {
        self.events.push(format!("data {}", String::from_utf8_lossy(&data.to_vec())));
        self.make("data");
        Verdict::Accept
    }

    fn end_connection(&mut self, _flow: &mut Flow<'_>, _reports: &mut Reports) {
        self.events.push("end".into());
        self.make("end");
    }

    fn receive_frame(&mut self, frame: &mut FrameEdit<'_>, _reports: &mut Reports) -> Verdict {
        self.see(Event::Frame, frame)
    }

    fn receive_datagram(&mut self, frame: &mut FrameEdit<'_>, _reports: &mut Reports) -> Verdict {
        self.see(Event::Datagram, frame)
    }

    fn send_frame(&mut self, frame: &mut FrameEdit<'_>, _reports: &mut Reports) -> Verdict {
        self.see(Event::Send, frame)
    }

    fn tick(&mut self, now: Timestamp, _reports: &mut Reports) {
        self.events.push(format!("tick {}", now.nanos() / 1_000_000_000));
        self.make("tick");
    }

    fn take_injected(&mut self) -> Option<Injected> {
        self.injected.pop_front()
    }
}

/// One worker with such a policy, and its clock.
pub(crate) struct Booth {
    pub(crate) worker: Worker<MemoryLink, Looker>,
    pub(crate) now: Timestamp,
}

impl Booth {
    pub(crate) fn new(policy: Looker) -> Self {
        Self::with(small(), policy)
    }

    pub(crate) fn with(config: Config, policy: Looker) -> Self {
        let worker = Worker::new(config, MemoryLink::new(), policy, Mesh::alone());
        Self { worker, now: Timestamp::from_secs(1_000_000) }
    }

    /// Lets a frame arrive and have its effect; gives what came out, A's first.
    pub(crate) fn put(&mut self, port: Port, bytes: &[u8]) -> Vec<(Port, Vec<u8>)> {
        self.put_all(&[(port, bytes.to_vec())])
    }

    /// The same for frames that arrive together.
    pub(crate) fn put_all(&mut self, frames: &[(Port, Vec<u8>)]) -> Vec<(Port, Vec<u8>)> {
        for (port, bytes) in frames {
            assert!(self.worker.link_mut().inject(*port, bytes));
        }
        self.turn()
    }

    pub(crate) fn turn(&mut self) -> Vec<(Port, Vec<u8>)> {
        self.worker.poll(self.now);
        let mut out = Vec::new();
        for port in Port::BOTH {
            out.extend(self.worker.link_mut().sent(port).into_iter().map(|bytes| (port, bytes)));
        }
        out
    }

    pub(crate) fn events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.worker.policy_mut().events)
    }

    /// Ends the run: every frame has its fate.
    pub(crate) fn finish(mut self) -> Counters {
        self.worker.finish(self.now);
        for port in Port::BOTH {
            self.worker.link_mut().sent(port);
        }
        let counters = self.worker.counters().clone();
        assert_eq!(counters.balance(), 0, "{counters:?}");
        assert_eq!((counters.unbalanced_turns, counters.held), (0, 0));
        assert_eq!(self.worker.link().outstanding(), 0, "frames leaked");
        counters
    }
}

pub(crate) fn made(frame: &[u8], from: Side, route: Route) -> Injected {
    Injected { frame: frame.to_vec(), from, route }
}
