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
    /// In [`State::Reset`]: long enough for a challenge ACK and its answer to cross.
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

    /// The same under memory pressure: half-open and idle connections go first.
    #[must_use]
    pub fn under_pressure(self) -> Self {
        Self {
            syn_sent: self.syn_sent.min(Duration::from_secs(5)),
            syn_received: self.syn_received.min(Duration::from_secs(5)),
            established: self.established.min(Duration::from_secs(600)),
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
            established: Duration::from_secs(3600),
            half_closed: Duration::from_secs(300),
            closing: Duration::from_secs(30),
            time_wait: Duration::from_secs(60),
            reset: Duration::from_secs(10),
            zombie: Duration::from_secs(60),
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
    }
}
