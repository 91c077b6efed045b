//! D: windows, acknowledgments, timestamps, options.

use tollgate_link::Port;

use super::{
    Script, acks, c, down, established, established_with_timestamps, established_with_window,
    leave, pass, pass_all, s, stamp, stay, up,
};
use crate::common::{ACK, CLIENT_ISN, Frame, Gate, PSH, SYN};

const URG: u8 = 32;

pub(super) const SCRIPTS: &[Script] = &[
    ("D01", || {
        let mut gate = established();
        stay(&mut gate, &c(70_001, "beyond"));
        assert_eq!((up(&mut gate), gate.worker.gauges().held_bytes), (String::new(), 0));
    }),
    ("D02", || {
        let mut gate = established_with_window(100);
        pass(&mut gate, &c(1, &"x".repeat(90)));
        leave(&mut gate, &c(91, "inside....and beyond"), "inside....");
        assert_eq!(up(&mut gate).len(), 100);
    }),
    ("D03", || {
        let mut gate = closed_window();
        pass(&mut gate, &c(5, "Z"));
        assert_eq!(up(&mut gate), "AAAAZ");
    }),
    ("D04", || {
        let mut gate = closed_window();
        pass(&mut gate, &c(5, "Z"));
        pass(&mut gate, &Frame { window: 100, ..acks(5) });
        leave(&mut gate, &c(5, "BBBB"), "ZBBB");
        assert_eq!(up(&mut gate), "AAAAZBBB");
    }),
    ("D05", || {
        let mut gate = established();
        pass_all(&mut gate, &[c(1, "AAAA"), acks(5)]);
        pass(&mut gate, &Frame::client(4, 1, ACK, b""));
        leave(&mut gate, &Frame::client(4, 1, ACK, b"?"), "");
        assert_eq!(up(&mut gate), "AAAA");
    }),
    ("D06", || refused(Frame::client(1, 1001, ACK, b"DATA"))),
    ("D07", || refused(Frame::client(1, 1_u32.wrapping_sub(70_000), ACK, b"DATA"))),
    ("D08", || refused(Frame::client(1, 1, PSH, b"DATA"))),
    ("D09", || {
        let mut gate = established();
        // It has left, but its receiver cannot have read it.
        pass(&mut gate, &c(5, "late"));
        stay(&mut gate, &acks(9));
    }),
    ("D10", || {
        let mut gate = established();
        pass_all(&mut gate, &[c(1, "AAAA"), c(9, "early")]);
        for (right, honest) in [(13, true), (14, true), (15, false)] {
            let mut options = vec![1, 1, 5, 10];
            options.extend((CLIENT_ISN + 9).to_be_bytes());
            options.extend((CLIENT_ISN + right).to_be_bytes());
            let expected = if honest { options.clone() } else { vec![1; 12] };
            gate.worker.link_mut().inject(Port::B, &Frame { options, ..acks(1) }.bytes());
            gate.worker.poll(gate.now);
            let out = gate.worker.link_mut().sent(Port::A);
            assert_eq!(out[0][54..66], expected);
        }
    }),
    ("D11", || {
        let mut gate = established();
        pass(&mut gate, &c(1, "AAAA"));
        for window in [60_000, 60_000, 60_000, 61_000, 59_000, 0] {
            pass(&mut gate, &Frame { window, ..acks(1) });
        }
    }),
    ("D12", || {
        let mut gate = established_with_timestamps();
        pass(&mut gate, &stamp(c(1, "AAAA"), 999, 2000));
        stay(&mut gate, &stamp(c(5, "BBBB"), 998, 2000));
        assert_eq!(up(&mut gate), "AAAA");
    }),
    ("D13", || {
        let mut gate = established_with_timestamps();
        pass(&mut gate, &c(1, "AAAA"));
        assert_eq!(up(&mut gate), "AAAA");
    }),
    ("D14", || {
        let mut gate = established_with_timestamps();
        stay(&mut gate, &stamp(c(1, "AAAA"), 0, 2000));
        assert_eq!(up(&mut gate), "");
    }),
    ("D15", || {
        let mut gate = established_with_timestamps();
        pass(&mut gate, &stamp(c(5, "BBBB"), 1005, 2000));
        pass(&mut gate, &stamp(c(1, "AAAA"), 1001, 2000));
        assert_eq!(up(&mut gate), "AAAABBBB");
    }),
    ("D16", || {
        let mut gate = established_with_timestamps();
        pass(&mut gate, &stamp(c(1, "AAAA"), 1000 + (u32::MAX >> 1), 2000));
        assert_eq!(up(&mut gate), "AAAA");
    }),
    ("D17", || urgent(&[("ABC", 2)])),
    ("D18", || urgent(&[("ABC", 0)])),
    ("D19", || urgent(&[("ABC", 6), ("DEFGH", 0)])),
    ("D20", || {
        for options in [vec![3, 0, 1, 1], vec![8, 10, 1, 1]] {
            refused(Frame { options, ..c(1, "DATA") });
        }
    }),
    ("D21", || {
        let mut gate = established();
        pass(&mut gate, &Frame { options: vec![253, 4, 1, 2], ..c(1, "DATA") });
        assert_eq!(up(&mut gate), "DATA");
    }),
    ("D22", || {
        const ECE_CWR: [u8; 4] = [0, 0x40, 0x80, 0xc0];
        let mut gate = established();
        for (at, bits) in ECE_CWR.into_iter().enumerate() {
            let [plain, accurate] = [0, 1].map(|ae| {
                let seq = 1 + 2 * at as u32 + u32::from(ae);
                let mut bytes = Frame { flags: ACK | bits, ..c(seq, "x") }.bytes();
                // AE is the lowest bit of the data offset's byte, and counts 256 in the checksum.
                bytes[46] |= ae;
                let sum = u16::from_be_bytes([bytes[50], bytes[51]]);
                let (less, borrow) = sum.overflowing_sub(u16::from(ae) << 8);
                bytes[50..52].copy_from_slice(&(less - u16::from(borrow)).to_be_bytes());
                bytes
            });
            for bytes in [plain, accurate] {
                assert_eq!(gate.put_raw(Port::A, &bytes), [(Port::B, bytes)]);
            }
        }
        assert_eq!(up(&mut gate), "x".repeat(8));
    }),
    ("D23", || refused(Frame::client(1, 1, SYN | ACK | PSH, b"DATA"))),
    ("D24", || {
        let mut gate = established();
        leave(&mut gate, &Frame::client(900_000, 0, SYN, b"DATA"), "");
        assert_eq!(up(&mut gate), "");
        pass_all(&mut gate, &[c(1, "alive"), s(1, "too")]);
        assert_eq!(down(&mut gate), "too");
    }),
];

/// Its bytes are seen by nobody, and the connection goes on.
#[track_caller]
fn refused(frame: Frame) {
    let mut gate = established();
    stay(&mut gate, &frame);
    assert_eq!(up(&mut gate), "");
    pass(&mut gate, &c(1, "alive"));
}

/// The server's window is four bytes wide, and full.
fn closed_window() -> Gate {
    let mut gate = established_with_window(4);
    pass_all(&mut gate, &[c(1, "AAAA"), Frame { window: 0, ..acks(5) }]);
    gate
}

/// Segments with URG and a pointer leave as if they had neither.
#[track_caller]
fn urgent(segments: &[(&str, u16)]) {
    let mut gate = established();
    let (mut seq, mut all) = (1, String::new());
    for &(bytes, pointer) in segments {
        let plain = c(seq, bytes);
        let frame = Frame { flags: plain.flags | URG, urgent: pointer, ..plain.clone() };
        gate.worker.link_mut().inject(Port::A, &frame.bytes());
        gate.worker.poll(gate.now);
        assert_eq!(gate.worker.link_mut().sent(Port::B), [plain.bytes()]);
        seq += bytes.len() as u32;
        all += bytes;
    }
    assert_eq!(up(&mut gate), all);
}
