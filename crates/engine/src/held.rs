//! What waits behind gaps, of all flows of a worker, and what one direction may hold of it.

use tollgate_tcp::{Bound, Held, Limits};

use crate::Config;
use crate::counters::Cause;

/// What all reassemblers of a worker hold.
#[derive(Debug)]
pub(crate) struct HeldTotal {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) extents: u64,
    /// What one direction may hold at this moment.
    pub(crate) limits: Limits,
    direction_max: Limits,
    frames_max: u64,
    bytes_max: u64,
    extents_max: u64,
}

impl HeldTotal {
    pub(crate) fn new(config: &Config) -> Self {
        let mut total = Self {
            frames: 0,
            bytes: 0,
            extents: 0,
            limits: config.held,
            direction_max: config.held,
            frames_max: config.held_frames_max,
            bytes_max: config.held_bytes_max,
            extents_max: config.held_extents_max,
        };
        total.limits = total.limits();
        total
    }

    /// One direction held `before` and holds `after` now.
    pub(crate) fn change(&mut self, before: Held, after: Held) {
        let change = |total: &mut u64, before: u32, after: u32| {
            *total = *total + u64::from(after) - u64::from(before);
        };
        change(&mut self.frames, before.frames, after.frames);
        change(&mut self.bytes, before.bytes, after.bytes);
        change(&mut self.extents, before.extents, after.extents);
        self.limits = self.limits();
    }

    /// Why there is no room where `bound` is reached.
    pub(crate) const fn full(&self, bound: Bound) -> Cause {
        let (now, most) = (&self.limits, &self.direction_max);
        let own = match bound {
            Bound::Frames => now.frames == most.frames,
            Bound::Bytes => now.bytes == most.bytes,
            Bound::Extents => now.extents == most.extents,
        };
        if own { Cause::HeldFullFlow } else { Cause::HeldFullWorker }
    }

    /// No direction holds more than a part of what is free, so that however many fill the memory, the
    /// next one finds some. Frames are too few for that: they are for whoever comes first.
    fn limits(&self) -> Limits {
        let part = |total: u64, max: u64, direction_max: u32| {
            let part = max.saturating_sub(total).div_ceil(SHARE);
            u32::try_from(part).unwrap_or(u32::MAX).min(direction_max)
        };
        let Limits { frames, bytes, extents } = self.direction_max;
        Limits {
            frames: if self.frames < self.frames_max { frames } else { 0 },
            bytes: part(self.bytes, self.bytes_max, bytes),
            extents: part(self.extents, self.extents_max, extents),
        }
    }
}

/// A guess: with the default bounds one direction alone may have 3.8 MB.
const SHARE: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_that_take_all_they_may_stay_within_the_bounds_together() {
        let config = Config { held_bytes_max: 10_000, held_extents_max: 40, ..Config::default() };
        let mut total = HeldTotal::new(&config);
        let mut held = Vec::new();
        for _ in 0..1000 {
            let Limits { bytes, extents, .. } = total.limits;
            let all = Held { frames: 0, bytes, extents };
            total.change(Held::default(), all);
            held.push(all);
            assert!(total.bytes <= 10_000 && total.extents <= 40);
        }
        assert_eq!((total.bytes, total.extents), (10_000, 40));
        assert_eq!((total.limits.bytes, total.limits.extents), (0, 0));
        for all in held {
            total.change(all, Held::default());
        }
        assert_eq!((total.frames, total.bytes, total.extents), (0, 0, 0));
        assert_eq!(total.limits.bytes, 625);
    }
}
