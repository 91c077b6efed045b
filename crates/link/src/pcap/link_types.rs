//! Link types, and the Ethernet header in front of packets that have none.
//!
//! A synthesised header has the addresses `02:54:47` and `06:54:47`, then the number of the header
//! that was there, in both: so it survives being reversed for an answer, and shows that it was.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Different link headers kept. A cooked capture has about one for every neighbour; beyond this
/// the header kept first stands in for the others.
const HEADERS_MAX: usize = 65_536;
/// Bytes of an Ethernet header.
const ETHERNET_LEN: usize = 14;
const SENDER: [u8; 3] = [0x02, 0x54, 0x47];
const RECEIVER: [u8; 3] = [0x06, 0x54, 0x47];

/// What stands in front of the packets of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkType {
    Ethernet,
    /// The IP header comes first.
    Raw,
    /// Four bytes of address family, in the byte order of the machine that captured.
    Null,
    /// The same in network byte order.
    Loop,
    /// Linux "any" device: 16 bytes, EtherType last.
    Cooked,
    /// Its second version: 20 bytes, EtherType first.
    Cooked2,
}

impl LinkType {
    /// From the number in the file (the tcpdump.org registry).
    pub(super) const fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Null,
            1 => Self::Ethernet,
            12 | 14 | 101 | 228 | 229 => Self::Raw,
            108 => Self::Loop,
            113 => Self::Cooked,
            276 => Self::Cooked2,
            _ => return None,
        })
    }

    const fn header_len(self) -> usize {
        match self {
            Self::Ethernet | Self::Raw => 0,
            Self::Null | Self::Loop => 4,
            Self::Cooked => 16,
            Self::Cooked2 => 20,
        }
    }

    /// Offset of the EtherType in the header.
    const fn ethertype_at(self) -> Option<usize> {
        match self {
            Self::Cooked => Some(14),
            Self::Cooked2 => Some(0),
            _ => None,
        }
    }

    /// Makes an Ethernet frame of a packet, in `frame`. A packet that is shorter than its link
    /// header stays as it is: whoever parses it finds it broken.
    pub(super) fn to_ethernet(self, packet: &[u8], known: &KnownHeaders, frame: &mut Vec<u8>) {
        frame.clear();
        let split = packet.split_at_checked(self.header_len());
        let (Some((header, body)), false) = (split, self == Self::Ethernet) else {
            frame.extend_from_slice(packet);
            return;
        };
        let [_, number @ ..] = known.remember(header).to_be_bytes();
        for part in [RECEIVER, number, SENDER, number] {
            frame.extend_from_slice(&part);
        }
        frame.extend_from_slice(&self.ethertype(header, body));
        frame.extend_from_slice(body);
    }

    fn ethertype(self, header: &[u8], body: &[u8]) -> [u8; 2] {
        let version = body.first().map_or(0, |byte| byte >> 4);
        match self.ethertype_at() {
            Some(at) => header.get(at..).and_then(|rest| rest.first_chunk()).copied(),
            None => match (family(header), version) {
                (None | Some(Family::V4), 4) => Some([0x08, 0x00]),
                (None | Some(Family::V6), 6) => Some([0x86, 0xdd]),
                _ => None,
            },
        }
        .unwrap_or([0, 0])
    }

    /// Makes a packet of this link type of an Ethernet frame, in `packet`.
    pub(super) fn of_ethernet(self, frame: &[u8], known: &KnownHeaders, packet: &mut Vec<u8>) {
        packet.clear();
        let split = frame.split_at_checked(ETHERNET_LEN);
        let (Some((ethernet, body)), false) = (split, self == Self::Ethernet) else {
            packet.extend_from_slice(frame);
            return;
        };
        let (reversed, number) = match *ethernet {
            [a, b, c, x, y, z, ..] if [a, b, c] == RECEIVER => (false, [0, x, y, z]),
            [a, b, c, x, y, z, ..] if [a, b, c] == SENDER => (true, [0, x, y, z]),
            // A packet that was shorter than its link header, and stayed as it was.
            _ => return packet.extend_from_slice(frame),
        };
        known.recall(u32::from_be_bytes(number), packet);
        packet.resize(self.header_len(), 0);
        if let Some(field) = self.ethertype_at().and_then(|at| packet.get_mut(at..at + 2)) {
            field.copy_from_slice(ethernet.get(12..14).unwrap_or_default());
        }
        if reversed {
            self.reverse(packet);
        }
        packet.extend_from_slice(body);
    }

    /// An answer went the other way: "sent by us" (4) becomes "to us" (0) and the reverse, and the
    /// sender's address is not known.
    fn reverse(self, header: &mut [u8]) {
        let (kind, address) = match self {
            Self::Cooked => (1, 4..14),
            Self::Cooked2 => (10, 11..20),
            _ => return,
        };
        if let Some(kind) = header.get_mut(kind) {
            *kind = if *kind == 4 { 0 } else { 4 };
        }
        header.get_mut(address).unwrap_or_default().fill(0);
    }
}

enum Family {
    V4,
    V6,
    Other,
}

/// The address family of a loopback header; none without one. IPv6 has a number of its own on every
/// system: 10 Linux, 24 NetBSD and OpenBSD, 28 FreeBSD, 30 macOS.
fn family(header: &[u8]) -> Option<Family> {
    Some(match *header.first_chunk::<4>()? {
        [2, 0, 0, 0] | [0, 0, 0, 2] => Family::V4,
        [10 | 24 | 28 | 30, 0, 0, 0] | [0, 0, 0, 10 | 24 | 28 | 30] => Family::V6,
        _ => Family::Other,
    })
}

/// The link headers that a reader has taken away, for the writer to put back. Shared by the two.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownHeaders(Rc<RefCell<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// At most `HEADERS_MAX`.
    headers: Vec<Box<[u8]>>,
    numbers: HashMap<Box<[u8]>, u32>,
}

impl KnownHeaders {
    fn remember(&self, header: &[u8]) -> u32 {
        let mut table = self.0.borrow_mut();
        if let Some(number) = table.numbers.get(header) {
            return *number;
        }
        if table.headers.len() == HEADERS_MAX {
            return 0;
        }
        let number = u32::try_from(table.headers.len()).unwrap_or(0);
        table.headers.push(header.into());
        table.numbers.insert(header.into(), number);
        number
    }

    fn recall(&self, number: u32, header: &mut Vec<u8>) {
        let table = self.0.borrow();
        let found = usize::try_from(number).ok().and_then(|number| table.headers.get(number));
        header.extend_from_slice(found.or_else(|| table.headers.first()).map_or(&[], |it| it));
    }
}
