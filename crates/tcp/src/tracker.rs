mod control;
mod crossed;
mod data;
mod quick;

pub use quick::Plain;

use std::ops::Range;

use tollgate_wire::{Direction, Flags, PerDirection, Seq, Timestamp, Timestamps};

pub use crossed::Crossed;

use crate::half::{Half, SCALE_MAX, WINDOW_UNKNOWN};
use crate::{Invalid, Segment, State};

/// Both directions of a connection that is established or closing.
///
/// What it believes of a segment is what every stack believes; see the crate's own words. It must be
/// told what the reassemblers commit ([`Tracker::committed`]) and what has left
/// ([`Tracker::forwarded`]), for those edges bound the ACKs and RSTs of the peer.
///
/// What every segment asks and changes lies together, at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Tracker {
    halves: PerDirection<Half>,
    /// The last SYN that passed without being believed, and which way it went.
    late_syn: Seq,
    /// Since when, in [`moment`]s, there is a [doubt](Self::doubt).
    doubt_since: u32,
    late_syn_direction: Direction,
    late_syn_seen: bool,
    /// Whose end of this connection may be gone.
    doubt: Option<Direction>,
    /// Whose FIN was the first.
    closed_first: Option<Direction>,
    /// Both sides sent timestamps on their SYNs, so that PAWS holds.
    timestamps: bool,
    /// Both sides sign their segments, so that none can be changed or forged.
    signed: bool,
    /// Taken up in the middle: nothing older is known, the bounds are wide.
    midstream: bool,
    /// A RST at the exact edge has passed.
    reset: bool,
}

/// What a valid segment means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Forward it as it is; nothing for the stream: a pure ACK, keep-alive, window update, a SYN-ACK
    /// again.
    Pass,
    /// Forward it without payload and without FIN.
    Strip,
    /// These bytes of its payload, and its FIN if `fin`, belong to the stream: trim the packet to
    /// them if they are not all ([`Step::is_whole`]), then push it.
    Data {
        /// Payload offsets.
        take: Range<u32>,
        /// Whether its FIN stands.
        fin: bool,
    },
    /// A RST at the exact edge: forward it, without payload. The connection is over; its tracker
    /// stays for [`Timeouts::reset`](crate::Timeouts), since the receiver may challenge the RST.
    Reset,
    /// A SYN that opens a new connection between the same endpoints: forget this one, and treat the
    /// packet as one of no known connection.
    Reopen,
}

impl Step {
    /// The number after the last one of `segment` that leaves: what its receiver judges it by.
    #[must_use]
    pub fn end(&self, segment: &Segment) -> Seq {
        match self {
            Self::Strip => segment.seq,
            Self::Data { take, fin } => segment.seq + take.end + u32::from(*fin),
            Self::Pass | Self::Reset | Self::Reopen => segment.end(),
        }
    }

    /// Whether a [`Step::Data`] takes the whole of `segment`, so that nothing need be trimmed.
    #[must_use]
    pub fn is_whole(&self, segment: &Segment) -> bool {
        match self {
            Self::Data { take, fin } => {
                take.start == 0 && take.end == segment.len && *fin == segment.has(Flags::FIN)
            }
            Self::Strip => segment.len == 0 && !segment.has(Flags::FIN),
            Self::Pass | Self::Reset | Self::Reopen => true,
        }
    }
}

impl Tracker {
    /// So many bytes at its beginning are what [`Tracker::take_plain`] needs.
    pub const OFTEN: usize = size_of::<PerDirection<Half>>();

    pub(crate) const fn established(
        halves: PerDirection<Half>,
        timestamps: bool,
        signed: bool,
    ) -> Self {
        Self {
            halves,
            late_syn: Seq(0),
            late_syn_direction: Direction::ToServer,
            late_syn_seen: false,
            doubt: None,
            doubt_since: 0,
            closed_first: None,
            timestamps,
            signed,
            midstream: false,
            reset: false,
        }
    }

    /// Takes up a connection whose beginning was not seen, at its first segment with an ACK. The
    /// same segment then goes to [`Tracker::segment`].
    ///
    /// Neither shifts nor windows are known, so windows are taken as wide as they can be, and there
    /// is no PAWS.
    #[must_use]
    pub fn pickup(direction: Direction, segment: &Segment) -> Self {
        let half = |start, ack| Half::new(start, ack, WINDOW_UNKNOWN, SCALE_MAX);
        let (sender, receiver) = (segment.data_seq(), segment.ack);
        // What the receiver has acknowledged is not known: what was sent before may be sent again.
        let mut halves = PerDirection {
            to_server: half(sender, receiver),
            to_client: half(receiver, sender - WINDOW_UNKNOWN / 2),
        };
        if direction == Direction::ToClient {
            std::mem::swap(&mut halves.to_server, &mut halves.to_client);
        }
        Self { midstream: true, ..Self::established(halves, false, segment.options.signed) }
    }

    /// The same connection picked up again at `segment`, for more of it may have passed unseen.
    #[must_use]
    pub fn pickup_again(&self, direction: Direction, segment: &Segment) -> Self {
        let mut again = Self::pickup(direction, segment);
        for way in Direction::BOTH {
            let (before, half) = (&self.halves[way], &mut again.halves[way]);
            // The segment may be an old one, and what had passed unseen by then still has.
            if self.midstream && before.young && before.start.after(half.start) {
                half.start = before.start;
            }
        }
        again
    }

    /// Takes the next segment, and says what it means.
    ///
    /// # Errors
    ///
    /// The reason to drop it. Nothing is remembered of it.
    pub fn segment(
        &mut self,
        direction: Direction,
        segment: &Segment,
        now: Timestamp,
    ) -> Result<Step, Invalid> {
        check_flags(segment)?;
        if segment.has(Flags::SYN) && !segment.has(Flags::ACK) {
            return Ok(self.syn(direction, segment, now));
        }
        self.check_signature(segment)?;
        if segment.has(Flags::RST) {
            return self.rst(direction, segment, now);
        }
        if segment.has(Flags::SYN) {
            return self.syn_ack(direction, segment, now);
        }
        if !segment.has(Flags::ACK) {
            return Err(Invalid::NoAck);
        }
        let bare = segment.len == 0 && !segment.has(Flags::FIN);
        if self.reset && !bare {
            return Err(Invalid::AfterReset);
        }
        self.check_ack(direction, segment)?;
        let right = self.check_window(direction, segment)?;
        let clock = segment.options.timestamps.filter(|_| self.timestamps);
        if clock.is_some_and(|clock| self.halves[direction].is_paws_old(clock.value, now)) {
            // An old pure ACK is no harm, and its receiver counts it; it just tells nothing.
            return if bare { Ok(Step::Pass) } else { Err(Invalid::Paws) };
        }
        let step = if bare { Step::Pass } else { self.data(direction, segment, right)? };
        self.believe(direction, segment, step.end(segment), now);
        Ok(step)
    }

    /// The first byte of data in `direction`: where its reassembler begins.
    #[must_use]
    pub fn start(&self, direction: Direction) -> Seq {
        self.halves[direction].start
    }

    /// Whether the bytes of `direction` before `seq` passed before the connection was picked up.
    #[must_use]
    pub fn passed_unseen(&self, direction: Direction, seq: Seq) -> bool {
        let half = &self.halves[direction];
        self.midstream && half.young && seq.at_or_before(half.start)
    }

    /// The contiguous edge of `direction`. In a connection picked up in the middle it may lie beyond
    /// the reassembler's, when the receiver acknowledges what passed before; the reassembler is then
    /// to skip there ([`Reassembler::skip_to`](crate::Reassembler::skip_to)).
    #[must_use]
    pub fn next(&self, direction: Direction) -> Seq {
        self.halves[direction].next
    }

    /// Whether its beginning was not seen.
    #[must_use]
    pub const fn is_midstream(&self) -> bool {
        self.midstream
    }

    /// Tells the contiguous edge that the reassembler of `direction` has committed; `fin` when it
    /// lies past the FIN.
    pub fn committed(&mut self, direction: Direction, edge: Seq, fin: bool) {
        let half = &mut self.halves[direction];
        debug_assert!(self.midstream || edge.at_or_after(half.next), "what is committed stays");
        half.commit(edge, fin);
        if fin {
            self.closed_first.get_or_insert(direction);
        }
    }

    /// Tells the contiguous edge of what has left in `direction` towards its receiver.
    pub fn forwarded(&mut self, direction: Direction, edge: Seq) {
        let half = &mut self.halves[direction];
        debug_assert!(edge.at_or_before(half.next), "only what is committed leaves");
        half.forward(edge);
    }

    /// Tells that what ends at `end` has left in `direction` with a gap before it. Its receiver may
    /// acknowledge it selectively, and not otherwise.
    pub fn forwarded_early(&mut self, direction: Direction, end: Seq) {
        let half = &mut self.halves[direction];
        half.end_max = half.end_max.max(end);
    }

    /// Whether what has a gap before it here may have none at its receiver, who got bytes of
    /// `direction` before the connection was picked up in its middle.
    #[must_use]
    pub fn may_have_no_gap(&self, direction: Direction) -> bool {
        self.midstream && self.halves[direction].is_near_start(self.next(direction))
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        let fins = Direction::BOTH.map(|direction| self.halves[direction].fin);
        match fins {
            _ if self.reset => State::Reset,
            [false, false] => State::Established,
            [true, true] if self.all_acknowledged() => State::TimeWait,
            [true, true] => State::Closing,
            _ => State::HalfClosed,
        }
    }

    /// Highest valid acknowledgment seen from the receiver of `direction`.
    #[must_use]
    pub fn acknowledged(&self, direction: Direction) -> Seq {
        self.halves[direction.reverse()].ack_max
    }

    /// Contiguous edge of what has left in `direction`.
    #[must_use]
    pub fn edge(&self, direction: Direction) -> Seq {
        self.halves[direction].forwarded
    }

    /// Whether both sides have agreed on timestamps.
    #[must_use]
    pub const fn has_timestamps(&self) -> bool {
        self.timestamps
    }

    /// Whether both sides sign their segments, so that none can be forged.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        self.signed
    }

    /// Right-most window edge that the receiver of `direction` has offered.
    #[must_use]
    pub fn window_edge(&self, direction: Direction) -> Seq {
        self.halves[direction.reverse()].edge_max
    }

    /// Widest window that the receiver of `direction` has offered, in bytes.
    #[must_use]
    pub fn window_max(&self, direction: Direction) -> u32 {
        self.halves[direction.reverse()].window_max
    }

    /// How far the windows are shifted that a segment in `direction` offers, unless it is a SYN.
    #[must_use]
    pub fn window_shift(&self, direction: Direction) -> u8 {
        self.halves[direction].scale
    }

    /// Timestamps for a segment that we send in `direction` in its sender's name: his newest, so that
    /// PAWS takes it, and his peer's last. None if the connection has none.
    #[must_use]
    pub fn timestamps(&self, direction: Direction) -> Option<Timestamps> {
        let (half, peer) = (&self.halves[direction], &self.halves[direction.reverse()]);
        let known = self.timestamps && half.ts_known && peer.ts_known;
        known.then_some(Timestamps { value: half.ts_newest, echo: peer.ts_recent })
    }

    /// Whether acknowledgment and window of `segment` count, if it is valid. To be asked before
    /// [`Tracker::segment`].
    #[must_use]
    pub fn believes(&self, direction: Direction, segment: &Segment, now: Timestamp) -> bool {
        let clock = segment.options.timestamps.filter(|_| self.timestamps);
        let half = &self.halves[direction];
        segment.has(Flags::ACK)
            && !segment.flags.intersects(Flags::SYN | Flags::RST)
            && !clock.is_some_and(|clock| half.is_paws_old(clock.value, now))
            && segment.end().at_or_after(self.acknowledged(direction))
    }

    /// Tells that the sender of `direction` was told, in its receiver's name, that everything before
    /// `ack` has arrived and that there is room up to `edge`.
    pub fn granted(&mut self, direction: Direction, ack: Seq, edge: Seq) {
        debug_assert!(ack.at_or_before(self.halves[direction].next), "it was taken");
        let receiver = &mut self.halves[direction.reverse()];
        receiver.ack_max = receiver.ack_max.max(ack);
        receiver.edge_max = receiver.edge_max.max(edge);
    }

    fn all_acknowledged(&self) -> bool {
        Direction::BOTH.iter().all(|&way| self.acknowledged(way) == self.halves[way].next)
    }

    fn check_signature(&self, segment: &Segment) -> Result<(), Invalid> {
        match (self.signed, segment.options.signed) {
            (false, true) => Err(Invalid::UnexpectedSignature),
            (true, false) => Err(Invalid::MissingSignature),
            _ => Ok(()),
        }
    }
}

/// What no stack sends is no segment at all (the sets of conntrack's table): one of SYN, FIN, RST at
/// most, and FIN only with ACK.
pub(crate) fn check_flags(segment: &Segment) -> Result<(), Invalid> {
    let control = segment.flags & (Flags::SYN | Flags::FIN | Flags::RST);
    let urgent_rst = Flags::RST | Flags::URG;
    if control.bits().count_ones() > 1 || segment.has(urgent_rst) {
        return Err(Invalid::Flags);
    }
    if !segment.flags.intersects(Flags::SYN | Flags::RST | Flags::ACK) {
        return Err(Invalid::NoAck);
    }
    if segment.options.malformed {
        return Err(Invalid::Options);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Handshake;

    /// The engine's records and half-open entries are made of these; a field more is a decision.
    #[test]
    fn trackers_and_handshakes_are_small() {
        assert_eq!(size_of::<Half>(), 44);
        assert_eq!(size_of::<Tracker>(), 104);
        assert_eq!(size_of::<Handshake>(), 64);
        assert_eq!(size_of::<crate::Reassembler<u64>>(), 24);
    }
}
