//! What rules have changed in streams, and what that took.

use std::ops::AddAssign;

/// What one worker has counted of changed streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EditCounters {
    /// Connections of which rules have changed or held bytes.
    pub connections: u64,
    /// Changes that rules have made.
    pub edits: u64,
    /// Bytes that they took away.
    pub bytes_in: u64,
    /// Bytes that they put there.
    pub bytes_out: u64,
    /// Times that bytes which a rule held were let go, since the bound was reached.
    pub holds_released: u64,
    /// Segments split off packets whose bytes had become too many for one.
    pub split: u64,
    /// Segments of our own with bytes that had waited for room at their receiver.
    pub forged: u64,
    /// ACKs of our own for what was taken out, which its receiver cannot acknowledge.
    pub acks: u64,
    /// Duplicate ACKs of our own for what waits behind a gap, which its receiver does not see.
    pub duplicate_acks: u64,
    /// Segments of our own with bytes that were acknowledged so and lost behind us.
    pub repeated: u64,
    /// Connections that were reset where they should have crossed uninspected, since their numbers had
    /// been changed.
    pub lost: u64,
}

type Named = (&'static str, &'static str);

impl EditCounters {
    /// All numbers under the names that Prometheus knows them by, with a HELP line each.
    pub(crate) fn named(&self) -> [(Named, u64); 11] {
        [
            (CONNECTIONS, self.connections),
            (EDITS, self.edits),
            (BYTES_IN, self.bytes_in),
            (BYTES_OUT, self.bytes_out),
            (HOLDS_RELEASED, self.holds_released),
            (SPLIT, self.split),
            (FORGED, self.forged),
            (ACKS, self.acks),
            (DUPLICATE_ACKS, self.duplicate_acks),
            (REPEATED, self.repeated),
            (LOST, self.lost),
        ]
    }
}

impl AddAssign<&Self> for EditCounters {
    fn add_assign(&mut self, other: &Self) {
        self.connections += other.connections;
        self.edits += other.edits;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.holds_released += other.holds_released;
        self.split += other.split;
        self.forged += other.forged;
        self.acks += other.acks;
        self.duplicate_acks += other.duplicate_acks;
        self.repeated += other.repeated;
        self.lost += other.lost;
    }
}

const CONNECTIONS: Named =
    ("tollgate_edited_connections_total", "Connections of which rules have changed or held bytes.");
const EDITS: Named = ("tollgate_edits_total", "Changes of streams that rules have made.");
const BYTES_IN: Named = ("tollgate_edit_bytes_in_total", "Bytes that changes took away.");
const BYTES_OUT: Named = ("tollgate_edit_bytes_out_total", "Bytes that changes put there.");
const HOLDS_RELEASED: Named = (
    "tollgate_holds_released_total",
    "Times that bytes which a rule held were let go at the bound.",
);
const SPLIT: Named = (
    "tollgate_edit_segments_split_total",
    "Segments split off packets that had become too long for one.",
);
const FORGED: Named = (
    "tollgate_edit_segments_forged_total",
    "Segments with bytes that had waited for room at their receiver.",
);
const ACKS: Named =
    ("tollgate_edit_acks_forged_total", "ACKs of our own for bytes that were taken out.");
const DUPLICATE_ACKS: Named = (
    "tollgate_edit_duplicate_acks_forged_total",
    "Duplicate ACKs of our own for segments that are held behind a gap.",
);
const REPEATED: Named = (
    "tollgate_edit_segments_repeated_total",
    "Segments of our own that repeat what was held, acknowledged selectively and lost behind us.",
);
const LOST: Named =
    ("tollgate_edits_lost_total", "Connections reset since they could not cross uninspected.");
