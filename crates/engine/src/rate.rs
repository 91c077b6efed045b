//! So many in a second, and no more.

use tollgate_wire::Timestamp;

/// Counts what happens within a second.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second_max: u32,
    second: u64,
    count: u32,
}

impl Rate {
    pub(crate) const fn new(per_second_max: u32) -> Self {
        Self { per_second_max, second: 0, count: 0 }
    }

    /// Whether one more may happen now; if so, it is counted.
    pub(crate) const fn allows(&mut self, now: Timestamp) -> bool {
        let second = now.nanos() / 1_000_000_000;
        if second != self.second {
            self.second = second;
            self.count = 0;
        }
        let allowed = self.count < self.per_second_max;
        if allowed {
            self.count += 1;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_own_count() {
        let mut rate = Rate::new(2);
        let allowed = [7, 7, 7, 8, 7, 7, 7].map(|second| rate.allows(Timestamp::from_secs(second)));
        assert_eq!(allowed, [true, true, false, true, true, true, false]);
    }
}
