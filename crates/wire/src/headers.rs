use crate::{Flags, FlowKey, Seq, Side};

/// The version of the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpVersion {
    /// RFC 791.
    V4,
    /// RFC 8200.
    V6,
}

/// Where everything is in a frame that holds one whole TCP segment, and what every stage asks of
/// it. `Copy` and without a borrow, so that it can travel beside the frame.
///
/// Invariant, made by the parser: `ip < tcp <= payload <= end <= frame length`, and every header
/// lies between its offset and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// The connection, the same for both directions.
    pub key: FlowKey,
    /// Which side of `key` sent it.
    pub source: Side,
    /// IPv4 or IPv6.
    pub ip_version: IpVersion,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Offset of the IP header: 14 plus 4 for each VLAN tag, or 0 on a raw IP link.
    pub ip: u16,
    /// Offset of the TCP header.
    pub tcp: u16,
    /// Offset of the payload.
    pub payload: u16,
    /// Offset of the end of the IP datagram; Ethernet padding may follow.
    pub end: u32,
    /// Control bits.
    pub flags: Flags,
    /// Sequence number.
    pub seq: Seq,
    /// Acknowledgment number; meaningless without [`Flags::ACK`].
    pub ack: Seq,
    /// Window as sent, unscaled.
    pub window: u16,
    /// Urgent pointer; meaningless without [`Flags::URG`].
    pub urgent: u16,
}

impl Headers {
    /// Bytes of payload.
    #[must_use]
    pub const fn payload_len(&self) -> u32 {
        self.end.saturating_sub(self.payload as u32)
    }

    /// Sequence space the segment takes: payload, and one each for SYN and FIN
    /// (RFC 9293 section 3.4).
    #[must_use]
    pub const fn sequence_len(&self) -> u32 {
        self.payload_len()
            + self.flags.contains(Flags::SYN) as u32
            + self.flags.contains(Flags::FIN) as u32
    }
}
