use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use pcap_file::pcap::{PcapHeader, PcapWriter, RawPcapPacket};
use pcap_file::{DataLink, Endianness, PcapError, TsResolution};
use tollgate_wire::Timestamp;

use super::link_types::{KnownHeaders, LinkType};
use super::{Error, RECORD_LEN_MAX, Reader};

/// Writes a classic capture, of the link type and the resolution of the capture read.
#[derive(Debug)]
pub struct Writer {
    file: PathBuf,
    inner: PcapWriter<BufWriter<File>>,
    link: LinkType,
    known: KnownHeaders,
    nanoseconds: bool,
    packet: Vec<u8>,
    packets: u64,
}

impl Writer {
    /// Creates the file, or empties it. The packets will be those that `reader` has given out, or
    /// answers to them: their link headers are known to it.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub fn create(path: &Path, reader: &Reader) -> Result<Self, Error> {
        let file = path.to_path_buf();
        let nanoseconds = reader.nanoseconds();
        let header = PcapHeader {
            snaplen: u32::try_from(RECORD_LEN_MAX).unwrap_or(u32::MAX),
            datalink: DataLink::from(reader.link_type()),
            ts_resolution: if nanoseconds {
                TsResolution::NanoSecond
            } else {
                TsResolution::MicroSecond
            },
            endianness: Endianness::native(),
            ..PcapHeader::default()
        };
        let opened = File::create(path)
            .and_then(|out| PcapWriter::with_header(BufWriter::new(out), header).map_err(as_io));
        let inner = opened.map_err(|source| Error::Open { file: file.clone(), source })?;
        let (link, known) = (reader.link(), reader.known_headers());
        Ok(Self { file, inner, link, known, nanoseconds, packet: Vec::new(), packets: 0 })
    }

    /// Writes one Ethernet frame, as a packet of the link type of the capture.
    ///
    /// # Errors
    ///
    /// The file cannot be written to, or `time` lies beyond what the format can say (the year 2106).
    pub fn write(&mut self, time: Timestamp, frame: &[u8]) -> Result<(), Error> {
        self.packets += 1;
        let written = self.try_write(time, frame);
        written.map_err(|source| self.failed(source))
    }

    /// Writes what is still buffered.
    ///
    /// # Errors
    ///
    /// The file cannot be written to.
    pub fn finish(self) -> Result<(), Error> {
        let Self { file, inner, packets, .. } = self;
        let flushed = inner.into_writer().flush();
        flushed.map_err(|source| Error::Write { file, packet: packets, source })
    }

    fn try_write(&mut self, time: Timestamp, frame: &[u8]) -> io::Result<()> {
        self.link.of_ethernet(frame, &self.known, &mut self.packet);
        let (seconds, fraction) = (time.nanos() / 1_000_000_000, time.nanos() % 1_000_000_000);
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let len = u32::try_from(self.packet.len()).map_err(invalid)?;
        let fraction = if self.nanoseconds { fraction } else { fraction / 1000 };
        let packet = RawPcapPacket {
            ts_sec: u32::try_from(seconds).map_err(invalid)?,
            ts_frac: u32::try_from(fraction).map_err(invalid)?,
            incl_len: len,
            orig_len: len,
            data: self.packet.as_slice().into(),
        };
        self.inner.write_raw_packet(&packet).map(drop).map_err(as_io)
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Write { file: self.file.clone(), packet: self.packets, source }
    }
}

fn as_io(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other.to_string()),
    }
}
