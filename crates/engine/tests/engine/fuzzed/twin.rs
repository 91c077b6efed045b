//! A worker whose packets may go the short way, beside one whose packets all go the long way: whatever
//! comes, both do the same.

use tollgate_engine::{Config, Mesh, Worker};
use tollgate_link::Port;
use tollgate_link::memory::MemoryLink;
use tollgate_policy::Verdict;
use tollgate_wire::Timestamp;

use super::witness::Witness;

/// None once a packet of the other has had a verdict, which here nobody can give.
pub(crate) struct Twin(Option<Worker<MemoryLink, Witness>>);

impl Twin {
    pub(crate) fn new(config: Config) -> Self {
        let mut witness = Witness::default();
        witness.hurries = true;
        Self(Some(Worker::new(config, MemoryLink::new(), witness, Mesh::alone())))
    }

    /// A verdict for the next packet of the other.
    pub(crate) fn on_packet(&mut self, verdict: Verdict) {
        self.0.take_if(|_| verdict != Verdict::Accept);
    }

    /// A verdict for the next data of both.
    pub(crate) fn on_data(&mut self, verdict: Verdict) {
        if let Some(worker) = &mut self.0 {
            worker.policy_mut().on_data = verdict;
        }
    }

    pub(crate) fn rest(&mut self, now: Timestamp) {
        if let Some(worker) = &mut self.0 {
            worker.poll(now);
            for port in Port::BOTH {
                worker.link_mut().sent(port);
            }
        }
    }

    /// Takes what the other took, and compares what came of it.
    pub(crate) fn inject(
        &mut self,
        port: Port,
        bytes: &[u8],
        now: Timestamp,
        other: &Worker<MemoryLink, Witness>,
        left: &[(Port, Vec<u8>)],
    ) {
        let Some(worker) = &mut self.0 else { return };
        worker.link_mut().inject(port, bytes);
        worker.poll(now);
        let mut own = Vec::new();
        for port in Port::BOTH {
            own.extend(worker.link_mut().sent(port).into_iter().map(|bytes| (port, bytes)));
        }
        assert_eq!(own, left);
        assert_eq!(worker.gauges(), other.gauges());
        assert_eq!(worker.counters(), other.counters());
        assert_eq!(worker.policy().connections, other.policy().connections);
    }
}
