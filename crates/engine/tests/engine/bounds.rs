//! Tables that are full, floods, and time.

use std::time::Duration;

use crate::common::{ACK, FIN, Frame, Gate, RST, SYN, handshake, small};
use tollgate_engine::{Cause, Config, Limits, Reason};
use tollgate_link::memory::MemoryLink;
use tollgate_policy::{Phase, Verdict};
use tollgate_tcp::State;

fn client(number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    format!("10.{a}.{b}.{c}:4000")
}

#[test]
fn a_flood_of_half_open_connections_stays_bounded_and_established_ones_go_on() {
    let mut gate = Gate::new();
    gate.establish();
    gate.policy().writes = false;
    for number in 0..30_000 {
        let syn = Frame::client(0, 0, SYN, b"").between(&client(number), crate::common::SERVER);
        assert_eq!(gate.put(&syn), [syn.crossed()]);
        if number % 1000 == 0 {
            let data = Frame::client(1 + number / 1000, 1, ACK, b"x");
            assert_eq!(gate.put(&data), [data.crossed()]);
        }
    }
    assert_eq!(gate.worker.gauges().half_open, 1000);
    assert_eq!(gate.worker.gauges().flows[State::Established as usize], 1);
    let counters = gate.finish();
    assert_eq!(counters.connections(Phase::Evicted), 29_000 - expired(&counters));
    assert_eq!(counters.connections(Phase::New), 30_001);
}

fn expired(counters: &tollgate_engine::Counters) -> u64 {
    counters.connections(Phase::Expired)
}

#[test]
fn a_flood_of_refused_syns_stays_bounded_too() {
    let mut gate = Gate::new();
    gate.establish();
    gate.policy().writes = false;
    for number in 0..5000 {
        gate.policy().on_new = Verdict::Drop;
        let syn = Frame::client(0, 0, SYN, b"").between(&client(number), crate::common::SERVER);
        assert_eq!(gate.put(&syn), []);
    }
    let gauges = gate.worker.gauges();
    assert_eq!((gauges.half_open, gauges.zombies), (1000, 0));
    let data = Frame::client(1, 1, ACK, b"x");
    assert_eq!(gate.put(&data), [data.crossed()]);
    gate.finish();
}

#[test]
fn a_full_flow_table_refuses_the_new_and_keeps_the_old() {
    let mut gate = Gate::with(Config { flows_max: 10, ..small() });
    gate.policy().writes = false;
    for number in 0..12 {
        for (step, frame) in handshake().into_iter().enumerate() {
            let frame = frame.between(&client(number), crate::common::SERVER);
            let crosses = number < 10 || step < 2;
            assert_eq!(gate.put(&frame).len(), usize::from(crosses), "{number} {step}");
        }
    }
    for number in 0..12 {
        let data = Frame::client(1, 1, ACK, b"x").between(&client(number), crate::common::SERVER);
        assert_eq!(gate.put(&data).len(), usize::from(number < 10));
    }
    assert_eq!(gate.counters().dropped_for(Reason::Cause(Cause::FlowTableFull)), 4);
    gate.finish();
}

#[test]
fn a_nearly_full_table_forgets_idle_connections_sooner() {
    for (flows_max, kept) in [(10, 0), (100, 10)] {
        let mut gate = Gate::with(Config { flows_max, ..small() });
        gate.policy().writes = false;
        for number in 0..10 {
            for frame in handshake() {
                gate.put(&frame.between(&client(number), crate::common::SERVER));
            }
        }
        gate.wait(Duration::from_secs(590));
        assert_eq!(gate.worker.gauges().flows[State::Established as usize], 10);
        for _ in 0..2 {
            gate.wait(Duration::from_secs(11));
        }
        // The first to go take the pressure away.
        let left = gate.worker.gauges().flows[State::Established as usize];
        assert!(if kept == 0 { left < 10 } else { left == kept }, "{left} of {flows_max}");
        gate.finish();
    }
}

#[test]
fn a_nearly_full_half_open_table_forgets_sooner_what_waits_for_a_syn_ack_or_an_ack() {
    for (frames, half_open_max, kept) in [(1, 100, 10), (2, 100, 10), (1, 10, 9), (2, 10, 9)] {
        let mut gate = Gate::with(Config { half_open_max, ..small() });
        gate.policy().writes = false;
        for number in 0..10 {
            for frame in handshake().into_iter().take(frames) {
                gate.put(&frame.between(&client(number), crate::common::SERVER));
            }
        }
        let pressed = kept < 10;
        assert_eq!(gate.worker.gauges().half_open_pressed, pressed);
        gate.wait(Duration::from_millis(4900));
        assert_eq!(gate.worker.gauges().half_open, 10, "too early");
        gate.wait(Duration::from_millis(400));
        // The first to go takes the pressure away.
        let gauges = gate.worker.gauges();
        assert!(if pressed { gauges.half_open <= kept } else { gauges.half_open == kept });
        assert!(!gauges.half_open_pressed);
        gate.finish();
    }
}

#[test]
fn every_state_has_its_timeout_and_an_end() {
    let timeouts = small().timeouts;
    let script = |frames: Vec<Frame>, state: State, phase: Phase| {
        let mut gate = Gate::new();
        for frame in &frames {
            gate.put(frame);
        }
        let ended = gate.policy().ended;
        let span = timeouts.of(state);
        let open = |gate: &Gate| {
            let gauges = gate.worker.gauges();
            gauges.half_open + gauges.flows.iter().sum::<u64>()
        };
        gate.wait(span - Duration::from_millis(500));
        assert_eq!(open(&gate), 1, "{state:?} too early");
        gate.wait(Duration::from_millis(700));
        assert_eq!(open(&gate), 0, "{state:?} too late");
        assert_eq!(gate.policy().ended, 1);
        let counters = gate.finish();
        if ended == 0 {
            assert_eq!(counters.connections(phase), 1, "{state:?}");
        }
    };
    let [syn, syn_ack, ack] = handshake();
    let fin = Frame::client(1, 1, FIN | ACK, b"");
    let fin_back = Frame::server(1, 1, FIN | ACK, b"");
    let acked = [Frame::client(2, 2, ACK, b""), Frame::server(2, 2, ACK, b"")];
    let mut frames = vec![syn];
    script(frames.clone(), State::SynSent, Phase::Expired);
    frames.push(syn_ack);
    script(frames.clone(), State::SynReceived, Phase::Expired);
    frames.push(ack);
    script(frames.clone(), State::Established, Phase::Expired);
    frames.push(fin);
    script(frames.clone(), State::HalfClosed, Phase::Expired);
    frames.push(fin_back);
    script(frames.clone(), State::Closing, Phase::Closed);
    frames.extend(acked);
    script(frames, State::TimeWait, Phase::Closed);
}

#[test]
fn traffic_keeps_a_connection_alive_without_a_timer_being_touched() {
    let mut gate = Gate::new();
    gate.establish();
    for minute in 0..180 {
        gate.wait(Duration::from_secs(60));
        let data = Frame::client(1 + minute, 1, ACK, b"x");
        assert_eq!(gate.put(&data), [data.crossed()], "minute {minute}");
    }
    gate.wait(Duration::from_secs(7441));
    assert_eq!(gate.worker.gauges().flows, [0; 7]);
    gate.finish();
}

#[test]
fn expiry_drops_what_was_held() {
    let mut gate = Gate::new();
    gate.establish();
    // Too much for a copy, so that its frame is held where rules edit.
    let beyond = Frame::client(100, 1, ACK, &[7; 300]);
    assert_eq!(gate.put(&beyond), [beyond.crossed()]);
    assert_eq!(gate.worker.gauges().held_bytes, 300);
    gate.wait(Duration::from_secs(7441));
    assert_eq!(gate.worker.gauges().held_bytes, 0);
    gate.finish();

    let mut gate = Gate::editing(small());
    gate.establish();
    assert_eq!(gate.put(&beyond), [beyond.asked(1)]);
    gate.wait(Duration::from_secs(7441));
    assert_eq!(gate.finish().dropped_for(Reason::Cause(Cause::Expired)), 1);
}

#[test]
fn a_clock_that_jumps_forwards_and_backwards_loses_nothing() {
    let mut gate = Gate::new();
    gate.establish();
    gate.now = tollgate_wire::Timestamp::from_secs(3);
    let data = Frame::client(1, 1, ACK, b"x");
    assert_eq!(gate.put(&data), [data.crossed()]);
    gate.wait(Duration::from_secs(1800));
    assert_eq!(gate.worker.gauges().flows[State::Established as usize], 1);
    gate.wait(Duration::from_secs(60 * 365 * 24 * 3600));
    gate.turn();
    assert_eq!(gate.worker.gauges().flows, [0; 7]);
    gate.finish();
}

#[test]
fn what_a_flow_may_hold_is_bounded_and_so_is_what_all_hold() {
    let held = Limits { frames: 8, ..Limits::default() };
    let mut gate = Gate::editing(Config { held, held_frames_max: 12, ..small() });
    for number in 0..2 {
        for frame in handshake() {
            gate.put(&frame.between(&client(number), crate::common::SERVER));
        }
        for segment in 1..=20 {
            let data = Frame::client(1 + 300 * segment, 1, ACK, &[7; 300]);
            gate.put(&data.between(&client(number), crate::common::SERVER));
        }
    }
    assert_eq!(gate.worker.gauges().held_frames, 12);
    // The hole is filled all the same, and what was held goes.
    let fill = Frame::client(1, 1, ACK, &[7; 300]).between(&client(0), crate::common::SERVER);
    assert_eq!(gate.put(&fill).len(), 9);
    let counters = gate.finish();
    // Of the first all but eight, of the second all but four.
    assert_eq!(counters.dropped_for(Reason::Cause(Cause::HeldFullFlow)), 12);
    assert_eq!(counters.dropped_for(Reason::Cause(Cause::HeldFullWorker)), 16);
}

#[test]
fn copies_of_what_left_early_are_bounded_for_a_flow_and_for_all() {
    let held = Limits { bytes: 100, extents: 4, ..Limits::default() };
    let config = Config { held, held_bytes_max: 800, held_extents_max: 100, ..small() };
    let mut gate = Gate::with(config);
    gate.policy().writes = false;
    for number in 0..100 {
        for frame in handshake() {
            gate.put(&frame.between(&client(number), crate::common::SERVER));
        }
        for segment in 0..30 {
            // Behind one gap, or each behind a gap of its own.
            let at = if number % 2 == 0 { 2 + segment * 10 } else { 2 + segment * 20 };
            let data = Frame::client(at, 1, ACK, b"0123456789");
            gate.put(&data.between(&client(number), crate::common::SERVER));
            let gauges = gate.worker.gauges();
            assert!(gauges.held_bytes <= 800 && gauges.held_extents <= 100, "{gauges:?}");
        }
    }
    let gauges = gate.worker.gauges();
    assert!(gauges.held_bytes > 600, "{gauges:?}");
    // What is in order always passes, and frees what waited.
    for number in 0..100 {
        let fill = Frame::client(1, 1, ACK, b"_").between(&client(number), crate::common::SERVER);
        assert_eq!(gate.put(&fill), [fill.crossed()]);
    }
    for number in 0..100 {
        let rst = Frame::client(2, 1, RST, b"").between(&client(number), crate::common::SERVER);
        gate.put(&rst);
    }
    gate.wait(Duration::from_secs(7441));
    let gauges = gate.worker.gauges();
    assert_eq!((gauges.held_bytes, gauges.held_extents), (0, 0));
    let counters = gate.finish();
    assert!(counters.dropped_for(Reason::Cause(Cause::HeldFullWorker)) > 1000);
}

#[test]
fn many_timers_at_once_are_spread_over_turns() {
    let mut gate = Gate::new();
    gate.policy().writes = false;
    for number in 0..1000 {
        let syn = Frame::client(0, 0, SYN, b"").between(&client(number), crate::common::SERVER);
        gate.put(&syn);
    }
    gate.wait(Duration::from_secs(70));
    let left = gate.worker.gauges().half_open;
    assert!(left > 0 && left < 1000, "{left}");
    for _ in 0..20 {
        gate.turn();
    }
    assert_eq!(gate.worker.gauges().half_open, 0);
    gate.finish();
}

#[test]
fn what_a_port_has_no_room_for_is_dropped_and_counted() {
    let mut gate = Gate::new();
    gate.establish();
    gate.worker.link_mut().limit(tollgate_link::Port::B, 1);
    let first = Frame::client(1, 1, ACK, b"first");
    let second = Frame::client(6, 1, ACK, b"second");
    assert_eq!(gate.put_all(&[first.clone(), second.clone()]), [first.crossed()]);
    gate.worker.link_mut().limit(tollgate_link::Port::B, usize::MAX);
    // Its sender repeats it, and then it crosses.
    assert_eq!(gate.put(&second), [second.crossed()]);
    assert_eq!(gate.finish().dropped_for(Reason::Cause(Cause::TransmitFull)), 1);
}

#[test]
fn a_rst_for_which_there_is_no_frame_is_counted() {
    let mut gate = Gate::with_link(small(), MemoryLink::with_frames(1, 2048));
    gate.establish();
    // The only frame goes back first, so the first RST gets it.
    gate.policy().on_data = Verdict::Reset;
    assert_eq!(gate.put(&Frame::client(1, 1, ACK, b"x")).len(), 1);
    let counters = gate.finish();
    assert_eq!((counters.rsts, counters.rsts_failed), (1, 1));
}

/// Each worker is made where the program begins and then moved to its thread.
#[test]
fn a_worker_may_move_to_another_thread() {
    fn moves<T: Send>() {}
    moves::<tollgate_engine::Worker<MemoryLink, tollgate_policy::AcceptAll>>();
    moves::<tollgate_engine::Mesh<tollgate_link::memory::MemoryFrame>>();
}

/// Receivers that acknowledge nothing, as many as fill the memory for what is in flight. A segment of
/// somebody else is lost behind us, once, and sent again.
#[test]
fn silent_receivers_do_not_keep_the_memory_that_other_connections_need() {
    let memory = Config { retained_bytes_max: 1 << 20, ..small() };
    let mut gate = Gate::with(memory);
    gate.policy().writes = false;
    let segment =
        |number: u32, len: u32| Frame::client(1 + len * number, 1, ACK, &vec![7; len as usize]);
    for silent in 0..200 {
        for frame in handshake() {
            gate.put(&frame.between(&client(silent), crate::common::SERVER));
        }
        (0..60).for_each(|number| {
            gate.put(&segment(number, 1000).between(&client(silent), crate::common::SERVER));
        });
        assert!(gate.worker.gauges().retained_bytes <= 1 << 20);
    }
    gate.establish();
    for number in 0..100 {
        let frame = segment(number, 1400);
        // What has left can be repeated; what cannot be repeated does not leave, until it can.
        let left = (0..8).find(|_| {
            let out = gate.put(&frame);
            gate.wait(Duration::from_secs(1));
            out == [frame.crossed()]
        });
        assert!(left.is_some(), "{number} never leaves");
        assert_eq!(gate.put(&frame), [frame.crossed()], "{number} is withheld");
        gate.put(&Frame::server(1, 1 + 1400 * (number + 1), ACK, b""));
        assert!(gate.worker.gauges().retained_bytes <= 1 << 20);
    }
    let counters = gate.finish();
    assert!(counters.silenced > 0 && counters.forgotten == 0, "{counters:?}");
}

/// A receiver that falls silent for a while, as on a road that breaks, is not cut off for it: what was
/// sent to it leaves again when its sender repeats it.
#[test]
fn what_silent_receivers_have_not_acknowledged_can_be_repeated() {
    let mut gate = Gate::with(Config { retained_bytes_max: 1 << 20, ..small() });
    gate.policy().writes = false;
    let segment = |number: u32, of: u32| {
        let bytes = vec![of as u8; 1000];
        Frame::client(1 + 1000 * number, 1, ACK, &bytes).between(&client(of), crate::common::SERVER)
    };
    let mut left = Vec::new();
    for silent in 0..60 {
        for frame in handshake() {
            gate.put(&frame.between(&client(silent), crate::common::SERVER));
        }
        for number in 0..60 {
            let frame = segment(number, silent);
            if gate.put(&frame) == [frame.crossed()] {
                left.push(frame);
            }
        }
    }
    assert!(gate.worker.gauges().retained_bytes > 900_000);
    gate.wait(Duration::from_secs(4));
    for _ in 0..2000 {
        gate.turn();
    }
    assert!(gate.worker.gauges().retained_bytes < 800_000);
    for frame in &left {
        assert_eq!(gate.put(frame), [frame.crossed()]);
    }
    let counters = gate.finish();
    assert!(counters.silenced > 0, "{counters:?}");
    assert_eq!((counters.forgotten, counters.retransmitted), (0, left.len() as u64));
}
