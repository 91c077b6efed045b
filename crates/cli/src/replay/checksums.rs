//! Whose checksums a capture cannot be judged by.
//!
//! A machine that leaves checksums to its card captures its own packets before the card has seen them: all of them
//! are wrong, and none was on the wire. A forger's are wrong now and then, among right ones of whom he forges.
//! So a sender most of whose first segments are wrong is taken for the former, and its checksums are made right
//! on the way in. What nobody has touched is written with the wrong ones, as Haka does and as it was read.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use tollgate_link::pcap::{Mend, Mends, Reader};
use tollgate_wire::{IpVersion, Layers, repair_checksums};

use crate::args::Checksums;

/// Packets that are looked at. A guess: Suricata looks at as many.
const PACKETS_MAX: usize = 1000;
/// Fewer wrong ones say nothing of a sender.
const WRONG_MIN: usize = 3;
/// IANA's number.
const TCP: u8 = 6;

/// What is done to checksums before packets arrive.
#[derive(Debug)]
pub(super) enum Repair {
    Nothing,
    Everything,
    /// Those of these senders.
    Of(Vec<IpAddr>),
}

impl Repair {
    /// As `wanted`. `judges` is whether anything is verified in what follows: who only looks at packets sees
    /// them as they are.
    pub(super) fn new(wanted: Checksums, capture: &Path, judges: bool) -> Self {
        match wanted {
            Checksums::Verify => Self::Nothing,
            Checksums::Repair => Self::Everything,
            // A pipe can be read once only.
            Checksums::Auto if judges && capture.is_file() => Self::Of(unfinished(capture)),
            Checksums::Auto => Self::Nothing,
        }
    }

    /// Makes the checksums of a frame right, if that is wanted; gives what was changed.
    pub(super) fn apply(&self, frame: &mut [u8]) -> Mends {
        let wanted = match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Of(senders) if senders.is_empty() => false,
            Self::Of(senders) => sender(frame).is_some_and(|sender| senders.contains(&sender)),
        };
        if !wanted {
            return Mends::default();
        }
        let layers = Layers::of(frame);
        let ip = (layers.version == Some(IpVersion::V4)).then_some(layers.network + 10);
        let tcp = (layers.protocol == TCP).then_some(layers.transport + 16);
        let before = [ip, tcp].map(|at| at.and_then(|at| Some((at, two(frame, at)?))));
        repair_checksums(frame);
        before.map(|field| {
            let (at, was) = field?;
            Some(Mend { at, was, is: two(frame, at)? })
        })
    }

    /// Those whose checksums are made right because they look as if they had been left to a card.
    pub(super) fn senders(&self) -> &[IpAddr] {
        match self {
            Self::Of(senders) => senders,
            Self::Nothing | Self::Everything => &[],
        }
    }
}

/// Senders most of whose first checksums are wrong. What is wrong with the capture is told when it is replayed.
fn unfinished(capture: &Path) -> Vec<IpAddr> {
    let Ok(mut reader) = Reader::open(capture) else { return Vec::new() };
    // Right ones and wrong ones.
    let mut counts: BTreeMap<IpAddr, (usize, usize)> = BTreeMap::new();
    for _ in 0..PACKETS_MAX {
        let Ok(Some(packet)) = reader.next() else { break };
        let layers = Layers::of(packet.frame);
        let Some(sender) = sender(packet.frame) else { continue };
        if layers.protocol != TCP || layers.is_fragment {
            continue;
        }
        let (right, wrong) = counts.entry(sender).or_default();
        if layers.is_network_intact(packet.frame) && layers.is_transport_intact(packet.frame) {
            *right += 1;
        } else {
            *wrong += 1;
        }
    }
    let is_unfinished = |(right, wrong): &(usize, usize)| *wrong >= WRONG_MIN && wrong > right;
    counts
        .into_iter()
        .filter(|(_, counts)| is_unfinished(counts))
        .map(|(sender, _)| sender)
        .collect()
}

fn two(frame: &[u8], at: usize) -> Option<[u8; 2]> {
    frame.get(at..)?.first_chunk().copied()
}

fn sender(frame: &[u8]) -> Option<IpAddr> {
    let layers = Layers::of(frame);
    let ip = frame.get(layers.network..)?;
    match layers.version? {
        IpVersion::V4 => ip.get(12..)?.first_chunk::<4>().map(|&bytes| bytes.into()),
        IpVersion::V6 => ip.get(8..)?.first_chunk::<16>().map(|&bytes| bytes.into()),
    }
}
