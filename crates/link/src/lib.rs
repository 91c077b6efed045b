//! Frames, and the two ports they cross.
//!
//! A [`Link`] is one worker's view of a pair of ports. Frames are owned and move-only: receive them,
//! and then transmit each or release it; there is no third way to lose one. Backends: [`memory`]
//! for tests, [`pcap`] for captures, `xsk` for AF_XDP sockets. Wrappers are links around a link:
//! [`fault`] loses, repeats, reorders and damages frames from a seed; [`trace`] shows them.
#![cfg_attr(not(feature = "xsk"), forbid(unsafe_code))]

pub mod fault;
mod frame;
pub mod memory;
pub mod pcap;
pub mod shunt;
pub mod trace;

#[cfg(feature = "xsk")]
pub mod xsk;

pub use frame::Frame;
use shunt::{NoShunt, Shunt, Shunted, Way};

/// One of the two ports of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Port {
    A,
    B,
}

impl Port {
    /// Both, A first.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The port at the other end of the wire: where a frame leaves that came in here.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// 0 for A, 1 for B: an index for arrays of two.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }

    /// "a" or "b", as metrics label it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

/// A pair of ports, as one worker drives it.
///
/// Calls never block. A frame that was handed over (to `transmit` or `release`) is the link's.
pub trait Link {
    /// An owned frame: not `Copy`, not `Clone`.
    type Frame: Frame;

    /// Appends frames that have arrived at `port` to `batch`, at most as many as fit its spare
    /// capacity (`batch.capacity() - batch.len()`), and gives their number.
    fn receive(&mut self, port: Port, batch: &mut Vec<Self::Frame>) -> usize;

    /// Sends frames out of `port` from the front of `batch`, in order, in one go, and gives their
    /// number; what did not fit stays in `batch`.
    fn transmit(&mut self, port: Port, batch: &mut Vec<Self::Frame>) -> usize;

    /// Takes a frame back that shall not be sent.
    fn release(&mut self, frame: Self::Frame);

    /// An empty frame (length 0) to forge a packet in; none when memory is short.
    fn frame(&mut self) -> Option<Self::Frame>;

    /// From now on, plain segments of one direction of a connection cross, or are dropped, without being
    /// received. One that is shunted already is shunted anew.
    ///
    /// # Errors
    ///
    /// Why everything is received as before.
    fn shunt(&mut self, shunt: &Shunt) -> Result<(), NoShunt> {
        let _ = shunt;
        Err(NoShunt::Unable)
    }

    /// What a shunt has seen so far; none if there is none.
    fn shunted(&mut self, way: &Way) -> Option<Shunted> {
        let _ = way;
        None
    }

    /// Takes a shunt out, and gives what it has seen.
    fn unshunt(&mut self, way: &Way) -> Option<Shunted> {
        let _ = way;
        None
    }
}
