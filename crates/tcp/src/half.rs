//! What one side of a connection has sent, promised and acknowledged, and the window arithmetic on it:
//! van Rooij's, "Real Stateful TCP Packet Filtering in IP Filter", as netfilter applies it, but
//! strict. What netfilter would let pass without believing it, we drop or trim, for we stand in the
//! wire.

use tollgate_wire::{Seq, Timestamp};

/// Shifts above this are read as this (RFC 7323 section 2.3).
pub(crate) const SCALE_MAX: u8 = 14;
/// The least slack, in bytes, for old acknowledgments and old data; netfilter's MAXACKWINDOW.
const OLD_MIN: u32 = 66_000;
/// What is assumed of a window that was never seen, in bytes: the most of which four fit into the
/// sequence space, so that comparisons hold.
pub(crate) const WINDOW_UNKNOWN: u32 = 1 << 29;
/// How far beyond the first byte that was seen the receiver of a connection picked up in the middle
/// may have read, in bytes. A guess: no window in use is wider.
const PICKUP_MAX: u32 = 16 << 20;
/// Age at which a remembered timestamp means nothing any more: 24 days (RFC 7323 section 5.5), in
/// [`coarse`] ticks.
const TIMESTAMP_STALE: u32 = 1_931_190;

/// One direction of a connection: its sender's numbers.
///
/// Invariants: `start <= forwarded <= next`; `forwarded <= end_max`; the peer's `ack_max <= forwarded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Half {
    /// The first byte of data: ISN + 1.
    pub(crate) start: Seq,
    /// Contiguous edge of what is committed, the FIN included.
    pub(crate) next: Seq,
    /// Contiguous edge of what has left towards the receiver, the FIN included.
    pub(crate) forwarded: Seq,
    /// The furthest that has left towards the receiver, gaps before it or not.
    pub(crate) end_max: Seq,
    /// Highest valid acknowledgment that this side has sent.
    pub(crate) ack_max: Seq,
    /// Right-most window edge that this side has ever offered. It never retreats: RFC 9293 lets a
    /// sender use what was offered once, so a window that shrinks takes nothing back.
    pub(crate) edge_max: Seq,
    /// Widest window that this side has ever offered, in bytes.
    pub(crate) window_max: u32,
    /// TSval that its next segment is held against (RFC 7323's TS.Recent at the peer).
    pub(crate) ts_recent: u32,
    /// The newest TSval of all its valid segments: what we send in its name must not look older.
    pub(crate) ts_newest: u32,
    /// When `ts_recent` was taken, in [`coarse`] ticks; 0 is in the handshake, which is never long ago.
    pub(crate) ts_taken: u32,
    /// Shift for its windows.
    pub(crate) scale: u8,
    /// Its FIN is committed, at `next - 1`.
    pub(crate) fin: bool,
    /// `ts_recent` holds something.
    pub(crate) ts_known: bool,
    /// Fewer than 2³⁰ bytes are committed, so that numbers can still be compared with `start`.
    pub(crate) young: bool,
}

impl Half {
    /// The side whose first byte of data is `start` and that has acknowledged up to `ack`, with
    /// `window` bytes offered beyond.
    pub(crate) fn new(start: Seq, ack: Seq, window: u32, scale: u8) -> Self {
        Self {
            start,
            next: start,
            forwarded: start,
            end_max: start,
            ack_max: ack,
            edge_max: ack + window,
            window_max: window,
            ts_recent: 0,
            ts_newest: 0,
            ts_taken: 0,
            scale,
            fin: false,
            ts_known: false,
            young: true,
        }
    }

    /// Takes the contiguous edge that is committed, and whether it lies past the FIN.
    pub(crate) fn commit(&mut self, edge: Seq, fin: bool) {
        self.next = self.next.max(edge);
        self.fin |= fin;
        self.young &= edge.0.wrapping_sub(self.start.0) < 1 << 30;
    }

    /// Takes the contiguous edge of what has left.
    pub(crate) fn forward(&mut self, edge: Seq) {
        self.forwarded = self.forwarded.max(edge);
        self.end_max = self.end_max.max(edge);
    }

    /// Where its FIN stands, once that is committed.
    pub(crate) fn fin_seq(&self) -> Option<Seq> {
        self.fin.then(|| self.next - 1)
    }

    /// Takes a valid acknowledgment and the window beside it.
    #[inline]
    pub(crate) fn acknowledge(&mut self, ack: Seq, window: u16) {
        let window = u32::from(window) << self.scale;
        self.ack_max = self.ack_max.max(ack);
        self.edge_max = self.edge_max.max(ack + window);
        self.window_max = self.window_max.max(window);
    }

    /// Whether `seq` is so near to its first byte that the receiver may have got it before that was
    /// seen, where the connection was picked up in its middle.
    pub(crate) fn is_near_start(&self, seq: Seq) -> bool {
        self.young && seq.0.wrapping_sub(self.start.0) < PICKUP_MAX
    }

    /// How far back its old acknowledgments, and old data for it, may reach, in bytes.
    pub(crate) fn slack(&self) -> u32 {
        self.window_max.max(OLD_MIN)
    }

    /// Takes the timestamp of its SYN or SYN-ACK, if it is known.
    pub(crate) fn begin_timestamps(&mut self, value: Option<u32>) {
        self.ts_known = value.is_some();
        self.ts_recent = value.unwrap_or(0);
        self.ts_newest = self.ts_recent;
    }

    /// Takes note of the timestamp of any valid segment from this side.
    pub(crate) fn note_timestamp(&mut self, value: u32) {
        if !self.ts_known || value.wrapping_sub(self.ts_newest).cast_signed() > 0 {
            self.ts_newest = value;
        }
    }

    /// Whether PAWS refuses the timestamp `value` from this side. Linux accepts one tick less than
    /// the last, so one tick less is no reason.
    pub(crate) fn is_paws_old(&self, value: u32, now: Timestamp) -> bool {
        self.ts_known
            && value.wrapping_sub(self.ts_recent).cast_signed() < -1
            && !self.is_timestamp_stale(now)
    }

    /// Takes the timestamp `value` from this side if it is newer, or the last is stale.
    pub(crate) fn take_timestamp(&mut self, value: u32, now: Timestamp) {
        let newer = value.wrapping_sub(self.ts_recent).cast_signed() >= 0;
        if !self.ts_known || newer || self.is_timestamp_stale(now) {
            self.ts_recent = value;
            self.ts_taken = coarse(now);
            self.ts_known = true;
        }
    }

    fn is_timestamp_stale(&self, now: Timestamp) -> bool {
        self.ts_taken != 0 && coarse(now).wrapping_sub(self.ts_taken) >= TIMESTAMP_STALE
    }
}

/// `now` in ticks of 2³⁰ ns, about a second; a shift is all that a segment should pay for it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "ticks wrap after 146 years and are only subtracted"
)]
pub(crate) const fn coarse(now: Timestamp) -> u32 {
    (now.nanos() >> 30) as u32
}
