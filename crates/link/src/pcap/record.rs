//! One record after the other, out of both formats.

use std::io;

use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::PcapNgReader;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::{
    ENHANCED_PACKET_BLOCK, INTERFACE_DESCRIPTION_BLOCK, PACKET_BLOCK, SIMPLE_PACKET_BLOCK,
};
use pcap_file::{Endianness, PcapError, TsResolution};
use tollgate_wire::Timestamp;

use super::source::Source;
use super::{Problem, RECORD_LEN_MAX};

/// Interfaces that one section of a pcapng may describe; a guess, far above any machine's.
const INTERFACES_MAX: usize = 4096;

/// What a record says about the bytes in `Reader::packet`.
#[derive(Clone, Copy)]
pub(super) struct Record {
    pub(super) time: Timestamp,
    pub(super) missing: u32,
    pub(super) link_number: u32,
}

/// The next record of a classic capture; its bytes go to `bytes`.
pub(super) fn classic(
    reader: &mut PcapReader<Source>,
    bytes: &mut Vec<u8>,
    offset: &mut u64,
    link_number: u32,
) -> Result<Option<Record>, Problem> {
    let header = reader.header();
    let Some(packet) = reader.next_raw_packet() else { return Ok(None) };
    let packet = packet.map_err(|error| problem(&error))?;
    if header.snaplen != 0 && packet.incl_len > header.snaplen {
        return Err(Problem::BeyondSnapLen { len: packet.incl_len, snap_len: header.snaplen });
    }
    take(&packet.data, bytes)?;
    let unit = if header.ts_resolution == TsResolution::NanoSecond { 1 } else { 1000 };
    let time = u64::from(packet.ts_sec) * 1_000_000_000 + u64::from(packet.ts_frac) * unit;
    *offset += 16 + u64::from(packet.incl_len);
    let missing = packet.orig_len.saturating_sub(packet.incl_len);
    Ok(Some(Record { time: Timestamp(time), missing, link_number }))
}

/// The next packet of a pcapng, past blocks of other kinds.
pub(super) fn next(
    reader: &mut PcapNgReader<Source>,
    bytes: &mut Vec<u8>,
    offset: &mut u64,
) -> Result<Option<Record>, Problem> {
    loop {
        let order = reader.section().endianness;
        let Some(block) = reader.next_raw_block() else { return Ok(None) };
        let block = block.map_err(|error| problem(&error))?;
        let len = u64::from(block.initial_len);
        let kind = block.type_;
        if let Some(packet) = PacketBlock::of(kind, &block.body, order)? {
            take(packet.data, bytes)?;
            let (id, units, original_len) = (packet.interface, packet.units, packet.original_len);
            let interface = usize::try_from(id).ok().and_then(|id| reader.interfaces().get(id));
            let interface = interface.ok_or(Problem::NoInterface { interface: id })?;
            // A simple packet block is padded, and nothing says how much.
            let limit = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
            bytes.truncate(usize::try_from(original_len.min(limit)).unwrap_or(usize::MAX));
            let kept = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            *offset += len;
            return Ok(Some(Record {
                time: Timestamp(nanoseconds(units, interface)),
                missing: original_len.saturating_sub(kept),
                link_number: u32::from(interface.linktype),
            }));
        }
        *offset += len;
        // The crate keeps a description of each, however many a file may claim.
        if kind == INTERFACE_DESCRIPTION_BLOCK && reader.interfaces().len() > INTERFACES_MAX {
            return Err(Problem::Broken(format!("more than {INTERFACES_MAX} interfaces")));
        }
    }
}

/// What the three kinds of packet block have in common.
struct PacketBlock<'a> {
    interface: u32,
    /// Time, in units of the interface.
    units: u64,
    original_len: u32,
    data: &'a [u8],
}

impl<'a> PacketBlock<'a> {
    /// None for a block that holds no packet.
    fn of(kind: u32, body: &'a [u8], order: Endianness) -> Result<Option<Self>, Problem> {
        let short = || Problem::Broken("a packet block shorter than its fields".to_owned());
        let number = |at: usize| {
            let bytes = *body.get(at..).and_then(|rest| rest.first_chunk())?;
            Some(match order {
                Endianness::Big => u32::from_be_bytes(bytes),
                Endianness::Little => u32::from_le_bytes(bytes),
            })
        };
        let parsed = || match kind {
            ENHANCED_PACKET_BLOCK | PACKET_BLOCK => {
                let first = number(0)?;
                // The obsolete packet block has a drop count in the other half of the word.
                let interface = match (kind, order) {
                    (ENHANCED_PACKET_BLOCK, _) => first,
                    (_, Endianness::Big) => first >> 16,
                    (_, Endianness::Little) => first & 0xffff,
                };
                let len = usize::try_from(number(12)?).ok()?;
                Some(Self {
                    interface,
                    units: u64::from(number(4)?) << 32 | u64::from(number(8)?),
                    original_len: number(16)?,
                    data: body.get(20..)?.get(..len)?,
                })
            }
            _ => Some(Self {
                interface: 0,
                units: 0,
                original_len: number(0)?,
                data: body.get(4..)?,
            }),
        };
        match kind {
            ENHANCED_PACKET_BLOCK | PACKET_BLOCK | SIMPLE_PACKET_BLOCK => {
                parsed().map(Some).ok_or_else(short)
            }
            _ => Ok(None),
        }
    }
}

/// Time since the UNIX epoch, of a time in the units of an interface: its resolution is a power of
/// ten or, with the highest bit set, of two; its offset is in seconds.
fn nanoseconds(units: u64, interface: &InterfaceDescriptionBlock<'_>) -> u64 {
    let (mut resolution, mut offset) = (6, 0);
    for option in &interface.options {
        match *option {
            InterfaceDescriptionOption::IfTsResol(value) => resolution = value,
            InterfaceDescriptionOption::IfTsOffset(value) => offset = value,
            _ => {}
        }
    }
    let exponent = u32::from(resolution & 0x7f);
    let (base, units) = (if resolution & 0x80 == 0 { 10_u128 } else { 2 }, u128::from(units));
    let time = match base.checked_pow(exponent) {
        Some(per_second) => units * 1_000_000_000 / per_second,
        None => 0,
    };
    // The offset is signed in the format; as wrapping seconds it adds up either way.
    let time = u64::try_from(time).unwrap_or(u64::MAX);
    time.wrapping_add(offset.wrapping_mul(1_000_000_000))
}

fn take(data: &[u8], bytes: &mut Vec<u8>) -> Result<(), Problem> {
    if data.len() > RECORD_LEN_MAX {
        return Err(Problem::Absurd { len: data.len() });
    }
    bytes.clear();
    bytes.extend_from_slice(data);
    Ok(())
}

/// What the crate says, in our words. Its buffer is 8 MB, and a record that does not fit it reads
/// like one that the file ends in.
fn problem(error: &PcapError) -> Problem {
    match error {
        PcapError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Problem::Truncated
        }
        other => Problem::Broken(said(other)),
    }
}

pub(super) fn said(error: &PcapError) -> String {
    match error {
        PcapError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the file ends inside".to_owned()
        }
        PcapError::IoError(error) => format!("reading fails: {error}"),
        other => other.to_string(),
    }
}
