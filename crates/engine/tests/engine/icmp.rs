//! ICMP errors, each held against the connection that it quotes (RFC 5927).

use std::time::Duration;

use tollgate_engine::{Cause, Config, Midstream, OtherTraffic, Reason, Worker, mesh};
use tollgate_link::Port;
use tollgate_policy::Verdict;
use tollgate_wire::{Malformed, Timestamp};

use crate::common::{ACK, FIN, Frame, Gate, SERVER, SYN, Script, SharedLink, handshake, small};

const UNREACHABLE: u8 = 3;

/// Bytes 1 to 9 of the client are acknowledged, 10 to 19 in flight; of the server, 1 to 4 are.
fn in_flight() -> Gate {
    let mut gate = Gate::new();
    gate.establish();
    for frame in [
        Frame::client(1, 1, ACK, b"read by it"),
        Frame::server(1, 11, ACK, b"data"),
        Frame::client(11, 1, ACK, b"on its way"),
    ] {
        assert_eq!(gate.put(&frame), [frame.crossed()]);
    }
    gate
}

/// It arrives where the quoted frame would have left, and crosses as it is.
#[track_caller]
fn crosses(gate: &mut Gate, quoted: &Frame, kind: u8) {
    let error = quoted.icmp_error(kind);
    let port = quoted.port();
    assert_eq!(gate.put_raw(port.peer(), &error), [(port, error)]);
}

#[track_caller]
fn stays(gate: &mut Gate, quoted: &Frame, kind: u8, cause: Cause) {
    let before = gate.counters().dropped_for(Reason::Cause(cause));
    assert_eq!(gate.put_raw(quoted.port().peer(), &quoted.icmp_error(kind)), []);
    assert_eq!(gate.counters().dropped_for(Reason::Cause(cause)), before + 1, "{cause:?}");
}

#[test]
fn what_is_in_flight_may_be_quoted_from_its_first_byte_to_a_bare_ack_behind_it() {
    let mut gate = in_flight();
    for seq in [11, 15, 21] {
        crosses(&mut gate, &Frame::client(seq, 1, ACK, b"x"), UNREACHABLE);
    }
    for seq in [10, 22, 1, 70_000, 1_u32.wrapping_sub(1_000_000_000)] {
        stays(&mut gate, &Frame::client(seq, 1, ACK, b"x"), UNREACHABLE, Cause::IcmpOffWindow);
    }
    for seq in [1, 5] {
        crosses(&mut gate, &Frame::server(seq, 11, ACK, b"x"), UNREACHABLE);
    }
    for seq in [0, 6] {
        stays(&mut gate, &Frame::server(seq, 11, ACK, b"x"), UNREACHABLE, Cause::IcmpOffWindow);
    }
    let counters = gate.finish();
    assert_eq!(counters.passed, [0, 0, 0, 5]);
}

/// RFC 1122 section 4.2.3.9: what is hard to a connection that opens is soft to one that is open.
#[test]
fn errors_of_every_type_pass_in_the_window_and_change_nothing() {
    let mut gate = in_flight();
    let before = (gate.worker.gauges(), gate.events().len());
    for kind in [3, 4, 5, 11, 12] {
        crosses(&mut gate, &Frame::client(11, 1, ACK, b"on its way"), kind);
        stays(&mut gate, &Frame::client(1, 1, ACK, b"read"), kind, Cause::IcmpOffWindow);
    }
    assert_eq!(gate.worker.gauges(), before.0);
    assert_eq!(gate.events(), [""; 0], "rules hear of packets of the connection only");
    let more = Frame::client(21, 5, ACK, b"alive");
    assert_eq!(gate.put(&more), [more.crossed()]);
    gate.finish();
}

#[test]
fn in_ipv6_and_in_a_vlan_as_well() {
    let mut gate = Gate::new();
    let dressed = |frame: Frame| frame.between("[fd00::1]:4000", "[fd00::2]:80").vlans(&[7]);
    for frame in handshake() {
        gate.put(&dressed(frame));
    }
    gate.put(&dressed(Frame::client(1, 1, ACK, b"in flight")));
    for kind in [1, 2, 3, 4] {
        crosses(&mut gate, &dressed(Frame::client(1, 1, ACK, b"in flight")), kind);
        let off = dressed(Frame::client(100, 1, ACK, b"never sent"));
        stays(&mut gate, &off, kind, Cause::IcmpOffWindow);
    }
    let elsewhere = dressed(Frame::client(1, 1, ACK, b"in flight")).vlans(&[8]);
    stays(&mut gate, &elsewhere, 2, Cause::IcmpNoConnection);
    gate.finish();
}

#[test]
fn a_syn_may_be_quoted_by_its_number_and_so_may_its_answer() {
    let mut gate = Gate::new();
    let [syn, syn_ack, ack] = handshake();
    gate.put(&syn);
    crosses(&mut gate, &syn, UNREACHABLE);
    // Traceroute with SYNs lives on this one.
    crosses(&mut gate, &syn, 11);
    stays(&mut gate, &Frame::client(100, 0, SYN, b""), UNREACHABLE, Cause::IcmpOffWindow);
    stays(&mut gate, &syn_ack, UNREACHABLE, Cause::IcmpOffWindow);
    // The client has begun anew, and either may be the one that the server answers.
    gate.put(&Frame::client(700_000, 0, SYN, b""));
    crosses(&mut gate, &Frame::client(700_000, 0, SYN, b""), UNREACHABLE);
    crosses(&mut gate, &syn, UNREACHABLE);
    gate.put(&syn_ack);
    crosses(&mut gate, &syn_ack, UNREACHABLE);
    stays(&mut gate, &Frame::server(9, 1, SYN | ACK, b""), UNREACHABLE, Cause::IcmpOffWindow);
    assert_eq!(gate.put(&ack), [ack.crossed()], "nobody has given up");
    // Who has been answered has nothing in flight.
    stays(&mut gate, &syn, UNREACHABLE, Cause::IcmpOffWindow);
    gate.finish();
}

#[test]
fn a_fin_in_flight_may_be_quoted() {
    let mut gate = in_flight();
    gate.put(&Frame::client(21, 1, FIN | ACK, b""));
    crosses(&mut gate, &Frame::client(21, 1, FIN | ACK, b""), UNREACHABLE);
    crosses(&mut gate, &Frame::client(22, 5, ACK, b""), UNREACHABLE);
    stays(&mut gate, &Frame::client(23, 5, ACK, b""), UNREACHABLE, Cause::IcmpOffWindow);
    gate.finish();
}

#[test]
fn a_segment_behind_a_gap_may_be_quoted_once_it_has_left() {
    let mut gate = in_flight();
    let early = Frame::client(31, 5, ACK, b"too early");
    if gate.put(&early).is_empty() {
        stays(&mut gate, &early, UNREACHABLE, Cause::IcmpOffWindow);
    } else {
        crosses(&mut gate, &early, UNREACHABLE);
    }
    gate.put(&Frame::client(21, 5, ACK, b"to fill it"));
    crosses(&mut gate, &early, UNREACHABLE);
    gate.finish();
}

/// The half that the server has not been sent must not be talked about to the client either.
#[test]
fn what_waits_behind_a_gap_has_not_left_and_what_a_rule_refused_is_over() {
    let mut gate = in_flight();
    gate.policy().on_data = Verdict::HalfReset;
    gate.put(&Frame::client(21, 5, ACK, b"refused"));
    for seq in [11, 21] {
        stays(&mut gate, &Frame::client(seq, 5, ACK, b"x"), UNREACHABLE, Cause::ConnectionOver);
    }
    let mut gate = Gate::new();
    gate.policy().on_new = Verdict::Drop;
    let [syn, ..] = handshake();
    gate.put(&syn);
    stays(&mut gate, &syn, UNREACHABLE, Cause::ConnectionOver);
}

#[test]
fn errors_about_no_known_connection_fare_as_its_segments_would() {
    let stray = Frame::client(1, 1, ACK, b"whose?");
    let gate = |midstream, other| Gate::with(Config { midstream, other, ..small() });
    let mut closed = gate(Midstream::Drop, OtherTraffic::Pass);
    stays(&mut closed, &stray, UNREACHABLE, Cause::IcmpNoConnection);
    for midstream in [Midstream::Pass, Midstream::Pickup] {
        crosses(&mut gate(midstream, OtherTraffic::Pass), &stray, UNREACHABLE);
        let mut shut = gate(midstream, OtherTraffic::Drop);
        stays(&mut shut, &stray, UNREACHABLE, Cause::Other);
    }
    // After a bypass nobody knows which connections there are.
    closed.worker.resume(closed.now);
    crosses(&mut closed, &stray, UNREACHABLE);
    closed.now = closed.now + Duration::from_secs(61);
    stays(&mut closed, &stray, UNREACHABLE, Cause::IcmpNoConnection);
}

/// What belongs to a connection is no other traffic.
#[test]
fn errors_in_the_window_pass_where_other_traffic_is_dropped() {
    let mut gate = Gate::with(Config { other: OtherTraffic::Drop, ..small() });
    gate.establish();
    let data = Frame::client(1, 1, ACK, b"in flight");
    gate.put(&data);
    crosses(&mut gate, &data, UNREACHABLE);
    let ping = data.icmp_error(8);
    assert_eq!(gate.put_raw(Port::B, &ping), []);
    assert_eq!(gate.finish().dropped_for(Reason::Cause(Cause::Other)), 1);
}

#[test]
fn after_a_bypass_anything_may_be_in_flight() {
    let mut gate = in_flight();
    let later = Frame::client(5000, 1, ACK, b"crossed unseen");
    stays(&mut gate, &later, UNREACHABLE, Cause::IcmpOffWindow);
    gate.worker.resume(gate.now);
    crosses(&mut gate, &later, UNREACHABLE);
    assert_eq!(gate.put(&Frame::client(5014, 5, ACK, b"")).len(), 1);
    stays(&mut gate, &Frame::client(9000, 1, ACK, b""), UNREACHABLE, Cause::IcmpOffWindow);
}

#[test]
fn broken_errors_are_refused_with_a_reason() {
    let mut gate = in_flight();
    let mut error = Frame::client(11, 1, ACK, b"on its way").icmp_error(UNREACHABLE);
    error[36] ^= 1;
    assert_eq!(gate.put_raw(Port::B, &error), []);
    let counters = gate.finish();
    assert_eq!(counters.dropped_for(Reason::Malformed(Malformed::IcmpChecksum)), 1);
}

/// In one batch: what is acknowledged behind the error was in flight, what is before it was not.
#[test]
fn errors_keep_their_place_among_the_packets_of_a_batch() {
    let mut gate = Gate::new();
    gate.establish();
    for (seq, error_first) in [(1, true), (10, false)] {
        let data = Frame::server(seq, 1, ACK, b"in flight");
        gate.put(&data);
        let error = data.icmp_error(UNREACHABLE);
        let mut batch = [error.clone(), Frame::client(1, seq + 9, ACK, b"").bytes()];
        if !error_first {
            batch.reverse();
        }
        for bytes in &batch {
            gate.worker.link_mut().inject(Port::A, bytes);
        }
        gate.worker.poll(gate.now);
        let sent = gate.worker.link_mut().sent(Port::B);
        assert_eq!(sent.contains(&error), error_first);
    }
    assert_eq!(gate.finish().dropped_for(Reason::Cause(Cause::IcmpOffWindow)), 1);
}

/// An error arrives at any queue, and its flow belongs to whom its hash says.
#[test]
fn an_error_that_arrives_at_another_worker_is_judged_by_the_owner_of_its_flow() {
    const WORKERS: usize = 3;
    let config = small();
    let links = SharedLink::siblings(WORKERS);
    let meshes = mesh(WORKERS, config.hand_off_ring());
    let make = |(worker, (link, mesh))| {
        let config = Config { workers: WORKERS, worker, ..config.clone() };
        Worker::new(config, link, Script::default(), mesh)
    };
    let mut workers: Vec<_> = links.into_iter().zip(meshes).enumerate().map(make).collect();
    let mut now = Timestamp::from_secs(1000);
    let mut put = |workers: &mut Vec<Worker<SharedLink, Script>>, at: usize, port, bytes: &[u8]| {
        workers[at].link_mut().inject(port, bytes);
        let mut out = Vec::new();
        for _ in 0..2 {
            now = now + Duration::from_millis(1);
            for worker in workers.iter_mut() {
                worker.poll(now);
                for port in Port::BOTH {
                    out.extend(worker.link_mut().sent(port));
                }
            }
        }
        out
    };
    for number in 0..20 {
        let from = |frame: Frame| frame.between(&format!("198.18.1.{number}:4000"), SERVER);
        let data = from(Frame::client(1, 1, ACK, b"in flight"));
        for frame in handshake().map(from).iter().chain([&data]) {
            put(&mut workers, 0, frame.port(), &frame.bytes());
        }
        let forged = from(Frame::client(77, 1, ACK, b"never sent")).icmp_error(UNREACHABLE);
        for at in 0..WORKERS {
            let error = data.icmp_error(UNREACHABLE);
            assert_eq!(put(&mut workers, at, Port::B, &error), [error], "flow {number} at {at}");
            assert_eq!(
                put(&mut workers, at, Port::B, &forged),
                [[0; 0]; 0],
                "flow {number} at {at}"
            );
        }
    }
    let mut sum = tollgate_engine::Counters::default();
    for worker in &mut workers {
        worker.finish(now);
        for port in Port::BOTH {
            worker.link_mut().sent(port);
        }
        sum += worker.counters();
    }
    assert_eq!((sum.balance(), workers[0].link().outstanding()), (0, 0));
    assert_eq!(sum.dropped_for(Reason::Cause(Cause::IcmpOffWindow)), 60);
    assert_eq!(sum.passed, [0, 0, 0, 60]);
}
