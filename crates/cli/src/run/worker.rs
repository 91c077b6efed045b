//! One worker's thread: turn after turn until told to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use core_affinity::CoreId;
use tollgate_engine::{Config, Mesh, Worker};
use tollgate_link::xsk::{XskFrame, XskLink};
use tollgate_wire::Timestamp;

use super::clock::Clock;
use crate::events::Hose;
use crate::rules::Rules;
use crate::station::{Snapshot, Station};

/// Between two copies of the counters.
const PUBLISH: Duration = Duration::from_millis(250);
/// Between two turns whose length is told.
const SAMPLE: Duration = Duration::from_millis(1);
/// Turns without work before the worker sleeps. A guess: some 50 us of them, in which the next
/// packet of a busy wire arrives, so that only a quiet wire pays for waking up.
const IDLE_TURNS: u32 = 256;
/// How long it sleeps at most; frames wake it earlier, and the link knows why it must be shorter.
const SLEEP: Duration = Duration::from_millis(100);

/// Everything a worker takes along.
#[derive(Debug)]
pub(crate) struct Kit<R> {
    /// Bounds and choices.
    pub(crate) config: Config,
    /// Its queues.
    pub(crate) link: XskLink,
    /// Its rings to the others.
    pub(crate) mesh: Mesh<XskFrame>,
    /// What its rules are made from.
    pub(crate) rules: Arc<R>,
    /// Where it runs; none: wherever the system puts it.
    pub(crate) core: Option<CoreId>,
    /// The time.
    pub(crate) clock: Clock,
    /// Where its events go.
    pub(crate) hose: Hose,
    /// Where its numbers go.
    pub(crate) station: Arc<Station>,
    /// Told to stop.
    pub(crate) stop: Arc<AtomicBool>,
    /// How often a worker of the pair was bypassed: each may own flows of another's queue.
    pub(crate) bypasses: Arc<AtomicU64>,
    /// Where the pair's workers meet between their last turn and their end: by then nobody hands
    /// frames over any more.
    pub(crate) meeting: Arc<Barrier>,
}

/// Runs until told to stop, then ends every connection and gives the last numbers back:
/// its sockets must outlive the steering program, which the control thread detaches.
///
/// # Errors
/// The rules could not be loaded a second time.
pub(crate) fn work<R: Rules>(kit: Kit<R>) -> anyhow::Result<Snapshot> {
    let Kit { config, link, mesh, rules, core, clock, hose, station, stop, bypasses, meeting } =
        kit;
    if let Some(core) = core
        && !core_affinity::set_for_current(core)
    {
        tracing::warn!("core {} is not to be had; this worker is not pinned", core.id);
    }
    let policy = rules.policy().inspect_err(|_| {
        // The others must not wait for this one.
        stop.store(true, Ordering::Relaxed);
        meeting.wait();
    })?;
    let mut worker = Worker::new(config, link, policy, mesh);
    let mut idle_turns = 0;
    let (mut own_bypasses, mut known_bypasses) = (0, 0);
    let (mut publish_at, mut sample_at) = (Timestamp::default(), Timestamp::default());
    while !stop.load(Ordering::Relaxed) {
        let began = clock.now();
        let turn = worker.poll(began);
        // Both are loads of what hardly ever changes.
        let bypassed = worker.link().bypasses();
        if bypassed != own_bypasses {
            own_bypasses = bypassed;
            bypasses.fetch_add(1, Ordering::Relaxed);
        }
        let known = bypasses.load(Ordering::Relaxed);
        if known != known_bypasses {
            known_bypasses = known;
            worker.resume(began);
        }
        if !worker.reports().is_empty() {
            hose.send(worker.reports().drain().collect());
        }
        if turn.received + turn.handed_in + turn.transmitted > 0 {
            idle_turns = 0;
            if began >= sample_at {
                sample_at = began + SAMPLE;
                station.delayed(clock.now().nanos() - began.nanos());
            }
        } else {
            idle_turns += 1;
        }
        if began >= publish_at {
            publish_at = began + PUBLISH;
            station.publish(snapshot::<R>(&mut worker));
        }
        if idle_turns > IDLE_TURNS {
            worker.link_mut().wait(SLEEP);
        }
    }
    meeting.wait();
    worker.finish(clock.now());
    hose.send(worker.reports().drain().collect());
    Ok(snapshot::<R>(&mut worker))
}

fn snapshot<R: Rules>(worker: &mut Worker<XskLink, R::Policy>) -> Snapshot {
    let reports = worker.reports();
    let (alerts, reports_lost) = (reports.alerts, reports.lost);
    let link = worker.link();
    Snapshot {
        counters: worker.counters().clone(),
        gauges: worker.gauges(),
        alerts,
        reports_lost,
        queues: link.statistics().collect(),
        census: link.census(),
        link: link.counts(),
        rule_errors: R::rule_errors(worker.policy()),
    }
}
