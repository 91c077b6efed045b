use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

/// Which of the two a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
}

/// A head as it came, where everything is in it, and what a rule has changed.
#[derive(Debug, Default)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    is_response: bool,
    /// Method, target and version; or version, status and reason.
    start: [Span; 3],
    pub(super) fields: Vec<Field>,
    /// Where the empty line begins.
    pub(super) blank: usize,
    /// What a rule has changed but for fields that are there, once there is something.
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    start: [Option<Vec<u8>>; 3],
    /// Name and value of fields that come behind the others.
    added: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A line, which begins with its name. Kept small: there are many, of requests that wait.
#[derive(Debug)]
pub(super) struct Field {
    name: Span,
    value: Span,
    /// Behind its line end.
    end: u32,
    change: Option<Box<Change>>,
}

impl Field {
    pub(super) fn new(name: Range<usize>, value: Range<usize>, end: usize) -> Self {
        Self { name: Span::new(name), value: Span::new(value), end: small(end), change: None }
    }

    fn line(&self) -> Range<usize> {
        self.name.range().start..self.end as usize
    }
}

/// A range within a head, none of which is longer than [`HEAD_BYTES_MOST`].
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    end: u32,
}

/// Heads are no longer, whatever was configured.
pub(super) const HEAD_BYTES_MOST: usize = u32::MAX as usize;

impl Span {
    fn new(range: Range<usize>) -> Self {
        Self { start: small(range.start), end: small(range.end) }
    }

    const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

fn small(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

#[derive(Debug)]
pub(super) enum Change {
    Value(Vec<u8>),
    Removed,
}

/// A part of the first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Method,
    Uri,
    /// `HTTP/1.1`.
    Version,
    Status,
    Reason,
}

/// A change to the bytes of a head: `out` bytes at `at` give way to `text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Splice {
    pub(crate) at: usize,
    pub(crate) out: usize,
    pub(crate) text: Vec<u8>,
}

/// Heads that are over, whose memory the next ones take: the last first, for it is at hand. Conversations share them, so that
/// those without a request have none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spares(Rc<RefCell<Vec<Head>>>);

impl Spares {
    pub(super) fn take(&self) -> Head {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn give(&self, head: Head) {
        let mut heads = self.0.borrow_mut();
        if heads.len() < SPARES_MAX && head.bytes.capacity() <= SPARE_BYTES_MAX {
            heads.push(head);
        }
    }
}

/// Guesses: what a worker's connections have under way at once, and longer than nearly all heads are.
const SPARES_MAX: usize = 1024;
const SPARE_BYTES_MAX: usize = 4 << 10;

impl Head {
    /// Takes in the bytes of another head; nothing is known of them yet.
    pub(super) fn begin(&mut self, kind: Kind, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.is_response = kind == Kind::Response;
        self.fields.clear();
        self.more = None;
    }

    /// Where the parts of the first line are.
    pub(super) fn set_start(&mut self, parts: [Range<usize>; 3]) {
        self.start = parts.map(Span::new);
    }

    fn added(&self) -> &[(Vec<u8>, Vec<u8>)] {
        self.more.as_ref().map_or(&[], |more| &more.added)
    }

    /// Bytes that it occupies.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    const fn index(&self, part: Part) -> Option<usize> {
        match (part, self.is_response) {
            (Part::Method, false) | (Part::Version, true) => Some(0),
            (Part::Uri, false) | (Part::Status, true) => Some(1),
            (Part::Version, false) | (Part::Reason, true) => Some(2),
            _ => None,
        }
    }

    /// A part of the first line as it is now; empty if this kind of message has none such.
    pub(crate) fn part(&self, part: Part) -> &[u8] {
        let Some(index) = self.index(part) else { return b"" };
        let new = self.more.as_ref().and_then(|more| more.start.get(index)?.as_deref());
        new.or_else(|| self.start.get(index).map(|span| self.slice(&span.range()))).unwrap_or(b"")
    }

    /// Changes a part of the first line; `Err` with what is wrong with the value.
    pub(crate) fn set_part(&mut self, part: Part, value: &[u8]) -> Result<(), &'static str> {
        let is_good = match part {
            Part::Method => is_token(value),
            Part::Uri | Part::Version => {
                !value.is_empty() && value.iter().all(u8::is_ascii_graphic)
            }
            Part::Status => value.len() == 3 && value.iter().all(u8::is_ascii_digit),
            Part::Reason => is_field_value(value),
        };
        if !is_good {
            return Err("this cannot stand in the first line of a message");
        }
        let Some(index) = self.index(part) else { return Ok(()) };
        if let Some(change) = self.more.get_or_insert_default().start.get_mut(index) {
            *change = Some(value.to_vec());
        }
        Ok(())
    }

    /// The first value of the field `name`, whatever its case.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Names and values as they came.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let slice = |span: Span| self.slice(&span.range());
        self.fields.iter().map(move |field| (slice(field.name), slice(field.value)))
    }

    /// Names and values in the order of the wire.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let own = self.fields.iter().filter_map(|field| {
            let value = match field.change.as_deref() {
                Some(Change::Removed) => return None,
                Some(Change::Value(new)) => new,
                None => self.slice(&field.value.range()),
            };
            Some((self.slice(&field.name.range()), value))
        });
        own.chain(self.added().iter().map(|(name, value)| (&name[..], &value[..])))
    }

    /// Makes `value` the only one of the field `name`, where its first was or behind all others;
    /// `None` takes the field out. `Err` with what is wrong with name or value.
    pub(crate) fn set(&mut self, name: &[u8], value: Option<&[u8]>) -> Result<(), &'static str> {
        if !is_token(name) {
            return Err("this cannot be the name of a header");
        }
        if !value.is_none_or(is_field_value) {
            return Err("this cannot be the value of a header");
        }
        let mut value = value;
        let bytes = &self.bytes;
        for field in &mut self.fields {
            let own = bytes.get(field.name.range()).unwrap_or_default();
            let is_removed = matches!(field.change.as_deref(), Some(Change::Removed));
            if is_removed || !own.eq_ignore_ascii_case(name) {
                continue;
            }
            field.change = Some(Box::new(match value.take() {
                Some(value) => Change::Value(value.to_vec()),
                None => Change::Removed,
            }));
        }
        if let Some(more) = &mut self.more {
            more.added.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        }
        if let Some(value) = value {
            let more = self.more.get_or_insert_default();
            more.added.push((name.to_vec(), value.to_vec()));
        }
        Ok(())
    }

    /// Where the value of a `Content-Length` is that stands there once and as it came.
    pub(crate) fn length_field(&self) -> Option<Range<usize>> {
        let mut found = None;
        for field in &self.fields {
            if self.slice(&field.name.range()).eq_ignore_ascii_case(b"content-length") {
                if found.is_some() || field.change.is_some() {
                    return None;
                }
                found = Some(field.value.range());
            }
        }
        found.filter(|range| self.slice(range).iter().all(u8::is_ascii_digit))
    }

    /// What the changes do to the bytes, in order.
    pub(crate) fn splices(&self) -> Vec<Splice> {
        let mut splices = Vec::new();
        let changes = self.more.iter().flat_map(|more| &more.start);
        for (index, (span, change)) in self.start.iter().zip(changes).enumerate() {
            if let Some(text) = change {
                let (mut text, range) = (text.clone(), span.range());
                // Of a response without a reason the blank before it may be missing as well.
                if index == 2 && self.is_response && span.start == self.start[1].end {
                    text.insert(0, b' ');
                }
                splices.push(Splice { at: range.start, out: range.len(), text });
            }
        }
        for field in &self.fields {
            match field.change.as_deref() {
                None => {}
                Some(Change::Removed) => splices.push(Splice {
                    at: field.line().start,
                    out: field.line().len(),
                    text: Vec::new(),
                }),
                Some(Change::Value(text)) => splices.push(Splice {
                    at: field.value.range().start,
                    out: field.value.range().len(),
                    text: text.clone(),
                }),
            }
        }
        if !self.added().is_empty() {
            let mut text = Vec::new();
            for (name, value) in self.added() {
                text.extend([name, &b": "[..], value, b"\r\n"].concat());
            }
            splices.push(Splice { at: self.blank, out: 0, text });
        }
        splices
    }
}

/// A token (RFC 9110 section 5.6.2).
fn is_token(text: &[u8]) -> bool {
    let is_mark = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

/// No line end and no other control character: a value must not become two headers.
fn is_field_value(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
}
