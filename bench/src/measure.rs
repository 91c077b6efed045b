//! One case, measured: the connections are opened, caches warmed up, and rounds timed.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tollgate_engine::{Config, Timeouts};
use tollgate_link::Port;
use tollgate_policy::Policy;

use crate::cases::{Case, Kind, Spread};
use crate::conversation::{Conversations, HANDSHAKE_STEPS, LIFE_STEPS};
use crate::driver::{BURST, Driver};
use crate::pick::Pick;

/// How long.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Figures.
    pub rounds: usize,
    /// Measured time of each.
    pub time: Duration,
    /// Bursts of each instead of a time.
    pub bursts: Option<usize>,
    /// Frames that the worker takes from each port in a turn.
    pub batch_max: usize,
}

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Nanoseconds a packet of the handshakes; none where they are what is measured.
    pub opening: Option<f64>,
    /// Nanoseconds a packet in each round.
    pub rounds: Vec<f64>,
    /// Resident memory that a flow has added, in bytes; none where there are too few to tell.
    pub flow_bytes: Option<f64>,
}

/// Bursts that a measurement of one round of so many has in all.
#[must_use]
pub const fn bursts(round: usize) -> usize {
    round + warming(round)
}

const fn warming(round: usize) -> usize {
    round / 4
}

/// Measures one case under `policy`.
///
/// # Errors
///
/// A frame was lost, or a counter is wrong.
pub fn run<P: Policy>(case: &Case, effort: Effort, policy: P) -> anyhow::Result<Figures> {
    let room = case.flows + case.flows / 8 + 8 * BURST;
    let config = Config {
        flows_max: room,
        half_open_max: 1 << 12,
        batch_max: effort.batch_max,
        // A million flows have a segment each in flight; where there is no room to remember it, it would not leave.
        retained_bytes_max: 4 << 30,
        timeouts: Timeouts { time_wait: TIME_WAIT, ..Timeouts::default() },
        ..Config::default()
    };
    let talk = Conversations::with_lengths(case.flows, &case.mix.lengths());
    let mut bench = Bench {
        driver: Driver::new(config, policy, 2 * BURST + HELD_MAX),
        talk: talk.with_early(case.early),
        pick: match case.spread {
            Spread::Uniform => Pick::uniform(case.flows),
            Spread::Zipf => Pick::zipf(case.flows),
        },
        kind: case.kind,
        lives: 0,
    };
    let before = resident_bytes()?;
    let opening = if case.kind == Kind::Data { Some(bench.open()?) } else { None };
    let grown = resident_bytes()?.saturating_sub(before);
    let told = opening.is_some() && case.flows >= FLOWS_TOLD_MIN;
    bench.round(effort.time / 4, effort.bursts.map(warming))?;
    if effort.bursts.is_none() && case.kind == Kind::Data {
        // Each connection speaks in both directions before time counts: memory that the system has never given before
        // is a cost of a system's first minute, and on some virtual machines ten times that of the packet.
        bench.round(Duration::MAX, Some(2 * case.flows.div_ceil(BURST)))?;
    }
    let round = |_| bench.round(effort.time, effort.bursts);
    let rounds = (0..effort.rounds.max(1)).map(round).collect::<anyhow::Result<_>>()?;
    let flow_bytes = told.then(|| grown as f64 / case.flows as f64);
    Ok(Figures { opening, rounds, flow_bytes })
}

/// Frames that wait behind a gap at once are fewer than that.
const HELD_MAX: usize = 1000;
/// Fewer flows take less than what else changes.
const FLOWS_TOLD_MIN: usize = 100_000;
/// Of closed connections: some 300,000 of them are in the table at ten million packets a second.
const TIME_WAIT: Duration = Duration::from_millis(100);

struct Bench<P> {
    driver: Driver<P>,
    talk: Conversations,
    pick: Pick,
    kind: Kind,
    /// Connections that have lived and died.
    lives: usize,
}

impl<P: Policy> Bench<P> {
    /// Opens all connections, some at a time, and gives the nanoseconds a packet.
    fn open(&mut self) -> anyhow::Result<f64> {
        let mut spent = Spent::default();
        let group = BURST / 4;
        for first in (0..self.talk.flows()).step_by(group) {
            let flows = first..(first + group).min(self.talk.flows());
            for step in 0..HANDSHAKE_STEPS {
                for flow in flows.clone() {
                    let talk = &mut self.talk;
                    self.driver
                        .arrive(|out| talk.handshake(flow, step, out).unwrap_or((Port::A, 0)));
                }
                self.turn(&mut spent, flows.len())?;
            }
        }
        Ok(spent.a_packet())
    }

    /// Traffic until `time` has been measured, or so many bursts have been; nanoseconds a packet.
    fn round(&mut self, time: Duration, bursts: Option<usize>) -> anyhow::Result<f64> {
        let mut spent = Spent::default();
        let mut done = 0;
        while bursts.map_or(spent.time < time, |bursts| done < bursts) {
            done += match self.kind {
                Kind::Data => self.speak(&mut spent)?,
                Kind::Churn => self.live(&mut spent)?,
            };
        }
        Ok(spent.a_packet())
    }

    /// A burst of data.
    fn speak(&mut self, spent: &mut Spent) -> anyhow::Result<usize> {
        self.talk.begin_burst();
        for _ in 0..BURST {
            let flow = self.pick.flow();
            let talk = &mut self.talk;
            self.driver.arrive(|out| talk.data(flow, out).unwrap_or((Port::A, 0)));
        }
        self.turn(spent, BURST)?;
        Ok(1)
    }

    /// A burst for each step of as many connections.
    fn live(&mut self, spent: &mut Spent) -> anyhow::Result<usize> {
        let first = self.lives;
        self.lives += BURST;
        for step in 0..LIFE_STEPS {
            for life in first..first + BURST {
                let talk = &mut self.talk;
                // More ends than flows, so that the last one between these two has been forgotten.
                let flow = life % (2 * talk.flows());
                self.driver.arrive(|out| talk.life(flow, step, out).unwrap_or((Port::A, 0)));
            }
            self.turn(spent, BURST)?;
        }
        Ok(LIFE_STEPS)
    }

    /// Lets the worker take everything that arrives, and checks that all of it left or waits.
    fn turn(&mut self, spent: &mut Spent, packets: usize) -> anyhow::Result<()> {
        let taken = self.driver.take();
        let counters = self.driver.worker().counters();
        ensure!(counters.dropped() == 0 && counters.balance() == 0, "{counters:?}");
        spent.time += taken.spent;
        spent.packets += packets;
        Ok(())
    }
}

#[derive(Default)]
struct Spent {
    time: Duration,
    packets: usize,
}

impl Spent {
    fn a_packet(&self) -> f64 {
        self.time.as_nanos() as f64 / self.packets as f64
    }
}

/// What this process has of the machine's memory.
fn resident_bytes() -> anyhow::Result<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let resident = pages.split(' ').nth(1).context("statm has a second number")?;
    Ok(resident.parse::<u64>()? * 4096)
}
