use tollgate_wire::Seq;

use super::terms::{Offer, Terms};
use super::{ANSWERS_MAX, Aside, Handshake};

/// A [`Handshake`] as nearly all are, in less than half of the bytes: one SYN, and one SYN-ACK at most.
///
/// For whoever keeps many of them. Nothing can be asked of it but the handshake that it stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brief {
    offer: Offer,
    answer_seq: Seq,
    answer: Terms,
    answered: bool,
}

impl Handshake {
    /// The same in brief; none if there is more to it.
    #[must_use]
    pub fn brief(&self) -> Option<Brief> {
        let &Self {
            offer,
            previous: None,
            // Those beyond the first have been left behind where there is no more than one answer.
            answer_seqs: [answer_seq, ..],
            answers_previous: 0,
            answers: answers @ (0 | 1),
            answer,
            aside: Aside::Nothing,
            early: 0,
        } = self
        else {
            return None;
        };
        Some(Brief { offer, answer_seq, answer, answered: answers == 1 })
    }
}

impl From<Brief> for Handshake {
    fn from(brief: Brief) -> Self {
        let mut answer_seqs = [Seq(0); ANSWERS_MAX];
        answer_seqs[0] = brief.answer_seq;
        Self {
            offer: brief.offer,
            previous: None,
            answer_seqs,
            answers_previous: 0,
            answers: u8::from(brief.answered),
            answer: brief.answer,
            aside: Aside::Nothing,
            early: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_wire::{Direction, Flags, Options, Timestamps};

    use super::*;
    use crate::{Progress, Segment};

    fn segment(seq: u32, ack: u32, flags: Flags) -> Segment {
        let timestamps = Some(Timestamps { value: seq / 2, echo: 0 });
        let options = Options { timestamps, window_scale: Some(7), ..Options::default() };
        Segment { seq: Seq(seq), ack: Seq(ack), flags, len: 0, window: 5000, options }
    }

    #[test]
    fn a_plain_handshake_is_the_same_in_brief_at_every_step() {
        assert_eq!(size_of::<Brief>(), 28);
        let mut handshake = Handshake::open(&segment(100, 0, Flags::SYN)).unwrap();
        assert_eq!(Handshake::from(handshake.brief().unwrap()), handshake);
        let answer = segment(900, 101, Flags::SYN | Flags::ACK);
        assert_eq!(handshake.segment(Direction::ToClient, &answer), Ok(Progress::Waiting));
        assert_eq!(Handshake::from(handshake.brief().unwrap()), handshake);
        let last = segment(101, 901, Flags::ACK);
        assert_eq!(handshake.segment(Direction::ToServer, &last), Ok(Progress::Established));
        assert_eq!(Handshake::from(handshake.brief().unwrap()), handshake);
    }

    #[test]
    fn an_odd_handshake_is_not_told_in_brief() {
        let open = || Handshake::open(&segment(100, 0, Flags::SYN)).unwrap();
        let answer = |isn| segment(isn, 101, Flags::SYN | Flags::ACK);
        let odd: [&[(Direction, Segment)]; 4] = [
            &[(Direction::ToServer, segment(5000, 0, Flags::SYN))],
            &[(Direction::ToClient, answer(900)), (Direction::ToClient, answer(950))],
            &[(Direction::ToClient, segment(900, 77, Flags::ACK))],
            &[(Direction::ToClient, segment(900, 0, Flags::SYN))],
        ];
        for steps in odd {
            let mut handshake = open();
            for (direction, segment) in steps {
                assert_eq!(handshake.segment(*direction, segment), Ok(Progress::Waiting));
            }
            assert_eq!(handshake.brief(), None, "{steps:?}");
        }
        let mut early = open();
        early.forwarded_early(5);
        assert_eq!(early.brief(), None);
    }
}
