//! What a hostile frame costs, and what it leaves for the honest: every attack of [`Attack::ALL`] beside
//! a thousand honest connections, on a link in memory.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints what it measured"
)]

use anyhow::Context as _;
use clap::Parser;
use tollgate_bench::abuse::{self, Effort, Outcome};
use tollgate_bench::hostile::Attack;

/// What a hostile frame costs, and what it leaves for the honest.
#[derive(Debug, Parser)]
struct Arguments {
    /// Runs of each attack, in turn
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Bursts of 512 frames, of each kind, in a run
    #[arg(long, default_value_t = 2000)]
    bursts: usize,
    /// Only attacks whose name contains this
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    println!(
        "run,attack,hostile_frames,hostile_ns,honest_ns,honest_ns_attacked,ratio,left_percent,\
         rss_before_mib,rss_during_mib,rss_after_mib,half_open_max,held_frames_max,\
         held_bytes_max,held_extents_max,retained_mib_max,fragments_max,half_open_after,held_frames_after"
    );
    for run in 1..=arguments.runs {
        for attack in Attack::ALL {
            if !attack.name().contains(&arguments.only) {
                continue;
            }
            eprintln!("    run {run} of {}  {}", arguments.runs, attack.name());
            let effort = Effort { flows: 1000, bursts: arguments.bursts, half_open_max: 1 << 16 };
            let outcome = abuse::run(attack, effort).with_context(|| attack.name())?;
            print(run, attack, &outcome);
        }
    }
    Ok(())
}

fn print(run: usize, attack: Attack, outcome: &Outcome) {
    let Outcome { honest_alone, honest_attacked, hostile, peak, after, .. } = outcome;
    let left = outcome.hostile_left as f64 / outcome.hostile_frames as f64 * 100.0;
    let [before, during, end] = outcome.resident.map(|bytes| bytes >> 20);
    println!(
        "{run},{},{},{hostile:.1},{honest_alone:.1},{honest_attacked:.1},{:.3},{left:.1},\
         {before},{during},{end},{},{},{},{},{:.1},{},{},{}",
        attack.name(),
        outcome.hostile_frames,
        honest_attacked / honest_alone,
        peak.half_open,
        peak.held_frames,
        peak.held_bytes,
        peak.held_extents,
        peak.retained_bytes as f64 / f64::from(1 << 20),
        peak.fragments,
        after.half_open,
        after.held_frames,
    );
}
