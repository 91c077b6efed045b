//! The short way of a segment that is what nearly all are: the next bytes of its stream, or a bare
//! acknowledgment, in an open connection about which there is nothing special.
//!
//! It does nothing that [`Tracker::segment`], and telling it of what was committed and has left, would
//! not do; it only knows beforehand what their questions come to. The long way is its oracle
//! (`tests/scripts/quick.rs`).

use tollgate_wire::{Direction, Seq, Timestamp, Timestamps};

use super::Tracker;

/// What the short way asks of a segment with ACK, perhaps PSH and bits of ECN, and no other control bit,
/// whose options are none or timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Sequence number of its first byte.
    pub seq: Seq,
    /// Acknowledgment number.
    pub ack: Seq,
    /// Window as sent, unscaled.
    pub window: u16,
    /// Bytes of payload.
    pub len: u32,
    /// Timestamps, where the connection [has them](Tracker::has_timestamps).
    pub timestamps: Option<Timestamps>,
}

impl Tracker {
    /// Whether its next segments may go the short way: it is open, and nothing is odd about it. Only
    /// [`Tracker::segment`] and what it is told otherwise change that, the short way does not.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let fins = self.halves.to_server.fin || self.halves.to_client.fin;
        !(fins || self.reset || self.midstream || self.signed || self.doubt.is_some())
    }

    /// Takes a segment whose first byte is the next of its stream, if it is valid as a whole and the tracker
    /// [is plain](Tracker::is_plain): its payload is committed then, and what is left to tell is
    /// [`Tracker::forwarded`]. False, and nothing has changed, where [`Tracker::segment`] is to look.
    #[inline]
    pub fn take_plain(&mut self, direction: Direction, segment: &Plain, now: Timestamp) -> bool {
        debug_assert!(self.is_plain());
        debug_assert!(self.timestamps || segment.timestamps.is_none(), "they mean nothing");
        let (half, peer) = match direction {
            Direction::ToServer => (&mut self.halves.to_server, &mut self.halves.to_client),
            Direction::ToClient => (&mut self.halves.to_client, &mut self.halves.to_server),
        };
        let end = segment.seq + segment.len;
        let valid = segment.seq == half.next
            && end.at_or_before(peer.edge_max)
            && segment.ack.at_or_after(half.ack_max)
            && segment.ack.at_or_before(peer.forwarded);
        if !valid {
            return false;
        }
        if let Some(clock) = segment.timestamps {
            if half.is_paws_old(clock.value, now) {
                return false;
            }
            half.note_timestamp(clock.value);
            // Nothing before it is on its way to be acknowledged (RFC 7323 section 4.3).
            if segment.seq.at_or_before(peer.ack_max) {
                half.take_timestamp(clock.value, now);
            }
        }
        half.acknowledge(segment.ack, segment.window);
        half.commit(end, false);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    use tollgate_wire::{Flags, Options, PerDirection};

    use super::*;
    use crate::half::Half;
    use crate::{Segment, Step};

    /// An open connection, somewhere in its life.
    fn tracker(rng: &mut SmallRng) -> Tracker {
        let mut half = || {
            let start = Seq(rng.random());
            let mut half = Half::new(start, start, 0, rng.random_range(0..8));
            half.begin_timestamps(rng.random_bool(0.8).then_some(1000));
            let old = rng.random_bool(0.5);
            half.commit(start + if old { 1 << 30 } else { rng.random_range(0..5000) }, false);
            half.forward(
                half.next
                    - rng.random_range(0..=half.next.distance(start).min(300)).cast_unsigned(),
            );
            half
        };
        let (mut up, mut down) = (half(), half());
        let peers = [down, up];
        for (half, peer) in [&mut up, &mut down].into_iter().zip(peers) {
            let in_flight = peer.forwarded.distance(peer.start).min(3000);
            half.ack_max = peer.forwarded - rng.random_range(0..=in_flight).cast_unsigned();
            half.window_max = rng.random_range(0..100_000);
            half.edge_max = half.ack_max + rng.random_range(0..5000);
        }
        let halves = PerDirection { to_server: up, to_client: down };
        Tracker::established(halves, rng.random_bool(0.7), false)
    }

    fn segment(rng: &mut SmallRng, tracker: &Tracker, direction: Direction) -> Plain {
        let (half, peer) = (&tracker.halves[direction], &tracker.halves[direction.reverse()]);
        let near = |rng: &mut SmallRng, at: Seq| match rng.random_range(0..10) {
            0 => at + rng.random_range(0..3000),
            1 => at - rng.random_range(0..3000),
            2 => Seq(rng.random()),
            _ => at,
        };
        let ack = if rng.random() { peer.forwarded } else { half.ack_max };
        Plain {
            seq: near(rng, half.next),
            ack: near(rng, ack),
            window: rng.random_range(0..2000),
            len: if rng.random_bool(0.3) { 0 } else { rng.random_range(0..1500) },
            timestamps: rng
                .random_bool(0.8)
                .then(|| Timestamps { value: rng.random_range(990..1020), echo: 0 }),
        }
    }

    fn long(plain: &Plain, rng: &mut SmallRng) -> Segment {
        let Plain { seq, ack, window, len, timestamps } = *plain;
        let options = Options { timestamps, ..Options::default() };
        let flags = if rng.random() { Flags::ACK } else { Flags::ACK | Flags::PSH };
        Segment { seq, ack, flags, window, len, options }
    }

    #[test]
    fn the_short_way_comes_to_what_the_long_way_comes_to() {
        let mut rng = SmallRng::seed_from_u64(5);
        let mut short = 0;
        for _ in 0..20_000 {
            let mut tracker = tracker(&mut rng);
            let mut now = Timestamp::from_secs(rng.random_range(1..3_000_000));
            for _ in 0..10 {
                now = now + Duration::from_secs(rng.random_range(0..2));
                let direction = Direction::BOTH[rng.random_range(0..2)];
                let plain = segment(&mut rng, &tracker, direction);
                let mut quick = tracker;
                // Those that nobody has agreed on are not looked at, and the long way does not either.
                let agreed = plain.timestamps.filter(|_| tracker.has_timestamps());
                let asked = Plain { timestamps: agreed, ..plain };
                let taken = quick.take_plain(direction, &asked, now);
                assert!(taken || quick == tracker, "nothing is remembered of what it refuses");
                let step = tracker.segment(direction, &long(&plain, &mut rng), now);
                if taken {
                    short += 1;
                    let all = match plain.len {
                        0 => Step::Pass,
                        len => Step::Data { take: 0..len, fin: false },
                    };
                    assert_eq!(step, Ok(all), "{plain:?} of {tracker:?}");
                    tracker.committed(direction, plain.seq + plain.len, false);
                    assert_eq!(quick, tracker, "{plain:?}");
                    if rng.random_bool(0.9) {
                        tracker.forwarded(direction, plain.seq + plain.len);
                    }
                }
                assert!(tracker.is_plain(), "such segments make nothing odd");
            }
        }
        assert!(short > 50_000, "{short} of 200000");
    }
}
