//! Responses that nobody is told of, where they are plain.
use tollgate_wire::Direction;

use super::super::head::Part;
use super::super::parse::{self, Kind, Parsed};
use super::{At, Body, Conversation, response_body};

impl Conversation {
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
        self.ahead += there;
        true
    }

    /// How many bytes that was since it was asked last.
    pub(crate) fn ahead(&mut self) -> u64 {
        std::mem::take(&mut self.ahead)
    }

    /// How long head and body of the response are that `bytes` begin with, if nothing about it is special.
    fn plain_response(&mut self, bytes: &[u8]) -> Option<(u64, u64)> {
        let asked = self.asked.front()?;
        let head = &mut self.response;
        let Ok(Parsed::Head(None)) = parse::parse(Kind::Response, bytes, 0, self.limits, head)
        else {
            return None;
        };
        let status = head.part(Part::Status);
        if asked.is_connect || status.starts_with(b"1") {
            return None;
        }
        let is_bodiless = asked.is_head || matches!(status, b"204" | b"304");
        match response_body(head, is_bodiless) {
            Ok((Body::None, None)) => Some((head.len() as u64, 0)),
            Ok((Body::Length(len), None)) => Some((head.len() as u64, len)),
            _ => None,
        }
    }
}
