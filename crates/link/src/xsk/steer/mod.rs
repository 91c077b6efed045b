//! The steering program `bpf/steer.bpf.c`: loading it, trying it, attaching it, reading its counts.

mod bpffs;
mod program;
mod shunts;
mod verdict;

pub use program::{SteerConfig, SteerProgram, Storage};
pub use verdict::{Verdict, VerdictCount, VerdictCounts};

pub(super) use bpffs::{ensure_mounted, sweep};
pub(super) use program::{Attachment, Sockets};
pub(super) use shunts::ShuntMap;
pub(super) use verdict::VerdictMap;

#[expect(
    unreachable_pub,
    clippy::panic,
    clippy::unwrap_used,
    clippy::multiple_unsafe_ops_per_block,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::undocumented_unsafe_blocks,
    reason = "generated"
)]
mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/steer.skel.rs"));
}
