//! What a frame carries decides its fate: tags, versions, fragments, checksums, other traffic.

use std::time::Duration;

use crate::common::{ACK, Frame, Gate, PSH, SYN, handshake, small};
use tollgate_engine::{Cause, Config, OtherTraffic, Reason};
use tollgate_link::Port;
use tollgate_link::memory::MemoryLink;
use tollgate_policy::Report;
use tollgate_wire::{Direction, Malformed, Other};

#[test]
fn the_same_ports_in_other_vlans_are_other_connections() {
    let mut gate = Gate::new();
    for vlans in [&[][..], &[5], &[6], &[5, 6]] {
        for frame in handshake() {
            let frame = frame.vlans(vlans);
            assert_eq!(gate.put(&frame), [frame.crossed()]);
        }
        let data = Frame::client(1, 1, ACK, b"tagged").vlans(vlans);
        assert_eq!(gate.put(&data), [data.crossed()]);
    }
    assert_eq!(gate.policy().opened, 4);
    assert_eq!(gate.worker.gauges().flows[2], 4);
    gate.finish();
}

#[test]
fn ipv6_is_followed_as_ipv4_is() {
    let mut gate = Gate::new();
    let (client, server) = ("[fd00::1]:4000", "[fd00::2]:80");
    let data = Frame::client(1, 1, PSH | ACK, b"six");
    for frame in handshake().into_iter().chain([data]) {
        let frame = frame.between(client, server);
        assert_eq!(gate.put(&frame), [frame.crossed()]);
    }
    assert_eq!(gate.policy().stream(Direction::ToServer), b"six");
    assert_eq!(gate.events()[0], "new [fd00::1]:4000 > [fd00::2]:80");
    gate.finish();
}

#[test]
fn a_wrong_checksum_is_dropped_before_anything_believes_it() {
    let mut gate = Gate::new();
    gate.establish();
    let evil = Frame::client(1, 1, ACK, b"evil");
    let mut bytes = evil.bytes();
    bytes[54] ^= 1;
    assert_eq!(gate.put_bytes(Port::A, &bytes), []);
    let good = Frame::client(1, 1, ACK, b"good");
    assert_eq!(gate.put(&good), [good.crossed()]);
    assert_eq!(gate.policy().stream(Direction::ToServer), b"good");
    let why = Reason::Malformed(Malformed::TcpChecksum);
    assert_eq!(gate.finish().dropped_for(why), 1);
}

#[test]
fn a_partial_checksum_is_completed() {
    let mut gate = Gate::new();
    let [syn, ..] = handshake();
    let mut bytes = syn.bytes();
    // What a sender leaves to its card: the sum of the pseudo-header alone, not inverted.
    let mut sum: u32 =
        bytes[26..34].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    sum += 6 + 20;
    sum = (sum & 0xffff) + (sum >> 16);
    bytes[50..52].copy_from_slice(&u16::try_from(sum).unwrap().to_be_bytes());
    // Reading what comes out checks its checksum.
    assert_eq!(gate.put_bytes(Port::A, &bytes), [syn.crossed()]);
    assert_eq!(gate.finish().checksums_completed, 1);
}

#[test]
fn what_is_not_tcp_crosses_untouched_or_is_dropped_as_configured() {
    let mut arp = vec![0xff; 12];
    arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp.resize(60, 3);
    for (other, crosses) in [(OtherTraffic::Pass, true), (OtherTraffic::Drop, false)] {
        let mut gate = Gate::with(Config { other, ..small() });
        gate.worker.link_mut().inject(Port::B, &arp);
        gate.worker.poll(gate.now);
        let out = gate.worker.link_mut().sent(Port::A);
        assert_eq!(out, if crosses { vec![arp.clone()] } else { vec![] });
        let counters = gate.finish();
        assert_eq!(counters.passed[Other::Arp as usize], u64::from(crosses));
        assert_eq!(counters.dropped_for(Reason::Cause(Cause::Other)), u64::from(!crosses));
    }
}

#[test]
fn a_segment_in_fragments_is_inspected_and_leaves_whole_whatever_their_order() {
    for backwards in [false, true] {
        let mut gate = Gate::new();
        gate.establish();
        let data = Frame::client(1, 1, ACK, b"a segment in three fragments of its own");
        let mut fragments = data.fragments(24, 77);
        assert_eq!(fragments.len(), 3);
        if backwards {
            fragments.reverse();
        }
        let mut out = Vec::new();
        for fragment in &fragments {
            assert_eq!(out, []);
            out = gate.put_bytes(Port::A, fragment);
        }
        assert_eq!(out, [data.crossed()]);
        assert_eq!(gate.policy().stream(Direction::ToServer), &data.payload[..]);
        let counters = gate.finish();
        assert_eq!((counters.reassembled, counters.merged, counters.forged), (1, 3, 1));
    }
}

#[test]
fn a_datagram_with_overlapping_fragments_is_dropped_with_all_that_comes_of_it() {
    let mut gate = Gate::new();
    gate.establish();
    let evil = Frame::client(1, 1, ACK, b"EVIL EVIL EVIL EVIL EVIL").fragments(24, 9);
    let good = Frame::client(1, 1, ACK, b"good good good good good").fragments(32, 9);
    assert_eq!(gate.put_bytes(Port::A, &evil[0]), []);
    assert_eq!(gate.put_bytes(Port::A, &good[0]), []);
    assert_eq!(gate.put_bytes(Port::A, &evil[1]), []);
    assert_eq!(gate.put_bytes(Port::A, &good[1]), []);
    // A whole set under the same identification changes nothing, and is not kept either.
    for fragment in &good {
        assert_eq!(gate.put_bytes(Port::A, fragment), []);
        assert_eq!(gate.worker.gauges().fragments, 0);
    }
    assert_eq!(alerts(&mut gate), ["invalid ipv4 fragment: 198.18.0.1 -> 198.18.0.2"]);
    assert_eq!(gate.finish().dropped_for(Reason::Cause(Cause::FragmentOverlap)), 6);
}

#[test]
fn a_fragment_past_the_last_one_spoils_its_datagram_and_is_told_once() {
    let mut gate = Gate::new();
    gate.establish();
    let short = Frame::client(1, 1, ACK, b"ends here").fragments(16, 9);
    let long = Frame::client(1, 1, ACK, b"and goes on all the same, to its end").fragments(16, 9);
    let last = short.last().unwrap();
    for fragment in [last, &long[3], &long[0], &long[1]] {
        assert_eq!(gate.put_bytes(Port::A, fragment), []);
    }
    assert_eq!(alerts(&mut gate), ["invalid ipv4 fragment: 198.18.0.1 -> 198.18.0.2"]);
    assert_eq!(gate.finish().dropped_for(Reason::Cause(Cause::FragmentBroken)), 4);
}

fn alerts(gate: &mut Gate) -> Vec<String> {
    let address = |node: &[String]| node[0].trim_start_matches("address: ").to_owned();
    let told = gate.worker.reports().drain().filter_map(|report| match report {
        Report::Alert(alert) => Some((alert.description.unwrap(), alert.sources, alert.targets)),
        _ => None,
    });
    told.map(|(what, from, to)| format!("{what}: {} -> {}", address(&from), address(&to))).collect()
}

#[test]
fn a_fragment_that_the_network_copied_does_no_harm() {
    let mut gate = Gate::new();
    gate.establish();
    let data = Frame::client(1, 1, ACK, b"two fragments, one of them twice");
    let fragments = data.fragments(32, 9);
    gate.put_bytes(Port::A, &fragments[0]);
    gate.put_bytes(Port::A, &fragments[0]);
    assert_eq!(gate.put_bytes(Port::A, &fragments[1]), [data.crossed()]);
    assert_eq!(gate.finish().dropped_for(Reason::Cause(Cause::FragmentDuplicate)), 1);
}

#[test]
fn a_datagram_that_is_not_complete_after_half_a_minute_is_dropped() {
    let mut gate = Gate::new();
    gate.establish();
    let fragments = Frame::client(1, 1, ACK, b"one of two fragments is missing").fragments(32, 9);
    gate.put_bytes(Port::A, &fragments[0]);
    gate.wait(Duration::from_secs(29));
    assert_eq!((gate.worker.gauges().fragments, gate.worker.gauges().datagrams), (1, 1));
    gate.wait(Duration::from_secs(2));
    assert_eq!((gate.worker.gauges().fragments, gate.worker.gauges().datagrams), (0, 0));
    assert_eq!(gate.put_bytes(Port::A, &fragments[1]), []);
    assert_eq!(gate.finish().dropped_for(Reason::Cause(Cause::FragmentTimeout)), 1);
}

#[test]
fn fragments_that_contradict_each_other_and_what_follows_them_have_a_reason_of_their_own() {
    let mut gate = Gate::new();
    gate.establish();
    let long = Frame::client(1, 1, ACK, b"a payload that needs three or four fragments");
    let short = Frame::client(1, 1, ACK, b"and one that is short");
    // The end of the short one, then what lies beyond it.
    let (long, short) = (long.fragments(16, 9), short.fragments(16, 9));
    gate.put_bytes(Port::A, short.last().unwrap());
    for fragment in &long[short.len()..] {
        assert_eq!(gate.put_bytes(Port::A, fragment), []);
    }
    let contradict = u64::try_from(long.len() - short.len()).unwrap();
    gate.put_bytes(Port::A, &long[0]);
    let counters = gate.finish();
    let dropped = |cause| counters.dropped_for(Reason::Cause(cause));
    assert_eq!(dropped(Cause::FragmentBroken), contradict + 2);
    assert_eq!(dropped(Cause::FragmentOverlap), 0);
}

#[test]
fn fragments_are_bounded_however_many_datagrams_begin() {
    let config = Config { datagrams_max: 16, fragments_max: 10, ..small() };
    let mut gate = Gate::with(config);
    for id in 0..1000 {
        let first = &Frame::client(1, 1, ACK, b"begun and never ended").fragments(16, id)[0];
        gate.put_bytes(Port::A, first);
        let gauges = gate.worker.gauges();
        assert!(gauges.fragments <= 10 && gauges.datagrams <= 16, "{gauges:?}");
    }
    assert!(gate.finish().dropped_for(Reason::Cause(Cause::FragmentFull)) >= 990);
}

#[test]
fn a_reassembled_segment_longer_than_the_port_takes_leaves_in_fragments_again() {
    // Frames of two pages: a datagram longer than a frame could not be put together.
    let mut gate = Gate::with_link(small(), MemoryLink::with_frames(100, 4096));
    gate.establish();
    let payload: Vec<u8> = (0..2500_u32).map(|at| at.to_be_bytes()[3]).collect();
    let data = Frame::client(1, 1, ACK, &payload);
    for fragment in data.fragments(1480, 5) {
        gate.worker.link_mut().inject(Port::A, &fragment);
    }
    gate.worker.poll(gate.now);
    assert!(gate.policy().stream(Direction::ToServer) == &payload[..]);
    // What leaves is put together again by a second gate, and is the same segment.
    let out = gate.worker.link_mut().sent(Port::B);
    assert_eq!(out.len(), 2);
    assert!(out.iter().all(|bytes| bytes.len() <= 1514));
    let large = MemoryLink::with_frames(100, 4096);
    let mut second = Gate::with_link(Config { mtu: u32::MAX, ..small() }, large);
    second.establish();
    assert_eq!(second.put_bytes(Port::A, &out[0]), []);
    assert_eq!(second.put_bytes(Port::A, &out[1]), [data.crossed()]);
    second.finish();
    let counters = gate.finish();
    assert_eq!((counters.forged, counters.merged), (3, 3));
}

#[test]
fn bytes_after_the_datagram_do_not_leave() {
    let mut gate = Gate::new();
    gate.establish();
    let data = Frame::client(1, 1, ACK, b"a payload long enough for no padding");
    let mut bytes = data.bytes();
    let len = bytes.len();
    bytes.extend(b"smuggled");
    gate.worker.link_mut().inject(Port::A, &bytes);
    gate.worker.poll(gate.now);
    let out = gate.worker.link_mut().sent(Port::B);
    assert_eq!(out, [bytes[..len].to_vec()]);
    gate.finish();
}

#[test]
fn hostile_frames_are_counted_by_what_is_wrong_with_them() {
    let mut gate = Gate::new();
    let syn = Frame::client(0, 0, SYN, b"").bytes();
    let damaged = |at: usize, value: u8| {
        let mut bytes = syn.clone();
        bytes[at] = value;
        bytes
    };
    for (bytes, why) in [
        (syn[..10].to_vec(), Malformed::Ethernet),
        (damaged(14, 0x44), Malformed::Ipv4),
        (damaged(22, 9), Malformed::Ipv4Checksum),
        (damaged(46, 0x40), Malformed::Tcp),
        (damaged(47, 0), Malformed::TcpFlags),
        (damaged(60 - 8, 1), Malformed::TcpChecksum),
    ] {
        assert_eq!(gate.put_bytes(Port::A, &bytes), [], "{why}");
        let counted = gate.counters().dropped_for(Reason::Malformed(why));
        assert_eq!(counted, 1, "{why}: {:?}", gate.counters());
    }
    gate.finish();
}

#[test]
fn a_datagram_longer_than_a_frame_is_dropped_and_counted() {
    let mut gate = Gate::new();
    gate.establish();
    for fragment in Frame::client(1, 1, ACK, &[7; 2500]).fragments(1480, 5) {
        assert_eq!(gate.put_bytes(Port::A, &fragment), []);
    }
    assert_eq!(gate.finish().dropped_for(Reason::Cause(Cause::FragmentTooLong)), 2);
}
