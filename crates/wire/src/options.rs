use crate::Seq;

/// The timestamps option (RFC 7323 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the peer's clock, echoed.
    pub echo: u32,
}

/// Up to four SACK blocks (RFC 2018 section 3): the left edge and the number after the right one.
pub type SackBlocks = [Option<(Seq, Seq)>; 4];

/// What a TCP header's options say, read in one pass. Nothing an attacker writes there fails the
/// packet: what cannot be read is `malformed`, and the tracker decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size in bytes (RFC 9293 section 3.7.1); only on SYN and SYN-ACK.
    pub mss: Option<u16>,
    /// Window scale, as sent: 0 to 255, to be clamped to 14 (RFC 7323 section 2.3).
    pub window_scale: Option<u8>,
    /// SACK permitted (RFC 2018 section 2).
    pub sack_permitted: bool,
    /// Timestamps (RFC 7323 section 3).
    pub timestamps: Option<Timestamps>,
    /// SACK blocks (RFC 2018 section 3).
    pub sack: SackBlocks,
    /// TCP Fast Open, either option kind (RFC 7413 section 4.1.1).
    pub fast_open: bool,
    /// TCP MD5 (RFC 2385) or TCP-AO (RFC 5925): the segment is signed, and we cannot forge one.
    pub signed: bool,
    /// A length of 0 or 1, or one beyond the header.
    pub malformed: bool,
}
