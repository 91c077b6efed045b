//! Making the output of an event: what stays, what gives way, and how the two numberings part.

use std::collections::VecDeque;

use super::{Change, EditedStream, small};

/// Writes one event into a stream.
pub(super) struct Writer<'s, 'a, I> {
    pub(super) stream: &'s mut EditedStream,
    pub(super) source: Source<'a, I>,
    /// Offset in the event of the next byte of the source.
    pub(super) at: usize,
    /// An edit that may still grow: units taken and given. One that has taken nothing waits for a
    /// neighbour to take in.
    pub(super) open: Option<(u32, u32)>,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Writer<'_, 'a, I> {
    pub(super) fn change(&mut self, change: &Change<'_>, end: usize, fin: bool) {
        let start = change.start.max(self.at).min(end);
        // Behind the last byte there is none to take in, so that one is.
        let takes_last = change.erased == 0 && start == end && !fin && start > self.at;
        self.keep_to(start - usize::from(takes_last));
        let (mut taken, mut given) = self.open.take().unwrap_or_default();
        if takes_last {
            self.copy(1);
            (taken, given) = (taken + 1, given + 1);
        }
        let erased = change.erased.min(end - start);
        self.source.skip(erased);
        self.at += erased;
        self.stream.bytes.extend(change.bytes);
        self.open = Some((taken + small(erased), given + small(change.bytes.len())));
    }

    fn keep_to(&mut self, to: usize) {
        let mut len = to - self.at;
        if len == 0 {
            return;
        }
        if let Some((taken, given)) = self.open.take() {
            if taken == 0 {
                self.copy(1);
                len -= 1;
                if len == 0 {
                    self.open = Some((1, given + 1));
                    return;
                }
                self.stream.map.replace(1, given + 1);
            } else {
                self.stream.map.replace(taken, given);
            }
        }
        self.copy(len);
        self.stream.map.keep(small(len));
    }

    pub(super) fn finish(&mut self, end: usize, fin: bool) {
        self.keep_to(end);
        match self.open.take() {
            None => {}
            Some((0, given)) if fin => {
                self.stream.map.replace(1, given + 1);
                return;
            }
            Some((0, given)) => {
                // Nothing was shown, so nothing can be inserted.
                let given = usize::try_from(given).unwrap_or(usize::MAX);
                let len = self.stream.bytes.len().saturating_sub(given);
                self.stream.bytes.truncate(len);
            }
            Some((taken, given)) => self.stream.map.replace(taken, given),
        }
        self.stream.map.keep(u32::from(fin));
    }

    fn copy(&mut self, len: usize) {
        self.source.copy(len, &mut self.stream.bytes);
        self.at += len;
    }
}

/// The bytes of an event, from front to back.
pub(super) struct Source<'a, I> {
    chunk: &'a [u8],
    chunks: I,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Source<'a, I> {
    pub(super) fn new(mut chunks: I) -> Self {
        Self { chunk: chunks.next().unwrap_or_default(), chunks }
    }

    /// The next bytes, at most `len` and at least one, while there are any.
    fn next(&mut self, len: usize) -> Option<&'a [u8]> {
        while self.chunk.is_empty() {
            self.chunk = self.chunks.next()?;
        }
        let (now, later) = self.chunk.split_at(len.min(self.chunk.len()));
        self.chunk = later;
        Some(now)
    }

    fn copy(&mut self, mut len: usize, to: &mut VecDeque<u8>) {
        while len > 0
            && let Some(bytes) = self.next(len)
        {
            to.extend(bytes);
            len -= bytes.len();
        }
    }

    fn skip(&mut self, mut len: usize) {
        while len > 0
            && let Some(bytes) = self.next(len)
        {
            len -= bytes.len();
        }
    }

    pub(super) fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        while let Some(bytes) = self.next(usize::MAX) {
            rest.extend(bytes);
        }
        rest
    }
}
