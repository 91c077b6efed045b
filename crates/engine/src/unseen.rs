//! A connection that crosses uninspected: only its end is watched for, and the beginning of the next
//! one between the same endpoints, which shall not cross uninspected with it.
//!
//! Nothing is verified, since what would be needed for it is what is missing. So nobody's word ends
//! the connection for good: whoever sends data after his FIN or a RST has not ended.

use tollgate_tcp::{Segment, State};
use tollgate_wire::{Direction, Flags, PerDirection, Seq};

/// What is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unseen {
    fins: PerDirection<bool>,
    reset: bool,
    /// A SYN that crossed while the connection seemed to live, and which way.
    syn: Option<(Direction, Seq)>,
}

/// What to do with a packet of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crossing {
    /// Send it on.
    Forward,
    /// It opens the next connection.
    Reopen,
    /// It accepts a SYN that crossed: drop it. The connection has ended without us, and the SYN,
    /// sent again, opens the next.
    Answered,
}

impl Unseen {
    pub(crate) fn segment(&mut self, direction: Direction, segment: &Segment) -> Crossing {
        if segment.has(Flags::SYN) && !segment.has(Flags::ACK) {
            if matches!(self.state(), State::Reset | State::TimeWait) {
                return Crossing::Reopen;
            }
            self.syn = Some((direction, segment.seq));
        } else if segment.has(Flags::SYN) {
            // One that lives challenges a SYN and does not accept it (RFC 5961 section 4).
            if self.syn == Some((direction.reverse(), segment.ack - 1)) {
                self.reset = true;
                return Crossing::Answered;
            }
        } else if segment.has(Flags::RST) {
            self.reset = true;
        } else if segment.has(Flags::FIN) {
            self.fins[direction] = true;
        } else if segment.len > 0 {
            self.reset = false;
            self.fins[direction] = false;
        }
        Crossing::Forward
    }

    /// Where the connection stands, if those who spoke told the truth.
    pub(crate) const fn state(&self) -> State {
        match (self.reset, self.fins.to_server, self.fins.to_client) {
            (true, ..) => State::Reset,
            (_, true, true) => State::TimeWait,
            (_, false, false) => State::Established,
            _ => State::HalfClosed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_wire::Options;

    const UP: Direction = Direction::ToServer;
    const DOWN: Direction = Direction::ToClient;

    fn segment(seq: u32, ack: u32, flags: Flags, len: u32) -> Segment {
        let (seq, ack) = (Seq(seq), Seq(ack));
        Segment { seq, ack, flags, len, window: 0, options: Options::default() }
    }

    #[test]
    fn two_fins_or_a_rst_end_it_and_data_shows_that_they_did_not() {
        let mut unseen = Unseen::default();
        let fin = segment(9, 9, Flags::FIN | Flags::ACK, 0);
        let data = segment(9, 9, Flags::ACK, 5);
        for (direction, segment, state) in [
            (UP, &data, State::Established),
            (UP, &fin, State::HalfClosed),
            (DOWN, &data, State::HalfClosed),
            (DOWN, &fin, State::TimeWait),
            (DOWN, &data, State::HalfClosed),
            (UP, &segment(9, 9, Flags::RST, 0), State::Reset),
            (UP, &data, State::Established),
        ] {
            assert_eq!(unseen.segment(direction, segment), Crossing::Forward);
            assert_eq!(unseen.state(), state);
        }
    }

    #[test]
    fn a_syn_opens_the_next_only_after_the_end_or_if_it_is_accepted() {
        let mut unseen = Unseen::default();
        let syn = segment(70, 0, Flags::SYN, 0);
        assert_eq!(unseen.segment(UP, &syn), Crossing::Forward);
        // A stray SYN-ACK, and the sender's own, accept nothing.
        let accepts = segment(30, 71, Flags::SYN | Flags::ACK, 0);
        let stray = segment(30, 70, Flags::SYN | Flags::ACK, 0);
        assert_eq!(unseen.segment(DOWN, &stray), Crossing::Forward);
        assert_eq!(unseen.segment(UP, &accepts), Crossing::Forward);
        assert_eq!(unseen.segment(UP, &syn), Crossing::Forward);
        assert_eq!(unseen.segment(DOWN, &accepts), Crossing::Answered);
        assert_eq!(unseen.segment(UP, &syn), Crossing::Reopen);
    }
}
