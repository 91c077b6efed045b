//! The program on real wires: two veth pairs in namespaces of their own, with a bare forwarder, Tollgate's engine, or
//! a liar between them. Needs root, and says so where it is not.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test")]

use std::{
    fs::File,
    path::PathBuf,
    process::{Command, Output},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::sched::{CloneFlags, setns};
use serde_json::Value;
use tollgate_engine::{Config, Mesh, Worker};
use tollgate_link::{
    Link, Port,
    xsk::{Fail, Pair, PairConfig, XskLink},
};
use tollgate_policy::{Data, Flow, Interest, Policy, Reports, Verdict};
use tollgate_wire::{Direction, Timestamp};

static ALONE: Mutex<()> = Mutex::new(());
static COUNT: AtomicU32 = AtomicU32::new(1);

/// A lab with both far ends in one namespace, and a thread that forwards in the gate.
struct Lab {
    name: String,
    stop: Arc<AtomicBool>,
    forwarder: Option<JoinHandle<()>>,
    _alone: MutexGuard<'static, ()>,
}

impl Lab {
    /// `forward` is called over and over in the gate; none, with a line, where there can be no lab.
    fn with<F>(begin: impl FnOnce(XskLink) -> F + Send + 'static) -> Option<Self>
    where
        F: FnMut(),
    {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: not root, so no network namespaces");
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tollgate-{}-{}", std::process::id(), 500 + count);
        let up = script().args(["up", "--generator", "--name", &name]).output().unwrap();
        assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = mpsc::channel();
        let (path, stopped) = (format!("/run/netns/{name}-gate"), Arc::clone(&stop));
        let forwarder = std::thread::spawn(move || {
            setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            let mut config = PairConfig::new("a0", "b0");
            // Under "wire" a thread that gets no turn for 20 ms is bypassed, which is not what is tested here.
            config.fail = Fail::Closed;
            let (pair, mut links) = Pair::open(&config).unwrap();
            let mut forward = begin(links.remove(0));
            ready.send(()).unwrap();
            while !stopped.load(Ordering::Relaxed) {
                forward();
            }
            pair.close().unwrap();
        });
        let lab = Self { name, stop, forwarder: Some(forwarder), _alone: alone };
        is_ready.recv().expect("the forwarder began");
        Some(lab)
    }

    /// Runs the program between the far ends.
    fn run(&self, arguments: &[&str]) -> Output {
        script()
            .args(["exec", &self.name, "client", env!("CARGO_BIN_EXE_tollgate-gen")])
            .args(arguments)
            .args(["--ports", "c0:s0", "--format", "json", "--quiet"])
            .output()
            .unwrap()
    }

    /// The same where all must be right.
    fn figures(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {text}{errors}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.forwarder.take().map(JoinHandle::join);
        let status = script().args(["down", &self.name]).status();
        if !std::thread::panicking() {
            assert!(ended.is_none_or(|ended| ended.is_ok()), "the forwarder ended well");
            assert!(status.is_ok_and(|status| status.success()), "the lab came down");
        }
    }
}

fn script() -> Command {
    let mut command = Command::new("bash");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/lab.sh"));
    command
}

/// Moves frames and does nothing else; `change` may spoil them.
fn bare(
    mut link: XskLink,
    mut change: impl FnMut(Port, &mut [u8]) + Send + 'static,
) -> impl FnMut() {
    let mut batch = Vec::with_capacity(64);
    move || {
        let mut received = 0;
        for port in Port::BOTH {
            received += link.receive(port, &mut batch);
            for frame in &mut batch {
                change(port, frame.as_mut());
            }
            link.transmit(port.peer(), &mut batch);
            for frame in batch.drain(..) {
                link.release(frame);
            }
        }
        if received == 0 {
            link.wait(Duration::from_millis(1));
        }
    }
}

/// A rule that looks at all data, as most do.
#[derive(Default)]
struct Look(usize);

impl Policy for Look {
    fn interest(&self) -> Interest {
        Interest::RECEIVE_DATA
    }

    fn receive_data(
        &mut self,
        _: &mut Flow<'_>,
        data: &mut Data<'_>,
        _: Direction,
        _: &mut Reports,
    ) -> Verdict {
        self.0 += data.chunks().iter().filter_map(|chunk| chunk.first()).count();
        Verdict::Accept
    }
}

/// Tollgate's engine, without the program around it.
fn engine(link: XskLink) -> impl FnMut() {
    let mut worker = Worker::new(Config::default(), link, Look::default(), Mesh::alone());
    let begin = Instant::now();
    move || {
        let now = Timestamp::from_secs(1) + begin.elapsed();
        let turn = worker.poll(now);
        worker.reports().drain().for_each(drop);
        assert_eq!(worker.counters().balance(), 0, "every frame has a fate");
        if turn.received == 0 {
            worker.link_mut().wait(Duration::from_millis(1));
        }
    }
}

#[test]
fn two_thousand_connections_complete_behind_a_bare_forwarder() {
    let Some(lab) = Lab::with(|link| bare(link, |_, _| {})) else { return };
    for family in [&[][..], &["--ipv6"]] {
        let arguments = ["tcp", "--flows", "100", "--connections", "2000", "--seconds", "60"];
        let figures = lab.figures(&[&arguments[..], family].concat());
        assert_eq!(figures["completed"], 2000);
        assert_eq!(figures["reset"], 0);
        assert_eq!(figures["changed_segments"], 0);
    }
}

#[test]
fn connections_complete_behind_the_engine_though_frames_are_lost_and_reordered() {
    let Some(lab) = Lab::with(engine) else { return };
    let figures = lab.figures(&[
        "tcp",
        "--flows",
        "100",
        "--connections",
        "1000",
        "--response",
        "20000",
        "--exchanges",
        "2",
        "--loss",
        "1",
        "--reorder",
        "2",
        "--seconds",
        "120",
    ]);
    assert_eq!(figures["completed"], 1000);
    assert!(figures["lost_on_purpose"].as_u64().unwrap() > 0);
    assert!(figures["repeated_segments"].as_u64().unwrap() > 0);
}

#[test]
fn stamps_cross_the_engine_and_come_back() {
    let Some(lab) = Lab::with(engine) else { return };
    let figures = lab.figures(&["latency", "--rate", "2000", "--seconds", "1"]);
    let (sent, arrived) = (figures["sent_segments"].as_u64(), figures["arrived_segments"].as_u64());
    assert_eq!(sent, arrived);
    assert!(sent.unwrap() > 100, "{figures}");
    assert!(figures["round_trip_p50_us"].as_f64() > figures["one_way_p50_us"].as_f64());
}

#[test]
fn a_search_ends_with_a_rate() {
    let Some(lab) = Lab::with(|link| bare(link, |_, _| {})) else { return };
    // Half may be lost: on a machine that does other things, something always is.
    let figures = lab.figures(&[
        "search",
        "--max",
        "20000",
        "--trial",
        "300",
        "--loss",
        "50",
        "--precision",
        "50",
    ]);
    assert!(figures["rate_without_loss_pps"].as_u64().unwrap() > 0, "{figures}");
}

#[test]
fn a_flood_arrives_and_is_counted() {
    let Some(lab) = Lab::with(|link| bare(link, |_, _| {})) else { return };
    for kind in ["syn", "data", "imix"] {
        let figures = lab.figures(&["flood", "--kind", kind, "--rate", "5000", "--seconds", "1"]);
        let sent = figures["sent_frames"].as_u64().unwrap();
        assert!((1000..=5100).contains(&sent), "{figures}");
        assert!(figures["arrived_frames"].as_u64().unwrap() > sent / 2, "{figures}");
    }
}

#[test]
fn a_flood_made_by_the_kernel_arrives_as_well() {
    let Some(lab) = Lab::with(|link| bare(link, |_, _| {})) else { return };
    let figures = lab.figures(&["flood", "--kernel", "--rate", "5000", "--seconds", "1"]);
    let sent = figures["sent_frames"].as_u64().unwrap();
    assert!((1000..=5100).contains(&sent), "{figures}");
    assert!(figures["arrived_frames"].as_u64().unwrap() > sent / 2, "{figures}");
}

#[test]
fn a_capture_arrives_as_it_was_sent() {
    let Some(lab) = Lab::with(|link| bare(link, |_, _| {})) else { return };
    let capture: PathBuf = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/demo.pcap.gz").into();
    let figures = lab.figures(&["replay", "-r", capture.to_str().unwrap(), "--rate", "2000"]);
    assert!(figures["sent_packets"].as_u64().unwrap() > 10, "{figures}");
    assert_eq!(figures["arrived_as_sent"], figures["sent_packets"], "{figures}");
}

#[test]
fn who_changes_a_byte_under_a_right_checksum_is_found_out() {
    let mut count = 0;
    let liar = move |_: Port, frame: &mut [u8]| {
        if frame.len() > 500 {
            count += 1;
            if count == 20 {
                // Two words exchanged: the sum stays.
                frame.swap(200, 202);
                frame.swap(201, 203);
            }
        }
    };
    let Some(lab) = Lab::with(move |link| bare(link, liar)) else { return };
    let output = lab.run(&["tcp", "--connections", "100", "--seconds", "20"]);
    assert_eq!(output.status.code(), Some(1));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["changed_segments"], 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("with other bytes"));
}

#[test]
fn what_cannot_begin_says_what_to_do() {
    let program = || Command::new(env!("CARGO_BIN_EXE_tollgate-gen"));
    let said = |command: &mut Command| {
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = said(program().args(["tcp", "--ports", "one"]));
    assert_eq!(code, Some(2));
    assert!(text.contains("eth1:eth2"), "{text}");
    let (code, text) = said(program().args(["tcp", "--ports", "no-such-a:no-such-b"]));
    assert_eq!(code, Some(2));
    assert!(text.contains("no-such-a"), "{text}");
    let much = ["--exchanges", "3000", "--response", "1000000"];
    let (code, text) = said(program().args(["tcp", "--ports", "a:b"]).args(much));
    assert_eq!(code, Some(2));
    assert!(text.contains("fewer --exchanges"), "{text}");
}
