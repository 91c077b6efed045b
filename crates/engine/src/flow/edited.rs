//! A connection whose bytes rules have changed or held back.
//!
//! From the first change on, each direction is an [`EditedStream`]: what leaves is cut from its output,
//! and a packet is but the envelope for it. What each end says of the other's numbers is translated:
//!
//! - a packet's acknowledgment, SACK blocks and window are of the *other* direction, in the numbers of
//!   its receiver. They are written as its sender counts before anybody looks at them, so that tracker
//!   and reassembler know only the numbers of senders;
//! - its sequence number is of its own direction, and is written as its receiver counts when it leaves.
//!
//! Nothing here has a timer. What was lost is repeated by its sender, who is told of an edit's arrival
//! only when all of it has arrived; what the window had no room for is sent when an acknowledgment
//! makes some.

mod event;
mod forge;
mod leaps;
mod output;
mod parked;

use tollgate_link::{Frame, Link, Port};
use tollgate_policy::{Phase, Policy};
use tollgate_tcp::{EditedStream, Invalid, Segment, Step};
use tollgate_wire::{Direction, Flags, Packet, PerDirection, Seq};

use super::{Context, Flow};
use crate::counters::{Cause, Reason};
use crate::retained::Retained;
use leaps::Leaps;
pub(super) use output::News;
use parked::Parked;

/// Both streams of a connection, since one of them was changed or held.
#[derive(Debug)]
pub(crate) struct Edited<F> {
    pub(super) streams: PerDirection<EditedStream>,
    /// In a recording: packets whose bytes are held.
    parked: PerDirection<Parked<F>>,
    leaps: PerDirection<Leaps>,
    /// The memory that they take, as it was last counted.
    memory: u64,
    /// How often in a row it was found that nothing had been acknowledged.
    silent: u8,
}

impl<F> Edited<F> {
    /// Counts the memory that the streams take now.
    fn account(&mut self, retained: &mut Retained) {
        let memory = Direction::BOTH.map(|way| self.streams[way].memory() as u64).iter().sum();
        retained.change(self.memory, memory);
        self.memory = memory;
    }

    /// Whether every number is the same on both sides and nothing waits, so that the connection could
    /// go on as if it had never been changed.
    pub(super) fn is_even(&self) -> bool {
        Direction::BOTH.iter().all(|&way| {
            let stream = &self.streams[way];
            stream.is_identity() && stream.owes_nothing() && stream.unsent_len() == 0
        })
    }
}

impl<F: Frame> Flow<F> {
    /// Takes a packet of a connection that was changed, as [`Flow::segment`] does of others:
    ///
    /// 1. write what it says of the other direction in the numbers of that one's sender;
    /// 2. ask what it means;
    /// 3. take its acknowledgment, and send what it makes room for;
    /// 4. send it, or what its bytes have become.
    pub(super) fn edited_segment<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        mut packet: Packet<F>,
        raw: &Segment,
        direction: Direction,
        port: Port,
        step: Option<Result<Step, Invalid>>,
    ) {
        let (segment, heard) = if cx.config.recorded_ends {
            self.translate_recorded(&mut packet, raw, direction)
        } else {
            self.translate(&mut packet, raw, direction); // 1
            (Segment::of(&packet), *raw)
        };
        let believed = self.tracker.believes(direction, &segment, cx.now); // 2
        let read = self.tracker.acknowledged(direction);
        let told = self.told(direction);
        let step = step.unwrap_or_else(|| self.tracker.segment(direction, &segment, cx.now));
        let news = News(told != self.told(direction) || segment.options.sack[0].is_some());
        let reaches = |step: &Step| step.end(&segment).at_or_after(read);
        if believed && step.as_ref().is_ok_and(reaches) {
            self.acknowledged(cx, &heard, direction); // 3
        }
        if segment.has(Flags::URG) {
            cx.ports.clear_urgent(&mut packet);
        }
        if segment.options.sack[0].is_some() {
            self.bound_sack(cx, &mut packet, &segment, direction);
        }
        match step {
            // 4
            Ok(Step::Data { take, fin }) => {
                if take.start != 0 || take.end != segment.len || fin != segment.has(Flags::FIN) {
                    packet.trim(take, fin);
                }
                self.edited_data(cx, packet, direction, fin, port, news);
            }
            Ok(Step::Pass) => self.forward_bare(cx, packet, &segment, direction, port),
            Ok(Step::Strip) => {
                if segment.len > 0 || segment.has(Flags::FIN) {
                    packet.trim(0..0, false);
                }
                self.forward_bare(cx, packet, &segment, direction, port);
            }
            Ok(Step::Reset) => self.forward_reset(cx, packet, &segment, direction, port),
            // Only a SYN reopens, and it was asked for before.
            Ok(Step::Reopen) => cx.ports.drop(packet.into_frame(), Reason::Invalid(Invalid::Flags)),
            Err(why) => {
                cx.ports.drop(packet.into_frame(), Reason::Invalid(why));
                self.have_challenged(cx, &segment, why, direction);
                if why == Invalid::AfterReset {
                    // In the numbers of who sent it, since it goes back to him.
                    self.tell_again(cx, raw, direction);
                }
            }
        }
    }

    /// What the receiver of the other direction has told, as its sender counts.
    fn told(&self, direction: Direction) -> (Seq, Seq) {
        let sent = direction.reverse();
        (self.tracker.acknowledged(sent), self.tracker.window_edge(sent))
    }

    /// Writes acknowledgment, window and SACK blocks of a packet that travels in `direction` in the
    /// numbers of whom they are for.
    fn translate(&self, packet: &mut Packet<F>, raw: &Segment, direction: Direction) {
        let Some(edited) = &self.edited else { return };
        // A SYN-ACK acknowledges the SYN, before which there is nothing to change.
        if raw.has(Flags::SYN)
            || !raw.has(Flags::ACK)
            || self.tracker.answers_late_syn(direction, raw)
        {
            return;
        }
        let stream = &edited.streams[direction.reverse()];
        let edge = self.window_edge(raw, direction);
        let ack = stream.input_ack(raw.ack, edge);
        packet.set_ack(ack);
        let edge = stream.input_window_edge(edge);
        packet.set_window(self.window(ack, edge, direction));
        if raw.options.sack[0].is_some() {
            packet.map_sack(|_, block| stream.input_block(block));
        }
    }

    /// The same in a recording: what its ends acknowledge is in the numbers of the other's sender already, and is written
    /// as Haka writes it ([`leaps`]). Gives the packet as the tracker, and as the changed stream is to see it.
    fn translate_recorded(
        &self,
        packet: &mut Packet<F>,
        raw: &Segment,
        direction: Direction,
    ) -> (Segment, Segment) {
        let Some(edited) = self.edited.as_ref().filter(|_| !raw.has(Flags::SYN)) else {
            return (*raw, *raw);
        };
        let sent = direction.reverse();
        let stream = &edited.streams[sent];
        if raw.has(Flags::ACK) {
            let beyond =
                raw.ack.at_or_after(stream.edge_sent()).then(|| stream.input_beyond(raw.ack));
            packet.set_ack(beyond.unwrap_or_else(|| edited.leaps[sent].input(raw.ack)));
        }
        (*raw, Segment { ack: stream.output_bare(raw.ack), ..*raw })
    }

    /// Where the window of a segment ends, in the numbers of who sends it.
    fn window_edge(&self, segment: &Segment, direction: Direction) -> Seq {
        segment.ack + (u32::from(segment.window) << self.tracker.window_shift(direction))
    }

    /// The window from `ack` to `edge` as a header in `direction` says it.
    fn window(&self, ack: Seq, edge: Seq, direction: Direction) -> u16 {
        let bytes = edge.distance(ack).max(0) >> self.tracker.window_shift(direction);
        u16::try_from(bytes).unwrap_or(u16::MAX)
    }

    /// Takes the acknowledgment and window of a valid segment that travels in `direction`, and sends
    /// what they make room for.
    fn acknowledged<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        raw: &Segment,
        direction: Direction,
    ) {
        let edge = self.window_edge(raw, direction);
        let sent = direction.reverse();
        let Some(edited) = &mut self.edited else { return };
        let stream = &mut edited.streams[sent];
        if raw.ack.after(stream.edge_sent()) {
            return;
        }
        if raw.ack.after(stream.acknowledged()) {
            edited.silent = 0;
        }
        stream.acknowledge(raw.ack, edge);
        if stream.holds_too_much(cx.now) {
            cx.ports.counters.edits.holds_released += 1;
            stream.release();
        }
        let waits = stream.unsent().is_some();
        edited.account(cx.retained);
        if waits {
            self.send_unsent(cx, sent);
        }
    }

    /// Sends on a packet that brings no bytes.
    fn forward_bare<L: Link<Frame = F>, P>(
        &self,
        cx: &mut Context<'_, L, P>,
        mut packet: Packet<F>,
        segment: &Segment,
        direction: Direction,
        port: Port,
    ) {
        let untouched =
            segment.has(Flags::SYN) || self.tracker.answers_late_syn(direction, segment);
        if let Some(edited) = self.edited.as_ref().filter(|_| !untouched) {
            let stream = &edited.streams[direction];
            let at_ack = segment.seq == self.tracker.acknowledged(direction);
            packet.set_seq(if segment.has(Flags::RST) && at_ack {
                // The number that the receiver expects if what was sent has not reached it.
                stream.acknowledged()
            } else {
                stream.output_bare(segment.seq)
            });
        }
        cx.ports.forward(packet, port.peer());
    }

    /// Sends on a RST that ends the connection, at the edge that its receiver knows.
    fn forward_reset<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        mut packet: Packet<F>,
        segment: &Segment,
        direction: Direction,
        port: Port,
    ) {
        if segment.has_stray_payload() {
            packet.trim(0..0, false);
        }
        if !self.has_passed_reset() {
            self.raise_ttl(cx, &mut packet, direction);
        }
        let mut edited = self.edited.take();
        if let Some(edited) = &edited {
            packet.set_seq(edited.streams[direction].edge_sent());
        }
        cx.ports.forward(packet, port.peer());
        if let Some(edited) = &mut edited {
            edited.drop_parked(cx, Reason::Cause(Cause::Closed));
        }
        self.note_reset(cx.now);
        self.close(cx, Phase::ResetByPeer, Cause::Closed);
        // Challenges and answers to them still cross, so the numbers stay; the bytes do not.
        if let Some(edited) = &mut edited {
            Direction::BOTH.iter().for_each(|&way| edited.streams[way].forget());
            edited.account(cx.retained);
        }
        self.edited = edited;
    }

    /// Whether the connection takes memory for what was changed, and has been found silent so often that
    /// it is to be given up.
    pub(super) fn has_fallen_silent(&mut self) -> bool {
        let Some(edited) = self.edited.as_mut().filter(|edited| edited.memory > 0) else {
            return false;
        };
        edited.silent = edited.silent.saturating_add(1);
        edited.silent > SILENT_MAX
    }

    /// Forgets that the connection was changed.
    pub(super) fn forget_edits<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        reason: Reason,
    ) {
        if let Some(mut edited) = self.edited.take() {
            edited.drop_parked(cx, reason);
            cx.retained.change(edited.memory, 0);
        }
    }
}

/// A guess: some 30 seconds in all, in which a sender repeats itself five times (RFC 6298). What was changed
/// cannot be forgotten but with its connection.
const SILENT_MAX: u8 = 10;
