//! Segments of an edited connection that nobody has sent.

use tollgate_link::{Frame, Link};
use tollgate_wire::forge::{Forged, HEADER_LEN_MAX};
use tollgate_wire::{Direction, Flags, Seq};

use crate::flow::{Context, Flow};

impl<F: Frame> Flow<F> {
    /// Sends what was made of earlier bytes and has not left, as far as the receiver of `direction`
    /// has room for it and there are frames. What does not leave now leaves with a later
    /// acknowledgment, or when its sender repeats what it was made of.
    pub(super) fn send_unsent<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        direction: Direction,
    ) {
        let Some(forged) = self.header(cx, direction) else { return };
        let len_max = self.forged_payload_max(cx, &forged, direction);
        let Some(edited) = &mut self.edited else { return };
        let stream = &mut edited.streams[direction];
        if !edited.parked[direction].is_empty() {
            return;
        }
        while let Some((start, end)) = stream.unsent() {
            let Some(frame) = cx.ports.forge() else { return };
            let room = frame.capacity().saturating_sub(HEADER_LEN_MAX);
            let len_max = len_max.min(u32::try_from(room).unwrap_or(u32::MAX)).max(1);
            let piece = stream.piece(start, end, len_max);
            let mut flags = Flags::empty();
            flags.set(Flags::FIN, piece.fin);
            flags.set(Flags::PSH, piece.end() == end);
            let forged = Forged { seq: piece.seq, flags, ..forged };
            let sent = cx.ports.write(&self.about, direction, &forged, stream.bytes(&piece), frame);
            if sent.is_none() {
                return;
            }
            stream.sent(piece.end());
            cx.ports.counters.edits.forged += 1;
        }
    }

    /// How many bytes of payload a segment of our own may have.
    pub(in crate::flow) fn forged_payload_max<L: Link<Frame = F>, P>(
        &self,
        cx: &Context<'_, L, P>,
        forged: &Forged,
        direction: Direction,
    ) -> u32 {
        let ip_len = if self.about.is_ipv6() { 40 } else { 20 };
        let header_len = forged.header_len();
        let wire = usize::try_from(cx.ports.mtu().min(u32::from(u16::MAX))).unwrap_or(usize::MAX);
        let wire = u32::try_from(wire.saturating_sub(ip_len + header_len)).unwrap_or(u32::MAX);
        let options_len = u32::try_from(header_len - 20).unwrap_or(0);
        self.segment_max(direction, wire, options_len).max(1)
    }

    /// Tells the sender of `direction` in its receiver's name that all has arrived: what it sent was
    /// taken out, so its receiver will say nothing. If that is lost, the sender repeats, and is told
    /// again.
    pub(super) fn acknowledge_to_sender<L: Link<Frame = F>, P>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        direction: Direction,
    ) {
        let back = direction.reverse();
        let Some(forged) = self.header(cx, back).filter(|_| self.may_speak(cx)) else { return };
        let Some(frame) = cx.ports.forge() else { return };
        if cx.ports.write(&self.about, back, &forged, [&[], &[]], frame).is_none() {
            return;
        }
        cx.ports.counters.edits.acks += 1;
        let (ack, edge) = self.granted(direction);
        self.tracker.granted(direction, ack, edge);
    }

    /// A segment in `direction` without bytes: the newest that its sender would send.
    pub(in crate::flow) fn header<L: Link<Frame = F>, P>(
        &self,
        cx: &Context<'_, L, P>,
        direction: Direction,
    ) -> Option<Forged> {
        let (ack, edge) = self.granted(direction.reverse());
        Some(Forged {
            ends: cx.ports.ends(&self.about, direction)?,
            seq: match &self.edited {
                Some(edited) => edited.streams[direction].edge_sent(),
                None => self.tracker.edge(direction),
            },
            ack: Some(ack),
            flags: Flags::empty(),
            window: self.window(ack, edge, direction),
            timestamps: self.tracker.timestamps(direction),
            sack: Default::default(),
        })
    }

    /// What the receiver of `direction` has got and has room for, as its sender counts.
    fn granted(&self, direction: Direction) -> (Seq, Seq) {
        match &self.edited {
            Some(edited) => {
                let stream = &edited.streams[direction];
                (stream.settled(), stream.input_window_edge(stream.window_edge()))
            }
            None => (self.tracker.acknowledged(direction), self.tracker.window_edge(direction)),
        }
    }
}
