//! Shunted connections: which frames cross unseen, which still come up, and what is known of them
//! afterwards. The oracle is the table of the memory link, which reads with the parser of user space.

use std::time::Duration;

use tollgate_link::Port;
use tollgate_link::shunt::{Edges, Fate, NoShunt, Shunt, Shunts, Way};
use tollgate_link::xsk::Fail;
use tollgate_link::xsk::steer::{SteerConfig, SteerProgram, Storage};
use tollgate_link::xsk::{OtherFrames, Verdict};
use tollgate_wire::{Flags, Packet, Seq};

use crate::cases::{IPV4, IPV6, SERVICE_VLAN, VLAN};
use crate::{LOOPBACK, XDP_DROP, XDP_REDIRECT, is_root, loaded};

/// A segment; with whole headers and a right IP checksum.
#[derive(Clone, Copy)]
struct Sent {
    vlans: &'static [(u16, u16)],
    v6: bool,
    ports: (u16, u16),
    seq: u32,
    ack: u32,
    flags: Flags,
    window: u16,
    options: usize,
    len: usize,
}

const ACK: Flags = Flags::ACK;
const PLAIN: Sent = Sent {
    vlans: &[],
    v6: false,
    ports: (4000, 80),
    seq: 1000,
    ack: 500,
    flags: ACK,
    window: 10,
    options: 0,
    len: 100,
};
const TAGGED: &[(u16, u16)] = &[(VLAN, 0x2007)];
const TWICE: &[(u16, u16)] = &[(SERVICE_VLAN, 7), (VLAN, 9)];

fn frame(sent: &Sent) -> Vec<u8> {
    let mut tcp = vec![0; 20 + sent.options];
    tcp[0..2].copy_from_slice(&sent.ports.0.to_be_bytes());
    tcp[2..4].copy_from_slice(&sent.ports.1.to_be_bytes());
    tcp[4..8].copy_from_slice(&sent.seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&sent.ack.to_be_bytes());
    let words = u16::try_from(tcp.len() / 4).unwrap();
    tcp[12..14].copy_from_slice(&(words << 12 | sent.flags.bits()).to_be_bytes());
    tcp[14..16].copy_from_slice(&sent.window.to_be_bytes());
    tcp[20..].fill(1);
    tcp.resize(tcp.len() + sent.len, 0x55);
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for (kind, tci) in sent.vlans {
        frame.extend(kind.to_be_bytes());
        frame.extend(tci.to_be_bytes());
    }
    let len = u16::try_from(tcp.len()).unwrap();
    if sent.v6 {
        frame.extend(IPV6.to_be_bytes());
        frame.extend([0x60, 0, 0, 0]);
        frame.extend(len.to_be_bytes());
        frame.extend([6, 64]);
        for last in [1, 2] {
            frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
    } else {
        frame.extend(IPV4.to_be_bytes());
        let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2];
        ip[2..4].copy_from_slice(&(len + 20).to_be_bytes());
        right(&mut ip);
        frame.extend(ip);
    }
    frame.extend(tcp);
    frame
}

/// Gives an IPv4 header of 20 bytes its checksum.
fn right(ip: &mut [u8]) {
    ip[10..12].fill(0);
    let mut sum: u32 =
        ip[..20].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = !u16::try_from(sum).unwrap();
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The shunt that `sent` belongs to, at port A.
fn shunt(sent: &Sent, fate: Fate) -> Shunt {
    let frame = frame(&Sent { flags: ACK, ..*sent });
    let packet = Packet::parse(frame.as_slice()).unwrap();
    let headers = packet.headers();
    let way = Way { port: Port::A, key: headers.key, source: headers.source };
    let edges = Edges { end: Seq(1000), ack: Seq(500), window: Seq(600) };
    Shunt { way, fate, edges, shift: 3 }
}

/// What became of one frame: the one verdict that moved.
fn verdict(program: &SteerProgram<'_>, frame: &[u8]) -> Verdict {
    let before = program.counts().unwrap();
    program.run(frame).unwrap();
    let after = program.counts().unwrap();
    let moved: Vec<_> = after
        .iter()
        .filter(|(verdict, count)| *count != before.of(*verdict))
        .map(|(verdict, _)| verdict)
        .collect();
    assert_eq!(moved.len(), 1, "{moved:?}");
    moved[0]
}

#[test]
fn plain_segments_of_a_shunt_cross_and_what_begins_or_ends_a_connection_comes_up() {
    if !is_root() {
        return;
    }
    let mut storage = Storage::default();
    let program = loaded(&mut storage, OtherFrames::Kernel, Fail::Wire);
    let _socket = program.lend_socket().unwrap();
    for (vlans, v6) in [(&[][..], false), (&[], true), (TAGGED, false), (TWICE, true)] {
        let sent = Sent { vlans, v6, ..PLAIN };
        let shunt = shunt(&sent, Fate::Cross);
        let up = |sent: &Sent| assert_eq!(verdict(&program, &frame(sent)), Verdict::ToSocket);
        let across = |sent: &Sent| assert_eq!(verdict(&program, &frame(sent)), Verdict::Shunted);
        up(&sent);
        program.shunt(&shunt).unwrap();
        assert_eq!(program.run(&frame(&sent)).unwrap(), XDP_REDIRECT);
        across(&Sent { flags: ACK | Flags::PSH, seq: 1100, ack: 700, options: 12, ..sent });
        // An old one raises nothing.
        across(&Sent { seq: 900, ack: 400, len: 0, ..sent });
        for flags in [Flags::SYN, Flags::SYN | ACK, Flags::RST, Flags::RST | ACK, Flags::FIN | ACK]
        {
            up(&Sent { flags, ..sent });
        }
        // Another connection, and the other direction.
        up(&Sent { ports: (4001, 80), ..sent });
        up(&Sent { ports: (80, 4000), ..sent });
        up(&Sent { v6: !v6, ..sent });
        let ip = if v6 { 40 } else { 20 };
        let seen = program.unshunt(&shunt.way).unwrap();
        assert_eq!((seen.packets, seen.bytes), (3, 3 * (ip + 20) + 100 + 112));
        let edges = Edges { end: Seq(1200), ack: Seq(700), window: Seq(780) };
        assert_eq!(seen.edges, edges);
        up(&sent);
        assert_eq!(program.unshunt(&shunt.way), None);
    }
}

#[test]
fn the_same_addresses_in_another_vlan_are_not_shunted() {
    if !is_root() {
        return;
    }
    let mut storage = Storage::default();
    let program = loaded(&mut storage, OtherFrames::Kernel, Fail::Wire);
    let _socket = program.lend_socket().unwrap();
    let tagged = Sent { vlans: TAGGED, ..PLAIN };
    program.shunt(&shunt(&tagged, Fate::Cross)).unwrap();
    // The priority is not part of the identifier.
    let other_priority = Sent { vlans: &[(SERVICE_VLAN, 7)], ..PLAIN };
    assert_eq!(verdict(&program, &frame(&tagged)), Verdict::Shunted);
    assert_eq!(verdict(&program, &frame(&other_priority)), Verdict::Shunted);
    for vlans in [&[][..], TWICE, &[(VLAN, 8)]] {
        assert_eq!(verdict(&program, &frame(&Sent { vlans, ..PLAIN })), Verdict::ToSocket);
    }
}

#[test]
fn a_refused_connection_is_dropped_but_for_a_syn_and_one_segment_in_a_while() {
    if !is_root() {
        return;
    }
    let mut storage = Storage::default();
    let program = loaded(&mut storage, OtherFrames::Kernel, Fail::Wire);
    let _socket = program.lend_socket().unwrap();
    let shunt = shunt(&PLAIN, Fate::Drop);
    program.shunt(&shunt).unwrap();
    let reset = Sent { flags: Flags::RST, ..PLAIN };
    for sent in [PLAIN, reset, PLAIN] {
        assert_eq!(verdict(&program, &frame(&sent)), Verdict::ShuntDropped);
    }
    assert_eq!(program.run(&frame(&PLAIN)).unwrap(), XDP_DROP);
    let syn = Sent { flags: Flags::SYN, ..PLAIN };
    assert_eq!(verdict(&program, &frame(&syn)), Verdict::ToSocket);
    std::thread::sleep(Duration::from_millis(80));
    assert_eq!(verdict(&program, &frame(&PLAIN)), Verdict::ToSocket);
    assert_eq!(verdict(&program, &frame(&PLAIN)), Verdict::ShuntDropped);
    assert_eq!(program.shunted(&shunt.way).unwrap().packets, 5);
}

#[test]
fn a_full_table_refuses_and_changes_nothing() {
    if !is_root() {
        return;
    }
    let mut storage = Storage::default();
    let program = loaded(&mut storage, OtherFrames::Kernel, Fail::Wire);
    let _socket = program.lend_socket().unwrap();
    let sent = |nth: u16| Sent { ports: (5000 + nth, 80), ..PLAIN };
    for nth in 0..4 {
        program.shunt(&shunt(&sent(nth), Fate::Cross)).unwrap();
    }
    let full = shunt(&sent(4), Fate::Cross);
    assert_eq!(program.shunt(&full), Err(NoShunt::Full));
    assert_eq!(verdict(&program, &frame(&sent(4))), Verdict::ToSocket);
    assert_eq!(verdict(&program, &frame(&sent(0))), Verdict::Shunted);
    assert!(program.unshunt(&shunt(&sent(0), Fate::Cross).way).is_some());
    program.shunt(&full).unwrap();
}

#[test]
fn without_a_process_a_shunt_crosses_a_wire_and_not_a_closed_one() {
    if !is_root() {
        return;
    }
    for (fail, expected) in
        [(Fail::Wire, Verdict::Shunted), (Fail::Closed, Verdict::NoSocketClosed)]
    {
        let mut storage = Storage::default();
        let program = loaded(&mut storage, OtherFrames::Kernel, fail);
        let socket = program.lend_socket().unwrap();
        program.shunt(&shunt(&PLAIN, Fate::Cross)).unwrap();
        assert_eq!(verdict(&program, &frame(&PLAIN)), Verdict::Shunted);
        drop(socket);
        assert_eq!(verdict(&program, &frame(&PLAIN)), expected);
    }
}

#[test]
fn without_a_peer_a_shunt_is_aborted() {
    if !is_root() {
        return;
    }
    let mut storage = Storage::default();
    let config = SteerConfig { shunts: 2, ..SteerConfig::default() };
    let program = SteerProgram::load(&mut storage, &config).unwrap();
    let _socket = program.lend_socket().unwrap();
    program.shunt(&shunt(&PLAIN, Fate::Cross)).unwrap();
    assert_eq!(verdict(&program, &frame(&PLAIN)), Verdict::Aborted);
    program.set_peer(LOOPBACK).unwrap();
    assert_eq!(verdict(&program, &frame(&PLAIN)), Verdict::Shunted);
}

/// Frames of shunted connections, whole, changed in one place, and cut: each crosses in the kernel if and
/// only if the oracle takes it, and in the end both know the same. The two were written apart.
#[test]
fn what_crosses_is_what_the_parser_takes_for_a_plain_segment() {
    if !is_root() {
        return;
    }
    let mut storage = Storage::default();
    let program = loaded(&mut storage, OtherFrames::Kernel, Fail::Wire);
    let _socket = program.lend_socket().unwrap();
    let mut oracle = Shunts::new(4);
    let kinds: [(&[(u16, u16)], bool); 4] =
        [(&[], false), (&[], true), (TAGGED, true), (TWICE, false)];
    let shunts = kinds.map(|(vlans, v6)| shunt(&Sent { vlans, v6, ..PLAIN }, Fate::Cross));
    for shunt in &shunts {
        program.shunt(shunt).unwrap();
        oracle.insert(shunt).unwrap();
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let flags = [ACK, ACK | Flags::PSH, ACK | Flags::FIN, Flags::SYN, Flags::RST, ACK | Flags::URG];
    let (mut crossed, mut refused) = (0, 0);
    for round in 0..20_000 {
        let (vlans, v6) = kinds[round % 4];
        let seq = u32::try_from(next(1 << 20)).unwrap().wrapping_sub(1 << 19);
        let sent = Sent {
            vlans,
            v6,
            seq,
            ack: seq.wrapping_add(77),
            flags: flags[next(12).min(5)],
            window: u16::try_from(next(1 << 16)).unwrap(),
            options: 4 * next(11),
            len: next(60),
            ..PLAIN
        };
        let mut frame = frame(&sent);
        let link = 14 + 4 * vlans.len();
        match next(4) {
            0 => {
                let place = next(link + 60).min(frame.len() - 1);
                frame[place] = [0, 1, 4, 6, 17, 20, 0x45, 0x46, 0x50, 0x60, 0xff][next(11)];
                if !v6 && next(2) == 0 {
                    right(&mut frame[link..]);
                }
            }
            1 => frame.truncate(14 + next(frame.len() - 13)),
            2 => frame.extend([0; 9]),
            _ => {}
        }
        let taken = oracle.take(Port::A, &frame).is_some();
        let verdict = verdict(&program, &frame);
        assert_eq!(verdict == Verdict::Shunted, taken, "{verdict:?} {frame:02x?}");
        crossed += u32::from(taken);
        refused += u32::from(!taken);
    }
    println!("{crossed} crossed, {refused} did not");
    assert!(crossed > 5_000 && refused > 5_000, "too few to show anything");
    for shunt in &shunts {
        assert_eq!(program.shunted(&shunt.way), oracle.seen(&shunt.way));
    }
}
