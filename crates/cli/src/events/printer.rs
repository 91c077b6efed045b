//! The thread that prints, and the hoses by which workers feed it.

use std::io::{self, BufWriter, Stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use tollgate_policy::Report;

use super::{Format, Kinds, Origin, Writer};

/// Batches that may wait. A batch is what one worker reported in one turn, so a stuck reader of
/// stdout costs at most this many times the reports of a turn. A guess: a second of busy turns.
const BATCHES_MAX: usize = 1024;

/// How long the end may wait for a reader of stdout.
const FINISH_MAX: Duration = Duration::from_secs(2);

struct Batch {
    pair: Option<Arc<str>>,
    worker: usize,
    reports: Vec<Report>,
}

/// Prints until every [`Hose`] is gone.
#[derive(Debug)]
pub struct Printer {
    sender: Sender<Batch>,
    lost: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

/// One worker's way to the printer. Never blocks.
#[derive(Debug)]
pub struct Hose {
    sender: Sender<Batch>,
    lost: Arc<AtomicU64>,
    pair: Option<Arc<str>>,
    worker: usize,
}

impl Printer {
    /// Starts the thread, on stdout.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(format: Format, kinds: Kinds) -> io::Result<Self> {
        let (sender, receiver) = bounded(BATCHES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer::new(BufWriter::new(io::stdout()), format, kinds);
        let thread = std::thread::Builder::new().name("tollgate-print".into()).spawn({
            let lost = Arc::clone(&lost);
            move || print(&receiver, writer, &lost)
        })?;
        Ok(Self { sender, lost, thread })
    }

    /// A hose for a worker of `pair`, or for what concerns no pair.
    #[must_use]
    pub fn hose(&self, pair: Option<Arc<str>>, worker: usize) -> Hose {
        Hose { sender: self.sender.clone(), lost: Arc::clone(&self.lost), pair, worker }
    }

    /// Reports that were not printed: the channel was full, or nobody reads stdout any more.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Prints what is left, once every hose is gone, and gives the number of those lost. A reader
    /// of stdout that has stopped reading cannot hold up the end: after [`FINISH_MAX`] what is left
    /// stays unprinted, and goes with the process.
    #[must_use]
    pub fn finish(self) -> u64 {
        drop(self.sender);
        let deadline = Instant::now() + FINISH_MAX;
        while !self.thread.is_finished() {
            if Instant::now() >= deadline {
                tracing::warn!("standard output is not read; the last events are not printed");
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.lost.load(Ordering::Relaxed)
    }
}

impl Hose {
    /// Hands reports over, or counts them as lost.
    pub fn send(&self, reports: Vec<Report>) {
        if reports.is_empty() {
            return;
        }
        let batch = Batch { pair: self.pair.clone(), worker: self.worker, reports };
        let unsent = match self.sender.try_send(batch) {
            Ok(()) => return,
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => batch,
        };
        self.lost.fetch_add(unsent.reports.len() as u64, Ordering::Relaxed);
    }
}

fn print(receiver: &Receiver<Batch>, mut writer: Writer<BufWriter<Stdout>>, lost: &AtomicU64) {
    let mut gone = false;
    while let Ok(batch) = receiver.recv() {
        let origin = Origin { pair: batch.pair.as_deref(), worker: batch.worker };
        for report in &batch.reports {
            if gone {
                lost.fetch_add(1, Ordering::Relaxed);
            } else if let Err(error) = writer.write(origin, report) {
                // Nobody reads any more (`| head`), or the disk is full. The wire goes on.
                gone = true;
                tracing::warn!("events are no longer printed: stdout: {error}");
            }
        }
        if receiver.is_empty() && !gone && writer.flush().is_err() {
            gone = true;
        }
    }
}
