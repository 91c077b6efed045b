//! Rules that look at packets of any protocol, between real ends: whatever crosses gets another time to
//! live and class, over IPv4 and IPv6, TCP and UDP, whole and in fragments, and every byte arrives.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tollgate::policy::{Data, Flow, FrameEdit, Interest, Policy, Reports, Verdict};
use tollgate::wire::{Datagram, Direction};

use crate::between::{Frames, address_of};
use crate::lab::{Lab, Options, SERVER_V4, SERVER_V6, Side, join};
use crate::program::Program;
use crate::scramble::ARGUMENTS;
use crate::traffic;

const TTL: u8 = 7;
const CLASS: u8 = 0x28;

/// Marks TCP and UDP. Neighbour discovery is ICMP, and dead with another hop limit than 255.
fn mark(frame: &mut [u8]) {
    match (frame.get(12..14), frame.get(20), frame.get(23)) {
        (Some([8, 0]), _, Some(6 | 17)) => {
            frame[15] = CLASS;
            frame[22] = TTL;
            let end = 14 + usize::from(frame[14] & 15) * 4;
            frame[24..26].fill(0);
            let words = frame[14..end].chunks(2);
            let mut sum: u32 = words.map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            let [.., a, b] = (!sum).to_be_bytes();
            frame[24..26].copy_from_slice(&[a, b]);
        }
        (Some([0x86, 0xdd]), Some(6 | 17 | 44), _) => {
            frame[14] = 0x60 | CLASS >> 4;
            frame[15] = CLASS << 4 | frame[15] & 15;
            frame[21] = TTL;
        }
        _ => {}
    }
}

/// What a frame that `mark` would take shows; none for any other.
fn shown(frame: &[u8]) -> Option<(u8, u8)> {
    match (frame.get(12..14), frame.get(20), frame.get(23)) {
        (Some([8, 0]), _, Some(6 | 17)) => Some((frame[15], frame[22])),
        (Some([0x86, 0xdd]), Some(6 | 17 | 44), _) => {
            Some((frame[14] << 4 | frame[15] >> 4, frame[21]))
        }
        _ => None,
    }
}

/// Follows connections, and marks what leaves.
struct Leaving;

impl Policy for Leaving {
    fn interest(&self) -> Interest {
        Interest::RECEIVE_DATA | Interest::SEND_FRAME
    }

    fn receive_data(
        &mut self,
        _flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        _direction: Direction,
        _reports: &mut Reports,
    ) -> Verdict {
        assert!(data.end_offset() > data.offset() || data.is_end());
        Verdict::Accept
    }

    fn send_frame(&mut self, frame: &mut FrameEdit<'_>, _reports: &mut Reports) -> Verdict {
        mark(frame.bytes_mut());
        Verdict::Accept
    }
}

/// Follows nothing, and marks whole datagrams.
struct Arriving;

impl Policy for Arriving {
    fn interest(&self) -> Interest {
        Interest::RECEIVE_DATAGRAM | Interest::STATELESS
    }

    fn receive_datagram(&mut self, frame: &mut FrameEdit<'_>, _reports: &mut Reports) -> Verdict {
        assert_eq!(Datagram::of(frame.bytes()), Datagram::Whole);
        mark(frame.bytes_mut());
        Verdict::Accept
    }
}

/// No test: started as a process.
#[test]
#[ignore = "started by other tests"]
fn the_program_that_marks_what_leaves() {
    program(|| Leaving);
}

/// No test: started as a process.
#[test]
#[ignore = "started by other tests"]
fn the_program_that_marks_what_arrives() {
    program(|| Arriving);
}

fn program<P: Policy>(make: impl Fn() -> P + Send + Sync + 'static) {
    let Some(arguments) = std::env::var_os(ARGUMENTS) else { return };
    let arguments = arguments.into_string().expect("given by our tests");
    let arguments = ["marker"].into_iter().chain(arguments.lines()).map(Into::into);
    let ended = tollgate::main_with_args(arguments.collect::<Vec<_>>(), make);
    assert_eq!(ended, std::process::ExitCode::SUCCESS);
}

/// Looks at what comes in at an end of the lab until told to stop: how many packets were marked, and how
/// many were not.
fn watch(
    lab: &Lab,
    side: Side,
    interface: &'static str,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<(u64, u64)> {
    let stop = Arc::clone(stop);
    let (ready, opened) = std::sync::mpsc::channel();
    let thread = lab.spawn(side, move || {
        let frames = Frames::of(&address_of(interface));
        ready.send(()).expect("the test waits");
        let (mut marked, mut unmarked) = (0, 0);
        let mut buffer = vec![0; 65_536];
        while !stop.load(Ordering::Relaxed) {
            frames.wait(Duration::from_millis(50));
            while let Some((frame, _)) = frames.receive(&mut buffer) {
                match shown(frame) {
                    Some((CLASS, TTL)) => marked += 1,
                    Some(_) => unmarked += 1,
                    None => {}
                }
            }
        }
        (marked, unmarked)
    });
    opened.recv().expect("the watcher is there");
    thread
}

/// Datagrams of all sizes to a server that sends each back backwards; the long ones go in fragments.
fn datagrams(lab: &Lab, server: IpAddr) {
    const SIZES: [usize; 6] = [0, 1, 500, 1400, 3001, 20_000];
    let address = SocketAddr::new(server, 5300);
    let (ready, opened) = std::sync::mpsc::channel();
    let serving = lab.spawn(Side::Server, move || {
        let socket = UdpSocket::bind(address).expect("the address is free");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("not zero");
        ready.send(()).expect("the test waits");
        let mut buffer = vec![0; 65_536];
        for _ in SIZES {
            let (len, from) = socket.recv_from(&mut buffer).expect("the client asks");
            buffer[..len].reverse();
            socket.send_to(&buffer[..len], from).expect("sent");
        }
    });
    opened.recv().expect("the server is there");
    lab.within(Side::Client, move || {
        let any: SocketAddr =
            if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
        let socket = UdpSocket::bind(any).expect("a port is free");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("not zero");
        let mut buffer = vec![0; 65_536];
        for size in SIZES {
            let asked: Vec<u8> = (0..size).map(|at| at.to_le_bytes()[0]).collect();
            socket.send_to(&asked, address).expect("sent");
            let (len, _) = socket.recv_from(&mut buffer).expect("the server answers");
            buffer[..len].reverse();
            assert!(buffer[..len] == asked, "{size} bytes to {server} and back");
        }
    });
    join(serving);
}

#[test]
fn packets_of_any_protocol_are_marked_between_real_ends() {
    const BYTES: u64 = 1 << 20;
    let programs = [
        "marker::the_program_that_marks_what_leaves",
        "marker::the_program_that_marks_what_arrives",
    ];
    // With offloads the ends leave half of each checksum, UDP's too, to cards that are not there.
    for (program, keep_offloads, workers) in [
        (programs[0], false, 1),
        (programs[0], true, 2),
        (programs[1], false, 2),
        (programs[1], true, 1),
    ] {
        let options = Options { keep_offloads, ..Options::default() };
        let Some(lab) = Lab::up(options) else { return };
        let gate = Program::start_built_in(&lab, program, workers);
        let stop = Arc::new(AtomicBool::new(false));
        let watchers = [(Side::Client, "c0"), (Side::Server, "s0")]
            .map(|(side, interface)| watch(&lab, side, interface, &stop));
        for server in [SERVER_V4, SERVER_V6] {
            datagrams(&lab, server);
            let received = traffic::bulk(&lab, SocketAddr::new(server, 7000), BYTES);
            assert_eq!(received, (BYTES, BYTES), "over {server}");
        }
        let metrics = gate.metrics(&lab);
        stop.store(true, Ordering::Relaxed);
        for watcher in watchers {
            let (marked, unmarked) = join(watcher);
            assert!(marked > 100 && unmarked == 0, "{program}: {marked} marked, {unmarked} not");
        }
        // ARP and neighbour discovery come to user space, where rules could see them.
        assert!(metrics.sum("tollgate_frames_passed_total", &[r#"kind="arp""#]) >= 2.0);
        assert_eq!(
            metrics.sum("tollgate_steered_frames_total", &[r#"verdict="other_kernel""#]),
            0.0
        );
        assert_eq!(metrics.sum("tollgate_unbalanced_turns_total", &[]), 0.0);
        let follows = program == programs[0];
        let opened = metrics.sum("tollgate_connections_total", &[r#"phase="new""#]);
        assert_eq!(opened, if follows { 2.0 } else { 0.0 });
        let ended = gate.stop();
        assert_eq!(ended.code, Some(0));
        assert!(ended.stderr.contains("what is no TCP comes to user space"), "{ended:?}");
        assert_eq!(ended.stderr.contains("TCP is not followed"), !follows, "{ended:?}");
    }
}
