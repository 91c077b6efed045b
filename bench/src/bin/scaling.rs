//! Several workers side by side, each with flows, table and link of its own: what a worker loses to its siblings, and
//! what a flow takes of memory.
//!
//! A worker shares nothing (ARCHITECTURE.md, law 4), so what it loses it loses to the machine: caches, memory, clock.
//! With more workers than cores they take turns, and only the cost a packet means something. One run a process, or what
//! the last one gave back would count as the memory of the next.
#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::{
    fs,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Parser;
use tollgate_bench::{
    conversation::{Conversations, HANDSHAKE_STEPS},
    driver::{BURST, Driver, Turns},
};
use tollgate_engine::Config;
use tollgate_link::Port;
use tollgate_policy::AcceptAll;

/// Several workers side by side: nanoseconds a packet of each, packets a second of all, bytes a flow
#[derive(Debug, Parser)]
struct Arguments {
    /// How many workers
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Flows of all workers together
    #[arg(long, default_value_t = 1_000_000)]
    flows: usize,
    /// Bytes of a frame with its FCS
    #[arg(long, default_value_t = 64)]
    frame: usize,
    /// Measured time of each worker, in milliseconds
    #[arg(long, default_value_t = 1000)]
    millis: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let Arguments { workers, flows, frame, .. } = arguments;
    ensure!(workers > 0 && flows >= workers, "at least one worker, and a flow for each");
    let cores = thread::available_parallelism()?.get();
    let run = side_by_side(&arguments)?;
    println!("workers,cores,flows,frame_bytes,ns_per_packet,mpps_of_all,bytes_per_flow");
    // Where they take turns, all together are no faster than the cores.
    let mpps = workers.min(cores) as f64 * 1000.0 / run.ns;
    println!("{workers},{cores},{flows},{frame},{:.1},{mpps:.2},{:.0}", run.ns, run.bytes);
    Ok(())
}

/// What all workers of a run came to.
struct Run {
    /// Processor time of a packet, on average.
    ns: f64,
    /// Resident memory of a flow, all in.
    bytes: f64,
}

fn side_by_side(arguments: &Arguments) -> anyhow::Result<Run> {
    let Arguments { workers, flows, .. } = *arguments;
    let each = flows.div_ceil(workers);
    let before = resident()?;
    let opened = Arc::new(Barrier::new(workers + 1));
    let begin = Arc::new(Barrier::new(workers + 1));
    let threads: Vec<_> = (0..workers)
        .map(|_| {
            let (opened, begin) = (Arc::clone(&opened), Arc::clone(&begin));
            let (frame, time) = (arguments.frame - 4, Duration::from_millis(arguments.millis));
            thread::spawn(move || {
                let made = Bench::open(each, frame);
                opened.wait();
                begin.wait();
                made?.run(time)
            })
        })
        .collect();
    opened.wait();
    let after = resident()?;
    begin.wait();
    let mut sum = 0.0;
    for thread in threads {
        sum += thread.join().ok().context("a worker panicked")??;
    }
    let own = flows * Conversations::bytes_each() + workers * FRAMES * 2048;
    let bytes = after.saturating_sub(before).saturating_sub(own) as f64 / flows as f64;
    Ok(Run { ns: sum / workers as f64, bytes })
}

/// Frames of one link.
const FRAMES: usize = 2 * BURST;

struct Bench {
    driver: Driver<AcceptAll>,
    talk: Conversations,
    turns: Turns,
}

impl Bench {
    fn open(flows: usize, frame_len: usize) -> anyhow::Result<Self> {
        let config = Config {
            flows_max: flows * 5 / 4,
            half_open_max: 1 << 12,
            retained_bytes_max: 4 << 30,
            ..Config::default()
        };
        let mut bench = Self {
            driver: Driver::new(config, AcceptAll, FRAMES),
            talk: Conversations::new(flows, frame_len),
            turns: Turns::new(flows),
        };
        for first in (0..flows).step_by(BURST / 4) {
            for step in 0..HANDSHAKE_STEPS {
                for flow in first..(first + BURST / 4).min(flows) {
                    let talk = &mut bench.talk;
                    bench
                        .driver
                        .arrive(|out| talk.handshake(flow, step, out).unwrap_or((Port::A, 0)));
                }
                bench.turn()?;
            }
        }
        Ok(bench)
    }

    /// Nanoseconds a packet.
    fn run(mut self, time: Duration) -> anyhow::Result<f64> {
        let (mut spent, mut packets) = (Duration::ZERO, 0);
        while spent < time {
            for _ in 0..BURST {
                let (flow, talk) = (self.turns.next(), &mut self.talk);
                self.driver.arrive(|out| talk.data(flow, out).unwrap_or((Port::A, 0)));
            }
            spent += self.turn()?;
            packets += BURST;
        }
        Ok(spent.as_nanos() as f64 / packets as f64)
    }

    fn turn(&mut self) -> anyhow::Result<Duration> {
        let taken = self.driver.take();
        let counters = self.driver.worker().counters();
        ensure!(counters.dropped() == 0 && counters.balance() == 0, "{counters:?}");
        Ok(taken.spent)
    }
}

/// Bytes of this process that are in memory.
fn resident() -> anyhow::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: usize = line
        .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .context("no VmRSS")?;
    Ok(kib << 10)
}
