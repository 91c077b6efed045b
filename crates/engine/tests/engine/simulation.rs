//! Two TCP endpoints with a worker between them, on a network that loses, repeats, reorders and
//! damages, under a virtual clock. One seed is one run; a run that fails prints its seed.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use tollgate_engine::{Counters, Mesh, Reason, Worker};
use tollgate_link::Port;
use tollgate_link::fault::{Fault, Faults};
use tollgate_link::memory::MemoryLink;
use tollgate_policy::{Interest, Phase};
use tollgate_wire::{Direction, Malformed, Timestamp};

use crate::common::{ACK, FIN, Frame, RST, SYN, Script, Seen, small};

/// A small TCP: go-back-N with random segment sizes, so that a retransmission seldom has the
/// boundaries of the first transmission; the receiver keeps what comes early.
///
/// Positions count from the SYN at 0; data begins at 1, the FIN follows it.
struct Endpoint {
    from_client: bool,
    isn: u32,
    peer_isn: Option<u32>,
    data: Vec<u8>,
    /// Acknowledged, and sent.
    una: usize,
    next: usize,
    timer: Timestamp,
    received: Vec<u8>,
    early: BTreeMap<usize, (Vec<u8>, bool)>,
    peer_closed: bool,
    owes_ack: bool,
}

impl Endpoint {
    fn new(from_client: bool, rng: &mut SmallRng) -> Self {
        let mut data = vec![0; rng.random_range(0..20_000)];
        rng.fill_bytes(&mut data);
        // Half of the runs wrap.
        let isn = if rng.random() { u32::MAX - rng.random_range(0..9000) } else { rng.random() };
        Self {
            from_client,
            isn,
            peer_isn: None,
            data,
            una: 0,
            next: 0,
            timer: Timestamp::default(),
            received: Vec::new(),
            early: BTreeMap::new(),
            peer_closed: false,
            owes_ack: false,
        }
    }

    /// The position after the FIN.
    fn end(&self) -> usize {
        self.data.len() + 2
    }

    fn is_done(&self) -> bool {
        self.una == self.end() && self.peer_closed
    }

    /// The position that it expects from its peer.
    fn expects(&self) -> usize {
        usize::from(self.peer_isn.is_some()) + self.received.len() + usize::from(self.peer_closed)
    }

    fn segment(&self, position: usize, payload: &[u8], flags: u8) -> Frame {
        let mut frame = if self.from_client {
            Frame::client(0, 0, flags, payload)
        } else {
            Frame::server(0, 0, flags, payload)
        };
        frame.seq = self.isn.wrapping_add(position as u32);
        if let Some(peer_isn) = self.peer_isn {
            frame.ack = peer_isn.wrapping_add(self.expects() as u32);
            frame.flags |= ACK;
        }
        frame
    }

    fn send(&mut self, now: Timestamp, rng: &mut SmallRng) -> Vec<Frame> {
        let mut out = Vec::new();
        if self.una < self.next && now.since(self.timer) > RETRANSMIT {
            self.next = self.una;
        }
        let speaks = self.from_client || self.peer_isn.is_some();
        while speaks && self.next < self.end() && self.next - self.una < WINDOW {
            if self.next == 0 {
                out.push(self.segment(0, b"", SYN));
                self.next = 1;
            } else if self.una == 0 {
                break;
            } else {
                let at = self.next - 1;
                let len = rng.random_range(1..=MSS).min(self.data.len() - at);
                let last = at + len == self.data.len() && rng.random();
                let flags = if last { FIN } else { 0 };
                if len > 0 || self.next == self.end() - 1 {
                    let flags = if len == 0 { FIN } else { flags };
                    out.push(self.segment(self.next, &self.data[at..at + len], flags));
                    self.next += len + usize::from(flags == FIN);
                }
            }
            self.timer = now;
        }
        if out.is_empty() && self.owes_ack && self.una > 0 {
            out.push(self.segment(self.next, b"", 0));
        }
        self.owes_ack = false;
        out
    }

    fn receive(&mut self, seen: &Seen, now: Timestamp) {
        assert!(!seen.has(RST), "an honest connection was reset: {seen:?}");
        if seen.has(SYN) && self.peer_isn.is_none() {
            self.peer_isn = Some(seen.seq);
        }
        let Some(peer_isn) = self.peer_isn else { return };
        if seen.has(ACK) {
            let acked = seen.ack.wrapping_sub(self.isn) as usize;
            assert!(acked <= self.end(), "acknowledges what was never sent: {seen:?}");
            if acked > self.una {
                self.una = acked;
                self.next = self.next.max(acked);
                self.timer = now;
            }
        }
        self.owes_ack |= seen.has(SYN) || seen.has(FIN) || !seen.payload.is_empty();
        let position = seen.seq.wrapping_sub(peer_isn) as usize + usize::from(seen.has(SYN));
        let longer = self
            .early
            .get(&position)
            .is_none_or(|(old, fin)| (old.len(), *fin) < (seen.payload.len(), seen.has(FIN)));
        if longer {
            self.early.insert(position, (seen.payload.clone(), seen.has(FIN)));
        }
        while let Some((position, (payload, fin))) = self.early.pop_first() {
            let expected = self.received.len() + 1;
            if position > expected {
                self.early.insert(position, (payload, fin));
                break;
            }
            let known = (expected - position).min(payload.len());
            let old = &self.received[position.saturating_sub(1)..][..known];
            assert_eq!(old, &payload[..known], "two copies of a byte differ");
            self.received.extend(&payload[known..]);
            self.peer_closed |= fin && position + payload.len() == self.received.len() + 1;
        }
    }
}

/// Frames on their way; probabilities per frame.
struct Network {
    loss: f64,
    copies: f64,
    delay_ms_max: u64,
    in_flight: Vec<(Timestamp, Vec<u8>)>,
}

impl Network {
    fn carry(&mut self, bytes: Vec<u8>, now: Timestamp, rng: &mut SmallRng) {
        if rng.random_bool(self.loss) {
            return;
        }
        if rng.random_bool(self.copies) {
            self.in_flight.push((self.arrival(now, rng), bytes.clone()));
        }
        self.in_flight.push((self.arrival(now, rng), bytes));
    }

    fn arrival(&self, now: Timestamp, rng: &mut SmallRng) -> Timestamp {
        now + Duration::from_millis(rng.random_range(0..=self.delay_ms_max))
    }

    fn arrived(&mut self, now: Timestamp) -> Vec<Vec<u8>> {
        let (arrived, waiting) =
            std::mem::take(&mut self.in_flight).into_iter().partition(|(at, _)| *at <= now);
        self.in_flight = waiting;
        arrived.into_iter().map(|(_, bytes)| bytes).collect()
    }
}

/// Prints the seed of a run that panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the seed of this run is {}", self.0);
        }
    }
}

/// Faults before the worker are the link's; behind it, the network's.
fn simulate(seed: u64) -> Counters {
    let printed = Seed(seed);
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut ends = [Endpoint::new(true, &mut rng), Endpoint::new(false, &mut rng)];
    let faults = [(); 2].map(|()| Faults {
        loss: rng.random_range(0.0..0.1),
        duplicate: rng.random_range(0.0..0.1),
        reorder: rng.random_range(0.0..0.2),
        corrupt: rng.random_range(0.0..0.05),
        delay_max: 5,
    });
    let mut networks = [(); 2].map(|()| Network {
        loss: rng.random_range(0.0..0.1),
        copies: rng.random_range(0.0..0.1),
        delay_ms_max: rng.random_range(0..8),
        in_flight: Vec::new(),
    });
    let make = |interest| {
        let link = Fault::with_ports(MemoryLink::new(), faults, seed);
        let policy = Script { writes: false, interest, ..Script::default() };
        Worker::new(small(), link, policy, Mesh::alone())
    };
    let mut worker = make(Interest::EVENTS);
    // Nobody wants to see its packets, so most of them go the short way; it comes to the same.
    let mut hasty = make(Interest::EVENTS.difference(Interest::RECEIVE_PACKET));
    let mut now = Timestamp::from_secs(1_700_000_000);
    let mut turns = 0;
    while !ends.iter().all(Endpoint::is_done) {
        turns += 1;
        assert!(turns < 60_000, "it has stalled at {:?}", worker.counters());
        now = now + Duration::from_millis(1);
        for end in &mut ends {
            for frame in end.send(now, &mut rng) {
                for link in [worker.link_mut(), hasty.link_mut()] {
                    assert!(link.inner_mut().inject(frame.port(), &frame.bytes()));
                }
            }
        }
        worker.poll(now);
        hasty.poll(now);
        for (port, network) in Port::BOTH.into_iter().zip(&mut networks) {
            let sent = worker.link_mut().inner_mut().sent(port);
            assert_eq!(hasty.link_mut().inner_mut().sent(port), sent);
            for bytes in sent {
                network.carry(bytes, now, &mut rng);
            }
            for bytes in network.arrived(now) {
                // Damage may have made something else of it, which crosses.
                if bytes[12..14] == [8, 0] && bytes[23] == 6 {
                    ends[port.index()].receive(&Seen::read(port, &bytes), now);
                }
            }
        }
    }
    let [client, server] = &ends;
    assert!(server.received == client.data && client.received == server.data);
    let results = [&worker, &hasty].map(|worker| (worker.counters(), &worker.policy().streams));
    assert_eq!(results[0], results[1]);
    let policy = worker.policy();
    assert!(policy.stream(Direction::ToServer) == &client.data[..], "shown up");
    assert!(policy.stream(Direction::ToClient) == &server.data[..], "shown down");
    assert_eq!(policy.opened, 1, "damage opens no connection");
    worker.finish(now);
    let link = worker.link_mut();
    link.release_held();
    for port in Port::BOTH {
        link.inner_mut().sent(port);
    }
    assert_eq!(link.inner().outstanding(), 0, "frames leaked");
    let counters = worker.counters().clone();
    assert_eq!((counters.balance(), counters.held, counters.unbalanced_turns), (0, 0, 0));
    drop(printed);
    counters
}

#[test]
fn every_transfer_completes_and_rules_see_exactly_what_both_ends_see() {
    let mut sum = Counters::default();
    for seed in 0..RUNS {
        sum += &simulate(seed);
    }
    // The runs were about something.
    assert_eq!(sum.connections(Phase::Established), RUNS);
    assert!(sum.out_of_order > 50 * RUNS && sum.retransmitted > 50 * RUNS, "{sum:?}");
    assert!(sum.dropped_for(Reason::Malformed(Malformed::TcpChecksum)) > RUNS, "{sum:?}");
}

const RUNS: u64 = 400;
const RETRANSMIT: Duration = Duration::from_millis(40);
const WINDOW: usize = 3000;
const MSS: usize = 400;
