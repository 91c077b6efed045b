//! A place between an end of the lab and the gate, for threads that do to frames what this kernel
//! cannot (VLAN tags, loss): real Linux TCP lives on `t0`, and nothing crosses from `t1` to the lab's
//! interface but what a thread carries.
//!
//! ```text
//!     t0 (addresses) === t1 [threads] c0 or s0 === the gate
//! ```

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, sendto,
    setsockopt, socket, sockopt,
};

use crate::lab::{Lab, SERVER_V4, SERVER_V6, Side};

/// `PACKET_OUTGOING`: our own frames, shown to us again.
const OUTGOING: u8 = 4;

/// Both sides' lab interfaces, which lose their addresses to `t0`.
pub(crate) const SIDES: [(Side, &str); 2] = [(Side::Client, "c0"), (Side::Server, "s0")];

/// Makes `t0` and `t1` on a side, and moves the addresses of `outer` to `t0`.
pub(crate) fn prepare(lab: &Lab, side: Side, outer: &str, mtu: &str) {
    let addresses = match side {
        Side::Server => [format!("{SERVER_V4}/15"), format!("{SERVER_V6}/64")],
        _ => ["198.18.10.1/15".to_owned(), "fd00:7011::10:1/64".to_owned()],
    };
    lab.run(side, &["ip", "address", "flush", "dev", outer]);
    let link = ["ip", "link", "add", "t0", "mtu", mtu, "type", "veth", "peer", "name", "t1"];
    lab.run(side, &link);
    lab.run(side, &["ip", "link", "set", "t1", "mtu", mtu]);
    lab.run(side, &["ethtool", "-K", "t0", "tx", "off", "tso", "off", "gso", "off"]);
    for interface in ["t0", "t1"] {
        lab.run(side, &["ip", "link", "set", interface, "up"]);
    }
    for address in &addresses {
        let family = if address.contains(':') { &["nodad"][..] } else { &[] };
        lab.run(side, &[&["ip", "address", "add", address, "dev", "t0"], family].concat());
    }
}

/// A packet socket: whole frames, in and out.
pub(crate) struct Frames {
    socket: OwnedFd,
}

impl Frames {
    /// Of every interface in the namespace of this thread.
    pub(crate) fn of_all() -> Self {
        let (all, flags) = (SockProtocol::EthAll, SockFlag::SOCK_NONBLOCK);
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, all);
        let socket = socket.expect("root may open a packet socket");
        setsockopt(&socket, sockopt::RcvBufForce, &(32 << 20)).expect("root may");
        setsockopt(&socket, sockopt::SndBufForce, &(32 << 20)).expect("root may");
        Self { socket }
    }

    /// Of one interface.
    pub(crate) fn of(interface: &LinkAddr) -> Self {
        let frames = Self::of_all();
        bind(frames.socket.as_raw_fd(), interface).expect("the interface is there");
        // What came in before that was of every interface.
        while frames.receive(&mut [0; 64]).is_some() {}
        frames
    }

    /// Waits until there is a frame, no longer than `wait`.
    pub(crate) fn wait(&self, wait: Duration) {
        let timeout = PollTimeout::try_from(wait).expect("a short time");
        let _ = poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout);
    }

    /// The next frame that came in, and from where.
    pub(crate) fn receive<'b>(&self, buffer: &'b mut [u8]) -> Option<(&'b mut [u8], LinkAddr)> {
        loop {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), buffer) {
                Ok((len, Some(from))) if from.pkttype() != OUTGOING => {
                    return Some((&mut buffer[..len], from));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return None,
                Err(error) => panic!("receive: {error}"),
            }
        }
    }

    /// Sends a frame out of an interface. A full queue loses it, as a switch would; TCP sends again.
    pub(crate) fn send(&self, frame: &[u8], to: &LinkAddr) {
        match sendto(self.socket.as_raw_fd(), frame, to, MsgFlags::empty()) {
            Ok(_) | Err(Errno::ENOBUFS | Errno::EAGAIN) => {}
            Err(error) => panic!("send {} bytes: {error}", frame.len()),
        }
    }
}

/// Number and address of an interface, by name.
pub(crate) fn address_of(interface: &str) -> LinkAddr {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        let found = nix::ifaddrs::getifaddrs()
            .expect("a list of interfaces")
            .filter(|entry| entry.interface_name == interface)
            .find_map(|entry| entry.address.and_then(|address| address.as_link_addr().copied()));
        if let Some(address) = found {
            return address;
        }
    }
    panic!("no interface {interface}");
}
