//! The engine alone: nanoseconds a packet through one worker on a link in memory.
//!
//! Every figure is one worker on one core, with valid connections, in order. The flows take turns in an
//! order in which neighbours have nothing to do with each other: the worst case for caches. Frames are written, and taken away, outside of the time that is
//! measured; what is measured is receive, parse (checksum included), look-up, tracking, reassembly,
//! rules and forwarding.
#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use tollgate_bench::burst::BurstLink;
use tollgate_bench::conversation::{Conversations, HANDSHAKE_STEPS};
use tollgate_engine::{Config, Mesh, Worker};
use tollgate_link::Port;
use tollgate_policy::{AcceptAll, Data, Flow, Interest, Policy, Reports, Verdict};
use tollgate_wire::{Direction, Timestamp};

/// Frames between two looks at the clock. Enough to make the clock free, and to push the oldest of
/// them out of the first cache level, as a card's ring does.
const BURST: usize = 512;
/// Traffic time that passes with a packet: ten million packets a second.
const PACKET_SPACING: Duration = Duration::from_nanos(100);

/// The engine alone: nanoseconds a packet through one worker on a link in memory.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds; the median is what counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measured time of a round, in milliseconds
    #[arg(long, default_value_t = 1000)]
    round_ms: u64,
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
}

const CASES: [Case; 8] = [
    Case { flows: 1_000, frame_len: 60, rules: false },
    Case { flows: 1_000, frame_len: 60, rules: true },
    Case { flows: 1_000, frame_len: 1514, rules: false },
    Case { flows: 1_000, frame_len: 1514, rules: true },
    Case { flows: 1_000_000, frame_len: 60, rules: false },
    Case { flows: 1_000_000, frame_len: 60, rules: true },
    Case { flows: 1_000_000, frame_len: 1514, rules: false },
    Case { flows: 1_000_000, frame_len: 1514, rules: true },
];

/// A rule that looks at the first byte of all data, and lets it pass.
#[derive(Debug, Default)]
struct Look {
    seen: u64,
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
        Verdict::Accept
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    println!(
        "frame_bytes,flows,rules,ns_per_packet,ns_min,ns_max,mpps,gbit_per_s,open_ns_per_packet"
    );
    for case in CASES {
        let rules = if case.rules { "look" } else { "none" };
        let name = format!("{}x{}-{rules}", case.frame_len, case.flows);
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
            "{},{},{rules},{median:.1},{min:.1},{max:.1},{:.2},{:.2},{opening:.1}",
            case.frame_len + 4,
            case.flows,
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
    let config = Config { flows_max: 1 << 21, half_open_max: 1 << 12, ..Config::default() };
    let mut bench = Bench {
        worker: Worker::new(config, BurstLink::new(2 * BURST), policy, Mesh::alone()),
        talk: Conversations::new(case.flows, case.frame_len),
        now: Timestamp::from_secs(1),
        turns: Turns::new(case.flows),
    };
    let opening = bench.open()?;
    bench.run(Duration::from_millis(arguments.round_ms / 4))?; // to warm up
    let time = Duration::from_millis(arguments.round_ms);
    let rounds = (0..arguments.rounds.max(1)).map(|_| bench.run(time));
    let rounds = rounds.collect::<anyhow::Result<_>>()?;
    Ok(Figures { opening, rounds })
}

/// Every flow once, then all over again, with steps of the golden section: no two that follow each other
/// lie side by side, and none comes twice in a burst (its second frame would acknowledge what its
/// peer has not said yet, for the ports of a burst are not served in order of time).
struct Turns {
    flows: usize,
    step: usize,
    at: usize,
}

impl Turns {
    fn new(flows: usize) -> Self {
        let section = (flows as u128 * 618_034 / 1_000_000).try_into().unwrap_or(1);
        let step = (section..).find(|&step| is_coprime(step, flows)).unwrap_or(1);
        Self { flows, step, at: 0 }
    }

    const fn next(&mut self) -> usize {
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

struct Bench<P> {
    worker: Worker<BurstLink, P>,
    talk: Conversations,
    now: Timestamp,
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
                    self.worker
                        .link_mut()
                        .arrive(|out| talk.handshake(flow, step, out).unwrap_or((Port::A, 0)));
                }
                spent += self.turn(flows.len())?;
                packets += flows.len();
            }
        }
        Ok(spent.as_nanos() as f64 / packets as f64)
    }

    /// Data on the flows in turn until `time` has been measured; nanoseconds a packet.
    fn run(&mut self, time: Duration) -> anyhow::Result<f64> {
        let (mut spent, mut packets) = (Duration::ZERO, 0);
        while spent < time {
            for _ in 0..BURST {
                let flow = self.turns.next();
                let talk = &mut self.talk;
                self.worker.link_mut().arrive(|out| talk.data(flow, out).unwrap_or((Port::A, 0)));
            }
            spent += self.turn(BURST)?;
            packets += BURST;
        }
        Ok(spent.as_nanos() as f64 / packets as f64)
    }

    /// Lets the worker take everything that arrives, and checks that all of it left.
    fn turn(&mut self, arriving: usize) -> anyhow::Result<Duration> {
        self.worker.link_mut().begin();
        let begin = Instant::now();
        let mut now = self.now;
        loop {
            let turn = self.worker.poll(now);
            if turn.received == 0 {
                break;
            }
            now = now + PACKET_SPACING * u32::try_from(turn.received).unwrap_or(1);
        }
        let spent = begin.elapsed();
        self.now = now;
        let left = self.worker.link_mut().recycle();
        ensure!(
            left == arriving,
            "{arriving} frames came, {left} left: {:?}",
            self.worker.counters()
        );
        ensure!(self.worker.counters().balance() == 0, "{:?}", self.worker.counters());
        Ok(spent)
    }
}
