mod quiet;

pub(crate) use quiet::Plain;

use std::collections::VecDeque;

use tollgate_wire::{Direction, PerDirection};

use super::chunk::{Chunks, Framing};
use super::claims::{Body, claims, request_body, response_body};
use super::head::{Head, Kind, Part, Spares};
use super::parse::{self, Limits, Parsed};
use super::{Shape, Wrong};

/// Requests that wait for their responses. Browsers send one at a time, tools some dozens.
const WAITING_MAX: usize = 256;

/// Bytes of the heads of requests that wait.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// What the next bytes of a direction are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) what: What,
    /// How many bytes it is.
    pub(crate) len: usize,
    /// Whether the message ends with it.
    pub(crate) ends: bool,
}

impl Step {
    /// What is ambiguous in it.
    pub(crate) const fn shape(&self) -> Option<Shape> {
        match self.what {
            What::Head { shape, .. } => shape,
            What::Framing(framing) => framing.shape,
            What::More | What::Body | What::Raw => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A part of a head: all that is there belongs to it, and more must come.
    More,
    /// A head as a whole; whether bytes of a body may follow.
    Head { shape: Option<Shape>, body: Body },
    /// Bytes of a body.
    Body,
    /// Bytes around those of a body.
    Framing(Framing),
    /// Bytes of no message: another protocol has taken over.
    Raw,
}

/// What the end of a direction means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing was under way, or a message was cut off in its body.
    Quietly,
    /// It is the end of a body.
    Message,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// Before or in a head; how many of its bytes were tried already.
    Head {
        tried: usize,
    },
    Length(u64),
    Chunks(Chunks),
    Close,
    /// Behind a CONNECT whose answer decides what follows.
    Connect,
    Raw,
}

/// A request whose response has not ended.
#[derive(Debug)]
struct Asked {
    head: Head,
    is_head: bool,
    is_connect: bool,
    offers_upgrade: bool,
}

impl Asked {
    fn new(head: Head, offers_upgrade: bool) -> Self {
        let mut asked = Self { head, is_head: false, is_connect: false, offers_upgrade };
        asked.look_at_method();
        asked
    }

    fn look_at_method(&mut self) {
        let method = self.head.part(Part::Method);
        self.is_head = method == b"HEAD";
        self.is_connect = method == b"CONNECT";
    }

    /// What of the request, as it is sent on after a change, says how to read the response.
    fn look(&mut self) {
        self.look_at_method();
        self.offers_upgrade = self.head.get(b"upgrade").is_some();
    }
}

/// Both directions of a connection that speaks HTTP.
#[derive(Debug)]
pub(crate) struct Conversation {
    at: PerDirection<At>,
    limits: Limits,
    asked: VecDeque<Asked>,
    asked_bytes: usize,
    /// Number of the first request in `asked`; requests count from 1.
    first: u64,
    response: Head,
    /// Whether the response that is under way is the last to its request.
    is_final: bool,
    spares: Spares,
    /// Bytes that were taken in without the dissector being told.
    ahead: PerDirection<u64>,
}

impl Conversation {
    /// `spares` may be those of other conversations, too.
    pub(crate) fn new(limits: Limits, spares: Spares) -> Self {
        let start = At::Head { tried: 0 };
        Self {
            at: PerDirection { to_server: start, to_client: start },
            limits,
            asked: VecDeque::new(),
            asked_bytes: 0,
            first: 1,
            response: Head::default(),
            is_final: false,
            spares,
            ahead: PerDirection::default(),
        }
    }

    /// What `bytes`, which are not empty and come next, begin with.
    pub(crate) fn step(&mut self, direction: Direction, bytes: &[u8]) -> Result<Step, Wrong> {
        let there = bytes.len() as u64;
        match self.at[direction] {
            At::Head { tried } => match direction {
                Direction::ToServer => self.request(bytes, tried),
                Direction::ToClient => self.response(bytes, tried),
            },
            At::Length(left) => {
                let len = left.min(there);
                self.pass(direction, len);
                Ok(Step { what: What::Body, len: narrow(len, bytes), ends: len == left })
            }
            At::Chunks(chunks) if chunks.data() > 0 => {
                let len = chunks.data().min(there);
                self.pass(direction, len);
                Ok(Step { what: What::Body, len: narrow(len, bytes), ends: false })
            }
            At::Chunks(mut chunks) => {
                let framing = chunks.framing(bytes)?;
                self.at[direction] = At::Chunks(chunks);
                let ends = chunks.is_done();
                if ends {
                    self.message_ends(direction);
                }
                Ok(Step { what: What::Framing(framing), len: framing.len, ends })
            }
            At::Close => Ok(Step { what: What::Body, len: bytes.len(), ends: false }),
            At::Connect => Err(Wrong("http: unexpected data from client")),
            At::Raw => Ok(Step { what: What::Raw, len: bytes.len(), ends: false }),
        }
    }

    /// How many of the next bytes need not be looked at: they belong to a body, or to no message.
    pub(crate) const fn skippable(&self, direction: Direction) -> u64 {
        let at = match direction {
            Direction::ToServer => &self.at.to_server,
            Direction::ToClient => &self.at.to_client,
        };
        match at {
            At::Length(left) => *left,
            At::Chunks(chunks) => chunks.data(),
            At::Close | At::Raw => u64::MAX,
            At::Head { .. } | At::Connect => 0,
        }
    }

    /// Passes over `len` bytes that were not shown; whether that many are [skippable](Self::skippable).
    pub(crate) fn pass(&mut self, direction: Direction, len: u64) -> bool {
        if len > self.skippable(direction) {
            return false;
        }
        match &mut self.at[direction] {
            At::Length(left) => {
                *left -= len;
                if *left == 0 {
                    self.message_ends(direction);
                }
            }
            At::Chunks(chunks) => chunks.pass(len),
            At::Close | At::Raw | At::Head { .. } | At::Connect => {}
        }
        true
    }

    /// The same; also whether a message has ended with them.
    pub(crate) fn pass_unseen(&mut self, direction: Direction, len: u64) -> (bool, bool) {
        let was_within = matches!(self.at[direction], At::Length(_));
        let could_pass = self.pass(direction, len);
        (could_pass, was_within && !matches!(self.at[direction], At::Length(_)))
    }

    /// The direction has ended; `held` bytes of a head that was never completed are before its end.
    pub(crate) fn end(&mut self, direction: Direction, held: &[u8]) -> Result<Ended, Wrong> {
        let is_blank = held.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        match (self.at[direction], direction) {
            (At::Close, _) => {
                self.message_ends(direction);
                Ok(Ended::Message)
            }
            (At::Head { .. }, Direction::ToServer) if !is_blank => {
                Err(Wrong("invalid http request: it ends in its head"))
            }
            (At::Head { .. }, Direction::ToClient) if !is_blank => {
                Err(Wrong("invalid http response: it ends in its head"))
            }
            _ => Ok(Ended::Quietly),
        }
    }

    /// From here on nothing of the connection is read as HTTP.
    pub(crate) fn give_up(&mut self) {
        self.at = PerDirection { to_server: At::Raw, to_client: At::Raw };
    }

    /// The number of the request that was read last.
    pub(crate) fn last_request(&self) -> u64 {
        self.first + (self.asked.len() as u64).saturating_sub(1)
    }

    /// The number of the request that the response under way answers.
    pub(crate) const fn answered(&self) -> u64 {
        self.first
    }

    /// A message's head: of the request with that number, or of the response under way for 0.
    pub(crate) fn head(&self, number: u64) -> Option<&Head> {
        if number == 0 {
            return Some(&self.response);
        }
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.asked.get(index).map(|asked| &asked.head)
    }

    pub(crate) fn head_mut(&mut self, number: u64) -> Option<&mut Head> {
        if number == 0 {
            return Some(&mut self.response);
        }
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.asked.get_mut(index).map(|asked| &mut asked.head)
    }

    /// A request was changed: what the server gets decides how it answers.
    pub(crate) fn changed(&mut self, number: u64) {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(asked) = index.and_then(|index| self.asked.get_mut(index)) {
            asked.look();
        }
    }

    fn request(&mut self, bytes: &[u8], tried: usize) -> Result<Step, Wrong> {
        let mut head = self.spares.take();
        let shape = match parse::parse(Kind::Request, bytes, tried, self.limits, &mut head)? {
            Parsed::Partial => {
                self.spares.give(head);
                self.at.to_server = At::Head { tried: bytes.len() };
                return Ok(Step { what: What::More, len: bytes.len(), ends: false });
            }
            Parsed::Head(shape) => shape,
        };
        let len = head.len();
        let claims = claims(head.fields())?;
        let (body, framing_shape) = request_body(&head, &claims)?;
        let asked = Asked::new(head, claims.has_upgrade);
        let mut shape = shape.or(framing_shape);
        if !self.has_room(len) {
            return Err(Wrong("http: too many requests wait for a response"));
        }
        self.asked_bytes += len;
        if asked.is_connect && body != Body::None {
            shape = shape.or(Some(Shape("a CONNECT with a body")));
        }
        self.at.to_server = if asked.is_connect { At::Connect } else { self.start(body) };
        self.asked.push_back(asked);
        let body = if matches!(self.at.to_server, At::Connect) { Body::None } else { body };
        Ok(Step { what: What::Head { shape, body }, len, ends: body == Body::None })
    }

    fn response(&mut self, bytes: &[u8], tried: usize) -> Result<Step, Wrong> {
        let Some(asked) = self.asked.front() else {
            return Err(Wrong("http: unexpected data from server"));
        };
        let head = &mut self.response;
        let shape = match parse::parse(Kind::Response, bytes, tried, self.limits, head)? {
            Parsed::Partial => {
                self.at.to_client = At::Head { tried: bytes.len() };
                return Ok(Step { what: What::More, len: bytes.len(), ends: false });
            }
            Parsed::Head(shape) => shape,
        };
        let len = head.len();
        let status = head.part(Part::Status);
        let is_interim = status.starts_with(b"1") && status != b"101";
        self.is_final = !is_interim;
        let switches = (asked.is_connect && status.starts_with(b"2")) || status == b"101";
        if switches {
            if status == b"101" && !asked.offers_upgrade {
                return Err(Wrong("invalid http response: it switches the protocol unasked"));
            }
            self.switch()?;
            let what = What::Head { shape, body: Body::None };
            return Ok(Step { what, len, ends: true });
        }
        let is_bodiless = is_interim || asked.is_head || matches!(status, b"204" | b"304");
        let was_connect = asked.is_connect;
        let is_old = head.part(Part::Version) == b"HTTP/1.0";
        let (body, framing_shape) = response_body(&claims(head.fields())?, is_old, is_bodiless);
        if was_connect && !is_interim {
            // The tunnel was refused: requests may follow.
            self.at.to_server = At::Head { tried: 0 };
        }
        self.at.to_client = self.start(body);
        let ends = body == Body::None;
        Ok(Step { what: What::Head { shape: shape.or(framing_shape), body }, len, ends })
    }

    /// Whether a request with a head of `len` bytes may wait, too.
    fn has_room(&self, len: usize) -> bool {
        self.asked.is_empty()
            || (self.asked.len() < WAITING_MAX && self.asked_bytes + len <= WAITING_BYTES_MAX)
    }

    /// Another protocol takes over, in both directions. What the client has sent behind its request
    /// was read as HTTP, and the server will not.
    fn switch(&mut self) -> Result<(), Wrong> {
        let is_quiet = matches!(self.at.to_server, At::Head { tried: 0 } | At::Connect);
        if !is_quiet || self.asked.len() > 1 {
            return Err(Wrong("http: unexpected data from client"));
        }
        self.give_up();
        Ok(())
    }

    fn start(&self, body: Body) -> At {
        match body {
            Body::None | Body::Length(0) => At::Head { tried: 0 },
            Body::Length(len) => At::Length(len),
            Body::Chunked => At::Chunks(Chunks::new(self.limits.head_bytes_max)),
            Body::Close => At::Close,
        }
    }

    const fn message_ends(&mut self, direction: Direction) {
        match direction {
            Direction::ToServer => self.at.to_server = At::Head { tried: 0 },
            Direction::ToClient => self.at.to_client = At::Head { tried: 0 },
        }
    }

    /// The rules have seen the end of a response: its request waits no more, unless another is to
    /// follow. Whether that is so.
    pub(crate) fn response_done(&mut self) -> bool {
        if !self.is_final {
            return false;
        }
        if let Some(asked) = self.asked.pop_front() {
            self.first += 1;
            self.asked_bytes = self.asked_bytes.saturating_sub(asked.head.len());
            self.spares.give(asked.head);
            if self.asked.is_empty() {
                // The next one lies where this one did, which is at hand.
                self.asked.clear();
            }
        }
        true
    }
}

/// `len`, which is at most that of `bytes`.
fn narrow(len: u64, bytes: &[u8]) -> usize {
    usize::try_from(len).unwrap_or(bytes.len())
}
