//! The fates that the steering program gives to frames, counted.

use libbpf_rs::{MapCore, MapFlags, MapHandle};

/// What the steering program did with a frame: `enum steer_verdict` of `bpf/steer.h`, which says
/// more. Every frame has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names say it, and steer.h")]
pub enum Verdict {
    ToSocket,
    Malformed,
    OtherUser,
    OtherKernel,
    OtherDropped,
    NoSocketWire,
    NoSocketClosed,
    Bypassed,
    Aborted,
    Shunted,
    ShuntDropped,
}

impl Verdict {
    /// Every one, in order of its discriminant.
    pub const ALL: [Self; 11] = [
        Self::ToSocket,
        Self::Malformed,
        Self::OtherUser,
        Self::OtherKernel,
        Self::OtherDropped,
        Self::NoSocketWire,
        Self::NoSocketClosed,
        Self::Bypassed,
        Self::Aborted,
        Self::Shunted,
        Self::ShuntDropped,
    ];

    /// As metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ToSocket => "to_socket",
            Self::Malformed => "malformed",
            Self::OtherUser => "other_user",
            Self::OtherKernel => "other_kernel",
            Self::OtherDropped => "other_dropped",
            Self::NoSocketWire => "no_socket_wire",
            Self::NoSocketClosed => "no_socket_closed",
            Self::Bypassed => "bypassed",
            Self::Aborted => "aborted",
            Self::Shunted => "shunted",
            Self::ShuntDropped => "shunt_dropped",
        }
    }
}

/// How many frames had a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerdictCount {
    /// Frames.
    pub frames: u64,
    /// Their bytes, from the Ethernet header on.
    pub bytes: u64,
}

/// How many frames of one port had each verdict, summed over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerdictCounts([VerdictCount; Verdict::ALL.len()]);

impl VerdictCounts {
    /// How many had this one.
    #[must_use]
    pub fn of(&self, verdict: Verdict) -> VerdictCount {
        self.0.get(verdict as usize).copied().unwrap_or_default()
    }

    /// All of them, by verdict.
    pub fn iter(&self) -> impl Iterator<Item = (Verdict, VerdictCount)> + '_ {
        Verdict::ALL.into_iter().zip(self.0)
    }

    /// Frames that arrived: each had one verdict.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.0.iter().map(|count| count.frames).sum()
    }
}

/// The map `verdicts` of a program.
#[derive(Debug)]
pub(in crate::xsk) struct VerdictMap(pub(super) MapHandle);

impl VerdictMap {
    pub(in crate::xsk) fn read(&self) -> Result<VerdictCounts, libbpf_rs::Error> {
        let mut counts = VerdictCounts::default();
        for (verdict, sum) in Verdict::ALL.into_iter().zip(&mut counts.0) {
            let key = (verdict as u32).to_ne_bytes();
            let values = self.0.lookup_percpu(&key, MapFlags::ANY)?.unwrap_or_default();
            for value in values {
                sum.frames += word(&value, 0);
                sum.bytes += word(&value, 1);
            }
        }
        Ok(counts)
    }
}

/// The nth 64-bit word of a `struct steer_count`.
fn word(value: &[u8], nth: usize) -> u64 {
    value.chunks_exact(8).nth(nth).map_or(0, |bytes| bytes.try_into().map_or(0, u64::from_ne_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_numbers_the_verdicts_as_we_do() {
        let header = include_str!("../../../../../bpf/steer.h");
        let (_, list) = header.split_once("enum steer_verdict {").unwrap();
        let (list, _) = list.split_once("STEER_VERDICTS").unwrap();
        let names: Vec<_> = list
            .lines()
            .filter_map(|line| line.trim().strip_prefix("STEER_")?.split_once(','))
            .map(|(name, _)| name.to_lowercase())
            .collect();
        assert_eq!(names, Verdict::ALL.map(Verdict::name));
        for (nth, verdict) in Verdict::ALL.into_iter().enumerate() {
            assert_eq!(verdict as usize, nth);
        }
    }
}
