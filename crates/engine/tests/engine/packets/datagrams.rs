//! `receive_datagram`: whole datagrams, however they came.

use tollgate_engine::{Cause, Config, Reason};
use tollgate_link::Port;
use tollgate_policy::{Interest, Verdict};
use tollgate_wire::{Datagram, Malformed};

use super::policy::{Booth, Event, FRAMES, Looker};
use super::traffic::{arp, cut, cut6, fix, ipv4, ping, udp, udp6};
use crate::common::{ACK, Frame, Seen, handshake, small};

const TTL: usize = 22;

#[test]
fn datagrams_follow_their_frames_and_what_is_none_is_not_shown() {
    let mut booth = Booth::new(Looker::accepting(FRAMES));
    for (port, frame) in [(Port::A, arp()), (Port::B, ping()), (Port::A, udp6(b"v"))] {
        assert_eq!(booth.put(port, &frame), [(port.peer(), frame)]);
    }
    let expected = [
        "frame a arp",
        "send a arp",
        "frame b icmp",
        "datagram b icmp",
        "send b icmp",
        "frame a udp6 v",
        "datagram a udp6 v",
        "send a udp6 v",
    ];
    assert_eq!(booth.events(), expected);
    booth.finish();
}

#[test]
fn a_datagram_that_no_rule_changes_leaves_in_the_fragments_it_came_in() {
    let payload: Vec<u8> = (0..3000_u32).map(|at| at.to_be_bytes()[3]).collect();
    let four = cut(&udp(&payload), &[1480, 8, 400], 77);
    let six = cut6(&udp6(&payload), &[1400, 16, 800], 78);
    for (frames, word) in [(four, "fragment"), (six, "fragment6")] {
        let mut booth = Booth::new(Looker::accepting(FRAMES));
        let (last, first) = frames.split_first().unwrap();
        for frame in first {
            assert_eq!(booth.put(Port::B, frame), []);
        }
        let out: Vec<_> = booth.put(Port::B, last).into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(out, frames);
        let events = booth.events();
        assert_eq!(events.len(), 4 + 1 + 4);
        assert!(events[..4].iter().all(|event| event.starts_with(&format!("frame b {word}"))));
        assert!(events[4].starts_with("datagram b udp"));
        assert!(events[5..].iter().all(|event| event.starts_with(&format!("send b {word}"))));
        assert_eq!(booth.finish().forged, 0);
    }
}

#[test]
fn a_datagram_longer_than_a_frame_is_shown_all_the_same() {
    let payload = vec![5; 60_000];
    let frames = cut(&udp(&payload), &[1480; 40], 7);
    let policy = Looker::new(Interest::RECEIVE_DATAGRAM, |event, frame, _| {
        assert_eq!((event, frame.bytes().len()), (Event::Datagram, 14 + 20 + 8 + 60_000));
        Verdict::Accept
    });
    let mut booth = Booth::new(policy);
    let frames: Vec<_> = frames.into_iter().map(|frame| (Port::A, frame)).collect();
    assert_eq!(booth.put_all(&frames).len(), frames.len());
    booth.finish();
}

/// Puts IPv4 or IPv6 fragments together, and gives what they carried.
fn joined(out: &[(Port, Vec<u8>)], header: usize) -> Vec<u8> {
    out.iter().flat_map(|(_, bytes)| bytes[header..].to_vec()).collect()
}

#[test]
fn a_changed_datagram_is_cut_where_it_was_cut_before() {
    let payload = [b'x'; 100];
    let frames = cut(&udp(&payload), &[24, 48], 77);
    let policy = Looker::new(Interest::RECEIVE_DATAGRAM, |_, frame, _| {
        // The header's checksum is not the rule's to care for: each fragment has its own.
        frame.bytes_mut()[TTL] = 3;
        let end = frame.bytes().len();
        frame.bytes_mut()[end - 1] = b'y';
        Verdict::Accept
    });
    let mut booth = Booth::new(policy);
    booth.put(Port::A, &frames[2]);
    booth.put(Port::A, &frames[1]);
    let out = booth.put(Port::A, &frames[0]);
    let mut expected = frames;
    for frame in &mut expected {
        frame[TTL] = 3;
        fix(frame);
    }
    *expected[2].last_mut().unwrap() = b'y';
    assert_eq!(out.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), expected);
    let counters = booth.finish();
    assert_eq!((counters.forged, counters.merged, counters.reassembled), (3, 3, 1));
}

#[test]
fn a_datagram_of_another_length_has_its_last_fragment_longer_or_shorter() {
    // What it has become, and the payloads of the fragments in which it leaves.
    let cases: [(usize, &[usize]); 6] = [
        (108, &[24, 48, 36]),
        (112, &[24, 48, 40]),
        (100, &[24, 48, 28]),
        (70, &[24, 46]),
        (8, &[8]),
        (24 + 48 + 512 + 8, &[24, 48, 512, 8]),
    ];
    for (len, expected) in cases {
        let frames = cut(&udp(&[b'x'; 100]), &[24, 48], 77);
        let policy = Looker::new(Interest::RECEIVE_DATAGRAM, move |_, frame, _| {
            frame.replace(ipv4(17, &vec![b'z'; len]));
            Verdict::Accept
        });
        let mut booth = Booth::new(policy);
        let mut out = Vec::new();
        for frame in &frames {
            out = booth.put(Port::A, frame);
        }
        let lens: Vec<_> = out.iter().map(|(_, bytes)| bytes.len() - 34).collect();
        assert_eq!(lens, expected);
        assert_eq!(joined(&out, 34), vec![b'z'; len]);
        for (number, (_, bytes)) in out.iter().enumerate() {
            let word = u16::from_be_bytes([bytes[20], bytes[21]]);
            let before: usize = expected[..number].iter().sum();
            let more = number + 1 < expected.len();
            assert_eq!(word, (before / 8) as u16 | if more { 0x2000 } else { 0 });
            assert_eq!(bytes[18..20], [0, 77]);
        }
        booth.finish();
    }
}

#[test]
fn a_changed_ipv6_datagram_keeps_its_identification() {
    let frames = cut6(&udp6(&[b'x'; 100]), &[24, 48], 0x0102_0304);
    let policy = Looker::new(Interest::RECEIVE_DATAGRAM, |_, frame, _| {
        frame.bytes_mut()[21] = 3;
        Verdict::Accept
    });
    let mut booth = Booth::new(policy);
    let mut out = Vec::new();
    for frame in &frames {
        out = booth.put(Port::A, frame);
    }
    let mut expected = frames;
    expected.iter_mut().for_each(|frame| frame[21] = 3);
    assert_eq!(out.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), expected);
    booth.finish();
}

#[test]
fn a_refused_datagram_takes_all_its_fragments_along() {
    let policy = Looker::new(Interest::RECEIVE_DATAGRAM, |_, _, _| Verdict::DropPacket);
    let mut booth = Booth::new(policy);
    for frame in cut(&udp(&[1; 100]), &[24, 48], 77).iter().chain([&ping()]) {
        assert_eq!(booth.put(Port::A, frame), []);
    }
    assert_eq!(booth.finish().dropped_for(Reason::Cause(Cause::RuleDatagram)), 4);
}

#[test]
fn a_fragmented_segment_reaches_its_connection_as_rules_have_left_it() {
    for replaced in [false, true] {
        let interest = Interest::RECEIVE_DATAGRAM | Interest::RECEIVE_DATA;
        let good = Frame::client(1, 1, ACK, b"this is what rules have made of it");
        let bytes = good.bytes();
        let policy = Looker::new(interest, move |_, frame, _| {
            if replaced && frame.bytes().ends_with(b"evil") {
                frame.replace(bytes.clone());
            }
            Verdict::Accept
        });
        let mut booth = Booth::new(policy);
        for frame in handshake() {
            booth.put(frame.port(), &frame.bytes());
        }
        let evil = Frame::client(1, 1, ACK, b"a segment in fragments, and it is evil");
        let mut out = Vec::new();
        for fragment in evil.fragments(24, 9) {
            out = booth.put(Port::A, &fragment);
        }
        let expected = if replaced { good } else { evil };
        let out: Vec<_> = out.iter().map(|(port, bytes)| Seen::read(*port, bytes)).collect();
        assert_eq!(out, [expected.crossed()]);
        let data = format!("data {}", String::from_utf8_lossy(&expected.payload));
        assert_eq!(booth.events().last(), Some(&data));
        booth.finish();
    }
}

#[test]
fn what_rules_turn_into_a_fragment_is_dropped_where_tcp_is_followed() {
    let fragment = cut(&udp(&[1; 100]), &[48], 77)[0].clone();
    let policy = Looker::new(Interest::RECEIVE_DATAGRAM, move |_, frame, _| {
        let mut tcp = fragment.clone();
        tcp[23] = 6;
        fix(&mut tcp);
        frame.replace(tcp);
        Verdict::Accept
    });
    let mut booth = Booth::new(policy);
    assert_eq!(booth.put(Port::A, &ping()), []);
    for frame in cut(&udp(&[1; 100]), &[24, 48], 77) {
        assert_eq!(booth.put(Port::A, &frame), []);
    }
    assert_eq!(booth.finish().dropped_for(Reason::Cause(Cause::FragmentBroken)), 4);
}

#[test]
fn broken_lengths_are_no_datagram_and_a_broken_checksum_is_the_rules_to_judge() {
    let mut booth = Booth::new(Looker::accepting(Interest::RECEIVE_DATAGRAM));
    let mut short = udp(b"u");
    short[17] += 1;
    assert_eq!(booth.put(Port::A, &short), []);
    let mut wrong = udp(b"u");
    wrong[24] ^= 1;
    assert_eq!(booth.put(Port::A, &wrong), [(Port::B, wrong)]);
    assert_eq!(booth.events(), ["datagram a udp u"]);
    assert_eq!(booth.finish().dropped_for(Reason::Malformed(Malformed::Ipv4)), 1);
}

#[test]
fn a_datagram_that_grew_beyond_what_the_port_takes_leaves_in_fragments() {
    let mut long = ipv4(17, &[5; 1600]);
    long.truncate(34 + 1600);
    let policy = Looker::new(Interest::RECEIVE_DATAGRAM, move |_, frame, _| {
        frame.replace(long.clone());
        Verdict::Accept
    });
    let mut booth = Booth::with(Config { mtu: 1500, ..small() }, policy);
    let out = booth.put(Port::A, &udp(b"u"));
    assert_eq!(out.len(), 2);
    assert!(out.iter().all(|(_, bytes)| Datagram::of(bytes) == Datagram::Fragment));
    assert!(out.iter().all(|(_, bytes)| bytes.len() <= 1514));
    assert_eq!(joined(&out, 34), [5; 1600]);
    booth.finish();
}
