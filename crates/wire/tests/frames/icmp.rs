//! ICMP errors that quote a TCP segment.

use proptest::collection::vec;
use proptest::prelude::*;
use tollgate_wire::{IcmpError, Malformed, Other, Packet, Refusal, Seq};

use crate::support::{Spec, address_v6, fix_ipv4, naive_sum};

/// An error to write: about the segment of `about`, sent by a router to whoever sent it.
#[derive(Clone, Debug)]
struct Error {
    about: Spec,
    kind: u8,
    /// Bytes of the datagram that are quoted.
    quoted: usize,
    ip_options: Vec<u8>,
    /// The fragment word of IPv4.
    fragment: u16,
    /// IPv6 extension headers: number and bytes, whose first is set to the next number.
    extensions: Vec<(u8, Vec<u8>)>,
}

const ROUTER_V4: [u8; 4] = [198, 18, 0, 99];

impl Error {
    fn about(about: Spec, kind: u8) -> Self {
        let quoted = if about.v6 { 1232 } else { 28 + about.ip_options.len() };
        Self { about, kind, quoted, ip_options: vec![], fragment: 0, extensions: vec![] }
    }

    fn build(&self) -> Vec<u8> {
        let segment = self.about.build();
        let link = 14 + 4 * self.about.tags.len();
        let datagram = &segment[link..];
        let mut message = vec![self.kind, 4, 0, 0, 0, 0, 5, 0];
        message.extend(&datagram[..self.quoted.min(datagram.len())]);
        let mut frame = segment[..link].to_vec();
        if self.about.v6 {
            self.ipv6(&mut frame, &mut message, &datagram[8..24]);
        } else {
            let sum = !naive_sum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            self.ipv4(&mut frame, message.len(), &datagram[12..16]);
        }
        frame.extend(message);
        frame.extend(std::iter::repeat_n(0xaa, self.about.padding));
        frame
    }

    fn ipv4(&self, frame: &mut Vec<u8>, len: usize, to: &[u8]) {
        let header_len = 20 + self.ip_options.len();
        let mut ip = vec![0x40 | (header_len / 4) as u8, 0xc0];
        ip.extend(((header_len + len) as u16).to_be_bytes());
        ip.extend([0, 9]);
        ip.extend(self.fragment.to_be_bytes());
        ip.extend([64, 1, 0, 0]);
        ip.extend(ROUTER_V4);
        ip.extend(to);
        ip.extend(&self.ip_options);
        fix_ipv4(&mut ip);
        frame.extend(ip);
    }

    fn ipv6(&self, frame: &mut Vec<u8>, message: &mut [u8], to: &[u8]) {
        let mut covered = [&address_v6(99)[..], to, &[0, 0]].concat();
        covered.extend((message.len() as u16).to_be_bytes());
        covered.extend([0, 0, 0, 58]);
        covered.extend(&*message);
        let sum = !naive_sum(&covered);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let chain: Vec<u8> =
            self.extensions.iter().map(|(number, _)| *number).chain([58]).collect();
        let len = self.extensions.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        frame.extend([0x60, 0, 0, 0]);
        frame.extend(((len + message.len()) as u16).to_be_bytes());
        frame.extend([chain[0], 64]);
        frame.extend(address_v6(99));
        frame.extend(to);
        for ((_, bytes), next) in self.extensions.iter().zip(&chain[1..]) {
            frame.push(*next);
            frame.extend(&bytes[1..]);
        }
    }

    fn parse(&self) -> Result<Option<IcmpError>, Malformed> {
        let frame = self.build();
        let parsed = IcmpError::parse(&frame);
        if let Ok(Some(_)) = parsed {
            let rejected = Packet::parse(frame).unwrap_err();
            assert_eq!(rejected.why, Refusal::Other(Other::Ip), "it is no TCP");
        }
        parsed
    }
}

fn v4() -> Spec {
    Spec { seq: 0x1234_5678, ..Spec::default() }
}

fn v6() -> Spec {
    Spec { v6: true, ..v4() }
}

/// Hop-by-hop, destination options: `units` times 8 bytes of padding.
fn padding(number: u8, units: u8) -> (u8, Vec<u8>) {
    let mut bytes = vec![0; usize::from(units) * 8];
    bytes[1] = units - 1;
    (number, bytes)
}

/// A fragment header with this offset and flag.
fn fragment(word: u16) -> (u8, Vec<u8>) {
    let [a, b] = word.to_be_bytes();
    (44, vec![0, 0, a, b, 0, 0, 0, 7])
}

/// It says of the quoted segment what the segment says itself.
#[track_caller]
fn quotes(error: &Error) {
    let segment = Packet::parse(error.about.build()).unwrap();
    let found = error.parse().unwrap().expect("an error about TCP");
    let headers = segment.headers();
    assert_eq!((found.key, found.source, found.seq), (headers.key, headers.source, headers.seq));
}

#[test]
fn errors_say_which_segment_they_are_about() {
    for about in [v4(), v6()] {
        let kinds: &[u8] = if about.v6 { &[1, 2, 3, 4, 0, 100, 127] } else { &[3, 4, 5, 11, 12] };
        for &kind in kinds {
            quotes(&Error::about(about.clone(), kind));
        }
        let backwards = Spec { ports: (80, 40000), ..about.clone() };
        quotes(&Error::about(backwards, kinds[0]));
        let tags = vec![(0x88a8, 100), (0x8100, 7)];
        quotes(&Error::about(Spec { tags, padding: 9, ..about }, kinds[0]));
    }
}

/// All written here say an MTU of 1280; only in one kind is it one.
#[test]
fn only_what_was_too_long_says_what_the_link_carries() {
    for (about, kinds, too_long) in [(v4(), 3..13, 3), (v6(), 1..5, 2)] {
        for kind in kinds {
            if let Ok(Some(error)) = Error::about(about.clone(), kind).parse() {
                assert_eq!(error.link_mtu, (kind == too_long).then_some(1280), "{kind}");
            }
        }
    }
}

#[test]
fn options_and_extension_headers_inside_and_outside_are_walked() {
    let about = Spec { ip_options: vec![1; 8], ..v4() };
    quotes(&Error { ip_options: vec![1; 40], ..Error::about(about, 3) });
    let extensions = vec![padding(0, 1), padding(60, 3), fragment(0)];
    let about = Spec { extensions: extensions.clone(), ..v6() };
    quotes(&Error { extensions, ..Error::about(about, 2) });
}

#[test]
fn what_is_no_error_about_tcp_is_none() {
    for kind in [0, 8, 13, 30] {
        assert_eq!(Error::about(v4(), kind).parse(), Ok(None), "{kind}");
    }
    for kind in [128, 129, 135, 137, 255] {
        assert_eq!(Error::about(v6(), kind).parse(), Ok(None), "{kind}");
    }
    for about in [v4(), v6()] {
        let datagram = Spec { protocol: 17, ..about.clone() };
        assert_eq!(Error::about(datagram, 3).parse(), Ok(None), "about UDP");
        assert_eq!(IcmpError::parse(&about.build()), Ok(None), "TCP itself");
    }
    assert_eq!(IcmpError::parse(&[]), Ok(None));
}

#[test]
fn a_quote_that_ends_before_the_sequence_number_is_refused() {
    for (about, ip, kind) in [(v4(), 20, 3), (v6(), 40, 2)] {
        for quoted in 0..ip + 40 {
            let error = Error { quoted, ..Error::about(about.clone(), kind) };
            let parsed = error.parse();
            match quoted {
                // It does not say that it is about TCP, and no host guesses.
                _ if quoted < ip => assert_eq!(parsed, Ok(None), "{quoted}"),
                _ if quoted < ip + 8 => assert_eq!(parsed, Err(Malformed::Icmp), "{quoted}"),
                _ => assert!(parsed.is_ok_and(|error| error.is_some()), "{quoted}"),
            }
        }
    }
}

/// Whoever could hide the quote from us in a second fragment could forge what he likes.
#[test]
fn an_error_in_fragments_is_refused_at_its_first() {
    let more = 0x2000;
    for quoted in [0, 19, 28] {
        let error = Error { quoted, fragment: more, ..Error::about(v4(), 3) };
        assert_eq!(error.parse(), Err(Malformed::Icmp), "{quoted} bytes of quote");
    }
    for quoted in [0, 39, 60] {
        let extensions = vec![padding(60, 1), fragment(1)];
        let error = Error { quoted, extensions, ..Error::about(v6(), 2) };
        assert_eq!(error.parse(), Err(Malformed::Icmp), "{quoted} bytes of quote");
    }
    // What shows that it is about something else may cross, and so may what comes later.
    let udp = |about| Spec { protocol: 17, ..about };
    for error in [
        Error { fragment: more, ..Error::about(udp(v4()), 3) },
        Error { fragment: 9, ..Error::about(v4(), 3) },
        Error { extensions: vec![fragment(1)], ..Error::about(udp(v6()), 2) },
        Error { extensions: vec![fragment(8 << 3)], ..Error::about(v6(), 2) },
    ] {
        assert_eq!(error.parse(), Ok(None), "{error:?}");
    }
}

#[test]
fn quotes_of_later_fragments_and_of_endless_chains_are_refused() {
    let error = Error::about(v4(), 11);
    let mut frame = error.build();
    // The quoted fragment word, and the checksum that covers it.
    frame[14 + 28 + 7] = 9;
    refix_v4(&mut frame);
    assert_eq!(IcmpError::parse(&frame), Err(Malformed::Icmp));
    let later = Spec { extensions: vec![fragment(8 << 3)], ..v6() };
    assert_eq!(Error::about(later, 2).parse(), Err(Malformed::Icmp));
    let endless = Spec { extensions: vec![padding(60, 1); 9], ..v6() };
    assert_eq!(Error::about(endless, 2).parse(), Err(Malformed::Icmp));
}

#[test]
fn checksums_and_lengths_must_be_right() {
    for error in [Error::about(v4(), 3), Error::about(v6(), 2)] {
        let ip = if error.about.v6 { 40 } else { 20 };
        let mut frame = error.build();
        let last = frame.len() - 1;
        frame[last] ^= 1;
        assert_eq!(IcmpError::parse(&frame), Err(Malformed::IcmpChecksum));
        let mut frame = error.build();
        frame[14 + ip + 2] ^= 1;
        assert_eq!(IcmpError::parse(&frame), Err(Malformed::IcmpChecksum));
    }
    let mut frame = Error::about(v4(), 3).build();
    frame[14 + 10] ^= 1;
    assert_eq!(IcmpError::parse(&frame), Err(Malformed::Ipv4Checksum));
    let mut frame = Error::about(v4(), 3).build();
    frame[14 + 3] += 1;
    fix_ipv4(&mut frame[14..34]);
    assert_eq!(IcmpError::parse(&frame), Err(Malformed::Ipv4), "longer than its frame");
}

#[test]
fn an_error_is_addressed_to_whom_it_is_about() {
    let mut frame = Error::about(v4(), 3).build();
    frame[14 + 19] ^= 7;
    fix_ipv4(&mut frame[14..34]);
    assert_eq!(IcmpError::parse(&frame), Err(Malformed::Icmp));
}

/// The ICMP checksum of an IPv4 frame without options.
fn refix_v4(frame: &mut [u8]) {
    frame[36..38].fill(0);
    let sum = !naive_sum(&frame[34..]);
    frame[36..38].copy_from_slice(&sum.to_be_bytes());
}

proptest! {
    #[test]
    fn a_new_quote_reads_as_it_was_written(
        ipv6: bool, old: u32, new: u32, options in 0..4_usize, padding in 0..8_usize,
    ) {
        let about = Spec { seq: old, padding, ..if ipv6 { v6() } else { v4() } };
        let about = Spec { ip_options: vec![1; options * 4], ..about };
        let mut frame = Error::about(about, if ipv6 { 2 } else { 3 }).build();
        let before = frame.clone();
        let mut error = IcmpError::parse(&frame).unwrap().unwrap();
        error.requote(&mut frame, Seq(new));
        prop_assert_eq!(error.seq, Seq(new));
        // Parsing checks the checksum.
        prop_assert_eq!(IcmpError::parse(&frame), Ok(Some(error)));
        error.requote(&mut frame, Seq(old));
        prop_assert_eq!(IcmpError::parse(&frame), IcmpError::parse(&before));
        let changed = frame.iter().zip(&before).filter(|(one, other)| one != other).count();
        prop_assert!(changed <= 2, "two spellings of zero in the checksum at most");
    }

    #[test]
    fn no_frame_panics_or_reads_outside(
        ipv6: bool, place in 0..120_usize, value: u8, cut in 0..120_usize, kind in 0..13_u8,
        chain in vec((prop_oneof![Just(0), Just(43), Just(44), Just(51), Just(60)], 1..4_u8), 0..4),
    ) {
        let extensions: Vec<_> = chain.iter().map(|&(number, units)| padding(number, units)).collect();
        let about = Spec { extensions: extensions.clone(), ..if ipv6 { v6() } else { v4() } };
        let mut frame = Error { extensions, ..Error::about(about, kind) }.build();
        if let Some(byte) = frame.get_mut(place) {
            *byte = value;
        }
        frame.truncate(frame.len().saturating_sub(cut));
        if let Ok(Some(mut error)) = IcmpError::parse(&frame) {
            error.requote(&mut frame, Seq(7));
            prop_assert_eq!(IcmpError::parse(&frame), Ok(Some(error)));
        }
    }
}
