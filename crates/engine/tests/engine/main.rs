//! The whole worker, from frames in to frames out. One binary, for it links once.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::print_stdout,
    reason = "tests, on data of their own"
)]

mod bounds;
mod bypass;
mod cases;
mod common;
mod connections;
mod copies;
mod counted;
mod edits;
mod fast_open;
mod found;
mod frames;
mod fuzzed;
mod hostile;
mod icmp;
mod normal;
mod packets;
mod patience;
mod recovery;
mod remedies;
mod shunts;
mod simulation;
mod small_segments;
mod ttl;
mod verdicts;
mod workers;
