//! Where the frames are, and what became of them.

use std::ops::{Add, AddAssign};

use crate::Port;

/// What one queue has done so far. The second group is the kernel's own (`XDP_STATISTICS`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueCounts {
    /// Frames received.
    pub received: u64,
    /// Frames given to the transmit ring.
    pub transmitted: u64,
    /// Times that the pool could not fill the fill ring.
    pub fill_short: u64,
    /// Times that a batch did not fit the transmit ring.
    pub transmit_full: u64,
    /// System calls made to have frames sent.
    pub wakeups: u64,
    /// Such calls, and those to have the fill ring read, that failed.
    pub wakeup_failed: u64,

    /// Frames that the kernel dropped on their way to the receive ring, for reasons of its own.
    pub rx_dropped: u64,
    /// Frames that the kernel dropped because the receive ring was full.
    pub rx_ring_full: u64,
    /// Frames that the kernel dropped because the fill ring was empty.
    pub rx_fill_ring_empty: u64,
    /// Descriptors in the fill ring that the kernel refused: a bug of ours.
    pub rx_invalid: u64,
    /// Descriptors in the transmit ring that the kernel refused: a bug of ours.
    pub tx_invalid: u64,
    /// Times that the kernel looked for a frame to send and found none.
    pub tx_ring_empty: u64,
}

/// One queue: which it is, what it has done, and what is in its rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStatistics {
    /// Its port.
    pub port: Port,
    /// Its number at the interface.
    pub queue: u32,
    /// What it has done.
    pub counts: QueueCounts,
    /// Frames in the fill ring, with the kernel, or in the receive ring.
    pub filled: u32,
    /// Frames in the transmit ring, with the kernel, or in the completion ring.
    pub in_flight: u32,
}

/// Where the frames are that a worker was given. Those of all workers of a pair add up.
///
/// `held` and `exchanged` count what came in against what went out. So for a worker that gets frames
/// of its siblings they can be negative, and only the sum over the pair says how many frames are
/// there; but each worker's own census must balance, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Frames given at the start.
    pub given: u64,
    /// In the pool.
    pub free: u64,
    /// In fill rings, with the kernel to be received into, or in receive rings.
    pub filled: u64,
    /// In transmit rings, with the kernel to be sent, or in completion rings.
    pub in_flight: u64,
    /// Out as frames: made here less ended here.
    pub held: i64,
    /// In rings to siblings: sent less had.
    pub exchanged: i64,
}

impl Census {
    /// Whether every frame is accounted for.
    #[must_use]
    pub fn balances(&self) -> bool {
        let rings = i128::from(self.free) + i128::from(self.filled) + i128::from(self.in_flight);
        rings + i128::from(self.held) + i128::from(self.exchanged) == i128::from(self.given)
    }
}

impl Add for Census {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            given: self.given + other.given,
            free: self.free + other.free,
            filled: self.filled + other.filled,
            in_flight: self.in_flight + other.in_flight,
            held: self.held + other.held,
            exchanged: self.exchanged + other.exchanged,
        }
    }
}

impl AddAssign for Census {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// What a link has lost or refused by itself, apart from its queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkCounts {
    /// Times that a port's turn came so late that the steering program may have bypassed it.
    pub late: u64,
    /// Times that frames had crossed in the kernel by then: whoever follows streams has missed some.
    pub bypassed: u64,
    /// Frames thrown away because others had been bypassed while they waited: behind those they would
    /// be late and out of order.
    pub stale: u64,
    /// Frames to send that were shorter than an Ethernet header.
    pub refused: u64,
    /// Frames of the whole pair that were dropped, neither sent nor released: a bug of their owner.
    pub orphaned: u64,
}
