//! Rules that look at frames: what they see, in which order, and what becomes of what they do to them.

mod arrival;
mod datagrams;
mod injected;
mod policy;
mod random;
mod sending;
mod stateless;
mod traffic;
mod ways;
