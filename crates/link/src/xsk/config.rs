//! What a pair is opened with.

use std::time::Duration;

/// How frames get from the card to user space and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Zero-copy where every queue of both ports has it, else copy.
    #[default]
    Auto,
    /// The kernel copies each frame once. Every driver can.
    Copy,
    /// The card reads and writes our memory. Opening fails where the driver cannot.
    ZeroCopy,
}

/// What the steering program does with frames that carry no TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OtherFrames {
    /// They cross to the peer port inside the kernel.
    #[default]
    Kernel,
    /// They come to the sockets, like TCP.
    User,
    /// They are dropped.
    Drop,
}

/// What becomes of frames for a socket that nobody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Fail {
    /// They cross to the peer port inside the kernel, uninspected.
    #[default]
    Wire,
    /// They are dropped.
    Closed,
}

/// What a [`Pair`](super::Pair) is opened with. Start from [`PairConfig::new`].
#[derive(Clone, Debug)]
pub struct PairConfig {
    /// The interface that is port A.
    pub a: String,
    /// The interface that is port B.
    pub b: String,
    /// How many workers share the pair, 1 to [`WORKERS_MAX`](Self::WORKERS_MAX): one link each.
    pub workers: usize,
    /// How frames travel.
    pub mode: Mode,
    /// Frames that a worker may hold outside the rings: in batches, in reassembly, in a hand-off.
    /// With too few, the fill rings run dry and the kernel drops (`rx_fill_ring_empty`); each more
    /// costs 2 or 4 KiB of locked memory. Default 4096.
    pub frames: u32,
    /// Entries of each of a queue's four rings, a power of two from 64 to 32768. With too few, a
    /// burst overruns them while the worker looks away; with too many, their frames fall out of the
    /// cache. Default 2048, which lasts about a millisecond at 2 M frames a second.
    pub ring: u32,
    /// Where frames go that carry no TCP.
    pub other: OtherFrames,
    /// Where TCP goes when nobody reads it.
    pub fail: Fail,
    /// With [`Fail::Wire`]: a worker that took no turn for so long is bypassed until it does. Zero
    /// means never. The clock ticks every 1 to 10 ms, so below 20 ms it fires by chance. Default 20 ms.
    pub stale: Duration,
    /// Connections that can cross without being received, [`Link::shunt`](crate::Link::shunt). Each takes
    /// some 150 bytes at each port, when it is shunted. Default 65536.
    pub shunts: u32,
}

impl PairConfig {
    /// The most workers that can share a pair.
    pub const WORKERS_MAX: usize = 64;

    /// The defaults, between `a` and `b`, for one worker.
    #[must_use]
    pub fn new(a: &str, b: &str) -> Self {
        Self {
            a: a.to_owned(),
            b: b.to_owned(),
            workers: 1,
            mode: Mode::default(),
            frames: 4096,
            ring: 2048,
            other: OtherFrames::default(),
            fail: Fail::default(),
            stale: Duration::from_millis(20),
            shunts: 65536,
        }
    }
}
