//! Exact segments: what goes in, what a rule does, what comes out.

use tollgate_engine::{Cause, Reason};
use tollgate_link::Port;
use tollgate_policy::{Report, Verdict};
use tollgate_wire::{Packet, Seq};

use super::gate::{Gate, c, down, s, up};
use crate::common::{ACK, CLIENT_ISN, FIN, Frame, PSH, RST, SERVER_ISN, SYN, handshake, small};

#[test]
fn insertions_at_the_beginning_in_the_middle_and_at_the_end_move_what_follows() {
    let mut gate = Gate::new();
    gate.rule(|data| {
        data.insert(0, "<").unwrap();
        data.insert(2, "--").unwrap();
        data.insert(4, ">").unwrap();
    });
    assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "<ab--cd>")]);
    assert_eq!(gate.put(&up(5, 1, "next")), [s(9, 1, "next")]);
    assert_eq!(gate.put(&down(1, 9, "")), [c(1, 5, "")]);
    assert_eq!(gate.put(&down(1, 13, "answer")), [c(1, 9, "answer")]);
    // What acknowledges a part of an insertion acknowledges nothing of it.
    assert_eq!(gate.put(&up(9, 7, "x")), [s(13, 7, "x")]);
    let counters = gate.finish();
    let edits = counters.edits;
    assert_eq!((edits.connections, edits.edits, edits.bytes_in, edits.bytes_out), (1, 3, 0, 4));
    assert_eq!(counters.dropped(), 0);
}

#[test]
fn an_acknowledgment_inside_an_edit_stops_before_it() {
    let mut gate = Gate::new();
    gate.rule(|data| data.replace(1..3, "12345678").unwrap());
    assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "a12345678d")]);
    for (ack, means) in [(1, 1), (2, 2), (3, 2), (9, 2), (10, 4), (11, 5)] {
        assert_eq!(gate.put(&down(1, ack, "")), [c(1, means, "")]);
    }
    gate.finish();
}

#[test]
fn erased_segments_are_acknowledged_to_their_sender_when_nobody_else_will() {
    let mut gate = Gate::new();
    gate.rule(|data| data.erase(0..4).unwrap());
    // The header goes on, for it may say something new: so it is with the first change only.
    assert_eq!(gate.put(&up(1, 1, "gone")), [c(1, 5, ""), s(1, 1, "")]);
    // It was lost, so the sender says it again: the receiver's answer to an old number covers it.
    let old = ('s', 0_u32.wrapping_sub(3), 1, PSH | ACK, String::new());
    assert_eq!(gate.put(&up(1, 1, "gone")), [old]);
    assert_eq!(gate.put(&down(1, 1, "")), [c(1, 5, "")]);
    assert_eq!(gate.put(&up(5, 1, "here")), [s(1, 1, "here")]);
    // While something is in flight, its acknowledgment covers what was erased behind it.
    gate.rule(|data| data.erase(8..12).unwrap());
    assert_eq!(gate.put(&up(9, 1, "gone")), []);
    assert_eq!(gate.put(&down(1, 5, "")), [c(1, 13, "")]);
    let counters = gate.finish();
    assert_eq!((counters.edits.acks, counters.dropped_for(Reason::Cause(Cause::Edited))), (1, 1));
}

#[test]
fn what_an_erased_segment_says_beside_its_bytes_still_arrives() {
    let mut gate = Gate::new();
    assert_eq!(gate.put(&down(1, 1, "question")), [c(1, 1, "question")]);
    gate.rule(|data| data.erase(0..6).unwrap());
    let out = gate.put(&up(1, 9, "answer"));
    assert_eq!(out, [c(9, 7, ""), s(1, 9, "")]);
    gate.finish();
}

#[test]
fn a_replacement_across_two_segments_leaves_in_both() {
    let mut gate = Gate::new();
    // The second arrives first, so that one event shows both.
    assert_eq!(gate.put(&up(5, 1, "efgh")), [c(1, 1, "")]);
    gate.rule(|data| {
        assert_eq!(data.to_vec(), b"abcdefgh");
        data.replace(2..6, "-").unwrap();
    });
    let out = gate.put(&up(1, 1, "abcd"));
    // The first segment ends within the edit and takes it along.
    assert_eq!(out, [s(1, 1, "ab-"), s(4, 1, "gh")]);
    assert_eq!(gate.put(&down(1, 6, "")), [c(1, 9, "")]);
    gate.finish();
}

#[test]
fn repetitions_are_cut_from_what_left_however_they_are_cut() {
    let mut gate = Gate::new();
    gate.rule(|data| data.replace(2..4, "12345").unwrap());
    assert_eq!(gate.put(&up(1, 1, "abcdef")), [s(1, 1, "ab12345ef")]);
    assert_eq!(gate.put(&up(1, 1, "abcdef")), [s(1, 1, "ab12345ef")]);
    assert_eq!(gate.put(&up(1, 1, "ab")), [s(1, 1, "ab")]);
    assert_eq!(gate.put(&up(1, 1, "abc")), [s(1, 1, "ab12345")]);
    assert_eq!(gate.put(&up(4, 1, "def")), [s(3, 1, "12345ef")]);
    assert_eq!(gate.put(&up(5, 1, "ef")), [s(8, 1, "ef")]);
    // Other bytes change nothing.
    assert_eq!(gate.put(&up(1, 1, "XXXXXX")), [s(1, 1, "ab12345ef")]);
    // What is acknowledged is not sent again.
    assert_eq!(gate.put(&down(1, 5, "")), [c(1, 3, "")]);
    assert_eq!(gate.put(&up(1, 1, "abcdef")), [s(5, 1, "345ef")]);
    // A repetition with something new behind it.
    assert_eq!(gate.put(&up(5, 1, "efgh")), [s(8, 1, "efgh")]);
    gate.finish();
}

/// A handshake in which the server takes segments of so many bytes, windows are not scaled, and both
/// have timestamps or not.
fn terms(mss: u16, window: u16, timestamps: bool) -> [Frame; 3] {
    let mut frames = handshake();
    for frame in &mut frames {
        frame.window = window;
        if frame.flags & SYN != 0 {
            frame.options = vec![2, 4];
            frame.options.extend(mss.to_be_bytes());
        }
        if timestamps {
            frame.options.extend(stamps(100, if frame.flags & ACK == 0 { 0 } else { 100 }));
        }
    }
    frames
}

fn stamps(value: u32, echo: u32) -> Vec<u8> {
    let mut option = vec![1, 1, 8, 10];
    option.extend([value.to_be_bytes(), echo.to_be_bytes()].concat());
    option
}

#[test]
fn what_grows_beyond_the_segment_is_split_and_only_the_last_part_pushes_and_ends() {
    let mut gate = Gate::with(small(), &terms(112, 60_000, true));
    gate.rule(|data| data.insert(1, "x".repeat(250)).unwrap());
    let mut frame = Frame::client(1, 1, PSH | ACK | FIN, b"ab");
    frame.options = stamps(101, 100);
    frame.ttl = 61;
    let out = gate.bytes(&frame);
    let parts: Vec<_> = out.iter().map(|(_, bytes)| Packet::parse(&bytes[..]).unwrap()).collect();
    let says = |packet: &Packet<&[u8]>| {
        let headers = packet.headers();
        let flags = headers.flags.bits() as u8;
        (headers.seq.0 - CLIENT_ISN, packet.payload().len(), flags, headers.ttl)
    };
    let expected = [(1, 100, ACK, 63), (101, 100, ACK, 63), (201, 52, PSH | ACK | FIN, 63)];
    assert_eq!(parts.iter().map(says).collect::<Vec<_>>(), expected);
    for part in &parts {
        assert_eq!(part.options().timestamps.unwrap().value, 101);
    }
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.payload().to_vec()).collect();
    assert_eq!(bytes, format!("a{}b", "x".repeat(250)).as_bytes());
    // The FIN is acknowledged with the rest, and not before.
    let mut ack = down(1, 253, "");
    ack.options = stamps(101, 101);
    assert_eq!(gate.put(&ack)[0].2, 3);
    ack = Frame { ack: ack.ack + 1, ..ack };
    assert_eq!(gate.put(&ack)[0].2, 4);
    assert_eq!(gate.finish().edits.split, 2);
}

#[test]
fn what_the_window_has_no_room_for_leaves_when_it_has() {
    let mut gate = Gate::with(small(), &terms(1460, 6, false));
    gate.rule(|data| data.insert(2, "0123456789").unwrap());
    assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "ab0123")]);
    let window = |ack, window| Frame { window, ..down(1, ack, "") };
    // The sender sees the window end before the insertion that does not fit.
    let seen = gate.bytes(&window(7, 0));
    let packet = Packet::parse(&seen[0].1[..]).unwrap();
    assert_eq!((packet.headers().ack, packet.headers().window), (Seq(CLIENT_ISN + 3), 0));
    // Room for some, for the rest, and a repetition that asks whether there is any.
    let out = gate.put(&window(7, 4));
    assert_eq!(out, [c(1, 3, ""), s(7, 1, "4567")]);
    assert_eq!(gate.put(&up(3, 1, "cd")), [s(7, 1, "4567")]);
    assert_eq!(gate.put(&window(11, 0)), [c(1, 3, "")]);
    assert_eq!(gate.put(&up(3, 1, "cd")), [s(10, 1, "")]);
    assert_eq!(gate.put(&window(11, 100)), [c(1, 3, ""), s(11, 1, "89cd")]);
    assert_eq!(gate.put(&window(15, 100)), [c(1, 5, "")]);
    assert_eq!(gate.finish().edits.forged, 2);
}

/// The receiver makes room again, and its word is lost; so may be what asks for it, and the answer.
#[test]
fn who_waits_for_room_asks_until_the_answer_arrives() {
    let mut gate = Gate::with(small(), &terms(1460, 6, false));
    gate.rule(|data| data.insert(2, "0123456789").unwrap());
    assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "ab0123")]);
    let window = |ack, window| Frame { window, ..down(1, ack, "") };
    assert_eq!(gate.put(&window(7, 0)), [c(1, 3, "")]);
    // As senders ask that have sent all, as Linux does, and as BSD does, with a byte that is new.
    let asks = s(6, 1, "");
    for probe in [up(3, 1, "cd"), up(2, 1, ""), up(5, 1, "e"), up(5, 1, "e")] {
        for _ in 0..2 {
            let out = gate.put(&probe);
            assert!(matches!(&out[..], [one] if one.1 == asks.1 && one.4.is_empty()), "{out:?}");
        }
    }
    assert_eq!(gate.put(&window(7, 0)), [c(1, 3, "")]);
    assert_eq!(gate.put(&window(7, 100)), [c(1, 3, ""), s(7, 1, "456789cde")]);
    assert_eq!(gate.put(&window(16, 100)), [c(1, 6, "")]);
    gate.finish();
}

#[test]
fn forged_segments_carry_the_newest_timestamps() {
    let mut gate = Gate::with(small(), &terms(1460, 6, true));
    gate.rule(|data| data.insert(2, "0123456789").unwrap());
    let mut frame = up(1, 1, "abcd");
    frame.options = stamps(150, 100);
    assert_eq!(gate.put(&frame).len(), 1);
    let mut ack = Frame { window: 100, ..down(1, 7, "") };
    ack.options = stamps(170, 150);
    let out = gate.bytes(&ack);
    let packet = out.iter().find(|(port, _)| *port == Port::B).unwrap();
    let packet = Packet::parse(&packet.1[..]).unwrap();
    let timestamps = packet.options().timestamps.unwrap();
    assert_eq!((timestamps.value, timestamps.echo), (150, 170));
    assert_eq!(packet.payload(), b"456789cd");
    gate.finish();
}

#[test]
fn selective_acknowledgments_are_translated_both_ways() {
    let sack = |blocks: &[(u32, u32)], isn: u32| {
        let mut option = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
        for (left, right) in blocks {
            option.extend([(isn + left).to_be_bytes(), (isn + right).to_be_bytes()].concat());
        }
        option
    };
    let mut gate = Gate::new();
    gate.rule(|data| data.insert(0, "12345").unwrap());
    assert_eq!(gate.put(&up(1, 1, "ab")), [s(1, 1, "12345ab")]);
    assert_eq!(gate.put(&up(3, 1, "cd")), [s(8, 1, "cd")]);
    assert_eq!(gate.put(&up(5, 1, "ef")), [s(10, 1, "ef")]);
    let mut ack = down(1, 1, "");
    // All of ef; a part of the insertion with all of cd; what was never sent.
    ack.options = sack(&[(10, 12), (4, 10), (11, 20)], CLIENT_ISN);
    let out = gate.bytes(&ack);
    let packet = Packet::parse(&out[0].1[..]).unwrap();
    let blocks: Vec<_> = packet.options().sack.into_iter().flatten().collect();
    let block = |left, right| (Seq(CLIENT_ISN + left), Seq(CLIENT_ISN + right));
    assert_eq!(blocks, [block(5, 7), block(2, 5)]);
    assert_eq!(packet.headers().ack, Seq(CLIENT_ISN + 1));

    gate.rule(|data| data.erase(0..2).unwrap());
    assert_eq!(gate.put(&down(1, 1, "xxyy")), [c(1, 1, "yy")]);
    assert_eq!(gate.put(&down(5, 1, "zz")), [c(3, 1, "zz")]);
    let mut ack = up(7, 1, "");
    ack.options = sack(&[(3, 5)], SERVER_ISN);
    let out = gate.bytes(&ack);
    let packet = Packet::parse(&out[0].1[..]).unwrap();
    let blocks: Vec<_> = packet.options().sack.into_iter().flatten().collect();
    assert_eq!(blocks, [(Seq(SERVER_ISN + 5), Seq(SERVER_ISN + 7))]);
    // What was erased before the first byte that is left is acknowledged with the SYN.
    assert_eq!(packet.headers().ack, Seq(SERVER_ISN + 3));
    assert_eq!(gate.finish().sacks_stripped, 1);
}

#[test]
fn keep_alives_stay_one_before_what_is_expected() {
    let mut gate = Gate::new();
    gate.rule(|data| data.replace(3..4, "longer").unwrap());
    assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "abclonger")]);
    assert_eq!(gate.put(&down(1, 10, "")), [c(1, 5, "")]);
    assert_eq!(gate.put(&up(4, 1, "")), [s(9, 1, "")]);
    assert_eq!(gate.put(&up(4, 1, "?")), [('s', 9, 1, PSH | ACK, String::new())]);
    assert_eq!(gate.put(&down(1, 10, "")), [c(1, 5, "")]);
    assert_eq!(gate.put(&down(0, 10, "")), [c(0, 5, "")]);
    gate.finish();
}

#[test]
fn what_is_put_behind_the_last_byte_at_the_end_rides_with_the_fin() {
    let mut gate = Gate::new();
    assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "abcd")]);
    gate.rule(|data| {
        assert!(data.is_end() && data.is_empty());
        data.insert(4, "bye").unwrap();
    });
    let fin = Frame::client(5, 1, FIN | ACK, b"");
    assert_eq!(gate.put(&fin), [('s', 5, 1, FIN | ACK, "bye".to_owned())]);
    assert_eq!(gate.put(&down(1, 8, "")), [c(1, 5, "")]);
    assert_eq!(gate.put(&fin), [('s', 8, 1, FIN | ACK, String::new())]);
    let closing = Frame::server(1, 9, FIN | ACK, b"");
    assert_eq!(gate.put(&closing), [('c', 1, 6, FIN | ACK, String::new())]);
    assert_eq!(gate.put(&up(6, 2, "")), [s(9, 2, "")]);
    gate.finish();
}

#[test]
fn all_of_a_stream_may_go_and_its_fin_stays() {
    let mut gate = Gate::new();
    gate.rule(|data| data.erase(0..4).unwrap());
    let frame = Frame::client(1, 1, PSH | FIN | ACK, b"abcd");
    assert_eq!(gate.put(&frame), [('s', 1, 1, PSH | FIN | ACK, String::new())]);
    assert_eq!(gate.put(&down(1, 2, "")), [c(1, 6, "")]);
    gate.finish();
}

#[test]
fn resets_of_rules_and_of_endpoints_have_the_numbers_of_their_receiver() {
    // By a rule: at what the receiver has acknowledged, then at the edge of what has left.
    let mut gate = Gate::new();
    gate.rule(|data| data.insert(0, "++++").unwrap());
    assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "++++abcd")]);
    assert_eq!(gate.put(&down(1, 5, "")), [c(1, 1, "")]);
    gate.worker.policy_mut().rules.push_back(Box::new(|_, _| Verdict::Reset));
    let rst = |who, seq| (who, seq, 0, RST, String::new());
    let out = gate.put(&up(5, 1, "evil"));
    assert_eq!(out, [rst('c', 1), rst('s', 5), rst('s', 9)]);
    gate.finish();

    // By an endpoint.
    let mut gate = Gate::new();
    gate.rule(|data| data.insert(0, "++++").unwrap());
    assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "++++abcd")]);
    assert_eq!(gate.put(&Frame::client(5, 0, RST, b"")), [rst('s', 9)]);
    // Who still speaks is told in his own numbers.
    let out = gate.put(&down(1, 9, "late"));
    assert_eq!(out, [rst('s', 9)]);
    // A challenge is translated, and its answer too.
    assert_eq!(gate.put(&down(1, 5, "")), [c(1, 1, "")]);
    gate.finish();
}

#[test]
fn both_directions_are_changed_at_once() {
    let mut gate = Gate::new();
    gate.rule(|data| data.insert(0, "up:").unwrap());
    assert_eq!(gate.put(&up(1, 1, "abc")), [s(1, 1, "up:abc")]);
    gate.rule(|data| data.erase(0..2).unwrap());
    assert_eq!(gate.put(&down(1, 7, "xxyz")), [c(1, 4, "yz")]);
    gate.rule(|data| data.replace(3..4, "").unwrap());
    assert_eq!(gate.put(&up(4, 3, "de")), [s(7, 5, "e")]);
    assert_eq!(gate.put(&down(5, 8, "")), [c(3, 6, "")]);
    gate.finish();
}

#[test]
fn what_is_in_flight_when_the_first_change_comes_is_still_repeated() {
    let mut gate = Gate::new();
    assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "abcd")]);
    assert_eq!(gate.put(&down(1, 1, "wxyz")), [c(1, 1, "wxyz")]);
    gate.rule(|data| data.insert(4, "+").unwrap());
    assert_eq!(gate.put(&up(5, 1, "ef")), [s(5, 1, "+ef")]);
    assert_eq!(gate.put(&up(1, 1, "abcdef")), [s(1, 1, "abcd+ef")]);
    assert_eq!(gate.put(&up(3, 1, "XX")), [s(3, 1, "cd")]);
    assert_eq!(gate.put(&down(1, 1, "????")), [c(1, 1, "wxyz")]);
    gate.finish();
}

/// What leaves of a second copy is cut from what the first has become; that it said something else is told
/// all the same, once.
#[test]
fn a_copy_with_other_bytes_is_told_in_a_changed_stream_too() {
    let alerts = |gate: &mut Gate| {
        let reports = gate.worker.reports().drain();
        reports.filter(|report| matches!(report, Report::Alert(_))).count()
    };
    type Copies = &'static [(u32, &'static str, &'static str)];
    let cases: [(bool, Copies); 8] = [
        (false, &[(5, "abcd", "ab++cd"), (9, "efgh", "efgh"), (5, "abcdefgh", "ab++cdefgh")]),
        (false, &[(1, "kept", "kept"), (3, "ptabcd", "ptab++cd"), (9, "efghnew", "efghnew")]),
        (true, &[(1, "kXpt", "kept")]),
        (true, &[(3, "pXabcd", "ptab++cd")]),
        (true, &[(5, "abXd", "ab++cd"), (5, "XXXX", "ab++cd")]),
        (true, &[(5, "abcdeXgh", "ab++cdefgh")]),
        (true, &[(9, "eXghnew", "efghnew")]),
        // Of one that is cut anew nothing is known.
        (false, &[(6, "XX", "b++c")]),
    ];
    for (told, copies) in cases {
        let mut gate = Gate::new();
        assert_eq!(gate.put(&up(1, 1, "kept")), [s(1, 1, "kept")]);
        gate.rule(|data| data.insert(6, "++").unwrap());
        assert_eq!(gate.put(&up(5, 1, "abcd")), [s(5, 1, "ab++cd")]);
        assert_eq!(gate.put(&up(9, 1, "efgh")), [s(11, 1, "efgh")]);
        for (seq, copy, leaves) in copies {
            let out = gate.put(&up(*seq, 1, copy));
            assert_eq!(out.iter().map(|out| &out.4[..]).collect::<String>(), *leaves, "{copy}");
        }
        assert_eq!(alerts(&mut gate), usize::from(told), "{copies:?}");
        assert_eq!(gate.finish().rewritten > 0, told);
    }
}
