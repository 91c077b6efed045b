//! Hellos of real programs, cut at every place and into records of every length.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use proptest::prelude::*;
use tollgate_inspect::tls::{
    ClientHello, HelloReader, Malformed, Progress, ServerHello, Side, version_name,
};

const TLS13: [&[u8]; 2] =
    [include_bytes!("data/tls13.client"), include_bytes!("data/tls13.server")];
const TLS12: [&[u8]; 2] =
    [include_bytes!("data/tls12.client"), include_bytes!("data/tls12.server")];
const RETRY: [&[u8]; 2] =
    [include_bytes!("data/retry.client"), include_bytes!("data/retry.server")];

/// All that is told of these pieces, each with the place where it is told.
fn read<'a>(side: Side, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(usize, Progress)> {
    let (mut reader, mut told, mut place) = (HelloReader::new(side), Vec::new(), 0);
    for piece in pieces {
        let mut rest = piece;
        loop {
            let (taken, progress) = reader.feed(rest);
            place += taken;
            rest = &rest[taken..];
            match progress {
                Progress::More => {
                    assert!(rest.is_empty());
                    break;
                }
                Progress::Done | Progress::Malformed(_) => {
                    assert!(!reader.is_partial());
                    told.push((place, progress));
                    return told;
                }
                hello => told.push((place, hello)),
            }
        }
    }
    told
}

fn client(text: &[u8]) -> ClientHello {
    match read(Side::Client, [text]).swap_remove(0).1 {
        Progress::Client(hello) => *hello,
        other => panic!("{other:?}"),
    }
}

fn server(text: &[u8]) -> ServerHello {
    match read(Side::Server, [text]).swap_remove(0).1 {
        Progress::Server(hello) => *hello,
        other => panic!("{other:?}"),
    }
}

/// The first record's message in records of `len` bytes.
fn rerecorded(text: &[u8], len: usize) -> Vec<u8> {
    let end = 5 + usize::from(u16::from_be_bytes([text[3], text[4]]));
    let mut out = Vec::new();
    for part in text[5..end].chunks(len) {
        out.extend([22, 3, 1]);
        out.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
        out.extend(part);
    }
    out.extend(&text[end..]);
    out
}

#[test]
fn a_hello_says_what_openssl_was_told_to_say() {
    let hello = client(TLS13[0]);
    assert_eq!(hello.server_name.as_deref(), Some(&b"www.example.org"[..]));
    assert_eq!(hello.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    let versions: Vec<_> = hello.versions().into_iter().map(version_name).collect();
    assert_eq!(versions, ["1.3", "1.2", "1.1", "1.0"]);
    assert_eq!((hello.ciphers.len(), hello.ciphers[0]), (31, 0x1302));
    assert!(!hello.has_early_data && !hello.has_encrypted_hello);
    // By another program, from the same bytes.
    assert_eq!(hello.ja4(), "t13d3111h2_e8f1e7e78f70_1f22a2ca17c4");
    assert_eq!(client(TLS12[0]).ja4(), "t12d2808h1_d943125447b4_e7e480e5a997");
    assert_eq!(client(RETRY[0]).ja4(), "t13d311000_e8f1e7e78f70_1f22a2ca17c4");
}

#[test]
fn a_server_says_what_it_has_chosen() {
    let hello = server(TLS13[1]);
    assert_eq!((hello.version, hello.cipher, hello.is_retry), (0x0304, 0x1302, false));
    let hello = server(TLS12[1]);
    assert_eq!((hello.version, hello.cipher), (0x0303, 0xc030));
    assert_eq!(hello.alpn.as_deref(), Some(&b"http/1.1"[..]));
}

#[test]
fn where_the_server_asks_for_another_hello_both_are_told() {
    let of_client = read(Side::Client, [RETRY[0]]);
    let names: Vec<_> = of_client
        .iter()
        .map(|(_, told)| match told {
            Progress::Client(hello) => hello.server_name.clone(),
            _ => None,
        })
        .collect();
    let name = Some(b"www.example.org".to_vec());
    assert_eq!(names, [name.clone(), name, None]);
    assert_eq!(of_client[2].1, Progress::Done);
    let of_server = read(Side::Server, [RETRY[1]]);
    let retries = of_server.iter().map(|(_, told)| match told {
        Progress::Server(hello) => Some(hello.is_retry),
        _ => None,
    });
    assert_eq!(retries.collect::<Vec<_>>(), [Some(true), Some(false), None]);
}

#[test]
fn what_is_no_hello_is_told_at_the_first_byte_that_shows_it() {
    let told = |bytes: &[u8]| read(Side::Client, bytes.chunks(1)).pop();
    let malformed = |place, why| Some((place, Progress::Malformed(why)));
    assert_eq!(told(b"GET / HTTP/1.1\r\n"), malformed(0, Malformed::NotTls));
    assert_eq!(told(b"\x16\x02\x00\x00"), malformed(1, Malformed::NotTls));
    assert_eq!(told(b"\x16\x03\x01\x00\x00."), malformed(4, Malformed::RecordLength));
    assert_eq!(told(b"\x16\x03\x01\x40\x01."), malformed(4, Malformed::RecordLength));
    assert_eq!(told(b"\x16\x03\x01\x00\x04\x02..."), malformed(5, Malformed::NotHello));
    assert_eq!(told(b"\x16\x03\x01\x40\x00\x01\x01\x00\x00."), malformed(8, Malformed::TooLong));
    assert_eq!(told(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03."), malformed(9, Malformed::Length));
    // A server that refuses sends an alert.
    assert_eq!(read(Side::Server, [&b"\x15\x03\x03"[..]]), [(0, Progress::Done)]);
}

#[test]
fn every_cut_in_two_tells_the_same_and_no_byte_is_held_in_vain() {
    for (side, text) in [TLS13, TLS12, RETRY]
        .iter()
        .flat_map(|[client, server]| [(Side::Client, *client), (Side::Server, *server)])
    {
        let whole = read(side, [text]);
        for cut in 0..text.len() {
            let (head, tail) = text.split_at(cut);
            assert_eq!(read(side, [head, tail]), whole);
        }
    }
}

proptest! {
    #[test]
    fn records_and_pieces_of_any_length_tell_the_same_hello(record in 1..400_usize, piece in 1..90_usize) {
        let text = rerecorded(TLS13[0], record);
        let told = read(Side::Client, text.chunks(piece));
        prop_assert_eq!(&told[0].1, &Progress::Client(Box::new(client(TLS13[0]))));
    }

    #[test]
    fn a_spoiled_hello_tells_the_same_for_every_cut(
        at in 0..TLS13[0].len(),
        byte in any::<u8>(),
        piece in 1..60_usize,
    ) {
        let mut text = TLS13[0].to_vec();
        text[at] = byte;
        let (cut, whole) = (read(Side::Client, text.chunks(piece)), read(Side::Client, [&text[..]]));
        // What is malformed as a whole is so from its beginning, wherever that was seen.
        let what = |told: Vec<(usize, Progress)>| told.into_iter().map(|(_, what)| what).collect::<Vec<_>>();
        prop_assert_eq!(what(cut), what(whole));
    }
}
