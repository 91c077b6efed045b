//! An established connection, and what its packets mean for it.

mod again;
mod aside;
mod ask;
mod challenge;
mod edited;
mod end;
mod gap;
mod in_flight;
mod leaving;
mod promise;
mod quick;
mod remedy;
mod resume;
mod shunt;
mod small;
mod stream;

use std::hint::black_box;

use tollgate_link::{Frame, Link, Port};
use tollgate_policy::{PacketView, Phase, Policy, Verdict};
use tollgate_tcp::{Invalid, Next, Reassembler, Segment, State, Step, Timeouts, Tracker, reset};
use tollgate_wire::{Direction, Flags, FlowKey, Packet, PerDirection, Timestamp};

use self::aside::Aside;
use self::edited::Edited;
use crate::Config;
use crate::buffer::Buffer;
use crate::counters::{Cause, Reason};
use crate::flow_table::Keyed;
use crate::held::HeldTotal;
use crate::identity::{Identity, Standing};
use crate::ports::Ports;
use crate::retained::{Kept, Retained};
use crate::rules::Rules;
use crate::sack;

pub(crate) use remedy::is_followable;

/// A connection whose handshake is complete, or that was picked up in its middle.
///
/// All that the short way needs while nobody reads data are two lines of the cache, the third and the fourth: the end
/// of `about` and the beginning of the tracker.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Flow<F> {
    /// What has left of each stream and is not acknowledged.
    kept: PerDirection<Kept>,
    /// Since a rule has changed or held bytes: the streams as their receivers see them.
    edited: Option<Box<Edited<F>>>,
    aside: Option<Box<Aside>>,
    /// The longest segment that the receiver of each stream takes, as its SYN said; 0 if it said
    /// nothing.
    pub(crate) mss: PerDirection<u16>,
    course: Course,
    /// Both ends take SACK blocks.
    pub(crate) sacks: bool,
    /// Two different copies of a byte have been seen, and it was told.
    conflicted: bool,
    /// Bytes of it may have crossed unseen since its last packet.
    bypassed: bool,
    /// Somebody was told of what has not reached its receiver yet: [`Flow::promise`]. Here, and not asked of `aside`, for
    /// each packet of the long way asks.
    promised: bool,
    /// Which streams are looked at from time to time for they have, or had, a gap: [`Flow::watch_gaps`].
    watched: PerDirection<bool>,
    /// As the worker last saw it, so that it notices a change.
    pub(crate) recorded: Standing,
    pub(crate) about: Identity,
    pub(crate) tracker: Tracker,
    /// They may be behind the tracker: [`Flow::go_long_way`].
    streams: PerDirection<Reassembler<Buffer<F>>>,
}

/// Whether the connection is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Followed,
    /// It was there before us, and packets that travel this way cross unseen until the other end
    /// speaks.
    OneSided(Direction),
    /// It crosses uninspected.
    Unseen,
    /// It crosses, or is dropped, without being received; where the link cannot do that, it crosses
    /// from here.
    Shunted,
}

/// What a flow needs of its worker.
#[derive(Debug)]
pub(crate) struct Context<'a, L: Link, P> {
    pub(crate) ports: &'a mut Ports<L>,
    pub(crate) rules: &'a mut Rules<P>,
    pub(crate) config: &'a Config,
    /// For packets that become readable together; empty between two packets.
    pub(crate) ready: &'a mut Vec<Next<Buffer<L::Frame>>>,
    /// What the reassemblers of the worker hold.
    pub(crate) held: &'a mut HeldTotal,
    pub(crate) retained: &'a mut Retained,
    pub(crate) now: Timestamp,
}

impl<F: Frame> Keyed for Flow<F> {
    fn key(&self) -> FlowKey {
        self.about.key()
    }

    #[inline]
    fn is(&self, key: &FlowKey) -> bool {
        self.about.is(key)
    }

    fn touch(&self) {
        // That it is a record at all is told in the other line.
        black_box(self.tracker.next(Direction::ToClient));
    }

    fn touch_for_readers(&self) {
        black_box(self.about.tag);
        for direction in Direction::BOTH {
            black_box(self.streams[direction].next());
            if let Some(kept) = &self.kept[direction] {
                kept.touch();
            }
        }
    }
}

impl<F: Frame> Flow<F> {
    pub(crate) fn new(about: Identity, tracker: Tracker) -> Self {
        let stream = |direction| Reassembler::new(tracker.start(direction));
        let streams = PerDirection {
            to_server: stream(Direction::ToServer),
            to_client: stream(Direction::ToClient),
        };
        let recorded = Standing::Live(tracker.state());
        let kept = PerDirection::default();
        Self {
            tracker,
            about,
            streams,
            kept,
            edited: None,
            mss: PerDirection::default(),
            sacks: false,
            conflicted: false,
            bypassed: false,
            promised: false,
            watched: PerDirection::default(),
            course: Course::Followed,
            aside: None,
            recorded,
        }
    }

    fn aside(&self) -> Option<&Aside> {
        self.aside.as_deref()
    }

    fn aside_mut(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }

    /// Payload has left with the SYN, and is `kept`: the stream begins behind it.
    pub(crate) fn begin_early(&mut self, kept: Kept) {
        let way = Direction::ToServer;
        self.streams[way].skip_to(self.tracker.next(way));
        self.kept[way] = kept;
    }

    pub(crate) fn standing(&self) -> Standing {
        match &self.about.zombie {
            Some(_) => Standing::Zombie,
            None => match &self.course {
                Course::Followed if self.about.unseen => Standing::Bypassed(self.tracker.state()),
                Course::Followed => Standing::Live(self.tracker.state()),
                Course::OneSided(_) => Standing::OneSided,
                Course::Unseen => Standing::Bypassed(
                    self.aside().map_or(State::Established, |aside| aside.unseen.state()),
                ),
                // Once both ends have closed it is as any other.
                Course::Shunted => match self.tracker.state() {
                    state @ (State::Established | State::HalfClosed) => Standing::Shunted(state),
                    state => Standing::Live(state),
                },
            },
        }
    }

    /// When it is to be forgotten if nothing more comes.
    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> Timestamp {
        self.about.last_seen + self.standing().timeout(timeouts)
    }

    /// Takes a packet of this connection that arrived at `port`. Gives it back if this record is to be
    /// forgotten: the packet opens the next connection between the same endpoints, or shows that one
    /// that was [`Flow::is_one_sided`] can be followed.
    pub(crate) fn packet<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        packet: Packet<F>,
        port: Port,
    ) -> Option<Packet<F>> {
        self.go_long_way();
        let segment = Segment::of(&packet);
        let direction = self.about.direction(packet.headers().source);
        if self.course != Course::Followed && self.about.zombie.is_none() {
            return self.cross(cx, packet, &segment, direction, port);
        }
        let mut step = None;
        if segment.has(Flags::SYN) && !segment.has(Flags::ACK) {
            // Asked before the rules are, for a SYN may belong to the next connection.
            let opens = match &self.about.zombie {
                Some(_) => Ok(Step::Reopen),
                None => self.tracker.segment(direction, &segment, cx.now),
            };
            if opens == Ok(Step::Reopen) {
                return Some(packet);
            }
            step = Some(opens);
        }
        self.about.received(direction, &packet, port, &mut cx.ports.neighbours, cx.now);
        if let Some(zombie) = &mut self.about.zombie {
            let farewell = self.aside.as_mut().and_then(|aside| aside.farewell.as_mut());
            if let (true, Some(farewell)) = (segment.has(Flags::RST), farewell) {
                farewell.has_reset(direction);
            }
            let answer =
                reset::answer(&segment, direction).filter(|rst| zombie.may_answer(rst.to, cx.now));
            if zombie.is_lost {
                let counters = &mut cx.ports.counters;
                cx.rules.alert_no_connection(packet.headers(), cx.now, counters);
            }
            cx.ports.drop(packet.into_frame(), Reason::Cause(Cause::ConnectionOver));
            if let Some(rst) = answer {
                cx.ports.rst(&self.about, &rst);
            }
            self.straggled(cx);
            return None;
        }
        let mut verdict = Verdict::Accept;
        if cx.rules.wants_packets() {
            let view = PacketView {
                frame: packet.frame().as_ref(),
                headers: packet.headers(),
                received: cx.now,
            };
            let (state, about) = (self.tracker.state(), &mut self.about);
            verdict = cx.rules.receive_packet(about, state, &view, direction, cx.ports);
        }
        if verdict == Verdict::Accept {
            let sent = direction.reverse();
            let may_ask = self.streams[sent].is_waiting() && !self.is_read_to_the_gap(sent);
            let before = self.promised.then(|| self.received(sent));
            self.segment(cx, packet, &segment, direction, port, step);
            if may_ask {
                self.ask_later(cx, sent);
            }
            if let Some(before) = before {
                self.keep_promise(cx, &segment, sent, before);
            }
        } else {
            cx.ports.drop(packet.into_frame(), Reason::Refused(verdict));
            if verdict.ends_flow() {
                self.condemn(cx, verdict);
            }
        }
        None
    }

    /// Shows a connection that was picked up in its middle to the rules, and its first packet.
    pub(crate) fn introduce<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        packet: &PacketView<'_>,
        direction: Direction,
    ) -> Verdict {
        let state = self.tracker.state();
        let mut verdict = cx.rules.new_connection(&mut self.about, state, packet, cx.ports);
        if verdict == Verdict::Accept {
            let about = &mut self.about;
            verdict = cx.rules.receive_packet(about, state, packet, direction, cx.ports);
        }
        if verdict.ends_flow() {
            self.condemn(cx, verdict);
        }
        verdict
    }

    /// Takes a packet that rules have let pass; `step` where the tracker was asked already.
    pub(crate) fn segment<L: Link<Frame = F>, P: Policy>(
        &mut self,
        cx: &mut Context<'_, L, P>,
        mut packet: Packet<F>,
        segment: &Segment,
        direction: Direction,
        port: Port,
        step: Option<Result<Step, Invalid>>,
    ) {
        if self.bypassed && !self.resume(cx, segment, direction) {
            return cx.ports.drop(packet.into_frame(), Reason::Cause(Cause::ConnectionOver));
        }
        if self.edited.is_some() {
            return self.edited_segment(cx, packet, segment, direction, port, step);
        }
        let step = match step {
            Some(step) => step,
            None => self.tracker.segment(direction, segment, cx.now),
        };
        let sent = direction.reverse();
        if self.kept[sent].is_some() {
            cx.retained.acknowledged(&mut self.kept[sent], self.tracker.acknowledged(sent));
        }
        if self.tracker.is_midstream()
            && let Some(verdict) = self.catch_up(cx, sent, port.peer())
        {
            return cx.ports.drop(packet.into_frame(), Reason::Refused(verdict));
        }
        if segment.has(Flags::URG) {
            cx.ports.clear_urgent(&mut packet);
        }
        if segment.options.sack[0].is_some() {
            self.bound_sack(cx, &mut packet, segment, direction);
        }
        match step {
            Ok(Step::Data { take, fin }) => {
                if take.start != 0 || take.end != segment.len || fin != segment.has(Flags::FIN) {
                    packet.trim(take, fin);
                }
                self.data(cx, packet, direction, fin, port);
            }
            Ok(Step::Pass) => cx.ports.forward(packet, port.peer()),
            Ok(Step::Strip) => {
                if segment.len > 0 || segment.has(Flags::FIN) {
                    packet.trim(0..0, false);
                }
                cx.ports.forward(packet, port.peer());
            }
            Ok(Step::Reset) => {
                if segment.has_stray_payload() {
                    packet.trim(0..0, false);
                }
                if !self.has_passed_reset() {
                    self.raise_ttl(cx, &mut packet, direction);
                }
                cx.ports.forward(packet, port.peer());
                self.note_reset(cx.now);
                self.close(cx, Phase::ResetByPeer, Cause::Closed);
            }
            // Only a SYN reopens, and it was asked for before.
            Ok(Step::Reopen) => cx.ports.drop(packet.into_frame(), Reason::Invalid(Invalid::Flags)),
            Err(why) => {
                if self.is_unanswered(cx, why, direction) {
                    return self.asymmetric(cx, packet, port, why);
                }
                cx.ports.drop(packet.into_frame(), Reason::Invalid(why));
                self.have_challenged(cx, segment, why, direction);
                if why == Invalid::AfterReset {
                    self.tell_again(cx, segment, direction);
                }
            }
        }
    }

    /// Gives a packet at least the time to live that its sender's packets have shown; in a recording it has
    /// arrived, whatever it shows.
    pub(super) fn raise_ttl<L: Link<Frame = F>, P>(
        &self,
        cx: &mut Context<'_, L, P>,
        packet: &mut Packet<F>,
        direction: Direction,
    ) {
        let floor = self.about.ttl[direction];
        if packet.headers().ttl < floor && !cx.config.recorded_ends {
            cx.ports.raise_ttl(packet, floor);
        }
    }

    /// Takes SACK blocks out that name what has not left.
    fn bound_sack<L: Link<Frame = F>, P>(
        &self,
        cx: &mut Context<'_, L, P>,
        packet: &mut Packet<F>,
        segment: &Segment,
        direction: Direction,
    ) {
        if !sack::is_honest(&self.tracker, direction, segment) {
            cx.ports.counters.sacks_stripped += 1;
            sack::strip(packet, &self.tracker, direction, segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guard, not a goal: whoever makes the record longer shall know it.
    #[test]
    fn a_flow_record_has_five_lines_and_the_short_way_two_of_them() {
        type Record = Flow<[u64; 3]>;
        assert_eq!(size_of::<Option<Record>>(), 5 * 64);
        let hot = std::mem::offset_of!(Record, about) + std::mem::offset_of!(Identity, last_seen);
        assert_eq!(hot, 2 * 64);
        assert_eq!(std::mem::offset_of!(Record, tracker) + Tracker::OFTEN, 4 * 64);
    }
}
