use tollgate_link::Frame;
use tollgate_tcp::Payload;
use tollgate_wire::Packet;

/// A packet as the reassembler keeps it: a payload that it may make agree with another.
#[derive(Debug)]
pub(crate) struct Buffer<F>(pub(crate) Packet<F>);

impl<F: Frame> Payload for Buffer<F> {
    fn payload(&self) -> &[u8] {
        self.0.payload()
    }

    fn payload_mut(&mut self) -> &mut [u8] {
        self.0.payload_mut()
    }
}
