//! Whether a segment costs more, the more its connection has sent: one connection over gigabytes on a
//! link in memory, the first thousand segments beside the last.
//!
//! The client sends, the server acknowledges every second segment. The figure is processor time for a
//! segment and its half acknowledgment, in thousands of segments. Before it, a short connection of the same
//! kind warms up caches and memory.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints what it measured"
)]

use std::time::Duration;

use anyhow::ensure;
use clap::{Parser, ValueEnum};
use tollgate_bench::driver::{Driver, Look, Shorten};
use tollgate_bench::stream::{HANDSHAKE_STEPS, Stream};
use tollgate_engine::Config;
use tollgate_policy::{AcceptAll, Policy};

/// Whether a segment costs more, the more its connection has sent.
#[derive(Debug, Parser)]
struct Arguments {
    /// Runs of each case, in turn
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Bytes that the connection sends
    #[arg(long, default_value_t = 10_000_000_000)]
    bytes: u64,
    /// Payload of a segment, one case for each
    #[arg(long, value_delimiter = ',', default_values_t = [1460, 200])]
    payload: Vec<usize>,
    /// The rules, one case for each
    #[arg(long, value_delimiter = ',', default_values_t = [Rules::None, Rules::Look, Rules::Edit])]
    rules: Vec<Rules>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rules {
    /// No rule
    None,
    /// A rule that is shown all data, and looks at the first byte
    Look,
    /// A rule that takes two bytes out of every segment
    Edit,
}

impl std::fmt::Display for Rules {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::None => "none",
            Self::Look => "look",
            Self::Edit => "edit",
        })
    }
}

/// Segments between two looks at the clock: half of a thousand.
const HALF: usize = 500;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    println!(
        "run,case,bytes,segments,first_ns,last_ns,ratio,first_tenth_ns,last_tenth_ns,ratio_of_tenths,retained_after"
    );
    for run in 1..=arguments.runs {
        for &payload in &arguments.payload {
            for &rules in &arguments.rules {
                eprintln!("    run {run} of {}  {payload} bytes, rules: {rules}", arguments.runs);
                let bytes = arguments.bytes;
                let stream = |number| Stream::new(number, payload);
                let figures = match rules {
                    Rules::None => measure(stream, bytes, AcceptAll, |_, _| true)?,
                    Rules::Look => {
                        measure(stream, bytes, Look::default(), |rule, sent| rule.offset == sent)?
                    }
                    Rules::Edit => {
                        let stream = |number| stream(number).shortened(Shorten::BY);
                        let agrees = |rule: &Shorten, sent| rule.offset == sent;
                        measure(stream, bytes, Shorten::default(), agrees)?
                    }
                };
                print(run, &format!("{payload}-{rules}"), &figures);
            }
        }
    }
    Ok(())
}

struct Figures {
    /// For each thousand segments.
    spent: Vec<Duration>,
    sent: u64,
    retained: u64,
}

/// One connection; `agrees` says whether the policy has been shown as many bytes as were sent.
fn measure<P: Policy>(
    stream: impl Fn(u16) -> Stream,
    bytes: u64,
    policy: P,
    agrees: impl Fn(&P, u64) -> bool,
) -> anyhow::Result<Figures> {
    let mut driver = Driver::new(Config::default(), policy, 2 * HALF);
    let mut warming = stream(1);
    let payload = warming.payload_len() as u64;
    run(&mut driver, &mut warming, 20_000 * payload)?;
    let mut stream = stream(2);
    let spent = run(&mut driver, &mut stream, bytes)?;
    let (worker, sent) = (driver.worker(), stream.sent());
    ensure!(agrees(worker.policy(), sent), "{sent} bytes were sent, but the rule saw others");
    let counters = worker.counters();
    ensure!(counters.dropped() + counters.retransmitted + counters.held == 0, "{counters:?}");
    Ok(Figures { spent, sent, retained: worker.gauges().retained_bytes })
}

fn run<P: Policy>(
    driver: &mut Driver<P>,
    stream: &mut Stream,
    bytes: u64,
) -> anyhow::Result<Vec<Duration>> {
    for step in 0..HANDSHAKE_STEPS {
        driver.arrive(|out| stream.handshake(step, out));
        ensure!(driver.take().left == 1, "step {step} of the handshake");
    }
    let mut spent = Vec::new();
    while stream.sent() < bytes {
        let mut thousand = Duration::ZERO;
        for _ in 0..2 {
            for _ in 0..HALF {
                driver.arrive(|out| stream.data(out));
            }
            let data = driver.take();
            // In a burst of their own: the ports are not served in order of time, and nobody acknowledges
            // what has not been sent.
            for half in 0..HALF / 2 {
                driver.arrive(|out| stream.acknowledge((HALF / 2 - 1 - half) * 2, out));
            }
            let acks = driver.take();
            ensure!(data.left == HALF && acks.left == HALF / 2, "{:?}", driver.worker().counters());
            thousand += data.spent + acks.spent;
        }
        spent.push(thousand);
    }
    Ok(spent)
}

fn print(run: usize, case: &str, figures: &Figures) {
    let spent = &figures.spent;
    let segment = |spent: &[Duration]| {
        let mut nanos: Vec<_> = spent.iter().map(|span| span.as_nanos() as f64 / 1000.0).collect();
        nanos.sort_by(f64::total_cmp);
        nanos.get(nanos.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let thousands = spent.len();
    let (first, last) = (spent.get(..1), spent.get(thousands - 1..));
    let tenth = thousands.div_ceil(10);
    let tenths = (spent.get(..tenth), spent.get(thousands - tenth..));
    let [first, last, first_tenth, last_tenth] =
        [first, last, tenths.0, tenths.1].map(|part| segment(part.unwrap_or_default()));
    println!(
        "{run},{case},{},{},{first:.1},{last:.1},{:.3},{first_tenth:.1},{last_tenth:.1},{:.3},{}",
        figures.sent,
        thousands * 1000,
        last / first,
        last_tenth / first_tenth,
        figures.retained,
    );
}
