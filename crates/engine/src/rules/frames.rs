//! Rules that look at frames, and those that make some.

use tollgate_link::{Link, Port};
use tollgate_policy::{FlowId, FrameEdit, Interest, Policy, Verdict};
use tollgate_wire::Timestamp;

use super::{Rules, counted};
use crate::config::Follow;
use crate::counters::{Cause, Counters};
use crate::ports::Ports;
use crate::transit::{Made, side};

/// Which of its events a frame meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameEvent {
    Receive,
    Datagram,
    Send,
}

/// What became of a frame that was shown.
#[derive(Debug)]
pub(crate) enum Shown {
    AsItWas,
    Changed,
    /// Other bytes are to stand in its place.
    Replaced(Vec<u8>),
    Refused,
}

impl FrameEvent {
    pub(crate) const fn interest(self) -> Interest {
        match self {
            Self::Receive => Interest::RECEIVE_FRAME,
            Self::Datagram => Interest::RECEIVE_DATAGRAM,
            Self::Send => Interest::SEND_FRAME,
        }
    }

    /// Why a frame is dropped that was refused here.
    pub(crate) const fn cause(self) -> Cause {
        match self {
            Self::Receive => Cause::RuleFrame,
            Self::Datagram => Cause::RuleDatagram,
            Self::Send => Cause::RuleSend,
        }
    }
}

impl<P: Policy> Rules<P> {
    /// Whether anybody wants this event.
    pub(crate) const fn wants(&self, event: FrameEvent) -> bool {
        self.interest.contains(event.interest())
    }

    /// Whether frames go one by one, each to its end before the next: where rules look at frames or
    /// make some, the order of events and of what leaves is part of what they are promised.
    pub(crate) const fn goes_one_by_one(&self) -> bool {
        self.one_by_one
    }

    /// Asks the policy anew what it listens to, after it was exchanged. `next` is the number that the
    /// next connection will have.
    pub(crate) fn refresh(&mut self, next: FlowId) {
        let read_before = self.wants_data();
        self.interest = self.policy.interest();
        if !read_before && self.wants_data() {
            self.read_since = next;
        }
        let wished = self.interest.contains(Interest::STATELESS);
        self.stateless = wished && self.follow == Follow::AsRules;
        self.one_by_one = self.stateless || self.interest.intersects(ONE_BY_ONE);
    }

    /// Whether TCP is like any other protocol.
    pub(crate) const fn is_stateless(&self) -> bool {
        self.stateless
    }

    /// Shows a frame that came in at `from`.
    pub(crate) fn show(
        &mut self,
        event: FrameEvent,
        bytes: &mut [u8],
        from: Port,
        now: Timestamp,
        counters: &mut Counters,
    ) -> Shown {
        let mut frame = FrameEdit::new(bytes, now, side(from));
        let reports = &mut self.reports;
        let verdict = match event {
            FrameEvent::Receive => self.policy.receive_frame(&mut frame, reports),
            FrameEvent::Datagram => self.policy.receive_datagram(&mut frame, reports),
            FrameEvent::Send => self.policy.send_frame(&mut frame, reports),
        };
        match (counted(counters, verdict), frame.into_change()) {
            (Verdict::Accept | Verdict::Shunt | Verdict::Bypass, (false, _)) => Shown::AsItWas,
            (Verdict::Accept | Verdict::Shunt | Verdict::Bypass, (true, None)) => Shown::Changed,
            (Verdict::Accept | Verdict::Shunt | Verdict::Bypass, (true, Some(bytes))) => {
                Shown::Replaced(bytes)
            }
            (Verdict::DropPacket | Verdict::Drop | Verdict::HalfReset | Verdict::Reset, _) => {
                Shown::Refused
            }
        }
    }

    /// Whether there may be something to take.
    #[inline]
    pub(crate) const fn makes_frames(&self) -> bool {
        self.interest.contains(Interest::INJECT)
    }

    /// Takes what the policy has made in the event that has just returned.
    pub(crate) fn made<L: Link>(
        &mut self,
        ports: &mut Ports<L>,
        mut take: impl FnMut(&mut Ports<L>, Made<L::Frame>),
    ) {
        if !self.makes_frames() {
            return;
        }
        for _ in 0..MADE_PER_EVENT_MAX {
            let Some(injected) = self.policy.take_injected() else { return };
            if let Some(made) = ports.make(&injected) {
                take(ports, made);
            }
        }
    }

    /// Tells that time has passed, once a second; for the first time before any frame, when rules may have made some as
    /// they began.
    pub(crate) fn tick(&mut self, now: Timestamp) -> bool {
        let second = now.nanos() / 1_000_000_000;
        let hears = self.interest.intersects(Interest::TICK.union(Interest::INJECT));
        let due = hears && self.ticked != Some(second);
        if due {
            self.ticked = Some(second);
            if self.interest.contains(Interest::TICK) {
                self.policy.tick(now, &mut self.reports);
            }
        }
        due
    }
}

const ONE_BY_ONE: Interest = Interest::RECEIVE_FRAME
    .union(Interest::RECEIVE_DATAGRAM)
    .union(Interest::SEND_FRAME)
    .union(Interest::INJECT);
/// A policy that never runs out of frames must not hold the worker up. What is over stays with the
/// policy until its next event.
const MADE_PER_EVENT_MAX: u32 = 4096;
