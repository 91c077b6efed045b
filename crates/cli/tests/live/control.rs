//! The lab by itself: what carries traffic over a bridge must do so over Tollgate.

use std::net::SocketAddr;
use std::time::Duration;

use crate::lab::{Lab, Options, SERVER_V4, SERVER_V6, Side, join};
use crate::tagger::{Tagged, witness};
use crate::traffic;

#[test]
fn nothing_crosses_an_empty_gate() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    let reached = lab.within(Side::Client, || {
        let address = SocketAddr::new(SERVER_V4, 7000);
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
    });
    assert!(!reached);
}

#[test]
fn a_plain_bridge_carries_what_the_tests_send() {
    let Some(lab) = Lab::up(Options { queues: 2, keep_offloads: false }) else { return };
    lab.run(Side::Gate, &["ip", "link", "add", "br0", "type", "bridge"]);
    for command in [["a0", "master", "br0"], ["b0", "master", "br0"]] {
        lab.run(Side::Gate, &[&["ip", "link", "set"], &command[..]].concat());
    }
    lab.run(Side::Gate, &["ip", "link", "set", "br0", "up"]);

    let address = SocketAddr::new(SERVER_V6, 7000);
    assert_eq!(traffic::bulk(&lab, address, 1 << 20), (1 << 20, 1 << 20));
    assert_eq!(traffic::short_connections(&lab, SERVER_V4, 2, 100), 100);

    let tagged = Tagged::new(&lab, &[7, 8]);
    let seen = witness(&lab, Side::Server, "s0", "vlan 7 and vlan 8 and tcp".into());
    traffic::interactive(&lab, SocketAddr::new(SERVER_V4, 22), 100);
    assert!(join(seen), "both tags were on the wire");
    drop(tagged);
}
