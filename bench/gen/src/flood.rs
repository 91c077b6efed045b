//! Floods: frames that belong to no connection, at a rate or as fast as it goes.

use anyhow::Context as _;
use tollgate_link::{Link, Port, xsk::steer::SteerProgram};

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
/// Copies that the kernel makes of a frame in one call: fewer cost calls, more come in bursts that overrun rings.
const COPIES: u32 = 64;
/// How long the last frames may take.
const DRAIN_NS: u64 = 200_000_000;

impl Flood {
    /// Sends, counts what arrives, and tells both. With a program, the kernel makes the frames: so many copies of each.
    pub(crate) fn run<L: Link>(
        &self,
        ends: &mut Ends<L>,
        addresses: &Addresses,
        clock: &mut Clock,
        seed: u64,
        kernel: Option<&SteerProgram<'_>>,
    ) -> anyhow::Result<Report> {
        let mut writer = Writer {
            flood: *self,
            addresses: addresses.clone(),
            pattern: Pattern::new(seed),
            dice: Dice::new(seed),
            made: 0,
            sent: 0,
        };
        let (mut broken, mut strangers) = (0_u64, 0_u64);
        let begin_ns = clock.now_ns();
        let end_ns = begin_ns + self.seconds * 1_000_000_000;
        let mut last_ns = begin_ns;
        loop {
            let now_ns = clock.now_ns();
            if now_ns >= end_ns + DRAIN_NS || (now_ns >= end_ns && ends.on_the_way() == 0) {
                break;
            }
            let is_sending = now_ns < end_ns && !clock.is_stopped();
            if is_sending {
                last_ns = now_ns;
                let due = due(self.rate, now_ns - begin_ns);
                match kernel {
                    Some(program) if writer.sent < due => writer.send_copies(ends, program)?,
                    Some(_) => {}
                    None => writer.send_batch(ends, due),
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
        Ok(report(self, ends, seconds, broken, strangers))
    }
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

    /// The next frame, [`COPIES`] times, made by the kernel.
    fn send_copies<L: Link>(
        &mut self,
        ends: &mut Ends<L>,
        program: &SteerProgram<'_>,
    ) -> anyhow::Result<()> {
        let (segment, payload) = self.next();
        let bytes = self.pattern.bytes(segment.connection, segment.from, 1, payload);
        let mut frame = vec![0; frame::len(&self.addresses, segment.flags, bytes.len())];
        frame::write(&mut frame, &self.addresses, segment, bytes, None);
        program.send_live(&frame, COPIES).context(
            "the kernel makes no live frames (Linux 5.18 is needed): leave out --kernel",
        )?;
        self.sent += u64::from(COPIES);
        ends.sent_elsewhere(Port::A, u64::from(COPIES), u64::from(COPIES) * frame.len() as u64);
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
