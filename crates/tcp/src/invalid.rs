use std::fmt;

/// Why a segment is dropped. Each is a counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Invalid {
    /// A set of control bits that no stack sends: SYN with FIN or RST, RST with FIN …
    Flags,
    /// No ACK bit after the handshake: stacks ignore it (RFC 9293 section 3.10.7.4).
    NoAck,
    /// An option of length 0 or 1, or one that runs past the header. Stacks differ.
    Options,
    /// MD5 or AO where none was agreed: stacks drop it.
    UnexpectedSignature,
    /// Neither MD5 nor AO where one was agreed: stacks drop it.
    MissingSignature,
    /// Something other than a SYN, SYN-ACK or RST before the handshake allows it.
    BeforeHandshake,
    /// A SYN-ACK that acknowledges no SYN we have seen.
    SynAckMismatch,
    /// More SYN-ACKs with different numbers than we remember.
    SynAckTooMany,
    /// An ACK that completes no handshake we have seen.
    HandshakeAck,
    /// A SYN with another number, inside the window, while the server waits for the ACK: it would
    /// make Linux forget the honest one.
    SynOther,
    /// A bare SYN answered by a SYN-ACK of the client and no SYN-ACK of the server.
    SplitHandshake,
    /// A SYN-ACK in an established connection, not a repetition of the first.
    UnexpectedSynAck,
    /// All of it lies beyond the window ever offered.
    BeyondWindow,
    /// All of it lies more than a window before what was sent.
    BelowWindow,
    /// Acknowledges what was never forwarded.
    AckBeyond,
    /// Acknowledges what was acknowledged more than a window ago (RFC 5961 section 5.2).
    AckBelow,
    /// A timestamp older than the last (PAWS, RFC 7323 section 5.3).
    Paws,
    /// Bytes at or after the FIN.
    BeyondFin,
    /// A RST that is not at the exact edge (RFC 5961 section 3).
    RstOffEdge,
    /// A RST whose acknowledgment is of something never forwarded.
    RstAck,
    /// Data after a RST; after one that ended a handshake, anything.
    AfterReset,
}

impl Invalid {
    /// Every reason, in order of `repr`.
    pub const ALL: [Self; 21] = [
        Self::Flags,
        Self::NoAck,
        Self::Options,
        Self::UnexpectedSignature,
        Self::MissingSignature,
        Self::BeforeHandshake,
        Self::SynAckMismatch,
        Self::SynAckTooMany,
        Self::HandshakeAck,
        Self::SynOther,
        Self::SplitHandshake,
        Self::UnexpectedSynAck,
        Self::BeyondWindow,
        Self::BelowWindow,
        Self::AckBeyond,
        Self::AckBelow,
        Self::Paws,
        Self::BeyondFin,
        Self::RstOffEdge,
        Self::RstAck,
        Self::AfterReset,
    ];

    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flags => "flags",
            Self::NoAck => "no_ack",
            Self::Options => "options",
            Self::UnexpectedSignature => "unexpected_signature",
            Self::MissingSignature => "missing_signature",
            Self::BeforeHandshake => "before_handshake",
            Self::SynAckMismatch => "syn_ack_mismatch",
            Self::SynAckTooMany => "syn_ack_too_many",
            Self::HandshakeAck => "handshake_ack",
            Self::SynOther => "syn_other",
            Self::SplitHandshake => "split_handshake",
            Self::UnexpectedSynAck => "unexpected_syn_ack",
            Self::BeyondWindow => "beyond_window",
            Self::BelowWindow => "below_window",
            Self::AckBeyond => "ack_beyond",
            Self::AckBelow => "ack_below",
            Self::Paws => "paws",
            Self::BeyondFin => "beyond_fin",
            Self::RstOffEdge => "rst_off_edge",
            Self::RstAck => "rst_ack",
            Self::AfterReset => "after_reset",
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Invalid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_listed_at_its_own_number_and_no_two_share_a_name() {
        for (number, reason) in Invalid::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number, "{reason}");
            assert!(Invalid::ALL.iter().filter(|other| other.name() == reason.name()).count() == 1);
        }
    }
}
