use bitflags::bitflags;

bitflags! {
    /// The control bits of a TCP header (RFC 9293 section 3.1), with AE of accurate ECN.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Flags: u16 {
        /// No more data from the sender.
        const FIN = 1;
        /// Synchronise sequence numbers.
        const SYN = 1 << 1;
        /// Reset the connection.
        const RST = 1 << 2;
        /// Push.
        const PSH = 1 << 3;
        /// The acknowledgment field is significant.
        const ACK = 1 << 4;
        /// The urgent pointer is significant.
        const URG = 1 << 5;
        /// ECN-Echo (RFC 3168).
        const ECE = 1 << 6;
        /// Congestion window reduced (RFC 3168).
        const CWR = 1 << 7;
        /// Accurate ECN, formerly the nonce sum.
        const AE = 1 << 8;
    }
}
