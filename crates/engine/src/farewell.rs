//! RSTs of ours, to be sent again. The first may be lost, and who has nothing to say would then wait for
//! ever: only who still speaks is answered ([`Zombie`](crate::zombie::Zombie)).
//!
//! Nobody says that a RST has arrived, so they are sent a second and a third time, unless whom they are
//! for has sent a RST himself: he has no such connection any more. Not in a handshake, for there each end
//! repeats what it waits for an answer to; and who is forged there shall not get three RSTs for a SYN.

use std::time::Duration;

use arrayvec::ArrayVec;
use tollgate_tcp::reset::{RSTS_MAX, Rst};
use tollgate_wire::{Direction, Timestamp};

/// What the ends of a connection were sent when it was reset.
#[derive(Debug)]
pub(crate) struct Farewell {
    rsts: ArrayVec<Rst, RSTS_MAX>,
    since: Timestamp,
    repeated: usize,
}

impl Farewell {
    /// Takes note of RSTs that were sent; none if there were none.
    pub(crate) fn new(rsts: ArrayVec<Rst, RSTS_MAX>, now: Timestamp) -> Option<Self> {
        (!rsts.is_empty()).then_some(Self { rsts, since: now, repeated: 0 })
    }

    /// When they are to be sent next, if ever.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let after = AGAIN.get(self.repeated).filter(|_| !self.rsts.is_empty())?;
        Some(self.since + *after)
    }

    /// Those to be sent now, counted as sent.
    pub(crate) fn due(&mut self, now: Timestamp) -> &[Rst] {
        // A clock that was set back must not put it off for ever.
        self.since = self.since.min(now);
        let before = self.repeated;
        while self.next().is_some_and(|next| next <= now) {
            // Twice at once is no better than once.
            self.repeated += 1;
        }
        if self.repeated > before { &self.rsts } else { &[] }
    }

    /// A RST travels in `direction`: its sender needs none.
    pub(crate) fn has_reset(&mut self, direction: Direction) {
        self.rsts.retain(|rst| rst.to == direction);
    }
}

/// After the first time. A guess: one retransmission timeout of a stack that knows the way (Linux begins at
/// 200 ms), and one of a stack that does not (RFC 6298 section 2).
const AGAIN: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

#[cfg(test)]
mod tests {
    use tollgate_wire::Seq;

    use super::*;

    #[test]
    fn they_are_sent_after_200_ms_and_a_second_and_never_again() {
        let rst = Rst { to: Direction::ToServer, seq: Seq(7), ack: None };
        let begin = Timestamp::from_secs(100);
        let mut farewell = Farewell::new([rst].into_iter().collect(), begin).unwrap();
        let sent: Vec<u64> = (0..2000)
            .filter(|ms| !farewell.due(begin + Duration::from_millis(*ms)).is_empty())
            .collect();
        assert_eq!(sent, [200, 1000]);
        assert_eq!(farewell.next(), None);
    }

    #[test]
    fn what_is_overdue_is_sent_once() {
        let rst = Rst { to: Direction::ToServer, seq: Seq(7), ack: None };
        let begin = Timestamp::from_secs(100);
        let mut farewell = Farewell::new([rst].into_iter().collect(), begin).unwrap();
        assert_eq!(farewell.due(begin + Duration::from_secs(5)), [rst]);
        assert!(farewell.due(begin + Duration::from_secs(5)).is_empty());
        assert_eq!(farewell.next(), None);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_put_them_off() {
        let rst = Rst { to: Direction::ToServer, seq: Seq(7), ack: None };
        let mut farewell =
            Farewell::new([rst].into_iter().collect(), Timestamp::from_secs(100)).unwrap();
        assert!(farewell.due(Timestamp::from_secs(10)).is_empty());
        assert_eq!(farewell.next(), Some(Timestamp::from_secs(10) + AGAIN[0]));
    }
}
