//! A worker driven by bytes of an attacker's choice: the fuzz target `worker` runs this, and the
//! stable compiler replays what it found, from `crates/engine/tests/regressions`.
//!
//! The bytes are a little program: a byte of configuration, then operations. Segments get right
//! checksums, or hardly any would get past the parser; raw frames and damaged ones come too.

use std::time::Duration;

use tollgate_engine::{
    Config, Counters, FastOpen, Limits, Midstream, OtherTraffic, Remedies, Remedy,
};
use tollgate_link::Port;
use tollgate_policy::{Interest, Verdict};
use tollgate_wire::{Checksum, Packet};

use crate::common::{Frame, Gate, Program, Script, small};

/// Runs a program and checks what must hold whatever it is. Gives what was counted.
pub(crate) fn run(bytes: &[u8]) -> Counters {
    let mut program = Program(bytes);
    let bits = program.byte();
    let mut gate = Gate::with(config(bits));
    // Connections are taken up in their middle.
    let skips = bits >> 1 & 3 > 0 || remedies(bits).memory == Remedy::Pass;
    let mut policy = Script { writes: false, skips, ..Script::default() };
    if bits & 0x80 != 0 {
        policy.interest = Interest::NEW_CONNECTION | Interest::END_CONNECTION;
    }
    gate.worker.replace_policy(policy);
    for _ in 0..OPERATIONS_MAX {
        if program.is_over() {
            break;
        }
        operate(&mut program, &mut gate);
    }
    turn(&mut gate);
    gate.finish()
}

fn config(bits: u8) -> Config {
    Config {
        flows_max: if bits & 1 == 0 { 2 } else { 50 },
        half_open_max: if bits & 1 == 0 { 2 } else { 50 },
        held: Limits { frames: 6, bytes: 4000, extents: 4 },
        held_frames_max: 9,
        retained_bytes_max: 4000,
        retained_direction_bytes_max: 200,
        fast_open: if bits & 64 == 0 { FastOpen::Allow } else { FastOpen::Strip },
        remedies: remedies(bits),
        datagrams_max: 8,
        fragments_max: 6,
        midstream: match bits >> 1 & 3 {
            0 => Midstream::Drop,
            1 => Midstream::Pass,
            _ => Midstream::Pickup,
        },
        other: if bits & 8 == 0 { OtherTraffic::Pass } else { OtherTraffic::Drop },
        mtu: if bits & 16 == 0 { 1500 } else { 100 },
        report_connections: bits & 32 != 0,
        reports_max: 10,
        batch_max: if bits & 64 == 0 { 64 } else { 2 },
        ..small()
    }
}

/// Each with each other setting that matters to it, by the bits that are least used.
fn remedies(bits: u8) -> Remedies {
    const ALL: [Remedy; 5] =
        [Remedy::DropPacket, Remedy::Pass, Remedy::Bypass, Remedy::DropFlow, Remedy::Reset];
    let [memory, asymmetric] = [bits >> 5, bits >> 4].map(|bits| ALL[usize::from(bits) % 5]);
    let unanswered = Duration::from_millis(1);
    let gap_timeout = ALL[usize::from(bits) % 5];
    let gap = Duration::from_secs(4);
    Remedies { memory, asymmetric, gap_timeout, gap, unanswered_packets_max: 2, unanswered }
}

fn operate(program: &mut Program<'_>, gate: &mut Gate) {
    let operation = program.byte();
    let port = if operation & 8 == 0 { Port::A } else { Port::B };
    match operation & 7 {
        // About a segment that may have left, or not; raw frames as short as this never get far.
        0 if operation >> 4 == 1 => {
            let about = segment(program);
            let mut error = about.icmp_error(program.byte() % 16);
            let at = usize::from(program.byte());
            if let Some(byte) = error.get_mut(at) {
                *byte = program.byte();
            }
            gate.worker.link_mut().inject(about.port().peer(), &error);
        }
        0 => {
            let raw = program.take(usize::from(operation >> 4) * 8);
            gate.worker.link_mut().inject(port, &raw);
        }
        1 => {
            let frame = segment(program);
            let mut bytes = frame.bytes();
            let at = usize::from(program.byte()) % bytes.len();
            bytes[at] = program.byte();
            gate.worker.link_mut().inject(frame.port(), &bytes);
        }
        2 => {
            let frame = segment(program).between("198.18.0.1:4000", "198.18.0.2:80");
            let skip = program.byte();
            let pieces = frame.fragments(8 + 8 * usize::from(operation >> 5), skip.into());
            for (number, piece) in pieces.iter().enumerate() {
                if skip >> (number % 8) & 1 == 0 {
                    gate.worker.link_mut().inject(frame.port(), piece);
                }
            }
        }
        3 => {
            let policy = gate.policy();
            let verdict = Verdict::ALL[usize::from(operation >> 4) % Verdict::ALL.len()];
            match program.byte() % 3 {
                0 => policy.on_new = verdict,
                1 => policy.on_packet = verdict,
                _ => policy.on_data = verdict,
            }
        }
        4 => {
            turn(gate);
            let span = 1_u64 << (operation >> 3);
            gate.now = gate.now + Duration::from_micros(span);
            if operation == 0xfc {
                gate.now = gate.now - Duration::from_secs(10_000);
            }
        }
        _ => {
            let frame = segment(program);
            gate.worker.link_mut().inject(frame.port(), &frame.bytes());
            if operation & 16 == 0 {
                turn(gate);
            }
        }
    }
}

/// A segment of one of a few conversations, near where its numbers may be.
fn segment(program: &mut Program<'_>) -> Frame {
    let [who, flags, seq, ack, len] = [(); 5].map(|()| program.byte());
    let number = |byte: u8| match byte {
        0xf0.. => 0x0100_0000_u32.wrapping_mul(byte.into()),
        _ => u32::from(byte),
    };
    let payload: Vec<u8> = (0..len).map(|at| at ^ who).collect();
    let payload =
        if len > 200 { payload.repeat(6) } else { payload[..usize::from(len / 8)].into() };
    let mut frame = if who & 1 == 0 {
        Frame::client(number(seq), number(ack), flags & 0x3f, &payload)
    } else {
        Frame::server(number(seq), number(ack), flags & 0x3f, &payload)
    };
    if flags & 0x40 != 0 {
        frame.options = program.take(8);
        frame.options.resize(8, 1);
    }
    if flags & 0x80 != 0 {
        frame.window = u16::from(program.byte());
    }
    let client = format!("198.18.0.{}:4000", 1 + (who >> 1 & 3));
    match who >> 3 & 3 {
        0 | 1 => frame.between(&client, crate::common::SERVER),
        2 => frame.between("[fd00::1]:4000", "[fd00::2]:80"),
        _ => frame.between(&client, crate::common::SERVER).vlans(&[5, 6]),
    }
}

/// What leaves is well-formed, whatever came, unless it crosses without being received.
fn turn(gate: &mut Gate) {
    gate.now = gate.now + Duration::from_micros(1);
    gate.worker.poll(gate.now);
    let shunted = gate.counters().shunts.crossing > 0;
    for port in Port::BOTH {
        for bytes in gate.worker.link_mut().sent(port) {
            if let Ok(packet) = Packet::parse(bytes.to_vec()) {
                assert!(shunted || packet.checksum() == Checksum::Good);
            }
        }
    }
    let gauges = gate.worker.gauges();
    assert!(gauges.held_frames <= 9 && gauges.fragments <= 6, "{gauges:?}");
    assert!(gauges.retained_bytes <= 4000, "{gauges:?}");
}

const OPERATIONS_MAX: usize = 2000;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rand::rngs::SmallRng;
    use rand::{Rng, RngCore, SeedableRng};
    use tollgate_engine::{Cause, Counters, Reason};

    #[test]
    fn everything_the_fuzzer_found_stays_fixed() {
        let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
        let mut replayed = 0;
        for entry in fs::read_dir(found).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            super::run(&fs::read(path).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0);
    }

    #[test]
    fn random_programs_end_in_balance() {
        let mut sum = Counters::default();
        for seed in 0..2000 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut program = vec![0; rng.random_range(10..2000)];
            rng.fill_bytes(&mut program);
            println!("seed {seed}");
            sum += &super::run(&program);
        }
        // Random numbers are rarely in flight, but some are.
        let [.., errors] = sum.passed;
        assert!(errors > 0 && sum.dropped_for(Reason::Cause(Cause::IcmpOffWindow)) > 0, "{sum:?}");
    }
}
