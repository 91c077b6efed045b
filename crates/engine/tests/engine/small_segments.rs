//! Small segments behind a gap, where rules edit: they wait without their frames.

use tollgate_engine::{Cause, Config, Limits, Reason};
use tollgate_link::Port;
use tollgate_link::memory::MemoryLink;
use tollgate_policy::Report;
use tollgate_tcp::State;
use tollgate_wire::Direction;

use crate::common::{ACK, FIN, Frame, Gate, PSH, Seen, small};

fn up(seq: u32, bytes: &[u8]) -> Frame {
    Frame::client(seq, 1, PSH | ACK, bytes)
}

fn editing(config: Config, frames_max: usize) -> Gate {
    let mut gate = Gate::with_link(config.clone(), MemoryLink::with_frames(frames_max, 2048));
    let editing = Gate::editing(config).worker.replace_policy(Default::default());
    gate.worker.replace_policy(editing);
    gate.establish();
    gate.policy().writes = false;
    gate
}

/// What arrives at the server, which must come in order and without a gap.
fn read(out: &[Seen], from: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for seen in out.iter().filter(|seen| seen.port == Port::B) {
        assert_eq!(
            seen.seq as usize,
            crate::common::CLIENT_ISN as usize + from as usize + bytes.len()
        );
        bytes.extend(&seen.payload);
    }
    bytes
}

#[test]
fn a_thousand_single_bytes_in_reverse_pin_no_frame_and_leave_together() {
    let mut gate = editing(small(), 3);
    let text: Vec<u8> = (0..1000_u32).map(|at| (at % 251) as u8).collect();
    for at in (1..1000).rev() {
        let out = gate.put(&up(1 + at, &text[at as usize..][..1]));
        assert_eq!(out, [up(1 + at, b"").asked(1)]);
        assert_eq!((gate.worker.gauges().held_frames, gate.worker.link().outstanding()), (0, 0));
    }
    assert_eq!(gate.worker.gauges().held_extents, 1);
    let out = gate.put(&up(1, &text[..1]));
    // The one that filled the gap, and what fits into two segments of 536 bytes.
    assert_eq!((read(&out, 1), out.len()), (text.clone(), 3));
    assert_eq!(gate.policy().stream(Direction::ToServer), text);
    assert_eq!(gate.worker.gauges().held_bytes, 0);
    let counters = gate.finish();
    assert_eq!((counters.merged, counters.dropped()), (999, 0));
}

#[test]
fn copies_of_small_segments_are_bounded_and_then_frames_are_held() {
    let held = Limits { frames: 3, bytes: 2000, ..Limits::default() };
    let mut gate = editing(Config { held, ..small() }, 100);
    for number in 1..100 {
        gate.put(&up(1 + number, b"x"));
        let gauges = gate.worker.gauges();
        assert!(gauges.held_bytes <= 2000 && gauges.held_frames <= 3, "{gauges:?}");
    }
    assert_eq!(gate.worker.gauges().held_frames, 3);
    let counters = gate.counters();
    assert!(counters.merged >= 5, "{}", counters.merged);
    assert_eq!(counters.dropped_for(Reason::Cause(Cause::HeldFullFlow)), 96 - counters.merged);
    let waiting = 3 + counters.merged as usize;
    assert_eq!(read(&gate.put(&up(1, b"x")), 1).len(), 1 + waiting);
    gate.finish();
}

/// The packet that fills the gap has the only frame there is.
#[test]
fn what_there_is_no_frame_for_comes_when_its_sender_repeats_it() {
    let mut gate = editing(small(), 1);
    gate.put(&up(5, b"late"));
    let fill = up(1, b"fill");
    assert_eq!(gate.put(&fill), [fill.crossed()]);
    assert_eq!(gate.policy().stream(Direction::ToServer), b"filllate");
    let copy = up(5, b"LATE!");
    let out = gate.put(&copy);
    assert_eq!(out, [Seen { payload: b"late!".to_vec(), ..copy.crossed() }]);
    assert_eq!(gate.finish().rewritten, 1);
}

#[test]
fn of_two_small_segments_the_first_wins_and_it_is_told_once() {
    let mut gate = editing(small(), 100);
    gate.put(&up(3, b"cd"));
    gate.put(&up(2, b"BCDE"));
    gate.put(&up(4, b"DEF"));
    let out = gate.put(&up(1, b"a"));
    assert_eq!((read(&out, 1), out.len()), (b"aBcdEF".to_vec(), 2));
    assert_eq!(gate.policy().stream(Direction::ToServer), b"aBcdEF");
    let alerts = |gate: &mut Gate| {
        gate.worker.reports().drain().filter(|report| matches!(report, Report::Alert(_))).count()
    };
    assert_eq!(alerts(&mut gate), 1);
    assert!(gate.finish().rewritten > 0);
}

#[test]
fn a_fin_that_has_waited_ends_the_stream() {
    let mut gate = editing(small(), 100);
    gate.put(&Frame::client(4, 1, FIN | ACK, b"def"));
    gate.put(&Frame::client(3, 1, ACK, b"c"));
    let out = gate.put(&up(1, b"ab"));
    assert_eq!(out, [up(1, b"ab").crossed(), Frame::client(3, 1, FIN | ACK, b"cdef").crossed()]);
    assert_eq!(gate.worker.gauges().flows[State::HalfClosed as usize], 1);
    gate.finish();
}
