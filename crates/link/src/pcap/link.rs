//! The link of a replay: one packet comes in, what leaves is collected in order.

use tollgate_wire::Timestamp;

use super::RECORD_LEN_MAX;
use crate::{Frame, Link, Port};

/// The longest frame: what the longest record of a capture becomes, with the Ethernet header that is
/// put before a raw IP packet.
const FRAME_MAX: usize = RECORD_LEN_MAX + 64;
/// Frames kept for reuse. One packet at a time is under way, the rest are held ones.
const SPARE_MAX: usize = 64;

/// One worker's end of a replay: let a packet of a [`Reader`](super::Reader) [arrive](Self::arrive),
/// poll the worker at its time, [drain](Self::drain) what has left into a
/// [`Writer`](super::Writer).
///
/// Unlike [`MemoryLink`](crate::memory::MemoryLink) it has no fixed number of frames: what may be
/// held is the engine's to bound, and frames may change hands between workers.
#[derive(Debug, Default)]
pub struct PcapLink {
    arriving: Vec<(Port, PcapFrame)>,
    left: Vec<(Port, PcapFrame)>,
    spare: Vec<PcapFrame>,
    // Frames given to the worker and not yet had back; wrapping, since they may come back through
    // another worker's link.
    out: i64,
}

/// A frame of a capture, or one to forge a packet in.
#[derive(Debug, Default)]
pub struct PcapFrame {
    bytes: Vec<u8>,
    /// When it was captured.
    time: Option<Timestamp>,
    mends: Mends,
}

/// What was made right in a frame before it arrived: undone where nobody has changed it since.
pub type Mends = [Option<Mend>; 2];

/// Two bytes that were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mend {
    /// Where they are.
    pub at: usize,
    /// In the capture.
    pub was: [u8; 2],
    /// On arrival.
    pub is: [u8; 2],
}

impl Mend {
    fn undo(&self, frame: &mut [u8]) {
        let bytes = frame.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut());
        if let Some(bytes) = bytes.filter(|bytes| **bytes == self.is) {
            *bytes = self.was;
        }
    }
}

impl PcapLink {
    /// Lets a frame arrive at `port` that was captured at `time`.
    pub fn arrive(&mut self, port: Port, time: Timestamp, bytes: &[u8]) {
        self.arrive_mended(port, time, bytes, Mends::default());
    }

    /// The same for one in which something was made right.
    pub fn arrive_mended(&mut self, port: Port, time: Timestamp, bytes: &[u8], mends: Mends) {
        let mut frame = self.empty();
        frame.mends = mends;
        frame.bytes.extend_from_slice(bytes);
        frame.time = Some(time);
        self.arriving.push((port, frame));
    }

    /// Whether something waits to be received.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.arriving.is_empty()
    }

    /// Shows each frame that has left, in order, with the time of its capture unless it was made here, and
    /// forgets it.
    pub fn drain(&mut self, mut show: impl FnMut(Port, Option<Timestamp>, &[u8])) {
        while !self.left.is_empty() {
            for (port, mut frame) in std::mem::take(&mut self.left) {
                frame.mends.iter().flatten().for_each(|mend| mend.undo(&mut frame.bytes));
                show(port, frame.time, &frame.bytes);
                self.keep(frame);
            }
        }
    }

    /// Frames in the worker's hands: those given less those had back. Only the sum over all
    /// workers says how many there are.
    #[must_use]
    pub const fn outstanding(&self) -> i64 {
        self.out
    }

    fn empty(&mut self) -> PcapFrame {
        let mut frame = self.spare.pop().unwrap_or_default();
        frame.bytes.clear();
        (frame.time, frame.mends) = (None, Mends::default());
        frame
    }

    fn keep(&mut self, frame: PcapFrame) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(frame);
        }
    }
}

impl Link for PcapLink {
    type Frame = PcapFrame;

    fn receive(&mut self, port: Port, batch: &mut Vec<PcapFrame>) -> usize {
        let before = batch.len();
        let room = batch.capacity() - before;
        for (_, frame) in self.arriving.extract_if(.., |(at, _)| *at == port).take(room) {
            batch.push(frame);
        }
        let received = batch.len() - before;
        self.out += count(received);
        received
    }

    fn transmit(&mut self, port: Port, batch: &mut Vec<PcapFrame>) -> usize {
        let sent = batch.len();
        self.left.extend(batch.drain(..).map(|frame| (port, frame)));
        self.out -= count(sent);
        sent
    }

    fn release(&mut self, frame: PcapFrame) {
        self.out -= 1;
        self.keep(frame);
    }

    fn frame(&mut self) -> Option<PcapFrame> {
        self.out += 1;
        Some(self.empty())
    }
}

fn count(frames: usize) -> i64 {
    i64::try_from(frames).unwrap_or(i64::MAX)
}

impl AsRef<[u8]> for PcapFrame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for PcapFrame {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Frame for PcapFrame {
    fn capacity(&self) -> usize {
        FRAME_MAX
    }

    fn set_len(&mut self, len: usize) -> bool {
        if len > FRAME_MAX {
            return false;
        }
        self.bytes.resize(len, 0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_in_by_port_and_leave_in_order() {
        let mut link = PcapLink::default();
        link.arrive(Port::A, Timestamp(7), &[1]);
        link.arrive(Port::B, Timestamp(8), &[2]);
        link.arrive(Port::A, Timestamp(9), &[3]);
        let mut batch = Vec::with_capacity(1);
        assert_eq!(link.receive(Port::A, &mut batch), 1);
        assert_eq!(link.receive(Port::A, &mut batch), 0);
        assert_eq!(link.outstanding(), 1);
        assert_eq!(link.transmit(Port::B, &mut batch), 1);
        let forged = link.frame().unwrap();
        link.release(forged);
        let mut left = Vec::new();
        link.drain(|port, time, bytes| left.push((port, time, bytes.to_vec())));
        let wanted = vec![(Port::B, Some(Timestamp(7)), vec![1])];
        assert_eq!((left, link.outstanding()), (wanted, 0));
        assert!(link.is_waiting());
    }
}
