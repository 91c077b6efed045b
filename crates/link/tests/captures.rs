//! Captures of every kind, whole and broken.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![expect(clippy::cast_possible_truncation, reason = "test files are small")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;
use tollgate_link::pcap::{PcapLink, Reader, Writer};
use tollgate_link::{Link as _, Port};
use tollgate_wire::{LinkHeader, Timestamp};

/// A raw IPv4 packet between 198.18.0.`from` and 198.18.0.`to`.
fn ipv4(from: u8, to: u8) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 24, 0, 0, 0, 0, 64, 99, 0, 0];
    packet.extend([198, 18, 0, from, 198, 18, 0, to, 1, 2, 3, 4]);
    packet
}

fn ipv6() -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 99, 64];
    packet.extend([0xfd; 16]);
    packet.extend([0xfe; 16]);
    packet
}

/// A classic capture in big-endian order: (seconds, fraction, bytes, original length).
fn classic(magic: u32, snap_len: u32, link: u32, records: &[(u32, u32, &[u8], u32)]) -> Vec<u8> {
    let mut file = magic.to_be_bytes().to_vec();
    file.extend([0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(snap_len.to_be_bytes());
    file.extend(link.to_be_bytes());
    for (seconds, fraction, bytes, original) in records {
        for word in [*seconds, *fraction, bytes.len() as u32, *original] {
            file.extend(word.to_be_bytes());
        }
        file.extend(*bytes);
    }
    file
}

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let len = (12 + body.len().next_multiple_of(4)) as u32;
    let mut block = kind.to_le_bytes().to_vec();
    block.extend(len.to_le_bytes());
    block.extend(body);
    block.resize(len as usize - 4, 0);
    block.extend(len.to_le_bytes());
    block
}

fn section() -> Vec<u8> {
    let mut body = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    body.extend([1, 0, 0, 0]);
    body.extend([0xff; 8]);
    block(0x0a0d_0d0a, &body)
}

/// An interface whose times are in units of 10^-`resolution` seconds.
fn interface(link: u16, resolution: u8) -> Vec<u8> {
    let mut body = link.to_le_bytes().to_vec();
    body.extend([0, 0, 0, 0, 0, 0, 9, 0, 1, 0, resolution, 0, 0, 0, 0, 0, 0, 0]);
    block(1, &body)
}

fn enhanced(interface: u32, units: u64, bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len() as u32;
    let mut body = Vec::new();
    for word in [interface, (units >> 32) as u32, units as u32, len, len] {
        body.extend(word.to_le_bytes());
    }
    body.extend(bytes);
    block(6, &body)
}

struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

type Packets = Vec<(Timestamp, Port, Vec<u8>)>;

fn all(path: &Path) -> Packets {
    let mut reader = Reader::open(path).unwrap_or_else(|error| panic!("{error}"));
    let mut packets = Vec::new();
    while let Some(packet) = reader.next().unwrap_or_else(|error| panic!("{error}")) {
        packets.push((packet.time, packet.port, packet.frame.to_vec()));
    }
    packets
}

/// The first error of a file, after how many packets.
fn error_of(path: &Path) -> (usize, String) {
    let mut reader = match Reader::open(path) {
        Ok(reader) => reader,
        Err(error) => return (0, error.to_string()),
    };
    for count in 0.. {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("{} is whole", path.display()),
            Err(error) => return (count, error.to_string()),
        }
    }
    unreachable!("a file ends")
}

/// Reads `path` and writes what was read to another file, which is given.
fn rewritten(files: &Files, path: &Path) -> PathBuf {
    let out = files.path("rewritten.pcap");
    let mut reader = Reader::open(path).unwrap();
    let mut writer = Writer::create(&out, &reader).unwrap();
    while let Some(packet) = reader.next().unwrap() {
        writer.write(packet.time, packet.frame).unwrap();
    }
    writer.finish().unwrap();
    out
}

fn ethernet(ip: &[u8]) -> Vec<u8> {
    let mut frame = LinkHeader::new([2; 6], [4; 6], 0x0800).as_bytes().to_vec();
    frame.extend(ip);
    frame
}

#[test]
fn classic_captures_give_times_and_bytes_whatever_their_resolution() {
    let files = Files::new();
    let frame = ethernet(&ipv4(1, 2));
    let len = frame.len() as u32;
    for (magic, nanos) in [(MICROSECONDS, 7_000), (NANOSECONDS, 7)] {
        let path = files.put("x.pcap", &classic(magic, 65535, 1, &[(3, 7, &frame, len)]));
        let time = Timestamp(3_000_000_000 + nanos);
        assert_eq!(all(&path), [(time, Port::A, frame.clone())]);
        assert_eq!(all(&rewritten(&files, &path)), all(&path));
    }
}

#[test]
fn a_compressed_capture_in_several_members_is_read_as_one() {
    let files = Files::new();
    let frame = ethernet(&ipv4(1, 2));
    let whole = classic(MICROSECONDS, 65535, 1, &[(1, 0, &frame, 38), (2, 0, &frame, 38)]);
    let mut packed = Vec::new();
    for part in whole.chunks(30) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(part).unwrap();
        packed.extend(encoder.finish().unwrap());
    }
    let path = files.put("x.pcap.gz", &packed);
    assert_eq!(all(&path).len(), 2);
    let cut = files.put("cut.pcap.gz", &packed[..packed.len() - 12]);
    let (packets, message) = error_of(&cut);
    assert!(packets <= 1 && message.contains("cut.pcap.gz: packet 2"), "{message}");
}

#[test]
fn pcapng_gives_times_in_the_units_of_the_interface() {
    let files = Files::new();
    let frame = ethernet(&ipv4(1, 2));
    for (resolution, units) in [(6, 3_000_007), (9, 3_000_007_000), (3, 3_000), (0x80 | 10, 3072)] {
        let unknown = block(0x0bad, &[1, 2, 3]);
        let parts = [section(), interface(1, resolution), unknown, enhanced(0, units, &frame)];
        let path = files.put("x.pcapng", &parts.concat());
        let packets = all(&path);
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0].0.nanos() / 1_000_000_000, 3);
        assert_eq!(packets[0].2, frame);
        assert_eq!(all(&rewritten(&files, &path)), packets);
    }
}

#[test]
fn packets_without_ethernet_get_a_header_and_lose_it_again() {
    let files = Files::new();
    let cooked = [&[0, 4, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 7, 8, 0x08, 0], &ipv4(1, 2)[..]].concat();
    let cooked2 =
        [&[0x08, 0, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6, 1, 2, 3, 4, 5, 6, 7, 8], &ipv4(1, 2)[..]]
            .concat();
    let table: [(u32, u16, Vec<u8>); 9] = [
        (101, 0x0800, ipv4(1, 2)),
        (12, 0x86dd, ipv6()),
        (228, 0x0800, ipv4(1, 2)),
        (229, 0x86dd, ipv6()),
        (0, 0x0800, [&[2, 0, 0, 0], &ipv4(1, 2)[..]].concat()),
        (0, 0x86dd, [&[0, 0, 0, 30], &ipv6()[..]].concat()),
        (108, 0x86dd, [&[0, 0, 0, 24], &ipv6()[..]].concat()),
        (113, 0x0800, cooked),
        (276, 0x0800, cooked2),
    ];
    for (link, ethertype, packet) in table {
        let len = packet.len() as u32;
        let file = classic(MICROSECONDS, 65535, link, &[(1, 2, &packet, len), (1, 3, &[9], 1)]);
        let path = files.put("x.pcap", &file);
        let packets = all(&path);
        let header = LinkHeader::of(&packets[0].2).unwrap();
        assert_eq!(header.ethertype(), ethertype, "link type {link}");
        assert_eq!(packets[0].2[14] >> 4, if ethertype == 0x0800 { 4 } else { 6 });
        // Word for word, but for the order of bytes in the file's own fields.
        let again = fs::read(rewritten(&files, &path)).unwrap();
        assert_eq!(again[24 + 16..24 + 16 + packet.len()], packet[..], "link type {link}");
        assert_eq!(again.len(), file.len());
        assert_eq!(again[again.len() - 1], 9, "a packet shorter than its header stays as it is");
    }
}

/// One that is as long as an Ethernet header was taken for a frame, and lost its first 14 bytes.
#[test]
fn a_packet_cut_off_inside_its_link_header_is_written_as_it_was_read() {
    let files = Files::new();
    for (link, header_len) in [(113, 16_usize), (276, 20)] {
        for len in 1..header_len {
            let packet: Vec<u8> = (10..).take(len).collect();
            let file = classic(MICROSECONDS, 65535, link, &[(1, 3, &packet, 100)]);
            let path = files.put("x.pcap", &file);
            let again = fs::read(rewritten(&files, &path)).unwrap();
            assert_eq!(again[24 + 16..], packet, "link type {link}");
        }
    }
}

#[test]
fn an_answer_to_a_cooked_packet_goes_the_other_way() {
    let files = Files::new();
    let packet = [&[0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 0x08, 0], &ipv4(1, 2)[..]].concat();
    let path = files.put("x.pcap", &classic(MICROSECONDS, 0, 113, &[(1, 2, &packet, 40)]));
    let mut reader = Reader::open(&path).unwrap();
    let mut writer = Writer::create(&files.path("out.pcap"), &reader).unwrap();
    let frame = reader.next().unwrap().unwrap().frame.to_vec();
    let mut answer = LinkHeader::of(&frame).unwrap().reversed().as_bytes().to_vec();
    answer.extend(ipv4(2, 1));
    writer.write(Timestamp(0), &answer).unwrap();
    writer.finish().unwrap();
    let written = fs::read(files.path("out.pcap")).unwrap();
    assert_eq!(written[40..56], [0, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 0]);
    assert_eq!(written[56..], ipv4(2, 1));
}

#[test]
fn the_first_sender_of_each_pair_is_at_port_a() {
    let files = Files::new();
    let frames: Vec<_> =
        [(2, 1), (1, 2), (1, 3), (3, 1), (2, 1)].map(|(from, to)| ethernet(&ipv4(from, to))).into();
    let records: Vec<_> = frames.iter().map(|frame| (1, 0, &frame[..], 38)).collect();
    let path = files.put("x.pcap", &classic(MICROSECONDS, 65535, 1, &records));
    let ports: Vec<Port> = all(&path).into_iter().map(|(_, port, _)| port).collect();
    assert_eq!(ports, [Port::A, Port::B, Port::A, Port::B, Port::A]);
}

#[test]
fn broken_files_are_named_with_the_packet_and_its_place() {
    let files = Files::new();
    let frame = ethernet(&ipv4(1, 2));
    let good = classic(MICROSECONDS, 65535, 1, &[(1, 0, &frame, 38), (2, 0, &frame, 38)]);
    let second = 24 + 16 + 38;
    let mut long = good.clone();
    long[second + 8..second + 12].copy_from_slice(&70_000_u32.to_be_bytes());
    let mut longer = long.clone();
    longer.resize(400_000, 0);
    let mut absurd = classic(MICROSECONDS, 0, 1, &[(1, 0, &frame, 38), (2, 0, &[0; 300_000], 1)]);
    let mut endless = good.clone();
    endless[second + 8..second + 12].copy_from_slice(&[0xff; 4]);
    absurd.extend([0; 10]);
    let next = [section(), interface(1, 6), enhanced(0, 1, &frame)].concat();
    let other = [next.clone(), interface(101, 6), enhanced(1, 1, &frame)].concat();
    let nowhere = [next.clone(), enhanced(5, 1, &frame)].concat();
    let ragged = [next.clone(), vec![6, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0]].concat();
    let short = [next.clone(), block(6, &[0; 8])].concat();
    let place = format!("packet 2, at byte {}: ", next.len());
    let table: Vec<(&str, Vec<u8>, usize, String)> = vec![
        ("empty", vec![], 0, "the file is empty".into()),
        ("text", b"hello world, hello".to_vec(), 0, "not a capture".into()),
        ("tiny", vec![7], 0, "not a capture".into()),
        ("header", good[..20].to_vec(), 0, "the header of the capture is broken".into()),
        ("link", classic(MICROSECONDS, 0, 147, &[]), 0, "link type 147 is not supported".into()),
        ("first", good[..30].to_vec(), 0, "packet 1, at byte 24: the file ends inside".into()),
        ("cut", good[..second + 20].to_vec(), 1, "packet 2, at byte 78: the file ends".into()),
        ("long", longer, 1, "packet 2, at byte 78: it is 70000 bytes long".into()),
        ("absurd", absurd, 1, "packet 2, at byte 78: it claims to be 300000 bytes".into()),
        ("endless", endless, 1, "packet 2, at byte 78: the file ends inside".into()),
        ("other", other, 1, "its link type is 101, that of the packets before is 1".into()),
        ("nowhere", nowhere, 1, format!("{place}it belongs to interface 5")),
        ("ragged", ragged, 1, format!("{place}the file is damaged")),
        ("short", short, 1, format!("{place}the file is damaged")),
        ("crowd", [section(), interface(1, 6).repeat(5000)].concat(), 0, "interfaces".into()),
        ("section", section()[..20].to_vec(), 0, "the header of the capture is broken".into()),
    ];
    for (name, bytes, packets, expected) in table {
        let path = files.put(name, &bytes);
        let (count, message) = error_of(&path);
        assert!(message.contains(&expected), "{name}: {message}");
        assert!(message.starts_with(&path.display().to_string()), "{name}: {message}");
        assert_eq!(count, packets, "{name}: {message}");
    }
    let (_, message) = error_of(&files.path("absent"));
    assert!(message.contains("absent: "), "{message}");
}

#[test]
fn a_packet_that_was_cut_by_the_capture_says_so() {
    let files = Files::new();
    let frame = ethernet(&ipv4(1, 2));
    let records = [(1, 0, &frame[..20], 38), (1, 0, &frame[..], 38)];
    let path = files.put("x.pcap", &classic(MICROSECONDS, 96, 1, &records));
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().missing, 18);
    assert_eq!(reader.next().unwrap().unwrap().missing, 0);
    assert_eq!(reader.snapped(), 1);
}

#[test]
fn a_capture_can_be_forwarded_packet_by_packet() {
    let files = Files::new();
    let (there, back) = (ethernet(&ipv4(1, 2)), ethernet(&ipv4(2, 1)));
    let records = [(1, 0, &there[..], 38), (2, 5, &back[..], 38)];
    let path = files.put("x.pcap", &classic(MICROSECONDS, 0, 1, &records));
    let mut reader = Reader::open(&path).unwrap();
    let out = files.path("out.pcap");
    let mut writer = Writer::create(&out, &reader).unwrap();
    let mut link = PcapLink::default();
    let mut batch = Vec::with_capacity(8);
    while let Some(packet) = reader.next().unwrap() {
        link.arrive(packet.port, packet.time, packet.frame);
        assert_eq!(link.receive(packet.port.peer(), &mut batch), 0);
        assert_eq!(link.receive(packet.port, &mut batch), 1);
        assert_eq!(link.transmit(packet.port.peer(), &mut batch), 1);
        link.drain(|port, time, frame| {
            assert_eq!((port, time), (packet.port.peer(), Some(packet.time)));
            writer.write(packet.time, frame).unwrap();
        });
    }
    assert_eq!(link.outstanding(), 0);
    writer.finish().unwrap();
    assert_eq!(all(&out), all(&path));
}

#[test]
fn a_capture_without_packets_is_a_capture() {
    let files = Files::new();
    assert_eq!(all(&files.put("a", &classic(MICROSECONDS, 0, 101, &[]))), []);
    let path = files.put("b", &[section(), interface(101, 6)].concat());
    assert_eq!(Reader::open(&path).unwrap().link_type(), 101);
    assert_eq!(all(&path), []);
}

#[test]
fn captures_of_other_projects_are_read_and_rewritten_alike() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata/captures");
    if !folder.is_dir() {
        eprintln!("skipped: {} is missing", folder.display());
        return;
    }
    let files = Files::new();
    let (mut captures, mut packets) = (0, 0);
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.to_string_lossy();
            if !name.ends_with(".pcap") && !name.ends_with(".pcap.gz") {
                continue;
            }
            let read = all(&path);
            assert_eq!(all(&rewritten(&files, &path)), read, "{name}");
            captures += 1;
            packets += read.len();
        }
    }
    eprintln!("{captures} captures, {packets} packets");
    assert!(captures > 0, "the folder is empty");
}
