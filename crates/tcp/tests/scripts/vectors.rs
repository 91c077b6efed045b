//! Every way in which two or three segments can overlap (Allen's relations: 13 pairs, 409 triplets),
//! behind a hole and in order: a rule sees the first copy of each byte, and so does a receiver of
//! any taste.

use serde_json::Value;
use tollgate_tcp::Gap;

use crate::support::{C, ENDS, Fate, Gate, Packet, established};

const VECTORS: &str = include_str!("../data/VECTORS_allen_pairs_triplets.json");

fn arrivals(case: &Value) -> Vec<(u32, String)> {
    let number = |value: &Value, key| usize::try_from(value[key].as_u64().unwrap()).unwrap();
    let one = |piece: &Value| {
        let fill = piece["fill"].as_str().unwrap().repeat(number(piece, "len"));
        (u32::try_from(number(piece, "off")).unwrap(), fill)
    };
    case["arrival"].as_array().unwrap().iter().map(one).collect()
}

/// What receivers that prefer the first and the last copy read of what left.
fn receivers(left: &[Packet], start: u32, len: usize) -> [Vec<u8>; 2] {
    let mut read = [vec![b'?'; len], vec![b'?'; len]];
    for packet in left {
        for (offset, &byte) in packet.bytes.iter().enumerate() {
            let at = packet.seq.wrapping_sub(start) as usize + offset;
            if read[0][at] == b'?' {
                read[0][at] = byte;
            }
            read[1][at] = byte;
        }
    }
    read
}

fn run(gate: &mut Gate, packets: impl IntoIterator<Item = Packet>) -> Vec<Packet> {
    let mut left = Vec::new();
    for packet in packets {
        match gate.packet(packet) {
            Fate::Left(packets) => left.extend(packets),
            Fate::Early(packet) => left.push(packet),
            Fate::Held | Fate::Redundant => {}
            other => panic!("{other:?}"),
        }
    }
    left
}

#[test]
fn all_422_overlaps_behind_a_hole_give_the_first_bytes_to_the_rule_and_to_the_receiver() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 422);
    for (case, gap) in cases.iter().flat_map(|case| [(case, Gap::Hold), (case, Gap::Forward)]) {
        let first_wins = case["first_wins"].as_str().unwrap();
        let mut gate = established();
        gate.gap = gap;
        // Byte 1 is the hole, which comes last; a byte that no segment brings is sent then, too.
        let mut packets: Vec<Packet> =
            arrivals(case).iter().map(|(off, fill)| ENDS.c(2 + off, fill)).collect();
        packets.push(ENDS.c(1, "_"));
        for (offset, byte) in (2..).zip(first_wins.bytes()) {
            if byte == b'.' {
                packets.push(ENDS.c(offset, "."));
            }
        }
        let left = run(&mut gate, packets);
        let expected = format!("_{first_wins}");
        assert_eq!(gate.shown(C), expected, "{}", case["id"]);
        for read in receivers(&left, ENDS.client + 1, expected.len()) {
            assert_eq!(String::from_utf8(read).unwrap(), expected, "{}", case["id"]);
        }
    }
}

#[test]
fn all_422_overlaps_in_order_give_the_first_bytes_to_the_rule_and_to_the_receiver() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    for case in vectors["cases"].as_array().unwrap() {
        let first_wins = case["first_wins"].as_str().unwrap();
        let mut gate = established();
        let mut packets: Vec<Packet> =
            arrivals(case).iter().map(|(off, fill)| ENDS.c(1 + off, fill)).collect();
        for (offset, byte) in (1..).zip(first_wins.bytes()) {
            if byte == b'.' {
                packets.push(ENDS.c(offset, "."));
            }
        }
        let left = run(&mut gate, packets);
        assert_eq!(gate.shown(C), first_wins, "{}", case["id"]);
        for read in receivers(&left, ENDS.client + 1, first_wins.len()) {
            assert_eq!(String::from_utf8(read).unwrap(), first_wins, "{}", case["id"]);
        }
    }
}
