//! VLANs for a kernel without them: real Linux TCP on `t0`, and a thread that carries its frames
//! between `t1` (untagged) and the lab's interface (tagged).
//!
//! ```text
//!     t0 (addresses) === t1 [thread: adds and takes off 802.1Q tags] c0 or s0 === the gate
//! ```

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::lab::{Lab, SERVER_V4, SERVER_V6, Side};

/// Room for the tags within the lab's 1500 bytes.
const MTU: &str = "1400";
/// `PACKET_OUTGOING`: our own frames, shown to us again.
const OUTGOING: u8 = 4;
const VLAN: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];

/// A tagger at each end of the lab; stopped on drop.
pub(crate) struct Tagged {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Tagged {
    /// Puts both ends behind the given VLANs, the outer one first: two are an 802.1ad service tag and
    /// an 802.1Q one.
    pub(crate) fn new(lab: &Lab, vlans: &[u16]) -> Self {
        let tags = tags(vlans);
        let stop = Arc::new(AtomicBool::new(false));
        let client = ["198.18.10.1/15".to_owned(), "fd00:7011::10:1/64".to_owned()];
        let server = [format!("{SERVER_V4}/15"), format!("{SERVER_V6}/64")];
        let ends = [(Side::Client, "c0", client), (Side::Server, "s0", server)];
        let threads = ends
            .into_iter()
            .map(|(side, outer, addresses)| {
                prepare(lab, side, outer, &addresses);
                let (tags, stop) = (tags.clone(), Arc::clone(&stop));
                lab.spawn(side, move || carry(outer, &tags, &stop))
            })
            .collect();
        Self { stop, threads }
    }
}

impl Drop for Tagged {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the tagger did its work to the end"
            );
        }
    }
}

/// The bytes that go between the MAC addresses and the EtherType.
fn tags(vlans: &[u16]) -> Vec<u8> {
    let outermost = vlans.len().saturating_sub(1);
    let kinds = (0..vlans.len()).map(|place| VLAN[usize::from(place < outermost)]);
    kinds.zip(vlans).flat_map(|(kind, id)| [kind, id.to_be_bytes()]).flatten().collect()
}

fn prepare(lab: &Lab, side: Side, outer: &str, addresses: &[String]) {
    lab.run(side, &["ip", "address", "flush", "dev", outer]);
    let link = ["ip", "link", "add", "t0", "mtu", MTU, "type", "veth", "peer", "name", "t1"];
    lab.run(side, &link);
    lab.run(side, &["ethtool", "-K", "t0", "tx", "off", "tso", "off", "gso", "off"]);
    for interface in ["t0", "t1"] {
        lab.run(side, &["ip", "link", "set", interface, "up"]);
    }
    for address in addresses {
        let family = if address.contains(':') { &["nodad"][..] } else { &[] };
        lab.run(side, &[&["ip", "address", "add", address, "dev", "t0"], family].concat());
    }
}

/// Carries frames until told to stop.
fn carry(outer: &str, tags: &[u8], stop: &AtomicBool) {
    let all = SockProtocol::EthAll;
    let raw = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), all);
    let raw = raw.expect("root may open a packet socket");
    setsockopt(&raw, sockopt::ReceiveTimeout, &TimeVal::milliseconds(100)).expect("a socket");
    setsockopt(&raw, sockopt::RcvBufForce, &(8 << 20)).expect("root may");
    let (inside, outside) = (address_of("t1"), address_of(outer));
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        let (len, from) = match recvfrom::<LinkAddr>(raw.as_raw_fd(), &mut buffer) {
            Ok((len, Some(from))) => (len, from),
            Ok((_, None)) | Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(error) => panic!("receive: {error}"),
        };
        if from.pkttype() == OUTGOING {
            continue;
        }
        let frame = &buffer[..len];
        let (frame, to) = if from.ifindex() == inside.ifindex() {
            (tagged(frame, tags), &outside)
        } else if from.ifindex() == outside.ifindex() {
            (untagged(frame), &inside)
        } else {
            continue;
        };
        match sendto(raw.as_raw_fd(), &frame, to, MsgFlags::empty()) {
            // A full queue loses frames, as a switch would; TCP sends again.
            Ok(_) | Err(Errno::ENOBUFS | Errno::EAGAIN) => {}
            Err(error) => panic!("send {} bytes: {error}", frame.len()),
        }
    }
}

fn address_of(interface: &str) -> LinkAddr {
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while std::time::Instant::now() < deadline {
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

fn tagged(frame: &[u8], tags: &[u8]) -> Vec<u8> {
    let (macs, rest) = frame.split_at(12);
    [macs, tags, rest].concat()
}

/// Without the tags that are still there: the kernel has taken the outermost into its metadata.
fn untagged(frame: &[u8]) -> Vec<u8> {
    let (macs, mut rest) = frame.split_at(12);
    while VLAN.iter().any(|kind| rest.starts_with(kind)) {
        rest = &rest[4..];
    }
    [macs, rest].concat()
}

/// Watches an interface with tcpdump until it has seen `count` frames that `filter` takes.
pub(crate) fn witness(
    lab: &Lab,
    side: Side,
    interface: &'static str,
    filter: String,
) -> JoinHandle<bool> {
    const COUNT: &str = "20";
    let mut child = lab.within(side, move || {
        std::process::Command::new("timeout")
            .args([
                "20",
                "tcpdump",
                "--immediate-mode",
                "-n",
                "-i",
                interface,
                "-c",
                COUNT,
                &filter,
            ])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("tcpdump is there")
    });
    // It needs a moment to open its socket; nothing tells when it has.
    std::thread::sleep(Duration::from_millis(500));
    std::thread::spawn(move || child.wait().expect("a child").success())
}
