//! The only clock, what ends a run, and the line that shows how far it is.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Time since the run began, and whether it shall go on.
#[derive(Debug)]
pub(crate) struct Clock {
    begin: Instant,
    stop: Arc<AtomicBool>,
    shown: Instant,
    quiet: bool,
    is_terminal: bool,
}

const SHOW_EVERY: Duration = Duration::from_secs(1);

impl Clock {
    /// SIGINT and SIGTERM end the run early, with a result.
    pub(crate) fn start(quiet: bool) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // The second one ends the program as if nobody listened.
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))?;
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let is_terminal = std::io::stderr().is_terminal();
        Ok(Self { begin: Instant::now(), stop, shown: Instant::now(), quiet, is_terminal })
    }

    /// Nanoseconds since the start.
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Once a second: a line on stderr. On a terminal it replaces the last one.
    pub(crate) fn show(&mut self, line: impl FnOnce() -> String) {
        if self.quiet || self.shown.elapsed() < SHOW_EVERY {
            return;
        }
        self.shown = Instant::now();
        let seconds = self.begin.elapsed().as_secs();
        let mut err = std::io::stderr().lock();
        // Who closed stderr wants no progress.
        let _ = if self.is_terminal {
            write!(err, "\r\x1b[K{seconds:>4} s  {}", line())
        } else {
            writeln!(err, "{seconds:>4} s  {}", line())
        };
    }

    /// Ends the line of a terminal.
    pub(crate) fn finish(&self) {
        if self.is_terminal && !self.quiet {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// How many are due after `elapsed_ns` at `rate` a second; 0: no bound.
pub(crate) fn due(rate: u64, elapsed_ns: u64) -> u64 {
    if rate == 0 {
        return u64::MAX;
    }
    u64::try_from(u128::from(rate) * u128::from(elapsed_ns) / 1_000_000_000).unwrap_or(u64::MAX)
}
