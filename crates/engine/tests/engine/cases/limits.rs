//! G and H: fragments, ICMP, and bounds.

use tollgate_engine::{Cause, Config, Limits, Reason};
use tollgate_link::Port;

use super::{Script, c, established, pass, pass_all, stay, up};
use crate::common::{ACK, Frame, Gate, SERVER, SYN, handshake, small};

pub(super) const SCRIPTS: &[Script] = &[
    ("G01", || fragmented(24)),
    ("G02", || {
        let mut gate = established();
        let (first, other) = (c(1, "honest, and long enough"), c(1, "other bytes, as long as"));
        let (one, two) = (first.fragments(32, 7), other.fragments(24, 7));
        for piece in [&one[0], &two[1], &one[1]] {
            assert_eq!(gate.put_bytes(Port::A, piece), []);
        }
        assert_eq!(up(&mut gate), "");
    }),
    ("G03", || fragmented(8)),
    ("G04", || {
        let mut gate = established();
        pass(&mut gate, &c(1, "in flight"));
        icmp(&mut gate, 1, true);
        pass(&mut gate, &c(10, "alive"));
    }),
    ("G05", || {
        let mut gate = established();
        pass_all(&mut gate, &[c(1, "in flight"), super::acks(5)]);
        for seq in [1, 4, 11, 1_000_000] {
            icmp(&mut gate, seq, false);
        }
        pass(&mut gate, &c(10, "alive"));
        assert_eq!(gate.finish().dropped_for(Reason::Cause(Cause::IcmpOffWindow)), 4);
    }),
    ("G06", || {
        let mut gate = established();
        pass(&mut gate, &c(1, "in flight"));
        icmp(&mut gate, 1, true);
        icmp(&mut gate, 11, false);
        pass_all(&mut gate, &[c(10, "alive"), super::s(1, "too")]);
    }),
    ("G07", || {
        let mut gate = Gate::new();
        let (client, server) = ("[fd00::1]:4000", "[fd00::2]:80");
        for frame in handshake() {
            pass(&mut gate, &frame.between(client, server));
        }
        let data = c(1, "atomic").between(client, server);
        let mut bytes = data.bytes();
        bytes[20] = 44;
        bytes[19] += 8;
        bytes.splice(54..54, [6, 0, 0, 0, 0, 0, 0, 9]);
        gate.worker.link_mut().inject(Port::A, &bytes);
        gate.worker.poll(gate.now);
        assert_eq!(gate.worker.link_mut().sent(Port::B), [bytes]);
        assert_eq!(up(&mut gate), "atomic");
    }),
    // Nothing can be held for a connection of which one side is not seen; we drop.
    ("H01", || {
        let mut gate = Gate::new();
        let [syn, _, ack] = handshake();
        pass(&mut gate, &syn);
        stay(&mut gate, &ack);
        stay(&mut gate, &c(1, "one-sided"));
        assert_eq!(up(&mut gate), "");
    }),
    ("H02", || {
        let held = Limits { bytes: 10, ..Limits::default() };
        let mut gate = Gate::with(Config { held, ..small() });
        gate.establish();
        pass_all(&mut gate, &[c(5, "BBBB"), c(9, "CCCC")]);
        stay(&mut gate, &c(13, "DDDD"));
        assert_eq!(up(&mut gate), "");
        pass(&mut gate, &c(1, "AAAA"));
        assert_eq!(up(&mut gate), "AAAABBBBCCCC");
        pass(&mut gate, &c(13, "DDDD"));
        assert_eq!(gate.finish().dropped_for(Reason::Cause(Cause::HeldFullFlow)), 1);
    }),
    ("H03", || {
        let mut gate = Gate::with(Config { held_bytes_max: 5, flows_max: 2, ..small() });
        let clients = ["198.18.0.1:4000", "198.18.0.3:4000", "198.18.0.4:4000"];
        let from = |frame: Frame, client: usize| frame.between(clients[client], SERVER);
        for client in [0, 1] {
            pass_all(&mut gate, &handshake().map(|frame| from(frame, client)));
        }
        // The part of one connection in what is free is a byte, as long as there is one.
        for (client, seq) in [(0, 5), (1, 5)] {
            pass(&mut gate, &from(c(seq, "x"), client));
        }
        stay(&mut gate, &from(c(6, "x"), 1));
        assert_eq!(gate.worker.gauges().held_bytes, 2);
        pass_all(&mut gate, &[from(c(1, "next"), 1)]);
        let [syn, syn_ack, ack] = handshake().map(|frame| from(frame, 2));
        pass_all(&mut gate, &[syn, syn_ack]);
        stay(&mut gate, &ack);
        let counters = gate.finish();
        assert_eq!(counters.dropped_for(Reason::Cause(Cause::HeldFullWorker)), 1);
        assert_eq!(counters.dropped_for(Reason::Cause(Cause::FlowTableFull)), 1);
    }),
    // Ten million in the table; the store of the established knows nothing of the half-open one.
    ("H04", || {
        let mut gate = Gate::new();
        gate.policy().writes = false;
        let client = |number: u32| format!("198.18.{}.{}:4000", number >> 8, number & 0xff);
        for number in 0..500 {
            for frame in handshake() {
                pass(&mut gate, &frame.between(&client(number), SERVER));
            }
        }
        for number in 0..5000_u32 {
            let from = format!("198.19.{}.{}:99", number >> 8, number & 0xff);
            gate.put(&Frame::client(0, 0, SYN, b"").between(&from, SERVER));
        }
        assert_eq!(gate.worker.gauges().flows.iter().sum::<u64>(), 500);
        for number in 0..500 {
            pass(&mut gate, &c(1, "alive").between(&client(number), SERVER));
        }
    }),
    ("H06", || {
        let mut gate = established();
        for _ in 0..4 {
            pass(&mut gate, &c(5, "XXXX"));
        }
        pass(&mut gate, &c(1, "AAAA"));
        assert_eq!(up(&mut gate), "AAAAXXXX");
        // Where they wait, they collapse into one.
        let mut gate = Gate::editing(small());
        gate.establish();
        for _ in 0..4 {
            assert_eq!(gate.put(&c(5, "XXXX")), [c(5, "XXXX").asked(1)]);
        }
        let fill = c(1, "AAAA");
        assert_eq!(gate.put(&fill), [fill.crossed(), c(5, "XXXX").crossed()]);
        assert_eq!(up(&mut gate), "AAAAXXXX");
    }),
];

/// A segment in fragments leaves as one packet, once.
#[track_caller]
fn fragmented(size: usize) {
    let mut gate = established();
    let data = c(1, "in fragments, one after the other");
    let pieces = data.fragments(size, 7);
    let (last, others) = pieces.split_last().unwrap();
    for piece in others {
        assert_eq!(gate.put_bytes(Port::A, piece), []);
    }
    assert_eq!(gate.put_bytes(Port::A, last), [data.crossed()]);
    assert_eq!(up(&mut gate), "in fragments, one after the other");
}

/// Destination unreachable, about a segment of the client with this number.
#[track_caller]
fn icmp(gate: &mut Gate, seq: u32, crosses: bool) {
    let error = Frame::client(seq, 1, ACK, b"in flight").icmp_error(3);
    let out = if crosses { vec![(Port::A, error.clone())] } else { vec![] };
    assert_eq!(gate.put_raw(Port::B, &error), out, "about {seq}");
}
