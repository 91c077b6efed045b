//! The flow table: a connection's key in, its record out, in two cache lines.
//!
//! The index is an array of 64-byte buckets, each with eight 16-bit tags and eight 32-bit record
//! numbers, so that one line answers nearly every question. A key has two buckets; a new record goes
//! to the first, as long as that has some room, and else to the emptier one: so nearly all are found in the first, and
//! neither a line nor a branch is spent on the second. If both are full, one of the sixteen records is moved to its other bucket; if
//! none can move, the record goes to a short stash; if that is full too, opening fails, and the
//! caller counts it. Every step is bounded, whatever keys an attacker chooses, and he cannot choose
//! well, since the hash is keyed for each boot.
//!
//! The records lie in a slab. Its memory is reserved in [`FlowTable::new`] and becomes resident as
//! it is used.
//!
//! *Prefetch.* The workspace allows no unsafe code here, so there is no prefetch instruction.
//! [`FlowTable::touch_buckets`] and [`FlowTable::touch`] *read* a byte of the line instead
//! and throw it away through [`black_box`]. The processor does not wait for a load whose value
//! nothing depends on, so a loop over a batch overlaps its misses nearly as a prefetch would; what it
//! costs more is a slot in the reorder buffer until the line arrives.

#![expect(
    clippy::indexing_slicing,
    reason = "a way is taken modulo the ways, a bucket's number is masked: neither can be outside"
)]

use std::hint::black_box;

use ahash::RandomState;
use arrayvec::ArrayVec;
use tollgate_wire::FlowKey;

use crate::slab::Slab;

/// A record that knows its key.
pub trait Keyed {
    /// The connection it describes; never changes while it is in a table.
    fn key(&self) -> FlowKey;

    /// Whether it describes the connection of `key`.
    fn is(&self, key: &FlowKey) -> bool;

    /// Reads a byte of each cache line that a packet needs, to have them loaded.
    fn touch(&self) {}

    /// The same of what it needs besides where its data is read.
    fn touch_for_readers(&self) {}
}

/// A bounded map from [`FlowKey`] to `T`, with records numbered by `u32`.
#[derive(Debug)]
pub struct FlowTable<T> {
    buckets: Box<[Bucket]>,
    stash: ArrayVec<(u64, u32), STASH_MAX>,
    records: Slab<T>,
    hasher: RandomState,
}

/// What is known before a key is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreseen {
    /// It is probably the record of this number.
    Number(u32),
    /// There is none, for certain, until another is [opened](FlowTable::open).
    Nothing,
    /// It is to be looked for.
    Unknown,
}

/// Why a record was not taken in; it is given back.
#[derive(Debug)]
pub enum Refused<T> {
    /// As many records as the table may hold.
    Full(T),
    /// There is room for the record, but not for its key: both buckets and the stash are full.
    Crowded(T),
}

impl<T: Keyed> FlowTable<T> {
    /// A table for at most `records_max` records (1 to 2³¹).
    #[must_use]
    pub fn new(records_max: usize, hasher: RandomState) -> Self {
        // Filled to four fifths at most: there, the sixteen places of a key and one move
        // practically always suffice.
        let wanted = records_max.saturating_mul(5).div_ceil(4 * WAYS).max(2);
        Self {
            buckets: vec![Bucket::EMPTY; wanted.next_power_of_two()].into_boxed_slice(),
            stash: ArrayVec::new(),
            records: Slab::new(records_max),
            hasher,
        }
    }

    /// The hash that all other methods want.
    #[must_use]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Loads the lines in which `hash` is indexed; see the module's text.
    pub fn touch_buckets(&self, hash: u64) {
        let place = Place::of(hash);
        black_box(self.bucket(place.first).numbers[0]);
    }

    /// What [`FlowTable::find`] will probably find; its buckets should have been touched a while ago.
    #[inline]
    pub fn foresee(&self, hash: u64) -> Foreseen {
        let place = Place::of(hash);
        let first = self.bucket(place.first);
        if let Some(number) = first.hits(place.tag).next() {
            return Foreseen::Number(number);
        }
        if first.elsewhere == 0 {
            return Foreseen::Nothing;
        }
        let second = self.bucket(place.second).hits(place.tag).next();
        second.map_or(Foreseen::Unknown, Foreseen::Number)
    }

    /// Loads the lines of a record that a packet needs.
    #[inline]
    pub fn touch(&self, number: u32) {
        if let Some(record) = self.records.get(number) {
            record.touch();
        }
    }

    /// Loads the lines in which a record is indexed that is to be closed; it should have been touched a
    /// while ago.
    #[inline]
    pub fn touch_index(&self, number: u32) {
        if let Some(record) = self.records.get(number) {
            self.touch_buckets(self.hash(&record.key()));
        }
    }

    /// Loads what else the record of that number needs where data is read.
    #[inline]
    pub fn touch_for_readers(&self, number: u32) {
        if let Some(record) = self.records.get(number) {
            record.touch_for_readers();
        }
    }

    /// Whether `number` is that of the record of `key`.
    #[must_use]
    #[inline]
    pub fn is(&self, number: u32, key: &FlowKey) -> bool {
        self.records.get(number).is_some_and(|record| record.is(key))
    }

    /// The number of the record of `key`, whose hash is `hash`.
    #[must_use]
    pub fn find(&self, hash: u64, key: &FlowKey) -> Option<u32> {
        let place = Place::of(hash);
        let of_key = |bucket: &Bucket| bucket.hits(place.tag).find(|&number| self.is(number, key));
        let first = self.bucket(place.first);
        if let Some(number) = of_key(first) {
            return Some(number);
        }
        if first.elsewhere == 0 {
            return None;
        }
        if let Some(number) = of_key(self.bucket(place.second)) {
            return Some(number);
        }
        let mut stashed = self.stash.iter().filter(|(other, _)| *other == hash);
        stashed.find(|(_, number)| self.is(*number, key)).map(|(_, number)| *number)
    }

    /// Takes a record in. The caller knows that its key is not in the table.
    ///
    /// # Errors
    ///
    /// The record comes back with the bound that was reached.
    #[inline]
    pub fn open(&mut self, hash: u64, record: T) -> Result<u32, Refused<T>> {
        debug_assert_eq!(hash, self.hash(&record.key()));
        debug_assert_eq!(self.find(hash, &record.key()), None);
        let number = self.records.insert(record).map_err(Refused::Full)?;
        if self.index(hash, number) {
            return Ok(number);
        }
        match self.records.remove(number) {
            Some(record) => Err(Refused::Crowded(record)),
            None => Ok(number),
        }
    }

    /// Takes a record out.
    #[inline]
    pub fn close(&mut self, number: u32) -> Option<T> {
        let hash = self.hash(&self.records.get(number)?.key());
        let place = Place::of(hash);
        if !self.bucket_mut(place.first).remove(place.tag, number) {
            self.bucket_mut(place.first).elsewhere -= 1;
            if !self.bucket_mut(place.second).remove(place.tag, number) {
                self.stash.retain(|(_, other)| *other != number);
            }
        }
        self.unstash();
        self.records.remove(number)
    }

    /// A record by its number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&T> {
        self.records.get(number)
    }

    /// A record by its number. Its key must stay as it is.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.records.get_mut(number)
    }

    /// Records in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.len() == 0
    }

    /// The most records it may hold.
    #[must_use]
    pub const fn records_max(&self) -> usize {
        self.records.entries_max()
    }

    /// One more than the greatest number that was ever given out.
    #[must_use]
    pub fn numbers_end(&self) -> u32 {
        self.records.numbers_end()
    }

    /// Writes the key's place in the index: the first bucket, or the emptier one when that is nearly
    /// full, else a bucket in which a place can be made, else the stash.
    fn index(&mut self, hash: u64, number: u32) -> bool {
        let place = Place::of(hash);
        let first = self.bucket(place.first).used();
        let roomy = first < FIRST_MAX || first <= self.bucket(place.second).used();
        let target = if roomy { place.first } else { place.second };
        if self.bucket_mut(target).insert(place.tag, number) {
            self.count_elsewhere(place.first, target);
            return true;
        }
        for full in [place.first, place.second] {
            if self.move_one_out(full) {
                self.count_elsewhere(place.first, full);
                return self.bucket_mut(full).insert(place.tag, number);
            }
        }
        let stashed = self.stash.try_push((hash, number)).is_ok();
        self.bucket_mut(place.first).elsewhere += u32::from(stashed);
        stashed
    }

    /// Notes in a record's first bucket that it has gone to another.
    fn count_elsewhere(&mut self, first: u64, target: u64) {
        if self.masked(target) != self.masked(first) {
            self.bucket_mut(first).elsewhere += 1;
        }
    }

    /// Moves one record of a full bucket to the other bucket of its key, if that has a free place.
    fn move_one_out(&mut self, full: u64) -> bool {
        for way in 0..WAYS {
            let bucket = self.bucket(full);
            let (tag, number) = (bucket.tag(way), bucket.numbers[way]);
            let other = Place::other(self.masked(full), tag);
            if self.masked(other) != self.masked(full) && self.bucket_mut(other).insert(tag, number)
            {
                self.bucket_mut(full).set_tag(way, FREE);
                let first = self.records.get(number).map(|record| self.hash(&record.key()));
                if first.is_some_and(|first| self.masked(first) == self.masked(full)) {
                    self.bucket_mut(full).elsewhere += 1;
                } else {
                    self.bucket_mut(other).elsewhere -= 1;
                }
                return true;
            }
        }
        false
    }

    /// Brings stashed records home when places have become free, so that the stash stays for
    /// emergencies.
    fn unstash(&mut self) {
        let mut position = 0;
        while let Some(&(hash, number)) = self.stash.get(position) {
            let place = Place::of(hash);
            let home = self.bucket_mut(place.first).insert(place.tag, number);
            if home {
                self.bucket_mut(place.first).elsewhere -= 1;
            }
            if home || self.bucket_mut(place.second).insert(place.tag, number) {
                self.stash.swap_remove(position);
            } else {
                position += 1;
            }
        }
    }

    fn masked(&self, place: u64) -> u64 {
        place & (self.buckets.len() as u64 - 1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked below the number of buckets")]
    fn bucket(&self, place: u64) -> &Bucket {
        &self.buckets[self.masked(place) as usize]
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked below the number of buckets")]
    fn bucket_mut(&mut self, place: u64) -> &mut Bucket {
        &mut self.buckets[self.masked(place) as usize]
    }
}

/// Where a hash is indexed.
#[derive(Clone, Copy)]
struct Place {
    first: u64,
    second: u64,
    tag: u16,
}

impl Place {
    fn of(hash: u64) -> Self {
        // The top bits make the tag, the bottom ones the bucket; 0 means a free place.

        let tag = ((hash >> 48) as u16).max(1);
        Self { first: hash, second: Self::other(hash, tag), tag }
    }

    /// The other bucket of a key, from either of them and the tag alone, so that a record can be
    /// moved without reading it. An involution under any mask, being an exclusive-or.
    fn other(place: u64, tag: u16) -> u64 {
        place ^ u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    }
}

/// One cache line: 16 bytes of tags, 32 of record numbers, a count, 12 bytes to spare.
///
/// The tag of way `w` is the lane `w / 2` of the word `w % 2`, so that a bit for each way fits into one
/// word ([`Bucket::lanes`]).
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Bucket {
    tags: [u64; 2],
    numbers: [u32; WAYS],
    /// Records whose first bucket this is, and that lie in their second or in the stash. While there is none, who is not
    /// found here is nowhere: so a packet of no connection costs one line, too.
    elsewhere: u32,
}

/// Numbers of records whose tag is the one asked for, and a bit for each in `lanes`.
struct Hits<'a> {
    bucket: &'a Bucket,
    lanes: u64,
}

impl Iterator for Hits<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        let way = way(self.lanes)?;
        self.lanes &= self.lanes - 1;
        Some(self.bucket.numbers[way])
    }
}

impl Bucket {
    const EMPTY: Self = Self { tags: [0; 2], numbers: [0; WAYS], elsewhere: 0 };

    fn hits(&self, tag: u16) -> Hits<'_> {
        Hits { bucket: self, lanes: self.lanes(tag) }
    }

    /// A bit for each way with this tag: the lowest of a lane for the even way, the next for the odd one.
    /// All are compared at once, without a branch: a lane of `other` is zero where the tag is the same, and
    /// only there it has no bit to carry into its top one.
    #[inline]
    fn lanes(&self, tag: u16) -> u64 {
        const LOW: u64 = 0x0001_0001_0001_0001;
        const REST: u64 = 0x7fff * LOW;
        let tags = u64::from(tag) * LOW;
        let [even, odd] = self.tags.map(|word| {
            let other = word ^ tags;
            !(((other & REST) + REST) | other | REST)
        });
        even >> 15 | odd >> 14
    }

    fn tag(&self, way: usize) -> u16 {
        (self.tags[way % 2] >> (16 * (way / 2)) & 0xffff) as u16
    }

    fn set_tag(&mut self, way: usize, tag: u16) {
        let (word, shift) = (&mut self.tags[way % 2], 16 * (way / 2));
        *word = *word & !(0xffff << shift) | u64::from(tag) << shift;
    }

    fn used(&self) -> u32 {
        8 - self.lanes(FREE).count_ones()
    }

    fn insert(&mut self, tag: u16, number: u32) -> bool {
        let Some(way) = way(self.lanes(FREE)) else { return false };
        self.set_tag(way, tag);
        self.numbers[way] = number;
        true
    }

    fn remove(&mut self, tag: u16, number: u32) -> bool {
        let mut lanes = self.lanes(tag);
        while let Some(way) = way(lanes) {
            if self.numbers[way] == number {
                self.set_tag(way, FREE);
                return true;
            }
            lanes &= lanes - 1;
        }
        false
    }
}

/// The first way that has a bit in `lanes`; below [`WAYS`].
#[inline]
const fn way(lanes: u64) -> Option<usize> {
    if lanes == 0 {
        return None;
    }
    let bit = lanes.trailing_zeros() as usize;
    Some((bit / 16 * 2 + bit % 2) % WAYS)
}

const WAYS: usize = 8;
const FREE: u16 = 0;
/// With more than that in its first bucket a new record goes to the emptier one.
const FIRST_MAX: u32 = 6;
/// A guess: at four fifths full, random keys never got there in ten million openings.
const STASH_MAX: usize = 16;

const _: () = assert!(size_of::<Bucket>() == 64);

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;
    use rand::rngs::SmallRng;
    use rand::{Rng as _, SeedableRng};
    use tollgate_wire::{Endpoint, Vlans};

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Record(FlowKey, u32);

    impl Keyed for Record {
        fn key(&self) -> FlowKey {
            self.0
        }

        fn is(&self, key: &FlowKey) -> bool {
            self.0 == *key
        }
    }

    fn key(number: u32) -> FlowKey {
        let client = Endpoint::new(IpAddr::V4(Ipv4Addr::from_bits(0xc612_0000 + number)), 4000);
        let server = Endpoint::new(IpAddr::V4(Ipv4Addr::new(198, 19, 0, 1)), 80);
        FlowKey::new(client, server, Vlans::default()).0
    }

    fn table(records_max: usize) -> FlowTable<Record> {
        FlowTable::new(records_max, RandomState::with_seeds(1, 2, 3, 4))
    }

    #[test]
    fn as_many_records_fit_as_were_promised_and_not_one_more() {
        for records_max in [1, 7, 8, 100, 5000, 52_428, 60_000] {
            let mut table = table(records_max);
            for number in 0..u32::try_from(records_max).unwrap() {
                let key = key(number);
                table.open(table.hash(&key), Record(key, number)).unwrap();
            }
            let key = key(u32::MAX >> 8);
            let refused = table.open(table.hash(&key), Record(key, 0));
            assert!(matches!(refused, Err(Refused::Full(_))));
            assert_eq!(table.len(), records_max);
        }
    }

    #[test]
    fn a_bucket_finds_what_a_search_through_it_finds() {
        let mut bucket = Bucket::EMPTY;
        for (way, tag) in [7, 0x8000, 7, 0x7fff, FREE, 0xffff, 7, 1].into_iter().enumerate() {
            bucket.set_tag(way, tag);
            bucket.numbers[way] = u32::try_from(way).unwrap();
        }
        for tag in [7, 0x8000, 0x7fff, FREE, 0xffff, 1, 6, 0xfffe, 0x8007] {
            let naive: Vec<_> = (0..8).filter(|&way| bucket.tag(way as usize) == tag).collect();
            assert_eq!(bucket.hits(tag).collect::<Vec<u32>>(), naive, "{tag:#x}");
        }
        assert_eq!(bucket.used(), 7);
    }

    /// What the first of the two lines is asked for is nearly always there.
    #[test]
    fn most_records_are_in_the_first_bucket() {
        let mut table = table(40_000);
        for number in 0..40_000 {
            let key = key(number);
            table.open(table.hash(&key), Record(key, number)).unwrap();
        }
        let first = (0..40_000).filter(|&number| {
            let place = Place::of(table.hash(&key(number)));
            table.bucket(place.first).hits(place.tag).any(|other| other == number)
        });
        let first = first.count();
        assert!(first > 34_000, "{first} of 40000");
    }

    #[test]
    fn the_other_bucket_of_the_other_bucket_is_the_first() {
        for hash in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            let place = Place::of(hash);
            assert_eq!(Place::other(place.second, place.tag), place.first);
        }
    }

    /// With one bucket pair for everything, buckets and stash run full, and opening fails in a
    /// counted way while all that went in stays findable.
    #[test]
    fn a_crowded_index_refuses_and_forgets_nothing() {
        let mut table = table(1000);
        table.buckets = vec![Bucket::EMPTY; 2].into_boxed_slice();
        let mut taken = Vec::new();
        let mut refused = 0;
        let places = |key: &FlowKey| Place::of(table.hash(key));
        let has_two = |key: &FlowKey| (places(key).first ^ places(key).second) & 1 == 1;
        let keys: Vec<_> = (0..400).map(key).filter(has_two).take(100).collect();
        for (number, key) in (0..100).zip(keys) {
            match table.open(table.hash(&key), Record(key, number)) {
                Ok(index) => taken.push((key, index)),
                Err(Refused::Crowded(_)) => refused += 1,
                Err(Refused::Full(_)) => panic!("a thousand records fit"),
            }
        }
        assert_eq!((taken.len(), refused), (16 + STASH_MAX, 100 - 16 - STASH_MAX));
        for (key, index) in &taken {
            assert_eq!(table.find(table.hash(key), key), Some(*index));
        }
        // Closing those in the buckets brings the stashed ones home.
        let stashed: Vec<_> = table.stash.iter().map(|(_, index)| *index).collect();
        for (_, index) in taken.iter().filter(|(_, index)| !stashed.contains(index)) {
            assert!(table.close(*index).is_some());
        }
        assert!(table.stash.is_empty());
        for (key, index) in taken.iter().filter(|(_, index)| stashed.contains(index)) {
            assert_eq!(table.find(table.hash(key), key), Some(*index));
        }
    }

    proptest! {
        #[test]
        #[expect(clippy::disallowed_types, reason = "the oracle")]
        fn it_does_what_a_hash_map_does(
            steps in prop::collection::vec((0_u32..300, any::<bool>()), 1..2000)
        ) {
            let mut table = table(200);
            let mut oracle = std::collections::HashMap::new();
            for (number, open) in steps {
                let key = key(number);
                let hash = table.hash(&key);
                table.touch_buckets(hash);
                let foreseen = table.foresee(hash);
                let found = table.find(hash, &key);
                match foreseen {
                    Foreseen::Number(number) => table.touch(number),
                    Foreseen::Nothing => prop_assert_eq!(found, None),
                    Foreseen::Unknown => {}
                }
                prop_assert_eq!(found, oracle.get(&number).copied());
                match (found, open) {
                    (None, true) => match table.open(hash, Record(key, number)) {
                        Ok(index) => { oracle.insert(number, index); }
                        Err(Refused::Full(_)) => prop_assert_eq!(oracle.len(), 200),
                        Err(Refused::Crowded(_)) => prop_assert!(false, "crowded below its bound"),
                    },
                    (Some(index), false) => {
                        prop_assert_eq!(table.close(index), Some(Record(key, number)));
                        oracle.remove(&number);
                    }
                    _ => {}
                }
                prop_assert_eq!(table.len(), oracle.len());
            }
            prop_assert_eq!(counted_elsewhere(&table), elsewhere(&table));
        }
    }

    fn counted_elsewhere(table: &FlowTable<Record>) -> Vec<u32> {
        table.buckets.iter().map(|bucket| bucket.elsewhere).collect()
    }

    /// For each bucket how many records should be in it and are not, found out one by one.
    fn elsewhere(table: &FlowTable<Record>) -> Vec<u32> {
        let mut elsewhere = vec![0; table.buckets.len()];
        for number in 0..table.numbers_end() {
            let Some(record) = table.get(number) else { continue };
            let first = table.masked(table.hash(&record.key()));
            let bucket = table.bucket(first);
            let tag = Place::of(table.hash(&record.key())).tag;
            let at_home =
                (0..WAYS).any(|way| bucket.tag(way) == tag && bucket.numbers[way] == number);
            elsewhere[usize::try_from(first).unwrap()] += u32::from(!at_home);
        }
        elsewhere
    }

    /// Fuller than any table may be, so that records are moved and stashed, and opening fails.
    #[test]
    fn who_is_elsewhere_is_counted_and_found_in_a_table_that_is_too_small() {
        let (mut moved, mut stashed, mut crowded) = (0, 0, 0);
        let mut rng = SmallRng::seed_from_u64(2);
        let mut table = table(200);
        table.buckets = vec![Bucket::EMPTY; 8].into_boxed_slice();
        let mut open = Vec::new();
        for step in 0..20_000 {
            let key = key(rng.random_range(0..100_000));
            let hash = table.hash(&key);
            let found = table.find(hash, &key);
            if found.is_none() && (open.len() < 60 || rng.random_bool(0.5)) {
                match table.open(hash, Record(key, step)) {
                    Ok(_) => open.push(key),
                    Err(_) => crowded += 1,
                }
            } else if !open.is_empty() {
                let key = open.swap_remove(rng.random_range(0..open.len()));
                let number = table.find(table.hash(&key), &key).unwrap();
                assert_eq!(table.close(number).unwrap().0, key);
            }
            let expected = elsewhere(&table);
            assert_eq!(counted_elsewhere(&table), expected);
            moved += u64::from(expected.iter().sum::<u32>());
            stashed += table.stash.len();
            assert!(open.iter().all(|key| table.find(table.hash(key), key).is_some()));
        }
        assert!(moved > 1000 && stashed > 100 && crowded > 0, "{moved} {stashed} {crowded}");
    }
}
