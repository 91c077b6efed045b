//! One timer wheel for all records of a table.
//!
//! Ticks of 100 ms, four levels of 64 slots: 6.4 s, 7 min, 7 h, 19 days. An entry is the number of a
//! record, linked into its slot through an array beside the table, so arming and disarming are a few
//! writes and cost eight bytes a record.
//!
//! A packet does *not* touch the wheel. When an entry's slot comes, [`Wheel::next`] gives the number
//! out, and the worker looks into the record: idle for long enough, it expires; else the worker arms
//! it again for the time that is left. The same second look replaces the cascade between levels: an
//! entry of a coarse slot is given out at the slot's beginning, and armed again, more finely. So work
//! comes one entry at a time, and the caller's budget bounds it.

use std::hint::black_box;

use tollgate_wire::Timestamp;

/// Timers by record number; at most one each.
#[derive(Debug)]
pub struct Wheel {
    links: Vec<Link>,
    heads: [[u32; SLOTS]; LEVELS],
    /// A bit for each slot that is not empty, so that empty time is skipped at once.
    occupied: [u64; LEVELS],
    /// The tick whose slots are being emptied. Every entry lies in a slot that comes later, or in
    /// one of this tick's.
    tick: u64,
    started: bool,
    armed: usize,
}

/// A doubly linked list through an array. `previous` of a list's first entry is its slot, marked
/// with [`HEAD`]; of a number without a timer it is [`NONE`].
#[derive(Clone, Copy, Debug)]
struct Link {
    next: u32,
    previous: u32,
}

impl Wheel {
    /// For numbers below `numbers_max`, at most 2³¹.
    #[must_use]
    pub fn new(numbers_max: usize) -> Self {
        Self {
            links: Vec::with_capacity(numbers_max.min(HEAD as usize)),
            heads: [[NONE; SLOTS]; LEVELS],
            occupied: [0; LEVELS],
            tick: 0,
            started: false,
            armed: 0,
        }
    }

    /// Arms the timer of `number`, or moves it: it will be given out at `deadline` or earlier, never
    /// more than a tick later, and not before the next tick.
    pub fn arm(&mut self, number: u32, deadline: Timestamp, now: Timestamp) {
        self.start(now);
        self.disarm(number);
        let position = number as usize;
        if position >= self.links.len() {
            self.links.resize(position + 1, Link { next: NONE, previous: NONE });
        }
        let (level, slot) = self.slot(ticks_up(deadline));
        self.link(number, level, slot);
    }

    /// Takes the timer of `number` away, if it has one.
    pub fn disarm(&mut self, number: u32) {
        let Some(link) = self.links.get_mut(number as usize) else { return };
        let Link { next, previous } = *link;
        if previous == NONE {
            return;
        }
        *link = Link { next: NONE, previous: NONE };
        if let Some(after) = self.links.get_mut(next as usize) {
            after.previous = previous;
        }
        if previous & HEAD == 0 {
            if let Some(before) = self.links.get_mut(previous as usize) {
                before.next = next;
            }
        } else {
            self.set_head((previous & !HEAD) as usize, next);
        }
        self.armed -= 1;
    }

    /// Loads what is to be changed when the timer of `number` is, for both its neighbours are, too.
    pub fn touch(&self, number: u32) {
        let link = |number: u32| self.links.get(number as usize);
        if let Some(Link { next, previous }) = link(number) {
            black_box([*next, *previous].map(|beside| link(beside).map(|link| link.next)));
        }
    }

    /// The next number whose time has come, its timer taken away; none when all that is due has
    /// been given out. Does a bounded number of steps even when time has jumped by years.
    pub fn next(&mut self, now: Timestamp) -> Option<u32> {
        self.start(now);
        let target = ticks(now);
        if target.saturating_add(BACKWARDS_TICKS_MAX) < self.tick {
            // The clock was set back: timers begin anew from here. Each entry still lies in some
            // slot and is looked at when that comes, which is what the lazy wheel needs.
            self.tick = target;
        }
        loop {
            if let Some(number) = self.first_of_tick() {
                self.disarm(number);
                return Some(number);
            }
            if self.tick >= target {
                return None;
            }
            self.tick = self.next_tick().min(target);
        }
    }

    /// Timers that are armed.
    #[must_use]
    pub const fn armed(&self) -> usize {
        self.armed
    }

    fn start(&mut self, now: Timestamp) {
        if !self.started {
            self.started = true;
            self.tick = ticks(now);
        }
    }

    /// Level and slot for a tick. A tick too far away is looked at as late as the wheel can.
    fn slot(&self, tick: u64) -> (usize, usize) {
        let distance = tick.saturating_sub(self.tick).clamp(1, SPAN - 1);
        let tick = self.tick.saturating_add(distance);
        let level = (distance.ilog2() / SLOT_BITS) as usize;
        let slot = (tick >> (SLOT_BITS as usize * level)) & (SLOTS as u64 - 1);
        (level, usize::try_from(slot).unwrap_or(0))
    }

    fn link(&mut self, number: u32, level: usize, slot: usize) {
        let place = level * SLOTS + slot;
        let next = self.head(place);
        if let Some(after) = self.links.get_mut(next as usize) {
            after.previous = number;
        }
        if let Some(link) = self.links.get_mut(number as usize) {
            *link = Link { next, previous: HEAD | u32::try_from(place).unwrap_or(0) };
        }
        self.set_head(place, number);
        self.armed += 1;
    }

    fn head(&self, place: usize) -> u32 {
        self.heads.as_flattened().get(place).copied().unwrap_or(NONE)
    }

    fn set_head(&mut self, place: usize, number: u32) {
        if let (Some(head), Some(occupied)) =
            (self.heads.as_flattened_mut().get_mut(place), self.occupied.get_mut(place / SLOTS))
        {
            *head = number;
            let bit = 1 << (place % SLOTS);
            *occupied = if number == NONE { *occupied & !bit } else { *occupied | bit };
        }
    }

    /// An entry of a slot that begins with the current tick, on any level.
    fn first_of_tick(&self) -> Option<u32> {
        for level in 0..LEVELS {
            let shift = SLOT_BITS as usize * level;
            if self.tick & ((1 << shift) - 1) != 0 {
                return None;
            }
            let slot = usize::try_from((self.tick >> shift) & (SLOTS as u64 - 1)).unwrap_or(0);
            let head = self.head(level * SLOTS + slot);
            if head != NONE {
                return Some(head);
            }
        }
        None
    }

    /// The next tick at which a slot may have something: on the lowest level with entries, the next
    /// occupied slot of this round, or the next round's beginning.
    fn next_tick(&self) -> u64 {
        for (level, occupied) in self.occupied.iter().enumerate() {
            if *occupied == 0 {
                continue;
            }
            let shift = SLOT_BITS as usize * level;
            let now = self.tick >> shift;
            let slot = now & (SLOTS as u64 - 1);
            let later = occupied.checked_shr(u32::try_from(slot + 1).unwrap_or(64)).unwrap_or(0);
            let step = if later == 0 {
                SLOTS as u64 - slot
            } else {
                u64::from(later.trailing_zeros()) + 1
            };
            return (now + step) << shift;
        }
        u64::MAX
    }
}

fn ticks(time: Timestamp) -> u64 {
    time.nanos() / TICK_NANOS
}

fn ticks_up(time: Timestamp) -> u64 {
    time.nanos().div_ceil(TICK_NANOS)
}

const TICK_NANOS: u64 = 100_000_000;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 4;
const SPAN: u64 = 1 << (SLOT_BITS as usize * LEVELS);
/// Captures do run backwards by seconds; a clock that was set does by more. One hour.
const BACKWARDS_TICKS_MAX: u64 = 36_000;
const NONE: u32 = u32::MAX;
const HEAD: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// What the worker does: a number that comes early is armed again.
    fn due(wheel: &mut Wheel, deadlines: &BTreeMap<u32, Timestamp>, now: Timestamp) -> Vec<u32> {
        let mut due = Vec::new();
        while let Some(number) = wheel.next(now) {
            match deadlines.get(&number) {
                Some(deadline) if *deadline > now => wheel.arm(number, *deadline, now),
                _ => due.push(number),
            }
        }
        due.sort_unstable();
        due
    }

    #[test]
    fn a_timer_fires_within_a_tick_after_its_deadline_on_every_level() {
        for seconds in [1_u64, 6, 7, 60, 409, 410, 3600, 30_000, 432_000, 1_600_000] {
            let start = Timestamp(1_700_000_000_123_456_789);
            let deadline = start + Duration::from_secs(seconds);
            let mut wheel = Wheel::new(1);
            wheel.arm(0, deadline, start);
            let deadlines = BTreeMap::from([(0, deadline)]);
            let mut now = start;
            while now < deadline {
                assert_eq!(due(&mut wheel, &deadlines, now), [], "{seconds} s");
                now = now + Duration::from_millis(if seconds > 1000 { 77_777 } else { 77 });
            }
            let latest = now.max(deadline + Duration::from_millis(100));
            assert_eq!(due(&mut wheel, &deadlines, latest), [0], "{seconds} s");
            assert_eq!(wheel.armed(), 0);
        }
    }

    #[test]
    fn a_jump_of_fifty_years_takes_no_time() {
        let mut wheel = Wheel::new(3);
        let deadlines =
            BTreeMap::from([(1, Timestamp::from_secs(60)), (2, Timestamp::from_secs(9))]);
        for (number, deadline) in &deadlines {
            wheel.arm(*number, *deadline, Timestamp(0));
        }
        assert_eq!(due(&mut wheel, &deadlines, Timestamp::from_secs(1_600_000_000)), [1, 2]);
    }

    #[test]
    fn a_clock_set_back_by_years_still_lets_timers_fire() {
        let mut wheel = Wheel::new(1);
        let late = Timestamp::from_secs(1_600_000_000);
        wheel.arm(0, late + Duration::from_secs(10), late);
        let early = Timestamp::from_secs(1000);
        assert_eq!(wheel.next(early), None);
        let deadlines = BTreeMap::from([(0, early + Duration::from_secs(10))]);
        assert_eq!(due(&mut wheel, &deadlines, early + Duration::from_secs(500)), [0]);
    }

    #[test]
    fn only_what_is_asked_for_is_given_out_in_a_turn() {
        let mut wheel = Wheel::new(1000);
        for number in 0..1000 {
            wheel.arm(number, Timestamp::from_secs(5), Timestamp(0));
        }
        let now = Timestamp::from_secs(6);
        let first: Vec<_> = std::iter::from_fn(|| wheel.next(now)).take(10).collect();
        assert_eq!((first.len(), wheel.armed()), (10, 990));
    }

    proptest! {
        #[test]
        fn every_timer_fires_once_after_its_deadline_and_never_before(
            steps in prop::collection::vec((0_u32..50, 0_u64..500_000, 0_u64..50_000, any::<bool>()), 1..300)
        ) {
            let mut wheel = Wheel::new(50);
            let mut deadlines = BTreeMap::new();
            let mut now = Timestamp(3_141_592_653_589);
            for (number, timeout_ms, step_ms, disarm) in steps {
                if disarm {
                    wheel.disarm(number);
                    deadlines.remove(&number);
                } else {
                    let deadline = now + Duration::from_millis(timeout_ms);
                    wheel.arm(number, deadline, now);
                    deadlines.insert(number, deadline);
                }
                prop_assert_eq!(wheel.armed(), deadlines.len());
                now = now + Duration::from_millis(step_ms);
                let fired = due(&mut wheel, &deadlines, now);
                for number in &fired {
                    prop_assert!(deadlines.remove(number).is_some_and(|at| at <= now));
                }
                let late = now - Duration::from_millis(200);
                prop_assert!(deadlines.values().all(|at| *at > late), "one is overdue");
            }
        }
    }
}
