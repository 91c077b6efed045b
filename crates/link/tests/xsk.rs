//! AF_XDP links on real rings: veth pairs between network namespaces.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
#![expect(clippy::print_stdout, reason = "says when it is skipped")]

mod lab;

use std::{
    io::{BufRead, BufReader},
    os::fd::{AsFd, AsRawFd},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use lab::Lab;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};
use tollgate_link::{
    Frame, Link, Port,
    xsk::{
        Census, Fail, LinkCounts, Mode, OpenError, OtherFrames, Pair, PairConfig, QueueStatistics,
        Verdict, XskFrame, XskLink,
        steer::{SteerConfig, SteerProgram, Storage},
    },
};

const BATCH: usize = 64;

fn config() -> PairConfig {
    PairConfig { ring: 512, frames: 512, ..PairConfig::new("a", "b") }
}

/// Without bypass: on a busy machine a test's thread may well be away for 20 ms.
fn patient() -> PairConfig {
    PairConfig { stale: Duration::ZERO, ..config() }
}

fn until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain");
    }
}

#[test]
fn a_frame_crosses_without_being_copied() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let config = PairConfig { other: OtherFrames::User, ..patient() };
    let (pair, mut links) = Pair::open(&config).unwrap();
    let mut link = links.pop().unwrap();

    // All that arrives at the server, whoever it is for.
    let (ready, is_ready) = mpsc::channel();
    let (seen, is_seen) = mpsc::channel();
    let sniffing = lab.at_server(move || {
        let protocol = SockProtocol::EthAll;
        let all = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), protocol);
        let all = all.unwrap();
        let timeout = nix::sys::time::TimeVal::new(5, 0);
        setsockopt(&all, sockopt::ReceiveTimeout, &timeout).unwrap();
        ready.send(()).unwrap();
        let mut bytes = vec![0; 4096];
        while let Ok(len) = recv(all.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
            if seen.send(bytes.get(..len).unwrap().to_vec()).is_err() {
                return;
            }
        }
    });
    is_ready.recv().unwrap();
    let asking = lab.at_client(|| {
        lab::know_server();
        let socket = std::net::UdpSocket::bind("198.18.7.1:0").unwrap();
        socket.send_to(b"the way of one frame", (lab::SERVER, 9)).unwrap();
    });
    asking.join().unwrap();

    let mut batch = Vec::with_capacity(BATCH);
    let mut crossing = Vec::new();
    until(|| {
        link.receive(Port::A, &mut batch);
        for frame in batch.drain(..) {
            if frame.as_ref().ends_with(b"the way of one frame") {
                crossing.push(frame);
            } else {
                link.release(frame);
            }
        }
        !crossing.is_empty()
    });
    let frame = crossing.first().unwrap();
    let (address, bytes) = (frame.address(), frame.as_ref().to_vec());

    assert_eq!(link.transmit(Port::B, &mut crossing), 1);
    until(|| {
        link.receive(Port::B, &mut batch);
        link.last_completed(Port::B).is_some()
    });
    assert_eq!(link.last_completed(Port::B), Some(address), "the chunk it was received into");
    until(|| is_seen.recv_timeout(Duration::from_secs(5)).unwrap() == bytes);

    drop(is_seen);
    for frame in batch.drain(..) {
        link.release(frame);
    }
    assert_eq!(pair.steer_counts(Port::A).unwrap().of(Verdict::NoSocketWire).frames, 0);
    assert!(pair.steer_counts(Port::A).unwrap().of(Verdict::OtherUser).frames > 0);
    pair.close().unwrap();
    assert!(link.census().balances());
    assert_eq!(link.census().held, 0);
    drop(lab);
    sniffing.join().unwrap();
}

/// What a worker did, once it has stopped.
struct Report {
    census: Census,
    counts: LinkCounts,
    queues: Vec<QueueStatistics>,
}

/// Workers that forward all they get, until told to stop. With `hand_off`, each sends what its
/// neighbour has received.
fn forward(
    links: Vec<XskLink>,
    stop: &Arc<AtomicBool>,
    hand_off: bool,
) -> Vec<thread::JoinHandle<Report>> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        links.iter().map(|_| mpsc::channel::<(Port, XskFrame)>()).unzip();
    let workers = links.len();
    links
        .into_iter()
        .zip(receivers)
        .map(|(mut link, handed)| {
            let next = senders.get((link.worker() + 1) % workers).unwrap().clone();
            let stop = Arc::clone(stop);
            thread::spawn(move || {
                let mut batch = Vec::with_capacity(BATCH);
                let mut leaving = [Vec::new(), Vec::new()];
                let mut spent = Instant::now();
                // After the signal, as long as anything is left on its way.
                while !stop.load(Ordering::Relaxed) || spent.elapsed() < Duration::from_millis(200)
                {
                    if !stop.load(Ordering::Relaxed) {
                        spent = Instant::now();
                    }
                    for (port, leaving) in Port::BOTH.into_iter().zip(&mut leaving) {
                        link.receive(port.peer(), &mut batch);
                        for frame in batch.drain(..) {
                            if hand_off {
                                next.send((port, frame)).unwrap();
                            } else {
                                leaving.push(frame);
                            }
                        }
                    }
                    while let Ok((port, frame)) = handed.try_recv() {
                        leaving.get_mut(port.index()).unwrap().push(frame);
                    }
                    for (port, leaving) in Port::BOTH.into_iter().zip(&mut leaving) {
                        link.transmit(port, leaving);
                    }
                    link.wait(Duration::from_millis(1));
                }
                for frame in leaving.into_iter().flatten() {
                    link.release(frame);
                }
                let queues = link.statistics().collect();
                Report { census: link.census(), counts: link.counts(), queues }
            })
        })
        .collect()
}

/// TCP crosses by so many workers and queues; the counters prove the way, and no frame is lost.
fn crosses(workers: usize, queues: u32, hand_off: bool) {
    let Some(lab) = Lab::new(queues) else { return };
    lab.enter_gate();
    let config = PairConfig { workers, ..patient() };
    let (pair, links) = Pair::open(&config).unwrap();
    assert_eq!(links.len(), workers);
    let dealt: Vec<_> =
        pair.queues().iter().map(|info| (info.port, info.queue, info.worker)).collect();
    let expected: Vec<_> = Port::BOTH
        .into_iter()
        .flat_map(|port| (0..queues).map(move |queue| (port, queue, queue as usize % workers)))
        .collect();
    assert_eq!(dealt, expected);
    assert!(pair.queues().iter().all(|info| !info.zero_copy), "veth copies");
    assert!(Port::BOTH.into_iter().all(|port| pair.is_native(port)));

    let stop = Arc::new(AtomicBool::new(false));
    let working = forward(links, &stop, hand_off);
    let echoed = lab.echo(7001, 8, 300_000).join().unwrap();
    stop.store(true, Ordering::Relaxed);
    let reports: Vec<_> = working.into_iter().map(|worker| worker.join().unwrap()).collect();
    assert!(echoed, "what came back is not what was sent");

    let mut census = Census::default();
    let mut received = [0; 2];
    for Report { census: each, counts, queues } in &reports {
        assert!(each.balances(), "{each:?}");
        assert_eq!(*counts, LinkCounts::default());
        census += *each;
        for queue in queues {
            let counts = queue.counts;
            received[queue.port.index()] += counts.received;
            assert_eq!(counts.rx_fill_ring_empty, 0, "the fill ring ran dry");
            assert_eq!(counts.rx_invalid + counts.tx_invalid + counts.rx_ring_full, 0);
            assert_eq!(counts.wakeup_failed + counts.fill_short, 0);
        }
    }
    assert_eq!(census.held, 0, "{census:?}");
    assert_eq!(census.given, pair.frames() as u64);
    for port in Port::BOTH {
        let steered = pair.steer_counts(port).unwrap();
        assert_eq!(steered.of(Verdict::ToSocket).frames, received[port.index()]);
        assert!(steered.of(Verdict::ToSocket).bytes > 2_400_000);
        assert!(steered.of(Verdict::OtherKernel).frames > 0, "ARP crosses in the kernel");
        let straight =
            steered.of(Verdict::ToSocket).frames + steered.of(Verdict::OtherKernel).frames;
        assert_eq!(steered.frames(), straight, "{steered:?}");
    }
    pair.close().unwrap();
}

#[test]
fn tcp_crosses_with_one_worker_and_one_queue() {
    crosses(1, 1, false);
}

#[test]
fn tcp_crosses_with_one_worker_and_three_queues() {
    crosses(1, 3, false);
}

#[test]
fn tcp_crosses_with_two_workers_and_two_queues() {
    crosses(2, 2, false);
}

#[test]
fn frames_handed_to_a_worker_without_queues_leave_through_its_sibling() {
    crosses(2, 1, true);
}

#[test]
fn one_queue_serves_four_workers() {
    crosses(4, 1, true);
}

#[test]
fn frames_handed_between_workers_with_queues_come_home() {
    crosses(2, 2, true);
}

#[test]
fn a_second_open_says_who_holds_the_interface() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let (pair, links) = Pair::open(&config()).unwrap();
    let error = Pair::open(&PairConfig::new("b", "a")).unwrap_err();
    match &error {
        OpenError::Held { interface, pid, .. } => {
            assert_eq!((interface.as_str(), *pid), ("b", std::process::id()));
        }
        other => panic!("{other}"),
    }
    assert!(error.to_string().contains(&format!("held by process {}", std::process::id())));

    // Links alone still hold the queues.
    pair.close().unwrap();
    assert!(matches!(Pair::open(&config()), Err(OpenError::Held { .. })));
    drop(links);
    drop(Pair::open(&config()).unwrap());
}

#[test]
fn a_foreign_program_is_named() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let mut storage = Storage::default();
    let foreign = SteerProgram::load(&mut storage, &SteerConfig::default()).unwrap();
    let index = nix::net::if_::if_nametoindex("b").unwrap();
    libbpf_rs::Xdp::new(foreign.as_fd())
        .attach(i32::try_from(index).unwrap(), libbpf_rs::XdpFlags::NONE)
        .unwrap();
    match Pair::open(&config()).unwrap_err() {
        OpenError::ForeignProgram { interface, program, .. } => {
            assert_eq!((interface.as_str(), program.as_str()), ("b", "steer"));
        }
        other => panic!("{other}"),
    }
    assert_untouched(&lab, &["a"]);
}

/// Whether the next start cleans up after a process that died together with its interfaces.
#[test]
fn what_dead_processes_left_at_dead_interfaces_is_swept() {
    let Some(lab) = Lab::new(1) else { return };
    let mark = mark(&lab);
    drop(opened_by_a_child(&lab));
    assert!(!left_behind(&mark).is_empty(), "it was killed");
    drop(lab);
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    // The kernel takes its time to remove a namespace.
    until(|| {
        drop(Pair::open(&config()).unwrap());
        left_behind(&mark).is_empty()
    });
}

/// How the names of what belongs to the gate end.
fn mark(lab: &Lab) -> String {
    let namespace = std::fs::metadata(format!("/run/netns/{}", lab.gate())).unwrap();
    format!("-net{}", std::os::unix::fs::MetadataExt::ino(&namespace))
}

fn left_behind(mark: &str) -> Vec<String> {
    ["/sys/fs/bpf/tollgate", "/run/tollgate"]
        .into_iter()
        .filter_map(|directory| Path::new(directory).read_dir().ok())
        // Other tests remove the directories with their last entry, while they are read.
        .flat_map(Iterator::flatten)
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.contains(mark))
        .collect()
}

/// Nothing of ours is left at these interfaces.
fn assert_untouched(lab: &Lab, ports: &[&str]) {
    for port in ports {
        let shown = lab.ip_gate(&["-o", "link", "show", "dev", port]);
        assert!(!shown.contains("xdp"), "{shown}");
    }
    assert_eq!(left_behind(&mark(lab)), [""; 0]);
}

#[test]
fn opening_and_closing_twenty_times_under_traffic_leaves_nothing_behind() {
    let Some(lab) = Lab::new(2) else { return };
    lab.enter_gate();
    let over = Arc::new(AtomicBool::new(false));
    let knocking = {
        let over = Arc::clone(&over);
        lab.at_client(move || {
            lab::know_server();
            let address = format!("{}:7500", lab::SERVER).parse().unwrap();
            while !over.load(Ordering::Relaxed) {
                std::net::TcpStream::connect_timeout(&address, Duration::from_millis(5)).ok();
            }
        })
    };
    let mut seen = 0;
    for nth in 0..20 {
        let (pair, links) = Pair::open(&patient()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        if nth % 4 == 3 {
            let working = forward(links, &stop, false);
            thread::sleep(Duration::from_millis(50));
            stop.store(true, Ordering::Relaxed);
            for worker in working {
                assert!(worker.join().unwrap().census.balances());
            }
            seen += pair.steer_counts(Port::A).unwrap().of(Verdict::ToSocket).frames;
            pair.close().unwrap();
        } else if nth % 2 == 0 {
            // Either may go first.
            pair.close().unwrap();
            drop(links);
        } else {
            drop(links);
            drop(pair);
        }
        assert_untouched(&lab, &["a", "b"]);
    }
    over.store(true, Ordering::Relaxed);
    knocking.join().unwrap();
    assert!(seen > 0, "there was traffic");
}

#[test]
#[ignore = "what the next test starts as a process of its own"]
fn child_that_opens_and_waits_to_be_killed() {
    let Ok(gate) = std::env::var("TOLLGATE_TEST_GATE") else { return };
    lab::enter(&gate);
    let (_pair, mut links) = Pair::open(&config()).unwrap();
    println!("open");
    loop {
        for link in &mut links {
            link.wait(Duration::from_millis(1));
        }
    }
}

/// Killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that has opened the pair, and waits.
fn opened_by_a_child(lab: &Lab) -> Killed {
    let mut child = Killed(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_opens_and_waits_to_be_killed"])
            .args(["--ignored", "--nocapture"])
            .env("TOLLGATE_TEST_GATE", lab.gate())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let said = BufReader::new(child.0.stdout.take().unwrap()).lines();
    assert!(said.map_while(Result::ok).any(|line| line.ends_with("open")));
    child
}

#[test]
fn a_killed_process_fails_to_wire_and_is_taken_over() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    for round in 0..3 {
        let child = opened_by_a_child(&lab);
        match Pair::open(&config()) {
            Err(OpenError::Held { pid, .. }) => assert_eq!(pid, child.0.id()),
            other => panic!("{other:?}"),
        }
        drop(child);

        // Nobody is there, and the wire is not cut.
        assert!(lab.echo(7100 + round, 2, 20_000).join().unwrap());
    }

    let (pair, links) = Pair::open(&patient()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let working = forward(links, &stop, false);
    assert!(lab.echo(7110, 2, 20_000).join().unwrap());
    stop.store(true, Ordering::Relaxed);
    for worker in working {
        assert_eq!(worker.join().unwrap().census.held, 0);
    }
    assert!(pair.steer_counts(Port::A).unwrap().of(Verdict::ToSocket).frames > 20);
    pair.close().unwrap();
    assert_untouched(&lab, &["a", "b"]);
}

#[test]
fn a_hung_worker_is_bypassed_and_its_stale_frames_go_nowhere() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let (pair, mut links) = Pair::open(&config()).unwrap();
    let mut link = links.pop().unwrap();
    let mut batch: Vec<XskFrame> = Vec::with_capacity(BATCH);
    link.receive(Port::A, &mut batch);
    // This worker now takes no turn for as long as eight connections need.
    assert!(lab.echo(7200, 8, 20_000).join().unwrap());
    let bypassed = pair.steer_counts(Port::A).unwrap().of(Verdict::Bypassed).frames;
    assert!(bypassed > 20, "{bypassed}");

    let waiting = pair.steer_counts(Port::A).unwrap().of(Verdict::ToSocket).frames;
    assert_eq!(link.receive(Port::A, &mut batch), 0, "stale frames are not let out");
    let counts = link.counts();
    assert_eq!(counts.stale, waiting);
    assert!(counts.late >= 1, "more, if this machine was slow before");
    assert!(link.census().balances());
}

#[test]
fn a_late_worker_keeps_its_frames_if_none_was_bypassed() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let (pair, mut links) = Pair::open(&config()).unwrap();
    let mut link = links.pop().unwrap();
    let mut batch: Vec<XskFrame> = Vec::with_capacity(BATCH);
    let connecting = lab.at_client(|| {
        // Time for the turn before, so that the first SYN finds a fresh heartbeat.
        let address = format!("{}:7400", lab::SERVER).parse().unwrap();
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
    });
    until(|| {
        link.receive(Port::B, &mut batch);
        link.wait(Duration::from_millis(1));
        pair.steer_counts(Port::A).unwrap().of(Verdict::ToSocket).frames > 0
    });
    thread::sleep(Duration::from_millis(60));
    connecting.join().unwrap();
    let counts = pair.steer_counts(Port::A).unwrap();
    let received = link.receive(Port::A, &mut batch) as u64;
    assert!(link.counts().late > 0);
    if counts.of(Verdict::Bypassed).frames == 0 {
        assert_eq!(received, counts.of(Verdict::ToSocket).frames);
        assert_eq!(link.counts().stale, 0);
    } else {
        println!("not shown: this machine was too slow, and the kernel bypassed");
    }
    for frame in batch {
        link.release(frame);
    }
}

#[test]
fn failing_closed_a_hung_worker_keeps_its_frames() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let (pair, mut links) = Pair::open(&PairConfig { fail: Fail::Closed, ..config() }).unwrap();
    let connecting = lab.at_client(|| {
        let address = format!("{}:7300", lab::SERVER).parse().unwrap();
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_ok()
    });
    assert!(!connecting.join().unwrap());
    let mut batch: Vec<XskFrame> = Vec::with_capacity(BATCH);
    let mut link = links.pop().unwrap();
    assert!(link.receive(Port::A, &mut batch) > 0);
    let counts = pair.steer_counts(Port::A).unwrap();
    assert_eq!(counts.of(Verdict::Bypassed).frames + counts.of(Verdict::NoSocketWire).frames, 0);
    for frame in batch.drain(..) {
        link.release(frame);
    }

    drop(link);
    lab.at_client(|| {
        let address = format!("{}:7301", lab::SERVER).parse().unwrap();
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_ok()
    })
    .join()
    .unwrap();
    assert!(pair.steer_counts(Port::A).unwrap().of(Verdict::NoSocketClosed).frames > 0);
}

#[test]
fn what_cannot_be_opened_says_why() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let refused = |config: &PairConfig| Pair::open(config).unwrap_err().to_string();

    let error = refused(&PairConfig::new("a", "nowhere"));
    assert!(error.starts_with("nowhere: no such interface"), "{error}");
    let error = refused(&PairConfig::new("a", "a"));
    assert!(error.starts_with("a: given as both ports"), "{error}");
    let error = refused(&PairConfig { mode: Mode::ZeroCopy, ..config() });
    assert!(error.starts_with("a: queue 0 cannot do zero-copy"), "{error}");
    let error = refused(&PairConfig { ring: 100, ..config() });
    assert!(error.contains("power of two"), "{error}");
    let error = refused(&PairConfig { workers: 0, ..config() });
    assert!(error.contains("workers"), "{error}");

    lab.ip_gate(&["link", "set", "dev", "b", "mtu", "1400"]);
    let error = refused(&config());
    assert!(error.starts_with("a has an MTU of 1500 and b of 1400"), "{error}");
    for port in ["a", "b"] {
        lab.ip_gate(&["link", "set", "dev", port, "mtu", "9000"]);
    }
    let error = refused(&config());
    assert!(error.contains("MTU of 9000") && error.contains("mtu 3818"), "{error}");
    lab.ip_gate(&["link", "set", "dev", "b", "down"]);
    let error = refused(&config());
    assert!(error.starts_with("b: is down"), "{error}");
    assert_untouched(&lab, &["a", "b"]);
}

#[test]
#[ignore = "what the next test starts with fewer capabilities"]
fn child_that_may_not_open() {
    println!("refused: {}", Pair::open(&config()).unwrap_err());
}

#[test]
fn missing_capabilities_are_named() {
    let Some(lab) = Lab::new(1) else { return };
    let output = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", lab.gate()))
        .args(["setpriv", "--bounding-set=-net_raw,-bpf,-sys_admin"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_may_not_open", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("refused: a: not permitted, CAP_NET_RAW, CAP_BPF missing"), "{said}");
}

#[test]
fn larger_frames_have_larger_chunks() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    for port in ["a", "b"] {
        lab.ip_gate(&["link", "set", "dev", port, "mtu", "3000"]);
    }
    let (pair, mut links) = Pair::open(&config()).unwrap();
    assert_eq!(pair.memory(), pair.frames() * 4096);
    let frame = links.first_mut().unwrap().frame().unwrap();
    assert_eq!(frame.capacity(), 4096 - 256);
    links.first_mut().unwrap().release(frame);
}

#[test]
fn frames_can_be_forged_until_memory_is_short_and_none_is_lost() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let (pair, mut links) = Pair::open(&config()).unwrap();
    let link = links.first_mut().unwrap();
    let filled = link.census().filled;
    assert_eq!(filled, 2 * 512, "both fill rings are full");

    let mut frames: Vec<_> = std::iter::from_fn(|| link.frame()).collect();
    assert_eq!(frames.len() as u64, pair.frames() as u64 - filled, "the reserve included");
    assert!(link.frame().is_none());
    let mut addresses: Vec<_> = frames.iter().map(XskFrame::address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), frames.len(), "each is another chunk");

    let mut frame = frames.pop().unwrap();
    assert!(frame.as_ref().is_empty());
    assert!(!frame.set_len(frame.capacity() + 1));
    assert!(frame.set_len(frame.capacity()));
    frame.as_mut().fill(0x5a);
    assert!(frame.as_ref().iter().all(|byte| *byte == 0x5a));
    assert_eq!(frame.as_ref().len(), 2048 - 256);
    link.release(frame);

    // One that is dropped is counted, and comes back with the next turn.
    drop(frames.pop());
    assert_eq!(link.counts().orphaned, 1);
    let held = link.census().held;
    link.wait(Duration::ZERO);
    assert_eq!(link.census().held, held - 1);
    assert!(link.census().balances());

    // An empty one is not sent, since the kernel would never give it back.
    let mut empty = vec![frames.pop().unwrap()];
    assert_eq!(link.transmit(Port::A, &mut empty), 1);
    assert_eq!(link.counts().refused, 1);
    for frame in frames {
        link.release(frame);
    }
    assert_eq!(link.census().held, 0);
    assert!(link.census().balances());
}

#[test]
fn a_frame_outlives_its_pair() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let (pair, mut links) = Pair::open(&config()).unwrap();
    let mut frame = links.first_mut().unwrap().frame().unwrap();
    assert!(frame.set_len(64));
    drop(links);
    drop(pair);
    frame.as_mut().fill(7);
    assert_eq!(frame.as_ref(), [7; 64]);
}
