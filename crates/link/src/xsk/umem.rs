//! The memory of all frames of a pair.
//!
//! It is mapped once, for both ports and all queues, and cut into chunks of equal size; a frame is a
//! chunk. Each worker is at home in a contiguous run of chunks, so that a chunk's number says whose
//! it is. Frames point into it without counting references: see [`Memory`] for why that is sound.

use std::{
    fmt, io,
    num::NonZeroU32,
    ptr::NonNull,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
};

use crossbeam::queue::ArrayQueue;
use xsk_rs::{
    FrameDesc, Umem,
    config::{FrameSize, QueueSize, UmemConfig},
};

/// Bytes in front of each frame that belong to XDP programs.
const HEADROOM: u32 = 256;
/// What an Ethernet header and two VLAN tags add to the MTU.
const HEADERS: u32 = 14 + 2 * 4;
const CHUNK_MAX: u32 = 4096;
const HUGE_PAGE: u32 = 2 << 20;

/// The smallest chunk that holds frames of `mtu`: 2 or 4 KiB; none beyond [`mtu_max`]. Of what lies
/// behind the headroom, the card uses a multiple of `grain` bytes: 1, but for cards that are told in
/// kilobytes how long a buffer is.
pub(super) const fn chunk_for(mtu: u32, grain: u32) -> Option<u32> {
    match mtu {
        mtu if mtu <= largest(2048, grain) => Some(2048),
        mtu if mtu <= largest(CHUNK_MAX, grain) => Some(CHUNK_MAX),
        _ => None,
    }
}

/// The largest MTU for which there is a chunk.
pub(super) const fn mtu_max(grain: u32) -> u32 {
    largest(CHUNK_MAX, grain)
}

/// The largest MTU whose frames a chunk holds.
const fn largest(chunk: u32, grain: u32) -> u32 {
    let room = chunk - HEADROOM;
    (room - room % grain) - HEADERS
}

/// How the memory is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Bytes of a chunk, a power of two.
    pub(super) chunk: u32,
    /// Chunks at home with each worker.
    pub(super) frames_each: u32,
    pub(super) workers: u32,
    /// Entries of a fill or completion ring.
    pub(super) ring: u32,
}

impl Layout {
    /// With so many frames more for each worker that the whole is made of huge pages.
    pub(super) const fn rounded(self) -> Self {
        let each = HUGE_PAGE / self.chunk;
        Self { frames_each: self.frames_each.div_ceil(each) * each, ..self }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.frames_each as usize * self.workers as usize * self.chunk as usize
    }
}

/// What frames, links and queues share. Frames refer to it as `'static`.
pub(super) struct Shared {
    pub(super) umem: Umem,
    pub(super) layout: Layout,
    /// Every chunk's descriptor when empty, by its number: xsk-rs makes descriptors only once.
    pub(super) empty: Box<[FrameDesc]>,
    /// Chunks whose frames were dropped by mistake, neither sent nor released. Has room for all.
    orphans: ArrayQueue<u32>,
    orphaned: AtomicU64,
    /// Frames made less frames taken back, summed over the links that are gone.
    held: AtomicI64,
}

impl Shared {
    /// The number of the chunk that `desc` lies in.
    pub(super) fn chunk(&self, desc: &FrameDesc) -> u32 {
        let number = desc.addr() / self.layout.chunk as usize;
        // What the kernel says is believed, but not to the point of corrupting memory.
        assert!(number < self.empty.len(), "the kernel gave an address outside the UMEM");
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// The worker at home in a chunk.
    pub(super) const fn home(&self, chunk: u32) -> usize {
        (chunk / self.layout.frames_each) as usize
    }

    /// Takes the chunk of a frame that was dropped.
    pub(super) fn orphan(&self, chunk: u32) {
        self.orphaned.fetch_add(1, Ordering::Relaxed);
        // There is room for every chunk there is, so this cannot fail. If it did, the sum of held
        // frames would never come to zero, and the memory would stay mapped.
        let _ = self.orphans.push(chunk);
    }

    /// A chunk that was orphaned.
    pub(super) fn adopt(&self) -> Option<u32> {
        if self.orphans.is_empty() { None } else { self.orphans.pop() }
    }

    /// Frames that were dropped by mistake, so far.
    pub(super) fn orphaned(&self) -> u64 {
        self.orphaned.load(Ordering::Relaxed)
    }

    /// A link goes, with so many frames made and not taken back.
    pub(super) fn settle(&self, held: i64) {
        self.held.fetch_add(held, Ordering::AcqRel);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// The owner of the memory; links and the pair share it in an `Arc`.
///
/// Frames hold a plain `&'static Shared`. That is a promise to keep: the memory is unmapped only
/// when the last owner goes *and* no frame is out. Links count the frames that they make and take
/// back and settle the difference when they go, and a frame that is dropped is an orphan, counted
/// too. If the sum is not zero then somebody still has frames, and the memory stays mapped for good.
#[derive(Debug)]
pub(super) struct Memory {
    /// From `Box::into_raw`.
    shared: NonNull<Shared>,
    pub(super) huge_pages: bool,
}

// SAFETY: `Memory` is a box of `Shared`, which is `Send` and `Sync`, as the constant below checks.
unsafe impl Send for Memory {}
// SAFETY: as above; `&Memory` gives no more than `&Shared`.
unsafe impl Sync for Memory {}

const _: () = {
    const fn is_shareable<T: Send + Sync>() {}
    is_shareable::<Shared>();
};

impl Memory {
    pub(super) fn map(layout: Layout) -> io::Result<Self> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        let ring = QueueSize::new(layout.ring)
            .map_err(|_| invalid("the size of a ring is no power of two"))?;
        let config = UmemConfig::builder()
            .frame_size(FrameSize::new(layout.chunk).map_err(|_| invalid("chunk too small"))?)
            .fill_queue_size(ring)
            .comp_queue_size(ring)
            .build()
            .map_err(|_| invalid("chunk too small for its headroom"))?;
        let count = layout
            .frames_each
            .checked_mul(layout.workers)
            .and_then(NonZeroU32::new)
            .ok_or_else(|| invalid("no frames, or too many"))?;

        // Most machines have set no huge pages aside. They save TLB misses, nothing else.
        let (huge_pages, (umem, empty)) = match Umem::new(config, count, true) {
            Ok(made) => (true, made),
            Err(_) => (false, Umem::new(config, count, false).map_err(source)?),
        };
        let shared = Box::new(Shared {
            umem,
            layout,
            orphans: ArrayQueue::new(empty.len()),
            empty: empty.into_boxed_slice(),
            orphaned: AtomicU64::new(0),
            held: AtomicI64::new(0),
        });
        Ok(Self { shared: NonNull::from(Box::leak(shared)), huge_pages })
    }

    /// What frames refer to. Only links may have it, which count their frames and own an `Arc` of us.
    pub(super) const fn shared(&self) -> &'static Shared {
        // SAFETY: the pointer comes from a leaked box, which is freed only by `drop`, and there only
        // when no link and no frame is left to use this reference.
        unsafe { self.shared.as_ref() }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let shared = self.shared();
        let mut out = shared.held.load(Ordering::Acquire);
        // An orphan that can be popped has been pushed whole: its frame's destructor, which may run on
        // another thread, does not touch the memory after that.
        while shared.orphans.pop().is_some() {
            out -= 1;
        }
        if out != 0 {
            return;
        }
        // SAFETY: the pointer comes from a leaked box. This is its only owner, every link has settled,
        // and no frame is out, so nobody has a reference into it.
        drop(unsafe { Box::from_raw(self.shared.as_ptr()) });
    }
}

fn source(error: xsk_rs::umem::UmemCreateError) -> io::Error {
    use std::error::Error;
    error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .and_then(io::Error::raw_os_error)
        .map_or_else(|| io::Error::other(error), io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chunk_is_the_smallest_that_holds_a_tagged_frame() {
        assert_eq!(chunk_for(1500, 1), Some(2048));
        assert_eq!(chunk_for(1770, 1), Some(2048));
        assert_eq!(chunk_for(1771, 1), Some(4096));
        assert_eq!(chunk_for(3818, 1), Some(4096));
        assert_eq!(chunk_for(3819, 1), None);
        assert_eq!(chunk_for(9000, 1), None);
    }

    #[test]
    fn a_card_told_in_kilobytes_needs_a_larger_chunk_for_the_usual_mtu() {
        // Of 2048 - 256 bytes it would use 1024, and split what is longer.
        assert_eq!(chunk_for(1500, 1024), Some(4096));
        assert_eq!(chunk_for(1024 - HEADERS, 1024), Some(2048));
        assert_eq!(chunk_for(1024 - HEADERS + 1, 1024), Some(4096));
        assert_eq!(chunk_for(mtu_max(1024), 1024), Some(4096));
        assert_eq!(chunk_for(mtu_max(1024) + 1, 1024), None);
    }

    #[test]
    fn memory_comes_in_whole_huge_pages() {
        let layout = Layout { chunk: 2048, frames_each: 1, workers: 3, ring: 64 }.rounded();
        assert_eq!(layout.frames_each, 1024);
        assert_eq!(layout.bytes() % (2 << 20), 0);
    }
}
