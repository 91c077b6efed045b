use tollgate_wire::Timestamp;

use super::{Error, Reader, Writer};
use crate::memory::{MemoryFrame, MemoryLink};
use crate::{Link, Port};

/// Bytes a frame can hold: the longest IP datagram behind the longest link header, and room to spare.
const FRAME_CAPACITY: usize = 66 * 1024;
/// Frames that may be under way at a time; made only when needed.
const FRAMES: usize = 4096;

/// A link whose frames come out of a capture and, if wanted, go into another.
///
/// [`Self::deliver_next`] lets one packet arrive and gives its time: poll the worker at that time,
/// then deliver the next.
#[derive(Debug)]
pub struct PcapLink {
    memory: MemoryLink,
    reader: Reader,
    writer: Option<Writer>,
    now: Timestamp,
    undelivered: u64,
    /// Writing has failed since the last call that could say so.
    failure: Option<Error>,
}

impl PcapLink {
    /// What is transmitted goes to `writer`, or nowhere.
    #[must_use]
    pub fn new(reader: Reader, writer: Option<Writer>) -> Self {
        Self {
            memory: MemoryLink::with_frames(FRAMES, FRAME_CAPACITY),
            reader,
            writer,
            now: Timestamp::default(),
            undelivered: 0,
            failure: None,
        }
    }

    /// Lets the next packet of the capture arrive and gives its time; none at the end.
    ///
    /// # Errors
    ///
    /// The packet is broken, or an earlier one could not be written.
    pub fn deliver_next(&mut self) -> Result<Option<Timestamp>, Error> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let Some(packet) = self.reader.next()? else { return Ok(None) };
        self.now = packet.time;
        if !self.memory.inject(packet.port, packet.frame) {
            self.undelivered += 1;
        }
        Ok(Some(self.now))
    }

    /// Packets that did not arrive: longer than any IP datagram, or every frame was held.
    #[must_use]
    pub const fn undelivered(&self) -> u64 {
        self.undelivered
    }

    /// As [`MemoryLink::outstanding`].
    #[must_use]
    pub const fn outstanding(&self) -> isize {
        self.memory.outstanding()
    }

    /// Writes what is still buffered, and gives the reader back.
    ///
    /// # Errors
    ///
    /// Something could not be written.
    pub fn finish(self) -> Result<Reader, Error> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        self.writer.map_or(Ok(()), Writer::finish)?;
        Ok(self.reader)
    }
}

impl Link for PcapLink {
    type Frame = MemoryFrame;

    fn receive(&mut self, port: Port, batch: &mut Vec<MemoryFrame>) -> usize {
        self.memory.receive(port, batch)
    }

    fn transmit(&mut self, port: Port, batch: &mut Vec<MemoryFrame>) -> usize {
        let count = self.memory.transmit(port, batch);
        let Self { memory, writer, now, failure, .. } = self;
        memory.each_sent(port, |bytes| {
            if let (Some(writer), None) = (writer.as_mut(), failure.as_ref()) {
                *failure = writer.write(*now, bytes).err();
            }
        });
        count
    }

    fn release(&mut self, frame: MemoryFrame) {
        self.memory.release(frame);
    }

    fn frame(&mut self) -> Option<MemoryFrame> {
        self.memory.frame()
    }
}
