//! The fields of a packet, by Haka's names, read from the frame where [`Headers`] says they are.
use std::rc::Rc;

use mlua::{Lua, Table, Value};
use tollgate_wire::{Checksum, Flags, Headers, IpVersion, Malformed, Packet, Refusal, Rejected};

use super::getter;
use crate::event::{Event, Shared};

/// A field; `None` where this packet has no such field.
type Field = (&'static str, fn(&Frame<'_>) -> Option<u32>);

/// Adds `tcp`, `tcp_flags`, `ip`, `ip_flags`, `payload` and `checksums`.
pub(super) fn add(lua: &Lua, native: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    for (name, fields) in [("tcp", TCP), ("ip", IP)] {
        let table = lua.create_table()?;
        for &(field, read) in fields {
            let shared = Rc::clone(shared);
            let get = lua.create_function(move |_, ()| {
                Ok(Frame::of(&shared.event.borrow()).as_ref().and_then(read))
            })?;
            table.set(field, get)?;
        }
        native.set(name, table)?;
    }
    native.set("tcp_flags", tcp_flags(lua, shared)?)?;
    native.set("ip_flags", ip_flags(lua, shared)?)?;
    native.set("checksums", getter(lua, shared, |event| checksums(&event.bytes))?)?;
    native.set(
        "payload",
        getter(lua, shared, |event| {
            event
                .headers
                .map_or((0, 0), |headers| (u32::from(headers.payload), headers.payload_len()))
        })?,
    )
}

/// Whether the checksums of the IP header and of the TCP segment are right; IPv6 has none. One that
/// its sender left to a card counts as right: it is completed before it leaves.
fn checksums(frame: &[u8]) -> (bool, bool) {
    match Packet::parse(frame) {
        Ok(packet) => (true, packet.checksum() != Checksum::Bad),
        Err(Rejected { why, .. }) => (why != Refusal::Malformed(Malformed::Ipv4Checksum), false),
    }
}

/// A frame and where its headers are.
struct Frame<'a> {
    bytes: &'a [u8],
    headers: Headers,
}

impl<'a> Frame<'a> {
    fn of(event: &'a Event) -> Option<Self> {
        Some(Self { bytes: &event.bytes, headers: event.headers? })
    }

    fn byte(&self, at: usize) -> Option<u32> {
        self.bytes.get(at).copied().map(u32::from)
    }

    fn pair(&self, at: usize) -> Option<u32> {
        Some(self.byte(at)? << 8 | self.byte(at + 1)?)
    }

    fn ip(&self, offset: usize) -> usize {
        usize::from(self.headers.ip) + offset
    }

    fn tcp(&self, offset: usize) -> usize {
        usize::from(self.headers.tcp) + offset
    }

    fn is_v4(&self) -> bool {
        self.headers.ip_version == IpVersion::V4
    }

    /// A field that only IPv4 has (RFC 791 section 3.1).
    fn v4(&self, read: impl FnOnce(&Self) -> Option<u32>) -> Option<u32> {
        if self.is_v4() { read(self) } else { None }
    }
}

/// Lengths are in bytes, as in Haka.
const TCP: &[Field] = &[
    ("srcport", |frame| frame.pair(frame.tcp(0))),
    ("dstport", |frame| frame.pair(frame.tcp(2))),
    ("seq", |frame| Some(frame.headers.seq.0)),
    ("ack_seq", |frame| Some(frame.headers.ack.0)),
    ("hdr_len", |frame| Some(u32::from(frame.headers.payload.saturating_sub(frame.headers.tcp)))),
    ("res", |frame| Some(frame.byte(frame.tcp(12))? & 0xf)),
    ("window_size", |frame| Some(u32::from(frame.headers.window))),
    ("checksum", |frame| frame.pair(frame.tcp(16))),
    ("urgent_pointer", |frame| Some(u32::from(frame.headers.urgent))),
];

const IP: &[Field] = &[
    ("version", |frame| Some(if frame.is_v4() { 4 } else { 6 })),
    ("hdr_len", |frame| {
        Some(if frame.is_v4() { (frame.byte(frame.ip(0))? & 0xf) * 4 } else { 40 })
    }),
    // DSCP and ECN; for IPv6 the traffic class, which straddles two bytes (RFC 8200 section 3).
    ("tos", |frame| {
        if frame.is_v4() {
            frame.byte(frame.ip(1))
        } else {
            Some(frame.pair(frame.ip(0))? >> 4 & 0xff)
        }
    }),
    // The whole datagram, headers included, for both versions.
    ("len", |frame| Some(frame.headers.end.saturating_sub(u32::from(frame.headers.ip)))),
    ("id", |frame| frame.v4(|frame| frame.pair(frame.ip(4)))),
    ("frag_offset", |frame| frame.v4(|frame| Some((frame.pair(frame.ip(6))? & 0x1fff) * 8))),
    ("ttl", |frame| Some(u32::from(frame.headers.ttl))),
    ("proto", |_| Some(6)),
    ("checksum", |frame| frame.v4(|frame| frame.pair(frame.ip(10)))),
    ("flow_label", |frame| {
        if frame.is_v4() {
            return None;
        }
        Some((frame.byte(frame.ip(1))? & 0xf) << 16 | frame.pair(frame.ip(2))?)
    }),
];

fn tcp_flags(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let flags = [
        ("fin", Flags::FIN),
        ("syn", Flags::SYN),
        ("rst", Flags::RST),
        ("psh", Flags::PSH),
        ("ack", Flags::ACK),
        ("urg", Flags::URG),
        ("ecn", Flags::ECE),
        ("cwr", Flags::CWR),
    ];
    for (name, flag) in flags {
        let shared = Rc::clone(shared);
        let get = lua.create_function(move |_, ()| {
            Ok(shared.event.borrow().headers.map(|headers| headers.flags.contains(flag)))
        })?;
        table.set(name, get)?;
    }
    // Haka's `all` is the flag byte of the header.
    table.set(
        "all",
        getter(lua, shared, |event| event.headers.map(|headers| headers.flags.bits() & 0xff))?,
    )?;
    Ok(table)
}

fn ip_flags(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<Table> {
    fn bits(event: &Event) -> Option<u32> {
        let frame = Frame::of(event)?;
        frame.v4(|frame| Some(frame.byte(frame.ip(6))? >> 5))
    }
    let table = lua.create_table()?;
    for (name, bit) in [("rb", 4), ("df", 2), ("mf", 1)] {
        let shared = Rc::clone(shared);
        let get = lua.create_function(move |_, ()| {
            Ok(bits(&shared.event.borrow()).map(|bits| bits & bit != 0))
        })?;
        table.set(name, get)?;
    }
    table.set(
        "all",
        getter(lua, shared, |event| {
            bits(event).map_or(Value::Nil, |bits| Value::Number(f64::from(bits)))
        })?,
    )?;
    Ok(table)
}
