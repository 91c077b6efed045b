//! A gate without frames: what the engine does with a connection, on plain values, so that a test
//! reads as a packet script and checks both columns: what a rule sees and what leaves.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::ops::Range;

use proptest::prelude::*;
use tollgate_tcp::{
    Early, Forwarded, Gap, Handshake, Invalid, Limits, Next, Payload, Progress, Push, Ready,
    Reassembler, Retention, Segment, State, Step, Tracker,
};
use tollgate_wire::{Direction, Flags, Options, PerDirection, Seq, Timestamp, Timestamps};

/// Cases for a property: `PROPTEST_CASES`, or else what a test run can afford.
pub(crate) fn cases() -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig::with_cases(wanted.unwrap_or(1500))
}

/// Both ways for segments behind a gap.
pub(crate) fn gaps() -> impl Strategy<Value = Gap> {
    prop::sample::select(vec![Gap::Hold, Gap::Forward])
}

/// For digests of what is not kept: no secret here.
pub(crate) const KEY: BuildHasherDefault<DefaultHasher> = BuildHasherDefault::new();

pub(crate) const C: Direction = Direction::ToServer;
pub(crate) const S: Direction = Direction::ToClient;

/// A segment with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) direction: Direction,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) bytes: Vec<u8>,
    pub(crate) options: Options,
}

impl Packet {
    pub(crate) fn new(
        direction: Direction,
        seq: u32,
        ack: u32,
        flags: Flags,
        bytes: &[u8],
    ) -> Self {
        let options = Options::default();
        Self { direction, seq, ack, flags, window: 65_535, bytes: bytes.to_vec(), options }
    }

    pub(crate) fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }

    pub(crate) fn scale(mut self, scale: u8) -> Self {
        self.options.window_scale = Some(scale);
        self
    }

    pub(crate) fn timestamp(mut self, value: u32) -> Self {
        self.options.timestamps = Some(Timestamps { value, echo: 0 });
        self
    }

    pub(crate) fn signed(mut self) -> Self {
        self.options.signed = true;
        self
    }

    pub(crate) fn fast_open(mut self) -> Self {
        self.options.fast_open = true;
        self
    }

    pub(crate) fn malformed(mut self) -> Self {
        self.options.malformed = true;
        self
    }

    pub(crate) fn fin(mut self) -> Self {
        self.flags |= Flags::FIN;
        self
    }

    pub(crate) fn segment(&self) -> Segment {
        Segment {
            seq: Seq(self.seq),
            ack: Seq(self.ack),
            flags: self.flags,
            window: self.window,
            len: u32::try_from(self.bytes.len()).unwrap(),
            options: self.options,
        }
    }

    /// As `wire::Packet::trim` does it.
    pub(crate) fn trim(&mut self, keep: Range<u32>, keep_fin: bool) {
        let (start, end) = (keep.start as usize, keep.end as usize);
        let syn = self.flags.contains(Flags::SYN) && start == 0;
        self.seq = self.segment().data_seq().0.wrapping_add(keep.start);
        self.seq = self.seq.wrapping_sub(u32::from(syn));
        self.flags.set(Flags::SYN, syn);
        self.bytes = self.bytes[start..end].to_vec();
        self.flags.set(Flags::FIN, keep_fin);
    }
}

impl Payload for Packet {
    fn payload(&self) -> &[u8] {
        &self.bytes
    }
    fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) tracker: Tracker,
    pub(crate) streams: PerDirection<Stream>,
}

/// One direction: the reassembler, and what a rule saw.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) reassembler: Reassembler<Packet>,
    pub(crate) retention: Retention,
    pub(crate) shown: Vec<u8>,
    pub(crate) ended: bool,
}

#[derive(Debug)]
pub(crate) enum Connection {
    None,
    Half(Handshake),
    Open(Box<Open>),
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Dropped(Invalid),
    Held,
    /// It left ahead of its turn.
    Early(Packet),
    Redundant,
    Full,
    /// What left, in order.
    Left(Vec<Packet>),
}

#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) connection: Connection,
    pub(crate) limits: Limits,
    pub(crate) gap: Gap,
    pub(crate) now: Timestamp,
    pub(crate) reset: bool,
    pub(crate) reopened: u32,
    pub(crate) pickup: bool,
    /// Lets the payload of a SYN with the Fast Open option pass.
    pub(crate) fast_open: bool,
    /// What was shown of it.
    pub(crate) early: Vec<u8>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            connection: Connection::None,
            limits: Limits::default(),
            gap: Gap::Hold,
            now: Timestamp::from_secs(1000),
            reset: false,
            reopened: 0,
            pickup: false,
            fast_open: false,
            early: Vec::new(),
        }
    }
}

impl Gate {
    pub(crate) fn state(&self) -> Option<State> {
        match &self.connection {
            Connection::None => None,
            Connection::Half(handshake) => Some(handshake.state()),
            Connection::Open(open) => Some(open.tracker.state()),
        }
    }

    #[track_caller]
    pub(crate) fn open(&mut self) -> &mut Open {
        match &mut self.connection {
            Connection::Open(open) => open,
            other => panic!("not open: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn half(&mut self) -> &mut Handshake {
        match &mut self.connection {
            Connection::Half(half) => half,
            other => panic!("not half-open: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn shown(&mut self, direction: Direction) -> String {
        String::from_utf8_lossy(&self.open().streams[direction].shown).into_owned()
    }

    pub(crate) fn packet(&mut self, mut packet: Packet) -> Fate {
        let segment = packet.segment();
        let direction = packet.direction;
        if let Connection::None = &self.connection {
            return self.unknown(packet);
        }
        if let Connection::Half(handshake) = &mut self.connection {
            match handshake.segment(direction, &segment) {
                Err(why) => return Fate::Dropped(why),
                Ok(Progress::Established) => {
                    let mut open = Open::new(handshake.establish());
                    let early = std::mem::take(&mut self.early);
                    if open.tracker.next(C) != open.tracker.start(C) {
                        let stream = &mut open.streams[C];
                        stream.retention.record(open.tracker.start(C), &early, 1 << 20, &KEY);
                        stream.reassembler.skip_to(open.tracker.next(C));
                        stream.shown = early;
                    }
                    self.connection = Connection::Open(Box::new(open));
                }
                Ok(progress) => {
                    self.reset |= progress == Progress::Reset;
                    if segment.has_stray_payload() {
                        packet.trim(0..0, false);
                    }
                    return Fate::Left(vec![packet]);
                }
            }
        }
        let Connection::Open(open) = &mut self.connection else { unreachable!() };
        let step = match open.tracker.segment(direction, &segment, self.now) {
            Ok(step) => step,
            Err(why) => return Fate::Dropped(why),
        };
        match step {
            Step::Pass => {
                assert!(!segment.has_stray_payload(), "what is passed whole may leave whole");
                Fate::Left(vec![packet])
            }
            Step::Strip => {
                packet.trim(0..0, false);
                Fate::Left(vec![packet])
            }
            Step::Reset => {
                self.reset = true;
                packet.trim(0..0, false);
                Fate::Left(vec![packet])
            }
            Step::Reopen => {
                self.reopened += 1;
                self.connection = Connection::None;
                self.packet(packet)
            }
            Step::Data { ref take, fin } => {
                if !step.is_whole(&segment) {
                    packet.trim(take.clone(), fin);
                }
                open.data(packet, self.gap, &self.limits)
            }
        }
    }

    fn unknown(&mut self, mut packet: Packet) -> Fate {
        let segment = packet.segment();
        if self.pickup && !segment.has(Flags::SYN) {
            let tracker = Tracker::pickup(packet.direction, &segment);
            self.connection = Connection::Open(Box::new(Open::new(tracker)));
            return self.packet(packet);
        }
        match Handshake::open(&segment) {
            Err(why) => Fate::Dropped(why),
            Ok(mut handshake) => {
                if self.fast_open && segment.options.fast_open {
                    handshake.forwarded_early(u16::try_from(segment.len).unwrap());
                    self.early = packet.bytes.clone();
                    self.connection = Connection::Half(handshake);
                    return Fate::Left(vec![packet]);
                }
                self.connection = Connection::Half(handshake);
                if segment.has_stray_payload() {
                    packet.trim(0..0, false);
                }
                Fate::Left(vec![packet])
            }
        }
    }

    /// The whole of `packet` leaves, unchanged.
    #[track_caller]
    pub(crate) fn passes(&mut self, packet: Packet) {
        assert_eq!(self.packet(packet.clone()), Fate::Left(vec![packet]));
    }

    #[track_caller]
    pub(crate) fn drops(&mut self, packet: Packet, why: Invalid) {
        assert_eq!(self.packet(packet), Fate::Dropped(why));
    }

    #[track_caller]
    pub(crate) fn holds(&mut self, packet: Packet) {
        assert_eq!(self.packet(packet), Fate::Held);
    }

    /// Exactly these leave.
    #[track_caller]
    pub(crate) fn leave(&mut self, packet: Packet, expected: &[Packet]) {
        assert_eq!(self.packet(packet), Fate::Left(expected.to_vec()));
    }

    /// `packet` leaves with these bytes instead of its own, all else equal.
    #[track_caller]
    pub(crate) fn leaves_with(&mut self, packet: Packet, bytes: &str) {
        let expected = Packet { bytes: bytes.as_bytes().to_vec(), ..packet.clone() };
        assert_eq!(self.packet(packet), Fate::Left(vec![expected]));
    }
}

impl Open {
    fn new(tracker: Tracker) -> Self {
        let stream = |direction| Stream {
            reassembler: Reassembler::new(tracker.start(direction)),
            retention: Retention::new(tracker.start(direction)),
            shown: Vec::new(),
            ended: false,
        };
        let streams = PerDirection { to_server: stream(C), to_client: stream(S) };
        Self { tracker, streams }
    }

    fn data(&mut self, mut packet: Packet, gap: Gap, limits: &Limits) -> Fate {
        let direction = packet.direction;
        let (seq, fin) = (packet.segment().data_seq(), packet.flags.contains(Flags::FIN));
        let stream = &mut self.streams[direction];
        let mut left = Vec::new();
        if self.tracker.is_midstream() {
            stream.reassembler.skip_to(self.tracker.next(direction));
            stream.pop_all(&mut left);
        }
        stream.retention.acknowledged(self.tracker.acknowledged(direction));
        stream.retention.check(seq, &mut packet.bytes, &KEY);
        let gap = if self.tracker.may_have_no_gap(direction) { Gap::Hold } else { gap };
        let ready = match stream.reassembler.push(seq, fin, packet, gap, limits) {
            Push::Ready(ready) => ready,
            Push::Held => return Fate::Held,
            Push::Early(Early { buffer: mut packet, keep, keep_fin, .. }) => {
                packet.trim(0..keep, keep_fin);
                self.tracker.forwarded_early(direction, packet.segment().end());
                return Fate::Early(packet);
            }
            Push::Duplicate(packet) => return Fate::Left(vec![packet]),
            Push::Redundant(_) | Push::Stray(_) => return Fate::Redundant,
            Push::Full(..) => return Fate::Full,
        };
        left.push(stream.show(ready));
        stream.pop_all(&mut left);
        let (edge, fin) = (stream.reassembler.next(), stream.reassembler.is_finished());
        self.tracker.committed(direction, edge, fin);
        self.tracker.forwarded(direction, edge);
        Fate::Left(left)
    }
}

impl Stream {
    fn pop_all(&mut self, left: &mut Vec<Packet>) {
        while let Some(next) = self.reassembler.pop() {
            match next {
                Next::Held(ready) => left.push(self.show(ready)),
                Next::Forwarded(Forwarded { mut bytes, fresh, seq, fin }) => {
                    let range = fresh.start as usize..fresh.end as usize;
                    let fresh = &bytes.make_contiguous()[range];
                    assert!(!self.ended || fresh.is_empty(), "nothing is shown after the end");
                    self.retention.record(seq, fresh, 1 << 20, &KEY);
                    self.shown.extend_from_slice(fresh);
                    self.ended |= fin;
                }
            }
        }
    }

    fn show(&mut self, ready: Ready<Packet>) -> Packet {
        let mut packet = ready.buffer;
        let fresh = ready.fresh.start as usize..ready.fresh.end as usize;
        assert!(!self.ended || fresh.is_empty(), "nothing is shown after the end");
        let at = packet.segment().data_seq() + ready.fresh.start;
        self.retention.record(at, &packet.bytes[fresh.clone()], 1 << 20, &KEY);
        self.shown.extend_from_slice(&packet.bytes[fresh]);
        self.ended |= ready.fin;
        let has_fin = packet.flags.contains(Flags::FIN);
        if ready.keep as usize != packet.bytes.len() || ready.keep_fin != has_fin {
            packet.trim(0..ready.keep, ready.keep_fin);
        }
        packet
    }
}

/// Both ends of one connection, in relative numbers as the cases write them: 1 is the first byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) client: u32,
    pub(crate) server: u32,
}

pub(crate) const ENDS: Ends = Ends { client: 1000, server: 5000 };

impl Ends {
    fn base(self, direction: Direction) -> u32 {
        if direction == C { self.client } else { self.server }
    }

    /// A segment with these flags at relative `seq`, acknowledging relative `ack`.
    pub(crate) fn make(
        self,
        way: Direction,
        seq: u32,
        ack: u32,
        flags: Flags,
        bytes: &str,
    ) -> Packet {
        let seq = self.base(way).wrapping_add(seq);
        let ack = self.base(way.reverse()).wrapping_add(ack);
        let ack = if flags.contains(Flags::ACK) { ack } else { 0 };
        Packet::new(way, seq, ack, flags, bytes.as_bytes())
    }

    pub(crate) fn syn(self) -> Packet {
        self.make(C, 0, 0, Flags::SYN, "")
    }

    pub(crate) fn syn_ack(self) -> Packet {
        self.make(S, 0, 1, Flags::SYN | Flags::ACK, "")
    }

    /// A pure ACK.
    pub(crate) fn ack(self, way: Direction, seq: u32, ack: u32) -> Packet {
        self.make(way, seq, ack, Flags::ACK, "")
    }

    /// Data of the client, acknowledging nothing of the server's.
    pub(crate) fn c(self, seq: u32, bytes: &str) -> Packet {
        self.make(C, seq, 1, Flags::ACK | Flags::PSH, bytes)
    }

    /// Data of the server, acknowledging nothing of the client's.
    pub(crate) fn s(self, seq: u32, bytes: &str) -> Packet {
        self.make(S, seq, 1, Flags::ACK | Flags::PSH, bytes)
    }

    pub(crate) fn rst(self, way: Direction, seq: u32) -> Packet {
        self.make(way, seq, 0, Flags::RST, "")
    }

    pub(crate) fn fin(self, way: Direction, seq: u32, ack: u32) -> Packet {
        self.make(way, seq, ack, Flags::FIN | Flags::ACK, "")
    }
}

/// A gate through which a handshake of [`ENDS`] has gone.
#[track_caller]
pub(crate) fn established() -> Gate {
    established_between(ENDS)
}

#[track_caller]
pub(crate) fn established_between(ends: Ends) -> Gate {
    let mut gate = Gate::default();
    gate.passes(ends.syn());
    gate.passes(ends.syn_ack());
    gate.passes(ends.ack(C, 1, 1));
    assert_eq!(gate.state(), Some(State::Established));
    gate
}

/// The same with timestamps: 100 for the client's, 200 for the server's.
#[track_caller]
pub(crate) fn established_with_timestamps() -> Gate {
    let mut gate = Gate::default();
    gate.passes(ENDS.syn().timestamp(100));
    gate.passes(ENDS.syn_ack().timestamp(200));
    gate.passes(ENDS.ack(C, 1, 1).timestamp(100));
    gate
}
