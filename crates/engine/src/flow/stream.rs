//! The bytes of an established connection: put in order, shown, and sent on.

use tollgate_link::{Frame, Link, Port};
use tollgate_policy::{Data, Policy, Verdict};
use tollgate_tcp::{Early, Gap, Next, Payload, Push, Ready};
use tollgate_wire::{Direction, Flags, Packet, Seq};

use super::edited::News;
use super::leaving::{Agreed, Leaving, data_seq, push_fresh, range};
use super::small::Run;
use super::{Context, Flow};
use crate::buffer::{Buffer, Turn};
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
        let seq = data_seq(&packet);
        if !self.may_leave(cx, &packet, seq, direction) {
            return cx.ports.drop(packet.into_frame(), Reason::Cause(cx.retained.full()));
        }
        let Some(packet) = self.hold_small(cx, packet, seq, fin, direction) else { return };
        let gap = self.gap(cx, direction);
        let stream = &mut self.streams[direction];
        let before = stream.held();
        match stream.push(seq, fin, Buffer::Packet(packet), gap, &cx.held.limits) {
            Push::Ready(ready) => self.deliver(cx, ready, direction, port),
            Push::Held => {
                cx.held.change(before, stream.held());
                cx.ports.counters.held += 1;
                cx.ports.counters.out_of_order += 1;
                self.ask(cx, direction, seq);
            }
            Push::Early(early) => {
                cx.held.change(before, stream.held());
                self.leave_early(cx, early, direction, port);
            }
            Push::Duplicate(buffer) => {
                cx.ports.counters.retransmitted += 1;
                if let Some(packet) = buffer.into_packet() {
                    self.repeat(cx, packet, direction, port);
                }
            }
            Push::Redundant(buffer) => {
                cx.ports.drop_buffer(buffer, Reason::Cause(Cause::Redundant));
                self.ask(cx, direction, seq);
            }
            Push::Stray(buffer) => {
                // What its header says was believed, so its receiver must hear it as well.
                if let Some(mut packet) = buffer.into_packet() {
                    packet.trim(0..0, false);
                    cx.ports.forward(packet, port.peer());
                }
            }
            Push::Full(buffer, bound) => {
                cx.ports.drop_buffer(buffer, Reason::Cause(cx.held.full(bound)));
            }
        }
    }

    /// Whether the new bytes of a packet can be remembered when they leave. What has a gap before it
    /// has bounds of its own.
    fn may_leave<L: Link<Frame = F>, P: Policy>(
        &self,
        cx: &Context<'_, L, P>,
        packet: &Packet<F>,
        seq: Seq,
        direction: Direction,
    ) -> bool {
        let next = self.streams[direction].next();
        let fresh = (seq + packet.headers().payload_len()).distance(next);
        match u32::try_from(fresh) {
            Ok(fresh @ 1..) if cx.rules.wants_data() && seq.at_or_before(next) => {
                cx.retained.may_leave(&self.kept[direction], fresh)
            }
            _ => true,
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
        if cx.rules.edits_data() {
            return self.deliver_editable(cx, first, direction, port, News(true));
        }
        let stream = &self.streams[direction];
        if stream.is_waiting() {
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
            data.push(range(first.buffer.payload(), &first.fresh));
            verdict = self.show(cx, &mut data, direction);
        }
        if verdict == Verdict::Accept {
            self.tracker.forwarded(direction, edge);
            if let Turn::Packet(first) = Turn::of(first) {
                self.release(cx, first, direction, port);
            }
        } else {
            cx.ports.drop_buffer(first.buffer, Reason::Refused(verdict));
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
        if !stream.is_waiting() {
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
        let (fresh, ends) = self.collect(cx, first, direction);
        let stream = &self.streams[direction];
        let (edge, offset) = (stream.next(), stream.offset() - fresh);
        self.tracker.committed(direction, edge, stream.is_finished());

        let mut verdict = Verdict::Accept;
        let mut ready = std::mem::take(cx.ready);
        if cx.rules.wants_data() && (fresh > 0 || ends) {
            let mut data = Data::new(offset, ends);
            for part in &ready {
                push_fresh(&mut data, part);
            }
            verdict = self.show(cx, &mut data, direction);
        }
        if verdict == Verdict::Accept {
            self.tracker.forwarded(direction, edge);
        }
        if verdict == Verdict::Accept {
            self.release_all(cx, &mut ready, direction, port);
        }
        self.refuse_all(cx, &mut ready, verdict);
        *cx.ready = ready;
        if verdict != Verdict::Accept {
            self.condemn(cx, verdict);
        }
        verdict
    }

    /// Sends what has become readable together and was shown, and remembers what had left before.
    pub(super) fn release_all<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        ready: &mut Vec<Next<Buffer<F>>>,
        direction: Direction,
        port: Port,
    ) {
        // In a recording nobody's clock is asked.
        let waited = ready.len() > 1 && !cx.config.recorded_ends;
        let mut run = Run::default();
        for part in ready.drain(..) {
            let turn = match part {
                Next::Held(ready) => Turn::of(ready),
                Next::Forwarded(forwarded) => {
                    self.remember(cx, &forwarded, direction);
                    continue;
                }
            };
            match turn {
                Turn::Small(ready) => self.release_small(cx, &ready, &mut run, direction),
                Turn::Packet(mut ready) => {
                    self.release_run(cx, &mut run, direction);
                    if waited {
                        self.renew_timestamp(&mut ready.buffer, direction);
                    }
                    self.release(cx, ready, direction, port);
                }
            }
        }
        self.release_run(cx, &mut run, direction);
    }

    /// Drops what is left of it.
    #[expect(clippy::unused_self, reason = "beside its sibling")]
    pub(super) fn refuse_all<L: Link<Frame = F>, P>(
        &self,
        cx: &mut Context<'_, L, P>,
        ready: &mut Vec<Next<Buffer<F>>>,
        verdict: Verdict,
    ) {
        for part in ready.drain(..) {
            if let Next::Held(ready) = part {
                cx.ports.drop_buffer(ready.buffer, Reason::Refused(verdict));
            }
        }
    }

    /// Puts `first`, and all behind it that no gap is before, into `cx.ready`. Gives how many bytes of it
    /// were never shown, and whether the stream ends with it.
    pub(super) fn collect<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        first: Option<Ready<Buffer<F>>>,
        direction: Direction,
    ) -> (u64, bool) {
        debug_assert!(cx.ready.is_empty());
        let stream = &mut self.streams[direction];
        let before = stream.held();
        let (mut fresh, mut ends) = (0, false);
        let mut next = first.map(Next::Held);
        while let Some(part) = next.take().or_else(|| stream.pop()) {
            let (range, fin) = match &part {
                Next::Held(ready) => (&ready.fresh, ready.fin),
                Next::Forwarded(forwarded) => (&forwarded.fresh, forwarded.fin),
            };
            fresh += u64::from(range.end - range.start);
            ends |= fin;
            cx.ready.push(part);
        }
        let after = stream.held();
        cx.held.change(before, after);
        cx.ports.counters.held -= u64::from(before.frames - after.frames);
        (fresh, ends)
    }

    /// Lets a packet that has waited look as young as what filled the gap before it: that leaves first,
    /// and its receiver would take the older clock behind it for an old copy (RFC 7323 section 5.3).
    pub(super) fn renew_timestamp(&self, packet: &mut Packet<F>, direction: Direction) {
        if let Some(newest) = self.tracker.timestamps(direction)
            && !self.tracker.is_signed()
        {
            packet.raise_timestamp(newest.value);
        }
    }

    pub(super) fn show<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        data: &mut Data<'_>,
        direction: Direction,
    ) -> Verdict {
        let state = self.tracker.state();
        cx.rules.receive_data(&mut self.about, state, data, direction, cx.now, cx.ports)
    }

    /// Sends a packet whose turn has come: what of it left before as it left, the rest remembered,
    /// nothing beyond the FIN, and with a right checksum.
    pub(super) fn release<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        ready: Ready<Packet<F>>,
        direction: Direction,
        port: Port,
    ) {
        let Ready { buffer: mut packet, fresh, fin, keep, keep_fin, rewritten } = ready;
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
        let Agreed { rewritten, start, .. } = agreed;
        let new = fin || !fresh.is_empty();
        let leaving = Leaving { bytes: start..keep, fin: keep_fin, rewritten, new };
        self.send(cx, packet, leaving, direction, port);
    }

    /// Sends of a packet what may leave, with a right checksum.
    pub(super) fn send<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        mut packet: Packet<F>,
        Leaving { bytes, fin, rewritten, new }: Leaving,
        direction: Direction,
        port: Port,
    ) {
        let headers = packet.headers();
        let whole = bytes == (0..headers.payload_len());
        if !whole || fin != headers.flags.contains(Flags::FIN) {
            packet.trim(bytes, fin);
        }
        if rewritten {
            self.rewritten(cx, &mut packet, direction);
        }
        if new {
            self.raise_ttl(cx, &mut packet, direction);
        }
        cx.ports.forward(packet, port.peer());
    }

    /// What a segment behind a gap is to do. Bytes that a rule may still change must not leave, nor must
    /// those that their receiver might be able to read. In a recording nobody waits for them, so there they
    /// leave in order, as in Haka, and only if the rules let go what is before them.
    fn gap<L: Link<Frame = F>, P: Policy>(
        &self,
        cx: &Context<'_, L, P>,
        direction: Direction,
    ) -> Gap {
        let rules_hold = cx.rules.edits_data() || cx.rules.wants_data() && cx.config.recorded_ends;
        if rules_hold || self.tracker.may_have_no_gap(direction) { Gap::Hold } else { Gap::Forward }
    }

    /// Sends a packet that has a gap before it, or, if it brings nothing new, sends it again: its
    /// receiver may have lost the first copy.
    #[cold]
    fn leave_early<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        early: Early<Buffer<F>>,
        direction: Direction,
        port: Port,
    ) {
        let Early { buffer, keep, keep_fin, rewritten, new } = early;
        let Some(packet) = buffer.into_packet() else { return };
        let counters = &mut cx.ports.counters;
        if new {
            counters.out_of_order += 1;
            let end = data_seq(&packet) + keep + u32::from(keep_fin);
            self.tracker.forwarded_early(direction, end);
        } else {
            counters.retransmitted += 1;
        }
        let leaving = Leaving { bytes: 0..keep, fin: keep_fin, rewritten, new };
        self.send(cx, packet, leaving, direction, port);
    }
}
