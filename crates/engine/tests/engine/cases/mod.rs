//! The 141 cases of the inline normaliser, each through a whole worker, both columns: what the rules
//! see and what the wire gets.
//!
//! Cases whose arrival is in the regular notation (`C[1,5)AAAA; …`) are read from the table; the
//! others are scripts, by the number of the case.

mod abuse;
mod close;
mod control;
mod data;
mod limits;
mod open;
mod regular;

use std::collections::BTreeSet;
use std::panic::catch_unwind;

use serde_json::Value;
use tollgate_policy::Report;
use tollgate_wire::Direction;

use crate::common::{ACK, Frame, Gate, PSH, SYN, Seen};

const CASES: &str = include_str!("../../data/CASES_inline_normaliser.json");

/// A case by its number.
type Script = (&'static str, fn());

/// Cases that one worker cannot show, and the tests that do: file, its text, and the tests' names.
///
/// H05, a verdict that never comes: a rule answers within the call, so the worker waits for it. What
/// bounds the wait of one connection is the bound on a script's instructions, after which it is dropped or
/// passed as configured. If the whole process hangs, there is no verdict for anybody, and the steering
/// program lets all cross after some milliseconds, or nothing.
const ELSEWHERE: [(&str, &str, &[&str]); 3] = [
    (
        "H05",
        include_str!("../../../../script/tests/limits.rs"),
        &["an_endless_loop_ends_however_it_is_wrapped", "an_endless_rule_may_be_passed_over"],
    ),
    (
        "H05",
        include_str!("../../../../cli/tests/live/hang.rs"),
        &["transfers_go_on_through_and_after_hangs_of_the_program"],
    ),
    (
        "H05",
        include_str!("../../../../link/tests/xsk/stalls.rs"),
        &[
            "a_hung_worker_is_bypassed_and_its_stale_frames_go_nowhere",
            "failing_closed_a_hung_worker_keeps_its_frames",
        ],
    ),
];

#[test]
fn every_case_of_the_table_holds() {
    let table: Value = serde_json::from_str(CASES).unwrap();
    let cases = table.as_array().unwrap();
    assert_eq!(cases.len(), 141);
    let scripts: Vec<Script> = [
        data::SCRIPTS,
        abuse::SCRIPTS,
        open::SCRIPTS,
        control::SCRIPTS,
        close::SCRIPTS,
        limits::SCRIPTS,
        crate::edits::cases::SCRIPTS,
    ]
    .concat();
    let (mut failed, mut seen) = (Vec::new(), BTreeSet::new());
    for case in cases {
        let id = case["id"].as_str().unwrap();
        seen.insert(id);
        let held = if ELSEWHERE.iter().any(|(other, ..)| *other == id) {
            let mut tests = ELSEWHERE.iter().filter(|(other, ..)| *other == id);
            tests.all(|(_, file, names)| {
                names.iter().all(|name| file.contains(&format!("#[test]\nfn {name}()")))
            })
        } else if let Some((_, script)) = scripts.iter().find(|(other, _)| *other == id) {
            catch_unwind(script).is_ok()
        } else {
            catch_unwind(|| regular::run(case)).is_ok()
        };
        if !held {
            failed.push(id);
        }
    }
    assert!(failed.is_empty(), "these cases do not hold: {failed:?}");
    assert!(scripts.iter().all(|(id, _)| seen.contains(id)), "a script of no case");
}

fn established() -> Gate {
    let mut gate = Gate::new();
    gate.establish();
    gate
}

/// Data of the client, with the right ACK while the server has sent nothing.
fn c(seq: u32, bytes: &str) -> Frame {
    Frame::client(seq, 1, PSH | ACK, bytes.as_bytes())
}

/// Data of the server, likewise.
fn s(seq: u32, bytes: &str) -> Frame {
    Frame::server(seq, 1, PSH | ACK, bytes.as_bytes())
}

/// An ACK of the server.
fn acks(ack: u32) -> Frame {
    Frame::server(1, ack, ACK, b"")
}

#[track_caller]
fn pass(gate: &mut Gate, frame: &Frame) {
    assert_eq!(gate.put(frame), [frame.crossed()]);
}

#[track_caller]
fn pass_all(gate: &mut Gate, frames: &[Frame]) {
    for frame in frames {
        pass(gate, frame);
    }
}

/// Nothing leaves: it is dropped, or waits.
#[track_caller]
fn stay(gate: &mut Gate, frame: &Frame) {
    assert_eq!(gate.put(frame), []);
}

/// It leaves with these bytes instead of its own, all else equal.
#[track_caller]
fn leave(gate: &mut Gate, frame: &Frame, bytes: &str) {
    assert_eq!(gate.put(frame), [with(frame, bytes)]);
}

fn with(frame: &Frame, bytes: &str) -> Seen {
    Seen { payload: bytes.as_bytes().to_vec(), ..frame.crossed() }
}

/// What the rules saw of the client's stream.
fn up(gate: &mut Gate) -> String {
    String::from_utf8_lossy(gate.policy().stream(Direction::ToServer)).into_owned()
}

/// What they saw of the server's.
fn down(gate: &mut Gate) -> String {
    String::from_utf8_lossy(gate.policy().stream(Direction::ToClient)).into_owned()
}

/// Alerts of the engine's own that nobody has fetched yet.
fn alerts(gate: &mut Gate) -> usize {
    gate.worker.reports().drain().filter(|report| matches!(report, Report::Alert(_))).count()
}

/// NOP, NOP, timestamps.
fn stamp(frame: Frame, value: u32, echo: u32) -> Frame {
    let mut options = vec![1, 1, 8, 10];
    options.extend(value.to_be_bytes());
    options.extend(echo.to_be_bytes());
    Frame { options, ..frame }
}

/// Both sides have timestamps, the client's last is 1000, the server's 2000.
fn established_with_timestamps() -> Gate {
    let mut gate = Gate::new();
    let [syn, syn_ack, ack] = crate::common::handshake();
    for frame in [stamp(syn, 1000, 0), stamp(syn_ack, 2000, 1000), stamp(ack, 1000, 2000)] {
        pass(&mut gate, &frame);
    }
    gate
}

/// A signature, as no one has agreed on.
fn signed(frame: Frame) -> Frame {
    Frame { options: [&[19, 18][..], &[7; 16], &[1, 1]].concat(), ..frame }
}

/// The frame with a bit of its payload, or of its TCP header, turned.
fn damaged(frame: &Frame) -> Vec<u8> {
    let mut bytes = frame.bytes();
    let at = 14 + 20 + 18 + usize::from(!frame.payload.is_empty()) * 2;
    bytes[at] ^= 1;
    bytes
}

/// The connection as if the client had begun at `isn`.
fn rebase(frame: &Frame, isn: u32) -> Frame {
    let shift = isn.wrapping_sub(crate::common::CLIENT_ISN);
    let mut frame = frame.clone();
    if frame.from_client {
        frame.seq = frame.seq.wrapping_add(shift);
    } else if frame.flags & ACK != 0 {
        frame.ack = frame.ack.wrapping_add(shift);
    }
    frame
}

/// A handshake whose SYN-ACK offers `window` bytes, and the frames after it no more.
fn established_with_window(window: u16) -> Gate {
    let mut gate = Gate::new();
    let [syn, syn_ack, ack] = crate::common::handshake();
    pass_all(&mut gate, &[syn, Frame { window, ..syn_ack }, ack]);
    gate
}

const SYN_ACK: u8 = SYN | ACK;
