//! The short way through a flow, for what nearly all packets are: the next bytes of a stream, or a bare
//! acknowledgment, in an open connection about which there is nothing special.
//!
//! It does what the long way does with such a packet, and asks no question whose answer is known: that a
//! flow is plain is found out when a packet has gone the long way, and kept as one bit. A packet that
//! does not fit is left as it was, and goes the long way.

use tollgate_link::{Frame, Link};
use tollgate_policy::{Data, Policy, Verdict};
use tollgate_tcp::{Payload, Plain, Reassembler, State, Tracker};
use tollgate_wire::{Direction, Flags, Headers, Packet, Timestamps};

use super::{Context, Course, Flow};
use crate::identity::{Standing, Way};

impl<F: Frame> Flow<F> {
    /// Finds out whether there is nothing special about the flow. To be called whenever something may have
    /// changed but its numbers.
    pub(crate) fn look(&mut self) {
        self.go_long_way();
        let keeps = Direction::BOTH.iter().any(|&direction| self.kept[direction].is_some());
        self.about.way = if self.is_plain() {
            Way::short(keeps, self.tracker.has_timestamps())
        } else {
            Way::Long
        };
    }

    /// Tells the streams what went the short way while nobody read data, before anything else is done. They
    /// know of all of it within a few hundred packets, for some go the long way in any case.
    pub(super) fn go_long_way(&mut self) {
        if self.about.way != Way::Long {
            for direction in Direction::BOTH {
                tell_stream(&mut self.streams[direction], &self.tracker, direction);
            }
            self.about.way = Way::Long;
        }
    }

    fn is_plain(&self) -> bool {
        let streams = Direction::BOTH.map(|direction| &self.streams[direction]);
        // What few flows have lies in another line, and is not asked for: a RST that has passed is known to the tracker, and
        // one of ours makes a zombie.
        debug_assert!(self.aside().is_none_or(|aside| {
            (aside.reset.is_none() || !self.tracker.is_plain())
                && (aside.farewell.is_none() || self.about.zombie.is_some())
        }));
        // What tells most of those apart that are not.
        self.tracker.is_plain()
            && self.course == Course::Followed
            && !self.bypassed
            && !self.about.released
            && self.edited.is_none()
            && !self.promised
            && self.about.zombie.is_none()
            && self.recorded == self.standing()
            && streams.iter().all(|stream| stream.is_plain())
            && matches!(self.recorded, Standing::Live(_) | Standing::Bypassed(_))
    }

    /// Takes a packet the short way, and says what is to become of it; none, and nothing has changed, if it
    /// must go the long way. Only where nobody wants to see packets or change data.
    #[inline]
    pub(crate) fn take_plain<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        packet: &Packet<F>,
    ) -> Option<Verdict> {
        let headers = packet.headers();
        let direction = self.about.direction(headers.source);
        let timestamps = plain_timestamps(packet)?.filter(|_| self.about.way.has_clock());
        let len = headers.payload_len();
        let may_go = match self.about.way {
            Way::Long => false,
            Way::Short | Way::ShortWithClock => true,
            Way::ShortForReaders | Way::ShortForReadersWithClock => cx.rules.wants_data(),
        };
        if !may_go || self.about.looks_at_route(direction) || !self.fits(cx, headers, direction) {
            return None;
        }
        debug_assert!(self.is_plain(), "{self:?}");
        let Headers { seq, ack, window, .. } = *headers;
        let segment = Plain { seq, ack, window, len, timestamps };
        if !self.tracker.take_plain(direction, &segment, cx.now) {
            return None;
        }
        self.about.count(direction, packet.ip_len(), cx.now);
        if cx.rules.wants_data() {
            let mut verdict = self.show_plain(cx, packet, direction);
            if self.about.released && verdict == Verdict::Accept {
                self.go_long_way();
                verdict = Verdict::Shunt;
            }
            if self.about.unseen && !matches!(self.recorded, Standing::Bypassed(_)) {
                // A rule has just let the connection go.
                self.go_long_way();
            }
            return Some(verdict);
        }
        self.tracker.forwarded(direction, seq + len);
        Some(Verdict::Accept)
    }

    /// Whether packets may go the short way, as far as the flow is concerned.
    #[inline]
    pub(crate) const fn goes_the_short_way(&self) -> bool {
        !matches!(self.about.way, Way::Long)
    }

    /// Whether a packet may leave as it is, whatever the tracker says.
    #[inline]
    fn fits<L: Link<Frame = F>, P: Policy>(
        &self,
        cx: &Context<'_, L, P>,
        headers: &Headers,
        direction: Direction,
    ) -> bool {
        let len = headers.payload_len();
        len == 0
            || (headers.ttl >= self.about.ttl[direction]
                && (!cx.rules.wants_data() || cx.retained.may_leave(&self.kept[direction], len)))
    }

    /// Shows the payload of a packet to whom wants to see it, and remembers it when it leaves.
    #[inline]
    fn show_plain<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        packet: &Packet<F>,
        direction: Direction,
    ) -> Verdict {
        let acknowledged = self.tracker.acknowledged(direction.reverse());
        let (own, theirs) = match direction {
            Direction::ToServer => (&mut self.kept.to_server, &mut self.kept.to_client),
            Direction::ToClient => (&mut self.kept.to_client, &mut self.kept.to_server),
        };
        let (seq, payload) = (packet.headers().seq, packet.payload());
        let len = packet.headers().payload_len();
        if len == 0 {
            cx.retained.acknowledged(theirs, acknowledged);
            return Verdict::Accept;
        }
        let stream = &mut self.streams[direction];
        tell_stream(stream, &self.tracker, direction);
        let mut data = Data::new(stream.offset() - u64::from(len), false);
        data.push(payload);
        debug_assert_eq!(self.tracker.state(), State::Established, "it is plain");
        let (about, state) = (&mut self.about, State::Established);
        let verdict = cx.rules.receive_data(about, state, &mut data, direction, cx.now, cx.ports);
        if verdict == Verdict::Accept {
            self.tracker.forwarded(direction, seq + len);
            cx.retained.answer(theirs, acknowledged, own, (seq, payload));
            self.about.way = Way::short(true, self.about.way.has_clock());
        }
        verdict
    }

    /// What is left to do with a flow whose packet was refused on the short way.
    #[cold]
    pub(crate) fn refused<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        verdict: Verdict,
    ) {
        self.condemn(cx, verdict);
    }
}

#[inline]
fn tell_stream<B: Payload>(stream: &mut Reassembler<B>, tracker: &Tracker, direction: Direction) {
    let untold = tracker.next(direction).distance(stream.next());
    stream.append(untold.cast_unsigned());
}

/// The timestamps of a segment whose control bits and options are those of nearly all; none if it has others.
#[inline]
fn plain_timestamps<F: Frame>(packet: &Packet<F>) -> Option<Option<Timestamps>> {
    const FREE: Flags = Flags::PSH.union(Flags::ECE).union(Flags::CWR).union(Flags::AE);
    if packet.headers().flags.difference(FREE) != Flags::ACK {
        return None;
    }
    packet.plain_timestamps()
}
