/// The bytes of one Ethernet frame, from the destination address on, without FCS.
///
/// `Send`, since a frame may be handed to the worker that owns its flow.
pub trait Frame: AsRef<[u8]> + AsMut<[u8]> + Send + std::fmt::Debug {
    /// The longest it can become, in bytes.
    fn capacity(&self) -> usize;

    /// Makes it `len` bytes long; bytes beyond the old end hold whatever was there. Returns false,
    /// and changes nothing, when `len` exceeds the capacity.
    #[must_use]
    fn set_len(&mut self, len: usize) -> bool;
}
