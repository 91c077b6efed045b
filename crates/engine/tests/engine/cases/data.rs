//! A: segments as honest senders send them.

use std::time::Duration;

use tollgate_engine::{Config, Reason};
use tollgate_link::Port;
use tollgate_link::memory::MemoryLink;
use tollgate_policy::Phase;
use tollgate_wire::Malformed;

use super::{Script, acks, c, established, leave, pass, pass_all, rebase, up};
use crate::common::{ACK, FIN, Frame, Gate, handshake, small};

pub(super) const SCRIPTS: &[Script] = &[
    ("A04", || {
        let mut gate = established();
        pass_all(&mut gate, &[c(1, "AAAA"), acks(5)]);
        leave(&mut gate, &c(1, "AAAA"), "");
        assert_eq!(up(&mut gate), "AAAA");
    }),
    ("A07", || {
        let mut gate = established();
        pass_all(&mut gate, &[c(1, "AAAA"), acks(5)]);
        assert_eq!(gate.put(&c(3, "AABBBB")), [c(5, "BBBB").crossed()]);
        assert_eq!(up(&mut gate), "AAAABBBB");
    }),
    ("A08", || {
        let mut gate = established();
        pass_all(&mut gate, &[c(5, "BBBB"), Frame::client(9, 1, FIN | ACK, b"")]);
        assert_eq!(gate.wait(Duration::from_secs(7441)), []);
        assert_eq!(gate.turn(), []);
        assert_eq!(up(&mut gate), "");
        assert_eq!(gate.worker.gauges().held_bytes, 0);
        assert_eq!(gate.finish().connections(Phase::Expired), 1);
    }),
    ("A09", || {
        let mut gate = Gate::new();
        let data = c(1, &"0123456789abcdef".repeat(4));
        for frame in handshake().into_iter().chain([data]) {
            pass(&mut gate, &rebase(&frame, 0xffff_fff0));
        }
        assert_eq!(up(&mut gate), "0123456789abcdef".repeat(4));
    }),
    ("A10", || {
        let mut gate = Gate::new();
        let isn = 0xffff_fffc;
        for frame in handshake() {
            pass(&mut gate, &rebase(&frame, isn));
        }
        let (first, second) = (rebase(&c(1, "abcdefgh"), isn), rebase(&c(9, "ijklmnop"), isn));
        pass_all(&mut gate, &[second, first]);
        assert_eq!(up(&mut gate), "abcdefghijklmnop");
    }),
    ("A11", || {
        let mut gate = established();
        let frames: Vec<Frame> =
            (1..=100).map(|seq| Frame::client(seq, 1, ACK, &[seq as u8])).collect();
        for frame in frames.iter().rev() {
            assert_eq!(up(&mut gate), "");
            pass(&mut gate, frame);
        }
        assert_eq!(gate.worker.gauges().held_frames, 0);
        assert_eq!(up(&mut gate).into_bytes(), (1..=100).collect::<Vec<u8>>());
    }),
    ("A12", || {
        let mut gate = established();
        pass(&mut gate, &c(1, "AAAA"));
        for _ in 0..20 {
            pass(&mut gate, &Frame::client(5, 1, ACK, b""));
        }
        pass(&mut gate, &c(5, "BBBB"));
        assert_eq!(up(&mut gate), "AAAABBBB");
    }),
    ("A13", || {
        for len in [0, 1, 4, 5] {
            let mut gate = established();
            let mut bytes = c(1, &"AAAAA"[..len]).bytes();
            assert_eq!(bytes.len(), 60);
            bytes[54 + len..].fill(0xee);
            gate.worker.link_mut().inject(Port::A, &bytes);
            gate.worker.poll(gate.now);
            assert_eq!(gate.worker.link_mut().sent(Port::B), [bytes]);
            assert_eq!(up(&mut gate), "AAAAA"[..len]);
        }
    }),
    ("A14", || malformed(|bytes| set_ip_len(bytes, 1000))),
    ("A15", || malformed(|bytes| set_ip_len(bytes, 39))),
    ("A16", || {
        malformed(|bytes| bytes[46] = 0x40);
        malformed(|bytes| bytes[46] = 0xf0);
    }),
    ("A17", || {
        let link = MemoryLink::with_frames(16, 65_600);
        let mut gate = Gate::with_link(Config { mtu: u32::MAX, ..small() }, link);
        gate.establish();
        pass(&mut gate, &c(1, &"x".repeat(59_000)));
        assert_eq!(up(&mut gate).len(), 59_000);
    }),
];

/// Neither a rule nor the receiver sees it, and not because of a checksum.
#[track_caller]
fn malformed(change: fn(&mut [u8])) {
    let mut gate = established();
    let mut bytes = c(1, "AAAA").bytes();
    change(&mut bytes);
    assert_eq!(gate.put_bytes(Port::A, &bytes), []);
    assert_eq!(up(&mut gate), "");
    let counters = gate.finish();
    assert_eq!(counters.malformed.iter().sum::<u64>(), 1);
    for why in [Malformed::TcpChecksum, Malformed::Ipv4Checksum] {
        assert_eq!(counters.dropped_for(Reason::Malformed(why)), 0);
    }
}

fn set_ip_len(bytes: &mut [u8], len: u16) {
    let old = u16::from_be_bytes([bytes[16], bytes[17]]);
    bytes[16..18].copy_from_slice(&len.to_be_bytes());
    let sum =
        u32::from(!u16::from_be_bytes([bytes[24], bytes[25]])) + u32::from(!old) + u32::from(len);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    bytes[24..26].copy_from_slice(&(!(folded as u16)).to_be_bytes());
}
