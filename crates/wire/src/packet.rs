use crate::{Headers, Refusal};

/// A frame with one whole TCP segment, and where its headers are.
#[derive(Debug)]
pub struct Packet<F> {
    frame: F,
    headers: Headers,
}

/// A frame that is no such thing, given back with the reason.
#[derive(Debug)]
pub struct Rejected<F> {
    /// The frame, untouched.
    pub frame: F,
    /// Why.
    pub why: Refusal,
}
