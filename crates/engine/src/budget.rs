//! How many frames a worker may have in hand at once.

use crate::Config;

impl Config {
    /// Frames that the link must have for this worker, besides those in its own rings (receive,
    /// fill, transmit, completion). With fewer, a worker at its bounds starves its ports.
    #[must_use]
    pub fn frames_needed(&self) -> u64 {
        let batch = self.batch_max as u64;
        let peers = self.workers.saturating_sub(1) as u64;
        // Two ports' batches, received and not yet sent.
        let received = 2 * batch;
        // What other workers hand over in a turn.
        let handed_in = peers * batch;
        // What lies in the rings towards us. Full rings drop, so this is all that can.
        let in_rings = peers * self.hand_off_ring() as u64;
        // Segments behind a gap.
        let held = self.held_frames_max;
        // Fragments that wait for others.
        let fragments = self.fragments_max;
        // A datagram being put together or cut up: its frame and the pieces of 64 kB.
        let datagram = 64;
        // RSTs: four for every received frame would be the worst; when frames are short they are
        // not sent, and counted. One for each two frames of a batch is plenty.
        let resets = batch;
        received + handed_in + in_rings + held + fragments + datagram + resets
    }

    /// The capacity that [`crate::mesh`] should have for workers of this kind: some turns' worth.
    #[must_use]
    pub const fn hand_off_ring(&self) -> usize {
        8 * self.batch_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_alone_needs_nothing_for_hand_off() {
        let alone = Config::default();
        let four = Config { workers: 4, ..Config::default() };
        assert_eq!(alone.frames_needed(), 128 + 1024 + 512 + 64 + 64);
        assert_eq!(four.frames_needed() - alone.frames_needed(), 3 * 64 + 3 * 512);
    }
}
