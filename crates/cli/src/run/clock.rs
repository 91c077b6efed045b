//! The one clock of a live run, and the one that its scripts are held against.

use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};
use tollgate_script::Watch;
use tollgate_wire::Timestamp;

/// What one event of a script may take of its thread's time. Two million instructions take 20 ms; ten times that is
/// no rule that does its work, but one that joins or compares megabytes, which no instruction tells.
pub(crate) const WATCH: Watch = Watch { now: of_thread, max: Duration::from_millis(200) };

/// The thread's own time: it stands still while others run.
fn of_thread() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

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
