//! The table at the end: what came, what went, and what became of the rest.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use tollgate_engine::Counters;
use tollgate_link::Port;

/// What there is to tell of a pair, or of a replay.
#[derive(Debug)]
pub struct Summary<'a> {
    /// What ran: `eth1:eth2`, or the capture.
    pub title: &'a str,
    /// The two ports by name, A first.
    pub ports: [&'a str; 2],
    /// All workers added up.
    pub counters: &'a Counters,
    /// Alerts raised, by rules and by the engine.
    pub alerts: u64,
    /// Reports that were not printed.
    pub reports_lost: u64,
    /// Lengths of turns that moved frames, in ns; none in a replay, which has no delay.
    pub delays: Option<&'a Histogram<u64>>,
    /// How long it took, by the wall.
    pub took: Duration,
}

/// Names of counters whose sum goes on one line, and what the line is called. Only what is not zero
/// is shown.
const LINES: [(&str, &str); 12] = [
    ("connections", "tollgate_connections_total"),
    ("verdicts", "tollgate_verdicts_total"),
    ("dropped", "tollgate_frames_dropped_total"),
    ("not TCP", "tollgate_frames_passed_total"),
    ("untracked", "tollgate_packets_untracked_total"),
    ("handed over", "tollgate_frames_handed_out_total"),
    ("RSTs sent", "tollgate_rsts_sent_total"),
    ("RSTs failed", "tollgate_rsts_failed_total"),
    ("out of order", "tollgate_packets_out_of_order_total"),
    ("sent again", "tollgate_packets_retransmitted_total"),
    ("reassembled", "tollgate_datagrams_reassembled_total"),
    ("not alerted", "tollgate_alerts_suppressed_total"),
];

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, ports, counters, alerts, reports_lost, delays, took } = self;
        writeln!(f, "{title}: {:.3} s", took.as_secs_f64())?;
        for (port, name) in Port::BOTH.into_iter().zip(ports) {
            let [a, b] = &counters.ports;
            let counts = match port {
                Port::A => a,
                Port::B => b,
            };
            writeln!(
                f,
                "  {:12} received {} frames, {} bytes; sent {} frames, {} bytes",
                format!("{} {name}", port.name().to_uppercase()).trim_end(),
                counts.received_frames,
                counts.received_bytes,
                counts.transmitted_frames,
                counts.transmitted_bytes,
            )?;
        }
        let metrics: Vec<_> = counters.metrics().filter(|metric| metric.value > 0).collect();
        for (title, name) in LINES {
            let parts: Vec<_> = metrics
                .iter()
                .filter(|metric| metric.name == name)
                .map(|metric| match metric.labels.last() {
                    Some((_, label)) => format!("{label} {}", metric.value),
                    None => metric.value.to_string(),
                })
                .collect();
            if !parts.is_empty() {
                writeln!(f, "  {title:12} {}", parts.join(", "))?;
            }
        }
        if *alerts > 0 {
            writeln!(f, "  {:12} {alerts}", "alerts")?;
        }
        if *reports_lost > 0 {
            writeln!(
                f,
                "  {:12} {reports_lost} (printed too slowly, or nobody read)",
                "events lost"
            )?;
        }
        let frames: u64 = counters.ports.iter().map(|port| port.received_frames).sum();
        let rate = frames as f64 / took.as_secs_f64().max(1e-9);
        writeln!(f, "  {:12} {rate:.0} frames/s", "rate")?;
        if let Some(delays) = delays.filter(|delays| !delays.is_empty()) {
            let micros = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64() * 1e6;
            let [median, most] = [0.5, 0.99].map(|share| micros(delays.value_at_quantile(share)));
            let max = micros(delays.max());
            writeln!(
                f,
                "  {:12} median {median:.0} us, 99 % {most:.0} us, most {max:.0} us (sampled)",
                "added delay"
            )?;
        }
        match counters.balance() {
            0 => writeln!(f, "  {:12} every frame accounted for", "balance"),
            residue => writeln!(f, "  {:12} {residue} frames UNACCOUNTED FOR: a bug", "balance"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_engine::PortCounters;

    #[test]
    fn what_is_zero_is_not_shown_and_a_residue_is() {
        let mut counters = Counters::default();
        counters.ports[0] =
            PortCounters { received_frames: 3, received_bytes: 180, ..PortCounters::default() };
        counters.ports[1] = PortCounters {
            transmitted_frames: 2,
            transmitted_bytes: 120,
            ..PortCounters::default()
        };
        let summary = Summary {
            title: "eth1:eth2",
            ports: ["eth1", "eth2"],
            counters: &counters,
            alerts: 0,
            reports_lost: 0,
            delays: None,
            took: Duration::from_secs(3),
        };
        let text = summary.to_string();
        assert!(text.contains("A eth1       received 3 frames, 180 bytes; sent 0"), "{text}");
        assert!(text.contains("1 frames/s"), "{text}");
        assert!(text.contains("1 frames UNACCOUNTED FOR"), "{text}");
        assert!(!text.contains("dropped") && !text.contains("alerts"), "{text}");
    }

    #[test]
    fn the_added_delay_is_told_in_microseconds() {
        let mut delays = Histogram::new_with_bounds(1, 1_000_000, 2).unwrap();
        for nanos in [10_000, 10_000, 10_000, 90_000] {
            delays.saturating_record(nanos);
        }
        let summary = Summary {
            title: "",
            ports: ["", ""],
            counters: &Counters::default(),
            alerts: 2,
            reports_lost: 1,
            delays: Some(&delays),
            took: Duration::from_secs(1),
        };
        let text = summary.to_string();
        assert!(text.contains("added delay  median 10 us, 99 % 90 us, most 90 us"), "{text}");
        assert!(text.contains("alerts       2\n") && text.contains("events lost  1 "), "{text}");
        assert!(text.contains("every frame accounted for"), "{text}");
    }
}
