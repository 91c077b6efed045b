//! One end speaks, the other is not heard, and what the first says cannot be right without the other.
//! Either it lies, or the other's packets go another way.

use tollgate_wire::{Direction, Timestamp};

use crate::remedy::Remedies;

/// Packets of one end that were refused since the other was heard last. Touched only when one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered {
    since: Timestamp,
    /// Packets of the other end when the count began.
    heard: u32,
    packets: u8,
    from: Direction,
}

impl Default for Unanswered {
    fn default() -> Self {
        Self { since: Timestamp::default(), heard: 0, packets: 0, from: Direction::ToServer }
    }
}

impl Unanswered {
    /// Whether no packet was ever counted.
    pub(crate) fn is_unused(&self) -> bool {
        *self == Self::default()
    }

    /// Counts a refused packet that travels in `direction`, when `heard` packets have come from the
    /// other end. Gives true once there are as many as `remedies` has it, for as long, with nothing
    /// heard in between; the count then begins anew.
    pub(crate) fn refused(
        &mut self,
        direction: Direction,
        heard: u64,
        now: Timestamp,
        remedies: &Remedies,
    ) -> bool {
        // Only ever compared with itself, some packets later.
        let heard = u32::try_from(heard & u64::from(u32::MAX)).unwrap_or(0);
        if self.packets == 0 || self.from != direction || self.heard != heard {
            *self = Self { since: now, heard, packets: 0, from: direction };
        }
        self.packets = self.packets.saturating_add(1);
        let noticed = self.packets >= remedies.unanswered_packets_max
            && now.since(self.since) >= remedies.unanswered;
        if noticed {
            self.packets = 0;
        }
        noticed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const UP: Direction = Direction::ToServer;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_secs(5) + Duration::from_millis(ms)
    }

    #[test]
    fn it_takes_both_packets_and_time() {
        let remedies = Remedies::default();
        let mut burst = Unanswered::default();
        assert!((0..200).all(|_| !burst.refused(UP, 1, at(0), &remedies)));
        assert!(burst.refused(UP, 1, at(1000), &remedies));
        let mut slow = Unanswered::default();
        let noticed = [0, 5000, 9000].map(|ms| slow.refused(UP, 1, at(ms), &remedies));
        assert_eq!(noticed, [false, false, true]);
        assert!(!slow.refused(UP, 1, at(9000), &remedies), "and begins anew");
    }

    #[test]
    fn a_packet_of_the_other_end_begins_it_anew() {
        let remedies = Remedies::default();
        let mut unanswered = Unanswered::default();
        for ms in 0..100 {
            assert!(!unanswered.refused(UP, ms / 2, at(1000 * ms), &remedies));
        }
        for ms in 0..100 {
            let direction = if ms % 2 == 0 { UP } else { Direction::ToClient };
            assert!(!unanswered.refused(direction, 7, at(1000 * ms), &remedies));
        }
    }
}
