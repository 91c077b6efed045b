//! Tollgate in a real wire: namespaces, veth pairs, AF_XDP, and Linux's own TCP at both ends.
//!
//! Needs root and what `bench/lab/prerequisites.sh` installs; without root every test says so and
//! passes. The tests of this program run one after the other.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests: a panic is how they fail"
)]

mod between;
mod browsers;
mod control;
mod crowd;
mod faults;
mod felt;
mod half_resets;
mod hang;
mod icmp;
mod lab;
mod marker;
mod misrule;
mod overlaps;
mod program;
mod raw_peer;
mod reload;
mod reset_states;
mod restarts;
mod road;
mod rules;
mod scene;
mod scramble;
mod shunts;
mod soak;
mod tagger;
mod traffic;
mod transfers;
mod verdicts;
mod web;
mod witness;
