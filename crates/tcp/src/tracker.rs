use std::ops::Range;

use tollgate_wire::{Direction, Flags, PerDirection, Seq, Timestamp};

use crate::half::{Half, SCALE_MAX, WINDOW_UNKNOWN};
use crate::{Invalid, Segment, State};

/// Both directions of a connection that is established or closing.
///
/// What it believes of a segment is what every stack believes; see the crate's own words. It must be
/// told what the reassemblers commit ([`Tracker::committed`]) and what has left
/// ([`Tracker::forwarded`]), for those edges bound the ACKs and RSTs of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracker {
    halves: PerDirection<Half>,
    /// The last SYN that passed without being believed.
    late_syn: Seq,
    /// Which way it went.
    late_syn_direction: Direction,
    late_syn_seen: bool,
    /// Both sides sent timestamps on their SYNs, so that PAWS holds.
    timestamps: bool,
    /// Both sides sign their segments, so that none can be changed or forged.
    signed: bool,
    /// Taken up in the middle: nothing older is known, the bounds are wide.
    midstream: bool,
    /// A RST at the exact edge has passed.
    reset: bool,
    /// A RST has passed that only some stacks honour, or the peer has answered a late SYN as if this
    /// connection were gone: it may be over, so a SYN opens the next.
    doubtful: bool,
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
            timestamps,
            signed,
            midstream: false,
            reset: false,
            doubtful: false,
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
        let mut halves =
            PerDirection { to_server: half(sender, receiver), to_client: half(receiver, sender) };
        if direction == Direction::ToClient {
            std::mem::swap(&mut halves.to_server, &mut halves.to_client);
        }
        Self { midstream: true, ..Self::established(halves, false, segment.options.signed) }
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
            return Ok(self.syn(direction, segment));
        }
        self.check_signature(segment)?;
        if segment.has(Flags::RST) {
            return self.rst(direction, segment);
        }
        if segment.has(Flags::SYN) {
            return self.syn_ack(direction, segment);
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
        self.believe(direction, segment, now);
        if bare { Ok(Step::Pass) } else { self.data(direction, segment, right) }
    }

    /// The first byte of data in `direction`: where its reassembler begins.
    #[must_use]
    pub fn start(&self, direction: Direction) -> Seq {
        self.halves[direction].start
    }

    /// Tells the contiguous edge that the reassembler of `direction` has committed; `fin` when it
    /// lies past the FIN.
    pub fn committed(&mut self, direction: Direction, edge: Seq, fin: bool) {
        let half = &mut self.halves[direction];
        debug_assert!(edge.at_or_after(half.next), "what is committed stays");
        half.commit(edge, fin);
    }

    /// Tells the contiguous edge of what has left in `direction` towards its receiver.
    pub fn forwarded(&mut self, direction: Direction, edge: Seq) {
        let half = &mut self.halves[direction];
        debug_assert!(edge.at_or_before(half.next), "only what is committed leaves");
        half.forwarded = half.forwarded.max(edge);
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

    /// Highest acknowledgment seen from the receiver of `direction`.
    pub(crate) fn acknowledged(&self, direction: Direction) -> Seq {
        self.halves[direction.reverse()].ack_max
    }

    /// Contiguous edge of what has left in `direction`.
    pub(crate) fn edge(&self, direction: Direction) -> Seq {
        self.halves[direction].forwarded
    }

    /// Whether both sides sign their segments, so that none can be forged.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        self.signed
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

    /// A SYN in a connection we know. Stacks answer it with a challenge ACK and change nothing
    /// (RFC 5961 section 4); if they have forgotten the connection, they open a new one.
    fn syn(&mut self, direction: Direction, segment: &Segment) -> Step {
        let half = &self.halves[direction];
        let opens = match self.state() {
            State::Reset => true,
            // RFC 9293 section 3.6.1 and RFC 6191: a later number or a later timestamp.
            State::TimeWait => {
                let later = segment.options.timestamps.filter(|_| half.ts_known);
                segment.seq.at_or_after(half.next)
                    || later
                        .is_some_and(|ts| ts.value.wrapping_sub(half.ts_recent).cast_signed() > 0)
            }
            _ => self.doubtful,
        };
        if opens {
            return Step::Reopen;
        }
        self.late_syn = segment.seq;
        self.late_syn_direction = direction;
        self.late_syn_seen = true;
        Step::Strip
    }

    /// Whether `segment` answers the SYN that passed and was not believed: then the peer holds no
    /// such connection any more.
    fn answers_late_syn(&self, direction: Direction, segment: &Segment) -> bool {
        self.late_syn_seen
            && self.late_syn_direction == direction.reverse()
            && segment.ack == self.late_syn + 1
    }

    fn syn_ack(&mut self, direction: Direction, segment: &Segment) -> Result<Step, Invalid> {
        let (half, peer) = (&self.halves[direction], &self.halves[direction.reverse()]);
        let acks = segment.ack.at_or_after(peer.start) && segment.ack.at_or_before(peer.forwarded);
        let again = segment.seq + 1 == half.start && peer.young && acks;
        if again && segment.len == 0 && !self.midstream {
            return Ok(Step::Pass);
        }
        if self.answers_late_syn(direction, segment) {
            // The server has opened anew for a SYN that we took for a stray. The client sends it
            // again, and then it opens.
            self.doubtful = true;
        }
        Err(Invalid::UnexpectedSynAck)
    }

    fn rst(&mut self, direction: Direction, segment: &Segment) -> Result<Step, Invalid> {
        let half = &self.halves[direction];
        let peer = &self.halves[direction.reverse()];
        if self.answers_late_syn(direction, segment) && segment.has(Flags::ACK) {
            self.reset = true;
            return Ok(Step::Reset);
        }
        let ack_known = !segment.has(Flags::ACK) || segment.ack == Seq(0);
        if !ack_known && segment.ack.after(peer.forwarded) {
            return Err(Invalid::RstAck);
        }
        let fin_left = half.fin && half.forwarded == half.next;
        let exact =
            segment.seq == half.forwarded || (fin_left && segment.seq + 1 == half.forwarded);
        if exact {
            self.reset = true;
            return Ok(Step::Reset);
        }
        if segment.seq == peer.ack_max {
            // The receiver takes it if what we forwarded beyond has not reached it.
            self.doubtful = true;
            return Ok(Step::Pass);
        }
        Err(Invalid::RstOffEdge)
    }

    fn check_ack(&self, direction: Direction, segment: &Segment) -> Result<(), Invalid> {
        let (half, peer) = (&self.halves[direction], &self.halves[direction.reverse()]);
        if segment.ack.after(peer.forwarded) {
            return Err(Invalid::AckBeyond);
        }
        // Nothing before the first byte can be acknowledged; Linux bounds it so, too.
        let mut lowest = half.ack_max - half.slack();
        if peer.young && !self.midstream {
            lowest = lowest.max(peer.start);
        }
        if segment.ack.before(lowest) { Err(Invalid::AckBelow) } else { Ok(()) }
    }

    /// Where the window ends for this segment, as the number after the last byte it may carry.
    fn check_window(&self, direction: Direction, segment: &Segment) -> Result<Seq, Invalid> {
        let (half, peer) = (&self.halves[direction], &self.halves[direction.reverse()]);
        // A probe of a closed window carries one byte beyond it (RFC 9293 section 3.8.6.1), and
        // what is sent after it is numbered so.
        let probe = u32::from(segment.seq == peer.edge_max);
        if segment.seq.after(peer.edge_max + 1)
            || (segment.len > 0 && segment.seq.after(peer.edge_max))
        {
            return Err(Invalid::BeyondWindow);
        }
        if segment.end().before(half.next - peer.slack()) {
            return Err(Invalid::BelowWindow);
        }
        Ok(peer.edge_max + probe)
    }

    /// Takes acknowledgment, window and timestamp of a valid segment.
    fn believe(&mut self, direction: Direction, segment: &Segment, now: Timestamp) {
        let read = self.acknowledged(direction);
        let half = &mut self.halves[direction];
        half.acknowledge(segment.ack, segment.window);
        // RFC 7323 section 4.3: only what starts at or before the last ACK moves the clock, or
        // reordering alone would make honest segments old.
        let moves = segment.seq.at_or_before(read) && segment.end().at_or_after(read);
        if let Some(clock) = segment.options.timestamps.filter(|_| self.timestamps && moves) {
            half.take_timestamp(clock.value, now);
        }
    }

    /// Which part of a segment with payload or FIN belongs to the stream.
    fn data(&self, direction: Direction, segment: &Segment, window: Seq) -> Result<Step, Invalid> {
        let half = &self.halves[direction];
        let end = segment.data_end();
        let mut right = end.min(window);
        if let Some(fin) = half.fin_seq() {
            if segment.len > 0 && segment.seq.at_or_after(fin) {
                return Err(Invalid::BeyondFin);
            }
            right = right.min(fin);
        }
        // What is acknowledged reaches no reader any more, so no copy of it need leave; the header
        // alone makes the receiver acknowledge again. That also empties the garbage byte of a
        // keep-alive.
        let left = self.acknowledged(direction).max(segment.seq).min(end);
        let fin = segment.has(Flags::FIN)
            && right == end
            && match half.fin_seq() {
                Some(fin) => fin == end,
                None => end.at_or_after(half.next),
            };
        let offset = |seq: Seq| seq.distance(segment.seq).max(0).cast_unsigned();
        let take = offset(left)..offset(right);
        if take.start >= take.end {
            return Ok(if fin {
                Step::Data { take: segment.len..segment.len, fin }
            } else {
                Step::Strip
            });
        }
        Ok(Step::Data { take, fin })
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
        assert_eq!(size_of::<Half>(), 36);
        assert_eq!(size_of::<Tracker>(), 84);
        assert_eq!(size_of::<Handshake>(), 64);
        assert_eq!(size_of::<crate::Reassembler<u64>>(), 24);
    }
}
