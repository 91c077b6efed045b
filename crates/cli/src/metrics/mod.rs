//! What Prometheus reads: `metrics` with its exporter, off the data path.
//!
//! Workers publish copies of their counters; the control thread writes them into series that were
//! registered once, at the start. A scrape reads those, so it touches no worker.

mod samples;
mod series;

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant, SystemTime};

use metrics::{Histogram, Unit, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tollgate_link::Port;
use tollgate_link::xsk::Pair;

use self::series::Series;
use crate::station::Snapshot;

/// Upper bounds of the delay histogram, in seconds: from a short turn to one that would trip the
/// heartbeat of the steering program.
const DELAY_BUCKETS: [f64; 14] =
    [2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 1e-1];

/// Whether the address can be had, so that a start fails before an interface is touched.
///
/// # Errors
/// What is in the way, and the way out.
pub fn probe(address: SocketAddr) -> Result<(), String> {
    TcpListener::bind(address).map(drop).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::AddrInUse => "the address is in use".to_owned(),
            std::io::ErrorKind::AddrNotAvailable => "no interface has this address".to_owned(),
            std::io::ErrorKind::PermissionDenied => "ports below 1024 want root".to_owned(),
            _ => error.to_string(),
        };
        format!(
            "metrics cannot be served at {address}: {why}; choose another with `--metrics ADDR`, or \
             `--metrics off`"
        )
    })
}

/// Serves them from now on, in a thread of the exporter's own.
///
/// # Errors
/// As [`probe`], should somebody have been quicker.
pub fn serve(address: SocketAddr) -> Result<(), String> {
    let failed =
        |error: &dyn std::fmt::Display| format!("metrics cannot be served at {address}: {error}");
    PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets_for_metric(Matcher::Full(samples::DELAY.0.to_owned()), &DELAY_BUCKETS)
        .and_then(PrometheusBuilder::install)
        .map_err(|error| failed(&error))?;
    build_info();
    Ok(())
}

fn build_info() {
    metrics::describe_gauge!("tollgate_build_info", "Always 1; its labels tell what runs.");
    gauge!("tollgate_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    metrics::describe_gauge!("tollgate_start_time_seconds", "When it started, since 1970.");
    let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    gauge!("tollgate_start_time_seconds").set(start.as_secs_f64());
}

/// The series of one pair. They are registered when first set.
#[derive(Debug)]
pub struct WireSeries {
    workers: Vec<WorkerSeries>,
    /// By port.
    steering: [Series; 2],
}

#[derive(Debug)]
struct WorkerSeries {
    series: Series,
    delay: Option<Histogram>,
}

impl WireSeries {
    /// Of the pair `pair` with so many workers.
    #[must_use]
    pub fn new(pair: &str, workers: usize) -> Self {
        let worker = |number: usize| WorkerSeries {
            series: Series::new(&[("pair", pair), ("worker", &number.to_string())]),
            delay: None,
        };
        Self {
            workers: (0..workers).map(worker).collect(),
            steering: Port::BOTH.map(|_| Series::new(&[("pair", pair)])),
        }
    }

    /// Shows what a worker has published.
    pub fn worker(&mut self, worker: usize, snapshot: &Snapshot) {
        if let Some(WorkerSeries { series, .. }) = self.workers.get_mut(worker) {
            series.set(samples::worker(snapshot));
        }
    }

    /// Adds a sample of the delay, in ns.
    pub fn delay(&mut self, worker: usize, nanos: u64) {
        let Some(WorkerSeries { series, delay }) = self.workers.get_mut(worker) else { return };
        delay
            .get_or_insert_with(|| series.histogram(samples::DELAY, Unit::Seconds))
            .record(Duration::from_nanos(nanos).as_secs_f64());
    }

    /// Shows what the steering programs have counted.
    pub fn steering(&mut self, pair: &Pair) {
        for (port, series) in Port::BOTH.into_iter().zip(&mut self.steering) {
            // A map that cannot be read now is read a moment later.
            if let Ok(counts) = pair.steer_counts(port) {
                series.set(samples::steering(port, &counts));
            }
        }
    }
}

/// The series of the process.
#[derive(Debug)]
pub struct ProcessSeries {
    series: Series,
    start: Instant,
}

impl ProcessSeries {
    /// Starts to count the time.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it reads a clock")]
    pub fn new() -> Self {
        Self { series: Series::new(&[]), start: Instant::now() }
    }

    /// Shows how long it has run, how many events the printing thread has lost, and how often rules
    /// were loaded again.
    pub fn set(&mut self, events_lost: u64, reloads: &Reloads) {
        self.series.set(samples::process(self.start.elapsed(), events_lost, reloads));
    }
}

/// How often rules were loaded again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// They were put in place.
    pub done: u64,
    /// They were not; the old ones go on.
    pub refused: u64,
}
