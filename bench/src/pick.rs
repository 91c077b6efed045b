//! Whose turn it is.

use crate::dice::Dice;
use crate::driver::Turns;

/// Which flow speaks next.
#[derive(Debug)]
pub enum Pick {
    /// All flows in turn, none near the last: the worst case for caches.
    Uniform(Turns),
    /// The first of `n` flows `n` times as often as the last (Zipf's law with an exponent of 1), as
    /// on the Internet few flows have most of the packets.
    Zipf {
        /// How many there are.
        flows: usize,
        /// Throws.
        dice: Dice,
    },
}

impl Pick {
    /// All flows in turn.
    #[must_use]
    pub fn uniform(flows: usize) -> Self {
        Self::Uniform(Turns::new(flows))
    }

    /// Few of them mostly.
    #[must_use]
    pub const fn zipf(flows: usize) -> Self {
        Self::Zipf { flows, dice: Dice::new(7) }
    }

    /// The next one.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and the number of flows"
    )]
    pub fn flow(&mut self) -> usize {
        match self {
            Self::Uniform(turns) => turns.next(),
            Self::Zipf { flows, dice } => {
                // The inverse of the distribution, taken as continuous. Frequent flows must not be
                // neighbours, so ranks are spread over the numbers.
                let chance = (dice.next() >> 11) as f64 / (1_u64 << 53) as f64;
                let rank = ((*flows + 1) as f64).powf(chance) as usize - 1;
                rank.wrapping_mul(0x9e37_79b1) % *flows
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_prefers_few_and_forgets_none() {
        let mut pick = Pick::zipf(100);
        let mut counts = [0_u32; 100];
        for _ in 0..1_000_000 {
            counts[pick.flow()] += 1;
        }
        counts.sort_unstable();
        let share = f64::from(counts[99]) / 1e6;
        assert!((0.12..0.18).contains(&share), "ln 2 / ln 101 is 0.15, not {share}");
        assert!(counts[0] > 1000, "{counts:?}");
    }
}
