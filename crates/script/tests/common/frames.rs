//! Frames of any protocol, and what rules make of them.
use std::net::IpAddr;

use tollgate_policy::{FrameEdit, Injected, Policy as _, Side, Verdict};
use tollgate_wire::{IpVersion, Layers, Timestamp, ethertype_of};

use super::Scene;

/// Which call a frame is shown by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Receive,
    Datagram,
    Send,
}

pub const LINK: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

/// A datagram of `protocol` in an Ethernet frame, all lengths and checksums right.
pub fn datagram(from: &str, to: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = LINK.to_vec();
    match (from.parse().unwrap(), to.parse().unwrap()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.extend(ethertype_of(IpVersion::V4).to_be_bytes());
            frame.extend([0x45, 0x12, 0, 0, 0xab, 0xcd, 0x40, 0, 61, protocol, 0, 0]);
            frame.extend(from.octets());
            frame.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame.extend(ethertype_of(IpVersion::V6).to_be_bytes());
            frame.extend([0x61, 0x2a, 0xbc, 0xde, 0, 0, protocol, 61]);
            frame.extend(from.octets());
            frame.extend(to.octets());
        }
        _ => panic!("mixed versions"),
    }
    frame.extend(payload);
    complete(&mut frame);
    frame
}

/// Makes lengths and checksums right for a datagram that reaches to the end.
pub fn complete(frame: &mut [u8]) {
    let layers = Layers::of(frame).ending_at(frame.len(), frame);
    layers.write_lengths(frame);
    layers.write_transport_checksum(frame);
    layers.write_network_checksum(frame);
}

pub fn udp(from: (&str, u16), to: (&str, u16), payload: &[u8]) -> Vec<u8> {
    let header = [from.1.to_be_bytes(), to.1.to_be_bytes(), [0; 2], [0; 2]].concat();
    datagram(from.0, to.0, 17, &[&header, payload].concat())
}

/// A segment with ACK and PSH set, and 12 bytes of options.
pub fn tcp(from: (&str, u16), to: (&str, u16), payload: &[u8]) -> Vec<u8> {
    let mut segment = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    segment.extend([0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 77, 0x80, 0x18, 0x20, 0, 0, 0, 0, 5]);
    segment.extend([1; 12]);
    segment.extend(payload);
    datagram(from.0, to.0, 6, &segment)
}

/// Whether lengths and checksums are right, and the datagram is all there.
#[track_caller]
pub fn assert_intact(frame: &[u8]) {
    let layers = Layers::of(frame);
    assert!(layers.version.is_some() && layers.is_network_intact(frame), "IP: {frame:02x?}");
    assert!(layers.is_transport_intact(frame), "transport: {frame:02x?}");
    let mut completed = frame.get(..layers.end).unwrap().to_vec();
    layers.write_lengths(&mut completed);
    assert_eq!(completed, frame.get(..layers.end).unwrap(), "lengths");
}

impl Scene {
    /// Shows a frame that came in at side A; gives the verdict and what it is afterwards.
    pub fn show_frame(&mut self, stage: Stage, frame: &[u8]) -> (Verdict, Vec<u8>) {
        self.show_frame_at(stage, frame, 7.0)
    }

    /// The same at a time in seconds.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small times")]
    pub fn show_frame_at(&mut self, stage: Stage, frame: &[u8], secs: f64) -> (Verdict, Vec<u8>) {
        let mut bytes = frame.to_vec();
        let mut edit = FrameEdit::new(&mut bytes, Timestamp((secs * 1e9) as u64), Side::A);
        let (policy, reports) = (&mut self.policy, &mut self.reports);
        let verdict = match stage {
            Stage::Receive => policy.receive_frame(&mut edit, reports),
            Stage::Datagram => policy.receive_datagram(&mut edit, reports),
            Stage::Send => policy.send_frame(&mut edit, reports),
        };
        let after = edit.bytes().to_vec();
        (verdict, after)
    }

    /// All three calls, one behind the other, until a rule drops it.
    pub fn cross(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let mut frame = frame.to_vec();
        for stage in [Stage::Receive, Stage::Datagram, Stage::Send] {
            let (verdict, after) = self.show_frame(stage, &frame);
            if verdict != Verdict::Accept {
                assert_eq!(verdict, Verdict::DropPacket);
                return None;
            }
            frame = after;
        }
        Some(frame)
    }

    /// What rules have made since the last call.
    pub fn made(&mut self) -> Vec<Injected> {
        std::iter::from_fn(|| self.policy.take_injected()).collect()
    }
}
