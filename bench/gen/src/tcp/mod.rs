//! Stateful TCP at scale: both ends of every connection, on one core.
//!
//! Since both ends are here, everything that crosses can be judged: an acknowledgment of what has not
//! arrived, a byte that nobody sent, a frame at the wrong end. Losses are mended as TCP does it, by
//! repeating after three duplicate acknowledgments or a time; congestion is not this generator's to
//! control, so windows are fixed, and the frames on the way are bounded.

pub(crate) mod flow;
mod send;
pub(crate) mod tally;

use std::collections::VecDeque;

use tollgate_link::{Link, Port};

use self::flow::{End, Flow, Script, Stage};
use self::tally::Tally;
use crate::addresses::{Addresses, CONNECTIONS_MAX};
use crate::ends::Ends;
use crate::frame::{self, ACK, Doubt, FIN, PSH, RST, STAMP_LEN, SYN, Seen, Segment};
use crate::pattern::Pattern;

/// Repetitions after which a connection is given up.
pub(crate) const TRIES_MAX: u8 = 8;
/// Each repetition waits twice as long as the last, so many times: who repeats into a wire that is behind, stays behind.
const DOUBLINGS_MAX: u8 = 5;
/// After as many milliseconds without any frame, those on the way are taken for lost.
const SILENCE_MS: u32 = 50;
/// Timers and queued flows that one turn looks at.
const WORK_MAX: usize = 256;

/// How connections are opened and kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) script: Script,
    /// Connections at a time.
    pub(crate) flows: u32,
    /// Connections in all; 0: no bound.
    pub(crate) connections_max: u64,
    /// New connections a second; 0: as fast as it goes.
    pub(crate) open_rate: u64,
    /// Frames on the way, at most.
    pub(crate) in_flight_max: u64,
    /// After how many milliseconds a segment is repeated.
    pub(crate) repeat_ms: u32,
    /// Nobody sends a request before all connections are open.
    pub(crate) together: bool,
    /// Number of the first connection: two runs in a row had better not share addresses.
    pub(crate) first: u64,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Connections {
    load: Load,
    addresses: Addresses,
    pattern: Pattern,
    flows: Vec<Flow>,
    /// Places to open a connection in.
    free: VecDeque<u32>,
    /// Ends that may have something to send, and had no room.
    ready: VecDeque<(u32, Port)>,
    /// When to look, at which place, in which generation; in order, since all wait equally long.
    timers: VecDeque<(u32, u32, u32)>,
    tally: Tally,
    live: u32,
    closing: bool,
    /// Not all are open yet that shall be open together.
    holding: bool,
    now_ns: u64,
    heard_ms: u32,
    written_off: u64,
}

impl Connections {
    pub(crate) fn new(load: Load, addresses: Addresses, seed: u64) -> Self {
        Self {
            load,
            addresses,
            pattern: Pattern::new(seed),
            flows: vec![Flow::default(); load.flows as usize],
            free: (0..load.flows).collect(),
            ready: VecDeque::new(),
            timers: VecDeque::new(),
            tally: Tally::new(),
            live: 0,
            closing: false,
            holding: load.together,
            now_ns: 0,
            heard_ms: 0,
            written_off: 0,
        }
    }

    pub(crate) const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Connections that are neither free nor over.
    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    /// Bytes that are kept for each connection.
    pub(crate) const fn bytes_each() -> usize {
        size_of::<Flow>()
    }

    /// From now on nothing is begun: what is open finishes its exchange and closes.
    pub(crate) fn close(&mut self) {
        self.closing = true;
        self.let_speak();
    }

    /// Connections that have not moved for `millis`, though something of theirs is on the way.
    pub(crate) fn stuck(&self, millis: u32) -> u64 {
        let now_ms = self.now_ms();
        let is_stuck = |flow: &&Flow| {
            flow.stage != Stage::Free
                && flow.ends.iter().any(End::has_unacknowledged)
                && now_ms.saturating_sub(flow.heard_ms) > millis
        };
        self.flows.iter().filter(is_stuck).count() as u64
    }

    /// Whether there is nothing left to do.
    pub(crate) fn is_done(&self) -> bool {
        let all = self.load.connections_max;
        self.live == 0 && (self.closing || (all > 0 && self.tally.opened >= all))
    }

    /// One turn: receives, repeats what is due, opens, and sends. `clock` counts nanoseconds from the run's
    /// start.
    pub(crate) fn turn<L: Link>(&mut self, ends: &mut Ends<L>, clock: impl Fn() -> u64) {
        self.now_ns = clock();
        let now_ms = self.now_ms();
        let is_timed = self.load.script.by_hand;
        let heard = ends.poll(|ends, port, bytes| {
            if is_timed {
                // Sending and receiving took their time since the turn began.
                self.now_ns = clock();
            }
            self.arrive(ends, port, bytes);
        });
        self.written_off = self.written_off.min(ends.on_the_way());
        if heard > 0 || ends.on_the_way() <= self.written_off {
            self.heard_ms = now_ms;
        } else if now_ms.saturating_sub(self.heard_ms) >= SILENCE_MS {
            self.written_off = ends.on_the_way();
            self.heard_ms = now_ms;
        }
        self.run_timers(ends, now_ms);
        for _ in 0..self.ready.len().min(WORK_MAX) {
            let Some((place, port)) = self.ready.pop_front() else { break };
            if let Some(flow) = self.flows.get_mut(place as usize) {
                flow.end_mut(port).is_queued = false;
                self.pump(ends, place, port);
            }
        }
        self.open(ends);
        if self.holding && self.tally.established >= u64::from(self.load.flows) {
            self.let_speak();
        }
        ends.flush();
    }

    fn let_speak(&mut self) {
        self.holding = false;
        for place in 0..self.load.flows {
            self.queue(place, Port::A);
        }
    }

    /// Lets the end at `port` of the connection at `place` send one stamped segment of `len` bytes,
    /// whatever is on the way. False if it is not open, or there was no room.
    pub(crate) fn push<L: Link>(
        &mut self,
        ends: &mut Ends<L>,
        place: u32,
        port: Port,
        len: u32,
        stamp: u64,
    ) -> bool {
        let Some(flow) = self.flows.get(place as usize) else { return false };
        let position = flow.end(port).high;
        // Positions are 32 bits and must not wrap.
        if flow.stage != Stage::Open || position > 1 << 31 {
            return false;
        }
        let sent = self.emit(ends, place, port, position, len, ACK | PSH, Some(stamp));
        if sent && let Some(flow) = self.flows.get_mut(place as usize) {
            let end = flow.end_mut(port);
            end.high = position + len;
            end.sent = end.high;
        }
        sent
    }

    /// Ends all connections by a RST from the client: what follows a trial.
    pub(crate) fn abort<L: Link>(&mut self, ends: &mut Ends<L>) {
        for place in 0..self.load.flows {
            let Some(flow) = self.flows.get(place as usize) else { continue };
            if flow.stage == Stage::Open {
                let position = flow.end(Port::A).high;
                self.emit(ends, place, Port::A, position, 0, RST | ACK, None);
            }
            self.end(place);
            if place % 64 == 63 {
                ends.flush();
                ends.poll(|_, _, _| {});
            }
        }
        ends.flush();
    }

    // ---- what arrives ------------------------------------------------------------------------------

    fn arrive<L: Link>(&mut self, ends: &mut Ends<L>, port: Port, bytes: &[u8]) {
        let seen = match frame::read(&self.addresses, bytes) {
            Ok(seen) => seen,
            Err(Doubt::Stranger) => return self.tally.strangers += 1,
            Err(Doubt::Broken) => return self.tally.broken += 1,
        };
        let Some(place) = self.place(seen.segment.connection) else {
            return self.tally.stray += 1;
        };
        if seen.segment.from == port {
            return self.tally.invented += 1;
        }
        if seen.segment.flags & RST != 0 {
            self.tally.reset += 1;
            return self.end(place);
        }
        if !self.take(place, port, &seen) {
            return;
        }
        if self.load.script.echo
            && port == Port::B
            && let Some(stamp) = frame::stamp(seen.payload)
        {
            let len = u32::try_from(seen.payload.len()).unwrap_or(0);
            self.push(ends, place, Port::B, len, stamp);
        }
        self.pump(ends, place, port);
    }

    /// The place of a connection that is live.
    fn place(&self, connection: u64) -> Option<u32> {
        let number = (connection + CONNECTIONS_MAX - self.load.first) % CONNECTIONS_MAX;
        let place = (number % u64::from(self.load.flows)) as u32;
        let flow = self.flows.get(place as usize)?;
        let is_it = flow.stage != Stage::Free && self.connection(place, flow) == connection;
        is_it.then_some(place)
    }

    fn connection(&self, place: u32, flow: &Flow) -> u64 {
        let number = u64::from(flow.generation) * u64::from(self.load.flows) + u64::from(place);
        (self.load.first + number) % CONNECTIONS_MAX
    }

    /// What a segment says to the end that it reached. False if the connection is not to be asked what it
    /// sends next: it is over, or the segment was not believed.
    fn take(&mut self, place: u32, port: Port, seen: &Seen<'_>) -> bool {
        let Seen { segment, payload } = seen;
        let Segment { connection, flags, .. } = *segment;
        let peer = port.peer();
        let from = segment.seq.wrapping_sub(self.pattern.first_seq(connection, peer));
        let ack = segment.ack.wrapping_sub(self.pattern.first_seq(connection, port));
        let controls = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX).saturating_add(controls);
        let (now_ms, now_ns) = (self.now_ms(), self.now_ns);
        let Some(flow) = self.flows.get_mut(place as usize) else { return false };

        // (1) Both ends are ours: nothing may be said that was not said by one of them.
        let to = from.wrapping_add(len);
        let is_acked = flags & ACK != 0;
        let was_sent = from <= to && to <= flow.end(peer).high;
        if !was_sent || (is_acked && ack > flow.end(peer).received) {
            self.tally.invented += 1;
            return false;
        }
        let stamped = if self.load.script.by_hand { STAMP_LEN.min(payload.len()) } else { 0 };
        let wanted = self.pattern.bytes(connection, peer, from, payload.len());
        if payload.get(stamped..) != wanted.get(stamped..) {
            self.tally.changed += 1;
            return false;
        }
        if stamped == STAMP_LEN
            && let Some(stamp) = frame::stamp(payload)
        {
            let way = if port == Port::B {
                &mut self.tally.one_way_ns
            } else {
                &mut self.tally.round_trip_ns
            };
            way.saturating_record(now_ns.saturating_sub(stamp).max(1));
        }

        // (2) What it acknowledges.
        let end = flow.end_mut(port);
        let has_waited = end.has_unacknowledged();
        if is_acked && ack > end.acked {
            end.acked = ack;
            end.sent = end.sent.max(ack);
            end.duplicates = 0;
            flow.heard_ms = now_ms;
            flow.tries = 0;
        } else if is_acked && ack == end.acked && len == 0 && has_waited {
            end.duplicates = end.duplicates.saturating_add(1);
        }

        // (3) What it brings.
        let end = flow.end_mut(port);
        if len > 0 {
            let before = end.received;
            if !end.take(from, to) {
                self.tally.duplicate += 1;
            }
            let [at_client, at_server] = &mut self.tally.delivered;
            let delivered = if port == Port::A { at_client } else { at_server };
            *delivered += u64::from(end.received - before);
            end.unacknowledged += 1;
            let is_early = end.received == before;
            let is_due = end.unacknowledged >= self.load.script.ack_every;
            let is_asked =
                flags & (SYN | FIN) != 0 || (flags & PSH != 0 && !self.load.script.by_hand);
            end.owes_ack |= is_early || is_due || is_asked;
        }
        self.advance(place, port);
        true
    }

    /// A handshake or a connection may have come to its end by what has just arrived at `port`.
    fn advance(&mut self, place: u32, port: Port) {
        let (now_us, closing) = (self.now_us(), self.closing);
        let Some(flow) = self.flows.get_mut(place as usize) else { return };
        if flow.stage == Stage::Opening && port == Port::A && flow.end(Port::A).received > 0 {
            flow.stage = Stage::Open;
            self.tally.established += 1;
            let took = u64::from(now_us.wrapping_sub(flow.began_us)) * 1000;
            self.tally.opening_ns.saturating_record(took.max(1));
        }
        if flow.is_over(&self.load.script, closing) {
            self.tally.completed += 1;
            self.end(place);
        }
    }

    // ---- beginning, waiting, ending ----------------------------------------------------------------

    fn open<L: Link>(&mut self, ends: &mut Ends<L>) {
        let due = match self.load.open_rate {
            0 => u64::MAX,
            rate => u64::try_from(u128::from(self.now_ns) * u128::from(rate) / 1_000_000_000)
                .unwrap_or(u64::MAX),
        };
        for _ in 0..WORK_MAX {
            let opened = self.tally.opened;
            let all = self.load.connections_max;
            let is_full =
                ends.on_the_way().saturating_sub(self.written_off) >= self.load.in_flight_max;
            if self.closing || is_full || opened >= due || (all > 0 && opened >= all) {
                return;
            }
            let Some(place) = self.free.pop_front() else { return };
            let began_us = self.now_us();
            if let Some(flow) = self.flows.get_mut(place as usize) {
                let generation = flow.generation;
                let queued =
                    flow.ends.map(|end| End { is_queued: end.is_queued, ..End::default() });
                let stage = Stage::Opening;
                *flow = Flow { ends: queued, generation, began_us, stage, ..Flow::default() };
            }
            self.tally.opened += 1;
            self.live += 1;
            self.tally.most_open = self.tally.most_open.max(self.live);
            self.pump(ends, place, Port::A);
        }
    }

    fn end(&mut self, place: u32) {
        let Some(flow) = self.flows.get_mut(place as usize) else { return };
        if flow.stage == Stage::Free {
            return;
        }
        flow.stage = Stage::Free;
        flow.generation += 1;
        self.live -= 1;
        self.free.push_back(place);
    }

    fn queue(&mut self, place: u32, port: Port) {
        let Some(flow) = self.flows.get_mut(place as usize) else { return };
        let end = flow.end_mut(port);
        if !end.is_queued {
            end.is_queued = true;
            self.ready.push_back((place, port));
        }
    }

    /// Goes back to what was not acknowledged, where nothing has moved for long enough.
    fn run_timers<L: Link>(&mut self, ends: &mut Ends<L>, now_ms: u32) {
        for _ in 0..WORK_MAX {
            let Some(&(due, place, generation)) = self.timers.front() else { return };
            if due > now_ms {
                return;
            }
            self.timers.pop_front();
            let (repeat_ms, by_hand) = (self.load.repeat_ms, self.load.script.by_hand);
            let Some(flow) = self.flows.get_mut(place as usize) else { continue };
            if flow.generation != generation || flow.stage == Stage::Free {
                continue;
            }
            let waits = flow.ends.iter().any(End::has_unacknowledged);
            // By hand, what is lost stays lost: only the handshake must come about.
            if !waits || (by_hand && flow.stage == Stage::Open) {
                flow.is_timed = false;
                continue;
            }
            self.timers.push_back((now_ms + repeat_ms, place, generation));
            if flow.heard_ms + (repeat_ms << flow.tries.min(DOUBLINGS_MAX)) > now_ms {
                continue;
            }
            flow.tries += 1;
            flow.heard_ms = now_ms;
            if flow.tries > TRIES_MAX {
                self.tally.timed_out += 1;
                self.end(place);
                continue;
            }
            for port in Port::BOTH {
                let end = flow.end_mut(port);
                end.sent = end.acked;
                end.duplicates = 0;
            }
            for port in Port::BOTH {
                self.pump(ends, place, port);
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "fifty days")]
    const fn now_ms(&self) -> u32 {
        (self.now_ns / 1_000_000) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "only differences are looked at")]
    const fn now_us(&self) -> u32 {
        (self.now_ns / 1000) as u32
    }
}

#[cfg(test)]
mod tests;
