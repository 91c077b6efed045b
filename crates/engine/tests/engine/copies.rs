//! No byte leaves twice different: what is sent again says what it said first.

use std::time::Duration;

use crate::common::{ACK, FIN, Frame, Gate, SYN, Script, Seen, handshake, small};
use tollgate_engine::{Config, Midstream, Remedies, Remedy};
use tollgate_policy::{Interest, Report};
use tollgate_wire::Direction;

fn data(seq: u32, bytes: &[u8]) -> Frame {
    Frame::client(seq, 1, ACK, bytes)
}

fn with(frame: &Frame, bytes: &[u8]) -> Seen {
    Seen { payload: bytes.to_vec(), ..frame.crossed() }
}

fn alerts(gate: &mut Gate) -> usize {
    let reports = gate.worker.reports().drain();
    reports
        .filter(|report| match report {
            Report::Alert(alert) => {
                assert_eq!(alert.description.as_deref(), Some("overlap with different bytes"));
                assert_eq!(alert.sources[0], "address: 198.18.0.1");
                true
            }
            _ => false,
        })
        .count()
}

#[test]
fn a_copy_with_other_bytes_leaves_with_the_first_ones_and_raises_one_alert() {
    let mut gate = Gate::new();
    gate.establish();
    gate.put(&data(1, b"EVILDATA"));
    for _ in 0..3 {
        let copy = data(1, b"GOODDATA");
        assert_eq!(gate.put(&copy), [with(&copy, b"EVILDATA")]);
    }
    assert_eq!(gate.policy().stream(Direction::ToServer), b"EVILDATA");
    assert_eq!(alerts(&mut gate), 1);
    let counters = gate.finish();
    assert_eq!((counters.rewritten, counters.retransmitted, counters.forgotten), (3, 3, 0));
}

#[test]
fn a_copy_cut_anew_leaves_whole_for_its_receiver_may_have_lost_any_part() {
    let mut gate = Gate::new();
    gate.establish();
    for frame in [
        data(1, b"AAAA"),
        data(5, b"BBBB"),
        data(1, b"AAAABBBB"),
        data(1, b"AA"),
        data(3, b"AABBBB"),
        data(3, b"AABBBBCC"),
    ] {
        assert_eq!(gate.put(&frame), [frame.crossed()]);
    }
    assert_eq!(gate.policy().stream(Direction::ToServer), b"AAAABBBBCC");
    assert_eq!(alerts(&mut gate), 0);
    assert_eq!(gate.finish().rewritten, 0);
}

#[test]
fn what_is_partly_new_brings_the_new_part_behind_the_old_bytes() {
    let mut gate = Gate::new();
    gate.establish();
    gate.put(&data(1, b"AAAA"));
    let copy = Frame { flags: FIN | ACK, ..data(1, b"BBBBBB") };
    assert_eq!(gate.put(&copy), [with(&copy, b"AAAABB")]);
    assert_eq!(gate.policy().stream(Direction::ToServer), b"AAAABB");
    assert_eq!(gate.finish().rewritten, 1);
}

#[test]
fn what_left_early_wins_over_what_fills_its_gap_and_is_remembered_later() {
    let mut gate = Gate::new();
    gate.establish();
    gate.put(&data(1, b"AAAA"));
    let early = data(7, b"CCCC");
    assert_eq!(gate.put(&early), [early.crossed()]);
    let lie = data(7, b"????");
    assert_eq!(gate.put(&lie), [early.crossed()]);
    let filler = data(3, b"XXBBXX");
    assert_eq!(gate.put(&filler), [with(&filler, b"AABBCC")]);
    assert_eq!(gate.policy().stream(Direction::ToServer), b"AAAABBCCCC");
    let all = data(1, b"??????????");
    assert_eq!(gate.put(&all), [with(&all, b"AAAABBCCCC")]);
    gate.finish();
}

#[test]
fn what_is_acknowledged_is_forgotten_and_no_copy_of_it_leaves() {
    let mut gate = Gate::new();
    gate.establish();
    gate.put(&data(1, b"12345678"));
    assert_eq!(gate.worker.gauges().retained_bytes, 8);
    gate.put(&Frame::server(1, 5, ACK, b""));
    assert_eq!(gate.worker.gauges().retained_bytes, 4);
    let out = gate.put(&data(1, b"XXXXYYYY"));
    assert_eq!(out, [data(5, b"5678").crossed()]);
    gate.put(&Frame::server(1, 9, ACK, b""));
    assert_eq!(gate.worker.gauges().retained_bytes, 0);
    let out = gate.put(&data(1, b"XXXXYYYY"));
    assert_eq!(out, [with(&data(1, b""), b"")]);
    assert_eq!(gate.finish().forgotten, 0);
}

#[test]
fn copies_of_what_is_over_the_bound_go_as_the_configuration_says() {
    for (memory, expected) in [(Remedy::DropPacket, "5678"), (Remedy::Pass, "XXXX5678")] {
        let remedies = Remedies { memory, ..Remedies::default() };
        let config = Config { retained_direction_bytes_max: 4, remedies, ..small() };
        let mut gate = Gate::with(config);
        gate.establish();
        gate.put(&data(1, b"1234"));
        gate.put(&data(5, b"5678"));
        assert_eq!(gate.worker.gauges().retained_bytes, 4);
        let out = gate.put(&data(1, b"XXXXYYYY"));
        assert_eq!(String::from_utf8_lossy(&out[0].payload), expected);
        assert_eq!(out[0].seq, if expected.len() == 4 { 1005 } else { 1001 });
        // The header goes in any case: it may acknowledge something.
        let out = gate.put(&data(1, b"XXXX"));
        assert_eq!(out.len(), 1);
        let counters = gate.finish();
        assert_eq!((counters.forgotten, counters.rewritten), (2, 1));
    }
}

#[test]
fn all_flows_together_retain_no_more_than_the_bound_and_give_it_back_at_their_end() {
    let mut gate = Gate::with(Config { retained_bytes_max: 20_000, ..small() });
    for client in 0..40 {
        let client = format!("198.18.0.1:{}", 4000 + client);
        for frame in handshake() {
            gate.put(&frame.between(&client, crate::common::SERVER));
        }
        for segment in 0..10 {
            let frame = data(1 + 1000 * segment, &[7; 1000]);
            let known = |gate: &Gate| {
                let gauges = gate.worker.gauges();
                assert!(gauges.retained_bytes <= 20_000);
                gauges.retained_bytes + gauges.held_bytes
            };
            let before = known(&gate);
            let out = gate.put(&frame.between(&client, crate::common::SERVER));
            let left = 1000 * out.len() as u64;
            assert_eq!(known(&gate), before + left, "nothing leaves unremembered");
        }
    }
    assert!(gate.worker.gauges().retained_bytes > 3_000);
    gate.wait(Duration::from_secs(7441));
    gate.turn();
    assert_eq!(gate.worker.gauges().retained_bytes, 0);
    gate.finish();
}

/// Where no rule reads there is nothing that the receiver could be told instead, so nothing is kept.
#[test]
fn nothing_is_retained_where_no_rule_reads() {
    let mut gate = Gate::new();
    let deaf = Script { interest: Interest::NEW_CONNECTION, ..Script::default() };
    let reader = gate.worker.replace_policy(deaf);
    gate.establish();
    gate.put(&data(1, b"AAAA"));
    assert_eq!(gate.worker.gauges().retained_bytes, 0);
    for copy in [data(1, b"BBBB"), data(1, b"BBBBCC")] {
        assert_eq!(gate.put(&copy), [copy.crossed()]);
    }
    // A rule that begins to read was not shown what is in flight: its receiver may have lost that, and
    // gets it again. What the rule has read is compared.
    gate.worker.replace_policy(Script { interest: Interest::RECEIVE_DATA, skips: true, ..reader });
    assert_eq!(gate.put(&data(1, b"BBBB")), [data(1, b"BBBB").crossed()]);
    gate.put(&data(7, b"DDDD"));
    assert_eq!(gate.put(&data(7, b"EEEE")), [with(&data(7, b"EEEE"), b"DDDD")]);
    assert_eq!(gate.worker.counters().forgotten, 0);
}

/// A picked-up connection may send again what passed before: that nobody reads it was decided then.
#[test]
fn what_passed_before_a_connection_was_picked_up_passes_again() {
    let mut gate = Gate::with(Config { midstream: Midstream::Pickup, ..small() });
    for frame in [data(101, b"seen"), data(91, b"before"), data(101, b"seen")] {
        assert_eq!(gate.put(&frame), [frame.crossed()]);
    }
    let copy = data(101, b"SEEN");
    assert_eq!(gate.put(&copy), [with(&copy, b"seen")]);
    gate.finish();
}

#[test]
fn a_connection_that_begins_anew_remembers_nothing_of_the_last() {
    let mut gate = Gate::new();
    gate.establish();
    gate.put(&data(1, b"old"));
    gate.put(&Frame::client(4, 1, crate::common::RST, b""));
    assert_eq!(gate.worker.gauges().retained_bytes, 0);
    let again = |mut frame: Frame| {
        let isn = if frame.from_client { &mut frame.seq } else { &mut frame.ack };
        *isn = if frame.flags & ACK == 0 && !frame.from_client { 0 } else { *isn + 2 };
        frame
    };
    let [syn, syn_ack, ack] = handshake().map(again);
    assert_eq!(syn.flags, SYN);
    for frame in [syn, syn_ack, ack, again(data(1, b"new"))] {
        assert_eq!(gate.put(&frame), [frame.crossed()]);
    }
    gate.finish();
}

/// More is in flight than may be kept. What was lost of it behind us must come again, or its connection
/// would stand still for ever.
#[test]
fn a_copy_cut_as_the_first_leaves_though_its_bytes_are_not_kept() {
    let mut gate = Gate::with(Config { retained_direction_bytes_max: 4, ..small() });
    gate.establish();
    let segments = [data(1, b"1234"), data(5, b"5678"), data(9, b"9abc"), data(13, b"defg")];
    for frame in &segments {
        assert_eq!(gate.put(frame), [frame.crossed()]);
    }
    assert_eq!(gate.worker.gauges().retained_bytes, 4);
    for frame in segments.iter().chain([&data(1, b"12345678"), &data(5, b"56789abcdefghi")]) {
        assert_eq!(gate.put(frame), [frame.crossed()]);
    }
    assert_eq!(gate.worker.counters().forgotten, 0);
    // Cut in another way, or with other bytes, it is not known to be the same.
    for copy in [data(1, b"12"), data(3, b"34"), data(5, b"EVIL")] {
        assert_eq!(
            gate.put(&copy),
            [with(&data(copy.seq - 1000 + copy.payload.len() as u32, b""), b"")]
        );
    }
    gate.put(&Frame::server(1, 3, ACK, b""));
    assert_eq!(gate.put(&data(5, b"5678")), [data(5, b"5678").crossed()]);
    assert_eq!(gate.finish().forgotten, 3);
}

/// What is known of it was made equal to the first copy, and then the rest let it cross as it was.
#[test]
fn a_copy_that_is_partly_forgotten_has_a_right_checksum_when_its_connection_is_let_go() {
    let remedies = Remedies { memory: Remedy::Bypass, ..Remedies::default() };
    let mut gate = Gate::with(Config { retained_direction_bytes_max: 4, remedies, ..small() });
    gate.establish();
    gate.put(&data(1, b"1234"));
    gate.put(&data(5, b"5678"));
    let copy = data(1, b"XXXXYYYY");
    assert_eq!(gate.put(&copy), [with(&copy, b"XXXX5678")]);
    assert_eq!(gate.worker.gauges().bypassed, 1);
    gate.finish();
}
