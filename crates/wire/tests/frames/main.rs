//! Frames in, typed values out, and what must hold for all of them.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
#![expect(clippy::cast_possible_truncation, reason = "test frames are small")]

mod icmp;
mod packets;
mod properties;
mod regressions;
mod support;
