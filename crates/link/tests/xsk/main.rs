//! AF_XDP links on real rings: veth pairs between network namespaces.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
#![expect(clippy::print_stdout, reason = "says when it is skipped")]

mod crossing;
mod lab;
mod life;
mod memory;
mod refusals;
mod stalls;

use std::time::{Duration, Instant};

use tollgate_link::xsk::PairConfig;

pub(crate) const BATCH: usize = 64;

pub(crate) fn config() -> PairConfig {
    PairConfig { ring: 512, frames: 512, ..PairConfig::new("a", "b") }
}

/// Without bypass: on a busy machine a test's thread may well be away for 20 ms.
pub(crate) fn patient() -> PairConfig {
    PairConfig { stale: Duration::ZERO, ..config() }
}

pub(crate) fn until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain");
    }
}
