//! Handshakes as the tracker sees them from the middle: packet scripts, one fact each.

use std::time::Duration;

use tollgate_tcp::{Invalid, State};
use tollgate_wire::{Flags, Timestamps};

use crate::support::{C, ENDS, Ends, Fate, Gate, Packet, S, established};

const SYN: Flags = Flags::SYN;
const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);

fn other(client: u32) -> Ends {
    Ends { client, ..ENDS }
}

fn syn_sent() -> Gate {
    let mut gate = Gate::default();
    gate.passes(ENDS.syn());
    gate
}

fn syn_received() -> Gate {
    let mut gate = syn_sent();
    gate.passes(ENDS.syn_ack());
    gate
}

// C01
#[test]
fn three_segments_open_a_connection() {
    let mut gate = Gate::default();
    gate.passes(ENDS.syn());
    assert_eq!(gate.state(), Some(State::SynSent));
    gate.passes(ENDS.syn_ack());
    assert_eq!(gate.state(), Some(State::SynReceived));
    gate.passes(ENDS.ack(C, 1, 1));
    assert_eq!(gate.state(), Some(State::Established));
}

// C02
#[test]
fn a_syn_and_a_syn_ack_that_come_again_are_forwarded_again() {
    let mut gate = syn_sent();
    gate.passes(ENDS.syn());
    gate.passes(ENDS.syn_ack());
    gate.passes(ENDS.syn());
    gate.passes(ENDS.syn_ack());
    gate.passes(ENDS.ack(C, 1, 1));
    gate.passes(ENDS.syn_ack());
    gate.passes(ENDS.ack(C, 1, 1));
    assert_eq!(gate.state(), Some(State::Established));
}

// C03
#[test]
fn the_syn_that_is_answered_is_the_one_that_counts() {
    let mut gate = syn_sent();
    let second = other(900_000);
    gate.passes(second.syn());
    gate.passes(second.syn_ack());
    gate.passes(second.ack(C, 1, 1));
    gate.passes(second.c(1, "data"));
    assert_eq!(gate.shown(C), "data");
}

#[test]
fn the_older_syn_may_be_the_one_that_is_answered() {
    let mut gate = syn_sent();
    gate.passes(other(900_000).syn());
    gate.passes(ENDS.syn_ack());
    gate.passes(ENDS.c(1, "data"));
    assert_eq!(gate.shown(C), "data");
}

// C04
#[test]
fn a_syn_ack_for_no_syn_of_ours_is_dropped() {
    let mut gate = syn_sent();
    gate.drops(ENDS.make(S, 0, 2, SYN_ACK, ""), Invalid::SynAckMismatch);
    gate.drops(ENDS.make(S, 0, 0, SYN_ACK, ""), Invalid::SynAckMismatch);
    assert_eq!(gate.state(), Some(State::SynSent));
}

// C05
#[test]
fn of_several_syn_acks_the_client_picks_one() {
    let mut gate = syn_received();
    let cookie = Ends { server: 777_000, ..ENDS };
    gate.passes(cookie.syn_ack());
    gate.passes(cookie.ack(C, 1, 1));
    gate.passes(cookie.s(1, "hello"));
    assert_eq!(gate.shown(S), "hello");
}

#[test]
fn the_number_of_syn_acks_is_bounded_and_those_known_still_count() {
    let mut gate = syn_sent();
    for server in [10, 20, 30, 40] {
        gate.passes(Ends { server, ..ENDS }.syn_ack());
    }
    gate.drops(Ends { server: 50, ..ENDS }.syn_ack(), Invalid::SynAckTooMany);
    gate.passes(Ends { server: 40, ..ENDS }.syn_ack());
    gate.passes(Ends { server: 20, ..ENDS }.ack(C, 1, 1));
}

// C06
#[test]
fn two_syns_that_cross_open_a_connection() {
    for server_first in [false, true] {
        let mut gate = syn_sent();
        gate.passes(ENDS.make(S, 0, 0, SYN, ""));
        let answers = [ENDS.make(C, 0, 1, SYN_ACK, ""), ENDS.syn_ack()];
        for index in if server_first { [1, 0] } else { [0, 1] } {
            gate.passes(answers[index].clone());
        }
        assert_eq!(gate.state(), Some(State::Established));
        gate.passes(ENDS.c(1, "to server"));
        gate.passes(ENDS.s(1, "to client"));
        assert_eq!((gate.shown(C).as_str(), gate.shown(S).as_str()), ("to server", "to client"));
    }
}

// C07
#[test]
fn a_split_handshake_never_opens() {
    let mut gate = syn_sent();
    gate.passes(ENDS.make(S, 0, 0, SYN, ""));
    gate.passes(ENDS.make(C, 0, 1, SYN_ACK, ""));
    gate.drops(ENDS.ack(S, 1, 1), Invalid::SplitHandshake);
    gate.drops(ENDS.s(1, "data"), Invalid::SplitHandshake);
    gate.drops(ENDS.c(1, "data"), Invalid::BeforeHandshake);
    assert_eq!(gate.state(), Some(State::SynSent));
}

// C08, C09 (the choice "not allowed")
#[test]
fn a_syn_leaves_without_its_payload() {
    let mut gate = Gate::default();
    gate.leaves_with(ENDS.make(C, 0, 0, SYN, "EVIL"), "");
    gate.passes(ENDS.syn_ack());
    gate.passes(ENDS.c(1, "GOOD"));
    assert_eq!(gate.shown(C), "GOOD");
}

// C10, C11: the payload of the SYN was never committed, so what comes after it is the first copy.
#[test]
fn fast_open_data_is_sent_again_after_the_handshake() {
    let mut gate = Gate::default();
    gate.leaves_with(ENDS.make(C, 0, 0, SYN, "AAAA").fast_open(), "");
    gate.passes(ENDS.syn_ack());
    gate.passes(ENDS.c(1, "BBBB"));
    assert_eq!(gate.shown(C), "BBBB");
}

fn fast_open() -> Gate {
    let mut gate = Gate { fast_open: true, ..Gate::default() };
    gate.passes(ENDS.make(C, 0, 0, SYN, "DATA").fast_open());
    // Nothing vouches for a second copy yet.
    gate.leaves_with(ENDS.make(C, 0, 0, SYN, "EVIL").fast_open(), "");
    gate
}

// C09 (the choice "allowed")
#[test]
fn payload_that_left_with_the_syn_may_be_acknowledged() {
    let mut gate = fast_open();
    gate.drops(ENDS.make(S, 0, 6, SYN_ACK, ""), Invalid::SynAckMismatch);
    gate.passes(ENDS.make(S, 0, 5, SYN_ACK, ""));
    gate.passes(ENDS.make(S, 1, 5, Flags::ACK, "answer"));
    gate.passes(ENDS.ack(C, 5, 7));
    gate.passes(ENDS.c(5, "MORE"));
    assert_eq!(gate.shown(C), "DATAMORE");
    assert_eq!(gate.shown(S), "answer");
}

// C10, C11
#[test]
fn payload_that_left_with_the_syn_may_be_ignored_and_comes_again_the_same() {
    let mut gate = fast_open();
    gate.passes(ENDS.syn_ack());
    gate.passes(ENDS.c(1, "DATA"));
    gate.leaves_with(ENDS.c(1, "EVIL"), "DATA");
    gate.passes(ENDS.c(5, "MORE"));
    assert_eq!(gate.shown(C), "DATAMORE");
}

#[test]
fn payload_of_a_syn_that_was_not_picked_is_not_in_the_stream() {
    let mut gate = fast_open();
    let second = other(900_000);
    gate.passes(second.syn());
    gate.drops(second.make(S, 0, 5, SYN_ACK, ""), Invalid::SynAckMismatch);
    gate.passes(second.syn_ack());
    gate.passes(second.ack(C, 1, 1));
    gate.passes(second.c(1, "other"));
    assert_eq!(gate.shown(C), "other");
}

#[test]
fn with_fast_open_the_server_may_speak_before_the_clients_ack() {
    let mut gate = Gate::default();
    gate.passes(ENDS.syn().fast_open());
    gate.passes(ENDS.syn_ack());
    gate.passes(ENDS.s(1, "220 hello"));
    gate.passes(ENDS.ack(C, 1, 10));
    assert_eq!(gate.shown(S), "220 hello");
}

#[test]
fn without_fast_open_the_server_may_not() {
    let mut gate = syn_received();
    gate.drops(ENDS.s(1, "220 hello"), Invalid::BeforeHandshake);
}

// C12
#[test]
fn data_completes_the_handshake() {
    let mut gate = syn_received();
    gate.passes(ENDS.c(1, "DATA"));
    assert_eq!(gate.shown(C), "DATA");
}

#[test]
fn data_beyond_the_first_byte_completes_it_too_and_waits() {
    let mut gate = syn_received();
    gate.holds(ENDS.c(5, "5678"));
    assert_eq!(gate.state(), Some(State::Established));
    gate.leave(ENDS.c(1, "1234"), &[ENDS.c(1, "1234"), ENDS.c(5, "5678")]);
}

// C13
#[test]
fn data_before_the_syn_ack_is_dropped() {
    let mut gate = syn_sent();
    gate.drops(ENDS.c(1, "DATA"), Invalid::BeforeHandshake);
    gate.drops(ENDS.s(1, "DATA"), Invalid::BeforeHandshake);
}

#[test]
fn an_ack_of_no_syn_ack_is_dropped() {
    let mut gate = syn_received();
    gate.drops(ENDS.ack(C, 1, 2), Invalid::HandshakeAck);
    gate.drops(ENDS.ack(C, 70_000, 1), Invalid::HandshakeAck);
    gate.drops(ENDS.ack(C, 0, 1), Invalid::HandshakeAck);
    gate.passes(ENDS.ack(C, 1, 1));
}

// C14
#[test]
fn flags_that_no_stack_sends_are_dropped_in_every_state() {
    let f = Flags::FIN;
    let bad = [
        (SYN | f, Invalid::Flags),
        (SYN | Flags::RST, Invalid::Flags),
        (f | Flags::RST | Flags::ACK, Invalid::Flags),
        (SYN_ACK | f, Invalid::Flags),
        (Flags::RST | Flags::URG, Invalid::Flags),
        (Flags::all(), Invalid::Flags),
        (Flags::empty(), Invalid::NoAck),
        (f, Invalid::NoAck),
        (f | Flags::PSH | Flags::URG, Invalid::NoAck),
        (Flags::PSH, Invalid::NoAck),
    ];
    for make in [Gate::default as fn() -> Gate, syn_sent, syn_received, established] {
        for (flags, why) in bad {
            make().drops(ENDS.make(C, 1, 1, flags, "xx"), why);
        }
    }
}

// C15
#[test]
fn a_client_that_forgot_opens_anew_by_way_of_the_challenge() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "old"));
    gate.passes(ENDS.ack(S, 1, 4));
    let new = other(500_000);
    gate.passes(new.syn());
    assert_eq!(gate.state(), Some(State::Established));
    gate.passes(ENDS.ack(S, 1, 4));
    gate.passes(ENDS.rst(C, 4));
    assert_eq!(gate.state(), Some(State::Reset));
    gate.passes(new.syn());
    assert_eq!(gate.state(), Some(State::SynSent));
    gate.passes(new.syn_ack());
    gate.passes(new.c(1, "new"));
    assert_eq!(gate.shown(C), "new");
}

// C15, where the server had not received all that we forwarded.
#[test]
fn the_challenge_may_be_answered_below_what_was_forwarded() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "lost behind us"));
    let new = other(500_000);
    gate.passes(new.syn());
    gate.passes(ENDS.ack(S, 1, 1));
    gate.passes(ENDS.rst(C, 1));
    gate.passes(new.syn());
    assert_eq!(gate.state(), Some(State::SynSent));
}

#[test]
fn a_server_that_forgot_and_opens_anew_costs_one_more_syn() {
    let mut gate = established();
    let new = Ends { client: 500_000, server: 600_000 };
    gate.passes(new.syn());
    gate.drops(new.syn_ack(), Invalid::UnexpectedSynAck);
    gate.now = gate.now + Duration::from_secs(1);
    gate.passes(new.syn());
    gate.passes(new.syn_ack());
    gate.passes(new.ack(C, 1, 1));
    assert_eq!(gate.state(), Some(State::Established));
}

#[test]
fn a_server_that_forgot_and_refuses_is_heard() {
    let mut gate = established();
    let new = other(500_000);
    gate.passes(new.syn());
    let refusal = Packet::new(S, 0, new.client + 1, Flags::RST | Flags::ACK, b"");
    gate.passes(refusal);
    assert_eq!(gate.state(), Some(State::Established), "anyone can forge the two");
}

#[test]
fn nobody_who_forges_both_sides_blindly_can_take_a_connections_place() {
    let forged = Ends { client: 500_000, server: 600_000 };
    let mut gate = established();
    gate.passes(forged.syn());
    gate.drops(forged.syn_ack(), Invalid::UnexpectedSynAck);
    // At once: the server has had no time to show that it lives.
    gate.passes(forged.syn());
    gate.passes(ENDS.ack(S, 1, 1));
    gate.now = gate.now + Duration::from_secs(5);
    gate.passes(forged.syn());
    assert_eq!((gate.state(), gate.reopened), (Some(State::Established), 0));
    gate.passes(ENDS.c(1, "alive"));
}

#[test]
fn forged_syns_do_not_push_out_the_first() {
    let mut gate = syn_sent();
    for client in [100_000, 200_000, 300_000] {
        gate.passes(other(client).syn());
    }
    gate.passes(ENDS.syn_ack());
    gate.passes(ENDS.ack(C, 1, 1));
    assert_eq!(gate.state(), Some(State::Established));
}

#[test]
fn a_server_may_answer_two_syns_with_one_number() {
    let mut gate = syn_sent();
    let second = other(900_000);
    gate.passes(ENDS.syn_ack());
    gate.passes(second.syn());
    gate.passes(second.syn_ack());
    gate.passes(second.ack(C, 1, 1));
    gate.passes(second.c(1, "data"));
    assert_eq!(gate.shown(C), "data");
}

#[test]
fn a_half_open_server_may_challenge_a_syn() {
    let mut gate = syn_sent();
    let old = Packet::new(S, 123, 456, Flags::ACK, b"");
    gate.passes(old);
    gate.passes(Packet::new(C, 456, 0, Flags::RST, b""));
    assert_eq!(gate.state(), Some(State::SynSent));
    assert!(!gate.reset);
    gate.passes(ENDS.syn());
    gate.passes(ENDS.syn_ack());
    gate.passes(ENDS.ack(C, 1, 1));
}

/// The server closed first, so that it is the one that waits.
fn time_wait() -> Gate {
    let mut gate = established();
    gate.passes(ENDS.fin(S, 1, 1));
    gate.passes(ENDS.fin(C, 1, 2));
    gate.passes(ENDS.ack(S, 2, 2));
    assert_eq!(gate.state(), Some(State::TimeWait));
    gate
}

// C16
#[test]
fn a_later_syn_opens_anew_in_time_wait() {
    let mut gate = time_wait();
    gate.passes(other(1002).syn());
    assert_eq!((gate.state(), gate.reopened), (Some(State::SynSent), 1));
}

// C17
#[test]
fn an_older_syn_passes_in_time_wait_and_changes_nothing() {
    let mut gate = time_wait();
    gate.passes(other(500).syn());
    assert_eq!((gate.state(), gate.reopened), (Some(State::TimeWait), 0));
    gate.passes(ENDS.ack(S, 2, 2));
}

#[test]
fn an_older_syn_opens_anew_where_its_receiver_closed_last() {
    let mut gate = established();
    gate.passes(ENDS.fin(C, 1, 1));
    gate.passes(ENDS.fin(S, 1, 2));
    gate.passes(ENDS.ack(C, 2, 2));
    gate.passes(other(500).syn());
    assert_eq!((gate.state(), gate.reopened), (Some(State::SynSent), 1));
}

/// The network has kept a copy of its own SYN: nobody opens anything.
#[test]
fn a_late_copy_of_its_own_syn_passes_in_time_wait_and_its_answer_does_not() {
    let mut gate = established();
    gate.passes(ENDS.fin(C, 1, 1));
    gate.passes(ENDS.fin(S, 1, 2));
    gate.passes(ENDS.ack(C, 2, 2));
    gate.passes(ENDS.syn());
    assert_eq!((gate.state(), gate.reopened), (Some(State::TimeWait), 0));
    gate.drops(Ends { server: 77_000, ..ENDS }.syn_ack(), Invalid::UnexpectedSynAck);
}

#[test]
fn an_older_number_with_a_later_timestamp_opens_anew_in_time_wait() {
    let mut gate = crate::support::established_with_timestamps();
    gate.passes(ENDS.fin(S, 1, 1).timestamp(210));
    gate.passes(ENDS.fin(C, 1, 2).timestamp(110));
    gate.passes(ENDS.ack(S, 2, 2).timestamp(211));
    gate.passes(other(500).syn().timestamp(100));
    assert_eq!(gate.reopened, 0);
    gate.passes(other(500).syn().timestamp(5000));
    assert_eq!(gate.reopened, 1);
}

// C19
#[test]
fn a_shift_above_14_is_14() {
    let mut gate = Gate::default();
    gate.passes(ENDS.syn().scale(0));
    gate.passes(ENDS.syn_ack().scale(20).window(1));
    gate.passes(ENDS.ack(C, 1, 1));
    gate.passes(ENDS.ack(S, 1, 1).window(1));
    gate.holds(ENDS.c(1 + (1 << 14) - 1, "x"));
    gate.drops(ENDS.c(1 + (1 << 14) + 1, "x"), Invalid::BeyondWindow);
}

// C01
#[test]
fn windows_are_scaled_only_if_both_offered_it_and_never_on_a_syn() {
    let last = |gate: &mut Gate| {
        gate.passes(ENDS.ack(C, 1, 1));
        gate.packet(ENDS.c(1 + 200, "x"))
    };
    let mut gate = Gate::default();
    gate.passes(ENDS.syn().scale(7));
    gate.passes(ENDS.syn_ack().window(100));
    assert_eq!(last(&mut gate), Fate::Dropped(Invalid::BeyondWindow));
    let mut gate = Gate::default();
    gate.passes(ENDS.syn().scale(7));
    gate.passes(ENDS.syn_ack().scale(7).window(100));
    assert_eq!(last(&mut gate), Fate::Dropped(Invalid::BeyondWindow));
    gate.passes(ENDS.ack(S, 1, 1).window(2));
    gate.holds(ENDS.c(1 + 200, "x"));
}

// C20
#[test]
fn options_that_vanish_from_a_later_syn_do_not_matter() {
    let mut gate = Gate::default();
    gate.passes(ENDS.syn().scale(7).timestamp(100));
    gate.passes(ENDS.syn());
    gate.passes(ENDS.syn_ack().window(100));
    gate.passes(ENDS.ack(C, 1, 1));
    gate.drops(ENDS.c(1 + 200, "x"), Invalid::BeyondWindow);
    let mut gate = Gate::default();
    gate.passes(ENDS.syn().scale(7));
    gate.passes(ENDS.syn());
    gate.passes(ENDS.syn_ack().scale(7).window(100));
    gate.passes(ENDS.ack(C, 1, 1));
    gate.passes(ENDS.ack(S, 1, 1).window(2));
    gate.holds(ENDS.c(1 + 200, "x"));
}

// C22
#[test]
fn only_a_rst_that_acknowledges_the_syn_refuses_it() {
    let refusal = |ack| Packet::new(S, 0, ack, Flags::RST | Flags::ACK, b"");
    let mut gate = syn_sent();
    gate.drops(Packet::new(S, 0, 0, Flags::RST, b""), Invalid::RstOffEdge);
    gate.drops(refusal(ENDS.client), Invalid::RstAck);
    gate.drops(refusal(ENDS.client + 2), Invalid::RstAck);
    assert!(!gate.reset);
    gate.passes(refusal(ENDS.client + 1));
    assert!(gate.reset);
}

// Linux ignores a RST whose echo is impossible: the forger guessed. E13 is about established ones.
#[test]
fn a_rst_that_echoes_a_timestamp_never_sent_refuses_no_syn() {
    let refusal = |echo| {
        let mut rst = Packet::new(S, 0, ENDS.client + 1, Flags::RST | Flags::ACK, b"");
        rst.options.timestamps = Some(Timestamps { value: 1, echo });
        rst
    };
    for echo in [1, 800_000, 1_000_001] {
        let mut gate = Gate::default();
        gate.passes(ENDS.syn().timestamp(1_000_000));
        gate.drops(refusal(echo), Invalid::Paws);
        gate.passes(refusal(1_000_000));
    }
    let mut gate = syn_sent();
    gate.drops(refusal(0), Invalid::Paws);
    gate.passes(Packet::new(S, 0, ENDS.client + 1, Flags::RST | Flags::ACK, b""));
    for echo in [0, 999_999] {
        let mut gate = Gate::default();
        gate.passes(ENDS.syn().timestamp(1_000_000));
        gate.passes(refusal(echo));
    }
}

#[test]
fn a_rst_at_the_first_byte_ends_a_half_open_connection() {
    let mut gate = syn_received();
    gate.drops(ENDS.rst(C, 0), Invalid::RstOffEdge);
    gate.drops(ENDS.rst(C, 5), Invalid::RstOffEdge);
    gate.passes(ENDS.rst(C, 1));
    assert!(gate.reset);
    let mut gate = syn_received();
    gate.passes(ENDS.rst(S, 1));
    assert!(gate.reset);
}

// C23
#[test]
fn another_syn_inside_the_window_is_dropped_while_the_server_waits() {
    let mut gate = syn_received();
    gate.drops(other(ENDS.client + 100).syn(), Invalid::SynOther);
    gate.passes(ENDS.ack(C, 1, 1));
}

#[test]
fn another_syn_far_away_is_challenged_and_then_opens() {
    let mut gate = syn_received();
    let new = other(900_000);
    gate.passes(new.syn());
    gate.passes(ENDS.ack(S, 1, 1));
    gate.passes(ENDS.rst(C, 1));
    assert!(!gate.reset, "it is the older SYN that the RST clears");
    gate.passes(new.syn());
    let answer = Ends { server: 800_000, ..new };
    gate.passes(answer.syn_ack());
    gate.passes(answer.c(1, "new"));
    assert_eq!(gate.shown(C), "new");
}

// C24
#[test]
fn what_is_no_syn_opens_nothing() {
    let mut gate = Gate::default();
    gate.drops(ENDS.ack(C, 1, 1), Invalid::BeforeHandshake);
    gate.drops(ENDS.syn_ack(), Invalid::BeforeHandshake);
    assert_eq!(gate.state(), None);
}

#[test]
fn a_connection_is_picked_up_in_the_middle() {
    let mut gate = Gate { pickup: true, ..Gate::default() };
    gate.passes(ENDS.make(C, 1, 1, Flags::ACK, "from the middle"));
    gate.passes(ENDS.make(S, 1, 16, Flags::ACK, "answer"));
    gate.holds(ENDS.make(S, 1_000_007, 16, Flags::ACK, "far, but windows are unknown"));
    assert_eq!(gate.shown(C), "from the middle");
    assert_eq!(gate.shown(S), "answer");
}

#[test]
fn what_passed_before_the_pickup_may_be_sent_again_and_acknowledged() {
    let mut gate = Gate { pickup: true, ..Gate::default() };
    // The first that is seen is sent again: [5, 9) and [9, 13) have passed before.
    gate.passes(ENDS.make(C, 5, 1, Flags::ACK, "5678"));
    gate.passes(ENDS.make(C, 1, 1, Flags::ACK, "1234"));
    gate.holds(ENDS.make(C, 13, 1, Flags::ACK, "new"));
    gate.passes(ENDS.ack(S, 1, 13));
    gate.leave(ENDS.c(16, "er"), &[ENDS.make(C, 13, 1, Flags::ACK, "new"), ENDS.c(16, "er")]);
    assert_eq!(gate.shown(C), "5678newer");
    gate.drops(ENDS.ack(S, 1, 100_000_000), Invalid::AckBeyond);
}

#[test]
fn malformed_options_and_signatures_out_of_place_are_dropped() {
    Gate::default().drops(ENDS.syn().malformed(), Invalid::Options);
    let mut gate = syn_sent();
    gate.drops(ENDS.syn_ack().signed(), Invalid::UnexpectedSignature);
    let mut gate = established();
    // D20, B25
    gate.drops(ENDS.c(1, "JUNK").malformed(), Invalid::Options);
    gate.drops(ENDS.c(1, "JUNK").signed(), Invalid::UnexpectedSignature);
    gate.passes(ENDS.c(1, "REAL"));
    assert_eq!(gate.shown(C), "REAL");
}

#[test]
fn where_signatures_are_agreed_a_segment_without_one_is_dropped() {
    let mut gate = Gate::default();
    gate.passes(ENDS.syn().signed());
    gate.passes(ENDS.syn_ack().signed());
    gate.passes(ENDS.ack(C, 1, 1).signed());
    gate.drops(ENDS.c(1, "JUNK"), Invalid::MissingSignature);
    gate.drops(ENDS.rst(C, 1), Invalid::MissingSignature);
    gate.passes(ENDS.c(1, "REAL").signed());
}
