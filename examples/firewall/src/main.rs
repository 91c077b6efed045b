//! A firewall in Rust: `trait Policy` is all of it, `tollgate::main_with` makes it a program.
//!
//! ```text
//! cargo run -p example-firewall -- replay -r bench/lab/demo.pcap.gz
//! cargo run -p example-firewall -- run --pair eth1:eth2
//! ```
#![forbid(unsafe_code)]

mod network;
mod policy;

use std::process::ExitCode;

use network::Network;
use policy::{Firewall, Permit};

fn main() -> ExitCode {
    tollgate::main_with(|| {
        Firewall::new(vec![
            // The web, for everybody.
            Permit { from: Network::EVERYBODY_V4, ports: 80..=80 },
            Permit { from: Network::EVERYBODY_V6, ports: 80..=80 },
            Permit { from: Network::EVERYBODY_V4, ports: 443..=443 },
            Permit { from: Network::EVERYBODY_V6, ports: 443..=443 },
            // SSH, from the office.
            Permit { from: Network::v4([192, 168, 10, 0], 24), ports: 22..=22 },
        ])
    })
}
