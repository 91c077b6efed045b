//! One worker on a link in memory, and the clock that is held to it.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tollgate_engine::{Config, Mesh, Worker};
use tollgate_link::Port;
use tollgate_policy::{Data, Flow, Interest, Policy, Reports, Verdict};
use tollgate_wire::{Direction, Timestamp};

use crate::burst::BurstLink;

/// Frames between two looks at the clock. Enough to make the clock free, and to push the oldest of
/// them out of the first cache level, as a card's ring does.
pub const BURST: usize = 512;
/// Traffic time that passes with a packet: ten million packets a second.
const PACKET_SPACING: Duration = Duration::from_nanos(100);

/// A worker and its time.
#[derive(Debug)]
pub struct Driver<P> {
    worker: Worker<BurstLink, P>,
    now: Timestamp,
}

/// What a burst came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Processor time from the first `receive` to the last `transmit`.
    pub spent: Duration,
    /// Frames that left.
    pub left: usize,
}

impl<P: Policy> Driver<P> {
    /// A worker whose link has `frames` frames.
    #[must_use]
    pub fn new(config: Config, policy: P, frames: usize) -> Self {
        let worker = Worker::new(config, BurstLink::new(frames), policy, Mesh::alone());
        Self { worker, now: Timestamp::from_secs(1) }
    }

    /// The worker.
    #[must_use]
    pub const fn worker(&self) -> &Worker<BurstLink, P> {
        &self.worker
    }

    /// Lets `write` fill a frame that will arrive; it gives port and length. False when the link has
    /// no frame left.
    pub fn arrive(&mut self, write: impl FnOnce(&mut [u8]) -> (Port, usize)) -> bool {
        self.worker.link_mut().arrive(write)
    }

    /// Lets the worker take everything that arrives.
    #[inline(never)]
    pub fn take(&mut self) -> Taken {
        self.worker.link_mut().begin();
        let begin = processor_time();
        let mut now = self.now;
        loop {
            let turn = self.worker.poll(now);
            if turn.received == 0 {
                break;
            }
            now = now + PACKET_SPACING * u32::try_from(turn.received).unwrap_or(1);
        }
        let spent = processor_time().saturating_sub(begin);
        self.now = now;
        // Nobody reads them, but they have to go.
        self.worker.reports().drain().for_each(drop);
        Taken { spent, left: self.worker.link_mut().recycle() }
    }

    /// Lets `span` of traffic time pass without a frame, in steps of a second.
    pub fn wait(&mut self, span: Duration) {
        for _ in 0..span.as_secs() {
            self.now = self.now + Duration::from_secs(1);
            // Timers are worked off a bounded number a turn.
            while self.worker.poll(self.now).timers > 0 {}
        }
        self.worker.link_mut().recycle();
    }
}

/// Every flow once, then all over again, with steps of the golden section: no two that follow each
/// other lie side by side, and none comes twice in a burst (its second frame would acknowledge what
/// its peer has not said yet, for the ports of a burst are not served in order of time).
#[derive(Debug)]
pub struct Turns {
    flows: usize,
    step: usize,
    at: usize,
}

impl Turns {
    /// Turns of so many flows.
    #[must_use]
    pub fn new(flows: usize) -> Self {
        let section = (flows as u128 * 618_034 / 1_000_000).try_into().unwrap_or(1);
        let step = (section..).find(|&step| is_coprime(step, flows)).unwrap_or(1);
        Self { flows, step, at: 0 }
    }

    /// Whose turn it is now.
    pub const fn next(&mut self) -> usize {
        self.at = (self.at + self.step) % self.flows;
        self.at
    }
}

const fn is_coprime(mut a: usize, mut b: usize) -> bool {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

/// What this thread has had of a processor: whoever else is served meanwhile does not count, and only
/// spoils the caches.
pub(crate) fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// A rule that looks at the first byte of all data, and lets it pass.
#[derive(Debug, Default)]
pub struct Look {
    seen: u64,
    /// The position after the last byte it was shown, of whichever stream that was.
    pub offset: u64,
}

impl Policy for Look {
    fn interest(&self) -> Interest {
        Interest::RECEIVE_DATA
    }

    fn receive_data(
        &mut self,
        _flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        _direction: Direction,
        _reports: &mut Reports,
    ) -> Verdict {
        self.seen += data
            .chunks()
            .iter()
            .filter_map(|chunk| chunk.first())
            .map(|&byte| u64::from(byte))
            .sum::<u64>();
        self.offset = data.end_offset();
        Verdict::Accept
    }
}

/// A rule that is shown all data, and does nothing with it.
#[derive(Debug, Default)]
pub struct Nothing;

impl Policy for Nothing {
    fn interest(&self) -> Interest {
        Interest::RECEIVE_DATA
    }
}

/// A rule that takes the first bytes out of everything it is shown, so that no segment leaves as it came
/// and no number is the same on both sides.
#[derive(Debug, Default)]
pub struct Shorten {
    /// The position after the last byte it was shown, of whichever stream that was.
    pub offset: u64,
}

impl Shorten {
    /// Bytes that it takes out.
    pub const BY: usize = 2;
}

impl Policy for Shorten {
    fn interest(&self) -> Interest {
        Interest::RECEIVE_DATA | Interest::EDIT_DATA
    }

    fn receive_data(
        &mut self,
        _flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        _direction: Direction,
        _reports: &mut Reports,
    ) -> Verdict {
        self.offset = data.end_offset();
        let start = data.offset();
        match data.erase(start..start + Self::BY as u64) {
            Ok(()) => Verdict::Accept,
            Err(_) => Verdict::Drop,
        }
    }
}
