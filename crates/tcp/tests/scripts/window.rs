use tollgate_tcp::Invalid;
use tollgate_wire::{Flags, Timestamp};

use crate::support::{C, ENDS, Fate, Gate, S, established, established_with_timestamps};

// D01
#[test]
fn what_lies_beyond_the_window_is_dropped() {
    let mut gate = established();
    gate.drops(ENDS.c(70_001, "data"), Invalid::BeyondWindow);
    gate.drops(ENDS.ack(C, 70_001, 1), Invalid::BeyondWindow);
}

// D02
#[test]
fn what_straddles_the_right_edge_is_trimmed_and_loses_its_fin() {
    let mut gate = Gate::default();
    gate.passes(ENDS.syn());
    gate.passes(ENDS.syn_ack().window(10));
    gate.passes(ENDS.ack(C, 1, 1));
    gate.leave(ENDS.c(1, "0123456789excess").fin(), &[ENDS.c(1, "0123456789")]);
}

// D02
#[test]
fn a_window_that_shrinks_takes_nothing_back() {
    let mut gate = established();
    gate.passes(ENDS.ack(S, 1, 1).window(0));
    gate.passes(ENDS.c(1, &"x".repeat(60_000)));
}

fn zero_window() -> Gate {
    let mut gate = Gate::default();
    gate.passes(ENDS.syn());
    gate.passes(ENDS.syn_ack().window(4));
    gate.passes(ENDS.c(1, "AAAA"));
    gate.passes(ENDS.ack(S, 1, 5).window(0));
    gate
}

// D03, D04
#[test]
fn a_probe_of_a_closed_window_is_one_byte() {
    let mut gate = zero_window();
    gate.passes(ENDS.c(5, "Z"));
    gate.passes(ENDS.c(5, "Z"));
    gate.passes(ENDS.ack(S, 1, 5).window(0));
    assert_eq!(gate.shown(C), "AAAAZ");
    gate.passes(ENDS.ack(S, 1, 5).window(100));
    gate.leaves_with(ENDS.c(5, "BBBB"), "ZBBB");
    assert_eq!(gate.shown(C), "AAAAZBBB");
}

#[test]
fn a_probe_may_be_no_longer() {
    let mut gate = zero_window();
    gate.leave(ENDS.c(5, "ZYX"), &[ENDS.c(5, "Z")]);
}

#[test]
fn a_fin_needs_no_window() {
    let mut gate = zero_window();
    gate.passes(ENDS.fin(C, 5, 1));
    gate.passes(ENDS.ack(C, 6, 1));
}

// D05
#[test]
fn a_keep_alive_passes_and_its_garbage_byte_does_not() {
    let mut gate = established();
    gate.passes(ENDS.ack(C, 0, 1));
    gate.leaves_with(ENDS.c(0, "?"), "");
    gate.passes(ENDS.c(1, "AAAA"));
    gate.passes(ENDS.ack(S, 1, 5));
    gate.passes(ENDS.ack(C, 4, 1));
    gate.leaves_with(ENDS.c(4, "?"), "");
    assert_eq!(gate.shown(C), "AAAA");
}

// What leaves of it ends before the window, so its receiver takes no acknowledgment from it.
#[test]
fn what_a_keep_alive_acknowledges_is_not_believed_without_its_byte() {
    let mut gate = established();
    gate.passes(ENDS.s(1, "BBBB"));
    gate.leaves_with(ENDS.make(C, 0, 5, Flags::ACK, "?"), "");
    gate.passes(ENDS.s(1, "BBBB"));
    gate.passes(ENDS.ack(C, 1, 5));
    gate.leaves_with(ENDS.s(1, "BBBB"), "");
}

#[test]
fn a_last_byte_that_is_not_acknowledged_is_no_keep_alive() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "A"));
    gate.passes(ENDS.c(1, "A"));
}

// D06
#[test]
fn an_ack_of_what_was_never_forwarded_is_dropped() {
    let mut gate = established();
    gate.drops(ENDS.make(C, 1, 1001, Flags::ACK, "DATA"), Invalid::AckBeyond);
    gate.drops(ENDS.ack(C, 1, 2), Invalid::AckBeyond);
}

// D07
#[test]
fn an_ack_older_than_a_window_is_dropped() {
    let mut gate = established();
    gate.drops(ENDS.make(C, 1, 0, Flags::ACK, "DATA"), Invalid::AckBelow);
    let mut sent = 1;
    for _ in 0..5 {
        gate.passes(ENDS.s(sent, &"x".repeat(50_000)));
        sent += 50_000;
        gate.passes(ENDS.ack(C, 1, sent));
    }
    gate.drops(ENDS.make(C, 1, 1, Flags::ACK, "DATA"), Invalid::AckBelow);
    gate.passes(ENDS.make(C, 1, sent - 60_000, Flags::ACK, "DATA"));
}

// D08, E06
#[test]
fn data_and_fin_without_ack_are_dropped() {
    let mut gate = established();
    gate.drops(ENDS.make(C, 1, 0, Flags::PSH, "DATA"), Invalid::NoAck);
    gate.drops(ENDS.make(C, 1, 0, Flags::FIN, ""), Invalid::NoAck);
}

// D09
#[test]
fn an_ack_of_what_is_held_is_dropped() {
    let mut gate = established();
    gate.holds(ENDS.c(5, "BBBB"));
    gate.drops(ENDS.ack(S, 1, 9), Invalid::AckBeyond);
}

// D11
#[test]
fn repeated_acks_and_window_updates_pass() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "AAAA"));
    for window in [100, 100, 100, 200, 0, 300] {
        gate.passes(ENDS.ack(S, 1, 1).window(window));
    }
}

/// Its receiver would not take it either; whoever forges one could make us empty the copies of bytes
/// that the receiver has lost.
#[test]
fn an_ack_from_before_the_window_passes_and_is_not_believed() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "AAAA"));
    gate.passes(ENDS.s(1, "bbbb"));
    gate.passes(ENDS.ack(C, 5, 5));
    gate.passes(ENDS.ack(S, 1, 5));
    gate.passes(ENDS.c(1, "AAAA"));
    gate.passes(ENDS.ack(S, 5, 5));
    gate.leaves_with(ENDS.c(1, "AAAA"), "");
}

#[test]
fn data_from_more_than_a_window_ago_is_dropped() {
    let mut gate = established();
    let mut sent = 1;
    for _ in 0..5 {
        gate.passes(ENDS.c(sent, &"x".repeat(50_000)));
        sent += 50_000;
        gate.passes(ENDS.ack(S, 1, sent));
    }
    gate.drops(ENDS.c(1, "DATA"), Invalid::BelowWindow);
    gate.leaves_with(ENDS.c(sent - 10, "DATA"), "");
}

// D12, D14, B24
#[test]
fn a_timestamp_of_the_past_is_dropped_but_for_one_tick() {
    let mut gate = established_with_timestamps();
    gate.passes(ENDS.c(1, "AA").timestamp(1000));
    gate.passes(ENDS.ack(S, 1, 3).timestamp(201));
    gate.passes(ENDS.c(3, "BB").timestamp(999));
    gate.drops(ENDS.c(5, "JUNK").timestamp(998), Invalid::Paws);
    gate.drops(ENDS.c(5, "JUNK").timestamp(0), Invalid::Paws);
    gate.passes(ENDS.c(5, "CC").timestamp(1000));
    assert_eq!(gate.shown(C), "AABBCC");
}

// bug-3286 of suricata-verify
#[test]
fn the_first_data_is_held_against_the_timestamp_of_the_handshake() {
    let mut gate = established_with_timestamps();
    gate.drops(ENDS.s(1, "FAKE").timestamp(150), Invalid::Paws);
    gate.passes(ENDS.s(1, "REAL").timestamp(200));
    assert_eq!(gate.shown(S), "REAL");
}

// D13
#[test]
fn a_segment_without_timestamp_is_data_all_the_same() {
    let mut gate = established_with_timestamps();
    gate.passes(ENDS.c(1, "NOTS"));
    assert_eq!(gate.shown(C), "NOTS");
}

#[test]
fn a_timestamp_that_was_not_agreed_means_nothing() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "AA").timestamp(1000));
    gate.passes(ENDS.ack(S, 1, 3));
    gate.passes(ENDS.c(3, "BB").timestamp(1));
}

// D15
#[test]
fn reordering_makes_no_honest_segment_old() {
    let mut gate = established_with_timestamps();
    gate.holds(ENDS.c(3, "BB").timestamp(5000));
    gate.leave(
        ENDS.c(1, "AA").timestamp(300),
        &[ENDS.c(1, "AA").timestamp(300), ENDS.c(3, "BB").timestamp(5000)],
    );
    gate.passes(ENDS.c(5, "CC").timestamp(400));
}

// D16
#[test]
fn a_timestamp_of_the_far_future_is_taken_as_linux_takes_it() {
    let mut gate = established_with_timestamps();
    gate.passes(ENDS.c(1, "FUTR").timestamp(100_u32.wrapping_add((1 << 31) - 1)));
    gate.passes(ENDS.ack(S, 1, 5).timestamp(201));
    gate.drops(ENDS.c(5, "AA").timestamp(101), Invalid::Paws);
}

#[test]
fn a_timestamp_is_forgotten_after_24_days() {
    let mut gate = established_with_timestamps();
    gate.passes(ENDS.c(1, "AA").timestamp(5000));
    gate.now = Timestamp::from_secs(1000 + 25 * 24 * 3600);
    gate.passes(ENDS.ack(S, 1, 3).timestamp(1));
    gate.passes(ENDS.c(3, "BB").timestamp(1));
}

#[test]
fn an_old_pure_ack_passes_and_tells_nothing() {
    let mut gate = established_with_timestamps();
    gate.passes(ENDS.ack(C, 1, 1).timestamp(1000));
    gate.passes(ENDS.ack(C, 1, 1).timestamp(500));
}

// D22
#[test]
fn congestion_bits_are_left_alone() {
    let mut gate = established();
    let bits = Flags::ACK | Flags::ECE | Flags::CWR | Flags::AE;
    gate.passes(ENDS.make(C, 1, 1, bits, "ecnD"));
}

// D23
#[test]
fn a_syn_ack_with_data_is_dropped_and_the_first_one_again_leaves_without() {
    let mut gate = established();
    let flags = Flags::SYN | Flags::ACK | Flags::PSH;
    for (from, seq) in [(C, 1), (S, 1), (S, 900)] {
        gate.drops(ENDS.make(from, seq, 1, flags, "DATA"), Invalid::UnexpectedSynAck);
    }
    gate.leaves_with(ENDS.make(S, 0, 1, flags, "DATA"), "");
    assert_eq!(gate.shown(S), "");
}

// D24
#[test]
fn a_syn_with_data_leaves_without() {
    let mut gate = established();
    gate.leaves_with(ENDS.make(C, 1, 0, Flags::SYN, "DATA"), "");
    gate.leaves_with(ENDS.make(C, 900_000, 0, Flags::SYN, "DATA"), "");
    assert_eq!(gate.shown(C), "");
}

#[test]
fn three_gibibytes_one_way_do_not_confuse_the_other_way() {
    let mut gate = established();
    let chunk = "x".repeat(60_000);
    let mut sent = 1_u32;
    while sent < 3_100_000_000 {
        let Fate::Left(_) = gate.packet(ENDS.c(sent, &chunk)) else { panic!("at {sent}") };
        sent += 60_000;
        gate.passes(ENDS.ack(S, 1, sent));
        gate.open().streams[C].shown.clear();
    }
    gate.leaves_with(ENDS.c(sent - 60_000, "old"), "");
    gate.passes(ENDS.make(S, 1, sent, Flags::ACK, "still here"));
}
