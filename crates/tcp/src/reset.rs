//! Which RSTs end a connection at both ends, whatever the stack.
//!
//! Stacks disagree about which number a RST must have (RFC 5961 section 3): FreeBSD and XNU take only
//! the last acknowledgment that they sent, Linux, NetBSD and OpenBSD the next number that they expect.
//! The two differ while data is in flight. So both are sent, and in this order: the acknowledged edge
//! first, since the challenge ACK that the other one provokes would move FreeBSD's past it.
//!
//! What is lost or raced is caught later: whoever still speaks is told a RST at the number that it
//! acknowledges itself, which is exact for every stack ([`answer`]).

use arrayvec::ArrayVec;
use tollgate_wire::{Direction, Flags, PerDirection, Seq};

use crate::{EditedStream, Handshake, Segment, State, Tracker};

/// The most RSTs that one reset sends.
pub const RSTS_MAX: usize = 4;

/// A RST to forge: no payload, no options, window 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rst {
    /// The direction it travels.
    pub to: Direction,
    /// Its sequence number.
    pub seq: Seq,
    /// Its acknowledgment number; none means no ACK bit.
    pub ack: Option<Seq>,
}

/// A connection that can be reset.
pub trait Resettable {
    /// The RSTs towards the receiver of `to`, in the order to send them. None for a connection whose
    /// segments are signed, since ours would not be.
    fn rsts(&self, to: Direction) -> ArrayVec<Rst, 2>;
}

/// The RSTs that end `connection` at the server, then at the client.
#[must_use]
pub fn both(connection: &impl Resettable) -> ArrayVec<Rst, RSTS_MAX> {
    Direction::BOTH.into_iter().flat_map(|to| connection.rsts(to)).collect()
}

/// The RSTs that end `connection` at the server only.
#[must_use]
pub fn half(connection: &impl Resettable) -> ArrayVec<Rst, RSTS_MAX> {
    connection.rsts(Direction::ToServer).into_iter().collect()
}

/// The answer to a segment that travels in `direction` after its connection was reset: exact for
/// every stack, since it is what the sender itself says it expects. None for a RST, which ends its
/// sender by itself, and for a SYN, which opens a connection of its own.
#[must_use]
pub fn answer(straggler: &Segment, direction: Direction) -> Option<Rst> {
    let to = direction.reverse();
    if straggler.has(Flags::RST) {
        return None;
    }
    if straggler.has(Flags::ACK) {
        return Some(Rst { to, seq: straggler.ack, ack: None });
    }
    if straggler.has(Flags::SYN) {
        return None;
    }
    Some(Rst { to, seq: Seq(0), ack: Some(straggler.end()) })
}

impl Resettable for Tracker {
    fn rsts(&self, to: Direction) -> ArrayVec<Rst, 2> {
        if self.is_signed() {
            return ArrayVec::new();
        }
        at_both_edges(to, self.acknowledged(to), self.edge(to))
    }
}

/// A connection whose streams are changed: the numbers are those that each receiver knows.
impl Resettable for PerDirection<EditedStream> {
    fn rsts(&self, to: Direction) -> ArrayVec<Rst, 2> {
        at_both_edges(to, self[to].acknowledged(), self[to].edge_sent())
    }
}

fn at_both_edges(to: Direction, acknowledged: Seq, edge: Seq) -> ArrayVec<Rst, 2> {
    let mut rsts = ArrayVec::new();
    rsts.push(Rst { to, seq: acknowledged, ack: None });
    if edge != acknowledged {
        rsts.push(Rst { to, seq: edge, ack: None });
    }
    rsts
}

impl Resettable for Handshake {
    fn rsts(&self, to: Direction) -> ArrayVec<Rst, 2> {
        if self.is_signed() {
            return ArrayVec::new();
        }
        match to {
            // FreeBSD's SYN cache takes no RST with an ACK bit. Either SYN may be the one it knows.
            Direction::ToServer => [Some(self.client_isn()), self.previous_isn()]
                .into_iter()
                .flatten()
                .map(|isn| Rst { to, seq: isn + 1, ack: None })
                .collect(),
            // A client that waits takes any number with the right ACK; one that has the SYN-ACK
            // already takes only the exact number. One RST may be both.
            Direction::ToClient => {
                let ack = Some(self.client_isn() + 1);
                if self.state() == State::SynSent {
                    return [Rst { to, seq: Seq(0), ack }].into_iter().collect();
                }
                self.server_isns().take(2).map(|isn| Rst { to, seq: isn + 1, ack }).collect()
            }
        }
    }
}
