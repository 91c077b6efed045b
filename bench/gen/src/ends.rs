//! Both ends of the wire in one process: what leaves, what comes back, and what is lost on purpose.

use std::collections::VecDeque;

use tollgate_link::{Frame, Link, Port};

use crate::pattern::Dice;

/// Frames handed over in one go.
pub(crate) const BATCH: usize = 64;
/// Frames that wait for room in a transmit ring, at most; above it, `send` refuses.
const WAITING_MAX: usize = 256;

/// What one end has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Frames that left here, without those lost on purpose.
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    /// Frames that came in here.
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    /// Frames that were to leave and were dropped here, as asked for.
    pub(crate) lost_on_purpose: u64,
    /// Frames that left behind a later one, as asked for.
    pub(crate) reordered: u64,
    /// Frames that were to leave and found no room.
    pub(crate) refused: u64,
}

/// What happens to frames on their way out, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mishaps {
    pub(crate) loss: f64,
    pub(crate) reorder: f64,
}

/// The two ends.
#[derive(Debug)]
pub(crate) struct Ends<L: Link> {
    link: L,
    leaving: [Vec<L::Frame>; 2],
    /// Reordered: how many frames are still to leave before it does.
    late: VecDeque<(u8, Port, L::Frame)>,
    arrived: Vec<L::Frame>,
    counts: [Counts; 2],
    mishaps: Mishaps,
    dice: Dice,
}

/// Frames that overtake a reordered one.
const OVERTAKERS: u8 = 3;

impl<L: Link> Ends<L> {
    pub(crate) fn new(link: L, mishaps: Mishaps, seed: u64) -> Self {
        Self {
            link,
            leaving: [Vec::with_capacity(WAITING_MAX), Vec::with_capacity(WAITING_MAX)],
            late: VecDeque::new(),
            arrived: Vec::with_capacity(BATCH),
            counts: [Counts::default(); 2],
            mishaps,
            dice: Dice::new(seed),
        }
    }

    /// Lets `write` write a frame of `len` bytes that leaves at `port` with the next
    /// [`flush`](Self::flush). False if there was no room for it, and nothing happened.
    pub(crate) fn send(&mut self, port: Port, len: usize, write: impl FnOnce(&mut [u8])) -> bool {
        if self.leaving(port).len() >= WAITING_MAX {
            self.flush();
        }
        if self.leaving(port).len() >= WAITING_MAX {
            self.counts(port).refused += 1;
            return false;
        }
        let Some(mut frame) = self.link.frame() else {
            self.counts(port).refused += 1;
            return false;
        };
        if !frame.set_len(len) {
            self.link.release(frame);
            self.counts(port).refused += 1;
            return false;
        }
        write(frame.as_mut());
        if self.dice.falls(self.mishaps.loss) {
            self.counts(port).lost_on_purpose += 1;
            self.link.release(frame);
        } else if self.dice.falls(self.mishaps.reorder) {
            self.counts(port).reordered += 1;
            self.late.push_back((OVERTAKERS, port, frame));
        } else {
            self.leave(port, frame);
            self.let_late_ones_go(false);
        }
        if self.leaving(port).len() >= BATCH {
            self.flush();
        }
        true
    }

    /// Frames that were sent out of `port` by others, and will arrive here.
    pub(crate) const fn sent_elsewhere(&mut self, port: Port, frames: u64, bytes: u64) {
        let counts = self.counts(port);
        counts.sent += frames;
        counts.sent_bytes += bytes;
    }

    /// Hands over what waits. What finds no room waits on.
    pub(crate) fn flush(&mut self) {
        for port in Port::BOTH {
            let [a, b] = &mut self.leaving;
            let batch = if port == Port::A { a } else { b };
            if !batch.is_empty() {
                self.link.transmit(port, batch);
            }
        }
    }

    /// Sends what waits, also the reordered, and shows all that has arrived at either end.
    pub(crate) fn poll(&mut self, mut show: impl FnMut(&mut Self, Port, &[u8])) -> usize {
        let mut total = 0;
        for port in Port::BOTH {
            let mut arrived = std::mem::take(&mut self.arrived);
            let count = self.link.receive(port, &mut arrived);
            total += count;
            for frame in arrived.drain(..) {
                let counts = self.counts(port);
                counts.received += 1;
                counts.received_bytes += frame.as_ref().len() as u64;
                show(self, port, frame.as_ref());
                self.link.release(frame);
            }
            self.arrived = arrived;
        }
        if total == 0 {
            self.let_late_ones_go(true);
        }
        self.flush();
        total
    }

    /// Frames that left and have not come in at the other end.
    pub(crate) fn on_the_way(&self) -> u64 {
        let [a, b] = self.counts;
        (a.sent + b.sent).saturating_sub(a.received + b.received)
    }

    pub(crate) const fn of(&self, port: Port) -> Counts {
        let [a, b] = self.counts;
        match port {
            Port::A => a,
            Port::B => b,
        }
    }

    pub(crate) const fn set_mishaps(&mut self, mishaps: Mishaps) {
        self.mishaps = mishaps;
    }

    #[cfg(test)]
    pub(crate) const fn link(&mut self) -> &mut L {
        &mut self.link
    }

    fn let_late_ones_go(&mut self, all: bool) {
        for (overtakers, ..) in &mut self.late {
            *overtakers = if all { 0 } else { overtakers.saturating_sub(1) };
        }
        while let Some((0, ..)) = self.late.front() {
            if let Some((_, port, frame)) = self.late.pop_front() {
                self.leave(port, frame);
            }
        }
    }

    fn leave(&mut self, port: Port, frame: L::Frame) {
        let counts = self.counts(port);
        counts.sent += 1;
        counts.sent_bytes += frame.as_ref().len() as u64;
        let [a, b] = &mut self.leaving;
        if port == Port::A { a.push(frame) } else { b.push(frame) }
    }

    const fn counts(&mut self, port: Port) -> &mut Counts {
        let [a, b] = &mut self.counts;
        match port {
            Port::A => a,
            Port::B => b,
        }
    }

    const fn leaving(&self, port: Port) -> &Vec<L::Frame> {
        let [a, b] = &self.leaving;
        match port {
            Port::A => a,
            Port::B => b,
        }
    }
}
