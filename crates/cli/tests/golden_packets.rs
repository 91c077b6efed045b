//! Packet rules through the whole program: small captures of any protocol, each with a script. What is
//! printed and what leaves must be `tests/golden/packets/NAME.events` and `NAME.frames`, to the letter.
//!
//! When a change is meant, `TOLLGATE_BLESS=1 cargo test -p tollgate --test golden_packets` writes them
//! anew, to be read before they are committed.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use common::{capture_at, read_capture, say, tollgate};
use tollgate_wire::{IpVersion, Layers, ethertype_of};

const A: &str = "198.18.0.1";
const B: &str = "198.18.1.1";
const A6: &str = "fd00::1";
const B6: &str = "fd00::2";

/// Frames with their times in ms.
type Frames = Vec<(u64, Vec<u8>)>;

/// One a millisecond.
fn in_a_row(frames: impl IntoIterator<Item = Vec<u8>>) -> Frames {
    (0..).zip(frames).collect()
}

#[track_caller]
fn golden(name: &str, frames: &Frames) {
    golden_with(name, frames, &[]);
}

#[track_caller]
fn golden_with(name: &str, frames: &Frames, arguments: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/packets");
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (directory.path().join("in.pcap"), directory.path().join("out.pcap"));
    fs::write(&input, capture_at(frames)).unwrap();
    let mut command = tollgate();
    command.args(["-q", "replay"]).args(arguments).arg("-r").arg(&input).arg("-w").arg(&output);
    command.arg("--rules").arg(folder.join(name).with_extension("lua"));
    let said = say(&mut command);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    compare(&folder.join(name).with_extension("events"), &visible(&said.out));
    compare(&folder.join(name).with_extension("frames"), &frames_as_text(&output));
}

/// What a script prints of packets, for people to read.
fn visible(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_control() && !matches!(c, '\t' | '\n') {
            write!(out, "{}", c.escape_default()).unwrap();
        } else {
            out.push(c);
        }
    }
    out
}

#[track_caller]
fn compare(path: &Path, text: &str) {
    if std::env::var_os("TOLLGATE_BLESS").is_some() {
        fs::write(path, text).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text, expected, "{}", path.display());
}

/// One line a frame: time in ms, addresses, header fields, which checksums are wrong, payload.
fn frames_as_text(path: &Path) -> String {
    let mut text = String::new();
    for (time, frame) in read_capture(path) {
        let ms = time / 1_000_000 % 600_000;
        writeln!(text, "{ms:>6} {}", described(&frame)).unwrap();
    }
    text
}

fn described(frame: &[u8]) -> String {
    let layers = Layers::of(frame);
    let ip = &frame[layers.network..];
    let (from, to, ttl): (IpAddr, IpAddr, u8) = match layers.version {
        Some(IpVersion::V4) => {
            let addr = |at: usize| <[u8; 4]>::try_from(&ip[at..at + 4]).unwrap();
            (Ipv4Addr::from(addr(12)).into(), Ipv4Addr::from(addr(16)).into(), ip[8])
        }
        Some(IpVersion::V6) => {
            let addr = |at: usize| <[u8; 16]>::try_from(&ip[at..at + 16]).unwrap();
            (Ipv6Addr::from(addr(8)).into(), Ipv6Addr::from(addr(24)).into(), ip[7])
        }
        None => return format!("ethertype {:02x?} {} bytes", &frame[12..14], frame.len()),
    };
    let mut line = format!("{from} > {to} ttl {ttl} len {}", layers.end - layers.network);
    let transport = &frame[layers.transport..layers.end];
    let pair = |at: usize| u16::from_be_bytes([transport[at], transport[at + 1]]);
    let header = if layers.is_fragment {
        write!(line, " fragment {:04x}", u16::from_be_bytes([ip[6], ip[7]])).unwrap();
        0
    } else {
        match layers.protocol {
            6 => {
                write!(line, " tcp {} > {} flags {:02x}", pair(0), pair(2), transport[13]).unwrap();
                usize::from(transport[12] >> 4) * 4
            }
            17 => {
                write!(line, " udp {} > {} length {}", pair(0), pair(2), pair(4)).unwrap();
                8
            }
            1 | 58 => {
                write!(line, " icmp {} {}", transport[0], transport[1]).unwrap();
                4
            }
            other => {
                write!(line, " protocol {other}").unwrap();
                0
            }
        }
    };
    if !layers.is_network_intact(frame) {
        line += " BAD IP CHECKSUM";
    }
    if !layers.is_fragment && !layers.is_transport_intact(frame) {
        line += " BAD CHECKSUM";
    }
    let payload = String::from_utf8_lossy(&transport[header..]);
    write!(line, " {payload:?}").unwrap();
    line
}

/// A datagram in an Ethernet frame, all lengths and checksums right.
fn datagram(from: &str, to: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    match (from.parse().unwrap(), to.parse().unwrap()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.extend(ethertype_of(IpVersion::V4).to_be_bytes());
            frame.extend([0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, protocol, 0, 0]);
            frame.extend(from.octets().into_iter().chain(to.octets()));
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame.extend(ethertype_of(IpVersion::V6).to_be_bytes());
            frame.extend([0x60, 0, 0, 0, 0, 0, protocol, 64]);
            frame.extend(from.octets().into_iter().chain(to.octets()));
        }
        _ => panic!("mixed versions"),
    }
    frame.extend(payload);
    let layers = Layers::of(&frame).ending_at(frame.len(), &frame);
    layers.write_lengths(&mut frame);
    layers.write_transport_checksum(&mut frame);
    layers.write_network_checksum(&mut frame);
    frame
}

fn udp(from: (&str, u16), to: (&str, u16), payload: &[u8]) -> Vec<u8> {
    let header = [from.1.to_be_bytes(), to.1.to_be_bytes(), [0; 2], [0; 2]].concat();
    datagram(from.0, to.0, 17, &[&header, payload].concat())
}

fn tcp(from: (&str, u16), to: (&str, u16), flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    segment.extend([0, 0, 3, 232, 0, 0, 7, 208, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    segment.extend(payload);
    datagram(from.0, to.0, 6, &segment)
}

/// One of each kind.
fn zoo() -> Vec<Vec<u8>> {
    let mut arp = datagram(A, B, 0, &[]);
    arp[12..14].copy_from_slice(&[8, 6]);
    vec![
        arp,
        tcp((A, 4000), (B, 80), 0x18, b"hello"),
        udp((A, 4000), (B, 53), b"question"),
        datagram(A, B, 1, &[8, 0, 0, 0, 0, 1, 0, 2]),
        datagram(A, B, 47, b"tunnel"),
        tcp((A6, 4000), (B6, 80), 0x18, b"hello"),
        udp((A6, 4000), (B6, 53), b"question"),
        datagram(A6, B6, 58, &[128, 0, 0, 0, 0, 1, 0, 2]),
    ]
}

/// A datagram in fragments of at most `size` bytes of payload.
fn fragments(whole: &[u8], size: usize) -> Vec<Vec<u8>> {
    let payload = &whole[34..];
    let count = payload.len().div_ceil(size);
    let parts = payload.chunks(size).enumerate().map(|(i, part)| {
        let mut frame = [&whole[..34], part].concat();
        let more = if i + 1 < count { 0x2000 } else { 0 };
        let word = more | u16::try_from(i * size / 8).unwrap();
        frame[20..22].copy_from_slice(&word.to_be_bytes());
        let layers = Layers::of(&frame).ending_at(frame.len(), &frame);
        layers.write_lengths(&mut frame);
        layers.write_network_checksum(&mut frame);
        frame
    });
    parts.collect()
}

#[test]
fn every_event_shows_every_field_in_hakas_order_and_changes_nothing() {
    golden("fields", &in_a_row(zoo()));
}

#[test]
fn fields_are_written_at_every_level_and_checksums_follow() {
    golden("write", &in_a_row(zoo()));
}

#[test]
fn payloads_of_another_length_leave_whole() {
    golden("resize", &in_a_row(zoo()));
}

#[test]
fn wrong_checksums_are_told_kept_and_repaired() {
    let mut frames = Vec::new();
    for field in [24, 50, 24, 50] {
        let mut frame = tcp((A, 4000), (B, 80), 0x18, b"hello");
        frame[field] ^= 0xff;
        frames.push(frame);
    }
    frames.push(tcp((A, 4000), (B, 80), 0x18, b"hello"));
    golden("checksums", &in_a_row(frames));
}

#[test]
fn packets_are_made_sent_and_received_anew() {
    golden("make", &in_a_row(zoo()));
}

#[test]
fn packets_that_are_made_as_the_program_starts_leave_first() {
    golden(
        "started",
        &in_a_row([tcp((A, 4000), (B, 80), 0x02, b""), udp((A, 4000), (B, 53), b"after")]),
    );
}

#[test]
fn times_and_frames_of_no_protocol_are_raw() {
    golden("raw", &vec![(5, zoo().remove(0)), (1500, zoo().remove(1))]);
}

#[test]
fn rules_of_frames_see_fragments_and_rules_of_datagrams_wholes() {
    let mut frames =
        fragments(&udp((A, 4000), (B, 53), b"a question that is cut in three pieces"), 16);
    frames.extend(fragments(&tcp((A, 4000), (B, 80), 0x18, b"and a segment that is cut, too"), 24));
    golden("fragments", &in_a_row(frames));
}

#[test]
fn packets_of_udp_make_connections_that_end_by_time() {
    let up = |ms, text: &str| (ms, udp((A, 4000), (B, 7), text.as_bytes()));
    let down = |ms, text: &str| (ms, udp((B, 7), (A, 4000), text.as_bytes()));
    golden(
        "udp_connection",
        &vec![
            up(0, "one"),
            down(10, "two"),
            up(20, "change me"),
            (30, udp((A6, 4000), (B6, 7), b"drop")),
            (40, udp((B6, 7), (A6, 4000), b"unseen")),
            up(30_000, "still"),
            // The other has been dropped for a minute: this is a new one.
            (70_000, udp((A6, 4000), (B6, 7), b"again")),
            up(100_000, "anew"),
            down(100_010, "end"),
        ],
    );
}

#[test]
fn a_dissector_of_udp_raises_its_events() {
    golden(
        "udp_dissector",
        &in_a_row([
            udp((A, 4000), (B, 7), b"\x03one"),
            udp((B, 7), (A, 4000), b"\x03two"),
            udp((A, 4000), (B, 7), b"\x09short"),
            udp((A, 4000), (B, 8), b"other"),
        ]),
    );
}

/// A message of DNS: flags, and the four sections as they lie on the wire.
fn dns(id: u16, flags: u16, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    let words = [[id, flags].as_slice(), &counts].concat();
    let mut message: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    message.extend(rest);
    message
}

#[test]
fn dns_is_taken_apart_changed_and_refused() {
    let question = b"\x03www\x07example\x03org\x00\x00\x01\x00\x01";
    let mut answers = question.to_vec();
    // www is an alias of web, which has two addresses; who serves the zone; and a text.
    answers.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x0e\x10\x00\x06\x03web\xc0\x10");
    answers.extend(b"\xc0\x2d\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc6\x12\x01\x09");
    answers.extend(b"\xc0\x2d\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x10");
    answers.extend("fd00::9".parse::<Ipv6Addr>().unwrap().octets());
    answers.extend(b"\xc0\x10\x00\x02\x00\x01\x00\x00\x00\x3c\x00\x05\x02ns\xc0\x10");
    answers.extend(b"\xc0\x10\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x08\x03v=1\x03end");
    let query = |id| udp((A, 4000), (B, 53), &dns(id, 0x0100, [1, 0, 0, 0], question));
    let answer = |id| udp((B, 53), (A, 4000), &dns(id, 0x8180, [1, 3, 1, 1], &answers));
    golden(
        "dns",
        &in_a_row([
            query(1),
            answer(1),
            query(2),
            answer(2),
            query(3),
            answer(3),
            // Nobody has asked.
            answer(9),
            query(5),
            // Other connections: one that a rule drops, and one whose names point at each other.
            udp((A, 4002), (B, 53), &dns(4, 0x0100, [1, 0, 0, 0], question)),
            udp(
                (A, 4001),
                (B, 53),
                &dns(5, 0x0100, [1, 0, 0, 0], b"\xc0\x0e\xc0\x0c\x00\x01\x00\x01"),
            ),
        ]),
    );
}

#[test]
fn rules_that_fail_say_so_and_cost_the_packet() {
    golden("errors", &in_a_row(zoo()));
}

#[test]
fn in_pass_through_packets_are_judged_and_not_written() {
    golden_with("read_only", &in_a_row(zoo()), &["--pass-through"]);
}

#[test]
fn packet_rules_stand_beside_rules_of_connections() {
    let mut talk = common::Talk::new(([198, 18, 0, 1], 4000), ([198, 18, 1, 1], 80));
    let mut frames = talk.open();
    frames.push(talk.up(common::PSH | common::ACK, b"hello"));
    frames.push(talk.down(common::PSH | common::ACK, b"drop me"));
    frames.push(talk.down(common::PSH | common::ACK, b"late"));
    frames.push(zoo().remove(2));
    golden("beside", &in_a_row(frames));
}
