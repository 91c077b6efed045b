//! What the kernel knows about an interface, asked through ioctl: it answers for the network
//! namespace of the calling thread, where sysfs answers for whoever mounted it.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::OpenError;

/// An interface at the time it was asked.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) mtu: u32,
    pub(super) up: bool,
    /// Receive queues in use.
    pub(super) queues: u32,
    /// The driver's name, such as `igb`; empty if it does not tell.
    pub(super) driver: String,
}

impl Interface {
    pub(super) fn find(name: &str) -> Result<Self, OpenError> {
        let absent = || OpenError::NoSuchInterface { interface: name.to_owned() };
        let system =
            |what| move |source| OpenError::System { interface: name.to_owned(), what, source };

        let index = nix::net::if_::if_nametoindex(name).map_err(|_| absent())?;
        let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
            .map_err(io::Error::from)
            .map_err(system("no socket to ask about it"))?;
        let flags = flags(&socket, name).map_err(system("its flags are unknown"))?;
        let mtu = mtu(&socket, name).map_err(system("its MTU is unknown"))?;
        Ok(Self {
            name: name.to_owned(),
            index,
            mtu,
            up: flags & libc::IFF_UP != 0,
            queues: queues(&socket, name),
            driver: driver(&socket, name),
        })
    }

    /// The index as libbpf takes it.
    pub(super) fn index_signed(&self) -> i32 {
        i32::try_from(self.index).unwrap_or(i32::MAX)
    }
}

/// `struct ethtool_channels` of linux/ethtool.h.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    rx_max: u32,
    tx_max: u32,
    other_max: u32,
    combined_max: u32,
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// A driver that does not answer has one queue.
fn queues(socket: &OwnedFd, name: &str) -> u32 {
    let mut channels = Channels { command: ETHTOOL_GCHANNELS, ..Channels::default() };
    let Ok(mut request) = request(name) else { return 1 };
    request.ifr_ifru.ifru_data = (&raw mut channels).cast();
    match ask(socket, libc::SIOCETHTOOL, &mut request) {
        Ok(()) => (channels.rx + channels.combined).max(1),
        Err(_) => 1,
    }
}

/// `struct ethtool_drvinfo` of linux/ethtool.h.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    /// Versions and counts.
    rest: [u8; 160],
}

const ETHTOOL_GDRVINFO: u32 = 0x3;

fn driver(socket: &OwnedFd, name: &str) -> String {
    let mut info = DriverInfo { command: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 160] };
    let Ok(mut request) = request(name) else { return String::new() };
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    if ask(socket, libc::SIOCETHTOOL, &mut request).is_err() {
        return String::new();
    }
    let text = info.driver.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn flags(socket: &OwnedFd, name: &str) -> io::Result<i32> {
    let mut request = request(name)?;
    ask(socket, libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: SIOCGIFFLAGS succeeded, so the kernel has written this member of the union.
    Ok(i32::from(unsafe { request.ifr_ifru.ifru_flags }))
}

fn mtu(socket: &OwnedFd, name: &str) -> io::Result<u32> {
    let mut request = request(name)?;
    ask(socket, libc::SIOCGIFMTU, &mut request)?;
    // SAFETY: SIOCGIFMTU succeeded, so the kernel has written this member of the union.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    Ok(u32::try_from(mtu).unwrap_or(0))
}

fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is integers, arrays of them and raw pointers, for all of which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(request)
}

fn ask(socket: &OwnedFd, what: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: `request` is a whole `ifreq`; where `what` makes the kernel follow its data pointer, the
    // caller has pointed it to a structure of the command's size that lives across this call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), what, request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
