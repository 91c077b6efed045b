//! Frames have crossed without us, because we were late: what then goes on, and what stays refused.

use std::time::Duration;

use crate::common::{ACK, FIN, Frame, Gate, PSH, SYN, small};
use tollgate_engine::{Cause, Config, Midstream, Reason};
use tollgate_policy::{Interest, Phase, Verdict};
use tollgate_wire::Direction;

/// A connection with "hello" from the client and "world" from the server behind it.
fn in_the_middle() -> Gate {
    let mut gate = Gate::new();
    gate.policy().skips = true;
    gate.establish();
    gate.put(&Frame::client(1, 1, PSH | ACK, b"hello"));
    gate.put(&Frame::server(1, 6, PSH | ACK, b"world"));
    gate
}

#[test]
fn a_connection_goes_on_behind_bytes_that_crossed_unseen_in_both_directions() {
    // Ten bytes each way, and their acknowledgments, have crossed. Whoever speaks first.
    let speakers: [[Frame; 3]; 2] = [
        [
            Frame::client(16, 16, PSH | ACK, b"more"),
            Frame::server(16, 20, PSH | ACK, b"answer"),
            Frame::client(20, 22, ACK, b""),
        ],
        [
            Frame::server(16, 16, PSH | ACK, b"more"),
            Frame::client(16, 20, PSH | ACK, b"answer"),
            Frame::server(20, 22, ACK, b""),
        ],
    ];
    for frames in speakers {
        let mut gate = in_the_middle();
        gate.worker.resume(gate.now);
        for frame in &frames {
            assert_eq!(gate.put(frame), [frame.crossed()], "{frame:?}");
        }
        let counters = gate.finish();
        assert_eq!((counters.resumed, counters.unseen), (1, 20));
    }
}

#[test]
fn without_a_gap_nothing_is_lost_and_each_byte_is_shown_once() {
    let mut gate = in_the_middle();
    let sent = Frame::client(6, 6, PSH | ACK, b" over");
    gate.put(&sent);
    gate.worker.resume(gate.now);
    assert_eq!(gate.put(&sent), [sent.crossed()], "a copy of what nobody has acknowledged");
    let lie = Frame::client(6, 6, PSH | ACK, b" OVER");
    assert_eq!(gate.put(&lie), [sent.crossed()], "is still made equal to what left");
    let next = Frame::client(11, 6, PSH | ACK, b" there");
    assert_eq!(gate.put(&next), [next.crossed()]);
    assert_eq!(gate.policy().stream(Direction::ToServer), b"hello over there");
    assert_eq!(gate.finish().unseen, 0);
}

#[test]
fn what_was_held_behind_a_gap_is_given_up_and_comes_again() {
    for interest in [Interest::EVENTS, Interest::EVENTS | Interest::EDIT_DATA] {
        let mut gate = in_the_middle();
        gate.policy().interest = interest;
        let policy = std::mem::take(gate.policy());
        gate.worker.replace_policy(policy);
        let holds = interest.contains(Interest::EDIT_DATA);
        let late = Frame::client(10, 6, ACK, &[7; 300]);
        assert_eq!(gate.put(&late), [if holds { late.asked(6) } else { late.crossed() }]);
        gate.worker.resume(gate.now);
        // The four bytes before it crossed unseen; the sender repeats what it held.
        let again = Frame::client(10, 6, PSH | ACK, &[7; 300]);
        assert_eq!(gate.put(&again), [again.crossed()]);
        assert_eq!(gate.worker.gauges().held_bytes, 0);
        let counters = gate.finish();
        assert_eq!(counters.dropped_for(Reason::Cause(Cause::Bypassed)), u64::from(holds));
    }
}

/// What waited when the worker was found to be late was thrown away, and what came after it has crossed: the ten
/// bytes at 6 are lost, and its receiver has those up to 116.
#[test]
fn what_was_lost_before_what_crossed_leaves_however_often_the_worker_is_late() {
    let asks = Frame::server(6, 6, ACK, b"");
    let later = Frame::client(116, 6, PSH | ACK, &[7; 100]);
    let lost = Frame::client(6, 6, PSH | ACK, b"ten bytes.");
    for again in [&asks, &lost, &later] {
        let mut gate = in_the_middle();
        gate.worker.resume(gate.now);
        assert_eq!(gate.put(&later), [later.crossed()]);
        gate.worker.resume(gate.now);
        for frame in [again, &asks, &lost] {
            assert_eq!(gate.put(frame), [frame.crossed()], "{frame:?} after {again:?}");
        }
        let next = Frame::client(216, 6, PSH | ACK, b"next");
        assert_eq!(gate.put(&next), [next.crossed()]);
        assert_eq!(gate.finish().forgotten, 0);
    }
}

#[test]
fn it_leaves_of_a_long_connection_too() {
    const FAR: u32 = 0x3000_0000;
    let mut gate = in_the_middle();
    for number in 1..=3 {
        gate.worker.resume(gate.now);
        let later = Frame::client(FAR * number, 6, PSH | ACK, &[7; 100]);
        assert_eq!(gate.put(&later), [later.crossed()]);
    }
    let lost = Frame::client(FAR * 3 - 100, 6, PSH | ACK, b"ten bytes.");
    assert_eq!(gate.put(&lost), [lost.crossed()]);
    assert_eq!(gate.finish().forgotten, 0);
}

#[test]
fn a_close_goes_on() {
    let mut gate = in_the_middle();
    gate.put(&Frame::client(6, 6, FIN | ACK, b""));
    gate.worker.resume(gate.now);
    for frame in [
        Frame::server(6, 7, PSH | ACK, b"rest"),
        Frame::server(10, 7, FIN | ACK, b""),
        Frame::client(7, 11, ACK, b""),
    ] {
        assert_eq!(gate.put(&frame), [frame.crossed()], "{frame:?}");
    }
    assert_eq!(gate.finish().connections(Phase::Closed), 1);
}

#[test]
fn a_connection_that_began_unseen_is_shown_to_the_rules_and_followed() {
    let mut gate = Gate::with(Config { midstream: Midstream::Drop, ..small() });
    gate.policy().skips = true;
    let data = Frame::client(1, 1, PSH | ACK, b"hello");
    assert_eq!(gate.put(&data), [], "nobody was bypassed");
    gate.worker.resume(gate.now);
    assert_eq!(gate.put(&data), [data.crossed()]);
    assert_eq!(gate.policy().stream(Direction::ToServer), b"hello");
    let other =
        Frame::client(1, 1, PSH | ACK, b"hello").between("198.18.0.1:4001", "198.18.0.2:80");
    gate.wait(Duration::from_secs(61));
    assert_eq!(gate.put(&other), [], "and not for ever");
    gate.finish();
}

#[test]
fn a_handshake_whose_end_was_missed_is_taken_up() {
    let mut gate = Gate::new();
    gate.policy().skips = true;
    gate.put(&Frame::client(0, 0, SYN, b""));
    gate.worker.resume(gate.now);
    let data = Frame::client(1, 1, PSH | ACK, b"hello");
    assert_eq!(gate.put(&data), [data.crossed()]);
    gate.finish();
}

#[test]
fn what_rules_refused_stays_refused() {
    let mut gate = in_the_middle();
    gate.policy().on_data = Verdict::Drop;
    assert_eq!(gate.put(&Frame::client(6, 6, PSH | ACK, b"bad")), []);
    gate.policy().on_data = Verdict::Accept;
    gate.worker.resume(gate.now);
    assert_eq!(gate.put(&Frame::client(6, 6, PSH | ACK, b"bad")), []);
    assert_eq!(gate.put(&Frame::server(6, 6, PSH | ACK, b"no")), []);
    gate.finish();
}
