use tollgate_link::Frame;
use tollgate_tcp::{Payload, Ready};
use tollgate_wire::{Packet, Seq};

/// A packet as the reassembler keeps it: a payload that it may make agree with another.
#[derive(Debug)]
pub(crate) enum Buffer<F> {
    Packet(Packet<F>),
    Small(Small),
}

/// A small segment that waits behind a gap, without its frame.
#[derive(Debug)]
pub(crate) struct Small {
    /// The number of its first byte.
    pub(crate) seq: Seq,
    pub(crate) bytes: Box<[u8]>,
    pub(crate) push: bool,
    pub(crate) fin: bool,
}

/// A [`Ready`] buffer, by what it is.
#[derive(Debug)]
pub(crate) enum Turn<F> {
    Packet(Ready<Packet<F>>),
    Small(Ready<Small>),
}

impl<F> Turn<F> {
    pub(crate) fn of(ready: Ready<Buffer<F>>) -> Self {
        let Ready { buffer, fresh, fin, keep, keep_fin, rewritten } = ready;
        match buffer {
            Buffer::Packet(buffer) => {
                Self::Packet(Ready { buffer, fresh, fin, keep, keep_fin, rewritten })
            }
            Buffer::Small(buffer) => {
                Self::Small(Ready { buffer, fresh, fin, keep, keep_fin, rewritten })
            }
        }
    }
}

impl<F> Buffer<F> {
    /// The packet, if it has one: a small segment's is gone.
    pub(crate) fn into_packet(self) -> Option<Packet<F>> {
        match self {
            Self::Packet(packet) => Some(packet),
            Self::Small(_) => None,
        }
    }
}

impl<F: Frame> Payload for Buffer<F> {
    fn payload(&self) -> &[u8] {
        match self {
            Self::Packet(packet) => packet.payload(),
            Self::Small(small) => &small.bytes,
        }
    }

    fn payload_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Packet(packet) => packet.payload_mut(),
            Self::Small(small) => &mut small.bytes,
        }
    }

    fn is_frame(&self) -> bool {
        matches!(self, Self::Packet(_))
    }
}
