use std::io;
use std::path::PathBuf;

use super::RECORD_LEN_MAX;

/// Why a capture cannot be read or written: always with the file, and with the place in it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum Error {
    /// It cannot be opened or created.
    #[error("{}: {source}", file.display())]
    Open { file: PathBuf, source: io::Error },
    /// Nothing is in it.
    #[error("{}: the file is empty; capture again, or give another file", file.display())]
    Empty { file: PathBuf },
    /// It does not begin as a capture does.
    #[error(
        "{}: not a capture: it begins with {magic:02x?}, which is neither pcap nor pcapng; \
         convert it first, for example with `editcap -F pcap`",
        file.display()
    )]
    Format { file: PathBuf, magic: Vec<u8> },
    /// Its header is cut off or makes no sense.
    #[error("{}: the header of the capture is broken ({problem}); capture again", file.display())]
    Header { file: PathBuf, problem: String },
    /// Packets that we cannot put an Ethernet header in front of.
    #[error(
        "{}: link type {number} is not supported, only Ethernet (1), raw IP (12, 14, 101, 228, \
         229), Linux cooked (113, 276) and loopback (0, 108)",
        file.display()
    )]
    LinkType { file: PathBuf, number: u32 },
    /// One packet cannot be read.
    #[error("{}: packet {packet}, at byte {offset}: {problem}", file.display())]
    Packet {
        file: PathBuf,
        /// Counted from 1, as other tools do.
        packet: u64,
        /// Where its record begins; in the unpacked file, if it is a compressed one.
        offset: u64,
        problem: Problem,
    },
    /// It cannot be written.
    #[error("{}: packet {packet} cannot be written: {source}", file.display())]
    Write { file: PathBuf, packet: u64, source: io::Error },
}

/// What is wrong with one packet of a capture.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are what the messages say")]
pub enum Problem {
    /// The capturing program was killed, the disk was full, or a length field is damaged.
    #[error(
        "the file ends inside this packet, or its length field is damaged; the packets before it \
         are whole: copy them with `editcap` or `tcpdump -r`, and use the copy"
    )]
    Truncated,
    /// The record claims more than the file's header allows.
    #[error(
        "it is {len} bytes long, but the capture says that none is longer than {snap_len}; the \
         file is damaged here"
    )]
    BeyondSnapLen { len: u32, snap_len: u32 },
    /// The record claims more than any link carries.
    #[error(
        "it claims to be {len} bytes long, and {RECORD_LEN_MAX} is the limit; the file is damaged here"
    )]
    Absurd { len: usize },
    /// A packet of an interface that the file does not describe.
    #[error("it belongs to interface {interface}, which the file does not describe")]
    NoInterface { interface: u32 },
    /// pcapng can mix link types; what is written cannot.
    #[error(
        "its link type is {number}, that of the packets before is {expected}; write the packets \
         of each interface to a file of its own, for example with `tshark -Y 'frame.interface_id == 0'`"
    )]
    OtherLinkType { number: u32, expected: u32 },
    /// The format is violated.
    #[error("the file is damaged here ({0})")]
    Broken(String),
}
