//! Every attack, small: bounds hold, all that is honest passes, and afterwards nothing is kept.
#![expect(clippy::unwrap_used, reason = "a test")]

use tollgate_bench::abuse::{Effort, Outcome, config, run};
use tollgate_bench::hostile::Attack;
use tollgate_engine::{Cause, Reason};

const EFFORT: Effort = Effort { flows: 600, bursts: 24, half_open_max: 4096 };

/// `run` itself fails when an honest frame is lost or an honest connection is gone.
fn bounded(attack: Attack) -> Outcome {
    let outcome = run(attack, EFFORT).unwrap();
    let (bounds, peak, after) = (config(EFFORT), &outcome.peak, &outcome.after);
    assert!(peak.half_open <= bounds.half_open_max as u64, "{peak:?}");
    assert!(peak.held_frames <= bounds.held_frames_max, "{peak:?}");
    assert!(peak.held_bytes <= bounds.held_bytes_max, "{peak:?}");
    assert!(peak.held_extents <= bounds.held_extents_max, "{peak:?}");
    assert!(peak.retained_bytes <= bounds.retained_bytes_max, "{peak:?}");
    assert!(peak.fragments <= bounds.fragments_max, "{peak:?}");
    assert!(peak.datagrams <= bounds.datagrams_max as u64, "{peak:?}");
    assert_eq!((after.half_open, after.fragments, after.datagrams), (0, 0, 0));
    outcome
}

fn dropped(outcome: &Outcome, cause: Cause) -> u64 {
    outcome.counters.dropped_for(Reason::Cause(cause))
}

#[test]
fn a_flood_of_syns_takes_the_half_open_table_and_nothing_else() {
    for attack in [Attack::HalfOpen, Attack::Syns] {
        let outcome = bounded(attack);
        assert_eq!(outcome.peak.half_open, 4096);
        assert_eq!(outcome.hostile_left, outcome.hostile_frames, "nobody is refused a SYN");
    }
}

/// What lies behind a hole is copied and leaves, or finds no room and is dropped for that.
fn leaves_or_is_refused(outcome: &Outcome) {
    let full = [Cause::HeldFullFlow, Cause::HeldFullWorker];
    let refused = full.into_iter().map(|cause| dropped(outcome, cause)).sum::<u64>();
    assert_eq!(outcome.hostile_left + refused, outcome.hostile_frames, "{:?}", outcome.counters);
}

#[test]
fn one_byte_segments_in_reverse_wait_within_the_bounds() {
    for attack in [Attack::BytesReversed, Attack::BytesReversedBeyond] {
        let outcome = bounded(attack);
        assert!(outcome.peak.held_bytes > 0, "{:?}", outcome.peak);
        leaves_or_is_refused(&outcome);
    }
}

#[test]
fn overlaps_with_other_bytes_are_rewritten_one_and_all() {
    let outcome = bounded(Attack::Overlaps);
    assert!(outcome.counters.rewritten > outcome.hostile_frames / 2, "{:?}", outcome.counters);
}

#[test]
fn connections_that_leave_holes_wait_within_the_bounds() {
    let outcome = bounded(Attack::Holes);
    assert!(outcome.peak.held_extents >= 8192, "{:?}", outcome.peak);
    leaves_or_is_refused(&outcome);
}

#[test]
fn what_nobody_acknowledges_is_remembered_within_the_bounds() {
    bounded(Attack::Unacknowledged);
}

#[test]
fn fragments_that_stay_alone_give_way_to_newer_ones() {
    let outcome = bounded(Attack::Fragments);
    let gone = dropped(&outcome, Cause::FragmentFull) + dropped(&outcome, Cause::FragmentTimeout);
    assert_eq!(gone, outcome.hostile_frames);
}

#[test]
fn segments_of_no_connection_are_dropped_and_open_none() {
    let outcome = bounded(Attack::Strays);
    assert_eq!(dropped(&outcome, Cause::NoConnection), outcome.hostile_frames);
}
