//! A TCP connection seen from the middle.
//!
//! Its parts are closed over nothing but the segments it is shown. [`Handshake`] and [`Tracker`]
//! say what a segment means for a connection and whether it may pass; [`Reassembler`] puts the bytes
//! of one direction in order, so that every byte is shown once, and with [`Retention`] every copy of it
//! leaves the same; where bytes are changed, [`EditedStream`] keeps what they became and [`EditMap`] the two
//! numberings; [`reset`] says which RSTs end a connection at both ends, whatever the stack.
//!
//! None of them owns a link, reads a clock or holds a frame that it cannot give back. What may be
//! believed and what must be dropped follows one rule: ambiguous *data* is safe, since the first valid
//! copy is the one that every later copy is made equal to; ambiguous *control* (SYN, FIN, RST, ACK) is
//! not, since two stacks may disagree about it, so it is dropped.
#![forbid(unsafe_code)]

mod edit_map;
mod edited;
mod half;
mod handshake;
mod invalid;
mod reassembler;
mod receipts;
pub mod reset;
mod retention;
mod said;
mod segment;
mod state;
mod tracker;

pub use edit_map::{EditMap, Place};
pub use edited::{Change, EditedStream, Piece, Receiver};
pub use handshake::{Brief, Handshake, Progress};
pub use invalid::Invalid;
pub use reassembler::{
    Bound, Early, Forwarded, Gap, Held, Limits, Next, Payload, Push, Ready, Reassembler,
};
pub use retention::{Copied, Retention};
pub use segment::Segment;
pub use state::{State, Timeouts};
pub use tracker::{Crossed, Plain, Step, Tracker};
