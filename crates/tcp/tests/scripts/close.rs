use tollgate_tcp::{Invalid, State};
use tollgate_wire::{Flags, Seq};

use crate::support::{C, ENDS, Fate, Gate, Packet, S, established, established_with_timestamps};

// E01
#[test]
fn two_fins_close_a_connection() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "AAAA"));
    gate.passes(ENDS.fin(C, 5, 1));
    assert_eq!(gate.state(), Some(State::HalfClosed));
    gate.passes(ENDS.ack(S, 1, 6));
    gate.passes(ENDS.fin(S, 1, 6));
    assert_eq!(gate.state(), Some(State::Closing));
    gate.passes(ENDS.ack(C, 6, 2));
    assert_eq!(gate.state(), Some(State::TimeWait));
    // The last ACK is lost: the FIN comes again, and is acknowledged again.
    gate.passes(ENDS.fin(S, 1, 6));
    gate.passes(ENDS.ack(C, 6, 2));
}

#[test]
fn both_may_close_at_once() {
    let mut gate = established();
    gate.passes(ENDS.fin(C, 1, 1));
    gate.passes(ENDS.fin(S, 1, 1));
    assert_eq!(gate.state(), Some(State::Closing));
    gate.passes(ENDS.ack(C, 2, 2));
    gate.passes(ENDS.ack(S, 2, 2));
    assert_eq!(gate.state(), Some(State::TimeWait));
}

// E02
#[test]
fn a_fin_waits_for_the_bytes_before_it() {
    let mut gate = established();
    gate.holds(ENDS.c(5, "5678").fin());
    assert_eq!(gate.state(), Some(State::Established));
    gate.leave(ENDS.c(1, "1234"), &[ENDS.c(1, "1234"), ENDS.c(5, "5678").fin()]);
    assert_eq!(gate.state(), Some(State::HalfClosed));
    assert!(gate.open().streams[C].ended);
    assert_eq!(gate.shown(C), "12345678");
}

// E03
#[test]
fn bytes_beyond_a_held_fin_are_trimmed() {
    let mut gate = established();
    gate.holds(ENDS.fin(C, 5, 1));
    gate.leave(ENDS.c(1, "abcdEVIL"), &[ENDS.c(1, "abcd"), ENDS.fin(C, 5, 1)]);
    assert_eq!(gate.shown(C), "abcd");
    assert!(gate.open().streams[C].ended);
}

#[test]
fn a_held_segment_that_straddles_a_held_fin_is_trimmed() {
    let mut gate = established();
    gate.holds(ENDS.fin(C, 5, 1));
    gate.holds(ENDS.c(3, "cdEVIL"));
    assert_eq!(gate.packet(ENDS.c(5, "EVIL")), Fate::Redundant);
    assert_eq!(gate.packet(ENDS.c(6, "EVIL")), Fate::Redundant);
    gate.leave(ENDS.c(1, "ab"), &[ENDS.c(1, "ab"), ENDS.c(3, "cd"), ENDS.fin(C, 5, 1)]);
    assert_eq!(gate.shown(C), "abcd");
}

// E04
#[test]
fn a_fin_below_held_data_loses_its_bit() {
    let mut gate = established();
    gate.holds(ENDS.c(5, "WXYZ").fin());
    gate.leave(ENDS.c(1, "abcd").fin(), &[ENDS.c(1, "abcd"), ENDS.c(5, "WXYZ").fin()]);
    assert_eq!(gate.shown(C), "abcdWXYZ");
}

#[test]
fn a_fin_below_committed_data_loses_its_bit() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "abcdefgh"));
    gate.leave(ENDS.c(1, "abcd").fin(), &[ENDS.c(1, "abcd")]);
    gate.leave(ENDS.fin(C, 5, 1), &[ENDS.ack(C, 5, 1)]);
    assert_eq!(gate.state(), Some(State::Established));
}

// E05
#[test]
fn bytes_beyond_a_committed_fin_are_dropped() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "abcd").fin());
    gate.drops(ENDS.c(6, "MORE"), Invalid::BeyondFin);
    gate.drops(ENDS.c(5, "MORE"), Invalid::BeyondFin);
    gate.leave(ENDS.c(1, "abcdMORE"), &[ENDS.c(1, "abcd")]);
    gate.passes(ENDS.ack(C, 6, 1));
}

/// Its receiver is not told what it acknowledges, so nor are we.
#[test]
fn a_segment_that_is_dropped_beyond_a_fin_acknowledges_nothing() {
    let mut gate = established();
    gate.passes(ENDS.fin(C, 1, 1));
    gate.passes(ENDS.fin(S, 1, 2));
    gate.drops(Packet { ack: ENDS.ack(C, 2, 2).ack, ..ENDS.c(2, "MORE") }, Invalid::BeyondFin);
    assert_eq!(gate.state(), Some(State::Closing));
    gate.passes(ENDS.ack(C, 2, 2));
    assert_eq!(gate.state(), Some(State::TimeWait));
}

// E07
#[test]
fn a_fin_ahead_counts_only_at_its_place() {
    let mut gate = established();
    gate.holds(ENDS.fin(C, 11, 1));
    gate.passes(ENDS.c(1, "01234"));
    assert_eq!(gate.state(), Some(State::Established));
    gate.leave(ENDS.c(6, "56789"), &[ENDS.c(6, "56789"), ENDS.fin(C, 11, 1)]);
    assert_eq!(gate.state(), Some(State::HalfClosed));
}

// E08
#[test]
fn a_fin_with_a_bad_ack_is_dropped() {
    let mut gate = established();
    gate.drops(ENDS.fin(C, 1, 1000), Invalid::AckBeyond);
    assert_eq!(gate.state(), Some(State::Established));
}

// E20
#[test]
fn the_other_side_may_go_on_after_a_fin() {
    let mut gate = established();
    gate.passes(ENDS.fin(C, 1, 1));
    for chunk in 0..20 {
        gate.passes(ENDS.make(S, 1 + chunk * 50_000, 2, Flags::ACK, &"x".repeat(50_000)));
        gate.passes(ENDS.ack(C, 2, 1 + (chunk + 1) * 50_000));
    }
    gate.passes(ENDS.fin(S, 1_000_001, 2));
    gate.passes(ENDS.ack(C, 2, 1_000_002));
    assert_eq!(gate.state(), Some(State::TimeWait));
    assert_eq!(gate.shown(S).len(), 1_000_000);
}

#[test]
fn a_fin_that_comes_again_with_its_data_passes() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "abcd").fin());
    gate.passes(ENDS.c(1, "abcd").fin());
    gate.passes(ENDS.fin(C, 5, 1));
    gate.passes(ENDS.ack(S, 1, 5));
    gate.leave(ENDS.c(1, "abcd").fin(), &[Packet { bytes: vec![], ..ENDS.c(5, "").fin() }]);
    gate.passes(ENDS.ack(S, 1, 6));
    // Acknowledged, but perhaps the ACK was lost.
    gate.leave(ENDS.c(1, "abcd").fin(), &[Packet { bytes: vec![], ..ENDS.c(5, "").fin() }]);
}

// E09
#[test]
fn a_rst_at_the_exact_edge_ends_it() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "AAAA"));
    gate.passes(ENDS.rst(C, 5));
    assert_eq!(gate.state(), Some(State::Reset));
    gate.passes(ENDS.rst(C, 5));
}

// E10, E11, E16
#[test]
fn a_rst_elsewhere_in_the_window_is_dropped() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "0123456789"));
    gate.holds(ENDS.c(21, "0123456789"));
    for seq in [0, 2, 10, 12, 21, 31] {
        gate.drops(ENDS.rst(C, seq), Invalid::RstOffEdge);
    }
    gate.drops(ENDS.make(C, 2, 0, Flags::RST, "0123456789"), Invalid::RstOffEdge);
    assert_eq!(gate.state(), Some(State::Established));
}

/// FreeBSD would take it, Linux only if what we forwarded was lost: it may pass, but is not believed.
#[test]
fn a_rst_at_the_last_ack_below_the_edge_passes_and_the_connection_lives() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "AAAA"));
    gate.passes(ENDS.rst(C, 1));
    gate.leaves_with(ENDS.make(C, 1, 0, Flags::RST, "payload"), "");
    assert_eq!(gate.state(), Some(State::Established));
    gate.passes(ENDS.ack(S, 1, 5));
    gate.passes(ENDS.c(5, "BBBB"));
    assert_eq!(gate.shown(C), "AAAABBBB");
}

// E13
#[test]
fn paws_is_not_for_rsts() {
    let mut gate = established_with_timestamps();
    gate.passes(ENDS.c(1, "AA").timestamp(1000));
    gate.passes(ENDS.rst(C, 3).timestamp(1));
    assert_eq!(gate.state(), Some(State::Reset));
    let mut gate = established_with_timestamps();
    gate.passes(ENDS.rst(C, 1));
    assert_eq!(gate.state(), Some(State::Reset));
}

// E14
#[test]
fn a_signed_rst_is_dropped() {
    let mut gate = established();
    gate.drops(ENDS.rst(C, 1).signed(), Invalid::UnexpectedSignature);
}

// E15
#[test]
fn a_rst_with_a_bad_ack_is_dropped() {
    let mut gate = established();
    let rst = |ack| ENDS.make(C, 1, ack, Flags::RST | Flags::ACK, "");
    gate.drops(rst(1000), Invalid::RstAck);
    gate.passes(rst(1));
}

// E17
#[test]
fn a_rst_leaves_without_its_payload() {
    let mut gate = established();
    gate.leaves_with(ENDS.make(C, 1, 0, Flags::RST, "seventeen bytes !"), "");
    assert_eq!(gate.state(), Some(State::Reset));
}

// E18
#[test]
fn after_a_fin_the_rst_may_be_at_the_fin() {
    let mut gate = established();
    gate.passes(ENDS.fin(C, 1, 1));
    gate.passes(ENDS.s(1, "still sending"));
    gate.passes(ENDS.rst(C, 1));
    assert_eq!(gate.state(), Some(State::Reset));
}

// E19
#[test]
fn after_a_rst_data_is_dropped_and_a_challenge_passes() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "AAAA"));
    gate.passes(ENDS.rst(C, 5));
    gate.drops(ENDS.c(5, "more"), Invalid::AfterReset);
    gate.drops(ENDS.s(1, "more"), Invalid::AfterReset);
    // The server had not received all of it; the client's answer is exact.
    gate.passes(ENDS.ack(S, 1, 1));
    gate.passes(ENDS.rst(C, 1));
    gate.passes(ENDS.syn());
    assert_eq!((gate.state(), gate.reopened), (Some(State::SynSent), 1));
}

#[test]
fn the_stream_position_counts_bytes_and_not_the_fin() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "abcd").fin());
    let stream = &gate.open().streams[C].reassembler;
    assert_eq!((stream.offset(), stream.next()), (4, Seq(ENDS.client + 6)));
}

#[test]
fn a_gate_that_holds_a_fin_says_so() {
    let mut gate: Gate = established();
    gate.holds(ENDS.fin(S, 10, 1));
    assert_eq!(gate.open().streams[S].reassembler.held().frames, 1);
}
