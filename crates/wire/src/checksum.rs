//! The Internet checksum (RFC 1071), incremental updates (RFC 1624), and what a TCP checksum says.
//!
//! Sums are kept in the byte order of memory, which one's complement addition does not mind
//! (RFC 1071 section 2 (B)): nothing is swapped but what comes from, or goes to, a number.

/// What the checksum field of a TCP header says about its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// It covers the segment and is right.
    Good,
    /// It holds the sum of the pseudo-header only: a sender on this machine left the rest to its
    /// network card (Linux's `CHECKSUM_PARTIAL`). To be completed before the frame leaves; nothing
    /// vouches for the bytes but that they never crossed a wire.
    Partial,
    /// Neither.
    Bad,
}

/// A one's complement sum under way, of 64 bits: what is carried out of it comes in again at its other
/// end, so that it is the same modulo 2¹⁶ - 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    pub(crate) const EMPTY: Self = Self(0);

    /// Adds bytes as 16-bit words, the last one padded with a zero. Every call starts a new word,
    /// so all but the last must be even in length.
    #[must_use]
    #[inline]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        // Words of 32 bits in 64-bit lanes: no carry can be lost, and the compiler makes vectors of
        // it. Headers are short, and setting up lanes would cost more than summing them.
        let (mut sum, mut rest) = (self, bytes);
        if bytes.len() >= BLOCKS_MIN {
            let (blocks, behind) = bytes.as_chunks::<32>();
            (sum, rest) = (sum.plus(Self::blocks(blocks)), behind);
        }
        let (words, rest) = rest.as_chunks::<8>();
        for word in words {
            sum = sum.plus(u64::from_ne_bytes(*word));
        }
        sum.plus(tail(bytes, rest))
    }

    #[inline]
    const fn plus(self, word: u64) -> Self {
        let (sum, carry) = self.0.overflowing_add(word);
        Self(sum + carry as u64)
    }

    fn blocks(blocks: &[[u8; 32]]) -> u64 {
        let mut lanes = [0_u64; 8];
        for block in blocks {
            let (words, _) = block.as_chunks::<4>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        lanes.iter().sum()
    }

    /// Adds a number.
    #[must_use]
    pub(crate) const fn number(self, value: u32) -> Self {
        self.plus(value.to_be() as u64)
    }

    /// The 16-bit sum, as the two bytes that a packet would hold.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "each line has made it fit")]
    pub(crate) const fn folded(self) -> [u8; 2] {
        let sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        (sum as u16).to_ne_bytes()
    }

    /// The checksum field for what was summed, with the field itself counted as zero.
    #[must_use]
    pub(crate) const fn complement(self) -> [u8; 2] {
        let [a, b] = self.folded();
        [!a, !b]
    }

    /// Whether what was summed, its checksum field included, is intact.
    #[must_use]
    #[inline]
    pub(crate) const fn is_intact(self) -> bool {
        // Folded it is 0xffff; folding keeps the remainder, and makes 0 of nothing but 0. To ask for a remainder of 0
        // is one multiplication.
        self.0 != 0 && self.0.is_multiple_of(0xffff)
    }
}

/// Bytes from which on lanes are worth setting up.
const BLOCKS_MIN: usize = 128;

/// The last bytes, fewer than eight, padded with zeros. Where there are eight before their end, those are
/// read at once and the front ones moved out.
#[inline]
fn tail(all: &[u8], rest: &[u8]) -> u64 {
    let word = if let Some(last) = all.last_chunk::<8>() {
        u64::from_le_bytes(*last) >> 1 >> (63 - 8 * rest.len())
    } else {
        rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    };
    word.to_le()
}

/// Changes `field` as the bytes it covers change from `old` to `new`: RFC 1624 equation 3. Both have
/// the same even length and begin at an even distance from the beginning of what is covered.
pub(crate) fn update(field: [u8; 2], old: &[u8], new: &[u8]) -> [u8; 2] {
    debug_assert_eq!(old.len(), new.len());
    let [a, b] = field;
    let mut sum = Sum::default().bytes(&[!a, !b]).bytes(new);
    for pair in old.chunks(2) {
        let (first, second) = (pair.first().copied().unwrap_or(0), pair.get(1).copied());
        sum = sum.bytes(&[!first, !second.unwrap_or(0)]);
    }
    sum.complement()
}

/// Zero has two spellings in one's complement arithmetic.
pub(crate) const fn same(one: [u8; 2], other: [u8; 2]) -> bool {
    let (one, other) = (u16::from_ne_bytes(one), u16::from_ne_bytes(other));
    one == other || (one == 0 && other == u16::MAX) || (one == u16::MAX && other == 0)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 section 1, word for word.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            sum = (sum >> 16) + (sum & 0xffff);
        }
        u16::try_from(sum).unwrap()
    }

    proptest! {
        #[test]
        fn the_fast_sum_is_the_slow_one(bytes in vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(u16::from_be_bytes(Sum::default().bytes(&bytes).folded()), naive(&bytes));
        }

        #[test]
        fn it_is_intact_where_it_is_all_ones_when_folded(
            sum in any::<u64>(),
            near in 0..3_u64,
        ) {
            let multiple = sum / 0xffff * 0xffff;
            for sum in [0, sum, multiple, multiple.saturating_add(near), u64::MAX - near] {
                prop_assert_eq!(Sum(sum).is_intact(), Sum(sum).folded() == [0xff, 0xff], "{}", sum);
            }
        }

        #[test]
        fn a_number_adds_what_its_bytes_would(bytes in vec(any::<u8>(), 4), number in any::<u32>()) {
            let one = Sum::default().bytes(&bytes).number(number);
            let other = Sum::default().bytes(&bytes).bytes(&number.to_be_bytes());
            prop_assert!(same(one.folded(), other.folded()));
        }

        #[test]
        fn an_update_gives_what_a_full_sum_gives(
            before in vec(any::<u8>(), 40),
            word in 0..20_usize,
            new in any::<[u8; 2]>(),
        ) {
            let field = Sum::default().bytes(&before).complement();
            let mut after = before.clone();
            after[word * 2..word * 2 + 2].copy_from_slice(&new);
            let updated = update(field, &before[word * 2..word * 2 + 2], &new);
            // Read back as a receiver does: it must be intact, whichever spelling of zero it has.
            prop_assert!(Sum::default().bytes(&after).bytes(&updated).is_intact());
        }
    }

    #[test]
    fn the_longest_frame_of_ones_does_not_overflow() {
        assert_eq!(Sum::default().bytes(&vec![0xff; 1 << 20]).folded(), [0xff, 0xff]);
    }
}
