//! The worker: one core, its links, its flows, its policy, and the only loop.

mod early;
mod expire;
mod frames;
mod handshake;
mod icmp;
mod receive;
mod remedy;
mod resume;
mod track;

use ahash::RandomState;
use tollgate_link::{Link, Port};
use tollgate_policy::{Phase, Policy, Reports};
use tollgate_tcp::{Next, State, Timeouts};
use tollgate_wire::{Packet, Timestamp};

use crate::buffer::Buffer;
use crate::config::Config;
use crate::counters::{Cause, Counters, Reason};
use crate::flow::{Context, Flow};
use crate::flow_table::Foreseen;
use crate::fragments::Fragments;
use crate::half_open::{HalfOpens, Lots};
use crate::held::HeldTotal;
use crate::identity::Standing;
use crate::mesh::Mesh;
use crate::neighbours::Neighbours;
use crate::ports::Ports;
use crate::rate::Rate;
use crate::retained::Retained;
use crate::rules::{FrameEvent, Numbers, Rules};
use crate::store::Store;
use frames::Pending;
use icmp::Notice;

/// One core's share of the traffic. Owns everything it touches; shares nothing.
#[derive(Debug)]
pub struct Worker<L: Link, P> {
    config: Config,
    ports: Ports<L>,
    rules: Rules<P>,
    mesh: Mesh<L::Frame>,
    flows: Store<Flow<L::Frame>>,
    half_open: HalfOpens,
    fragments: Fragments<L::Frame>,
    /// The timeouts for when a table is nearly full.
    pressed: Timeouts,
    lots: Lots,
    numbers: Numbers,
    held: HeldTotal,
    /// Until then connections that are not known are picked up: frames have crossed unseen.
    pick_up_until: Timestamp,
    retained: Retained,
    /// Until now TCP was not followed, and at the next turn it is.
    resumes: bool,
    /// Flows by [`Standing`].
    standings: [u64; Standing::PLACES],
    /// Half-open connections that cross uninspected.
    half_open_unseen: u64,
    /// RSTs to senders of packets of no connection.
    refusals: Rate,

    // Scratch, empty between turns; here so that no turn allocates.
    frames: Vec<L::Frame>,
    arrivals: Vec<Arrival<L::Frame>>,
    /// The flows that they probably belong to.
    foreseen: Vec<Foreseen>,
    /// No flow was opened since.
    foreseen_holds: bool,
    notices: Vec<Notice<L::Frame>>,
    handed: Vec<(L::Frame, Port)>,
    /// What has still to be done with frames that rules look at one by one; the newest is the next.
    pending: Vec<Pending<L::Frame>>,
    /// For datagrams that are longer than a frame.
    memory: Vec<u8>,
    ready: Vec<Next<Buffer<L::Frame>>>,
}

/// A packet that has been parsed and found whole.
#[derive(Debug)]
struct Arrival<F> {
    packet: Packet<F>,
    port: Port,
    hash: u64,
}

/// What a turn has done; all zero means that there was nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Frames taken from the link.
    pub received: u64,
    /// Frames taken from other workers.
    pub handed_in: u64,
    /// Frames sent.
    pub transmitted: u64,
    /// Timers looked at.
    pub timers: u64,
}

/// Levels at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Established and closing connections by state, in order of [`State::ALL`].
    pub flows: [u64; State::ALL.len()],
    /// Refused connections that are remembered, half-open ones not among them.
    pub zombies: u64,
    /// Connections that cross and that no rule sees.
    pub bypassed: u64,
    /// Connections of which one end has spoken, and which are followed when the other does.
    pub one_sided: u64,
    /// Connections that cross without being received.
    pub shunted: u64,
    /// Half-open connections, refused ones among them.
    pub half_open: u64,
    /// Frames that wait behind a gap.
    pub held_frames: u64,
    /// Bytes that wait behind a gap, in those frames or as copies of such as have left.
    pub held_bytes: u64,
    /// Runs of them without a gap in them.
    pub held_extents: u64,
    /// Bytes that have left and are remembered until they are acknowledged.
    pub retained_bytes: u64,
    /// Fragments that wait for others.
    pub fragments: u64,
    /// Datagrams that they belong to.
    pub datagrams: u64,
    /// The flow table is nearly full, so that connections are forgotten sooner.
    pub flows_pressed: bool,
    /// The same of the half-open connections.
    pub half_open_pressed: bool,
}

/// RSTs a second to senders of packets of no connection. A guess: more than honest connections need
/// after a restart, less than a flood of forged packets would bring down on someone.
const REFUSALS_PER_SECOND_MAX: u32 = 1000;

impl<L: Link, P: Policy> Worker<L, P> {
    /// A worker; `mesh` is its share of [`crate::mesh()`], or [`Mesh::alone`].
    #[must_use]
    pub fn new(config: Config, link: L, policy: P, mesh: Mesh<L::Frame>) -> Self {
        let [a, b, c, d] = config.hash_keys;
        let hasher = RandomState::with_seeds(a, b, c, d);
        let batch = config.batch_max.max(1);
        let arrivals = batch * (2 + config.workers.saturating_sub(1));
        let rules = Rules::new(policy, &config);
        let mut ports = Ports::new(link, Neighbours::new(hasher.clone()), &config);
        ports.transit.gated = rules.wants(FrameEvent::Send);
        Self {
            ports,
            rules,
            mesh,
            flows: Store::new(config.flows_max, hasher.clone()),
            half_open: HalfOpens::new(config.half_open_max, hasher.clone()),
            fragments: Fragments::new(config.datagrams_max, config.fragments_max, hasher),
            pressed: config.timeouts.under_pressure(),
            lots: Lots::new(config.seed),
            numbers: Numbers::new(),
            held: HeldTotal::new(&config),
            pick_up_until: Timestamp::default(),
            retained: Retained::new(&config),
            resumes: false,
            standings: [0; Standing::PLACES],
            half_open_unseen: 0,
            refusals: Rate::new(REFUSALS_PER_SECOND_MAX),
            frames: Vec::with_capacity(batch),
            arrivals: Vec::with_capacity(arrivals),
            foreseen: Vec::with_capacity(arrivals),
            foreseen_holds: false,
            notices: Vec::with_capacity(arrivals),
            handed: Vec::with_capacity(arrivals),
            pending: Vec::new(),
            memory: Vec::new(),
            ready: Vec::with_capacity(64),
            config,
        }
    }

    /// One bounded turn, at the time `now`:
    ///
    /// 1. receive a batch from each port, parse and verify each packet;
    /// 2. take in what other workers hand over, and hand over what is theirs;
    /// 3. load the buckets of all packets, then their records, so that cache misses overlap;
    /// 4. in the order of arrival: look up, track, ask the rules, forward or drop;
    /// 5. send each port's batch, once;
    /// 6. let timers go off, and send what they bring;
    /// 7. check that every frame has a fate.
    pub fn poll(&mut self, now: Timestamp) -> Turn {
        let before = self.totals();
        self.begin_turn(now);
        self.receive(now); // 1
        self.exchange(now); // 2
        self.look_ahead(); // 3
        self.track(now); // 4
        self.ports.flush(); // 5
        let timers = self.expire(now); // 6
        self.check_balance(); // 7
        let after = self.totals();
        Turn {
            received: after.received - before.received,
            handed_in: after.handed_in - before.handed_in,
            transmitted: after.transmitted - before.transmitted,
            timers,
        }
    }

    /// The end: everything that waits is dropped and counted, and `end_connection` is told for every
    /// connection that is still open.
    pub fn finish(&mut self, now: Timestamp) {
        self.exiting(now);
        let mut handed = Vec::new();
        self.mesh.receive(usize::MAX, |message| handed.push(message.into_frame()));
        for frame in handed {
            self.ports.counters.handed_in += 1;
            self.ports.drop(frame, Reason::Cause(Cause::Stopped));
        }
        self.fragments.clear(&mut self.ports);
        for number in self.half_open.numbers() {
            self.close_half_open(number, Phase::Stopped, now);
        }
        for number in self.flows.numbers() {
            self.close_flow(number, Some(Phase::Stopped), Cause::Stopped, now);
        }
        self.finish_frames(now);
        self.ports.flush();
        self.check_balance();
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.ports.counters
    }

    /// Levels at this moment.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let mut flows = [0; State::ALL.len()];
        for (flows, standing) in flows.iter_mut().zip(&self.standings) {
            *flows = *standing;
        }
        let of = |standing: Standing| self.standings.get(standing.index()).copied().unwrap_or(0);
        Gauges {
            flows,
            zombies: of(Standing::Zombie),
            bypassed: of(Standing::Bypassed(State::Established)) + self.half_open_unseen,
            one_sided: of(Standing::OneSided),
            shunted: of(Standing::Shunted(State::Established)),
            half_open: self.half_open.len() as u64 - self.half_open_unseen,
            held_frames: self.held.frames,
            held_bytes: self.held.bytes,
            held_extents: self.held.extents,
            retained_bytes: self.retained.bytes(),
            fragments: self.fragments.frames(),
            datagrams: self.fragments.datagrams(),
            flows_pressed: self.flows.is_pressed(),
            half_open_pressed: self.half_open.is_pressed(),
        }
    }

    /// What rules and engine have to say; drain it.
    pub const fn reports(&mut self) -> &mut Reports {
        &mut self.rules.reports
    }

    /// The link.
    #[must_use]
    pub const fn link(&self) -> &L {
        &self.ports.link
    }

    /// The link, for what its backend offers besides [`Link`].
    pub const fn link_mut(&mut self) -> &mut L {
        &mut self.ports.link
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> &P {
        &self.rules.policy
    }

    /// The policy, to look into. To exchange it use [`Worker::replace_policy`].
    pub const fn policy_mut(&mut self) -> &mut P {
        &mut self.rules.policy
    }

    /// Puts another policy in place, for the next packet on, and gives the old one back. Tags that
    /// the old one left in flows stay.
    pub fn replace_policy(&mut self, policy: P) -> P {
        self.change_policy(|own, _| std::mem::replace(own, policy))
    }

    /// Changes the policy between two packets, and asks it anew what it listens to; the reports take
    /// what there is to say about that.
    pub fn change_policy<R>(&mut self, change: impl FnOnce(&mut P, &mut Reports) -> R) -> R {
        let Rules { policy, reports, .. } = &mut self.rules;
        let result = change(policy, reports);
        let was_stateless = self.rules.is_stateless();
        self.rules.refresh(self.numbers.coming());
        self.ports.transit.gated = self.rules.wants(FrameEvent::Send);
        self.resumes |= was_stateless && !self.rules.is_stateless();
        result
    }

    /// The configuration it was made with.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// 7. In a test a frame without a fate is fatal; in a release it is counted, for an alarm.
    fn check_balance(&mut self) {
        let counters = &self.ports.counters;
        debug_assert_eq!(counters.balance(), 0, "{counters:?}");
        debug_assert_eq!(counters.held, self.held.frames + self.fragments.frames());
        if counters.balance() != 0 {
            self.ports.counters.unbalanced_turns += 1;
        }
    }

    fn totals(&self) -> Turn {
        let Counters { ports: [a, b], handed_in, .. } = self.ports.counters;
        Turn {
            received: a.received_frames + b.received_frames,
            handed_in,
            transmitted: a.transmitted_frames + b.transmitted_frames,
            timers: 0,
        }
    }
}

/// A flow's view of its worker, and the flows beside it: two halves that do not overlap.
fn split<L: Link, P>(
    worker: &mut Worker<L, P>,
    now: Timestamp,
) -> (&mut Store<Flow<L::Frame>>, Context<'_, L, P>) {
    let context = Context {
        ports: &mut worker.ports,
        rules: &mut worker.rules,
        config: &worker.config,
        ready: &mut worker.ready,
        held: &mut worker.held,
        retained: &mut worker.retained,
        now,
    };
    (&mut worker.flows, context)
}
