//! Packets of any protocol, and no connection followed: classes of service by port, and an answer for
//! who asks the wrong server.
//!
//! ```text
//! cargo run -p example-marker -- replay -r bench/lab/demo.pcap.gz
//! cargo run -p example-marker -- run --pair eth1:eth2
//! ```
#![forbid(unsafe_code)]

mod datagram;
mod policy;

use std::process::ExitCode;

use policy::Marker;

fn main() -> ExitCode {
    tollgate::main_with(|| Marker::new([198, 18, 0, 53]))
}
