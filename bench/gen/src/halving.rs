//! Which rate to try next, in search of the highest that passes (RFC 2544 section 26.1).

/// Where the search stands: the highest rate that passed, and below what the highest lies that may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Halving {
    low: u64,
    high: u64,
    rate: u64,
    /// Percent between the two at which the search ends.
    precision: f64,
    /// Trials in a row that a rate must fail, and how many the present one has.
    tries: u32,
    failed: u32,
}

/// What a trial has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    /// All arrived that was sent: so much, where the generator could not send all that was wanted less.
    Passed(u64),
    /// The generator could not send half of what was wanted, so nobody was put to the test.
    Unsent,
    /// So much arrived.
    Failed(u64),
}

impl Halving {
    pub(crate) const fn new(rate_max: u64, precision: f64, tries: u32) -> Self {
        Self { low: 0, high: rate_max, rate: rate_max, precision, tries, failed: 0 }
    }

    /// The rate to try; none when the search is over.
    pub(crate) fn rate(&self) -> Option<u64> {
        let apart = self.high.saturating_sub(self.low) as f64;
        (self.rate > 0 && apart > self.high as f64 * self.precision / 100.0).then_some(self.rate)
    }

    /// The highest rate that passed.
    pub(crate) const fn passed(&self) -> u64 {
        self.low
    }

    /// Takes what has come of a trial at [`Halving::rate`].
    pub(crate) fn tell(&mut self, trial: Trial) {
        let mut guess = None;
        match trial {
            Trial::Passed(achieved) => {
                // A little less than was wanted is a clock's doing; but who sends no more than before is at the end.
                let is_all = achieved >= self.rate / 50 * 49 && achieved > self.low;
                self.low = self.low.max(achieved);
                if !is_all {
                    self.high = self.below();
                }
            }
            Trial::Unsent => self.high = self.below(),
            Trial::Failed(arrived) => {
                self.failed += 1;
                if self.failed < self.tries {
                    // Whose processor was taken away for a moment has not shown what it can.
                    return;
                }
                self.high = self.below();
                // A better guess than the middle, where it is less. It is no bound: who is sent too much may let less
                // pass than he could.
                guess = Some(arrived);
            }
        }
        self.failed = 0;
        let middle = self.low + (self.high - self.low) / 2;
        self.rate = guess.filter(|guess| (self.low + 1..middle).contains(guess)).unwrap_or(middle);
    }

    fn below(&self) -> u64 {
        self.rate.saturating_sub(1).max(self.low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the search finds where `trial` says what comes of a rate.
    fn search(tries: u32, mut trial: impl FnMut(u64) -> Trial) -> u64 {
        let mut halving = Halving::new(2_000_000, 2.0, tries);
        let mut trials = 0;
        while let Some(rate) = halving.rate() {
            trials += 1;
            assert!(trials < 60, "it comes to an end");
            halving.tell(trial(rate));
        }
        halving.passed()
    }

    #[test]
    fn the_highest_rate_is_found_however_little_passes_beyond_it() {
        for most in [700, 9_000, 270_000, 1_999_000] {
            for beyond in [0, 10, most / 30, most / 2, most] {
                let found = search(1, |rate| {
                    if rate > most { Trial::Failed(beyond) } else { Trial::Passed(rate) }
                });
                assert!((most * 97 / 100..=most).contains(&found), "{found} of {most}, {beyond}");
            }
        }
    }

    #[test]
    fn one_bad_moment_does_not_decide_where_a_rate_may_fail_again() {
        let shaken = |tries| {
            let mut number = 0;
            search(tries, |rate| {
                number += 1;
                // Each rate's first trial goes wrong below the limit, too.
                let shaken = rate < 270_000 && number % 2 == 0;
                if rate > 270_000 || shaken { Trial::Failed(rate / 2) } else { Trial::Passed(rate) }
            })
        };
        assert!(shaken(3) > 260_000, "{}", shaken(3));
        assert!(shaken(1) < 200_000, "{}", shaken(1));
    }

    #[test]
    fn what_the_generator_cannot_send_is_no_fault_of_others() {
        let found = search(1, |rate| match rate {
            900_000.. => Trial::Unsent,
            500_000.. => Trial::Passed(500_000),
            _ => Trial::Passed(rate),
        });
        assert_eq!(found, 500_000);
        assert_eq!(search(1, |_| Trial::Failed(0)), 0);
    }
}
