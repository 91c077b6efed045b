//! A frame in a chunk of the UMEM.

use std::{fmt, mem::ManuallyDrop, slice};

use xsk_rs::FrameDesc;

use super::umem::Shared;
use crate::Frame;

/// A frame that was received, or is to be forged: the only access to its chunk of the UMEM.
///
/// It is neither `Copy` nor `Clone`, though the descriptor in it is. Hand it to
/// [`transmit`](crate::Link::transmit) or [`release`](crate::Link::release) of any link of its pair.
/// One that is dropped instead is not lost: it is counted as an orphan, and used again.
pub struct XskFrame {
    desc: FrameDesc,
    shared: &'static Shared,
}

impl XskFrame {
    /// # Safety
    ///
    /// `desc` describes a chunk of `shared.umem` that neither a ring of the kernel nor a pool nor
    /// another frame has, and the caller counts the frame as held in `shared`.
    pub(super) const unsafe fn new(desc: FrameDesc, shared: &'static Shared) -> Self {
        Self { desc, shared }
    }

    /// Ends the frame. Who gets the descriptor owns its chunk.
    pub(super) fn into_desc(self) -> FrameDesc {
        ManuallyDrop::new(self).desc
    }

    /// Where its first byte lies, counted from the start of the UMEM: who sees the same address on
    /// two ports knows that nothing was copied in between.
    #[must_use]
    pub fn address(&self) -> usize {
        self.desc.addr()
    }

    fn len(&self) -> usize {
        self.desc.lengths().data()
    }

    pub(super) fn is_from(&self, shared: &'static Shared) -> bool {
        std::ptr::eq(self.shared, shared)
    }
}

impl Drop for XskFrame {
    fn drop(&mut self) {
        self.shared.orphan(self.shared.chunk(&self.desc));
    }
}

impl AsRef<[u8]> for XskFrame {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the descriptor belongs to this UMEM, and the frame is the only access to its chunk
        // (contract of `new`); `&self` excludes `as_mut`.
        unsafe { self.shared.umem.data(&self.desc) }.contents()
    }
}

impl AsMut<[u8]> for XskFrame {
    fn as_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        // SAFETY: the descriptor belongs to this UMEM, and the frame is the only access to its chunk
        // (contract of `new`).
        let mut data = unsafe { self.shared.umem.data_mut(&mut self.desc) };
        // xsk-rs lends the bytes from `data`, which lives too short for us.
        let start = data.contents_mut().as_mut_ptr();
        // SAFETY: `start` and `len` are those of the slice just made, which lies in the UMEM. It stays
        // mapped while a frame is out, and `&mut self` excludes every other access to the chunk.
        unsafe { slice::from_raw_parts_mut(start, len) }
    }
}

impl Frame for XskFrame {
    fn capacity(&self) -> usize {
        let chunk = self.shared.layout.chunk as usize;
        chunk - self.desc.addr() % chunk
    }

    fn set_len(&mut self, len: usize) -> bool {
        if len > self.capacity() {
            return false;
        }
        // SAFETY: the descriptor belongs to this UMEM, and the frame is the only access to its chunk
        // (contract of `new`).
        let mut data = unsafe { self.shared.umem.data_mut(&mut self.desc) };
        data.cursor().set_pos(len);
        true
    }
}

impl fmt::Debug for XskFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XskFrame")
            .field("address", &self.address())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
