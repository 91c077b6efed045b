//! Several workers: frames that arrive at the wrong one, and what must not depend on their number.

use std::time::Duration;

use tollgate_engine::{Cause, Config, Counters, Reason, Worker, mesh};
use tollgate_link::Port;
use tollgate_wire::Timestamp;

use crate::common::{ACK, FIN, Frame, PSH, Script, Seen, SharedLink, handshake, small};

/// Workers that share their links' frames, polled in turn by one thread.
struct Gates {
    workers: Vec<Worker<SharedLink, Script>>,
    now: Timestamp,
}

impl Gates {
    fn new(workers: usize, config: &Config) -> Self {
        let links = SharedLink::siblings(workers);
        let meshes = mesh(workers, config.hand_off_ring());
        let make = |(worker, (link, mesh))| {
            let config = Config { workers, worker, ..config.clone() };
            Worker::new(config, link, Script::default(), mesh)
        };
        let workers = links.into_iter().zip(meshes).enumerate().map(make).collect();
        Self { workers, now: Timestamp::from_secs(1000) }
    }

    /// Puts a frame in at one of the workers and lets it come to rest.
    fn put(&mut self, worker: usize, port: Port, bytes: &[u8]) -> Vec<Seen> {
        self.workers[worker].link_mut().inject(port, bytes);
        let mut out = Vec::new();
        for _ in 0..3 {
            self.now = self.now + Duration::from_millis(1);
            for worker in &mut self.workers {
                worker.poll(self.now);
                for port in Port::BOTH {
                    out.extend(worker.link_mut().sent(port).iter().map(|b| Seen::read(port, b)));
                }
            }
        }
        out
    }

    fn finish(mut self) -> Counters {
        let mut sum = Counters::default();
        for worker in &mut self.workers {
            worker.finish(self.now);
            worker.link_mut().sent(Port::A);
            worker.link_mut().sent(Port::B);
            assert_eq!(worker.counters().balance(), 0);
            sum += worker.counters();
        }
        let outstanding = self.workers[0].link().outstanding();
        assert_eq!((sum.balance(), sum.held, outstanding), (0, 0, 0), "{sum:?}");
        assert_eq!(sum.handed_out, sum.handed_in);
        sum
    }
}

/// Twenty conversations, the two directions of each at different workers.
fn conversations() -> Vec<(Port, Vec<u8>)> {
    let mut frames = Vec::new();
    for number in 0..20 {
        let client = format!("198.18.1.{number}:4000");
        let mut script = handshake().to_vec();
        script.extend([
            Frame::client(6, 1, PSH | ACK, b"later"),
            Frame::client(1, 1, PSH | ACK, b"early"),
            Frame::client(1, 1, PSH | ACK, b"early"),
            Frame::server(1, 11, PSH | ACK, b"an answer"),
            Frame::client(11, 10, FIN | ACK, b""),
            Frame::server(10, 12, FIN | ACK, b""),
            Frame::client(12, 11, ACK, b""),
            Frame::client(900, 1, ACK, b"out of place"),
        ]);
        let bytes = |frame: Frame| {
            let frame = frame.between(&client, crate::common::SERVER);
            (frame.port(), frame.bytes())
        };
        frames.extend(script.into_iter().map(bytes));
        let segment = Frame::client(12, 11, ACK, b"fragments, too, find their worker");
        let fragments = segment.between(&client, crate::common::SERVER).fragments(24, number);
        frames.extend(fragments.into_iter().map(|bytes| (Port::A, bytes)));
    }
    frames
}

#[test]
fn two_and_four_workers_give_the_same_bytes_as_one() {
    let run = |workers: usize| {
        let mut gates = Gates::new(workers, &small());
        let mut out = Vec::new();
        for (number, (port, bytes)) in conversations().into_iter().enumerate() {
            out.push(gates.put((number + port.index()) % workers, port, &bytes));
        }
        let mut streams: Vec<_> = gates
            .workers
            .iter()
            .flat_map(|worker| worker.policy().streams.clone())
            .map(|((_, way), bytes)| (way, bytes))
            .collect();
        streams.sort_unstable();
        (out, streams, gates.finish())
    };
    let (out, streams, alone) = run(1);
    assert_eq!((alone.handed_out, streams.len()), (0, 40));
    for workers in [2, 4] {
        let (other_out, other_streams, counters) = run(workers);
        assert!(other_out == out, "{workers} workers");
        assert_eq!(other_streams, streams);
        assert!(counters.handed_out > 50, "{counters:?}");
        let alike = Counters { handed_out: 0, handed_in: 0, ..counters };
        assert_eq!(alike, alone, "{workers} workers");
    }
}

#[test]
fn a_full_ring_is_a_counted_drop() {
    let mut gates = Gates::new(2, &small());
    // The other worker is not polled, so nothing leaves the ring.
    for number in 0..2000 {
        let [syn, ..] = handshake();
        let client = format!("198.18.{}.{}:4000", 1 + number / 200, 1 + number % 200);
        let syn = syn.between(&client, crate::common::SERVER);
        gates.workers[0].link_mut().inject(Port::A, &syn.bytes());
        gates.workers[0].poll(gates.now);
        gates.workers[0].link_mut().sent(Port::B);
    }
    let full = Reason::Cause(Cause::HandOffFull);
    assert!(gates.workers[0].counters().dropped_for(full) > 0);
    let counters = gates.finish();
    assert_eq!(counters.dropped_for(Reason::Cause(Cause::Stopped)), 512);
}

#[test]
fn a_worker_that_owns_what_it_receives_hands_nothing_over() {
    let config = Config { sharding: tollgate_engine::Sharding::Queue, ..small() };
    let mut gates = Gates::new(2, &config);
    for frame in handshake() {
        assert_eq!(gates.put(1, frame.port(), &frame.bytes()), [frame.crossed()]);
    }
    assert_eq!(gates.finish().handed_out, 0);
}
