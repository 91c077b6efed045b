//! How many frames a second a forwarder in the lab's gate passes: a generator at the client's end, a
//! counter at the server's.
//!
//! Connections are opened frame by frame, by hand, so that a forwarder that follows them has something
//! to follow; then the kernel runs `bench/bpf/blast.bpf.c` as fast as it can (BPF_PROG_TEST_RUN with
//! live frames), which sends valid, checksummed data of those connections in turn. What arrives is
//! counted and dropped by an XDP program at the other end. Frames are addressed to nobody, so that the
//! kernels at both ends keep quiet.
#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use libbpf_rs::{MapCore as _, MapFlags, Object, ObjectBuilder, ProgramInput, ProgramMut};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, sendto, socket,
};
use tollgate_bench::conversation::{CLIENT_PORT_FIRST, CLIENT_PORTS, Conversations, Template};
use tollgate_link::Port;

/// How many frames a second a forwarder in the lab's gate passes.
#[derive(Debug, Parser)]
struct Arguments {
    /// The client's network namespace, such as /run/netns/tollgate-1-2345-client
    #[arg(long)]
    client: PathBuf,
    /// The server's
    #[arg(long)]
    server: PathBuf,
    /// Bytes of a frame, without FCS
    #[arg(long, default_value_t = 60)]
    frame_bytes: usize,
    /// Connections
    #[arg(long, default_value_t = 64)]
    flows: usize,
    /// How long
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/blast.bpf.o"));
/// BPF_F_TEST_XDP_LIVE_FRAMES of linux/bpf.h: frames are sent, not only looked at.
const LIVE_FRAMES: u32 = 1 << 1;
/// Frames between two looks at the clock.
const ROUND: u32 = 1 << 15;
/// For what is under way to arrive.
const SETTLE: Duration = Duration::from_millis(200);

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    ensure!((1..=CLIENT_PORTS).contains(&arguments.flows), "1 to {CLIENT_PORTS} flows");
    // The kernel takes this memory as an ELF file, which wants to be aligned; a Vec is.
    let file = OBJECT.to_vec();
    let object = ObjectBuilder::default().open_memory(&file)?.load()?;

    enter(&arguments.server)?;
    let server = End::open("s0")?;
    let sink = program(&object, "sink")?.attach_xdp(i32::try_from(server.index)?)?;
    enter(&arguments.client)?;
    let client = End::open("c0")?;

    let mut talk = Conversations::new(arguments.flows, arguments.frame_bytes);
    shake_hands(&mut talk, &client, &server)?;
    let template = talk.template().context("a template")?;
    configure(&object, &template, arguments.flows)?;

    let opened = received(&object)?;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(arguments.seconds) {
        run(&object, &template.frame, client.index)?;
    }
    let took = begin.elapsed().as_secs_f64();
    sleep(SETTLE);
    let (sent, passed) = (sent(&object)?, received(&object)? - opened);
    drop(sink);

    ensure!(
        opened >= arguments.flows as u64,
        "only {opened} frames of the handshakes came through"
    );
    println!(
        "{},{},{took:.2},{sent},{passed},{:.3},{:.3}",
        arguments.frame_bytes,
        arguments.flows,
        sent as f64 / took / 1e6,
        passed as f64 / took / 1e6,
    );
    Ok(())
}

fn enter(namespace: &PathBuf) -> anyhow::Result<()> {
    let file = File::open(namespace).with_context(|| format!("{}", namespace.display()))?;
    setns(file, CloneFlags::CLONE_NEWNET).context("entering a network namespace needs root")
}

/// An interface in the namespace that the thread was in when it was opened.
struct End {
    socket: std::os::fd::OwnedFd,
    address: LinkAddr,
    index: usize,
}

impl End {
    fn open(interface: &str) -> anyhow::Result<Self> {
        let all = SockProtocol::EthAll;
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), all)?;
        let address = nix::ifaddrs::getifaddrs()?
            .filter(|entry| entry.interface_name == interface)
            .find_map(|entry| entry.address.and_then(|address| address.as_link_addr().copied()))
            .with_context(|| format!("no interface {interface} in that namespace"))?;
        Ok(Self { socket, address, index: address.ifindex() })
    }

    fn send(&self, frame: &[u8]) -> anyhow::Result<()> {
        sendto(self.socket.as_raw_fd(), frame, &self.address, MsgFlags::empty())?;
        Ok(())
    }
}

/// Opens every connection. A step of all flows is through before the next begins.
fn shake_hands(talk: &mut Conversations, client: &End, server: &End) -> anyhow::Result<()> {
    let mut out = vec![0; 2048];
    for step in 0..3 {
        for flow in 0..talk.flows() {
            let (port, len) = talk.handshake(flow, step, &mut out).context("three steps")?;
            let end = match port {
                Port::A => client,
                Port::B => server,
            };
            end.send(out.get(..len).unwrap_or_default())?;
        }
        sleep(SETTLE);
    }
    Ok(())
}

fn program<'obj>(object: &'obj Object, name: &str) -> anyhow::Result<ProgramMut<'obj>> {
    let found = object.progs_mut().find(|program| program.name() == name);
    found.with_context(|| format!("no program {name}"))
}

fn map<'obj>(object: &'obj Object, name: &str) -> anyhow::Result<libbpf_rs::Map<'obj>> {
    object.maps().find(|map| map.name() == name).with_context(|| format!("no map {name}"))
}

fn configure(object: &Object, template: &Template, flows: usize) -> anyhow::Result<()> {
    let Template { payload_len, seq, sum, .. } = *template;
    let fields = [u32::try_from(flows)?, payload_len, seq, u32::from(CLIENT_PORT_FIRST), sum];
    let value: Vec<u8> = fields.iter().flat_map(|field| field.to_ne_bytes()).collect();
    Ok(map(object, "config")?.update(&[0; 4], &value, MapFlags::ANY)?)
}

/// One round of the generator.
fn run(object: &Object, frame: &[u8], interface: usize) -> anyhow::Result<()> {
    // struct xdp_md of linux/bpf.h: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
    let fields = [0, u32::try_from(frame.len())?, 0, u32::try_from(interface)?, 0, 0];
    let mut context: Vec<u8> = fields.iter().flat_map(|field: &u32| field.to_ne_bytes()).collect();
    let input = ProgramInput {
        context_in: Some(&mut context),
        data_in: Some(frame),
        flags: LIVE_FRAMES,
        repeat: ROUND,
        ..ProgramInput::default()
    };
    program(object, "blast")?.test_run(input).context("the kernel's generator")?;
    Ok(())
}

fn sent(object: &Object) -> anyhow::Result<u64> {
    let value =
        map(object, "sent")?.lookup(&[0; 4], MapFlags::ANY)?.context("an array's element")?;
    number(&value)
}

fn received(object: &Object) -> anyhow::Result<u64> {
    let cores = map(object, "received")?.lookup_percpu(&[0; 4], MapFlags::ANY)?;
    cores.context("an array's element")?.iter().map(|value| number(value)).sum()
}

fn number(value: &[u8]) -> anyhow::Result<u64> {
    Ok(u64::from_ne_bytes(value.get(..8).context("eight bytes")?.try_into()?))
}
