//! `tollgate-gen`: traffic for what stands in a wire, and a judge of what comes back.
//!
//! One thread, two AF_XDP ports: frames leave at one and are expected at the other. So latencies need no second
//! clock, a loss is known exactly, and nothing may come back that neither end has said.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

mod addresses;
mod args;
mod clock;
mod ends;
mod flood;
mod frame;
mod halving;
mod pattern;
mod replay;
mod report;
mod run_tcp;
mod tcp;

use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::Parser as _;
use tollgate_link::xsk::{Fail, Mode, OtherFrames, Pair, PairConfig, XskLink};

use crate::{
    addresses::{Addresses, CONNECTIONS_MAX},
    args::{Arguments, Command, Common},
    clock::Clock,
    ends::{Ends, Mishaps},
    flood::Flood,
    replay::{Replay, Speed},
    report::Report,
    run_tcp::{Constant, Exchanges, Search},
    tcp::{Load, flow::Script},
};

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tollgate-gen: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether all was right.
fn run(command: &Command) -> anyhow::Result<bool> {
    let common = match command {
        Command::Flood(args) => &args.common,
        Command::Tcp(args) => &args.common,
        Command::Latency(args) => &args.common,
        Command::Search(args) => &args.common,
        Command::Replay(args) => &args.common,
    };
    let task = Task::from(command)?;
    let mut wire = Wire::open(common)?;
    ensure!(
        task.frame_max() <= wire.frame_max,
        "a frame of {} bytes does not fit the interfaces' MTU: at most {} (ip link set IF mtu BYTES)",
        task.frame_max(),
        wire.frame_max
    );
    let mut clock = Clock::start(common.quiet)?;
    let report = task.run(&mut wire, &mut clock, common)?;
    clock.finish();
    wire.close()?;
    print!("{}", report.print(common.format)?);
    for fault in report.faults() {
        eprintln!("tollgate-gen: {fault}");
    }
    Ok(report.faults().is_empty())
}

/// What is to be done, with nothing wrong in it.
enum Task {
    Flood(Flood, bool),
    Tcp(Exchanges),
    Latency(Constant),
    Search(Search),
    Replay(Replay),
}

impl Task {
    fn from(command: &Command) -> anyhow::Result<Self> {
        Ok(match command {
            Command::Flood(args) => {
                let flood = Flood {
                    kind: args.kind,
                    frame_bytes: args.frame.into(),
                    flows: args.flows,
                    rate: args.rate,
                    seconds: args.seconds,
                    both_ways: args.both_ways,
                };
                Self::Flood(flood, args.kernel)
            }
            Command::Tcp(args) => Self::Tcp(exchanges(args)?),
            Command::Latency(args) => {
                Self::Latency(constant(&args.steady, args.rate, args.seconds * 1000, !args.one_way))
            }
            Command::Search(args) => Self::Search(Search {
                constant: constant(&args.steady, args.max, args.trial, false),
                rate_max: args.max,
                loss_max: args.loss,
                precision: args.precision.max(0.1),
                tries: args.tries,
            }),
            Command::Replay(args) => Self::Replay(Replay {
                path: args.read.clone(),
                speed: args.rate.map_or(Speed::Original(args.speed), Speed::Rate),
                times: args.times,
                frame_max: 0,
            }),
        })
    }

    /// Bytes of the longest frame that it will send, where that is known.
    fn frame_max(&self) -> usize {
        match self {
            Self::Flood(flood, _) if flood.kind == flood::Kind::Imix => 1514,
            Self::Flood(flood, _) => flood.frame_bytes,
            Self::Tcp(exchanges) => exchanges.load.script.mss as usize + 54,
            Self::Latency(constant) => constant.frame_bytes,
            Self::Search(search) => search.constant.frame_bytes,
            Self::Replay(_) => 0,
        }
    }

    fn run(self, wire: &mut Wire, clock: &mut Clock, common: &Common) -> anyhow::Result<Report> {
        let seed = common.seed.unwrap_or_else(chance);
        let first = common.first.unwrap_or_else(chance) % CONNECTIONS_MAX;
        let Wire { ends, addresses, frame_max, .. } = wire;
        Ok(match self {
            Self::Flood(flood, false) => flood.run(ends, addresses, clock, seed),
            Self::Flood(flood, true) => {
                flood.run_in_kernel(ends, addresses, clock, (seed, &common.ports.0))?
            }
            Self::Tcp(mut exchanges) => {
                exchanges.load.first = first;
                exchanges.run(ends, addresses, clock, seed)
            }
            Self::Latency(constant) => {
                let outcome = constant.run(ends, addresses, clock, seed, first);
                constant.report(ends, &outcome)
            }
            Self::Search(search) => search.run(ends, addresses, clock, (seed, first)),
            Self::Replay(replay) => Replay { frame_max: *frame_max, ..replay }.run(ends, clock)?,
        })
    }
}

fn exchanges(args: &args::Tcp) -> anyhow::Result<Exchanges> {
    let bytes = u64::from(args.exchanges) * u64::from(args.request.max(args.response));
    ensure!(
        bytes < 1 << 31,
        "one direction of a connection would carry {bytes} bytes; at most 2147483647: fewer --exchanges, more \
         connections"
    );
    let script = Script {
        request: args.request,
        response: args.response,
        exchanges: args.exchanges,
        mss: args.mss,
        window: args.window * args.mss,
        ack_every: 2,
        by_hand: false,
        echo: false,
    };
    let load = Load {
        script,
        flows: args.flows,
        connections_max: args.connections,
        open_rate: args.open_rate,
        in_flight_max: args.in_flight,
        repeat_ms: args.repeat_after,
        together: args.together,
        first: 0,
    };
    let mishaps = Mishaps { loss: args.loss, reorder: args.reorder };
    Ok(Exchanges { load, seconds: args.seconds, mishaps })
}

fn constant(args: &args::Steady, rate: u64, millis: u64, echo: bool) -> Constant {
    Constant {
        flows: args.flows,
        frame_bytes: args.frame.into(),
        rate,
        millis,
        echo,
        open_rate: args.open_rate,
        ack_every: args.ack_every,
    }
}

/// Two interfaces, and what is sent between them.
struct Wire {
    pair: Pair,
    ends: Ends<XskLink>,
    addresses: Addresses,
    frame_max: usize,
}

impl Wire {
    fn open(common: &Common) -> anyhow::Result<Self> {
        let (a, b) = &common.ports;
        let mut config = PairConfig::new(a, b);
        config.mode = match common.mode.as_str() {
            "copy" => Mode::Copy,
            "zerocopy" => Mode::ZeroCopy,
            _ => Mode::Auto,
        };
        // All that arrives is ours to judge, and nothing may take the short way past us.
        config.other = OtherFrames::User;
        config.fail = Fail::Closed;
        let (pair, links) = Pair::open(&config)?;
        let Some(link) = links.into_iter().next() else { bail!("no link was given") };
        let addresses = Addresses {
            ipv6: common.ipv6,
            server_port: common.server_port,
            client_mac: hardware_address(a)?,
            server_mac: hardware_address(b)?,
        };
        if !common.quiet {
            for queue in pair.queues() {
                let mode = if queue.zero_copy { "zero-copy" } else { "copy" };
                eprintln!("{} queue {}: {mode}", queue.interface, queue.queue);
            }
        }
        let frame_max = pair.mtu() as usize + frame::ETHERNET_LEN;
        let ends = Ends::new(link, Mishaps::default(), common.seed.unwrap_or_else(chance));
        Ok(Self { pair, ends, addresses, frame_max })
    }

    fn close(self) -> anyhow::Result<()> {
        drop(self.ends);
        self.pair.close().context("the interfaces could not be given back")
    }
}

/// A number that differs from run to run.
fn chance() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}

fn hardware_address(interface: &str) -> anyhow::Result<[u8; 6]> {
    nix::ifaddrs::getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr()?.addr())
        .with_context(|| format!("{interface} has no hardware address"))
}
