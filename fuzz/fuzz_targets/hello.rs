//! Hellos of both sides, of an attacker's choice, cut by their first byte: every cut tells the same as
//! the whole, and what is told can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_inspect::tls::{HelloReader, Progress, Side};

fuzz_target!(|bytes: &[u8]| {
    let [len, bytes @ ..] = bytes else { return };
    for side in [Side::Client, Side::Server] {
        let whole = read(side, [bytes]);
        assert_eq!(read(side, bytes.chunks(usize::from(*len) + 1)), whole);
        for told in whole {
            if let Progress::Client(hello) = told {
                assert_eq!(hello.ja4().len(), 36);
                let _ = hello.version();
            }
        }
    }
});

fn read<'a>(side: Side, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Progress> {
    let (mut reader, mut told) = (HelloReader::new(side), Vec::new());
    for mut piece in pieces {
        loop {
            let (taken, progress) = reader.feed(piece);
            piece = &piece[taken..];
            match progress {
                Progress::More => break,
                Progress::Done | Progress::Malformed(_) => {
                    told.push(progress);
                    return told;
                }
                hello => told.push(hello),
            }
            assert!(told.len() <= 2, "a side says hello twice at most");
        }
    }
    told
}
