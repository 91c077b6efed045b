//! Frames made by hand, and those that come back: an end that may do what no kernel does.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::lab::{Lab, Side};

#[path = "../common/mod.rs"]
mod common;

pub(crate) use common::{ACK, FIN, PSH, RST, SYN};

/// The client side's address that its kernel does not own, so that no kernel answers for it.
pub(crate) const RAW: Ipv4Addr = Ipv4Addr::new(198, 18, 11, 1);
/// Its port.
const RAW_PORT: u16 = 41_000;
/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The addresses of the kernels.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 10, 1);
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 20, 1);

/// A station that is not there: the gate sees what is sent to it, and no kernel takes it.
const NOBODY: [u8; 6] = [2, 0, 0, 0, 0xde, 0xad];
/// `PACKET_OUTGOING`: our own frames, shown to us again.
const OUTGOING: u8 = 4;

/// Address and port of one end.
pub(crate) type End = (Ipv4Addr, u16);

/// A TCP segment without options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) from: End,
    pub(crate) to: End,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
}

impl Segment {
    /// Whether it has one of these control bits.
    pub(crate) const fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }
}

/// Where a frame is meant to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// At the other kernel.
    Arrives,
    /// Behind the gate, as if lost on the rest of the way.
    IsLost,
}

/// One side's interface, for sending and receiving whole frames.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: OwnedFd,
    interface: LinkAddr,
    own: [u8; 6],
    other: [u8; 6],
}

impl Wire {
    /// Opens the interface of a side. To be used by a thread of that side.
    pub(crate) fn open(lab: &Lab, side: Side) -> Self {
        let names = [(Side::Client, "c0"), (Side::Server, "s0")];
        let [client, server] = names.map(|(side, name)| lab.within(side, move || address_of(name)));
        let (interface, other) =
            if side == Side::Client { (client, server) } else { (server, client) };
        let socket = lab.within(side, || {
            let all = SockProtocol::EthAll;
            let raw = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), all);
            let raw = raw.expect("root may open a packet socket");
            setsockopt(&raw, sockopt::ReceiveTimeout, &TimeVal::milliseconds(5)).expect("a socket");
            setsockopt(&raw, sockopt::RcvBufForce, &(8 << 20)).expect("root may");
            raw
        });
        let mac = |address: LinkAddr| address.addr().expect("an Ethernet interface");
        Self { socket, own: mac(interface), other: mac(other), interface }
    }

    /// Makes the server's kernel send to the client's interface what is for [`RAW`].
    pub(crate) fn claim_raw_address(&self, lab: &Lab) {
        let mac = self.own.map(|byte| format!("{byte:02x}")).join(":");
        let (address, rest) = (RAW.to_string(), ["dev", "s0", "nud", "permanent"]);
        let command = ["ip", "neighbour", "replace", &address, "lladdr", &mac];
        lab.run(Side::Server, &[&command[..], &rest].concat());
    }

    pub(crate) fn send(&self, segment: &Segment, fate: Fate) {
        let Segment { from, to, seq, ack, flags, payload } = segment;
        let ends = [from, to].map(|(address, port)| (address.octets(), *port));
        let mut frame = common::segment(ends[0], ends[1], *seq, *ack, *flags, payload);
        let to = if fate == Fate::Arrives { self.other } else { NOBODY };
        frame[..6].copy_from_slice(&to);
        frame[6..12].copy_from_slice(&self.own);
        while let Err(error) =
            sendto(self.socket.as_raw_fd(), &frame, &self.interface, MsgFlags::empty())
        {
            assert!(matches!(error, Errno::ENOBUFS | Errno::EAGAIN | Errno::EINTR), "{error}");
        }
    }

    /// The next TCP segment that the other side sent; none if nothing comes for some milliseconds.
    pub(crate) fn receive(&self) -> Option<Segment> {
        let mut buffer = [0; 2048];
        match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
            Ok((len, Some(from))) if from.pkttype() != OUTGOING => parse(&buffer[..len]),
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => None,
            Err(error) => panic!("receive: {error}"),
        }
    }

    /// Waits for a segment that `wanted` takes.
    pub(crate) fn find(
        &self,
        wait: Duration,
        wanted: impl Fn(&Segment) -> bool,
    ) -> Option<Segment> {
        let deadline = Instant::now() + wait;
        while Instant::now() < deadline {
            if let Some(segment) = self.receive().filter(&wanted) {
                return Some(segment);
            }
        }
        None
    }
}

/// A client made by hand, whose handshake the server's kernel has answered.
pub(crate) struct ByHand {
    pub(crate) wire: Wire,
    pub(crate) next: Segment,
}

impl ByHand {
    /// Completes the handshake.
    pub(crate) fn connect(lab: &Lab, port: u16) -> Self {
        let client = Self::begin(lab, port);
        client.wire.send(&client.next, Fate::Arrives);
        client
    }

    /// Has the server's answer to its SYN, and has not answered that.
    pub(crate) fn begin(lab: &Lab, port: u16) -> Self {
        let wire = Wire::open(lab, Side::Client);
        wire.claim_raw_address(lab);
        let (from, to) = ((RAW, RAW_PORT), (SERVER, port));
        let syn = Segment { from, to, seq: 1000, ack: 0, flags: SYN, payload: Vec::new() };
        wire.send(&syn, Fate::Arrives);
        let answer = wire.find(PATIENCE, |segment| segment.to == from && segment.has(SYN));
        let ack = answer.expect("a SYN-ACK").seq.wrapping_add(1);
        let next = Segment { seq: 1001, ack, flags: ACK, ..syn };
        Self { wire, next }
    }

    pub(crate) fn say(&self, at: u32, flags: u8, payload: &[u8]) {
        let segment = Segment {
            seq: self.next.seq + at,
            flags,
            payload: payload.to_vec(),
            ..self.next.clone()
        };
        self.wire.send(&segment, Fate::Arrives);
    }

    /// What comes next that carries a RST, within `wait`.
    pub(crate) fn reset(&self, wait: Duration) -> Option<Segment> {
        self.wire.find(wait, |segment| segment.to == self.next.from && segment.has(RST))
    }
}

/// TCP over IPv4 without VLAN tags; the length is the datagram's, for short frames are padded.
fn parse(frame: &[u8]) -> Option<Segment> {
    let ip = frame.strip_prefix(&frame[..12])?.strip_prefix(&[8, 0])?;
    let half = |bytes: &[u8], at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let word = |bytes: &[u8], at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    if *ip.get(9)? != 6 {
        return None;
    }
    let tcp = ip.get(usize::from(ip[0] & 15) * 4..usize::from(half(ip, 2)?))?;
    Some(Segment {
        from: (Ipv4Addr::from(word(ip, 12)?), half(tcp, 0)?),
        to: (Ipv4Addr::from(word(ip, 16)?), half(tcp, 2)?),
        seq: word(tcp, 4)?,
        ack: word(tcp, 8)?,
        flags: *tcp.get(13)?,
        payload: tcp.get(usize::from(tcp[12] >> 4) * 4..)?.to_vec(),
    })
}

fn address_of(interface: &str) -> LinkAddr {
    nix::ifaddrs::getifaddrs()
        .expect("a list of interfaces")
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address.and_then(|address| address.as_link_addr().copied()))
        .expect("the lab made it")
}
