//! A worker's account of frames, and the rings to its siblings' accounts.
//!
//! Each chunk has a home, the worker it started with. Whoever ends a frame (released it, or saw the
//! kernel complete it) sends its chunk home, over a ring that has one producer and one consumer. So no
//! worker can drain another's pool for good, whatever way its frames go. A ring holds only chunks of
//! its consumer's home, each at most once, and has room for all of them: it is never full.
//!
//! A worker without a queue on a port sends through a sibling that has one: such frames travel as
//! descriptors over rings of their own. Those can be full; then the frames stay with the sender.

use rtrb::{Consumer, Producer, RingBuffer};
use xsk_rs::FrameDesc;

use super::{both::Both, frame::XskFrame, umem::Shared};
use crate::Port;

/// Frames that stay in the pool when the fill rings are topped up, so that a packet can be forged
/// (a reset, say) while the fill rings eat all that comes back. A guess: a few turns of forging.
const RESERVE: usize = 64;

/// An Ethernet header. The kernel never completes an empty descriptor.
const FRAME_MIN: usize = 14;

/// One worker's free chunks, and what it knows of those that are not free.
#[derive(Debug)]
pub(super) struct Home {
    me: usize,
    shared: &'static Shared,
    /// Free chunks, all at home here. Last in, first out: the last one is in the cache.
    pool: Vec<u32>,
    /// Frames made here less frames ended here; negative where frames of siblings end.
    held: i64,
    /// Chunks and descriptors sent to siblings less those had from them.
    exchanged: i64,
    /// By sibling, to send its chunks home; none to myself.
    homeward: Vec<Option<Producer<u32>>>,
    arriving: Vec<Consumer<u32>>,
    /// By port, to the sibling that sends for me where I have no queue.
    outward: Both<Option<Producer<FrameDesc>>>,
    /// By port, from the siblings that I send for.
    entrusted: Both<Vec<Consumer<FrameDesc>>>,
    /// Frames that were too short to be sent.
    pub(super) refused: u64,
}

impl Home {
    /// The accounts of all workers. `has_queue(worker, port)` tells who can send by itself.
    pub(super) fn all(
        shared: &'static Shared,
        has_queue: impl Fn(usize, Port) -> bool,
    ) -> Vec<Self> {
        let workers = shared.layout.workers as usize;
        let each = shared.layout.frames_each;
        let mut homes: Vec<_> = (0u32..)
            .take(workers)
            .map(|worker| Self {
                me: worker as usize,
                shared,
                pool: (worker * each..(worker + 1) * each).collect(),
                held: 0,
                exchanged: 0,
                homeward: (0..workers).map(|_| None).collect(),
                arriving: Vec::new(),
                outward: Both::default(),
                entrusted: Both::default(),
                refused: 0,
            })
            .collect();
        connect_homeward(&mut homes, each as usize);
        for port in Port::BOTH {
            connect_outward(&mut homes, port, shared.layout.ring as usize, &has_queue);
        }
        homes
    }

    /// Makes a frame of a descriptor.
    ///
    /// # Safety
    ///
    /// As for [`XskFrame::new`], except that the count is done here.
    pub(super) unsafe fn make(&mut self, desc: FrameDesc) -> XskFrame {
        self.held += 1;
        // SAFETY: the caller's promise, and the frame has just been counted.
        unsafe { XskFrame::new(desc, self.shared) }
    }

    /// An empty frame from the pool, the reserve included.
    pub(super) fn forge(&mut self) -> Option<XskFrame> {
        if self.pool.is_empty() {
            self.collect();
        }
        let chunk = self.pool.pop()?;
        let desc = *self.shared.empty.get(chunk as usize)?;
        // SAFETY: the descriptor is one of this UMEM's, and its chunk has just left the pool.
        Some(unsafe { self.make(desc) })
    }

    /// Ends a frame, whose chunk is free.
    pub(super) fn release(&mut self, frame: XskFrame) {
        if let Some(desc) = self.end(frame) {
            self.give_back(self.shared.chunk(&desc));
        }
    }

    /// Ends a frame that is to be sent. None if it cannot be: a frame of another pair goes back to its
    /// own, and one that is shorter than an Ethernet header is free again, and counted.
    pub(super) fn end_to_send(&mut self, frame: XskFrame) -> Option<FrameDesc> {
        if frame.as_ref().len() < FRAME_MIN {
            self.refused += 1;
            self.release(frame);
            return None;
        }
        self.end(frame)
    }

    fn end(&mut self, frame: XskFrame) -> Option<FrameDesc> {
        if !frame.is_from(self.shared) {
            debug_assert!(false, "a frame of another pair");
            return None;
        }
        self.held -= 1;
        Some(frame.into_desc())
    }

    /// Takes a free chunk, for the pool or to send it home.
    pub(super) fn give_back(&mut self, chunk: u32) {
        let owner = self.shared.home(chunk);
        match self.homeward.get_mut(owner).and_then(Option::as_mut) {
            Some(ring) => match ring.push(chunk) {
                Ok(()) => self.exchanged += 1,
                Err(_) => {
                    debug_assert!(false, "the ring home has room for every chunk of that home");
                    self.pool.push(chunk);
                }
            },
            None => self.pool.push(chunk),
        }
    }

    /// Takes in what siblings have sent home, and orphans.
    pub(super) fn collect(&mut self) {
        for ring in &mut self.arriving {
            let count = ring.slots();
            if let Ok(chunks) = ring.read_chunk(count) {
                self.pool.extend(chunks);
                self.exchanged -= i64::try_from(count).unwrap_or(0);
            }
        }
        while let Some(chunk) = self.shared.adopt() {
            // It was held when it was dropped, by whatever link.
            self.held -= 1;
            self.give_back(chunk);
        }
    }

    /// Up to `most` empty descriptors for a fill ring, into `descs`; how many there were. The reserve
    /// stays.
    pub(super) fn draw(&mut self, descs: &mut [FrameDesc], most: usize) -> usize {
        let count = self.pool.len().saturating_sub(RESERVE).min(most).min(descs.len());
        let chunks = self.pool.drain(self.pool.len() - count..);
        for (desc, chunk) in descs.iter_mut().zip(chunks.rev()) {
            if let Some(empty) = self.shared.empty.get(chunk as usize) {
                *desc = *empty;
            }
        }
        count
    }

    /// Hands frames from the front of `batch` to the sibling that sends on `port`; how many fitted.
    pub(super) fn entrust(&mut self, port: Port, batch: &mut Vec<XskFrame>) -> usize {
        let Some(mut ring) = self.outward[port].take() else { return 0 };
        let count = ring.slots().min(batch.len());
        for frame in batch.drain(..count) {
            let Some(desc) = self.end_to_send(frame) else { continue };
            match ring.push(desc) {
                Ok(()) => self.exchanged += 1,
                Err(rtrb::PushError::Full(desc)) => self.give_back(self.shared.chunk(&desc)),
            }
        }
        self.outward[port] = Some(ring);
        count
    }

    /// Descriptors that siblings want sent on `port`, into `descs`; how many there were.
    pub(super) fn entrusted(&mut self, port: Port, descs: &mut [FrameDesc]) -> usize {
        let mut slots = descs.iter_mut();
        let mut count = 0;
        for ring in &mut self.entrusted[port] {
            let ready = ring.slots().min(slots.len());
            let Ok(chunk) = ring.read_chunk(ready) else { continue };
            // In this order: `zip` asks the second only if the first has one, so no slot is skipped.
            for (desc, slot) in chunk.into_iter().zip(slots.by_ref()) {
                *slot = desc;
            }
            count += ready;
        }
        self.exchanged -= i64::try_from(count).unwrap_or(0);
        count
    }

    /// Whether siblings may send me frames or chunks.
    pub(super) fn has_siblings(&self) -> bool {
        !self.arriving.is_empty()
    }

    pub(super) fn free(&self) -> usize {
        self.pool.len()
    }

    pub(super) const fn held(&self) -> i64 {
        self.held
    }

    pub(super) const fn exchanged(&self) -> i64 {
        self.exchanged
    }

    pub(super) const fn shared(&self) -> &'static Shared {
        self.shared
    }
}

fn connect_homeward(homes: &mut [Home], capacity: usize) {
    for from in 0..homes.len() {
        for to in 0..homes.len() {
            if from == to {
                continue;
            }
            let (producer, consumer) = RingBuffer::new(capacity);
            if let Some(slot) = homes.get_mut(from).and_then(|home| home.homeward.get_mut(to)) {
                *slot = Some(producer);
            }
            if let Some(home) = homes.get_mut(to) {
                home.arriving.push(consumer);
            }
        }
    }
}

/// Workers without a queue on `port` are dealt to those that have one, round robin.
fn connect_outward(
    homes: &mut [Home],
    port: Port,
    capacity: usize,
    has_queue: &impl Fn(usize, Port) -> bool,
) {
    let able: Vec<_> = (0..homes.len()).filter(|&worker| has_queue(worker, port)).collect();
    let needy = (0..homes.len()).filter(|&worker| !has_queue(worker, port)).collect::<Vec<_>>();
    for (from, &to) in needy.into_iter().zip(able.iter().cycle()) {
        let (producer, consumer) = RingBuffer::new(capacity);
        if let Some(home) = homes.get_mut(from) {
            debug_assert_eq!(home.me, from, "homes are in the order of their workers");
            home.outward[port] = Some(producer);
        }
        if let Some(home) = homes.get_mut(to) {
            home.entrusted[port].push(consumer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Frame,
        xsk::umem::{Layout, Memory},
    };

    /// Memory for four workers, of whom only the first has queues. None without root.
    fn four() -> Option<(Memory, Vec<Home>)> {
        if !nix::unistd::Uid::effective().is_root() {
            println!("skipped: a UMEM needs root");
            return None;
        }
        let layout = Layout { chunk: 2048, frames_each: 100, workers: 4, ring: 64 };
        let memory = Memory::map(layout).unwrap();
        let homes = Home::all(memory.shared(), |worker, _| worker == 0);
        Some((memory, homes))
    }

    /// A drop-in for a link that goes.
    fn settle(homes: Vec<Home>) {
        for home in homes {
            home.shared.settle(home.held);
        }
    }

    #[test]
    fn frames_of_several_siblings_are_sent_each_once_and_in_order() {
        let Some((_memory, mut homes)) = four() else { return };
        let mut sent = Vec::new();
        for home in &mut homes[1..] {
            let mut batch: Vec<_> = (0..3).map_while(|_| home.forge()).collect();
            for frame in &mut batch {
                assert!(frame.set_len(60));
                sent.push(frame.address());
            }
            assert_eq!(home.entrust(Port::B, &mut batch), 3);
        }
        let mut descs = [FrameDesc::default(); 64];
        assert_eq!(homes[0].entrusted(Port::A, &mut descs), 0);
        assert_eq!(homes[0].entrusted(Port::B, &mut descs), 9);
        assert_eq!(descs[..9].iter().map(FrameDesc::addr).collect::<Vec<_>>(), sent);
        assert_eq!(homes[0].entrusted(Port::B, &mut descs), 0);

        // Sent, they go home, each to its own.
        for desc in &descs[..9] {
            let chunk = homes[0].shared.chunk(desc);
            homes[0].give_back(chunk);
        }
        for home in &mut homes {
            home.collect();
            assert_eq!((home.free(), home.held()), (100, 0));
        }
        assert_eq!(homes.iter().map(Home::exchanged).sum::<i64>(), 0);
        settle(homes);
    }

    #[test]
    fn what_siblings_cannot_take_stays_with_the_sender() {
        let Some((_memory, mut homes)) = four() else { return };
        let mut batch: Vec<_> = (0..70).map_while(|_| homes[1].forge()).collect();
        for frame in &mut batch {
            assert!(frame.set_len(60));
        }
        assert_eq!(homes[1].entrust(Port::A, &mut batch), 64);
        assert_eq!(batch.len(), 6);
        // The first has queues, and so nobody to send for it.
        assert_eq!(homes[0].entrust(Port::A, &mut Vec::new()), 0);
        for frame in batch {
            homes[3].release(frame);
        }
        homes[1].collect();
        assert_eq!((homes[1].free(), homes[1].held(), homes[3].held()), (36, 6, -6));
        settle(homes);
    }

    #[test]
    fn a_fill_ring_leaves_the_reserve_to_be_forged() {
        let Some((_memory, mut homes)) = four() else { return };
        let mut descs = [FrameDesc::default(); 64];
        assert_eq!(homes[2].draw(&mut descs, 64), 100 - RESERVE);
        assert_eq!(homes[2].draw(&mut descs, 64), 0);
        let frames: Vec<_> = std::iter::from_fn(|| homes[2].forge()).collect();
        assert_eq!(frames.len(), RESERVE);
        // Dropped, not released: orphans, which anybody sends home.
        drop(frames);
        homes[0].collect();
        homes[2].collect();
        assert_eq!(homes[2].free(), RESERVE);
        assert_eq!(homes.iter().map(Home::held).sum::<i64>(), 0);
        settle(homes);
    }
}
