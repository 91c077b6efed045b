//! After a bypass: everything goes on, though something was missed.

use std::time::Duration;

use tollgate_link::Link;
use tollgate_policy::{Phase, Policy};
use tollgate_wire::Timestamp;

use super::Worker;
use crate::config::Midstream;

/// How long after a bypass connections may turn up whose beginning was missed. A guess: a client
/// that had just connected has spoken by then.
const PICK_UP: Duration = Duration::from_secs(60);

impl<L: Link, P: Policy> Worker<L, P> {
    /// Frames have crossed without this worker: connections are taken up again at their next
    /// packet. Handshakes under way are forgotten, since what completes them may have been missed;
    /// for a minute, a connection that is not known is taken up in its middle where
    /// [`Config::midstream`](crate::Config::midstream) would drop it, and shown to the rules as a new
    /// one. What was refused stays refused.
    ///
    /// The cost is a pass over all connections.
    pub fn resume(&mut self, now: Timestamp) {
        self.ports.counters.resumed += 1;
        for number in self.flows.numbers() {
            if let Some(flow) = self.flows.get_mut(number) {
                flow.bypassed();
            }
        }
        for number in self.half_open.numbers() {
            if self.half_open.get_mut(number).is_some_and(|entry| entry.about.zombie.is_none()) {
                self.close_half_open(number, Phase::Evicted, now);
            }
        }
        self.pick_up_until = now + PICK_UP;
    }

    /// What to do with a packet of no known connection.
    pub(super) fn midstream(&self, now: Timestamp) -> Midstream {
        match self.config.midstream {
            Midstream::Drop | Midstream::Reset if now < self.pick_up_until => Midstream::Pickup,
            configured => configured,
        }
    }
}
