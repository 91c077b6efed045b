//! Connections that a rule has let go cross in the kernel: every byte arrives, no worker sees them, and their
//! ends are seen all the same. Those that were refused and go on are dropped there.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use crate::lab::{Lab, Options, SERVER_V4, SERVER_V6, Side, join};
use crate::program::{Metrics, Program};
use crate::raw_peer::{ACK, ByHand, PSH};
use crate::tagger::Tagged;
use crate::traffic::{self, End};

const MIB: u64 = 1 << 20;

/// Lets a connection go after its first 100 000 bytes, or when it says so.
const RULES: &str = "
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function (flow, current, dir)
        flow.seen = (flow.seen or 0) + #current
        local text = current:asstring()
        if flow.seen > 100000 or text:find('please go', 1, true) then
            flow:shunt()
        elseif text:find('please drop', 1, true) then
            flow:drop()
        end
    end
}
haka.rule{
    hook = tcp_connection.events.end_connection,
    eval = function (flow) print('seen ' .. flow.seen) end
}
";

/// What the XDP programs of both ports did so with.
fn steered(metrics: &Metrics, what: &str, verdict: &str) -> f64 {
    metrics.sum(what, &[&format!("verdict=\"{verdict}\"")])
}

const FRAMES: &str = "tollgate_steered_frames_total";
const BYTES: &str = "tollgate_steered_bytes_total";

fn ended(metrics: &Metrics, phase: &str) -> f64 {
    metrics.sum("tollgate_connections_total", &[&format!("phase=\"{phase}\"")])
}

fn shunted(metrics: &Metrics) -> f64 {
    metrics.sum("tollgate_flows", &["state=\"shunted\""])
}

/// A transfer both ways at once, and what it left in the counters.
fn transfer(lab: &Lab, program: &Program, server: IpAddr, bytes: u64) {
    let before = program.metrics(lab);
    let received = traffic::bulk(lab, SocketAddr::new(server, 7000), bytes);
    assert_eq!(received, (bytes, bytes), "{server}");
    let after = program.metrics(lab);
    let grown = |of: &dyn Fn(&Metrics) -> f64| of(&after) - of(&before);
    let payload = 2.0 * bytes as f64;
    let below = grown(&|metrics| steered(metrics, BYTES, "shunted"));
    assert!(below > 0.9 * payload, "{server}: only {below} bytes crossed in the kernel");
    let above = grown(&|metrics| metrics.sum("tollgate_received_bytes_total", &[]));
    assert!(above < 0.1 * payload, "{server}: workers have received {above} bytes");
    // What the workers know of it is what the program has counted.
    let frames = grown(&|metrics| steered(metrics, FRAMES, "shunted"));
    let told = grown(&|metrics| metrics.sum("tollgate_packets_shunted_total", &[]));
    // But for what a CPU was about to count while the shunt was taken out.
    assert!((frames - 4.0..=frames).contains(&told), "{server}: {told} of {frames}");
    assert_eq!(grown(&|metrics| ended(metrics, "closed")), 1.0, "{server}: its end was seen");
    assert_eq!(shunted(&after), 0.0);
    assert_eq!(after.sum("tollgate_unbalanced_turns_total", &[]), 0.0);
}

#[test]
fn a_transfer_crosses_in_the_kernel_after_its_first_bytes() {
    for workers in [1, 2] {
        let queues = workers;
        let Some(lab) = Lab::up(Options { queues, ..Options::default() }) else { return };
        let program = Program::start(&lab, RULES, workers);
        for server in [SERVER_V4, SERVER_V6] {
            transfer(&lab, &program, server, 16 * MIB);
        }
        let ended = program.stop();
        assert_eq!(ended.code, Some(0));
        let seen: Vec<u64> = ended
            .stdout
            .lines()
            .filter_map(|line| line.split_once("seen ")?.1.parse().ok())
            .collect();
        assert_eq!(seen.len(), 2, "{ended:?}");
        assert!(seen.iter().all(|&seen| seen < MIB), "rules have seen {seen:?} bytes");
    }
}

#[test]
fn behind_vlan_tags_it_does_too() {
    for vlans in [&[7][..], &[7, 9]] {
        let Some(lab) = Lab::up(Options::default()) else { return };
        let _tagged = Tagged::new(&lab, vlans);
        let program = Program::start(&lab, RULES, 1);
        transfer(&lab, &program, SERVER_V4, 4 * MIB);
        assert_eq!(program.stop().code, Some(0));
    }
}

/// A connection that was shunted at its first word.
fn let_go(address: SocketAddr) -> TcpStream {
    let mut stream = traffic::connect(address).expect("let in");
    stream.write_all(b"please go").unwrap();
    stream
}

#[test]
fn a_rst_ends_it_here_as_it_does_at_its_ends() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    let program = Program::start(&lab, RULES, 1);
    for server in [SERVER_V4, SERVER_V6] {
        let address = SocketAddr::new(server, 7000);
        let serving = traffic::server(&lab, address, 1, |mut stream| {
            let mut all = vec![0; 9 + 100_000];
            stream.read_exact(&mut all).unwrap();
            stream.write_all(&all).unwrap();
            traffic::next(&mut stream, Duration::from_secs(5))
        });
        lab.within(Side::Client, move || {
            let mut stream = let_go(address);
            stream.write_all(&[7; 100_000]).unwrap();
            stream.read_exact(&mut vec![0; 9 + 100_000]).unwrap();
            let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            setsockopt(&stream, sockopt::Linger, &at_once).unwrap();
        });
        assert_eq!(join(serving), [End::Reset]);
    }
    let metrics = program.metrics(&lab);
    assert_eq!((ended(&metrics, "reset_by_peer"), shunted(&metrics)), (2.0, 0.0));
    assert!(steered(&metrics, FRAMES, "shunted") > 100.0);
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn who_falls_silent_expires_and_who_speaks_does_not() {
    const CONFIG: &str =
        "fail = 'closed'\n[timeouts]\nestablished_s = 7\n[limits]\nshunt_packets_min = 0\n";
    let Some(lab) = Lab::up(Options::default()) else { return };
    let program = Program::start_configured(&lab, RULES, 1, CONFIG);
    let address = SocketAddr::new(SERVER_V4, 7000);
    let (silent, speaks) = (address, SocketAddr::new(SERVER_V4, 7001));
    let hear = |mut stream: TcpStream| while let Ok(1..) = stream.read(&mut [0; 64]) {};
    let serving = [silent, speaks].map(|address| traffic::server(&lab, address, 1, hear));
    let (first, second) = lab.within(Side::Client, move || (let_go(silent), let_go(speaks)));
    let metrics = program.metrics(&lab);
    assert_eq!(shunted(&metrics), 2.0);
    let speaking = lab.spawn(Side::Client, move || {
        let (mut stream, since) = (second, Instant::now());
        while since.elapsed() < Duration::from_secs(16) {
            stream.write_all(b"on").unwrap();
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    std::thread::sleep(Duration::from_secs(15));
    let metrics = program.metrics(&lab);
    assert_eq!((ended(&metrics, "expired"), shunted(&metrics)), (1.0, 1.0));
    join(speaking);
    drop(first);
    let metrics = program.metrics(&lab);
    // The one that expired is one of no known connection now, and its FIN is dropped.
    assert_eq!((ended(&metrics, "closed"), shunted(&metrics)), (1.0, 0.0));
    assert_eq!(program.stop().code, Some(0));
    drop(serving);
}

#[test]
fn without_room_the_rest_goes_through_the_worker() {
    const CONFIG: &str = "fail = 'closed'\n[limits]\nshunts_max = 16\nshunt_packets_min = 0\n";
    const COUNT: usize = 20;
    let Some(lab) = Lab::up(Options::default()) else { return };
    let program = Program::start_configured(&lab, RULES, 1, CONFIG);
    let address = SocketAddr::new(SERVER_V4, 7000);
    let serving = lab.spawn(Side::Server, move || {
        let listener = std::net::TcpListener::bind(address).unwrap();
        let mut streams: Vec<_> = (0..COUNT).map(|_| listener.accept().unwrap().0).collect();
        let mut all = Vec::new();
        streams.iter_mut().map(|stream| stream.read_to_end(&mut all).unwrap()).sum::<usize>()
    });
    std::thread::sleep(Duration::from_millis(200));
    let mut streams =
        lab.within(Side::Client, move || (0..COUNT).map(|_| let_go(address)).collect::<Vec<_>>());
    let metrics = program.metrics(&lab);
    assert_eq!(shunted(&metrics), 16.0);
    assert_eq!(metrics.sum("tollgate_shunts_refused_total", &["reason=\"full\""]), 4.0);
    for stream in &mut streams {
        stream.write_all(&[1; 10_000]).unwrap();
    }
    drop(streams);
    assert_eq!(join(serving), COUNT * 10_009);
    let metrics = program.metrics(&lab);
    assert_eq!((ended(&metrics, "closed"), shunted(&metrics)), (COUNT as f64, 0.0));
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn a_flood_of_a_refused_connection_is_dropped_in_the_kernel() {
    const FLOOD: u32 = 20_000;
    let Some(lab) = Lab::up(Options::default()) else { return };
    let program = Program::start(&lab, RULES, 1);
    let address = SocketAddr::new(SERVER_V4, 7000);
    let serving = traffic::server(&lab, address, 1, |mut stream| {
        traffic::next(&mut stream, Duration::from_secs(8))
    });
    let client = ByHand::connect(&lab, 7000);
    client.say(0, PSH | ACK, b"please drop");
    std::thread::sleep(Duration::from_millis(100));
    let before = program.metrics(&lab);
    for _ in 0..FLOOD {
        client.say(11, PSH | ACK, &[7; 500]);
    }
    let after = program.metrics(&lab);
    let dropped = steered(&after, FRAMES, "shunt_dropped");
    assert!(dropped > 0.9 * f64::from(FLOOD), "only {dropped} were dropped in the kernel");
    let received = |metrics: &Metrics| metrics.sum("tollgate_frames_received_total", &[]);
    let seen = received(&after) - received(&before);
    assert!(seen < 0.1 * f64::from(FLOOD), "a worker has received {seen}");
    assert_eq!(after.sum("tollgate_shunts_total", &["fate=\"drop\""]), 1.0);
    assert_eq!(join(serving), [End::Silent], "and none has arrived");
    assert_eq!(program.stop().code, Some(0));
}

/// The maps go with the process. What was shunted is a connection from before to the next one.
#[test]
fn a_transfer_outlives_the_process_and_is_taken_up_by_the_next() {
    const CONFIG: &str = "fail = 'wire'\nmidstream = 'pickup'\n";
    const LEN: u64 = 96 * MIB;
    let Some(lab) = Lab::up(Options::default()) else { return };
    let program = Program::start_configured(&lab, RULES, 1, CONFIG);
    std::thread::scope(|scope| {
        let transfer = scope.spawn(|| traffic::bulk(&lab, SocketAddr::new(SERVER_V4, 7000), LEN));
        let deadline = Instant::now() + Duration::from_secs(10);
        while shunted(&program.metrics(&lab)) == 0.0 {
            assert!(Instant::now() < deadline && !transfer.is_finished(), "it was not shunted");
        }
        assert_eq!(program.stop_by("KILL").code, None);
        let program = Program::start_configured(&lab, RULES, 1, CONFIG);
        assert_eq!(transfer.join().unwrap(), (LEN, LEN));
        let metrics = program.metrics(&lab);
        assert_eq!(shunted(&metrics), 0.0);
        assert_eq!(program.stop().code, Some(0));
    });
}
