//! Whatever is sent, receivers of every taste read what a rule saw (N12), and what left, sent through
//! a second gate, leaves it unchanged (N11).

use std::collections::BTreeMap;

use proptest::prelude::*;
use tollgate_wire::Flags;

use crate::support::{C, ENDS, Fate, Gate, Packet, S, cases, established, gaps};

#[derive(Clone, Debug)]
enum Event {
    /// Offset, length, FIN.
    Data(u32, usize, bool),
    /// The server acknowledges this share, of 8, of what it was sent.
    Ack(u32),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let data = (0..80_u32, 0..16_usize, prop::bool::weighted(0.03))
        .prop_map(|(offset, len, fin)| Event::Data(offset, len, fin));
    let event = prop_oneof![6 => data, 1 => (0..=8_u32).prop_map(Event::Ack)];
    prop::collection::vec(event, 1..80)
}

/// What receivers make of a sequence of segments, with the end of stream if they saw one.
fn receivers(left: &[Packet]) -> [(Vec<u8>, Option<usize>); 2] {
    let mut maps = [BTreeMap::new(), BTreeMap::new()];
    let mut fins = [None, None];
    for packet in left {
        let start = (packet.seq - ENDS.client - 1) as usize;
        for (position, &byte) in (start..).zip(&packet.bytes) {
            maps[0].entry(position).or_insert(byte);
            maps[1].insert(position, byte);
        }
        if packet.flags.contains(Flags::FIN) {
            let end = start + packet.bytes.len();
            fins = [fins[0].or(Some(end)), Some(end)];
        }
    }
    let read = |map: &BTreeMap<usize, u8>| (0..).map_while(|at| map.get(&at).copied()).collect();
    [(read(&maps[0]), fins[0]), (read(&maps[1]), fins[1])]
}

/// Plays `events`, and gives back what left towards the server.
fn play(gate: &mut Gate, events: &[Event]) -> Vec<Packet> {
    let mut left = Vec::new();
    for (event, fill) in events.iter().zip((b'A'..=b'z').cycle()) {
        let packet = match *event {
            Event::Data(offset, len, fin) => {
                let text = char::from(fill).to_string().repeat(len);
                let packet = ENDS.c(1 + offset, &text);
                if fin { packet.fin() } else { packet }
            }
            Event::Ack(share) => {
                let edge = gate.open().tracker.edge(C).0 - ENDS.client - 1;
                ENDS.ack(S, 1, 1 + edge * share / 8)
            }
        };
        let to_server = packet.direction == C;
        match gate.packet(packet) {
            Fate::Left(packets) => left.extend(packets.into_iter().filter(|_| to_server)),
            Fate::Early(packet) => left.push(packet),
            _ => {}
        }
    }
    left
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn receivers_of_every_taste_read_what_the_rule_saw(events in events(), gap in gaps()) {
        let mut gate = established();
        gate.gap = gap;
        let left = play(&mut gate, &events);
        let stream = &gate.open().streams[C];
        let first_fin = receivers(&left)[0].1;
        for (read, fin) in receivers(&left) {
            prop_assert_eq!(&read, &stream.shown);
            // A FIN beyond a gap ends nothing yet, and it stays where it is.
            let reached = fin.filter(|fin| *fin <= read.len());
            prop_assert_eq!(reached, stream.ended.then_some(stream.shown.len()));
            prop_assert_eq!(fin, first_fin);
        }
    }

    #[test]
    fn a_second_gate_changes_nothing(events in events(), gap in gaps()) {
        let mut gate = established();
        let mut second = established();
        (gate.gap, second.gap) = (gap, gap);
        for packet in play(&mut gate, &events) {
            match second.packet(packet.clone()) {
                Fate::Left(left) => prop_assert_eq!(left, [packet]),
                Fate::Early(left) => prop_assert_eq!(left, packet),
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(gate.shown(C), second.shown(C));
    }
}
