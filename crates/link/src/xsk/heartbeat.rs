//! The words by which the steering program knows that a worker still turns.
//!
//! They lie in a BPF array that is mapped here, one cache line a queue, so that a stamp is a store.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU64, Ordering},
};

use nix::time::{ClockId, clock_gettime};

use super::QUEUES_MAX;

/// Bytes from one word to the next: `struct steer_heartbeat`.
pub(super) const STRIDE: usize = 64;
const BYTES: usize = QUEUES_MAX as usize * STRIDE;

/// `CLOCK_MONOTONIC_COARSE` in ns, the clock that the steering program compares with. Read in user
/// space (vDSO), without a call; 0 if there is no such clock, which no Linux lacks.
pub(super) fn coarse_now_ns() -> u64 {
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE) else { return 0 };
    let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec()).unwrap_or(0)
}

/// The heartbeats of one port.
#[derive(Debug)]
pub(super) struct Heartbeats {
    words: NonNull<u8>,
}

// SAFETY: the mapping belongs to this value and is only reached through atomics.
unsafe impl Send for Heartbeats {}
// SAFETY: as above.
unsafe impl Sync for Heartbeats {}

impl Heartbeats {
    /// Maps the array `heartbeats` of a steering program.
    pub(super) fn map(array: &impl AsFd) -> io::Result<Self> {
        // SAFETY: a new mapping, at an address of the kernel's choice, of a file that is open.
        let words = unsafe {
            libc::mmap(
                ptr::null_mut(),
                BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                array.as_fd().as_raw_fd(),
                0,
            )
        };
        if words == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(words.cast())
            .map(|words| Self { words })
            .ok_or_else(|| io::Error::other("null"))
    }

    /// The worker of `queue` took a turn at `now_ns`.
    pub(super) fn stamp(&self, queue: u32, now_ns: u64) {
        let offset = queue as usize * STRIDE;
        if offset >= BYTES {
            return;
        }
        // SAFETY: the offset was just checked to lie in the mapping.
        let word = unsafe { self.words.add(offset) };
        // SAFETY: the word is in the mapping, which lives as long as `self`, and is aligned since the
        // mapping begins a page and the stride is 64. The program only reads it.
        let word = unsafe { AtomicU64::from_ptr(word.as_ptr().cast()) };
        word.store(now_ns, Ordering::Relaxed);
    }
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `map` made, and nobody else has its address.
        unsafe { libc::munmap(self.words.as_ptr().cast(), BYTES) };
    }
}
