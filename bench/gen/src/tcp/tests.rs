//! Against wires in memory: a good one, bad ones, and one that lies.

use tollgate_link::{Port, memory::MemoryLink};

use super::*;
use crate::ends::Mishaps;

fn load() -> Load {
    let script = Script {
        request: 100,
        response: 5000,
        exchanges: 3,
        mss: 1460,
        window: 14_600,
        ack_every: 2,
        by_hand: false,
        echo: false,
    };
    Load {
        script,
        flows: 50,
        connections_max: 200,
        open_rate: 0,
        in_flight_max: 500,
        repeat_ms: 20,
        together: false,
        first: 0,
    }
}

fn addresses(ipv6: bool) -> Addresses {
    Addresses { ipv6, server_port: 80, client_mac: [2; 6], server_mac: [4; 6] }
}

/// Runs until nothing is left, or for ten simulated seconds; `wire` sees each frame that crosses and says
/// whether it arrives.
fn run(
    load: Load,
    mishaps: Mishaps,
    ipv6: bool,
    mut wire: impl FnMut(Port, &mut Vec<u8>) -> bool,
) -> (Tally, u32) {
    let mut ends = Ends::new(MemoryLink::new(), mishaps, 5);
    let mut connections = Connections::new(load, addresses(ipv6), 5);
    for turn in 0..100_000 {
        connections.turn(&mut ends, || turn * 100_000);
        for port in Port::BOTH {
            for mut frame in ends.link().sent(port) {
                if wire(port, &mut frame) {
                    assert!(ends.link().inject(port.peer(), &frame));
                }
            }
        }
        if connections.is_done() {
            break;
        }
    }
    assert!(ends.link().outstanding() <= 8, "frames are given back, but for the reordered");
    (connections.tally().clone(), connections.live())
}

/// What 200 connections deliver: requests, answers, and the SYN and FIN of each end.
const DELIVERED: [u64; 2] = [200 * (3 * 5000 + 2), 200 * (3 * 100 + 2)];

#[test]
fn on_a_good_wire_every_connection_completes_and_nothing_is_repeated() {
    for ipv6 in [false, true] {
        let (tally, live) = run(load(), Mishaps::default(), ipv6, |_, _| true);
        assert_eq!((tally.opened, tally.established, tally.completed, live), (200, 200, 200, 0));
        assert_eq!((tally.repeated, tally.duplicate, tally.reset, tally.timed_out), (0, 0, 0, 0));
        assert_eq!(tally.delivered, DELIVERED);
        assert!(tally.is_clean(), "{tally:?}");
    }
}

#[test]
fn five_thousand_are_open_together_before_the_first_speaks() {
    let flows = 5_000;
    let connections_max = u64::from(flows);
    let (mut open, mut spoke_early) = (0, 0);
    let addresses = addresses(false);
    let many = Load { flows, connections_max, together: true, ..load() };
    let (tally, live) = run(many, Mishaps::default(), false, |_, frame| {
        let seen = frame::read(&addresses, frame).expect("ours");
        open += u32::from(seen.segment.flags == SYN | ACK);
        spoke_early += u32::from(!seen.payload.is_empty() && open < flows);
        true
    });
    assert_eq!((tally.most_open, tally.completed, live), (flows, connections_max, 0));
    assert_eq!(spoke_early, 0);
}

#[test]
fn losses_and_reordering_are_mended() {
    let mishaps = Mishaps { loss: 3.0, reorder: 5.0 };
    let (tally, live) = run(load(), mishaps, false, |_, _| true);
    assert_eq!((tally.completed, live, tally.timed_out), (200, 0, 0));
    assert_eq!(tally.delivered, DELIVERED);
    assert!(tally.repeated > 0, "{tally:?}");
    assert!(tally.is_clean(), "{tally:?}");
}

#[test]
fn a_wire_that_delivers_nothing_is_given_up() {
    let few = Load { connections_max: 50, ..load() };
    let (tally, live) = run(few, Mishaps::default(), false, |_, _| false);
    assert_eq!((tally.completed, tally.timed_out, live), (0, 50, 0));
}

#[test]
fn a_byte_changed_under_a_right_checksum_is_noticed() {
    let mut count = 0;
    // Two words exchanged: the sum stays as it was.
    let (tally, _) = run(load(), Mishaps::default(), false, |_, frame| {
        count += 1;
        if frame.len() > 1000 && count % 50 == 0 {
            frame.swap(100, 102);
            frame.swap(101, 103);
        }
        true
    });
    assert!(tally.changed > 0);
    assert_eq!(tally.broken, 0);
}

#[test]
fn an_acknowledgment_of_what_never_arrived_is_noticed() {
    let addresses = addresses(false);
    let mut told = false;
    let (tally, _) = run(load(), Mishaps::default(), false, |_, frame| {
        let seen = frame::read(&addresses, frame).expect("ours");
        if told || !seen.payload.is_empty() || seen.segment.flags != ACK {
            return true;
        }
        told = true;
        let lie = Segment { ack: seen.segment.ack + 100_000, ..seen.segment };
        frame::write(frame, &addresses, lie, &[], None);
        true
    });
    assert_eq!(tally.invented, 1);
}

#[test]
fn a_reset_ends_its_connection_only() {
    let addresses = addresses(false);
    let mut told = false;
    let (tally, live) = run(load(), Mishaps::default(), false, |_, frame| {
        let seen = frame::read(&addresses, frame).expect("ours");
        if !told && seen.payload.len() > 100 {
            told = true;
            let rst = Segment { flags: RST | ACK, ..seen.segment };
            frame.truncate(frame::len(&addresses, RST, 0));
            frame::write(frame, &addresses, rst, &[], None);
        }
        true
    });
    assert_eq!((tally.reset, tally.completed, live), (1, 199, 0));
}

#[test]
fn who_stops_early_closes_what_is_open() {
    let mut endless = load();
    endless.script.exchanges = 100_000;
    endless.connections_max = 0;
    let mut ends = Ends::new(MemoryLink::new(), Mishaps::default(), 5);
    let mut connections = Connections::new(endless, addresses(false), 5);
    for turn in 0..20_000 {
        connections.turn(&mut ends, || turn * 100_000);
        if turn == 500 {
            assert_eq!(connections.live(), 50);
            assert_eq!(connections.tally().completed, 0);
            connections.close();
        }
        for port in Port::BOTH {
            for frame in ends.link().sent(port) {
                ends.link().inject(port.peer(), &frame);
            }
        }
    }
    assert_eq!((connections.live(), connections.tally().completed), (0, 50));
    assert!(connections.tally().is_clean());
}

#[test]
fn stamps_come_back_and_say_how_long_they_were_away() {
    let mut by_hand = load();
    by_hand.script.by_hand = true;
    by_hand.script.echo = true;
    by_hand.connections_max = 50;
    let mut ends = Ends::new(MemoryLink::new(), Mishaps::default(), 5);
    let mut connections = Connections::new(by_hand, addresses(false), 5);
    let mut pushed = 0;
    for turn in 0..1000_u32 {
        let now_ns = u64::from(turn) * 10_000;
        connections.turn(&mut ends, || now_ns);
        if connections.tally().established == 50 && pushed < 100 {
            assert!(connections.push(&mut ends, turn % 50, Port::A, 20, now_ns));
            pushed += 1;
        }
        ends.flush();
        for port in Port::BOTH {
            for frame in ends.link().sent(port) {
                ends.link().inject(port.peer(), &frame);
            }
        }
    }
    let tally = connections.tally();
    assert_eq!((tally.one_way_ns.len(), tally.round_trip_ns.len()), (100, 100));
    assert!((9_000..11_000).contains(&tally.one_way_ns.value_at_quantile(0.5)));
    assert!((19_000..21_000).contains(&tally.round_trip_ns.value_at_quantile(0.5)));
    assert!(tally.is_clean(), "{tally:?}");
}
