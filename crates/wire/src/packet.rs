use std::ops::Range;

use crate::checksum::{Checksum, Sum, same};
use crate::parse::{self, pseudo_header, pseudo_numbers};
use crate::{Headers, IpVersion, LinkHeader, Options, Refusal, Timestamps};

/// A frame with one whole TCP segment, and where its headers are.
#[derive(Debug)]
pub struct Packet<F> {
    pub(crate) frame: F,
    pub(crate) headers: Headers,
}

/// A frame that is no such thing, given back with the reason.
#[derive(Debug)]
pub struct Rejected<F> {
    /// The frame, untouched.
    pub frame: F,
    /// Why.
    pub why: Refusal,
}

impl<F: AsRef<[u8]>> Packet<F> {
    /// Reads an Ethernet frame, once. Lengths, the IPv4 header checksum, control bits and ports are
    /// right afterwards; the TCP checksum is not looked at ([`Self::checksum`]).
    ///
    /// # Errors
    ///
    /// Gives the frame back, untouched, when it is not one whole TCP segment in an IP datagram.
    #[inline]
    pub fn parse(frame: F) -> Result<Self, Rejected<F>> {
        match parse::headers(frame.as_ref()) {
            Ok(headers) => Ok(Self { frame, headers }),
            Err(why) => Err(Rejected { frame, why }),
        }
    }

    /// What the parser found.
    #[must_use]
    #[inline]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The bytes that TCP carries.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.bytes(usize::from(self.headers.payload)..self.end())
    }

    /// The frame as it is.
    #[must_use]
    pub const fn frame(&self) -> &F {
        &self.frame
    }

    /// The frame, to make it longer or shorter. Nothing up to the end of the IP datagram may go.
    #[must_use]
    pub const fn frame_mut(&mut self) -> &mut F {
        &mut self.frame
    }

    /// The frame without what was known about it.
    #[must_use]
    pub fn into_frame(self) -> F {
        self.frame
    }

    /// What the TCP options say.
    #[must_use]
    pub fn options(&self) -> Options {
        Options::parse(self.options_bytes())
    }

    /// The TCP options.
    #[must_use]
    #[inline]
    pub fn options_bytes(&self) -> &[u8] {
        let first = usize::from(self.headers.tcp) + 20;
        self.bytes(first..usize::from(self.headers.payload))
    }

    /// The timestamps, where there are no other options: as in nearly all segments. None if there are.
    #[must_use]
    #[inline]
    pub fn plain_timestamps(&self) -> Option<Option<Timestamps>> {
        match self.headers.payload - self.headers.tcp {
            20 => Some(None),
            32 => Options::plain_timestamps(
                self.bytes(usize::from(self.headers.tcp) + 20..usize::from(self.headers.payload)),
            )
            .map(Some),
            _ => None,
        }
    }

    /// What the TCP checksum says. One pass over the segment.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        if self.sum().is_intact() {
            return Checksum::Good;
        }
        let (pseudo, segment) = (self.pseudo_header(), self.segment());
        let field = segment.get(16..).and_then(|rest| rest.first_chunk()).copied();
        // Whoever sends such a segment across a wire, for us to repair what its receiver would have
        // dropped, gains nothing: he could have sent a good one, and what we inspect is what leaves.
        match field {
            Some(field) if same(field, pseudo.folded()) => Checksum::Partial,
            _ => Checksum::Bad,
        }
    }

    /// What stands in front of the IP header.
    #[must_use]
    pub fn link_header(&self) -> LinkHeader {
        LinkHeader::of(self.frame.as_ref()).unwrap_or_else(|| LinkHeader::new([0; 6], [0; 6], 0))
    }

    /// Length of the IP datagram in bytes, header included.
    #[must_use]
    pub fn ip_len(&self) -> u32 {
        self.headers.end - u32::from(self.headers.ip)
    }

    /// IPv4 type of service or IPv6 traffic class: DSCP and ECN.
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        let ip = usize::from(self.headers.ip);
        match (self.headers.ip_version, self.bytes(ip..ip + 2)) {
            (IpVersion::V4, &[_, class]) => class,
            (IpVersion::V6, &[a, b]) => a << 4 | b >> 4,
            _ => 0,
        }
    }

    /// IPv6 flow label (RFC 6437), 20 bits; 0 in IPv4.
    #[must_use]
    pub fn flow_label(&self) -> u32 {
        let ip = usize::from(self.headers.ip);
        match (self.headers.ip_version, self.bytes(ip..ip + 4)) {
            (IpVersion::V6, &[_, a, b, c]) => u32::from_be_bytes([0, a & 0x0f, b, c]),
            _ => 0,
        }
    }

    #[inline]
    pub(crate) fn end(&self) -> usize {
        usize::try_from(self.headers.end).unwrap_or(usize::MAX)
    }

    pub(crate) fn segment(&self) -> &[u8] {
        self.bytes(usize::from(self.headers.tcp)..self.end())
    }

    /// The sum of segment and pseudo-header.
    #[inline]
    fn sum(&self) -> Sum {
        let Headers { ip, tcp, end, .. } = self.headers;
        let addresses = match self.headers.ip_version {
            IpVersion::V4 => 8,
            IpVersion::V6 => 32,
        };
        // Without options and extensions the addresses stand right before the segment.
        if tcp - ip == if addresses == 8 { 20 } else { 40 } {
            let both = self.bytes(usize::from(tcp) - addresses..self.end());
            return pseudo_numbers(end - u32::from(tcp)).bytes(both);
        }
        self.pseudo_header().bytes(self.segment())
    }

    pub(crate) fn pseudo_header(&self) -> Sum {
        let headers = &self.headers;
        let len = headers.end - u32::from(headers.tcp);
        pseudo_header(self.frame.as_ref(), headers.ip_version, usize::from(headers.ip), len)
    }

    /// The parser's invariant keeps every range of its offsets inside; a frame whose owner shortened
    /// it behind our back reads as empty instead of ending the program.
    #[inline]
    fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.frame.as_ref().get(range).unwrap_or_default()
    }
}
