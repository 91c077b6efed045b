//! One `--pair`: two interfaces, their workers, and what is known of them.

use std::fmt;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use core_affinity::CoreId;
use hdrhistogram::Histogram;
use tollgate_engine::{Counters, mesh};
use tollgate_link::xsk::{OtherFrames, Pair, QueueInfo, XskLink};

use super::clock::Clock;
use super::exchange::Exchange;
use super::worker::{Kit, work};
use crate::args::PairNames;
use crate::config::Config;
use crate::events::Printer;
use crate::metrics::WireSeries;
use crate::rules::Rules;
use crate::station::{Snapshot, Station};

/// Room in each ring between two workers; with less, bursts of one worker's frames for another are
/// dropped (`hand_off_full`). A guess: 16 batches.
const MESH_RING: usize = 1024;
/// Delays beyond this, in ns, count as this: a minute.
const DELAY_MAX_NS: u64 = 60_000_000_000;
/// How long workers go on after the steering program is gone, for what is still in the rings.
const DRAIN: Duration = Duration::from_millis(30);

/// A pair that is open, with its workers at work.
#[derive(Debug)]
pub(crate) struct Wire {
    name: Arc<str>,
    ports: PairNames,
    pair: Pair,
    stop: Arc<AtomicBool>,
    stations: Vec<Arc<Station>>,
    threads: Vec<JoinHandle<anyhow::Result<Snapshot>>>,
    cores: Vec<Option<CoreId>>,
    /// One of its interfaces is gone, and that was said.
    lost: bool,
    series: WireSeries,
    /// Of all workers, in ns, for the summary.
    delays: Histogram<u64>,
}

/// What is the same for all pairs.
#[derive(Debug)]
pub(crate) struct Common<'a, R> {
    /// The configuration.
    pub(crate) config: &'a Config,
    /// The rules.
    pub(crate) rules: &'a Arc<R>,
    /// Where workers are told to take others.
    pub(crate) exchange: &'a Exchange<R>,
    /// The clock.
    pub(crate) clock: Clock,
    /// Where events go.
    pub(crate) printer: &'a Printer,
    /// Whether connections are reported: pointless if they are not printed.
    pub(crate) report_connections: bool,
}

/// What a pair has done, when all is over.
#[derive(Debug)]
pub(crate) struct Done {
    /// All workers added up.
    pub(crate) counters: Counters,
    /// Alerts raised.
    pub(crate) alerts: u64,
    /// Reports that did not fit.
    pub(crate) reports_lost: u64,
    /// Lengths of turns that moved frames, sampled, in ns.
    pub(crate) delays: Histogram<u64>,
}

impl Wire {
    /// Opens the interfaces and starts a worker on each of `cores`.
    ///
    /// # Errors
    /// What is wrong with an interface, and the way out.
    pub(crate) fn open<R: Rules>(
        names: &PairNames,
        cores: Vec<Option<CoreId>>,
        common: &Common<'_, R>,
    ) -> anyhow::Result<Self> {
        let name: Arc<str> = format!("{}:{}", names.a, names.b).into();
        let workers = u16::try_from(cores.len()).context("too many workers")?;
        let (pair, links) = Pair::open(&common.config.pair(&names.a, &names.b, workers))?;
        let mut wire = Self {
            series: WireSeries::new(&name, cores.len()),
            name,
            ports: names.clone(),
            pair,
            stop: Arc::new(AtomicBool::new(false)),
            stations: Vec::new(),
            threads: Vec::new(),
            delays: Histogram::new_with_bounds(1, DELAY_MAX_NS, 2).context("a histogram")?,
            cores,
            lost: false,
        };
        wire.start(links, common)?;
        Ok(wire)
    }

    fn start<R: Rules>(
        &mut self,
        links: Vec<XskLink>,
        common: &Common<'_, R>,
    ) -> anyhow::Result<()> {
        let engine = tollgate_engine::Config {
            workers: links.len(),
            report_connections: common.report_connections,
            mtu: mtu(&self.ports.a),
            ..common.config.engine_live()
        };
        let meeting = Arc::new(Barrier::new(links.len()));
        let bypasses = Arc::new(AtomicU64::new(0));
        let meshes = mesh(links.len(), MESH_RING);
        for (worker, (link, mesh)) in links.into_iter().zip(meshes).enumerate() {
            let station = Arc::new(Station::new());
            self.stations.push(Arc::clone(&station));
            let kit = Kit {
                config: tollgate_engine::Config { worker, ..engine.clone() },
                link,
                mesh,
                rules: Arc::clone(common.rules),
                mailbox: common.exchange.enroll(),
                core: self.cores.get(worker).copied().flatten(),
                clock: common.clock,
                hose: common.printer.hose(Some(Arc::clone(&self.name)), worker),
                station,
                stop: Arc::clone(&self.stop),
                bypasses: Arc::clone(&bypasses),
                meeting: Arc::clone(&meeting),
            };
            let thread = std::thread::Builder::new()
                .name(format!("tollgate-{worker}"))
                .spawn(move || work(kit))
                .context("no thread for a worker")?;
            self.threads.push(thread);
        }
        Ok(())
    }

    /// Takes in what the workers have published, and shows it to Prometheus.
    pub(crate) fn refresh(&mut self) {
        for (worker, station) in self.stations.iter().enumerate() {
            for nanos in station.delays() {
                self.series.delay(worker, nanos);
                self.delays.saturating_record(nanos);
            }
            if let Some(snapshot) = station.take() {
                self.series.worker(worker, &snapshot);
            }
        }
        self.series.steering(&self.pair);
    }

    /// Whether a worker has ended, which it does only by a fault before it is told to.
    #[must_use]
    pub(crate) fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Says so, once, if one of its interfaces is gone. Gives whether it is.
    pub(crate) fn is_lost(&mut self) -> bool {
        if !self.lost
            && let Some(interface) = self.pair.lost_interface()
        {
            self.lost = true;
            tracing::error!(
                "{}: {interface} is gone, so nothing crosses; bring it back and start again",
                self.name
            );
        }
        self.lost
    }

    /// Its name, `eth1:eth2`.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The names of its ports.
    #[must_use]
    pub(crate) const fn ports(&self) -> &PairNames {
        &self.ports
    }

    /// Stops: the steering programs are detached, workers take in what is left, end their connections
    /// and go; sockets close last.
    ///
    /// # Errors
    /// A worker had failed.
    pub(crate) fn close(mut self) -> anyhow::Result<Done> {
        self.refresh();
        if let Err(error) = self.pair.close() {
            tracing::warn!("{}: detaching the steering program: {error}", self.name);
        }
        if !self.threads.iter().any(JoinHandle::is_finished) {
            std::thread::sleep(DRAIN);
        }
        self.stop.store(true, Ordering::Relaxed);
        let mut done =
            Done { counters: Counters::default(), alerts: 0, reports_lost: 0, delays: self.delays };
        for thread in self.threads {
            let Ok(ended) = thread.join() else {
                bail!("{}: a worker panicked; see above", self.name);
            };
            let last = ended?;
            done.counters += &last.counters;
            done.alerts += last.alerts;
            done.reports_lost += last.reports_lost;
        }
        Ok(done)
    }
}

/// The lines of the start-up block.
impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  pair         {}", self.name)?;
        for QueueInfo { port, interface, queue, worker, zero_copy } in self.pair.queues() {
            let mode = if *zero_copy { "zero-copy" } else { "copy" };
            let port = port.name().to_uppercase();
            writeln!(f, "    {port} {interface} queue {queue}: {mode}, worker {worker}")?;
        }
        let path = match self.pair.other_frames() {
            OtherFrames::Kernel => "crosses in the kernel",
            OtherFrames::User => "crosses in user space",
            OtherFrames::Drop => "is dropped",
        };
        writeln!(f, "    what is no TCP {path}")?;
        for (worker, core) in self.cores.iter().enumerate() {
            match core {
                Some(core) => writeln!(f, "    worker {worker} on core {}", core.id)?,
                None => writeln!(f, "    worker {worker} not pinned")?,
            }
        }
        let pages = if self.pair.huge_pages() { "huge pages" } else { "ordinary pages" };
        write!(f, "    {} frames, {} MiB in {pages}", self.pair.frames(), self.pair.memory() >> 20)
    }
}

/// The interface's MTU; both ends have the same, or the pair would not have opened.
fn mtu(interface: &str) -> u32 {
    let path = format!("/sys/class/net/{interface}/mtu");
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1500)
}
