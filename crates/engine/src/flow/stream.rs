//! The bytes of an established connection: put in order, shown, and sent on.

use tollgate_link::{Frame, Link, Port};
use tollgate_policy::{Data, Policy, Verdict};
use tollgate_tcp::{Push, Ready};
use tollgate_wire::{Direction, Flags, Packet};

use super::{Context, Flow};
use crate::buffer::Buffer;
use crate::counters::{Cause, Reason};

impl<F: Frame> Flow<F> {
    /// Puts payload into its stream, and lets go what has become readable.
    pub(super) fn data<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        packet: Packet<F>,
        direction: Direction,
        fin: bool,
        port: Port,
    ) {
        let headers = packet.headers();
        let seq = headers.seq + u32::from(headers.flags.contains(Flags::SYN));
        let len = u64::from(headers.payload_len());
        let stream = &mut self.streams[direction];
        let room = cx.held.frames < cx.config.held_frames_max;
        let limits = tollgate_tcp::Limits {
            frames: if room { cx.config.held.frames } else { 0 },
            ..cx.config.held
        };
        match stream.push(seq, fin, Buffer(packet), &limits) {
            Push::Ready(ready) => self.deliver(cx, ready, direction, port),
            Push::Held => {
                cx.held.frames += 1;
                cx.held.bytes += len;
                cx.ports.counters.held += 1;
                cx.ports.counters.out_of_order += 1;
            }
            Push::Duplicate(Buffer(packet)) => {
                cx.ports.counters.retransmitted += 1;
                cx.ports.forward(packet, port.peer());
            }
            Push::Redundant(Buffer(packet)) => {
                cx.ports.drop(packet.into_frame(), Reason::Cause(Cause::Redundant));
            }
            Push::Full(Buffer(packet)) => {
                cx.ports.drop(packet.into_frame(), Reason::Cause(Cause::HeldFull));
            }
        }
    }

    /// Shows what has become readable in one event, and then sends it or not.
    fn deliver<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        first: Ready<Buffer<F>>,
        direction: Direction,
        port: Port,
    ) {
        let stream = &self.streams[direction];
        if stream.held().frames > 0 {
            self.deliver_all(cx, Some(first), direction, port);
            return;
        }
        // In order and nothing behind it: the packet goes straight through.
        let (edge, offset, finished) = (stream.next(), stream.offset(), stream.is_finished());
        self.tracker.committed(direction, edge, finished);
        let fresh = first.fresh.end - first.fresh.start;
        let mut verdict = Verdict::Accept;
        if cx.rules.wants_data() && (fresh > 0 || first.fin) {
            let mut data = Data::new(offset - u64::from(fresh), first.fin);
            data.push(range(first.buffer.0.payload(), &first.fresh));
            verdict = self.show(cx, &data, direction);
        }
        if verdict == Verdict::Accept {
            self.tracker.forwarded(direction, edge);
            cx.ports.forward(as_committed(first), port.peer());
        } else {
            cx.ports.drop(first.buffer.0.into_frame(), Reason::Refused(verdict));
            self.condemn(cx, verdict);
        }
    }

    /// In a connection picked up in its middle the receiver may acknowledge what passed before us:
    /// no copy of it will come, so what waits behind it need wait no longer. Gives the verdict unless
    /// it is to accept.
    pub(super) fn catch_up<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        direction: Direction,
        port: Port,
    ) -> Option<Verdict> {
        let (stream, edge) = (&mut self.streams[direction], self.tracker.next(direction));
        if edge.at_or_before(stream.next()) {
            return None;
        }
        stream.skip_to(edge);
        if stream.held().frames == 0 {
            return None;
        }
        Some(self.deliver_all(cx, None, direction, port))
            .filter(|verdict| *verdict != Verdict::Accept)
    }

    /// The same as [`Self::deliver`] when a gap has closed, or may have.
    #[cold]
    fn deliver_all<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        first: Option<Ready<Buffer<F>>>,
        direction: Direction,
        port: Port,
    ) -> Verdict {
        debug_assert!(cx.ready.is_empty());
        let stream = &mut self.streams[direction];
        let mut fresh = 0;
        let mut ends = false;
        if let Some(first) = first {
            fresh = u64::from(first.fresh.end - first.fresh.start);
            ends = first.fin;
            cx.ready.push(first);
        }
        while let Some(ready) = stream.pop() {
            cx.held.frames -= 1;
            cx.held.bytes -= u64::from(ready.buffer.0.headers().payload_len());
            cx.ports.counters.held -= 1;
            fresh += u64::from(ready.fresh.end - ready.fresh.start);
            ends |= ready.fin;
            cx.ready.push(ready);
        }
        let (edge, offset) = (stream.next(), stream.offset() - fresh);
        self.tracker.committed(direction, edge, stream.is_finished());

        let mut verdict = Verdict::Accept;
        if cx.rules.wants_data() && (fresh > 0 || ends) {
            let ready = std::mem::take(cx.ready);
            let mut data = Data::new(offset, ends);
            for ready in &ready {
                data.push(range(ready.buffer.0.payload(), &ready.fresh));
            }
            verdict = self.show(cx, &data, direction);
            drop(data);
            *cx.ready = ready;
        }
        if verdict == Verdict::Accept {
            self.tracker.forwarded(direction, edge);
            for ready in cx.ready.drain(..) {
                cx.ports.forward(as_committed(ready), port.peer());
            }
        } else {
            for ready in cx.ready.drain(..) {
                cx.ports.drop(ready.buffer.0.into_frame(), Reason::Refused(verdict));
            }
            self.condemn(cx, verdict);
        }
        verdict
    }

    fn show<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        data: &Data<'_>,
        direction: Direction,
    ) -> Verdict {
        let (state, counters) = (self.tracker.state(), &mut cx.ports.counters);
        cx.rules.receive_data(&mut self.about, state, data, direction, cx.now, counters)
    }
}

/// The packet as it may leave: without bytes that were shown from another packet (they left in
/// that, and might differ here), without what lies beyond the FIN, and with a right checksum.
fn as_committed<F: Frame>(ready: Ready<Buffer<F>>) -> Packet<F> {
    let Ready { buffer: Buffer(mut packet), fresh, keep, keep_fin, rewritten, .. } = ready;
    let headers = packet.headers();
    let whole = fresh.start == 0
        && keep == headers.payload_len()
        && keep_fin == headers.flags.contains(Flags::FIN);
    if !whole {
        packet.trim(fresh.start..keep, keep_fin);
    }
    if rewritten {
        packet.complete_checksum();
    }
    packet
}

fn range<'a>(payload: &'a [u8], range: &std::ops::Range<u32>) -> &'a [u8] {
    let start = usize::try_from(range.start).unwrap_or(usize::MAX);
    let end = usize::try_from(range.end).unwrap_or(usize::MAX);
    payload.get(start..end).unwrap_or_default()
}
