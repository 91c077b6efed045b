use std::time::Duration;

/// Where a connection stands, as far as the middle can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// A SYN was seen, no answer yet.
    SynSent,
    /// A SYN-ACK was seen, the client's ACK not yet.
    SynReceived,
    /// Both sides may send.
    Established,
    /// One side has sent its FIN.
    HalfClosed,
    /// Both have, and at least one FIN is not acknowledged.
    Closing,
    /// Both FINs are acknowledged.
    TimeWait,
    /// A RST ended it.
    Reset,
}

impl State {
    /// Every state, in order of `repr`.
    pub const ALL: [Self; 7] = [
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::HalfClosed,
        Self::Closing,
        Self::TimeWait,
        Self::Reset,
    ];

    /// Its name in logs, Lua and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynSent => "syn_sent",
            Self::SynReceived => "syn_received",
            Self::Established => "established",
            Self::HalfClosed => "half_closed",
            Self::Closing => "closing",
            Self::TimeWait => "time_wait",
            Self::Reset => "reset",
        }
    }
}

/// How long a connection may be silent in each state before it is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// In [`State::SynSent`].
    pub syn_sent: Duration,
    /// In [`State::SynReceived`].
    pub syn_received: Duration,
    /// In [`State::Established`].
    pub established: Duration,
    /// In [`State::HalfClosed`].
    pub half_closed: Duration,
    /// In [`State::Closing`].
    pub closing: Duration,
    /// In [`State::TimeWait`].
    pub time_wait: Duration,
    /// In [`State::Reset`]: long enough for a challenge ACK and its answer to cross, and for who missed the RST.
    pub reset: Duration,
    /// After a reset or drop of our own, while stragglers are answered or absorbed.
    pub zombie: Duration,
}

impl Timeouts {
    /// The one for `state`.
    #[must_use]
    pub const fn of(&self, state: State) -> Duration {
        match state {
            State::SynSent => self.syn_sent,
            State::SynReceived => self.syn_received,
            State::Established => self.established,
            State::HalfClosed => self.half_closed,
            State::Closing => self.closing,
            State::TimeWait => self.time_wait,
            State::Reset => self.reset,
        }
    }

    /// The same under memory pressure: half-open, idle and closed connections go first. What was refused
    /// stays remembered, or an attacker who fills the table would have it forgotten.
    #[must_use]
    pub fn under_pressure(self) -> Self {
        let at_most = |timeout: Duration, seconds| timeout.min(Duration::from_secs(seconds));
        Self {
            syn_sent: at_most(self.syn_sent, 5),
            syn_received: at_most(self.syn_received, 5),
            established: at_most(self.established, 600),
            half_closed: at_most(self.half_closed, 300),
            closing: at_most(self.closing, 60),
            time_wait: at_most(self.time_wait, 10),
            reset: at_most(self.reset, 10),
            ..self
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            // Longer than the longest pause between two repeats: 32 s, of Linux with its own settings. A
            // client that waits to be spoken to sends nothing else once it has sent its ACK.
            syn_sent: Duration::from_secs(60),
            syn_received: Duration::from_secs(60),
            // Longer than the two hours before the first keep-alive (RFC 9293 section 3.8.4; RFC 5382 section 5
            // gives four minutes more). One end's FIN takes nothing from the other, who may compute for long.
            established: Duration::from_secs(7440),
            half_closed: Duration::from_secs(7440),
            // Two of the longest pauses between repeats, 120 s, and some: one repeat may be lost before us,
            // and it may carry the last data.
            closing: Duration::from_secs(300),
            time_wait: Duration::from_secs(60),
            // Who missed the RST is told when he repeats himself, after 120 s at most.
            reset: Duration::from_secs(130),
            // As for `closing`: forgotten earlier, a repeat of what was refused would be of no connection, and
            // those may be let pass.
            zombie: Duration::from_secs(300),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_listed_at_its_own_number() {
        for (number, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, number, "{}", state.name());
        }
    }

    #[test]
    fn pressure_only_shortens() {
        let (calm, pressed) = (Timeouts::default(), Timeouts::default().under_pressure());
        for state in State::ALL {
            assert!(pressed.of(state) <= calm.of(state), "{}", state.name());
        }
        assert_eq!(pressed.of(State::SynSent), Duration::from_secs(5));
        assert_eq!(pressed.of(State::SynReceived), Duration::from_secs(5));
        assert_eq!(pressed.of(State::Established), Duration::from_secs(600));
        assert_eq!(pressed.of(State::TimeWait), Duration::from_secs(10));
        assert_eq!(pressed.zombie, calm.zombie);
    }
}
