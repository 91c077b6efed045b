//! What becomes of a connection that cannot be treated as it should be, by what is in the way.

use std::time::Duration;

/// What is in the way of treating a connection as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Trouble {
    /// There is no room for it: its handshake is complete (or it is picked up in its middle) and
    /// the flow table is full, or it repeats bytes whose first copy there was no room to remember.
    Memory,
    /// One end speaks and the other is not heard, as where routing brings only one direction here:
    /// nothing can be held against acknowledgments and windows then.
    Asymmetric,
    /// A gap is older than [`Remedies::gap`], and its stream has not moved on since.
    GapTimeout,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Remedy {
    /// Refuse what is at hand, and nothing more: its sender tries again, and things may be better
    /// then.
    #[default]
    DropPacket,
    /// Drop the connection silently: this and all its later packets.
    DropFlow,
    /// RSTs to both ends, then as `DropFlow`.
    Reset,
    /// Let what is at hand go on, unseen; follow the connection as soon as that can be done.
    Pass,
    /// Let the connection cross uninspected, to its end.
    Bypass,
}

/// A [`Remedy`] for each [`Trouble`], and when it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remedies {
    /// For [`Trouble::Memory`].
    pub memory: Remedy,
    /// For [`Trouble::Asymmetric`]. `Pass` is the same as `Bypass` here.
    pub asymmetric: Remedy,
    /// For [`Trouble::GapTimeout`]. `DropPacket` gives up the frames that wait behind the gap, and so
    /// does `Pass`, since a gap is never skipped.
    pub gap_timeout: Remedy,
    /// How old a gap may become while its stream does not move on. When the worker's frames for what
    /// waits are nearly used up, 3 seconds at most.
    pub gap: Duration,
    /// Packets of one end that are refused because the other is not heard, at least 1…
    pub unanswered_packets_max: u8,
    /// …and how long after the first of them the connection is [`Trouble::Asymmetric`].
    pub unanswered: Duration,
}

impl Trouble {
    /// Each, in order of its discriminant.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Asymmetric, Self::GapTimeout];

    /// As metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Asymmetric => "asymmetric",
            Self::GapTimeout => "gap_timeout",
        }
    }
}

impl Remedies {
    /// The one for `trouble`.
    #[must_use]
    pub const fn of(&self, trouble: Trouble) -> Remedy {
        match trouble {
            Trouble::Memory => self.memory,
            Trouble::Asymmetric => self.asymmetric,
            Trouble::GapTimeout => match self.gap_timeout {
                Remedy::Pass => Remedy::DropPacket,
                remedy => remedy,
            },
        }
    }
}

impl Default for Remedies {
    fn default() -> Self {
        Self {
            memory: Remedy::DropPacket,
            asymmetric: Remedy::DropPacket,
            gap_timeout: Remedy::DropPacket,
            // RFC 6298: a sender repeats after 1, 2, 4, 8 and 16 s, so five times.
            gap: Duration::from_secs(60),
            // The ACK of the handshake, the first data and its repetition: a guess.
            unanswered_packets_max: 3,
            // RFC 6298 section 2: a sender waits a second at first before it repeats.
            unanswered: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_is_listed_at_its_own_number() {
        assert!(Trouble::ALL.into_iter().enumerate().all(|(at, each)| each as usize == at));
    }
}
