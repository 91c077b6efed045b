//! The counters under the names that Prometheus knows them by.

use arrayvec::ArrayVec;
use tollgate_link::Port;
use tollgate_policy::Verdict;
use tollgate_tcp::Invalid;
use tollgate_wire::{Malformed, Other};

use crate::counters::{Cause, Counters, PHASES};
use crate::remedy::Trouble;

/// One sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// `tollgate_…_total`.
    pub name: &'static str,
    /// What it counts, for the page's HELP line.
    pub help: &'static str,
    /// Label names and values.
    pub labels: ArrayVec<(&'static str, &'static str), 2>,
    /// Its value.
    pub value: u64,
}

type Named = (&'static str, &'static str);

impl Metric {
    fn new((name, help): Named, labels: &[Named], value: u64) -> Self {
        Self { name, help, labels: labels.iter().copied().take(2).collect(), value }
    }
}

impl Counters {
    /// All numbers, with the names under which Prometheus knows them. Zeros are included, so that a
    /// series exists before its first event.
    pub fn metrics(&self) -> impl Iterator<Item = Metric> + use<> {
        let mut out = Vec::with_capacity(128);
        self.port_metrics(&mut out);
        self.drop_metrics(&mut out);
        for (other, value) in Other::ALL.into_iter().zip(self.passed) {
            out.push(Metric::new(PASSED, &[("kind", other.name())], value));
        }
        for (verdict, value) in Verdict::ALL.into_iter().zip(self.verdicts).skip(1) {
            out.push(Metric::new(VERDICTS, &[("verdict", verdict.name())], value));
        }
        for (phase, value) in PHASES.into_iter().zip(self.phases) {
            out.push(Metric::new(CONNECTIONS, &[("phase", phase.name())], value));
        }
        for (named, label, value) in self.shunts.named() {
            out.push(Metric::new(named, label.as_slice(), value));
        }
        for (trouble, value) in Trouble::ALL.into_iter().zip(self.troubles) {
            out.push(Metric::new(TROUBLES, &[("cause", trouble.name())], value));
        }
        let plain = [
            (FORGED, self.forged),
            (INJECTED, self.injected),
            (INJECTED_LOST, self.injected_lost),
            (MERGED, self.merged),
            (HANDED_OUT, self.handed_out),
            (HANDED_IN, self.handed_in),
            (UNTRACKED, self.untracked),
            (BYPASSED, self.bypassed),
            (RSTS, self.rsts),
            (RSTS_REPEATED, self.rsts_repeated),
            (RSTS_FAILED, self.rsts_failed),
            (RSTS_CHALLENGED, self.rsts_challenged),
            (CHECKSUMS, self.checksums_completed),
            (OUT_OF_ORDER, self.out_of_order),
            (RETRANSMITTED, self.retransmitted),
            (REWRITTEN, self.rewritten),
            (FORGOTTEN, self.forgotten),
            (SILENCED, self.silenced),
            (SACKS, self.sacks_stripped),
            (URGENT, self.urgent_cleared),
            (TTLS, self.ttls_raised),
            (RESUMED, self.resumed),
            (UNSEEN, self.unseen),
            (REASSEMBLED, self.reassembled),
            (SUPPRESSED, self.alerts_suppressed),
            (UNBALANCED, self.unbalanced_turns),
        ];
        let edits = self.edits.named();
        out.extend(
            plain.into_iter().chain(edits).map(|(name, value)| Metric::new(name, &[], value)),
        );
        out.into_iter()
    }

    fn port_metrics(&self, out: &mut Vec<Metric>) {
        for (port, counts) in Port::BOTH.into_iter().zip(&self.ports) {
            let label = [("port", port.name())];
            out.push(Metric::new(RECEIVED, &label, counts.received_frames));
            out.push(Metric::new(RECEIVED_BYTES, &label, counts.received_bytes));
            out.push(Metric::new(TRANSMITTED, &label, counts.transmitted_frames));
            out.push(Metric::new(TRANSMITTED_BYTES, &label, counts.transmitted_bytes));
        }
    }

    fn drop_metrics(&self, out: &mut Vec<Metric>) {
        let mut push = |class, name, value| {
            out.push(Metric::new(DROPPED, &[("class", class), ("reason", name)], value));
        };
        for (why, value) in Malformed::ALL.into_iter().zip(self.malformed) {
            push("malformed", why.name(), value);
        }
        for (why, value) in Invalid::ALL.into_iter().zip(self.invalid) {
            push("invalid", why.name(), value);
        }
        let refusals = Verdict::ALL.into_iter().zip(self.refused);
        for (verdict, value) in refusals.filter(|(verdict, _)| !verdict.forwards()) {
            push("verdict", verdict.name(), value);
        }
        for (cause, value) in Cause::ALL.into_iter().zip(self.causes) {
            push("cause", cause.name(), value);
        }
    }
}

const RECEIVED: Named = ("tollgate_frames_received_total", "Frames received.");
const RECEIVED_BYTES: Named = ("tollgate_received_bytes_total", "Bytes of frames received.");
const TRANSMITTED: Named = ("tollgate_frames_transmitted_total", "Frames sent.");
const TRANSMITTED_BYTES: Named = ("tollgate_transmitted_bytes_total", "Bytes of frames sent.");
const DROPPED: Named = ("tollgate_frames_dropped_total", "Frames dropped.");
const PASSED: Named = ("tollgate_frames_passed_total", "Frames that are not TCP and crossed.");
const FORGED: Named = ("tollgate_frames_forged_total", "Frames of our own making.");
const INJECTED: Named = ("tollgate_frames_injected_total", "Frames that rules made.");
const INJECTED_LOST: Named =
    ("tollgate_frames_injected_lost_total", "Frames that rules made and that went nowhere.");
const MERGED: Named =
    ("tollgate_frames_merged_total", "Frames whose bytes went on in another frame.");
const HANDED_OUT: Named = ("tollgate_frames_handed_out_total", "Frames given to other workers.");
const HANDED_IN: Named = ("tollgate_frames_handed_in_total", "Frames taken from other workers.");
const UNTRACKED: Named =
    ("tollgate_packets_untracked_total", "TCP packets of no connection that crossed.");
const BYPASSED: Named =
    ("tollgate_packets_bypassed_total", "Packets of connections that cross uninspected.");
const TROUBLES: Named =
    ("tollgate_troubles_total", "Times that a connection could not be treated as it should be.");
const VERDICTS: Named = ("tollgate_verdicts_total", "Verdicts of rules other than accept.");
const CONNECTIONS: Named = ("tollgate_connections_total", "Connections by what happened to them.");
const RSTS: Named = ("tollgate_rsts_sent_total", "RSTs sent.");
const RSTS_REPEATED: Named =
    ("tollgate_rsts_repeated_total", "RSTs sent again, for the first may be lost.");
const RSTS_FAILED: Named = ("tollgate_rsts_failed_total", "RSTs that could not be forged.");
const RSTS_CHALLENGED: Named = (
    "tollgate_rsts_challenged_total",
    "RSTs ahead of what had left, whose receiver was made to tell what it expects.",
);
const CHECKSUMS: Named =
    ("tollgate_checksums_completed_total", "Packets whose partial checksum was completed.");
const OUT_OF_ORDER: Named =
    ("tollgate_packets_out_of_order_total", "Packets that arrived with a gap before them.");
const RETRANSMITTED: Named =
    ("tollgate_packets_retransmitted_total", "Packets with only known bytes that crossed again.");
const REWRITTEN: Named = (
    "tollgate_packets_rewritten_total",
    "Packets with other bytes than an earlier copy, made equal to it.",
);
const FORGOTTEN: Named = (
    "tollgate_packets_forgotten_total",
    "Packets with bytes whose earlier copy was no longer remembered.",
);
const SILENCED: Named = (
    "tollgate_retained_silenced_total",
    "Times that bytes in flight were forgotten for want of memory, none of them acknowledged for long.",
);
const SACKS: Named =
    ("tollgate_sacks_stripped_total", "Packets that lost SACK blocks of what has not left.");
const URGENT: Named = ("tollgate_urgent_cleared_total", "Packets that lost their urgent pointer.");
const TTLS: Named =
    ("tollgate_ttls_raised_total", "Packets that might have died before their receiver.");
const RESUMED: Named = (
    "tollgate_resumed_total",
    "Times that connections were taken up again after frames had crossed unseen.",
);
const UNSEEN: Named =
    ("tollgate_unseen_bytes_total", "Bytes of streams that had crossed unseen by then.");
const REASSEMBLED: Named =
    ("tollgate_datagrams_reassembled_total", "IP datagrams put together from fragments.");
const SUPPRESSED: Named = ("tollgate_alerts_suppressed_total", "Engine alerts over the rate.");
const UNBALANCED: Named =
    ("tollgate_unbalanced_turns_total", "Turns with a frame lost or invented: a bug.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_samples_have_the_same_name_and_labels() {
        let metrics: Vec<_> = Counters::default().metrics().collect();
        for (position, metric) in metrics.iter().enumerate() {
            assert!(
                metrics
                    .iter()
                    .skip(position + 1)
                    .all(|other| { other.name != metric.name || other.labels != metric.labels })
            );
        }
    }
}
