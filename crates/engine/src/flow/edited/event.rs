//! Bytes that rules may change: shown, with those that were held before them, and changed as the rules
//! say.

use tollgate_link::{Frame, Link, Port};
use tollgate_policy::{Data, Policy, Verdict, Wishes};
use tollgate_tcp::{Change, Early, EditedStream, Gap, Next, Push, Ready, Receiver};
use tollgate_wire::{Direction, Flags, Packet, PerDirection, Seq};

use super::Edited;
use super::output::{News, Turn};
use crate::buffer::{self, Buffer};
use crate::counters::{Cause, Reason};
use crate::flow::leaving::{data_seq, push_fresh};
use crate::flow::{Context, Flow};

/// What has become readable together.
#[derive(Clone, Copy, Debug)]
struct Event {
    /// Position in the stream of the first byte that was never shown.
    offset: u64,
    /// The number of that byte.
    seq: Seq,
    /// The stream ends with it.
    ends: bool,
    /// Bytes that were never shown.
    fresh: u64,
}

impl<F: Frame> Flow<F> {
    /// Puts payload of a connection that was changed into its stream.
    pub(super) fn edited_data<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        packet: Packet<F>,
        direction: Direction,
        fin: bool,
        port: Port,
        news: News,
    ) {
        let seq = data_seq(&packet);
        let end = seq + packet.headers().payload_len() + u32::from(fin);
        let stream = &mut self.streams[direction];
        let brings = end.after(stream.next());
        if brings && !self.has_room(cx, direction) {
            return cx.ports.drop(packet.into_frame(), Reason::Cause(cx.retained.full()));
        }
        let Some(packet) = self.hold_small(cx, packet, seq, fin, direction) else { return };
        let stream = &mut self.streams[direction];
        let before = stream.held();
        match stream.push(seq, fin, Buffer::Packet(packet), Gap::Hold, &cx.held.limits) {
            Push::Ready(ready) => self.deliver_editable(cx, ready, direction, port, news),
            Push::Held => {
                cx.held.change(before, stream.held());
                cx.ports.counters.held += 1;
                cx.ports.counters.out_of_order += 1;
                self.ask(cx, direction, seq);
            }
            Push::Duplicate(buffer) => {
                cx.ports.counters.retransmitted += 1;
                if let Some(packet) = buffer.into_packet() {
                    let len = packet.headers().payload_len();
                    self.compare(cx, &packet, len, direction);
                    self.emit(cx, packet, direction, port, Turn::Again, news);
                }
            }
            // Nothing leaves early from a connection that was changed.
            Push::Early(Early { buffer, .. }) | Push::Redundant(buffer) | Push::Stray(buffer) => {
                cx.ports.drop_buffer(buffer, Reason::Cause(Cause::Redundant));
                self.ask(cx, direction, seq);
            }
            Push::Full(buffer, bound) => {
                cx.ports.drop_buffer(buffer, Reason::Cause(cx.held.full(bound)));
            }
        }
    }

    /// Whether another segment may be taken. Bytes that a rule holds wait for more, so they do not
    /// keep it out; they are let go then.
    fn has_room<L: Link<Frame = F>, P>(
        &self,
        cx: &Context<'_, L, P>,
        direction: Direction,
    ) -> bool {
        let Some(edited) = &self.edited else { return true };
        let stream = &edited.streams[direction];
        !stream.held().is_empty() || cx.retained.has_room(stream.memory())
    }

    /// Shows what has become readable to rules that may change it, and sends what became of it.
    pub(in crate::flow) fn deliver_editable<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        first: Ready<Buffer<F>>,
        direction: Direction,
        port: Port,
        news: News,
    ) {
        let event = self.gather(cx, first, direction);
        let edge = self.streams[direction].next();
        self.tracker.committed(direction, edge, self.streams[direction].is_finished());
        let mut ready = std::mem::take(cx.ready);
        let (verdict, wishes) = self.show_editable(cx, &ready, &event, direction);
        if verdict != Verdict::Accept {
            self.refuse_all(cx, &mut ready, verdict);
            *cx.ready = ready;
            return self.condemn(cx, verdict);
        }
        if self.edited.is_none() && (!wishes.edits.is_empty() || wishes.hold_from.is_some()) {
            self.begin_edits(cx, &event, direction);
        }
        self.tracker.forwarded(direction, edge);
        if self.edited.is_some() && (event.fresh > 0 || event.ends) {
            self.take(cx, &ready, &event, &wishes, direction);
        }
        if self.edited.is_some() {
            self.emit_all(cx, &mut ready, direction, port, news);
        } else {
            self.release_all(cx, &mut ready, direction, port);
        }
        *cx.ready = ready;
    }

    /// Sends what became of an event, in the packets that brought it. What small ones brought, whose
    /// frames are gone, leaves with the next packet, or in segments of our own.
    fn emit_all<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        ready: &mut Vec<Next<Buffer<F>>>,
        direction: Direction,
        port: Port,
        news: News,
    ) {
        self.unpark(cx, direction);
        // In a recording nobody's clock is asked.
        let waited = ready.len() > 1 && !cx.config.recorded_ends;
        let mut bare = false;
        for part in ready.drain(..) {
            // What has left early cannot be changed, so nothing was.
            let Next::Held(ready) = part else { continue };
            match buffer::Turn::of(ready) {
                buffer::Turn::Small(ready) => {
                    bare = true;
                    if ready.rewritten {
                        self.conflict(cx, direction);
                    }
                }
                buffer::Turn::Packet(mut ready) => {
                    bare = false;
                    if waited {
                        self.renew_timestamp(&mut ready.buffer, direction);
                    }
                    self.emit_ready(cx, ready, direction, port, news);
                }
            }
        }
        if bare {
            self.send_unsent(cx, direction);
        }
    }

    /// Collects `first` and all behind it that no gap is before.
    fn gather<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        first: Ready<Buffer<F>>,
        direction: Direction,
    ) -> Event {
        let (fresh, ends) = self.collect(cx, Some(first), direction);
        let stream = &self.streams[direction];
        let offset = stream.offset() - fresh;
        // A stream has 4 GB more than a number can tell, but an event has not.
        let behind = u32::try_from(fresh).unwrap_or(u32::MAX) + u32::from(ends);
        let seq = stream.next() - behind;
        Event { offset, seq, ends, fresh }
    }

    /// What the rules say to an event.
    fn show_editable<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        ready: &[Next<Buffer<F>>],
        event: &Event,
        direction: Direction,
    ) -> (Verdict, Wishes) {
        if !cx.rules.wants_data() || (event.fresh == 0 && !event.ends) {
            return (Verdict::Accept, Wishes::default());
        }
        // Out of `self`, which the rules' view of the flow borrows.
        let edited = self.edited.take();
        let held = edited.as_ref().map_or(&[][..], |edited| edited.streams[direction].held());
        let seen = held.len() as u64;
        let mut data = Data::new(event.offset - seen, event.ends).seen(seen);
        if self.may_edit(ready) {
            data = data.writable();
        }
        data.push(held);
        ready.iter().for_each(|part| push_fresh(&mut data, part));
        let verdict = self.show(cx, &mut data, direction);
        let wishes = data.into_wishes();
        self.edited = edited;
        (verdict, wishes)
    }

    /// Whether the bytes of an event may be changed. Not those of signed segments, which nobody can
    /// sign anew; not in a connection picked up in its middle, of which neither the windows are known
    /// nor what its receiver has got; and not while anything that lies behind has left already.
    fn may_edit(&self, ready: &[Next<Buffer<F>>]) -> bool {
        let left_early = ready.iter().any(|part| matches!(part, Next::Forwarded(_)))
            || Direction::BOTH.iter().any(|&way| self.streams[way].has_left_early());
        !self.tracker.is_signed() && !self.tracker.is_midstream() && !left_early
    }

    /// The first change: from here on the output is kept, beginning with what is in flight.
    #[cold]
    fn begin_edits<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        event: &Event,
        direction: Direction,
    ) {
        cx.ports.counters.edits.connections += 1;
        let (streams, tracker, kept) = (&self.streams, &self.tracker, &mut self.kept);
        let mut stream = |way: Direction| {
            // Of this direction the event has not left; of the other all that was taken has.
            let (edge, finished) = if way == direction {
                (event.seq, false)
            } else {
                (streams[way].next(), streams[way].is_finished())
            };
            let mut kept = cx.retained.hand_over(&mut kept[way]);
            let receiver = Receiver {
                acknowledged: tracker.acknowledged(way),
                window_edge: tracker.window_edge(way),
                window_max: tracker.window_max(way),
                window_shift: tracker.window_shift(way.reverse()),
            };
            EditedStream::new(edge, finished, kept.as_deref_mut(), receiver)
        };
        let streams = PerDirection {
            to_server: stream(Direction::ToServer),
            to_client: stream(Direction::ToClient),
        };
        let parked = PerDirection::default();
        self.edited = Some(Box::new(Edited {
            streams,
            parked,
            leaps: PerDirection::default(),
            memory: 0,
            silent: 0,
        }));
    }

    /// Makes of an event what the rules wish.
    fn take<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        ready: &[Next<Buffer<F>>],
        event: &Event,
        wishes: &Wishes,
        direction: Direction,
    ) {
        let Some(edited) = &mut self.edited else { return };
        let stream = &mut edited.streams[direction];
        let start = event.offset - stream.held().len() as u64;
        let offset = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX);
        let changes: Vec<_> = wishes
            .edits
            .iter()
            .map(|edit| Change {
                start: offset(edit.start),
                erased: usize::try_from(edit.erased).unwrap_or(usize::MAX),
                bytes: &edit.bytes,
            })
            .collect();
        let mut data = Data::default();
        ready.iter().for_each(|part| push_fresh(&mut data, part));
        stream.take(data.chunks(), &changes, wishes.hold_from.map(offset), event.ends);
        let mut seq = event.seq;
        for part in ready {
            let mut one = Data::default();
            push_fresh(&mut one, part);
            for chunk in one.chunks() {
                stream.note(seq, chunk, cx.retained.key());
                seq += u32::try_from(chunk.len()).unwrap_or(u32::MAX);
            }
        }

        let counters = &mut cx.ports.counters;
        counters.edits.edits += changes.len() as u64;
        counters.edits.bytes_in += wishes.edits.iter().map(|edit| edit.erased).sum::<u64>();
        counters.edits.bytes_out +=
            changes.iter().map(|change| change.bytes.len() as u64).sum::<u64>();
        let held = stream.held().len();
        let held_max = usize::try_from(cx.config.held.bytes).unwrap_or(usize::MAX);
        let over = held > held_max || !cx.retained.has_room(stream.memory());
        if held > 0 && (over || stream.holds_too_much(cx.now)) {
            counters.edits.holds_released += 1;
            stream.release();
        }
        edited.account(cx.retained);
    }

    /// Tells if the first `old` bytes of a packet, which came before, say something else now. What leaves is
    /// made of what came first.
    fn compare<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        packet: &Packet<F>,
        old: u32,
        direction: Direction,
    ) {
        let old = usize::try_from(old).ok().and_then(|old| packet.payload().get(..old));
        let Some((edited, copy)) = self.edited.as_ref().zip(old) else { return };
        let stream = &edited.streams[direction];
        if stream.contradicts(data_seq(packet), copy, cx.retained.key()) {
            self.conflict(cx, direction);
        }
    }

    /// Sends a packet whose turn has come, with what became of its bytes.
    fn emit_ready<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        ready: Ready<Packet<F>>,
        direction: Direction,
        port: Port,
        news: News,
    ) {
        let Ready { buffer: mut packet, fresh, keep, keep_fin, rewritten, .. } = ready;
        self.compare(cx, &packet, fresh.start, direction);
        let headers = packet.headers();
        if keep != headers.payload_len() || keep_fin != headers.flags.contains(Flags::FIN) {
            packet.trim(0..keep, keep_fin);
        }
        if rewritten {
            self.rewritten(cx, &mut packet, direction);
        }
        self.raise_ttl(cx, &mut packet, direction);
        if let Some(packet) = self.park(cx, packet, direction, port) {
            self.emit(cx, packet, direction, port, Turn::First, news);
        }
    }
}
