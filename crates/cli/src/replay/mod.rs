//! `tollgate replay`: a capture through the same engine, without a network, a clock or a race.

mod checksums;
mod stage;

use std::io::{self, BufWriter, IsTerminal as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tollgate_link::pcap::{Reader, Writer};
use tollgate_policy::{Policy, Report};

pub use stage::Stage;

use checksums::Repair;

use crate::args::ReplayArgs;
use crate::config::{Config, Limits, Midstream};
use crate::events::{self, Format, Kinds, Origin, WallTime};
use crate::rules::{Load, Rules, Terms, unfollowed};
use crate::say;
use crate::summary::Summary;

/// How often a long replay says how far it is, and how many packets pass between two looks at the
/// clock.
const PROGRESS: Duration = Duration::from_secs(1);
const PROGRESS_PACKETS: u64 = 4096;

/// What a replay is given: the configuration with the command line on top.
///
/// # Errors
/// Faults of the configuration.
pub fn configure(args: &ReplayArgs) -> anyhow::Result<Config> {
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        // Haka has no bound, and here nobody is flooded: what one packet brings is printed before the next.
        None => {
            let limits = Limits { alerts_per_second_max: u32::MAX, ..Limits::default() };
            Config { limits, ..Config::default() }
        }
    };
    if let Some(midstream) = args.midstream {
        config.midstream = midstream;
    }
    Ok(config)
}

/// The engine's part of `config` as a replay wants it: the same keys each time, and room for
/// packets that a card had merged.
#[must_use]
pub fn engine_config(config: &Config, report_connections: bool) -> tollgate_engine::Config {
    tollgate_engine::Config {
        mtu: u32::MAX,
        complete_checksums: false,
        in_order: true,
        recorded_ends: true,
        // No program that would cost something.
        shunt_packets_min: 0,
        report_connections,
        hash_keys: [1, 2, 3, 4],
        ..config.engine()
    }
}

/// Replays as the command line says.
///
/// # Errors
/// A fault in what was given, with its place.
pub(crate) fn replay<R: Rules>(
    args: &ReplayArgs,
    quiet: bool,
    load: &impl Load<R>,
) -> anyhow::Result<()> {
    let mut config = configure(args)?;
    let terms = Terms {
        on_rule_error: config.on_rule_error,
        pass_through: args.pass_through,
        // Its text is compared with what Haka prints.
        quiet_failures: !args.output.json,
        // No clock: a replay says the same on every machine.
        watch: None,
    };
    let rules = load(args.rules.as_deref(), terms)?;
    if args.midstream.is_none() && args.config.is_none() && !rules.follows_connections() {
        // To a script of packets a capture that begins in the middle of things is a capture like
        // any other, as it is to Haka, which then follows nothing.
        config.midstream = Midstream::Pickup;
    }
    let reader = Reader::open(&args.read)?;
    let writer = match &args.write {
        Some(path) => Some(create(args, path, &reader)?),
        None => None,
    };
    if !quiet {
        say(&format_args!("rules: {rules}"));
        if let Some(unfollowed) = unfollowed(rules.interest(), config.follow) {
            say(&unfollowed);
        }
    }
    let repair = Repair::new(args.checksums, &args.read, rules.follows_connections());
    if !quiet {
        for sender in repair.senders() {
            say(&format_args!(
                "checksums of {sender} are mostly wrong, as if left to its card: made right; --checksums verify \
                 drops such packets"
            ));
        }
    }
    let policies: Result<Vec<_>, _> = (0..args.workers).map(|_| rules.policy()).collect();
    let (format, kinds) = match args.output.json {
        true => (Format::Json, Kinds::ALL),
        false => (Format::Haka, Kinds { connections: false, ..Kinds::ALL }),
    };
    let kinds = args.output.events.unwrap_or(kinds);
    let engine = engine_config(&config, kinds.connections);
    let levels = args.output.log_level.clone();
    let stdout = io::stdout();
    let is_terminal = stdout.is_terminal();
    let out = events::Writer::new(BufWriter::new(stdout), format, kinds, levels)
        .for_terminal(is_terminal);
    let mut run = Run { stage: Stage::new(&engine, policies?), writer, out, nobody_reads: false };
    let began = Instant::now();
    let progress = !quiet && io::stderr().is_terminal();
    let ended = run.messages(&rules).and_then(|()| run.packets(reader, &repair, progress));
    // What has happened until a broken packet is worth telling, too.
    let finished = run.finish();
    if !quiet {
        let (alerts, reports_lost) = run.stage.alerts_and_lost();
        say(&Summary {
            title: &args.read.display().to_string(),
            ports: ["", ""],
            counters: &run.stage.counters(),
            alerts,
            reports_lost,
            delays: None,
            took: began.elapsed(),
        });
    }
    ended.and(finished)
}

/// Opens the capture to be written, unless that is the one being read.
fn create(args: &ReplayArgs, path: &Path, reader: &Reader) -> anyhow::Result<Writer> {
    let same = |other: &Path| Some(path.canonicalize().ok()? == other.canonicalize().ok()?);
    if same(&args.read) == Some(true) {
        bail!("{}: is the capture being read; write to another file", path.display());
    }
    Ok(Writer::create(path, reader)?)
}

/// A replay under way.
struct Run<P: Policy> {
    stage: Stage<P>,
    writer: Option<Writer>,
    out: events::Writer<BufWriter<io::Stdout>>,
    nobody_reads: bool,
}

impl<P: Policy> Run<P> {
    /// What the script said while it was loaded.
    fn messages(&mut self, rules: &impl Rules) -> anyhow::Result<()> {
        for message in rules.messages() {
            self.print(0, &Report::Log(message.clone()))?;
        }
        Ok(())
    }

    fn packets(
        &mut self,
        mut reader: Reader,
        repair: &Repair,
        progress: bool,
    ) -> anyhow::Result<()> {
        let mut number: u64 = 0;
        let mut say_at = Instant::now() + PROGRESS;
        while let Some(packet) = reader.next()? {
            let time = packet.time;
            let mends = repair.apply(packet.frame);
            self.stage.packet_mended(time, packet.port, packet.frame, mends);
            self.take()?;
            if self.nobody_reads && self.writer.is_none() {
                return Ok(());
            }
            number += 1;
            if progress && number.is_multiple_of(PROGRESS_PACKETS) && Instant::now() >= say_at {
                say_at = Instant::now() + PROGRESS;
                say(&format_args!("{number} packets, at {}", WallTime(time)));
            }
        }
        if reader.snapped() > 0 {
            // Such packets contradict their own lengths and are dropped as malformed.
            tracing::warn!(
                "{}: {} packets were cut short when they were captured",
                reader.path().display(),
                reader.snapped()
            );
        }
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.stage.finish();
        self.take()?;
        if let Some(writer) = self.writer.take() {
            writer.finish()?;
        }
        if self.nobody_reads { Ok(()) } else { gone(self.out.flush()).map(drop) }
    }

    /// Takes what the last packet has brought about: frames to the capture, reports to stdout.
    fn take(&mut self) -> anyhow::Result<()> {
        let Self { stage, writer, .. } = self;
        let mut written = Ok(());
        stage.drain_frames(|_, time, frame| {
            if let Some(writer) = writer
                && written.is_ok()
            {
                written = writer.write(time, frame);
            }
        });
        written?;
        let mut reports = Vec::new();
        self.stage.drain_reports(|worker, report| reports.push((worker, report)));
        reports.iter().try_for_each(|(worker, report)| self.print(*worker, report))
    }

    fn print(&mut self, worker: usize, report: &Report) -> anyhow::Result<()> {
        if !self.nobody_reads {
            let origin = Origin { pair: None, worker };
            self.nobody_reads = gone(self.out.write(origin, report))?;
        }
        Ok(())
    }
}

/// Whether the reader of stdout has gone (`| head`): no fault of ours, and no reason to fail.
fn gone(written: io::Result<()>) -> anyhow::Result<bool> {
    match written {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        Err(error) => Err(error).context("standard output"),
    }
}
