//! Headers in, typed values out.
//!
//! A frame is parsed once, into offsets ([`Headers`], `Copy`, no borrow); a [`Packet`] is a frame
//! with those offsets beside it. After [`Packet::parse`] nothing below checks a length again.
//! Hostile bytes are refused with a reason ([`Refusal`]), never with a panic, and the frame is given
//! back to whoever owned it.
//!
//! Parsing leans on [`smoltcp::wire`]; sequence numbers are our own ([`Seq`]), because smoltcp's
//! subtraction panics on distances that an attacker may choose.
#![forbid(unsafe_code)]

mod checksum;
mod datagram;
mod direction;
mod edit;
mod flags;
mod flow_key;
pub mod forge;
pub mod fragment;
mod headers;
mod icmp;
mod layers;
mod link_header;
mod options;
mod packet;
mod parse;
mod refusal;
mod repair;
mod sack;
mod seq;
mod timestamp;

pub use checksum::Checksum;
pub use datagram::Datagram;
pub use direction::{Direction, PerDirection};
pub use flags::Flags;
pub use flow_key::{Endpoint, FlowKey, ShortKey, Side, Vlans};
pub use headers::{Headers, IpVersion};
pub use icmp::IcmpError;
pub use layers::{Layers, ethertype_of};
pub use link_header::LinkHeader;
pub use options::{Options, SackBlocks, Timestamps};
pub use packet::{Packet, Rejected};
pub use refusal::{Malformed, Other, Refusal};
pub use repair::{complete_partial, repair_checksums};
pub use seq::Seq;
pub use timestamp::Timestamp;
