//! What a worker shows of itself: copies that others read, so that nobody ever waits.

use crossbeam::queue::ArrayQueue;
use tollgate_engine::{Counters, Gauges};
use tollgate_link::xsk::{Census, LinkCounts, QueueStatistics};
use tollgate_script::RuleErrors;

/// Delays that may wait to be read: a quarter of a second at one a millisecond, four times over.
const DELAYS_MAX: usize = 1024;

/// One worker's show-case. The worker puts things in, the control thread takes them out; both
/// queues are lock-free and bounded.
#[derive(Debug)]
pub(crate) struct Station {
    /// The newest copy only: an old one that nobody took is replaced.
    latest: ArrayQueue<Snapshot>,
    /// Lengths of turns that moved frames, in ns, sampled.
    delays: ArrayQueue<u64>,
}

/// A worker's numbers at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Since the start.
    pub counters: Counters,
    /// At that moment.
    pub gauges: Gauges,
    /// Alerts raised by rules and by the engine.
    pub alerts: u64,
    /// Reports that the engine had no room for.
    pub reports_lost: u64,
    /// Its queues.
    pub queues: Vec<QueueStatistics>,
    /// Where its chunks are.
    pub census: Census,
    /// What the link itself has lost or refused.
    pub link: LinkCounts,
    /// How often rules have failed.
    pub rule_errors: RuleErrors,
    /// Sets of rules that live: one, and those that older connections keep.
    pub rule_sets: usize,
}

impl Station {
    /// Empty.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self { latest: ArrayQueue::new(1), delays: ArrayQueue::new(DELAYS_MAX) }
    }

    /// Shows a newer copy.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        drop(self.latest.force_push(snapshot));
    }

    /// Takes the newest copy, if there is one since the last time.
    #[must_use]
    pub(crate) fn take(&self) -> Option<Snapshot> {
        self.latest.pop()
    }

    /// Shows the length of a turn. When nobody reads, it is lost: it was a sample anyway.
    pub(crate) fn delayed(&self, nanos: u64) {
        let _ = self.delays.push(nanos);
    }

    /// Takes the lengths out.
    pub(crate) fn delays(&self) -> impl Iterator<Item = u64> + '_ {
        std::iter::from_fn(|| self.delays.pop()).take(DELAYS_MAX)
    }
}

impl Default for Station {
    fn default() -> Self {
        Self::new()
    }
}
