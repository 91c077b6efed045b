//! Runs over connections: exchanges by themselves, a constant rate with time stamps, and the search for the
//! highest rate at which nothing is lost.

use tollgate_link::{Link, Port};

use crate::{
    addresses::{Addresses, CONNECTIONS_MAX},
    clock::{Clock, due},
    ends::{BATCH, Ends, Mishaps},
    halving::{Halving, Trial},
    report::Report,
    tcp::{Connections, Load, flow::Script, tally::Tally},
};

/// How long connections may take to finish and close at the end of a run. What still moves then is cut off.
const CLOSING_NS: u64 = 3_000_000_000;
/// What has not moved for so long does not move any more, whatever is repeated meanwhile.
const STUCK_MS: u32 = 1500;
/// How long all connections of a rate run may take to open.
const OPENING_NS: u64 = 20_000_000_000;
/// How long a generator that was kept from its core may take to send what is due.
const LATE_NS: u64 = 100_000_000;
/// How long the last frames of a trial may take.
const DRAIN_NS: u64 = 100_000_000;

/// Connections that do as their script says, for a time or until there were enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchanges {
    pub(crate) load: Load,
    pub(crate) seconds: u64,
    pub(crate) mishaps: Mishaps,
}

impl Exchanges {
    pub(crate) fn run<L: Link>(
        &self,
        ends: &mut Ends<L>,
        addresses: &Addresses,
        clock: &mut Clock,
        seed: u64,
    ) -> Report {
        ends.set_mishaps(self.mishaps);
        let mut connections = Connections::new(self.load, addresses.clone(), seed);
        let begin_ns = clock.now_ns();
        let mut end_ns = begin_ns + self.seconds * 1_000_000_000;
        // What is counted for rates: until the closing begins.
        let mut measured = None;
        loop {
            let now_ns = clock.now_ns();
            connections.turn(ends, || clock.now_ns());
            let is_late = now_ns >= end_ns || clock.is_stopped();
            if measured.is_none() && (is_late || connections.is_done()) {
                measured =
                    Some((now_ns - begin_ns, connections.tally().clone(), connections.live()));
                connections.close();
                end_ns = now_ns;
            }
            if measured.is_some() && (connections.live() == 0 || now_ns > end_ns + CLOSING_NS) {
                break;
            }
            clock.show(|| progress(&connections));
        }
        let (measured_ns, measured, live) =
            measured.unwrap_or_else(|| (clock.now_ns() - begin_ns, connections.tally().clone(), 0));
        let seconds = measured_ns.max(1) as f64 / 1e9;
        let stuck = connections.stuck(STUCK_MS.max(5 * self.load.repeat_ms));
        let report = self.report(ends, &connections, &measured, seconds, (live, stuck));
        connections.abort(ends);
        report
    }

    fn report<L: Link>(
        &self,
        ends: &Ends<L>,
        connections: &Connections,
        measured: &Tally,
        seconds: f64,
        (live, stuck): (u32, u64),
    ) -> Report {
        let tally = connections.tally();
        let mut report = Report::default();
        report.add_rounded("seconds", seconds);
        report.add("opened", tally.opened);
        report.add("established", tally.established);
        report.add("completed", tally.completed);
        report.add("most_open", tally.most_open);
        report.add("open_at_the_end", live);
        report.add_rounded("established_per_s", measured.established as f64 / seconds);
        report.add_rounded("completed_per_s", measured.completed as f64 / seconds);
        let [to_client, to_server] = measured.delivered;
        report.add_rounded("to_server_mbit_per_s", to_server as f64 * 8.0 / seconds / 1e6);
        report.add_rounded("to_client_mbit_per_s", to_client as f64 * 8.0 / seconds / 1e6);
        add_frames(&mut report, ends, seconds);
        report.add("repeated_segments", tally.repeated);
        report.add("duplicate_segments", tally.duplicate);
        report.add("reset", tally.reset);
        report.add("timed_out", tally.timed_out);
        report.add("cut_off", u64::from(connections.live()) - stuck);
        report.add("stuck", stuck);
        report.add("bytes_per_connection", Connections::bytes_each());
        add_faults(&mut report, tally);
        report.add_times("opening", &tally.opening_ns);
        for (count, what) in [
            (tally.reset, "were reset by what stands in the wire"),
            (tally.timed_out, "were given up: nothing came back"),
            (stuck, "did not move any more"),
        ] {
            if count > 0 {
                report.fault(format!("{count} connections {what}"));
            }
        }
        report
    }
}

/// Stamped segments at a constant rate, whatever comes back, over connections that stay open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constant {
    pub(crate) flows: u32,
    pub(crate) frame_bytes: usize,
    pub(crate) rate: u64,
    pub(crate) millis: u64,
    pub(crate) echo: bool,
    pub(crate) open_rate: u64,
    pub(crate) ack_every: u8,
}

/// What a constant rate has come to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// Stamped segments.
    pub(crate) sent: u64,
    pub(crate) arrived: u64,
    pub(crate) seconds: f64,
    /// Connections that did not open.
    pub(crate) unopened: u32,
}

impl Constant {
    /// `number` counts the runs of this process: each has addresses of its own.
    pub(crate) fn run<L: Link>(
        &self,
        ends: &mut Ends<L>,
        addresses: &Addresses,
        clock: &mut Clock,
        seed: u64,
        number: u64,
    ) -> Outcome {
        let mut connections = Connections::new(self.load(number), addresses.clone(), seed);
        let began_ns = clock.now_ns();
        while connections.tally().established < u64::from(self.flows) {
            let now_ns = clock.now_ns();
            connections.turn(ends, || clock.now_ns());
            if now_ns > began_ns + OPENING_NS || clock.is_stopped() {
                break;
            }
            clock.show(|| format!("{} connections open", connections.tally().established));
        }
        let opened = connections.tally().established;
        let headers = crate::frame::len(addresses, crate::frame::ACK, 0);
        let len = u32::try_from(self.frame_bytes.saturating_sub(headers).max(8)).unwrap_or(8);

        let (begin_ns, mut place, mut sent, mut behind) = (clock.now_ns(), 0, 0_u64, 0);
        let end_ns = begin_ns + self.millis * 1_000_000;
        let mut now_ns = begin_ns;
        let all = due(self.rate, end_ns - begin_ns);
        let is_done = |now_ns, sent| {
            now_ns >= end_ns && (sent >= all || now_ns > end_ns + LATE_NS || self.rate == 0)
        };
        while !is_done(now_ns, sent) && opened > 0 && !clock.is_stopped() {
            let due = due(self.rate, now_ns - begin_ns).min(all);
            for _ in 0..BATCH {
                if sent >= due {
                    break;
                }
                // Read anew, since a stamp that is old when it leaves would blame the wire.
                let stamp = clock.now_ns();
                behind =
                    if connections.push(ends, place, Port::A, len, stamp) { 0 } else { behind + 1 };
                sent += u64::from(behind == 0);
                place = (place + 1) % self.flows;
                if behind > self.flows {
                    break;
                }
            }
            ends.flush();
            now_ns = clock.now_ns();
            connections.turn(ends, || clock.now_ns());
            clock.show(|| progress_at(self.rate, sent, connections.tally()));
        }
        let stopped_ns = now_ns;
        while connections.tally().one_way_ns.len() < sent && now_ns < stopped_ns + DRAIN_NS {
            now_ns = clock.now_ns();
            connections.turn(ends, || clock.now_ns());
        }
        let tally = connections.tally().clone();
        connections.abort(ends);
        Outcome {
            arrived: tally.one_way_ns.len(),
            sent,
            seconds: (stopped_ns - begin_ns).max(1) as f64 / 1e9,
            unopened: self.flows - u32::try_from(opened).unwrap_or(self.flows),
            tally,
        }
    }

    pub(crate) fn report<L: Link>(&self, ends: &Ends<L>, outcome: &Outcome) -> Report {
        let Outcome { tally, sent, arrived, seconds, unopened } = outcome;
        let mut report = Report::default();
        report.add("flows", self.flows);
        report.add("frame_bytes", self.frame_bytes);
        report.add("wanted_pps", self.rate);
        report.add_rounded("seconds", *seconds);
        report.add_rounded("sent_pps", *sent as f64 / seconds);
        report.add_rounded("arrived_pps", *arrived as f64 / seconds);
        report.add("sent_segments", *sent);
        report.add("arrived_segments", *arrived);
        report.add("missing_segments", sent.saturating_sub(*arrived));
        add_frames(&mut report, ends, *seconds);
        report.add("reset", tally.reset);
        add_faults(&mut report, tally);
        report.add_times("one_way", &tally.one_way_ns);
        report.add_times("round_trip", &tally.round_trip_ns);
        if *unopened > 0 {
            report.fault(format!("{unopened} connections did not open: does anything forward?"));
        }
        report
    }

    fn load(&self, number: u64) -> Load {
        let script = Script {
            request: 1,
            response: 0,
            exchanges: 1,
            mss: 1460,
            window: u32::MAX,
            ack_every: self.ack_every,
            by_hand: true,
            echo: self.echo,
        };
        Load {
            script,
            flows: self.flows,
            connections_max: u64::from(self.flows),
            open_rate: self.open_rate,
            in_flight_max: 128,
            repeat_ms: 100,
            together: false,
            // Far from each other, so that runs of this process share no connection.
            first: number * u64::from(self.flows) % CONNECTIONS_MAX,
        }
    }
}

/// The highest rate at which at most so much is lost (RFC 2544 section 26.1, by halving).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    pub(crate) constant: Constant,
    pub(crate) rate_max: u64,
    pub(crate) loss_max: f64,
    /// Percent between the last rate that passed and the first that did not.
    pub(crate) precision: f64,
    /// Trials in a row that a rate must fail.
    pub(crate) tries: u32,
}

impl Search {
    pub(crate) fn run<L: Link>(
        &self,
        ends: &mut Ends<L>,
        addresses: &Addresses,
        clock: &mut Clock,
        (seed, first): (u64, u64),
    ) -> Report {
        let mut halving = Halving::new(self.rate_max, self.precision, self.tries);
        let (mut best, mut own_limit, mut trials, mut faults) = (None, false, 0, 0);
        while let Some(rate) = halving.rate().filter(|_| !clock.is_stopped()) {
            let trial = Constant { rate, ..self.constant };
            let outcome = trial.run(ends, addresses, clock, seed, first + trials);
            trials += 1;
            let pps = |count: u64| count as f64 / outcome.seconds;
            let missing = outcome.sent.saturating_sub(outcome.arrived) as f64
                / outcome.sent.max(1) as f64
                * 100.0;
            // What the generator itself could not send, nobody has passed.
            let achieved = rate.min(whole(pps(outcome.sent)));
            let lossless = missing <= self.loss_max;
            let passed = outcome.unopened == 0 && lossless && achieved > rate / 2;
            clock.finish();
            eprintln!(
                "trial {trials}: {rate} pps wanted, {:.0} sent, {:.0} arrived, {missing:.3} % missing: {}",
                pps(outcome.sent),
                pps(outcome.arrived),
                if passed { "passed" } else { "failed" },
            );
            faults += u64::from(!outcome.tally.is_clean());
            own_limit = lossless && achieved < rate / 50 * 49;
            halving.tell(match passed {
                true => Trial::Passed(achieved),
                false if own_limit => Trial::Unsent,
                false => Trial::Failed(whole(pps(outcome.arrived.min(outcome.sent)))),
            });
            if passed {
                best = Some(outcome);
            }
        }
        self.report(best.as_ref(), halving.passed(), trials, own_limit, faults)
    }

    fn report(
        &self,
        best: Option<&Outcome>,
        rate: u64,
        trials: u64,
        own_limit: bool,
        faults: u64,
    ) -> Report {
        let bits = (self.constant.frame_bytes * 8) as f64;
        let mut report = Report::default();
        report.add("frame_bytes", self.constant.frame_bytes);
        report.add("flows", self.constant.flows);
        report.add("trials", trials);
        report.add("loss_max_percent", self.loss_max);
        report.add("rate_without_loss_pps", rate);
        report.add_rounded("rate_without_loss_mbit_per_s", rate as f64 * bits / 1e6);
        report.add("limited_by_generator", own_limit || rate >= self.rate_max);
        if let Some(outcome) = best {
            report.add_times("one_way", &outcome.tally.one_way_ns);
        }
        if faults > 0 {
            report.fault(format!("{faults} trials brought back what was never sent"));
        }
        if rate == 0 {
            report.fault("nothing passed at any rate: does anything forward?".to_owned());
        }
        report
    }
}

fn add_frames<L: Link>(report: &mut Report, ends: &Ends<L>, seconds: f64) {
    let (a, b) = (ends.of(Port::A), ends.of(Port::B));
    report.add("sent_frames", a.sent + b.sent);
    report.add("arrived_frames", a.received + b.received);
    report.add("missing_frames", ends.on_the_way());
    report.add("lost_on_purpose", a.lost_on_purpose + b.lost_on_purpose);
    report.add("reordered_on_purpose", a.reordered + b.reordered);
    report.add("refused_frames", a.refused + b.refused);
    report.add_rounded("frames_pps", (a.received + b.received) as f64 / seconds);
}

fn add_faults(report: &mut Report, tally: &Tally) {
    report.add("stray_frames", tally.stray);
    report.add("strangers", tally.strangers);
    for (name, count, what) in [
        ("broken_frames", tally.broken, "frames came back with a wrong checksum or length"),
        ("changed_segments", tally.changed, "segments came back with other bytes"),
        ("invented_segments", tally.invented, "segments came back that say what no end has said"),
    ] {
        report.add(name, count);
        if count > 0 {
            report.fault(format!("{count} {what}"));
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is neither")]
const fn whole(rate: f64) -> u64 {
    rate as u64
}

fn progress(connections: &Connections) -> String {
    let tally = connections.tally();
    let [to_client, to_server] = tally.delivered;
    format!(
        "{} open, {} completed, {} MB delivered, {} repeated, {} reset, {} given up",
        connections.live(),
        tally.completed,
        (to_client + to_server) / 1_000_000,
        tally.repeated,
        tally.reset,
        tally.timed_out,
    )
}

fn progress_at(rate: u64, sent: u64, tally: &Tally) -> String {
    let arrived = tally.one_way_ns.len();
    let p99 = tally.one_way_ns.value_at_quantile(0.99) as f64 / 1000.0;
    format!("{rate} pps wanted, {sent} sent, {arrived} arrived, 99 % within {p99:.1} us")
}
