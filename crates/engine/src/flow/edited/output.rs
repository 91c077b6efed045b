//! Sending what became of a packet's bytes, in its own frame where it fits.

use tollgate_link::{Frame, Link, Port};
use tollgate_policy::Policy;
use tollgate_tcp::{EditedStream, Piece};
use tollgate_wire::{Direction, Flags, Packet, Seq};

use crate::counters::{Cause, Reason};
use crate::flow::leaving::data_seq;
use crate::flow::{Context, Flow};
use crate::ports::Ports;
use crate::remedy::Remedy;

/// Whether the bytes of a packet have left before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    First,
    Again,
}

/// What a packet says beside its bytes: whether its receiver learns anything from its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::flow) struct News(pub(in crate::flow) bool);

impl<F: Frame> Flow<F> {
    /// Sends what became of the bytes (and FIN) of a packet, and is not acknowledged: in the packet
    /// itself and, if it has become too much for one segment, in others like it before.
    pub(super) fn emit<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        packet: Packet<F>,
        direction: Direction,
        port: Port,
        turn: Turn,
        news: News,
    ) {
        let mut len_max = self.payload_max(cx.ports, &packet, direction);
        let headers = packet.headers();
        if turn == Turn::Again {
            // It was lost, perhaps for being too long for the way behind us, of which nobody need tell
            // (RFC 8899). Its sender tries with less then, and so must we.
            let header_len = u32::from(headers.payload - headers.ip);
            let least = self.shortest_mtu().saturating_sub(header_len);
            len_max = len_max.min(headers.payload_len().max(least)).max(1);
        }
        let from = data_seq(&packet);
        let to = from + headers.payload_len() + u32::from(headers.flags.contains(Flags::FIN));
        let Some(edited) = &mut self.edited else { return };
        let stream = &mut edited.streams[direction];
        if stream.is_forgotten(from) {
            cx.ports.counters.forgotten += 1;
            if cx.config.remedies.memory == Remedy::Pass && to.at_or_before(stream.first()) {
                // It left before the first change, so it has the same number on both sides.
                return cx.ports.forward(packet, port.peer());
            }
        }
        let span = match turn {
            Turn::First if cx.config.recorded_ends => stream.span_next(to),
            Turn::First => stream.span_fresh(from, to),
            Turn::Again => stream.span(from, to),
        };
        let Some((start, end)) = span else {
            return self.emit_nothing(cx, packet, direction, port, turn, news);
        };
        if turn == Turn::First && cx.config.recorded_ends {
            edited.leaps[direction].segment(from, start);
        }
        let rest = split(cx.ports, stream, &packet, (start, end), len_max, port.peer());
        match fill(packet, stream, &rest, rest.end() == end) {
            Ok(packet) => {
                stream.sent(rest.end());
                cx.ports.forward(packet, port.peer());
            }
            Err(frame) => cx.ports.drop(frame, Reason::Cause(Cause::FrameShortage)),
        }
    }

    /// Nothing of a packet is to be sent. Its sender is answered if nobody else will, its receiver is
    /// asked for room if it has none, and what its header says is not lost.
    fn emit_nothing<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        mut packet: Packet<F>,
        direction: Direction,
        port: Port,
        turn: Turn,
        news: News,
    ) {
        let from = data_seq(&packet);
        let waits = |flow: &Self| {
            flow.edited.as_ref().is_some_and(|edited| edited.streams[direction].unsent().is_some())
        };
        if waits(self) {
            // There were no frames for it before.
            self.send_unsent(cx, direction);
        }
        let Some(edited) = &self.edited else { return };
        let stream = &edited.streams[direction];
        // Its receiver has acknowledged all there is, so it will say nothing to what was erased. Who repeats
        // that is told in any case: what follows may be acknowledged selectively and lost behind us, and
        // its sender repeats it only when it comes first.
        let unanswered =
            (stream.is_settled() || turn == Turn::Again) && from.before(stream.settled());
        // A sender that repeats itself waits for room that an acknowledgment may have told us of and
        // lost its way. An old number makes the receiver tell again (RFC 9293 section 3.10.7.4).
        // So does one that sends anything new while there is no room at all, as BSD probes.
        let asks = turn == Turn::Again || stream.is_closed();
        // And one that repeats what is held for want of room: how much there is decides how that goes on.
        let probes = asks && (stream.unsent_len() > 0 || stream.is_stuck());
        let seq = match turn {
            _ if probes => stream.acknowledged() - 1,
            Turn::First => stream.edge_sent(),
            Turn::Again => stream.output_bare(from),
        };
        if unanswered {
            self.acknowledge_to_sender(cx, direction);
        }
        // The ends of a recording need no news, and Haka has no segments without bytes.
        if probes || news == News(true) && !cx.config.recorded_ends {
            packet.trim(0..0, false);
            packet.set_ending(false, false);
            packet.set_seq(seq);
            cx.ports.forward(packet, port.peer());
        } else {
            cx.ports.drop(packet.into_frame(), Reason::Cause(Cause::Edited));
        }
    }

    /// How many bytes of payload a segment like `packet` may have: what its receiver takes and the
    /// wire carries, but no less than it has, for what came as large may leave as large.
    fn payload_max<L: Link<Frame = F>>(
        &self,
        ports: &Ports<L>,
        packet: &Packet<F>,
        direction: Direction,
    ) -> u32 {
        let headers = packet.headers();
        let header_len = u32::from(headers.payload - headers.ip);
        let options_len = u32::from(headers.payload - headers.tcp).saturating_sub(20);
        let wire = ports.mtu().min(u32::from(u16::MAX)).saturating_sub(header_len);
        let most = self.segment_max(direction, wire, options_len).max(headers.payload_len());
        let room = packet.frame().capacity().saturating_sub(usize::from(headers.payload));
        most.min(u32::try_from(room).unwrap_or(u32::MAX)).max(1)
    }

    /// How many bytes of payload the receiver of `direction` takes beside so many bytes of options
    /// (RFC 6691), on a wire that carries `wire` bytes of it.
    pub(in crate::flow) fn segment_max(
        &self,
        direction: Direction,
        wire: u32,
        options_len: u32,
    ) -> u32 {
        let mss = match self.mss[direction] {
            // RFC 9293 section 3.7.1.
            0 => self.mss_within(self.shortest_mtu()),
            mss => u32::from(mss.max(MSS_MIN)),
        };
        mss.saturating_sub(options_len).min(wire)
    }

    /// The way in `direction` carries datagrams of so many bytes.
    pub(crate) fn narrow(&mut self, direction: Direction, mtu: u16) {
        let most = self.mss_within(u32::from(mtu).max(self.shortest_mtu()));
        let most = u16::try_from(most).unwrap_or(u16::MAX);
        let mss = &mut self.mss[direction];
        // What a receiver that says nothing takes fits already.
        *mss = if *mss == 0 { 0 } else { most.min(*mss) };
    }

    /// The longest datagram that every host takes (RFC 791 section 3.1) or every link carries (RFC 8200 section 5).
    fn shortest_mtu(&self) -> u32 {
        if self.about.is_ipv6() { 1280 } else { 576 }
    }

    fn mss_within(&self, mtu: u32) -> u32 {
        mtu - if self.about.is_ipv6() { 60 } else { 40 }
    }
}

/// Sends all but the last part of an output in frames of their own, like `packet`. Gives the part
/// that is left for the packet itself: the last, or, when there are no frames, one before.
fn split<L: Link>(
    ports: &mut Ports<L>,
    stream: &mut EditedStream,
    packet: &Packet<L::Frame>,
    (mut start, end): (Seq, Seq),
    len_max: u32,
    port: Port,
) -> Piece {
    loop {
        let piece = stream.piece(start, end, len_max);
        if piece.end() == end {
            return piece;
        }
        let Some(mut frame) = ports.forge() else { return piece };
        let len = usize::from(packet.headers().payload)
            + stream.bytes(&piece).map(<[u8]>::len).iter().sum::<usize>();
        if !frame.set_len(len) {
            ports.unforge(frame);
            return piece;
        }
        match packet.with_payload(frame, stream.bytes(&piece)) {
            Ok(mut part) => {
                part.set_seq(piece.seq);
                part.set_ending(false, false);
                ports.counters.edits.split += 1;
                ports.forward(part, port);
            }
            Err(frame) => {
                ports.unforge(frame);
                return piece;
            }
        }
        stream.sent(piece.end());
        start = piece.end();
    }
}

/// Puts a piece into a packet; `last` if it is the end of what the packet stands for, where its PSH
/// belongs. A packet that says it already gets only its number. Gives the frame back if it is too
/// small.
fn fill<F: Frame>(
    mut packet: Packet<F>,
    stream: &EditedStream,
    piece: &Piece,
    last: bool,
) -> Result<Packet<F>, F> {
    let bytes = stream.bytes(piece);
    let [one, other] = bytes;
    let payload = packet.payload();
    let same = payload.len() == one.len() + other.len()
        && payload.starts_with(one)
        && payload.ends_with(other);
    if !same {
        let end = usize::from(packet.headers().payload) + one.len() + other.len();
        let frame = packet.frame_mut();
        let fits = frame.as_ref().len() >= end || frame.set_len(end);
        if !fits || !packet.set_payload(bytes) {
            return Err(packet.into_frame());
        }
    }
    packet.set_seq(piece.seq);
    let push = last && packet.headers().flags.contains(Flags::PSH);
    packet.set_ending(piece.fin, push);
    Ok(packet)
}

/// What nobody means: as Linux does, for segments of a byte each would cost more than they carry.
const MSS_MIN: u16 = 48;
