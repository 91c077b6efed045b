//! TCP Fast Open (RFC 7413): payload that comes with the SYN.
//!
//! Where the configuration allows it, the rules see it first, it leaves with the SYN, and it is
//! remembered like all that is in flight, so that the server may take it or leave it. Else, and for
//! whatever does not fit, the SYN leaves without it, and the client sends it again.

use tollgate_link::{Link, Port};
use tollgate_policy::{Data, Policy, Verdict};
use tollgate_tcp::{Segment, State};
use tollgate_wire::{Direction, Flags, Packet, Timestamp};

use super::Worker;
use crate::config::FastOpen;
use crate::counters::Reason;
use crate::half_open::HalfOpen;

impl<L: Link, P: Policy> Worker<L, P> {
    /// Sends the SYN that opened a half-open connection, with its payload if that may go.
    pub(super) fn forward_syn(
        &mut self,
        number: u32,
        mut packet: Packet<L::Frame>,
        syn: &Segment,
        port: Port,
        now: Timestamp,
    ) {
        match self.show_early(number, &packet, syn, now) {
            None => self.forward_half_open(number, packet, syn, port),
            Some(Verdict::Accept) => {
                if let Some(record) = self.half_open.get_mut(number) {
                    record.forwarded = true;
                    record.early = Some(syn.seq);
                    // An IP datagram has no more.
                    let len = u16::try_from(syn.len).unwrap_or(u16::MAX);
                    record.handshake.forwarded_early(len);
                }
                if syn.has(Flags::URG) {
                    self.ports.clear_urgent(&mut packet);
                }
                self.ports.forward(packet, port.peer());
            }
            Some(verdict) => {
                self.ports.drop(packet.into_frame(), Reason::Refused(verdict));
                self.condemn_half_open(number, verdict, now);
            }
        }
    }

    /// What the rules say of the payload of a SYN; none if it is not to leave with it.
    fn show_early(
        &mut self,
        number: u32,
        packet: &Packet<L::Frame>,
        syn: &Segment,
        now: Timestamp,
    ) -> Option<Verdict> {
        let wanted = self.config.fast_open == FastOpen::Allow && syn.options.fast_open;
        if !wanted || syn.len == 0 {
            return None;
        }
        if !self.rules.wants_data() {
            return Some(Verdict::Accept);
        }
        let HalfOpen { about, kept, .. } = self.half_open.get_mut(number)?;
        self.retained.record(kept, syn.data_seq(), packet.payload());
        kept.as_ref()?;
        let mut data = Data::new(0, false);
        data.push(packet.payload());
        let (to, ports) = (Direction::ToServer, &mut self.ports);
        Some(self.rules.receive_data(about, State::SynSent, &mut data, to, now, ports))
    }
}

impl HalfOpen {
    /// Whether `segment` is a SYN of another number than the one that opened this, and that one
    /// counts for nothing. Either its payload left: then the rules have seen bytes that are in no
    /// stream, and what comes is another connection to them. Or rules have dropped it: then no
    /// answer to it can be honest.
    pub(crate) fn is_outdated_by(&self, segment: &Segment) -> bool {
        let syn = segment.has(Flags::SYN) && !segment.has(Flags::ACK);
        let dropped = (!self.forwarded).then(|| self.handshake.client_isn());
        syn && self.early.or(dropped).is_some_and(|isn| isn != segment.seq)
    }
}
