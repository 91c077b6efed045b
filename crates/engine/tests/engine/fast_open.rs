//! Payload that comes with a SYN (RFC 7413).

use std::path::Path;

use serde_json::Value;

use crate::common::{ACK, Frame, Gate, SYN, Seen, handshake, small};
use tollgate_engine::{Config, FastOpen};
use tollgate_link::pcap::Reader;
use tollgate_policy::Verdict;
use tollgate_wire::Direction;

/// The option with a cookie of eight bytes.
const COOKIE: [u8; 12] = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1];

fn syn(isn: u32, payload: &[u8]) -> Frame {
    Frame { options: COOKIE.to_vec(), ..Frame::client(isn, 0, SYN, payload) }
}

fn allowing() -> Gate {
    Gate::with(Config { fast_open: FastOpen::Allow, ..small() })
}

fn without_payload(frame: &Frame) -> Seen {
    Seen { payload: Vec::new(), ..frame.crossed() }
}

#[test]
fn by_default_a_syn_leaves_without_its_payload_which_comes_again() {
    let mut gate = Gate::new();
    assert_eq!(gate.put(&syn(0, b"DATA")), [without_payload(&syn(0, b"DATA"))]);
    gate.put(&Frame::server(0, 1, SYN | ACK, b""));
    let data = Frame::client(1, 1, ACK, b"DATA");
    assert_eq!(gate.put(&data), [data.crossed()]);
    assert_eq!(gate.policy().stream(Direction::ToServer), b"DATA");
    gate.finish();
}

#[test]
fn where_it_is_allowed_rules_see_it_and_the_server_may_take_it() {
    let mut gate = allowing();
    assert_eq!(gate.put(&syn(0, b"DATA")), [syn(0, b"DATA").crossed()]);
    assert_eq!(gate.policy().stream(Direction::ToServer), b"DATA");
    for frame in [
        Frame::server(0, 5, SYN | ACK, b""),
        Frame::server(1, 5, ACK, b"answer"),
        Frame::client(5, 7, ACK, b"MORE"),
    ] {
        assert_eq!(gate.put(&frame), [frame.crossed()]);
    }
    assert_eq!(gate.policy().stream(Direction::ToServer), b"DATAMORE");
    assert_eq!(gate.policy().stream(Direction::ToClient), b"answer");
    gate.finish();
}

#[test]
fn the_server_may_leave_it_and_then_it_comes_again_the_same() {
    let mut gate = allowing();
    gate.put(&syn(0, b"AAAA"));
    // A second SYN's payload is vouched for by nobody.
    assert_eq!(gate.put(&syn(0, b"EVIL")), [without_payload(&syn(0, b""))]);
    gate.put(&Frame::server(0, 1, SYN | ACK, b""));
    let again = Frame::client(1, 1, ACK, b"BBBBcc");
    assert_eq!(gate.put(&again), [Seen { payload: b"AAAAcc".to_vec(), ..again.crossed() }]);
    assert_eq!(gate.policy().stream(Direction::ToServer), b"AAAAcc");
    assert_eq!(gate.finish().rewritten, 1);
}

#[test]
fn without_the_option_no_payload_leaves_with_a_syn() {
    let mut gate = allowing();
    let plain = Frame { options: Vec::new(), ..syn(0, b"DATA") };
    assert_eq!(gate.put(&plain), [without_payload(&plain)]);
    assert_eq!(gate.policy().stream(Direction::ToServer), b"");
    gate.finish();
}

#[test]
fn a_rule_may_refuse_what_comes_with_a_syn() {
    let mut gate = allowing();
    gate.policy().on_data = Verdict::Drop;
    assert_eq!(gate.put(&syn(0, b"EVIL")), []);
    assert_eq!(gate.events().last().unwrap(), "end syn_sent");
    assert_eq!(gate.worker.gauges().retained_bytes, 0);
    gate.finish();
}

#[test]
fn another_syn_after_one_whose_payload_left_is_another_connection() {
    let mut gate = allowing();
    gate.put(&syn(0, b"AAAA"));
    let other = syn(70_000, b"BBBB");
    assert_eq!(gate.put(&other), [other.crossed()]);
    assert_eq!(gate.policy().opened, 2);
    assert_eq!(gate.worker.gauges().retained_bytes, 4);
    gate.finish();
}

#[test]
fn a_syn_that_opens_nothing_ends_nothing() {
    let mut gate = allowing();
    gate.put(&syn(0, b"AAAA"));
    // An option that is longer than the header.
    let broken = Frame { options: vec![1, 1, 2, 9], ..Frame::client(70_000, 0, SYN, b"") };
    assert_eq!(gate.put(&broken), []);
    assert_eq!(gate.policy().opened, 1);
    let answer = Frame::server(0, 5, SYN | ACK, b"");
    assert_eq!(gate.put(&answer), [answer.crossed()]);
    assert_eq!(gate.worker.gauges().retained_bytes, 4);
    gate.finish();
}

#[test]
fn payload_that_cannot_be_remembered_does_not_leave_with_the_syn() {
    let config = Config { fast_open: FastOpen::Allow, retained_direction_bytes_max: 3, ..small() };
    let mut gate = Gate::with(config);
    assert_eq!(gate.put(&syn(0, b"DATA")), [without_payload(&syn(0, b""))]);
    assert_eq!(gate.policy().stream(Direction::ToServer), b"");
    gate.finish();
}

/// Captures of other projects, which the repository does not hold.
#[test]
fn real_fast_open_connections_are_seen_whole_where_it_is_allowed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata/captures");
    let Ok(text) = std::fs::read_to_string(folder.join("streams.json")) else {
        println!("skipped: {} is not there", folder.display());
        return;
    };
    let all: Value = serde_json::from_str(&text).unwrap();
    for name in ["tcp-fastopen-01/tfo.pcap", "tcp-fastopen-06/tfo-s1.pcap"] {
        let name = format!("OISF__suricata-verify/tests/{name}");
        let mut gate = allowing();
        let mut reader = Reader::open(&folder.join(&name)).unwrap();
        while let Some(captured) = reader.next().unwrap() {
            gate.worker.link_mut().inject(captured.port, captured.frame);
            gate.worker.poll(captured.time);
        }
        let follow = &all[&name]["follow"][0];
        let expected = |key: &str| follow[key].as_str().unwrap().to_owned();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let found = gate.policy().streams.values().map(|bytes| hex(bytes)).collect::<Vec<_>>();
        for stream in [expected("a_hex"), expected("b_hex")] {
            assert!(found.contains(&stream), "{name}: {found:?}");
        }
    }
}

/// Legal (RFC 9293 section 3.4), and read in two ways: the RFC keeps it until the connection is open,
/// Linux throws it away. So it waits for its second sending, which every stack reads.
#[test]
fn payload_of_a_syn_ack_leaves_when_it_is_sent_again() {
    let mut gate = Gate::new();
    let [syn, _, ack] = handshake();
    let eager = Frame::server(0, 1, SYN | ACK, b"banner");
    assert_eq!(gate.put(&syn), [syn.crossed()]);
    assert_eq!(gate.put(&eager), [without_payload(&eager)]);
    assert_eq!(gate.put(&ack), [ack.crossed()]);
    // The ACK is lost behind us: its sender must hear the SYN-ACK again to repeat it.
    assert_eq!(gate.put(&eager), [without_payload(&eager)]);
    assert_eq!(gate.policy().stream(Direction::ToClient), b"");
    let again = Frame::server(1, 1, ACK, b"banner");
    assert_eq!(gate.put(&again), [again.crossed()]);
    assert_eq!(gate.policy().stream(Direction::ToClient), b"banner");
    gate.finish();
}
