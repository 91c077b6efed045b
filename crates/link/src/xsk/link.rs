//! One worker's view of a pair.

use std::{sync::Arc, time::Duration};

use super::{
    Census, LinkCounts, QueueStatistics, Verdict, both::Both, exchange::Home, frame::XskFrame,
    heartbeat::coarse_now_ns, pair::Shares, queue::Queue,
};
use crate::shunt::{NoShunt, Shunt, Shunted, Way};
use crate::{Link, Port};

/// How long a worker may sleep whose siblings may send it frames: they do not wake it.
const NAP_MAX: Duration = Duration::from_millis(1);
/// How long any worker may sleep. A guess: rare enough to cost nothing.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// A [`Link`] of AF_XDP sockets: the queues of both ports that were dealt to one worker.
///
/// Every [`receive`](Link::receive) is a turn of its port: it takes back what was sent and what
/// siblings sent home, sends what siblings entrusted, tops up the fill rings, stamps the heartbeat,
/// and then receives. So both ports must be received from in turn, also by a worker without queues.
#[derive(Debug)]
pub struct XskLink {
    worker: usize,
    /// Of port A, of port B. Above `shares`: sockets close before what they stand on goes.
    queues: Both<Vec<Queue>>,
    /// The queue to receive from first, so that one that is always full cannot starve the others.
    first: Both<usize>,
    home: Home,
    /// The last turn of each port.
    turned_ns: Both<u64>,
    /// A worker that was away for longer has been bypassed; 0 if that is never done.
    stale_ns: u64,
    /// Frames that the steering program of each port had bypassed when this was last looked at.
    bypassed: Both<u64>,
    counts: LinkCounts,
    polled: Vec<libc::pollfd>,
    shares: Arc<Shares>,
}

impl XskLink {
    pub(super) fn new(
        worker: usize,
        queues: Both<Vec<Queue>>,
        home: Home,
        stale_ns: u64,
        shares: Arc<Shares>,
    ) -> Self {
        let polled = queues
            .iter()
            .flatten()
            .map(|queue| libc::pollfd { fd: queue.fd(), events: libc::POLLIN, revents: 0 })
            .collect();
        let now = coarse_now_ns();
        Self {
            worker,
            queues,
            first: Both::default(),
            home,
            turned_ns: Both { a: now, b: now },
            stale_ns,
            bypassed: Both::default(),
            counts: LinkCounts::default(),
            polled,
            shares,
        }
    }

    /// Fills the fill rings before anything is steered here: with a wake-up each, since some drivers
    /// lose buffers when they find the ring empty.
    pub(super) fn prime(&mut self) {
        for port in Port::BOTH {
            for queue in &mut self.queues[port] {
                queue.refill(&mut self.home);
            }
            self.stamp(port, coarse_now_ns());
        }
    }

    /// Lets the steering program know the sockets: from now on, frames come.
    pub(super) fn announce(&self) -> libbpf_rs::Result<()> {
        for port in Port::BOTH {
            for queue in &self.queues[port] {
                self.shares.sockets[port].insert(queue.id(), queue.fd())?;
            }
        }
        Ok(())
    }

    /// The worker's number, from 0.
    #[must_use]
    pub const fn worker(&self) -> usize {
        self.worker
    }

    /// Sleeps until a frame arrives at one of this worker's queues, or for `timeout`, and less where
    /// it must: 1 ms when siblings may send frames to this worker, since only its next turn sees
    /// them, and a quarter of the time after which it would be bypassed.
    pub fn wait(&mut self, timeout: Duration) {
        for port in Port::BOTH {
            self.service(port);
        }
        let mut timeout = timeout.min(SLEEP_MAX);
        if self.home.has_siblings() {
            timeout = timeout.min(NAP_MAX);
        }
        if self.stale_ns != 0 {
            timeout = timeout.min(Duration::from_nanos(self.stale_ns / 4));
        }
        if self.polled.is_empty() {
            std::thread::sleep(timeout);
            return;
        }
        let timeout = libc::timespec {
            tv_sec: 0,
            tv_nsec: libc::c_long::from(timeout.subsec_nanos().min(999_999_999)),
        };
        let count = libc::nfds_t::try_from(self.polled.len()).unwrap_or(0);
        // SAFETY: the array has `count` elements, whose sockets are open as long as the queues are;
        // the time lives across the call, and no signal mask is given.
        unsafe {
            libc::ppoll(self.polled.as_mut_ptr(), count, &raw const timeout, std::ptr::null())
        };
    }

    /// Where this worker's frames are.
    #[must_use]
    pub fn census(&self) -> Census {
        let queues = || self.queues.iter().flatten();
        Census {
            given: u64::from(self.home.shared().layout.frames_each),
            free: self.home.free() as u64,
            filled: queues().map(|queue| u64::from(queue.filled())).sum(),
            in_flight: queues().map(|queue| u64::from(queue.in_flight())).sum(),
            held: self.home.held(),
            exchanged: self.home.exchanged(),
        }
    }

    /// What this worker's queues have done: one system call each.
    pub fn statistics(&self) -> impl Iterator<Item = QueueStatistics> + '_ {
        Port::BOTH.into_iter().flat_map(move |port| {
            self.queues[port].iter().map(move |queue| QueueStatistics {
                port,
                queue: queue.id(),
                counts: queue.counts(),
                filled: queue.filled(),
                in_flight: queue.in_flight(),
            })
        })
    }

    /// Times that frames crossed without this worker, because it was late
    /// ([`LinkCounts::bypassed`]); cheap enough to ask every turn.
    #[must_use]
    pub const fn bypasses(&self) -> u64 {
        self.counts.bypassed
    }

    /// What the link itself has lost or refused.
    #[must_use]
    pub fn counts(&self) -> LinkCounts {
        LinkCounts {
            refused: self.home.refused,
            orphaned: self.home.shared().orphaned(),
            ..self.counts
        }
    }

    /// The [address](XskFrame::address) of the frame that the kernel gave back last after sending it
    /// out of `port`, whichever queue it was.
    #[must_use]
    pub fn last_completed(&self, port: Port) -> Option<usize> {
        self.queues[port].iter().find_map(Queue::last_completed)
    }

    /// What a turn does for `port` besides receiving.
    fn service(&mut self, port: Port) {
        self.home.collect();
        for queue in &mut self.queues[port] {
            queue.reap(&mut self.home);
        }
        if let Some(queue) = self.queues[port].first_mut() {
            queue.transmit_entrusted(&mut self.home, port);
            // Also what a kernel before 6.17 left of the last batch.
            queue.kick();
        }
        for queue in &mut self.queues[port] {
            queue.refill(&mut self.home);
        }
        self.beat(port);
    }

    /// Tells the steering program that this worker turns.
    ///
    /// If it was away for so long that frames may have crossed in the kernel, and some have, then what
    /// lies in its receive rings came before those and would leave after them: it is thrown away. What
    /// arrives between the stamp and that goes with it.
    fn beat(&mut self, port: Port) {
        let now_ns = coarse_now_ns();
        let away_ns = now_ns.saturating_sub(self.turned_ns[port]);
        self.stamp(port, now_ns);
        if self.stale_ns == 0 || away_ns <= self.stale_ns {
            return;
        }
        self.counts.late += 1;
        let bypassed = self.shares.verdicts[port].read().map(|counts| counts.of(Verdict::Bypassed));
        // If it cannot be known, the worse is assumed.
        let bypassed = bypassed.map_or(u64::MAX, |count| count.frames);
        if bypassed == self.bypassed[port] {
            return;
        }
        self.bypassed[port] = bypassed;
        self.counts.bypassed += 1;
        for queue in &mut self.queues[port] {
            self.counts.stale += queue.discard(&mut self.home) as u64;
        }
    }

    fn stamp(&mut self, port: Port, now_ns: u64) {
        self.turned_ns[port] = now_ns;
        let heartbeats = &self.shares.heartbeats[port];
        for queue in &self.queues[port] {
            heartbeats.stamp(queue.id(), now_ns);
        }
    }
}

impl Link for XskLink {
    type Frame = XskFrame;

    fn receive(&mut self, port: Port, batch: &mut Vec<XskFrame>) -> usize {
        self.service(port);
        let queues = &mut self.queues[port];
        let count = queues.len();
        let first = self.first[port];
        let mut received = 0;
        for nth in 0..count {
            let room = batch.capacity() - batch.len();
            if let Some(queue) = queues.get_mut((first + nth) % count) {
                received += queue.receive(&mut self.home, batch, room);
            }
        }
        self.first[port] = if count == 0 { 0 } else { (first + 1) % count };
        debug_assert!(self.census().balances(), "a frame is lost: {:?}", self.census());
        received
    }

    /// Sends through the first of the worker's queues on `port`, so that no two frames overtake each
    /// other: one system call. Without one, a sibling sends them in its next turn.
    fn transmit(&mut self, port: Port, batch: &mut Vec<XskFrame>) -> usize {
        if batch.is_empty() {
            return 0;
        }
        let Some(queue) = self.queues[port].first_mut() else {
            return self.home.entrust(port, batch);
        };
        queue.reap(&mut self.home);
        let sent = queue.transmit(&mut self.home, batch);
        queue.kick();
        sent
    }

    fn release(&mut self, frame: XskFrame) {
        self.home.release(frame);
    }

    fn frame(&mut self) -> Option<XskFrame> {
        self.home.forge()
    }

    fn shunt(&mut self, shunt: &Shunt) -> Result<(), NoShunt> {
        self.shares.shunts[shunt.way.port].insert(shunt)
    }

    fn shunted(&mut self, way: &Way) -> Option<Shunted> {
        self.shares.shunts[way.port].seen(way)
    }

    fn unshunt(&mut self, way: &Way) -> Option<Shunted> {
        self.shares.shunts[way.port].remove(way)
    }
}

impl Drop for XskLink {
    /// Takes the sockets out of the steering program before they close.
    fn drop(&mut self) {
        for port in Port::BOTH {
            for queue in &self.queues[port] {
                self.shares.sockets[port].remove(queue.id());
            }
        }
        self.home.shared().settle(self.home.held());
    }
}
