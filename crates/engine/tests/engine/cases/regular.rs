//! Cases that are a list of segments: `C[5,9)BBBB; C[1,5)AAAA`.

use serde_json::Value;

use super::{alerts, c, established, s, up};
use crate::common::{FIN, Frame, Gate, Seen};
use tollgate_link::Port;

pub(super) fn run(case: &Value) {
    let text = |key: &str| case[key].as_str().unwrap();
    let (frames, filled) = arrivals(text("arrival"));
    let mut gate = established();
    let mut left = Vec::new();
    for frame in &frames {
        if text("inspector").contains("only after 2nd arrival") {
            assert_eq!(up(&mut gate), "", "rules, before it");
        }
        left.extend(gate.put(frame));
    }
    let (start, end) = extent(&frames);
    if filled && start > 1 {
        let fill = c(1, &".".repeat(start as usize - 1));
        left.extend(gate.put(&fill));
    }
    let expected = inspector(text("inspector"), if filled { start - 1 } else { 0 }, &frames[0]);
    assert_eq!(expected.len(), end as usize - 1, "the case says what is seen of each byte");
    assert_eq!(up(&mut gate), expected, "rules");
    if text("wire").contains("no alert") {
        assert_eq!(alerts(&mut gate), 0);
    }
    check_wire(&left, &frames, text("wire"), &expected);
    assert_eq!(gate.finish().dropped(), 0, "every copy leaves");
}

/// What receivers that prefer the first and the last copy of a byte read, and the copies by name.
fn check_wire(left: &[Seen], frames: &[Frame], wire: &str, expected: &str) {
    let mut receivers = [vec![b'?'; expected.len()], vec![b'?'; expected.len()]];
    for seen in left {
        assert_eq!(seen.port, Port::B);
        let start = (seen.seq - crate::common::CLIENT_ISN - 1) as usize;
        for (at, &byte) in seen.payload.iter().enumerate() {
            let [first, last] = &mut receivers;
            if first[start + at] == b'?' {
                first[start + at] = byte;
            }
            last[start + at] = byte;
        }
    }
    for read in receivers {
        assert_eq!(String::from_utf8(read).unwrap(), expected, "a receiver");
    }
    // "2nd rewritten [4,8)->AABB", "2nd->AB 3rd->ABC", "3rd -> BB"
    let words = wire.replace("->", " -> ");
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut number = None;
    for (at, word) in words.iter().enumerate() {
        number = ["1st", "2nd", "3rd"].iter().position(|name| name == word).or(number);
        let becomes = words.get(at + 1).map(|word| word.trim_end_matches(';'));
        if let ("->", Some(index), Some(becomes)) = (*word, number, becomes) {
            let copy = Seen { payload: becomes.as_bytes().to_vec(), ..frames[index].crossed() };
            assert!(left.contains(&copy), "{word} {becomes} of {wire}: {left:?}");
        }
    }
    if ["forwarded", "byte-identical", "unchanged"].iter().any(|word| wire.contains(word))
        && !wire.contains("may be")
    {
        let crossed: Vec<Seen> = frames.iter().map(Frame::crossed).collect();
        assert_eq!(left, crossed, "all leave as they came");
    }
}

fn arrivals(text: &str) -> (Vec<Frame>, bool) {
    let mut frames = Vec::new();
    let mut filled = false;
    for step in text.split(';').map(str::trim) {
        // Remarks that change nothing: nothing is acknowledged unless the case says so.
        let step = step
            .trim_end_matches(" (no ACK yet)")
            .trim_end_matches(" forwarded, unacked")
            .trim_end_matches(" lost after us");
        if step.starts_with("fill") || step.starts_with("then fill") {
            filled = true;
            continue;
        }
        let (side, rest) = step.split_once('[').unwrap();
        let (start, rest) = rest.split_once(',').unwrap();
        let (end, rest) = rest.split_once(')').unwrap();
        let [start, end] = [start, end].map(|number| number.parse::<u32>().unwrap());
        let (bytes, fin) =
            rest.split_once("+FIN").map_or((rest, false), |(bytes, _)| (bytes, true));
        let len = (end - start) as usize;
        // "A" stands for as many as there are.
        let bytes = if bytes.len() == 1 { bytes.repeat(len) } else { bytes.to_owned() };
        assert_eq!(bytes.len(), len, "{step}");
        let mut frame = if side == "C" { c(start, &bytes) } else { s(start, &bytes) };
        frame.flags |= if fin { FIN } else { 0 };
        frames.push(frame);
    }
    (frames, filled)
}

/// The first and the last byte's number that segments bring.
fn extent(frames: &[Frame]) -> (u32, u32) {
    let starts = frames.iter().map(|frame| frame.seq - crate::common::CLIENT_ISN);
    let ends = starts.clone().zip(frames).map(|(start, frame)| start + frame.payload.len() as u32);
    (starts.min().unwrap(), ends.max().unwrap())
}

fn inspector(text: &str, fill: u32, first: &Frame) -> String {
    if text == "once" {
        return String::from_utf8(first.payload.clone()).unwrap();
    }
    let bytes = text.trim_start_matches("fill + ").split_whitespace().next().unwrap();
    ".".repeat(fill as usize) + bytes
}

/// The helper of the helpers: a case that cannot be read must not pass by chance.
#[test]
#[should_panic(expected = "called `Option::unwrap()`")]
fn a_case_in_other_notation_is_no_regular_one() {
    arrivals("SYN; SYN-ACK");
}

#[test]
fn the_422_overlaps_are_read_alike_by_rules_and_receivers_in_both_contexts() {
    const VECTORS: &str =
        include_str!("../../../../tcp/tests/data/VECTORS_allen_pairs_triplets.json");
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 422);
    for case in cases {
        for hole in [0, 1] {
            overlap(case, hole);
        }
    }
}

fn overlap(case: &Value, hole: u32) {
    let wins = case["first_wins"].as_str().unwrap();
    let mut gate: Gate = established();
    let mut frames: Vec<Frame> = case["arrival"]
        .as_array()
        .unwrap()
        .iter()
        .map(|piece| {
            let number = |key: &str| piece[key].as_u64().unwrap() as u32;
            let fill = piece["fill"].as_str().unwrap().repeat(number("len") as usize);
            c(1 + hole + number("off"), &fill)
        })
        .collect();
    if hole == 1 {
        frames.push(c(1, "_"));
    }
    // Bytes that no segment brings.
    let missing = (0..).zip(wins.bytes()).filter(|(_, byte)| *byte == b'.');
    frames.extend(missing.map(|(offset, _)| c(1 + hole + offset, ".")));
    let left: Vec<Seen> = frames.iter().flat_map(|frame| gate.put(frame)).collect();
    let expected = "_".repeat(hole as usize) + wins;
    assert_eq!(up(&mut gate), expected, "{}", case["id"]);
    check_wire(&left, &frames, "", &expected);
    gate.finish();
}
