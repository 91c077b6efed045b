use bitflags::bitflags;
use tollgate_wire::Seq;

use crate::Segment;
use crate::half::SCALE_MAX;

/// How much older than the last a timestamp may be that the SYN carried when it was first sent, in
/// ticks: two minutes of a clock that ticks each millisecond. A guess; a RST answers the last copy.
const ECHO_AGE_MAX: u32 = 120_000;

bitflags! {
    /// Which options a SYN or SYN-ACK carries. What counts is what both say.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Says: u8 {
        const SCALE = 1;
        const TIMESTAMPS = 1 << 1;
        /// `ts_value` is known; of several servers it is not known whose.
        const CLOCK = 1 << 2;
        /// MD5 or AO.
        const SIGNED = 1 << 3;
        const FAST_OPEN = 1 << 4;
    }
}

/// One SYN of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) isn: Seq,
    pub(super) terms: Terms,
}

/// What a SYN or SYN-ACK proposes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    ts_value: u32,
    /// Never scaled on a SYN (RFC 7323 section 2.2).
    pub(super) window: u16,
    scale: u8,
    pub(super) says: Says,
}

impl Terms {
    pub(super) fn of(segment: &Segment) -> Self {
        let options = &segment.options;
        let mut says = Says::empty();
        says.set(Says::SCALE, options.window_scale.is_some());
        says.set(Says::TIMESTAMPS | Says::CLOCK, options.timestamps.is_some());
        says.set(Says::SIGNED, options.signed);
        says.set(Says::FAST_OPEN, options.fast_open);
        Self {
            ts_value: options.timestamps.map_or(0, |timestamps| timestamps.value),
            window: segment.window,
            scale: options.window_scale.unwrap_or(0).min(SCALE_MAX),
            says,
        }
    }

    /// Merges what the same SYN or SYN-ACK said when it was sent again. Options may vanish from later
    /// copies, when the sender suspects that they were the trouble; what the other side's lacks is
    /// not agreed anyway, so what any copy said counts. `alone` when it is the only one of its side.
    pub(super) fn repeat(&mut self, again: Self, alone: bool) {
        self.window = self.window.max(again.window);
        self.scale = self.scale.max(again.scale);
        if alone && again.says.contains(Says::CLOCK) {
            self.ts_value = again.ts_value;
            self.says |= Says::CLOCK;
        }
        self.says |= again.says - Says::CLOCK;
    }

    /// Merges another server's answer. Which one lives is the client's choice, so the bounds are
    /// the wider ones, and PAWS is only for what all of them agreed to.
    pub(super) fn alternative(&mut self, other: Self) {
        self.window = self.window.max(other.window);
        self.scale = self.scale.max(other.scale);
        let wide = (self.says | other.says) & (Says::SCALE | Says::SIGNED);
        self.says = wide | (self.says & other.says & Says::TIMESTAMPS);
    }

    /// How far its windows are shifted, if `agreed` says that they are.
    pub(super) fn shift(self, agreed: Says) -> u8 {
        if agreed.contains(Says::SCALE) { self.scale } else { 0 }
    }

    /// Whether `segment` can be an answer to this SYN by its timestamp echo, if it has one. Zero is
    /// none (RFC 7323 section 3.2), and nobody answers a SYN without timestamps with one.
    pub(super) fn may_echo(self, segment: &Segment) -> bool {
        let echo = segment.options.timestamps.map(|timestamps| timestamps.echo);
        match (echo, self.clock()) {
            (None, _) | (Some(0), Some(_)) => true,
            (Some(_), None) => false,
            (Some(echo), Some(sent)) => sent.wrapping_sub(echo) <= ECHO_AGE_MAX,
        }
    }

    /// Its TSval, if it is known.
    pub(super) fn clock(self) -> Option<u32> {
        self.says.contains(Says::CLOCK).then_some(self.ts_value)
    }
}
