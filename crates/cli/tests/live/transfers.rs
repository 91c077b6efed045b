//! Whatever the shape of lab and program, bytes arrive as they were sent.

use std::net::SocketAddr;

use crate::lab::{Lab, Options, SERVER_V4, SERVER_V6, Side, join};
use crate::program::{Metrics, Program};
use crate::rules;
use crate::tagger::{Tagged, witness};
use crate::traffic;

const MIB: u64 = 1 << 20;

/// What a bulk transfer of `bytes` each way must at least have moved through one port.
fn proves_the_path(metrics: &Metrics, bytes: u64) {
    let bytes = bytes as f64;
    for port in [r#"port="a""#, r#"port="b""#] {
        let steered =
            metrics.sum("tollgate_steered_bytes_total", &[port, r#"verdict="to_socket""#]);
        let received = metrics.sum("tollgate_received_bytes_total", &[port]);
        let sent = metrics.sum("tollgate_transmitted_bytes_total", &[port]);
        assert!(steered > bytes, "XDP gave {steered} bytes of {port} to the sockets");
        assert!(received > bytes, "{received} bytes came in at {port} through AF_XDP");
        assert!(sent > bytes, "{sent} bytes left at {port} through AF_XDP");
    }
    assert_eq!(
        metrics.sum("tollgate_unbalanced_turns_total", &[]),
        0.0,
        "every frame has its fate"
    );
}

/// Bulk both ways over v4 and v6, and a session of small exchanges.
fn all_kinds(lab: &Lab, bytes: u64) {
    for server in [SERVER_V4, SERVER_V6] {
        let received = traffic::bulk(lab, SocketAddr::new(server, 7000), bytes);
        assert_eq!(received, (bytes, bytes), "over {server}");
        traffic::interactive(lab, SocketAddr::new(server, 22), 200);
    }
}

#[test]
fn one_worker_and_one_queue_change_no_byte() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    let program = Program::start(&lab, rules::ACCEPT, 1);
    all_kinds(&lab, 16 * MIB);
    proves_the_path(&program.metrics(&lab), 32 * MIB);
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn one_worker_drives_several_queues() {
    let Some(lab) = Lab::up(Options { queues: 4, ..Options::default() }) else { return };
    let program = Program::start(&lab, rules::ACCEPT, 1);
    all_kinds(&lab, 2 * MIB);
    assert_eq!(traffic::short_connections(&lab, SERVER_V4, 2, 200), 200);
    proves_the_path(&program.metrics(&lab), 4 * MIB);
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn two_workers_share_one_queue_by_handing_frames_over() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    let program = Program::start(&lab, rules::ACCEPT, 2);
    all_kinds(&lab, 2 * MIB);
    assert_eq!(traffic::short_connections(&lab, SERVER_V6, 2, 200), 200);
    let metrics = program.metrics(&lab);
    proves_the_path(&metrics, 4 * MIB);
    assert!(metrics.sum("tollgate_frames_handed_out_total", &[]) > 100.0, "half of the flows move");
    assert_eq!(program.stop().code, Some(0));
}

/// On a veth the two directions of a flow reach queues that have nothing to do with each other.
#[test]
fn two_workers_with_several_queues_hand_over_what_is_the_others() {
    let Some(lab) = Lab::up(Options { queues: 4, ..Options::default() }) else { return };
    let program = Program::start(&lab, rules::ACCEPT, 2);
    all_kinds(&lab, 2 * MIB);
    assert_eq!(traffic::short_connections(&lab, SERVER_V4, 2, 200), 200);
    let metrics = program.metrics(&lab);
    proves_the_path(&metrics, 4 * MIB);
    assert!(metrics.sum("tollgate_frames_handed_out_total", &[]) > 100.0);
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn ten_thousand_short_connections_complete() {
    let Some(lab) = Lab::up(Options { queues: 2, ..Options::default() }) else { return };
    let program = Program::start(&lab, rules::ACCEPT, 2);
    assert_eq!(traffic::short_connections(&lab, SERVER_V4, 4, 5000), 5000);
    assert_eq!(traffic::short_connections(&lab, SERVER_V6, 4, 5000), 5000);
    let metrics = program.metrics(&lab);
    assert_eq!(metrics.sum("tollgate_connections_total", &[r#"phase="established""#]), 10_000.0);
    assert_eq!(metrics.sum("tollgate_unbalanced_turns_total", &[]), 0.0);
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn one_tag_and_two_tags_stay_on_the_frames() {
    for vlans in [&[42][..], &[100, 200]] {
        let Some(lab) = Lab::up(Options::default()) else { return };
        let _tagged = Tagged::new(&lab, vlans);
        let program = Program::start(&lab, rules::ACCEPT, 1);
        let filter: Vec<_> = vlans.iter().map(|vlan| format!("vlan {vlan} and ")).collect();
        let filter = format!("{}tcp", filter.concat());
        let seen = [(Side::Client, "c0"), (Side::Server, "s0")]
            .map(|(side, interface)| witness(&lab, side, interface, filter.clone()));
        all_kinds(&lab, MIB);
        for seen in seen {
            assert!(join(seen), "tcpdump saw \"{filter}\" at both ends");
        }
        proves_the_path(&program.metrics(&lab), 2 * MIB);
        assert_eq!(program.stop().code, Some(0));
    }
}

/// A veth says "the card will do the checksum", and there is no card: frames come with half a sum.
#[test]
fn checksums_left_to_a_card_are_completed() {
    let Some(lab) = Lab::up(Options { keep_offloads: true, ..Options::default() }) else { return };
    let program = Program::start(&lab, rules::ACCEPT, 1);
    all_kinds(&lab, 2 * MIB);
    let metrics = program.metrics(&lab);
    proves_the_path(&metrics, 4 * MIB);
    assert!(metrics.sum("tollgate_checksums_completed_total", &[]) > 1000.0);
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn what_is_no_tcp_crosses() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    let program = Program::start(&lab, rules::ACCEPT, 1);
    for server in [SERVER_V4, SERVER_V6] {
        let text = server.to_string();
        let ping = ["ping", "-c", "5", "-i", "0.05", "-W", "2", &text];
        assert!(lab.run(Side::Client, &ping).contains(" 0% packet loss"));
    }
    let metrics = program.metrics(&lab);
    let crossed = metrics.sum("tollgate_steered_frames_total", &[r#"verdict="other_kernel""#]);
    assert!(crossed >= 20.0, "{crossed} frames crossed in the kernel");
    assert_eq!(program.stop().code, Some(0));
}
