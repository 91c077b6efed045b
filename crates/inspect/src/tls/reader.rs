use super::hello::{ClientHello, Malformed, ServerHello};

/// The longest hello that is read, its header included. Those with post-quantum keys take 2 KiB, and an
/// attacker could ask for 16 MiB.
pub const HELLO_BYTES_MAX: usize = 64 << 10;

/// Hellos of one side: one, and another where the server asks for it.
const HELLOS_MAX: u8 = 2;

const MESSAGE_HEADER: usize = 4;
/// What a record may carry in plain text (RFC 8446 section 5.1).
const RECORD_BYTES_MAX: usize = 1 << 14;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Whose hello is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A `ClientHello`.
    Client,
    /// A `ServerHello`.
    Server,
}

/// What the bytes so far amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A hello is not complete, or another may follow.
    More,
    /// The client's hello ends here.
    Client(Box<ClientHello>),
    /// The server's hello ends here.
    Server(Box<ServerHello>),
    /// No hello follows.
    Done,
    /// This is no hello, and nothing that follows is looked at.
    Malformed(Malformed),
}

/// One direction of a connection, as far as its hellos.
#[derive(Clone, Debug)]
pub struct HelloReader {
    side: Side,
    /// The header of the record that is read, as far as it is there.
    header: Vec<u8>,
    /// Bytes of its body that are still to come.
    body: usize,
    /// The message that is read, its header included.
    message: Vec<u8>,
    hellos: u8,
    skips_early_data: bool,
    over: Option<Progress>,
}

impl HelloReader {
    /// Nothing is read yet.
    #[must_use]
    pub const fn new(side: Side) -> Self {
        Self {
            side,
            header: Vec::new(),
            body: 0,
            message: Vec::new(),
            hellos: 0,
            skips_early_data: false,
            over: None,
        }
    }

    /// The next bytes: how many of them were looked at, and what came of it. All, unless something
    /// other than [`Progress::More`] is told; the rest is then to be given again.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, Progress) {
        let mut at = 0;
        while self.over.is_none() {
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return (at, Progress::More);
            }
            let taken = if self.body == 0 { self.header(rest) } else { self.body(rest) };
            match taken {
                Ok((len, None)) => at += len,
                Ok((len, Some(hello))) => return (at + len, hello),
                Err(over) => self.finish(over),
            }
        }
        (at, self.over.clone().unwrap_or(Progress::Done))
    }

    /// Whether a message has begun that may be a hello: its bytes should wait for the rest.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.over.is_none() && (!self.header.is_empty() || !self.message.is_empty())
    }

    /// One byte of a record's header.
    fn header(&mut self, bytes: &[u8]) -> Result<(usize, Option<Progress>), Progress> {
        let Some(byte) = bytes.first().copied() else { return Ok((0, None)) };
        if self.header.is_empty() && byte == ALERT && self.side == Side::Server {
            // It will not have the client.
            return Err(Progress::Done);
        }
        let is_fine = match self.header.len() {
            0 => byte == HANDSHAKE || (self.message.is_empty() && self.is_skipped(byte)),
            // All versions since SSL 3.0; the minor number is not to be minded.
            1 => byte == 3,
            _ => true,
        };
        if !is_fine {
            // Behind a hello other records are no fault.
            let is_begun = self.hellos == 0 || !self.message.is_empty();
            let over = Progress::Malformed(Malformed::NotTls);
            return Err(if is_begun { over } else { Progress::Done });
        }
        self.header.push(byte);
        if let [_, _, _, high, low] = self.header[..] {
            self.body = usize::from(u16::from_be_bytes([high, low]));
            let is_secret = self.header.first() == Some(&APPLICATION_DATA);
            // RFC 8446 section 5.2: encryption may add 256 bytes.
            let max = if is_secret { RECORD_BYTES_MAX + 256 } else { RECORD_BYTES_MAX };
            if self.body == 0 || self.body > max {
                return Err(Progress::Malformed(Malformed::RecordLength));
            }
        }
        Ok((1, None))
    }

    /// Whether records of this kind may stand between two hellos.
    fn is_skipped(&self, kind: u8) -> bool {
        self.hellos > 0
            && (kind == CHANGE_CIPHER_SPEC || (kind == APPLICATION_DATA && self.skips_early_data))
    }

    /// Bytes of a record's body: of a message, up to its end.
    fn body(&mut self, bytes: &[u8]) -> Result<(usize, Option<Progress>), Progress> {
        let there = bytes.get(..self.body.min(bytes.len())).unwrap_or_default();
        if self.header.first() != Some(&HANDSHAKE) {
            self.pass(there.len());
            return Ok((there.len(), None));
        }
        let wanted = self.wanted()?;
        let taken = there.get(..wanted.min(there.len())).unwrap_or_default();
        self.message.extend_from_slice(taken);
        self.pass(taken.len());
        if self.wanted()? > 0 {
            return Ok((taken.len(), None));
        }
        let message = std::mem::take(&mut self.message);
        let body = message.get(MESSAGE_HEADER..).unwrap_or_default();
        self.hellos += 1;
        let hello = self.hello(body).map_err(Progress::Malformed)?;
        Ok((taken.len(), Some(hello)))
    }

    fn hello(&mut self, body: &[u8]) -> Result<Progress, Malformed> {
        match self.side {
            Side::Client => {
                let hello = ClientHello::parse(body)?;
                self.skips_early_data = hello.has_early_data;
                if self.hellos == HELLOS_MAX {
                    self.finish(Progress::Done);
                }
                Ok(Progress::Client(Box::new(hello)))
            }
            Side::Server => {
                let hello = ServerHello::parse(body)?;
                if !hello.is_retry || self.hellos == HELLOS_MAX {
                    self.finish(Progress::Done);
                }
                Ok(Progress::Server(Box::new(hello)))
            }
        }
    }

    /// How many bytes the message takes before more is known about it: one, its header, all of it.
    fn wanted(&self) -> Result<usize, Progress> {
        let kind = match self.side {
            Side::Client => 1,
            Side::Server => 2,
        };
        match self.message[..] {
            [] => Ok(1),
            [first, ..] if first != kind => Err(if self.hellos > 0 {
                Progress::Done
            } else {
                Progress::Malformed(Malformed::NotHello)
            }),
            [_, a, b, c, ..] => {
                let len = u32::from_be_bytes([0, a, b, c]) as usize + MESSAGE_HEADER;
                if len > HELLO_BYTES_MAX {
                    return Err(Progress::Malformed(Malformed::TooLong));
                }
                Ok(len - self.message.len())
            }
            _ => Ok(MESSAGE_HEADER - self.message.len()),
        }
    }

    fn pass(&mut self, len: usize) {
        self.body -= len;
        if self.body == 0 {
            self.header.clear();
        }
    }

    fn finish(&mut self, over: Progress) {
        let side = self.side;
        *self = Self { over: Some(over), hellos: self.hellos, ..Self::new(side) };
    }
}
