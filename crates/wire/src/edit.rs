//! Changing a packet in place, such that its lengths and checksums stay right.

use std::ops::Range;

use crate::checksum::update;
use crate::{Flags, IpVersion, Packet, Seq, options, sack};

/// Offsets in the TCP header.
mod field {
    pub(super) const SEQ: usize = 4;
    pub(super) const ACK: usize = 8;
    pub(super) const FLAGS: usize = 12;
    pub(super) const WINDOW: usize = 14;
    pub(super) const CHECKSUM: usize = 16;
    pub(super) const URGENT: usize = 18;
}

impl<F: AsRef<[u8]> + AsMut<[u8]>> Packet<F> {
    /// The bytes that TCP carries, to be changed; [`Self::complete_checksum`] afterwards.
    #[must_use]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let payload = usize::from(self.headers.payload)..self.end();
        self.frame.as_mut().get_mut(payload).unwrap_or_default()
    }

    /// Computes the TCP checksum over the whole segment, whatever the field held.
    pub fn complete_checksum(&mut self) {
        let at = usize::from(self.headers.tcp) + field::CHECKSUM;
        self.put(at, &[0, 0]);
        let checksum = self.pseudo_header().bytes(self.segment()).complement();
        self.put(at, &checksum);
    }

    /// Sets the sequence number. The checksum is updated for it, and so must be a complete one, as
    /// for the other numbers.
    pub fn set_seq(&mut self, seq: Seq) {
        self.headers.seq = seq;
        self.patch(field::SEQ, seq.0.to_be_bytes());
    }

    /// Sets the acknowledgment number.
    pub fn set_ack(&mut self, ack: Seq) {
        self.headers.ack = ack;
        self.patch(field::ACK, ack.0.to_be_bytes());
    }

    /// Sets the window, as it stands in the header.
    pub fn set_window(&mut self, window: u16) {
        self.headers.window = window;
        self.patch(field::WINDOW, window.to_be_bytes());
    }

    /// Sets or clears FIN and PSH.
    pub fn set_ending(&mut self, fin: bool, push: bool) {
        let mut flags = self.headers.flags;
        flags.set(Flags::FIN, fin);
        flags.set(Flags::PSH, push);
        self.headers.flags = flags;
        let at = usize::from(self.headers.tcp) + field::FLAGS;
        let rest = u16::from_be_bytes(self.read(at)) & !Flags::all().bits();
        self.patch(field::FLAGS, (rest | flags.bits()).to_be_bytes());
    }

    /// Replaces each SACK block, the first with index 0, by what `map` makes of it, or takes it out:
    /// the rest move together, and NOPs fill up.
    pub fn map_sack(&mut self, map: impl Fn(usize, (Seq, Seq)) -> Option<(Seq, Seq)>) {
        self.change_options(|options| sack::map(options, map));
    }

    /// Moves the TSval of its timestamps option (RFC 7323) on to `value`, if it has one that is older.
    pub fn raise_timestamp(&mut self, value: u32) {
        self.change_options(|options| options::raise_timestamp(options, value));
    }

    /// Changes the bytes of the options where they stand; the checksum is updated for it.
    fn change_options(&mut self, change: impl FnOnce(&mut [u8])) {
        let options = usize::from(self.headers.tcp) + 20..usize::from(self.headers.payload);
        let Some(options) = self.frame.as_mut().get_mut(options) else { return };
        // A header has 40 bytes of options at most, a multiple of four.
        let mut old = [0; 40];
        let Some(old) = old.get_mut(..options.len()) else { return };
        old.copy_from_slice(options);
        change(options);
        let mut new = [0; 40];
        let Some(new) = new.get_mut(..options.len()) else { return };
        new.copy_from_slice(options);
        let at = usize::from(self.headers.tcp) + field::CHECKSUM;
        let checksum = update(self.read(at), old, new);
        self.put(at, &checksum);
    }

    /// Replaces the payload by `payload`, one piece behind the other. Returns false, and changes
    /// nothing, when the frame is too short for it or an IP datagram cannot be as long: its owner has
    /// to make room ([`Self::frame_mut`]). Both checksums are right afterwards, whatever they were.
    #[must_use]
    pub fn set_payload(&mut self, payload: [&[u8]; 2]) -> bool {
        let start = usize::from(self.headers.payload);
        let (middle, end) = (start + payload[0].len(), start + payload[0].len() + payload[1].len());
        if end - usize::from(self.headers.ip) > usize::from(u16::MAX) {
            return false;
        }
        let Some(room) = self.frame.as_mut().get_mut(start..end) else { return false };
        let (one, other) = room.split_at_mut(middle - start);
        one.copy_from_slice(payload[0]);
        other.copy_from_slice(payload[1]);
        self.headers.end = u32::try_from(end).unwrap_or(u32::MAX);
        self.put_ip_len();
        self.complete_checksum();
        true
    }

    /// Copies its headers in front of `payload` in another frame, which must be long enough; else it
    /// is given back.
    ///
    /// # Errors
    ///
    /// Gives the frame back when it is too short.
    pub fn with_payload<G: AsRef<[u8]> + AsMut<[u8]>>(
        &self,
        mut frame: G,
        payload: [&[u8]; 2],
    ) -> Result<Packet<G>, G> {
        let headers = ..usize::from(self.headers.payload);
        let (Some(from), Some(to)) =
            (self.frame.as_ref().get(headers), frame.as_mut().get_mut(headers))
        else {
            return Err(frame);
        };
        to.copy_from_slice(from);
        let mut packet = Packet { frame, headers: self.headers };
        if packet.set_payload(payload) { Ok(packet) } else { Err(packet.frame) }
    }

    /// Keeps these bytes of the payload and no others.
    ///
    /// The kept bytes move up to the header, the sequence number follows the first of them, and the
    /// IP length follows. A SYN stays if the first payload byte stays (`keep.start` is 0), since it
    /// stands before that byte; else it is cleared. A FIN stays if it was there and `keep_fin` says
    /// so. Both checksums are right afterwards, **whatever they were before**: who trims must have
    /// checked. Afterwards `headers().end` is the length of the frame, which its owner has to set.
    ///
    /// A range beyond the payload is cut to it. A SYN without ACK (Fast Open) that loses its first
    /// byte is a segment that no receiver takes: nothing in it was acknowledged, so it sends again.
    pub fn trim(&mut self, keep: Range<u32>, keep_fin: bool) {
        let len = self.headers.payload_len();
        let start = keep.start.min(len);
        let end = keep.end.clamp(start, len);
        debug_assert_eq!((start, end), (keep.start, keep.end), "keeps what is not there");

        // (1) The payload.
        let payload = usize::from(self.headers.payload);
        if let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end))
            && from > 0
            && payload + to <= self.frame.as_ref().len()
        {
            self.frame.as_mut().copy_within(payload + from..payload + to, payload);
        }

        // (2) Sequence number and flags.
        let mut flags = self.headers.flags;
        if start > 0 {
            let syn = u32::from(flags.contains(Flags::SYN));
            flags.remove(Flags::SYN);
            self.headers.seq += start + syn;
        }
        if !keep_fin {
            flags.remove(Flags::FIN);
        }
        self.headers.flags = flags;
        let tcp = usize::from(self.headers.tcp);
        self.put(tcp + field::SEQ, &self.headers.seq.0.to_be_bytes());
        self.put_flags(flags);

        // (3) Lengths and checksums.
        self.headers.end = u32::from(self.headers.payload) + (end - start);
        self.put_ip_len();
        self.complete_checksum();
    }

    /// Clears the URG bit and the urgent pointer: stacks disagree on which byte the pointer takes
    /// out of the stream, so nobody downstream may see one. The checksum is updated for it, and so
    /// must be a complete one (see [`crate::Checksum::Partial`]).
    pub fn clear_urgent(&mut self) {
        let tcp = usize::from(self.headers.tcp);
        let old = self.covered(tcp);
        self.headers.flags.remove(Flags::URG);
        self.headers.urgent = 0;
        self.put_flags(self.headers.flags);
        self.put(tcp + field::URGENT, &[0, 0]);
        let new = self.covered(tcp);
        if old != new {
            let checksum = update(self.read(tcp + field::CHECKSUM), &old, &new);
            self.put(tcp + field::CHECKSUM, &checksum);
        }
    }

    /// Sets the time to live, or hop limit. The IPv4 header checksum follows.
    pub fn set_ttl(&mut self, ttl: u8) {
        let ip = usize::from(self.headers.ip);
        match self.headers.ip_version {
            IpVersion::V4 => {
                // The word of the checksum that it shares with the protocol.
                let old: [u8; 2] = self.read(ip + 8);
                let new = [ttl, old[1]];
                let checksum = update(self.read(ip + 10), &old, &new);
                self.put(ip + 8, &new);
                self.put(ip + 10, &checksum);
            }
            IpVersion::V6 => self.put(ip + 7, &[ttl]),
        }
        self.headers.ttl = ttl;
    }

    /// Changes a field of the TCP header that lies at an even offset, and the checksum for it.
    fn patch<const N: usize>(&mut self, offset: usize, new: [u8; N]) {
        let tcp = usize::from(self.headers.tcp);
        let old: [u8; N] = self.read(tcp + offset);
        if old != new {
            let checksum = update(self.read(tcp + field::CHECKSUM), &old, &new);
            self.put(tcp + field::CHECKSUM, &checksum);
            self.put(tcp + offset, &new);
        }
    }

    /// Flags and urgent pointer, in words as the checksum counts them.
    fn covered(&self, tcp: usize) -> [u8; 4] {
        let [a, b] = self.read(tcp + field::FLAGS);
        let [c, d] = self.read(tcp + field::URGENT);
        [a, b, c, d]
    }

    fn put_flags(&mut self, flags: Flags) {
        let at = usize::from(self.headers.tcp) + field::FLAGS;
        // Data offset and reserved bits share the word with the flags.
        let rest = u16::from_be_bytes(self.read(at)) & !Flags::all().bits();
        self.put(at, &(rest | flags.bits()).to_be_bytes());
    }

    fn put_ip_len(&mut self) {
        let ip = usize::from(self.headers.ip);
        let len = u16::try_from(self.ip_len()).unwrap_or(u16::MAX);
        match self.headers.ip_version {
            IpVersion::V4 => {
                let (old, new) = (self.read::<2>(ip + 2), len.to_be_bytes());
                let checksum = update(self.read(ip + 10), &old, &new);
                self.put(ip + 2, &new);
                self.put(ip + 10, &checksum);
            }
            IpVersion::V6 => self.put(ip + 4, &len.saturating_sub(40).to_be_bytes()),
        }
    }

    fn read<const N: usize>(&self, at: usize) -> [u8; N] {
        let rest = self.frame.as_ref().get(at..).unwrap_or_default();
        rest.first_chunk().copied().unwrap_or([0; N])
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(field) = self.frame.as_mut().get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }
}
