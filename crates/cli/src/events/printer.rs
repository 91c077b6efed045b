//! The thread that prints, and the hoses by which workers feed it.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use tollgate_policy::Report;

use super::{Format, Kinds, Levels, Origin, Writer};

/// Batches that may wait; a batch is what one worker reported in one turn. What bounds memory is the
/// number of reports in them, which is configured. A guess: a second of busy turns.
const BATCHES_MAX: usize = 4096;
/// How long the end may wait for a reader of stdout.
const FINISH_MAX: Duration = Duration::from_secs(2);

struct Batch {
    pair: Option<Arc<str>>,
    worker: usize,
    reports: Vec<Report>,
}

/// What hoses and printer count together.
#[derive(Debug)]
struct Shared {
    /// Reports in the channel, or being printed.
    pending: AtomicUsize,
    pending_max: usize,
    /// Reports that were not printed.
    lost: AtomicU64,
}

/// Prints until every [`Hose`] is gone.
#[derive(Debug)]
pub struct Printer {
    sender: Sender<Batch>,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// One worker's way to the printer. Never blocks.
#[derive(Debug)]
pub struct Hose {
    sender: Sender<Batch>,
    shared: Arc<Shared>,
    pair: Option<Arc<str>>,
    worker: usize,
}

impl Printer {
    /// Starts the thread, on stdout; at most `pending_max` reports wait to be printed.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(
        format: Format,
        kinds: Kinds,
        levels: Levels,
        pending_max: usize,
    ) -> io::Result<Self> {
        let out = BufWriter::new(io::stdout());
        Self::start_on(Writer::new(out, format, kinds, levels), pending_max)
    }

    /// The same on any writer.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start_on<W: Write + Send + 'static>(
        writer: Writer<W>,
        pending_max: usize,
    ) -> io::Result<Self> {
        let (sender, receiver) = bounded(BATCHES_MAX);
        let shared =
            Arc::new(Shared { pending: AtomicUsize::new(0), pending_max, lost: AtomicU64::new(0) });
        let thread = std::thread::Builder::new().name("tollgate-print".into()).spawn({
            let shared = Arc::clone(&shared);
            move || print(&receiver, writer, &shared)
        })?;
        Ok(Self { sender, shared, thread })
    }

    /// A hose for a worker of `pair`, or for what concerns no pair.
    #[must_use]
    pub fn hose(&self, pair: Option<Arc<str>>, worker: usize) -> Hose {
        Hose { sender: self.sender.clone(), shared: Arc::clone(&self.shared), pair, worker }
    }

    /// Reports that were not printed: more than may wait, or nobody reads stdout any more.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Prints what is left, once every hose is gone, and gives the number of those lost.
    ///
    /// A reader of stdout that has stopped reading cannot hold up the end: after two seconds what is
    /// left counts as lost, and goes with the process.
    #[must_use]
    pub fn finish(self) -> u64 {
        drop(self.sender);
        let deadline = Instant::now() + FINISH_MAX;
        while !self.thread.is_finished() {
            if Instant::now() >= deadline {
                tracing::warn!("standard output is not read; the last events are not printed");
                let left = self.shared.pending.load(Ordering::Relaxed);
                return self.shared.lost.load(Ordering::Relaxed) + left as u64;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Hose {
    /// Hands reports over, or counts them as lost.
    pub fn send(&self, reports: Vec<Report>) {
        let count = reports.len();
        if count == 0 {
            return;
        }
        let Shared { pending, pending_max, lost } = &*self.shared;
        let before = pending.fetch_add(count, Ordering::Relaxed);
        let batch = Batch { pair: self.pair.clone(), worker: self.worker, reports };
        if before + count > *pending_max || self.sender.try_send(batch).is_err() {
            pending.fetch_sub(count, Ordering::Relaxed);
            lost.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}

fn print<W: Write>(receiver: &Receiver<Batch>, mut writer: Writer<W>, shared: &Shared) {
    let mut gone = false;
    while let Ok(Batch { pair, worker, reports }) = receiver.recv() {
        let origin = Origin { pair: pair.as_deref(), worker };
        for report in &reports {
            if gone {
                shared.lost.fetch_add(1, Ordering::Relaxed);
            } else if let Err(error) = writer.write(origin, report) {
                // Nobody reads any more (`| head`), or the disk is full. The wire goes on.
                gone = true;
                shared.lost.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("events are no longer printed: standard output: {error}");
            }
        }
        if receiver.is_empty() && !gone && writer.flush().is_err() {
            gone = true;
        }
        shared.pending.fetch_sub(reports.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_policy::{Level, Log};
    use tollgate_wire::Timestamp;

    fn reports(count: usize) -> Vec<Report> {
        let log = Log {
            time: Timestamp(0),
            level: Level::Info,
            section: "external".into(),
            message: "x".into(),
            bytes: None,
        };
        vec![Report::Log(log); count]
    }

    /// Tells each write, and blocks until it is let go.
    #[derive(Debug)]
    struct Stuck {
        wrote: Sender<()>,
        go: Receiver<()>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.wrote.send(()).map_err(io::Error::other)?;
            self.go.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_reader_costs_events_and_holds_nobody_up() {
        let ((wrote, written), (go, gone)) = (bounded(100), bounded(100));
        let writer =
            Writer::new(Stuck { wrote, go: gone }, Format::Text, Kinds::ALL, Levels::default());
        let printer = Printer::start_on(writer, 4).unwrap();
        let hose = printer.hose(None, 0);
        hose.send(reports(1));
        written.recv().unwrap();
        // One is being printed; three more may wait, and not four.
        hose.send(reports(4));
        assert_eq!(printer.lost(), 4);
        hose.send(reports(3));
        assert_eq!(printer.lost(), 4);
        hose.send(reports(1));
        assert_eq!(printer.lost(), 5);
        for _ in 0..4 {
            go.send(()).unwrap();
        }
        drop(hose);
        assert_eq!(printer.finish(), 5);
        assert_eq!(written.len(), 3);
    }

    #[test]
    fn a_reader_that_has_gone_loses_the_rest_and_it_is_counted() {
        let ((wrote, _written), (go, gone)) = (bounded(100), bounded(100));
        drop(go);
        let writer =
            Writer::new(Stuck { wrote, go: gone }, Format::Json, Kinds::ALL, Levels::default());
        let printer = Printer::start_on(writer, 100).unwrap();
        let hose = printer.hose(Some("a:b".into()), 1);
        hose.send(reports(3));
        hose.send(reports(2));
        drop(hose);
        assert_eq!(printer.finish(), 5);
    }
}
