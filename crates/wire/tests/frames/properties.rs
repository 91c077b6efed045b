//! Facts that hold for every packet, however made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::support::{ACK, FIN, PSH, SYN, Spec, address_v6};
use proptest::collection::vec;
use proptest::prelude::*;
use tollgate_wire::forge::{RST_LEN_MAX, RstSpec, rst};
use tollgate_wire::fragment::{FragmentHeaders, Split};
use tollgate_wire::{Checksum, Endpoint, Flags, LinkHeader, Packet, Seq, repair_checksums};

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
    fn a_forged_rst_reads_back(
        v6 in any::<bool>(),
        tags in tags(),
        ports in (1..=u16::MAX, 1..=u16::MAX),
        seq in any::<u32>(),
        ack in any::<Option<u32>>(),
        (ttl, class, label) in (any::<u8>(), any::<u8>(), 0..1_u32 << 20),
    ) {
        let link = Spec { tags, ..Spec::default() }.build();
        let link = LinkHeader::of(&link).unwrap();
        let address = |last| if v6 {
            IpAddr::V6(Ipv6Addr::from(address_v6(last)))
        } else {
            IpAddr::V4(Ipv4Addr::new(198, 18, 0, last))
        };
        let spec = RstSpec {
            link,
            from: Endpoint::new(address(1), ports.0),
            to: Endpoint::new(address(2), ports.1),
            seq: Seq(seq),
            ack: ack.map(Seq),
            ttl,
            traffic_class: class,
            flow_label: label,
        };
        let mut out = [0xaa; RST_LEN_MAX];
        let len = rst(&spec, &mut out).unwrap();
        for short in 0..len {
            prop_assert_eq!(rst(&spec, &mut [0; RST_LEN_MAX][..short]), None);
        }
        let packet = Packet::parse(&out[..len]).unwrap();
        let headers = packet.headers();
        prop_assert_eq!(packet.checksum(), Checksum::Good);
        prop_assert_eq!(packet.payload(), b"");
        prop_assert_eq!(headers.key.endpoint(headers.source), spec.from);
        prop_assert_eq!(headers.key.endpoint(headers.source.other()), spec.to);
        prop_assert_eq!(headers.key.vlans(), link.vlans());
        prop_assert_eq!((headers.seq, headers.ttl), (spec.seq, ttl));
        prop_assert_eq!(headers.flags.contains(Flags::ACK), ack.is_some());
        prop_assert_eq!(headers.ack, Seq(ack.unwrap_or(0)));
        prop_assert_eq!(packet.traffic_class(), class & !3);
        prop_assert_eq!(packet.flow_label(), if v6 { label } else { 0 });
        prop_assert_eq!(usize::try_from(headers.end).unwrap(), len);
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
