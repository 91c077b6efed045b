//! Opening and closing a pair of ports.

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::net::if_::if_indextoname;

use super::{
    Fail, Mode, OpenError, OtherFrames, PairConfig, VerdictCounts, XskLink,
    both::Both,
    check,
    claim::{self, Claim},
    drivers,
    exchange::Home,
    heartbeat::Heartbeats,
    interface::Interface,
    queue::Queue,
    steer::{
        self, Attachment, ShuntMap, Sockets, SteerConfig, SteerProgram, Storage, VerdictMap,
        ensure_mounted,
    },
    umem::{Layout, Memory},
};
use crate::Port;

/// One queue of a pair, as it was obtained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueInfo {
    /// Its port.
    pub port: Port,
    /// The interface that is this port.
    pub interface: String,
    /// Its number at the interface.
    pub queue: u32,
    /// The worker that it was dealt to.
    pub worker: usize,
    /// Whether frames travel without being copied between card and UMEM.
    pub zero_copy: bool,
}

/// Two interfaces that are one wire: the steering programs attached to them, and what its
/// [links](XskLink) share.
///
/// Close or drop it before the links where you can: then frames stop first and sockets close after.
/// The other way round is safe as well.
#[derive(Debug)]
pub struct Pair {
    /// First: detached before anything else goes.
    attachments: Both<Attachment>,
    native: Both<bool>,
    other: OtherFrames,
    interfaces: Both<Interface>,
    queues: Vec<QueueInfo>,
    shares: Arc<Shares>,
}

/// What a pair and its links stand on, until the last of them goes.
#[derive(Debug)]
pub(super) struct Shares {
    pub(super) sockets: Both<Sockets>,
    pub(super) heartbeats: Both<Heartbeats>,
    pub(super) verdicts: Both<VerdictMap>,
    pub(super) shunts: Both<ShuntMap>,
    memory: Memory,
    _claims: Both<Claim>,
}

impl Pair {
    /// Opens both interfaces, and gives one link for each worker. Blocks for milliseconds, or for
    /// seconds with cards that reset their link when a program is attached.
    ///
    /// In order: (1) check, (2) claim the interfaces, (3) load the programs, (4) open the sockets,
    /// (5) fill the fill rings, (6) attach the programs, (7) let them know the sockets.
    pub fn open(config: &PairConfig) -> Result<(Self, Vec<XskLink>), OpenError> {
        // (1)
        check::config(config)?;
        let interfaces = Both { a: Interface::find(&config.a)?, b: Interface::find(&config.b)? };
        let chunk = check::interfaces(config.mode, &interfaces.a, &interfaces.b)?;
        check::capabilities(&config.a)?;

        // (2)
        let claims = Both::try_of(|port| Claim::take(&interfaces[port]))?;
        let keys = Both::of(|port| claims[port].key().to_owned());
        ensure_mounted(&config.a)?;
        claim::sweep();
        steer::sweep();

        // (3) libbpf would print what our errors say.
        libbpf_rs::set_print(None);
        let mut storage = Both::<Storage>::default();
        let programs = Both {
            a: load(&mut storage.a, config, &interfaces, Port::A)?,
            b: load(&mut storage.b, config, &interfaces, Port::B)?,
        };
        for port in Port::BOTH {
            programs[port].check_free(&interfaces[port], &keys[port])?;
        }

        // (4)
        let (memory, queues) =
            open_queues(config.mode, layout(config, chunk, &interfaces), &interfaces)?;
        let infos = infos(&interfaces, &queues, config.workers)?;
        let shares = Arc::new(Shares {
            sockets: Both::try_of(|port| sockets(&programs[port], &interfaces[port]))?,
            heartbeats: Both::try_of(|port| heartbeats(&programs[port], &interfaces[port]))?,
            verdicts: Both::try_of(|port| verdicts(&programs[port], &interfaces[port]))?,
            shunts: Both::try_of(|port| shunts(&programs[port], &interfaces[port]))?,
            memory,
            _claims: claims,
        });

        // (5)
        let mut links = deal(queues, config, &shares);
        for link in &mut links {
            link.prime();
        }

        // (6)
        let pair = Self {
            attachments: Both::try_of(|port| {
                programs[port].attach(&interfaces[port], &keys[port])
            })?,
            native: Both::of(|port| programs[port].is_native(&interfaces[port])),
            other: drivers::other_frames(config, &interfaces),
            interfaces: interfaces.clone(),
            queues: infos,
            shares,
        };

        // (7)
        for link in &links {
            link.announce().map_err(|source| OpenError::Steer {
                interface: format!("{}:{}", config.a, config.b),
                what: "a socket cannot be put into the steering program",
                source,
            })?;
        }
        Ok((pair, links))
    }

    /// Every queue of both ports, with the mode that was obtained.
    #[must_use]
    pub fn queues(&self) -> &[QueueInfo] {
        &self.queues
    }

    /// Whether the driver of `port` runs the steering program. If not, it runs behind the kernel's own
    /// reception (generic XDP): several times slower, and worth a warning.
    #[must_use]
    pub fn is_native(&self, port: Port) -> bool {
        self.native[port]
    }

    /// Where frames go that carry no TCP: as configured, or [`OtherFrames::User`] where the drivers
    /// could not take them across.
    #[must_use]
    pub const fn other_frames(&self) -> OtherFrames {
        self.other
    }

    /// The MTU of both interfaces, which are alike.
    #[must_use]
    pub const fn mtu(&self) -> u32 {
        self.interfaces.a.mtu
    }

    /// Whether the frames lie in huge pages.
    #[must_use]
    pub fn huge_pages(&self) -> bool {
        self.shares.memory.huge_pages
    }

    /// Frames of all workers.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.shares.memory.shared().empty.len()
    }

    /// Bytes that all frames take.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.shares.memory.shared().layout.bytes()
    }

    /// What the steering program of `port` has done.
    pub fn steer_counts(&self, port: Port) -> io::Result<VerdictCounts> {
        self.shares.verdicts[port].read().map_err(io::Error::other)
    }

    /// The name of an interface that is there no more: removed, or moved to another network
    /// namespace. Its sockets stay open and silent, so nobody else would tell.
    #[must_use]
    pub fn lost_interface(&self) -> Option<&str> {
        // nix 0.32 takes the null pointer that says "none" for a success, with an empty name.
        let is_there = |index| if_indextoname(index).is_ok_and(|name| !name.is_empty());
        let lost = self.interfaces.iter().find(|interface| !is_there(interface.index));
        lost.map(|interface| interface.name.as_str())
    }

    /// Detaches and unpins the programs. Links still send what they have, and receive no more.
    pub fn close(mut self) -> io::Result<()> {
        let a = self.attachments.a.detach();
        let b = self.attachments.b.detach();
        a.and(b)
    }
}

/// Each worker's frames are the sum of where they can be at once.
fn layout(config: &PairConfig, chunk: u32, interfaces: &Both<Interface>) -> Layout {
    let workers = u32::try_from(config.workers).unwrap_or(1);
    let queues: u32 = interfaces.iter().map(|port| port.queues.div_ceil(workers)).sum();
    let frames_each = queues * config.ring // to be received into
        + 2 * config.ring // being sent, on each port
        + config.frames; // held by the worker
    Layout { chunk, frames_each, workers, ring: config.ring }.rounded()
}

fn load<'storage>(
    storage: &'storage mut Storage,
    config: &PairConfig,
    interfaces: &Both<Interface>,
    port: Port,
) -> Result<SteerProgram<'storage>, OpenError> {
    let (interface, peer) = (&interfaces[port], &interfaces[port.peer()]);
    let fault =
        |what| move |source| OpenError::Steer { interface: interface.name.clone(), what, source };
    let other = drivers::other_frames(config, interfaces);
    let PairConfig { fail, stale, shunts, .. } = *config;
    let steer = SteerConfig { other, fail, stale, shunts };
    let program = SteerProgram::load(storage, &steer)
        .map_err(fault("the steering program cannot be loaded"))?;
    program.set_peer(peer.index).map_err(fault("its peer cannot be set"))?;
    Ok(program)
}

/// The memory and the queues in it.
type Opened = (Memory, Both<Vec<Queue>>);

/// How long a busy queue is tried again. The kernel frees the queue of a closed socket from a work
/// queue, when the last frame that it sent has been read. A guess, generous on an idle machine.
const BUSY: Duration = Duration::from_millis(500);
const BUSY_STEP: Duration = Duration::from_millis(10);

/// Opens all queues, again while one is busy: that the interfaces are ours to claim means that it was
/// a process like us, which is gone, or is somebody else's for long.
fn open_queues(
    mode: Mode,
    layout: Layout,
    interfaces: &Both<Interface>,
) -> Result<Opened, OpenError> {
    let start = Instant::now();
    loop {
        match open_queues_in(mode, layout, interfaces) {
            Err(OpenError::QueueBusy { .. }) if start.elapsed() < BUSY => thread::sleep(BUSY_STEP),
            opened => return opened,
        }
    }
}

/// All queues of a UMEM have the mode of the first. So to fall back, everything is opened anew.
fn open_queues_in(
    mode: Mode,
    layout: Layout,
    interfaces: &Both<Interface>,
) -> Result<Opened, OpenError> {
    match mode {
        Mode::Copy => open_queues_as(false, layout, interfaces),
        Mode::ZeroCopy => open_queues_as(true, layout, interfaces),
        Mode::Auto => match open_queues_as(true, layout, interfaces) {
            Err(OpenError::NoZeroCopy { .. } | OpenError::Socket { .. }) => {
                open_queues_as(false, layout, interfaces)
            }
            opened => opened,
        },
    }
}

fn open_queues_as(
    zero_copy: bool,
    layout: Layout,
    interfaces: &Both<Interface>,
) -> Result<Opened, OpenError> {
    let memory = Memory::map(layout).map_err(|source| OpenError::Memory {
        interface: interfaces.a.name.clone(),
        bytes: layout.bytes(),
        source,
    })?;
    let queues = Both::try_of(|port| {
        (0..interfaces[port].queues)
            .map(|queue| Queue::open(memory.shared(), &interfaces[port], queue, zero_copy))
            .collect::<Result<_, _>>()
    })?;
    Ok((memory, queues))
}

fn infos(
    interfaces: &Both<Interface>,
    queues: &Both<Vec<Queue>>,
    workers: usize,
) -> Result<Vec<QueueInfo>, OpenError> {
    let mut infos = Vec::new();
    for port in Port::BOTH {
        let interface = &interfaces[port];
        for (nth, queue) in queues[port].iter().enumerate() {
            let zero_copy = queue.is_zero_copy().map_err(|source| OpenError::Socket {
                interface: interface.name.clone(),
                queue: queue.id(),
                source,
            })?;
            infos.push(QueueInfo {
                port,
                interface: interface.name.clone(),
                queue: queue.id(),
                worker: nth % workers,
                zero_copy,
            });
        }
    }
    Ok(infos)
}

/// Deals the queues to the workers, round robin.
fn deal(mut queues: Both<Vec<Queue>>, config: &PairConfig, shares: &Arc<Shares>) -> Vec<XskLink> {
    let counts = Both::of(|port| queues[port].len());
    let shared = shares.memory.shared();
    let homes = Home::all(shared, |worker, port| worker < counts[port]);

    let mut hands: Vec<Both<Vec<Queue>>> =
        (0..config.workers).map(|_| Both::of(|_| Vec::new())).collect();
    for port in Port::BOTH {
        for (nth, queue) in queues[port].drain(..).enumerate() {
            if let Some(hand) = hands.get_mut(nth % config.workers) {
                hand[port].push(queue);
            }
        }
    }
    let stale = if config.fail == Fail::Wire { config.stale } else { Duration::ZERO };
    let stale_ns = u64::try_from(stale.as_nanos()).unwrap_or(u64::MAX);
    hands
        .into_iter()
        .zip(homes)
        .enumerate()
        .map(|(worker, (hand, home))| {
            XskLink::new(worker, hand, home, stale_ns, Arc::clone(shares))
        })
        .collect()
}

fn sockets(program: &SteerProgram<'_>, interface: &Interface) -> Result<Sockets, OpenError> {
    program.sockets().map_err(|source| no_map(interface, source))
}

fn verdicts(program: &SteerProgram<'_>, interface: &Interface) -> Result<VerdictMap, OpenError> {
    program.verdicts().map_err(|source| no_map(interface, source))
}

fn shunts(program: &SteerProgram<'_>, interface: &Interface) -> Result<ShuntMap, OpenError> {
    program.shunts().map_err(|source| no_map(interface, source))
}

fn heartbeats(program: &SteerProgram<'_>, interface: &Interface) -> Result<Heartbeats, OpenError> {
    program.heartbeats().map_err(|source| OpenError::System {
        interface: interface.name.clone(),
        what: "the heartbeats of the steering program cannot be mapped",
        source,
    })
}

fn no_map(interface: &Interface, source: libbpf_rs::Error) -> OpenError {
    OpenError::Steer {
        interface: interface.name.clone(),
        what: "a map of the steering program cannot be had",
        source,
    }
}
