//! Everything that reads or edits a frame, on bytes of an attacker's choice. Findings are kept in
//! `crates/wire/tests/regressions` and replayed by its tests on a stable compiler.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_wire::fragment::{FragmentHeaders, Split};
use tollgate_wire::{Checksum, Flags, IcmpError, Malformed, Packet, Refusal, Seq};

fuzz_target!(|bytes: &[u8]| {
    fragment(bytes);
    let [start, end, frame @ ..] = bytes else { return };
    icmp_error(frame);
    let mut packet = match Packet::parse(frame.to_vec()) {
        Ok(packet) => packet,
        Err(rejected) => {
            assert_eq!(rejected.frame, frame, "a refused frame is untouched");
            if rejected.why == Refusal::Fragment {
                fragment(frame);
            }
            return;
        }
    };
    let headers = *packet.headers();
    assert!(headers.ip < headers.tcp && headers.tcp < headers.payload);
    assert!(u32::from(headers.payload) <= headers.end && headers.end as usize <= frame.len());
    let _ = (packet.options(), packet.checksum(), packet.link_header(), packet.flow_label());

    packet.complete_checksum();
    assert_eq!(packet.checksum(), Checksum::Good);
    packet.clear_urgent();
    assert_eq!(packet.checksum(), Checksum::Good);
    split(packet.frame());

    let len = headers.payload_len();
    let start = u32::from(*start).min(len);
    let end = u32::from(*end).clamp(start, len);
    let kept = packet.payload()[start as usize..end as usize].to_vec();
    packet.trim(start..end, end == len);
    assert_eq!(packet.payload(), kept);
    assert_eq!(packet.checksum(), Checksum::Good);
    let headers = *packet.headers();
    let mut frame = packet.into_frame();
    frame.truncate(headers.end as usize);
    // A SYN without ACK that loses its first byte leaves a segment that nobody sends.
    if headers.flags.intersects(Flags::SYN | Flags::ACK | Flags::RST) {
        assert_eq!(*Packet::parse(frame).expect("still a packet").headers(), headers);
    }
});

/// What is quoted anew reads as it was written, and is as intact as before.
fn icmp_error(frame: &[u8]) {
    let Ok(Some(mut error)) = IcmpError::parse(frame) else { return };
    let mut other = frame.to_vec();
    error.requote(&mut other, Seq(!error.seq.0));
    assert_eq!(IcmpError::parse(&other), Ok(Some(error)));
    *other.last_mut().expect("it has a header") ^= 1;
    let changed = IcmpError::parse(&other);
    // Padding is nobody's.
    assert!(changed == Ok(Some(error)) || changed == Err(Malformed::IcmpChecksum));
}

fn fragment(frame: &[u8]) {
    let Ok(headers) = FragmentHeaders::parse(frame) else { return };
    assert!(!headers.is_empty() && headers.range().end <= frame.len());
    let mut out = vec![0; 70_000];
    if let Some(start) = headers.whole(frame, headers.len(), &mut out) {
        let carried = &frame[headers.range()];
        out[start..start + carried.len()].copy_from_slice(carried);
        split(&out[..start + carried.len()]);
        let _ = Packet::parse(&out[..start + carried.len()]);
    }
}

fn split(frame: &[u8]) {
    let Some(mut split) = Split::new(frame, 7, 576) else { return };
    let mut out = [0; 700];
    let mut pieces = 0;
    while let Some(len) = split.write(&mut out) {
        assert!(len <= 576 + 22);
        pieces += 1;
        assert!(pieces <= 9000, "it never ends");
    }
}
