use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use tollgate_link::{Frame, Link, Port};

/// A link in memory whose frames any of its siblings may send or release, as those of one UMEM.
#[derive(Debug)]
pub(crate) struct SharedLink {
    arrived: [VecDeque<Vec<u8>>; 2],
    sent: [Vec<Vec<u8>>; 2],
    outstanding: Rc<Cell<i64>>,
}

#[derive(Debug)]
pub(crate) struct SharedFrame(Vec<u8>);

impl SharedLink {
    pub(crate) fn siblings(number: usize) -> Vec<Self> {
        let outstanding = Rc::new(Cell::new(0));
        let link = |_| Self {
            arrived: [VecDeque::new(), VecDeque::new()],
            sent: [Vec::new(), Vec::new()],
            outstanding: Rc::clone(&outstanding),
        };
        (0..number).map(link).collect()
    }

    pub(crate) fn inject(&mut self, port: Port, bytes: &[u8]) {
        self.arrived[port.index()].push_back(bytes.to_vec());
    }

    pub(crate) fn sent(&mut self, port: Port) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.sent[port.index()])
    }

    /// Frames that are with any of the workers.
    pub(crate) fn outstanding(&self) -> i64 {
        self.outstanding.get()
    }

    fn count(&self, change: i64) {
        self.outstanding.set(self.outstanding.get() + change);
    }
}

impl Link for SharedLink {
    type Frame = SharedFrame;

    fn receive(&mut self, port: Port, batch: &mut Vec<SharedFrame>) -> usize {
        let room = batch.capacity() - batch.len();
        let arrived = &mut self.arrived[port.index()];
        let received = room.min(arrived.len());
        batch.extend(arrived.drain(..received).map(SharedFrame));
        self.count(received as i64);
        received
    }

    fn transmit(&mut self, port: Port, batch: &mut Vec<SharedFrame>) -> usize {
        let sent = batch.len();
        self.sent[port.index()].extend(batch.drain(..).map(|frame| frame.0));
        self.count(-(sent as i64));
        sent
    }

    fn release(&mut self, _frame: SharedFrame) {
        self.count(-1);
    }

    fn frame(&mut self) -> Option<SharedFrame> {
        self.count(1);
        Some(SharedFrame(Vec::new()))
    }
}

impl Frame for SharedFrame {
    fn capacity(&self) -> usize {
        2048
    }

    fn set_len(&mut self, len: usize) -> bool {
        let fits = len <= self.capacity();
        if fits {
            self.0.resize(len, 0);
        }
        fits
    }
}

impl AsRef<[u8]> for SharedFrame {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for SharedFrame {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
