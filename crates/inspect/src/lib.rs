//! What bytes in flight say: engines that read a stream as it arrives, in whatever pieces.
//!
//! * [`regexp`]: one expression, the leftmost match, found across pieces as on the whole;
//! * [`signatures`]: thousands of literals and expressions at once;
//! * [`tls`]: what a TLS hello says before anything is encrypted.
//!
//! All of them are pure: bytes go in, values come out. They keep no more than a bounded state for a
//! stream, never look twice at a byte, and do the same for every way to cut the stream. No Lua and no
//! packet is in here, so that each can be tested and fuzzed alone.
#![forbid(unsafe_code)]

pub mod regexp;
pub mod signatures;
pub mod tls;
