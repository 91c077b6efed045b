//! `receive_frame`: everything that arrives, as it is.

use tollgate_engine::{Cause, Config, OtherTraffic, Reason};
use tollgate_link::Port;
use tollgate_policy::{Interest, Verdict};
use tollgate_wire::{Malformed, Other};

use super::policy::{Booth, FRAMES, Looker};
use super::traffic::{arp, cut, fix, ping, udp, udp6};
use crate::common::{ACK, Frame, SYN, handshake, small};

const TTL: usize = 22;

#[test]
fn every_frame_is_shown_whatever_it_carries_and_leaves_as_it_was() {
    let mut booth = Booth::new(Looker::accepting(Interest::RECEIVE_FRAME));
    let fragment = cut(&udp(&[7; 32]), &[16], 5)[0].clone();
    let syn = Frame::client(0, 0, SYN, b"").bytes();
    for frame in [arp(), udp(b"u"), udp6(b"v"), ping(), fragment, syn] {
        assert_eq!(booth.put(Port::A, &frame), [(Port::B, frame)]);
    }
    // Nothing that could be read is shown all the same, and its fate is what it was without rules.
    assert_eq!(booth.put(Port::B, &[1, 2, 3]), []);
    let seen = ["arp", "udp u", "udp", "icmp", "fragment", "tcp"];
    let events = booth.events();
    assert_eq!(events.len(), 7);
    for (event, what) in events.iter().zip(seen) {
        assert!(event.starts_with(&format!("frame a {what}")), "{event}");
    }
    assert_eq!(events[6], "frame b other");
    let counters = booth.finish();
    assert_eq!(counters.passed[Other::Ip as usize], 4);
    assert_eq!(counters.dropped_for(Reason::Malformed(Malformed::Ethernet)), 1);
}

#[test]
fn a_frame_that_is_changed_in_place_is_read_as_it_is_then() {
    let policy = Looker::new(Interest::RECEIVE_FRAME | Interest::RECEIVE_DATA, |_, frame, _| {
        frame.bytes_mut()[TTL] = 9;
        if frame.bytes()[14] == 0x45 {
            fix(frame.bytes_mut());
        }
        Verdict::Accept
    });
    let mut booth = Booth::new(policy);
    for frame in handshake() {
        let out = booth.put(frame.port(), &frame.bytes());
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].1[TTL], 9);
    }
    let out = booth.put(Port::A, &udp(b"u"));
    assert_eq!(out[0].1[TTL], 9);
    booth.finish();
}

#[test]
fn bytes_that_a_rule_changes_are_what_the_connection_is_made_of() {
    let policy = Looker::new(Interest::RECEIVE_FRAME | Interest::RECEIVE_DATA, |_, frame, _| {
        // "evil" to "good"; neither checksum is mended.
        if frame.bytes().ends_with(b"evil") {
            let at = frame.bytes().len() - 4;
            frame.bytes_mut()[at..].copy_from_slice(b"good");
        }
        Verdict::Accept
    });
    let mut booth = Booth::new(policy);
    for frame in handshake() {
        booth.put(frame.port(), &frame.bytes());
    }
    let data = Frame::client(1, 1, ACK, b"twelve, evil").bytes();
    assert_eq!(booth.put(Port::A, &data), []);
    let counters = booth.finish();
    assert_eq!(counters.dropped_for(Reason::Malformed(Malformed::TcpChecksum)), 1);
}

#[test]
fn a_refused_frame_has_a_reason_of_its_own_and_nobody_else_sees_it() {
    for verdict in [Verdict::DropPacket, Verdict::Drop, Verdict::HalfReset, Verdict::Reset] {
        let interest = FRAMES | Interest::EVENTS;
        let policy = Looker::new(interest, move |_, _, _| verdict);
        let mut booth = Booth::new(policy);
        let syn = Frame::client(0, 0, SYN, b"").bytes();
        for frame in [syn, udp(b"u"), arp()] {
            assert_eq!(booth.put(Port::A, &frame), []);
        }
        assert_eq!(booth.events(), ["frame a tcp", "frame a udp u", "frame a arp"]);
        let counters = booth.finish();
        assert_eq!(counters.dropped_for(Reason::Cause(Cause::RuleFrame)), 3);
        assert_eq!(counters.verdicts[verdict as usize], 3);
    }
}

#[test]
fn a_bypass_of_a_frame_lets_it_pass() {
    let policy = Looker::new(FRAMES, |_, _, _| Verdict::Bypass);
    let mut booth = Booth::new(policy);
    assert_eq!(booth.put(Port::A, &udp(b"u")).len(), 1);
    booth.finish();
}

#[test]
fn another_length_takes_the_place_of_the_frame_if_a_frame_can_hold_it() {
    let lens = [60, 1514, 2048, 2049, 70_000, 13, 0];
    let mut lens_left = lens.into_iter();
    let policy = Looker::new(Interest::RECEIVE_FRAME, move |_, frame, _| {
        let mut other = arp();
        other.resize(lens_left.next().unwrap(), 1);
        frame.replace(other);
        Verdict::Accept
    });
    let mut booth = Booth::new(policy);
    for len in lens {
        let out = booth.put(Port::A, &arp());
        let crosses = (14..=2048).contains(&len);
        let out: Vec<_> = out.iter().map(|(_, bytes)| bytes.len()).collect();
        assert_eq!(out, if crosses { vec![len] } else { vec![] });
    }
    let counters = booth.finish();
    assert_eq!(counters.dropped_for(Reason::Cause(Cause::RuleTooLong)), 2);
    assert_eq!(counters.dropped_for(Reason::Malformed(Malformed::Ethernet)), 2);
}

#[test]
fn what_the_configuration_does_not_let_cross_does_not_though_rules_saw_it() {
    let config = Config { other: OtherTraffic::Drop, ..small() };
    let mut booth = Booth::with(config, Looker::accepting(FRAMES));
    let pieces = cut(&udp(&[7; 32]), &[16], 5);
    for frame in [udp(b"u"), arp()].iter().chain(&pieces) {
        assert_eq!(booth.put(Port::A, frame), []);
    }
    assert!(booth.events().iter().all(|event| !event.starts_with("send")));
    assert_eq!(booth.finish().dropped_for(Reason::Cause(Cause::Other)), 4);
}

#[test]
fn frames_of_a_batch_have_their_whole_effect_one_after_the_other() {
    let interest = FRAMES | Interest::NEW_CONNECTION | Interest::RECEIVE_DATA;
    let mut booth = Booth::new(Looker::accepting(interest));
    let syn = Frame::client(0, 0, SYN, b"").bytes();
    let out = booth.put_all(&[(Port::A, udp(b"one")), (Port::A, syn), (Port::A, udp(b"two"))]);
    assert_eq!(out.len(), 3);
    let expected = [
        "frame a udp one",
        "datagram a udp one",
        "send a udp one",
        "frame a tcp",
        "datagram a tcp",
        "new",
        "send a tcp",
        "frame a udp two",
        "datagram a udp two",
        "send a udp two",
    ];
    assert_eq!(booth.events(), expected);
    booth.finish();
}
