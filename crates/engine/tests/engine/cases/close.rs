//! E and F: how connections end, by their own will and by a rule's.

use std::time::Duration;

use tollgate_link::Port;
use tollgate_policy::Verdict;

use super::{
    Script, acks, c, damaged, established, established_with_timestamps, leave, pass, pass_all, s,
    signed, stamp, stay, up,
};
use crate::common::{ACK, FIN, Frame, Gate, RST, SYN, Seen, handshake};

pub(super) const SCRIPTS: &[Script] = &[
    ("E01", || {
        let mut gate = established();
        pass_all(&mut gate, &[c(1, "AAAA"), fin(5, ""), acks(6)]);
        pass_all(&mut gate, &[Frame::server(1, 6, FIN | ACK, b""), Frame::client(6, 2, ACK, b"")]);
        assert_eq!(gate.events().last().unwrap(), "end time_wait");
        // It is kept: a FIN that comes again passes.
        pass(&mut gate, &Frame::server(1, 6, FIN | ACK, b""));
    }),
    ("E02", || {
        let mut gate = established();
        pass_all(&mut gate, &[fin(5, "BBBB"), c(1, "AAAA")]);
        assert_eq!(gate.events().last().unwrap(), "data up AAAABBBB end");
    }),
    ("E03", || {
        let mut gate = established();
        pass(&mut gate, &fin(5, ""));
        leave(&mut gate, &c(1, "abcdEVIL"), "abcd");
        assert_eq!(gate.events().last().unwrap(), "data up abcd end");
    }),
    ("E04", || {
        let mut gate = established();
        pass(&mut gate, &fin(5, "WXYZ"));
        let early = fin(1, "abcd");
        let without = Seen { flags: ACK, ..early.crossed() };
        assert_eq!(gate.put(&early), [without]);
        assert_eq!(gate.events().last().unwrap(), "data up abcdWXYZ end");
    }),
    ("E05", || {
        let mut gate = established();
        pass(&mut gate, &fin(1, "AAAA"));
        assert_eq!(gate.events().last().unwrap(), "data up AAAA end");
        stay(&mut gate, &c(6, "MORE"));
        assert_eq!(up(&mut gate), "AAAA");
    }),
    ("E06", || ignored(Frame::client(1, 1, FIN, b""))),
    ("E07", || {
        let mut gate = established();
        pass(&mut gate, &fin(11, ""));
        pass(&mut gate, &c(1, "0123456789"));
        assert_eq!(gate.events().last().unwrap(), "data up 0123456789 end");
    }),
    ("E08", || ignored(Frame::client(1, 1_000_001, FIN | ACK, b""))),
    ("E09", || {
        let mut gate = established();
        pass_all(&mut gate, &[c(1, "AAAA"), rst(5)]);
        assert_eq!(gate.events().last().unwrap(), "end reset");
    }),
    // Its receiver is made to say what it expects, as it would say to the RST.
    ("E10", || {
        let mut gate = established();
        assert_eq!(gate.put(&rst(100)), [Frame::client(0, 1, ACK, b"").crossed()]);
        pass_all(&mut gate, &[c(1, "alive"), s(1, "too")]);
        assert_eq!(up(&mut gate), "alive");
    }),
    ("E11", || {
        let mut gate = established();
        pass(&mut gate, &c(5, "BBBB"));
        assert_eq!(gate.put(&rst(9)), [Frame::client(0, 1, ACK, b"").crossed()]);
        pass(&mut gate, &c(1, "AAAA"));
        assert_eq!(up(&mut gate), "AAAABBBB");
    }),
    ("E12", || {
        let mut gate = established();
        assert_eq!(gate.put_bytes(Port::A, &damaged(&rst(1))), []);
        pass(&mut gate, &c(1, "alive"));
    }),
    ("E13", || {
        let mut gate = established_with_timestamps();
        pass(&mut gate, &stamp(rst(1), 1, 2000));
        assert_eq!(gate.events().last().unwrap(), "end reset");
    }),
    ("E14", || ignored(signed(rst(1)))),
    ("E15", || ignored(Frame::client(1, 1_000_001, RST | ACK, b""))),
    ("E16", || {
        let mut gate = established();
        pass(&mut gate, &c(1, "01234567890123456789"));
        stay(&mut gate, &Frame::client(11, 1, RST, &[b'x'; 20]));
        pass(&mut gate, &c(21, "alive"));
    }),
    ("E17", || {
        let mut gate = established();
        leave(&mut gate, &Frame::client(1, 1, RST, b"seventeen bytes.."), "");
        assert_eq!(up(&mut gate), "");
        assert_eq!(gate.events().last().unwrap(), "end reset");
    }),
    ("E18", || {
        let mut gate = established();
        pass_all(&mut gate, &[fin(1, ""), acks(2), rst(1)]);
        assert_eq!(gate.events().last().unwrap(), "end reset");
    }),
    ("E19", || {
        let mut gate = established();
        pass(&mut gate, &rst(1));
        let out = gate.put(&Frame::client(1, 1, ACK, b"late"));
        assert_eq!(rsts(&out), [(TO_CLIENT, 5001, None)]);
        assert_eq!(up(&mut gate), "");
    }),
    ("E20", || {
        let mut gate = established();
        gate.policy().writes = false;
        pass_all(&mut gate, &[fin(1, ""), acks(2)]);
        for chunk in 0..1000 {
            let at = 1 + chunk * 1000;
            pass(&mut gate, &Frame::server(at, 2, ACK, &[7; 1000]));
            pass(&mut gate, &Frame::client(2, at + 1000, ACK, b""));
        }
        pass(&mut gate, &Frame::server(1_000_001, 2, FIN | ACK, b""));
        assert_eq!(super::down(&mut gate).len(), 1_000_000);
    }),
    // The time to live is raised, so that the connection ends at both ends: the data after it is
    // nobody's. (The other choice of the case is to drop the RST. Middleboxes in front of a server
    // send honest ones from elsewhere, which would then never arrive.)
    ("E21", || {
        let mut gate = established();
        pass(&mut gate, &c(1, "data"));
        let short = Frame { ttl: 1, ..rst(5) };
        assert_eq!(gate.put(&short), [Seen { ttl: 63, ..short.crossed() }]);
        assert_eq!(rsts(&gate.put(&c(5, "more"))), [(TO_CLIENT, 5001, None)]);
        assert_eq!(up(&mut gate), "data");
    }),
    ("F01", || {
        let mut gate = established();
        gate.policy().on_packet = Verdict::Reset;
        let out = gate.put(&Frame::client(1, 1, ACK, b""));
        assert_eq!(rsts(&out), [(TO_CLIENT, 5001, None), (TO_SERVER, 1001, None)]);
    }),
    ("F02", || {
        let mut gate = established();
        gate.policy().on_data = Verdict::Reset;
        let out = gate.put(&c(1, "refused!"));
        assert_eq!(rsts(&out), [(TO_CLIENT, 5001, None), (TO_SERVER, 1001, None)]);
    }),
    ("F03", || {
        reset_in_flight();
    }),
    ("F04", || {
        let mut gate = reset_in_flight();
        assert_eq!(rsts(&gate.put(&acks(9))), [(TO_SERVER, 1009, None)]);
    }),
    ("F05", || {
        let mut gate = established();
        gate.policy().on_data = Verdict::HalfReset;
        assert_eq!(rsts(&gate.put(&c(1, "refused!"))), [(TO_SERVER, 1001, None)]);
        stay(&mut gate, &c(1, "refused!"));
    }),
    ("F06", || {
        let mut gate = Gate::new();
        let [syn, ..] = handshake();
        gate.policy().on_new = Verdict::Reset;
        assert_eq!(rsts(&gate.put(&syn)), [(TO_CLIENT, 0, Some(1001))]);
    }),
    ("F07", || {
        let mut gate = Gate::new();
        let [syn, syn_ack, ack] = handshake();
        pass_all(&mut gate, &[syn, syn_ack]);
        gate.policy().on_packet = Verdict::HalfReset;
        assert_eq!(rsts(&gate.put(&ack)), [(TO_SERVER, 1001, None)]);
    }),
    ("F08", || {
        let mut gate = established();
        pass_all(&mut gate, &[c(1, "AAAA"), fin(5, ""), acks(6)]);
        gate.policy().on_data = Verdict::HalfReset;
        let out = gate.put(&Frame::server(1, 6, ACK, b"refused"));
        assert_eq!(rsts(&out), [(TO_SERVER, 1006, None)]);
    }),
    ("F09", || {
        let mut gate = Gate::new();
        for frame in handshake() {
            pass(&mut gate, &signed(frame));
        }
        gate.policy().on_data = Verdict::Reset;
        stay(&mut gate, &signed(c(1, "refused")));
        stay(&mut gate, &signed(s(1, "late")));
        assert_eq!(gate.finish().rsts, 0);
    }),
    ("F11", || {
        let mut gate = reset_in_flight();
        pass(&mut gate, &Frame::client(900_000, 0, SYN, b""));
        assert_eq!(gate.policy().opened, 2);
    }),
    ("F12", || {
        let mut gate = reset_in_flight();
        gate.policy().writes = false;
        let mut told = 0;
        for _ in 0..3000 {
            gate.wait(Duration::from_millis(99));
            told += rsts(&gate.put(&c(9, "refused!"))).len();
        }
        assert!((1400..1600).contains(&told), "{told} RSTs in five minutes");
    }),
];

const TO_SERVER: Port = Port::B;
const TO_CLIENT: Port = Port::A;

fn fin(seq: u32, bytes: &str) -> Frame {
    Frame::client(seq, 1, FIN | ACK, bytes.as_bytes())
}

fn rst(seq: u32) -> Frame {
    Frame::client(seq, 1, RST, b"")
}

/// It changes nothing: neither end of the connection hears of it, and data goes on.
#[track_caller]
fn ignored(frame: Frame) {
    let mut gate = established();
    stay(&mut gate, &frame);
    pass_all(&mut gate, &[c(1, "alive"), s(1, "too")]);
    assert_eq!(up(&mut gate), "alive");
}

/// (leaves at, sequence number, acknowledgment) of each; nothing else has left.
#[track_caller]
fn rsts(out: &[Seen]) -> Vec<(Port, u32, Option<u32>)> {
    out.iter()
        .map(|seen| {
            assert!(seen.has(RST) && seen.payload.is_empty(), "{seen:?}");
            (seen.port, seen.seq, seen.has(ACK).then_some(seen.ack))
        })
        .collect()
}

/// Bytes 1 to 9 have left, the next eight are refused.
fn reset_in_flight() -> Gate {
    let mut gate = established();
    pass(&mut gate, &c(1, "forward."));
    gate.policy().on_data = Verdict::Reset;
    let out = gate.put(&c(9, "refused!"));
    assert_eq!(
        rsts(&out),
        [(TO_CLIENT, 5001, None), (TO_SERVER, 1001, None), (TO_SERVER, 1009, None)]
    );
    gate
}
