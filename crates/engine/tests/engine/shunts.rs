//! Connections that cross, or are dropped, without being received: how it begins, what the worker knows of
//! them meanwhile, and how it ends.

use std::time::Duration;

use crate::common::{ACK, FIN, Frame, Gate, PSH, RST, SERVER, SYN, Script, Seen, handshake, small};
use tollgate_engine::{Cause, Config, Counters, Reason, Shunt, Unshunted};
use tollgate_link::memory::MemoryLink;
use tollgate_link::shunt::Shunts;
use tollgate_policy::{AcceptAll, Interest, Phase, Verdict};
use tollgate_wire::Direction;

fn up(seq: u32, ack: u32, payload: &str) -> Frame {
    Frame::client(seq, ack, PSH | ACK, payload.as_bytes())
}

fn down(seq: u32, ack: u32, payload: &str) -> Frame {
    Frame::server(seq, ack, PSH | ACK, payload.as_bytes())
}

#[track_caller]
fn pass(gate: &mut Gate, frame: &Frame) {
    assert_eq!(gate.put(frame), [frame.crossed()]);
}

fn received(gate: &Gate) -> u64 {
    gate.counters().ports.iter().map(|port| port.received_frames).sum()
}

/// It crosses, and the worker does not receive it.
#[track_caller]
fn below(gate: &mut Gate, frame: &Frame) {
    let before = received(gate);
    pass(gate, frame);
    assert_eq!(received(gate), before, "a worker has received it");
}

/// It crosses, and the worker does receive it.
#[track_caller]
fn above(gate: &mut Gate, frame: &Frame) {
    let before = received(gate);
    pass(gate, frame);
    assert_eq!(received(gate), before + 1, "no worker has received it");
}

/// A connection that a rule has shunted at its first data.
fn shunted() -> Gate {
    shunted_with(small())
}

fn shunted_with(config: Config) -> Gate {
    let mut gate = Gate::with(config);
    gate.establish();
    gate.policy().on_data = Verdict::Shunt;
    pass(&mut gate, &up(1, 1, "last"));
    gate
}

fn shunts(gate: &mut Gate) -> usize {
    gate.worker.link_mut().shunts().len()
}

fn refused(counters: &Counters, why: Unshunted) -> u64 {
    counters.shunts.refused[why as usize]
}

#[test]
fn the_rest_crosses_unreceived_both_ways_and_rules_see_its_end_only() {
    let mut gate = shunted();
    assert_eq!((shunts(&mut gate), gate.worker.gauges().shunted), (2, 1));
    below(&mut gate, &down(1, 5, "answer"));
    below(&mut gate, &up(5, 7, "more"));
    below(&mut gate, &Frame::server(7, 9, ACK, b""));
    gate.events();
    above(&mut gate, &Frame::client(9, 7, FIN | ACK, b""));
    // The other direction goes on.
    below(&mut gate, &down(7, 10, "rest"));
    above(&mut gate, &Frame::server(11, 10, FIN | ACK, b"end"));
    // Both have closed: the last acknowledgment tells when it is over.
    assert_eq!(shunts(&mut gate), 0);
    assert_eq!(gate.events(), Vec::<String>::new());
    above(&mut gate, &Frame::client(10, 15, ACK, b""));
    assert_eq!(gate.events(), ["end time_wait"]);
    assert_eq!(gate.policy().stream(Direction::ToServer), b"last");
    assert_eq!(gate.policy().stream(Direction::ToClient), b"");
    let counters = gate.finish();
    assert_eq!(counters.connections(Phase::Closed), 1);
    assert_eq!(counters.connections(Phase::Shunted), 1);
    assert_eq!(counters.verdicts[Verdict::Shunt as usize], 1);
    let shunts = counters.shunts;
    assert_eq!((shunts.crossing, shunts.above, shunts.below), (1, 3, 4));
    assert_eq!(shunts.below_bytes, 4 * 40 + 6 + 4 + 4);
}

#[test]
fn a_short_one_is_not_worth_a_shunt_and_no_rule_sees_more_of_it() {
    let mut gate = shunted_with(Config { shunt_packets_min: 6, ..small() });
    gate.events();
    above(&mut gate, &down(1, 5, "answer"));
    assert_eq!(shunts(&mut gate), 0, "the fifth packet");
    above(&mut gate, &up(5, 7, "more"));
    assert_eq!(shunts(&mut gate), 2, "the sixth");
    below(&mut gate, &down(7, 9, "rest"));
    assert_eq!(gate.policy().stream(Direction::ToServer), b"last");
    assert_eq!(gate.policy().stream(Direction::ToClient), b"");
    assert_eq!(gate.finish().shunts.crossing, 1);
}

#[test]
fn one_that_ends_before_it_is_worth_a_shunt_ends_as_any() {
    let mut gate = shunted_with(Config { shunt_packets_min: 16, ..small() });
    gate.events();
    above(&mut gate, &Frame::server(1, 5, FIN | ACK, b"bye"));
    above(&mut gate, &Frame::client(5, 5, FIN | ACK, b""));
    above(&mut gate, &Frame::server(5, 6, ACK, b""));
    assert_eq!(gate.events(), ["end time_wait"]);
    let counters = gate.finish();
    assert_eq!((counters.shunts.crossing, counters.connections(Phase::Closed)), (0, 1));
}

#[test]
fn what_the_link_has_counted_is_told_at_the_end() {
    let mut gate = shunted_with(Config { report_connections: true, ..small() });
    below(&mut gate, &down(1, 5, "0123456789"));
    above(&mut gate, &Frame::client(5, 11, RST | ACK, b""));
    let reports: Vec<_> = gate.worker.reports().drain().collect();
    let last = reports.iter().rev().find_map(|report| match report {
        tollgate_policy::Report::Connection(connection) => Some(connection),
        _ => None,
    });
    let last = last.unwrap();
    assert_eq!(last.phase, Phase::ResetByPeer);
    assert_eq!((last.traffic.to_client.packets, last.traffic.to_client.bytes), (2, 40 + 50));
    gate.finish();
}

#[test]
fn a_rst_ends_it_only_where_its_receiver_is() {
    let mut gate = shunted();
    for round in 0..50 {
        below(&mut gate, &down(1 + 1000 * round, 5, &"x".repeat(1000)));
    }
    below(&mut gate, &Frame::client(5, 50_001, ACK, b""));
    // Forged: crosses, as on any wire, and is not believed.
    above(&mut gate, &Frame::server(45_000, 5, RST, b""));
    assert_eq!((shunts(&mut gate), gate.counters().connections(Phase::ResetByPeer)), (2, 0));
    below(&mut gate, &down(50_001, 5, "on"));
    above(&mut gate, &Frame::server(50_003, 5, RST | ACK, b""));
    assert_eq!((shunts(&mut gate), gate.counters().connections(Phase::ResetByPeer)), (0, 1));
    gate.finish();
}

#[test]
fn a_fin_is_believed_though_what_its_sender_says_after_it_has_crossed_before() {
    let mut gate = shunted();
    let fin = Frame::client(5, 1, FIN | ACK, b"");
    let behind = Frame::client(6, 4, ACK, b"");
    gate.worker.link_mut().inject(fin.port(), &fin.bytes());
    gate.worker.link_mut().inject(fin.port(), &behind.bytes());
    assert_eq!(gate.turn(), [behind.crossed(), fin.crossed()]);
    above(&mut gate, &Frame::server(1, 6, FIN | ACK, b"bye"));
    above(&mut gate, &Frame::client(6, 5, ACK, b""));
    assert_eq!(gate.finish().connections(Phase::Closed), 1);
}

#[test]
fn a_fin_is_believed_though_its_acknowledgment_is_old_by_more_than_a_window() {
    let mut gate = shunted();
    let fin = Frame::client(5, 1, FIN | ACK, b"");
    gate.worker.link_mut().inject(fin.port(), &fin.bytes());
    // While it waits, its sender reads on.
    for at in 0..300 {
        let data = Frame::server(1 + 1000 * at, 5, ACK, &[1; 1000]);
        gate.worker.link_mut().inject(data.port(), &data.bytes());
        let read = Frame::client(6, 1001 + 1000 * at, ACK, b"");
        gate.worker.link_mut().inject(read.port(), &read.bytes());
    }
    assert_eq!(gate.turn().len(), 601);
    above(&mut gate, &Frame::server(300_001, 6, FIN | ACK, b""));
    above(&mut gate, &Frame::client(6, 300_002, ACK, b""));
    assert_eq!(gate.finish().connections(Phase::Closed), 1);
}

#[test]
fn a_fin_ends_it_far_beyond_what_was_seen() {
    let mut gate = shunted();
    // Nobody asks in between. Not all the bytes between the numbers are sent, or it would take a minute.
    let (mut seq, mut ack) = (1_u32, 1);
    for _ in 0..1900 {
        let frame = Frame::server(seq, 5, ACK, &[1; 1000]);
        ack = seq + 1000;
        below(&mut gate, &frame);
        below(&mut gate, &Frame::client(5, ack, ACK, b""));
        seq += 1 << 20;
    }
    above(&mut gate, &Frame::client(5, ack, FIN | ACK, b""));
    above(&mut gate, &Frame::server(ack, 6, FIN | ACK, b""));
    above(&mut gate, &Frame::client(6, ack.wrapping_add(1), ACK, b""));
    assert_eq!(gate.finish().connections(Phase::Closed), 1);
}

#[test]
fn it_expires_when_it_has_been_silent_and_not_while_it_crosses() {
    let mut gate = shunted();
    let established = gate.worker.config().timeouts.established;
    let mut waited = Duration::ZERO;
    let mut seq = 1;
    while waited < 2 * established {
        below(&mut gate, &down(seq, 5, "."));
        seq += 1;
        gate.wait(established / 3);
        waited += established / 3;
    }
    assert_eq!(gate.counters().connections(Phase::Expired), 0);
    gate.wait(established);
    gate.wait(established / 2);
    assert_eq!((shunts(&mut gate), gate.counters().connections(Phase::Expired)), (0, 1));
    gate.finish();
}

#[test]
fn a_new_connection_between_the_same_ends_is_seen_from_its_syn_on() {
    // After a RST, and, where the end was not seen, once its SYN was accepted.
    let mut gate = shunted();
    above(&mut gate, &Frame::client(5, 1, RST, b""));
    gate.policy().on_data = Verdict::Accept;
    let ends = |frame: &Frame, shift: u32| {
        let mut frame = frame.clone();
        frame.seq = frame.seq.wrapping_add(shift);
        if frame.ack != 0 {
            frame.ack = frame.ack.wrapping_add(shift);
        }
        frame
    };
    for frame in handshake() {
        pass(&mut gate, &ends(&frame, 70_000));
    }
    pass(&mut gate, &ends(&up(1, 1, "seen"), 70_000));
    assert_eq!(gate.policy().streams.len(), 2);
    gate.finish();

    let mut gate = shunted();
    let syn = ends(&Frame::client(0, 0, SYN, b""), 70_000);
    above(&mut gate, &syn);
    let accepts = ends(&Frame::server(0, 1, SYN | ACK, b""), 70_000);
    assert_eq!(gate.put(&accepts), []);
    gate.wait(Duration::from_secs(1));
    pass(&mut gate, &syn);
    pass(&mut gate, &accepts);
    assert_eq!((shunts(&mut gate), gate.policy().opened), (0, 2));
    gate.finish();
}

#[test]
fn a_forged_syn_and_its_answer_do_not_end_one_that_lives() {
    let mut gate = shunted();
    let mut syn = Frame::client(0, 0, SYN, b"");
    syn.seq = syn.seq.wrapping_add(70_000);
    let mut accepts = Frame::server(0, 1, SYN | ACK, b"");
    accepts.ack = syn.seq.wrapping_add(1);
    above(&mut gate, &syn);
    assert_eq!(gate.put(&accepts), []);
    // The server challenges the SYN.
    below(&mut gate, &Frame::server(1, 5, ACK, b""));
    gate.wait(Duration::from_secs(1));
    above(&mut gate, &syn);
    assert_eq!((shunts(&mut gate), gate.policy().opened), (2, 1));
    gate.finish();
}

#[test]
fn with_a_gap_before_it_a_segment_is_waited_for() {
    let mut gate = Gate::editing(small());
    gate.establish();
    gate.policy().on_data = Verdict::Shunt;
    pass(&mut gate, &up(1, 1, "last"));
    gate.finish();

    let mut gate = Gate::new();
    gate.establish();
    // Before the gap is filled something waits to be shown.
    let early = up(5, 1, "early");
    gate.put(&early);
    gate.policy().on_packet = Verdict::Shunt;
    gate.put(&up(10, 1, "!"));
    assert_eq!(shunts(&mut gate), 0);
    gate.put(&up(1, 1, "fill"));
    assert_eq!(shunts(&mut gate), 2);
    assert_eq!(gate.policy().stream(Direction::ToServer), b"");
    gate.finish();
}

#[test]
fn without_room_it_stays_inspected_and_may_be_shunted_later() {
    let mut link = MemoryLink::new();
    *link.shunts() = Shunts::new(3);
    let mut gate = Gate::with_link(small(), link);
    gate.establish();
    let other = |frame: &Frame| frame.clone().between("198.18.0.9:4009", SERVER);
    for frame in handshake() {
        pass(&mut gate, &other(&frame));
    }
    gate.policy().on_data = Verdict::Shunt;
    pass(&mut gate, &up(1, 1, "one"));
    gate.policy().on_data = Verdict::Shunt;
    pass(&mut gate, &other(&up(1, 1, "two")));
    assert_eq!((shunts(&mut gate), refused(gate.counters(), Unshunted::Full)), (2, 1));
    gate.events();
    above(&mut gate, &other(&up(4, 1, "seen")));
    assert_eq!(gate.events(), ["packet up established", "data up seen"]);
    above(&mut gate, &Frame::client(4, 1, RST, b""));
    gate.policy().on_data = Verdict::Shunt;
    above(&mut gate, &other(&up(8, 1, "again")));
    below(&mut gate, &other(&up(13, 1, "unseen")));
    gate.finish();
}

#[test]
fn one_whose_bytes_were_changed_stays_inspected() {
    use tollgate_policy::{Data, Flow, Policy, Reports};
    struct Censor;
    impl Policy for Censor {
        fn interest(&self) -> Interest {
            Interest::RECEIVE_DATA | Interest::EDIT_DATA
        }
        fn receive_data(
            &mut self,
            _: &mut Flow<'_>,
            data: &mut Data<'_>,
            _: Direction,
            _: &mut Reports,
        ) -> Verdict {
            if data.offset() == 0 {
                data.replace(0..1, b"longer").unwrap();
            }
            Verdict::Shunt
        }
    }
    let mut worker = tollgate_engine::Worker::new(
        small(),
        MemoryLink::new(),
        Censor,
        tollgate_engine::Mesh::alone(),
    );
    let now = tollgate_wire::Timestamp::from_secs(1);
    for frame in handshake().iter().chain([&up(1, 1, "a"), &up(2, 1, "b")]) {
        worker.link_mut().inject(frame.port(), &frame.bytes());
        worker.poll(now);
    }
    assert_eq!(worker.counters().shunts.crossing, 0);
    assert!(refused(worker.counters(), Unshunted::Edited) >= 1);
}

#[test]
fn where_checksums_are_left_to_the_card_nobody_could_complete_them_below() {
    let mut gate = Gate::new();
    gate.establish();
    gate.policy().on_data = Verdict::Shunt;
    let frame = up(1, 1, "last");
    let mut bytes = frame.bytes();
    // The sum of the pseudo-header alone, not inverted.
    let words = bytes[26..34].chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let sum: u32 = words.map(u32::from).sum::<u32>() + 6 + 20 + 4;
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    bytes[50..52].copy_from_slice(&sum.to_be_bytes());
    gate.put_bytes(frame.port(), &bytes);
    assert_eq!((shunts(&mut gate), refused(gate.counters(), Unshunted::Checksums)), (0, 1));
    gate.finish();
}

#[test]
fn the_configuration_may_forbid_it_or_do_it_where_nobody_listens() {
    let mut gate = shunted_with(Config { shunt: Shunt::Never, ..small() });
    above(&mut gate, &up(5, 1, "seen"));
    assert_eq!(gate.policy().stream(Direction::ToServer), b"lastseen");
    assert_eq!(refused(gate.counters(), Unshunted::Never), 1);
    gate.finish();

    let ends = Interest::NEW_CONNECTION | Interest::END_CONNECTION;
    for (interest, shunts_itself) in [
        (Interest::empty(), true),
        (ends, true),
        (ends | Interest::RECEIVE_DATA, false),
        (ends | Interest::RECEIVE_PACKET, false),
        (ends | Interest::SEND_FRAME, false),
    ] {
        let mut gate = Gate::with(Config { shunt: Shunt::Unwatched, ..small() });
        let script = std::mem::take(gate.policy());
        gate.worker.replace_policy(Script { interest, ..script });
        gate.establish();
        pass(&mut gate, &up(1, 1, "a"));
        assert_eq!(shunts(&mut gate) > 0, shunts_itself, "{interest:?}");
        gate.finish();
    }
}

#[test]
fn who_was_let_go_by_rules_is_shunted_where_that_is_wanted() {
    let mut gate = Gate::with(Config { shunt: Shunt::Unwatched, ..small() });
    gate.establish();
    gate.policy().on_data = Verdict::Bypass;
    pass(&mut gate, &up(1, 1, "last"));
    below(&mut gate, &up(5, 1, "unseen"));
    gate.finish();
}

#[test]
fn a_rule_may_shunt_a_connection_at_its_first_packet() {
    let mut gate = Gate::new();
    gate.policy().on_new = Verdict::Shunt;
    gate.establish();
    pass(&mut gate, &up(1, 1, "unseen"));
    below(&mut gate, &up(7, 1, "unseen"));
    assert_eq!(gate.events(), ["new 198.18.0.1:4000 > 198.18.0.2:80"]);
    gate.finish();
}

fn is_rst(seen: &Seen) -> bool {
    seen.flags & RST != 0
}

#[test]
fn a_flood_of_a_refused_connection_is_dropped_without_being_received() {
    for verdict in [Verdict::Drop, Verdict::Reset] {
        let mut gate = Gate::new();
        gate.establish();
        gate.policy().on_data = verdict;
        gate.put(&up(1, 1, "bad"));
        let flood: Vec<_> = (0..1000).map(|_| up(4, 1, "flood")).collect();
        let answered: usize = flood.chunks(10).map(|some| gate.put_all(some).len()).sum();
        assert_eq!(answered, if verdict == Verdict::Reset { 4 } else { 0 });
        assert_eq!(shunts(&mut gate), 2);
        let seen = received(&gate);
        assert!(seen < 40, "{seen} were received");
        // Once in a while one is, and is answered.
        gate.wait(Duration::from_secs(1));
        let answers = gate.put_all(&flood);
        assert_eq!(received(&gate), seen + 1);
        assert_eq!(answers.iter().filter(|seen| is_rst(seen)).count(), answers.len());
        assert_eq!(answers.len(), usize::from(verdict == Verdict::Reset));
        // A flood keeps the record, and silence ends it.
        let zombie = gate.worker.config().timeouts.zombie;
        for _ in 0..3 {
            gate.put(&flood[0]);
            gate.wait(zombie / 2);
        }
        assert_eq!(shunts(&mut gate), 2);
        gate.wait(zombie);
        gate.wait(zombie);
        assert_eq!(shunts(&mut gate), 0);
        let counters = gate.finish();
        let over = counters.dropped_for(Reason::Cause(Cause::ConnectionOver));
        assert_eq!(over + counters.shunts.dropped, 2003);
    }
}

#[test]
fn a_flood_of_a_connection_that_was_refused_at_its_syn_is_dropped_too() {
    let mut gate = Gate::new();
    gate.policy().on_new = Verdict::Drop;
    gate.put(&Frame::client(0, 0, SYN, b""));
    for _ in 0..100 {
        gate.put(&up(1, 1, "flood"));
    }
    assert_eq!((shunts(&mut gate), gate.counters().shunts.dropping), (2, 1));
    assert!(received(&gate) < 20);
    gate.wait(Duration::from_secs(200));
    gate.wait(Duration::from_secs(200));
    assert_eq!(shunts(&mut gate), 0);
    assert!(gate.finish().shunts.dropped > 80);
}

#[test]
fn what_somebody_takes_out_is_received_again_and_crosses() {
    let mut gate = shunted();
    *gate.worker.link_mut().shunts() = Shunts::new(10);
    above(&mut gate, &up(5, 1, "on"));
    above(&mut gate, &Frame::client(7, 1, FIN | ACK, b""));
    above(&mut gate, &down(1, 8, "rest"));
    above(&mut gate, &Frame::server(5, 8, FIN | ACK, b""));
    above(&mut gate, &Frame::client(8, 6, ACK, b""));
    assert_eq!(gate.finish().connections(Phase::Closed), 1);
}

#[test]
fn with_ipv6_and_tags_it_is_the_same() {
    for (client, server, vlans) in [
        ("[fd00::1]:4000", "[fd00::2]:80", vec![]),
        ("198.18.0.1:4000", "198.18.0.2:80", vec![7]),
        ("[fd00::1]:4000", "[fd00::2]:80", vec![7, 9]),
    ] {
        let dressed = |frame: Frame| {
            let mut frame = frame.between(client, server);
            frame.vlans.clone_from(&vlans);
            frame
        };
        let mut gate = Gate::new();
        for frame in handshake() {
            pass(&mut gate, &dressed(frame));
        }
        gate.policy().on_data = Verdict::Shunt;
        pass(&mut gate, &dressed(up(1, 1, "last")));
        below(&mut gate, &dressed(down(1, 5, "answer")));
        above(&mut gate, &dressed(Frame::client(5, 7, FIN | ACK, b"")));
        above(&mut gate, &dressed(Frame::server(7, 6, FIN | ACK, b"")));
        above(&mut gate, &dressed(Frame::client(6, 8, ACK, b"")));
        assert_eq!(gate.finish().connections(Phase::Closed), 1);
    }
}

/// A link that cannot: the same packets cross, and are counted the same.
#[test]
fn where_the_link_cannot_it_crosses_from_here() {
    use tollgate_link::fault::{Fault, Faults};
    let link = Fault::new(MemoryLink::new(), Faults::default(), 1);
    let config = Config { shunt: Shunt::Unwatched, ..small() };
    let mesh = tollgate_engine::Mesh::alone();
    let mut worker = tollgate_engine::Worker::new(config, link, AcceptAll, mesh);
    let now = tollgate_wire::Timestamp::from_secs(1);
    let rest = [
        up(1, 1, "a"),
        down(1, 2, "bc"),
        // Nobody judges what crosses.
        down(60_000, 9000, "wild"),
        Frame::client(2, 3, FIN | ACK, b""),
        Frame::server(3, 3, FIN | ACK, b""),
        Frame::client(3, 4, ACK, b""),
    ];
    for frame in handshake().iter().chain(&rest) {
        worker.link_mut().inner_mut().inject(frame.port(), &frame.bytes());
        worker.poll(now);
        let port = frame.port().peer();
        assert_eq!(worker.link_mut().inner_mut().sent(port), [frame.bytes()]);
    }
    let counters = worker.counters();
    assert_eq!(counters.connections(Phase::Closed), 1);
    assert_eq!((counters.shunts.crossing, counters.shunts.above, counters.shunts.below), (1, 5, 0));
}

/// Rules that look at no packets have most of them take the short way.
#[test]
fn a_verdict_on_the_short_way_is_the_same() {
    let mut gate = Gate::new();
    let interest = Interest::NEW_CONNECTION | Interest::RECEIVE_DATA | Interest::END_CONNECTION;
    gate.worker.replace_policy(Script { interest, ..Script::default() });
    gate.establish();
    for seq in 1..=300 {
        above(&mut gate, &up(seq, 1, "."));
    }
    gate.policy().on_data = Verdict::Shunt;
    above(&mut gate, &up(301, 1, "last"));
    assert_eq!((shunts(&mut gate), gate.worker.gauges().shunted), (2, 1));
    below(&mut gate, &up(305, 1, "unseen"));
    above(&mut gate, &Frame::client(311, 1, FIN | ACK, b""));
    above(&mut gate, &Frame::server(1, 312, FIN | ACK, b""));
    above(&mut gate, &Frame::client(312, 2, ACK, b""));
    assert_eq!(gate.policy().stream(Direction::ToServer).len(), 304);
    assert_eq!(gate.finish().connections(Phase::Closed), 1);
}
