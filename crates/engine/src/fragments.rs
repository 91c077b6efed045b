//! IP fragments, put together again before anything believes them: those of TCP segments and, where
//! rules look at datagrams, all others.
//!
//! Rules and trackers see whole datagrams only. One whose fragments overlap is dropped entirely, with
//! all that still comes of it (RFC 5722, RFC 8200 section 4.5): which bytes win differs from stack
//! to stack, and no honest sender does it. A fragment that came twice, byte for byte the same, is only
//! a copy the network made. What is not complete after 30 seconds is dropped.
//!
//! All is bounded: datagrams, fragments of each, and fragments in all. A datagram has its place in a
//! set of eight, by a keyed hash; in a full set the oldest gives way.

use std::time::Duration;

use ahash::RandomState;
use arrayvec::ArrayVec;
use tollgate_link::{Frame, Link, Port};
use tollgate_wire::fragment::{FragmentHeaders, FragmentKey, Split};
use tollgate_wire::{Malformed, Timestamp};

use crate::counters::{Cause, Reason};
use crate::ports::{Ports, fill};

/// Datagrams of which fragments are missing.
#[derive(Debug)]
pub(crate) struct Fragments<F> {
    sets: Box<[Set<F>]>,
    hasher: RandomState,
    frames: u64,
    frames_max: u64,
    swept: Timestamp,
}

/// What a fragment has made of its datagram.
#[derive(Debug)]
pub(crate) enum Gathered<F> {
    /// Others are missing, or it came to nothing.
    Waits,
    /// It is complete; its frames count as held until it is joined, sent or dropped.
    Whole(Datagram<F>),
    /// Nobody can say any more what it is: all that comes of it is dropped.
    Spoiled(FragmentKey),
}

type Set<F> = ArrayVec<Datagram<F>, WAYS>;

/// A datagram as far as its fragments have come.
#[derive(Debug)]
pub(crate) struct Datagram<F> {
    key: FragmentKey,
    since: Timestamp,
    /// Sorted by offset; no two overlap; none is empty.
    pieces: Vec<Piece<F>>,
    /// Bytes of its payload, once the last fragment has come.
    len: Option<u32>,
    /// Two fragments have overlapped, or contradict each other: whatever comes of it is dropped.
    spoiled: Option<Cause>,
}

#[derive(Debug)]
struct Piece<F> {
    headers: FragmentHeaders,
    frame: F,
}

impl<F: Frame> Fragments<F> {
    pub(crate) fn new(datagrams_max: usize, frames_max: u64, hasher: RandomState) -> Self {
        let sets = datagrams_max.div_ceil(WAYS).max(1);
        Self {
            sets: (0..sets).map(|_| Set::new()).collect(),
            hasher,
            frames: 0,
            frames_max,
            swept: Timestamp::default(),
        }
    }

    /// The hash of the datagram that a fragment belongs to: the same in all workers.
    pub(crate) fn hash(&self, frame: &[u8]) -> Result<u64, Malformed> {
        FragmentHeaders::parse(frame).map(|headers| self.hasher.hash_one(headers.key))
    }

    /// Fragments that wait.
    pub(crate) const fn frames(&self) -> u64 {
        self.frames
    }

    /// Datagrams that wait, spoiled ones among them.
    pub(crate) fn datagrams(&self) -> u64 {
        self.sets.iter().map(|set| set.len() as u64).sum()
    }

    /// Keeps a fragment, and says what that makes of its datagram.
    pub(crate) fn push<L: Link<Frame = F>>(
        &mut self,
        frame: F,
        now: Timestamp,
        ports: &mut Ports<L>,
    ) -> Gathered<F> {
        let headers = match FragmentHeaders::parse(frame.as_ref()) {
            Ok(headers) => headers,
            Err(why) => {
                ports.drop(frame, Reason::Malformed(why));
                return Gathered::Waits;
            }
        };
        if self.frames >= self.frames_max {
            ports.drop(frame, Reason::Cause(Cause::FragmentFull));
            return Gathered::Waits;
        }
        let sets = self.sets.len() as u64;
        let position = usize::try_from(self.hasher.hash_one(headers.key) % sets).unwrap_or(0);
        let Some(set) = self.sets.get_mut(position) else { return Gathered::Waits };
        let way = place(set, headers.key, now, &mut self.frames, ports);
        let Some(datagram) = set.get_mut(way) else { return Gathered::Waits };
        let was_spoiled = datagram.spoiled.is_some();
        match datagram.insert(Piece { headers, frame }) {
            Ok(()) => {
                self.frames += 1;
                ports.counters.held += 1;
            }
            Err((frame, cause)) => {
                ports.drop(frame, Reason::Cause(cause));
                if datagram.spoiled.is_some() {
                    self.frames -= datagram.drop(cause, ports);
                }
            }
        }
        if !was_spoiled && datagram.spoiled.is_some() {
            return Gathered::Spoiled(headers.key);
        }
        if !datagram.is_whole() {
            return Gathered::Waits;
        }
        let datagram = set.swap_remove(way);
        self.frames -= datagram.pieces.len() as u64;
        Gathered::Whole(datagram)
    }

    /// Drops what has waited for too long; looks once in a second.
    pub(crate) fn expire<L: Link<Frame = F>>(&mut self, now: Timestamp, ports: &mut Ports<L>) {
        if now >= self.swept && now.since(self.swept) < SWEEP_INTERVAL {
            return;
        }
        self.swept = now;
        for set in &mut self.sets {
            for way in (0..set.len()).rev() {
                let Some(datagram) = set.get_mut(way) else { continue };
                // A clock that was set back must not keep it for ever.
                datagram.since = datagram.since.min(now);
                if now.since(datagram.since) >= TIMEOUT {
                    self.frames -= datagram.drop(Cause::FragmentTimeout, ports);
                    set.swap_remove(way);
                }
            }
        }
    }

    /// Drops everything: the program stops.
    pub(crate) fn clear<L: Link<Frame = F>>(&mut self, ports: &mut Ports<L>) {
        for set in &mut self.sets {
            for mut datagram in set.drain(..) {
                self.frames -= datagram.drop(Cause::Stopped, ports);
            }
        }
    }
}

/// The way of a datagram in its set; it is put there if it is new, and the oldest gives way if need
/// be.
fn place<F: Frame, L: Link<Frame = F>>(
    set: &mut Set<F>,
    key: FragmentKey,
    now: Timestamp,
    frames: &mut u64,
    ports: &mut Ports<L>,
) -> usize {
    if let Some(way) = set.iter().position(|datagram| datagram.key == key) {
        return way;
    }
    if set.is_full() {
        let oldest = (0..set.len()).min_by_key(|way| set.get(*way).map(|other| other.since));
        if let Some(mut datagram) = oldest.and_then(|way| set.swap_pop(way)) {
            *frames -= datagram.drop(Cause::FragmentFull, ports);
        }
    }
    set.push(Datagram { key, since: now, pieces: Vec::new(), len: None, spoiled: None });
    set.len() - 1
}

impl<F: Frame> Datagram<F> {
    /// Takes a fragment in, or gives its frame back with the reason; `spoiled` is set when the whole
    /// datagram has become unbelievable.
    fn insert(&mut self, piece: Piece<F>) -> Result<(), (F, Cause)> {
        let headers = &piece.headers;
        if let Some(why) = self.spoiled {
            return Err((piece.frame, why));
        }
        let (start, end) = (headers.offset, headers.offset_end());
        let last = !headers.more;
        let contradicts = self.len.is_some_and(|len| end > len || (last && end != len))
            || (last && self.pieces.last().is_some_and(|other| other.headers.offset_end() > end));
        if contradicts {
            self.spoiled = Some(Cause::FragmentBroken);
            return Err((piece.frame, Cause::FragmentBroken));
        }
        let at = self.pieces.partition_point(|other| other.headers.offset < start);
        let before = at.checked_sub(1).and_then(|before| self.pieces.get(before));
        let after = self.pieces.get(at);
        if after.is_some_and(|after| after.is_copy_of(&piece)) {
            return Err((piece.frame, Cause::FragmentDuplicate));
        }
        if before.is_some_and(|before| before.headers.offset_end() > start)
            || after.is_some_and(|after| after.headers.offset < end)
        {
            self.spoiled = Some(Cause::FragmentOverlap);
            return Err((piece.frame, Cause::FragmentOverlap));
        }
        if self.pieces.len() == PIECES_MAX {
            return Err((piece.frame, Cause::FragmentTooMany));
        }
        if last {
            self.len = Some(end);
        }
        self.pieces.insert(at, piece);
        Ok(())
    }

    fn is_whole(&self) -> bool {
        let bytes: u32 = self.pieces.iter().map(|piece| piece.headers.len()).sum();
        self.len == Some(bytes) && self.spoiled.is_none()
    }

    /// Drops all of its fragments, and gives their number.
    pub(crate) fn drop<L: Link<Frame = F>>(&mut self, cause: Cause, ports: &mut Ports<L>) -> u64 {
        let dropped = self.pieces.len() as u64;
        ports.counters.held -= dropped;
        for piece in self.pieces.drain(..) {
            ports.drop(piece.frame, Reason::Cause(cause));
        }
        dropped
    }

    /// Writes it into one frame.
    pub(crate) fn join<L: Link<Frame = F>>(mut self, ports: &mut Ports<L>) -> Option<F> {
        let Some(mut whole) = ports.forge() else {
            self.drop(Cause::FrameShortage, ports);
            return None;
        };
        if !self.write(&mut whole) {
            self.drop(Cause::FragmentTooLong, ports);
            ports.unforge(whole);
            return None;
        }
        self.merge(ports);
        Some(whole)
    }

    /// The same with what rules have made of it.
    pub(crate) fn replace<L: Link<Frame = F>>(
        mut self,
        bytes: &[u8],
        ports: &mut Ports<L>,
    ) -> Option<F> {
        let Some(mut whole) = ports.forge() else {
            self.drop(Cause::FrameShortage, ports);
            return None;
        };
        if !fill(&mut whole, bytes) {
            self.drop(Cause::FragmentTooLong, ports);
            ports.unforge(whole);
            return None;
        }
        self.merge(ports);
        Some(whole)
    }

    /// Writes it into memory, for rules to look at, whatever a frame can hold.
    pub(crate) fn write_to<'a>(&self, memory: &'a mut Vec<u8>) -> Option<&'a mut [u8]> {
        if memory.is_empty() {
            memory.resize(MEMORY_LEN, 0);
        }
        let written = self.write_into(memory)?;
        memory.get_mut(..written)
    }

    /// Sends it as it came.
    pub(crate) fn send<L: Link<Frame = F>>(self, port: Port, ports: &mut Ports<L>) {
        ports.counters.held -= self.pieces.len() as u64;
        for piece in self.pieces {
            ports.send(piece.frame, port);
        }
    }

    /// Sends what rules have made of it, cut where it was cut before.
    pub(crate) fn send_changed<L: Link<Frame = F>>(
        mut self,
        bytes: &[u8],
        port: Port,
        ports: &mut Ports<L>,
    ) {
        let identification =
            self.pieces.first().map_or(0, |piece| piece.headers.key.identification());
        let lens: ArrayVec<u32, PIECES_MAX> =
            self.pieces.iter().map(|piece| piece.headers.len()).collect();
        let Some(pieces) = Split::along(bytes, identification, &lens) else {
            self.drop(Cause::FragmentBroken, ports);
            return;
        };
        match ports.send_pieces(pieces, port) {
            Ok(()) => self.merge(ports),
            Err(cause) => {
                self.drop(cause, ports);
            }
        }
    }

    /// Its bytes have gone on in other frames.
    fn merge<L: Link<Frame = F>>(self, ports: &mut Ports<L>) {
        ports.counters.held -= self.pieces.len() as u64;
        for piece in self.pieces {
            ports.merge(piece.frame);
        }
        ports.counters.reassembled += 1;
    }

    /// Drops all of its fragments.
    pub(crate) fn refuse<L: Link<Frame = F>>(self, reason: Reason, ports: &mut Ports<L>) {
        ports.counters.held -= self.pieces.len() as u64;
        for piece in self.pieces {
            ports.drop(piece.frame, reason);
        }
    }

    /// How many there are.
    pub(crate) fn fragments(&self) -> usize {
        self.pieces.len()
    }
}

impl<F: Frame> Datagram<F> {
    /// Headers of the first fragment, then everybody's bytes. False if the frame is too short.
    fn write(&self, whole: &mut F) -> bool {
        whole.set_len(whole.capacity())
            && self.write_into(whole.as_mut()).is_some_and(|len| whole.set_len(len))
    }

    fn write_into(&self, out: &mut [u8]) -> Option<usize> {
        let first = self.pieces.first()?;
        let mut at = first.headers.whole(first.frame.as_ref(), self.len?, out)?;
        for piece in &self.pieces {
            let bytes = piece.bytes();
            out.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
            at += bytes.len();
        }
        Some(at)
    }
}

impl<F: Frame> Piece<F> {
    fn is_copy_of(&self, other: &Self) -> bool {
        self.headers.offset == other.headers.offset
            && self.headers.more == other.headers.more
            && self.bytes() == other.bytes()
    }

    /// Its part of what the datagram carries.
    fn bytes(&self) -> &[u8] {
        self.frame.as_ref().get(self.headers.range()).unwrap_or_default()
    }
}

/// The longest datagram below the longest link header.
const MEMORY_LEN: usize = 65_535 + 22;
const WAYS: usize = 8;
/// 64 kB in fragments of a 1500-byte path are 45; smaller ones are no honest path's.
const PIECES_MAX: usize = 64;
/// A receiver waits for 60 seconds at most (RFC 8200 section 4.5), Linux for 30.
const TIMEOUT: Duration = Duration::from_secs(30);
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
