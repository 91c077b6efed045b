//! Path MTU discovery between real ends through Tollgate, and errors that someone forges.
//!
//! ```text
//!     client [c0] === gate === [s0] server, here a router [r0] === 1300 bytes at most === [x0] behind
//! ```

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};

use crate::lab::{Lab, Options, Side, join};
use crate::program::Program;
use crate::raw_peer::CLIENT;
use crate::rules;

/// Of the last link; IPv6 has 1280 at least.
const MTU: usize = 1300;
const BYTES: usize = 4 << 20;
const PORT: u16 = 7000;
const BEHIND_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 99, 2));
const BEHIND_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0x7099, 0, 0, 0, 0, 0, 2));

/// A namespace behind the lab's server, over a link that carries less than its ends believe; removed on
/// drop.
struct Behind {
    name: String,
}

impl Behind {
    fn new(lab: &Lab) -> Self {
        let behind = Self { name: format!("{}-behind", lab.name()) };
        let name = behind.name.as_str();
        run(&["ip", "netns", "add", name]);
        let server = |command: &[&str]| drop(lab.run(Side::Server, command));
        let mtu = MTU.to_string();
        let link = ["ip", "link", "add", "r0", "mtu", &mtu, "type", "veth", "peer", "name", "x0"];
        server(&[&link[..], &["netns", name, "mtu", "1500"]].concat());
        server(&["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
        server(&["ip", "link", "set", "r0", "up"]);
        server(&["ip", "address", "add", "198.19.99.1/24", "dev", "r0"]);
        server(&["ip", "address", "add", "fd00:7099::1/64", "dev", "r0", "nodad"]);
        for command in [
            "link set lo up",
            "link set x0 up",
            "address add 198.19.99.2/24 dev x0",
            "address add fd00:7099::2/64 dev x0 nodad",
            "route add default via 198.19.99.1",
            "route add default via fd00:7099::1",
        ] {
            let words: Vec<_> = ["ip", "-n", name].into_iter().chain(command.split(' ')).collect();
            run(&words);
        }
        let client = |command: &[&str]| drop(lab.run(Side::Client, command));
        client(&["ip", "route", "add", "198.19.99.0/24", "via", "198.18.20.1"]);
        client(&["ip", "route", "add", "fd00:7099::/64", "via", "fd00:7011::20:1"]);
        behind
    }

    /// A server that reads one connection to its end, and says what it has read.
    fn read_all(&self, address: SocketAddr) -> std::thread::JoinHandle<Vec<u8>> {
        let path = format!("/run/netns/{}", self.name);
        let (ready, listens) = channel();
        let thread = std::thread::spawn(move || {
            let namespace = std::fs::File::open(path).expect("it was made");
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
            let listener = TcpListener::bind(address).expect("the address is free");
            ready.send(()).expect("the test waits");
            let (mut stream, _) = listener.accept().expect("a client");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
            let mut read = Vec::new();
            stream.read_to_end(&mut read).expect("the client closes");
            read
        });
        listens.recv().expect("the server listens");
        thread
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let status = Command::new("ip").args(["netns", "delete", &self.name]).status();
        assert!(status.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn run(command: &[&str]) {
    let status = Command::new(command[0]).args(&command[1..]).status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?}");
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10));
    let stream = stream.expect("the connection is let through");
    stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a socket");
    stream
}

/// What the client's kernel believes of the way.
fn path_mtu(lab: &Lab, to: IpAddr) -> Option<usize> {
    let route = lab.run(Side::Client, &["ip", "route", "get", &to.to_string()]);
    let mut words = route.split_whitespace().skip_while(|word| *word != "mtu").skip(1);
    words.next().map(|mtu| mtu.parse().expect("a number"))
}

#[test]
fn path_mtu_discovery_works_through_us() {
    for workers in [1, 2] {
        let Some(lab) = Lab::up(Options::default()) else { return };
        let behind = Behind::new(&lab);
        let program = Program::start(&lab, rules::ACCEPT, workers);
        for (number, to) in [BEHIND_V4, BEHIND_V6].into_iter().enumerate() {
            assert_eq!(path_mtu(&lab, to), None, "nothing is known of the way yet");
            let address = SocketAddr::new(to, PORT);
            let serving = behind.read_all(address);
            let sent: Vec<u8> = (0..=250).cycle().take(BYTES).collect();
            let bytes = sent.clone();
            lab.within(Side::Client, move || {
                connect(address).write_all(&bytes).expect("it is read");
            });
            assert!(join(serving) == sent, "every byte arrives, over {to}");
            assert_eq!(path_mtu(&lab, to), Some(MTU), "the router was heard, over {to}");
            let metrics = program.metrics(&lab);
            let passed = metrics.sum("tollgate_frames_passed_total", &[r#"kind="icmp_error""#]);
            assert!(passed > number as f64, "{passed} errors crossed, over {to}");
        }
        let metrics = program.metrics(&lab);
        assert_eq!(metrics.sum("tollgate_unbalanced_turns_total", &[]), 0.0);
        assert_eq!(program.stop().code, Some(0));
    }
}

/// Addresses and ports are right, the number is a guess.
#[test]
fn an_error_that_quotes_what_is_not_in_flight_never_arrives() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    let behind = Behind::new(&lab);
    let program = Program::start(&lab, rules::ACCEPT, 1);
    let address = SocketAddr::new(BEHIND_V4, PORT);
    let serving = behind.read_all(address);
    let mut stream = lab.within(Side::Client, move || connect(address));
    stream.write_all(b"alive").expect("connected");
    let port = stream.local_addr().expect("connected").port();
    let forged = 20;
    lab.within(Side::Server, move || {
        (0..forged).for_each(|number| forge(port, 0x0c00_0000 * number));
    });
    stream.write_all(b" and well").expect("nobody has ended it");
    drop(stream);
    assert_eq!(join(serving), b"alive and well");
    let metrics = program.metrics(&lab);
    let reason = |name: &str| metrics.sum("tollgate_frames_dropped_total", &[name]);
    let dropped = reason(r#"reason="icmp_off_window""#);
    // One in half a million of the guesses may be right.
    assert!(dropped >= f64::from(forged - 1), "{dropped} of {forged} were dropped");
    assert_eq!(reason(r#"reason="icmp_no_connection""#), 0.0, "they quote the connection");
    assert_eq!(path_mtu(&lab, BEHIND_V4), None, "the client has heard of nothing");
    assert_eq!(program.stop().code, Some(0));
}

/// "Fragmentation needed", to 600 bytes, about a segment of the client with this number.
fn forge(client_port: u16, seq: u32) {
    let IpAddr::V4(behind) = BEHIND_V4 else { panic!("it is IPv4") };
    let mut message = vec![3, 4, 0, 0, 0, 0, 2, 88];
    message.extend([0x45, 0, 5, 220, 0, 7, 0x40, 0, 63, 6, 0, 0]);
    message.extend(CLIENT.octets());
    message.extend(behind.octets());
    message.extend(client_port.to_be_bytes());
    message.extend(PORT.to_be_bytes());
    message.extend(seq.to_be_bytes());
    let words = message.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum = words.sum::<u32>();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    message[2..4].copy_from_slice(&(!u16::try_from(folded).expect("it was folded")).to_be_bytes());
    let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Icmp);
    let raw = raw.expect("root may open a raw socket");
    let to = SockaddrIn::from(std::net::SocketAddrV4::new(CLIENT, 0));
    sendto(raw.as_raw_fd(), &message, &to, MsgFlags::empty()).expect("the router sends");
}
