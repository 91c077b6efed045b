//! Stage 6: connections and fragments that have been silent for too long.

use std::time::Duration;

use arrayvec::ArrayVec;
use tollgate_link::Link;
use tollgate_policy::{Phase, Policy};
use tollgate_tcp::Timeouts;
use tollgate_wire::Timestamp;

use super::{Worker, split};
use crate::counters::Cause;

impl<L: Link, P: Policy> Worker<L, P> {
    /// Stage 6: looks at a bounded number of records whose timers have gone off, and gives the number.
    /// Those that have been used meanwhile are armed again; a backlog waits for the next turn.
    pub(super) fn expire(&mut self, now: Timestamp) -> u64 {
        self.fragments.expire(now, &mut self.ports);
        let silent = self.forget_silent(now);
        let looked_at = silent + self.expire_flows(now) + self.expire_half_open(now);
        if self.rules.goes_one_by_one() {
            self.track(now);
        }
        if looked_at > 0 {
            // A gap that is too old may have sent something, and so may who was given up.
            self.ports.flush();
        }
        looked_at
    }

    fn expire_flows(&mut self, now: Timestamp) -> u64 {
        let timeouts = self.timeouts(self.flows.is_pressed());
        let mut due = ArrayVec::new();
        self.flows.due(&mut due, now);
        for &number in &due {
            let Some(flow) = self.flows.get_mut(number) else { continue };
            flow.learn(&mut self.ports, now);
            // A clock that was set back must not keep a flow for ever.
            flow.about.last_seen = flow.about.last_seen.min(now);
            let deadline = flow.deadline(&timeouts);
            if deadline > now {
                let mut look = now + flow.standing().timeout(&self.pressed);
                if flow.is_shunted() {
                    look = look.min(now + SHUNT_LOOK);
                }
                if self.gaps_remain(number, now) {
                    look = look.min(now + GAP_LOOK);
                }
                if let Some(next) = self.say_farewell(number, now) {
                    look = look.min(next);
                }
                self.flows.arm(number, deadline.min(look), now);
                self.settle(number, now);
            } else {
                self.close_flow(number, None, Cause::Expired, now);
            }
        }
        due.len() as u64
    }

    /// While there is little room left to remember what is in flight, looks for those who keep it to
    /// themselves.
    fn forget_silent(&mut self, now: Timestamp) -> u64 {
        let mut looked_at = 0;
        for number in self.retained.next_silent(self.flows.numbers(), now) {
            let (flows, mut context) = split(self, now);
            if let Some(flow) = flows.get_mut(number) {
                looked_at += 1;
                flow.forget_silent(&mut context);
                self.settle(number, now);
            }
            if self.retained.is_spent(number) {
                break;
            }
        }
        looked_at
    }

    /// Looks at the gaps of a flow; those older than they may be meet what is configured.
    fn gaps_remain(&mut self, number: u32, now: Timestamp) -> bool {
        let frames_max = self.config.held_frames_max;
        let is_pressed = self.held.frames >= frames_max - frames_max / 16;
        let gap = self.config.remedies.gap;
        let max = if is_pressed { gap.min(GAP_LOOK) } else { gap };
        let max_ms = u32::try_from(max.as_millis()).unwrap_or(u32::MAX);
        let (flows, mut context) = split(self, now);
        flows.get_mut(number).is_some_and(|flow| flow.look_at_gaps(&mut context, max_ms))
    }

    /// Sends the RSTs of a flow again that may be lost. Gives the next time to do so.
    fn say_farewell(&mut self, number: u32, now: Timestamp) -> Option<Timestamp> {
        self.flows.get_mut(number)?.say_farewell(&mut self.ports, now)
    }

    fn expire_half_open(&mut self, now: Timestamp) -> u64 {
        let timeouts = self.timeouts(self.half_open.is_pressed());
        let mut due = ArrayVec::new();
        self.half_open.due(&mut due, now);
        for &number in &due {
            let Some(record) = self.half_open.get_mut(number) else { continue };
            if let Some(below) = &mut record.below
                && let Some(growth) = below.look(&mut self.ports.link)
            {
                record.about.grow(&growth, &mut self.ports.counters.shunts, now);
            }
            record.about.last_seen = record.about.last_seen.min(now);
            let deadline = record.deadline(&timeouts);
            if deadline > now {
                let mut look = now + record.timeout(&self.pressed);
                if record.below.is_some() {
                    look = look.min(now + SHUNT_LOOK);
                }
                self.half_open.arm(number, deadline.min(look), now);
            } else {
                self.close_half_open(number, Phase::Expired, now);
            }
        }
        due.len() as u64
    }

    /// The timeouts that hold now: shorter ones when the table is nearly full. Every record is looked
    /// at as often as those would have it, so that they may come into force at any time.
    const fn timeouts(&self, is_pressed: bool) -> Timeouts {
        if is_pressed { self.pressed } else { self.config.timeouts }
    }
}

/// How often a flow with a gap is looked at, and how old one may become when there is little room left
/// to hold what waits: three of the retransmission timeouts that a sender begins with (RFC 6298
/// section 2).
pub(super) const GAP_LOOK: Duration = Duration::from_secs(3);
/// How often the link is asked what has come of a connection that it lets cross or drops: so old the
/// counts may be, and so much longer a silent one may be kept. A guess: it costs two system calls.
pub(super) const SHUNT_LOOK: Duration = Duration::from_secs(5);
