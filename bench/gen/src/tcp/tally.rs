//! What was seen of all connections.

use hdrhistogram::Histogram;

/// Counters of a run. The second group must stay zero: whatever is in it, the wire has done.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) opened: u64,
    /// Connections at a time, opening ones too.
    pub(crate) most_open: u32,
    /// Handshakes that came to their end.
    pub(crate) established: u64,
    /// Closed by FINs both ways, all bytes there and right.
    pub(crate) completed: u64,
    /// Ended by a RST from the wire.
    pub(crate) reset: u64,
    /// Given up after [`TRIES_MAX`](super::TRIES_MAX) repetitions.
    pub(crate) timed_out: u64,
    /// Bytes that arrived in order, at the server and at the client.
    pub(crate) delivered: [u64; 2],
    /// Segments sent again, by either end.
    pub(crate) repeated: u64,
    /// Frames of connections that are no more.
    pub(crate) stray: u64,
    /// Segments whose bytes had come before, or were left out behind a second gap.
    pub(crate) duplicate: u64,
    /// Frames that are none of ours.
    pub(crate) strangers: u64,

    /// Checksums or lengths that are wrong.
    pub(crate) broken: u64,
    /// Payloads that differ from what was sent.
    pub(crate) changed: u64,
    /// Sequence or acknowledgment numbers that nobody has sent, or at the wrong end.
    pub(crate) invented: u64,

    /// From the first SYN to the SYN of the server, in nanoseconds.
    pub(crate) opening_ns: Histogram<u64>,
    /// From the sending of a stamp to its arrival at the server.
    pub(crate) one_way_ns: Histogram<u64>,
    /// The same, to the arrival of its echo.
    pub(crate) round_trip_ns: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        // Three digits, up to ten seconds.
        #[expect(clippy::expect_used, reason = "constants that it takes")]
        let histogram =
            || Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("bounds in order");
        Self {
            opened: 0,
            most_open: 0,
            established: 0,
            completed: 0,
            reset: 0,
            timed_out: 0,
            delivered: [0; 2],
            repeated: 0,
            stray: 0,
            duplicate: 0,
            strangers: 0,
            broken: 0,
            changed: 0,
            invented: 0,
            opening_ns: histogram(),
            one_way_ns: histogram(),
            round_trip_ns: histogram(),
        }
    }

    /// Whether all that came back was what had been sent.
    pub(crate) const fn is_clean(&self) -> bool {
        self.broken == 0 && self.changed == 0 && self.invented == 0
    }
}
