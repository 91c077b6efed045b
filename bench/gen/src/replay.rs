//! A capture, sent again: each packet out of the end that its first sender is at. What arrives at the other
//! end is compared with what left, by a digest.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tollgate_link::{Link, Port, pcap::Reader};

use crate::{
    clock::{Clock, due},
    ends::Ends,
    report::Report,
};

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    /// As it was captured, so many times as fast.
    Original(f64),
    /// Packets a second; 0: as fast as it goes.
    Rate(u64),
}

/// One replay.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    pub(crate) path: PathBuf,
    pub(crate) speed: Speed,
    pub(crate) times: u64,
    /// Bytes of the longest frame that the interfaces take.
    pub(crate) frame_max: usize,
}

/// How long the last packets may take.
const DRAIN_NS: u64 = 300_000_000;
/// Packets whose digest is remembered, at most; beyond, they are counted only.
const REMEMBERED_MAX: usize = 1 << 20;

#[derive(Debug, Default)]
struct Crossing {
    hasher: RandomState,
    /// Digest and port of arrival: how many are on the way.
    on_the_way: HashMap<(u64, usize), u32>,
    remembered: usize,
    sent: u64,
    too_long: u64,
    unchanged: u64,
    other: u64,
}

impl Crossing {
    fn sent(&mut self, to: Port, bytes: &[u8]) {
        self.sent += 1;
        if self.remembered < REMEMBERED_MAX {
            self.remembered += 1;
            let digest = self.hasher.hash_one(bytes);
            *self.on_the_way.entry((digest, to.index())).or_default() += 1;
        }
    }

    fn arrived(&mut self, port: Port, bytes: &[u8]) {
        let key = (self.hasher.hash_one(bytes), port.index());
        match self.on_the_way.get_mut(&key) {
            Some(count) => {
                *count -= 1;
                if *count == 0 {
                    self.on_the_way.remove(&key);
                }
                self.remembered -= 1;
                self.unchanged += 1;
            }
            None => self.other += 1,
        }
    }
}

impl Replay {
    /// Sends the capture and tells what became of it.
    pub(crate) fn run<L: Link>(
        &self,
        ends: &mut Ends<L>,
        clock: &mut Clock,
    ) -> anyhow::Result<Report> {
        let mut crossing = Crossing::default();
        let begin_ns = clock.now_ns();
        for _ in 0..self.times {
            self.once(&self.path, ends, clock, &mut crossing, begin_ns)?;
        }
        let sent_ns = clock.now_ns();
        while clock.now_ns() < sent_ns + DRAIN_NS {
            ends.poll(|_, port, bytes| crossing.arrived(port, bytes));
        }
        Ok(report(&crossing, ends, (sent_ns - begin_ns).max(1) as f64 / 1e9))
    }

    fn once<L: Link>(
        &self,
        path: &Path,
        ends: &mut Ends<L>,
        clock: &mut Clock,
        crossing: &mut Crossing,
        begin_ns: u64,
    ) -> anyhow::Result<()> {
        let opened = || format!("cannot replay {}", path.display());
        let mut reader = Reader::open(path).with_context(opened)?;
        let round_ns = clock.now_ns();
        let mut first_ns = None;
        while let Some(packet) = reader.next().with_context(opened)? {
            let (time_ns, port) = (packet.time.nanos(), packet.port);
            let first_ns = *first_ns.get_or_insert(time_ns);
            let mut bytes = packet.frame.to_vec();
            if bytes.len() < 60 {
                bytes.resize(60, 0); // the shortest that a wire carries
            }
            if bytes.len() > self.frame_max {
                crossing.too_long += 1;
                continue;
            }
            loop {
                let now_ns = clock.now_ns();
                let is_due = match self.speed {
                    Speed::Rate(rate) => crossing.sent < due(rate, now_ns - begin_ns),
                    Speed::Original(times) => {
                        let since_ns = time_ns.saturating_sub(first_ns) as f64 / times;
                        (now_ns - round_ns) as f64 >= since_ns
                    }
                };
                if clock.is_stopped() {
                    return Ok(());
                }
                if is_due && ends.send(port, bytes.len(), |out| out.copy_from_slice(&bytes)) {
                    break;
                }
                ends.poll(|_, port, bytes| crossing.arrived(port, bytes));
                clock.show(|| {
                    format!(
                        "sent {} packets, {} arrived as sent",
                        crossing.sent, crossing.unchanged
                    )
                });
            }
            crossing.sent(port.peer(), &bytes);
            if crossing.sent.is_multiple_of(16) {
                ends.poll(|_, port, bytes| crossing.arrived(port, bytes));
            }
        }
        Ok(())
    }
}

fn report<L: Link>(crossing: &Crossing, ends: &Ends<L>, seconds: f64) -> Report {
    let (a, b) = (ends.of(Port::A), ends.of(Port::B));
    let arrived = a.received + b.received;
    let mut report = Report::default();
    report.add_rounded("seconds", seconds);
    report.add("sent_packets", crossing.sent);
    report.add_rounded("sent_pps", crossing.sent as f64 / seconds);
    report.add("too_long", crossing.too_long);
    report.add("arrived_packets", arrived);
    report.add("arrived_as_sent", crossing.unchanged);
    report.add("arrived_other", crossing.other);
    report.add("missing_packets", crossing.sent.saturating_sub(crossing.unchanged));
    report.add("refused_frames", a.refused + b.refused);
    report
}
