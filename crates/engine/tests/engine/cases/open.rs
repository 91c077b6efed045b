//! C: how connections begin.

use std::time::Duration;

use tollgate_engine::{Config, FastOpen, Midstream};
use tollgate_link::Port;

use super::{
    SYN_ACK, Script, acks, c, damaged, down, established, leave, pass, pass_all, s, stamp, stay, up,
};
use crate::common::{ACK, FIN, Frame, Gate, PSH, RST, SYN, handshake, small};

pub(super) const SCRIPTS: &[Script] = &[
    ("C01", || {
        // Scaled only if both say so: a window of 1000, shifted by 7 or not.
        for (server_scales, reaches) in [(true, true), (false, false)] {
            let mut gate = Gate::new();
            let scale = |frame: Frame, yes| Frame {
                options: if yes { vec![1, 3, 3, 7] } else { vec![] },
                window: 1000,
                ..frame
            };
            let [syn, syn_ack, ack] = handshake();
            let frames = [scale(syn, true), scale(syn_ack, server_scales), ack];
            pass_all(&mut gate, &frames);
            pass(&mut gate, &Frame { window: 1000, ..acks(1) });
            let left = gate.put(&c(50_000, "far"));
            assert_eq!(left.len(), usize::from(reaches));
        }
    }),
    ("C02", || {
        let [syn, ..] = handshake();
        pass_all(&mut Gate::new(), &[syn.clone(), syn]);
    }),
    ("C03", || {
        let mut gate = Gate::new();
        let [first, syn_ack, ack] = handshake();
        pass(&mut gate, &first);
        for frame in [Frame::client(0, 0, SYN, b""), syn_ack, ack, c(1, "y")] {
            pass(&mut gate, &super::rebase(&frame, 900_000));
        }
        assert_eq!(up(&mut gate), "y");
    }),
    ("C04", || {
        let mut gate = Gate::new();
        let [syn, syn_ack, ack] = handshake();
        pass(&mut gate, &syn);
        for ack in [0, 2, 77] {
            stay(&mut gate, &Frame::server(0, ack, SYN_ACK, b""));
        }
        pass_all(&mut gate, &[syn_ack, ack]);
    }),
    ("C05", || {
        let mut gate = Gate::new();
        let [syn, p, _] = handshake();
        let q = Frame::server(70_000, 1, SYN_ACK, b"");
        pass_all(&mut gate, &[syn, p, q, Frame::client(1, 70_001, ACK, b"")]);
        pass(&mut gate, &Frame::server(70_001, 1, ACK, b"from q"));
        stay(&mut gate, &Frame { seq: 5001, ..Frame::server(1, 1, ACK, b"from p") });
        assert_eq!(down(&mut gate), "from q");
    }),
    ("C06", || {
        let mut gate = Gate::new();
        for frame in [
            Frame::client(0, 0, SYN, b""),
            Frame::server(0, 0, SYN, b""),
            Frame::client(0, 1, SYN_ACK, b""),
            Frame::server(0, 1, SYN_ACK, b""),
            c(1, "both"),
            Frame::server(1, 5, ACK, b"open"),
        ] {
            pass(&mut gate, &frame);
        }
        assert_eq!((up(&mut gate), down(&mut gate)), ("both".into(), "open".into()));
    }),
    ("C07", || {
        let mut gate = Gate::new();
        gate.put(&Frame::client(0, 0, SYN, b""));
        gate.put(&Frame::server(0, 0, SYN, b""));
        gate.put(&Frame::client(0, 1, SYN_ACK, b""));
        stay(&mut gate, &Frame::server(1, 1, ACK, b""));
        stay(&mut gate, &c(1, "never"));
        assert_eq!(up(&mut gate), "");
    }),
    ("C08", || {
        for fast_open in [FastOpen::Strip, FastOpen::Allow] {
            let mut gate = Gate::with(Config { fast_open, ..small() });
            leave(&mut gate, &Frame::client(0, 0, SYN, b"data"), "");
            assert_eq!(up(&mut gate), "");
        }
    }),
    ("C09", || {
        let mut gate = fast_open("DATA");
        pass(&mut gate, &Frame::server(0, 5, SYN_ACK, b""));
        pass(&mut gate, &Frame::client(5, 1, ACK, b"MORE"));
        assert_eq!(up(&mut gate), "DATAMORE");
        // Where it is not allowed the cookie stays: without payload it asks for nothing.
        leave(&mut Gate::new(), &fast_open_syn("DATA"), "");
    }),
    ("C10", || {
        let mut gate = fast_open("DATA");
        pass_all(&mut gate, &[Frame::server(0, 1, SYN_ACK, b""), c(1, "DATA")]);
        assert_eq!(up(&mut gate), "DATA");
    }),
    ("C11", || {
        let mut gate = fast_open("AAAA");
        pass(&mut gate, &Frame::server(0, 1, SYN_ACK, b""));
        leave(&mut gate, &c(1, "BBBB"), "AAAA");
        assert_eq!(up(&mut gate), "AAAA");
    }),
    ("C12", || {
        let mut gate = Gate::new();
        let [syn, syn_ack, _] = handshake();
        pass_all(&mut gate, &[syn, syn_ack, c(1, "DATA")]);
        assert_eq!(up(&mut gate), "DATA");
    }),
    ("C13", || {
        let mut gate = Gate::new();
        let [syn, ..] = handshake();
        pass(&mut gate, &syn);
        stay(&mut gate, &c(1, "DATA"));
        assert_eq!(up(&mut gate), "");
    }),
    ("C14", || {
        const URG: u8 = 32;
        for flags in [SYN | FIN, SYN | RST, 0, FIN, FIN | PSH | URG] {
            stay(&mut Gate::new(), &Frame::client(0, 0, flags, b"x"));
            let mut gate = established();
            stay(&mut gate, &Frame::client(1, 1, flags, b"x"));
            assert_eq!(up(&mut gate), "");
            pass(&mut gate, &c(1, "y"));
        }
    }),
    ("C15", || {
        let mut gate = established();
        pass(&mut gate, &c(1, "old"));
        let syn = Frame::client(900_000, 0, SYN, b"stray");
        leave(&mut gate, &syn, "");
        pass(&mut gate, &Frame::server(1, 4, ACK, b""));
        pass(&mut gate, &Frame::client(4, 0, RST, b""));
        assert_eq!(gate.events().last().unwrap(), "end reset");
        leave(&mut gate, &syn, "");
        assert_eq!(gate.policy().opened, 2);
    }),
    ("C16", || {
        let mut gate = time_wait();
        pass(&mut gate, &Frame::client(900_000, 0, SYN, b""));
        assert_eq!(gate.policy().opened, 2);
    }),
    ("C17", || {
        let mut gate = time_wait();
        let syn = Frame { seq: 500, ..Frame::client(0, 0, SYN, b"") };
        pass(&mut gate, &stamp(syn, 900, 0));
        assert_eq!(gate.policy().opened, 1);
    }),
    ("C18", || {
        let mut gate = established();
        gate.policy().writes = false;
        for number in 0..20_000_u32 {
            let client =
                format!("198.19.{}.{}:{}", number >> 8 & 0xff, number & 0xff, 1024 + number);
            gate.put(&Frame::client(0, 0, SYN, b"").between(&client, crate::common::SERVER));
            assert!(gate.worker.gauges().half_open <= 1000);
        }
        pass(&mut gate, &c(1, "still here"));
    }),
    ("C19", || {
        let mut gate = Gate::new();
        let scale = |frame: Frame, shift| Frame { options: vec![1, 3, 3, shift], ..frame };
        let [syn, syn_ack, ack] = handshake();
        let ack = Frame { window: 10, ..ack };
        pass_all(&mut gate, &[scale(syn, 20), scale(syn_ack, 0), ack]);
        pass(&mut gate, &s(10 << 14, "x"));
        stay(&mut gate, &s((10 << 14) + 100, "beyond"));
    }),
    ("C20", || {
        let mut gate = Gate::new();
        let [syn, syn_ack, ack] = handshake();
        let options = [&[2, 4, 5, 180, 4, 2, 8, 10][..], &[0, 0, 4, 0, 0, 0, 0, 0], &[1, 3, 3, 7]];
        let rich = Frame { options: options.concat(), ..syn.clone() };
        pass_all(&mut gate, &[rich.clone(), rich, syn, syn_ack, ack]);
        // Neither clock nor shift is agreed.
        pass_all(&mut gate, &[c(1, "plain"), Frame { window: 10, ..acks(6) }]);
        stay(&mut gate, &c(61_000, "beyond"));
        assert_eq!(gate.worker.gauges().held_bytes, 0);
    }),
    ("C21", || {
        let mut gate = Gate::new();
        assert_eq!(gate.put_bytes(Port::A, &damaged(&Frame::client(0, 0, SYN, b""))), []);
        assert_eq!(gate.worker.gauges().half_open, 0);
        assert_eq!(gate.policy().opened, 0);
    }),
    ("C22", || {
        let mut gate = Gate::new();
        let [syn, ..] = handshake();
        pass(&mut gate, &syn);
        stay(&mut gate, &Frame::server(0, 2, RST | ACK, b""));
        pass(&mut gate, &Frame::server(0, 1, RST | ACK, b""));
        assert_eq!(gate.events().last().unwrap(), "end syn_sent");
    }),
    ("C23", || {
        let mut gate = Gate::new();
        let [syn, syn_ack, ack] = handshake();
        pass_all(&mut gate, &[syn, syn_ack]);
        stay(&mut gate, &Frame::client(100, 0, SYN, b""));
        pass_all(&mut gate, &[ack, c(1, "alive")]);
    }),
    ("C24", || {
        let ack = Frame::client(1, 1, ACK, b"");
        stay(&mut Gate::new(), &ack);
        for (midstream, flows) in [(Midstream::Pass, 0), (Midstream::Pickup, 1)] {
            let mut gate = Gate::with(Config { midstream, ..small() });
            pass(&mut gate, &ack);
            assert_eq!(gate.worker.gauges().flows.iter().sum::<u64>(), flows);
        }
    }),
];

fn fast_open_syn(payload: &str) -> Frame {
    let options = vec![34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1];
    Frame { options, ..Frame::client(0, 0, SYN, payload.as_bytes()) }
}

/// A worker that allows it, and has seen the SYN.
fn fast_open(payload: &str) -> Gate {
    let mut gate = Gate::with(Config { fast_open: FastOpen::Allow, ..small() });
    pass(&mut gate, &fast_open_syn(payload));
    assert_eq!(up(&mut gate), payload);
    gate
}

/// With timestamps, the client's last being 1000. The server closed first, so that it is the one that waits.
fn time_wait() -> Gate {
    let mut gate = super::established_with_timestamps();
    for frame in [
        stamp(Frame::server(1, 1, FIN | ACK, b""), 2000, 1000),
        stamp(Frame::client(1, 2, FIN | ACK, b""), 1000, 2000),
        stamp(Frame::server(2, 2, ACK, b""), 2000, 1000),
    ] {
        pass(&mut gate, &frame);
    }
    assert_eq!(gate.events().last().unwrap(), "end time_wait");
    gate.wait(Duration::from_secs(1));
    gate
}
