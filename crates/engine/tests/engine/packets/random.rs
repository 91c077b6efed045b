//! Whatever rules write into frames, and whatever they make, every frame has its fate.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;
use tollgate_engine::{Config, Follow, OtherTraffic};
use tollgate_link::Port;
use tollgate_policy::{FrameEdit, Injected, Interest, Route, Side, Verdict};

use super::policy::{Booth, FRAMES, Looker};
use super::traffic::{arp, cut, cut6, fix, ping, udp, udp6};
use crate::common::{ACK, FIN, Frame, Program, RST, SYN, handshake, small};

/// Does with a frame what a program says.
fn meddle(
    program: &mut Program<'_>,
    frame: &mut FrameEdit<'_>,
    injected: &mut VecDeque<Injected>,
) -> Verdict {
    match program.byte() % 12 {
        0 => {
            let len = usize::from(program.byte()) * 9;
            let mut other = frame.bytes().to_vec();
            other.resize(len, program.byte());
            frame.replace(other);
        }
        1 | 2 => {
            for _ in 0..program.byte() % 8 {
                let at = usize::from(program.byte());
                let value = program.byte();
                if let Some(byte) = frame.bytes_mut().get_mut(at) {
                    *byte = value;
                }
            }
        }
        3 => {
            let (at, value) = (usize::from(program.byte()), program.byte());
            if let Some(byte) = frame.bytes_mut().get_mut(at) {
                *byte = value;
            }
            let header = 14 + usize::from(frame.bytes().get(14).map_or(0, |first| first & 15)) * 4;
            if frame.bytes().len() >= header.max(34) {
                fix(frame.bytes_mut());
            }
        }
        4 | 5 => {
            for _ in 0..program.byte() % 4 {
                let mut bytes = frame.bytes().to_vec();
                let at = usize::from(program.byte());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= program.byte();
                }
                let from = if program.byte() & 1 == 0 { Side::A } else { Side::B };
                let route = if program.byte() & 1 == 0 { Route::Send } else { Route::Receive };
                injected.push_back(Injected { frame: bytes, from, route });
            }
        }
        6 => return Verdict::ALL[usize::from(program.byte()) % Verdict::ALL.len()],
        _ => {}
    }
    Verdict::Accept
}

fn traffic() -> Vec<(Port, Vec<u8>)> {
    let tcp = [
        Frame::client(1, 1, ACK, b"some bytes of a stream"),
        Frame::server(1, 23, ACK, b"and of its answer"),
        Frame::client(30, 1, ACK, b"behind a gap"),
        Frame::client(23, 1, ACK, b"fills g"),
        Frame::client(99, 1, RST, b""),
        Frame::server(18, 23, FIN | ACK, b""),
        Frame::client(0, 0, SYN, b""),
    ];
    let mut all: Vec<_> = handshake().iter().map(|frame| (frame.port(), frame.bytes())).collect();
    for (number, frame) in tcp.iter().enumerate() {
        all.push((frame.port(), frame.bytes()));
        let id = number as u16;
        let others = [udp(b"u"), udp6(b"v"), ping(), arp()];
        all.push((Port::A, others[number % 4].clone()));
        let pieces = if number % 2 == 0 {
            cut(&udp(&[9; 90]), &[16, 32], id)
        } else {
            cut6(&udp6(&[9; 90]), &[16, 32], u32::from(id))
        };
        all.extend(pieces.into_iter().map(|piece| (Port::B, piece)));
        all.extend(frame.fragments(16, id).into_iter().map(|piece| (frame.port(), piece)));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn rules_that_write_anything_anywhere_unbalance_nothing(
        program in vec(any::<u8>(), 0..4000),
        stateless in any::<bool>(),
        follow in any::<bool>(),
        drops in any::<bool>(),
        order in vec(any::<u16>(), 0..40),
        batch in 1_usize..5,
    ) {
        let mut interest = FRAMES | Interest::INJECT | Interest::EVENTS;
        interest.set(Interest::STATELESS, stateless);
        let config = Config {
            follow: if follow { Follow::Always } else { Follow::AsRules },
            other: if drops { OtherTraffic::Drop } else { OtherTraffic::Pass },
            fragments_max: 20,
            mtu: 600,
            ..small()
        };
        let mut at = 0;
        let policy = Looker::new(interest, move |_, frame, injected| {
            let mut rest = Program(program.get(at..).unwrap_or_default());
            let before = rest.0.len();
            let verdict = meddle(&mut rest, frame, injected);
            at += before - rest.0.len();
            verdict
        });
        let mut booth = Booth::with(config, policy);
        let mut frames = traffic();
        for place in order {
            let (from, len) = (usize::from(place), frames.len());
            frames.swap(from % len, (from / 7) % len);
        }
        for batch in frames.chunks(batch) {
            booth.put_all(batch);
        }
        booth.finish();
    }
}
