//! What the fields of a head say about the body behind it.
use super::head::{Head, Part};
use super::{Shape, Wrong};

/// How the end of a body is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Length(u64),
    Chunked,
    /// It goes on until the connection ends.
    Close,
}

/// What the fields say about a body, and what else counts of them.
#[derive(Debug, Default)]
pub(super) struct Claims {
    length: Option<u64>,
    /// It is said more than once, each time the same.
    is_repeated: bool,
    has_coding: bool,
    /// `chunked` is the last coding, and stands there once.
    is_chunked: bool,
    hosts: usize,
    pub(super) has_upgrade: bool,
}

pub(super) fn claims<'a>(
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Claims, Wrong> {
    let mut claims = Claims::default();
    let mut chunked = 0;
    for (name, value) in fields {
        // Most names are none of these, which their length tells.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => claims.hosts += 1,
            7 if name.eq_ignore_ascii_case(b"upgrade") => claims.has_upgrade = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => claims.lengths(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                claims.has_coding = true;
                for coding in value.split(|byte| *byte == b',') {
                    claims.is_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
                    chunked += usize::from(claims.is_chunked);
                }
            }
            _ => {}
        }
    }
    claims.is_chunked &= chunked == 1;
    Ok(claims)
}

impl Claims {
    /// A list of one number over and over is that number for who does not refuse it (RFC 9110 section 8.6).
    fn lengths(&mut self, value: &[u8]) -> Result<(), Wrong> {
        let wrong = Wrong("invalid http header: Content-Length");
        for number in value.split(|byte| *byte == b',') {
            let number = number.trim_ascii();
            let digits = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(number).ok().filter(|_| digits);
            let length = text.and_then(|text| text.parse().ok()).ok_or(wrong)?;
            if self.length.is_some_and(|before| before != length) {
                return Err(wrong);
            }
            self.is_repeated |= self.length.is_some();
            self.length = Some(length);
        }
        Ok(())
    }

    fn shape(&self, is_old: bool) -> Option<Shape> {
        if self.has_coding && self.length.is_some() {
            Some(Shape("Content-Length beside Transfer-Encoding"))
        } else if self.has_coding && is_old {
            Some(Shape("Transfer-Encoding in HTTP/1.0"))
        } else if self.is_repeated {
            Some(Shape("more than one Content-Length"))
        } else {
            None
        }
    }
}

pub(super) fn request_body(head: &Head, claims: &Claims) -> Result<(Body, Option<Shape>), Wrong> {
    let body = match claims.length {
        _ if claims.is_chunked => Body::Chunked,
        // There is no telling where it ends (RFC 9112 section 6.3).
        _ if claims.has_coding => return Err(Wrong("invalid http header: Transfer-Encoding")),
        None | Some(0) => Body::None,
        Some(length) => Body::Length(length),
    };
    // Who routes by the first and who serves by the last differ (RFC 9112 section 3.2).
    let two = (claims.hosts > 1).then_some(Shape("more than one Host"));
    Ok((body, claims.shape(head.part(Part::Version) == b"HTTP/1.0").or(two)))
}

pub(super) fn response_body(
    claims: &Claims,
    is_old: bool,
    is_bodiless: bool,
) -> (Body, Option<Shape>) {
    let mut shape = claims.shape(is_old);
    let body = match claims.length {
        _ if is_bodiless => Body::None,
        _ if claims.is_chunked => Body::Chunked,
        _ if claims.has_coding => {
            shape = shape.or(Some(Shape("a Transfer-Encoding that does not end in chunked")));
            Body::Close
        }
        Some(0) => Body::None,
        Some(length) => Body::Length(length),
        None => Body::Close,
    };
    (body, shape)
}
