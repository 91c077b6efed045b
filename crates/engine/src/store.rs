//! A table of connections with its timers.

use std::time::Duration;

use ahash::RandomState;
use arrayvec::ArrayVec;
use tollgate_wire::{FlowKey, Timestamp};

use crate::flow_table::{FlowTable, Foreseen, Keyed, Refused};
use crate::wheel::Wheel;

/// Timers that are looked at in a turn. A guess: they should cost no more than its packets.
pub(crate) const TIMERS_MAX: usize = 128;

/// Records of one kind; each has one timer.
#[derive(Debug)]
pub(crate) struct Store<T> {
    table: FlowTable<T>,
    wheel: Wheel,
}

impl<T: Keyed> Store<T> {
    pub(crate) fn new(records_max: usize, hasher: RandomState) -> Self {
        let records_max = records_max.clamp(1, 1 << 31);
        Self { table: FlowTable::new(records_max, hasher), wheel: Wheel::new(records_max) }
    }

    pub(crate) fn hash(&self, key: &FlowKey) -> u64 {
        self.table.hash(key)
    }

    pub(crate) fn touch_buckets(&self, hash: u64) {
        self.table.touch_buckets(hash);
    }

    #[inline]
    pub(crate) fn foresee(&self, hash: u64) -> Foreseen {
        self.table.foresee(hash)
    }

    #[inline]
    pub(crate) fn touch(&self, number: u32) {
        self.table.touch(number);
    }

    pub(crate) fn touch_for_readers(&self, number: u32) {
        self.table.touch_for_readers(number);
    }

    /// Loads where a record and its timer are linked in; it should have been touched a while ago.
    pub(crate) fn touch_index(&self, number: u32) {
        self.table.touch_index(number);
        self.wheel.touch(number);
    }

    #[inline]
    pub(crate) fn is(&self, number: u32, key: &FlowKey) -> bool {
        self.table.is(number, key)
    }

    pub(crate) fn find(&self, hash: u64, key: &FlowKey) -> Option<u32> {
        self.table.find(hash, key)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.table.get_mut(number)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.table.get(number)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.table.len() >= self.table.records_max()
    }

    /// Whether little room is left: one in sixteen.
    pub(crate) fn is_pressed(&self) -> bool {
        self.table.len() >= self.table.records_max() / 16 * 15 + self.table.records_max() % 16
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Takes a record in, to be looked at after `timeout`.
    #[inline]
    pub(crate) fn open(
        &mut self,
        hash: u64,
        record: T,
        timeout: Duration,
        now: Timestamp,
    ) -> Result<u32, T> {
        match self.table.open(hash, record) {
            Ok(number) => {
                self.wheel.arm(number, now + timeout, now);
                Ok(number)
            }
            Err(Refused::Full(record) | Refused::Crowded(record)) => Err(record),
        }
    }

    /// Takes a record and its timer away.
    #[inline]
    pub(crate) fn close(&mut self, number: u32) -> Option<T> {
        self.wheel.disarm(number);
        self.table.close(number)
    }

    pub(crate) fn arm(&mut self, number: u32, deadline: Timestamp, now: Timestamp) {
        self.wheel.arm(number, deadline, now);
    }

    /// Records whose timers have gone off, until `due` has as many as it has room for; their timers are
    /// taken away. They are loaded for all of them before the first is looked at, for who has been silent for
    /// long is in no cache.
    pub(crate) fn due(&mut self, due: &mut ArrayVec<u32, TIMERS_MAX>, now: Timestamp) {
        while !due.is_full()
            && let Some(number) = self.wheel.next(now)
        {
            self.table.touch(number);
            due.push(number);
        }
        for &number in &*due {
            self.table.touch_index(number);
        }
    }

    /// All numbers that may belong to a record.
    pub(crate) fn numbers(&self) -> std::ops::Range<u32> {
        0..self.table.numbers_end()
    }
}
