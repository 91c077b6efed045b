//! An attack on a real wire: frames of [`Attack`] out of an interface, as fast as it goes or at a rate.
//!
//! ```text
//! ip netns exec client flood --interface c0 --peer /run/netns/server:s0 --attack overlaps --rate 100000
//! ```
//!
//! Its stations are none that exist (their MAC addresses belong to nobody), so that no kernel at the ends
//! answers, and whatever it costs, it costs on the way. Attacks that need connections open them first, from
//! both ends: hence the peer. Needs root.
#![expect(clippy::print_stdout, reason = "a program that prints what it did")]

use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, setsockopt, socket, sockopt,
};
use tollgate_bench::hostile::{Attack, Attacker, OPENING_STEPS};
use tollgate_link::Port;

/// An attack on a real wire.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where it sends
    #[arg(long)]
    interface: String,
    /// Network namespace and interface of the other end, NAMESPACE:INTERFACE
    #[arg(long)]
    peer: String,
    /// What it tries
    #[arg(long, value_parser = attack)]
    attack: Attack,
    /// Frames a second; 0: as many as it can
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// How long
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

fn attack(name: &str) -> Result<Attack, String> {
    let names = Attack::ALL.map(Attack::name).join(", ");
    Attack::ALL
        .into_iter()
        .find(|attack| attack.name() == name)
        .ok_or_else(|| format!("one of {names}"))
}

/// Frames between two looks at the clock.
const BATCH: u64 = 32;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (namespace, interface) = arguments.peer.split_once(':').context("NAMESPACE:INTERFACE")?;
    let near = open(&arguments.interface)?;
    let namespace = File::open(namespace).context("the peer's namespace")?;
    setns(namespace, CloneFlags::CLONE_NEWNET)?;
    let wires = Wires { near, far: open(interface)? };

    let mut attacker = Attacker::new(arguments.attack);
    let mut frame = [0; 2048];
    // Step by step, with time for all of a step to cross before the next.
    for step in 0..OPENING_STEPS {
        for connection in 0..arguments.attack.connections() {
            let (port, len) = attacker.open(connection, step, &mut frame);
            wires.send(port, frame.get(..len).unwrap_or_default())?;
            if connection % 64 == 63 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        thread::sleep(Duration::from_millis(50));
    }

    let (begin, length) = (Instant::now(), Duration::from_secs(arguments.seconds));
    let (mut sent, mut refused) = (0_u64, 0_u64);
    loop {
        let passed = begin.elapsed();
        if passed >= length {
            break;
        }
        let due = u64::try_from(passed.as_nanos() * u128::from(arguments.rate) / 1_000_000_000)?;
        if arguments.rate > 0 && sent + refused >= due {
            thread::sleep(Duration::from_micros(200));
            continue;
        }
        for _ in 0..BATCH {
            let (port, len) = attacker.next(&mut frame);
            match wires.send(port, frame.get(..len).unwrap_or_default())? {
                true => sent += 1,
                false => refused += 1,
            }
        }
    }
    let rate = sent as f64 / begin.elapsed().as_secs_f64();
    println!("sent={sent} refused={refused} pps={rate:.0}");
    Ok(())
}

struct Wires {
    near: OwnedFd,
    far: OwnedFd,
}

impl Wires {
    /// False if the interface had no room.
    fn send(&self, port: Port, frame: &[u8]) -> anyhow::Result<bool> {
        let socket = if port == Port::A { &self.near } else { &self.far };
        match send(socket.as_raw_fd(), frame, MsgFlags::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::ENOBUFS | Errno::EAGAIN | Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// A socket that only sends: bound to no protocol, it is shown no frame.
fn open(interface: &str) -> anyhow::Result<OwnedFd> {
    let address: LinkAddr = nix::ifaddrs::getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address.and_then(|address| address.as_link_addr().copied()))
        .with_context(|| format!("there is no {interface}"))?;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), None)?;
    setsockopt(&socket, sockopt::SndBufForce, &(8 << 20))?;
    bind(socket.as_raw_fd(), &address)?;
    Ok(socket)
}
