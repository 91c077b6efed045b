//! What leaves is unambiguous: whatever a sender does, every receiver reads what the rules saw,
//! whichever copy of a byte it prefers; and a second worker finds nothing left to change.
//!
//! One seed is one sequence of segments; `NORMAL_SEQUENCES` says how many there are.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tollgate_engine::{Config, Counters, Limits};
use tollgate_link::Port;
use tollgate_policy::Interest;
use tollgate_wire::{Direction, Packet};

use crate::common::{ACK, FIN, Frame, Gate, PSH, SYN, Script, Seen, handshake, small};
use crate::fuzzed::stacks::{Stack, Taste};

/// Bytes of the stream that segments lie in, the first at position 1.
const POSITIONS: usize = 48;
const SEGMENTS: usize = 40;
const URG: u8 = 32;

/// What has reached the server, and what it has told of it.
struct Receiver {
    isn: u32,
    /// What it reads, whatever it is.
    stacks: [Stack; Taste::ALL.len()],
    /// Every byte of every copy, by position, in order of arrival.
    copies: Vec<Vec<u8>>,
    fins: Vec<usize>,
    acknowledged: usize,
}

impl Receiver {
    fn new(isn: u32) -> Self {
        let stacks = Taste::ALL.map(Stack::new);
        let copies = vec![Vec::new(); POSITIONS + 64];
        Self { isn, stacks, copies, fins: Vec::new(), acknowledged: 1 }
    }

    fn receive(&mut self, seen: &Seen) {
        let start = seen.seq.wrapping_sub(self.isn) as usize;
        for (position, byte) in (start..).zip(&seen.payload) {
            self.copies[position].push(*byte);
        }
        if seen.has(FIN) {
            self.fins.push(start + seen.payload.len());
        }
        assert!(!seen.has(URG));
        if !seen.has(SYN) {
            for stack in &mut self.stacks {
                stack.receive(start as i64 - 1, &seen.payload, seen.has(FIN));
            }
        }
    }

    /// The position after what has come furthest.
    fn end(&self) -> usize {
        let last = self.copies.iter().rposition(|copies| !copies.is_empty());
        let fins = self.fins.iter().map(|fin| fin + 1).max();
        last.map_or(0, |last| last + 1).max(fins.unwrap_or(0)).max(1)
    }

    /// The position after what has come without a hole.
    fn edge(&self) -> usize {
        let bytes = self.copies.iter().skip(1).take_while(|copies| !copies.is_empty()).count() + 1;
        bytes + usize::from(self.fins.contains(&bytes))
    }
}

fn config(rng: &mut SmallRng) -> Config {
    let tight = rng.random_bool(0.3);
    Config {
        held: if tight { Limits { frames: 3, bytes: 20, extents: 2 } } else { Limits::default() },
        retained_direction_bytes_max: if rng.random_bool(0.3) { 12 } else { 1 << 20 },
        ..small()
    }
}

fn sequence(seed: u64) -> Counters {
    let _printed = Seed(seed);
    let mut rng = SmallRng::seed_from_u64(seed);
    let isn = if rng.random() { u32::MAX - rng.random_range(0..60) } else { rng.random() };
    let shift = |mut frame: Frame| {
        let by = isn.wrapping_sub(crate::common::CLIENT_ISN);
        if frame.from_client {
            frame.seq = frame.seq.wrapping_add(by);
        } else if frame.flags & ACK != 0 {
            frame.ack = frame.ack.wrapping_add(by);
        }
        frame
    };
    let mut first = Gate::with(config(&mut rng));
    let mut second = Gate::new();
    let interest =
        Interest::EVENTS | if rng.random() { Interest::EDIT_DATA } else { Interest::empty() };
    for gate in [&mut first, &mut second] {
        gate.worker.replace_policy(Script { interest, writes: false, ..Script::default() });
    }
    let mut receiver = Receiver::new(isn);
    for frame in handshake() {
        carry(&mut first, &mut second, &mut receiver, shift(frame), false);
    }
    let mut past: Vec<Frame> = Vec::new();
    for _ in 0..rng.random_range(1..SEGMENTS) {
        let frame = match rng.random_range(0..20) {
            0..5 => acknowledgment(&mut rng, &mut receiver),
            // An exact copy: the sender repeats itself, or the network does.
            5..8 if !past.is_empty() => past[rng.random_range(0..past.len())].clone(),
            _ => segment(&mut rng),
        };
        if frame.from_client {
            past.push(frame.clone());
        }
        let damage = rng.random_bool(0.05);
        carry(&mut first, &mut second, &mut receiver, shift(frame), damage);
    }
    let shown = first.policy().stream(Direction::ToServer).to_vec();
    assert_eq!(second.policy().stream(Direction::ToServer), shown, "a second worker");
    for (position, copies) in receiver.copies.iter().enumerate() {
        assert!(copies.windows(2).all(|two| two[0] == two[1]), "copies at {position}: {copies:?}");
    }
    let ended = receiver.fins.contains(&(1 + shown.len()));
    for stack in &receiver.stacks {
        assert_eq!((&stack.read, stack.ended), (&shown, ended), "{stack:?}");
    }
    assert!(receiver.fins.windows(2).all(|two| two[0] == two[1]), "{:?}", receiver.fins);
    let counters = first.finish();
    let changed = second.finish();
    assert_eq!((changed.rewritten, changed.sacks_stripped, changed.urgent_cleared), (0, 0, 0));
    assert_eq!((changed.dropped(), changed.held), (0, 0));
    counters
}

/// One frame through the first worker, what leaves it through the second, which changes nothing.
fn carry(first: &mut Gate, second: &mut Gate, receiver: &mut Receiver, frame: Frame, damage: bool) {
    let mut bytes = frame.bytes();
    if damage {
        *bytes.last_mut().unwrap() ^= 1;
        bytes[14 + 20 + 16] ^= 1;
    }
    first.worker.link_mut().inject(frame.port(), &bytes);
    first.worker.poll(first.now);
    for port in Port::BOTH {
        for left in first.worker.link_mut().sent(port) {
            // What leaves towards the server comes from the client's side, and so on.
            second.worker.link_mut().inject(port.peer(), &left);
            second.worker.poll(second.now);
            assert_eq!(
                second.worker.link_mut().sent(port),
                std::slice::from_ref(&left),
                "{frame:?}"
            );
            if port == Port::B {
                receiver.receive(&Seen::read(port, &left));
            } else {
                check_sack(receiver, left);
            }
        }
    }
}

/// No block names what the server cannot have got.
fn check_sack(receiver: &Receiver, bytes: Vec<u8>) {
    let packet = Packet::parse(bytes).unwrap();
    for (left, right) in packet.options().sack.into_iter().flatten() {
        assert!(left.before(right));
        let right = right.0.wrapping_sub(receiver.isn) as usize;
        assert!(right <= receiver.end(), "{right} is not before {}", receiver.end());
    }
}

/// A segment of the client that says anything about any position.
fn segment(rng: &mut SmallRng) -> Frame {
    let seq = rng.random_range(0..POSITIONS as u32);
    let len = rng.random_range(0..16);
    let payload: Vec<u8> = match rng.random_range(0..3) {
        0 => vec![rng.random_range(b'a'..=b'z'); len],
        // What an honest sender would say.
        _ => (0..len).map(|at| b'A' + ((seq as usize + at) % 26) as u8).collect(),
    };
    let mut flags = ACK | if rng.random() { PSH } else { 0 };
    if rng.random_bool(0.05) {
        flags |= FIN;
    }
    if rng.random_bool(0.05) {
        flags |= URG;
    }
    if rng.random_bool(0.02) {
        flags = SYN;
    }
    if rng.random_bool(0.02) {
        flags &= !ACK;
    }
    let ack = if rng.random_bool(0.05) { 9 } else { 1 };
    Frame { urgent: rng.random_range(0..20), ..Frame::client(seq, ack, flags, &payload) }
}

/// An ACK of the server for some of what it has got, now and then with SACK blocks out of the air.
fn acknowledgment(rng: &mut SmallRng, receiver: &mut Receiver) -> Frame {
    let acknowledged = rng.random_range(receiver.acknowledged..=receiver.edge());
    receiver.acknowledged = acknowledged;
    let mut frame = Frame::server(1, acknowledged as u32, ACK, b"");
    if rng.random_bool(0.3) {
        let blocks = rng.random_range(1..4);
        frame.options = vec![1, 1, 5, 2 + 8 * blocks];
        for _ in 0..2 * blocks {
            let edge = rng.random_range(0..POSITIONS as u32 + 10);
            frame.options.extend(receiver.isn.wrapping_add(edge).to_be_bytes());
        }
    }
    frame
}

/// Prints the seed of a sequence that panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the seed of this sequence is {}", self.0);
        }
    }
}

#[test]
fn all_receivers_read_what_rules_saw_and_a_second_worker_changes_nothing() {
    let sequences =
        std::env::var("NORMAL_SEQUENCES").map_or(3000, |number| number.parse().unwrap());
    let mut sum = Counters::default();
    for seed in 0..sequences {
        sum += &sequence(seed);
    }
    // The sequences were about something.
    assert!(sum.rewritten > sequences / 2 && sum.out_of_order > sequences, "{sum:?}");
    assert!(sum.retransmitted > sequences, "{sum:?}");
    assert!(sum.forgotten > 0 && sum.sacks_stripped > 0 && sum.urgent_cleared > 0, "{sum:?}");
}
