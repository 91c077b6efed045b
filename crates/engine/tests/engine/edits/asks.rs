//! What senders are told, in their receivers' names, of segments that wait behind a gap.

use tollgate_engine::{Config, Midstream};
use tollgate_wire::{Packet, Seq, Timestamps};

use super::gate::{Gate, c, down, s, up};
use crate::common::{ACK, CLIENT_ISN, FIN, Frame, PSH, handshake, small};

/// The blocks of the last segment of a batch, as the client numbers its bytes.
fn blocks(out: &[(tollgate_link::Port, Vec<u8>)]) -> Vec<(u32, u32)> {
    let packet = Packet::parse(&out.last().unwrap().1[..]).unwrap();
    let relative = |seq: Seq| seq.0.wrapping_sub(CLIENT_ISN);
    let blocks = packet.options().sack.into_iter().flatten();
    blocks.map(|(left, right)| (relative(left), relative(right))).collect()
}

/// A handshake in which both take SACK blocks, and with timestamps.
fn sacking() -> [Frame; 3] {
    let mut frames = handshake();
    for frame in &mut frames {
        *frame = stamped(frame.clone(), 100, 200);
    }
    for frame in &mut frames[..2] {
        frame.options.extend([1, 1, 4, 2]);
    }
    frames
}

fn stamped(mut frame: Frame, client: u32, server: u32) -> Frame {
    let (value, echo) = if frame.from_client { (client, server) } else { (server, client) };
    frame.options.extend([1, 1, 8, 10]);
    frame.options.extend([value.to_be_bytes(), echo.to_be_bytes()].concat());
    frame
}

#[test]
fn what_waits_is_acknowledged_selectively_as_soon_as_all_before_it_is_acknowledged() {
    let mut gate = Gate::with(small(), &sacking());
    let up = |seq, text| stamped(up(seq, 1, text), 101, 200);
    let down = |ack| stamped(down(1, ack, ""), 101, 203);
    gate.rule(|data| data.insert(2, "++").unwrap());
    assert_eq!(gate.put(&up(1, "abcd")), [s(1, 1, "ab++cd")]);
    // Nothing is said while the receiver has not got all that there is before the gap.
    assert_eq!(gate.put(&up(9, "ijkl")), []);
    assert_eq!(gate.put(&down(5)), [c(1, 3, "")]);
    let out = gate.bytes(&down(7));
    assert_eq!((out.len(), blocks(&out)), (2, vec![(9, 13)]));
    let packet = Packet::parse(&out[1].1[..]).unwrap();
    assert_eq!(packet.headers().ack, Seq(CLIENT_ISN + 5));
    assert_eq!(packet.options().timestamps, Some(Timestamps { value: 203, echo: 101 }));
    // The one that has changed comes first.
    for (seq, text, expected) in [
        (17, "qrst", vec![(17, 21), (9, 13)]),
        (9, "ijkl", vec![(9, 13), (17, 21)]),
        (25, "yz", vec![(25, 27), (9, 13), (17, 21)]),
        (29, "!", vec![(29, 30), (9, 13), (17, 21)]),
        (13, "mnop", vec![(9, 21), (25, 27), (29, 30)]),
    ] {
        let out = gate.bytes(&up(seq, text));
        assert_eq!((out.len(), blocks(&out)), (1, expected));
    }
    let rest: String = gate.put(&up(5, "efgh")).into_iter().map(|out| out.4).collect();
    assert_eq!(rest, "efghijklmnopqrst");
    assert_eq!(gate.finish().edits.duplicate_acks, 6);
}

#[test]
fn without_sack_there_are_duplicates_enough_for_a_fast_retransmit() {
    let mut gate = Gate::with(small(), &handshake());
    assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "abcd")]);
    for seq in [9, 13, 17, 21, 25] {
        assert_eq!(gate.put(&up(seq, 1, "late")), []);
    }
    let out = gate.bytes(&down(1, 5, ""));
    assert!(blocks(&out).is_empty());
    assert_eq!(gate.put(&up(29, 1, "late")), [c(1, 5, "")]);
    // The receiver's own, three of ours, and one for what came after.
    assert_eq!((out.len(), gate.finish().edits.duplicate_acks), (4, 4));
}

/// Two of what was acknowledged selectively are lost behind us: the sender will not send them again.
#[test]
fn what_was_promised_and_is_lost_behind_us_is_sent_again_from_here() {
    for edits in [false, true] {
        let mut gate = Gate::with(small(), &sacking());
        let up = |seq, text: &str| stamped(up(seq, 1, text), 101, 200);
        let shift = if edits { 2 } else { 0 };
        let back = |ack, sack: &[(u32, u32)]| {
            let mut frame = down(1, if ack > 1 { ack + shift } else { ack }, "");
            frame.options.extend([1, 1, 5, 2 + 8 * sack.len() as u8]);
            for (left, right) in sack {
                for edge in [left, right] {
                    frame.options.extend((CLIENT_ISN + edge + shift).to_be_bytes());
                }
            }
            if sack.is_empty() {
                frame.options.clear();
            }
            stamped(frame, 101, 203)
        };
        for seq in [5, 305, 605, 905, 1205] {
            assert_eq!(gate.put(&up(seq, &"x".repeat(300))), [c(1, 1, "")]);
        }
        if edits {
            gate.rule(|data| data.insert(2, "++").unwrap());
        }
        assert_eq!(gate.put(&up(1, "abcd")).len(), 6);
        assert_eq!(gate.put(&back(5, &[])).len(), 1);
        // 5 and 605 are lost.
        for (right, repeats) in [(605, false), (605, false), (1505, true), (1505, false)] {
            let blocks = [(305, 605), (905, right)];
            let out = gate.put(&back(5, &blocks[..if right > 605 { 2 } else { 1 }]));
            assert_eq!(out.len(), 1 + usize::from(repeats), "{out:?}");
            if repeats {
                assert_eq!(out[1], ('s', 5 + shift, 1, ACK, "x".repeat(300)));
            }
        }
        let out = gate.put(&back(605, &[(905, 1505)]));
        assert_eq!(out[1], ('s', 605 + shift, 1, ACK, "x".repeat(300)));
        assert_eq!(gate.put(&back(1505, &[])).len(), 1);
        assert_eq!(gate.put(&back(1505, &[])).len(), 1);
        assert_eq!(gate.finish().edits.repeated, 2);
    }
}

/// What was acknowledged selectively is lost behind us, and all before it was erased: its sender repeats only
/// what is not acknowledged, and its receiver has nothing to say to that.
#[test]
fn who_repeats_what_was_erased_is_told_so_that_it_repeats_what_follows() {
    let mut gate = Gate::with(small(), &sacking());
    let stamp = |frame: Frame| stamped(frame, 101, 200);
    let fin = stamp(Frame::client(5, 1, FIN | ACK, b""));
    assert_eq!(blocks(&gate.bytes(&fin)), [(5, 6)]);
    gate.rule(|data| data.erase(0..4).unwrap());
    let data = stamp(up(1, 1, "abcd"));
    let lost = |push| ('s', 1, 1, push | FIN | ACK, String::new());
    assert_eq!(gate.put(&data), [lost(PSH), s(2, 1, "")]);
    assert_eq!(gate.put(&data), [c(1, 5, "")]);
    assert_eq!(gate.put(&fin), [lost(0)]);
    gate.finish();
}

#[test]
fn in_a_connection_picked_up_in_its_middle_nobody_speaks_for_its_receiver() {
    let mut gate = Gate::with(Config { midstream: Midstream::Pickup, ..small() }, &[]);
    assert_eq!(gate.put(&up(1, 1, "abcd")).len(), 1);
    assert_eq!(gate.put(&down(1, 5, "")).len(), 1);
    assert_eq!(gate.put(&up(9, 1, "late")), []);
    assert_eq!(gate.finish().edits.duplicate_acks, 0);
}
