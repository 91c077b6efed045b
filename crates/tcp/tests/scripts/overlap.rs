use crate::support::{C, ENDS, Ends, Fate, Gate, Packet, S, established, established_between};

/// What left of a segment that was not held.
#[track_caller]
fn left(gate: &mut Gate, packet: Packet) -> Vec<(u32, String)> {
    let Fate::Left(packets) = gate.packet(packet) else { panic!("nothing left") };
    let text = |packet: &Packet| String::from_utf8(packet.bytes.clone()).unwrap();
    packets.iter().map(|packet| (packet.seq - ENDS.client, text(packet))).collect()
}

/// Two segments behind a hole at byte 1, then what fills all holes from 1: the stream, and what
/// became of the second segment.
#[track_caller]
fn second_copy(first: (u32, &str), second: (u32, &str)) -> (String, Option<String>) {
    let mut gate = established();
    gate.holds(ENDS.c(first.0, first.1));
    let redundant = match gate.packet(ENDS.c(second.0, second.1)) {
        Fate::Held => false,
        Fate::Redundant => true,
        other => panic!("{other:?}"),
    };
    let fill = ".".repeat(first.0.min(second.0) as usize - 1);
    let left = left(&mut gate, ENDS.c(1, &fill));
    let of_second = |(seq, text): &(u32, String)| (*seq == second.0).then(|| text.clone());
    let same_start = usize::from(first.0 == second.0);
    let second_left = left.iter().skip(1 + same_start).find_map(of_second);
    assert_eq!(second_left.is_none(), redundant, "{left:?}");
    (gate.shown(C).trim_start_matches('.').into(), second_left)
}

// A01
#[test]
fn segments_in_order_are_shown_and_leave_at_once() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "AAAA"));
    gate.passes(ENDS.c(5, "BBBB"));
    assert_eq!(gate.shown(C), "AAAABBBB");
}

// A02
#[test]
fn a_gap_holds_a_segment_back_and_then_lets_it_go_in_order() {
    let mut gate = established();
    gate.holds(ENDS.c(5, "BBBB"));
    assert_eq!(gate.shown(C), "");
    gate.leave(ENDS.c(1, "AAAA"), &[ENDS.c(1, "AAAA"), ENDS.c(5, "BBBB")]);
    assert_eq!(gate.shown(C), "AAAABBBB");
}

// A03
#[test]
fn a_copy_that_is_not_acknowledged_leaves_again_and_is_not_shown_again() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "AAAA"));
    gate.passes(ENDS.c(1, "AAAA"));
    assert_eq!(gate.shown(C), "AAAA");
}

// A04, B19
#[test]
fn a_copy_that_is_acknowledged_leaves_as_a_header_which_makes_the_receiver_acknowledge_again() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "AAAA"));
    gate.passes(ENDS.ack(S, 1, 5));
    gate.leaves_with(ENDS.c(1, "AAAA"), "");
    gate.leaves_with(ENDS.c(1, "YYYY"), "");
    assert_eq!(gate.shown(C), "AAAA");
}

// A05, A06
#[test]
fn copies_cut_differently_leave_too() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "AAAA"));
    gate.passes(ENDS.c(5, "BBBB"));
    gate.passes(ENDS.c(1, "AAAABBBB"));
    gate.passes(ENDS.c(1, "AA"));
    gate.passes(ENDS.c(3, "AABBBB"));
    assert_eq!(gate.shown(C), "AAAABBBB");
}

// A07
#[test]
fn of_a_copy_that_is_acknowledged_in_part_the_rest_leaves() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "AAAA"));
    gate.passes(ENDS.ack(S, 1, 5));
    gate.leave(ENDS.c(3, "AABBBB"), &[ENDS.c(5, "BBBB")]);
    assert_eq!(gate.shown(C), "AAAABBBB");
}

// A08
#[test]
fn a_hole_is_never_skipped() {
    let mut gate = established();
    gate.holds(ENDS.c(5, "BBBB"));
    gate.holds(ENDS.fin(C, 9, 1));
    assert_eq!(gate.shown(C), "");
    assert!(!gate.open().streams[C].ended);
    assert_eq!(gate.open().streams[C].reassembler.drain().count(), 2);
}

// A09, A10
#[test]
fn numbers_wrap_in_order_and_out_of_order() {
    let ends = Ends { client: 0xFFFF_FFF0, ..ENDS };
    let mut gate = established_between(ends);
    gate.passes(ends.c(1, &"x".repeat(64)));
    gate.passes(ends.c(65, "y"));
    assert_eq!(gate.shown(C).len(), 65);
    let ends = Ends { client: 0xFFFF_FFFC, ..ENDS };
    let mut gate = established_between(ends);
    gate.holds(ends.c(9, "BBBBBBBB"));
    gate.leave(ends.c(1, "AAAAAAAA"), &[ends.c(1, "AAAAAAAA"), ends.c(9, "BBBBBBBB")]);
    assert_eq!(gate.shown(C), "AAAAAAAABBBBBBBB");
}

// A11
#[test]
fn a_hundred_bytes_in_reverse_each_leave_once_in_order() {
    let mut gate = established();
    let byte =
        |seq: u32| ENDS.c(seq, &char::from(b'!' + u8::try_from(seq % 90).unwrap()).to_string());
    for seq in (2..=100).rev() {
        gate.holds(byte(seq));
    }
    gate.leave(byte(1), &(1..=100).map(byte).collect::<Vec<_>>());
    assert_eq!(gate.shown(C).len(), 100);
}

// A12
#[test]
fn pure_acks_between_data_pass() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "AAAA"));
    for _ in 0..20 {
        gate.passes(ENDS.ack(C, 5, 1));
    }
    gate.passes(ENDS.c(5, "BBBB"));
    assert_eq!(gate.shown(C), "AAAABBBB");
}

// A17
#[test]
fn a_segment_of_sixty_thousand_bytes_is_one_segment() {
    let mut gate = established();
    gate.passes(ENDS.c(1, &"x".repeat(60_000)));
    assert_eq!(gate.shown(C).len(), 60_000);
}

// B01 to B09: the nine ways in which two segments overlap.
#[test]
fn the_first_copy_of_a_byte_wins_whatever_the_overlap() {
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(second_copy((2, "AAAA"), (4, "BBBB")), ("AAAABB".into(), some("AABB")));
    assert_eq!(second_copy((4, "AAAA"), (2, "BBBB")), ("BBAAAA".into(), some("BBAA")));
    assert_eq!(second_copy((4, "AA"), (4, "BB")), ("AA".into(), None));
    assert_eq!(second_copy((2, "AAAAAA"), (4, "BB")), ("AAAAAA".into(), None));
    assert_eq!(second_copy((4, "AA"), (2, "BBBBBB")), ("BBAABB".into(), some("BBAABB")));
    assert_eq!(second_copy((2, "AAAAAA"), (2, "BBB")), ("AAAAAA".into(), None));
    assert_eq!(second_copy((2, "AAA"), (2, "BBBBBB")), ("AAABBB".into(), some("AAABBB")));
    assert_eq!(second_copy((2, "AAAAAA"), (5, "BBB")), ("AAAAAA".into(), None));
    assert_eq!(second_copy((5, "AAA"), (2, "BBBBBB")), ("BBBAAA".into(), some("BBBAAA")));
}

// B10
#[test]
fn a_longer_copy_that_disagrees_is_rewritten_where_it_overlaps() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "AAAA"));
    gate.leaves_with(ENDS.c(1, "BBBBBB"), "AAAABB");
    assert_eq!(gate.shown(C), "AAAABB");
}

// B16
#[test]
fn copies_that_grow_from_one_start_are_rewritten() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "A"));
    gate.leaves_with(ENDS.c(1, "BB"), "AB");
    gate.leaves_with(ENDS.c(1, "CCC"), "ABC");
    assert_eq!(gate.shown(C), "ABC");
}

// B18, B20, B27
#[test]
fn a_copy_that_disagrees_before_the_ack_leaves_as_the_first_did() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "EVILDATA"));
    gate.leaves_with(ENDS.c(1, "GOODDATA"), "EVILDATA");
    gate.passes(ENDS.ack(S, 1, 5));
    gate.leave(ENDS.c(1, "GOODWORD"), &[ENDS.c(5, "DATA")]);
    assert_eq!(gate.shown(C), "EVILDATA");
}

// B26
#[test]
fn a_racing_answer_reads_the_same_for_the_rule_and_the_client() {
    let mut gate = established();
    gate.passes(ENDS.s(1, "forged answer"));
    gate.leaves_with(ENDS.s(1, "honest answer, and longer"), "forged answer, and longer");
    assert_eq!(gate.shown(S), "forged answer, and longer");
}

// B11
#[test]
fn a_hole_filler_that_overlaps_what_is_held_is_rewritten() {
    let mut gate = established();
    gate.holds(ENDS.c(5, "AAAA"));
    assert_eq!(
        left(&mut gate, ENDS.c(1, "BBBBBB")),
        [(1, "BBBBAA".to_owned()), (5, "AAAA".to_owned())]
    );
    assert_eq!(gate.shown(C), "BBBBAAAA");
}

// B12
#[test]
fn a_hole_filler_that_covers_what_is_held_is_rewritten() {
    let mut gate = established();
    gate.holds(ENDS.c(5, "AAAA"));
    assert_eq!(left(&mut gate, ENDS.c(1, "BBBBBBBBBB"))[0], (1, "BBBBAAAABB".to_owned()));
    assert_eq!(gate.shown(C), "BBBBAAAABB");
}

// B13
#[test]
fn merged_neighbours_still_win_over_what_covers_both() {
    let mut gate = established();
    gate.holds(ENDS.c(2, "AA"));
    gate.holds(ENDS.c(4, "BB"));
    assert_eq!(gate.packet(ENDS.c(2, "CCCC")), Fate::Redundant);
    gate.packet(ENDS.c(1, "."));
    assert_eq!(gate.shown(C), ".AABB");
}

// B14
#[test]
fn what_two_segments_hold_together_needs_no_third() {
    let mut gate = established();
    gate.holds(ENDS.c(2, "AAAA"));
    gate.holds(ENDS.c(4, "BBBB"));
    assert_eq!(gate.packet(ENDS.c(6, "CC")), Fate::Redundant);
    gate.packet(ENDS.c(1, "."));
    assert_eq!(gate.shown(C), ".AAAABB");
}

// B17
#[test]
fn an_overlap_that_agrees_is_not_changed() {
    let mut gate = established();
    gate.holds(ENDS.c(3, "AABB"));
    gate.leave(ENDS.c(1, "AAAA"), &[ENDS.c(1, "AAAA"), ENDS.c(3, "AABB")]);
    assert_eq!(gate.shown(C), "AAAABB");
}

// B29
#[test]
fn a_hundred_thousand_conflicting_bytes_cost_no_memory() {
    let mut gate = established();
    gate.holds(ENDS.c(2, "A"));
    for _ in 0..100_000 {
        assert_eq!(gate.packet(ENDS.c(2, "B")), Fate::Redundant);
    }
    assert_eq!(gate.open().streams[C].reassembler.held().frames, 1);
}

// B30
#[test]
fn what_lies_before_the_first_byte_is_trimmed() {
    let mut gate = established();
    let early = Packet { seq: ENDS.client - 1, ..ENDS.c(0, "xxABCDEFGH") };
    gate.leave(early, &[ENDS.c(1, "ABCDEFGH")]);
    assert_eq!(gate.shown(C), "ABCDEFGH");
}

// H02
#[test]
fn what_is_held_is_bounded_and_the_hole_filler_always_passes() {
    let mut gate = established();
    gate.limits.frames = 4;
    gate.limits.extents = 3;
    gate.holds(ENDS.c(11, "x"));
    gate.holds(ENDS.c(13, "x"));
    gate.holds(ENDS.c(15, "x"));
    assert_eq!(gate.packet(ENDS.c(17, "x")), Fate::Full);
    gate.holds(ENDS.c(16, "x"));
    assert_eq!(gate.packet(ENDS.c(12, "x")), Fate::Full);
    gate.passes(ENDS.c(1, "x"));
    gate.limits.frames = 8;
    gate.limits.bytes = 5;
    assert_eq!(gate.packet(ENDS.c(17, "xx")), Fate::Full);
    gate.holds(ENDS.c(17, "x"));
}
