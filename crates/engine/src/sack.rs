//! Selective acknowledgments (RFC 2018) that name what their receiver cannot have got from us.

use tollgate_link::Frame;
use tollgate_tcp::{Segment, Tracker};
use tollgate_wire::{Direction, Packet};

/// Whether every block that `segment` carries is one to believe.
pub(crate) fn is_honest(tracker: &Tracker, direction: Direction, segment: &Segment) -> bool {
    let mut blocks = segment.options.sack.iter().flatten().enumerate();
    blocks.all(|(index, &block)| tracker.may_sack(direction, segment, block, index == 0))
}

/// Takes the other blocks out.
pub(crate) fn strip<F: Frame>(
    packet: &mut Packet<F>,
    tracker: &Tracker,
    direction: Direction,
    segment: &Segment,
) {
    packet.map_sack(|index, block| {
        tracker.may_sack(direction, segment, block, index == 0).then_some(block)
    });
}
