//! What TLS says before it is encrypted: the hellos of client and server (RFC 8446 section 4.1).
//!
//! [`HelloReader`] takes one direction of a connection, in whatever pieces, across records too, and says
//! as early as it can whether there is a hello, or that there will be none. It keeps one hello at a time, of
//! at most [`HELLO_BYTES_MAX`].
mod fields;
mod hello;
mod ja4;
mod reader;

pub use hello::{ClientHello, Malformed, ServerHello, version_name};
pub use reader::{HELLO_BYTES_MAX, HelloReader, Progress, Side};
