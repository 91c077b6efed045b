//! The one clock of a live run.

use std::time::{Duration, Instant, SystemTime};

use tollgate_wire::Timestamp;

/// Monotonic, and close to the time of day: it starts at the wall's time and from then on only runs
/// forward, so that a corrected wall clock expires no connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Timestamp,
    start: Instant,
}

impl Clock {
    /// Starts it.
    #[must_use]
    pub(crate) fn new() -> Self {
        let since_1970 =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { epoch: Timestamp::default() + since_1970, start: Instant::now() }
    }

    /// Now.
    #[must_use]
    pub(crate) fn now(&self) -> Timestamp {
        self.epoch + self.start.elapsed()
    }
}
