//! What is held, what is bounded, what may not be changed, and what changes end with.

use std::time::Duration;

use tollgate_engine::{Cause, Config, Mesh, Midstream, Reason, Trouble, Worker};
use tollgate_link::memory::MemoryLink;
use tollgate_wire::{Direction, Timestamp};

use super::editor::Scripted;
use super::gate::{Gate, c, down, out, s, up};
use crate::common::{ACK, FIN, Frame, PSH, RST, handshake, small};

#[test]
fn what_is_held_leaves_with_what_ends_the_hold() {
    let mut gate = Gate::new();
    gate.rule(|data| data.hold_from(2).unwrap());
    assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "ab")]);
    // It is acknowledged with what left before it; if that is lost, the receiver is asked again.
    assert_eq!(gate.put(&down(1, 3, "")), [c(1, 5, "")]);
    assert_eq!(gate.put(&up(3, 1, "cd")), [('s', 1, 1, PSH | ACK, String::new())]);
    assert_eq!(gate.put(&down(1, 3, "")), [c(1, 5, "")]);
    gate.rule(|data| data.hold_from(2).unwrap());
    assert_eq!(gate.put(&up(5, 1, "ef")), [c(1, 7, "")]);
    gate.rule(|data| {
        assert_eq!((data.offset(), data.fresh_from()), (2, 6));
        data.replace(3..7, "-").unwrap();
    });
    assert_eq!(gate.put(&up(7, 1, "gh")), [s(3, 1, "c-h")]);
    assert_eq!(gate.put(&down(1, 6, "")), [c(1, 9, "")]);
    assert_eq!(gate.shown(), ["abcd", "cdef", "cdefgh"]);
    assert_eq!(gate.finish().edits.holds_released, 0);
}

#[test]
fn a_hold_ends_at_the_bound_and_at_the_end_of_the_stream() {
    let mut config = small();
    config.held.bytes = 6;
    let mut gate = Gate::with(config, &handshake());
    gate.rule(|data| data.hold_from(0).unwrap());
    gate.rule(|data| data.hold_from(0).unwrap());
    gate.rule(|data| data.hold_from(8).unwrap());
    gate.rule(|data| data.hold_from(8).unwrap());
    assert_eq!(gate.put(&up(1, 1, "abcd")), [c(1, 5, ""), s(1, 1, "")]);
    assert_eq!(gate.put(&up(5, 1, "efgh")), [s(1, 1, "abcdefgh")]);
    assert_eq!(gate.put(&up(9, 1, "ij")), []);
    let fin = Frame::client(11, 1, FIN | ACK, b"");
    assert_eq!(gate.put(&fin), [('s', 9, 1, FIN | ACK, "ij".to_owned())]);
    assert_eq!(gate.finish().edits.holds_released, 1);
}

/// What is held takes room that the receiver has offered, and is not told to have: more than all of it cannot
/// come.
#[test]
fn a_hold_ends_when_its_sender_has_no_room_for_more() {
    let mut frames = handshake();
    frames.iter_mut().for_each(|frame| frame.window = 6);
    let mut gate = Gate::with(small(), &frames);
    let window = |ack, window| Frame { window, ..down(1, ack, "") };
    gate.rule(|data| data.hold_from(2).unwrap());
    assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "ab")]);
    assert_eq!(gate.put(&window(3, 4)), [c(1, 5, "")]);
    gate.rule(|data| data.hold_from(2).unwrap());
    assert_eq!(gate.put(&up(5, 1, "ef")), [s(3, 1, "cdef")]);
    assert_eq!(gate.put(&window(7, 3)), [c(1, 7, "")]);
    // Or when it turns out that no more room comes.
    gate.rule(|data| data.hold_from(6).unwrap());
    assert_eq!(gate.put(&up(7, 1, "ghi")), [s(7, 1, "ghi")]);
    assert_eq!(gate.finish().edits.holds_released, 2);
}

/// A receiver that does not read for a while has offered more room before, and will again: what its rules wait
/// for comes then. Letting go what is held would bring nobody anything but rules that see halves of what they
/// match.
#[test]
fn a_hold_outlives_a_receiver_that_does_not_read() {
    let mut frames = handshake();
    frames.iter_mut().for_each(|frame| frame.window = 20);
    let window = |ack, window| Frame { window, ..down(1, ack, "") };
    for reads in [true, false] {
        let mut gate = Gate::with(small(), &frames);
        gate.rule(|data| data.hold_from(14).unwrap());
        assert_eq!(gate.put(&up(1, 1, "abcdefghijklmnop")), [s(1, 1, "abcdefghijklmn")]);
        assert_eq!(gate.put(&window(15, 6)), [c(1, 17, "")]);
        // All the room that is left is taken by what is held. What comes now must not be vouched for: if it is let
        // go after all, nobody but its sender can repeat it.
        gate.rule(|data| data.hold_from(14).unwrap());
        assert_eq!(gate.put(&up(17, 1, "qrst")), []);
        assert_eq!(gate.put(&window(15, 6)), [c(1, 17, "")]);
        gate.now = gate.now + Duration::from_secs(9);
        // Its sender repeats it, and learns how the receiver stands.
        assert_eq!(gate.put(&up(17, 1, "qrst")), [s(14, 1, "")]);
        assert_eq!(gate.put(&window(15, 6)), [c(1, 17, "")]);
        if reads {
            assert_eq!(gate.put(&window(15, 20)), [c(1, 21, "")]);
            gate.rule(|data| data.replace(14..22, "-").unwrap());
            assert_eq!(gate.put(&up(21, 1, "uv")), [s(15, 1, "-")]);
            assert_eq!(gate.put(&window(16, 20)), [c(1, 23, "")]);
        } else {
            gate.now = gate.now + Duration::from_secs(2);
            assert_eq!(gate.put(&window(15, 6)), [c(1, 17, ""), s(15, 1, "opqrst")]);
            // It is lost.
            assert_eq!(gate.put(&up(17, 1, "qrst")), [s(15, 1, "opqrst")]);
            assert_eq!(gate.put(&window(21, 0)), [c(1, 21, "")]);
        }
        assert_eq!(gate.finish().edits.holds_released, u64::from(!reads));
    }
}

/// A sender repeats first what is not acknowledged first. If those were held bytes, it would never get
/// to what was lost behind them.
#[test]
fn held_bytes_do_not_keep_a_sender_from_repeating_what_was_lost_behind_them() {
    let mut gate = Gate::new();
    gate.rule(|data| data.hold_from(2).unwrap());
    assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "ab")]);
    assert_eq!(gate.put(&down(1, 3, "")), [c(1, 5, "")]);
    // 5 and 6 are lost before us.
    assert_eq!(gate.put(&up(7, 1, "gh")), [c(1, 5, "")]);
    gate.rule(|data| data.replace(3..5, "-").unwrap());
    assert_eq!(gate.put(&up(5, 1, "ef")), [s(3, 1, "c-f"), s(6, 1, "gh")]);
    // Both are lost behind us. What was vouched for comes again with what follows it.
    assert_eq!(gate.put(&down(1, 3, "")), [c(1, 5, "")]);
    assert_eq!(gate.put(&up(5, 1, "ef")), [s(3, 1, "c-f")]);
    // A part of it arrives.
    assert_eq!(gate.put(&down(1, 4, "")), [c(1, 5, "")]);
    assert_eq!(gate.put(&up(5, 1, "efgh")), [s(4, 1, "-fgh")]);
    assert_eq!(gate.put(&down(1, 6, "")), [c(1, 7, "")]);
    assert_eq!(gate.put(&up(5, 1, "efgh")), [s(6, 1, "gh")]);
    assert_eq!(gate.put(&down(1, 8, "")), [c(1, 9, "")]);
    gate.finish();
}

#[test]
fn memory_is_bounded_however_much_is_changed_and_however_little_is_acknowledged() {
    let mut config = small();
    config.retained_direction_bytes_max = 20_000;
    let mut gate = Gate::with(config, &handshake());
    let bytes = "y".repeat(50);
    let mut refused = 0;
    for segment in 0..400 {
        gate.rule(move |data| {
            for at in data.offset()..data.end_offset() {
                data.replace(at..at + 1, "zz").unwrap();
            }
        });
        let out = gate.put(&up(1 + segment * 50, 1, &bytes));
        refused += u32::from(out.is_empty());
        // Two bytes for each, and the map: bounded whatever comes.
        assert!(gate.worker.gauges().retained_bytes < 20_000 + 100 + 1024 * 16);
    }
    assert!(refused > 200, "{refused}");
    // Acknowledgments make room again.
    let left = 400 - refused;
    assert_eq!(gate.put(&down(1, 1 + left * 100, "")), [c(1, 1 + left * 50, "")]);
    assert_eq!(gate.worker.gauges().retained_bytes, 0);
    gate.worker.policy_mut().rules.clear();
    assert_eq!(gate.put(&up(1 + left * 50, 1, "on")), [s(1 + left * 100, 1, "on")]);
    let counters = gate.finish();
    assert_eq!(counters.dropped_for(Reason::Cause(Cause::HeldFullFlow)), u64::from(refused));
}

#[test]
fn what_is_signed_or_was_picked_up_is_read_only() {
    let signed = |mut frame: Frame| {
        frame.options = [&[19, 18][..], &[7; 16], &[1, 1]].concat();
        frame
    };
    let mut gate = Gate::with(small(), &handshake().map(signed));
    gate.rule(|data| assert!(!data.is_writable()));
    assert_eq!(gate.put(&signed(up(1, 1, "abcd"))), [s(1, 1, "abcd")]);
    gate.finish();

    let config = Config { midstream: Midstream::Pickup, ..small() };
    let mut gate = Gate::with(config, &[]);
    gate.rule(|data| assert!(!data.is_writable()));
    assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "abcd")]);
    assert_eq!(gate.put(&down(1, 5, "")), [c(1, 5, "")]);
    gate.finish();
}

#[test]
fn a_changed_connection_is_reset_after_a_bypass_and_an_even_one_goes_on() {
    for (change, even) in [("12", false), ("1", true)] {
        let mut gate = Gate::new();
        gate.rule(move |data| data.replace(0..1, change).unwrap());
        assert_eq!(gate.put(&up(1, 1, "abcd")).len(), 1);
        let acked = if even { 5 } else { 6 };
        assert_eq!(gate.put(&down(1, acked, "")), [c(1, 5, "")]);
        gate.worker.resume(gate.now);
        let out = gate.put(&up(5, 1, "next"));
        if even {
            assert_eq!(out, [s(5, 1, "next")]);
        } else {
            assert!(out.len() >= 2 && out.iter().all(|out| out.3 == RST), "{out:?}");
        }
        assert_eq!(gate.finish().edits.lost, u64::from(!even));
    }
}

#[test]
fn changes_show_to_direction_and_version_alike() {
    for vlans in [vec![], vec![5], vec![5, 6]] {
        let v6 = |frame: Frame| frame.between("[fd00::1]:4000", "[fd00::2]:80").vlans(&vlans);
        let mut gate = Gate::with(small(), &handshake().map(v6));
        gate.rule(|data| data.erase(0..4).unwrap());
        let seen = gate.seen(&v6(up(1, 1, "gone")));
        assert!(seen.iter().all(|seen| seen.vlans == vlans));
        let out: Vec<_> = seen.into_iter().map(out).collect();
        assert_eq!(out, [c(1, 5, ""), s(1, 1, "")]);
        gate.rule(|data| data.insert(0, "x".repeat(3000)).unwrap());
        let frames = gate.seen(&v6(down(1, 1, "much")));
        assert_eq!(frames.len(), 3);
        assert!(frames.iter().all(|seen| seen.vlans == vlans && seen.payload.len() <= 1440));
        assert!(gate.worker.policy().shown.iter().any(|shown| shown.0 == Direction::ToClient));
        gate.finish();
    }
}

/// A changed stream cannot be forgotten, so who acknowledges nothing of one while memory is short is
/// given up in the end; who acknowledges a byte now and then is not.
#[test]
fn a_changed_stream_that_nobody_acknowledges_does_not_keep_its_memory_for_ever() {
    for moves in [false, true] {
        let config = Config { retained_bytes_max: 20_000, ..small() };
        let mut gate = Gate::with(config, &handshake());
        for from in [up, down] {
            for segment in 0..16 {
                gate.rule(|data| data.replace(data.offset()..data.offset() + 1, "zz").unwrap());
                gate.put(&from(1 + segment * 1000, 1, &"y".repeat(1000)));
            }
        }
        assert!(gate.worker.gauges().retained_bytes > 15_000);
        let mut rsts = 0;
        for second in 0..60 {
            gate.now = gate.now + Duration::from_secs(1);
            let ack = 1 + if moves && second % 20 == 19 { second } else { 0 };
            let out = gate.put(&down(5001, ack, ""));
            rsts += out.iter().filter(|(_, _, _, flags, _)| flags & RST != 0).count();
        }
        assert_eq!(rsts > 0, !moves);
        assert_eq!(gate.worker.gauges().retained_bytes > 0, moves);
        let counters = gate.finish();
        assert_eq!(counters.troubles[Trouble::Memory as usize], u64::from(!moves));
    }
}

/// Small segments of a changed stream have no packets any more when they leave.
#[test]
fn what_small_segments_have_become_leaves_in_segments_of_our_own_or_with_a_repetition() {
    for frames in [1, 100] {
        let link = MemoryLink::with_frames(frames, 2048);
        let worker = Worker::new(small(), link, Scripted::default(), Mesh::alone());
        let mut gate = Gate { worker, now: Timestamp::from_secs(1_000_000) };
        handshake().iter().for_each(|frame| assert_eq!(gate.put(frame).len(), 1));
        gate.rule(|data| data.replace(0..1, "AA").unwrap());
        assert_eq!(gate.put(&up(1, 1, "a")), [s(1, 1, "AA")]);
        assert_eq!(gate.put(&down(1, 3, "")), [c(1, 2, "")]);
        assert_eq!(gate.put(&up(4, 1, "d")), [c(1, 2, "")]);
        assert_eq!(gate.put(&up(3, 1, "c")), [c(1, 2, "")]);
        gate.rule(|data| data.replace(2..3, "CCC").unwrap());
        let out = gate.put(&up(2, 1, "b"));
        let repeated = gate.put(&up(3, 1, "cd"));
        let later = s(4, 1, "CCCd");
        if frames == 1 {
            // Nobody had a frame for it.
            assert_eq!((out, repeated), (vec![s(3, 1, "b")], vec![later]));
        } else {
            assert_eq!((out, repeated), (vec![s(3, 1, "b"), later.clone()], vec![later]));
        }
        assert_eq!(gate.finish().merged, 2);
    }
}
