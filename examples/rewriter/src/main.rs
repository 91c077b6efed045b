//! A rewriter in Rust: what servers say of themselves is replaced, whatever its length.
//!
//! ```text
//! cargo run -p example-rewriter -- replay -r in.pcap -w out.pcap
//! cargo run -p example-rewriter -- run --pair eth1:eth2
//! ```
#![forbid(unsafe_code)]

mod policy;

use std::process::ExitCode;

use policy::Rewriter;

fn main() -> ExitCode {
    tollgate::main_with(|| Rewriter::new("Server", "a server, like any other"))
}
