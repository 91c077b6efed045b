//! Honest connections beside those that want to hurt: what a hostile frame costs, what is left for the
//! honest, and how much memory the worker takes.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tollgate_engine::{Config, Counters, Gauges};
use tollgate_link::Port;
use tollgate_tcp::State;

use crate::conversation::{Conversations, HANDSHAKE_STEPS};
use crate::driver::{BURST, Driver, Look, Turns};
use crate::hostile::{Attack, Attacker, OPENING_STEPS};

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Honest connections.
    pub flows: usize,
    /// Bursts of each kind.
    pub bursts: usize,
    /// The program's bounds; a test takes smaller ones.
    pub half_open_max: usize,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Nanoseconds an honest frame of 1514 bytes while nobody attacks.
    pub honest_alone: f64,
    /// The same between bursts of hostile frames.
    pub honest_attacked: f64,
    /// Nanoseconds a hostile frame.
    pub hostile: f64,
    /// Hostile frames.
    pub hostile_frames: u64,
    /// Of those, which left on the other side.
    pub hostile_left: u64,
    /// Resident memory of the process, in bytes: before, at the most, and when all timers are over.
    pub resident: [u64; 3],
    /// The greatest levels that were seen.
    pub peak: Gauges,
    /// The levels when all timers are over.
    pub after: Gauges,
    /// What was counted.
    pub counters: Counters,
}

/// Frames of the link; more than an engine may hold, and two bursts.
const FRAMES: usize = 8192;
/// As the program has it by default.
const HELD_FRAMES_MAX: u64 = 4096;
const FRAME_LEN: usize = 1514;
/// Longer than any timer but that of an established connection.
const AFTERMATH: Duration = Duration::from_secs(70);

/// The bounds under which the worker stands.
#[must_use]
pub fn config(effort: Effort) -> Config {
    Config {
        flows_max: 1 << 18,
        half_open_max: effort.half_open_max,
        held_frames_max: HELD_FRAMES_MAX,
        fragments_max: 1024,
        hash_keys: [1, 2, 3, 4],
        ..Config::default()
    }
}

/// Honest traffic alone and with an attack in turn. Fails if an honest frame is lost, if a frame has
/// no fate, or if an honest connection is not there any more at the end.
///
/// # Errors
///
/// What is missing, with all counters.
pub fn run(attack: Attack, effort: Effort) -> anyhow::Result<Outcome> {
    let mut scene = Scene {
        driver: Driver::new(config(effort), Look::default(), FRAMES),
        talk: Conversations::new(effort.flows, FRAME_LEN),
        turns: Turns::new(effort.flows),
        attacker: Attacker::new(attack),
        peak: Gauges::default(),
    };
    scene.open_honest()?;
    let mut warm = Spent::default();
    for _ in 0..effort.bursts / 4 {
        scene.honest(&mut warm)?;
    }
    let before = resident()?;
    scene.open_hostile(attack.connections())?;
    let (mut alone, mut attacked, mut hostile) = Default::default();
    // In quarters, so that a change of the machine's speed falls on both.
    for _ in 0..4 {
        for _ in 0..effort.bursts / 4 {
            scene.honest(&mut alone)?;
        }
        for _ in 0..effort.bursts / 4 {
            scene.hostile(&mut hostile);
            scene.honest(&mut attacked)?;
        }
    }
    let during = resident()?;
    scene.driver.wait(AFTERMATH);
    let worker = scene.driver.worker();
    let outcome = Outcome {
        honest_alone: alone.a_frame(),
        honest_attacked: attacked.a_frame(),
        hostile: hostile.a_frame(),
        hostile_frames: hostile.frames,
        hostile_left: hostile.left,
        resident: [before, during, resident()?],
        peak: scene.peak,
        after: worker.gauges(),
        counters: worker.counters().clone(),
    };
    let kept = outcome.after.flows.get(State::Established as usize).copied().unwrap_or(0);
    let opened = (effort.flows + attack.connections()) as u64;
    ensure!(kept == opened, "{kept} of {opened} connections are left: {outcome:?}");
    Ok(outcome)
}

struct Scene {
    driver: Driver<Look>,
    talk: Conversations,
    turns: Turns,
    attacker: Attacker,
    peak: Gauges,
}

#[derive(Default)]
struct Spent {
    time: Duration,
    frames: u64,
    left: u64,
}

impl Spent {
    fn a_frame(&self) -> f64 {
        self.time.as_nanos() as f64 / self.frames as f64
    }
}

impl Scene {
    fn open_honest(&mut self) -> anyhow::Result<()> {
        for first in (0..self.talk.flows()).step_by(BURST / 4) {
            let flows = first..(first + BURST / 4).min(self.talk.flows());
            for step in 0..HANDSHAKE_STEPS {
                for flow in flows.clone() {
                    let talk = &mut self.talk;
                    self.driver
                        .arrive(|out| talk.handshake(flow, step, out).unwrap_or((Port::A, 0)));
                }
                let left = self.driver.take().left;
                ensure!(left == flows.len(), "{left} frames of {flows:?}");
            }
        }
        Ok(())
    }

    fn open_hostile(&mut self, connections: usize) -> anyhow::Result<()> {
        for connection in 0..connections {
            for step in 0..OPENING_STEPS {
                let attacker = &self.attacker;
                self.driver.arrive(|out| attacker.open(connection, step, out));
                let left = self.driver.take().left;
                ensure!(left == 1, "step {step} of the attacker's connection {connection}");
            }
        }
        Ok(())
    }

    /// A burst of honest frames, all of which must leave.
    fn honest(&mut self, spent: &mut Spent) -> anyhow::Result<()> {
        for _ in 0..BURST {
            let (flow, talk) = (self.turns.next(), &mut self.talk);
            self.driver.arrive(|out| talk.data(flow, out).unwrap_or((Port::A, 0)));
        }
        let taken = self.driver.take();
        let counters = self.driver.worker().counters();
        ensure!(taken.left == BURST, "{} of {BURST} honest frames left: {counters:?}", taken.left);
        ensure!(counters.balance() == 0 && counters.unbalanced_turns == 0, "{counters:?}");
        spent.time += taken.spent;
        spent.frames += BURST as u64;
        Ok(())
    }

    fn hostile(&mut self, spent: &mut Spent) {
        for _ in 0..BURST {
            let attacker = &mut self.attacker;
            self.driver.arrive(|out| attacker.next(out));
        }
        let taken = self.driver.take();
        spent.time += taken.spent;
        spent.frames += BURST as u64;
        spent.left += taken.left as u64;
        let now = self.driver.worker().gauges();
        let peak = &mut self.peak;
        peak.half_open = peak.half_open.max(now.half_open);
        peak.held_frames = peak.held_frames.max(now.held_frames);
        peak.held_bytes = peak.held_bytes.max(now.held_bytes);
        peak.held_extents = peak.held_extents.max(now.held_extents);
        peak.retained_bytes = peak.retained_bytes.max(now.retained_bytes);
        peak.fragments = peak.fragments.max(now.fragments);
        peak.datagrams = peak.datagrams.max(now.datagrams);
    }
}

/// What the process has in memory, in bytes.
fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("this needs Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
    Ok(kib.parse::<u64>()? << 10)
}
