//! What was acknowledged selectively in a receiver's name, and has not reached it yet.
//!
//! Its sender will not send it again while that stands, however plainly the receiver asks for it; Linux sees
//! after a while that it was taken back, and then sends everything again. So where the receiver shows
//! that what it lacks was promised, it is sent again from here: what has left is remembered until it is
//! acknowledged. Fast retransmit and recovery as of a sender without SACK (RFC 6582), one segment for each
//! three duplicate or one partial acknowledgment; there is no timer, so the last resort is the sender's.

use tollgate_link::{Frame, Link};
use tollgate_tcp::Segment;
use tollgate_wire::{Direction, Flags, Seq};

use super::{Context, Flow};

/// What was promised of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    /// From where to where, as the sender counts. What lies between and was not promised is sent again
    /// by both.
    start: Seq,
    end: Seq,
    duplicates: u8,
    /// As the receiver counts: it lacks something before this, and has been sent the first of it.
    recovers: Option<Seq>,
}

impl<F: Frame> Flow<F> {
    /// Remembers that the sender of `direction` was told that `(start, end)` has arrived.
    pub(super) fn promise(&mut self, direction: Direction, (start, end): (Seq, Seq)) {
        let promise = self.aside_mut().promises[direction].get_or_insert(Promise {
            start,
            end,
            duplicates: 0,
            recovers: None,
        });
        (promise.start, promise.end) = (promise.start.min(start), promise.end.max(end));
        self.promised = true;
    }

    /// The number up to which the receiver of `direction` has everything, as it counts.
    pub(super) fn received(&self, direction: Direction) -> Seq {
        match &self.edited {
            Some(edited) => edited.streams[direction].acknowledged(),
            None => self.tracker.acknowledged(direction),
        }
    }

    /// Sends again what the receiver of `direction` shows to lack, and its sender was told it had; `before` is
    /// what it had acknowledged before this `segment` of its.
    #[cold]
    pub(super) fn keep_promise<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        segment: &Segment,
        direction: Direction,
        before: Seq,
    ) {
        let (settled, received) = (self.tracker.acknowledged(direction), self.received(direction));
        let left = match &self.edited {
            Some(edited) => edited.streams[direction].edge_sent(),
            None => self.tracker.edge(direction),
        };
        let Some(aside) = self.aside.as_deref_mut() else { return };
        let Some(promise) = &mut aside.promises[direction] else { return };
        if settled.at_or_after(promise.end) {
            aside.promises[direction] = None;
            self.promised = aside.promises[direction.reverse()].is_some();
            return;
        }
        let moved = received.after(before);
        let repeats = if moved {
            promise.duplicates = 0;
            promise.recovers = promise.recovers.filter(|until| received.before(*until));
            promise.recovers.is_some()
        } else if segment.ack == received && is_bare(segment) && left.after(received) {
            promise.duplicates = promise.duplicates.saturating_add(1);
            let begins = promise.duplicates == DUPLICATES && promise.recovers.is_none();
            promise.recovers = if begins { Some(left) } else { promise.recovers };
            begins
        } else {
            false
        };
        if repeats && settled.at_or_after(promise.start) {
            // Up to what it has, if it tells.
            let blocks = segment.options.sack.iter().flatten().map(|block| block.0);
            let until = blocks.filter(|start| start.after(received)).fold(left, Seq::min);
            self.send_again(cx, direction, received, until);
        }
    }

    /// Sends what has left as `from` up to `until` again, as much as fits into one segment.
    fn send_again<L: Link<Frame = F>, P>(
        &self,
        cx: &mut Context<'_, L, P>,
        direction: Direction,
        from: Seq,
        until: Seq,
    ) {
        let Some(mut forged) = self.header(cx, direction) else { return };
        let len = u32::try_from(until.distance(from)).unwrap_or(0);
        let len = self.forged_payload_max(cx, &forged, direction).min(len);
        let (bytes, fin) = match (&self.edited, &self.kept[direction]) {
            (Some(edited), _) => {
                let stream = &edited.streams[direction];
                if from.before(stream.first()) {
                    return;
                }
                let piece = stream.piece(from, until, len);
                (stream.bytes(&piece), piece.fin)
            }
            (None, Some(kept)) => (kept.part(from, len), false),
            (None, None) => return,
        };
        if bytes == [&[], &[]] && !fin {
            return;
        }
        forged.seq = from;
        forged.flags.set(Flags::FIN, fin);
        let Some(frame) = cx.ports.forge() else { return };
        if cx.ports.write(&self.about, direction, &forged, bytes, frame).is_some() {
            cx.ports.counters.edits.repeated += 1;
        }
    }
}

/// Whether a segment may be a duplicate acknowledgment.
fn is_bare(segment: &Segment) -> bool {
    segment.has(Flags::ACK)
        && segment.len == 0
        && !segment.flags.intersects(Flags::SYN | Flags::FIN | Flags::RST)
}

/// What a sender takes for a loss (RFC 5681 section 3.2).
const DUPLICATES: u8 = 3;
