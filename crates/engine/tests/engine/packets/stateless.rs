//! TCP that nobody follows.

use tollgate_engine::{Config, Follow, Reason};
use tollgate_link::Port;
use tollgate_policy::{Interest, Verdict};
use tollgate_wire::Malformed;

use super::policy::{Booth, FRAMES, Looker};
use super::traffic::{arp, udp};
use crate::common::{ACK, Frame, RST, SYN, handshake, small};

const STATELESS: Interest = FRAMES.union(Interest::STATELESS).union(Interest::EVENTS);

#[test]
fn packets_of_no_connection_cross_as_they_are_without_an_alert() {
    let mut booth = Booth::new(Looker::accepting(STATELESS));
    let mut wrong = Frame::server(9, 9, ACK, b"wrong").bytes();
    wrong[50] ^= 1;
    let mut torn = Frame::client(1, 1, ACK, b"torn").bytes();
    torn[46] = 0x40;
    let rst = Frame::client(77, 0, RST, b"").bytes();
    let syn = Frame::client(0, 0, SYN, b"early").bytes();
    for frame in [wrong, torn, rst, syn] {
        assert_eq!(booth.put(Port::B, &frame), [(Port::A, frame)]);
    }
    let events = booth.events();
    assert_eq!(events.len(), 12);
    assert_eq!(events[..3], ["frame b tcp wrong", "datagram b tcp wrong", "send b tcp wrong"]);
    assert!(booth.worker.reports().is_empty());
    assert_eq!(booth.worker.gauges().half_open, 0);
    assert_eq!(booth.finish().untracked, 4);
}

#[test]
fn fragments_of_tcp_are_put_together_for_rules_and_leave_as_they_came() {
    let mut booth = Booth::new(Looker::accepting(STATELESS));
    let frames = Frame::client(1, 1, ACK, b"a segment in three fragments").fragments(24, 9);
    let mut out = Vec::new();
    for frame in &frames {
        out = booth.put(Port::A, frame);
    }
    assert_eq!(out.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), frames);
    assert_eq!(booth.events()[2..][..1], ["datagram a tcp fragments"]);
    booth.finish();
}

#[test]
fn without_a_listener_of_datagrams_nothing_is_put_together_or_judged() {
    let interest = Interest::RECEIVE_FRAME | Interest::STATELESS;
    let mut booth = Booth::new(Looker::accepting(interest));
    let mut short = udp(b"u");
    short[17] += 1;
    let fragment = Frame::client(1, 1, ACK, b"a fragment alone").fragments(16, 9)[1].clone();
    for frame in [short, fragment, arp()] {
        assert_eq!(booth.put(Port::A, &frame), [(Port::B, frame)]);
    }
    assert_eq!(booth.put(Port::A, &[1; 13]), []);
    let counters = booth.finish();
    assert_eq!(counters.dropped_for(Reason::Malformed(Malformed::Ethernet)), 1);
}

#[test]
fn checksums_left_to_a_card_are_completed_unless_this_is_a_replay() {
    let good = Frame::client(1, 1, ACK, b"partial").bytes();
    // The sum of the pseudo-header alone, not inverted.
    let mut half = good.clone();
    let (addresses, segment_len) = (&good[26..34], 27);
    let words = addresses.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum = words.sum::<u32>() + 6 + segment_len;
    half[50..52].copy_from_slice(&(((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    assert_ne!(half, good);
    for complete_checksums in [true, false] {
        let config = Config { complete_checksums, ..small() };
        let mut booth = Booth::with(config, Looker::accepting(STATELESS));
        let expected = if complete_checksums { &good } else { &half };
        assert_eq!(booth.put(Port::A, &half), [(Port::B, expected.clone())]);
        assert_eq!(booth.finish().checksums_completed, u64::from(complete_checksums));
    }
}

#[test]
fn the_configuration_can_have_connections_followed_all_the_same() {
    let config = Config { follow: Follow::Always, ..small() };
    let mut booth = Booth::with(config, Looker::accepting(STATELESS));
    assert_eq!(booth.put(Port::A, &Frame::client(1, 1, ACK, b"stray").bytes()), []);
    for frame in handshake() {
        assert_eq!(booth.put(frame.port(), &frame.bytes()).len(), 1);
    }
    let events = booth.events();
    assert!(events.contains(&"new".to_owned()), "{events:?}");
    booth.finish();
}

#[test]
fn rules_that_follow_connections_again_take_them_up_in_their_middle() {
    let mut booth = Booth::new(Looker::accepting(STATELESS));
    let stream = handshake().into_iter().chain([Frame::client(1, 1, ACK, b"unseen")]);
    for frame in stream {
        assert_eq!(booth.put(frame.port(), &frame.bytes()).len(), 1);
    }
    let interest = Interest::EVENTS;
    booth.worker.replace_policy(Looker::new(interest, |_, _, _| Verdict::Accept));
    let data = Frame::client(7, 1, ACK, b"seen");
    assert_eq!(booth.put(Port::A, &data.bytes()).len(), 1);
    assert_eq!(booth.events(), ["new", "data seen"]);
    assert_eq!(booth.finish().resumed, 1);
}
