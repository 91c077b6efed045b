//! Losses before us: what leaves behind a gap makes the receiver ask for what is missing, so that its
//! sender need not wait for a time-out.

use std::time::Duration;

use tollgate_link::Port;
use tollgate_wire::{Direction, Timestamp};

use crate::common::{ACK, CLIENT_ISN, Frame, Gate, Seen, small};

/// A sender without SACK: a window of segments, fast retransmit after three duplicate
/// acknowledgments (RFC 5681 section 3.2), and a time-out.
struct Sender {
    /// Segments of the stream, acknowledged, and sent.
    segments: usize,
    una: usize,
    next: usize,
    duplicates: u32,
    timer: Timestamp,
    fast: u32,
    timeouts: u32,
}

/// A receiver that acknowledges every segment at once, and keeps what comes early (RFC 5681 section
/// 4.2).
struct Receiver {
    arrived: Vec<bool>,
}

/// A direction of the wire on one side of us, [`DELAY`] long.
type Wire<T> = Vec<(Timestamp, T)>;

fn arrived<T>(wire: &mut Wire<T>, now: Timestamp) -> Vec<T> {
    let waiting = wire.iter().take_while(|(at, _)| *at <= now).count();
    wire.drain(..waiting).map(|(_, frame)| frame).collect()
}

fn segment(number: usize) -> Frame {
    Frame::client(1 + (number * MSS) as u32, 1, ACK, &[number as u8; MSS])
}

impl Sender {
    fn send(&mut self, now: Timestamp) -> Vec<usize> {
        if self.una < self.next && now.since(self.timer) > RTO {
            self.timeouts += 1;
            self.next = self.una;
        }
        let mut out = Vec::new();
        while self.next < self.segments.min(self.una + WINDOW) {
            out.push(self.next);
            self.next += 1;
            self.timer = now;
        }
        out
    }

    /// Takes an acknowledgment of so many segments; gives one to send again.
    fn acknowledge(&mut self, count: usize, now: Timestamp) -> Option<usize> {
        if count > self.una {
            self.una = count;
            self.next = self.next.max(count);
            self.duplicates = 0;
            self.timer = now;
            return None;
        }
        self.duplicates += 1;
        (self.duplicates == 3).then(|| {
            self.fast += 1;
            self.una
        })
    }
}

impl Receiver {
    /// Takes a segment; gives the number of those that are there without a gap.
    fn receive(&mut self, seen: &Seen) -> usize {
        let first = (seen.seq - CLIENT_ISN - 1) as usize / MSS;
        // What was small and has waited leaves together.
        self.arrived[first..first + seen.payload.len() / MSS].fill(true);
        self.arrived.iter().take_while(|arrived| **arrived).count()
    }
}

/// A transfer of which each of `lost` is lost once before it reaches us: fast retransmits and
/// time-outs.
fn transfer(mut gate: Gate, lost: &[usize]) -> (u32, u32) {
    gate.establish();
    gate.policy().writes = false;
    let mut lost = lost.to_vec();
    let mut sender = Sender {
        segments: SEGMENTS,
        una: 0,
        next: 0,
        duplicates: 0,
        timer: gate.now,
        fast: 0,
        timeouts: 0,
    };
    let mut receiver = Receiver { arrived: vec![false; SEGMENTS] };
    let (mut to_us, mut to_server) = (Wire::new(), Wire::new());
    let (mut back_to_us, mut to_client) = (Wire::new(), Wire::new());
    while sender.una < SEGMENTS {
        gate.now = gate.now + Duration::from_millis(1);
        let now = gate.now;
        let mut out = sender.send(now);
        let acks = arrived(&mut to_client, now);
        out.extend(acks.into_iter().filter_map(|count| sender.acknowledge(count, now)));
        for number in out {
            match lost.iter().position(|other| *other == number) {
                Some(at) => drop(lost.remove(at)),
                None => to_us.push((now + DELAY, segment(number))),
            }
        }
        for frame in arrived(&mut to_us, now).into_iter().chain(arrived(&mut back_to_us, now)) {
            assert!(gate.worker.link_mut().inject(frame.port(), &frame.bytes()));
        }
        gate.worker.poll(now);
        to_server.extend(gate.sent(Port::B).into_iter().map(|seen| (now + DELAY, seen)));
        for seen in gate.sent(Port::A) {
            to_client.push((now + DELAY, (seen.ack - CLIENT_ISN - 1) as usize / MSS));
        }
        for seen in arrived(&mut to_server, now) {
            let ack = 1 + (receiver.receive(&seen) * MSS) as u32;
            back_to_us.push((now + DELAY, Frame::server(1, ack, ACK, b"")));
        }
    }
    let expected: Vec<u8> = (0..SEGMENTS).flat_map(|number| [number as u8; MSS]).collect();
    assert!(gate.policy().stream(Direction::ToServer) == expected);
    gate.finish();
    (sender.fast, sender.timeouts)
}

#[test]
fn a_loss_before_us_is_made_good_without_a_timeout() {
    assert_eq!(transfer(Gate::new(), &[]), (0, 0));
    assert_eq!(transfer(Gate::new(), &[20]), (1, 0));
    assert_eq!(transfer(Gate::new(), &[3, 40, 77]), (3, 0));
    // Where rules edit, what is behind the gap waits, and we ask in the receiver's name.
    assert_eq!(transfer(Gate::editing(small()), &[]), (0, 0));
    assert_eq!(transfer(Gate::editing(small()), &[20]), (1, 0));
    assert_eq!(transfer(Gate::editing(small()), &[3, 40, 77]), (3, 0));
}

#[test]
fn a_flow_of_small_segments_goes_on_behind_a_gap() {
    const SMALL: u32 = 64;
    let mut gate = Gate::new();
    gate.establish();
    gate.policy().writes = false;
    let segment =
        |number: u32| Frame::client(1 + number * SMALL, 1, ACK, &[number as u8; SMALL as usize]);
    for number in 1..900 {
        let frame = segment(number);
        assert_eq!(gate.put(&frame), [frame.crossed()], "{number}");
    }
    let gauges = gate.worker.gauges();
    assert_eq!((gauges.held_frames, gauges.held_extents), (0, 1));
    assert_eq!(gate.put(&segment(0)), [segment(0).crossed()]);
    assert_eq!(gate.policy().stream(Direction::ToServer).len(), 900 * SMALL as usize);
    assert_eq!(gate.finish().dropped(), 0);
}

/// A quarter of the 536 bytes that a receiver takes who has not said more.
const MSS: usize = 134;
const SEGMENTS: usize = 100;
const WINDOW: usize = 16;
const DELAY: Duration = Duration::from_millis(5);
const RTO: Duration = Duration::from_millis(200);
