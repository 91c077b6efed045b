//! SYN, SYN-ACK and RST in a connection that is known: passed where their receiver needs them,
//! believed only where every stack believes them.

use tollgate_wire::{Direction, Flags, Seq, Timestamp};

use super::{Step, Tracker};
use crate::{Invalid, Segment, State};

/// How long a connection is in doubt, in [`moment`]s, before a SYN may replace it: half a second,
/// less than the first repetition of a SYN takes, more than most challenges do.
const DOUBT_MIN: u32 = 4;

impl Tracker {
    /// A SYN in a connection we know. Stacks answer it with a challenge ACK and change nothing
    /// (RFC 5961 section 4); if they have forgotten the connection, they open a new one.
    pub(super) fn syn(&mut self, direction: Direction, segment: &Segment, now: Timestamp) -> Step {
        let half = &self.halves[direction];
        let opens = match self.state() {
            State::Reset => true,
            // Who closed first remembers the connection, and takes a SYN with a later number or a later
            // timestamp (RFC 9293 section 3.6.1, RFC 6191). Who closed last has forgotten it and takes any:
            // behind an address translator the port may have been given to somebody else. But a late copy of the
            // connection's own SYN is nobody's wish.
            State::TimeWait => {
                let later = segment.options.timestamps.filter(|_| half.ts_known);
                let is_own = half.young && segment.seq + 1 == half.start;
                (self.closed_first == Some(direction) && !is_own)
                    || segment.seq.at_or_after(half.next)
                    || later
                        .is_some_and(|ts| ts.value.wrapping_sub(half.ts_recent).cast_signed() > 0)
                    || self.is_doubtful(direction.reverse(), now)
            }
            _ => self.is_doubtful(direction.reverse(), now),
        };
        if opens {
            return Step::Reopen;
        }
        self.late_syn = segment.seq;
        self.late_syn_direction = direction;
        self.late_syn_seen = true;
        Step::Strip
    }

    /// Whether `segment` answers the SYN that passed and was not believed: then the peer holds no
    /// such connection any more. Its acknowledgment is of the SYN, and of nothing in this connection. One that
    /// accepts or refuses nothing, or is of this connection by its own number, just happens to name the same.
    #[must_use]
    pub fn answers_late_syn(&self, direction: Direction, segment: &Segment) -> bool {
        let refuses = segment.has(Flags::RST) && segment.seq != self.halves[direction].forwarded;
        (refuses || segment.has(Flags::SYN))
            && self.late_syn_seen
            && self.late_syn_direction == direction.reverse()
            && segment.ack == self.late_syn + 1
    }

    pub(super) fn syn_ack(
        &mut self,
        direction: Direction,
        segment: &Segment,
        now: Timestamp,
    ) -> Result<Step, Invalid> {
        let (half, peer) = (&self.halves[direction], &self.halves[direction.reverse()]);
        let acks = segment.ack.at_or_after(peer.start) && segment.ack.at_or_before(peer.forwarded);
        let again = segment.seq + 1 == half.start && peer.young && acks;
        if again && !self.midstream {
            // The client's ACK was lost: it must hear of it, but still not of the payload.
            return Ok(if segment.len == 0 { Step::Pass } else { Step::Strip });
        }
        if self.answers_late_syn(direction, segment) && self.doubt.is_none() {
            // Its sender has opened anew for a SYN that we took for a stray, or someone has forged
            // both. A sender that lives has challenged the SYN, which ends the doubt; if none of it
            // comes, the SYN that the client sends again opens.
            self.doubt = Some(direction);
            self.doubt_since = moment(now);
        }
        Err(Invalid::UnexpectedSynAck)
    }

    /// Whether the end that sends in `direction` has been in doubt for long enough that, were it
    /// alive, it would have shown it.
    fn is_doubtful(&self, direction: Direction, now: Timestamp) -> bool {
        let since = moment(now).wrapping_sub(self.doubt_since);
        self.doubt == Some(direction) && since >= DOUBT_MIN
    }

    pub(super) fn rst(
        &mut self,
        direction: Direction,
        segment: &Segment,
        now: Timestamp,
    ) -> Result<Step, Invalid> {
        let half = &self.halves[direction];
        let peer = &self.halves[direction.reverse()];
        if self.answers_late_syn(direction, segment) && segment.has(Flags::ACK) {
            // A refusal of a SYN that we took for a stray. Whoever sent that SYN needs it, and
            // nobody else takes it; anyone can forge the two, so nothing is believed.
            return Ok(Step::Strip);
        }
        // Some stacks send RST and ACK with 0 there, and nobody reads it.
        let ack_moot = !segment.has(Flags::ACK) || segment.ack == Seq(0);
        let beyond = segment.ack.after(peer.forwarded);
        if !ack_moot && beyond && !self.is_read_before_us(direction, segment) {
            return Err(Invalid::RstAck);
        }
        let fin_left = half.fin && half.forwarded == half.next;
        let at_fin = fin_left && segment.seq + 1 == half.forwarded;
        if segment.seq == half.forwarded || at_fin {
            self.reset = true;
            return Ok(Step::Reset);
        }
        if segment.seq == peer.ack_max {
            // The receiver takes it if what we forwarded beyond has not reached it.
            self.doubt = Some(direction.reverse());
            self.doubt_since = moment(now).wrapping_sub(DOUBT_MIN);
            return Ok(Step::Strip);
        }
        Err(Invalid::RstOffEdge)
    }
}

/// `now` in ticks of 2²⁷ ns, an eighth of a second.
#[expect(
    clippy::cast_possible_truncation,
    reason = "ticks wrap after 18 years and are only subtracted"
)]
const fn moment(now: Timestamp) -> u32 {
    (now.nanos() >> 27) as u32
}
