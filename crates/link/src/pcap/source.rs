//! The bytes of a capture, compressed or not.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

pub(super) type Source = Box<dyn Read>;

/// Bytes needed to tell the formats apart, and to know how long the first block of a pcapng is.
const PEEK_LEN: usize = 12;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The first bytes of a capture, and all of it.
pub(super) fn open(path: &Path) -> io::Result<(Vec<u8>, Source)> {
    let (head, source) = peek(Box::new(BufReader::new(File::open(path)?)))?;
    if head.starts_with(&GZIP) {
        peek(Box::new(MultiGzDecoder::new(source)))
    } else {
        Ok((head, source))
    }
}

/// The first bytes of a stream, and a stream that still begins with them.
fn peek(mut source: Source) -> io::Result<(Vec<u8>, Source)> {
    let mut head = Vec::with_capacity(PEEK_LEN);
    source.by_ref().take(PEEK_LEN as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Box::new(Cursor::new(head).chain(source))))
}
