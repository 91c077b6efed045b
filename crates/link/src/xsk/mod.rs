//! AF_XDP sockets as a [`Link`](crate::Link), and the XDP program that steers frames to them.
//!
//! # What AF_XDP demands of memory
//!
//! Frames lie in one piece of memory, the UMEM, which is cut into chunks and shared with the kernel.
//! A chunk is always in one place: free with us; in a *fill* ring, or with the kernel, to be received
//! into; in a *receive* ring; with us as a frame; in a *transmit* ring, or with the kernel, being
//! sent; in a *completion* ring. A ring carries addresses, not bytes. So a frame that came in on
//! one port leaves by the other without being copied, if both share the UMEM, and so they do: there
//! is one for all queues of both ports. The kernel checks that an address is in range, and nothing
//! else. Who touches a chunk after handing it over, or hands it over twice, corrupts frames.
//!
//! # How ownership is made a type
//!
//! xsk-rs says with `unsafe` what must not be done; its descriptors are `Copy`, and so the compiler
//! does not see it done. Here a chunk with us is either a number in a pool or an [`XskFrame`], which
//! moves. Handing it to [`transmit`](crate::Link::transmit) or [`release`](crate::Link::release) is
//! giving it away. Descriptors live only between a ring and those two types, in `queue.rs` and
//! `exchange.rs`. Three things remain that the types cannot say, and each is counted: a frame that is
//! dropped becomes an orphan and is used again; the [`Census`] of a link balances at every turn; and
//! the memory is unmapped only if every frame has come home (`umem.rs`).
//!
//! # Who does what
//!
//! [`Pair::open`] checks, claims both interfaces, loads a steering program for each, opens a socket on
//! each of their queues, fills the fill rings, attaches the programs, and only then lets the programs
//! know the sockets: a driver that finds a fill ring empty may leak its buffers. Queues are dealt to
//! workers round robin. Each worker has an [`XskLink`], which is `Send`, and shares nothing with its
//! siblings but rings of one producer and one consumer. The program is detached before the
//! sockets close, or each link takes its sockets out of it first, whichever goes first.
//!
//! # Caveats
//!
//! An AF_XDP socket sees frames of its own queue only, so all queues get one. A frame is one chunk,
//! so the MTU is at most 3818; larger ones are refused. A card that strips VLAN tags (`ethtool -K IF
//! rxvlan off`) loses them for us. On a veth pair, the far ends must not leave checksums to the card
//! (`ethtool -K IF tx off`), and frames that cross in the kernel need `gro on` at the far end. The
//! program outlives the process only as long as the BPF file system does that it is pinned in: `ip
//! netns exec` gives each command file systems of its own, which end with it; use `nsenter --net`.
//!
//! References: Documentation/networking/af_xdp.rst of Linux; `bpf/steer.bpf.c`.
#![expect(unsafe_code, reason = "rings and memory that are shared with the kernel")]

mod both;
mod check;
mod claim;
mod config;
mod drivers;
mod error;
mod exchange;
mod frame;
mod heartbeat;
mod interface;
mod link;
mod pair;
mod queue;
mod statistics;
pub mod steer;
mod umem;

pub use config::{Fail, Mode, OtherFrames, PairConfig};
pub use error::OpenError;
pub use frame::XskFrame;
pub use link::XskLink;
pub use pair::{Pair, QueueInfo};
pub use statistics::{Census, LinkCounts, QueueCounts, QueueStatistics};
pub use steer::{Verdict, VerdictCount, VerdictCounts};

/// The most queues of one interface: `STEER_QUEUES_MAX` of `bpf/steer.h`.
pub const QUEUES_MAX: u32 = 64;
