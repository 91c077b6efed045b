use std::fmt;
use std::ops::Range;

use smallvec::SmallVec;

/// Bytes of one direction of a stream that have become readable, where they lie: one slice for
/// each segment, usually one. Nothing is copied unless asked for.
///
/// They are the sender's, at the sender's positions, whatever was changed in the stream before. What
/// a rule changes is noted here as an [`Edit`] and takes effect when the event is over; it does not
/// show in [`Data::chunks`].
#[derive(Clone, Debug, Default)]
pub struct Data<'a> {
    chunks: SmallVec<[&'a [u8]; 4]>,
    offset: u64,
    /// How many at the front were shown before, and held.
    seen: u64,
    end: bool,
    writable: bool,
    edits: Vec<Edit>,
    hold_from: Option<u64>,
}

/// A change to a stream: `erased` bytes at `start` give way to `bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Position in the sender's stream; 0 is the first byte after the SYN.
    pub start: u64,
    /// Bytes of the sender that do not reach the receiver; 0 for an insertion before `start`.
    pub erased: u64,
    /// What the receiver gets in their place.
    pub bytes: Vec<u8>,
}

/// Why an edit was not taken. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditError {
    /// The data may not be changed: the policy did not ask for it
    /// ([`Interest::EDIT_DATA`](crate::Interest::EDIT_DATA)), or the packets are only looked at.
    ReadOnly,
    /// A part of it is not in this data.
    OutOfRange,
    /// A part of it was changed in this event already.
    Overlap,
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "this data is read-only",
            Self::OutOfRange => "the edit reaches beyond the data of this event",
            Self::Overlap => "these bytes were changed in this event already",
        })
    }
}

impl std::error::Error for EditError {}

impl<'a> Data<'a> {
    /// Data that begins at `offset` (0 is the first byte after the SYN); `end` when the sender's
    /// FIN follows the last byte. Read-only.
    #[must_use]
    pub fn new(offset: u64, end: bool) -> Self {
        Self { offset, end, ..Self::default() }
    }

    /// The same, but it may be changed and held.
    #[must_use]
    pub const fn writable(mut self) -> Self {
        self.writable = true;
        self
    }

    /// The same, with `seen` bytes at its front that an earlier event has shown and held.
    #[must_use]
    pub const fn seen(mut self, seen: u64) -> Self {
        self.seen = seen;
        self
    }

    /// Appends the next slice of the stream.
    pub fn push(&mut self, chunk: &'a [u8]) {
        if !chunk.is_empty() {
            self.chunks.push(chunk);
        }
    }

    /// Position of the first byte in the stream.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Position of the first byte that no event has shown before. Bytes before it were held by
    /// [`Data::hold_from`]; edits that were made on them then have to be made again.
    #[must_use]
    pub const fn fresh_from(&self) -> u64 {
        self.offset + self.seen
    }

    /// Position after the last byte.
    #[must_use]
    pub fn end_offset(&self) -> u64 {
        self.offset + self.len() as u64
    }

    /// Whether the stream ends after these bytes.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        self.end
    }

    /// Whether it may be changed and held.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.writable
    }

    /// The slices in order, none empty.
    #[must_use]
    pub fn chunks(&self) -> &[&'a [u8]] {
        &self.chunks
    }

    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    /// Whether there is no byte (an end of stream alone).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// All bytes in one piece: copied.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    /// Puts `bytes` in the place of the bytes at `range`, which are positions in the stream.
    ///
    /// # Errors
    ///
    /// See [`EditError`].
    pub fn replace(
        &mut self,
        range: Range<u64>,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<(), EditError> {
        if !self.writable {
            return Err(EditError::ReadOnly);
        }
        if range.start > range.end || range.start < self.offset || range.end > self.end_offset() {
            return Err(EditError::OutOfRange);
        }
        let edit =
            Edit { start: range.start, erased: range.end - range.start, bytes: bytes.into() };
        if edit.erased == 0 && edit.bytes.is_empty() {
            return Ok(());
        }
        // Behind every edit that begins before or here: insertions at one place stay in order.
        let at = self.edits.partition_point(|other| other.start <= edit.start);
        let (before, after) = self.edits.split_at(at);
        let runs_in = before.last().is_some_and(|before| before.end() > edit.start);
        let runs_over = after.first().is_some_and(|after| after.start < edit.end());
        if runs_in || runs_over {
            return Err(EditError::Overlap);
        }
        self.edits.insert(at, edit);
        Ok(())
    }

    /// Puts `bytes` before the byte at `at`, or behind the last one.
    ///
    /// # Errors
    ///
    /// See [`EditError`].
    pub fn insert(&mut self, at: u64, bytes: impl Into<Vec<u8>>) -> Result<(), EditError> {
        self.replace(at..at, bytes)
    }

    /// Takes the bytes at `range` out of the stream.
    ///
    /// # Errors
    ///
    /// See [`EditError`].
    pub fn erase(&mut self, range: Range<u64>) -> Result<(), EditError> {
        self.replace(range, Vec::new())
    }

    /// Keeps the bytes from `at` on back: the next event shows them again, in front of what has come
    /// since. Edits of them count only if they are made again then. Of several calls the lowest
    /// position counts. At the end of the stream nothing is held.
    ///
    /// # Errors
    ///
    /// See [`EditError`].
    pub fn hold_from(&mut self, at: u64) -> Result<(), EditError> {
        if !self.writable {
            return Err(EditError::ReadOnly);
        }
        if at < self.offset || at > self.end_offset() {
            return Err(EditError::OutOfRange);
        }
        self.hold_from = Some(self.hold_from.map_or(at, |before| before.min(at)));
        Ok(())
    }

    /// What the rule has asked for: its edits, in order of their positions and none overlapping, and
    /// where it wants bytes to be held from. Edits at or beyond that position are not among them.
    #[must_use]
    pub fn into_wishes(self) -> Wishes {
        let end = self.end_offset();
        let hold_from = self.hold_from.filter(|at| !self.end && *at < end);
        let mut edits = self.edits;
        if let Some(at) = hold_from {
            edits.retain(|edit| edit.start < at);
        }
        Wishes { edits, hold_from }
    }
}

/// What a rule wants done to the data it was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// In order of `start`; none overlaps the next.
    pub edits: Vec<Edit>,
    /// The first position that stays back, if one does. An edit may reach beyond it; it is then made
    /// as a whole, and what it erased is not held.
    pub hold_from: Option<u64>,
}

impl Edit {
    /// Position after the last byte that it takes away.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start + self.erased
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> Data<'static> {
        let mut data = Data::new(100, false).writable();
        data.push(b"abcd");
        data.push(b"efgh");
        data
    }

    fn edit(start: u64, erased: u64, bytes: &str) -> Edit {
        Edit { start, erased, bytes: bytes.into() }
    }

    #[test]
    fn edits_come_out_in_order_and_insertions_at_one_place_as_they_were_made() {
        let mut data = data();
        data.replace(104..106, "XY").unwrap();
        data.insert(102, "1").unwrap();
        data.insert(102, "2").unwrap();
        data.erase(102..104).unwrap();
        data.insert(108, "end").unwrap();
        data.insert(101, "").unwrap();
        let edits = [
            edit(102, 0, "1"),
            edit(102, 0, "2"),
            edit(102, 2, ""),
            edit(104, 2, "XY"),
            edit(108, 0, "end"),
        ];
        assert_eq!(data.into_wishes(), Wishes { edits: edits.into(), hold_from: None });
    }

    #[test]
    fn what_cannot_be_changed_is_refused_and_leaves_nothing() {
        let mut data = data();
        data.erase(102..105).unwrap();
        assert_eq!(data.insert(103, "x"), Err(EditError::Overlap));
        assert_eq!(data.replace(101..103, "x"), Err(EditError::Overlap));
        assert_eq!(data.erase(99..101), Err(EditError::OutOfRange));
        assert_eq!(data.erase(107..109), Err(EditError::OutOfRange));
        assert_eq!(data.insert(109, "x"), Err(EditError::OutOfRange));
        assert_eq!(data.into_wishes().edits, [edit(102, 3, "")]);

        let mut data = Data::new(0, false);
        data.push(b"abcd");
        assert_eq!(data.erase(0..1), Err(EditError::ReadOnly));
        assert_eq!(data.hold_from(0), Err(EditError::ReadOnly));
    }

    #[test]
    fn what_is_held_is_not_edited_yet() {
        let mut data = data();
        data.erase(100..102).unwrap();
        data.erase(106..107).unwrap();
        data.hold_from(107).unwrap();
        data.hold_from(104).unwrap();
        data.hold_from(105).unwrap();
        let held = Wishes { edits: vec![edit(100, 2, "")], hold_from: Some(104) };
        assert_eq!(data.into_wishes(), held);
    }

    #[test]
    fn at_the_end_of_the_stream_nothing_is_held() {
        let mut data = Data::new(0, true).writable();
        data.push(b"abcd");
        data.hold_from(2).unwrap();
        assert_eq!(data.into_wishes().hold_from, None);
    }
}
