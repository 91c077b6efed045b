//! TCP segments with right checksums, in a few connections, in any order and of any kind: what leaves
//! is held against what rules saw and what receivers of three tastes read ([`Trip`]).
//!
//! The bytes are a program. Its first four configure ([`Run::new`]); then come operations. Numbers
//! are relative to where the connection stands, so that few bytes reach deep into it.

use std::net::SocketAddr;
use std::time::Duration;

use tollgate_engine::{Config, FastOpen, Limits, Mesh, Reason, Worker};
use tollgate_link::Port;
use tollgate_link::memory::MemoryLink;
use tollgate_policy::Verdict;
use tollgate_tcp::{Invalid, State};
use tollgate_wire::{Endpoint, Timestamp};

use super::naive;
use super::trip::Trip;
use super::twin::Twin;
use super::witness::{Shown, Witness};
use crate::common::{ACK, FIN, Frame, PSH, Program, RST, SYN, Seen, small};

/// Runs a program and checks what must hold whatever it is.
pub(crate) fn run(bytes: &[u8]) {
    let mut program = Program(bytes);
    let mut run = Run::new(&mut program);
    for _ in 0..OPERATIONS_MAX {
        if program.is_over() {
            break;
        }
        run.operate(&mut program);
    }
    run.finish();
}

/// A worker, one behind it that must find nothing to change, and what has left.
struct Run {
    worker: Worker<MemoryLink, Witness>,
    second: Option<Worker<MemoryLink, Witness>>,
    twin: Twin,
    config: Config,
    now: Timestamp,
    talks: [Talk; 2],
    /// Frames that came in, to come again.
    past: Vec<(Port, Vec<u8>)>,
}

/// Two endpoints that talk.
struct Talk {
    /// A's and B's.
    ends: [SocketAddr; 2],
    isns: [u32; 2],
    /// The end of what each has sent, as a position in its stream.
    sent: [u32; 2],
    /// The last timestamp of each.
    clocks: [u32; 2],
    trip: Trip,
    /// Pairs of numbers, of a SYN-ACK that has left and the SYN it acknowledges.
    answers: Vec<(u32, u32)>,
    /// The connections that there have been.
    life: Option<tollgate_policy::FlowId>,
    /// Which of two SYNs was meant cannot be told from outside, so nothing is checked.
    unclear: bool,
}

impl Talk {
    fn new(ends: [&str; 2], isns: [u32; 2]) -> Self {
        Self {
            ends: ends.map(|end| end.parse().unwrap()),
            isns,
            sent: [0; 2],
            clocks: [1000, 500_000],
            trip: Trip::default(),
            answers: Vec::new(),
            life: None,
            unclear: false,
        }
    }

    fn endpoints(&self) -> [Endpoint; 2] {
        self.ends.map(|end| Endpoint { addr: end.ip(), port: end.port() })
    }

    /// A position in the stream of `way` as a sequence number.
    fn seq(&self, way: usize, position: u32) -> u32 {
        self.isns[way].wrapping_add(1).wrapping_add(position)
    }
}

impl Run {
    /// Bounds, then first numbers, then whether handshakes are made and what they agree on.
    fn new(program: &mut Program<'_>) -> Self {
        let [bounds, numbers, start, _spare] = [(); 4].map(|()| program.byte());
        let config = Config {
            held: match bounds & 3 {
                0 => Limits { frames: 3, bytes: 100, extents: 2 },
                1 => Limits { frames: 6, bytes: 4000, extents: 4 },
                _ => Limits::default(),
            },
            held_frames_max: if bounds & 4 == 0 { 1024 } else { 5 },
            retained_bytes_max: if bounds & 8 == 0 { 1 << 20 } else { 4000 },
            retained_direction_bytes_max: if bounds & 16 == 0 { 1 << 20 } else { 200 },
            fast_open: if bounds & 32 == 0 { FastOpen::Strip } else { FastOpen::Allow },
            // Two workers that draw lots would not draw the same.
            half_open_max: if bounds & (64 | 128) == 64 { 1 } else { 16 },
            flows_max: 16,
            datagrams_max: 8,
            batch_max: 4,
            reports_max: 4,
            ..small()
        };
        let isn = |bits: u8| match bits & 3 {
            0 => 1000,
            1 => u32::MAX - 30,
            2 => (1 << 31) - 30,
            _ => u32::MAX - 3,
        };
        let isns = [isn(numbers), isn(numbers >> 2)];
        let worker = |config: Config| {
            Worker::new(config, MemoryLink::new(), Witness::default(), Mesh::alone())
        };
        let roomy = Config {
            held: Limits::default(),
            held_frames_max: 1024,
            retained_bytes_max: 1 << 20,
            retained_direction_bytes_max: 1 << 20,
            ..config.clone()
        };
        let mut run = Self {
            worker: worker(config.clone()),
            second: (bounds & 128 != 0).then(|| worker(roomy)),
            twin: Twin::new(config.clone()),
            config,
            now: Timestamp::from_secs(1_000_000),
            talks: [
                Talk::new(["198.18.0.1:4000", "198.18.0.2:80"], isns),
                Talk::new(["[fd00::1]:4000", "[fd00::2]:80"], isns),
            ],
            past: Vec::new(),
        };
        for talk in 0..2 {
            if start >> talk & 1 == 0 {
                run.shake_hands(talk, start >> 2 & 3);
            }
        }
        run
    }

    /// A handshake that agrees on nothing, timestamps, SACK and scaling, or everything.
    fn shake_hands(&mut self, talk: usize, terms: u8) {
        let plain = |_: &mut Self, _: usize| Vec::new();
        for (way, flags) in [(0, SYN), (1, SYN | ACK), (0, ACK)] {
            let mut options = plain(self, way);
            if terms & 1 != 0 {
                options.extend(self.clock(talk, way, 1));
            }
            if terms & 2 != 0 && flags & SYN != 0 {
                options.extend([1, 3, 3, 2, 1, 1, 4, 2]);
            }
            let answered = self.talks[talk].isns[1 - way].wrapping_add(1);
            let seq = self.talks[talk].isns[way].wrapping_add(u32::from(flags == ACK));
            let frame = Frame { options, ..self.frame(talk, way, seq, answered, flags, &[]) };
            self.put(talk, way, &frame);
        }
    }

    fn operate(&mut self, program: &mut Program<'_>) {
        let operation = program.byte();
        match operation & 7 {
            0 if operation & 8 == 0 => {
                let verdict = VERDICTS[usize::from(operation >> 5)];
                let worker = &mut self.worker;
                if self.second.is_none() && operation & 16 == 0 {
                    worker.policy_mut().on_packet = verdict;
                    self.twin.on_packet(verdict);
                } else if self.second.is_none() {
                    worker.policy_mut().on_data = verdict;
                    self.twin.on_data(verdict);
                }
            }
            0 => {
                // A second worker hears less, so that it forgets sooner: no great leaps for it.
                let exponent = u32::from(operation >> 4) * 2;
                let millis = 1 << if self.second.is_some() { exponent.min(6) } else { exponent };
                self.now = self.now + Duration::from_millis(millis);
                self.rest();
            }
            1 => {
                // From the past, as the network repeats it.
                let number = usize::from(program.byte());
                if let Some((port, bytes)) = number
                    .checked_rem(self.past.len())
                    .and_then(|back| self.past.iter().rev().nth(back).cloned())
                {
                    self.inject(port, &bytes, None);
                }
            }
            2 => self.damaged(operation, program),
            _ => {
                let (talk, way, frame) = self.segment(operation, program);
                self.put(talk, way, &frame);
            }
        }
    }

    /// A segment with a checksum that is wrong changes nothing.
    fn damaged(&mut self, operation: u8, program: &mut Program<'_>) {
        let (_, way, frame) = self.segment(operation, program);
        let mut bytes = frame.bytes();
        let at = if frame.client.is_ipv4() { 14 + 20 } else { 14 + 40 };
        let change = program.byte();
        // Not what a card would leave to be completed, which counts as right.
        bytes[at + 16] ^= change;
        bytes[at + 17] ^= !change;
        let packet = tollgate_wire::Packet::parse(&bytes[..]);
        let bad = packet.is_ok_and(|packet| packet.checksum() == tollgate_wire::Checksum::Bad);
        self.rest();
        let before = self.worker.policy().events;
        if bad {
            let port = [Port::A, Port::B][way];
            self.worker.link_mut().inject(port, &bytes);
            self.worker.poll(self.now);
            for port in Port::BOTH {
                assert!(self.worker.link_mut().sent(port).is_empty(), "damage has left");
            }
            self.twin.inject(port, &bytes, self.now, &self.worker, &[]);
            assert_eq!(self.worker.policy().events, before, "damage was shown");
        }
    }

    /// A segment near where its connection stands: flags, numbers, length, options.
    fn segment(&mut self, operation: u8, program: &mut Program<'_>) -> (usize, usize, Frame) {
        let talk = usize::from(operation >> 3 & 1);
        let way = usize::from(operation >> 4 & 1);
        let [kind, delta, len, ack] = [(); 4].map(|()| program.byte());
        let talking = &self.talks[talk];
        let carried = &talking.trip.ways[way];
        let base = match operation >> 5 & 3 {
            0 => 0,
            1 => carried.edge,
            2 => carried.acknowledged,
            _ => talking.sent[way],
        };
        let flags = FLAGS[usize::from(kind & 15)];
        let position = base.wrapping_add_signed(i32::from(delta.cast_signed()));
        let seq = talking.seq(way, position).wrapping_sub(u32::from(flags & SYN != 0));
        let back = &talking.trip.ways[1 - way];
        let acknowledged = match ack >> 6 {
            0 => back.edge,
            1 => back.acknowledged,
            2 => 0,
            _ => talking.sent[1 - way],
        };
        let ack = acknowledged.wrapping_add_signed(i32::from((ack << 2).cast_signed() >> 2));
        let ack = talking.seq(1 - way, ack);
        let variant = if len & 64 == 0 { 0 } else { 1 + (delta & 3) };
        let len = u32::from(len & 63) * if len & 128 == 0 { 1 } else { 20 };
        let letter = |at: u32| b'A' + 32 * way as u8 + variant + (at % 23) as u8;
        let payload: Vec<u8> = (0..len).map(|at| letter(position.wrapping_add(at))).collect();
        let options = self.options(talk, way, kind >> 4, program);
        let mut frame = self.frame(talk, way, seq, ack, flags, &payload);
        frame.options = options;
        if kind >> 4 == 15 {
            frame.flags |= URG;
            frame.urgent = u16::from(delta);
        }
        if kind >> 4 == 14 {
            frame.window = u16::from(program.byte());
        }
        let end = position.wrapping_add(len).wrapping_add(u32::from(flags & FIN != 0));
        let sent = &mut self.talks[talk].sent[way];
        // What is far off is no place to go on from.
        if end > *sent && end - *sent < 5000 {
            *sent = end;
        }
        (talk, way, frame)
    }

    fn frame(&self, talk: usize, way: usize, seq: u32, ack: u32, flags: u8, body: &[u8]) -> Frame {
        let [client, server] = self.talks[talk].ends;
        let ack = if flags & ACK == 0 { 0 } else { ack };
        let frame = if way == 0 {
            Frame::client(0, 0, flags, body)
        } else {
            Frame::server(0, 0, flags, body)
        };
        Frame { seq, ack, client, server, ..frame }
    }

    fn options(&mut self, talk: usize, way: usize, kind: u8, program: &mut Program<'_>) -> Vec<u8> {
        let full = [1, 3, 3, 2, 2, 4, 5, 180, 1, 1, 4, 2];
        match kind {
            4 => [&full[..], &self.clock(talk, way, 1)].concat(),
            5 => self.clock(talk, way, 1),
            6 => {
                let change = i32::from(program.byte().cast_signed());
                self.clock(talk, way, change)
            }
            7 => self.sack(talk, way, 1, program),
            8 => self.sack(talk, way, 3, program),
            9 => vec![34, 6, 1, 2, 3, 4, 1, 1],
            10 => [&[1, 1, 19, 18], &[7; 16][..]].concat(),
            11 => {
                let mut options = program.take(usize::from(program.0.len().min(12) as u8));
                options.resize(options.len().next_multiple_of(4), 1);
                options
            }
            12 => [&self.sack(talk, way, 1, program)[..], &[5, 2, 1, 1]].concat(),
            13 => [&full[..], &[34, 4, 1, 2], &self.clock(talk, way, 1)].concat(),
            _ => Vec::new(),
        }
    }

    /// A timestamp so much newer than the last.
    fn clock(&mut self, talk: usize, way: usize, change: i32) -> Vec<u8> {
        let clocks = &mut self.talks[talk].clocks;
        let value = clocks[way].wrapping_add_signed(change);
        clocks[way] = value;
        let echo = clocks[1 - way];
        [&[1, 1, 8, 10], &value.to_be_bytes()[..], &echo.to_be_bytes()].concat()
    }

    /// Blocks near the edge of what the peer has sent.
    fn sack(&self, talk: usize, way: usize, blocks: u8, program: &mut Program<'_>) -> Vec<u8> {
        let mut options = vec![1, 1, 5, 2 + 8 * blocks];
        let talking = &self.talks[talk];
        for _ in 0..2 * blocks {
            let near = talking.trip.ways[1 - way].edge;
            let edge = near.wrapping_add_signed(i32::from(program.byte().cast_signed()));
            options.extend(talking.seq(1 - way, edge).to_be_bytes());
        }
        options
    }

    fn put(&mut self, talk: usize, way: usize, frame: &Frame) {
        let (port, bytes) = ([Port::A, Port::B][way], frame.bytes());
        self.past.push((port, bytes.clone()));
        self.inject(port, &bytes, Some((talk, way)));
    }

    /// A turn with nothing in it, so that what expires does so here, and RSTs are sent again.
    fn rest(&mut self) {
        let repeated = self.worker.counters().rsts_repeated;
        self.worker.poll(self.now);
        let mut left = 0;
        for port in Port::BOTH {
            for bytes in self.worker.link_mut().sent(port) {
                assert!(Seen::read(port, &bytes).has(RST), "nothing came, something left");
                left += 1;
            }
        }
        assert_eq!(self.worker.counters().rsts_repeated - repeated, left);
        if let Some(second) = &mut self.second {
            second.poll(self.now);
        }
        self.twin.rest(self.now);
    }

    fn flows(&self) -> u64 {
        let gauges = self.worker.gauges();
        gauges.flows.iter().sum::<u64>() + gauges.zombies
    }

    fn resets(&self) -> u64 {
        self.worker.gauges().flows[State::Reset as usize]
    }

    /// One frame comes in; what leaves is looked at.
    fn inject(&mut self, port: Port, bytes: &[u8], from: Option<(usize, usize)>) {
        self.now = self.now + Duration::from_micros(1);
        self.rest();
        let came = Seen::read(port, bytes);
        if super::TRACE {
            println!("in  {came:?}");
        }
        let find = |talk: &Talk| talk.ends.contains(&came.source);
        let talk = self.talks.iter().position(find).unwrap();
        let way = usize::from(self.talks[talk].ends[1] == came.source);
        assert!(from.is_none_or(|from| from == (talk, way)));

        let (flows, resets) = (self.flows(), self.resets());
        let rsts = self.worker.counters().rsts;
        self.worker.link_mut().inject(port, bytes);
        self.worker.poll(self.now);
        let forged = self.worker.counters().rsts > rsts;
        let opened = self.flows() > flows;
        let reset = self.resets() > resets;

        self.follow(talk);
        if opened {
            self.establish(talk, way, &came);
        }
        let mut left = Vec::new();
        for port in Port::BOTH {
            left.extend(self.worker.link_mut().sent(port).into_iter().map(|bytes| (port, bytes)));
        }
        self.twin.inject(port, bytes, self.now, &self.worker, &left);
        for (port, bytes) in &left {
            self.look(talk, *port, bytes, reset && !forged);
        }
        if !forged {
            self.pass_on(&left);
        }
        self.check(talk);
    }

    /// Notices when another connection has begun between the same endpoints.
    fn follow(&mut self, talk: usize) {
        let talk = &mut self.talks[talk];
        let [a, b] = talk.endpoints();
        let latest = self.worker.policy().latest(a, b).map(|(id, _)| id);
        if latest != talk.life {
            let doubted = Reason::Invalid(Invalid::UnexpectedSynAck);
            if self.worker.counters().dropped_for(doubted) > 0 {
                // It may have begun since such a SYN-ACK showed that the server has forgotten the last
                // one. That was dropped, so a second worker knows nothing of it.
                self.second = None;
            }
            talk.life = latest;
            talk.trip = Trip::default();
            talk.answers.clear();
            talk.unclear = false;
        }
        // Nobody answers for what rules do not want to see.
        let connections = &self.worker.policy().connections;
        talk.unclear |= latest.is_some_and(|life| connections[&life].bypassed);
    }

    /// The segment that came has completed a handshake: finds the numbers it is about.
    fn establish(&mut self, talk: usize, way: usize, came: &Seen) {
        let talk = &mut self.talks[talk];
        let [a, b] = talk.endpoints();
        let a_opened = self.worker.policy().latest(a, b).is_some_and(|(_, opened)| opened);
        let client = usize::from(!a_opened);
        let server_start = match talk.answers.last() {
            _ if way == client => came.ack,
            _ if came.has(SYN) => came.seq.wrapping_add(1),
            // A server that has got payload with the SYN may speak before it hears more.
            Some((isn, _)) => isn.wrapping_add(1),
            None => panic!("a server speaks out of nothing"),
        };
        let paired = |(isn, _): &&(u32, u32)| isn.wrapping_add(1) == server_start;
        let mut starts: Vec<u32> = talk.answers.iter().filter(paired).map(|pair| pair.1).collect();
        if way != client && came.has(SYN) {
            starts.push(talk.trip.ways[client].answered(came.ack).wrapping_add(1));
        }
        starts.sort_unstable();
        starts.dedup();
        let [client_start] = starts[..] else {
            talk.unclear = true;
            return;
        };
        let mut agreed = [client_start; 2];
        agreed[1 - client] = server_start;
        talk.trip.establish(agreed);
        talk.isns = agreed.map(|start| start.wrapping_sub(1));
        talk.sent = [0, 1].map(|way| talk.trip.ways[way].edge);
    }

    fn look(&mut self, came: usize, port: Port, bytes: &[u8], reset: bool) {
        let seen = Seen::read(port, bytes);
        if super::TRACE {
            println!("out {seen:?} {:?}", naive::tcp_options(bytes));
        }
        let find = |talk: &Talk| talk.ends.contains(&seen.source);
        let number = self.talks.iter().position(find).expect("a stranger's frame");
        assert_eq!(number, came, "it belongs to what came");
        let talk = &mut self.talks[number];
        let way = usize::from(talk.ends[1] == seen.source);
        assert_eq!(port, [Port::B, Port::A][way], "it leaves on its way");
        let Some(life) = talk.life else { panic!("of no connection") };
        let shown = &self.worker.policy().connections[&life];
        if talk.unclear {
            return;
        }
        talk.trip.left(way, &seen, naive::tcp_options(bytes), shown);
        if seen.has(SYN) && seen.has(ACK) && !talk.trip.established {
            // A SYN-ACK may acknowledge payload that left with the SYN.
            let isn = talk.trip.ways[1 - way].answered(seen.ack);
            talk.answers.push((seen.seq, isn.wrapping_add(1)));
        }
        if reset && seen.has(RST) && talk.trip.established {
            talk.trip.check_reset(way, seen.seq);
        }
    }

    /// Through the second worker, which changes nothing.
    fn pass_on(&mut self, left: &[(Port, Vec<u8>)]) {
        for (port, bytes) in left {
            let Some(second) = &mut self.second else { return };
            second.link_mut().inject(port.peer(), bytes);
            second.poll(self.now);
            let again = second.link_mut().sent(*port);
            let counters = second.counters();
            assert_eq!(again, std::slice::from_ref(bytes), "a second worker: {counters:?}");
        }
    }

    fn check(&self, talk: usize) {
        let talk = &self.talks[talk];
        if let (Some(life), false) = (talk.life, talk.unclear) {
            let [a, b] = talk.endpoints();
            let a_opened = self.worker.policy().latest(a, b).is_some_and(|(_, opened)| opened);
            talk.trip.check_read(&self.worker.policy().connections[&life], !a_opened);
        }
        let (gauges, config) = (self.worker.gauges(), &self.config);
        assert!(gauges.held_frames <= config.held_frames_max, "{gauges:?}");
        assert!(gauges.held_frames <= 4 * u64::from(config.held.frames), "{gauges:?}");
        assert!(gauges.held_bytes <= 4 * u64::from(config.held.bytes), "{gauges:?}");
        assert!(gauges.retained_bytes <= config.retained_bytes_max, "{gauges:?}");
        let retained = 4 * u64::from(config.retained_direction_bytes_max);
        assert!(gauges.retained_bytes <= retained, "{gauges:?}");
        assert_eq!((gauges.fragments, gauges.datagrams), (0, 0));
    }

    fn finish(mut self) {
        self.worker.finish(self.now);
        for port in Port::BOTH {
            assert!(self.worker.link_mut().sent(port).is_empty(), "the end sends nothing");
        }
        let counters = self.worker.counters();
        assert_eq!((counters.balance(), counters.unbalanced_turns, counters.held), (0, 0, 0));
        assert_eq!(self.worker.link().outstanding(), 0, "frames leaked");
        let all_over = |shown: &Shown| shown.over;
        assert!(self.worker.policy().connections.values().all(all_over), "each connection ends");
    }
}

const URG: u8 = 32;
/// By the upper three bits of an operation.
const VERDICTS: [Verdict; 8] = [
    Verdict::Accept,
    Verdict::DropPacket,
    Verdict::Drop,
    Verdict::HalfReset,
    Verdict::Reset,
    Verdict::Accept,
    Verdict::Accept,
    Verdict::Bypass,
];
const OPERATIONS_MAX: usize = 400;
/// What segments are mostly made of, and what no stack sends.
const FLAGS: [u8; 16] = [
    ACK,
    ACK | PSH,
    FIN | ACK,
    SYN,
    SYN | ACK,
    RST,
    RST | ACK,
    ACK,
    FIN | ACK | PSH,
    0,
    FIN,
    SYN | FIN,
    SYN | RST,
    ACK | 0xc0,
    SYN | 0xc0,
    RST | PSH | ACK,
];
