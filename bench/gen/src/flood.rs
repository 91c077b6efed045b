//! Floods: frames that belong to no connection, at a rate or as fast as it goes.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tollgate_link::{
    Link, Port,
    xsk::steer::{SteerConfig, SteerProgram, Storage},
};

use crate::{
    addresses::{Addresses, CONNECTIONS_MAX},
    clock::{Clock, due},
    ends::{BATCH, Ends},
    frame::{self, ACK, Doubt, SYN, Segment},
    pattern::{Dice, Pattern},
    report::Report,
};

/// What a flood is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Connection attempts, each from another client
    Syn,
    /// Segments with data of connections that were never opened
    Data,
    /// The Internet mix: 7 frames of 64 bytes, 4 of 576, 1 of 1518, counted with their FCS
    Imix,
}

/// One flood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flood {
    pub(crate) kind: Kind,
    /// Bytes of a frame, without FCS.
    pub(crate) frame_bytes: usize,
    pub(crate) flows: u64,
    pub(crate) rate: u64,
    pub(crate) seconds: u64,
    pub(crate) both_ways: bool,
}

/// The mix without the four bytes of FCS that no program sees.
const IMIX: [usize; 12] = [60, 60, 572, 60, 60, 572, 60, 1514, 572, 60, 60, 572];
/// Copies that the kernel makes of a frame in one call, at most. A call takes milliseconds to begin, since memory is set up
/// and taken down for it; a second of frames in one would come too late to be stopped.
const COPIES_MAX: u64 = 1 << 16;
/// How long the last frames may take.
const DRAIN_NS: u64 = 200_000_000;

impl Flood {
    /// Sends, counts what arrives, and tells both.
    pub(crate) fn run<L: Link>(
        &self,
        ends: &mut Ends<L>,
        addresses: &Addresses,
        clock: &mut Clock,
        seed: u64,
    ) -> Report {
        let mut writer = Writer::new(self, addresses, seed);
        self.watch(ends, addresses, clock, |ends, due| {
            writer.send_batch(ends, due);
            true
        })
    }

    /// The same, but the kernel makes the frames and sends them out of `interface`, in a thread of its own: a call takes
    /// long to begin, and then goes through thousands of frames, while somebody must count what arrives.
    pub(crate) fn run_in_kernel<L: Link>(
        &self,
        ends: &mut Ends<L>,
        addresses: &Addresses,
        clock: &mut Clock,
        (seed, interface): (u64, &str),
    ) -> anyhow::Result<Report> {
        let made = Made::default();
        thread::scope(|scope| {
            let (mut writer, shared) = (Writer::new(self, addresses, seed), &made);
            let maker = scope.spawn(move || writer.make(interface, shared));
            let (mut frames, mut bytes) = (0, 0);
            let report = self.watch(ends, addresses, clock, |ends, _| {
                let now = (made.frames.load(Relaxed), made.bytes.load(Relaxed));
                ends.sent_elsewhere(Port::A, now.0 - frames, now.1 - bytes);
                (frames, bytes) = now;
                !maker.is_finished()
            });
            made.stop.store(true, Relaxed);
            maker
                .join()
                .map_err(|_| anyhow::anyhow!("the thread that makes frames panicked"))??;
            Ok(report)
        })
    }

    /// Lets `send` send until the time is up (or it gives false), and counts what arrives.
    fn watch<L: Link>(
        &self,
        ends: &mut Ends<L>,
        addresses: &Addresses,
        clock: &mut Clock,
        mut send: impl FnMut(&mut Ends<L>, u64) -> bool,
    ) -> Report {
        let (mut broken, mut strangers) = (0_u64, 0_u64);
        let begin_ns = clock.now_ns();
        let end_ns = begin_ns + self.seconds * 1_000_000_000;
        let mut last_ns = begin_ns;
        loop {
            let now_ns = clock.now_ns();
            if now_ns >= end_ns + DRAIN_NS || (now_ns >= end_ns && ends.on_the_way() == 0) {
                break;
            }
            if now_ns < end_ns && !clock.is_stopped() {
                last_ns = now_ns;
                if !send(ends, due(self.rate, now_ns - begin_ns)) {
                    break;
                }
            } else if clock.is_stopped() && now_ns > last_ns + DRAIN_NS {
                break;
            }
            ends.poll(|_, _, bytes| match frame::read(addresses, bytes) {
                Ok(_) => {}
                Err(Doubt::Broken) => broken += 1,
                Err(Doubt::Stranger) => strangers += 1,
            });
            clock.show(|| {
                let (a, b) = (ends.of(Port::A), ends.of(Port::B));
                format!("sent {} frames, {} arrived", a.sent + b.sent, a.received + b.received)
            });
        }
        let seconds = (last_ns - begin_ns).max(1) as f64 / 1e9;
        report(self, ends, seconds, broken, strangers)
    }
}

/// What the kernel has made so far, and whether it shall go on.
#[derive(Debug, Default)]
struct Made {
    frames: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
}

fn report<L: Link>(
    flood: &Flood,
    ends: &Ends<L>,
    seconds: f64,
    broken: u64,
    strangers: u64,
) -> Report {
    let (a, b) = (ends.of(Port::A), ends.of(Port::B));
    let (sent, received) = (a.sent + b.sent, (a.received + b.received).saturating_sub(strangers));
    let mut report = Report::default();
    report.add("flood", format!("{:?}", flood.kind).to_lowercase());
    report.add_rounded("seconds", seconds);
    report.add("sent_frames", sent);
    report.add_rounded("sent_pps", sent as f64 / seconds);
    report
        .add_rounded("sent_mbit_per_s", (a.sent_bytes + b.sent_bytes) as f64 * 8.0 / seconds / 1e6);
    report.add("arrived_frames", received);
    report.add_rounded("arrived_pps", received as f64 / seconds);
    report.add("missing_frames", sent.saturating_sub(received));
    let missing = sent.saturating_sub(received) as f64 / sent.max(1) as f64 * 100.0;
    report.add_rounded("missing_percent", missing);
    report.add("refused_frames", a.refused + b.refused);
    report.add("broken_frames", broken);
    report.add("strangers", strangers);
    if broken > 0 {
        report.fault(format!("{broken} frames came back with a wrong checksum or length"));
    }
    report
}

struct Writer {
    flood: Flood,
    addresses: Addresses,
    pattern: Pattern,
    dice: Dice,
    made: u64,
    sent: u64,
}

impl Writer {
    fn new(flood: &Flood, addresses: &Addresses, seed: u64) -> Self {
        let (pattern, dice) = (Pattern::new(seed), Dice::new(seed));
        Self { flood: *flood, addresses: addresses.clone(), pattern, dice, made: 0, sent: 0 }
    }

    fn send_batch<L: Link>(&mut self, ends: &mut Ends<L>, due: u64) {
        for _ in 0..BATCH {
            if self.sent >= due {
                return;
            }
            let (segment, payload) = self.next();
            let bytes = self.pattern.bytes(segment.connection, segment.from, 1, payload);
            let len = frame::len(&self.addresses, segment.flags, bytes.len());
            let sent = ends.send(segment.from, len, |out| {
                frame::write(out, &self.addresses, segment, bytes, None);
            });
            if !sent {
                return;
            }
            self.sent += 1;
        }
    }

    /// Has the kernel make frames until it is stopped: many copies of each.
    fn make(&mut self, interface: &str, made: &Made) -> anyhow::Result<()> {
        // Without sockets, the steering program sends all that it sees across: out of the interface.
        let mut storage = Storage::default();
        let program = SteerProgram::load(&mut storage, &SteerConfig::default())?;
        program.set_peer(nix::net::if_::if_nametoindex(interface)?)?;
        let begin = Instant::now();
        while !made.stop.load(Relaxed) && begin.elapsed().as_secs() < self.flood.seconds {
            let elapsed_ns = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let copies = due(self.flood.rate, elapsed_ns).saturating_sub(self.sent).min(COPIES_MAX);
            if copies == 0 {
                thread::sleep(Duration::from_micros(200));
                continue;
            }
            let (segment, payload) = self.next();
            let bytes = self.pattern.bytes(segment.connection, segment.from, 1, payload);
            let mut frame = vec![0; frame::len(&self.addresses, segment.flags, bytes.len())];
            frame::write(&mut frame, &self.addresses, segment, bytes, None);
            program.send_live(&frame, u32::try_from(copies)?).context(
                "the kernel makes no live frames (Linux 5.18 is needed): leave out --kernel",
            )?;
            self.sent += copies;
            made.frames.fetch_add(copies, Relaxed);
            made.bytes.fetch_add(copies * frame.len() as u64, Relaxed);
        }
        Ok(())
    }

    /// What the next frame is: its segment, and how much it carries.
    fn next(&mut self) -> (Segment, usize) {
        let turn = usize::try_from(self.made).unwrap_or(0);
        self.made += 1;
        let frame_bytes = match self.flood.kind {
            Kind::Imix => IMIX.get(turn % IMIX.len()).copied().unwrap_or(60),
            Kind::Syn | Kind::Data => self.flood.frame_bytes,
        };
        let number = self.dice.roll();
        let connection = number % self.flood.flows.min(CONNECTIONS_MAX);
        let is_back = self.flood.both_ways && turn % 2 == 1;
        let from = if is_back { Port::B } else { Port::A };
        let flags = if self.flood.kind == Kind::Syn { SYN } else { ACK };
        let headers = frame::len(&self.addresses, flags, 0);
        let payload = if flags == SYN { 0 } else { frame_bytes.saturating_sub(headers) };
        let [seq, ack] = [number >> 32, number].map(|word| (word & 0xffff_ffff) as u32);
        let ack = if flags == SYN { 0 } else { ack };
        (Segment { connection, from, seq, ack, flags }, payload)
    }
}
