//! The steering program, packet by packet: what it decides, and which counter moves. It runs in the
//! kernel (BPF_PROG_TEST_RUN), attached to nothing.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
#![expect(clippy::print_stdout, reason = "says when it is skipped")]

mod cases;
mod shunts;

use std::time::Duration;

use cases::{
    IPV4, IPV6, Kind, SERVICE_VLAN, TCP, VLAN, cases, ethernet, icmp_cases, ipv4, sized, whole,
};
use tollgate_link::xsk::{
    Fail, OtherFrames, Verdict, VerdictCount,
    steer::{SteerConfig, SteerProgram, Storage},
};

const XDP_ABORTED: u32 = 0;
const XDP_DROP: u32 = 1;
const XDP_REDIRECT: u32 = 4;

/// The loopback interface: as good a peer as any, since nothing is sent.
const LOOPBACK: u32 = 1;

fn is_root() -> bool {
    let root = nix::unistd::Uid::effective().is_root();
    if !root {
        println!("skipped: loading a BPF program needs root");
    }
    root
}

/// Runs each case and holds verdict, return code and counters against what `expected` says.
fn hold(
    program: &SteerProgram<'_>,
    cases: &[(&str, Vec<u8>, Kind)],
    expected: impl Fn(Kind) -> (Verdict, u32),
) {
    for (description, frame, kind) in cases {
        let before = program.counts().unwrap();
        let code = program.run(frame).unwrap();
        let after = program.counts().unwrap();
        let (verdict, expected_code) = expected(*kind);
        assert_eq!(code, expected_code, "{description}: return code");
        for (each, count) in after.iter() {
            let VerdictCount { frames, bytes } = before.of(each);
            let moved = (count.frames - frames, count.bytes - bytes);
            let one = (1, frame.len() as u64);
            let expected = if each == verdict { one } else { (0, 0) };
            assert_eq!(moved, expected, "{description}: counter {}", each.name());
        }
    }
}

fn loaded<'storage>(
    storage: &'storage mut Storage,
    other: OtherFrames,
    fail: Fail,
) -> SteerProgram<'storage> {
    let config = SteerConfig { other, fail, stale: Duration::ZERO, shunts: 4 };
    let program = SteerProgram::load(storage, &config).unwrap();
    program.set_peer(LOOPBACK).unwrap();
    program
}

#[test]
fn with_sockets_tcp_and_the_malformed_go_to_them_and_the_rest_as_configured() {
    if !is_root() {
        return;
    }
    for (other, verdict, code) in [
        (OtherFrames::Kernel, Verdict::OtherKernel, XDP_REDIRECT),
        (OtherFrames::User, Verdict::OtherUser, XDP_REDIRECT),
        (OtherFrames::Drop, Verdict::OtherDropped, XDP_DROP),
    ] {
        let mut storage = Storage::default();
        let program = loaded(&mut storage, other, Fail::Closed);
        let _socket = program.lend_socket().unwrap();
        hold(&program, &cases(), |kind| match kind {
            Kind::Tcp => (Verdict::ToSocket, XDP_REDIRECT),
            Kind::Malformed => (Verdict::Malformed, XDP_REDIRECT),
            Kind::Other => (verdict, code),
        });
    }
}

#[test]
fn without_a_socket_frames_fail_to_wire_or_closed() {
    if !is_root() {
        return;
    }
    for (fail, verdict, code) in [
        (Fail::Wire, Verdict::NoSocketWire, XDP_REDIRECT),
        (Fail::Closed, Verdict::NoSocketClosed, XDP_DROP),
    ] {
        let mut storage = Storage::default();
        let program = loaded(&mut storage, OtherFrames::Kernel, fail);
        hold(&program, &cases(), |kind| match kind {
            Kind::Tcp | Kind::Malformed => (verdict, code),
            Kind::Other => (Verdict::OtherKernel, XDP_REDIRECT),
        });
        let mut storage = Storage::default();
        let program = loaded(&mut storage, OtherFrames::User, fail);
        hold(&program, &cases(), |_| (verdict, code));
    }
}

#[test]
fn a_socket_that_closes_leaves_the_program_by_itself() {
    if !is_root() {
        return;
    }
    let mut storage = Storage::default();
    let program = loaded(&mut storage, OtherFrames::Kernel, Fail::Wire);
    let tcp = [("TCP", ethernet(&[], IPV4, &ipv4(TCP)), Kind::Tcp)];
    let socket = program.lend_socket().unwrap();
    hold(&program, &tcp, |_| (Verdict::ToSocket, XDP_REDIRECT));
    drop(socket);
    hold(&program, &tcp, |_| (Verdict::NoSocketWire, XDP_REDIRECT));
}

#[test]
fn a_worker_that_never_turned_is_bypassed() {
    if !is_root() {
        return;
    }
    let mut storage = Storage::default();
    let config = SteerConfig { stale: Duration::from_millis(20), ..SteerConfig::default() };
    let program = SteerProgram::load(&mut storage, &config).unwrap();
    program.set_peer(LOOPBACK).unwrap();
    let _socket = program.lend_socket().unwrap();
    hold(&program, &cases(), |kind| match kind {
        Kind::Tcp | Kind::Malformed => (Verdict::Bypassed, XDP_REDIRECT),
        Kind::Other => (Verdict::OtherKernel, XDP_REDIRECT),
    });
}

#[test]
fn without_a_peer_what_should_cross_is_aborted_and_counted() {
    if !is_root() {
        return;
    }
    let mut storage = Storage::default();
    let config = SteerConfig { stale: Duration::ZERO, ..SteerConfig::default() };
    let program = SteerProgram::load(&mut storage, &config).unwrap();
    hold(&program, &cases(), |_| (Verdict::Aborted, XDP_ABORTED));
}

#[test]
fn a_frame_cut_anywhere_has_one_verdict_and_never_aborts() {
    if !is_root() {
        return;
    }
    let mut storage = Storage::default();
    let program = loaded(&mut storage, OtherFrames::Drop, Fail::Closed);
    let _socket = program.lend_socket().unwrap();
    let mut runs = 0;
    for (description, frame, _) in cases() {
        for len in 0..frame.len().min(61) {
            let run = program.run(&frame[..len]);
            if len < 14 {
                assert!(run.is_err(), "the kernel runs no frame without a header");
                continue;
            }
            runs += 1;
            assert!(matches!(run, Ok(XDP_DROP | XDP_REDIRECT)), "{description} cut at {len}");
        }
    }
    let counts = program.counts().unwrap();
    assert_eq!(counts.frames(), runs);
    assert_eq!(counts.of(Verdict::Aborted).frames, 0);
}

#[test]
fn noise_has_one_verdict_and_never_aborts() {
    if !is_root() {
        return;
    }
    let mut storage = Storage::default();
    let program = loaded(&mut storage, OtherFrames::Drop, Fail::Closed);
    let _socket = program.lend_socket().unwrap();
    // xorshift, from a fixed seed: each run is the same.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let types = [IPV4, IPV6, VLAN, SERVICE_VLAN];
    for _ in 0..20_000 {
        let len = usize::try_from(next() % 120).unwrap();
        let mut payload: Vec<_> = (0..len).map(|_| next().to_le_bytes()[0]).collect();
        // Most noise would fail at the first nibble.
        if let Some(first) = payload.first_mut() {
            *first = if next() % 2 == 0 { 0x45 } else { 0x60 };
        }
        if let Some(protocol) = payload.get_mut(6) {
            *protocol %= 64;
        }
        let index = usize::try_from(next() % 4).unwrap();
        let code = program.run(&ethernet(&[], types[index], &payload)).unwrap();
        assert!(code == XDP_DROP || code == XDP_REDIRECT);
    }
    let counts = program.counts().unwrap();
    assert_eq!(counts.frames(), 20_000);
    assert_eq!(counts.of(Verdict::Aborted).frames, 0);
}

/// Frames that the program must never let cross unseen: those that `tollgate_wire` reads as TCP, or as
/// a fragment of it, and ICMP errors that it has anything to say about. The two were written apart,
/// each from the RFCs.
#[test]
fn what_the_parser_takes_for_tcp_never_crosses_unseen() {
    use tollgate_wire::{IcmpError, Packet, Refusal};

    if !is_root() {
        return;
    }
    let mut storage = Storage::default();
    let program = loaded(&mut storage, OtherFrames::Drop, Fail::Closed);
    let _socket = program.lend_socket().unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    type Seed = (Vec<u8>, fn(Vec<u8>) -> Vec<u8>);
    let seed = |fix: fn(Vec<u8>) -> Vec<u8>| move |(_, frame, _)| (fix(frame), fix);
    let mut seeds: Vec<Seed> = cases().into_iter().map(seed(whole)).collect();
    seeds.extend(icmp_cases().into_iter().map(seed(sized)));
    let (mut tcp, mut icmp) = (0, 0);
    for round in 0..30_000 {
        let (mut frame, fix) = seeds[round % seeds.len()].clone();
        // The first round is of the seeds as they are.
        if round >= seeds.len() && !frame.is_empty() {
            let place = next(frame.len());
            frame[place] = [0, 1, 3, 6, 17, 43, 44, 51, 58, 60, 0x45, 0x60, 255][next(13)];
            frame = fix(frame);
        }
        let (is_tcp, is_icmp) = match Packet::parse(frame.as_slice()).map_err(|no| no.why) {
            Ok(_) | Err(Refusal::Fragment) => (true, false),
            Err(Refusal::Other(_)) => (false, IcmpError::parse(&frame) != Ok(None)),
            Err(Refusal::Malformed(_)) => (false, false),
        };
        let seen = program.run(&frame).unwrap() == XDP_REDIRECT;
        assert!(seen || !(is_tcp || is_icmp), "crossed unseen: {frame:02x?}");
        tcp += usize::from(is_tcp);
        icmp += usize::from(is_icmp);
    }
    assert!(icmp > 2_000, "{icmp} of 30000 are too few to show anything");
    assert!(tcp > 5_000, "{tcp} of 30000 are too few to show anything");
}
