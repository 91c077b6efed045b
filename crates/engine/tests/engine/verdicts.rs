//! Drop, reset and half-reset in every state.

use std::time::Duration;

use crate::common::{ACK, FIN, Frame, Gate, PSH, RST, SYN, Seen, handshake, small};
use tollgate_engine::{Cause, Reason};
use tollgate_link::Port;
use tollgate_policy::{Interest, Phase, Verdict};
use tollgate_wire::Direction;

/// (leaves at, sequence number, acknowledgment if the bit is set) of each RST; nothing else may
/// have left.
fn rsts(out: &[Seen]) -> Vec<(Port, u32, Option<u32>)> {
    out.iter()
        .map(|seen| {
            assert!(seen.has(RST) && seen.payload.is_empty(), "{seen:?}");
            (seen.port, seen.seq, seen.has(ACK).then_some(seen.ack))
        })
        .collect()
}

const TO_SERVER: Port = Port::B;
const TO_CLIENT: Port = Port::A;

#[test]
fn a_dropped_packet_is_gone_and_its_connection_lives() {
    let mut gate = Gate::new();
    gate.establish();
    gate.policy().on_packet = Verdict::DropPacket;
    let data = Frame::client(1, 1, PSH | ACK, b"hello");
    assert_eq!(gate.put(&data), []);
    assert_eq!(gate.put(&data), [data.crossed()]);
    let counters = gate.finish();
    assert_eq!(counters.dropped_for(Reason::Refused(Verdict::DropPacket)), 1);
    assert_eq!(counters.connections(Phase::Stopped), 1);
}

#[test]
fn dropping_the_first_syn_drops_the_connection_silently_and_a_new_syn_is_asked_anew() {
    for verdict in [Verdict::DropPacket, Verdict::Drop] {
        let mut gate = Gate::new();
        let [syn, syn_ack, _] = handshake();
        gate.policy().on_new = verdict;
        assert_eq!(gate.put(&syn), []);
        assert_eq!(gate.events(), ["new 198.18.0.1:4000 > 198.18.0.2:80", "end syn_sent"]);
        assert_eq!(gate.put(&syn_ack), []);
        assert_eq!(gate.put(&Frame::client(1, 1, ACK, b"")), []);
        assert_eq!(gate.worker.reports().drain().count(), 0, "dropped without an alert");
        assert_eq!(gate.put(&syn), [syn.crossed()]);
        assert_eq!(gate.policy().opened, 2);
        let counters = gate.finish();
        assert_eq!(counters.dropped_for(Reason::Cause(Cause::ConnectionOver)), 2);
        assert_eq!(counters.rsts, 0);
    }
}

#[test]
fn data_that_a_rule_refuses_never_leaves_nor_what_was_held_behind_it() {
    let mut gate = Gate::editing(small());
    gate.establish();
    gate.put(&Frame::client(5, 1, ACK, b"more"));
    gate.put(&Frame::client(13, 1, ACK, b"beyond"));
    gate.policy().on_data = Verdict::Drop;
    assert_eq!(gate.put(&Frame::client(1, 1, ACK, b"evil")), []);
    assert_eq!(gate.events().last().unwrap(), "end established");
    assert_eq!(gate.put(&Frame::server(1, 1, ACK, b"answer")), []);
    let counters = gate.finish();
    // Two were small, and waited without their frames.
    assert_eq!((counters.dropped_for(Reason::Refused(Verdict::Drop)), counters.merged), (1, 2));
    assert_eq!((counters.rsts, counters.connections(Phase::Dropped)), (0, 1));
}

/// Their receiver cannot read them without what is refused; and it expects nothing beyond that.
#[test]
fn a_verdict_on_what_fills_a_gap_ends_what_left_behind_it() {
    for verdict in [Verdict::Drop, Verdict::Reset] {
        let mut gate = Gate::new();
        gate.establish();
        gate.put(&Frame::client(1, 1, ACK, b"good"));
        for early in [Frame::client(9, 1, ACK, b"more"), Frame::client(20, 1, ACK, b"beyond")] {
            assert_eq!(gate.put(&early), [early.crossed()]);
        }
        gate.policy().on_data = verdict;
        let out = gate.put(&Frame::client(5, 1, ACK, b"evil"));
        assert_eq!(gate.policy().stream(Direction::ToServer), b"goodevilmore");
        let expected = [(TO_CLIENT, 5001, None), (TO_SERVER, 1001, None), (TO_SERVER, 1005, None)];
        assert_eq!(rsts(&out), expected[..if verdict == Verdict::Reset { 3 } else { 0 }]);
        let again = gate.put(&Frame::client(9, 1, ACK, b"more"));
        assert!(again.iter().all(|seen| seen.port == TO_CLIENT && seen.has(RST)), "{again:?}");
        assert_eq!(gate.worker.gauges().held_bytes, 0);
        let counters = gate.finish();
        assert_eq!(counters.dropped_for(Reason::Refused(verdict)), 1);
    }
}

#[test]
fn a_reset_in_peace_sends_one_rst_to_each_end_at_the_number_it_expects() {
    let mut gate = Gate::new();
    gate.establish();
    gate.put(&Frame::client(1, 1, ACK, b"1234"));
    gate.put(&Frame::server(1, 5, ACK, b""));
    gate.policy().on_packet = Verdict::Reset;
    let out = gate.put(&Frame::client(5, 1, ACK, b"refused"));
    assert_eq!(rsts(&out), [(TO_CLIENT, 5001, None), (TO_SERVER, 1005, None)]);
    // The RSTs look as the peer's own packets do.
    let [to_client, to_server] = &out[..] else { panic!("{out:?}") };
    assert_eq!((to_client.source.to_string().as_str(), to_client.ttl), (crate::common::SERVER, 57));
    assert_eq!((to_server.source.to_string().as_str(), to_server.ttl), (crate::common::CLIENT, 63));
    assert_eq!(gate.finish().connections(Phase::Reset), 1);
}

#[test]
fn a_reset_with_data_in_flight_sends_the_acknowledged_edge_and_then_the_forwarded_one() {
    let mut gate = Gate::new();
    gate.establish();
    gate.put(&Frame::client(1, 1, ACK, b"in flight"));
    gate.policy().on_data = Verdict::Reset;
    let out = gate.put(&Frame::client(10, 1, ACK, b"refused"));
    assert_eq!(
        rsts(&out),
        [(TO_CLIENT, 5001, None), (TO_SERVER, 1001, None), (TO_SERVER, 1010, None)]
    );
    gate.finish();
}

#[test]
fn a_half_reset_tells_the_server_only() {
    let mut gate = Gate::new();
    gate.establish();
    gate.policy().on_data = Verdict::HalfReset;
    assert_eq!(rsts(&gate.put(&Frame::client(1, 1, ACK, b"x"))), [(TO_SERVER, 1001, None)]);
    // The client is left in the dark; the server is told again, at the number it acknowledges.
    assert_eq!(gate.put(&Frame::client(1, 1, ACK, b"x")), []);
    assert_eq!(rsts(&gate.put(&Frame::server(1, 1, ACK, b""))), [(TO_SERVER, 1001, None)]);
    let counters = gate.finish();
    assert_eq!((counters.connections(Phase::HalfReset), counters.rsts), (1, 2));
}

#[test]
fn stragglers_after_a_reset_are_answered_at_a_rate_and_a_new_syn_gets_through() {
    let mut gate = Gate::new();
    gate.establish();
    gate.policy().on_packet = Verdict::Reset;
    gate.put(&Frame::client(1, 1, ACK, b""));
    let answers: Vec<_> =
        (0..100).flat_map(|_| rsts(&gate.put(&Frame::server(1, 42, ACK, b"late")))).collect();
    assert_eq!(answers, vec![(TO_SERVER, 1042, None); 4]);
    gate.wait(Duration::from_millis(300));
    assert_eq!(rsts(&gate.put(&Frame::client(9, 33, ACK, b""))), [(TO_CLIENT, 5033, None)]);
    let syn = Frame::client(700_000, 0, SYN, b"");
    assert_eq!(gate.put(&syn), [syn.crossed()]);
    gate.finish();
}

#[test]
fn after_five_minutes_a_dropped_connection_is_forgotten_and_its_packets_raise_alerts() {
    let mut gate = Gate::new();
    gate.establish();
    gate.policy().on_packet = Verdict::Drop;
    gate.put(&Frame::client(1, 1, ACK, b""));
    assert_eq!(gate.worker.gauges().zombies, 1);
    gate.wait(Duration::from_secs(299));
    assert_eq!(gate.worker.gauges().zombies, 1);
    gate.wait(Duration::from_secs(2));
    assert_eq!(gate.worker.gauges().zombies, 0);
    gate.put(&Frame::client(1, 1, ACK, b""));
    assert_eq!(gate.worker.reports().drain().count(), 1);
    gate.finish();
}

#[test]
fn a_reset_before_the_syn_has_left_tells_the_client_as_a_closed_port_would() {
    for (verdict, expected) in [
        (Verdict::Reset, vec![(TO_CLIENT, 0, Some(1001))]),
        // The server has heard nothing yet.
        (Verdict::HalfReset, vec![]),
    ] {
        let mut gate = Gate::new();
        gate.policy().on_new = verdict;
        let [syn, ..] = handshake();
        assert_eq!(rsts(&gate.put(&syn)), expected);
        gate.finish();
    }
}

#[test]
fn a_reset_in_syn_sent_tells_both() {
    for (verdict, expected) in [
        (Verdict::Reset, vec![(TO_CLIENT, 0, Some(1001)), (TO_SERVER, 1001, None)]),
        (Verdict::HalfReset, vec![(TO_SERVER, 1001, None)]),
    ] {
        let mut gate = Gate::new();
        let [syn, ..] = handshake();
        gate.put(&syn);
        gate.policy().on_packet = verdict;
        assert_eq!(rsts(&gate.put(&syn)), expected);
        assert_eq!(gate.events().last().unwrap(), "end syn_sent");
        gate.finish();
    }
}

#[test]
fn a_reset_in_syn_received_sends_a_bare_rst_to_the_server() {
    for (verdict, to_client) in [(Verdict::Reset, true), (Verdict::HalfReset, false)] {
        let mut gate = Gate::new();
        let [syn, syn_ack, ack] = handshake();
        gate.put(&syn);
        gate.put(&syn_ack);
        gate.policy().on_packet = verdict;
        let mut expected = vec![(TO_SERVER, 1001, None)];
        if to_client {
            expected.insert(0, (TO_CLIENT, 5001, Some(1001)));
        }
        assert_eq!(rsts(&gate.put(&ack)), expected);
        // A server that sends its SYN-ACK again is told again.
        assert_eq!(rsts(&gate.put(&syn_ack)), [(TO_SERVER, 1001, None)]);
        gate.finish();
    }
}

#[test]
fn a_reset_after_the_clients_fin_counts_the_fin() {
    let mut gate = Gate::new();
    gate.establish();
    gate.put(&Frame::client(1, 1, FIN | ACK, b""));
    gate.put(&Frame::server(1, 2, ACK, b""));
    gate.policy().on_data = Verdict::Reset;
    let out = gate.put(&Frame::server(1, 2, ACK, b"late"));
    assert_eq!(rsts(&out), [(TO_CLIENT, 5001, None), (TO_SERVER, 1002, None)]);
    gate.finish();
}

#[test]
fn a_reset_while_closing_reaches_both() {
    let mut gate = Gate::new();
    gate.establish();
    gate.put(&Frame::client(1, 1, FIN | ACK, b""));
    gate.put(&Frame::server(1, 1, FIN | ACK, b""));
    gate.policy().on_packet = Verdict::Reset;
    let out = gate.put(&Frame::client(2, 2, ACK, b""));
    // Neither FIN is acknowledged by a packet that passed: both edges each.
    assert_eq!(
        rsts(&out),
        [
            (TO_CLIENT, 5001, None),
            (TO_CLIENT, 5002, None),
            (TO_SERVER, 1001, None),
            (TO_SERVER, 1002, None)
        ]
    );
    gate.finish();
}

#[test]
fn rsts_carry_the_vlans_and_the_flow_label_of_the_peer() {
    let (client, server) = ("[fd00::1]:4000", "[fd00::2]:80");
    let mut gate = Gate::new();
    for frame in handshake() {
        gate.put(&frame.between(client, server).vlans(&[7, 8]));
    }
    gate.policy().on_packet = Verdict::Reset;
    let last = Frame::client(1, 1, ACK, b"").between(client, server).vlans(&[7, 8]);
    gate.worker.link_mut().inject(Port::A, &last.bytes());
    gate.worker.poll(gate.now);
    for port in Port::BOTH {
        for bytes in gate.worker.link_mut().sent(port) {
            assert_eq!(Seen::read(port, &bytes).vlans, [7, 8]);
            // Version 6, traffic class 0xa5 without its ECN bits, flow label 0x12345.
            assert_eq!(bytes[22..26], [0x6a, 0x41, 0x23, 0x45]);
        }
    }
    assert_eq!(gate.finish().rsts, 2);
}

#[test]
fn a_policy_that_resets_within_a_batch_stops_what_comes_after_it_in_the_batch() {
    let mut gate = Gate::new();
    gate.establish();
    gate.policy().on_data = Verdict::Drop;
    let out = gate.put_all(&[
        Frame::client(1, 1, ACK, b"evil"),
        Frame::client(5, 1, ACK, b"more"),
        Frame::server(1, 1, ACK, b"answer"),
    ]);
    assert_eq!(out, []);
    gate.finish();
}

/// Whoever has nothing to say is not answered, so he would never hear of it.
#[test]
fn rsts_are_sent_again_for_the_first_may_be_lost() {
    let (again, once_more) = (Duration::from_millis(200), Duration::from_millis(900));
    let mut gate = Gate::new();
    gate.establish();
    gate.put(&Frame::client(1, 1, ACK, b"12345678"));
    gate.policy().on_data = Verdict::Reset;
    let lost = rsts(&gate.put(&Frame::client(9, 1, ACK, b"evil")));
    let [a, b] = [1001, 1009].map(|seq| (TO_SERVER, seq, None));
    assert_eq!(lost, [(TO_CLIENT, 5001, None), a, b]);
    assert_eq!(gate.wait(Duration::from_millis(100)), []);
    assert_eq!(rsts(&gate.wait(again)), lost);
    // What the server still says is answered as ever. Its client has closed by itself meanwhile.
    assert_eq!(rsts(&gate.put(&Frame::server(1, 9, ACK, b"late"))), [(TO_SERVER, 1009, None)]);
    assert_eq!(gate.put(&Frame::client(9, 1, RST | ACK, b"")), []);
    assert_eq!(rsts(&gate.wait(once_more)), [a, b]);
    for _ in 0..10 {
        assert_eq!(gate.wait(once_more), []);
    }
    let counters = gate.finish();
    assert_eq!((counters.rsts, counters.rsts_repeated), (3 + 3 + 1 + 2, 3 + 2));
}

#[test]
fn rsts_are_sent_again_only_to_whom_they_were_sent() {
    for (verdict, sent) in [
        (Verdict::Drop, vec![]),
        (Verdict::HalfReset, vec![(TO_SERVER, 1001, None)]),
        (Verdict::Reset, vec![(TO_CLIENT, 5001, None), (TO_SERVER, 1001, None)]),
    ] {
        let mut gate = Gate::new();
        gate.establish();
        gate.policy().on_data = verdict;
        assert_eq!(rsts(&gate.put(&Frame::client(1, 1, ACK, b"evil"))), sent);
        assert_eq!(rsts(&gate.wait(Duration::from_millis(300))), sent);
        // The same endpoints may begin anew, and nothing of the old connection reaches them.
        let [syn, ..] = handshake();
        let syn = Frame { seq: syn.seq + 100_000, ..syn };
        assert_eq!(gate.put(&syn), [syn.crossed()]);
        assert_eq!(gate.wait(Duration::from_secs(2)), []);
        gate.finish();
    }
}

#[test]
fn a_connection_that_a_rule_about_data_lets_go_is_told_and_counted_at_once() {
    let mut gate = Gate::new();
    gate.policy().interest = Interest::EVENTS.difference(Interest::RECEIVE_PACKET);
    let policy = std::mem::take(gate.policy());
    gate.worker.replace_policy(policy);
    gate.establish();
    gate.policy().on_data = Verdict::Bypass;
    for (at, text) in [(1, b"one"), (4, b"two")] {
        let data = Frame::client(at, 1, PSH | ACK, text);
        assert_eq!(gate.put(&data), [data.crossed()]);
        assert_eq!(gate.worker.gauges().bypassed, 1);
    }
    gate.finish();
}
