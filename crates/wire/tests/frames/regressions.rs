//! Replays what fuzzing has found, and frames that once broke something: one file of `regressions`
//! each, two bytes (where to trim) and a frame.

use std::fs;
use std::path::Path;

use tollgate_wire::fragment::{FragmentHeaders, Split};
use tollgate_wire::{Checksum, IcmpError, Packet};

#[test]
fn every_finding_stays_fixed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        replay(&fs::read(&path).unwrap());
        files += 1;
    }
    assert!(files > 0, "the folder is empty");
}

fn replay(bytes: &[u8]) {
    fragment(bytes);
    let [start, end, frame @ ..] = bytes else { return };
    fragment(frame);
    let _ = IcmpError::parse(frame);
    let Ok(mut packet) = Packet::parse(frame.to_vec()) else { return };
    let _ = (packet.options(), packet.checksum(), packet.link_header(), packet.flow_label());
    packet.complete_checksum();
    packet.clear_urgent();
    assert_eq!(packet.checksum(), Checksum::Good);
    let len = packet.headers().payload_len();
    let start = u32::from(*start).min(len);
    let end = u32::from(*end).clamp(start, len);
    let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
    let kept = packet.payload()[range].to_vec();
    packet.trim(start..end, end == len);
    assert_eq!((packet.payload(), packet.checksum()), (&kept[..], Checksum::Good));
}

fn fragment(frame: &[u8]) {
    let mut out = vec![0; 70_000];
    if let Ok(headers) = FragmentHeaders::parse(frame) {
        let _ = headers.whole(frame, headers.len(), &mut out);
    }
    if let Some(mut split) = Split::new(frame, 7, 576) {
        while split.write(&mut out).is_some() {}
    }
}
