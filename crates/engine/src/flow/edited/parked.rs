//! Packets of a recording whose bytes a rule holds.
//!
//! On a wire the header of such a packet goes on, for its acknowledgment is news to its receiver, and its bytes
//! leave with the packet that ends the hold. The ends of a recording need no news, and who compares
//! captures wants to find each packet in the other: so it waits, as in Haka, until the last of its bytes is
//! let go, and leaves then with what became of them.

use std::collections::VecDeque;

use tollgate_link::{Frame, Link, Port};
use tollgate_policy::Policy;
use tollgate_tcp::{EditedStream, Held};
use tollgate_wire::{Direction, Flags, Packet};

use super::Edited;
use super::output::{News, Turn};
use crate::counters::Reason;
use crate::flow::leaving::data_seq;
use crate::flow::{Context, Flow};

/// Each with the port where it came in, the oldest first.
pub(super) type Parked<F> = VecDeque<(Packet<F>, Port)>;

impl<F: Frame> Flow<F> {
    /// Takes a packet of a recording that brings bytes which are held; gives any other back.
    pub(super) fn park<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        packet: Packet<F>,
        direction: Direction,
        port: Port,
    ) -> Option<Packet<F>> {
        let Some(edited) = self.edited.as_mut().filter(|_| cx.config.recorded_ends) else {
            return Some(packet);
        };
        let parked = &mut edited.parked[direction];
        let most = usize::try_from(cx.config.held.frames).unwrap_or(usize::MAX);
        if parked.len() >= most || !is_held(&edited.streams[direction], &packet) {
            return Some(packet);
        }
        cx.ports.counters.held += 1;
        cx.held.change(Held::default(), ONE);
        parked.push_back((packet, port));
        None
    }

    /// Sends those whose bytes have all been let go.
    pub(super) fn unpark<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        direction: Direction,
    ) {
        while let Some(edited) = &mut self.edited {
            let stream = &edited.streams[direction];
            let parked = &mut edited.parked[direction];
            if parked.front().is_none_or(|(packet, _)| is_held(stream, packet)) {
                return;
            }
            let Some((packet, port)) = parked.pop_front() else { return };
            cx.ports.counters.held -= 1;
            cx.held.change(ONE, Held::default());
            self.emit(cx, packet, direction, port, Turn::First, News(false));
        }
    }
}

impl<F: Frame> Edited<F> {
    /// Nothing of the connection leaves any more.
    pub(super) fn drop_parked<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        reason: Reason,
    ) {
        for direction in Direction::BOTH {
            for (packet, _) in self.parked[direction].drain(..) {
                cx.ports.counters.held -= 1;
                cx.held.change(ONE, Held::default());
                cx.ports.drop(packet.into_frame(), reason);
            }
        }
    }
}

/// What it takes to hold one packet.
const ONE: Held = Held { frames: 1, bytes: 0, extents: 0 };

/// Whether any of a packet's bytes is held.
fn is_held<F: Frame>(stream: &EditedStream, packet: &Packet<F>) -> bool {
    let headers = packet.headers();
    let fin = u32::from(headers.flags.contains(Flags::FIN));
    (data_seq(packet) + headers.payload_len() + fin).after(stream.held_from())
}
