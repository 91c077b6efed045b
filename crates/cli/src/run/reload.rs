//! Loading the rules again, when a signal or the control socket asks for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use signal_hook::consts::SIGHUP;
use tollgate_policy::{Living, Report};

use super::control::{Answer, Control, Question};
use super::exchange::Exchange;
use crate::events::Printer;
use crate::metrics::Reloads;
use crate::rules::Rules;

/// What reloads need.
#[derive(Debug)]
pub(crate) struct Reloader<'a, R> {
    rules: Arc<R>,
    exchange: &'a Exchange<R>,
    printer: &'a Printer,
    control: Option<Control>,
    hung_up: Arc<AtomicBool>,
    living: Living,
    counts: Reloads,
}

impl<'a, R: Rules> Reloader<'a, R> {
    /// Listens for SIGHUP, and on the control socket if there is one. `living` says how connections
    /// fare where who asks does not.
    ///
    /// # Errors
    /// The signal cannot be caught.
    pub(crate) fn new(
        rules: Arc<R>,
        exchange: &'a Exchange<R>,
        printer: &'a Printer,
        control: Option<Control>,
        living: Living,
    ) -> anyhow::Result<Self> {
        let hung_up = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGHUP, Arc::clone(&hung_up))
            .context("signals cannot be caught")?;
        let counts = Reloads::default();
        Ok(Self { rules, exchange, printer, control, hung_up, living, counts })
    }

    /// How often it was done, and refused.
    pub(crate) const fn counts(&self) -> &Reloads {
        &self.counts
    }

    /// Does what was asked for since the last time. `go_on` tells whether waiting for the workers still
    /// makes sense.
    pub(crate) fn look(&mut self, go_on: &impl Fn() -> bool) {
        if self.hung_up.swap(false, Ordering::Relaxed) {
            // Nobody waits for the answer; it is in the log.
            let _ = self.reload(self.living, go_on);
        }
        let Some(control) = self.control.take() else { return };
        control.serve(|Question::Reload(living)| self.reload(living.unwrap_or(self.living), go_on));
        self.control = Some(control);
    }

    fn reload(&mut self, living: Living, go_on: &impl Fn() -> bool) -> Answer {
        let began = Instant::now();
        match self.exchange(living, go_on) {
            Ok(()) => {
                self.counts.done += 1;
                let fare = match living {
                    Living::Keep => "connections that live keep the rules they began with",
                    Living::Move => "connections that live have them too",
                };
                let text = format!(
                    "rules {}: {}; {fare} (took {} ms)",
                    self.counts.done + 1,
                    self.rules,
                    began.elapsed().as_millis()
                );
                tracing::info!("{text}");
                Ok(text)
            }
            Err(why) => {
                self.counts.refused += 1;
                tracing::error!("the rules were not loaded again, the old ones go on:\n{why}");
                Err(why)
            }
        }
    }

    fn exchange(&mut self, living: Living, go_on: &impl Fn() -> bool) -> Result<(), String> {
        let rules = Arc::new(self.rules.again().map_err(|faults| faults.to_string())?);
        self.exchange.exchange(&rules, living, go_on)?;
        let messages = rules.messages().iter().cloned().map(Report::Log).collect();
        self.printer.hose(None, 0).send(messages);
        self.rules = rules;
        Ok(())
    }
}
