//! Rings between workers, for frames that arrived at another worker than the one that owns their
//! flow. One producer and one consumer each; a frame moves by its descriptor, its bytes stay.

use rtrb::{Consumer, Producer, RingBuffer};
use tollgate_link::Port;
use tollgate_wire::{IcmpError, Packet};

/// One worker's ends of all rings.
#[derive(Debug)]
pub struct Mesh<F> {
    /// By the receiving worker; none towards ourselves.
    outgoing: Vec<Option<Producer<Message<F>>>>,
    incoming: Vec<Consumer<Message<F>>>,
}

/// A frame on its way to another worker, with what is known of it.
#[derive(Debug)]
pub(crate) enum Message<F> {
    /// A parsed packet whose checksum was found good, for the owner of its flow.
    Packet {
        packet: Packet<F>,
        /// Where it arrived.
        port: Port,
        /// Hash of its key, the same in all workers.
        hash: u64,
    },
    /// A fragment, for the worker where its datagram is put together.
    Fragment { frame: F, port: Port },
    /// An ICMP error, for the owner of the flow that it quotes.
    IcmpError { frame: F, error: IcmpError, port: Port, hash: u64 },
}

/// Rings between every two of `workers` workers, for at most `capacity` frames each; the ends of
/// each worker in order.
#[must_use]
pub fn mesh<F>(workers: usize, capacity: usize) -> Vec<Mesh<F>> {
    let mut ends: Vec<Mesh<F>> =
        (0..workers).map(|_| Mesh { outgoing: Vec::new(), incoming: Vec::new() }).collect();
    for from in 0..workers {
        for to in 0..workers {
            let mut producer = None;
            if from != to {
                let (outgoing, incoming) = RingBuffer::new(capacity);
                producer = Some(outgoing);
                if let Some(end) = ends.get_mut(to) {
                    end.incoming.push(incoming);
                }
            }
            if let Some(end) = ends.get_mut(from) {
                end.outgoing.push(producer);
            }
        }
    }
    ends
}

impl<F> Mesh<F> {
    /// The mesh of a worker that has no peers.
    #[must_use]
    pub const fn alone() -> Self {
        Self { outgoing: Vec::new(), incoming: Vec::new() }
    }

    /// Workers at the other ends, and ourselves.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.outgoing.len().max(1)
    }

    /// Sends, or gives the message back if the ring is full.
    pub(crate) fn send(&mut self, to: usize, message: Message<F>) -> Result<(), Message<F>> {
        match self.outgoing.get_mut(to) {
            Some(Some(ring)) => ring.push(message).map_err(|rtrb::PushError::Full(back)| back),
            _ => Err(message),
        }
    }

    /// Takes at most `max` messages from each ring.
    pub(crate) fn receive(&mut self, max: usize, mut take: impl FnMut(Message<F>)) {
        for ring in &mut self.incoming {
            for _ in 0..max {
                let Ok(message) = ring.pop() else { break };
                take(message);
            }
        }
    }
}

impl<F: AsRef<[u8]>> Message<F> {
    /// The frame in it.
    pub(crate) fn into_frame(self) -> F {
        match self {
            Self::Packet { packet, .. } => packet.into_frame(),
            Self::Fragment { frame, .. } | Self::IcmpError { frame, .. } => frame,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(number: u8) -> Message<Vec<u8>> {
        Message::Fragment { frame: vec![number], port: Port::A }
    }

    #[test]
    fn frames_come_out_in_order_at_the_worker_they_were_sent_to() {
        let mut ends = mesh::<Vec<u8>>(3, 4);
        for number in 0..4 {
            ends[0].send(2, fragment(number)).unwrap();
        }
        assert_eq!(ends[0].send(2, fragment(4)).unwrap_err().into_frame(), [4]);
        ends[1].receive(9, |_| panic!("not for worker 1"));
        let mut taken = Vec::new();
        ends[2].receive(3, |message| taken.push(message.into_frame()));
        assert_eq!(taken, [[0], [1], [2]]);
    }

    #[test]
    fn nobody_sends_to_himself_or_to_a_worker_that_is_not_there() {
        let mut ends = mesh::<Vec<u8>>(2, 4);
        assert!(ends[0].send(0, fragment(1)).is_err());
        assert!(ends[0].send(2, fragment(1)).is_err());
        assert!(Mesh::alone().send(0, fragment(1)).is_err());
    }
}
