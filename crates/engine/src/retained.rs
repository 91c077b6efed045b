//! The bytes that have left and are not acknowledged yet, of all flows of a worker, so that a later
//! copy of them says the same (see [`Retention`]).
//!
//! The memory is shared by three rules. No direction takes more than a part of what is free, so that
//! however many fill it, the next one finds some. Where what is forgotten would be withheld for ever
//! ([`Remedy::DropPacket`]), nothing leaves that cannot be remembered: its sender sends it again, and
//! memory that is short slows connections instead of breaking them. And when little is left, who
//! has been acknowledged nothing for a while gives up what it has for digests of it, and after another
//! while those ([`Retained::next_silent`]): a receiver that never answers would keep it until its
//! connection expires.

use std::hash::RandomState;
use std::ops::Range;
use std::time::Duration;

use tollgate_tcp::{Copied, Retention};
use tollgate_wire::{Seq, Timestamp};

use crate::Config;
use crate::counters::Cause;
use crate::remedy::Remedy;

/// What one direction of a flow retains; none while nothing of it is in flight.
pub(crate) type Kept = Option<Box<Retention>>;

/// What all flows together retain, and the bound on it.
#[derive(Debug)]
pub(crate) struct Retained {
    bytes: u64,
    /// What they take in memory: growing by doubling, and giving back late, it is more than they are.
    memory: u64,
    bytes_max: u64,
    direction_bytes_max: u32,
    /// Nothing leaves that is not remembered.
    withholds: bool,
    /// For digests of what is forgotten: a secret, and of no influence but on whether two segments are
    /// found the same, which they are.
    key: RandomState,
    /// The same for what is only reported: a faster one, for every segment of a changed stream has one.
    edit_key: ahash::RandomState,
    hand: Hand,
    /// Emptied, to be used again: the last one first, for it is still in the cache. So a flow whose
    /// segments are acknowledged one by one allocates nothing.
    #[expect(clippy::vec_box, reason = "the boxes move into flows and back")]
    spare: Vec<Box<Retention>>,
}

/// Goes round all flows while memory is short, as a clock does: what has not moved since it last came by
/// is silent.
#[derive(Clone, Copy, Debug)]
struct Hand {
    /// Beyond the last flow between two rounds.
    at: u32,
    began: Timestamp,
    /// Bytes of which it may still make digests this turn.
    digests: usize,
}

impl Retained {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            bytes: 0,
            memory: 0,
            bytes_max: config.retained_bytes_max,
            direction_bytes_max: config.retained_direction_bytes_max,
            withholds: config.remedies.memory == Remedy::DropPacket,
            key: RandomState::new(),
            edit_key: ahash::RandomState::new(),
            hand: Hand { at: u32::MAX, began: Timestamp::default(), digests: 0 },
            spare: Vec::with_capacity(SPARE_MAX),
        }
    }

    /// Bytes that are retained.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Remembers `fresh` bytes that leave at `seq` for the first time.
    #[inline]
    pub(crate) fn record(&mut self, kept: &mut Kept, seq: Seq, fresh: &[u8]) {
        // What most people say while nothing is in flight.
        if kept.is_none()
            && self.is_roomy(fresh.len() as u64)
            && let Some(mut retention) = self.spare.pop()
        {
            let begun = !fresh.is_empty() && retention.begin(seq, fresh);
            if begun {
                self.resized([0, 0], sizes(&retention));
                *kept = Some(retention);
                return;
            }
            self.spare.push(retention);
        }
        self.record_more(kept, seq, fresh);
    }

    /// What [`Self::acknowledged`] of `theirs` and [`Self::record`] of `own` come to. A segment that answers the only
    /// one in flight takes its place.
    #[inline]
    pub(crate) fn answer(
        &mut self,
        theirs: &mut Kept,
        ack: Seq,
        own: &mut Kept,
        (seq, fresh): (Seq, &[u8]),
    ) {
        if own.is_none()
            && self.is_roomy(fresh.len() as u64)
            && let Some(mut retention) = theirs.take_if(|theirs| theirs.is_short_before(ack))
        {
            let before = sizes(&retention);
            if retention.begin(seq, fresh) {
                self.resized(before, sizes(&retention));
                *own = Some(retention);
                return;
            }
            *theirs = Some(retention);
        }
        self.acknowledged(theirs, ack);
        self.record(own, seq, fresh);
    }

    fn record_more(&mut self, kept: &mut Kept, seq: Seq, fresh: &[u8]) {
        if fresh.is_empty() {
            return;
        }
        // Where it was asked before whether they may leave, what is there need not give way to
        // them; elsewhere those that go on sending give back what is over their share.
        let most = if self.withholds {
            let held = kept.as_ref().map_or(0, |kept| kept.len() as u64);
            self.at_most(self.free() + held)
        } else {
            self.share()
        };
        if fresh.len() as u64 > u64::from(most) {
            // The end of a segment without its beginning is of no use, nor what was before it.
            return self.forget(kept);
        }
        let (spare, memory) = (&mut self.spare, &mut self.memory);
        let retention = kept.get_or_insert_with(|| {
            let mut retention = spare.pop().unwrap_or_default();
            retention.restart(seq);
            *memory += retention.memory() as u64;
            retention
        });
        let before = sizes(retention);
        retention.record(seq, fresh, most, &self.key);
        self.resized(before, sizes(retention));
    }

    /// Makes a copy say what the first one said, as far as that is known.
    pub(crate) fn check(&self, kept: &Retention, seq: Seq, copy: &mut [u8]) -> Copied {
        kept.check(seq, copy, &self.key)
    }

    /// For digests of what rules have changed.
    pub(crate) const fn key(&self) -> &ahash::RandomState {
        &self.edit_key
    }

    /// Whether `len` bytes more may leave: false if they could not be remembered, and their next copy
    /// would be withheld for it. More in flight than one direction may have remembered at all is the
    /// configuration's choice, and no reason.
    #[inline]
    pub(crate) fn may_leave(&self, kept: &Kept, len: u32) -> bool {
        let held = kept.as_ref().map_or(0, |kept| kept.len() as u64);
        let wanted = held + u64::from(len);
        !self.withholds || self.is_roomy(wanted) || {
            let share = self.share();
            share == self.direction_bytes_max || wanted <= u64::from(share)
        }
    }

    /// Whether one direction may have so much without a closer look at its [share](Self::share).
    #[inline]
    const fn is_roomy(&self, bytes: u64) -> bool {
        bytes <= SHARE_MIN && bytes <= self.direction_bytes_max as u64 && self.free() >= SHARE_MIN
    }

    /// Which flows to look at for memory that its holders have not been acknowledged for long; none
    /// unless little is left.
    pub(crate) fn next_silent(&mut self, numbers: Range<u32>, now: Timestamp) -> Range<u32> {
        if self.free() > self.bytes_max / PRESSED {
            return 0..0;
        }
        if self.hand.at >= numbers.end {
            if now.since(self.hand.began) < SILENT {
                return 0..0;
            }
            self.hand = Hand { at: numbers.start, began: now, digests: 0 };
        }
        self.hand.digests = DIGESTS_MAX;
        let from = self.hand.at;
        self.hand.at = from.saturating_add(LOOKS_MAX).min(numbers.end);
        from..self.hand.at
    }

    /// Keeps digests only of a direction that has not been acknowledged any since it was last asked, and
    /// the time after that nothing. Gives true once that is done.
    pub(crate) fn forget_silent(&mut self, kept: &mut Kept) -> bool {
        let Some(retention) = kept.as_mut().filter(|kept| !kept.is_empty()) else { return false };
        if retention.has_moved() {
            return false;
        }
        let before = sizes(retention);
        if before[0] == 0 {
            self.forget(kept);
            return true;
        }
        let gone = retention.demote(self.hand.digests, &self.key);
        let after = sizes(retention);
        self.hand.digests = self.hand.digests.saturating_sub(gone);
        self.resized(before, after);
        after[0] == 0
    }

    /// Whether no more digests are to be made this turn. The next one then goes on with flow `number`.
    pub(crate) const fn is_spent(&mut self, number: u32) -> bool {
        let spent = self.hand.digests == 0;
        if spent {
            self.hand.at = number;
        }
        spent
    }

    /// Forgets what the receiver has acknowledged.
    #[inline]
    pub(crate) fn acknowledged(&mut self, kept: &mut Kept, ack: Seq) {
        let Some(retention) = kept else { return };
        if retention.is_short_before(ack) {
            return self.forget(kept);
        }
        self.acknowledged_more(kept, ack);
    }

    fn acknowledged_more(&mut self, kept: &mut Kept, ack: Seq) {
        let Some(retention) = kept else { return };
        let before = sizes(retention);
        retention.acknowledged(ack);
        self.resized(before, sizes(retention));
        if retention.is_empty() {
            self.forget(kept);
        }
    }

    /// Gives up what is retained to whoever keeps it from here on, and counts it.
    pub(crate) fn hand_over(&mut self, kept: &mut Kept) -> Kept {
        let retention = kept.take()?;
        self.resized(sizes(&retention), [0, 0]);
        Some(retention)
    }

    /// Counts what the changed streams of a flow take, which share the bounds. They cannot forget, so
    /// they ask for room before they take more.
    pub(crate) const fn change(&mut self, before: u64, after: u64) {
        self.resized([before; 2], [after; 2]);
    }

    /// Whether a changed stream that takes `len` bytes may take more.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        len < usize::try_from(self.share()).unwrap_or(usize::MAX)
    }

    /// Why there is no room for more of one direction.
    pub(crate) fn full(&self) -> Cause {
        let own = self.share() == self.direction_bytes_max;
        if own { Cause::HeldFullFlow } else { Cause::HeldFullWorker }
    }

    /// What one direction may have.
    fn share(&self) -> u32 {
        let free = self.free();
        self.at_most((free / SHARE).max(free.min(SHARE_MIN)))
    }

    fn at_most(&self, bytes: u64) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.direction_bytes_max)
    }

    #[inline]
    const fn free(&self) -> u64 {
        let memory = self.memory / 2;
        let taken = if self.bytes > memory { self.bytes } else { memory };
        self.bytes_max.saturating_sub(taken)
    }

    /// Forgets all.
    #[inline]
    pub(crate) fn forget(&mut self, kept: &mut Kept) {
        let Some(mut retention) = kept.take() else { return };
        self.resized(sizes(&retention), [0, 0]);
        if self.spare.len() < SPARE_MAX {
            retention.restart(Seq(0));
            retention.shrink_to(SPARE_BYTES_MAX);
            self.spare.push(retention);
        }
    }

    const fn resized(&mut self, before: [u64; 2], after: [u64; 2]) {
        self.bytes = self.bytes - before[0] + after[0];
        self.memory = self.memory - before[1] + after[1];
    }
}

/// Bytes that are remembered, and what they take in memory.
#[inline]
fn sizes(retention: &Retention) -> [u64; 2] {
    [retention.len() as u64, retention.memory() as u64]
}

/// A guess: with the default bounds one direction alone may have 7.5 MB.
const SHARE: u64 = 16;
/// What a sender begins with (RFC 6928), below which a share is of little use: of what is free,
/// anybody may have it.
const SHARE_MIN: u64 = 16 << 10;
/// Little is left when less than one part in so many is free. A guess.
const PRESSED: u64 = 4;
/// For how long nothing was acknowledged of what is silent: at least this, at most twice. Three of the
/// retransmission timeouts that a sender begins with (RFC 6298 section 2).
const SILENT: Duration = Duration::from_secs(3);
/// A guess: a turn's look round should cost no more than its packets.
const LOOKS_MAX: u32 = 64;
/// Some 50 µs, which is what a turn's packets cost; a digest costs more than a copy.
const DIGESTS_MAX: usize = 64 << 10;
/// Emptied stores that wait: 8 MB at most.
const SPARE_MAX: usize = 512;
const SPARE_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn retained(bytes_max: u64) -> Retained {
        Retained::new(&Config { retained_bytes_max: bytes_max, ..Config::default() })
    }

    #[test]
    fn all_directions_together_stay_within_the_bound_and_the_last_still_gets_some() {
        let mut retained = retained(100_000);
        let mut flows = vec![Kept::None; 50];
        for kept in &mut flows {
            for segment in 0..100 {
                retained.record(kept, Seq(segment * 1000), &[0; 1000]);
                assert!(retained.bytes() <= 100_000);
            }
        }
        assert!(flows.iter().flatten().all(|kept| !kept.is_empty()));
        for kept in &mut flows {
            retained.acknowledged(kept, Seq(100_000));
            assert!(kept.is_none());
        }
        assert_eq!(retained.bytes(), 0);
    }

    /// What is remembered around `at`.
    fn remembered(retained: &Retained, kept: &Kept, at: Seq) -> (usize, Option<(Copied, Vec<u8>)>) {
        let mut copy = vec![0; 8000];
        let copied = |kept: &Retention| kept.check(at - 4000, &mut copy, &retained.key);
        let copied = kept.as_deref().map(copied);
        (kept.as_ref().map_or(0, |kept| kept.len()), copied.map(|copied| (copied, copy)))
    }

    #[test]
    fn an_answer_comes_to_what_acknowledging_and_recording_come_to() {
        let mut rng = SmallRng::seed_from_u64(11);
        let mut exchanged = 0;
        for bytes_max in [0, 300, 20_000, 1 << 20] {
            let [mut quick, mut slow] = [retained(bytes_max), retained(bytes_max)];
            let [mut one, mut other] = [[None, None], [None, None]];
            let mut next = [Seq(u32::MAX - 500); 2];
            for _ in 0..3000 {
                let from = rng.random_range(0..2);
                let len = if rng.random_bool(0.8) { 1..170 } else { 1..1500 };
                let fresh = vec![rng.random(); rng.random_range(len)];
                let late = if rng.random_bool(0.7) { 0 } else { rng.random_range(0..500) };
                let ack = next[1 - from] - late;
                let [first, second] = &mut one;
                let (own, theirs) = if from == 0 { (first, second) } else { (second, first) };
                exchanged += usize::from(own.is_none() && theirs.is_some());
                quick.answer(theirs, ack, own, (next[from], &fresh));
                slow.acknowledged_more(&mut other[1 - from], ack);
                slow.record_more(&mut other[from], next[from], &fresh);
                next[from] += u32::try_from(fresh.len()).unwrap();
                assert_eq!(quick.bytes, slow.bytes);
                for ((one, other), next) in one.iter().zip(&other).zip(next) {
                    let expected = remembered(&slow, other, next);
                    assert_eq!(remembered(&quick, one, next), expected);
                }
            }
        }
        assert!(exchanged > 1000, "{exchanged}");
    }

    #[test]
    fn what_is_forgotten_leaves_nothing_to_the_next_that_uses_its_place() {
        let mut retained = retained(100_000);
        let (mut first, mut second) = (None, None);
        retained.record(&mut first, Seq(10), b"secret");
        retained.forget(&mut first);
        retained.record(&mut second, Seq(12), b"x");
        let mut copy = *b"yx";
        let outcome = retained.check(second.as_ref().unwrap(), Seq(11), &mut copy);
        assert_eq!(outcome, Copied::Unknown { bytes: 1, rewritten: false });
        assert_eq!(retained.bytes(), 1);
    }

    /// Each has had as much as it may in flight, and then all but a byte was acknowledged.
    #[test]
    fn memory_is_bounded_too_when_hardly_anything_is_in_flight_any_more() {
        let mut retained = retained(10_000_000);
        let mut flows = vec![Kept::None; 200];
        let memory = |flows: &[Kept]| -> usize { flows.iter().flatten().map(|k| k.memory()).sum() };
        for flow in 0..flows.len() {
            for segment in 0..500 {
                retained.record(&mut flows[flow], Seq(segment * 1000), &[0; 1000]);
            }
            assert_eq!(retained.memory, memory(&flows) as u64);
            assert!(memory(&flows) <= 20_000_000, "{flow}: {}", memory(&flows));
            retained.acknowledged(&mut flows[flow], Seq(499_999));
        }
        assert_eq!(retained.bytes(), 200);
        assert!(memory(&flows) <= 200 * 2048, "{}", memory(&flows));
        for kept in &mut flows {
            retained.forget(kept);
        }
        assert_eq!((retained.bytes, retained.memory), (0, 0));
    }
}
