//! What a connection's packets do to each other: packet scripts, one fact each.

use std::time::Duration;

use crate::common::{ACK, CLIENT_ISN, FIN, Frame, Gate, PSH, RST, SYN, Seen, handshake, small};
use tollgate_engine::{Cause, Config, Counters, Midstream, PortCounters, Reason};
use tollgate_link::Port;
use tollgate_policy::{Interest, Phase, Report, Verdict};
use tollgate_tcp::{Invalid, State};
use tollgate_wire::Direction;

#[test]
fn a_connection_from_syn_to_last_ack_passes_unchanged_and_is_told_in_order() {
    let mut gate = Gate::new();
    gate.establish();
    for frame in [
        Frame::client(1, 1, PSH | ACK, b"hello"),
        Frame::server(1, 6, PSH | ACK, b"world!"),
        Frame::client(6, 7, FIN | ACK, b""),
        Frame::server(7, 7, FIN | ACK, b""),
        Frame::client(7, 8, ACK, b""),
    ] {
        assert_eq!(gate.put(&frame), [frame.crossed()], "{frame:?}");
    }
    assert_eq!(
        gate.events(),
        [
            "new 198.18.0.1:4000 > 198.18.0.2:80",
            "packet up syn_sent",
            "packet down syn_sent",
            "packet up syn_received",
            "packet up established",
            "data up hello",
            "packet down established",
            "data down world!",
            "packet up established",
            "data up  end",
            "packet down half_closed",
            "data down  end",
            "packet up closing",
            "end time_wait",
        ]
    );
    let frames = |frames, bytes| PortCounters {
        received_frames: frames,
        received_bytes: bytes,
        transmitted_frames: 8 - frames,
        transmitted_bytes: 480 - bytes,
    };
    let mut phases = [0; 12];
    phases[Phase::New as usize] = 1;
    phases[Phase::Established as usize] = 1;
    phases[Phase::Closed as usize] = 1;
    assert_eq!(
        gate.finish(),
        Counters { ports: [frames(5, 300), frames(3, 180)], phases, ..Counters::default() }
    );
}

#[test]
fn a_handshake_outlives_the_longest_pause_between_two_repeats() {
    // Linux repeats a SYN-ACK after 1, 2, 4, 8, 16 and 32 s, and a client that waits to be spoken to sends
    // nothing in between: were it forgotten, it would wait for ever.
    let mut gate = Gate::new();
    let [syn, syn_ack, ack] = handshake();
    gate.put(&syn);
    for pause in [0, 1, 2, 4, 8, 16, 32] {
        gate.wait(Duration::from_secs(pause));
        assert_eq!(gate.put(&syn_ack), [syn_ack.crossed()], "after {pause} s");
    }
    assert_eq!(gate.put(&ack), [ack.crossed()]);
    let data = Frame::server(1, 1, PSH | ACK, b"220 ready");
    assert_eq!(gate.put(&data), [data.crossed()]);
    assert_eq!(gate.finish().connections(Phase::New), 1);
}

#[test]
fn a_retransmission_is_forwarded_and_not_shown_again() {
    let mut gate = Gate::new();
    gate.establish();
    let data = Frame::client(1, 1, PSH | ACK, b"hello");
    for _ in 0..3 {
        assert_eq!(gate.put(&data), [data.crossed()]);
    }
    assert_eq!(gate.policy().stream(Direction::ToServer), b"hello");
    assert_eq!(gate.finish().retransmitted, 2);
}

#[test]
fn what_is_behind_a_gap_leaves_at_once_and_is_shown_in_one_event_when_the_gap_closes() {
    let mut gate = Gate::new();
    gate.establish();
    let [first, second, third] = [(1, b"one"), (4, b"two"), (7, b"six")]
        .map(|(seq, bytes)| Frame::client(seq, 1, ACK, bytes));
    gate.events();
    for early in [&third, &second, &third] {
        assert_eq!(gate.put(early), [early.crossed()]);
    }
    assert_eq!(gate.events(), ["packet up established"; 3]);
    let gauges = gate.worker.gauges();
    assert_eq!((gauges.held_frames, gauges.held_bytes, gauges.held_extents), (0, 6, 1));
    assert_eq!(gate.put(&first), [first.crossed()]);
    assert_eq!(gate.events().last().unwrap(), "data up onetwosix");
    let counters = gate.finish();
    assert_eq!((counters.out_of_order, counters.retransmitted), (2, 1));
}

/// What waits decides, so that a gap never has frames and copies behind it.
#[test]
fn a_policy_that_comes_or_goes_while_there_is_a_gap_changes_nothing_behind_it() {
    for edits_first in [false, true] {
        let mut gate = if edits_first { Gate::editing(small()) } else { Gate::new() };
        gate.establish();
        let early = Frame::client(4, 1, ACK, b"two");
        let expected = |frame: &Frame| if edits_first { frame.asked(1) } else { frame.crossed() };
        assert_eq!(gate.put(&early), [expected(&early)]);
        let mut policy = std::mem::take(gate.policy());
        policy.interest.toggle(Interest::EDIT_DATA);
        gate.worker.replace_policy(policy);
        let later = Frame::client(7, 1, ACK, b"six");
        assert_eq!(gate.put(&later), [expected(&later)]);
        let fill = Frame::client(1, 1, ACK, b"one");
        assert_eq!(gate.put(&fill).len(), if edits_first { 3 } else { 1 });
        let next = Frame::client(13, 1, ACK, b"xyz");
        let expected = if edits_first { next.crossed() } else { next.asked(10) };
        assert_eq!(gate.put(&next), if edits_first { vec![expected] } else { vec![] });
        assert_eq!(gate.policy().stream(Direction::ToServer), b"onetwosix");
        gate.finish();
    }
}

#[test]
fn where_rules_edit_a_gap_holds_frames_back_and_lets_them_go_in_order_and_in_one_event() {
    let mut gate = Gate::editing(small());
    gate.establish();
    let [first, second, third] = [(1, "one"), (301, "two"), (601, "six")]
        .map(|(seq, text)| Frame::client(seq, 1, ACK, text.repeat(100).as_bytes()));
    gate.events();
    assert_eq!(gate.put(&third), [third.asked(1)]);
    assert_eq!(gate.put(&second), [second.asked(1)]);
    assert_eq!((gate.worker.gauges().held_frames, gate.worker.gauges().held_bytes), (2, 600));
    assert_eq!(gate.put(&first), [first.crossed(), second.crossed(), third.crossed()]);
    let shown = ["one", "two", "six"].map(|text| text.repeat(100)).concat();
    assert_eq!(*gate.events().last().unwrap(), format!("data up {shown}"));
    assert_eq!(gate.finish().out_of_order, 2);
}

#[test]
fn where_rules_edit_frames_of_one_batch_that_are_out_of_order_leave_in_order() {
    let mut gate = Gate::editing(small());
    gate.establish();
    let frames = [(4, b"two"), (1, b"one")].map(|(seq, bytes)| Frame::client(seq, 1, ACK, bytes));
    let [early, first] = &frames;
    assert_eq!(gate.put_all(&frames), [early.asked(1), first.crossed(), early.crossed()]);
    gate.finish();
}

#[test]
fn of_two_overlapping_segments_the_first_wins_on_the_wire_and_for_the_rules() {
    let mut gate = Gate::new();
    gate.establish();
    let frames = [(5, &b"AAAA"[..]), (3, b"BBBB"), (1, b"cc")];
    let frames = frames.map(|(seq, bytes)| Frame::client(seq, 1, ACK, bytes));
    let out: Vec<Seen> = frames.iter().flat_map(|frame| gate.put(frame)).collect();
    assert_eq!(out.len(), 3);
    let mut wire = [b'?'; 8];
    for seen in &out {
        let start = usize::try_from(seen.seq - CLIENT_ISN - 1).unwrap();
        for (at, byte) in seen.payload.iter().enumerate() {
            assert!([b'?', *byte].contains(&wire[start + at]), "two copies differ: {out:?}");
            wire[start + at] = *byte;
        }
    }
    assert_eq!(&wire, b"ccBBAAAA");
    assert_eq!(gate.policy().stream(Direction::ToServer), b"ccBBAAAA");
    gate.finish();
}

#[test]
fn half_closed_data_is_shown_and_forwarded() {
    let mut gate = Gate::new();
    gate.establish();
    gate.put(&Frame::client(1, 1, FIN | ACK, b"bye"));
    gate.put(&Frame::server(1, 5, ACK, b""));
    for round in 0..3 {
        let data = Frame::server(1 + 4 * round, 5, ACK, b"late");
        assert_eq!(gate.put(&data), [data.crossed()]);
    }
    assert_eq!(gate.policy().stream(Direction::ToClient), b"latelatelate");
    gate.finish();
}

#[test]
fn a_fin_before_its_data_leaves_and_ends_nothing_yet() {
    let mut gate = Gate::new();
    gate.establish();
    gate.events();
    let fin = Frame::client(4, 1, FIN | ACK, b"");
    let data = Frame::client(1, 1, ACK, b"abc");
    assert_eq!(gate.put(&fin), [fin.crossed()]);
    assert_eq!(gate.worker.gauges().flows[State::Established as usize], 1);
    assert_eq!(gate.put(&data), [data.crossed()]);
    assert_eq!(
        gate.events(),
        ["packet up established", "packet up established", "data up abc end"]
    );
    gate.finish();
}

#[test]
fn an_exact_rst_ends_it_and_a_blind_one_does_not() {
    let mut gate = Gate::new();
    gate.establish();
    let asked = Frame::client(0, 1, ACK, b"");
    assert_eq!(gate.put(&Frame::client(500, 1, RST | ACK, b"")), [asked.crossed()]);
    let data = Frame::client(1, 1, ACK, b"x");
    assert_eq!(gate.put(&data), [data.crossed()]);
    let rst = Frame::client(2, 1, RST | ACK, b"");
    assert_eq!(gate.put(&rst), [rst.crossed()]);
    assert_eq!(gate.events().last().unwrap(), "end reset");
    // The RST may be lost behind us: a server that still sends is told again.
    let out = gate.put(&Frame::server(1, 2, ACK, b"late"));
    assert_eq!((out.len(), out[0].port, out[0].flags, out[0].seq), (1, Port::B, RST, 1002));
    let counters = gate.finish();
    assert_eq!(counters.dropped_for(Reason::Invalid(Invalid::RstOffEdge)), 1);
    assert_eq!(counters.dropped_for(Reason::Invalid(Invalid::AfterReset)), 1);
    assert_eq!(counters.connections(Phase::ResetByPeer), 1);
}

#[test]
fn a_rst_drops_what_was_held() {
    let mut gate = Gate::editing(small());
    gate.establish();
    let held = Frame::client(9, 1, ACK, &[7; 300]);
    assert_eq!(gate.put(&held), [held.asked(1)]);
    gate.put(&Frame::server(1, 1, RST | ACK, b""));
    assert_eq!(gate.worker.gauges().held_frames, 0);
    assert_eq!(gate.finish().dropped_for(Reason::Cause(Cause::Closed)), 1);
}

#[test]
fn a_refused_connection_ends_and_its_port_may_be_used_again_at_once() {
    let mut gate = Gate::new();
    for _ in 0..2 {
        let [syn, ..] = handshake();
        assert_eq!(gate.put(&syn), [syn.crossed()]);
        let refusal = Frame::server(0, 1, RST | ACK, b"");
        assert_eq!(gate.put(&refusal), [refusal.crossed()]);
        assert_eq!(gate.events().last().unwrap(), "end syn_sent");
    }
    assert_eq!(gate.finish().connections(Phase::ResetByPeer), 2);
}

#[test]
fn a_port_is_used_again_after_both_fins() {
    let mut gate = Gate::new();
    gate.establish();
    gate.put(&Frame::client(1, 1, FIN | ACK, b""));
    gate.put(&Frame::server(1, 2, FIN | ACK, b""));
    gate.put(&Frame::client(2, 2, ACK, b""));
    let syn = Frame::client(100_000, 0, SYN, b"");
    assert_eq!(gate.put(&syn), [syn.crossed()]);
    assert_eq!(gate.policy().opened, 2);
    assert_eq!(gate.worker.gauges().half_open, 1);
    gate.finish();
}

#[test]
fn handshake_packets_may_be_lost_behind_us_and_come_again() {
    let mut gate = Gate::new();
    for frame in handshake() {
        for _ in 0..2 {
            assert_eq!(gate.put(&frame), [frame.crossed()]);
        }
    }
    let [_, syn_ack, _] = handshake();
    assert_eq!(gate.put(&syn_ack), [syn_ack.crossed()]);
    gate.finish();
}

#[test]
fn data_completes_the_handshake_when_the_ack_was_lost_before_us() {
    let mut gate = Gate::new();
    let [syn, syn_ack, _] = handshake();
    gate.put(&syn);
    gate.put(&syn_ack);
    let data = Frame::client(1, 1, PSH | ACK, b"GET");
    assert_eq!(gate.put(&data), [data.crossed()]);
    assert_eq!(gate.policy().stream(Direction::ToServer), b"GET");
    assert_eq!(gate.finish().connections(Phase::Established), 1);
}

#[test]
fn payload_of_a_syn_does_not_leave() {
    let mut gate = Gate::new();
    let syn = Frame::client(0, 0, SYN, b"early");
    let bare = Frame::client(0, 0, SYN, b"");
    assert_eq!(gate.put(&syn), [bare.crossed()]);
    gate.finish();
}

#[test]
fn an_ack_of_what_was_never_forwarded_is_dropped() {
    let mut gate = Gate::new();
    gate.establish();
    gate.put(&Frame::client(5, 1, ACK, b"held"));
    assert_eq!(gate.put(&Frame::server(1, 9, ACK, b"")), []);
    assert_eq!(gate.finish().dropped_for(Reason::Invalid(Invalid::AckBeyond)), 1);
}

#[test]
fn a_packet_of_no_connection_is_dropped_with_hakas_alert() {
    let mut gate = Gate::new();
    assert_eq!(gate.put(&Frame::client(1, 1, ACK, b"lost")), []);
    let reports: Vec<_> = gate.worker.reports().drain().collect();
    let [Report::Alert(alert)] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(alert.description.as_deref(), Some("no connection found for tcp packet"));
    assert_eq!(alert.sources, ["address: 198.18.0.1", "service: tcp/4000"]);
    assert_eq!(alert.targets, ["address: 198.18.0.2", "service: tcp/80"]);
    assert_eq!(gate.finish().dropped_for(Reason::Cause(Cause::NoConnection)), 1);
}

#[test]
fn alerts_have_a_rate_and_what_is_over_it_is_counted() {
    let mut gate = Gate::with(Config { alerts_per_second_max: 3, ..small() });
    for _ in 0..10 {
        gate.put(&Frame::client(1, 1, ACK, b""));
    }
    assert_eq!(gate.worker.reports().drain().count(), 3);
    gate.wait(Duration::from_secs(1));
    gate.put(&Frame::client(1, 1, ACK, b""));
    assert_eq!(gate.worker.reports().drain().count(), 1);
    assert_eq!(gate.finish().alerts_suppressed, 7);
}

/// The server refused; what its client still says has another reason than after a rule's verdict.
#[test]
fn what_follows_a_refused_handshake_is_counted_as_after_a_reset() {
    let mut gate = Gate::new();
    gate.put(&Frame::client(0, 0, SYN, b""));
    let refusal = Frame::server(0, 1, RST | ACK, b"");
    assert_eq!(gate.put(&refusal), [refusal.crossed()]);
    assert_eq!(gate.put(&Frame::client(1, 1, ACK, b"straggler")), []);
    let counters = gate.finish();
    assert_eq!(counters.dropped_for(Reason::Invalid(Invalid::AfterReset)), 1);
    assert_eq!(counters.dropped_for(Reason::Cause(Cause::ConnectionOver)), 0);
}

#[test]
fn a_packet_of_no_connection_crosses_where_that_is_configured() {
    let mut gate = Gate::with(Config { midstream: Midstream::Pass, ..small() });
    let data = Frame::client(1, 1, ACK, b"lost");
    assert_eq!(gate.put(&data), [data.crossed()]);
    assert_eq!(gate.events(), Vec::<String>::new());
    assert_eq!(gate.finish().untracked, 1);
}

#[test]
fn a_connection_is_picked_up_in_its_middle_where_that_is_configured() {
    let mut gate = Gate::with(Config { midstream: Midstream::Pickup, ..small() });
    // The server speaks first, and is known by its port.
    for frame in [
        Frame::server(900, 700, ACK, b"middle"),
        Frame::client(700, 906, ACK, b"yes"),
        Frame::server(906, 703, ACK, b"more"),
    ] {
        assert_eq!(gate.put(&frame), [frame.crossed()]);
    }
    assert_eq!(gate.policy().stream(Direction::ToClient), b"middlemore");
    assert_eq!(gate.policy().stream(Direction::ToServer), b"yes");
    gate.finish();
}

/// What passed before us comes no more, so nothing may wait for it: neither what arrives after the
/// receiver has acknowledged it, nor what was held before.
#[test]
fn a_connection_picked_up_at_a_gap_goes_on_when_its_receiver_acknowledges_the_gap() {
    for held_before in [true, false] {
        let mut gate = Gate::with(Config { midstream: Midstream::Pickup, ..small() });
        let first = Frame::client(1, 1, ACK, b"AAAA");
        assert_eq!(gate.put(&first), [first.crossed()]);
        gate.policy().skips = true;
        let beyond = Frame::client(9, 1, ACK, b"CCCC");
        let acknowledges = Frame::server(1, 9, ACK, b"");
        if held_before {
            assert_eq!(gate.put(&beyond), []);
            assert_eq!(gate.put(&acknowledges), [acknowledges.crossed(), beyond.crossed()]);
        } else {
            assert_eq!(gate.put(&acknowledges), [acknowledges.crossed()]);
            assert_eq!(gate.put(&beyond), [beyond.crossed()]);
        }
        assert_eq!(gate.policy().stream(Direction::ToServer), b"AAAACCCC");
        assert_eq!(gate.worker.gauges().held_frames, 0);
        gate.finish();
    }
}

#[test]
fn a_rule_may_refuse_what_a_picked_up_connection_had_held() {
    let mut gate = Gate::with(Config { midstream: Midstream::Pickup, ..small() });
    gate.put(&Frame::client(1, 1, ACK, b"AAAA"));
    gate.policy().skips = true;
    gate.put(&Frame::client(9, 1, ACK, b"CCCC"));
    gate.policy().on_data = Verdict::Drop;
    assert_eq!(gate.put(&Frame::server(1, 9, ACK, b"")), []);
    assert_eq!(gate.finish().dropped_for(Reason::Refused(Verdict::Drop)), 2);
}

#[test]
fn nobody_who_does_not_listen_is_told() {
    let mut gate = Gate::new();
    let mut policy =
        crate::common::Script { interest: Interest::END_CONNECTION, ..Default::default() };
    policy = gate.worker.replace_policy(policy);
    assert_eq!(policy.events, Vec::<String>::new());
    for frame in handshake() {
        gate.put(&frame);
    }
    let data = Frame::client(1, 1, ACK, b"unseen");
    assert_eq!(gate.put(&data), [data.crossed()]);
    assert_eq!(gate.events(), Vec::<String>::new());
}

#[test]
fn connections_are_reported_only_where_that_is_wanted() {
    for report_connections in [false, true] {
        let mut gate = Gate::with(Config { report_connections, ..small() });
        gate.establish();
        let now = gate.now;
        gate.worker.finish(now);
        let phases: Vec<_> = gate
            .worker
            .reports()
            .drain()
            .map(|report| match report {
                Report::Connection(connection) => connection.phase,
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [Phase::New, Phase::Established, Phase::Stopped];
        assert_eq!(phases, if report_connections { &expected[..] } else { &[] });
        gate.sent(Port::A);
    }
}

fn sack_of(blocks: &[(u32, u32)]) -> Vec<u8> {
    let mut option = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
    for (left, right) in blocks {
        option.extend((CLIENT_ISN + left).to_be_bytes());
        option.extend((CLIENT_ISN + right).to_be_bytes());
    }
    option
}

/// The client would forget bytes that its peer has not got, and never send them again.
#[test]
fn selective_acknowledgments_of_what_has_not_left_are_taken_out() {
    for (blocks, honest) in [
        (&[(6, 9)][..], &[(6, 9)][..]),
        (&[(12, 16)], &[(12, 16)]),
        (&[(12, 17)], &[]),
        (&[(2_000_000, 2_000_004), (6, 9)], &[(6, 9)]),
        (&[(6, 9), (12, 17)], &[(6, 9)]),
        // The first may report a duplicate below what is acknowledged (RFC 2883), no other may.
        (&[(1, 3), (6, 9)], &[(1, 3), (6, 9)]),
        (&[(6, 9), (1, 3)], &[(6, 9)]),
        (&[(9, 6)], &[]),
    ] {
        let mut gate = Gate::new();
        gate.establish();
        gate.put(&Frame::client(1, 1, ACK, b"12345678"));
        gate.put(&Frame::client(12, 1, ACK, b"left"));
        let ack = Frame { options: sack_of(blocks), ..Frame::server(1, 5, ACK, b"data") };
        gate.worker.link_mut().inject(Port::B, &ack.bytes());
        gate.worker.poll(gate.now);
        let out = gate.worker.link_mut().sent(Port::A);
        let mut expected = sack_of(honest);
        if honest.is_empty() {
            expected.clear();
        }
        expected.resize(ack.options.len(), 1);
        assert_eq!(out[0][54..54 + expected.len()], expected, "{blocks:?}");
        assert_eq!(Seen::read(Port::A, &out[0]), ack.crossed());
        assert_eq!(gate.finish().sacks_stripped, u64::from(blocks.len() != honest.len()));
    }
}

#[test]
fn no_urgent_pointer_leaves_and_no_byte_is_lost_to_one() {
    const URG: u8 = 32;
    let mut gate = Gate::new();
    for frame in handshake() {
        // No stack sends a SYN-ACK with it; the parser refuses that.
        let urgent = if frame.flags == SYN | ACK { 0 } else { URG };
        let urgent = Frame { flags: frame.flags | urgent, ..frame.clone() };
        assert_eq!(gate.put(&urgent), [frame.crossed()]);
    }
    for (seq, pointer) in [(1, 2), (4, 0), (7, 6)] {
        let plain = Frame::client(seq, 1, ACK, b"ABC");
        let urgent = Frame { flags: ACK | URG, urgent: pointer, ..plain.clone() };
        gate.worker.link_mut().inject(Port::A, &urgent.bytes());
        gate.worker.poll(gate.now);
        let out = gate.worker.link_mut().sent(Port::B);
        assert_eq!(out, [plain.bytes()]);
    }
    assert_eq!(gate.policy().stream(Direction::ToServer), b"ABCABCABC");
    assert_eq!(gate.finish().urgent_cleared, 5);
}

/// A RST that dies behind us would end the connection here and not at its receiver.
#[test]
fn a_rst_with_a_short_time_to_live_reaches_its_receiver() {
    for (client, server) in [(crate::common::CLIENT, crate::common::SERVER), V6] {
        let mut gate = Gate::new();
        for frame in handshake() {
            gate.put(&frame.between(client, server));
        }
        let rst = Frame { ttl: 2, ..Frame::client(1, 1, RST, b"").between(client, server) };
        assert_eq!(gate.put(&rst), [Seen { ttl: 63, ..rst.crossed() }]);
        assert_eq!(gate.finish().ttls_raised, 1);
    }
}

const V6: (&str, &str) = ("[fd00::1]:4000", "[fd00::2]:80");
