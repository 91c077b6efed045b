//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{flood::Kind, report::Format};

/// Traffic for what stands in a wire, from one core: floods, stateful TCP, latency, the highest rate without loss,
/// replay
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Both ends of the wire are in this process: clients behind port A, servers behind port B. What comes back is \
verified, byte by byte.

  A million SYNs a second for ten seconds
      tollgate-gen flood -p eth1:eth2 --kind syn --rate 1000000 --seconds 10
  As many connections a second as there can be: handshake, request, answer, close
      tollgate-gen tcp -p eth1:eth2 --flows 1000 --request 100 --response 1000
  A million connections open at once, then ten exchanges on each, while 1 % of all frames is lost
      tollgate-gen tcp -p eth1:eth2 --flows 1000000 --together --exchanges 10 --loss 1 --seconds 120
  Goodput: few connections, large answers, full segments
      tollgate-gen tcp -p eth1:eth2 --flows 32 --response 10000000 --window 32
  Latency, one way and round trip, at 10,000 segments a second
      tollgate-gen latency -p eth1:eth2 --rate 10000
  The highest rate at which no segment is lost
      tollgate-gen search -p eth1:eth2 --frame 64
  A capture, ten times as fast as it was taken
      tollgate-gen replay -p eth1:eth2 -r capture.pcapng --speed 10

Needs root. The interfaces must be free: nothing else of theirs is heard meanwhile. Without a second machine: \
bench/lab/lab.sh. Ends with 1 if something came back that was not sent, or a connection did not come to its end; \
with 2 if it could not begin.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Frames that belong to no connection, at a rate or as fast as it goes
    Flood(Flood),
    /// Connections: handshake, requests and answers, loss, close; every byte is checked
    Tcp(Tcp),
    /// Time-stamped segments at a constant rate over open connections, with their echo
    Latency(Latency),
    /// The highest rate at which nothing is lost, by halving (RFC 2544 section 26.1)
    Search(Search),
    /// A capture (pcap, pcapng, gzip), at its own pace or at a rate
    Replay(Replay),
}

/// What every command takes
#[derive(Args, Debug)]
pub(crate) struct Common {
    /// The two interfaces: clients behind A, servers behind B
    #[arg(short, long, value_name = "A:B", value_parser = ports)]
    pub(crate) ports: (String, String),
    /// How frames travel: zero-copy where both drivers have it
    #[arg(long, default_value = "auto", value_parser = ["auto", "copy", "zerocopy"])]
    pub(crate) mode: String,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// No progress on stderr
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// The same number, the same bytes; by default another one each time
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// IPv6 instead of IPv4
    #[arg(short = '6', long)]
    pub(crate) ipv6: bool,
    /// The servers' port
    #[arg(long, default_value_t = 80, value_name = "NUMBER")]
    pub(crate) server_port: u16,
    /// Number of the first connection, which gives it its addresses; by default another one each time, since what
    /// stands in the wire remembers those of the last run
    #[arg(long, value_name = "NUMBER")]
    pub(crate) first: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct Flood {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Of what
    #[arg(long, value_enum, default_value = "syn")]
    pub(crate) kind: Kind,
    /// Bytes of a frame without FCS, for data
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(60..=3832))]
    pub(crate) frame: u16,
    /// Different connections, at random
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) flows: u64,
    /// Frames a second; 0: as many as it can
    #[arg(long, default_value_t = 0, value_name = "PPS")]
    pub(crate) rate: u64,
    /// How long
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Every second frame goes the other way
    #[arg(long)]
    pub(crate) both_ways: bool,
    /// The kernel makes the frames (BPF_PROG_RUN, live frames), up to 65536 copies of each, in a thread beside
    #[arg(long, conflicts_with = "both_ways")]
    pub(crate) kernel: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Tcp {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Connections at a time
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) flows: u32,
    /// Connections in all; 0: as many as fit the time
    #[arg(long, default_value_t = 0)]
    pub(crate) connections: u64,
    /// How long, at most
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Bytes of a request
    #[arg(long, default_value_t = 100, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) request: u32,
    /// Bytes of an answer
    #[arg(long, default_value_t = 1000, value_name = "BYTES")]
    pub(crate) response: u32,
    /// Requests and answers of a connection; what is begun when the time is up is finished
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) exchanges: u32,
    /// Bytes of a segment
    #[arg(long, default_value_t = 1460, value_parser = clap::value_parser!(u32).range(1..=8000))]
    pub(crate) mss: u32,
    /// Segments in flight of one end of a connection
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) window: u32,
    /// Nobody speaks before all of them are open
    #[arg(long)]
    pub(crate) together: bool,
    /// New connections a second; 0: as many as it can
    #[arg(long, default_value_t = 0)]
    pub(crate) open_rate: u64,
    /// Frames on the way at a time, of all connections: more than the wire's queues hold are lost
    #[arg(long, default_value_t = 192, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) in_flight: u64,
    /// A segment is repeated after as many milliseconds
    #[arg(long, default_value_t = 200, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) repeat_after: u32,
    /// Percent of all frames that are dropped before they leave
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT", value_parser = percent)]
    pub(crate) loss: f64,
    /// Percent of all frames that three later ones overtake
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT", value_parser = percent)]
    pub(crate) reorder: f64,
}

#[derive(Args, Debug)]
pub(crate) struct Steady {
    /// Connections that take turns
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) flows: u32,
    /// Bytes of a frame without FCS
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(62..=3832))]
    pub(crate) frame: u16,
    /// Every so many segments of a connection are acknowledged
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) ack_every: u8,
    /// New connections a second while they are opened; 0: as many as it can
    #[arg(long, default_value_t = 0)]
    pub(crate) open_rate: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Latency {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) steady: Steady,
    /// Segments a second; 0: as many as it can
    #[arg(long, default_value_t = 1000, value_name = "PPS")]
    pub(crate) rate: u64,
    /// How long
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// The server does not send stamps back: times are one way only
    #[arg(long)]
    pub(crate) one_way: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Search {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) steady: Steady,
    /// Where the search begins
    #[arg(long, default_value_t = 2_000_000, value_name = "PPS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max: u64,
    /// Percent that may be missing all the same
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT", value_parser = percent)]
    pub(crate) loss: f64,
    /// The search ends when it knows the rate to so many percent
    #[arg(long, default_value_t = 2.0, value_name = "PERCENT", value_parser = percent)]
    pub(crate) precision: f64,
    /// How long a trial is
    #[arg(long, default_value_t = 1000, value_name = "MS")]
    pub(crate) trial: u64,
    /// A rate has failed when so many trials in a row have; more than one where a hypervisor takes processors away
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tries: u32,
}

#[derive(Args, Debug)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The capture
    #[arg(short, long, value_name = "FILE")]
    pub(crate) read: PathBuf,
    /// Its own pace, so many times as fast
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, value_parser = positive)]
    pub(crate) speed: f64,
    /// Instead: packets a second; 0: as many as it can
    #[arg(long, value_name = "PPS", conflicts_with = "speed")]
    pub(crate) rate: Option<u64>,
    /// How often
    #[arg(long, default_value_t = 1)]
    pub(crate) times: u64,
}

fn ports(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((a, b)) if !a.is_empty() && !b.is_empty() => Ok((a.to_owned(), b.to_owned())),
        _ => Err("two interfaces with a colon between them, such as eth1:eth2".to_owned()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 100".to_owned()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if value > 0.0 && f64::is_finite(value) => Ok(value),
        _ => Err("a number above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_of_the_help_can_be_typed() {
        let examples: Vec<_> = EXAMPLES
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("tollgate-gen "))
            .collect();
        assert_eq!(examples.len(), 7);
        for example in examples {
            let parsed = Arguments::try_parse_from(example.split_whitespace());
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }
}
