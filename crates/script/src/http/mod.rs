//! HTTP/1 on a stream of bytes: where messages begin and end, and what their heads say (RFC 9110,
//! RFC 9112).
//!
//! A [`Conversation`] follows both directions of a connection. It is shown bytes where they lie and
//! answers what the next of them are: a head, a part of a body, framing around it. It keeps the heads
//! of requests that wait for their responses, and no byte of a body. What two implementations may read
//! in two ways (RFC 9112 section 11.2) is a [`Shape`], told with the head.
mod chunk;
mod claims;
mod conversation;
mod head;
mod parse;

pub(crate) use claims::Body;
pub(crate) use conversation::{Conversation, Ended, Plain, Step, What};
pub(crate) use head::{Head, Part, Spares, Splice};
pub(crate) use parse::Limits;

/// Why a stream is no HTTP, in the words of the alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) &'static str);

/// Something that sender and receiver may understand differently: how requests are smuggled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape(pub(crate) &'static str);
