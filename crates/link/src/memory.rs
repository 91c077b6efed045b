//! Two ports without a machine behind them: what is injected arrives, what is sent is kept.
//!
//! Deterministic, and with a bounded number of frames, so that one which is neither sent nor
//! released shows in [`MemoryLink::outstanding`].

use std::collections::VecDeque;
use std::fmt;

use crate::shunt::{Fate, NoShunt, Shunt, Shunted, Shunts, Way};
use crate::{Frame, Link, Port};

/// Bytes a frame can hold unless said otherwise: what an AF_XDP chunk of the usual size does.
pub const FRAME_CAPACITY: usize = 2048;
/// Frames unless said otherwise.
pub const FRAMES: usize = 4096;
/// Directions of connections that can be shunted.
pub const SHUNTS: usize = 4096;

/// A frame on the heap. Can be moved only, as any frame of a link.
pub struct MemoryFrame {
    bytes: Box<[u8]>,
    /// At most `bytes.len()`.
    len: usize,
}

/// A [`Link`] for tests, benches and replays.
#[derive(Debug)]
pub struct MemoryLink {
    // A frame is in exactly one of `pool`, `arrived`, `sent`, or outstanding; `made` counts those
    // that began here.
    // Frames are made when first needed, up to `frames_max`: a test that needs ten pays for ten.
    pool: Vec<MemoryFrame>,
    arrived: [VecDeque<MemoryFrame>; 2],
    sent: [VecDeque<MemoryFrame>; 2],
    /// Frames given out less frames had back.
    outstanding: isize,
    made: usize,
    frames_max: usize,
    frame_capacity: usize,
    room: [usize; 2],
    shunts: Shunts,
}

impl MemoryLink {
    /// With the usual number of frames of the usual capacity.
    #[must_use]
    pub fn new() -> Self {
        Self::with_frames(FRAMES, FRAME_CAPACITY)
    }

    /// With at most `frames_max` frames of `frame_capacity` bytes.
    #[must_use]
    pub fn with_frames(frames_max: usize, frame_capacity: usize) -> Self {
        Self {
            pool: Vec::new(),
            arrived: [VecDeque::new(), VecDeque::new()],
            sent: [VecDeque::new(), VecDeque::new()],
            outstanding: 0,
            made: 0,
            frames_max,
            frame_capacity,
            room: [usize::MAX; 2],
            shunts: Shunts::new(SHUNTS),
        }
    }

    /// Lets a copy of `bytes` arrive at `port`. False, and nothing happens, when no frame is left or
    /// it is too small.
    pub fn inject(&mut self, port: Port, bytes: &[u8]) -> bool {
        if bytes.len() > self.frame_capacity {
            return false;
        }
        let Some(mut frame) = self.take() else { return false };
        frame.fill(bytes);
        self.queue_of(port).push_back(frame);
        true
    }

    /// What was sent out of `port` since the last call, in order. The frames are free again.
    pub fn sent(&mut self, port: Port) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        self.each_sent(port, |bytes| all.push(bytes.to_vec()));
        all
    }

    /// The same without copies.
    pub fn each_sent(&mut self, port: Port, mut show: impl FnMut(&[u8])) {
        let Self { sent: [a, b], pool, .. } = self;
        let sent = match port {
            Port::A => a,
            Port::B => b,
        };
        for frame in sent.drain(..) {
            show(frame.as_ref());
            pool.push(frame);
        }
    }

    /// For benches: whatever was sent out of `from` arrives at `to` again, after `rewrite` has made
    /// the next packet of it. No byte is copied and no memory asked for. Gives their number.
    pub fn recycle(
        &mut self,
        from: Port,
        to: Port,
        mut rewrite: impl FnMut(&mut MemoryFrame),
    ) -> usize {
        let [sent_a, sent_b] = &mut self.sent;
        let [arrived_a, arrived_b] = &mut self.arrived;
        let sent = if from == Port::A { sent_a } else { sent_b };
        let arrived = if to == Port::A { arrived_a } else { arrived_b };
        let count = sent.len();
        for mut frame in sent.drain(..) {
            rewrite(&mut frame);
            arrived.push_back(frame);
        }
        count
    }

    /// Lets `port` take only `frames` more before it is full, until this is called again.
    pub const fn limit(&mut self, port: Port, frames: usize) {
        let [a, b] = &mut self.room;
        match port {
            Port::A => *a = frames,
            Port::B => *b = frames,
        }
    }

    /// The shunts, to look into. What they let cross has [left](Self::sent) in the turn in which it would
    /// have been received.
    pub const fn shunts(&mut self) -> &mut Shunts {
        &mut self.shunts
    }

    /// Frames that were received, or asked for, and neither sent nor released: 0 when none has
    /// leaked. Workers that hand frames to each other give some back to another's link, so that
    /// only the sum over their links is 0 then.
    #[must_use]
    pub const fn outstanding(&self) -> isize {
        self.outstanding
    }

    /// Frames that have arrived at `port` and were not received yet.
    #[must_use]
    pub fn waiting(&self, port: Port) -> usize {
        let [a, b] = &self.arrived;
        if port == Port::A { a.len() } else { b.len() }
    }

    const fn queue_of(&mut self, port: Port) -> &mut VecDeque<MemoryFrame> {
        let [a, b] = &mut self.arrived;
        match port {
            Port::A => a,
            Port::B => b,
        }
    }

    /// Takes out of what has arrived at `port` what is shunted.
    fn divert(&mut self, port: Port) {
        for frame in std::mem::take(self.queue_of(port)) {
            match self.shunts.take(port, frame.as_ref()) {
                None => self.queue_of(port).push_back(frame),
                Some(Fate::Drop) => self.pool.push(frame),
                Some(Fate::Cross) => {
                    let [a, b] = &mut self.sent;
                    if port == Port::A { b.push_back(frame) } else { a.push_back(frame) }
                }
            }
        }
    }

    fn take(&mut self) -> Option<MemoryFrame> {
        if let Some(mut frame) = self.pool.pop() {
            frame.len = 0;
            return Some(frame);
        }
        if self.made == self.frames_max {
            return None;
        }
        self.made += 1;
        Some(MemoryFrame { bytes: vec![0; self.frame_capacity].into_boxed_slice(), len: 0 })
    }
}

impl Default for MemoryLink {
    fn default() -> Self {
        Self::new()
    }
}

impl Link for MemoryLink {
    type Frame = MemoryFrame;

    fn receive(&mut self, port: Port, batch: &mut Vec<MemoryFrame>) -> usize {
        if !self.shunts.is_empty() {
            self.divert(port);
        }
        let room = batch.capacity() - batch.len();
        let queue = self.queue_of(port);
        let count = room.min(queue.len());
        batch.extend(queue.drain(..count));
        self.outstanding += count.cast_signed();
        count
    }

    fn transmit(&mut self, port: Port, batch: &mut Vec<MemoryFrame>) -> usize {
        let [room_a, room_b] = &mut self.room;
        let [sent_a, sent_b] = &mut self.sent;
        let (room, sent) = match port {
            Port::A => (room_a, sent_a),
            Port::B => (room_b, sent_b),
        };
        let count = batch.len().min(*room);
        if *room != usize::MAX {
            *room -= count;
        }
        sent.extend(batch.drain(..count));
        self.outstanding -= count.cast_signed();
        count
    }

    fn release(&mut self, frame: MemoryFrame) {
        self.pool.push(frame);
        self.outstanding -= 1;
    }

    fn frame(&mut self) -> Option<MemoryFrame> {
        let frame = self.take()?;
        self.outstanding += 1;
        Some(frame)
    }

    fn shunt(&mut self, shunt: &Shunt) -> Result<(), NoShunt> {
        self.shunts.insert(shunt)
    }

    fn shunted(&mut self, way: &Way) -> Option<Shunted> {
        self.shunts.seen(way)
    }

    fn unshunt(&mut self, way: &Way) -> Option<Shunted> {
        self.shunts.remove(way)
    }
}

impl MemoryFrame {
    /// Makes it hold these bytes; the caller has compared lengths.
    fn fill(&mut self, bytes: &[u8]) {
        if self.set_len(bytes.len()) {
            self.as_mut().copy_from_slice(bytes);
        }
    }
}

impl Frame for MemoryFrame {
    fn capacity(&self) -> usize {
        self.bytes.len()
    }

    fn set_len(&mut self, len: usize) -> bool {
        let fits = len <= self.bytes.len();
        if fits {
            self.len = len;
        }
        fits
    }
}

impl AsRef<[u8]> for MemoryFrame {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl AsMut<[u8]> for MemoryFrame {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

impl fmt::Debug for MemoryFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryFrame({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_cross_in_order_and_come_back_to_the_pool() {
        let mut link = MemoryLink::with_frames(2, 64);
        assert!(link.inject(Port::A, b"one") && link.inject(Port::A, b"two"));
        assert!(!link.inject(Port::A, b"no frame left"));
        let mut batch = Vec::with_capacity(8);
        assert_eq!(link.receive(Port::B, &mut batch), 0);
        assert_eq!((link.receive(Port::A, &mut batch), link.outstanding()), (2, 2));
        assert_eq!(link.transmit(Port::B, &mut batch), 2);
        assert_eq!(link.outstanding(), 0);
        assert_eq!(link.sent(Port::B), [b"one", b"two"]);
        assert!(link.inject(Port::A, b"again"));
    }

    #[test]
    fn a_batch_takes_no_more_than_its_capacity_and_a_full_port_leaves_the_rest() {
        let mut link = MemoryLink::new();
        for byte in 0..5 {
            link.inject(Port::A, &[byte]);
        }
        let mut batch = Vec::with_capacity(4);
        assert_eq!(link.receive(Port::A, &mut batch), 4);
        link.limit(Port::B, 3);
        assert_eq!((link.transmit(Port::B, &mut batch), batch.len()), (3, 1));
        assert_eq!(batch[0].as_ref(), [3]);
        link.release(batch.remove(0));
        assert_eq!((link.outstanding(), link.waiting(Port::A)), (0, 1));
    }

    #[test]
    fn a_forged_frame_counts_until_it_is_given_back() {
        let mut link = MemoryLink::with_frames(1, 64);
        let mut frame = link.frame().unwrap();
        assert!(link.frame().is_none());
        assert!(frame.set_len(64) && !frame.set_len(65));
        assert_eq!((frame.as_ref().len(), link.outstanding()), (64, 1));
        link.release(frame);
        assert_eq!(link.outstanding(), 0);
    }

    #[test]
    fn a_frame_that_is_handed_to_another_link_shows_in_the_sum_only() {
        let (mut one, mut other) = (MemoryLink::new(), MemoryLink::new());
        one.inject(Port::A, b"x");
        let mut batch = Vec::with_capacity(1);
        one.receive(Port::A, &mut batch);
        other.transmit(Port::B, &mut batch);
        assert_eq!((one.outstanding(), other.outstanding()), (1, -1));
        assert_eq!(other.sent(Port::B), [b"x"]);
    }

    #[test]
    fn recycled_frames_arrive_rewritten() {
        let mut link = MemoryLink::with_frames(1, 64);
        link.inject(Port::A, &[1]);
        let mut batch = Vec::with_capacity(1);
        for round in 1..10 {
            link.receive(Port::A, &mut batch);
            assert_eq!(batch[0].as_ref(), [round]);
            link.transmit(Port::B, &mut batch);
            assert_eq!(link.recycle(Port::B, Port::A, |frame| frame.as_mut()[0] += 1), 1);
        }
    }
}
