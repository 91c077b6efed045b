//! The program of one port: loaded, then attached by a link that is pinned.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

use libbpf_rs::{
    Link, MapCore, MapFlags, MapHandle, OpenObject, ProgramInput, Xdp, XdpFlags,
    query::ProgInfoIter,
    skel::{OpenSkel, SkelBuilder},
};

use super::{
    ShuntMap, VerdictCounts, VerdictMap,
    bpffs::Pin,
    skeleton::{SteerSkel, SteerSkelBuilder},
};
use crate::shunt::{NoShunt, Shunt, Shunted, Way};
use crate::xsk::{Fail, OpenError, OtherFrames, heartbeat::Heartbeats, interface::Interface};

/// `BPF_F_TEST_XDP_LIVE_FRAMES` of linux/bpf.h.
const LIVE_FRAMES: u32 = 1 << 1;

/// What a steering program is loaded with.
#[derive(Clone, Copy, Debug, Default)]
pub struct SteerConfig {
    /// Where frames go that carry no TCP.
    pub other: OtherFrames,
    /// Where frames go that nobody reads.
    pub fail: Fail,
    /// The age at which a heartbeat is stale; zero for never.
    pub stale: Duration,
    /// Directions of connections that can be shunted; 0 is read as 1.
    pub shunts: u32,
}

/// Where libbpf keeps an open program; has to outlive it.
#[derive(Debug)]
pub struct Storage(MaybeUninit<OpenObject>);

impl Default for Storage {
    fn default() -> Self {
        Self(MaybeUninit::uninit())
    }
}

/// A steering program that is loaded, but not attached.
#[expect(missing_debug_implementations, reason = "the generated skeleton has none")]
pub struct SteerProgram<'storage> {
    skeleton: SteerSkel<'storage>,
}

impl<'storage> SteerProgram<'storage> {
    /// Loads the program into the kernel.
    pub fn load(storage: &'storage mut Storage, config: &SteerConfig) -> libbpf_rs::Result<Self> {
        let mut open = SteerSkelBuilder::default().open(&mut storage.0)?;
        if let Some(rodata) = open.maps.rodata_data.as_deref_mut() {
            rodata.steer_other = match config.other {
                OtherFrames::Kernel => 0,
                OtherFrames::User => 1,
                OtherFrames::Drop => 2,
            };
            rodata.steer_fail = match config.fail {
                Fail::Wire => 0,
                Fail::Closed => 1,
            };
            rodata.steer_stale_ns = u64::try_from(config.stale.as_nanos()).unwrap_or(u64::MAX);
        }
        open.maps.shunts.set_max_entries(config.shunts.max(1))?;
        Ok(Self { skeleton: open.load()? })
    }

    /// Sets the interface that frames cross to in the kernel.
    pub fn set_peer(&self, index: u32) -> libbpf_rs::Result<()> {
        let key = 0u32.to_ne_bytes();
        self.skeleton.maps.peer.update(&key, &index.to_ne_bytes(), MapFlags::ANY)
    }

    /// Runs the program on a frame of at least 14 bytes, as if it had come in on queue 0 of the
    /// loopback interface, and gives its return code (`XDP_DROP` is 1, `XDP_REDIRECT` is 4). The
    /// frame goes nowhere.
    pub fn run(&self, frame: &[u8]) -> libbpf_rs::Result<u32> {
        let input = ProgramInput { data_in: Some(frame), ..ProgramInput::default() };
        self.skeleton.progs.steer.test_run(input).map(|output| output.return_value)
    }

    /// Lets the kernel make `copies` of a frame and run the program on each, for real (live frames, Linux 5.18): those
    /// that it sends across leave by the interface of [`Self::set_peer`]. For generators.
    pub fn send_live(&self, frame: &[u8], copies: u32) -> libbpf_rs::Result<()> {
        let input = ProgramInput {
            data_in: Some(frame),
            flags: LIVE_FRAMES,
            repeat: copies,
            ..ProgramInput::default()
        };
        self.skeleton.progs.steer.test_run(input).map(drop)
    }

    /// Gives queue 0 a socket that is bound to nothing, until it is dropped: for [`Self::run`] only.
    pub fn lend_socket(&self) -> io::Result<OwnedFd> {
        let socket = idle_socket()?;
        self.sockets()
            .and_then(|sockets| sockets.insert(0, socket.as_raw_fd()))
            .map_err(io::Error::other)?;
        Ok(socket)
    }

    /// What it has done so far.
    pub fn counts(&self) -> libbpf_rs::Result<VerdictCounts> {
        self.verdicts()?.read()
    }

    /// As [`Link::shunt`](crate::Link::shunt), for the port of this program.
    pub fn shunt(&self, shunt: &Shunt) -> Result<(), NoShunt> {
        self.shunts().map_err(|_| NoShunt::Unable)?.insert(shunt)
    }

    /// As [`Link::shunted`](crate::Link::shunted).
    #[must_use]
    pub fn shunted(&self, way: &Way) -> Option<Shunted> {
        self.shunts().ok()?.seen(way)
    }

    /// As [`Link::unshunt`](crate::Link::unshunt).
    #[must_use]
    pub fn unshunt(&self, way: &Way) -> Option<Shunted> {
        self.shunts().ok()?.remove(way)
    }

    pub(in crate::xsk) fn shunts(&self) -> libbpf_rs::Result<ShuntMap> {
        let maps = &self.skeleton.maps;
        Ok(ShuntMap::new(MapHandle::try_from(&maps.shunts)?, MapHandle::try_from(&maps.shunting)?))
    }

    pub(in crate::xsk) fn verdicts(&self) -> libbpf_rs::Result<VerdictMap> {
        MapHandle::try_from(&self.skeleton.maps.verdicts).map(VerdictMap)
    }

    pub(in crate::xsk) fn sockets(&self) -> libbpf_rs::Result<Sockets> {
        MapHandle::try_from(&self.skeleton.maps.sockets).map(Sockets)
    }

    pub(in crate::xsk) fn heartbeats(&self) -> io::Result<Heartbeats> {
        Heartbeats::map(&self.skeleton.maps.heartbeats.as_fd())
    }

    /// Attaches the program and pins it as `key`. A program that a dead process of ours left there is
    /// replaced in one step, so that no frame falls between them. The caller has the claim of `key`.
    pub(in crate::xsk) fn attach(
        &self,
        interface: &Interface,
        key: &str,
    ) -> Result<Attachment, OpenError> {
        let fault = |what| {
            move |source| OpenError::Steer { interface: interface.name.clone(), what, source }
        };
        let pin = Pin::new(key);
        if let Some(link) = self.take_over(&pin) {
            return Ok(Attachment { link: Some(link), pin });
        }
        pin.remove().map_err(|source| OpenError::System {
            interface: interface.name.clone(),
            what: "a stale program cannot be unpinned",
            source,
        })?;
        self.check_free(interface, key)?;
        let link = self.skeleton.progs.steer.attach_xdp(interface.index_signed());
        let link = link.map_err(fault("the steering program cannot be attached"))?;
        let mut attachment = Attachment { link: Some(link), pin };
        attachment.pin(interface)?;
        Ok(attachment)
    }

    /// An error that names the program, if somebody else's is attached.
    pub(in crate::xsk) fn check_free(
        &self,
        interface: &Interface,
        key: &str,
    ) -> Result<(), OpenError> {
        let xdp = Xdp::new(self.skeleton.progs.steer.as_fd());
        let id = xdp.query_id(interface.index_signed(), XdpFlags::NONE).unwrap_or(0);
        if id == 0 || Pin::new(key).exists() {
            return Ok(());
        }
        let named = ProgInfoIter::default().find(|program| program.id == id);
        let program = named.map_or_else(
            || "unknown".to_owned(),
            |program| program.name.to_string_lossy().into_owned(),
        );
        Err(OpenError::ForeignProgram { interface: interface.name.clone(), program, id })
    }

    /// Whether the driver runs the program that is attached to `interface`, and not the stack behind it
    /// (generic XDP).
    pub(in crate::xsk) fn is_native(&self, interface: &Interface) -> bool {
        const XDP_ATTACHED_DRV: u8 = 1;
        Xdp::new(self.as_fd())
            .query(interface.index_signed(), XdpFlags::NONE)
            .is_ok_and(|options| options.attach_mode == XDP_ATTACHED_DRV)
    }

    /// The link that is pinned there, with this program in it. None if there is none, or its
    /// interface is gone.
    fn take_over(&self, pin: &Pin) -> Option<Link> {
        if !pin.exists() {
            return None;
        }
        let mut link = Link::open(pin.path()).ok()?;
        link.update_prog(&self.skeleton.progs.steer).ok()?;
        Some(link)
    }
}

impl AsFd for SteerProgram<'_> {
    /// The loaded program.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.skeleton.progs.steer.as_fd()
    }
}

/// An AF_XDP socket with a receive ring, which is all that the map of sockets asks for.
fn idle_socket() -> io::Result<OwnedFd> {
    const XDP_RX_RING: libc::c_int = 2;
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor has just been made, and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let entries = 64u32;
    // SAFETY: the pointer is to an argument that lives across the call, and its size is given.
    let result = unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_XDP, XDP_RX_RING, (&raw const entries).cast(), 4)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
}

/// A program at an interface. Dropping it detaches and unpins.
#[derive(Debug)]
pub(in crate::xsk) struct Attachment {
    link: Option<Link>,
    pin: Pin,
}

impl Attachment {
    fn pin(&mut self, interface: &Interface) -> Result<(), OpenError> {
        let path = self.pin.create().map_err(|source| OpenError::System {
            interface: interface.name.clone(),
            what: "no directory to pin the steering program in",
            source,
        })?;
        self.link.as_mut().map_or(Ok(()), |link| link.pin(path)).map_err(|source| {
            OpenError::Steer {
                interface: interface.name.clone(),
                what: "the steering program cannot be pinned",
                source,
            }
        })
    }

    pub(in crate::xsk) fn detach(&mut self) -> io::Result<()> {
        let Some(link) = self.link.take() else { return Ok(()) };
        // An interface that is gone has taken the program with it, and refuses. Once unpinned and
        // closed, the link is gone in any case.
        let _ = link.detach();
        drop(link);
        self.pin.remove()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // Nobody is left to be told; the next start takes over what stays.
        let _ = self.detach();
    }
}

/// The map `sockets` of a program.
#[derive(Debug)]
pub(in crate::xsk) struct Sockets(MapHandle);

impl Sockets {
    /// From now on, frames of `queue` come to the socket.
    pub(in crate::xsk) fn insert(&self, queue: u32, socket: RawFd) -> libbpf_rs::Result<()> {
        self.0.update(&queue.to_ne_bytes(), &socket.to_ne_bytes(), MapFlags::ANY)
    }

    /// From now on, they fail to wire, or closed.
    pub(in crate::xsk) fn remove(&self, queue: u32) {
        // A socket that is not there is what we want.
        let _ = self.0.delete(&queue.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xsk::{Verdict, steer};

    fn tcp() -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[12] = 0x08;
        frame[14] = 0x45;
        frame[23] = 6;
        frame
    }

    #[test]
    fn with_a_socket_tcp_goes_to_it_until_its_worker_is_stale() {
        if !nix::unistd::Uid::effective().is_root() {
            println!("skipped: needs root");
            return;
        }
        libbpf_rs::set_print(None);
        let mut storage = Storage::default();
        let config = SteerConfig { stale: Duration::from_secs(60), ..SteerConfig::default() };
        let program = SteerProgram::load(&mut storage, &config).unwrap();
        program.set_peer(1).unwrap();
        let heartbeats = program.heartbeats().unwrap();
        let _socket = program.lend_socket().unwrap();
        let sockets = program.sockets().unwrap();
        let frames = |verdict| program.counts().unwrap().of(verdict).frames;

        // Fresh, then one minute and more ago, then none.
        let now = crate::xsk::heartbeat::coarse_now_ns();
        heartbeats.stamp(0, now);
        assert_eq!(program.run(&tcp()).unwrap(), 4);
        assert_eq!(frames(Verdict::ToSocket), 1);

        heartbeats.stamp(0, now.saturating_sub(61_000_000_000));
        assert_eq!(program.run(&tcp()).unwrap(), 4);
        assert_eq!(frames(Verdict::Bypassed), 1);

        heartbeats.stamp(0, now);
        sockets.remove(0);
        assert_eq!(program.run(&tcp()).unwrap(), 4);
        assert_eq!(frames(Verdict::NoSocketWire), 1);
        assert_eq!(program.counts().unwrap().frames(), 3);
    }

    #[test]
    fn the_header_bounds_the_queues_as_we_do() {
        let header = include_str!("../../../../../bpf/steer.h");
        assert!(header.contains(&format!("STEER_QUEUES_MAX {}\n", crate::xsk::QUEUES_MAX)));
        assert_eq!(
            size_of::<steer::skeleton::types::steer_heartbeat>(),
            super::super::super::heartbeat::STRIDE
        );
    }
}
