//! One worker's thread: turn after turn until told to stop.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use core_affinity::CoreId;
use tollgate_engine::{Config, Mesh, Worker};
use tollgate_link::xsk::{XskFrame, XskLink};
use tollgate_policy::{Generations, Living};
use tollgate_wire::Timestamp;

use super::clock::Clock;
use super::exchange::{Mailbox, Order};
use crate::events::Hose;
use crate::fault::Faults;
use crate::rules::Rules;
use crate::station::{Snapshot, Station};

/// Between two copies of the counters.
const PUBLISH: Duration = Duration::from_millis(250);
/// Between two turns whose length is told.
const SAMPLE: Duration = Duration::from_millis(1);
/// How long it looks for work before it sleeps. Waking up takes some 20 us, which only a wire with fewer than 5000
/// packets a second pays.
const VIGIL: Duration = Duration::from_micros(200);
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
    /// Where it is told to take others.
    pub(crate) mailbox: Arc<Mailbox<R>>,
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
    let (stop, meeting, mailbox) =
        (Arc::clone(&kit.stop), Arc::clone(&kit.meeting), Arc::clone(&kit.mailbox));
    if let Some(core) = kit.core
        && !core_affinity::set_for_current(core)
    {
        tracing::warn!("core {} is not to be had; this worker is not pinned", core.id);
    }
    let policy = kit.rules.policy().inspect_err(|_| {
        // The others must not wait for this one.
        stop.store(true, Ordering::Relaxed);
        meeting.wait();
    })?;
    // Shared with what is called while other rules are made, and with nobody else.
    let turns = Rc::new(RefCell::new(Turns::new(kit, policy)));
    let mut ready = None;
    while !stop.load(Ordering::Relaxed) {
        turns.borrow_mut().turn();
        turns.borrow_mut().rest();
        if let Some((number, order)) = mailbox.order() {
            match order {
                Order::Prepare(rules) => {
                    let made = prepare(&turns, &*rules);
                    mailbox.answer(number, made.map(|policy| ready = Some(policy)));
                }
                Order::Commit(living) => {
                    if let Some(policy) = ready.take() {
                        turns.borrow_mut().exchange(policy, living);
                    }
                    mailbox.answer(number, Ok(()));
                }
                Order::Abort => ready = None,
            }
        }
    }
    meeting.wait();
    Ok(turns.borrow_mut().finish())
}

/// Makes a worker's next rules; it goes on with its turns meanwhile, under those it has.
fn prepare<R: Rules>(turns: &Rc<RefCell<Turns<R>>>, rules: &R) -> Result<R::Policy, Faults> {
    let lineage = R::lineage(turns.borrow().worker.policy().current());
    let breathing = Rc::clone(turns);
    rules.successor(lineage, Box::new(move || breathing.borrow_mut().turn()))
}

/// A worker at work, and when it last did what it does now and then.
#[derive(Debug)]
struct Turns<R: Rules> {
    worker: Worker<XskLink, Generations<R::Policy>>,
    clock: Clock,
    hose: Hose,
    station: Arc<Station>,
    bypasses: Arc<AtomicU64>,
    /// There has been no work for long enough from here on.
    sleeps_at: Timestamp,
    /// When the last turn began.
    began: Timestamp,
    own_bypasses: u64,
    known_bypasses: u64,
    publish_at: Timestamp,
    sample_at: Timestamp,
}

impl<R: Rules> Turns<R> {
    fn new(kit: Kit<R>, policy: R::Policy) -> Self {
        let Kit { config, link, mesh, clock, hose, station, bypasses, .. } = kit;
        Self {
            worker: Worker::new(config, link, Generations::new(policy), mesh),
            clock,
            hose,
            station,
            bypasses,
            sleeps_at: Timestamp::default(),
            began: Timestamp::default(),
            own_bypasses: 0,
            known_bypasses: 0,
            publish_at: Timestamp::default(),
            sample_at: Timestamp::default(),
        }
    }

    fn turn(&mut self) {
        let began = self.clock.now();
        self.began = began;
        let turn = self.worker.poll(began);
        // Both are loads of what hardly ever changes.
        let bypassed = self.worker.link().bypasses();
        if bypassed != self.own_bypasses {
            self.own_bypasses = bypassed;
            self.bypasses.fetch_add(1, Ordering::Relaxed);
        }
        let known = self.bypasses.load(Ordering::Relaxed);
        if known != self.known_bypasses {
            self.known_bypasses = known;
            self.worker.resume(began);
        }
        if !self.worker.reports().is_empty() {
            self.hose.send(self.worker.reports().drain().collect());
        }
        if turn.received + turn.handed_in + turn.transmitted > 0 {
            self.sleeps_at = began + VIGIL;
            if began >= self.sample_at {
                self.sample_at = began + SAMPLE;
                self.station.delayed(self.clock.now().nanos() - began.nanos());
            }
        }
        if began >= self.publish_at {
            self.publish_at = began + PUBLISH;
            self.publish();
        }
    }

    /// Sleeps if there was nothing to do for long enough.
    fn rest(&mut self) {
        if self.began >= self.sleeps_at {
            self.worker.link_mut().wait(SLEEP);
        }
    }

    /// Shows the numbers, and asks the rules anew what they listen to: those of connections that have
    /// ended are gone.
    fn publish(&mut self) {
        if self.worker.policy().exchanges() > 0 {
            self.worker.change_policy(|_, _| ());
        }
        let snapshot = self.snapshot();
        self.station.publish(snapshot);
    }

    fn exchange(&mut self, policy: R::Policy, living: Living) {
        let now = self.clock.now();
        self.worker.change_policy(|rules, reports| rules.exchange(policy, living, now, reports));
        self.publish();
    }

    /// Ends every connection.
    fn finish(&mut self) -> Snapshot {
        self.worker.finish(self.clock.now());
        self.hose.send(self.worker.reports().drain().collect());
        self.snapshot()
    }

    fn snapshot(&mut self) -> Snapshot {
        let reports = self.worker.reports();
        let (alerts, reports_lost) = (reports.alerts, reports.lost);
        let (link, rules) = (self.worker.link(), self.worker.policy());
        Snapshot {
            counters: self.worker.counters().clone(),
            gauges: self.worker.gauges(),
            alerts,
            reports_lost,
            queues: link.statistics().collect(),
            census: link.census(),
            link: link.counts(),
            rule_errors: R::rule_errors(rules.current()),
            rule_sets: rules.all().count(),
        }
    }
}
