use std::mem::MaybeUninit;
use std::ops::Range;

use httparse::{Header, ParserConfig, Request, Response, Status};
use memchr::{memchr, memchr2};

use super::head::{Field, HEAD_BYTES_MOST, Head, Kind};
use super::{Shape, Wrong};

/// Lines of a head; more is no browser's.
pub(super) const FIELDS_MAX: usize = 256;

/// Below this every arrival is parsed anew, so that nonsense is refused at once; above it, where that
/// would cost too much, only when the empty line has come.
const EAGER_BYTES: usize = 1024;

/// What heads are bounded by, and how strictly they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of a head, and of a trailer.
    pub(crate) head_bytes_max: usize,
    /// Whether responses may have what RFC 9112 lets a client repair: folded lines, and blanks before
    /// the colon. They are told as a [`Shape`] all the same.
    pub(crate) is_lenient: bool,
}

/// What the beginning of `bytes` is.
#[derive(Debug)]
pub(super) enum Parsed {
    /// `head` holds it now.
    Head(Option<Shape>),
    /// There is more to come.
    Partial,
}

/// Parses the head of a message into `head`. The first `tried` of the bytes were found incomplete
/// before.
pub(super) fn parse(
    kind: Kind,
    bytes: &[u8],
    tried: usize,
    limits: Limits,
    head: &mut Head,
) -> Result<Parsed, Wrong> {
    let too_long = match kind {
        Kind::Request => Wrong("invalid http request: its head is too long"),
        Kind::Response => Wrong("invalid http response: its head is too long"),
    };
    // An empty line may straddle what was tried.
    let new = bytes.get(tried.saturating_sub(3)..).unwrap_or_default();
    if tried >= EAGER_BYTES && !has_empty_line(new) {
        return if bytes.len() > limits.head_bytes_max {
            Err(too_long)
        } else {
            Ok(Parsed::Partial)
        };
    }
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let found = match kind {
        Kind::Request => request(bytes, &mut fields),
        Kind::Response => response(bytes, limits, &mut fields),
    };
    match found.map_err(|error| wrong(kind, error))? {
        Some((len, _)) if len > limits.head_bytes_max.min(HEAD_BYTES_MOST) => Err(too_long),
        None if bytes.len() > limits.head_bytes_max => Err(too_long),
        None => Ok(Parsed::Partial),
        Some((len, fields)) => {
            let bytes = bytes.get(..len).unwrap_or_default();
            Ok(Parsed::Head(take(kind, bytes, fields, head)))
        }
    }
}

/// The head of a response that is there as a whole and about which nothing is special.
pub(super) struct PlainResponse<'h, 'b> {
    pub(super) len: usize,
    pub(super) status: u16,
    pub(super) is_old: bool,
    pub(super) fields: &'h [Header<'b>],
}

/// Finds the head of a response that `bytes` begin with, unless something about how it is written is special: no more
/// than what [`parse`] finds, at less cost.
pub(super) fn plain_response<'h, 'b>(
    bytes: &'b [u8],
    limits: Limits,
    room: &'h mut [MaybeUninit<Header<'b>>; FIELDS_MAX],
) -> Option<PlainResponse<'h, 'b>> {
    let mut response = Response::new(&mut []);
    let config = ParserConfig::default();
    let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, room);
    let Ok(Status::Complete(len)) = parsed else { return None };
    let head = bytes.get(..len).filter(|_| len <= limits.head_bytes_max)?;
    let first_line_ends = memchr(b'\n', head)?;
    let is_plain = !matches!(head, [b'\r' | b'\n', ..])
        && head.get(first_line_ends.wrapping_sub(1)) == Some(&b'\r')
        && head.ends_with(b"\r\n\r\n")
        && response.headers.iter().all(|field| ends_plainly(head, field));
    if !is_plain {
        return None;
    }
    let is_old = response.version == Some(0);
    Some(PlainResponse { len, status: response.code?, is_old, fields: response.headers })
}

/// Whether the line of `field` ends in CR LF, just behind what it says.
fn ends_plainly(head: &[u8], field: &Header<'_>) -> bool {
    let base = head.as_ptr().addr();
    let end = if field.value.is_empty() {
        empty_value(head, field.name.as_ptr().addr() - base + field.name.len()).end
    } else {
        field.value.as_ptr().addr() - base + field.value.len()
    };
    matches!(head.get(end..), Some([b'\r', b'\n', ..]))
}

type Found<'h, 'b> = Result<Option<(usize, &'h [Header<'b>])>, httparse::Error>;

fn request<'h, 'b>(bytes: &'b [u8], fields: &'h mut [MaybeUninit<Header<'b>>]) -> Found<'h, 'b> {
    let mut request = Request::new(&mut []);
    let config = ParserConfig::default();
    let status = config.parse_request_with_uninit_headers(&mut request, bytes, fields)?;
    Ok(match status {
        Status::Complete(len) => Some((len, request.headers)),
        Status::Partial => None,
    })
}

fn response<'h, 'b>(
    bytes: &'b [u8],
    limits: Limits,
    fields: &'h mut [MaybeUninit<Header<'b>>],
) -> Found<'h, 'b> {
    let mut response = Response::new(&mut []);
    let mut config = ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(limits.is_lenient)
        .allow_obsolete_multiline_headers_in_responses(limits.is_lenient);
    let status = config.parse_response_with_uninit_headers(&mut response, bytes, fields)?;
    Ok(match status {
        Status::Complete(len) => Some((len, response.headers)),
        Status::Partial => None,
    })
}

fn wrong(kind: Kind, error: httparse::Error) -> Wrong {
    use httparse::Error;
    Wrong(match (error, kind) {
        (Error::HeaderName | Error::HeaderValue, _) => "invalid http header",
        (Error::TooManyHeaders, _) => "invalid http header: too many of them",
        (_, Kind::Request) => "invalid http request",
        (_, Kind::Response) => "invalid http response",
    })
}

fn has_empty_line(bytes: &[u8]) -> bool {
    let mut lines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    lines.any(|(at, _)| matches!(bytes.get(at + 1..), Some([b'\n', ..] | [b'\r', b'\n', ..])))
}

/// Notes where everything is, and what is ambiguous in how it is written.
fn take(kind: Kind, bytes: &[u8], fields: &[Header<'_>], head: &mut Head) -> Option<Shape> {
    head.begin(kind, bytes);
    let empty_lines = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let (before, rest) = bytes.split_at(empty_lines);
    let mut is_bare = before.iter().filter(|byte| **byte == b'\n').count() * 2 != before.len();
    let mut shape = None;
    let start = start_line(rest, empty_lines);
    let mut next = line_end(bytes, start[2].end, &mut is_bare);
    head.set_start(start);
    let base = bytes.as_ptr().addr();
    for field in fields {
        let name = field.name.as_ptr().addr() - base;
        let name = name..name + field.name.len();
        let value = if field.value.is_empty() {
            empty_value(bytes, name.end)
        } else {
            let start = field.value.as_ptr().addr() - base;
            start..start + field.value.len()
        };
        next = line_end(bytes, value.end, &mut is_bare);
        if bytes.get(name.end) != Some(&b':') {
            shape = Some(Shape("a blank between a header's name and its colon"));
        } else if kind == Kind::Response && memchr(b'\n', field.value).is_some() {
            shape = Some(Shape("a header that goes on in the next line"));
        }
        head.fields.push(Field::new(name, value, next));
    }
    head.blank = next;
    line_end(bytes, next, &mut is_bare);
    if is_bare { Some(Shape("a line of a head that ends in LF alone")) } else { shape }
}

/// Behind the LF that ends the line at `from`.
fn line_end(bytes: &[u8], from: usize, is_bare: &mut bool) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    if let [b'\r', b'\n', ..] = rest {
        return from + 2;
    }
    let feed = from + memchr(b'\n', rest).unwrap_or(rest.len());
    *is_bare |= feed == 0 || bytes.get(feed - 1) != Some(&b'\r');
    (feed + 1).min(bytes.len())
}

/// The three parts of the first line, which `rest` begins with and which is at `from`.
fn start_line(rest: &[u8], from: usize) -> [Range<usize>; 3] {
    let end = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
    let line = rest.get(..end).unwrap_or_default();
    let space = |from: usize| {
        let rest = line.get(from..).unwrap_or_default();
        from + memchr(b' ', rest).unwrap_or(rest.len())
    };
    let one = space(0);
    let two_from = (one + 1).min(line.len());
    let two = space(two_from);
    let three_from = (two + 1).min(line.len());
    let place = |range: Range<usize>| from + range.start..from + range.end;
    [place(0..one), place(two_from..two), place(three_from..line.len())]
}

/// Where the value of a field without one would be: behind the colon and a blank.
fn empty_value(bytes: &[u8], name_end: usize) -> Range<usize> {
    let rest = bytes.get(name_end..).unwrap_or_default();
    let colon = rest.iter().position(|byte| *byte == b':').unwrap_or_default();
    let blanks = rest.iter().skip(colon + 1).take_while(|byte| matches!(byte, b' ' | b'\t'));
    let at = name_end + colon + 1 + blanks.count();
    at..at
}
