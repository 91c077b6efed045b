use std::fmt;
use std::path::{Path, PathBuf};

use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::PcapNgReader;
use pcap_file::{Endianness, PcapError, TsResolution};
use tollgate_wire::Timestamp;

use super::link_types::{KnownHeaders, LinkType};
use super::ports::Sides;
use super::record::{Record, classic, next, said};
use super::source::{self, Source};
use super::{Error, Problem};
use crate::Port;

const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A packet of a capture, as an Ethernet frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Captured<'a> {
    /// When it was captured, since the UNIX epoch. Captures do run backwards.
    pub time: Timestamp,
    /// Where it arrives: the first sender of each pair of addresses is at port A.
    pub port: Port,
    /// Its bytes, which may be changed: they are a copy.
    pub frame: &'a mut [u8],
    /// Bytes that the capture did not keep (its snap length). Such a frame is shorter than its IP
    /// header says, hence malformed: it is counted as that, and nobody guesses the rest.
    pub missing: u32,
}

/// Reads a capture: classic pcap (microseconds or nanoseconds, both byte orders) or pcapng, either
/// compressed by gzip or not.
pub struct Reader {
    file: PathBuf,
    format: Format,
    link: LinkType,
    link_number: u32,
    nanoseconds: bool,
    known: KnownHeaders,
    sides: Sides,
    /// The next packet has been read already, so that the link type is known from the beginning.
    ahead: Option<Record>,
    packet: Vec<u8>,
    frame: Vec<u8>,
    snapped: u64,
    /// Where the next record begins.
    offset: u64,
    packets: u64,
}

enum Format {
    Classic(PcapReader<Source>),
    /// Boxed: the parser keeps all there is to know about the interfaces.
    Next(Box<PcapNgReader<Source>>),
}

impl Reader {
    /// Opens a capture and reads up to its first packet.
    ///
    /// # Errors
    ///
    /// It cannot be read, is no capture, is of a link type we do not know, or its first packet is
    /// broken.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = path.to_path_buf();
        let (head, source) =
            source::open(path).map_err(|source| Error::Open { file: file.clone(), source })?;
        if head.is_empty() {
            return Err(Error::Empty { file });
        }
        let broken = |error: PcapError| Error::Header { file: file.clone(), problem: said(&error) };
        let (format, offset, link_number, nanoseconds) = if head.starts_with(&PCAPNG) {
            let reader = PcapNgReader::new(source).map_err(broken)?;
            let offset = section_len(&head, reader.section().endianness);
            (Format::Next(Box::new(reader)), offset, None, true)
        } else if is_classic(&head) {
            let reader = PcapReader::new(source).map_err(broken)?;
            let header = reader.header();
            let nanoseconds = header.ts_resolution == TsResolution::NanoSecond;
            // The upper bits say how long a frame check sequence is.
            let number = u32::from(header.datalink) & 0xffff;
            (Format::Classic(reader), 24, Some(number), nanoseconds)
        } else {
            let magic = head.into_iter().take(4).collect();
            return Err(Error::Format { file, magic });
        };
        let mut reader = Self {
            file,
            format,
            link: LinkType::Ethernet,
            link_number: link_number.unwrap_or(1),
            nanoseconds,
            known: KnownHeaders::default(),
            sides: Sides::default(),
            ahead: None,
            packet: Vec::new(),
            frame: Vec::new(),
            snapped: 0,
            offset,
            packets: 0,
        };
        reader.ahead = reader.record()?;
        reader.learn_link_type(link_number)?;
        Ok(reader)
    }

    /// The next packet, or none at the end.
    ///
    /// # Errors
    ///
    /// The packet is broken; the ones before were not.
    #[expect(clippy::should_implement_trait, reason = "an Iterator cannot lend from itself")]
    pub fn next(&mut self) -> Result<Option<Captured<'_>>, Error> {
        let record = match self.ahead.take() {
            Some(record) => Some(record),
            None => self.record()?,
        };
        let Some(record) = record else { return Ok(None) };
        self.snapped += u64::from(record.missing > 0);
        self.link.to_ethernet(&self.packet, &self.known, &mut self.frame);
        let port = self.sides.port_of(&self.frame);
        Ok(Some(Captured {
            time: record.time,
            port,
            frame: &mut self.frame,
            missing: record.missing,
        }))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// The link type of its packets, by the number in the file (the tcpdump.org registry).
    #[must_use]
    pub const fn link_type(&self) -> u32 {
        self.link_number
    }

    /// Whether it has nanoseconds rather than microseconds.
    #[must_use]
    pub const fn nanoseconds(&self) -> bool {
        self.nanoseconds
    }

    /// Packets so far of which the capture did not keep all bytes.
    #[must_use]
    pub const fn snapped(&self) -> u64 {
        self.snapped
    }

    pub(super) const fn link(&self) -> LinkType {
        self.link
    }

    pub(super) fn known_headers(&self) -> KnownHeaders {
        self.known.clone()
    }

    fn learn_link_type(&mut self, from_header: Option<u32>) -> Result<(), Error> {
        let number = match (&self.format, from_header, &self.ahead) {
            (_, Some(number), _) => number,
            (_, None, Some(first)) => first.link_number,
            (Format::Next(reader), None, None) => {
                reader.interfaces().first().map_or(1, |first| u32::from(first.linktype))
            }
            (Format::Classic(_), None, None) => 1,
        };
        self.link_number = number;
        let unknown = || Error::LinkType { file: self.file.clone(), number };
        self.link = LinkType::of(number).ok_or_else(unknown)?;
        Ok(())
    }

    /// Reads one record; its bytes are in `packet` then.
    fn record(&mut self) -> Result<Option<Record>, Error> {
        let at = self.offset;
        let record = match &mut self.format {
            Format::Classic(reader) => {
                classic(reader, &mut self.packet, &mut self.offset, self.link_number)
            }
            Format::Next(reader) => next(reader, &mut self.packet, &mut self.offset),
        };
        let placed = |problem| Error::Packet {
            file: self.file.clone(),
            packet: self.packets + 1,
            // A pcapng has other blocks between packets; the cursor stands at the one that failed.
            offset: self.offset.max(at),
            problem,
        };
        let record = record.map_err(placed)?;
        if let Some(record) = &record {
            let (number, expected) = (record.link_number, self.link_number);
            if number != expected && self.packets > 0 {
                return Err(placed(Problem::OtherLinkType { number, expected }));
            }
            self.packets += 1;
        }
        Ok(record)
    }
}

fn is_classic(head: &[u8]) -> bool {
    const MICROSECONDS: u32 = 0xa1b2_c3d4;
    const NANOSECONDS: u32 = 0xa1b2_3c4d;
    head.first_chunk().is_some_and(|&magic| {
        let (big, little) = (u32::from_be_bytes(magic), u32::from_le_bytes(magic));
        [MICROSECONDS, NANOSECONDS].iter().any(|magic| big == *magic || little == *magic)
    })
}

/// The length of a section header block, which begins a pcapng.
fn section_len(head: &[u8], order: Endianness) -> u64 {
    let len = head.get(4..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
    u64::from(match order {
        Endianness::Big => u32::from_be_bytes(len),
        Endianness::Little => u32::from_le_bytes(len),
    })
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("file", &self.file)
            .field("link_type", &self.link_number)
            .field("packets", &self.packets)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}
