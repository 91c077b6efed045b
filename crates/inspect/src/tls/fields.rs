/// Reads fields from the front of a slice; each is `None` where the slice is too short.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        let (pair, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*pair))
    }

    /// A vector behind its length in one byte.
    pub(super) fn short_vector(&mut self) -> Option<Self> {
        let len = self.u8()?;
        self.take(len.into()).map(Fields)
    }

    /// A vector behind its length in two bytes.
    pub(super) fn vector(&mut self) -> Option<Self> {
        let len = self.u16()?;
        self.take(len.into()).map(Fields)
    }

    /// All that is left, as numbers of two bytes.
    pub(super) fn numbers(self) -> Option<Vec<u16>> {
        let (pairs, rest) = self.0.as_chunks();
        rest.is_empty().then(|| pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
    }
}
