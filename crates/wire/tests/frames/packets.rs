//! Packets by hand: what is accepted, what is refused and why.

use crate::support::{ACK, FIN, PSH, RST, SYN, Spec, URG, fix_ipv4};
use tollgate_wire::{
    Checksum, Flags, Malformed, Options, Other, Packet, Refusal, Seq, Timestamps, Vlans,
};

const DESTINATION_OPTIONS: u8 = 60;
const FRAGMENT: u8 = 44;

fn refusal(frame: &[u8]) -> Option<Refusal> {
    Packet::parse(frame).err().map(|rejected| rejected.why)
}

fn malformed(why: Malformed) -> Option<Refusal> {
    Some(Refusal::Malformed(why))
}

#[test]
fn a_segment_gives_its_fields_back() {
    for v6 in [false, true] {
        let frame = Spec { v6, flags: ACK | PSH, padding: 3, ..Spec::default() }.build();
        let packet = Packet::parse(&frame[..]).unwrap();
        let headers = *packet.headers();
        assert_eq!(packet.payload(), b"hello");
        assert_eq!((headers.seq, headers.ack, headers.window), (Seq(1000), Seq(2000), 512));
        assert_eq!(headers.flags, Flags::ACK | Flags::PSH);
        assert_eq!(headers.key.endpoint(headers.source).port, 40000);
        assert_eq!(headers.key.is_ipv6(), v6);
        assert_eq!(usize::try_from(headers.end).unwrap(), frame.len() - 3);
        assert_eq!(packet.ip_len(), if v6 { 65 } else { 45 });
        assert_eq!(packet.checksum(), Checksum::Good);
        assert_eq!(packet.options(), Options::default());
    }
}

#[test]
fn up_to_two_vlan_tags_are_part_of_the_key_and_a_third_makes_it_somebody_elses() {
    let tags = [(0x88a8, 0x6007), (0x8100, 0x0008), (0x8100, 9)];
    for (count, vlans) in [(0, (0, 0)), (1, (7, 0)), (2, (7, 8))] {
        let frame = Spec { tags: tags[..count].to_vec(), ..Spec::default() }.build();
        let packet = Packet::parse(&frame[..]).unwrap();
        let (outer, inner) = vlans;
        assert_eq!(packet.headers().key.vlans(), Vlans { outer, inner });
        assert_eq!(packet.link_header().as_bytes(), &frame[..14 + 4 * count]);
        let reversed = packet.link_header().reversed();
        assert_eq!(reversed.source(), packet.link_header().destination());
        assert_eq!(reversed.destination(), packet.link_header().source());
        assert_eq!(reversed.as_bytes()[12..], frame[12..14 + 4 * count]);
    }
    let frame = Spec { tags: tags.to_vec(), ..Spec::default() }.build();
    assert_eq!(refusal(&frame), Some(Refusal::Other(Other::Link)));
}

#[test]
fn every_shorter_frame_is_refused() {
    for v6 in [false, true] {
        let tags = vec![(0x8100, 1)];
        let frame = Spec { v6, tags, options: vec![1; 8], ..Spec::default() }.build();
        for len in 0..frame.len() {
            assert!(matches!(refusal(&frame[..len]), Some(Refusal::Malformed(_))), "{len} bytes");
        }
    }
}

#[test]
fn what_is_not_tcp_is_left_alone() {
    let mut arp = vec![0; 42];
    arp[12..14].copy_from_slice(&[8, 6]);
    assert_eq!(refusal(&arp), Some(Refusal::Other(Other::Arp)));
    arp[12..14].copy_from_slice(&[0x88, 0xcc]);
    assert_eq!(refusal(&arp), Some(Refusal::Other(Other::Link)));
    for v6 in [false, true] {
        let frame = Spec { v6, protocol: 17, ..Spec::default() }.build();
        assert_eq!(refusal(&frame), Some(Refusal::Other(Other::Ip)));
    }
}

#[test]
fn ipv4_headers_that_contradict_themselves_are_refused() {
    // Byte of the IP header, value, whether its checksum is repaired, reason.
    let table = [
        (0, 0x44, true, Malformed::Ipv4),
        (0, 0x4f, false, Malformed::Ipv4Checksum),
        (0, 0x65, true, Malformed::Ipv4),
        (2, 0xff, true, Malformed::Ipv4),
        (3, 19, true, Malformed::Ipv4),
        (3, 39, true, Malformed::Tcp),
        (8, 63, false, Malformed::Ipv4Checksum),
    ];
    for (byte, value, repair, why) in table {
        let mut frame = Spec { payload: vec![7; 60], ..Spec::default() }.build();
        frame[14 + byte] = value;
        if repair {
            fix_ipv4(&mut frame[14..]);
        }
        assert_eq!(refusal(&frame), malformed(why), "byte {byte} = {value}");
    }
}

#[test]
fn ipv4_options_are_skipped() {
    let frame = Spec { ip_options: vec![1; 40], ..Spec::default() }.build();
    let packet = Packet::parse(frame).unwrap();
    assert_eq!((packet.payload(), packet.checksum()), (&b"hello"[..], Checksum::Good));
}

#[test]
fn tcp_headers_that_no_stack_sends_are_refused() {
    let valid =
        [SYN, SYN | URG, SYN | ACK, RST, RST | ACK, ACK, ACK | URG, FIN | ACK, FIN | ACK | URG];
    for bits in 0..64 {
        let frame = Spec { flags: bits, ..Spec::default() }.build();
        let expected =
            if valid.contains(&(bits & !PSH)) { None } else { malformed(Malformed::TcpFlags) };
        assert_eq!(refusal(&frame), expected, "flags {bits:#08b}");
    }
    let frame = Spec { flags: ACK | 0x1c0, ..Spec::default() }.build();
    assert_eq!(refusal(&frame), None, "ECN is free");
    for ports in [(0, 80), (80, 0)] {
        let frame = Spec { ports, ..Spec::default() }.build();
        assert_eq!(refusal(&frame), malformed(Malformed::TcpPort));
    }
    for words in [0, 4, 7, 15] {
        let mut frame = Spec::default().build();
        frame[14 + 20 + 12] = words << 4;
        assert_eq!(refusal(&frame), malformed(Malformed::Tcp), "data offset {words}");
    }
}

#[test]
fn ipv6_extension_headers_are_walked_but_not_for_ever() {
    let padding = |number: u8| (number, vec![0, 0, 1, 4, 0, 0, 0, 0]);
    let authentication =
        (51, vec![0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]);
    let good = [
        vec![padding(0)],
        vec![padding(0), padding(43), padding(DESTINATION_OPTIONS)],
        vec![authentication.clone(), padding(60)],
        vec![padding(60); 7],
        // An atomic fragment is a whole datagram (RFC 6946).
        vec![padding(0), (FRAGMENT, vec![0, 0, 0, 0, 1, 2, 3, 4])],
    ];
    for extensions in good {
        // The routing header of `padding` says "4 segments left" in its fourth byte: finish it.
        let extensions: Vec<_> = extensions
            .into_iter()
            .map(|(number, mut bytes)| {
                if number == 43 {
                    bytes[3] = 0;
                }
                (number, bytes)
            })
            .collect();
        let frame = Spec { v6: true, extensions: extensions.clone(), ..Spec::default() }.build();
        let packet = Packet::parse(&frame[..]).unwrap_or_else(|_| panic!("{extensions:?}"));
        assert_eq!((packet.payload(), packet.checksum()), (&b"hello"[..], Checksum::Good));
    }
    let bad = [vec![padding(60); 8], vec![(60, vec![0, 200, 0, 0, 0, 0, 0, 0])], vec![padding(43)]];
    for extensions in bad {
        let frame = Spec { v6: true, extensions, ..Spec::default() }.build();
        assert_eq!(refusal(&frame), malformed(Malformed::Ipv6Extension));
    }
}

#[test]
fn a_jumbogram_is_refused() {
    let extensions = vec![(0, vec![0, 0, 0xc2, 4, 0, 1, 0, 0])];
    let mut frame = Spec { v6: true, extensions, ..Spec::default() }.build();
    frame[14 + 4..14 + 6].copy_from_slice(&[0, 0]);
    assert_eq!(refusal(&frame), malformed(Malformed::Ipv6));
}

#[test]
fn fragments_are_told_apart_by_what_their_datagram_carries() {
    for (protocol, why) in [(6, Refusal::Fragment), (17, Refusal::Other(Other::Ip))] {
        for word in [0x2000_u16, 0x2010, 0x0010] {
            let mut frame = Spec { protocol, ..Spec::default() }.build();
            frame[14 + 6..14 + 8].copy_from_slice(&word.to_be_bytes());
            fix_ipv4(&mut frame[14..]);
            assert_eq!(refusal(&frame), Some(why));
        }
        for word in [1_u16, 9, 8] {
            let [a, b] = word.to_be_bytes();
            let extensions = vec![(FRAGMENT, vec![0, 0, a, b, 0, 0, 0, 1])];
            let frame = Spec { v6: true, protocol, extensions, ..Spec::default() }.build();
            assert_eq!(refusal(&frame), Some(why));
        }
    }
    // An extension header in the fragments may hide TCP behind it.
    let extensions =
        vec![(FRAGMENT, vec![0, 0, 0, 8, 0, 0, 0, 1]), (60, vec![0, 0, 1, 4, 0, 0, 0, 0])];
    let frame = Spec { v6: true, extensions, ..Spec::default() }.build();
    assert_eq!(refusal(&frame), Some(Refusal::Fragment));
}

#[test]
fn a_partial_checksum_is_the_sum_of_the_pseudo_header() {
    for v6 in [false, true] {
        let mut frame = Spec { v6, ..Spec::default() }.build();
        let tcp = if v6 { 54 } else { 34 };
        let addresses = if v6 { 22..54 } else { 26..34 };
        let len = u16::try_from(frame.len() - tcp).unwrap();
        let mut pseudo = frame[addresses].to_vec();
        pseudo.extend([0, 6]);
        pseudo.extend(len.to_be_bytes());
        let sum = crate::support::naive_sum(&pseudo);
        frame[tcp + 16..tcp + 18].copy_from_slice(&sum.to_be_bytes());
        let mut packet = Packet::parse(frame).unwrap();
        assert_eq!(packet.checksum(), Checksum::Partial);
        packet.complete_checksum();
        assert_eq!(packet.checksum(), Checksum::Good);
        packet.payload_mut()[0] ^= 1;
        assert_eq!(packet.checksum(), Checksum::Bad);
    }
}

#[test]
fn options_are_read_as_linux_reads_them() {
    let nothing = Options::default();
    let timestamps = Some(Timestamps { value: 1, echo: 2 });
    let table: [(&[u8], Options); 12] = [
        (&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], Options { timestamps, ..nothing }),
        (&[8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 99], Options { timestamps, ..nothing }),
        (&[2, 4, 5, 0xb4], Options { mss: Some(1460), ..nothing }),
        (&[2, 3, 5, 3, 3, 255], Options { window_scale: Some(255), ..nothing }),
        (&[4, 2, 1, 1], Options { sack_permitted: true, ..nothing }),
        (
            &[5, 10, 0, 0, 0, 1, 0, 0, 0, 2],
            Options { sack: [Some((Seq(1), Seq(2))), None, None, None], ..nothing },
        ),
        (&[34, 2, 0, 0], Options { fast_open: true, ..nothing }),
        (&[254, 4, 0xf9, 0x89], Options { fast_open: true, ..nothing }),
        (
            &[19, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Options { signed: true, ..nothing },
        ),
        (&[4, 2, 77, 0], Options { sack_permitted: true, malformed: true, ..nothing }),
        (&[77, 5, 0, 0], Options { malformed: true, ..nothing }),
        (&[1, 1, 1, 77], Options { malformed: true, ..nothing }),
    ];
    for (bytes, expected) in table {
        assert_eq!(Options::parse(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn clearing_urgent_keeps_the_checksum_good() {
    for (flags, urgent) in [(ACK | URG, 3), (ACK | URG, 0), (ACK, 5), (ACK, 0)] {
        let mut packet = Packet::parse(Spec { flags, urgent, ..Spec::default() }.build()).unwrap();
        packet.clear_urgent();
        assert_eq!(packet.checksum(), Checksum::Good);
        let expected = Spec { flags: ACK, ..Spec::default() }.build();
        assert_eq!(packet.into_frame(), expected);
    }
}

#[test]
fn a_time_to_live_that_was_set_is_as_if_it_had_been_sent() {
    for v6 in [false, true] {
        for (old, new) in [(1, 64), (64, 1), (0, 255), (7, 7)] {
            let sent = |ttl| Spec { v6, ttl, ..Spec::default() }.build();
            let mut packet = Packet::parse(sent(old)).unwrap();
            packet.set_ttl(new);
            assert_eq!(packet.headers().ttl, new);
            let fresh = Packet::parse(sent(new)).unwrap();
            assert_eq!(packet.headers(), fresh.headers());
            assert_eq!(packet.into_frame(), fresh.into_frame());
        }
    }
}
