//! What a bare wire lets live: silences as long as stacks keep, repeats as late as they come, and addresses
//! that are used again at once.

use std::time::Duration;

use tollgate_engine::{Config, Midstream, Reason};
use tollgate_link::Port;
use tollgate_policy::Verdict;
use tollgate_tcp::{Invalid, State};

use crate::common::{ACK, FIN, Frame, Gate, PSH, RST, SYN, Seen, handshake, small};

/// Pauses between the repeats of a Linux sender: doubled from 200 ms on, to 120 s at most
/// (`TCP_RTO_MAX`), fifteen times.
fn repeats() -> impl Iterator<Item = Duration> {
    (0..15).map(|number| Duration::from_millis(200 << number).min(Duration::from_secs(120)))
}

#[track_caller]
fn pass(gate: &mut Gate, frame: &Frame) {
    assert_eq!(gate.put(frame), [frame.crossed()]);
}

fn established() -> Gate {
    let mut gate = Gate::new();
    gate.establish();
    gate
}

/// Closed by both, the client first, and acknowledged.
fn closed() -> Gate {
    let mut gate = established();
    for frame in [
        Frame::client(1, 1, FIN | ACK, b""),
        Frame::server(1, 2, FIN | ACK, b""),
        Frame::client(2, 2, ACK, b""),
    ] {
        pass(&mut gate, &frame);
    }
    assert_eq!(gate.events().last().unwrap(), "end time_wait");
    gate
}

fn stamped(frame: Frame, value: u32, echo: u32) -> Frame {
    let mut options = vec![1, 1, 8, 10];
    options.extend([value.to_be_bytes(), echo.to_be_bytes()].concat());
    Frame { options, ..frame }
}

#[test]
fn an_idle_connection_outlives_the_pause_before_the_first_keep_alive() {
    // RFC 9293 section 3.8.4: two hours at least; RFC 5382 section 5 wants four minutes more of us.
    let mut gate = established();
    for _ in 0..3 {
        gate.wait(Duration::from_secs(7200));
        pass(&mut gate, &Frame::client(0, 1, ACK, b""));
        pass(&mut gate, &Frame::server(1, 1, ACK, b""));
    }
    pass(&mut gate, &Frame::server(1, 1, PSH | ACK, b"at last"));
    gate.finish();
}

#[test]
fn an_end_that_has_closed_may_wait_long_for_the_answer() {
    let mut gate = established();
    pass(&mut gate, &Frame::client(1, 1, PSH | ACK, b"compute"));
    pass(&mut gate, &Frame::client(8, 1, FIN | ACK, b""));
    pass(&mut gate, &Frame::server(1, 9, ACK, b""));
    gate.wait(Duration::from_secs(3600));
    pass(&mut gate, &Frame::server(1, 9, PSH | ACK, b"42"));
    pass(&mut gate, &Frame::client(9, 3, ACK, b""));
    gate.finish();
}

#[test]
fn data_is_repeated_until_its_sender_gives_up() {
    let mut gate = established();
    let data = Frame::client(1, 1, PSH | ACK, b"lost beyond us, fifteen times");
    pass(&mut gate, &data);
    for pause in repeats() {
        gate.wait(pause);
        pass(&mut gate, &data);
    }
    pass(&mut gate, &Frame::server(1, 30, ACK, b""));
    gate.finish();
}

#[test]
fn so_is_the_last_of_a_closing_connection_and_its_data_with_it() {
    let mut gate = established();
    let last = Frame::client(1, 1, PSH | FIN | ACK, b"last words");
    pass(&mut gate, &last);
    // The server closes without having got them.
    pass(&mut gate, &Frame::server(1, 1, FIN | ACK, b""));
    for pause in repeats() {
        gate.wait(pause);
        pass(&mut gate, &Frame { ack: last.ack + 1, ..last.clone() });
    }
    pass(&mut gate, &Frame::server(2, 12, ACK, b""));
    gate.finish();
}

#[test]
fn a_closed_window_is_probed_for_as_long_as_it_stays_closed() {
    let mut gate = established();
    pass(&mut gate, &Frame::client(1, 1, PSH | ACK, b"full"));
    let full = Frame { window: 0, ..Frame::server(1, 5, ACK, b"") };
    pass(&mut gate, &full);
    // Linux probes with an old number, BSD with a byte beyond the window.
    let byte = Frame::client(60_001, 1, ACK, b"x");
    for pause in repeats() {
        gate.wait(pause);
        pass(&mut gate, &Frame::client(4, 1, ACK, b""));
        pass(&mut gate, &full);
        pass(&mut gate, &byte);
    }
    gate.wait(Duration::from_secs(600));
    pass(&mut gate, &Frame::server(1, 5, ACK, b""));
    pass(&mut gate, &Frame::client(5, 1, PSH | ACK, b"room"));
    gate.finish();
}

/// RFC 9293 section 3.10.7.4: who has closed both ways and is not acknowledged repeats its FIN; the other
/// end answers as long as it remembers.
#[test]
fn a_fin_is_repeated_and_answered_after_the_last_ack_was_lost() {
    let mut gate = closed();
    for pause in repeats().take(9) {
        gate.wait(pause);
        pass(&mut gate, &Frame::server(1, 2, FIN | ACK, b""));
        pass(&mut gate, &Frame::client(2, 2, ACK, b""));
    }
    gate.finish();
}

#[test]
fn a_simultaneous_close_ends_in_peace() {
    let mut gate = established();
    for frame in [
        Frame::client(1, 1, FIN | ACK, b""),
        Frame::server(1, 1, FIN | ACK, b""),
        Frame::client(2, 2, ACK, b""),
        Frame::server(2, 2, ACK, b""),
    ] {
        pass(&mut gate, &frame);
    }
    assert_eq!(gate.events().last().unwrap(), "end time_wait");
    gate.finish();
}

/// The client has closed first, so the server remembers nothing: behind an address translator another
/// client gets the port, and its numbers have nothing to do with the first one's.
#[test]
fn the_port_of_who_closed_first_may_be_used_again_at_once_with_any_number() {
    for isn in [1_000_000, 1_u32.wrapping_sub(1_000_000), 1] {
        let mut gate = closed();
        gate.wait(Duration::from_millis(1));
        let syn = Frame::client(isn, 0, SYN, b"");
        pass(&mut gate, &syn);
        let syn_ack = Frame::server(7_000_000, isn.wrapping_add(1), SYN | ACK, b"");
        pass(&mut gate, &syn_ack);
        pass(&mut gate, &Frame::client(isn.wrapping_add(1), 7_000_001, ACK, b""));
        let data = Frame::client(isn.wrapping_add(1), 7_000_001, PSH | ACK, b"anew");
        pass(&mut gate, &data);
        assert_eq!(gate.events().last().unwrap(), "data up anew", "{isn}");
        gate.finish();
    }
}

/// The same with clocks: the next client's may be behind.
#[test]
fn nor_need_its_clock_go_on() {
    let mut gate = Gate::new();
    let [syn, syn_ack, ack] = handshake();
    for frame in [
        stamped(syn, 900_000, 0),
        stamped(syn_ack, 5, 900_000),
        stamped(ack, 900_000, 5),
        stamped(Frame::client(1, 1, FIN | ACK, b""), 900_001, 5),
        stamped(Frame::server(1, 2, FIN | ACK, b""), 6, 900_001),
        stamped(Frame::client(2, 2, ACK, b""), 900_002, 6),
        stamped(Frame::client(u32::MAX - 5000, 0, SYN, b""), 17, 0),
        stamped(Frame::server(7_000_000, u32::MAX - 4999, SYN | ACK, b""), 9, 17),
        stamped(Frame::client(u32::MAX - 4999, 7_000_001, ACK, b""), 18, 9),
    ] {
        pass(&mut gate, &frame);
    }
    gate.finish();
}

/// The last ACK was lost beyond us, so the server still waits for it: it challenges the next SYN, the
/// client's RST ends the old connection, and the SYN that is repeated opens.
#[test]
fn the_next_connection_finds_the_server_still_waiting_for_the_last_ack() {
    let mut gate = closed();
    let syn = Frame::client(1_000_000, 0, SYN, b"");
    pass(&mut gate, &syn);
    pass(&mut gate, &Frame::server(2, 2, ACK, b""));
    pass(&mut gate, &Frame::client(2, 0, RST, b""));
    gate.wait(Duration::from_secs(1));
    pass(&mut gate, &syn);
    pass(&mut gate, &Frame::server(7_000_000, 1_000_001, SYN | ACK, b""));
    pass(&mut gate, &Frame::client(1_000_001, 7_000_001, ACK, b""));
    gate.finish();
}

/// The server closed first and remembers: what it takes anew is RFC 6191's, and what it does not it
/// acknowledges, as if the SYN were an old one's; the client's RST ends that.
#[test]
fn towards_who_closed_first_an_old_number_is_settled_between_the_ends() {
    let mut gate = established();
    for frame in [
        Frame::server(1, 1, FIN | ACK, b""),
        Frame::client(1, 2, FIN | ACK, b""),
        Frame::server(2, 2, ACK, b""),
    ] {
        pass(&mut gate, &frame);
    }
    let syn = Frame::client(u32::MAX - 5000, 0, SYN, b"");
    pass(&mut gate, &syn);
    pass(&mut gate, &Frame::server(2, 2, ACK, b""));
    pass(&mut gate, &Frame::client(2, 0, RST, b""));
    gate.wait(Duration::from_secs(1));
    pass(&mut gate, &syn);
    pass(&mut gate, &Frame::server(7_000_000, u32::MAX - 4999, SYN | ACK, b""));
    pass(&mut gate, &Frame::client(u32::MAX - 4999, 7_000_001, ACK, b""));
    gate.finish();
}

/// It may also have forgotten, and answers: the SYN that its client repeats opens.
#[test]
fn who_closed_first_may_have_forgotten_it() {
    let mut gate = established();
    for frame in [
        Frame::server(1, 1, FIN | ACK, b""),
        Frame::client(1, 2, FIN | ACK, b""),
        Frame::server(2, 2, ACK, b""),
    ] {
        pass(&mut gate, &frame);
    }
    let syn = Frame::client(u32::MAX - 5000, 0, SYN, b"");
    let syn_ack = Frame::server(7_000_000, u32::MAX - 4999, SYN | ACK, b"");
    pass(&mut gate, &syn);
    assert_eq!(gate.put(&syn_ack), []);
    gate.wait(Duration::from_secs(1));
    pass(&mut gate, &syn);
    pass(&mut gate, &syn_ack);
    pass(&mut gate, &Frame::client(u32::MAX - 4999, 7_000_001, ACK, b""));
    gate.finish();
}

/// A client ends with a RST behind data that was lost before us. On a wire its server would challenge the RST;
/// it is made to by an old number, and the answer to that is exact.
#[test]
fn a_rst_behind_what_was_lost_before_us_ends_the_connection_nevertheless() {
    let mut gate = established();
    pass(&mut gate, &Frame::client(1, 1, PSH | ACK, b"hello"));
    pass(&mut gate, &Frame::server(1, 6, ACK, b""));
    // Bytes 6 to 14 were lost.
    let rst = Frame::client(15, 1, RST | ACK, b"");
    assert_eq!(gate.put(&rst), [Frame::client(5, 1, ACK, b"").crossed()]);
    assert_eq!(gate.worker.gauges().flows[State::Established as usize], 1, "it proves nothing");
    pass(&mut gate, &Frame::server(1, 6, ACK, b""));
    pass(&mut gate, &Frame::client(6, 0, RST, b""));
    assert_eq!(gate.events().last().unwrap(), "end reset");
    let counters = gate.finish();
    assert_eq!(counters.rsts_challenged, 1);
    assert_eq!(counters.dropped_for(Reason::Invalid(Invalid::RstOffEdge)), 1);
}

/// Nothing is asked for a RST that lies behind or beyond the window, which its receiver would not challenge.
#[test]
fn a_rst_outside_the_window_is_just_dropped() {
    let mut gate = established();
    pass(&mut gate, &Frame::client(1, 1, PSH | ACK, b"hello"));
    for seq in [0, 3, 60_002, 1_u32.wrapping_sub(100_000)] {
        assert_eq!(gate.put(&Frame::client(seq, 1, RST | ACK, b"")), [], "{seq}");
    }
    assert_eq!(gate.finish().rsts_challenged, 0);
}

/// What a rule has refused must not cross as something of no connection, however late its sender
/// repeats it.
#[test]
fn what_was_refused_is_remembered_for_longer_than_its_sender_pauses() {
    for midstream in [Midstream::Pass, Midstream::Bypass, Midstream::Pickup, Midstream::Drop] {
        for verdict in [Verdict::Drop, Verdict::Reset, Verdict::HalfReset] {
            let mut gate = Gate::with(Config { midstream, ..small() });
            gate.establish();
            gate.policy().on_data = verdict;
            let refused = Frame::client(1, 1, PSH | ACK, b"refused");
            let is_data = |seen: &Seen| !seen.payload.is_empty();
            assert!(!gate.put(&refused).iter().any(is_data));
            for pause in repeats() {
                gate.wait(pause);
                let out = gate.put(&refused);
                assert!(!out.iter().any(is_data), "{midstream:?} {verdict:?} {pause:?}");
            }
            gate.finish();
        }
    }
}

/// What knocks at closed doors must not fill the table in which the honest shake hands.
#[test]
fn a_refused_handshake_is_remembered_for_no_longer_than_one_that_lives() {
    let mut gate = Gate::new();
    gate.policy().on_new = Verdict::Drop;
    assert_eq!(gate.put(&Frame::client(0, 0, SYN, b"")), []);
    gate.wait(Duration::from_secs(59));
    assert_eq!(gate.worker.gauges().half_open, 1);
    gate.wait(Duration::from_secs(2));
    assert_eq!(gate.worker.gauges().half_open, 0);
    gate.finish();
}

/// Short connections by the thousand a second leave nothing but TIME_WAIT behind, and new ones need the room.
#[test]
fn a_table_nearly_full_of_closed_connections_forgets_them_in_ten_seconds() {
    let mut gate = Gate::with(Config { flows_max: 10, ..small() });
    for number in 0..10 {
        let client = format!("10.0.0.{number}:4000");
        let fin = Frame::client(1, 1, FIN | ACK, b"");
        let fin_back = Frame::server(1, 2, FIN | ACK, b"");
        let frames = [fin, fin_back, Frame::client(2, 2, ACK, b"")];
        for frame in handshake().into_iter().chain(frames) {
            gate.put(&frame.between(&client, crate::common::SERVER));
        }
    }
    let waiting = |gate: &Gate| gate.worker.gauges().flows[State::TimeWait as usize];
    gate.wait(Duration::from_millis(9500));
    assert_eq!(waiting(&gate), 10);
    gate.wait(Duration::from_secs(1));
    assert!(waiting(&gate) < 10);
    gate.establish();
    gate.finish();
}

/// A RST that was lost behind us, while its receiver repeats itself ever more seldom: he is told at his next try, as
/// the end that is gone would tell him.
#[test]
fn who_missed_a_rst_is_told_when_he_repeats_himself() {
    let mut gate = established();
    let data = Frame::server(1, 1, PSH | ACK, b"nobody is there");
    pass(&mut gate, &data);
    pass(&mut gate, &Frame::client(1, 1, RST | ACK, b""));
    for pause in repeats() {
        gate.wait(pause);
        let out = gate.put(&data);
        assert!(out.len() == 1 && out[0].has(RST) && out[0].port == Port::B, "{pause:?}: {out:?}");
    }
    gate.finish();
}
