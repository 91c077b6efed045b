//! The engine alone: nanoseconds a packet through one worker on a link in memory.
//!
//! Every figure is one worker on one core, with valid connections, in order but for those frames that
//! are said to come early. The flows take turns in an
//! order in which neighbours have nothing to do with each other: the worst case for caches. Frames are written, and taken away, outside of the time that is
//! measured; what is measured is receive, parse (checksum included), look-up, tracking, reassembly,
//! rules and forwarding.
#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use tollgate_bench::conversation::{Conversations, HANDSHAKE_STEPS};
use tollgate_bench::driver::{BURST, Driver, Look, Turns};
use tollgate_engine::Config;
use tollgate_link::Port;
use tollgate_policy::{AcceptAll, Policy};

/// The engine alone: nanoseconds a packet through one worker on a link in memory.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds; the median is what counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measured time of a round, in milliseconds
    #[arg(long, default_value_t = 1000)]
    round_ms: u64,
    /// Bursts of a round instead of a time, so that two runs do the same
    #[arg(long)]
    bursts: Option<usize>,
    /// Only cases whose name contains this
    #[arg(long, default_value = "")]
    only: String,
}

#[derive(Clone, Copy)]
struct Case {
    flows: usize,
    /// Without FCS: what is called 64 bytes on the wire is 60 here.
    frame_len: usize,
    rules: bool,
    /// Of a hundred frames so many come before the one that they should follow.
    early: u32,
}

const fn case(flows: usize, frame_len: usize, rules: bool, early: u32) -> Case {
    Case { flows, frame_len, rules, early }
}

const CASES: [Case; 12] = [
    case(1_000, 60, false, 0),
    case(1_000, 60, true, 0),
    case(1_000, 1514, false, 0),
    case(1_000, 1514, true, 0),
    case(1_000, 1514, false, 1),
    case(1_000, 1514, true, 1),
    case(1_000, 1514, false, 5),
    case(1_000, 1514, true, 5),
    case(1_000_000, 60, false, 0),
    case(1_000_000, 60, true, 0),
    case(1_000_000, 1514, false, 0),
    case(1_000_000, 1514, true, 0),
];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    println!(
        "frame_bytes,flows,rules,early_percent,ns_per_packet,ns_min,ns_max,mpps,gbit_per_s,open_ns_per_packet"
    );
    for case in CASES {
        let rules = if case.rules { "look" } else { "none" };
        let name = format!("{}x{}-{rules}-{}", case.frame_len, case.flows, case.early);
        if !name.contains(&arguments.only) {
            continue;
        }
        let figures = match case.rules {
            false => measure(case, &arguments, AcceptAll),
            true => measure(case, &arguments, Look::default()),
        };
        let Figures { opening, mut rounds } = figures.with_context(|| name)?;
        rounds.sort_by(f64::total_cmp);
        let [min, median, max] = [0, rounds.len() / 2, rounds.len() - 1]
            .map(|position| rounds.get(position).copied().unwrap_or(f64::NAN));
        // On the wire: FCS, preamble and gap are 24 bytes more.
        let bits = (case.frame_len + 24) as f64 * 8.0;
        println!(
            "{},{},{rules},{},{median:.1},{min:.1},{max:.1},{:.2},{:.2},{opening:.1}",
            case.frame_len + 4,
            case.flows,
            case.early,
            1000.0 / median,
            bits / median,
        );
    }
    Ok(())
}

struct Figures {
    /// Nanoseconds a packet of the handshakes.
    opening: f64,
    /// Nanoseconds a packet in each round.
    rounds: Vec<f64>,
}

fn measure<P: Policy>(case: Case, arguments: &Arguments, policy: P) -> anyhow::Result<Figures> {
    let config = Config {
        flows_max: (case.flows * 2).next_power_of_two(),
        half_open_max: 1 << 12,
        // A million flows have a segment each in flight; where there is no room to remember it, it would not leave.
        retained_bytes_max: 4 << 30,
        ..Config::default()
    };
    let mut bench = Bench {
        driver: Driver::new(config, policy, 2 * BURST + HELD_MAX),
        talk: Conversations::new(case.flows, case.frame_len).with_early(case.early),
        turns: Turns::new(case.flows),
    };
    let opening = bench.open()?;
    let (time, bursts) = (Duration::from_millis(arguments.round_ms), arguments.bursts);
    bench.run(time / 4, bursts)?; // to warm up
    let rounds = (0..arguments.rounds.max(1)).map(|_| bench.run(time, bursts));
    let rounds = rounds.collect::<anyhow::Result<_>>()?;
    Ok(Figures { opening, rounds })
}

/// Frames that wait behind a gap at once are fewer than that.
const HELD_MAX: usize = 1000;

struct Bench<P> {
    driver: Driver<P>,
    talk: Conversations,
    turns: Turns,
}

impl<P: Policy> Bench<P> {
    /// Opens all connections, some at a time, and gives the nanoseconds a packet.
    fn open(&mut self) -> anyhow::Result<f64> {
        let (mut spent, mut packets) = (Duration::ZERO, 0);
        let group = BURST / 4;
        for first in (0..self.talk.flows()).step_by(group) {
            let flows = first..(first + group).min(self.talk.flows());
            for step in 0..HANDSHAKE_STEPS {
                for flow in flows.clone() {
                    let talk = &mut self.talk;
                    self.driver
                        .arrive(|out| talk.handshake(flow, step, out).unwrap_or((Port::A, 0)));
                }
                spent += self.turn()?;
                packets += flows.len();
            }
        }
        Ok(spent.as_nanos() as f64 / packets as f64)
    }

    /// Data on the flows in turn until `time` has been measured; nanoseconds a packet.
    fn run(&mut self, time: Duration, bursts: Option<usize>) -> anyhow::Result<f64> {
        let (mut spent, mut packets) = (Duration::ZERO, 0);
        while bursts.map_or(spent < time, |bursts| packets < bursts * BURST) {
            for _ in 0..BURST {
                let flow = self.turns.next();
                let talk = &mut self.talk;
                self.driver.arrive(|out| talk.data(flow, out).unwrap_or((Port::A, 0)));
            }
            spent += self.turn()?;
            packets += BURST;
        }
        Ok(spent.as_nanos() as f64 / packets as f64)
    }

    /// Lets the worker take everything that arrives, and checks that all of it left or waits.
    fn turn(&mut self) -> anyhow::Result<Duration> {
        let taken = self.driver.take();
        let counters = self.driver.worker().counters();
        ensure!(counters.dropped() == 0 && counters.balance() == 0, "{counters:?}");
        Ok(taken.spent)
    }
}
