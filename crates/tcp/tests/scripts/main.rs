//! Packet scripts: what arrives, what a rule sees, what leaves. The names in comments, A01 to F12,
//! are those of the catalogue of normaliser cases.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail loudly, as tests do"
)]

mod close;
mod edit_map;
mod edited;
mod handshake;
mod hostile;
mod model;
mod oracle;
mod overlap;
mod policies;
mod reset;
mod retention;
mod support;
mod vectors;
mod window;
