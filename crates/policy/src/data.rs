use smallvec::SmallVec;

/// Bytes of one direction of a stream that have become readable, where they lie: one slice for
/// each segment, usually one. Nothing is copied unless asked for.
#[derive(Clone, Debug, Default)]
pub struct Data<'a> {
    chunks: SmallVec<[&'a [u8]; 4]>,
    offset: u64,
    end: bool,
}

impl<'a> Data<'a> {
    /// Data that begins at `offset` (0 is the first byte after the SYN); `end` when the sender's
    /// FIN follows the last byte.
    #[must_use]
    pub fn new(offset: u64, end: bool) -> Self {
        Self { chunks: SmallVec::new(), offset, end }
    }

    /// Appends the next slice of the stream.
    pub fn push(&mut self, chunk: &'a [u8]) {
        if !chunk.is_empty() {
            self.chunks.push(chunk);
        }
    }

    /// Position of the first byte in the stream.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the stream ends after these bytes.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        self.end
    }

    /// The slices in order, none empty.
    #[must_use]
    pub fn chunks(&self) -> &[&'a [u8]] {
        &self.chunks
    }

    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    /// Whether there is no byte (an end of stream alone).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// All bytes in one piece: copied.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.chunks.concat()
    }
}
