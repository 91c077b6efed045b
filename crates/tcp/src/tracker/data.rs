//! Acknowledgments, windows and payload in a connection that is known.

use tollgate_wire::{Direction, Flags, Seq, Timestamp};

use super::{Step, Tracker};
use crate::{Invalid, Segment};

impl Tracker {
    pub(super) fn check_ack(&self, direction: Direction, segment: &Segment) -> Result<(), Invalid> {
        let (half, peer) = (&self.halves[direction], &self.halves[direction.reverse()]);
        if segment.ack.after(peer.forwarded) && !self.is_read_before_us(direction, segment) {
            return Err(Invalid::AckBeyond);
        }
        // Nothing before the first byte can be acknowledged; Linux bounds it so, too.
        let mut lowest = half.ack_max - half.slack();
        if peer.young && !self.midstream {
            lowest = lowest.max(peer.start);
        }
        if segment.ack.before(lowest) { Err(Invalid::AckBelow) } else { Ok(()) }
    }

    /// Whether a segment with the number `seq` can be in flight in `direction`: not before what its
    /// receiver has acknowledged, not after what has left, where a bare ACK stands (RFC 5927
    /// section 4.1).
    #[must_use]
    pub fn is_in_flight(&self, direction: Direction, seq: Seq) -> bool {
        let acknowledged = self.acknowledged(direction);
        seq.at_or_after(acknowledged) && seq.at_or_before(self.halves[direction].end_max)
    }

    /// Whether the SACK block `(left, right)` of a segment that travels in `direction` names only what
    /// has left towards its sender: within what it has not acknowledged, or, for the first block,
    /// below that too, where it reports a duplicate (RFC 2883 section 4). Without an ACK bit there is
    /// nothing to measure a block by, nor anyone who reads it.
    #[must_use]
    pub fn may_sack(
        &self,
        direction: Direction,
        segment: &Segment,
        (left, right): (Seq, Seq),
        is_first: bool,
    ) -> bool {
        let peer = &self.halves[direction.reverse()];
        let named = Segment { ack: right, ..*segment };
        let has_left =
            right.at_or_before(peer.end_max) || self.is_read_before_us(direction, &named);
        let lowest =
            if is_first { segment.ack - self.halves[direction].slack() } else { segment.ack };
        // Of the right edge, too: numbers may stand half way round, where each comparison alone holds.
        let within = left.at_or_after(lowest) && right.after(lowest);
        segment.has(Flags::ACK) && left.before(right) && has_left && within
    }

    /// Whether `segment` acknowledges what passed before a connection was picked up.
    pub(super) fn is_read_before_us(&self, direction: Direction, segment: &Segment) -> bool {
        let peer = &self.halves[direction.reverse()];
        self.midstream && peer.is_near_start(segment.ack)
    }

    /// Where the window ends for this segment, as the number after the last byte it may carry.
    pub(super) fn check_window(
        &self,
        direction: Direction,
        segment: &Segment,
    ) -> Result<Seq, Invalid> {
        let (half, peer) = (&self.halves[direction], &self.halves[direction.reverse()]);
        // A probe of a closed window carries one byte beyond it (RFC 9293 section 3.8.6.1), and
        // what is sent after it is numbered so.
        let probe = u32::from(segment.seq == peer.edge_max);
        if segment.seq.after(peer.edge_max + 1)
            || (segment.len > 0 && segment.seq.after(peer.edge_max))
        {
            return Err(Invalid::BeyondWindow);
        }
        if segment.end().before(half.next - peer.slack()) {
            return Err(Invalid::BelowWindow);
        }
        Ok(peer.edge_max + probe)
    }

    /// Takes acknowledgment, window and timestamp of a valid segment of which what lies before `end` leaves.
    pub(super) fn believe(
        &mut self,
        direction: Direction,
        segment: &Segment,
        end: Seq,
        now: Timestamp,
    ) {
        let read = self.acknowledged(direction);
        let half = &mut self.halves[direction];
        // Like the receiver, take no acknowledgment from what lies before the window.
        if end.at_or_after(read) {
            half.acknowledge(segment.ack, segment.window);
        }
        if self.doubt == Some(direction) {
            self.doubt = None;
        }
        let peer = &mut self.halves[direction.reverse()];
        if segment.ack.after(peer.forwarded) {
            // Only in a connection picked up in the middle: what the receiver has read is gone by.
            peer.commit(segment.ack.max(peer.next), false);
            peer.forward(segment.ack);
        }
        let half = &mut self.halves[direction];
        // RFC 7323 section 4.3: only what starts at or before the last ACK moves the clock, or
        // reordering alone would make honest segments old.
        let moves = segment.seq.at_or_before(read) && end.at_or_after(read);
        if let Some(clock) = segment.options.timestamps.filter(|_| self.timestamps) {
            half.note_timestamp(clock.value);
            if moves {
                half.take_timestamp(clock.value, now);
            }
        }
    }

    /// Which part of a segment with payload or FIN belongs to the stream.
    pub(super) fn data(
        &self,
        direction: Direction,
        segment: &Segment,
        window: Seq,
    ) -> Result<Step, Invalid> {
        let half = &self.halves[direction];
        let end = segment.data_end();
        let mut right = end.min(window);
        if let Some(fin) = half.fin_seq() {
            if segment.len > 0 && segment.seq.at_or_after(fin) {
                return Err(Invalid::BeyondFin);
            }
            right = right.min(fin);
        }
        // What is acknowledged reaches no reader any more, so no copy of it need leave; the header
        // alone makes the receiver acknowledge again. That also empties the garbage byte of a
        // keep-alive.
        let left = self.acknowledged(direction).max(segment.seq).min(end);
        let fin = segment.has(Flags::FIN)
            && right == end
            && match half.fin_seq() {
                Some(fin) => fin == end,
                None => end.at_or_after(half.next),
            };
        let offset = |seq: Seq| seq.distance(segment.seq).max(0).cast_unsigned();
        let take = offset(left)..offset(right);
        if take.start >= take.end {
            return Ok(if fin {
                Step::Data { take: segment.len..segment.len, fin }
            } else {
                Step::Strip
            });
        }
        Ok(Step::Data { take, fin })
    }
}
