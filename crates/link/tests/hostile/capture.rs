//! A capture file, whatever its bytes: its packets, as a naive reader finds them, or an error that
//! names the place.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_link::pcap::{Error, RECORD_LEN_MAX, Reader, Writer};
use tollgate_wire::Timestamp;

/// Reads a file of these bytes, writes what was read, and reads that.
pub(crate) fn run(bytes: &[u8]) {
    let folder = Folder::new();
    let path = folder.0.join("in");
    fs::write(&path, bytes).unwrap();
    let mut reader = match Reader::open(&path) {
        Ok(reader) => reader,
        Err(error) => return check_error(&error, bytes, 0),
    };
    let naive = Naive::read(bytes);
    let out = folder.0.join("out");
    let mut writer = Some(Writer::create(&out, &reader).unwrap());
    let mut packets: Vec<(Timestamp, Vec<u8>)> = Vec::new();
    let ended = loop {
        match reader.next() {
            Ok(None) => break true,
            Err(error) => {
                check_error(&error, bytes, packets.len() as u64);
                break false;
            }
            Ok(Some(packet)) => {
                assert!(packet.frame.len() <= RECORD_LEN_MAX + 64, "a frame that is too long");
                let written = writer.as_mut().map(|writer| writer.write(packet.time, packet.frame));
                if written.is_some_and(|written| written.is_err()) {
                    // A time that the format has no room for.
                    assert!(packet.time.nanos() / 1_000_000_000 > u64::from(u32::MAX));
                    writer = None;
                }
                packets.push((packet.time, packet.frame.to_vec()));
            }
        }
    };
    if let Some(naive) = &naive {
        naive.check(&packets, ended, reader.link_type());
    }
    let unit = if reader.nanoseconds() { 1 } else { 1000 };
    if let Some(writer) = writer {
        writer.finish().unwrap();
        for (time, _) in &mut packets {
            *time = Timestamp(time.nanos() / unit * unit);
        }
        // What is too short for its link header, yet begins like a header of ours, cannot be told
        // from a packet that has one.
        let imitates = |frame: &[u8]| frame.len() < 34 && frame.get(1..3) == Some(&[0x54, 0x47]);
        if !packets.iter().any(|(_, frame)| imitates(frame)) || reader.link_type() == 1 {
            assert_eq!(whole(&out), packets, "written and read again");
        }
    }
}

fn whole(path: &Path) -> Vec<(Timestamp, Vec<u8>)> {
    let mut reader = Reader::open(path).unwrap();
    let mut packets = Vec::new();
    while let Some(packet) = reader.next().unwrap() {
        packets.push((packet.time, packet.frame.to_vec()));
    }
    packets
}

/// An error names the packet after the last good one, and a place in the file.
fn check_error(error: &Error, bytes: &[u8], packets: u64) {
    let (len, gzipped) = (bytes.len(), bytes.starts_with(&[0x1f, 0x8b]));
    assert!(!error.to_string().is_empty());
    if let Error::Packet { packet, offset, .. } = error {
        assert_eq!(*packet, packets + 1, "{error}");
        assert!(*offset <= len as u64 || gzipped, "{error}, of {len} bytes");
    }
}

/// What is in a classic capture, field by field; pcapng and what is compressed are not its trade.
struct Naive<'a> {
    packets: Vec<(Timestamp, &'a [u8])>,
    /// The file ends where a record does, and all are allowed.
    whole: bool,
}

impl<'a> Naive<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let magic: [u8; 4] = bytes.get(..4)?.try_into().unwrap();
        let (big, unit) = match magic {
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, 1000),
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, 1000),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, 1),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, 1),
            _ => return None,
        };
        let word = |at: usize| {
            let word: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
            if big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        let snap_len = word(16);
        let mut packets = Vec::new();
        let mut at = 24;
        while at + 16 <= bytes.len() {
            let (seconds, fraction, len) = (word(at), word(at + 4), word(at + 8));
            let Some(data) = bytes.get(at + 16..at + 16 + len as usize) else { break };
            if (snap_len != 0 && len > snap_len) || data.len() > RECORD_LEN_MAX {
                break;
            }
            let time = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * unit;
            packets.push((Timestamp(time), data));
            at += 16 + data.len();
        }
        Some(Self { packets, whole: at == bytes.len() })
    }

    fn check(&self, packets: &[(Timestamp, Vec<u8>)], ended: bool, link_type: u32) {
        assert_eq!(packets.len(), self.packets.len(), "packets");
        assert_eq!(ended, self.whole, "whether it ends well");
        for (read, naive) in packets.iter().zip(&self.packets) {
            assert_eq!(read.0, naive.0);
            assert!(link_type != 1 || read.1 == naive.1, "Ethernet frames are as they were");
            assert!(
                link_type == 1 || read.1.len() <= naive.1.len() + 14,
                "one header more at most"
            );
        }
    }
}

/// A folder that is gone afterwards, in memory where there is such.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("tollgate-capture-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
