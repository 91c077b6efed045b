//! ICMP errors that quote a segment: they are part of the connection that they quote, and are held
//! against it (RFC 5927).
//!
//! Path MTU discovery and quick failure live on these errors, so they cannot just be dropped; anyone who
//! knows or guesses addresses and ports can forge them, so they cannot just pass. What a blind attacker
//! does not know is what is in flight: the quoted number must lie between what the receiver has
//! acknowledged and what has left (RFC 5927 section 4.1). Stacks check so themselves; Linux does not
//! for redirects, and older ones for nothing.
//!
//! - An error in the window passes, whatever its type, and whatever
//!   [`OtherTraffic`] says: "fragmentation needed" must reach the sender, and a hard error is a soft
//!   one to a connection that is established (RFC 1122 section 4.2.3.9, RFC 5927 section 5.2), which
//!   is the endpoint's to know. Of our own state it changes but the length of segments that we make.
//! - An error about a number that is not in flight is dropped.
//! - An error about a connection that a rule refused is dropped, as all of it is.
//! - An error about no connection that is known is treated as a segment of it would be
//!   ([`Midstream`]): where such segments are dropped, none has crossed that an error could be about.
//!   A host behind an asymmetric path, where segments cross elsewhere, wants `pass` for both.
//!
//! An error arrives at any queue, so it is handed to the worker that owns what it quotes.

use tollgate_link::{Link, Port};
use tollgate_policy::Policy;
use tollgate_wire::{IcmpError, Other, Seq, Timestamp};

use super::Worker;
use crate::config::{Midstream, OtherTraffic};
use crate::counters::{Cause, Reason};
use crate::mesh::Message;

/// An error that waits until the packets before it have been tracked.
#[derive(Debug)]
pub(super) struct Notice<F> {
    pub(super) frame: F,
    pub(super) error: IcmpError,
    pub(super) port: Port,
    /// Hash of the quoted connection's key.
    pub(super) hash: u64,
    /// How many of the turn's packets arrived before it: it may be about one of them.
    pub(super) after: usize,
}

/// What is to become of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It goes on, quoting what the sender knows by this number.
    Pass(Seq),
    Drop(Cause),
}

impl<L: Link, P: Policy> Worker<L, P> {
    /// Stage 1 for what is not TCP: an ICMP error about TCP goes to its connection's owner, the rest
    /// crosses or not.
    pub(super) fn no_tcp(&mut self, frame: L::Frame, port: Port, other: Other) {
        let error = match other {
            Other::Ip => IcmpError::parse(frame.as_ref()),
            Other::Arp | Other::Link | Other::IcmpError => Ok(None),
        };
        match error {
            Ok(Some(error)) => {
                let hash = self.flows.hash(&error.key);
                let owner = self.owner(hash);
                if owner == self.config.worker {
                    let after = self.arrivals.len();
                    self.notices.push(Notice { frame, error, port, hash, after });
                } else {
                    self.hand_out(owner, Message::IcmpError { frame, error, port, hash });
                }
            }
            Ok(None) => self.cross(frame, port, other),
            Err(why) => self.ports.drop(frame, Reason::Malformed(why)),
        }
    }

    /// Stage 4: the errors that arrived before the packet with the number `packet`.
    pub(super) fn notices_before(&mut self, packet: usize, now: Timestamp) {
        let due = self.notices.partition_point(|notice| notice.after <= packet);
        let mut notices = std::mem::take(&mut self.notices);
        for notice in notices.drain(..due) {
            self.icmp_error(notice, now);
        }
        self.notices = notices;
    }

    fn icmp_error(&mut self, notice: Notice<L::Frame>, now: Timestamp) {
        let Notice { mut frame, mut error, port, hash, .. } = notice;
        match self.judge(&error, hash, now) {
            Fate::Pass(seq) => {
                if let Some(mtu) = error.link_mtu {
                    self.narrow(&error, hash, mtu);
                }
                if seq != error.seq {
                    error.requote(frame.as_mut(), seq);
                }
                self.ports.pass(frame, port.peer(), Other::IcmpError);
            }
            Fate::Drop(cause) => self.ports.drop(frame, Reason::Cause(cause)),
        }
    }

    /// What is made for this way from now on must fit into `mtu` bytes. Its sender hears the same, but it is we who
    /// cut what rules have changed.
    fn narrow(&mut self, error: &IcmpError, hash: u64, mtu: u16) {
        let number = self.flows.find(hash, &error.key);
        if let Some(flow) = number.and_then(|number| self.flows.get_mut(number)) {
            flow.narrow(flow.about.direction(error.source), mtu);
        }
    }

    fn judge(&mut self, error: &IcmpError, hash: u64, now: Timestamp) -> Fate {
        let judged = |seq: Option<_>| seq.map_or(Fate::Drop(Cause::IcmpOffWindow), Fate::Pass);
        if let Some(flow) = self.flows.find(hash, &error.key).and_then(|at| self.flows.get(at)) {
            if flow.about.zombie.is_some() {
                return Fate::Drop(Cause::ConnectionOver);
            }
            return judged(flow.in_flight(flow.about.direction(error.source), error.seq));
        }
        let half_open = self.half_open.find(hash, &error.key);
        if let Some(record) = half_open.and_then(|at| self.half_open.get_mut(at)) {
            if record.about.zombie.is_some() {
                return Fate::Drop(Cause::ConnectionOver);
            }
            let direction = record.about.direction(error.source);
            let unseen = record.unseen.is_some();
            let sent = unseen || record.handshake.is_in_flight(direction, error.seq);
            return judged(sent.then_some(error.seq));
        }
        match (self.midstream(now), self.config.other) {
            (Midstream::Drop | Midstream::Reset, _) => Fate::Drop(Cause::IcmpNoConnection),
            (_, OtherTraffic::Drop) => Fate::Drop(Cause::Other),
            (Midstream::Pass | Midstream::Bypass | Midstream::Pickup, OtherTraffic::Pass) => {
                Fate::Pass(error.seq)
            }
        }
    }

    /// Lets a frame cross of which nothing is known, or not.
    pub(super) fn cross(&mut self, mut frame: L::Frame, port: Port, other: Other) {
        if !self.rules.goes_one_by_one() {
            self.complete(&mut frame);
        }
        match self.config.other {
            OtherTraffic::Pass => self.ports.pass(frame, port.peer(), other),
            OtherTraffic::Drop => self.ports.drop(frame, Reason::Cause(Cause::Other)),
        }
    }
}
