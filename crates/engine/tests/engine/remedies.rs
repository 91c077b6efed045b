//! Connections that cannot be treated as they should be, and what the configuration has for them.

use std::sync::LazyLock;
use std::time::Duration;

use crate::common::{ACK, FIN, Frame, Gate, PSH, RST, SERVER, SYN, Seen, handshake, small};
use tollgate_engine::{Cause, Config, Midstream, Reason, Remedies, Remedy, Trouble};
use tollgate_policy::{Phase, Verdict};
use tollgate_tcp::Invalid;
use tollgate_wire::Direction;

const OTHER: &str = "198.18.0.9:4009";

fn with(memory: Remedy, asymmetric: Remedy) -> Config {
    let remedies = Remedies { memory, asymmetric, ..Remedies::default() };
    Config { remedies, ..small() }
}

fn midstream(midstream: Midstream) -> Gate {
    let mut gate = Gate::with(Config { midstream, ..small() });
    gate.policy().skips = true;
    gate
}

fn other(frame: Frame) -> Frame {
    frame.between(OTHER, SERVER)
}

fn up(seq: u32, payload: &str) -> Frame {
    Frame::client(seq, 1, PSH | ACK, payload.as_bytes())
}

fn down(seq: u32, ack: u32, payload: &str) -> Frame {
    Frame::server(seq, ack, PSH | ACK, payload.as_bytes())
}

#[track_caller]
fn pass(gate: &mut Gate, frame: &Frame) {
    assert_eq!(gate.put(frame), [frame.crossed()]);
}

#[track_caller]
fn stay(gate: &mut Gate, frame: &Frame) {
    assert_eq!(gate.put(frame), []);
}

/// It waits behind the gap at `gap`.
#[track_caller]
fn wait(gate: &mut Gate, frame: &Frame, gap: u32) {
    assert_eq!(gate.put(frame), [frame.asked(gap)]);
}

fn is_rst(seen: &Seen) -> bool {
    seen.flags & RST != 0 && seen.payload.is_empty()
}

/// A flow table with room for one, taken, and another connection whose handshake's last ACK is next.
fn crowded(memory: Remedy) -> Gate {
    let mut gate = Gate::with(Config { flows_max: 1, ..with(memory, Remedy::DropPacket) });
    gate.policy().skips = true;
    gate.establish();
    let [syn, syn_ack, _] = handshake().map(other);
    pass(&mut gate, &syn);
    pass(&mut gate, &syn_ack);
    gate
}

/// Takes the connection that fills the table away.
fn make_room(gate: &mut Gate) {
    gate.put(&Frame::client(1, 1, RST, b""));
    gate.wait(Duration::from_secs(9));
    // The table is full, so that it is forgotten soon. What crosses meanwhile keeps the other alive.
    gate.put(&other(Frame::client(1, 1, ACK, b"")));
    gate.wait(Duration::from_secs(2));
    assert_eq!(gate.worker.gauges().flows.iter().sum::<u64>(), 0);
}

#[test]
fn with_no_room_a_connection_is_refused_until_there_is_some() {
    let mut gate = crowded(Remedy::DropPacket);
    let ack = other(Frame::client(1, 1, ACK, b""));
    stay(&mut gate, &ack);
    make_room(&mut gate);
    pass(&mut gate, &ack);
    pass(&mut gate, &other(up(1, "seen")));
    assert_eq!(gate.policy().stream(Direction::ToServer), b"seen");
    let counters = gate.finish();
    assert_eq!(counters.dropped_for(Reason::Cause(Cause::FlowTableFull)), 2);
    assert_eq!(counters.troubles[Trouble::Memory as usize], 2);
}

#[test]
fn with_no_room_a_connection_may_be_dropped_silently_until_its_next_syn() {
    let mut gate = crowded(Remedy::DropFlow);
    let [syn, _, ack] = handshake().map(other);
    stay(&mut gate, &ack);
    stay(&mut gate, &other(up(1, "late")));
    stay(&mut gate, &other(down(1, 1, "late")));
    pass(&mut gate, &syn);
    let counters = gate.finish();
    assert_eq!(counters.dropped_for(Reason::Cause(Cause::ConnectionOver)), 2);
    assert_eq!(counters.connections(Phase::Evicted), 1);
}

#[test]
fn with_no_room_a_connection_may_be_reset_at_both_ends() {
    let mut gate = crowded(Remedy::Reset);
    let out = gate.put(&other(Frame::client(1, 1, ACK, b"")));
    assert_eq!(out.len(), 2, "{out:?}");
    assert!(out.iter().all(is_rst));
    assert_ne!(out[0].port, out[1].port);
    let counters = gate.finish();
    assert_eq!((counters.connections(Phase::Reset), counters.rsts), (1, 2));
}

#[test]
fn with_no_room_a_connection_may_cross_unseen_until_there_is_some() {
    let mut gate = crowded(Remedy::Pass);
    for frame in [Frame::client(1, 1, ACK, b""), up(1, "one"), down(1, 4, "two")] {
        pass(&mut gate, &other(frame));
    }
    let gauges = gate.worker.gauges();
    assert_eq!((gauges.bypassed, gauges.half_open), (1, 0));
    make_room(&mut gate);
    for frame in [Frame::client(4, 4, PSH | ACK, b"three"), down(4, 9, "four")] {
        pass(&mut gate, &other(frame));
    }
    assert_eq!(gate.policy().stream(Direction::ToClient), b"four");
    assert_eq!(gate.worker.gauges().bypassed, 0);
    assert_eq!(gate.finish().connections(Phase::Bypassed), 1);
}

#[test]
fn with_no_room_a_connection_may_cross_unseen_to_its_end() {
    let mut gate = crowded(Remedy::Bypass);
    pass(&mut gate, &other(Frame::client(1, 1, ACK, b"")));
    make_room(&mut gate);
    for frame in [up(4, "three"), down(4, 9, "four")] {
        pass(&mut gate, &other(frame));
    }
    assert_eq!(gate.worker.gauges().bypassed, 1);
    for frame in [Frame::client(9, 8, FIN | ACK, b""), Frame::server(8, 10, FIN | ACK, b"")] {
        pass(&mut gate, &other(frame));
    }
    gate.wait(Duration::from_secs(61));
    assert_eq!(gate.worker.gauges().bypassed, 0);
    assert_eq!(gate.policy().stream(Direction::ToClient), b"");
    assert_eq!(gate.finish().bypassed, 6);
}

#[test]
fn a_copy_that_nobody_remembers_may_end_its_connection_or_let_it_cross() {
    for (memory, out, ended) in [
        (Remedy::DropFlow, 0, Phase::Evicted),
        (Remedy::Reset, 3, Phase::Reset),
        (Remedy::Bypass, 1, Phase::Bypassed),
    ] {
        let config = with(memory, Remedy::DropPacket);
        let mut gate = Gate::with(Config { retained_direction_bytes_max: 4, ..config });
        gate.establish();
        pass(&mut gate, &up(1, "1234"));
        pass(&mut gate, &up(5, "5678"));
        let seen = gate.put(&up(1, "XXXX"));
        assert_eq!(seen.len(), out, "{memory:?} {seen:?}");
        let gauges = gate.worker.gauges();
        assert_eq!((gauges.bypassed, gauges.zombies), if out == 1 { (1, 0) } else { (0, 1) });
        let next = gate.put(&up(9, "next"));
        assert_eq!(next.iter().filter(|seen| !is_rst(seen)).count(), usize::from(out == 1));
        let counters = gate.finish();
        assert_eq!(counters.connections(ended), 1);
        assert_eq!((counters.troubles[Trouble::Memory as usize], counters.forgotten), (1, 1));
    }
}

/// The SYN-ACK takes another way.
#[test]
fn a_client_that_is_answered_elsewhere_is_noticed_after_some_packets_and_a_second() {
    for (asymmetric, crosses) in
        [(Remedy::DropPacket, false), (Remedy::DropFlow, false), (Remedy::Bypass, true)]
    {
        let mut gate = Gate::with(with(Remedy::DropPacket, asymmetric));
        pass(&mut gate, &Frame::client(0, 0, SYN, b""));
        for _ in 0..20 {
            stay(&mut gate, &Frame::client(1, 1, ACK, b""));
            stay(&mut gate, &up(1, "hello"));
        }
        gate.wait(Duration::from_secs(1));
        let again = up(1, "hello");
        assert_eq!(gate.put(&again).len(), usize::from(crosses), "{asymmetric:?}");
        let next = Frame::client(6, 700, ACK, b"and more");
        assert_eq!(gate.put(&next).len(), usize::from(crosses), "{asymmetric:?}");
        let gauges = gate.worker.gauges();
        assert_eq!((gauges.bypassed, gauges.half_open), if crosses { (1, 0) } else { (0, 1) });
        let over = gate.counters().dropped_for(Reason::Cause(Cause::ConnectionOver));
        assert_eq!(over, u64::from(asymmetric == Remedy::DropFlow));
        let counters = gate.finish();
        assert_eq!(counters.troubles[Trouble::Asymmetric as usize], 1);
    }
}

#[test]
fn a_server_that_answers_late_is_not_taken_for_one_that_answers_elsewhere() {
    let mut gate = Gate::with(with(Remedy::DropPacket, Remedy::Bypass));
    let [syn, syn_ack, ack] = handshake();
    pass(&mut gate, &syn);
    stay(&mut gate, &up(1, "too early"));
    gate.wait(Duration::from_secs(3));
    stay(&mut gate, &up(1, "too early"));
    pass(&mut gate, &syn_ack);
    gate.wait(Duration::from_secs(3));
    pass(&mut gate, &ack);
    pass(&mut gate, &up(1, "seen"));
    assert_eq!(gate.policy().stream(Direction::ToServer), b"seen");
    assert_eq!(gate.finish().troubles, [0; 3]);
}

/// Acknowledgments of what never left towards their sender: the route of one direction has changed.
#[test]
fn an_established_connection_that_loses_a_direction_is_noticed_by_its_acknowledgments() {
    for (asymmetric, crosses) in [(Remedy::DropFlow, false), (Remedy::Bypass, true)] {
        let mut gate = Gate::with(with(Remedy::DropPacket, asymmetric));
        gate.establish();
        pass(&mut gate, &up(1, "seen"));
        let lie = |seq, ack| Frame::client(seq, ack, ACK, b"");
        stay(&mut gate, &lie(5, 100));
        gate.wait(Duration::from_secs(2));
        // The server is heard, so the client lied.
        pass(&mut gate, &Frame::server(1, 5, ACK, b""));
        stay(&mut gate, &lie(5, 100));
        stay(&mut gate, &lie(5, 200));
        gate.wait(Duration::from_secs(2));
        let third = lie(5, 300);
        assert_eq!(gate.put(&third), if crosses { vec![third.crossed()] } else { vec![] });
        let data = Frame::client(5, 400, ACK, b"unseen");
        assert_eq!(gate.put(&data), if crosses { vec![data.crossed()] } else { vec![] });
        assert_eq!(gate.policy().stream(Direction::ToServer), b"seen");
        let counters = gate.finish();
        assert_eq!(counters.dropped_for(Reason::Invalid(Invalid::AckBeyond)), 3);
        assert_eq!(counters.dropped_for(Reason::Cause(Cause::Asymmetric)), u64::from(!crosses));
    }
}

#[test]
fn what_waits_behind_a_gap_leaves_when_its_connection_is_let_cross() {
    let mut gate = Gate::editing(with(Remedy::DropPacket, Remedy::Bypass));
    gate.establish();
    let early = Frame::server(10, 1, ACK, b"early");
    wait(&mut gate, &early, 1);
    for _ in 0..2 {
        stay(&mut gate, &Frame::client(1, 600, ACK, b""));
    }
    gate.wait(Duration::from_secs(1));
    let ack = Frame::client(1, 600, ACK, b"");
    assert_eq!(gate.put(&ack), [early.crossed(), ack.crossed()]);
    assert_eq!(gate.worker.gauges().held_frames, 0);
    gate.finish();
}

#[test]
fn a_connection_from_before_crosses_until_both_ends_have_spoken() {
    let mut gate = midstream(Midstream::Pass);
    pass(&mut gate, &up(100, "unseen"));
    pass(&mut gate, &up(106, "unseen"));
    assert_eq!(gate.worker.gauges().one_sided, 1);
    assert_eq!(gate.events(), Vec::<String>::new());
    pass(&mut gate, &down(1, 112, "seen"));
    pass(&mut gate, &up(112, "too"));
    assert_eq!(gate.policy().stream(Direction::ToClient), b"seen");
    assert_eq!(gate.policy().stream(Direction::ToServer), b"too");
    assert_eq!(gate.worker.gauges().one_sided, 0);
    let counters = gate.finish();
    assert_eq!((counters.untracked, counters.connections(Phase::New)), (2, 1));
}

#[test]
fn an_end_that_nobody_answers_is_soon_forgotten_and_never_fills_the_table() {
    let config = Config { flows_max: 100, midstream: Midstream::Pass, ..small() };
    let mut gate = Gate::with(config);
    for client in 0..1000 {
        let client = format!("198.18.1.{}:{}", client / 250, 4000 + client);
        pass(&mut gate, &up(1, "x").between(&client, SERVER));
    }
    let gauges = gate.worker.gauges();
    assert!(gauges.one_sided < 100 && gauges.flows_pressed, "{gauges:?}");
    gate.wait(Duration::from_secs(61));
    assert_eq!(gate.worker.gauges().one_sided, 0);
    gate.establish();
    assert_eq!(gate.finish().untracked, 1000);
}

#[test]
fn a_syn_between_the_ends_of_a_one_sided_connection_is_seen() {
    let mut gate = midstream(Midstream::Pass);
    pass(&mut gate, &up(100, "unseen"));
    gate.establish();
    pass(&mut gate, &up(1, "seen"));
    assert_eq!(gate.policy().stream(Direction::ToServer), b"seen");
    gate.finish();
}

#[test]
fn a_connection_from_before_may_cross_to_its_end() {
    let mut gate = midstream(Midstream::Bypass);
    for frame in [up(100, "a"), down(1, 101, "b"), up(101, "c"), Frame::client(102, 2, RST, b"")] {
        pass(&mut gate, &frame);
    }
    assert_eq!(gate.events(), Vec::<String>::new());
    assert_eq!(gate.finish().untracked, 4);
}

#[test]
fn a_connection_from_before_may_be_reset_at_whoever_speaks() {
    let mut gate = midstream(Midstream::Reset);
    for (frame, seq, port) in [
        (up(100, "a"), 5001, tollgate_link::Port::A),
        (down(40, 200, "b"), 1200, tollgate_link::Port::B),
    ] {
        let out = gate.put(&frame);
        assert_eq!(out.len(), 1);
        assert!(is_rst(&out[0]));
        assert_eq!((out[0].seq, out[0].port), (seq, port));
        assert_eq!(out[0].source, if frame.from_client { frame.server } else { frame.client });
    }
    stay(&mut gate, &Frame::client(1, 1, RST, b""));
    gate.finish();
}

#[test]
fn a_flood_of_forged_packets_brings_no_flood_of_rsts_down_on_anyone() {
    let config = Config { midstream: Midstream::Reset, batch_max: 2000, ..small() };
    let mut gate = Gate::with(config);
    let frames: Vec<_> = (0..2000).map(|seq| up(seq, "x")).collect();
    for _ in 0..2 {
        assert_eq!(gate.put_all(&frames).len(), 1000);
        gate.wait(Duration::from_secs(1));
    }
    gate.finish();
}

#[test]
fn a_rule_may_let_a_connection_go_on_without_any() {
    let mut gate = Gate::new();
    gate.establish();
    gate.policy().on_data = Verdict::Bypass;
    for frame in [up(1, "last"), up(5, "unseen"), down(1, 11, "unseen")] {
        pass(&mut gate, &frame);
    }
    assert_eq!(gate.policy().stream(Direction::ToServer), b"last");
    assert_eq!(gate.worker.gauges().bypassed, 1);
    // TCP is followed all the same.
    stay(&mut gate, &Frame::client(11, 999, ACK, b"acknowledges what never was"));
    let counters = gate.finish();
    assert_eq!(counters.connections(Phase::Bypassed), 1);
    assert_eq!(counters.verdicts[Verdict::Bypass as usize], 1);
}

#[test]
fn a_rule_may_let_a_connection_go_at_its_first_packet() {
    let mut gate = Gate::new();
    gate.policy().on_new = Verdict::Bypass;
    gate.establish();
    pass(&mut gate, &up(1, "unseen"));
    assert_eq!(gate.policy().events, ["new 198.18.0.1:4000 > 198.18.0.2:80", "end syn_sent"]);
    let counters = gate.finish();
    assert_eq!(counters.connections(Phase::New), 1);
    assert_eq!(counters.connections(Phase::Bypassed), 1);
}

/// An established connection that crosses uninspected.
fn bypassed() -> Gate {
    let mut gate = Gate::with(with(Remedy::DropPacket, Remedy::Bypass));
    gate.establish();
    for _ in 0..3 {
        gate.put(&Frame::client(1, 600, ACK, b""));
        gate.wait(Duration::from_secs(1));
    }
    assert_eq!(gate.worker.gauges().bypassed, 1);
    gate
}

#[test]
fn what_follows_a_connection_that_crossed_uninspected_is_inspected() {
    let again = |mut frame: Frame| {
        let isn = if frame.from_client { &mut frame.seq } else { &mut frame.ack };
        *isn += 70_000;
        frame
    };
    let [syn, syn_ack, ack] = handshake();
    let (syn, syn_ack, ack) = (again(syn), again(syn_ack), again(ack));
    // It ends before us, and the next opens at once.
    let mut gate = bypassed();
    pass(&mut gate, &Frame::server(77, 1, RST | ACK, b""));
    for frame in [&syn, &syn_ack, &ack, &again(up(1, "seen"))] {
        pass(&mut gate, frame);
    }
    assert_eq!(gate.policy().stream(Direction::ToServer), b"seen");
    gate.finish();
    // Or its end is missed: then the SYN that is sent again opens it.
    let mut gate = bypassed();
    pass(&mut gate, &syn);
    pass(&mut gate, &Frame::server(50, 1, ACK, b"a challenge"));
    pass(&mut gate, &up(9, "it lives"));
    pass(&mut gate, &syn);
    stay(&mut gate, &syn_ack);
    for frame in [&syn, &syn_ack, &ack, &again(up(1, "seen"))] {
        pass(&mut gate, frame);
    }
    assert_eq!(gate.policy().stream(Direction::ToServer), b"seen");
    gate.finish();
}

#[test]
fn a_connection_that_crosses_uninspected_is_forgotten_when_it_is_silent() {
    let mut gate = bypassed();
    gate.wait(Duration::from_secs(7400));
    assert_eq!(gate.worker.gauges().bypassed, 1);
    gate.wait(Duration::from_secs(41));
    assert_eq!(gate.worker.gauges().bypassed, 0);
    gate.finish();
}

/// An established connection with a segment that waits behind a gap, in a moment gone by.
fn gapped(gap_timeout: Remedy, held_frames_max: u64) -> Gate {
    let remedies = Remedies { gap_timeout, ..Remedies::default() };
    let mut gate = Gate::editing(Config { remedies, held_frames_max, ..small() });
    gate.establish();
    wait(&mut gate, &up(10, &EARLY), 1);
    gate
}

/// Too much for a copy, so that it waits in its frame.
static EARLY: LazyLock<String> = LazyLock::new(|| "early".repeat(60));

#[test]
fn what_waits_behind_a_gap_that_nobody_fills_is_given_up_and_the_connection_goes_on() {
    let mut gate = gapped(Remedy::DropPacket, 1000);
    gate.wait(Duration::from_secs(59));
    assert_eq!(gate.worker.gauges().held_frames, 1);
    gate.wait(Duration::from_secs(5));
    assert_eq!(gate.worker.gauges().held_frames, 0);
    for frame in [up(1, "last ones"), up(10, &EARLY)] {
        pass(&mut gate, &frame);
    }
    let shown = format!("last ones{}", *EARLY);
    assert_eq!(gate.policy().stream(Direction::ToServer), shown.as_bytes());
    let counters = gate.finish();
    assert_eq!(counters.troubles, [0, 0, 1]);
    assert_eq!(counters.dropped_for(Reason::Cause(Cause::GapTimeout)), 1);
}

/// Its receiver may have it, so that a copy with other bytes must not leave, however old the gap.
#[test]
fn what_left_behind_a_gap_that_nobody_fills_stays_remembered() {
    let mut gate = Gate::new();
    gate.establish();
    pass(&mut gate, &up(10, "early"));
    for _ in 0..40 {
        gate.wait(Duration::from_secs(3));
    }
    assert_eq!(gate.put(&up(10, "EARLY")), [up(10, "early").crossed()]);
    pass(&mut gate, &up(1, "last ones"));
    assert_eq!(gate.policy().stream(Direction::ToServer), b"last onesearly");
    gate.finish();
}

#[test]
fn a_gap_that_nobody_fills_may_end_its_connection_or_let_it_cross() {
    for (remedy, out, phase) in [
        (Remedy::DropFlow, 0, Phase::Evicted),
        // A RST to each, and once more.
        (Remedy::Reset, 4, Phase::Reset),
        (Remedy::Bypass, 1, Phase::Bypassed),
    ] {
        let mut gate = gapped(remedy, 1000);
        let mut left = Vec::new();
        for _ in 0..22 {
            left.extend(gate.wait(Duration::from_secs(3)));
        }
        assert_eq!(left.len(), out, "{remedy:?} {left:?}");
        let gauges = gate.worker.gauges();
        assert_eq!((gauges.bypassed, gauges.zombies), if out == 1 { (1, 0) } else { (0, 1) });
        assert_eq!(gate.finish().connections(phase), 1);
    }
}

#[test]
fn a_stream_that_moves_on_has_no_gap_that_is_too_old() {
    let mut gate = gapped(Remedy::DropFlow, 1000);
    for second in 0..120 {
        gate.wait(Duration::from_secs(1));
        if second % 20 == 19 {
            // Another gap opens, and this one is filled: something always waits.
            let at = second / 20 * 310;
            let early = up(at + 320, &EARLY);
            // Nobody has acknowledged what filled the first gap, so nobody is asked for the second.
            assert_eq!(gate.put(&early), if at == 0 { vec![early.asked(1)] } else { vec![] });
            let fill = if at == 0 { up(1, "last ones") } else { up(at, "once again") };
            assert_eq!(gate.put(&fill).len(), 2);
            assert_eq!(gate.worker.gauges().held_frames, 1);
        }
    }
    assert_eq!(gate.worker.gauges().zombies, 0);
    assert_eq!(gate.finish().troubles, [0; 3]);
}

#[test]
fn old_gaps_go_first_when_there_is_little_room_for_what_waits() {
    let mut gate = gapped(Remedy::DropPacket, 1);
    gate.wait(Duration::from_secs(2));
    assert_eq!(gate.worker.gauges().held_frames, 1);
    gate.wait(Duration::from_secs(2));
    assert_eq!(gate.worker.gauges().held_frames, 0);
    gate.finish();
}

#[test]
fn a_fin_that_waits_alone_is_given_up_too() {
    let mut gate = Gate::editing(small());
    gate.establish();
    wait(&mut gate, &Frame::client(10, 1, FIN | ACK, b""), 1);
    assert_eq!(gate.worker.gauges().held_extents, 1);
    for _ in 0..22 {
        gate.wait(Duration::from_secs(3));
    }
    assert_eq!(gate.worker.gauges().held_extents, 0);
    let counters = gate.finish();
    assert_eq!((counters.troubles[Trouble::GapTimeout as usize], counters.merged), (1, 1));
}

/// What waits is made equal to what waited first, and its checksum follows when its turn comes.
#[test]
fn overlaps_that_waited_have_right_checksums_when_they_are_let_go() {
    let mut gate = gapped(Remedy::Bypass, 1000);
    let (first, second) = (up(1001, &"a".repeat(400)), up(1201, &"b".repeat(400)));
    let mut left = gate.put_all(&[first.clone(), second]);
    for _ in 0..22 {
        left.extend(gate.wait(Duration::from_secs(3)));
    }
    let payloads: Vec<_> = left.iter().map(|seen| seen.payload.clone()).collect();
    let agreed = ["a".repeat(200), "b".repeat(200)].concat().into_bytes();
    assert!(payloads.contains(&first.payload) && payloads.contains(&agreed));
    gate.finish();
}
