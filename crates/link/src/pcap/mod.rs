//! Captures: classic pcap and pcapng in, classic pcap out.
//!
//! Whatever the link type, the frames given out are Ethernet frames. In front of raw IP, Linux
//! cooked and loopback packets stands a synthesised Ethernet header, which remembers the header
//! that was there; the writer puts that one back.
//!
//! Nothing in a file makes memory grow without bound: a record is at most [`RECORD_LEN_MAX`] long,
//! compressed files are read as a stream, tables have a size.

mod error;
mod link;
mod link_types;
mod ports;
mod reader;
mod record;
mod source;
mod writer;

pub use error::{Error, Problem};
pub use link::{Mend, Mends, PcapFrame, PcapLink};
pub use reader::{Captured, Reader};
pub use writer::Writer;

/// Bytes of the longest packet that is taken from a capture: what libpcap allows, and four times
/// what a card that merges segments hands up.
pub const RECORD_LEN_MAX: usize = 256 * 1024;
