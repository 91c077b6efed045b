//! Traffic that is known beforehand, and a link in memory to measure with: what the benches share.
//!
//! The programs are in `src/bin`, the lab of namespaces in `lab`, what they found in `record`.
#![forbid(unsafe_code)]

use mimalloc::MiMalloc;

/// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

pub mod abuse;
pub mod burst;
pub mod cases;
pub mod conversation;
pub mod dice;
pub mod driver;
pub mod figures;
pub mod frame;
pub mod hostile;
pub mod limits;
pub mod measure;
pub mod pick;
pub mod stream;
