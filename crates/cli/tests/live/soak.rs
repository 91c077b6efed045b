//! Thousands of connections over bad roads before and behind the gate, with two workers.
//!
//! A thousand connections unless `TOLLGATE_SOAK` says how many (`make soak`: ten thousand).

use std::time::{Duration, Instant};

use crate::crowd::{COUNT_MAX, Edit, Plan, Speaker, gather};
use crate::lab::{Lab, Options, Side};
use crate::program::Program;
use crate::road::{Roads, Weather};
use crate::rules;
use crate::scramble::scrambled;
use crate::witness::{Testimony, Witness};

/// At each of the two roads, in each of the two directions.
const WEATHER: Weather = Weather { lost: 50, late: 200, late_max_us: 4000 };
/// Linux's own counters of what loss costs.
const COUNTERS: [&str; 7] = [
    "TcpRetransSegs",
    "TcpExtTCPTimeouts",
    "TcpExtTCPFastRetrans",
    "TcpExtTCPSackRecovery",
    "TcpExtTCPLossProbes",
    "TcpExtTCPSpuriousRTOs",
    "TcpExtTCPSACKReneging",
];

fn plan(edit: Edit) -> Plan {
    let count = std::env::var("TOLLGATE_SOAK").ok().and_then(|text| text.parse().ok());
    Plan {
        count: count.unwrap_or(1000).min(COUNT_MAX),
        at_once: 250,
        // Linux repeats a SYN-ACK after ever longer pauses, whatever it is told of others: 32 s, then 64 s.
        stall: Duration::from_secs(150),
        edit,
    }
}

/// A lab whose ends try again at least every ten seconds, where the kernel lets itself be told: what stays
/// lost for longer is no bad luck. And they do not give up, which Linux does after a time that it
/// reckons from the shorter pauses, and long recoveries count as one; nor after six bad handshakes. With bytes in
/// flight and a closed window it gives up if it hears nothing for two such pauses, which is why they are not shorter:
/// on a busy machine nobody may get to speak for some seconds.
fn lab() -> Option<Lab> {
    let lab = Lab::up(Options { queues: 2, ..Options::default() })?;
    for side in [Side::Client, Side::Server] {
        for setting in [
            "tcp_rto_max_ms=10000",
            "tcp_retries2=100",
            "tcp_syn_retries=50",
            "tcp_synack_retries=50",
        ] {
            let set = format!("sysctl -qw net.ipv4.{setting} 2>/dev/null || true");
            lab.run(side, &["sh", "-c", &set]);
        }
    }
    Some(lab)
}

/// Lets the connections happen, prints what came of it, and asserts that nothing went wrong.
fn judge(lab: &Lab, program: Program, edit: Edit) {
    let speakers = [Speaker::Server, Speaker::Client];
    let [to_client, to_server] = speakers.map(|speaker| Witness::watch(speaker, edit));
    let roads = Roads::new(lab, WEATHER, [to_client.0, to_server.0]);
    let (plan, began) = (plan(edit), Instant::now());
    let ends = gather(lab, plan);
    let took = began.elapsed();
    let metrics = program.metrics(lab);
    let [carried, lost, late] = roads.frames();
    drop(roads);

    println!("{} connections in {took:.1?}", plan.count);
    println!("  the roads carried {carried} TCP frames, lost {lost}, delayed {late}");
    let sides = [Side::Client, Side::Server].into_iter().zip(&ends);
    let mut faults = Vec::new();
    for ((side, end), testimony) in sides.zip([to_client.1, to_server.1]) {
        let Testimony { bytes, repeated, faults: seen } =
            testimony.lock().expect("the road is closed").clone();
        println!("  {}: {end}", side.name());
        println!("    {bytes} bytes left for it, {repeated} of them not for the first time");
        println!("    {}", counters(lab, side));
        faults.extend(seen);
        faults.extend(end.failures.iter().cloned());
        assert!(repeated > 0, "copies of bytes that had left were compared");
    }
    assert!(faults.is_empty(), "{:#?}\n{metrics:#?}", &faults[..faults.len().min(20)]);
    assert_eq!(metrics.sum("tollgate_unbalanced_turns_total", &[]), 0.0);
    let established = metrics.sum("tollgate_connections_total", &[r#"phase="established""#]);
    let twice = program.twice("established");
    assert_eq!(established, f64::from(plan.count), "{twice:#?}");
    assert!(metrics.sum("tollgate_frames_handed_out_total", &[]) > 0.0, "both workers took part");
    assert!(lost > carried / 40 && late > carried / 10, "the roads were bad");
    assert_eq!(program.stop().code, Some(0));
}

fn counters(lab: &Lab, side: Side) -> String {
    let text = lab.run(side, &[&["nstat", "-asz"][..], &COUNTERS].concat());
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let counters = lines.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    counters.collect::<Vec<_>>().join(", ")
}

#[test]
fn through_loss_and_reordering_before_and_behind_every_byte_arrives_as_it_was_sent() {
    let Some(lab) = lab() else { return };
    let program = Program::start(&lab, rules::ACCEPT, 2);
    judge(&lab, program, |_, _, said| said);
}

#[test]
fn through_loss_and_reordering_every_byte_arrives_as_the_rules_have_changed_it() {
    let Some(lab) = lab() else { return };
    let program = Program::start_scrambler(&lab, 2);
    judge(&lab, program, scrambled);
}
