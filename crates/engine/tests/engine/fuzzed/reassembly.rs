//! Datagrams put together the naive way: a byte map each, and the rules of RFC 5722.

use std::collections::BTreeMap;
use std::time::Duration;

use tollgate_wire::Timestamp;

/// A fragment as it stands in its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Addresses, identification, and the protocol in IPv4.
    key: Vec<u8>,
    offset: usize,
    more: bool,
    bytes: Vec<u8>,
    /// Ethernet and IP header, without IPv6's fragment header; and what that names.
    head: Vec<u8>,
    next_header: u8,
}

impl Piece {
    /// None for a frame that is no fragment.
    pub(crate) fn read(frame: &[u8]) -> Option<Self> {
        let number = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
        if frame[12..14] == [8, 0] {
            let field = number(14 + 6);
            let end = 14 + number(14 + 2);
            return (field & 0x3fff != 0).then(|| Self {
                key: [&frame[14 + 12..34], &frame[14 + 4..14 + 6], &frame[14 + 9..14 + 10]]
                    .concat(),
                offset: (field & 0x1fff) * 8,
                more: field & 0x2000 != 0,
                bytes: frame[34..end].to_vec(),
                head: frame[..34].to_vec(),
                next_header: frame[14 + 9],
            });
        }
        if frame[14 + 6] != 44 {
            return None;
        }
        let field = number(54 + 2);
        let end = 54 + number(14 + 4);
        (field & 0xfff9 != 0).then(|| Self {
            key: [&frame[14 + 8..54], &frame[54 + 4..62]].concat(),
            offset: field & 0xfff8,
            more: field & 1 != 0,
            bytes: frame[62..end].to_vec(),
            head: frame[..54].to_vec(),
            next_header: frame[54],
        })
    }

    fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }

    fn is_v6(&self) -> bool {
        self.head.len() == 54
    }

    /// Whether it can be part of any datagram.
    fn is_possible(&self) -> bool {
        let header = if self.is_v6() { 0 } else { 20 };
        let ragged = self.more && !self.bytes.len().is_multiple_of(8);
        !ragged && !self.bytes.is_empty() && header + self.end() <= 65_535
    }
}

/// What becomes of a fragment.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It waits, or is dropped.
    Waits,
    /// A frame with the whole datagram.
    Whole(Vec<u8>),
}

#[derive(Debug)]
pub(crate) struct Reassembly {
    waiting: Vec<Datagram>,
    datagrams_max: usize,
    fragments_max: u64,
    /// Fragments that one datagram may have.
    pieces_max: usize,
    swept: Timestamp,
}

#[derive(Debug)]
struct Datagram {
    key: Vec<u8>,
    since: Timestamp,
    pieces: Vec<Piece>,
    spoiled: bool,
}

impl Reassembly {
    /// Bounds on datagrams, on fragments in all, and on those of one datagram.
    pub(crate) fn new(datagrams_max: usize, fragments_max: u64, pieces_max: usize) -> Self {
        let swept = Timestamp::default();
        Self { waiting: Vec::new(), datagrams_max, fragments_max, pieces_max, swept }
    }

    /// Fragments and datagrams that wait.
    pub(crate) fn levels(&self) -> (u64, u64) {
        let pieces: usize = self.waiting.iter().map(|datagram| datagram.pieces.len()).sum();
        (pieces as u64, self.waiting.len() as u64)
    }

    pub(crate) fn push(&mut self, piece: Piece, now: Timestamp) -> Fate {
        if !piece.is_possible() || self.levels().0 >= self.fragments_max {
            return Fate::Waits;
        }
        let known = self.waiting.iter().position(|datagram| datagram.key == piece.key);
        let at = known.unwrap_or_else(|| {
            if self.waiting.len() == self.datagrams_max {
                let oldest = self.waiting.iter().enumerate().min_by_key(|(_, other)| other.since);
                let oldest = oldest.map(|(at, _)| at).unwrap();
                self.waiting.remove(oldest);
            }
            let key = piece.key.clone();
            self.waiting.push(Datagram { key, since: now, pieces: Vec::new(), spoiled: false });
            self.waiting.len() - 1
        });
        let datagram = &mut self.waiting[at];
        datagram.take(piece, self.pieces_max);
        match datagram.whole() {
            Some(whole) => {
                self.waiting.remove(at);
                Fate::Whole(whole)
            }
            None => Fate::Waits,
        }
    }

    /// What is too old goes, at most once in a second.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        if now.since(self.swept) >= Duration::from_secs(1) {
            self.swept = now;
            self.waiting.retain(|other| now.since(other.since) < Duration::from_secs(30));
        }
    }
}

impl Datagram {
    fn take(&mut self, piece: Piece, pieces_max: usize) {
        if self.spoiled {
            return;
        }
        let same = |other: &Piece| {
            (other.offset, other.more, &other.bytes) == (piece.offset, piece.more, &piece.bytes)
        };
        if self.pieces.iter().any(same) {
            return;
        }
        let overlaps = |other: &Piece| other.offset < piece.end() && piece.offset < other.end();
        // Two ends, or something beyond the end.
        let contradicts = |other: &Piece| {
            (!other.more && piece.end() > other.end())
                || (!piece.more && other.end() > piece.end())
                || (!piece.more && !other.more && piece.end() != other.end())
        };
        if self.pieces.iter().any(|other| overlaps(other) || contradicts(other)) {
            self.spoiled = true;
            self.pieces.clear();
        } else if self.pieces.len() < pieces_max {
            self.pieces.push(piece);
        }
    }

    fn whole(&self) -> Option<Vec<u8>> {
        let mut bytes = BTreeMap::new();
        for piece in &self.pieces {
            bytes.extend((piece.offset..).zip(piece.bytes.iter().copied()));
        }
        let end = self.pieces.iter().find(|piece| !piece.more)?.end();
        let first = self.pieces.iter().find(|piece| piece.offset == 0)?;
        if bytes.len() != end {
            return None;
        }
        let mut whole = first.head.clone();
        if first.is_v6() {
            whole[14 + 4..14 + 6].copy_from_slice(&(end as u16).to_be_bytes());
            whole[14 + 6] = first.next_header;
        } else {
            whole[14 + 2..14 + 4].copy_from_slice(&(20 + end as u16).to_be_bytes());
            whole[14 + 6..14 + 8].fill(0);
            whole[14 + 10..14 + 12].fill(0);
            let sum = ones_complement(&whole[14..34]);
            whole[14 + 10..14 + 12].copy_from_slice(&sum.to_be_bytes());
        }
        whole.extend(bytes.values());
        Some(whole)
    }
}

/// The checksum of RFC 1071 over an even number of bytes.
pub(crate) fn ones_complement(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
