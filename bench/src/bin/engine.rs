//! The engine alone: nanoseconds a packet through one worker on a link in memory.
//!
//! Every figure is one worker on one core, with valid connections, in order but for those frames that
//! are said to come early. Frames are written, and taken away, outside of the time that is
//! measured; what is measured is receive, parse (checksum included), look-up, tracking, reassembly,
//! rules and forwarding. The same case does the same in every run: what is told as instructions is the
//! difference of two runs under callgrind.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints what it measured"
)]

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use tollgate_bench::cases::{CASES, Case, Kind, Mix, Rules, Spread};
use tollgate_bench::conversation::LIFE_STEPS;
use tollgate_bench::driver::{BURST, Look, Nothing};
use tollgate_bench::limits;
use tollgate_bench::measure::{self, Effort, Figures};
use tollgate_engine::Config;
use tollgate_policy::AcceptAll;

/// The engine alone: nanoseconds a packet through one worker on a link in memory.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds; the median is what counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measured time of a round, in milliseconds
    #[arg(long, default_value_t = 500)]
    round_ms: u64,
    /// Bursts of a round instead of a time, so that two runs do the same
    #[arg(long)]
    bursts: Option<usize>,
    /// Frames that the worker takes from each port in a turn, if not as many as it does by default
    #[arg(long)]
    batch_max: Option<usize>,
    /// Only cases whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Only cases with at most so many flows; ten million take 5 GB
    #[arg(long, default_value_t = 10_000_000)]
    flows_max: usize,
    /// Count instructions, too, where there are at most 10,000 flows; needs valgrind
    #[arg(long)]
    instructions: bool,
    /// Print what the machine itself can do, and nothing else
    #[arg(long)]
    limits: bool,
    /// Print the names of the cases, and nothing else
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.limits {
        print_limits();
        return Ok(());
    }
    let wanted =
        |case: &&Case| case.flows <= arguments.flows_max && case.name().contains(&arguments.only);
    let cases: Vec<_> = CASES.iter().filter(wanted).collect();
    if arguments.list {
        cases.iter().for_each(|case| println!("{}", case.name()));
        return Ok(());
    }
    println!(
        "frame_bytes,flows,rules,early_percent,ns_per_packet,ns_min,ns_max,mpps,gbit_per_s,\
         open_ns_per_packet,traffic,instructions,flow_bytes,connections_per_s"
    );
    for (number, case) in cases.iter().enumerate() {
        eprintln!("    {} of {}  {}", number + 1, cases.len(), case.name());
        let effort = Effort {
            rounds: arguments.rounds,
            time: Duration::from_millis(arguments.round_ms),
            bursts: arguments.bursts,
            batch_max: arguments.batch_max.unwrap_or_else(|| Config::default().batch_max),
        };
        let figures = match case.rules {
            Rules::None => measure::run(case, effort, AcceptAll),
            Rules::Empty => measure::run(case, effort, Nothing),
            Rules::Look => measure::run(case, effort, Look::default()),
        };
        let figures = figures.with_context(|| case.name())?;
        let counts = arguments.instructions && case.flows <= 10_000;
        let instructions = if counts { Some(instructions(case)?) } else { None };
        print(case, figures, instructions);
    }
    Ok(())
}

fn print(case: &Case, figures: Figures, instructions: Option<f64>) {
    let Figures { opening, mut rounds, flow_bytes } = figures;
    rounds.sort_by(f64::total_cmp);
    let [min, median, max] = [0, rounds.len() / 2, rounds.len() - 1]
        .map(|position| rounds.get(position).copied().unwrap_or(f64::NAN));
    // On the wire: FCS, preamble and gap are 24 bytes more.
    let bits = (case.mix.mean_len() + 24.0) * 8.0;
    let frame = match case.mix {
        Mix::Fixed(len) => (len + 4).to_string(),
        Mix::Internet => "imix".to_owned(),
    };
    let traffic = match (case.kind, case.spread) {
        (Kind::Churn, _) => "churn",
        (Kind::Data, Spread::Uniform) => "uniform",
        (Kind::Data, Spread::Zipf) => "zipf",
    };
    let or_nothing =
        |figure: Option<f64>| figure.map_or(String::new(), |figure| format!("{figure:.0}"));
    let lives = (case.kind == Kind::Churn).then_some(1e9 / (median * LIFE_STEPS as f64));
    println!(
        "{frame},{},{},{},{median:.1},{min:.1},{max:.1},{:.2},{:.2},{},{traffic},{},{},{}",
        case.flows,
        case.rules.name(),
        case.early,
        1000.0 / median,
        bits / median,
        opening.map_or(String::new(), |opening| format!("{opening:.1}")),
        or_nothing(instructions),
        or_nothing(flow_bytes),
        or_nothing(lives),
    );
}

/// Instructions a packet: two runs that differ in their bursts only, and what they differ in.
fn instructions(case: &Case) -> anyhow::Result<f64> {
    let count = |bursts: usize| -> anyhow::Result<f64> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg("--toggle-collect=*Driver*take*")
            .arg(std::env::current_exe()?)
            .args(["--rounds", "1", "--bursts", &bursts.to_string(), "--only", &case.name()])
            .output()
            .context("valgrind")?;
        let text = String::from_utf8_lossy(&output.stderr);
        let collected = text.lines().find_map(|line| line.split_once("Collected :"));
        let (_, count) = collected.with_context(|| format!("no count in: {text}"))?;
        Ok(count.trim().parse()?)
    };
    let (few, many) = (20, 60);
    let packets = measure::bursts(many) - measure::bursts(few);
    ensure!(packets > 0);
    Ok((count(many)? - count(few)?) / (packets * BURST) as f64)
}

fn print_limits() {
    println!("what,value,unit");
    println!("copy,{:.1},GB/s", limits::copy_gb_per_s());
    for (what, kilobytes) in [("L1", 24), ("L2", 512), ("L3", 8 << 10), ("DRAM", 512 << 10)] {
        println!("load from {what},{:.1},ns", limits::load_ns(kilobytes << 10));
    }
}
