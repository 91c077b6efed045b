//! The seed's firewall, unchanged.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::Path;

use common::Scene;
use tollgate_policy::{Interest, Policy, Verdict};
use tollgate_script::Rules;

fn scene(client: &str, server: &str) -> Scene {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/firewall.lua");
    Scene::of(&Rules::load(&path).unwrap()).between(client, server)
}

#[test]
fn http_between_the_networks_is_accepted_and_selected() {
    let mut scene = scene("192.168.10.5:40000", "192.168.20.9:80");
    assert_eq!(scene.open(), Verdict::Accept);
    assert_eq!(
        scene.said(),
        [
            "debug external: entering packet filtering rules : 40000 --> 80",
            "warn external: authorizing http traffic",
            "debug tcp: selecting http dissector on flow",
        ]
    );
}

#[test]
fn ssh_between_the_networks_is_accepted() {
    let mut scene = scene("192.168.10.127:40000", "192.168.20.0:22");
    assert_eq!(scene.open(), Verdict::Accept);
    assert_eq!(
        scene.said(),
        [
            "debug external: entering packet filtering rules : 40000 --> 22",
            "warn external: authorizing ssh traffic",
            "warn external: no available dissector for ssh",
        ]
    );
}

#[test]
fn everything_else_is_dropped_with_an_alert() {
    for (client, server, source, target) in [
        ("192.168.10.5:4", "192.168.20.9:443", "192.168.10.5, 4", "192.168.20.9, 443"),
        ("192.168.10.128:4", "192.168.20.9:80", "192.168.10.128, 4", "192.168.20.9, 80"),
        ("192.168.20.9:4", "192.168.10.5:80", "192.168.20.9, 4", "192.168.10.5, 80"),
        ("[fd00::1]:4", "[fd00::2]:80", "fd00::1, 4", "fd00::2, 80"),
    ] {
        let mut scene = scene(client, server);
        assert_eq!(scene.open(), Verdict::DropPacket, "{client} {server}");
        let alerts = scene.alerts();
        let [alert] = alerts.as_slice() else { unreachable!("{alerts:?}") };
        assert_eq!(alert.description.as_deref(), Some("Packet dropped : drop by default"));
        assert_eq!(alert.sources, [format!("address: {source}")]);
        assert_eq!(alert.targets, [format!("address: {target}")]);
        assert_eq!(alert.number, 1);
    }
}

#[test]
fn it_asks_for_the_bytes_since_it_dissects_http() {
    let scene = scene("192.168.10.5:40000", "192.168.20.9:80");
    assert_eq!(
        scene.policy.interest(),
        Interest::EVENTS.difference(Interest::RECEIVE_PACKET) | Interest::EDIT_DATA
    );
}

#[test]
fn what_is_no_http_is_refused_where_http_was_authorized() {
    let mut scene = scene("192.168.10.5:40000", "192.168.20.9:80");
    scene.open();
    assert_eq!(scene.data(&[b"GET / HTTP/1.1\r\n\r\n"], false), Verdict::Accept);
    assert_eq!(scene.data(&[b"SSH-2.0-x\r\n\r\n"], false), Verdict::Drop);
}
