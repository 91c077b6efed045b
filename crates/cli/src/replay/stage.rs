//! Several workers in one thread, in lock-step: what a run does on cores, without its races.
//!
//! Packets are dealt to workers in turn, as a card would that spreads them without regard to flows,
//! so that with more than one worker nearly every packet goes through the hand-off. After each
//! packet all workers take turns until nothing moves: the packet has then had its whole effect, and
//! what has left stands in the order in which it left.

use tollgate_engine::{Config, Counters, Mesh, Worker, mesh};
use tollgate_link::Port;
use tollgate_link::pcap::{Mends, PcapFrame, PcapLink};
use tollgate_policy::{Policy, Report};
use tollgate_wire::Timestamp;

/// Room in each ring between two workers. One packet at a time is under way.
const RING: usize = 8;
/// Turns after which a packet must have had its effect: received by one worker, handed over, acted
/// on by another, with room to spare. More would be a loop.
const TURNS_MAX: usize = 64;
/// A jump of the clock after which many timers may be due at once, in ns.
const JUMP_NS: u64 = 1_000_000_000;

/// The workers.
#[derive(Debug)]
pub struct Stage<P: Policy> {
    workers: Vec<Worker<PcapLink, P>>,
    dealt: usize,
    now: Timestamp,
}

impl<P: Policy> Stage<P> {
    /// One worker for each policy; `config` is the same for all but the worker's number.
    #[must_use]
    pub fn new(config: &Config, policies: Vec<P>) -> Self {
        let count = policies.len();
        let meshes: Vec<Mesh<PcapFrame>> = mesh(count, RING);
        let workers = policies.into_iter().zip(meshes).enumerate();
        let workers = workers
            .map(|(worker, (policy, mesh))| {
                let config = Config { workers: count, worker, ..config.clone() };
                Worker::new(config, PcapLink::default(), policy, mesh)
            })
            .collect();
        Self { workers, dealt: 0, now: Timestamp::default() }
    }

    /// Lets a packet arrive at `port` and have its whole effect. Captures do run backwards now and
    /// then; the clock does not.
    pub fn packet(&mut self, time: Timestamp, port: Port, bytes: &[u8]) {
        self.packet_mended(time, port, bytes, Mends::default());
    }

    /// The same with a packet in which something was made right.
    pub fn packet_mended(&mut self, time: Timestamp, port: Port, bytes: &[u8], mends: Mends) {
        let jumped = time.since(self.now).as_nanos() > u128::from(JUMP_NS);
        self.now = self.now.max(time);
        if jumped {
            self.expire();
        }
        let turn = self.dealt % self.workers.len().max(1);
        self.dealt += 1;
        if let Some(worker) = self.workers.get_mut(turn) {
            worker.link_mut().arrive_mended(port, time, bytes, mends);
        }
        self.settle();
    }

    /// Ends at the time of the last packet, which it gives: connections still open are ended, and
    /// what is held is dropped.
    pub fn finish(&mut self) -> Timestamp {
        let now = self.now;
        for worker in &mut self.workers {
            worker.finish(now);
        }
        now
    }

    /// Shows each frame that has left: with the time of its capture, or, if it was made here, of that.
    pub fn drain_frames(&mut self, mut show: impl FnMut(Port, Timestamp, &[u8])) {
        let now = self.now;
        for worker in &mut self.workers {
            worker.link_mut().drain(|port, time, frame| show(port, time.unwrap_or(now), frame));
        }
    }

    /// Shows each report, with the number of the worker that made it.
    pub fn drain_reports(&mut self, mut show: impl FnMut(usize, Report)) {
        for (number, worker) in self.workers.iter_mut().enumerate() {
            for report in worker.reports().drain() {
                show(number, report);
            }
        }
    }

    /// All workers added up.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for worker in &self.workers {
            sum += worker.counters();
        }
        sum
    }

    /// Alerts raised, and reports of which the engine had too many.
    #[must_use]
    pub fn alerts_and_lost(&mut self) -> (u64, u64) {
        self.workers.iter_mut().fold((0, 0), |(alerts, lost), worker| {
            let reports = worker.reports();
            (alerts + reports.alerts, lost + reports.lost)
        })
    }

    /// Frames that workers have neither sent nor given back.
    #[must_use]
    pub fn outstanding(&self) -> i64 {
        self.workers.iter().map(|worker| worker.link().outstanding()).sum()
    }

    /// The policies, worker by worker.
    pub fn policies_mut(&mut self) -> impl Iterator<Item = &mut P> {
        self.workers.iter_mut().map(Worker::policy_mut)
    }

    fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            for worker in &mut self.workers {
                worker.poll(self.now);
            }
            if self.is_quiet() {
                return;
            }
        }
        debug_assert!(false, "a packet has its effect within {TURNS_MAX} turns");
    }

    /// Takes turns until no timer is due: each turn expires a bounded number.
    fn expire(&mut self) {
        let mut before = None;
        loop {
            let ended: u64 = self.counters().phases.iter().sum();
            if before == Some(ended) {
                return;
            }
            before = Some(ended);
            for worker in &mut self.workers {
                worker.poll(self.now);
            }
        }
    }

    /// Nothing waits to be received, and nothing is in a ring.
    fn is_quiet(&self) -> bool {
        let (mut handed_out, mut handed_in) = (0, 0);
        for worker in &self.workers {
            handed_out += worker.counters().handed_out;
            handed_in += worker.counters().handed_in;
            if worker.link().is_waiting() {
                return false;
            }
        }
        handed_out == handed_in
    }
}
