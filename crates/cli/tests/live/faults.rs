//! What goes wrong at the start is said, with what to do, and leaves nothing attached.

use crate::lab::{Lab, Options, Side};
use crate::program::{Ended, Program};
use crate::rules;

/// The message names every one of `words`, and the exit code is 1.
fn refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "no \"{word}\" in: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

fn try_to_start(lab: &Lab) -> Ended {
    Program::spawn(lab, rules::ACCEPT, 1, &["--metrics", "off"]).wait()
}

#[test]
fn a_second_start_is_told_who_holds_the_interface() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    let first = Program::start(&lab, rules::ACCEPT, 1);
    let holder = first.id().to_string();
    refused(&try_to_start(&lab), &["a0", &holder]);
    // And the first one was not disturbed.
    let ping = ["ping", "-c", "2", "-i", "0.1", "-W", "2", "198.18.20.1"];
    lab.run(Side::Client, &ping);
    assert_eq!(first.stop().code, Some(0));
}

#[test]
fn unequal_mtus_are_refused() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    lab.run(Side::Gate, &["ip", "link", "set", "b0", "mtu", "1400"]);
    refused(&try_to_start(&lab), &["a0", "b0", "1500", "1400"]);
}

#[test]
fn a_missing_interface_is_named() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    lab.run(Side::Gate, &["ip", "link", "delete", "b0"]);
    refused(&try_to_start(&lab), &["b0"]);
    let left = lab.run(Side::Gate, &["ip", "link", "show", "a0"]);
    assert!(!left.contains("xdp"), "nothing stays attached: {left}");
}

#[test]
fn an_interface_that_goes_away_ends_it_and_is_named() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    let program = Program::start(&lab, rules::ACCEPT, 1);
    lab.run(Side::Gate, &["ip", "link", "delete", "b0"]);
    refused(&program.wait(), &["b0 is gone", "start again"]);
    let left = lab.run(Side::Gate, &["ip", "link", "show", "a0"]);
    assert!(!left.contains("xdp"), "nothing stays attached: {left}");
}

#[test]
fn a_broken_rule_is_shown_with_its_line_before_the_wire_is_touched() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    let ended = Program::spawn(&lab, "local x = 1\nhaka.rule{\n", 1, &["--metrics", "off"]).wait();
    refused(&ended, &["rules.lua:"]);
    assert!(!lab.run(Side::Gate, &["ip", "link", "show"]).contains("xdp"));
}

#[test]
fn a_stop_by_signal_is_clean_and_ends_with_a_summary() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    for signal in ["TERM", "INT"] {
        let program = Program::start(&lab, rules::ACCEPT, 1);
        let ended = program.stop_by(signal);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.contains("received"), "{signal}: a summary: {}", ended.stderr);
    }
}
