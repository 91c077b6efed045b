//! Packets that would die between us and their receiver: what was shown to rules lives as long as the
//! rest of its sender's.

use tollgate_policy::Verdict;

use crate::common::{ACK, CLIENT, FIN, Frame, Gate, RST, SERVER, Seen, handshake};

fn established() -> Gate {
    let mut gate = Gate::new();
    gate.establish();
    gate
}

/// As it leaves with the time to live of its sender's other packets.
fn raised(frame: &Frame) -> Seen {
    let ttl = if frame.from_client { 63 } else { 57 };
    Seen { ttl, ..frame.crossed() }
}

#[test]
fn bytes_that_leave_for_the_first_time_live_as_long_as_their_senders_others() {
    for (client, server) in [(CLIENT, SERVER), ("[fd00::1]:4000", "[fd00::2]:80")] {
        let between = |frame: Frame| frame.between(client, server);
        let mut gate = Gate::new();
        for frame in handshake() {
            gate.put(&between(frame));
        }
        for frame in [
            Frame::client(1, 1, ACK, b"up"),
            Frame::server(1, 3, ACK, b"down"),
            Frame::client(3, 5, FIN | ACK, b""),
        ] {
            let short = between(Frame { ttl: 1, ..frame });
            assert_eq!(gate.put(&short), [raised(&short)]);
        }
        // A bare ACK shows no one anything, and a longer life is nobody's business.
        let ack = between(Frame { ttl: 1, ..Frame::server(5, 4, ACK, b"") });
        assert_eq!(gate.put(&ack), [ack.crossed()]);
        let long = between(Frame { ttl: 200, ..Frame::server(5, 4, ACK, b"more") });
        assert_eq!(gate.put(&long), [long.crossed()]);
        assert_eq!(gate.finish().ttls_raised, 3);
    }
}

#[test]
fn what_waits_behind_a_gap_is_raised_when_it_leaves() {
    let mut gate = established();
    let early = Frame { ttl: 1, ..Frame::client(5, 1, ACK, b"late") };
    let mut out = gate.put(&early);
    out.extend(gate.put(&Frame::client(1, 1, ACK, b"read")));
    assert!(out.contains(&raised(&early)), "{out:?}");
    assert_eq!(gate.finish().ttls_raised, 1);
}

/// Two routers that send a packet to each other through us must see it die.
#[test]
fn a_packet_that_goes_round_in_circles_dies() {
    let mut gate = established();
    let mut frame = Frame { ttl: 9, ..Frame::client(1, 1, ACK, b"round") };
    assert_eq!(gate.put(&frame), [raised(&frame)]);
    for ttl in (1..63).rev() {
        frame.ttl = ttl;
        assert_eq!(gate.put(&frame), [frame.crossed()]);
    }
    assert_eq!(gate.finish().ttls_raised, 1);
}

/// How packets travel is looked at now and then, and the one looked at may be meant to mislead.
#[test]
fn one_packet_that_lives_shortly_does_not_shorten_what_we_forge() {
    let mut gate = established();
    for _ in 0..600 {
        gate.put(&Frame { ttl: 1, ..Frame::client(1, 1, ACK, b"") });
    }
    let short = Frame { ttl: 1, ..Frame::client(1, 1, ACK, b"data") };
    assert_eq!(gate.put(&short), [raised(&short)]);
    gate.policy().on_data = Verdict::HalfReset;
    let rsts = gate.put(&Frame::client(5, 1, ACK, b"refused"));
    assert!(!rsts.is_empty() && rsts.iter().all(|seen| seen.has(RST) && seen.ttl == 63));
}
