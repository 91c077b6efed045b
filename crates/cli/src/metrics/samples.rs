//! What the numbers of a run are called.

use std::time::Duration;

use tollgate_engine::Gauges;
use tollgate_link::Port;
use tollgate_link::xsk::{Census, LinkCounts, QueueStatistics, VerdictCounts};
use tollgate_script::RuleErrors;
use tollgate_tcp::State;

use super::Reloads;
use super::series::Sample;
use crate::station::Snapshot;

type Named = (&'static str, &'static str);

/// The delay that Tollgate adds, by samples.
pub(super) const DELAY: Named = (
    "tollgate_added_delay_seconds",
    "Time from taking a batch of frames in to having sent it on, one batch a millisecond at most.",
);
const EVENTS_LOST: Named = (
    "tollgate_events_lost_total",
    "Events that were not printed: more than fitted, or nobody read them.",
);

/// Everything a worker publishes, always in the same order.
pub(super) fn worker(snapshot: &Snapshot) -> Vec<Sample> {
    let Snapshot {
        counters,
        gauges,
        alerts,
        reports_lost,
        queues,
        census,
        link,
        rule_errors,
        rule_sets,
    } = snapshot;
    let mut samples: Vec<_> = counters
        .metrics()
        .map(|metric| Sample::total((metric.name, metric.help), &metric.labels, metric.value))
        .collect();
    samples.push(Sample::level(
        ("tollgate_balance_residue", "Frames without a fate; anything but 0 is a bug."),
        &[],
        counters.balance(),
    ));
    samples.push(Sample::total(
        ("tollgate_alerts_total", "Alerts raised by rules and by the engine."),
        &[],
        *alerts,
    ));
    samples.push(Sample::total(
        ("tollgate_reports_lost_total", "Events that the worker had no room for."),
        &[],
        *reports_lost,
    ));
    const ERRORS: Named = ("tollgate_rule_errors_total", "Times that a rule failed.");
    let RuleErrors { errors, instructions, memory, restarts } = rule_errors;
    for (cause, value) in [("error", errors), ("instructions", instructions), ("memory", memory)] {
        samples.push(Sample::total(ERRORS, &[("cause", cause)], *value));
    }
    samples.push(Sample::total(
        ("tollgate_rule_restarts_total", "Times that rules began afresh, their memory full."),
        &[],
        *restarts,
    ));
    samples.push(level(
        (
            "tollgate_rule_sets",
            "Sets of rules that live: one, and those that older connections keep.",
        ),
        &[],
        *rule_sets as u64,
    ));
    levels(&mut samples, gauges);
    for statistics in queues {
        queue(&mut samples, statistics);
    }
    self::memory(&mut samples, census);
    self::link(&mut samples, link);
    samples
}

/// What one port's steering program has counted.
pub(super) fn steering(port: Port, counts: &VerdictCounts) -> Vec<Sample> {
    const FRAMES: Named =
        ("tollgate_steered_frames_total", "Frames seen by the XDP program, by what it did.");
    const BYTES: Named =
        ("tollgate_steered_bytes_total", "Bytes seen by the XDP program, by what it did.");
    let mut samples = Vec::new();
    for (verdict, count) in counts.iter() {
        let labels = [("port", port.name()), ("verdict", verdict.name())];
        samples.push(Sample::total(FRAMES, &labels, count.frames));
        samples.push(Sample::total(BYTES, &labels, count.bytes));
    }
    samples
}

/// What concerns no pair.
pub(super) fn process(uptime: Duration, events_lost: u64, reloads: &Reloads) -> Vec<Sample> {
    const RELOADS: Named =
        ("tollgate_rules_reloads_total", "Reloads of the rules, by how they ended.");
    let seconds = i64::try_from(uptime.as_secs()).unwrap_or(i64::MAX);
    vec![
        Sample::total(RELOADS, &[("result", "done")], reloads.done),
        Sample::total(RELOADS, &[("result", "refused")], reloads.refused),
        level(
            (
                "tollgate_rules_generation",
                "Which rules are in force: 1 at the start, 1 more with each reload.",
            ),
            &[],
            reloads.done + 1,
        ),
        Sample::total(EVENTS_LOST, &[], events_lost),
        Sample::level(("tollgate_uptime_seconds", "Since its wires were closed."), &[], seconds),
    ]
}

fn levels(samples: &mut Vec<Sample>, gauges: &Gauges) {
    const FLOWS: Named = ("tollgate_flows", "Connections in the tables, by TCP state.");
    // Half-open connections live in a table of their own and are one number.
    for (state, count) in State::ALL.into_iter().zip(gauges.flows) {
        if !matches!(state, State::SynSent | State::SynReceived) {
            samples.push(level(FLOWS, &[("state", state.name())], count));
        }
    }
    samples.push(level(FLOWS, &[("state", "half_open")], gauges.half_open));
    samples.push(level(FLOWS, &[("state", "refused")], gauges.zombies));
    samples.push(level(FLOWS, &[("state", "bypassed")], gauges.bypassed));
    samples.push(level(FLOWS, &[("state", "one_sided")], gauges.one_sided));
    samples.push(level(FLOWS, &[("state", "shunted")], gauges.shunted));
    let plain = [
        ("tollgate_held_frames", "Frames that wait behind a gap.", gauges.held_frames),
        (
            "tollgate_held_bytes",
            "Bytes of payload behind gaps, in waiting frames or as copies of such as have left.",
            gauges.held_bytes,
        ),
        ("tollgate_held_extents", "Runs of such bytes without a gap.", gauges.held_extents),
        (
            "tollgate_retained_bytes",
            "Bytes that left and are not acknowledged, kept to compare copies with.",
            gauges.retained_bytes,
        ),
        ("tollgate_fragments_waiting", "IP fragments that wait for the rest.", gauges.fragments),
        ("tollgate_datagrams_waiting", "IP datagrams not whole yet.", gauges.datagrams),
    ];
    samples.extend(plain.map(|(name, help, value)| level((name, help), &[], value)));
    const PRESSURE: Named =
        ("tollgate_pressure", "1 while a table is nearly full and shorter timeouts hold.");
    for (table, on) in [("flows", gauges.flows_pressed), ("half_open", gauges.half_open_pressed)] {
        samples.push(level(PRESSURE, &[("table", table)], on.into()));
    }
}

fn queue(samples: &mut Vec<Sample>, statistics: &QueueStatistics) {
    let QueueStatistics { port, queue, counts, filled, in_flight, .. } = statistics;
    let number = queue.to_string();
    let labels = [("port", port.name()), ("queue", number.as_str())];
    let totals: [(Named, u64); 5] = [
        (
            ("tollgate_queue_frames_received_total", "Frames received from a queue."),
            counts.received,
        ),
        (
            ("tollgate_queue_frames_transmitted_total", "Frames given to a queue."),
            counts.transmitted,
        ),
        (
            ("tollgate_queue_wakeups_total", "System calls made to have frames sent."),
            counts.wakeups,
        ),
        (
            ("tollgate_queue_wakeups_failed_total", "System calls on a queue that failed."),
            counts.wakeup_failed,
        ),
        (
            ("tollgate_queue_transmit_starved_total", "Times the kernel found nothing to send."),
            counts.tx_ring_empty,
        ),
    ];
    samples.extend(totals.map(|(named, value)| Sample::total(named, &labels, value)));
    const STALLS: Named =
        ("tollgate_ring_stalls_total", "Times that a ring was full or could not be filled.");
    const LOST: Named =
        ("tollgate_kernel_dropped_frames_total", "Frames the kernel dropped at a socket.");
    let with = |named: Named, label: Named, value| {
        let [port, queue] = labels;
        Sample::total(named, &[port, queue, label], value)
    };
    samples.push(with(STALLS, ("ring", "fill"), counts.fill_short));
    samples.push(with(STALLS, ("ring", "transmit"), counts.transmit_full));
    samples.push(with(LOST, ("reason", "other"), counts.rx_dropped));
    samples.push(with(LOST, ("reason", "receive_ring_full"), counts.rx_ring_full));
    samples.push(with(LOST, ("reason", "fill_ring_empty"), counts.rx_fill_ring_empty));
    samples.push(with(LOST, ("reason", "receive_descriptor_invalid"), counts.rx_invalid));
    samples.push(with(LOST, ("reason", "transmit_descriptor_invalid"), counts.tx_invalid));
    const RINGS: Named = ("tollgate_queue_frames", "Frames in a queue's rings or with the kernel.");
    for (place, frames) in [("filled", *filled), ("in_flight", *in_flight)] {
        let [port, queue] = labels;
        let labels = [port, queue, ("place", place)];
        samples.push(Sample::level(RINGS, &labels, frames.into()));
    }
}

fn memory(samples: &mut Vec<Sample>, census: &Census) {
    const CHUNKS: Named = (
        "tollgate_umem_frames",
        "Chunks of a worker by where they are; with several workers only their sum is meaningful.",
    );
    let places = [
        ("free", signed(census.free)),
        ("filled", signed(census.filled)),
        ("in_flight", signed(census.in_flight)),
        ("worker", census.held),
        ("between_workers", census.exchanged),
    ];
    for (place, frames) in places {
        samples.push(Sample::level(CHUNKS, &[("place", place)], frames));
    }
    let given = ("tollgate_umem_frames_given", "Chunks that a worker was given at the start.");
    samples.push(level(given, &[], census.given));
}

fn link(samples: &mut Vec<Sample>, counts: &LinkCounts) {
    let totals: [(Named, u64); 4] = [
        (
            (
                "tollgate_stale_frames_total",
                "Frames thrown away after a bypass: others went first.",
            ),
            counts.stale,
        ),
        (("tollgate_late_turns_total", "Turns of a worker that came too late."), counts.late),
        (
            ("tollgate_short_frames_total", "Frames to send without an Ethernet header: a bug."),
            counts.refused,
        ),
        (
            ("tollgate_orphaned_frames_total", "Frames neither sent nor released: a bug."),
            counts.orphaned,
        ),
    ];
    samples.extend(totals.map(|(named, value)| Sample::total(named, &[], value)));
}

fn level(named: Named, labels: &[(&'static str, &str)], value: u64) -> Sample {
    Sample::level(named, labels, signed(value))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::series::Series;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use std::collections::HashSet;
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    use tollgate_engine::Counters;

    fn snapshot() -> Snapshot {
        Snapshot {
            counters: Counters::default(),
            gauges: Gauges::default(),
            alerts: 1,
            reports_lost: 2,
            // Only the link can make such; the live tests read them.
            queues: Vec::new(),
            census: Census::default(),
            link: LinkCounts::default(),
            rule_errors: RuleErrors::default(),
            rule_sets: 1,
        }
    }

    fn page() -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let mut worker = Series::new(&[("pair", "a:b"), ("worker", "0")]);
            worker.set(super::worker(&snapshot()));
            worker.set(super::worker(&snapshot()));
            worker.histogram(DELAY, metrics::Unit::Seconds).record(1e-6);
            Series::new(&[]).set(process(
                Duration::from_secs(3),
                4,
                &Reloads { done: 1, refused: 2 },
            ));
            Series::new(&[("pair", "a:b")]).set(steering(Port::A, &VerdictCounts::default()));
        });
        handle.render()
    }

    #[test]
    fn no_series_is_there_twice_and_each_has_its_help() {
        let page = page();
        let samples: Vec<_> = page.lines().filter(|line| line.starts_with("tollgate")).collect();
        let names: HashSet<_> =
            samples.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
        assert_eq!(names.len(), samples.len());
        for name in names {
            let family = name.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| family.strip_suffix(end))
                .filter(|family| family.ends_with("_seconds"))
                .unwrap_or(family);
            // Summaries have no suffix for their quantiles; this page has the default ones.
            assert!(page.contains(&format!("# HELP {family} ")), "{family} has no help");
        }
        assert!(page.contains("tollgate_events_lost_total 4"), "{page}");
    }

    #[test]
    fn the_document_names_every_series() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let document = std::fs::read_to_string(path).unwrap();
        for line in page().lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = format!("`{}`", rest.split(' ').next().unwrap());
                assert!(document.contains(&name), "docs/metrics.md lacks {name}");
            }
        }
    }

    #[test]
    fn the_document_says_what_each_reason_to_drop_is() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let document = std::fs::read_to_string(path).unwrap();
        let rows = |line: &&str| {
            ["malformed", "invalid", "verdict", "cause"]
                .iter()
                .any(|class| line.starts_with(&format!("| `{class}` | `")))
        };
        let mut described: Vec<_> = document.lines().filter(rows).collect();
        let counters = Counters::default();
        for metric in counters.metrics().filter(|m| m.name == "tollgate_frames_dropped_total") {
            let [(_, class), (_, reason)] = metric.labels[..] else { panic!("{metric:?}") };
            let row = format!("| `{class}` | `{reason}` | ");
            let before = described.len();
            described.retain(|line| !line.starts_with(&row));
            assert_eq!(described.len() + 1, before, "docs/metrics.md: rows that begin with {row}");
        }
        assert!(described.is_empty(), "docs/metrics.md has reasons that are none: {described:?}");
    }

    #[test]
    fn promtool_finds_no_fault() {
        let started = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut promtool) = started else {
            println!("skipped: promtool is not installed");
            return;
        };
        promtool.stdin.take().unwrap().write_all(page().as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
