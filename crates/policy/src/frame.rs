use tollgate_wire::Timestamp;

/// Which of a pair's two ports a frame concerns; the policy's own word, so that it need not know the
/// link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The first port of `--pair A:B`.
    A,
    /// The second.
    B,
}

impl Side {
    /// The port at the other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// A frame of any protocol, or a whole IP datagram in one, that a rule may read and write.
///
/// Its bytes begin with the Ethernet header. Writing in place costs nothing; another length takes a
/// copy. Checksums are the rule's business: what is written is what leaves.
#[derive(Debug)]
pub struct FrameEdit<'a> {
    bytes: &'a mut [u8],
    replacement: Option<Vec<u8>>,
    received: Timestamp,
    from: Side,
    is_changed: bool,
}

impl<'a> FrameEdit<'a> {
    /// `from` is the port that the frame arrived at, in [`Policy::send_frame`] too.
    ///
    /// [`Policy::send_frame`]: crate::Policy::send_frame
    #[must_use]
    pub const fn new(bytes: &'a mut [u8], received: Timestamp, from: Side) -> Self {
        Self { bytes, replacement: None, received, from, is_changed: false }
    }

    /// The frame as it is now.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.replacement.as_deref().unwrap_or(self.bytes)
    }

    /// The frame, to be changed in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.is_changed = true;
        self.replacement.as_deref_mut().unwrap_or(self.bytes)
    }

    /// Another frame instead, of whatever length; one longer than the link can carry is dropped and
    /// counted by the engine.
    pub fn replace(&mut self, bytes: Vec<u8>) {
        self.is_changed = true;
        self.replacement = Some(bytes);
    }

    /// When it was received.
    #[must_use]
    pub const fn received(&self) -> Timestamp {
        self.received
    }

    /// Where it came in.
    #[must_use]
    pub const fn from(&self) -> Side {
        self.from
    }

    /// Whether anything was written, and what stands in the frame's place if its length may differ.
    #[must_use]
    pub fn into_change(self) -> (bool, Option<Vec<u8>>) {
        (self.is_changed, self.replacement)
    }
}

/// A frame that a rule made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// From the Ethernet header on, checksums included.
    pub frame: Vec<u8>,
    /// The port that it came in at, or is to be thought to have come in at: it leaves by the other.
    pub from: Side,
    /// Where it begins.
    pub route: Route,
}

/// Where a frame that a rule made begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// As if it had just been received: Haka's `inject`. Rules see it.
    Receive,
    /// On its way out: Haka's `send` of a packet that was created. The events of sending follow.
    Send,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_in_place_and_another_length_are_told_apart() {
        let mut bytes = *b"abc";
        let now = Timestamp::default();
        let mut frame = FrameEdit::new(&mut bytes, now, Side::A);
        assert_eq!(frame.bytes(), b"abc");
        frame.bytes_mut()[0] = b'x';
        assert_eq!(frame.into_change(), (true, None));
        assert_eq!(&bytes, b"xbc");

        let mut frame = FrameEdit::new(&mut bytes, now, Side::B);
        frame.replace(b"longer".to_vec());
        frame.bytes_mut()[0] = b'L';
        assert_eq!(frame.bytes(), b"Longer");
        assert_eq!(frame.into_change(), (true, Some(b"Longer".to_vec())));
        assert_eq!(&bytes, b"xbc");
        assert!(!FrameEdit::new(&mut bytes, now, Side::A).into_change().0);
    }
}
