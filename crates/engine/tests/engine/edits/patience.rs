//! What a bare wire lets live, in connections whose bytes have been changed.

use std::time::Duration;

use tollgate_wire::{Packet, Seq};

use super::gate::{Gate, Out, c, down, s, up};
use crate::common::{ACK, CLIENT_ISN, Frame, PSH, RST, SYN, handshake, small};

/// Bytes 4 to 7 of the client are erased, and it knows that they have arrived.
fn erased_tail() -> Gate {
    let mut gate = Gate::new();
    gate.rule(|data| data.erase(3..6).unwrap());
    assert_eq!(gate.put(&up(1, 1, "abcDEF")), [s(1, 1, "abc")]);
    assert_eq!(gate.put(&down(1, 4, "")), [c(1, 7, "")]);
    gate
}

fn old(seq: u32) -> Out {
    ('s', seq, 1, ACK, String::new())
}

#[test]
fn keep_alives_reach_their_receiver_as_old_numbers_after_bytes_were_erased() {
    let mut gate = erased_tail();
    for garbage in ["", "x"] {
        let probe = Frame::client(6, 1, ACK, garbage.as_bytes());
        assert_eq!(gate.put(&probe), [old(3)], "or it would not answer");
        assert_eq!(gate.put(&down(1, 4, "")), [c(1, 7, "")]);
    }
    gate.finish();
}

#[test]
fn a_closed_window_is_probed_with_an_old_number_after_bytes_were_erased() {
    let mut gate = erased_tail();
    let full = Frame { window: 0, ..down(1, 4, "") };
    gate.put(&full);
    for pause in [1, 60, 120, 120] {
        gate.now = gate.now + Duration::from_secs(pause);
        assert_eq!(gate.put(&Frame::client(6, 1, ACK, b"")), [old(3)]);
        assert_eq!(gate.put(&full).len(), 1);
    }
    gate.finish();
}

#[test]
fn a_rst_behind_what_was_lost_before_us_is_challenged_in_the_receivers_numbers() {
    let mut gate = erased_tail();
    let rst = Frame::client(17, 1, RST | ACK, b"");
    assert_eq!(gate.put(&rst), [old(3)]);
    assert_eq!(gate.put(&down(1, 4, "")), [c(1, 7, "")]);
    let exact = ('s', 4, 0, RST, String::new());
    assert_eq!(gate.put(&Frame::client(7, 0, RST, b"")), [exact]);
    assert_eq!(gate.finish().rsts_challenged, 1);
}

/// Of the handshake, with these options on both SYNs.
fn options(options: &[u8]) -> [Frame; 3] {
    let mut frames = handshake();
    for frame in frames.iter_mut().filter(|frame| frame.flags & SYN != 0) {
        frame.options = options.to_vec();
    }
    frames
}

/// Where the parts of a stream begin, and how long they are.
fn parts(out: &[(tollgate_link::Port, Vec<u8>)]) -> Vec<(u32, u32)> {
    let parts = out.iter().map(|(_, bytes)| {
        let packet = Packet::parse(&bytes[..]).unwrap();
        let seq = packet.headers().seq.distance(Seq(CLIENT_ISN)).cast_unsigned();
        (seq, packet.headers().payload_len())
    });
    parts.collect()
}

/// RFC 9293 section 3.7.1: who says nothing takes 536 bytes.
#[test]
fn a_receiver_that_has_not_said_what_it_takes_gets_what_all_take() {
    for (v6, most) in [(false, 536), (true, 1220)] {
        let dressed = |frame: Frame| {
            if v6 { frame.between("[fd00::1]:4000", "[fd00::2]:80") } else { frame }
        };
        let mut gate = Gate::with(small(), &handshake().map(dressed));
        gate.rule(|data| data.insert(1, "x".repeat(2000)).unwrap());
        let out = parts(&gate.bytes(&dressed(Frame::client(1, 1, PSH | ACK, b"ab"))));
        assert!(out.iter().all(|(_, len)| *len <= most), "{out:?}");
        assert_eq!(out.iter().map(|(_, len)| len).sum::<u32>(), 2002);
        gate.finish();
    }
}

/// The way behind us may be narrower than what both ends take, and a router there that drops what is too long
/// need not be heard of (RFC 8899). A sender tries again with less, and so must what its bytes have become.
#[test]
fn what_is_sent_again_is_cut_no_longer_than_its_sender_cuts_it() {
    let mut gate = Gate::with(small(), &options(&[2, 4, 5, 180]));
    gate.rule(|data| data.insert(1, "x".repeat(2000)).unwrap());
    let text = "y".repeat(1000);
    let long = parts(&gate.bytes(&up(1, 1, &text)));
    assert_eq!(long, [(1, 1460), (1461, 1460), (2921, 80)]);
    // As long as it was cut, then a half of it, then the shortest that every way carries.
    for (len, most) in [(1000, 1000), (600, 600), (100, 536)] {
        let again = parts(&gate.bytes(&up(1, 1, &text[..len])));
        assert_eq!(again[0], (1, most), "{again:?}");
        assert!(again.iter().all(|(_, len)| *len <= most), "{again:?}");
    }
    gate.finish();
}

/// A router behind us says how much it carries: nothing longer is made from then on.
#[test]
fn what_a_router_says_of_its_link_is_heard() {
    let mut gate = Gate::with(small(), &options(&[2, 4, 5, 180]));
    gate.rule(|data| data.insert(1, "x".repeat(2000)).unwrap());
    assert_eq!(parts(&gate.bytes(&up(1, 1, "ab")))[0], (1, 1460));
    // With an MTU of 1280.
    let error = Frame::client(1, 1, ACK, b"").icmp_error(3);
    assert_eq!(gate.raw(tollgate_link::Port::B, &error).len(), 1, "its sender hears of it, too");
    gate.rule(|data| data.insert(3, "z".repeat(2000)).unwrap());
    let out = parts(&gate.bytes(&up(3, 1, "cd")));
    assert_eq!(out[0], (2003, 1240), "{out:?}");
    gate.finish();
}

/// One about nothing in flight is anybody's.
#[test]
fn what_no_router_can_have_said_is_not() {
    let mut gate = Gate::with(small(), &options(&[2, 4, 5, 180]));
    gate.rule(|data| data.insert(1, "x".repeat(2000)).unwrap());
    gate.bytes(&up(1, 1, "ab"));
    let error = Frame::client(1_000_000, 1, ACK, b"").icmp_error(3);
    assert_eq!(gate.raw(tollgate_link::Port::B, &error), []);
    gate.rule(|data| data.insert(3, "z".repeat(2000)).unwrap());
    assert_eq!(parts(&gate.bytes(&up(3, 1, "cd")))[0], (2003, 1460));
    gate.finish();
}

/// A stray SYN passes and changes nothing, and an acknowledgment that happens to name the number behind it is one
/// like all others: left as it is, it would be of bytes that nobody has sent.
#[test]
fn an_acknowledgment_of_the_number_behind_a_stray_syn_is_translated() {
    let mut gate = Gate::new();
    gate.rule(|data| data.insert(3, "0123456789").unwrap());
    assert_eq!(gate.put(&up(1, 1, "abc")), [s(1, 1, "abc0123456789")]);
    let stray = Frame::client(13, 0, SYN, b"");
    assert_eq!(gate.put(&stray), [('s', 13, 0, SYN, String::new())]);
    assert_eq!(gate.put(&down(1, 14, "")), [c(1, 4, "")]);
    assert_eq!(gate.put(&down(1, 14, "answer")), [c(1, 4, "answer")]);
    // A refusal of that SYN, by who has forgotten the connection, stays as it is.
    let refusal = Frame::server(0, 14, RST | ACK, b"");
    assert_eq!(gate.put(&refusal), [('c', 0, 14, RST | ACK, String::new())]);
    gate.finish();
}
