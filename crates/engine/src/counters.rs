//! Every frame has one counted fate.
//!
//! `received + handed in + forged == transmitted + dropped + merged + handed out + held`, in each
//! worker, after each turn. [`Counters::balance`] is the difference; anything but zero is a frame
//! lost or invented, and an alarm. Plain numbers of one worker: whoever shows them adds workers up
//! with `+`.

use std::ops::{Add, AddAssign};

use tollgate_link::Port;
use tollgate_policy::{Phase, Verdict};
use tollgate_tcp::Invalid;
use tollgate_wire::{Malformed, Other};

use crate::edit_counters::EditCounters;
use crate::remedy::Trouble;
use crate::shunt_counters::ShuntCounters;

/// What one worker has counted since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// By the port they crossed: [`Port::index`].
    pub ports: [PortCounters; 2],
    /// Frames taken from the link to write a packet of our own in: RSTs, reassembled datagrams and
    /// fragments of them, and what rules have made.
    pub forged: u64,
    /// Frames that rules made.
    pub injected: u64,
    /// Frames that rules made and that went nowhere: too long, more in a turn than allowed, made in a
    /// loop, or no frame to write them in.
    pub injected_lost: u64,
    /// Fragments whose bytes went on in a reassembled datagram, and datagrams whose bytes went on
    /// in fragments.
    pub merged: u64,
    /// Frames given to the worker that owns their flow.
    pub handed_out: u64,
    /// Frames taken from other workers.
    pub handed_in: u64,
    /// Frames that wait at this moment: out of order, or as fragments. A level, not a total.
    pub held: u64,
    /// Frames dropped as malformed, by [`Malformed`].
    pub malformed: [u64; Malformed::ALL.len()],
    /// Frames dropped as invalid for their connection, by [`Invalid`].
    pub invalid: [u64; Invalid::ALL.len()],
    /// Frames dropped by a verdict, by [`Verdict`].
    pub refused: [u64; Verdict::ALL.len()],
    /// Frames dropped for another reason, by [`Cause`].
    pub causes: [u64; Cause::ALL.len()],
    /// Frames that are not TCP and crossed, by [`Other`].
    pub passed: [u64; Other::ALL.len()],
    /// TCP packets of no connection that crossed, where the configuration lets them.
    pub untracked: u64,
    /// Packets of connections that cross uninspected.
    pub bypassed: u64,
    /// Times that a connection could not be treated as it should be, by [`Trouble`].
    pub troubles: [u64; Trouble::ALL.len()],
    /// Verdicts that rules gave, by [`Verdict`]; `accept` is not counted.
    pub verdicts: [u64; Verdict::ALL.len()],
    /// Connections by what happened to them, by [`Phase`].
    pub phases: [u64; PHASES.len()],
    /// RSTs sent, those to stragglers included.
    pub rsts: u64,
    /// Those of them that were sent again, since nobody says that a RST has arrived.
    pub rsts_repeated: u64,
    /// RSTs that could not be forged: no frame, or the way to the endpoint is not known.
    pub rsts_failed: u64,
    /// RSTs ahead of what had left, whose receiver was made to tell what it expects.
    pub rsts_challenged: u64,
    /// Packets of any protocol whose partial checksum was completed.
    pub checksums_completed: u64,
    /// Packets that brought something new with a gap before it: they were kept, or left with a copy kept.
    pub out_of_order: u64,
    /// Packets with nothing but bytes that had been seen; they crossed again.
    pub retransmitted: u64,
    /// Packets whose bytes were changed to what an earlier copy of them had said.
    pub rewritten: u64,
    /// Packets with bytes whose earlier copy was forgotten.
    pub forgotten: u64,
    /// Directions whose bytes in flight were forgotten because memory was short and none of them had been
    /// acknowledged for long, and connections of changed streams that were given up for it.
    pub silenced: u64,
    /// What rules have changed in streams.
    pub edits: EditCounters,
    /// Connections that crossed, or were dropped, without being received.
    pub shunts: ShuntCounters,
    /// Packets that lost SACK blocks: those that name what has not left.
    pub sacks_stripped: u64,
    /// Packets that lost their URG bit and pointer.
    pub urgent_cleared: u64,
    /// Packets with new bytes, and RSTs, whose time to live was raised to that of their sender's other
    /// packets.
    pub ttls_raised: u64,
    /// Times that connections were taken up again, since frames had crossed unseen.
    pub resumed: u64,
    /// Bytes of streams that had crossed unseen when their connection was taken up again.
    pub unseen: u64,
    /// Datagrams put together from fragments.
    pub reassembled: u64,
    /// Alerts of the engine's own that were over the rate.
    pub alerts_suppressed: u64,
    /// Turns after which [`Counters::balance`] was not zero.
    pub unbalanced_turns: u64,
}

/// Frames and bytes of one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PortCounters {
    pub received_frames: u64,
    pub received_bytes: u64,
    pub transmitted_frames: u64,
    pub transmitted_bytes: u64,
}

/// Why a frame was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It could not be read.
    Malformed(Malformed),
    /// It was wrong for its connection.
    Invalid(Invalid),
    /// A rule refused it, or the connection whose held frame it was.
    Refused(Verdict),
    /// Anything else.
    Cause(Cause),
}

/// A reason that lies in the state of the worker: what it knows, and what it has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cause {
    /// TCP, but of no connection that is known.
    NoConnection,
    /// Its connection was dropped or reset by a verdict not long ago.
    ConnectionOver,
    /// No room for what is behind a gap, nor to remember what is new until it is acknowledged, its
    /// connection having as much as one may.
    HeldFullFlow,
    /// The same, all connections of the worker together having nearly as much as they may.
    HeldFullWorker,
    /// Behind a gap, and all of it waits already or lies beyond the end of the stream.
    Redundant,
    /// No room for another connection.
    FlowTableFull,
    /// No room for another half-open connection's key.
    HalfOpenFull,
    /// The ring to the worker that owns the flow is full.
    HandOffFull,
    /// The link had no room to send it. Waiting for room would only move the loss.
    TransmitFull,
    /// Not TCP, and the configuration does not let it cross.
    Other,
    /// It overlaps another fragment, or belongs to a datagram of which one does (RFC 5722).
    FragmentOverlap,
    /// A fragment that was there already.
    FragmentDuplicate,
    /// A fragment whose datagram was not complete in time.
    FragmentTimeout,
    /// No room for another fragment or fragmented datagram.
    FragmentFull,
    /// A fragment of a datagram that already has as many as one may have.
    FragmentTooMany,
    /// A fragment that contradicts its datagram, or belongs to a datagram of which one does.
    FragmentBroken,
    /// Of a datagram that is longer than a frame.
    FragmentTooLong,
    /// No frame to write a reassembled or fragmented datagram in.
    FrameShortage,
    /// Held when its connection was silent for too long.
    Expired,
    /// Held when its connection ended.
    Closed,
    /// Held when the program stopped.
    Stopped,
    /// Held when frames had crossed unseen.
    Bypassed,
    /// What its bytes had become was empty, or had no room at its receiver yet.
    Edited,
    /// An ICMP error that quotes a number that is not in flight (RFC 5927).
    IcmpOffWindow,
    /// An ICMP error about no connection that is known.
    IcmpNoConnection,
    /// Its connection was given up for want of memory ([`Trouble::Memory`]).
    Memory,
    /// Its connection was given up, one end not being heard ([`Trouble::Asymmetric`]).
    Asymmetric,
    /// Held behind a gap that nobody has filled in time ([`Trouble::GapTimeout`]).
    GapTimeout,
    /// Refused by a rule as it arrived.
    RuleFrame,
    /// A datagram that a rule refused.
    RuleDatagram,
    /// Refused by a rule as it was to leave.
    RuleSend,
    /// A rule has made it longer than a frame can be.
    RuleTooLong,
}

impl Cause {
    /// Every one, in order of its discriminant.
    pub const ALL: [Self; 32] = [
        Self::NoConnection,
        Self::ConnectionOver,
        Self::HeldFullFlow,
        Self::HeldFullWorker,
        Self::Redundant,
        Self::FlowTableFull,
        Self::HalfOpenFull,
        Self::HandOffFull,
        Self::TransmitFull,
        Self::Other,
        Self::FragmentOverlap,
        Self::FragmentDuplicate,
        Self::FragmentTimeout,
        Self::FragmentFull,
        Self::FragmentTooMany,
        Self::FragmentBroken,
        Self::FragmentTooLong,
        Self::FrameShortage,
        Self::Expired,
        Self::Closed,
        Self::Stopped,
        Self::Bypassed,
        Self::Edited,
        Self::IcmpOffWindow,
        Self::IcmpNoConnection,
        Self::Memory,
        Self::Asymmetric,
        Self::GapTimeout,
        Self::RuleFrame,
        Self::RuleDatagram,
        Self::RuleSend,
        Self::RuleTooLong,
    ];

    /// As metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoConnection => "no_connection",
            Self::ConnectionOver => "connection_over",
            Self::HeldFullFlow => "held_full_flow",
            Self::HeldFullWorker => "held_full_worker",
            Self::Redundant => "redundant",
            Self::FlowTableFull => "flow_table_full",
            Self::HalfOpenFull => "half_open_full",
            Self::HandOffFull => "hand_off_full",
            Self::TransmitFull => "transmit_full",
            Self::Other => "other_traffic",
            Self::FragmentOverlap => "fragment_overlap",
            Self::FragmentDuplicate => "fragment_duplicate",
            Self::FragmentTimeout => "fragment_timeout",
            Self::FragmentFull => "fragment_full",
            Self::FragmentTooMany => "fragment_too_many",
            Self::FragmentBroken => "fragment_broken",
            Self::FragmentTooLong => "fragment_too_long",
            Self::FrameShortage => "frame_shortage",
            Self::Expired => "expired",
            Self::Closed => "closed",
            Self::Stopped => "stopped",
            Self::Bypassed => "bypassed",
            Self::Edited => "edited",
            Self::IcmpOffWindow => "icmp_off_window",
            Self::IcmpNoConnection => "icmp_no_connection",
            Self::Memory => "memory",
            Self::Asymmetric => "asymmetric",
            Self::GapTimeout => "gap_timeout",
            Self::RuleFrame => "rule_frame",
            Self::RuleDatagram => "rule_datagram",
            Self::RuleSend => "rule_send",
            Self::RuleTooLong => "rule_too_long",
        }
    }
}

impl Counters {
    /// Frames that came in and are not accounted for; negative if more are than came. Of one worker,
    /// or of several added up while nothing is between them.
    #[must_use]
    pub fn balance(&self) -> i64 {
        let [a, b] = &self.ports;
        let came = a.received_frames + b.received_frames + self.handed_in + self.forged;
        let went = a.transmitted_frames
            + b.transmitted_frames
            + self.dropped()
            + self.merged
            + self.handed_out
            + self.held;
        came.wrapping_sub(went).cast_signed()
    }

    /// Frames dropped, for any reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let sum = |counts: &[u64]| counts.iter().sum::<u64>();
        sum(&self.malformed) + sum(&self.invalid) + sum(&self.refused) + sum(&self.causes)
    }

    /// Frames dropped for one reason.
    #[must_use]
    pub fn dropped_for(&self, reason: Reason) -> u64 {
        let (counts, position) = match reason {
            Reason::Malformed(why) => (&self.malformed[..], why as usize),
            Reason::Invalid(why) => (&self.invalid[..], why as usize),
            Reason::Refused(verdict) => (&self.refused[..], verdict as usize),
            Reason::Cause(cause) => (&self.causes[..], cause as usize),
        };
        counts.get(position).copied().unwrap_or(0)
    }

    /// Connections to which `phase` happened.
    #[must_use]
    pub fn connections(&self, phase: Phase) -> u64 {
        self.phases.get(phase as usize).copied().unwrap_or(0)
    }

    /// Counts a dropped frame.
    pub(crate) fn drop(&mut self, reason: Reason) {
        match reason {
            Reason::Malformed(why) => bump(&mut self.malformed, why as usize),
            Reason::Invalid(why) => bump(&mut self.invalid, why as usize),
            Reason::Refused(verdict) => bump(&mut self.refused, verdict as usize),
            Reason::Cause(cause) => bump(&mut self.causes, cause as usize),
        }
    }

    pub(crate) fn pass(&mut self, other: Other) {
        bump(&mut self.passed, other as usize);
    }

    /// The same for the fragments of a datagram.
    pub(crate) fn pass_many(&mut self, other: Other, frames: usize) {
        if let Some(count) = self.passed.get_mut(other as usize) {
            *count += frames as u64;
        }
    }

    pub(crate) fn verdict(&mut self, verdict: Verdict) {
        bump(&mut self.verdicts, verdict as usize);
    }

    pub(crate) fn trouble(&mut self, trouble: Trouble) {
        bump(&mut self.troubles, trouble as usize);
    }

    pub(crate) fn phase(&mut self, phase: Phase) {
        bump(&mut self.phases, phase as usize);
    }

    pub(crate) fn receive(&mut self, port: Port, frames: u64, bytes: u64) {
        let port = self.port_mut(port);
        port.received_frames += frames;
        port.received_bytes += bytes;
    }

    pub(crate) fn transmit(&mut self, port: Port, frames: u64, bytes: u64) {
        let port = self.port_mut(port);
        port.transmitted_frames += frames;
        port.transmitted_bytes += bytes;
    }

    const fn port_mut(&mut self, port: Port) -> &mut PortCounters {
        let [a, b] = &mut self.ports;
        match port {
            Port::A => a,
            Port::B => b,
        }
    }
}

impl AddAssign<&Self> for Counters {
    fn add_assign(&mut self, other: &Self) {
        for (mine, theirs) in self.ports.iter_mut().zip(&other.ports) {
            mine.received_frames += theirs.received_frames;
            mine.received_bytes += theirs.received_bytes;
            mine.transmitted_frames += theirs.transmitted_frames;
            mine.transmitted_bytes += theirs.transmitted_bytes;
        }
        self.forged += other.forged;
        self.injected += other.injected;
        self.injected_lost += other.injected_lost;
        self.merged += other.merged;
        self.handed_out += other.handed_out;
        self.handed_in += other.handed_in;
        self.held += other.held;
        add_all(&mut self.malformed, &other.malformed);
        add_all(&mut self.invalid, &other.invalid);
        add_all(&mut self.refused, &other.refused);
        add_all(&mut self.causes, &other.causes);
        add_all(&mut self.passed, &other.passed);
        self.untracked += other.untracked;
        self.bypassed += other.bypassed;
        add_all(&mut self.troubles, &other.troubles);
        add_all(&mut self.verdicts, &other.verdicts);
        add_all(&mut self.phases, &other.phases);
        self.rsts += other.rsts;
        self.rsts_repeated += other.rsts_repeated;
        self.rsts_failed += other.rsts_failed;
        self.rsts_challenged += other.rsts_challenged;
        self.checksums_completed += other.checksums_completed;
        self.out_of_order += other.out_of_order;
        self.retransmitted += other.retransmitted;
        self.rewritten += other.rewritten;
        self.forgotten += other.forgotten;
        self.silenced += other.silenced;
        self.edits += &other.edits;
        self.shunts += &other.shunts;
        self.sacks_stripped += other.sacks_stripped;
        self.urgent_cleared += other.urgent_cleared;
        self.ttls_raised += other.ttls_raised;
        self.resumed += other.resumed;
        self.unseen += other.unseen;
        self.reassembled += other.reassembled;
        self.alerts_suppressed += other.alerts_suppressed;
        self.unbalanced_turns += other.unbalanced_turns;
    }
}

impl Add for Counters {
    type Output = Self;
    fn add(mut self, other: Self) -> Self {
        self += &other;
        self
    }
}

/// Every [`Phase`], in order of its discriminant.
pub(crate) const PHASES: [Phase; 12] = [
    Phase::New,
    Phase::Established,
    Phase::Closed,
    Phase::ResetByPeer,
    Phase::Dropped,
    Phase::HalfReset,
    Phase::Reset,
    Phase::Expired,
    Phase::Evicted,
    Phase::Stopped,
    Phase::Bypassed,
    Phase::Shunted,
];

fn bump(counts: &mut [u64], position: usize) {
    if let Some(count) = counts.get_mut(position) {
        *count += 1;
    }
}

fn add_all(mine: &mut [u64], theirs: &[u64]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        *mine += theirs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_in_order_of_its_discriminants() {
        assert!(Cause::ALL.into_iter().enumerate().all(|(at, cause)| cause as usize == at));
        assert!(PHASES.into_iter().enumerate().all(|(at, phase)| phase as usize == at));
        assert!(Malformed::ALL.into_iter().enumerate().all(|(at, why)| why as usize == at));
        assert!(Invalid::ALL.into_iter().enumerate().all(|(at, why)| why as usize == at));
        assert!(Other::ALL.into_iter().enumerate().all(|(at, other)| other as usize == at));
    }

    #[test]
    fn a_frame_without_a_fate_shows_in_the_balance() {
        let mut counters = Counters::default();
        counters.receive(Port::A, 2, 120);
        counters.drop(Reason::Cause(Cause::Other));
        assert_eq!(counters.balance(), 1);
        counters.transmit(Port::B, 1, 60);
        assert_eq!(counters.balance(), 0);
        assert_eq!((counters.clone() + counters.clone()).dropped(), 2);
    }
}
