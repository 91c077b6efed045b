//! What is left of a connection that a rule refused: it absorbs what still comes, and tells the ends
//! that were reset again that they were, for a RST may be lost, or not be believed the first time.

use std::time::Duration;

use tollgate_policy::Verdict;
use tollgate_wire::{Direction, Timestamp};

/// Who is answered, and how often he was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Zombie {
    /// Whose stragglers are answered.
    answers: Answers,
    /// No rule has decided so, but one has failed: stragglers are told of, as of no connection.
    pub(crate) is_lost: bool,
    answered: u8,
    /// In the second, or about that, `second`.
    stragglers: u8,
    second: u32,
    last_answer: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Nobody,
    Server,
    Both,
}

impl Zombie {
    /// What a verdict leaves behind.
    pub(crate) const fn of(verdict: Verdict, now: Timestamp) -> Self {
        Self {
            answers: match verdict {
                Verdict::Reset => Answers::Both,
                Verdict::HalfReset => Answers::Server,
                Verdict::Accept
                | Verdict::Shunt
                | Verdict::Bypass
                | Verdict::DropPacket
                | Verdict::Drop => Answers::Nobody,
            },
            is_lost: false,
            answered: 0,
            stragglers: 0,
            second: 0,
            last_answer: now,
        }
    }

    /// Counts a straggler, and says whether so many come that looking at each is a waste.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "seconds of 136 years, compared for equality"
    )]
    pub(crate) const fn straggles(&mut self, now: Timestamp) -> bool {
        let second = (now.nanos() >> 30) as u32;
        if second != self.second {
            (self.second, self.stragglers) = (second, 0);
        }
        self.stragglers = self.stragglers.saturating_add(1);
        self.stragglers >= STRAGGLERS_MAX
    }

    /// Whether a RST may travel in `direction` now; if so, it is counted as sent. Some at once, for
    /// a window of data in flight, then few.
    pub(crate) fn may_answer(&mut self, direction: Direction, now: Timestamp) -> bool {
        let asked = match direction {
            Direction::ToClient => self.answers == Answers::Both,
            Direction::ToServer => self.answers != Answers::Nobody,
        };
        if !asked {
            return false;
        }
        if self.answered < ANSWERS_AT_ONCE {
            self.answered += 1;
        } else if now.since(self.last_answer) < ANSWER_INTERVAL {
            return false;
        }
        self.last_answer = now;
        true
    }
}

const ANSWERS_AT_ONCE: u8 = 4;
/// In a second. A guess: more than the retransmissions of an honest end.
const STRAGGLERS_MAX: u8 = 16;
const ANSWER_INTERVAL: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stragglers_are_answered_four_times_and_then_five_times_a_second() {
        let mut zombie = Zombie::of(Verdict::Reset, Timestamp(0));
        let answered = (0..1000)
            .filter(|ms| {
                let now = Timestamp(0) + Duration::from_millis(*ms);
                zombie.may_answer(Direction::ToServer, now)
            })
            .count();
        assert_eq!(answered, 4 + 4);
    }

    #[test]
    fn only_who_was_reset_is_answered() {
        for (verdict, client, server) in [
            (Verdict::Drop, false, false),
            (Verdict::HalfReset, false, true),
            (Verdict::Reset, true, true),
        ] {
            let mut zombie = Zombie::of(verdict, Timestamp(0));
            assert_eq!(zombie.may_answer(Direction::ToClient, Timestamp(0)), client);
            assert_eq!(zombie.may_answer(Direction::ToServer, Timestamp(0)), server);
        }
    }
}
