use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::hint::black_box;

use tollgate_wire::Seq;

use crate::receipts::{Receipts, digest};

/// The bytes of one direction that have left and that the receiver has not acknowledged: what a later
/// copy of them is made equal to, so that no two copies that leave differ (the receiver may have lost
/// the first, or may throw away what it has only acknowledged selectively, RFC 2018 section 8).
///
/// It is a copy of its own, which costs one pass over each payload and as much memory as is in
/// flight, up to a bound; beyond it the oldest segments are forgotten but for a keyed digest of each.
/// Keeping the frames instead costs no pass but pins a whole buffer for each segment, however small;
/// digests of all would be smaller still, but cannot verify a segment that is cut anew, and a sender
/// whose path MTU shrank cuts all of them anew.
///
/// A request, and most of what people type, is one short segment, acknowledged before the next: that lies
/// here, in one line of the cache or three, and nothing else is touched for it.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Retention {
    /// The number of the first byte that is kept.
    first: Seq,
    /// While this is not 0 there is one segment in flight, in `short`, and `bytes` and `receipts` are empty.
    short_len: u8,
    /// Whether `bytes` or `receipts` have anything.
    long: bool,
    moved: bool,
    /// Bytes of memory of `bytes` and `receipts`.
    memory: usize,
    short: [u8; SHORT_MAX],
    bytes: VecDeque<u8>,
    receipts: Receipts,
}

/// What [`Retention::check`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// Every byte that left before is the same.
    Verified,
    /// Some were not, and are now; the checksum is wrong.
    Rewritten,
    /// This many bytes at its beginning left once and are forgotten: whether they are the same is not
    /// known, and the owner decides. The rest is the same, after a change if `rewritten`.
    Unknown {
        /// How many.
        bytes: u32,
        /// Whether others were changed, so that the checksum is wrong.
        rewritten: bool,
    },
}

impl Retention {
    /// Nothing yet of a stream whose first byte has the number `start`.
    #[must_use]
    pub fn new(start: Seq) -> Self {
        Self {
            first: start,
            short_len: 0,
            long: false,
            moved: true,
            memory: 0,
            short: [0; SHORT_MAX],
            bytes: VecDeque::new(),
            receipts: Receipts::default(),
        }
    }

    /// Remembers one short segment in the place of all that was remembered, and says whether it is one; if not, nothing
    /// has changed. What [`Retention::record`] does where there is room and nothing is remembered.
    #[inline]
    pub fn begin(&mut self, seq: Seq, fresh: &[u8]) -> bool {
        let Some(short) = self.short.get_mut(..fresh.len()).filter(|_| !self.long) else {
            return false;
        };
        short.copy_from_slice(fresh);
        self.first = seq;
        // No more than there is room for, which one byte counts.
        self.short_len = u8::try_from(fresh.len()).unwrap_or(0);
        self.moved = true;
        true
    }

    /// Whether all that is remembered is a short segment, and `ack` acknowledges all of it.
    #[inline]
    #[must_use]
    pub fn is_short_before(&self, ack: Seq) -> bool {
        !self.long && ack.distance(self.first) >= i32::from(self.short_len)
    }

    /// Remembers `fresh` bytes that leave at `seq` for the first time, `bytes_max` in all. What has no
    /// room any more leaves a digest with `key`, which is the same for all calls and a secret.
    pub fn record(&mut self, seq: Seq, fresh: &[u8], bytes_max: u32, key: &impl BuildHasher) {
        if fresh.is_empty() {
            return;
        }
        if seq != self.end() {
            // Something was skipped, or not recorded: what is before cannot be told from it.
            self.restart(seq);
        }
        let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        if self.is_empty()
            && fresh.len() <= most
            && let Some(short) = self.short.get_mut(..fresh.len())
        {
            short.copy_from_slice(fresh);
            self.short_len = u8::try_from(fresh.len()).unwrap_or(0);
            return;
        }
        self.spill();
        // They go first, so that the memory need not grow for both.
        let over = (self.bytes.len() + fresh.len()).saturating_sub(most);
        if over > 0 {
            self.make_digests(over, key);
        }
        self.receipts.sent(seq);
        self.bytes.extend(fresh);
        if fresh.len() > most {
            // A segment without its beginning has no receipt.
            self.receipts.clear();
            self.forget(fresh.len() - most);
            self.receipts.sent(self.first);
        }
        self.measure();
    }

    /// Forgets what the receiver has acknowledged cumulatively.
    pub fn acknowledged(&mut self, ack: Seq) {
        let count = usize::try_from(ack.distance(self.first)).unwrap_or(0);
        if !self.long {
            return self.acknowledged_short(count);
        }
        self.moved |= self.receipts.acknowledged(ack) || count > 0;
        self.forget(count.min(self.bytes.len()));
        if ack.at_or_after(self.end()) {
            self.receipts.clear();
        }
        self.measure();
    }

    #[inline]
    fn acknowledged_short(&mut self, count: usize) {
        self.moved |= count > 0;
        let len = usize::from(self.short_len);
        let gone = count.min(len);
        if gone < len {
            self.short.copy_within(gone..len, 0);
        }
        // Neither is more than what one byte counts.
        self.short_len = u8::try_from(len - gone).unwrap_or(0);
        self.first += u32::try_from(gone).unwrap_or(0);
    }

    /// Keeps no more of the oldest segments, `bytes_max` bytes or little more, than their digests. Gives
    /// how many bytes that were. Once it is all of them, this counts as moving.
    pub fn demote(&mut self, bytes_max: usize, key: &impl BuildHasher) -> usize {
        self.spill();
        let before = self.bytes.len();
        self.make_digests(bytes_max, key);
        self.measure();
        if self.bytes.is_empty() {
            self.shrink_to(0);
            self.moved = true;
        }
        before - self.bytes.len()
    }

    /// Whether it is new, or the receiver has acknowledged some of it, since this was last asked.
    pub const fn has_moved(&mut self) -> bool {
        std::mem::replace(&mut self.moved, false)
    }

    /// Forgets all, for a stream whose next byte has the number `start`. The memory stays, to be
    /// used again.
    pub fn restart(&mut self, start: Seq) {
        if self.long {
            self.bytes.clear();
            self.receipts.clear();
            self.long = false;
        }
        self.short_len = 0;
        self.first = start;
        self.moved = true;
    }

    /// Gives the bytes away, and the number of the first.
    pub(crate) fn take(&mut self) -> (Seq, VecDeque<u8>) {
        self.spill();
        let taken = (self.first, std::mem::take(&mut self.bytes));
        self.measure();
        taken
    }

    /// Gives memory back beyond what `capacity` bytes need.
    pub fn shrink_to(&mut self, capacity: usize) {
        if self.memory > capacity {
            self.bytes.shrink_to(capacity);
            self.receipts.shrink();
            self.measure();
        }
    }

    /// Makes every byte of `copy` that has left before equal to what left; `key` as for
    /// [`Retention::record`]. Bytes beyond those are not touched: they are new.
    pub fn check(&self, seq: Seq, copy: &mut [u8], key: &impl BuildHasher) -> Copied {
        let ahead = seq.distance(self.first);
        let skip = usize::try_from(ahead).unwrap_or(0);
        let mut unknown = usize::try_from(-i64::from(ahead)).unwrap_or(0).min(copy.len());
        let (old, mut rest) = copy.split_at_mut(unknown);
        if unknown > 0 && self.receipts.verify(seq, old, self.first, key) {
            unknown = 0;
        }
        let mut rewritten = false;
        for kept in self.halves(skip) {
            let (now, later) = rest.split_at_mut(kept.len().min(rest.len()));
            if let Some(kept) = kept.get(..now.len()).filter(|kept| *kept != now) {
                now.copy_from_slice(kept);
                rewritten = true;
            }
            rest = later;
        }
        match u32::try_from(unknown).unwrap_or(u32::MAX) {
            0 if rewritten => Copied::Rewritten,
            0 => Copied::Verified,
            bytes => Copied::Unknown { bytes, rewritten },
        }
    }

    /// What left as `seq` and the numbers after it, `len_max` bytes at most, in two parts; nothing if that is
    /// not remembered.
    #[must_use]
    pub fn part(&self, seq: Seq, len_max: u32) -> [&[u8]; 2] {
        let Ok(skip) = usize::try_from(seq.distance(self.first)) else { return [&[], &[]] };
        let most = usize::try_from(len_max).unwrap_or(usize::MAX);
        let [front, back] = self.halves(skip);
        let front = front.get(..most).unwrap_or(front);
        [front, back.get(..most - front.len()).unwrap_or(back)]
    }

    /// Reads of each part that there is, to have it loaded.
    #[inline]
    pub fn touch(&self) {
        // Foreseen right in nearly every case, so that it does not wait for the line.
        if self.long {
            black_box(self.bytes.len());
            black_box(self.receipts.is_empty());
        }
    }

    /// Bytes of memory that it takes besides itself.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.memory
    }

    /// Bytes that are remembered.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        if self.long { self.bytes.len() } else { usize::from(self.short_len) }
    }

    /// Whether nothing is remembered, not even by its digest.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.short_len == 0 && !self.long
    }

    pub(crate) fn end(&self) -> Seq {
        // No more is remembered than a window, far below what wraps.
        self.first + u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    /// The bytes from `skip` on, in two parts.
    fn halves(&self, skip: usize) -> [&[u8]; 2] {
        if !self.long {
            let short = self.short.get(skip..usize::from(self.short_len));
            return [short.unwrap_or_default(), &[]];
        }
        let (front, back) = self.bytes.as_slices();
        [
            front.get(skip..).unwrap_or_default(),
            back.get(skip.saturating_sub(front.len())..).unwrap_or_default(),
        ]
    }

    /// The segment in `short`, if there is one, goes where others go with it.
    fn spill(&mut self) {
        let len = usize::from(std::mem::take(&mut self.short_len));
        if let Some(short) = self.short.get(..len).filter(|short| !short.is_empty()) {
            self.receipts.sent(self.first);
            self.bytes.extend(short);
            self.measure();
        }
    }

    /// To be called when `bytes` or `receipts` have changed.
    fn measure(&mut self) {
        self.long = !self.bytes.is_empty() || !self.receipts.is_empty();
        self.memory = self.bytes.capacity() + self.receipts.memory();
    }

    /// Forgets whole segments, the oldest first, `over` bytes at least if there are as many: for the
    /// newest are the most likely to be sent again.
    #[cold]
    fn make_digests(&mut self, over: usize, key: &impl BuildHasher) {
        let mut gone = 0;
        while gone < over.min(self.bytes.len()) {
            let end = self.receipts.oldest_end().unwrap_or_else(|| self.end());
            let until = usize::try_from(end.distance(self.first)).unwrap_or(0);
            let [front, back] = self.halves(gone);
            let len = until.saturating_sub(gone);
            let parts = [
                front.get(..len.min(front.len())).unwrap_or_default(),
                back.get(..len.saturating_sub(front.len())).unwrap_or_default(),
            ];
            let digest = digest(parts, key);
            self.receipts.demote(digest);
            debug_assert!(until > gone, "each segment has bytes");
            gone = until.max(gone + 1);
        }
        self.forget(gone.min(self.bytes.len()));
    }

    fn forget(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.first += u32::try_from(count).unwrap_or(u32::MAX);
        // Whoever had megabytes in flight once, and a byte ever since, must not keep the memory of them. What is
        // copied is a part of what was dropped, so a byte costs no more for it.
        if self.bytes.capacity() > MEMORY_MIN.max(4 * self.bytes.len()) && !self.bytes.is_empty() {
            self.bytes.shrink_to(2 * self.bytes.len());
        }
        self.receipts.shrink();
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::new(Seq(0))
    }
}

/// A guess: with all the rest it makes 256 bytes, and is more than most requests take.
const SHORT_MAX: usize = 168;
/// A guess: one segment and a half of it, below which giving back is not worth the call.
const MEMORY_MIN: usize = 2048;

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, DefaultHasher};

    use super::*;

    const KEY: BuildHasherDefault<DefaultHasher> = BuildHasherDefault::new();

    fn kept(text: &str) -> Retention {
        let mut retention = Retention::new(Seq(u32::MAX));
        retention.record(Seq(u32::MAX), text.as_bytes(), 100, &KEY);
        retention
    }

    #[track_caller]
    fn check(retention: &Retention, seq: Seq, copy: &str, outcome: Copied, becomes: &str) {
        let mut bytes = copy.as_bytes().to_vec();
        assert_eq!(retention.check(seq, &mut bytes, &KEY), outcome);
        assert_eq!(String::from_utf8(bytes).unwrap(), becomes);
    }

    #[test]
    fn a_copy_cut_in_any_way_is_verified_or_made_equal() {
        let retention = kept("abcdef");
        check(&retention, Seq(u32::MAX), "abcdef", Copied::Verified, "abcdef");
        check(&retention, Seq(1), "cd", Copied::Verified, "cd");
        check(&retention, Seq(1), "XX", Copied::Rewritten, "cd");
        check(&retention, Seq(3), "XXnew", Copied::Rewritten, "efnew");
        check(&retention, Seq(5), "new", Copied::Verified, "new");
        check(&retention, Seq(50), "new", Copied::Verified, "new");
    }

    /// A guard, not a goal; and a short segment's bytes lie in the line of what is asked of it.
    #[test]
    fn it_takes_256_bytes_and_a_short_segment_nothing_besides() {
        assert_eq!(size_of::<Retention>(), 256);
        assert_eq!(std::mem::offset_of!(Retention, short), 16);
        let mut retention = Retention::new(Seq(7));
        retention.record(Seq(7), &[9; SHORT_MAX], 1000, &KEY);
        assert_eq!((retention.len(), retention.memory()), (SHORT_MAX, 0));
        retention.record(retention.end(), b"more", 1000, &KEY);
        assert_eq!(retention.len(), SHORT_MAX + 4);
        assert!(retention.memory() > SHORT_MAX);
    }

    #[test]
    fn what_is_acknowledged_or_over_the_bound_is_unknown() {
        let mut retention = kept("abcdef");
        retention.acknowledged(Seq(1));
        assert_eq!(retention.len(), 4);
        let unknown = |bytes, rewritten| Copied::Unknown { bytes, rewritten };
        check(&retention, Seq(0), "XX", unknown(1, true), "Xc");
        check(&retention, Seq(0), "Xcd", unknown(1, false), "Xcd");
        retention.acknowledged(Seq(0));
        retention.record(Seq(2), b"", 5, &KEY);
        // Whole segments go, so that a copy of one can be verified by its digest.
        retention.record(Seq(5), b"ghij", 5, &KEY);
        assert_eq!(retention.len(), 4);
        check(&retention, Seq(1), "XXXXXXXX", unknown(4, true), "XXXXghij");
        check(&retention, Seq(1), "cdefXX", Copied::Rewritten, "cdefgh");
        retention.acknowledged(Seq(9));
        assert!(retention.is_empty());
        check(&retention, Seq(9), "new", Copied::Verified, "new");
    }

    #[test]
    fn memory_follows_what_is_in_flight_downwards() {
        let mut retention = Retention::new(Seq(0));
        retention.record(Seq(0), &[7; 1_000_000], 1_000_000, &KEY);
        for ack in [600_000, 900_000, 990_000, 999_999] {
            retention.acknowledged(Seq(ack));
            let bound = MEMORY_MIN.max(4 * retention.len());
            assert!(retention.memory() <= bound, "{} for {}", retention.memory(), retention.len());
        }
        check(&retention, Seq(999_999), "X", Copied::Rewritten, "\u{7}");
    }
}
