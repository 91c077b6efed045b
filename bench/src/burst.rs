//! A link in memory that does as little as a link can: frames move by pointer between queues that were
//! filled beforehand, so that what is measured is the engine.

use tollgate_link::{Frame, Link, Port};

/// Room for the longest Ethernet frame without jumbo, in the size of an AF_XDP chunk.
const CHUNK_BYTES: usize = 2048;

/// One frame of the pool.
#[derive(Debug)]
pub struct BurstFrame {
    bytes: Box<[u8; CHUNK_BYTES]>,
    len: usize,
}

impl AsRef<[u8]> for BurstFrame {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl AsMut<[u8]> for BurstFrame {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

impl Frame for BurstFrame {
    fn capacity(&self) -> usize {
        CHUNK_BYTES
    }

    fn set_len(&mut self, len: usize) -> bool {
        let fits = len <= CHUNK_BYTES;
        if fits {
            self.len = len;
        }
        fits
    }
}

/// Both ports and the pool.
#[derive(Debug)]
pub struct BurstLink {
    free: Vec<BurstFrame>,
    /// What is still to be received, last first.
    arriving: [Vec<BurstFrame>; 2],
    sent: Vec<BurstFrame>,
}

impl BurstLink {
    /// A pool of `frames` frames.
    #[must_use]
    pub fn new(frames: usize) -> Self {
        let fresh = || BurstFrame { bytes: Box::new([0; CHUNK_BYTES]), len: 0 };
        Self {
            free: (0..frames).map(|_| fresh()).collect(),
            arriving: [Vec::with_capacity(frames), Vec::with_capacity(frames)],
            sent: Vec::with_capacity(frames),
        }
    }

    /// Lets `write` fill a frame that will arrive; it gives the port and the frame's length. False
    /// when the pool is empty.
    pub fn arrive(&mut self, write: impl FnOnce(&mut [u8]) -> (Port, usize)) -> bool {
        let Some(mut frame) = self.free.pop() else { return false };
        let (port, len) = write(&mut frame.bytes[..]);
        let fits = frame.set_len(len);
        debug_assert!(fits, "the writer had no more room than that");
        self.arriving_mut(port).push(frame);
        true
    }

    /// The queues are filled from the front and emptied from the back: to be called between the two.
    pub fn begin(&mut self) {
        for queue in &mut self.arriving {
            queue.reverse();
        }
    }

    /// Puts what was sent back into the pool, and gives its number.
    pub fn recycle(&mut self) -> usize {
        let count = self.sent.len();
        self.free.append(&mut self.sent);
        count
    }

    /// Frames of the pool that are neither arriving nor held by the engine.
    #[must_use]
    pub const fn idle(&self) -> usize {
        self.free.len() + self.sent.len()
    }

    fn arriving_mut(&mut self, port: Port) -> &mut Vec<BurstFrame> {
        let [a, b] = &mut self.arriving;
        match port {
            Port::A => a,
            Port::B => b,
        }
    }
}

impl Link for BurstLink {
    type Frame = BurstFrame;

    fn receive(&mut self, port: Port, batch: &mut Vec<BurstFrame>) -> usize {
        let room = batch.capacity() - batch.len();
        let queue = self.arriving_mut(port);
        let count = room.min(queue.len());
        batch.extend(queue.drain(queue.len() - count..).rev());
        count
    }

    fn transmit(&mut self, _port: Port, batch: &mut Vec<BurstFrame>) -> usize {
        let count = batch.len();
        self.sent.append(batch);
        count
    }

    fn release(&mut self, frame: BurstFrame) {
        self.free.push(frame);
    }

    fn frame(&mut self) -> Option<BurstFrame> {
        let mut frame = self.free.pop()?;
        frame.len = 0;
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_in_order_and_come_back() {
        let mut link = BurstLink::new(4);
        for value in 1..=3 {
            assert!(link.arrive(|bytes| {
                bytes[0] = value;
                (Port::A, 1)
            }));
        }
        link.begin();
        let mut batch = Vec::with_capacity(2);
        assert_eq!(link.receive(Port::A, &mut batch), 2);
        let seen: Vec<_> = batch.iter().map(|frame| frame.as_ref()[0]).collect();
        assert_eq!(seen, [1, 2]);
        assert_eq!(link.transmit(Port::B, &mut batch), 2);
        assert_eq!(link.receive(Port::A, &mut batch), 1);
        link.release(batch.remove(0));
        assert_eq!((link.recycle(), link.idle()), (2, 4));
    }
}
