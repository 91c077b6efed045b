/// Why a frame is no TCP packet that we can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Not TCP: it crosses to the other port untouched, or is dropped, by configuration.
    Other(Other),
    /// A fragment of an IP datagram that carries TCP: to be reassembled first.
    Fragment,
    /// TCP, or meant to be, but broken: dropped and counted.
    Malformed(Malformed),
}

/// What a frame that is not TCP carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Other {
    /// ARP (RFC 826).
    Arp,
    /// IPv4 or IPv6 with another protocol than TCP (fragments of such datagrams included).
    Ip,
    /// Another EtherType, or more than two VLAN tags.
    Link,
    /// An ICMP error about a TCP segment ([`crate::IcmpError`]).
    IcmpError,
}

/// Why a TCP packet, or an ICMP error about one, cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(u8)]
pub enum Malformed {
    /// Too short for an Ethernet header, or it ends inside a VLAN tag.
    #[error("frame shorter than its Ethernet header")]
    Ethernet,
    /// IPv4: version, header length or total length contradict each other or the frame.
    #[error("IPv4 lengths contradict each other")]
    Ipv4,
    /// IPv4 header checksum wrong (RFC 791 section 3.1).
    #[error("IPv4 header checksum wrong")]
    Ipv4Checksum,
    /// IPv6: version or payload length contradict the frame, or a jumbogram.
    #[error("IPv6 lengths contradict each other")]
    Ipv6,
    /// IPv6 extension headers too long, too many, or out of the frame (RFC 8200 section 4).
    #[error("IPv6 extension headers broken")]
    Ipv6Extension,
    /// TCP data offset below 5 words or beyond the segment (RFC 9293 section 3.1).
    #[error("TCP data offset wrong")]
    Tcp,
    /// TCP checksum wrong (RFC 9293 section 3.1).
    #[error("TCP checksum wrong")]
    TcpChecksum,
    /// A combination of control bits that no stack sends: none at all, SYN with FIN or RST, FIN or
    /// PSH without ACK.
    #[error("TCP flags that no stack sends")]
    TcpFlags,
    /// Port 0.
    #[error("TCP port 0")]
    TcpPort,
    /// An ICMP error about TCP that no host takes or no honest one sends
    /// ([`crate::IcmpError::parse`]).
    #[error("ICMP error with a broken quote")]
    Icmp,
    /// The same, with a wrong checksum (RFC 792, RFC 4443 section 2.3).
    #[error("ICMP checksum wrong")]
    IcmpChecksum,
}

impl Other {
    /// Every one, in order of its discriminant.
    pub const ALL: [Self; 4] = [Self::Arp, Self::Ip, Self::Link, Self::IcmpError];

    /// As metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arp => "arp",
            Self::Ip => "ip",
            Self::Link => "link",
            Self::IcmpError => "icmp_error",
        }
    }
}

impl Malformed {
    /// Every one, in order of its discriminant.
    pub const ALL: [Self; 11] = [
        Self::Ethernet,
        Self::Ipv4,
        Self::Ipv4Checksum,
        Self::Ipv6,
        Self::Ipv6Extension,
        Self::Tcp,
        Self::TcpChecksum,
        Self::TcpFlags,
        Self::TcpPort,
        Self::Icmp,
        Self::IcmpChecksum,
    ];

    /// As metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ethernet => "ethernet",
            Self::Ipv4 => "ipv4",
            Self::Ipv4Checksum => "ipv4_checksum",
            Self::Ipv6 => "ipv6",
            Self::Ipv6Extension => "ipv6_extension",
            Self::Tcp => "tcp",
            Self::TcpChecksum => "tcp_checksum",
            Self::TcpFlags => "tcp_flags",
            Self::TcpPort => "tcp_port",
            Self::Icmp => "icmp",
            Self::IcmpChecksum => "icmp_checksum",
        }
    }
}
