//! What the fuzz targets have found, each as a script that can be read. The files themselves are
//! replayed by [`crate::fuzzed`].

use std::time::Duration;

use tollgate_engine::{Cause, Config, Limits, Reason, Remedies, Remedy, Timeouts};
use tollgate_link::Port;
use tollgate_policy::Verdict;

use crate::common::{ACK, CLIENT_ISN, FIN, Frame, Gate, RST, SYN, handshake, small};

fn sack(left: u32, right: u32) -> Vec<u8> {
    let edges = [left, right].map(|edge| (CLIENT_ISN + edge).to_be_bytes());
    [&[5, 10][..], &edges.concat()].concat()
}

/// Linux reads the last SACK option that has a block, others the last one or the first. A second one
/// behind it, empty or honest, hid a block that named what had not left.
#[test]
fn a_second_sack_option_does_not_hide_what_the_first_one_says() {
    let nothing = vec![1; 10];
    for (before, after) in [
        ([sack(6, 10), vec![5, 2]], [nothing.clone(), vec![1, 1]]),
        ([sack(6, 10), sack(6, 9)], [nothing.clone(), sack(6, 9)]),
        ([sack(6, 9), sack(6, 10)], [sack(6, 9), nothing.clone()]),
        // Which one of two is the first block, that may report a duplicate, is read differently.
        ([sack(6, 9), sack(1, 3)], [sack(6, 9), nothing]),
    ] {
        let mut gate = Gate::new();
        gate.establish();
        gate.put(&Frame::client(1, 1, ACK, b"12345678"));
        let mut options = before.concat();
        options.resize(options.len().next_multiple_of(4), 1);
        let mut expected = after.concat();
        expected.resize(options.len(), 1);
        let ack = Frame { options, ..Frame::server(1, 5, ACK, b"data") };
        gate.worker.link_mut().inject(Port::B, &ack.bytes());
        gate.worker.poll(gate.now);
        let out = gate.worker.link_mut().sent(Port::A);
        assert_eq!(out[0][54..54 + expected.len()], expected, "{before:?}");
        assert_eq!(gate.finish().sacks_stripped, 1);
    }
}

/// An answer to it was passed on, and completed a handshake of which the server knew nothing.
#[test]
fn nobody_has_answered_a_syn_that_rules_have_dropped() {
    let mut gate = Gate::new();
    gate.policy().on_packet = Verdict::DropPacket;
    let syn = Frame::client(0, 0, SYN, b"");
    let forged = Frame::server(0, 1, SYN | ACK, b"");
    assert_eq!(gate.put(&syn), []);
    assert_eq!(gate.put(&forged), [], "no SYN has left");
    let other = Frame { seq: CLIENT_ISN + 7, ..syn.clone() };
    assert_eq!(gate.put(&other), [other.crossed()]);
    assert_eq!(gate.put(&forged), [], "another one has");
    let honest = Frame { ack: CLIENT_ISN + 8, ..forged };
    assert_eq!(gate.put(&honest), [honest.crossed()]);
    gate.finish();

    let mut gate = Gate::new();
    gate.policy().on_packet = Verdict::DropPacket;
    assert_eq!(gate.put(&syn), []);
    gate.establish();
    gate.finish();
}

/// Its acknowledgment number is no number, so that blocks measured by it depended on their order.
#[test]
fn a_syn_in_a_known_connection_leaves_without_sack_blocks() {
    let mut gate = Gate::new();
    gate.establish();
    gate.put(&Frame::client(1, 1, ACK, b"12345678"));
    let mut options = sack(6, 9);
    options.extend([1, 1]);
    let syn = Frame { options, ..Frame::server(7, 0, SYN, b"") };
    gate.worker.link_mut().inject(Port::B, &syn.bytes());
    gate.worker.poll(gate.now);
    let out = gate.worker.link_mut().sent(Port::A);
    assert_eq!(out[0][54..66], [1; 12]);
    gate.finish();
}

/// A segment with the client's ACK that is refused or kept back opens nothing: the server has not heard it,
/// so nothing that it says of an open connection can be honest, and a SYN still kills what it has.
#[test]
fn only_a_segment_that_leaves_completes_a_handshake() {
    let [syn, syn_ack, ack] = handshake();
    let ahead = Frame::client(5, 1, ACK, b"a good deal more than there is room for");
    let old = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0];
    let clock = [1, 1, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0];
    let signed = [&[1, 1, 19, 18], &[7; 16][..]].concat();
    let full = Config { held: Limits { bytes: 8, ..Limits::default() }, ..small() };
    for (options, mut gate, kept) in [
        (&[][..], Gate::with(full), ahead.clone()),
        (&[], Gate::editing(small()), ahead.clone()),
        (&[], Gate::editing(small()), Frame { flags: FIN | ACK, payload: vec![], ..ahead.clone() }),
        (&clock, Gate::new(), Frame { options: old.to_vec(), ..Frame::client(1, 1, ACK, b"old") }),
        (&signed, Gate::new(), Frame::client(1, 1, ACK, b"unsigned")),
    ] {
        let with = |frame: &Frame| Frame { options: options.to_vec(), ..frame.clone() };
        for frame in [with(&syn), with(&syn_ack)] {
            assert_eq!(gate.put(&frame), [frame.crossed()]);
        }
        assert_eq!(gate.put(&kept), [], "{kept:?}");
        assert_eq!(gate.put(&with(&Frame::server(1, 1, ACK, b"data"))), [], "{kept:?}");
        assert_eq!(gate.put(&Frame::client(100, 0, SYN, b"")), [], "{kept:?}");
        for frame in [with(&ack), with(&Frame::server(1, 1, ACK, b"data"))] {
            assert_eq!(gate.put(&frame), [frame.crossed()], "{kept:?}");
        }
        gate.finish();
    }
}

/// The same where there is no memory for what it brings.
#[test]
fn nor_does_one_whose_bytes_cannot_be_remembered() {
    let mut gate = Gate::with(Config { retained_bytes_max: 1000, ..small() });
    gate.establish();
    gate.put(&Frame::client(1, 1, ACK, &[7; 1000]));
    let other = |frame: Frame| frame.between("198.18.0.3:4000", "198.18.0.2:80");
    let [syn, syn_ack, ack] = handshake().map(other);
    for frame in [&syn, &syn_ack] {
        assert_eq!(gate.put(frame), [frame.crossed()]);
    }
    assert_eq!(gate.put(&other(Frame::client(1, 1, ACK, b"request"))), []);
    assert_eq!(gate.put(&other(Frame::server(1, 1, ACK, b"data"))), []);
    assert_eq!(gate.put(&ack), [ack.crossed()]);
    let counters = gate.finish();
    assert_eq!(counters.dropped_for(Reason::Cause(Cause::HeldFullWorker)), 1);
}

/// The ACK that chose between two answers was dropped for want of room, and the other answer forgotten.
#[test]
fn an_ack_that_there_is_no_room_for_chooses_no_answer() {
    let remedies = Remedies { memory: Remedy::DropPacket, ..Remedies::default() };
    let timeouts = Timeouts { reset: Duration::from_secs(1), ..Timeouts::default() };
    let mut gate = Gate::with(Config { flows_max: 1, remedies, timeouts, ..small() });
    let other = |frame: Frame| frame.between("198.18.0.3:4000", "198.18.0.2:80");
    for frame in handshake().map(other).into_iter().chain([other(Frame::client(1, 0, RST, b""))]) {
        assert_eq!(gate.put(&frame), [frame.crossed()]);
    }
    let [syn, syn_ack, ack] = handshake();
    let second = Frame { seq: syn_ack.seq + 7, ..syn_ack.clone() };
    for frame in [&syn, &syn_ack, &second] {
        assert_eq!(gate.put(frame), [frame.crossed()]);
    }
    assert_eq!(gate.put(&ack), [], "no room");
    gate.wait(Duration::from_secs(3));
    let ack = Frame { ack: second.seq + 1, ..ack };
    assert_eq!(gate.put(&ack), [ack.crossed()]);
    gate.finish();
}
