//! A link around a link that loses, repeats, reorders and damages what arrives, from a seed.

use std::collections::VecDeque;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::{Link, Port};

/// How often which fault happens, each a probability from 0 to 1. The default is never.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// The frame is gone.
    pub loss: f64,
    /// It arrives twice.
    pub duplicate: f64,
    /// It arrives after one to `delay_max` of its successors.
    pub reorder: f64,
    /// One byte of it is another.
    pub corrupt: f64,
    /// Frames that may overtake a reordered one, at most; 0 counts as 1.
    pub delay_max: u32,
}

/// What was done to the frames that arrived at one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounters {
    /// Frames that came out of the link inside.
    pub arrived: u64,
    /// Released, and never seen by the caller.
    pub lost: u64,
    /// Seen once more.
    pub duplicated: u64,
    /// To be repeated, but no frame was free or large enough.
    pub not_duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// Damaged.
    pub corrupted: u64,
}

/// The link. The same seed and the same frames give the same faults.
///
/// Faults strike on arrival, so both directions suffer alike. Frames held back count as received
/// from the link inside; when nothing else arrives they are let go, and when this is dropped they
/// are released.
#[derive(Debug)]
pub struct Fault<L: Link> {
    inner: L,
    rng: SmallRng,
    ports: [PortState<L::Frame>; 2],
    scratch: Vec<L::Frame>,
}

#[derive(Debug)]
struct PortState<F> {
    faults: Faults,
    counters: FaultCounters,
    /// Each with the number of frames that it still has to let pass; `delay_max` at most.
    held: VecDeque<(u32, F)>,
    /// On their way to the caller.
    ready: VecDeque<F>,
}

impl<L: Link> Fault<L> {
    /// The same faults at both ports.
    #[must_use]
    pub fn new(inner: L, faults: Faults, seed: u64) -> Self {
        Self::with_ports(inner, [faults, faults], seed)
    }

    /// Faults for what arrives at port A, and for what arrives at B.
    #[must_use]
    pub fn with_ports(inner: L, faults: [Faults; 2], seed: u64) -> Self {
        let state = |faults| PortState {
            faults,
            counters: FaultCounters::default(),
            held: VecDeque::new(),
            ready: VecDeque::new(),
        };
        Self {
            inner,
            rng: SmallRng::seed_from_u64(seed),
            ports: faults.map(state),
            scratch: Vec::new(),
        }
    }

    /// What was done to frames that arrived at `port`.
    #[must_use]
    pub const fn counters(&self, port: Port) -> FaultCounters {
        let [a, b] = &self.ports;
        match port {
            Port::A => a.counters,
            Port::B => b.counters,
        }
    }

    /// Frames that are on their way to the caller, at both ports.
    #[must_use]
    pub fn held(&self) -> usize {
        self.ports.iter().map(|port| port.held.len() + port.ready.len()).sum()
    }

    /// The link inside.
    #[must_use]
    pub const fn inner(&self) -> &L {
        &self.inner
    }

    /// The link inside, to be changed.
    #[must_use]
    pub const fn inner_mut(&mut self) -> &mut L {
        &mut self.inner
    }

    /// Gives every frame that is held back to the link inside; the caller never sees them.
    pub fn release_held(&mut self) {
        for port in &mut self.ports {
            for (_, frame) in port.held.drain(..) {
                self.inner.release(frame);
            }
            for frame in port.ready.drain(..) {
                self.inner.release(frame);
            }
        }
    }
}

impl<L: Link> Drop for Fault<L> {
    fn drop(&mut self) {
        self.release_held();
    }
}

impl<L: Link> Link for Fault<L> {
    type Frame = L::Frame;

    fn receive(&mut self, port: Port, batch: &mut Vec<L::Frame>) -> usize {
        let Self { inner, rng, ports: [a, b], scratch } = self;
        let state = match port {
            Port::A => a,
            Port::B => b,
        };
        let room = batch.capacity() - batch.len();
        // A reordered or repeated frame may be ready from the last time. Only as many are asked for
        // as will fit beside those, and so neither queue grows.
        let wanted = room.saturating_sub(state.ready.len());
        if wanted > 0 {
            // `receive` fills the spare capacity, so that must be what is wanted.
            let mut arrived = std::mem::take(scratch);
            arrived.reserve_exact(wanted);
            arrived.shrink_to(wanted);
            let count = inner.receive(port, &mut arrived);
            for frame in arrived.drain(..) {
                state.arrive(frame, inner, rng);
            }
            if count == 0 {
                state.ready.extend(state.held.drain(..).map(|(_, frame)| frame));
            }
            *scratch = arrived;
        }
        let count = room.min(state.ready.len());
        batch.extend(state.ready.drain(..count));
        count
    }

    fn transmit(&mut self, port: Port, batch: &mut Vec<L::Frame>) -> usize {
        self.inner.transmit(port, batch)
    }

    fn release(&mut self, frame: L::Frame) {
        self.inner.release(frame);
    }

    fn frame(&mut self) -> Option<L::Frame> {
        self.inner.frame()
    }
}

impl<F: crate::Frame> PortState<F> {
    fn arrive<L: Link<Frame = F>>(&mut self, mut frame: F, link: &mut L, rng: &mut SmallRng) {
        let happens = |rng: &mut SmallRng, probability: f64| rng.random::<f64>() < probability;
        self.counters.arrived += 1;
        if happens(rng, self.faults.loss) {
            self.counters.lost += 1;
            link.release(frame);
            return;
        }
        if happens(rng, self.faults.duplicate) {
            match copy(&frame, link) {
                Some(copy) => {
                    self.counters.duplicated += 1;
                    self.ready.push_back(copy);
                }
                None => self.counters.not_duplicated += 1,
            }
        }
        if happens(rng, self.faults.corrupt) && !frame.as_ref().is_empty() {
            let at = rng.random_range(0..frame.as_ref().len());
            let change = rng.random_range(1..=u8::MAX);
            if let Some(byte) = frame.as_mut().get_mut(at) {
                *byte ^= change;
                self.counters.corrupted += 1;
            }
        }
        let delay = happens(rng, self.faults.reorder)
            .then(|| rng.random_range(1..=self.faults.delay_max.max(1)));
        if delay.is_none() {
            self.ready.push_back(frame);
            self.overtaken();
            return;
        }
        self.overtaken();
        self.counters.reordered += 1;
        self.held.push_back((delay.unwrap_or(1), frame));
    }

    /// One more frame has passed those that are held.
    fn overtaken(&mut self) {
        for _ in 0..self.held.len() {
            match self.held.pop_front() {
                Some((left, frame)) if left > 1 => self.held.push_back((left - 1, frame)),
                Some((_, frame)) => self.ready.push_back(frame),
                None => {}
            }
        }
    }
}

fn copy<L: Link>(frame: &L::Frame, link: &mut L) -> Option<L::Frame> {
    use crate::Frame as _;
    let mut copy = link.frame()?;
    if !copy.set_len(frame.as_ref().len()) {
        link.release(copy);
        return None;
    }
    copy.as_mut().copy_from_slice(frame.as_ref());
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryLink;

    /// Lets `count` numbered frames arrive at A and gives the numbers that came through.
    fn cross(faults: Faults, seed: u64, count: u8) -> (Vec<u8>, FaultCounters) {
        let mut link = Fault::new(MemoryLink::new(), faults, seed);
        let mut seen = Vec::new();
        let mut batch = Vec::with_capacity(7);
        for number in 0..count {
            link.inner_mut().inject(Port::A, &[number]);
        }
        loop {
            let received = link.receive(Port::A, &mut batch);
            assert!(received <= 7);
            seen.extend(batch.iter().map(|frame| frame.as_ref()[0]));
            link.transmit(Port::B, &mut batch);
            if received == 0 && link.inner().waiting(Port::A) == 0 && link.held() == 0 {
                break;
            }
        }
        assert_eq!(link.inner().outstanding(), 0, "frames leaked");
        (seen, link.counters(Port::A))
    }

    #[test]
    fn without_faults_everything_crosses_untouched() {
        let (seen, counters) = cross(Faults::default(), 1, 100);
        assert_eq!(seen, (0..100).collect::<Vec<u8>>());
        assert_eq!(counters, FaultCounters { arrived: 100, ..FaultCounters::default() });
    }

    #[test]
    fn the_counters_tell_what_happened() {
        for seed in 0..50 {
            let (seen, counters) = cross(Faults { loss: 0.3, ..Faults::default() }, seed, 200);
            assert_eq!(seen.len() as u64, 200 - counters.lost);
            let (seen, counters) = cross(Faults { duplicate: 0.3, ..Faults::default() }, seed, 200);
            assert_eq!(seen.len() as u64, 200 + counters.duplicated);
            let (seen, counters) = cross(Faults { corrupt: 0.3, ..Faults::default() }, seed, 200);
            let changed = seen.iter().zip(0_u8..).filter(|(is, was)| **is != *was).count();
            assert_eq!(changed as u64, counters.corrupted);
            assert!(counters.corrupted > 20);
        }
    }

    #[test]
    fn reordering_is_bounded_and_loses_nothing() {
        for seed in 0..50 {
            let faults = Faults { reorder: 0.5, delay_max: 4, ..Faults::default() };
            let (seen, counters) = cross(faults, seed, 200);
            assert!(counters.reordered > 50);
            let mut sorted = seen.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..200).collect::<Vec<u8>>());
            assert_ne!(seen, sorted);
            for (place, number) in seen.iter().enumerate() {
                assert!(place.abs_diff(usize::from(*number)) <= 4 * 2, "{seen:?}");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let faults = Faults { loss: 0.1, duplicate: 0.1, reorder: 0.2, corrupt: 0.1, delay_max: 3 };
        assert_eq!(cross(faults, 9, 200), cross(faults, 9, 200));
        assert_ne!(cross(faults, 9, 200).0, cross(faults, 10, 200).0);
    }

    #[test]
    fn what_is_held_when_the_link_ends_is_released() {
        let faults = Faults { reorder: 1.0, delay_max: 9, ..Faults::default() };
        let mut link = Fault::new(MemoryLink::new(), faults, 1);
        link.inner_mut().inject(Port::A, b"x");
        let mut batch = Vec::with_capacity(4);
        assert_eq!((link.receive(Port::A, &mut batch), link.held()), (0, 1));
        link.release_held();
        assert_eq!((link.held(), link.inner().outstanding()), (0, 0));
    }
}
