//! Connections whose handshake is not complete, in a table of their own: a flood of SYNs fills this
//! one, takes turns at random with the honest, and never touches an established connection.
//!
//! A half-open connection that a rule refused stays here too, for its stragglers, so that a flood of
//! *refused* SYNs is bounded in the same way.

mod short;
mod table;

use std::time::Duration;

use tollgate_tcp::{Handshake, Segment, Timeouts};
use tollgate_wire::{Direction, Flags, PerDirection, Seq, Timestamp};

use crate::below::Below;
use crate::identity::{Identity, Standing};
use crate::retained::Kept;
use crate::unanswered::Unanswered;
use crate::unseen::Unseen;

pub(crate) use table::HalfOpens;

/// A half-open connection.
#[derive(Debug)]
pub(crate) struct HalfOpen {
    pub(crate) about: Identity,
    pub(crate) handshake: Handshake,
    /// A RST of an endpoint has passed.
    pub(crate) reset: bool,
    /// Whether the server has been sent a SYN, so that there is something to reset.
    pub(crate) forwarded: bool,
    /// The number of the SYN whose payload left with it.
    pub(crate) early: Option<Seq>,
    /// That payload.
    pub(crate) kept: Kept,
    /// Since it crosses uninspected, there being no room for it among the established.
    pub(crate) unseen: Option<Unseen>,
    /// Since it was refused and goes on all the same: it is dropped without being received.
    pub(crate) below: Option<Box<Below>>,
    pub(crate) unanswered: Unanswered,
    /// The longest segment that the receiver of each direction takes, as its SYN said; 0 if it said
    /// nothing.
    pub(crate) mss: PerDirection<u16>,
    /// Whether each end has said that it takes SACK blocks.
    sack_permitted: PerDirection<bool>,
}

impl HalfOpen {
    pub(crate) fn new(about: Identity, handshake: Handshake) -> Self {
        Self {
            about,
            handshake,
            reset: false,
            forwarded: false,
            early: None,
            kept: None,
            unseen: None,
            below: None,
            unanswered: Unanswered::default(),
            mss: PerDirection::default(),
            sack_permitted: PerDirection::default(),
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        match (&self.about.zombie, self.unseen) {
            (Some(_), _) => Standing::Zombie,
            (None, Some(unseen)) => Standing::Bypassed(unseen.state()),
            (None, None) if self.reset => Standing::Live(tollgate_tcp::State::Reset),
            (None, None) => Standing::Live(self.handshake.state()),
        }
    }

    /// Notes what a SYN or SYN-ACK says of the segments that its sender takes. Of several the least
    /// counts: it is right for all of them. So does what the last says of SACK blocks: who does not know
    /// them passes them over.
    pub(crate) fn note_terms(&mut self, direction: Direction, segment: &Segment) {
        if segment.has(Flags::SYN) {
            self.sack_permitted[direction] = segment.options.sack_permitted;
        }
        if let (true, Some(mss)) = (segment.has(Flags::SYN), segment.options.mss) {
            let known = &mut self.mss[direction.reverse()];
            *known = if *known == 0 { mss } else { mss.min(*known) };
        }
    }

    /// Whether both ends take SACK blocks.
    pub(crate) fn sacks(&self) -> bool {
        Direction::BOTH.iter().all(|&direction| self.sack_permitted[direction])
    }

    /// When it is to be forgotten if nothing more comes.
    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> Timestamp {
        self.about.last_seen + self.timeout(timeouts)
    }

    /// How long it may be silent. A refused one need not be remembered for longer than a handshake: a SYN that
    /// is repeated is asked about again. So who knocks at closed doors does not fill the table.
    pub(crate) fn timeout(&self, timeouts: &Timeouts) -> Duration {
        let timeout = self.standing().timeout(timeouts);
        if self.about.zombie.is_some() { timeout.min(REFUSED_MAX) } else { timeout }
    }
}

/// Longer than the pauses between two SYN-ACKs (32 s of Linux), which would be of no connection then.
const REFUSED_MAX: Duration = Duration::from_secs(60);

/// Chooses whom to give up. Not for secrets: whoever could predict it gains a half-open entry more.
///
/// Who is drawn at random is in no cache, and a flood draws somebody for each of its SYNs. So lots are drawn two ahead:
/// the record is loaded when it is drawn, what it is indexed in one draw later.
#[derive(Debug)]
pub(crate) struct Lots {
    state: u64,
    drawn: [Option<u32>; 2],
}

impl Lots {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed, drawn: [None; 2] }
    }

    /// The number of a record to give up, in a table that is full.
    pub(crate) fn draw(&mut self, table: &HalfOpens) -> Option<u32> {
        let [now, next] = self.drawn;
        let later = self.choose(table);
        self.drawn = [next, later];
        next.inspect(|&number| table.touch_index(number));
        later.inspect(|&number| table.touch(number));
        // It may be gone by now.
        now.filter(|&number| table.has(number)).or_else(|| self.choose(table))
    }

    fn choose(&mut self, table: &HalfOpens) -> Option<u32> {
        // In a full table every number has a record; after an index that was crowded one may be
        // missing, hence the search onwards.
        let end = table.numbers().end;
        if end == 0 {
            return None;
        }
        let start = u32::try_from(self.next() % u64::from(end)).unwrap_or(0);
        (start..end).chain(0..start).find(|&number| table.has(number))
    }

    /// SplitMix64.
    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
