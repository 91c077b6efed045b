use tollgate_wire::{Flags, Options, Packet, Seq};

/// What a segment says, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number of the SYN, or else of the first byte.
    pub seq: Seq,
    /// Acknowledgment number; meaningless without [`Flags::ACK`].
    pub ack: Seq,
    /// Control bits.
    pub flags: Flags,
    /// Window as sent, unscaled.
    pub window: u16,
    /// Bytes of payload.
    pub len: u32,
    /// Options.
    pub options: Options,
}

impl Segment {
    /// What `packet` says.
    #[must_use]
    pub fn of<F: AsRef<[u8]>>(packet: &Packet<F>) -> Self {
        let headers = packet.headers();
        let mut segment = Self {
            seq: headers.seq,
            ack: headers.ack,
            flags: headers.flags,
            window: headers.window,
            len: headers.payload_len(),
            options: Options::default(),
        };
        // Written where they stay: a copy of what was written in small pieces just now waits until it has left for the cache.
        segment.options.read(packet.options_bytes());
        segment
    }

    /// The number after everything it takes: SYN, payload, FIN (RFC 9293 section 3.4).
    #[must_use]
    pub fn end(&self) -> Seq {
        self.data_end() + u32::from(self.has(Flags::FIN))
    }

    /// The number of its first payload byte.
    #[must_use]
    pub fn data_seq(&self) -> Seq {
        self.seq + u32::from(self.has(Flags::SYN))
    }

    /// The number after its last payload byte, where a FIN would sit.
    #[must_use]
    pub fn data_end(&self) -> Seq {
        self.data_seq() + self.len
    }

    /// Whether every one of `flags` is set.
    #[must_use]
    pub const fn has(&self, flags: Flags) -> bool {
        self.flags.contains(flags)
    }

    /// Whether it carries payload where none may leave. Whoever forwards it trims the payload off.
    ///
    /// On a RST no stack reads it. On a SYN, stacks without Fast Open ignore it, and the client sends it
    /// again. On a SYN-ACK it is legal (RFC 9293 section 3.4) but read in two ways: the RFC queues it
    /// until the connection is open (section 3.10.7.3), Linux acknowledges the SYN alone (6.18, tried). Without it all
    /// stacks do that, and the server sends the bytes again in a segment that all of them read, at the
    /// price of a round trip or a time-out.
    #[must_use]
    pub const fn has_stray_payload(&self) -> bool {
        self.len > 0 && self.flags.intersects(Flags::SYN.union(Flags::RST))
    }
}
