//! Connections that cross a link, or are dropped at it, without being received.
//!
//! What a worker knows of such a connection it has from [`Link::shunted`](crate::Link::shunted). Segments
//! that begin or end one are received all the same, and so is whatever a link does not take for a plain
//! segment.

use std::collections::HashMap;

use tollgate_wire::{Flags, FlowKey, Packet, Seq, Side};

use crate::Port;

/// One direction of a connection: its segments as they look at the port where they arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    /// Where they arrive.
    pub port: Port,
    /// Their connection.
    pub key: FlowKey,
    /// Who of it sends them.
    pub source: Side,
}

/// What becomes of the segments of a shunt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They leave at the other port. Those with SYN, FIN or RST, or without ACK, are received.
    Cross,
    /// They are dropped. Those with SYN are received, and of the others one now and then.
    Drop,
}

/// How far the numbers of one direction have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edges {
    /// The highest number after a byte that crossed.
    pub end: Seq,
    /// The highest acknowledgment.
    pub ack: Seq,
    /// The right-most edge of the window that was offered beside one.
    pub window: Seq,
}

/// What [`Link::shunt`](crate::Link::shunt) is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Shunt {
    /// Which segments.
    pub way: Way,
    /// What becomes of them.
    pub fate: Fate,
    /// Where their numbers stand now.
    pub edges: Edges,
    /// How far the windows are shifted that they offer.
    pub shift: u8,
}

/// What a shunt has seen since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shunted {
    /// Segments that crossed or were dropped.
    pub packets: u64,
    /// Their bytes, by the IP length.
    pub bytes: u64,
    /// Where their numbers stand.
    pub edges: Edges,
}

/// Why a shunt was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoShunt {
    /// There are as many as there may be, or the system has no more memory.
    Full,
    /// This link cannot: whatever arrives is received.
    Unable,
}

impl Edges {
    /// Takes note of a segment with `len` bytes from `seq` on. A bare acknowledgment is numbered behind a FIN
    /// that may not have been looked at yet, so its number tells nothing.
    fn saw(&mut self, (seq, len): (Seq, u32), ack: Seq, window: Seq) {
        if len > 0 {
            self.end = self.end.max(seq + len);
        }
        self.ack = self.ack.max(ack);
        self.window = self.window.max(window);
    }
}

/// The shunts of a link without a machine behind it, in plain words: what the steering program does is
/// held against it.
#[derive(Debug)]
pub struct Shunts {
    entries: HashMap<Way, Entry>,
    max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    shunt: Shunt,
    seen: Shunted,
    /// The next that would be dropped is received.
    due: bool,
}

impl Shunts {
    /// At most `max` directions.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { entries: HashMap::new(), max }
    }

    /// As [`Link::shunt`](crate::Link::shunt).
    pub fn insert(&mut self, shunt: &Shunt) -> Result<(), NoShunt> {
        if self.entries.len() >= self.max && !self.entries.contains_key(&shunt.way) {
            return Err(NoShunt::Full);
        }
        let seen = Shunted { edges: shunt.edges, ..Shunted::default() };
        self.entries.insert(shunt.way, Entry { shunt: *shunt, seen, due: false });
        Ok(())
    }

    /// As [`Link::shunted`](crate::Link::shunted).
    #[must_use]
    pub fn seen(&self, way: &Way) -> Option<Shunted> {
        self.entries.get(way).map(|entry| entry.seen)
    }

    /// As [`Link::unshunt`](crate::Link::unshunt).
    pub fn remove(&mut self, way: &Way) -> Option<Shunted> {
        self.entries.remove(way).map(|entry| entry.seen)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lets the next segment of each connection that is dropped be received.
    pub fn let_up(&mut self) {
        for entry in self.entries.values_mut() {
            entry.due = true;
        }
    }

    /// What becomes of a frame that arrives at `port`; none if it is received.
    pub fn take(&mut self, port: Port, frame: &[u8]) -> Option<Fate> {
        if self.entries.is_empty() {
            return None;
        }
        let packet = Packet::parse(frame).ok()?;
        let headers = packet.headers();
        let way = Way { port, key: headers.key, source: headers.source };
        let entry = self.entries.get_mut(&way).filter(|_| is_plain(&packet))?;
        let control = Flags::FIN | Flags::SYN | Flags::RST;
        match entry.shunt.fate {
            Fate::Drop if headers.flags.contains(Flags::SYN) || std::mem::take(&mut entry.due) => {
                return None;
            }
            Fate::Drop => {}
            Fate::Cross => {
                if headers.flags & (control | Flags::ACK) != Flags::ACK {
                    return None;
                }
                let window = u32::from(headers.window) << entry.shunt.shift;
                let bytes = (headers.seq, headers.payload_len());
                entry.seen.edges.saw(bytes, headers.ack, headers.ack + window);
            }
        }
        entry.seen.packets += 1;
        entry.seen.bytes += u64::from(packet.ip_len());
        Some(entry.shunt.fate)
    }
}

/// Without IP options or extension headers.
fn is_plain(packet: &Packet<&[u8]>) -> bool {
    let headers = packet.headers();
    let ip_header = if headers.key.is_ipv6() { 40 } else { 20 };
    headers.tcp - headers.ip == ip_header
}
