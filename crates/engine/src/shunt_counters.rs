//! Connections that cross, or are dropped, without being received, as far as the worker knows.

use std::ops::AddAssign;

/// What one worker has counted of shunted connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShuntCounters {
    /// Connections that were shunted to cross.
    pub crossing: u64,
    /// Refused connections that were shunted to be dropped.
    pub dropping: u64,
    /// Connections that should have been and are inspected as before, by [`Unshunted`].
    pub refused: [u64; Unshunted::ALL.len()],
    /// Packets of shunted connections that were received all the same and crossed.
    pub above: u64,
    /// Packets that crossed without being received, as last asked for.
    pub below: u64,
    /// Their bytes, by the IP length.
    pub below_bytes: u64,
    /// Packets that were dropped so.
    pub dropped: u64,
}

/// Why a connection was not shunted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Unshunted {
    /// The configuration says so.
    Never,
    /// There are as many as there may be.
    Full,
    /// Bytes of it were changed or held: its ends number them differently.
    Edited,
    /// A sender leaves checksums to its network card, and nobody would complete them.
    Checksums,
}

impl Unshunted {
    /// Every one, in order of its discriminant.
    pub const ALL: [Self; 4] = [Self::Never, Self::Full, Self::Edited, Self::Checksums];

    /// As metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Full => "full",
            Self::Edited => "edited",
            Self::Checksums => "checksums",
        }
    }
}

type Named = (&'static str, &'static str);

impl ShuntCounters {
    /// Counts a connection that was not shunted.
    pub(crate) fn refuse(&mut self, why: Unshunted) {
        if let Some(count) = self.refused.get_mut(why as usize) {
            *count += 1;
        }
    }

    /// All numbers under the names that Prometheus knows them by, with a HELP line and a label each.
    pub(crate) fn named(&self) -> impl Iterator<Item = (Named, Option<Named>, u64)> {
        let refused = Unshunted::ALL.into_iter().zip(self.refused);
        let plain = [
            (SHUNTS, Some(("fate", "cross")), self.crossing),
            (SHUNTS, Some(("fate", "drop")), self.dropping),
            (ABOVE, None, self.above),
            (BELOW, Some(("fate", "cross")), self.below),
            (BELOW, Some(("fate", "drop")), self.dropped),
            (BELOW_BYTES, None, self.below_bytes),
        ];
        plain
            .into_iter()
            .chain(refused.map(|(why, count)| (REFUSED, Some(("reason", why.name())), count)))
    }
}

impl AddAssign<&Self> for ShuntCounters {
    fn add_assign(&mut self, other: &Self) {
        self.crossing += other.crossing;
        self.dropping += other.dropping;
        for (mine, theirs) in self.refused.iter_mut().zip(other.refused) {
            *mine += theirs;
        }
        self.above += other.above;
        self.below += other.below;
        self.below_bytes += other.below_bytes;
        self.dropped += other.dropped;
    }
}

const SHUNTS: Named = (
    "tollgate_shunts_total",
    "Connections that crossed, or were dropped, in the kernel from some moment on.",
);
const REFUSED: Named = (
    "tollgate_shunts_refused_total",
    "Connections that should have crossed in the kernel and are inspected as before.",
);
const ABOVE: Named = (
    "tollgate_packets_shunted_above_total",
    "Packets of shunted connections that a worker received and let cross.",
);
const BELOW: Named = (
    "tollgate_packets_shunted_total",
    "Packets of shunted connections that no worker received, as last asked for.",
);
const BELOW_BYTES: Named = (
    "tollgate_shunted_bytes_total",
    "Bytes of those that crossed, by the IP length, as last asked for.",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_of_its_discriminants() {
        assert!(Unshunted::ALL.into_iter().enumerate().all(|(at, why)| why as usize == at));
    }
}
