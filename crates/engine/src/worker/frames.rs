//! Frames that rules look at, or make: each goes to its end before the next is looked at.
//!
//! Haka's order is the one that rules are written for: a frame's arrival, its datagram, its connection's
//! events, and what leaves because of them, before anything of the next frame. And what a rule makes on
//! seeing a frame has its whole effect before that frame goes on. So the stages are no passes over the batch
//! here. All frames of a turn lie on one stack ([`Pending`]), each with its next step; on top of it come
//! what follows that step, and what was made meanwhile. Stage 4 takes from there until a packet is to be
//! tracked, tracks it, and comes back. Nothing recurses; how much rules may make is bounded
//! (`transit.rs`).
//!
//! With several workers, a frame's own events are asked where it arrived, those of its connection where
//! that is owned; the datagram of fragments where they are put together.

use tollgate_link::{Link, Port};
use tollgate_policy::{Policy, Route};
use tollgate_wire::{Datagram, Malformed, Packet, Refusal, Rejected, Timestamp, complete_partial};

use super::icmp::Notice;
use super::{Arrival, Worker};
use crate::config::OtherTraffic;
use crate::counters::{Cause, Reason};
use crate::fragments;
use crate::mesh::Message;
use crate::ports::{LINK_HEADER_LEN, fill};
use crate::rules::{FrameEvent, Shown};
use crate::transit::{Departing, Made};

/// A frame under way, and what is next for it.
#[derive(Debug)]
pub(super) struct Pending<F> {
    step: Step<F>,
    /// Where it came in.
    port: Port,
    generation: u8,
}

#[derive(Debug)]
enum Step<F> {
    /// Nobody has looked at it.
    Received(F),
    /// Rules have let the frame come in.
    Entered(F),
    /// Rules have let its datagram pass, or it is none.
    Judged(F),
    /// The same of a datagram that came in fragments.
    Gathered(Gathered<F>),
    /// A rule has made it, and it only leaves.
    Leaving(F),
    /// Another worker has handed it over: a fragment of a datagram that is put together here,
    Fragment(F),
    /// a packet of a connection that is owned here,
    Tracked(Arrival<F>),
    /// or an ICMP error about one.
    Noticed(Notice<F>),
}

/// A datagram that came in fragments, and was shown to rules.
#[derive(Debug)]
struct Gathered<F> {
    fragments: fragments::Datagram<F>,
    /// What rules have made of it, if anything.
    changed: Option<Vec<u8>>,
    /// What it is now.
    what: Result<(), Refusal>,
}

impl<L: Link, P: Policy> Worker<L, P> {
    /// Before stage 1: what is due because time has passed.
    pub(super) fn begin_turn(&mut self, now: Timestamp) {
        self.ports.transit.begin();
        if std::mem::take(&mut self.resumes) {
            self.resume(now);
        }
        if self.rules.tick(now) {
            self.push_made();
            self.track(now);
        }
    }

    /// Stage 1 where frames go one by one: takes a batch from each port, and looks at none yet.
    #[cold]
    pub(super) fn line_up(&mut self) {
        let mut frames = std::mem::take(&mut self.frames);
        // The last is put down first, for the next is taken from the top.
        for port in Port::BOTH.into_iter().rev() {
            self.ports.receive(port, &mut frames);
            for mut frame in frames.drain(..).rev() {
                self.complete(&mut frame);
                self.pending.push(Pending { step: Step::Received(frame), port, generation: 0 });
            }
        }
        self.frames = frames;
    }

    /// Stage 2 where frames go one by one: takes a batch from each other worker. It has arrived before what is
    /// lined up.
    #[cold]
    pub(super) fn line_up_handed(&mut self) {
        let first = self.pending.len();
        let pending = &mut self.pending;
        self.mesh.receive(self.config.batch_max, |message| pending.push(Pending::handed(message)));
        if let Some(handed) = self.pending.get_mut(first..) {
            handed.reverse();
            self.ports.counters.handed_in += handed.len() as u64;
        }
    }

    /// Completes a checksum that was left to a network card that is not there.
    pub(super) fn complete(&mut self, frame: &mut L::Frame) {
        if self.config.complete_checksums && complete_partial(frame.as_mut()) {
            self.ports.counters.checksums_completed += 1;
        }
    }

    /// Takes step after step until a packet, or an ICMP error about one, is to be tracked; false when
    /// nothing is under way any more. First goes what is to leave, then what was made.
    #[cold]
    pub(super) fn next_arrival(&mut self, now: Timestamp) -> bool {
        loop {
            if let Some(departing) = self.ports.transit.next_departing() {
                self.depart(departing, now);
                continue;
            }
            if !self.arrivals.is_empty() || !self.notices.is_empty() {
                return true;
            }
            let next = match self.ports.transit.next_reentering() {
                Some(made) => Some(Pending::made(made)),
                None => self.pending.pop(),
            };
            let Some(Pending { step, port, generation }) = next else { break };
            self.ports.transit.generation = generation;
            self.step(step, port, now);
        }
        self.ports.transit.generation = 0;
        false
    }

    fn step(&mut self, step: Step<L::Frame>, port: Port, now: Timestamp) {
        match step {
            Step::Received(frame) => self.show(FrameEvent::Receive, frame, port, now),
            Step::Entered(frame) => self.datagram(frame, port, now),
            Step::Judged(frame) => self.judged(frame, port, now),
            Step::Gathered(gathered) => self.gathered(gathered, port),
            Step::Leaving(frame) => self.ports.send(frame, port.peer()),
            Step::Fragment(frame) => self.gather(frame, port, now),
            Step::Tracked(arrival) => self.arrivals.push(arrival),
            Step::Noticed(notice) => self.notices.push(notice),
        }
    }

    /// Shows a frame, or its datagram, as it comes in; the next step is pushed.
    fn show(&mut self, event: FrameEvent, frame: L::Frame, port: Port, now: Timestamp) {
        let next = match event {
            FrameEvent::Receive => Step::Entered,
            FrameEvent::Datagram | FrameEvent::Send => Step::Judged,
        };
        let shown = if self.rules.wants(event) {
            self.ask(event, frame, port, now)
        } else {
            return self.push(next(frame), port);
        };
        if let Some(frame) = shown {
            self.push(next(frame), port);
        }
        self.push_made();
    }

    /// Asks rules about a frame, and gives it back as they want it, unless they refuse it.
    fn ask(
        &mut self,
        event: FrameEvent,
        mut frame: L::Frame,
        from: Port,
        now: Timestamp,
    ) -> Option<L::Frame> {
        let counters = &mut self.ports.counters;
        let why = match self.rules.show(event, frame.as_mut(), from, now, counters) {
            Shown::AsItWas | Shown::Changed => return Some(frame),
            Shown::Replaced(bytes) if bytes.len() < LINK_HEADER_LEN => {
                Reason::Malformed(Malformed::Ethernet)
            }
            Shown::Replaced(bytes) if fill(&mut frame, &bytes) => return Some(frame),
            Shown::Replaced(_) => Reason::Cause(Cause::RuleTooLong),
            Shown::Refused => Reason::Cause(event.cause()),
        };
        self.ports.drop(frame, why);
        None
    }

    /// Shows the datagram in a frame, if it is a whole one; a fragment goes where its datagram is put
    /// together.
    fn datagram(&mut self, frame: L::Frame, port: Port, now: Timestamp) {
        if !self.rules.wants(FrameEvent::Datagram) {
            return self.judged(frame, port, now);
        }
        match Datagram::of(frame.as_ref()) {
            Datagram::NoIp => self.judged(frame, port, now),
            Datagram::Whole => self.show(FrameEvent::Datagram, frame, port, now),
            Datagram::Fragment => self.fragment(frame, port, now),
            // Nobody could look at it.
            Datagram::Broken(why) => self.ports.drop(frame, Reason::Malformed(why)),
        }
    }

    /// Brings a frame that rules have let pass to its connection, or lets it cross.
    fn judged(&mut self, frame: L::Frame, port: Port, now: Timestamp) {
        if self.rules.is_stateless() {
            return self.cross_unfollowed(frame, port);
        }
        if !self.rules.wants(FrameEvent::Datagram) {
            return self.admit(frame, port, now);
        }
        match Packet::parse(frame) {
            Ok(packet) => self.verify(packet, port),
            Err(Rejected { frame, why }) => match why {
                Refusal::Other(other) => self.no_tcp(frame, port, other),
                // Whole it was when it was shown.
                Refusal::Fragment => self.ports.drop(frame, Reason::Cause(Cause::FragmentBroken)),
                Refusal::Malformed(why) => self.ports.drop(frame, Reason::Malformed(why)),
            },
        }
    }

    /// Lets a frame cross where TCP is like any other protocol: nothing is verified, and what is broken
    /// is its receiver's to refuse.
    fn cross_unfollowed(&mut self, frame: L::Frame, port: Port) {
        match Packet::parse(frame) {
            Ok(packet) => self.forward_unfollowed(packet.into_frame(), port),
            Err(Rejected { frame, why }) => match why {
                Refusal::Other(other) => self.cross(frame, port, other),
                Refusal::Malformed(Malformed::Ethernet) => {
                    self.ports.drop(frame, Reason::Malformed(Malformed::Ethernet));
                }
                Refusal::Fragment | Refusal::Malformed(_) => self.forward_unfollowed(frame, port),
            },
        }
    }

    fn forward_unfollowed(&mut self, frame: L::Frame, port: Port) {
        self.ports.counters.untracked += 1;
        self.ports.send_whole(frame, port.peer());
    }

    /// Shows a datagram that was put together; its next step is pushed.
    pub(super) fn show_gathered(
        &mut self,
        mut fragments: fragments::Datagram<L::Frame>,
        port: Port,
        now: Timestamp,
    ) {
        let Some(whole) = fragments.write_to(&mut self.memory) else {
            fragments.drop(Cause::FragmentBroken, &mut self.ports);
            return;
        };
        let counters = &mut self.ports.counters;
        let changed = match self.rules.show(FrameEvent::Datagram, whole, port, now, counters) {
            Shown::AsItWas => Some(None),
            Shown::Changed => Some(Some(whole.to_vec())),
            Shown::Replaced(bytes) => Some(Some(bytes)),
            Shown::Refused => None,
        };
        match changed {
            Some(changed) => {
                let bytes: &[u8] = changed.as_deref().unwrap_or(whole);
                let what = Packet::parse(bytes).map(drop).map_err(|rejected| rejected.why);
                self.push(Step::Gathered(Gathered { fragments, changed, what }), port);
            }
            None => drop(fragments.drop(FrameEvent::Datagram.cause(), &mut self.ports)),
        }
        self.push_made();
    }

    /// Goes on with a datagram that came in fragments: a segment goes to its connection in one frame,
    /// anything else leaves in fragments, untouched if it is as it was.
    fn gathered(&mut self, gathered: Gathered<L::Frame>, port: Port) {
        let Gathered { fragments, changed, what } = gathered;
        let ports = &mut self.ports;
        match what {
            Ok(()) if !self.rules.is_stateless() => {
                let whole = match changed {
                    None => fragments.join(ports),
                    Some(bytes) => fragments.replace(&bytes, ports),
                };
                if let Some(whole) = whole {
                    self.joined(whole, port);
                }
                return;
            }
            Err(Refusal::Malformed(why)) if !self.rules.is_stateless() => {
                return fragments.refuse(Reason::Malformed(why), ports);
            }
            Err(Refusal::Other(_)) if self.config.other == OtherTraffic::Drop => {
                return fragments.refuse(Reason::Cause(Cause::Other), ports);
            }
            Err(Refusal::Fragment) => {
                return fragments.refuse(Reason::Cause(Cause::FragmentBroken), ports);
            }
            Err(Refusal::Other(other)) => ports.counters.pass_many(other, fragments.fragments()),
            Ok(()) | Err(Refusal::Malformed(_)) => {
                ports.counters.untracked += fragments.fragments() as u64;
            }
        }
        match changed {
            None => fragments.send(port.peer(), ports),
            Some(bytes) => fragments.send_changed(&bytes, port.peer(), ports),
        }
    }

    /// A frame on its way out.
    fn depart(&mut self, departing: Departing<L::Frame>, now: Timestamp) {
        let Departing { frame, port, generation, asked } = departing;
        self.ports.transit.generation = generation;
        if asked || !self.rules.wants(FrameEvent::Send) {
            return self.ports.post_in_order(frame, port);
        }
        let Some(frame) = self.ask(FrameEvent::Send, frame, port.peer(), now) else {
            return self.send_made_meanwhile();
        };
        self.ports.transit.depart_first(Departing { frame, port, generation, asked: true });
        self.send_made_meanwhile();
    }

    /// What was made as a frame was about to leave goes before it, or comes in after it.
    fn send_made_meanwhile(&mut self) {
        let mut sent = Vec::new();
        self.rules.made(&mut self.ports, |ports, made| match made.route {
            Route::Send => sent.push(made),
            Route::Receive => ports.transit.reenter(made),
        });
        for Made { frame, port, generation, .. } in sent.into_iter().rev() {
            let departing = Departing { frame, port: port.peer(), generation, asked: false };
            self.ports.transit.depart_first(departing);
        }
    }

    fn push(&mut self, step: Step<L::Frame>, port: Port) {
        let generation = self.ports.transit.generation;
        self.pending.push(Pending { step, port, generation });
    }

    /// What was made in the event that has just returned comes next, the oldest first.
    fn push_made(&mut self) {
        let first = self.pending.len();
        let pending = &mut self.pending;
        self.rules.made(&mut self.ports, |_, made| pending.push(Pending::made(made)));
        if let Some(made) = self.pending.get_mut(first..) {
            made.reverse();
        }
    }

    /// The program stops: rules are told, and what they make on that goes its way.
    pub(super) fn exiting(&mut self, now: Timestamp) {
        self.ports.transit.begin();
        self.rules.exiting(now);
        self.push_made();
        self.track(now);
    }

    /// The end of the end: what leaves is shown, and nothing comes in any more.
    pub(super) fn finish_frames(&mut self, now: Timestamp) {
        loop {
            while let Some(departing) = self.ports.transit.next_departing() {
                self.depart(departing, now);
            }
            let Some(made) = self.ports.transit.next_reentering() else { return };
            self.ports.drop(made.frame, Reason::Cause(Cause::Stopped));
        }
    }
}

impl<F> Pending<F> {
    fn made(made: Made<F>) -> Self {
        let Made { frame, port, route, generation } = made;
        let step = match route {
            Route::Receive => Step::Received(frame),
            Route::Send => Step::Leaving(frame),
        };
        Self { step, port, generation }
    }

    fn handed(message: Message<F>) -> Self {
        let (step, port) = match message {
            Message::Packet { packet, port, hash } => {
                (Step::Tracked(Arrival { packet, port, hash }), port)
            }
            Message::Fragment { frame, port } => (Step::Fragment(frame), port),
            Message::IcmpError { frame, error, port, hash } => {
                (Step::Noticed(Notice { frame, error, port, hash, after: 0 }), port)
            }
        };
        Self { step, port, generation: 0 }
    }
}
