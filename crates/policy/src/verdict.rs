/// What shall happen to a packet or a connection. Ordered: of two verdicts the greater wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// Send it on.
    #[default]
    Accept,
    /// Send it on, and let the rest of the connection cross as cheaply as can be, in the kernel where that
    /// is possible: rules see nothing more of it but its end, and TCP is followed as far as that needs. If
    /// it is not possible ([`Verdict`]s are not told so, a counter is), the connection goes on as it was.
    Shunt,
    /// Send it on, and show nothing more of the connection to any rule: it goes on without them. TCP
    /// is still followed.
    Bypass,
    /// Drop this packet and keep the connection. In `new_connection` the same as `Drop`; in
    /// `receive_data` there is no single packet, and it means `Drop` as well.
    DropPacket,
    /// Drop the connection silently: this and all its later packets.
    Drop,
    /// A RST to the server only, then as `Drop`.
    HalfReset,
    /// A RST to both ends, then as `Drop`.
    Reset,
}

impl Verdict {
    /// Every one, in rising order.
    pub const ALL: [Self; 7] = [
        Self::Accept,
        Self::Shunt,
        Self::Bypass,
        Self::DropPacket,
        Self::Drop,
        Self::HalfReset,
        Self::Reset,
    ];

    /// As metrics, events and Lua name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Shunt => "shunt",
            Self::Bypass => "bypass",
            Self::DropPacket => "drop_packet",
            Self::Drop => "drop",
            Self::HalfReset => "halfreset",
            Self::Reset => "reset",
        }
    }

    /// Whether the packet goes on with it.
    #[must_use]
    pub const fn forwards(self) -> bool {
        matches!(self, Self::Accept | Self::Shunt | Self::Bypass)
    }

    /// Whether the connection ends with it.
    #[must_use]
    pub const fn ends_flow(self) -> bool {
        matches!(self, Self::Drop | Self::HalfReset | Self::Reset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greater_verdict_wins() {
        assert_eq!(Verdict::Accept.max(Verdict::Drop), Verdict::Drop);
        assert!(Verdict::ALL.is_sorted());
    }
}
