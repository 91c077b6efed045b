//! Bytes that have left before: what leaves of a second copy says what the first said.

use tollgate_link::{Frame, Link, Port};
use tollgate_policy::Policy;
use tollgate_tcp::{Copied, Forwarded};
use tollgate_wire::{Direction, Flags, Packet};

use super::leaving::{Agreed, Leaving, data_seq, fresh_halves};
use super::{Context, Flow};
use crate::remedy::Remedy;

impl<F: Frame> Flow<F> {
    /// Sends a copy of what has left before: the receiver may have lost the first.
    pub(super) fn repeat<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        mut packet: Packet<F>,
        direction: Direction,
        port: Port,
    ) {
        let len = packet.headers().payload_len();
        let mut agreed = Agreed { rewritten: false, start: 0, forgotten: false };
        if cx.rules.wants_data() {
            agreed = self.agree(cx, &mut packet, len, direction);
            if agreed.forgotten {
                if std::mem::take(&mut agreed.rewritten) {
                    // Before a remedy lets it cross.
                    self.rewritten(cx, &mut packet, direction);
                }
                packet = match self.forgotten(cx, packet, port) {
                    Some(packet) => packet,
                    None => return,
                };
            }
        }
        let Agreed { rewritten, start, .. } = agreed;
        let fin = packet.headers().flags.contains(Flags::FIN);
        let leaving = Leaving { bytes: start..len, fin, rewritten, new: false };
        self.send(cx, packet, leaving, direction, port);
    }

    /// Makes the first `old` bytes of a packet, which left once, say what they said then. Without
    /// rules that read there is nothing to agree with: no one has been told what the bytes are.
    #[cold]
    pub(super) fn agree<L: Link<Frame = F>, P: Policy>(
        &self,
        cx: &mut Context<'_, L, P>,
        packet: &mut Packet<F>,
        old: u32,
        direction: Direction,
    ) -> Agreed {
        let seq = data_seq(packet);
        let copy = usize::try_from(old).ok().and_then(|old| packet.payload_mut().get_mut(..old));
        let outcome = match (&self.kept[direction], copy) {
            (Some(kept), Some(copy)) => cx.retained.check(kept, seq, copy),
            _ if old == 0 => Copied::Verified,
            _ => Copied::Unknown { bytes: old, rewritten: false },
        };
        let (bytes, rewritten) = match outcome {
            Copied::Verified => (0, false),
            Copied::Rewritten => (0, true),
            Copied::Unknown { bytes, rewritten } => (bytes, rewritten),
        };
        // With bytes that were in flight when the first rule began to read there is nothing to agree, nor with
        // what passed before the connection was picked up.
        let unread = cx.rules.began_unread(self.about.id);
        if bytes == 0 || unread || self.tracker.passed_unseen(direction, seq + bytes) {
            return Agreed { rewritten, start: 0, forgotten: false };
        }
        cx.ports.counters.forgotten += 1;
        let start = if cx.config.remedies.memory == Remedy::Pass { 0 } else { bytes };
        Agreed { rewritten, start, forgotten: true }
    }

    /// A packet's bytes were changed: its checksum follows.
    #[cold]
    pub(super) fn rewritten<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        packet: &mut Packet<F>,
        direction: Direction,
    ) {
        packet.complete_checksum();
        self.conflict(cx, direction);
    }

    /// Two copies of a byte differ: once for each connection it is told.
    #[cold]
    pub(super) fn conflict<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        direction: Direction,
    ) {
        let counters = &mut cx.ports.counters;
        counters.rewritten += 1;
        if !std::mem::replace(&mut self.conflicted, true) {
            cx.rules.alert_conflict(&self.about, direction, cx.now, counters);
        }
    }

    /// Remembers bytes that left before their turn, and were shown now.
    pub(super) fn remember<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        forwarded: &Forwarded,
        direction: Direction,
    ) {
        if !cx.rules.wants_data() {
            return cx.retained.forget(&mut self.kept[direction]);
        }
        let mut seq = forwarded.seq;
        for half in fresh_halves(forwarded) {
            // In pieces, so that where not all can be remembered the newest are.
            for piece in half.chunks(PIECE) {
                cx.retained.record(&mut self.kept[direction], seq, piece);
                seq += u32::try_from(piece.len()).unwrap_or(u32::MAX);
            }
        }
    }
}

/// A guess: small against what one direction may have remembered.
const PIECE: usize = 4096;
