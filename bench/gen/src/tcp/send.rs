//! What leaves: the next segment of an end, as far as script, window and wire allow.

use tollgate_link::{Link, Port};

use super::{Connections, Stage};
use crate::{
    ends::Ends,
    frame::{self, ACK, FIN, PSH, SYN, Segment},
};

impl Connections {
    /// Sends all that the end may send now; at least the acknowledgment that it owes.
    pub(super) fn pump<L: Link>(&mut self, ends: &mut Ends<L>, place: u32, port: Port) {
        loop {
            let Some(flow) = self.flows.get(place as usize) else { return };
            if flow.stage == Stage::Free {
                return;
            }
            let end = *flow.end(port);
            let again =
                end.duplicates == 3 && end.has_unacknowledged() && !self.load.script.by_hand;
            let position = if again { end.acked } else { end.sent };
            // The SYN is all that may be sent while others are still to open.
            let may = if self.holding { 1 } else { u32::MAX };
            let limit = match again {
                true => end.high,
                false => flow.limit(&self.load.script, port, self.closing).min(may),
            };
            let edge = end.acked.saturating_add(self.load.script.window);
            if position >= limit.min(edge) {
                break;
            }
            if ends.on_the_way().saturating_sub(self.written_off) >= self.load.in_flight_max {
                return self.queue(place, port);
            }
            if !self.send_next(ends, place, port, position, limit, edge) {
                return self.queue(place, port);
            }
            if let Some(flow) = self.flows.get_mut(place as usize)
                && again
            {
                flow.end_mut(port).duplicates = 4; // once is enough
            }
        }
        let Some(end) = self.flows.get(place as usize).map(|flow| *flow.end(port)) else { return };
        if end.owes_ack && !self.emit(ends, place, port, end.sent, 0, ACK, None) {
            self.queue(place, port);
        }
    }

    /// One segment from `position`: a SYN, bytes, or a FIN.
    fn send_next<L: Link>(
        &mut self,
        ends: &mut Ends<L>,
        place: u32,
        port: Port,
        position: u32,
        limit: u32,
        edge: u32,
    ) -> bool {
        let script = self.load.script;
        let Some(flow) = self.flows.get(place as usize) else { return false };
        let fin = if script.by_hand { u32::MAX } else { flow.fin(&script, port, self.closing) };
        let (payload, flags) = if position == 0 {
            (0, SYN | if port == Port::B { ACK } else { 0 })
        } else if position == fin {
            (0, FIN | ACK)
        } else {
            let to = limit.min(edge).min(fin).min(position + script.mss);
            let is_last = to == limit.min(edge).min(fin);
            (to - position, if is_last { ACK | PSH } else { ACK })
        };
        if !self.emit(ends, place, port, position, payload, flags, None) {
            return false;
        }
        let to = position + payload + u32::from(flags & (SYN | FIN) != 0);
        let due_ms = self.now_ms() + self.load.repeat_ms;
        let Some(flow) = self.flows.get_mut(place as usize) else { return false };
        flow.has_fin |= flags & FIN != 0 && port == Port::A;
        let end = flow.end_mut(port);
        if position < end.high {
            self.tally.repeated += 1;
        }
        end.sent = end.sent.max(to);
        end.high = end.high.max(to);
        if !flow.is_timed {
            flow.is_timed = true;
            flow.heard_ms = due_ms - self.load.repeat_ms;
            self.timers.push_back((due_ms, place, flow.generation));
        }
        true
    }

    /// Writes a frame and hands it over.
    #[expect(clippy::too_many_arguments, reason = "a segment has as many parts")]
    pub(super) fn emit<L: Link>(
        &mut self,
        ends: &mut Ends<L>,
        place: u32,
        port: Port,
        position: u32,
        payload: u32,
        flags: u8,
        stamp: Option<u64>,
    ) -> bool {
        let Some(flow) = self.flows.get(place as usize) else { return false };
        let connection = self.connection(place, flow);
        let received = flow.end(port).received;
        let acknowledged = self.pattern.first_seq(connection, port.peer()).wrapping_add(received);
        let segment = Segment {
            connection,
            from: port,
            seq: self.pattern.first_seq(connection, port).wrapping_add(position),
            ack: if flags & ACK == 0 { 0 } else { acknowledged },
            flags,
        };
        let bytes = self.pattern.bytes(connection, port, position, payload as usize);
        let len = frame::len(&self.addresses, flags, bytes.len());
        let sent = ends.send(port, len, |out| {
            frame::write(out, &self.addresses, segment, bytes, stamp);
        });
        if sent && let Some(flow) = self.flows.get_mut(place as usize) {
            let end = flow.end_mut(port);
            end.unacknowledged = 0;
            end.owes_ack = false;
        }
        sent
    }
}
