//! Messages about which nothing is special, and which no dissector in Lua need look at.
use std::mem::MaybeUninit;

use tollgate_wire::Direction;

use super::super::claims::{Body, Claims, claims, request_body, response_body};
use super::super::head::{Head, Kind};
use super::super::parse::{self, Limits, Parsed};
use super::{Asked, At, Conversation};

/// A request that `bytes` begin with: its head is there as a whole, and nothing is behind it but a part of its
/// body, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) number: u64,
    pub(crate) head_len: usize,
    pub(crate) has_body: bool,
}

impl Conversation {
    /// Whether the next bytes of a direction may be taken in here.
    pub(crate) const fn may_be_plain(&self, direction: Direction) -> bool {
        let at = match direction {
            Direction::ToServer => &self.at.to_server,
            Direction::ToClient => &self.at.to_client,
        };
        matches!(at, At::Length(_) | At::Head { tried: 0 })
    }

    /// Takes in the next bytes from the server, if they are a response whose body is of a known length, or a part of
    /// such a body, and no byte more; if not, nothing has changed.
    pub(crate) fn takes_in(&mut self, bytes: &[u8]) -> bool {
        let there = bytes.len() as u64;
        let left = match self.at.to_client {
            At::Length(left) => left,
            At::Head { tried: 0 } => match self.plain_response(bytes) {
                Some((head, body)) => head.saturating_add(body),
                None => return false,
            },
            _ => return false,
        };
        if there > left {
            return false;
        }
        if matches!(self.at.to_client, At::Head { .. }) {
            self.is_final = true;
        }
        self.at.to_client = At::Length(left - there);
        if there == left {
            self.message_ends(Direction::ToClient);
            self.response_done();
        }
        self.ahead.to_client += there;
        true
    }

    /// Takes in the next bytes from the client, if they belong to the body of a request; if not, nothing has changed.
    pub(crate) fn takes_in_body(&mut self, bytes: &[u8]) -> bool {
        let there = bytes.len() as u64;
        let is_body = matches!(self.at.to_server, At::Length(left) if there <= left);
        if is_body {
            self.pass(Direction::ToServer, there);
            self.ahead.to_server += there;
        }
        is_body
    }

    /// Takes in the head of the request that the next bytes from the client are, if there is nothing else in them but
    /// its body; if not, nothing has changed.
    pub(crate) fn plain_request(&mut self, bytes: &[u8]) -> Option<Plain> {
        if !matches!(self.at.to_server, At::Head { tried: 0 }) {
            return None;
        }
        let mut head = self.spares.take();
        let Some((body, claims)) = plain_request(bytes, self.limits, &mut head) else {
            self.spares.give(head);
            return None;
        };
        let head_len = head.len();
        let asked = Asked::new(head, claims.has_upgrade);
        if asked.is_connect || !self.has_room(head_len) {
            self.spares.give(asked.head);
            return None;
        }
        self.at.to_server = self.start(body);
        self.asked_bytes += head_len;
        self.asked.push_back(asked);
        Some(Plain { number: self.last_request(), head_len, has_body: body != Body::None })
    }

    /// The rules have let a plain request pass that was the beginning of `bytes`, and so all of these.
    pub(crate) fn request_passed(&mut self, plain: Plain, len: usize) {
        self.pass(Direction::ToServer, len.saturating_sub(plain.head_len) as u64);
        self.ahead.to_server += len as u64;
    }

    /// Whether there was a request.
    pub(crate) fn has_begun(&self) -> bool {
        self.first > 1 || !self.asked.is_empty()
    }

    /// How many bytes that was since it was asked last.
    pub(crate) fn ahead(&mut self, direction: Direction) -> u64 {
        std::mem::take(&mut self.ahead[direction])
    }

    /// How long head and body of the response are that `bytes` begin with, if nothing about it is special.
    fn plain_response(&self, bytes: &[u8]) -> Option<(u64, u64)> {
        let asked = self.asked.front()?;
        let mut room = [const { MaybeUninit::uninit() }; parse::FIELDS_MAX];
        let head = parse::plain_response(bytes, self.limits, &mut room)?;
        if asked.is_connect || head.status / 100 == 1 {
            return None;
        }
        let is_bodiless = asked.is_head || matches!(head.status, 204 | 304);
        let fields = head.fields.iter().map(|field| (field.name.as_bytes(), field.value));
        match response_body(&claims(fields).ok()?, head.is_old, is_bodiless) {
            (Body::None, None) => Some((head.len as u64, 0)),
            (Body::Length(len), None) => Some((head.len as u64, len)),
            _ => None,
        }
    }
}

/// What the request that `bytes` are and no more says about its body, if nothing about it is special.
fn plain_request(bytes: &[u8], limits: Limits, head: &mut Head) -> Option<(Body, Claims)> {
    let Ok(Parsed::Head(None)) = parse::parse(Kind::Request, bytes, 0, limits, head) else {
        return None;
    };
    let claims = claims(head.fields()).ok()?;
    let Ok((body, None)) = request_body(head, &claims) else { return None };
    let rest = bytes.len().saturating_sub(head.len()) as u64;
    let is_all = match body {
        Body::None => rest == 0,
        Body::Length(len) => rest <= len,
        Body::Chunked | Body::Close => false,
    };
    is_all.then_some((body, claims))
}
