use super::{Shape, Wrong};

/// A chunk's line may be this long, extensions included; no sender of chunks comes near.
const LINE_BYTES_MAX: usize = 4096;

/// Hexadecimal digits of a chunk's size: 60 bits, more than any stream holds.
const DIGITS_MAX: usize = 15;

/// Where in a chunked body the next byte is (RFC 9112 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the first digit of a size.
    Start,
    /// Among the digits.
    Size,
    /// In the blanks behind the size, which some senders put there.
    Blank,
    /// In the extensions, which nobody reads.
    Extension,
    /// At the LF of the line with the size.
    LineFeed,
    Data,
    /// At the CR, or the LF, behind the data.
    DataCr,
    DataLf,
    /// At the beginning of a line of the trailer, in it, at its LF; at the last LF of all.
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
    Done,
}

/// The framing of a chunked body, byte by byte: it may be cut anywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunks {
    at: At,
    size: u64,
    digits: usize,
    /// Bytes of the line, or of the whole trailer, so far.
    line: usize,
    trailer_bytes_max: usize,
}

/// What `framing` has passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Framing {
    pub(crate) len: usize,
    /// Where the digits of the next chunk's size are, if the line with them is here as a whole.
    pub(crate) digits: Option<(usize, usize)>,
    /// Behind the line that announced the last, empty chunk, if that ends here.
    pub(crate) trailer: Option<usize>,
    /// Something ambiguous in it.
    pub(crate) shape: Option<Shape>,
}

impl Chunks {
    pub(super) const fn new(trailer_bytes_max: usize) -> Self {
        Self { at: At::Start, size: 0, digits: 0, line: 0, trailer_bytes_max }
    }

    /// Bytes of data that come next; 0 if framing does.
    pub(super) const fn data(&self) -> u64 {
        if matches!(self.at, At::Data) { self.size } else { 0 }
    }

    /// Passes over bytes of data: no more than [`Self::data`] says.
    pub(super) const fn pass(&mut self, len: u64) {
        self.size = self.size.saturating_sub(len);
        if self.size == 0 {
            self.at = At::DataCr;
        }
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self.at, At::Done)
    }

    /// Passes over the framing that `bytes` begin with, up to the next byte of data or the end.
    pub(super) fn framing(&mut self, bytes: &[u8]) -> Result<Framing, Wrong> {
        let mut found = Framing::default();
        let mut start = None;
        for (index, byte) in bytes.iter().enumerate() {
            if self.at == At::Start {
                start = Some(index);
            }
            let was = self.at;
            if self.byte(*byte)? {
                found.shape = Some(Shape("a line of a chunked body that ends in LF alone"));
            }
            found.len = index + 1;
            if was != At::TrailerStart && self.at == At::TrailerStart && found.trailer.is_none() {
                let from_size = !matches!(was, At::Trailer | At::TrailerLf);
                found.trailer = from_size.then_some(index + 1);
            }
            match self.at {
                At::Data => {
                    found.digits = start.map(|start| (start, self.digits));
                    break;
                }
                At::Done => break,
                _ => {}
            }
        }
        Ok(found)
    }

    /// Takes in one byte of framing; whether it is an LF that no CR precedes.
    fn byte(&mut self, byte: u8) -> Result<bool, Wrong> {
        let size = Wrong("invalid http chunk size");
        self.line += 1;
        match (self.at, byte) {
            (At::Start, digit) => {
                self.size = hex(digit).ok_or(size)?;
                (self.at, self.digits, self.line) = (At::Size, 1, 1);
            }
            (At::Size, digit) if hex(digit).is_some() => {
                self.digits += 1;
                if self.digits > DIGITS_MAX {
                    return Err(size);
                }
                self.size = self.size << 4 | hex(digit).unwrap_or_default();
            }
            (At::Size | At::Blank, b' ' | b'\t') => self.at = At::Blank,
            (At::Size | At::Blank, b';') => self.at = At::Extension,
            (At::Size | At::Blank | At::Extension, b'\r') => self.at = At::LineFeed,
            (At::LineFeed, b'\n') => self.line_end(),
            (At::Size | At::Blank | At::Extension, b'\n') => {
                self.line_end();
                return Ok(true);
            }
            (At::Extension, other) if is_text(other) => {}
            (At::DataCr, b'\r') => self.at = At::DataLf,
            (At::DataLf, b'\n') => self.at = At::Start,
            (At::DataCr, b'\n') => {
                self.at = At::Start;
                return Ok(true);
            }
            _ => return self.trailer(byte),
        }
        if self.line > LINE_BYTES_MAX {
            return Err(size);
        }
        Ok(false)
    }

    fn line_end(&mut self) {
        self.at = if self.size == 0 { At::TrailerStart } else { At::Data };
        self.line = 0;
    }

    fn trailer(&mut self, byte: u8) -> Result<bool, Wrong> {
        if self.line > self.trailer_bytes_max {
            return Err(Wrong("invalid http trailer"));
        }
        let mut is_bare = false;
        self.at = match (self.at, byte) {
            (At::TrailerStart, b'\r') => At::LastLf,
            (At::TrailerStart, b'\n') => {
                is_bare = true;
                At::Done
            }
            (At::LastLf, b'\n') => At::Done,
            (At::TrailerLf, b'\n') => At::TrailerStart,
            (At::Trailer, b'\n') => {
                is_bare = true;
                At::TrailerStart
            }
            (At::Trailer, b'\r') => At::TrailerLf,
            // A folded line would belong to the one before.
            (At::TrailerStart, other)
                if is_text(other) && !matches!(other, b' ' | b'\t' | b':') =>
            {
                At::Trailer
            }
            (At::Trailer, other) if is_text(other) => At::Trailer,
            (At::TrailerStart | At::Trailer | At::TrailerLf | At::LastLf, _) => {
                return Err(Wrong("invalid http trailer"));
            }
            _ => return Err(Wrong("invalid http chunk")),
        };
        Ok(is_bare)
    }
}

/// A byte that may stand in a line: anything but control characters; the tab is none.
const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

fn hex(digit: u8) -> Option<u64> {
    char::from(digit).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of a body that is shown in pieces of `step` bytes, and whether a shape was seen.
    fn read(body: &[u8], step: usize) -> Result<(Vec<u8>, bool, bool), Wrong> {
        let mut chunks = Chunks::new(64);
        let (mut data, mut shape) = (Vec::new(), false);
        for mut piece in body.chunks(step) {
            while !piece.is_empty() && !chunks.is_done() {
                let len = usize::try_from(chunks.data()).unwrap().min(piece.len());
                if len > 0 {
                    data.extend(&piece[..len]);
                    chunks.pass(len as u64);
                    piece = &piece[len..];
                } else {
                    let framing = chunks.framing(piece)?;
                    shape |= framing.shape.is_some();
                    piece = &piece[framing.len..];
                }
            }
        }
        Ok((data, shape, chunks.is_done()))
    }

    #[test]
    fn every_cut_of_a_body_gives_the_same_data() {
        let body =
            b"4\r\nWiki\r\n000A;name=\"v\" ; x\r\n0123456789\r\n1 \r\n.\r\n0;last\r\nA: b\r\n\r\n";
        for step in 1..body.len() {
            assert_eq!(read(body, step), Ok((b"Wiki0123456789.".to_vec(), false, true)), "{step}");
        }
    }

    #[test]
    fn what_is_no_framing_is_refused_and_bare_line_ends_are_told() {
        for body in [
            &b"g\r\n"[..],
            b"\r\n",
            b" 5\r\n",
            b"+5\r\n",
            b"0x5\r\n",
            b"5x\r\n",
            b"5\rx",
            b"5 5\r\n",
            b"1000000000000000\r\n",
            b"1\r\nxy\r\n",
            b"1\r\nx\rx",
            b"0\r\n folded\r\n\r\n",
            b"0\r\n\r\r",
            b"0\r\nA\x00: b\r\n\r\n",
            b"5;\x00\r\n",
            b"-1\r\n",
            b"0\r\n: x\r\n\r\n",
        ] {
            assert!(read(body, 1).is_err(), "{:?}", String::from_utf8_lossy(body));
            assert!(read(body, 99).is_err(), "{:?}", String::from_utf8_lossy(body));
        }
        for body in [
            &b"1\nx\r\n0\r\n\r\n"[..],
            b"1\r\nx\n0\r\n\r\n",
            b"1\r\nx\r\n0\n\r\n",
            b"1\r\nx\r\n0\r\n\n",
            b"1\r\nx\r\n0\r\nA: b\n\r\n",
            b"1;e\nx\r\n0\r\n\r\n",
        ] {
            assert_eq!(read(body, 3), Ok((b"x".to_vec(), true, true)));
        }
    }

    #[test]
    fn lines_and_trailers_are_bounded() {
        let long = [&b"1;"[..], &[b'x'; LINE_BYTES_MAX]].concat();
        assert_eq!(read(&long, 100), Err(Wrong("invalid http chunk size")));
        let long = [&b"0\r\n"[..], &b"A: b\r\n".repeat(11)].concat();
        assert_eq!(read(&long, 100), Err(Wrong("invalid http trailer")));
    }

    #[test]
    fn the_place_of_the_digits_and_of_the_trailer_is_told() {
        let mut chunks = Chunks::new(64);
        let first = chunks.framing(b"01f;x\r\n").unwrap();
        assert_eq!((first.len, first.digits, first.trailer), (7, Some((0, 3)), None));
        chunks.pass(0x1f);
        let next = chunks.framing(b"\r\n2\r\nab").unwrap();
        assert_eq!((next.len, next.digits), (5, Some((2, 1))));
        chunks.pass(2);
        // A line that is cut: its first digits have gone.
        assert_eq!(chunks.framing(b"\r\n1").unwrap().len, 3);
        assert_eq!(chunks.framing(b"0\r\n").unwrap().digits, None);
        chunks.pass(16);
        let last = chunks.framing(b"\r\n0\r\nA: b\r\n\r\nGET").unwrap();
        assert_eq!((last.len, last.trailer), (13, Some(5)));
        assert!(chunks.is_done());
    }
}
