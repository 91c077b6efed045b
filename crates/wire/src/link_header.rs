use std::fmt;

use crate::Vlans;

/// Bytes of an Ethernet header without tags.
const ETHERNET_LEN: usize = 14;
/// Bytes that a VLAN tag adds.
const TAG_LEN: usize = 4;
/// Two tags at most: what 802.1ad allows.
const TAGS_MAX: usize = 2;
const LONGEST: usize = ETHERNET_LEN + TAGS_MAX * TAG_LEN;

/// What stands in front of an IP datagram: Ethernet addresses, up to two VLAN tags (IEEE 802.1Q,
/// 802.1ad) and the EtherType. Copied from one packet to put in front of another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LinkHeader {
    bytes: [u8; LONGEST],
    /// 14, 18 or 22.
    len: u8,
}

/// EtherTypes that matter here.
pub(crate) mod ethertype {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const ARP: u16 = 0x0806;
    pub(crate) const IPV6: u16 = 0x86dd;
    /// IEEE 802.1Q, the customer's tag.
    pub(crate) const CUSTOMER_TAG: u16 = 0x8100;
    /// IEEE 802.1ad, the service provider's.
    pub(crate) const SERVICE_TAG: u16 = 0x88a8;
}

/// Where the link header ended, and what it says.
#[derive(Clone, Copy)]
pub(crate) struct LinkEnd {
    pub(crate) vlans: Vlans,
    pub(crate) ethertype: u16,
    /// Offset of what follows: 14, 18 or 22.
    pub(crate) end: usize,
}

/// Walks the tags. None when the frame ends inside; a third tag's EtherType is given as it is, and
/// so ends up as an unknown one.
#[inline]
pub(crate) fn walk(frame: &[u8]) -> Option<LinkEnd> {
    let header = frame.first_chunk::<ETHERNET_LEN>()?;
    let mut ethertype = u16::from_be_bytes([header[12], header[13]]);
    let mut ids = [0; TAGS_MAX];
    let mut end = ETHERNET_LEN;
    for id in &mut ids {
        if !matches!(ethertype, ethertype::CUSTOMER_TAG | ethertype::SERVICE_TAG) {
            break;
        }
        let tag = frame.get(end..)?.first_chunk::<TAG_LEN>()?;
        *id = u16::from_be_bytes([tag[0], tag[1]]) & 0x0fff;
        ethertype = u16::from_be_bytes([tag[2], tag[3]]);
        end += TAG_LEN;
    }
    let [outer, inner] = ids;
    Some(LinkEnd { vlans: Vlans { outer, inner }, ethertype, end })
}

impl LinkHeader {
    /// A header without tags.
    #[must_use]
    pub fn new(destination: [u8; 6], source: [u8; 6], ethertype: u16) -> Self {
        let mut bytes = [0; LONGEST];
        let parts = destination.iter().chain(&source).copied().chain(ethertype.to_be_bytes());
        for (byte, value) in bytes.iter_mut().zip(parts) {
            *byte = value;
        }
        Self { bytes, len: 14 }
    }

    /// The header at the front of a frame; none when the frame is too short for its own.
    #[must_use]
    pub fn of(frame: &[u8]) -> Option<Self> {
        let end = walk(frame)?.end;
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..end)?.copy_from_slice(frame.get(..end)?);
        Some(Self { bytes, len: u8::try_from(end).ok()? })
    }

    /// The same with one more tag, outermost. None when there are two already.
    #[must_use]
    pub fn tagged(self, protocol: u16, control: u16) -> Option<Self> {
        let len = usize::from(self.len) + TAG_LEN;
        let mut bytes = [0; LONGEST];
        let (addresses, rest) = self.as_bytes().split_at_checked(12)?;
        let tag = protocol.to_be_bytes().into_iter().chain(control.to_be_bytes());
        let parts = addresses.iter().copied().chain(tag).chain(rest.iter().copied());
        for (byte, value) in bytes.get_mut(..len)?.iter_mut().zip(parts) {
            *byte = value;
        }
        Some(Self { bytes, len: u8::try_from(len).ok()? })
    }

    /// The header of an answer: source and destination address swapped, the rest kept.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        let (destination, rest) = self.bytes.split_at_mut(6);
        for (one, other) in destination.iter_mut().zip(rest) {
            std::mem::swap(one, other);
        }
        self
    }

    /// The same in front of another protocol.
    #[must_use]
    pub fn with_ethertype(mut self, ethertype: u16) -> Self {
        let at = usize::from(self.len) - 2;
        if let Some(field) = self.bytes.get_mut(at..at + 2) {
            field.copy_from_slice(&ethertype.to_be_bytes());
        }
        self
    }

    /// As it stands on the wire: 14, 18 or 22 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The destination address.
    #[must_use]
    pub fn destination(&self) -> [u8; 6] {
        self.bytes.first_chunk().copied().unwrap_or_default()
    }

    /// The source address.
    #[must_use]
    pub fn source(&self) -> [u8; 6] {
        self.bytes.get(6..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default()
    }

    /// The VLAN identifiers.
    #[must_use]
    pub fn vlans(&self) -> Vlans {
        walk(self.as_bytes()).map_or_else(Vlans::default, |end| end.vlans)
    }

    /// The EtherType of what follows.
    #[must_use]
    pub fn ethertype(&self) -> u16 {
        walk(self.as_bytes()).map_or(0, |end| end.ethertype)
    }
}

impl fmt::Debug for LinkHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkHeader(")?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}
