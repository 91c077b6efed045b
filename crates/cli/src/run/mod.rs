//! `tollgate run`: in the wire, until told to stop.
//!
//! Threads: one for each worker, pinned; one that prints; one of the metrics exporter; and this
//! one, which opens, copies numbers a few times a second, loads rules again when it is asked to, waits
//! for a signal, and closes. Nothing
//! that these threads share can make a worker wait.

mod clock;
pub(crate) mod control;
mod cores;
mod exchange;
mod reload;
mod wire;
mod worker;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use core_affinity::CoreId;
use signal_hook::consts::{SIGINT, SIGTERM};
use tollgate_policy::Report;

use crate::args::{PairNames, RunArgs};
use crate::config::{self, Config, MetricsAddress, Other};
use crate::events::{Format, Kinds, Printer};
use crate::metrics::{self, ProcessSeries};
use crate::rules::{Load, Rules, Terms, looks_at_frames, unfollowed};
use crate::say;
use crate::summary::Summary;
use control::Control;
use exchange::Exchange;
use reload::Reloader;
use wire::{Common, Done, Wire};

/// Between two looks at the workers.
const REFRESH: Duration = Duration::from_millis(250);
/// Between two looks at the stop flag, which a signal sets.
const TICK: Duration = Duration::from_millis(25);

/// Runs as the command line says.
///
/// # Errors
/// A fault in what was given, before anything is touched wherever it can be known by then.
pub(crate) fn run<R: Rules>(
    args: &RunArgs,
    quiet: bool,
    load: &impl Load<R>,
) -> anyhow::Result<()> {
    let (mut config, metrics) = configure(args)?;
    refuse_interfaces_twice(&args.pair)?;
    let terms = Terms {
        on_rule_error: config.on_rule_error,
        pass_through: false,
        quiet_failures: false,
        watch: Some(clock::WATCH),
    };
    let rules = Arc::new(load(args.rules.as_deref(), terms)?);
    if config.other == Other::Kernel && looks_at_frames(rules.interest()) {
        // What crosses in the kernel no rule sees.
        config.other = Other::User;
    }
    let cores = cores::deal(&config, &args.pair)?;
    if let MetricsAddress::At(address) = metrics {
        metrics::probe(address).map_err(anyhow::Error::msg)?;
    }
    let stop = stop_flag()?;
    let format = if args.output.json { Format::Json } else { Format::Text };
    let pending_max = config.limits.events_pending_max.try_into().unwrap_or(usize::MAX);
    let kinds = args.output.events.unwrap_or(Kinds::ALL);
    let levels = args.output.log_level.clone();
    let printer = Printer::start(format, kinds, levels, pending_max)?;
    printer.hose(None, 0).send(rules.messages().iter().cloned().map(Report::Log).collect());

    let exchange = Exchange::new();
    let common = Common {
        config: &config,
        rules: &rules,
        exchange: &exchange,
        clock: clock::Clock::new(),
        printer: &printer,
        report_connections: kinds.connections,
    };
    let began = Instant::now();
    let mut wires = Vec::new();
    let started = open(&args.pair, cores, &common, &mut wires)
        // Only now, so that who can scrape knows that the wires are closed.
        .and_then(|()| serve(metrics))
        .and_then(|()| {
            let living = config.rules.reload.living();
            let control = control(&config.control);
            let mut reloader =
                Reloader::new(Arc::clone(&rules), &exchange, &printer, control, living)?;
            if !quiet {
                announce(&wires, &*rules, &config, metrics);
            }
            watch(&mut wires, &printer, &stop, &mut reloader)
        });
    // Of a start that failed there is nothing to tell but why.
    let closed = close(wires, printer, began, quiet || started.is_err());
    started.and(closed)
}

/// The configuration with the command line on top.
fn configure(args: &RunArgs) -> anyhow::Result<(Config, MetricsAddress)> {
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    if let Some(workers) = args.workers {
        config.workers = workers;
    }
    if let Some(mode) = args.mode {
        config.mode = mode;
    }
    let metrics = match args.metrics {
        Some(metrics) => metrics,
        None => config.metrics.parse().map_err(anyhow::Error::msg)?,
    };
    Ok((config, metrics))
}

/// An interface can be the end of one wire only. That a pair has two ends is checked when it is read.
fn refuse_interfaces_twice(pairs: &[PairNames]) -> anyhow::Result<()> {
    let mut seen = HashSet::new();
    for name in pairs.iter().flat_map(|pair| [&pair.a, &pair.b]) {
        if !seen.insert(name) {
            bail!("{name}: given in two pairs; an interface can be the end of one wire only");
        }
    }
    Ok(())
}

/// Set by SIGINT or SIGTERM; a second one ends the process at once.
fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the first signal finds the flag clear, and then sets it.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("signals cannot be caught")?;
    }
    Ok(stop)
}

/// The control socket. Without it everything works but `tollgate reload`, so that is no reason to open
/// a wire.
fn control(directory: &str) -> Option<Control> {
    if directory == config::CONTROL_OFF {
        return None;
    }
    Control::open(Path::new(directory))
        .inspect_err(|error| {
            tracing::warn!(
                "no control socket in {directory} ({error}); SIGHUP reloads all the same"
            );
        })
        .ok()
}

fn open<R: Rules>(
    pairs: &[PairNames],
    cores: Vec<Vec<Option<CoreId>>>,
    common: &Common<'_, R>,
    wires: &mut Vec<Wire>,
) -> anyhow::Result<()> {
    for (names, cores) in pairs.iter().zip(cores) {
        wires.push(Wire::open(names, cores, common)?);
    }
    Ok(())
}

fn serve(metrics: MetricsAddress) -> anyhow::Result<()> {
    match metrics {
        MetricsAddress::Off => Ok(()),
        MetricsAddress::At(address) => metrics::serve(address).map_err(anyhow::Error::msg),
    }
}

/// The block at the start: what was obtained, not what was asked for.
fn announce(wires: &[Wire], rules: &impl Rules, config: &Config, metrics: MetricsAddress) {
    let mut text = format!("tollgate {}\n", env!("CARGO_PKG_VERSION"));
    for wire in wires {
        text += &format!("{wire}\n");
    }
    text += &format!("  rules        {rules}\n");
    if looks_at_frames(rules.interest()) && config.other == Other::User {
        text += "               they look at all frames, so what is no TCP comes to user space\n";
    }
    if let Some(unfollowed) = unfollowed(rules.interest(), config.follow) {
        text += &format!("               {unfollowed}\n");
    }
    text += &match metrics {
        MetricsAddress::Off => "  metrics      off\n".to_owned(),
        MetricsAddress::At(address) => format!("  metrics      http://{address}/metrics\n"),
    };
    text += "  SIGINT (Ctrl-C) or SIGTERM stops; SIGHUP or `tollgate reload` loads the rules again";
    say(&text);
}

/// Copies numbers, and loads rules again where that is asked for, until a signal comes.
fn watch<R: Rules>(
    wires: &mut [Wire],
    printer: &Printer,
    stop: &AtomicBool,
    reloader: &mut Reloader<'_, R>,
) -> anyhow::Result<()> {
    let mut process = ProcessSeries::new();
    let mut refresh_at = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if Instant::now() >= refresh_at {
            refresh_at = Instant::now() + REFRESH;
            wires.iter_mut().for_each(Wire::refresh);
            process.set(printer.lost(), reloader.counts());
            // While one pair is whole, the others must not end it.
            if wires.iter_mut().map(Wire::is_lost).filter(|lost| *lost).count() == wires.len() {
                bail!("no pair of interfaces is left to stand between");
            }
        }
        if wires.iter().any(Wire::has_failed) {
            // What it was is told when the threads are joined.
            return Ok(());
        }
        reloader.look(&|| !stop.load(Ordering::Relaxed) && !wires.iter().any(Wire::has_failed));
        std::thread::sleep(TICK);
    }
    Ok(())
}

/// Closes every wire, whatever becomes of the others, then says what they have done.
fn close(wires: Vec<Wire>, printer: Printer, began: Instant, quiet: bool) -> anyhow::Result<()> {
    let mut first_fault = Ok(());
    let mut summaries = Vec::new();
    for wire in wires {
        let (name, ports) = (wire.name().to_owned(), wire.ports().clone());
        match wire.close() {
            Ok(done) => summaries.push((name, ports, done)),
            Err(error) => first_fault = first_fault.and(Err(error)),
        }
    }
    // Events before the summary, and both complete.
    let mut unprinted = printer.finish();
    for (title, ports, Done { counters, alerts, reports_lost, delays }) in &summaries {
        if !quiet {
            say(&Summary {
                title,
                ports: [&ports.a, &ports.b],
                counters,
                alerts: *alerts,
                reports_lost: reports_lost + std::mem::take(&mut unprinted),
                delays: Some(delays),
                took: began.elapsed(),
            });
        }
    }
    first_fault
}
