//! Facts that hold for every packet, however made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::support::{ACK, FIN, PSH, SYN, Spec, address_v6};
use proptest::collection::vec;
use proptest::prelude::*;
use tollgate_wire::forge::{Ends, Forged, HEADER_LEN_MAX};
use tollgate_wire::fragment::{FragmentHeaders, Split};
use tollgate_wire::{
    Checksum, Endpoint, Flags, LinkHeader, Packet, Seq, Timestamps, repair_checksums,
};

fn tags() -> impl Strategy<Value = Vec<(u16, u16)>> {
    vec((prop_oneof![Just(0x8100_u16), Just(0x88a8)], any::<u16>()), 0..=2)
}

fn spec() -> impl Strategy<Value = Spec> {
    let flags = prop_oneof![Just(ACK), Just(SYN | ACK), Just(ACK | FIN), Just(ACK | PSH | FIN)];
    let options = vec(any::<[u8; 4]>(), 0..=10).prop_map(|words| words.concat());
    let ports = (1..=u16::MAX, 1..=u16::MAX);
    (
        (any::<bool>(), tags(), flags, options, ports),
        (any::<u32>(), vec(any::<u8>(), 0..300), 0..8_usize),
    )
        .prop_map(|((v6, tags, flags, options, ports), (seq, payload, padding))| Spec {
            v6,
            tags,
            flags,
            options,
            ports,
            seq,
            payload,
            padding,
            ..Spec::default()
        })
}

/// Whatever can be asked of bytes; what [`Packet::parse`] promises is checked.
fn exercise(bytes: &[u8]) {
    let _ = FragmentHeaders::parse(bytes).map(|headers| {
        assert!(headers.range().end <= bytes.len() && !headers.is_empty());
        headers.whole(bytes, headers.len(), &mut [0; 2048])
    });
    let Ok(mut packet) = Packet::parse(bytes.to_vec()) else { return };
    let headers = *packet.headers();
    assert!(headers.ip < headers.tcp && headers.tcp < headers.payload);
    assert!(u32::from(headers.payload) <= headers.end);
    assert!(usize::try_from(headers.end).unwrap() <= bytes.len());
    let _ = (packet.options(), packet.checksum(), packet.link_header(), packet.traffic_class());
    packet.complete_checksum();
    assert_eq!(packet.checksum(), Checksum::Good);
    packet.clear_urgent();
    assert_eq!(packet.checksum(), Checksum::Good);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), v6 in any::<bool>()) {
        exercise(&bytes);
        let mut bytes = bytes;
        if bytes.len() > 14 {
            bytes[12..15].copy_from_slice(if v6 { &[0x86, 0xdd, 0x60] } else { &[8, 0, 0x45] });
        }
        exercise(&bytes);
    }

    #[test]
    fn a_repair_undoes_any_damage_to_checksums_and_nothing_else(
        spec in spec(),
        ip_checksum in any::<[u8; 2]>(),
        tcp_checksum in any::<[u8; 2]>(),
    ) {
        let whole = spec.build();
        let headers = *Packet::parse(&whole[..]).unwrap().headers();
        let mut frame = whole.clone();
        if !spec.v6 {
            let at = usize::from(headers.ip) + 10;
            frame[at..at + 2].copy_from_slice(&ip_checksum);
        }
        let at = usize::from(headers.tcp) + 16;
        frame[at..at + 2].copy_from_slice(&tcp_checksum);
        repair_checksums(&mut frame);
        prop_assert_eq!(frame, whole);
    }

    #[test]
    fn a_repair_of_random_bytes_never_panics(bytes in vec(any::<u8>(), 0..200)) {
        let mut bytes = bytes;
        repair_checksums(&mut bytes);
        if bytes.len() > 14 {
            bytes[12..15].copy_from_slice(&[8, 0, 0x4f]);
        }
        repair_checksums(&mut bytes);
    }

    #[test]
    fn mutated_frames_never_panic(
        spec in spec(),
        changes in vec((0..90_usize, any::<u8>()), 0..6),
        cut in 0..400_usize,
    ) {
        let mut frame = spec.build();
        for (at, value) in changes {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        frame.truncate(frame.len().saturating_sub(cut.saturating_sub(300)));
        exercise(&frame);
    }

    #[test]
    fn what_the_letter_of_the_rfcs_builds_is_good(spec in spec()) {
        let packet = Packet::parse(spec.build()).unwrap();
        prop_assert_eq!(packet.checksum(), Checksum::Good);
        prop_assert_eq!(packet.payload(), &spec.payload[..]);
        prop_assert_eq!(packet.headers().seq, Seq(spec.seq));
    }

    #[test]
    fn one_flipped_bit_in_the_segment_is_bad(spec in spec(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let frame = spec.build();
        let Ok(packet) = Packet::parse(&frame[..]) else { unreachable!("built well") };
        let (tcp, end) = (usize::from(packet.headers().tcp), packet.headers().end);
        let mut damaged = frame.clone();
        damaged[tcp + at.index(usize::try_from(end).unwrap() - tcp)] ^= 1_u8 << bit;
        if let Ok(packet) = Packet::parse(damaged) {
            prop_assert_ne!(packet.checksum(), Checksum::Good);
        }
    }

    #[test]
    fn trim_keeps_the_right_bytes_and_a_good_checksum(
        spec in spec(),
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        keep_fin in any::<bool>(),
    ) {
        let len = spec.payload.len();
        let (a, b) = (cut.0.index(len + 1), cut.1.index(len + 1));
        let (start, end) = (a.min(b), a.max(b));
        let mut packet = Packet::parse(spec.build()).unwrap();
        packet.trim(u32::try_from(start).unwrap()..u32::try_from(end).unwrap(), keep_fin);

        let frame_len = usize::try_from(packet.headers().end).unwrap();
        let headers = *packet.headers();
        let mut frame = packet.into_frame();
        frame.truncate(frame_len);
        // What stands in the frame is what a builder that knows the answer builds.
        let syn = spec.flags & SYN != 0 && start > 0;
        let mut flags = spec.flags;
        if syn { flags &= !SYN }
        if !keep_fin { flags &= !FIN }
        let expected = Spec {
            seq: spec.seq.wrapping_add(u32::try_from(start).unwrap()).wrapping_add(u32::from(syn)),
            flags,
            payload: spec.payload[start..end].to_vec(),
            padding: 0,
            ..spec
        };
        prop_assert_eq!(&frame, &expected.build());
        // And the headers beside it say the same.
        prop_assert_eq!(*Packet::parse(frame).unwrap().headers(), headers);
    }

    #[test]
    fn a_forged_segment_is_what_the_letter_of_the_rfcs_builds(
        (v6, tags) in (any::<bool>(), tags()),
        ports in (1..=u16::MAX, 1..=u16::MAX),
        (seq, ack, window) in (any::<u32>(), any::<Option<u32>>(), any::<u16>()),
        flags in prop_oneof![Just(Flags::RST), Just(Flags::PSH), Just(Flags::FIN), Just(Flags::empty())],
        timestamps in any::<Option<(u32, u32)>>(),
        blocks in vec(any::<(u32, u32)>(), 0..4),
        (ttl, class, label) in (any::<u8>(), any::<u8>(), 0..1_u32 << 20),
        (payload, cut) in (vec(any::<u8>(), 0..200), any::<prop::sample::Index>()),
    ) {
        let link = Spec { tags: tags.clone(), ..Spec::default() }.build();
        let address = |last| if v6 {
            IpAddr::V6(Ipv6Addr::from(address_v6(last)))
        } else {
            IpAddr::V4(Ipv4Addr::new(198, 18, 0, last))
        };
        let ends = Ends {
            link: LinkHeader::of(&link).unwrap(),
            from: Endpoint::new(address(1), ports.0),
            to: Endpoint::new(address(2), ports.1),
            ttl,
            traffic_class: class,
            flow_label: label,
            may_fragment: false,
        };
        let timestamps = timestamps.map(|(value, echo)| Timestamps { value, echo });
        let mut sack = [None; 3];
        for (place, (left, right)) in sack.iter_mut().zip(&blocks) {
            *place = Some((Seq(*left), Seq(*right)));
        }
        let forged = Forged { ends, seq: Seq(seq), ack: ack.map(Seq), flags, window, timestamps, sack };
        let (one, other) = payload.split_at(cut.index(payload.len() + 1));
        let mut out = vec![0xaa; HEADER_LEN_MAX + payload.len()];
        let len = forged.write([one, other], &mut out).unwrap();
        for short in 0..len {
            prop_assert_eq!(forged.write([one, other], &mut vec![0; len][..short]), None);
        }
        out.truncate(len);
        // That it may be cut is one bit and its checksum.
        let loose = Forged { ends: Ends { may_fragment: true, ..ends }, ..forged };
        let mut cut_up = out.clone();
        prop_assert_eq!(loose.write([one, other], &mut cut_up), Some(len));
        let differ = out.iter().zip(&cut_up).filter(|(one, other)| one != other).count();
        prop_assert!(if v6 { differ == 0 } else { (2..=3).contains(&differ) }, "{}", differ);
        prop_assert!(v6 || cut_up[ends.link.as_bytes().len() + 6] == 0);
        // Traffic class, flow label and identification are not the builder's to choose.
        let mut options = Vec::new();
        if let Some(Timestamps { value, echo }) = timestamps {
            options.extend([1, 1, 8, 10]);
            options.extend([value.to_be_bytes(), echo.to_be_bytes()].concat());
        }
        if !blocks.is_empty() {
            options.extend([1, 1, 5, 2 + 8 * u8::try_from(blocks.len()).unwrap()]);
        }
        for (left, right) in blocks {
            options.extend([left.to_be_bytes(), right.to_be_bytes()].concat());
        }
        let ack_bit = if ack.is_some() { ACK } else { 0 };
        let expected = Spec {
            v6, tags, ports, ttl, seq, window, options,
            ack: ack.unwrap_or(0),
            flags: flags.bits() | ack_bit,
            payload: payload.clone(),
            ..Spec::default()
        };
        let expected = expected.build();
        let end = Packet::parse(&out[..]).map(|packet| *packet.headers());
        if let Ok(headers) = end {
            let packet = Packet::parse(&out[..]).unwrap();
            prop_assert_eq!(packet.checksum(), Checksum::Good);
            prop_assert_eq!(packet.traffic_class(), class & !3);
            prop_assert_eq!(packet.flow_label(), if v6 { label } else { 0 });
            prop_assert_eq!(headers.end as usize, len);
        } else {
            // A segment without any control bit is none; it is ours to forge none such.
            prop_assert!(ack.is_none());
        }
        let tcp = len - payload.len() - forged.header_len();
        prop_assert_eq!(&out[tcp..], &expected[tcp..]);
    }

    #[test]
    fn numbers_changed_in_place_leave_what_a_builder_that_knows_them_builds(
        spec in spec(),
        (seq, ack, window) in (any::<u32>(), any::<u32>(), any::<u16>()),
        (fin, push) in (any::<bool>(), any::<bool>()),
    ) {
        let mut packet = Packet::parse(spec.build()).unwrap();
        packet.set_seq(Seq(seq));
        packet.set_ack(Seq(ack));
        packet.set_window(window);
        packet.set_ending(fin, push);
        let mut flags = spec.flags & !(FIN | PSH);
        if fin { flags |= FIN }
        if push { flags |= PSH }
        let headers = *packet.headers();
        prop_assert_eq!(packet.checksum(), Checksum::Good);
        let expected = Spec { seq, ack, window, flags, ..spec };
        let tcp = usize::from(headers.tcp);
        let (mut frame, mut expected) = (packet.into_frame(), expected.build());
        if flags & SYN == 0 || !fin {
            prop_assert_eq!(*Packet::parse(&frame[..]).unwrap().headers(), headers);
        }
        // Zero has two spellings in a checksum that is updated.
        frame[tcp + 16..tcp + 18].fill(0);
        expected[tcp + 16..tcp + 18].fill(0);
        prop_assert_eq!(frame, expected);
    }

    #[test]
    fn a_payload_that_is_replaced_leaves_what_a_builder_that_knows_it_builds(
        spec in spec(),
        (payload, cut) in (vec(any::<u8>(), 0..300), any::<prop::sample::Index>()),
    ) {
        let spec = Spec { padding: 0, ..spec };
        let (one, other) = payload.split_at(cut.index(payload.len() + 1));
        let expected = Spec { payload: payload.clone(), ..spec.clone() }.build();
        let packet = Packet::parse(spec.build()).unwrap();

        // In another frame.
        let short = vec![0; expected.len() - 1];
        prop_assert!(packet.with_payload(short, [one, other]).is_err());
        let copy = packet.with_payload(vec![0xaa; expected.len()], [one, other]).unwrap();
        prop_assert_eq!(*copy.headers(), *Packet::parse(&expected[..]).unwrap().headers());
        prop_assert_eq!(&copy.into_frame(), &expected);

        // In its own.
        let mut packet = packet;
        let fits = expected.len() <= packet.frame().len();
        prop_assert_eq!(packet.set_payload([one, other]), fits);
        packet.frame_mut().resize(expected.len(), 0xaa);
        prop_assert!(packet.set_payload([one, other]));
        prop_assert_eq!(*packet.headers(), *Packet::parse(&expected[..]).unwrap().headers());
        prop_assert_eq!(packet.into_frame(), expected);
    }

    #[test]
    fn sack_blocks_changed_in_place_keep_the_checksum_good(
        spec in spec(),
        blocks in vec(any::<(u32, u32)>(), 1..4),
        keep in any::<[bool; 4]>(),
        by in any::<u32>(),
    ) {
        let mut options = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
        for (left, right) in &blocks {
            options.extend([left.to_be_bytes(), right.to_be_bytes()].concat());
        }
        let mut packet = Packet::parse(Spec { options, ..spec }.build()).unwrap();
        let before = packet.options().sack;
        packet.map_sack(|index, (left, right)| keep[index].then_some((left + by, right - by)));
        prop_assert_eq!(packet.checksum(), Checksum::Good);
        let kept = before.iter().flatten().zip(keep).filter(|(_, keep)| *keep);
        let expected: Vec<_> = kept.map(|((left, right), _)| (*left + by, *right - by)).collect();
        let after: Vec<_> = packet.options().sack.into_iter().flatten().collect();
        prop_assert_eq!(after, expected);
        prop_assert!(!packet.options().malformed);
    }

    #[test]
    fn a_datagram_that_is_cut_and_put_together_is_the_same(
        spec in spec(),
        mtu in 120..400_usize,
        identification in any::<u16>(),
    ) {
        let spec = Spec { padding: 0, ..spec };
        let frame = spec.build();
        let link_len = 14 + 4 * spec.tags.len();
        let mut split = Split::new(&frame, u32::from(identification), mtu).unwrap();
        let (mut carried, mut first, mut key) = (Vec::new(), None, None);
        let mut out = [0; 2048];
        prop_assert!(!split.is_done());
        while let Some(len) = split.write(&mut out) {
            prop_assert!(len - link_len <= mtu);
            let piece = &out[..len];
            let Ok(headers) = FragmentHeaders::parse(piece) else {
                // It fitted: one IPv4 "fragment" that is the whole.
                prop_assert!(!spec.v6 && carried.is_empty() && Packet::parse(piece).is_ok());
                return Ok(());
            };
            prop_assert_eq!(usize::try_from(headers.offset).unwrap(), carried.len());
            prop_assert_eq!(*key.get_or_insert(headers.key), headers.key);
            carried.extend(&piece[headers.range()]);
            first.get_or_insert_with(|| (headers, piece.to_vec()));
            if !headers.more {
                let (headers, piece) = first.as_ref().unwrap();
                let total = u32::try_from(carried.len()).unwrap();
                let start = headers.whole(piece, total, &mut out).unwrap();
                out[start..start + carried.len()].copy_from_slice(&carried);
                let whole = Packet::parse(&out[..start + carried.len()]).unwrap();
                prop_assert_eq!(whole.checksum(), Checksum::Good);
                prop_assert_eq!(whole.payload(), &spec.payload[..]);
                let mut expected = frame.clone();
                if !spec.v6 {
                    // The identification is the fragments', and "don't fragment" is gone.
                    expected[link_len + 4..link_len + 6].copy_from_slice(&identification.to_be_bytes());
                    expected[link_len + 6] = 0;
                    crate::support::fix_ipv4(&mut expected[link_len..]);
                }
                prop_assert_eq!(&out[..start + carried.len()], &expected[..]);
                return Ok(());
            }
        }
        prop_assert!(false, "the last fragment never came");
    }
}
