//! Reasons to drop that come up seldom: each is its own, and counted once a frame.

use tollgate_engine::{Cause, Config, Reason, Remedies, Remedy, Trouble};
use tollgate_link::Port;
use tollgate_link::memory::MemoryLink;
use tollgate_policy::Phase;

use crate::common::{ACK, Frame, Gate, PSH, small};

fn up(seq: u32, bytes: &[u8]) -> Frame {
    Frame::client(seq, 1, PSH | ACK, bytes)
}

fn dropped(gate: &Gate, cause: Cause) -> u64 {
    gate.counters().dropped_for(Reason::Cause(cause))
}

#[test]
fn what_is_held_already_is_redundant_small_or_not() {
    for len in [10, 300] {
        let mut gate = Gate::editing(small());
        gate.establish();
        let early = up(500, &vec![7; len]);
        for copies in [0, 1, 2] {
            assert_eq!(gate.put(&early), [early.asked(1)], "its sender is asked again");
            assert_eq!(dropped(&gate, Cause::Redundant), copies);
        }
        gate.finish();
    }
}

#[test]
fn a_datagram_in_more_pieces_than_any_honest_one_is_dropped() {
    let mut gate = Gate::new();
    gate.establish();
    // 8 bytes each: 3 of the header, 64 of what it carries; the last one does not come.
    let pieces = up(1, &[7; 8 * 64 - 4]).fragments(8, 77);
    assert!(pieces.len() > 65, "{}", pieces.len());
    for piece in &pieces[..65] {
        assert_eq!(gate.put_bytes(Port::A, piece), []);
    }
    assert_eq!((dropped(&gate, Cause::FragmentTooMany), gate.worker.gauges().fragments), (1, 64));
    gate.finish();
}

#[test]
fn a_datagram_that_no_frame_is_free_for_is_dropped_whole() {
    let mut gate = Gate::with_link(small(), MemoryLink::with_frames(3, 2048));
    gate.worker.replace_policy(Gate::editing(small()).worker.replace_policy(Default::default()));
    gate.establish();
    let pieces = up(1, &[7; 12]).fragments(16, 77);
    assert_eq!(pieces.len(), 2);
    // The pieces and one that waits behind a gap take all three.
    let early = up(500, &[7; 300]);
    gate.put(&early);
    assert_eq!(gate.worker.gauges().held_frames, 1);
    for piece in &pieces {
        assert_eq!(gate.put_bytes(Port::A, piece), []);
    }
    assert_eq!(dropped(&gate, Cause::FrameShortage), 2);
    gate.finish();
}

#[test]
fn a_connection_may_end_for_want_of_memory_for_what_it_repeats() {
    for (memory, phase, rsts) in
        [(Remedy::DropFlow, Phase::Evicted, 0), (Remedy::Reset, Phase::Reset, 3)]
    {
        let remedies = Remedies { memory, ..Remedies::default() };
        let mut gate = Gate::with(Config { retained_direction_bytes_max: 4, remedies, ..small() });
        gate.establish();
        gate.put(&up(1, b"1234"));
        gate.put(&up(5, b"5678"));
        let out = gate.put(&up(3, b"34"));
        assert!(out.iter().all(|seen| seen.payload.is_empty()), "{out:?}");
        assert_eq!(gate.worker.gauges().zombies, 1);
        assert_eq!(dropped(&gate, Cause::Memory), 1);
        let counters = gate.finish();
        assert_eq!(counters.troubles[Trouble::Memory as usize], 1);
        assert_eq!((counters.connections(phase), counters.rsts), (1, rsts));
    }
}
