//! One AF_XDP socket: a queue of an interface, with its four rings.

use std::{io, os::fd::AsRawFd};

use xsk_rs::{
    CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue,
    config::{BindFlags, Interface as InterfaceName, LibxdpFlags, QueueSize, SocketConfig},
    socket::SocketCreateError,
};

use super::{
    OpenError, exchange::Home, frame::XskFrame, interface::Interface, statistics::QueueCounts,
    umem::Shared,
};
use crate::Port;

/// Descriptors that cross between a ring and us at a time.
const BATCH: usize = 64;

const XDP_OPTIONS: libc::c_int = 8;
const XDP_OPTIONS_ZEROCOPY: u32 = 1;
/// Linux 6.17: how many frames one call may send in copy mode. Before, it was 32.
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;

/// A queue and the frames that are in its rings.
///
/// Invariants: `filled` frames were given to the fill ring and have not been received, at most as
/// many as the receive ring holds, so that it never overflows; `in_flight` frames were given to the
/// transmit ring and have not completed, at most as many as the completion ring holds.
#[derive(Debug)]
pub(super) struct Queue {
    id: u32,
    shared: &'static Shared,
    filled: u32,
    in_flight: u32,
    scratch: Box<[FrameDesc]>,
    counts: QueueCounts,
    last_completed: Option<usize>,
    rx: RxQueue,
    tx: TxQueue,
    fill: FillQueue,
    complete: CompQueue,
}

impl Queue {
    /// Opens and binds a socket. Its rings are empty, and nothing is steered to it yet.
    pub(super) fn open(
        shared: &'static Shared,
        interface: &Interface,
        id: u32,
        zero_copy: bool,
    ) -> Result<Self, OpenError> {
        let fault =
            |source| OpenError::Socket { interface: interface.name.clone(), queue: id, source };
        let invalid = || fault(io::ErrorKind::InvalidInput.into());
        let ring = QueueSize::new(shared.layout.ring).map_err(|_| invalid())?;
        let name: InterfaceName = interface.name.parse().map_err(|_| invalid())?;
        let copying = if zero_copy { BindFlags::XDP_ZEROCOPY } else { BindFlags::XDP_COPY };
        let config = SocketConfig::builder()
            .rx_queue_size(ring)
            .tx_queue_size(ring)
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(copying | BindFlags::XDP_USE_NEED_WAKEUP)
            .build();
        // SAFETY: libxdp loads no program, so there is none whose state sockets could disagree about.
        let opened = unsafe { Socket::new(config, &shared.umem, &name, id) };
        let (tx, rx, rings) = opened.map_err(|error| refused(&error, interface, id, zero_copy))?;
        let (fill, complete) = rings.ok_or_else(|| fault(io::ErrorKind::AlreadyExists.into()))?;
        raise_budget(&tx, shared.layout.ring);
        Ok(Self {
            id,
            shared,
            filled: 0,
            in_flight: 0,
            scratch: vec![FrameDesc::default(); BATCH].into_boxed_slice(),
            counts: QueueCounts::default(),
            last_completed: None,
            rx,
            tx,
            fill,
            complete,
        })
    }

    /// Tops up the fill ring, and wakes the driver if it waits for that.
    pub(super) fn refill(&mut self, home: &mut Home) {
        // The kernel shows what it has received before it shows what it took from the fill ring for it, so for a
        // moment the ring has less room than frames are missing from it.
        let missing = self.shared.layout.ring - self.filled;
        let mut wanted = self.fill.nb_free(missing).min(missing) as usize;
        while wanted > 0 {
            let drawn = home.draw(&mut self.scratch, wanted);
            let Some(descs) = self.scratch.get(..drawn) else { return };
            // SAFETY: these chunks of this UMEM have just left the pool; nobody else has them.
            let done = unsafe { self.fill.produce(descs) };
            for desc in descs.get(done..).unwrap_or_default() {
                debug_assert!(false, "room was asked for before");
                home.give_back(self.shared.chunk(desc));
            }
            self.filled += u32::try_from(done).unwrap_or(0);
            wanted -= drawn.min(wanted);
            if drawn == 0 || done < drawn {
                self.counts.fill_short += 1;
                break;
            }
        }
        if self.fill.needs_wakeup() && self.fill.wakeup(self.rx.fd_mut(), 0).is_err() {
            self.counts.wakeup_failed += 1;
        }
    }

    /// Appends what has arrived, at most `room` frames; how many.
    pub(super) fn receive(
        &mut self,
        home: &mut Home,
        batch: &mut Vec<XskFrame>,
        room: usize,
    ) -> usize {
        let mut received = 0;
        while received < room {
            let count = self.consume(room - received);
            for desc in self.scratch.iter().take(count) {
                // SAFETY: the kernel has just given this chunk of our UMEM back; nobody else has it.
                batch.push(unsafe { home.make(*desc) });
            }
            received += count;
            if count < BATCH {
                break;
            }
        }
        self.counts.received += received as u64;
        received
    }

    /// Takes back, unseen, all that has arrived; how many.
    pub(super) fn discard(&mut self, home: &mut Home) -> usize {
        let mut discarded = 0;
        loop {
            let count = self.consume(BATCH);
            for desc in self.scratch.iter().take(count) {
                home.give_back(self.shared.chunk(desc));
            }
            discarded += count;
            // At most a ring, or a fast sender could keep us here.
            if count == 0 || discarded >= self.shared.layout.ring as usize {
                return discarded;
            }
        }
    }

    fn consume(&mut self, most: usize) -> usize {
        let most = most.min(self.scratch.len());
        let Some(descs) = self.scratch.get_mut(..most) else { return 0 };
        // SAFETY: the socket was bound to this UMEM, and `consume` fills in each descriptor it counts.
        let count = unsafe { self.rx.consume(descs) };
        debug_assert!(self.filled as usize >= count, "more received than was filled");
        self.filled = self.filled.saturating_sub(u32::try_from(count).unwrap_or(0));
        count
    }

    /// Gives frames from the front of `batch` to the transmit ring; how many. [`Self::kick`] sends them.
    pub(super) fn transmit(&mut self, home: &mut Home, batch: &mut Vec<XskFrame>) -> usize {
        let count = self.room().min(batch.len());
        if count < batch.len() {
            self.counts.transmit_full += 1;
        }
        let mut frames = batch.drain(..count).filter_map(|frame| home.end_to_send(frame));
        let mut stuck = Vec::new();
        loop {
            let mut taken = 0;
            for (slot, desc) in self.scratch.iter_mut().zip(frames.by_ref()) {
                *slot = desc;
                taken += 1;
            }
            if taken == 0 {
                break;
            }
            let done = self.submit(taken);
            stuck.extend(self.scratch.iter().take(taken).skip(done).copied());
        }
        drop(frames);
        for desc in stuck {
            home.give_back(self.shared.chunk(&desc));
        }
        count
    }

    /// Gives what siblings want sent on `port` to the transmit ring.
    pub(super) fn transmit_entrusted(&mut self, home: &mut Home, port: Port) {
        loop {
            let most = self.room().min(self.scratch.len());
            let Some(descs) = self.scratch.get_mut(..most) else { return };
            let taken = home.entrusted(port, descs);
            if taken == 0 {
                return;
            }
            let done = self.submit(taken);
            for desc in self.scratch.iter().take(taken).skip(done) {
                home.give_back(self.shared.chunk(desc));
            }
        }
    }

    /// Frames that the transmit ring takes now.
    fn room(&mut self) -> usize {
        let ring = self.shared.layout.ring;
        self.tx.nb_free_exact().min(ring - self.in_flight) as usize
    }

    /// Submits the first `count` descriptors of the scratch; how many fitted: all, or a bug.
    fn submit(&mut self, count: usize) -> usize {
        let descs = self.scratch.get(..count).unwrap_or_default();
        // SAFETY: each chunk is of this UMEM, and its frame has been ended, so that nobody has it.
        let done = unsafe { self.tx.produce(descs) };
        debug_assert_eq!(done, count, "room was checked before");
        self.in_flight += u32::try_from(done).unwrap_or(0);
        self.counts.transmitted += done as u64;
        done
    }

    /// Has the kernel send what lies in the transmit ring: one call, and none if it needs none.
    pub(super) fn kick(&mut self) {
        let unsent = self.tx.nb_free_exact() < self.shared.layout.ring;
        if !unsent || !self.tx.needs_wakeup() {
            return;
        }
        self.counts.wakeups += 1;
        if self.tx.wakeup().is_err() {
            self.counts.wakeup_failed += 1;
        }
    }

    /// Takes back what has been sent.
    pub(super) fn reap(&mut self, home: &mut Home) {
        while self.in_flight > 0 {
            // SAFETY: the socket was bound to this UMEM, and `consume` fills in each one it counts.
            let count = unsafe { self.complete.consume(&mut self.scratch) };
            for desc in self.scratch.iter().take(count) {
                home.give_back(self.shared.chunk(desc));
                self.last_completed = Some(desc.addr());
            }
            debug_assert!(self.in_flight as usize >= count, "more completed than was sent");
            self.in_flight = self.in_flight.saturating_sub(u32::try_from(count).unwrap_or(0));
            if count < BATCH {
                break;
            }
        }
    }

    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn fd(&self) -> libc::c_int {
        self.rx.fd().as_raw_fd()
    }

    pub(super) const fn filled(&self) -> u32 {
        self.filled
    }

    pub(super) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(super) const fn last_completed(&self) -> Option<usize> {
        self.last_completed
    }

    /// Our counts and the kernel's: one call.
    pub(super) fn counts(&self) -> QueueCounts {
        let mut counts = self.counts;
        if let Ok(kernel) = self.rx.fd().xdp_statistics() {
            counts.rx_dropped = kernel.rx_dropped();
            counts.rx_ring_full = kernel.rx_ring_full();
            counts.rx_fill_ring_empty = kernel.rx_fill_ring_empty_descs();
            counts.rx_invalid = kernel.rx_invalid_descs();
            counts.tx_invalid = kernel.tx_invalid_descs();
            counts.tx_ring_empty = kernel.tx_ring_empty_descs();
        }
        counts
    }

    /// Whether the kernel bound it without copying.
    pub(super) fn is_zero_copy(&self) -> io::Result<bool> {
        let mut options = 0u32;
        let mut len: libc::socklen_t = 4;
        // SAFETY: both pointers are to locals that live across the call, and `len` is the size of the
        // first, which is that of `struct xdp_options`.
        let result = unsafe {
            libc::getsockopt(
                self.fd(),
                libc::SOL_XDP,
                XDP_OPTIONS,
                (&raw mut options).cast(),
                &raw mut len,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(options & XDP_OPTIONS_ZEROCOPY != 0)
    }
}

/// So that one call sends a batch whole in copy mode. Older kernels refuse; there the rest of a large
/// batch goes out with the next turn.
fn raise_budget(tx: &TxQueue, ring: u32) {
    // SAFETY: the pointer is to an argument that lives across the call, and its size is given.
    unsafe {
        libc::setsockopt(
            tx.fd().as_raw_fd(),
            libc::SOL_XDP,
            XDP_MAX_TX_SKB_BUDGET,
            (&raw const ring).cast(),
            4,
        )
    };
}

fn refused(
    error: &SocketCreateError,
    interface: &Interface,
    queue: u32,
    zero_copy: bool,
) -> OpenError {
    use std::error::Error;
    let interface = interface.name.clone();
    let code = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .and_then(io::Error::raw_os_error);
    match code {
        Some(libc::EBUSY) => OpenError::QueueBusy { interface, queue },
        // EINVAL is what virtio-net says without iommu_platform.
        Some(libc::EOPNOTSUPP | libc::EINVAL) if zero_copy => {
            OpenError::NoZeroCopy { interface, queue }
        }
        Some(libc::EPERM | libc::EACCES) => {
            OpenError::Permission { interface, missing: "CAP_NET_RAW".to_owned() }
        }
        Some(code) => {
            OpenError::Socket { interface, queue, source: io::Error::from_raw_os_error(code) }
        }
        None => OpenError::Socket { interface, queue, source: io::Error::other(error.to_string()) },
    }
}
