//! The bytes of an established connection: put in order, shown, and sent on.

use tollgate_link::{Frame, Link, Port};
use tollgate_policy::{Data, Policy, Verdict};
use tollgate_tcp::{Copied, Push, Ready};
use tollgate_wire::{Direction, Flags, Packet, Seq};

use super::{Context, Flow};
use crate::buffer::Buffer;
use crate::counters::{Cause, Reason};
use crate::remedy::Remedy;

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
        let seq = data_seq(&packet);
        let len = u64::from(packet.headers().payload_len());
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
                self.repeat(cx, packet, direction, port);
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
            verdict = self.show(cx, &mut data, direction);
        }
        if verdict == Verdict::Accept {
            self.tracker.forwarded(direction, edge);
            self.release(cx, first, direction, port);
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
            verdict = self.show(cx, &mut data, direction);
            drop(data);
            *cx.ready = ready;
        }
        if verdict == Verdict::Accept {
            self.tracker.forwarded(direction, edge);
            let mut ready = std::mem::take(cx.ready);
            for ready in ready.drain(..) {
                self.release(cx, ready, direction, port);
            }
            *cx.ready = ready;
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
        data: &mut Data<'_>,
        direction: Direction,
    ) -> Verdict {
        let (state, counters) = (self.tracker.state(), &mut cx.ports.counters);
        cx.rules.receive_data(&mut self.about, state, data, direction, cx.now, counters)
    }

    /// Sends a packet whose turn has come: what of it left before as it left, the rest remembered,
    /// nothing beyond the FIN, and with a right checksum.
    fn release<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        ready: Ready<Buffer<F>>,
        direction: Direction,
        port: Port,
    ) {
        let Ready { buffer: Buffer(mut packet), fresh, fin, keep, keep_fin, rewritten } = ready;
        let mut agreed = Agreed { rewritten, start: 0, forgotten: false };
        if cx.rules.wants_data() {
            if fresh.start > 0 {
                agreed = self.agree(cx, &mut packet, fresh.start, direction);
                agreed.rewritten |= rewritten;
            }
            let seq = data_seq(&packet) + fresh.start;
            cx.retained.record(&mut self.kept[direction], seq, range(packet.payload(), &fresh));
        } else {
            cx.retained.forget(&mut self.kept[direction]);
        }
        let headers = packet.headers();
        let fin_stands = keep_fin == headers.flags.contains(Flags::FIN);
        if agreed.start > 0 || keep != headers.payload_len() || !fin_stands {
            packet.trim(agreed.start..keep, keep_fin);
        }
        if agreed.rewritten {
            self.rewritten(cx, &mut packet, direction);
        }
        if fin || !fresh.is_empty() {
            self.raise_ttl(cx, &mut packet, direction);
        }
        cx.ports.forward(packet, port.peer());
    }

    /// Sends a copy of what has left before: the receiver may have lost the first.
    fn repeat<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        mut packet: Packet<F>,
        direction: Direction,
        port: Port,
    ) {
        if cx.rules.wants_data() {
            let len = packet.headers().payload_len();
            let Agreed { rewritten, start, forgotten } =
                self.agree(cx, &mut packet, len, direction);
            if forgotten {
                packet = match self.forgotten(cx, packet, port) {
                    Some(packet) => packet,
                    None => return,
                };
            }
            if start > 0 {
                packet.trim(start..len, true);
            }
            if rewritten {
                self.rewritten(cx, &mut packet, direction);
            }
        }
        cx.ports.forward(packet, port.peer());
    }

    /// Makes the first `old` bytes of a packet, which left once, say what they said then. Without
    /// rules that read there is nothing to agree with: no one has been told what the bytes are.
    #[cold]
    fn agree<L: Link<Frame = F>, P: Policy>(
        &self,
        cx: &mut Context<'_, L, P>,
        packet: &mut Packet<F>,
        old: u32,
        direction: Direction,
    ) -> Agreed {
        let seq = data_seq(packet);
        let copy = usize::try_from(old).ok().and_then(|old| packet.payload_mut().get_mut(..old));
        let outcome = match (&self.kept[direction], copy) {
            (Some(kept), Some(copy)) => kept.check(seq, copy),
            _ if old == 0 => Copied::Verified,
            _ => Copied::Unknown { bytes: old, rewritten: false },
        };
        let (bytes, rewritten) = match outcome {
            Copied::Verified => (0, false),
            Copied::Rewritten => (0, true),
            Copied::Unknown { bytes, rewritten } => (bytes, rewritten),
        };
        if bytes == 0 || self.passed_unseen(seq, bytes, direction) {
            return Agreed { rewritten, start: 0, forgotten: false };
        }
        cx.ports.counters.forgotten += 1;
        let start = if cx.config.remedies.memory == Remedy::Pass { 0 } else { bytes };
        Agreed { rewritten, start, forgotten: true }
    }

    /// Whether the first copies of these bytes passed before the connection was picked up: that
    /// nobody reads those was decided when it was.
    fn passed_unseen(&self, seq: Seq, bytes: u32, direction: Direction) -> bool {
        let start = self.tracker.start(direction);
        // Numbers this far on cannot be compared with the first any more.
        let young = self.streams[direction].offset() < 1 << 30;
        self.tracker.is_midstream() && young && (seq + bytes).at_or_before(start)
    }

    /// A packet's bytes were changed: its checksum follows, and once for each connection it is told.
    #[cold]
    fn rewritten<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        packet: &mut Packet<F>,
        direction: Direction,
    ) {
        packet.complete_checksum();
        let counters = &mut cx.ports.counters;
        counters.rewritten += 1;
        if !std::mem::replace(&mut self.conflicted, true) {
            cx.rules.alert_conflict(&self.about, direction, cx.now, counters);
        }
    }
}

/// What became of the bytes of a packet that left before.
#[derive(Clone, Copy, Debug)]
struct Agreed {
    /// Some were changed, so that the checksum is wrong.
    rewritten: bool,
    /// Payload offset of the first byte that may leave.
    start: u32,
    /// Of some, nobody remembers what they said.
    forgotten: bool,
}

/// The number of a packet's first payload byte.
fn data_seq<F: Frame>(packet: &Packet<F>) -> Seq {
    let headers = packet.headers();
    headers.seq + u32::from(headers.flags.contains(Flags::SYN))
}

fn range<'a>(payload: &'a [u8], range: &std::ops::Range<u32>) -> &'a [u8] {
    let start = usize::try_from(range.start).unwrap_or(usize::MAX);
    let end = usize::try_from(range.end).unwrap_or(usize::MAX);
    payload.get(start..end).unwrap_or_default()
}
