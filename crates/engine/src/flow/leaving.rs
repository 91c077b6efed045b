//! Which bytes of a packet are new, and which of them leave.

use std::ops::Range;

use tollgate_link::Frame;
use tollgate_policy::Data;
use tollgate_tcp::{Forwarded, Next, Payload};
use tollgate_wire::{Flags, Packet, Seq};

use crate::buffer::Buffer;

/// What became of the bytes of a packet that left before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreed {
    /// Some were changed, so that the checksum is wrong.
    pub(super) rewritten: bool,
    /// Payload offset of the first byte that may leave.
    pub(super) start: u32,
    /// Of some, nobody remembers what they said.
    pub(super) forgotten: bool,
}

/// What leaves of a packet.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    /// Payload offsets.
    pub(super) bytes: Range<u32>,
    pub(super) fin: bool,
    /// Bytes were changed, so that the checksum is wrong.
    pub(super) rewritten: bool,
    /// It brings what has not left before.
    pub(super) new: bool,
}

/// The number of a packet's first payload byte.
pub(super) fn data_seq<F: Frame>(packet: &Packet<F>) -> Seq {
    let headers = packet.headers();
    headers.seq + u32::from(headers.flags.contains(Flags::SYN))
}

pub(super) fn push_fresh<'a, F: Frame>(data: &mut Data<'a>, part: &'a Next<Buffer<F>>) {
    match part {
        Next::Held(ready) => data.push(range(ready.buffer.payload(), &ready.fresh)),
        Next::Forwarded(forwarded) => {
            for half in fresh_halves(forwarded) {
                data.push(half);
            }
        }
    }
}

/// What was never shown of bytes that have left, in the two pieces in which they lie.
pub(super) fn fresh_halves(forwarded: &Forwarded) -> [&[u8]; 2] {
    let (front, back) = forwarded.bytes.as_slices();
    let skip = usize::try_from(forwarded.fresh.start).unwrap_or(usize::MAX);
    // What has left early is fresh to its end.
    [
        front.get(skip..).unwrap_or_default(),
        back.get(skip.saturating_sub(front.len())..).unwrap_or_default(),
    ]
}

pub(super) fn range<'a>(payload: &'a [u8], range: &Range<u32>) -> &'a [u8] {
    let start = usize::try_from(range.start).unwrap_or(usize::MAX);
    let end = usize::try_from(range.end).unwrap_or(usize::MAX);
    payload.get(start..end).unwrap_or_default()
}
