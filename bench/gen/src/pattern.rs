//! The bytes of every stream: a function of connection, sender and position, so that nothing has to be
//! remembered to know what must come back.

use tollgate_link::Port;

/// Bytes of the table; a stream repeats after as many, and no segment is longer.
const TABLE_LEN: usize = 1 << 16;

/// All streams are windows of one table of noise, each from a place of its own.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// Twice the table, so that every window is one slice.
    table: Vec<u8>,
    seed: u64,
}

impl Pattern {
    pub(crate) fn new(seed: u64) -> Self {
        let mut table = Vec::with_capacity(2 * TABLE_LEN);
        for word in 0..TABLE_LEN as u64 / 8 {
            table.extend_from_slice(&mix(seed ^ word).to_ne_bytes());
        }
        table.extend_from_within(..);
        Self { table, seed }
    }

    /// `len` bytes of what the end at `port` sends on `connection`, from `position` on.
    pub(crate) fn bytes(&self, connection: u64, port: Port, position: u32, len: usize) -> &[u8] {
        let place = self.key(connection, port).wrapping_add(u64::from(position));
        let start = usize::try_from(place % TABLE_LEN as u64).unwrap_or(0);
        self.table.get(start..start + len).unwrap_or_default()
    }

    /// Where the end at `port` begins to count its bytes: its initial sequence number.
    pub(crate) fn first_seq(&self, connection: u64, port: Port) -> u32 {
        (self.key(connection, port) >> 32) as u32
    }

    fn key(&self, connection: u64, port: Port) -> u64 {
        mix(self.seed ^ (connection << 1 | port.index() as u64))
    }
}

/// Every bit of the input changes half of the output's (the finaliser of splitmix64).
pub(crate) const fn mix(seed: u64) -> u64 {
    let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A small generator of numbers: the same seed, the same run.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    /// True `percent` times out of a hundred.
    pub(crate) fn falls(&mut self, percent: f64) -> bool {
        percent > 0.0 && (self.roll() >> 11) as f64 / (1_u64 << 53) as f64 * 100.0 < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let pattern = Pattern::new(7);
        let whole = pattern.bytes(3, Port::A, 65_000, 3000).to_vec();
        let mut cut = Vec::new();
        for at in (0..3000).step_by(100) {
            cut.extend_from_slice(pattern.bytes(3, Port::A, 65_000 + at, 100));
        }
        assert_eq!(whole, cut);
    }

    #[test]
    fn streams_differ_by_connection_and_end() {
        let pattern = Pattern::new(7);
        let one = pattern.bytes(3, Port::A, 0, 64);
        assert_ne!(one, pattern.bytes(4, Port::A, 0, 64));
        assert_ne!(one, pattern.bytes(3, Port::B, 0, 64));
    }

    #[test]
    fn dice_fall_about_as_often_as_asked() {
        let mut dice = Dice::new(1);
        let fallen = (0..100_000).filter(|_| dice.falls(5.0)).count();
        assert!((4_700..5_300).contains(&fallen), "{fallen}");
        assert!(!Dice::new(1).falls(0.0));
    }
}
