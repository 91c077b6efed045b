//! Thousands of connections over bad roads before and behind the gate, with two workers.
//!
//! A thousand connections unless `TOLLGATE_SOAK` says how many (`make soak`: ten thousand).

use std::time::{Duration, Instant};

use crate::crowd::{COUNT_MAX, Outcome, Plan, gather};
use crate::lab::{Lab, Options, Side};
use crate::program::{Metrics, Program};
use crate::road::{Roads, Weather};
use crate::rules;

/// At each of the two roads, in each of the two directions.
const WEATHER: Weather = Weather { lost: 50, late: 200, late_max_us: 4000 };
/// Linux's own counters of what loss costs.
const COUNTERS: [&str; 6] = [
    "TcpRetransSegs",
    "TcpExtTCPTimeouts",
    "TcpExtTCPFastRetrans",
    "TcpExtTCPSackRecovery",
    "TcpExtTCPLossProbes",
    "TcpExtTCPSpuriousRTOs",
];

fn plan() -> Plan {
    let count = std::env::var("TOLLGATE_SOAK").ok().and_then(|text| text.parse().ok());
    Plan {
        count: count.unwrap_or(1000).min(COUNT_MAX),
        at_once: 250,
        stall: Duration::from_secs(60),
        edit: |sent| sent,
    }
}

/// A lab whose ends try again at least once a second, where the kernel lets itself be told: what stays
/// lost for longer is no bad luck. And they do not give up, which Linux does after a time that it
/// reckons from the shorter pauses, and long recoveries count as one.
fn lab() -> Option<Lab> {
    let lab = Lab::up(Options { queues: 2, ..Options::default() })?;
    for side in [Side::Client, Side::Server] {
        for setting in ["net.ipv4.tcp_rto_max_ms=1000", "net.ipv4.tcp_retries2=100"] {
            lab.run(side, &["sh", "-c", &format!("sysctl -qw {setting} 2>/dev/null || true")]);
        }
    }
    Some(lab)
}

/// Prints what happened, and asserts that nothing went wrong.
fn judge(
    lab: &Lab,
    plan: Plan,
    began: Instant,
    roads: &Roads,
    metrics: &Metrics,
    ends: &[Outcome],
) {
    let [carried, lost, late] = roads.frames();
    println!("{} connections in {:.1?}", plan.count, began.elapsed());
    println!("  the roads carried {carried} TCP frames, lost {lost}, delayed {late}");
    for (side, end) in [Side::Client, Side::Server].into_iter().zip(ends) {
        println!("  {}: {end}", side.name());
        let counters = lab.run(side, &[&["nstat", "-asz"][..], &COUNTERS].concat());
        let counters: Vec<_> = counters
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
            .collect();
        println!("    {}", counters.join(", "));
    }
    let failures: Vec<_> = ends.iter().flat_map(|end| &end.failures).take(20).collect();
    assert!(failures.is_empty(), "{failures:#?}\n{metrics:#?}");
    assert_eq!(metrics.sum("tollgate_unbalanced_turns_total", &[]), 0.0);
    let established = metrics.sum("tollgate_connections_total", &[r#"phase="established""#]);
    assert_eq!(established, f64::from(plan.count));
    assert!(metrics.sum("tollgate_frames_handed_out_total", &[]) > 0.0, "both workers took part");
    assert!(lost > carried / 40 && late > carried / 10, "the roads were bad");
}

#[test]
fn through_loss_and_reordering_before_and_behind_every_byte_arrives_as_it_was_sent() {
    let Some(lab) = lab() else { return };
    let program = Program::start(&lab, rules::ACCEPT, 2);
    let roads = Roads::new(&lab, WEATHER, [Box::new(|_| {}), Box::new(|_| {})]);
    let (plan, began) = (plan(), Instant::now());
    let ends = gather(&lab, plan);
    judge(&lab, plan, began, &roads, &program.metrics(&lab), &ends);
    drop(roads);
    assert_eq!(program.stop().code, Some(0));
}
