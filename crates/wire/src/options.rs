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

/// Option kinds (IANA).
mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const MSS: u8 = 2;
    pub(super) const WINDOW_SCALE: u8 = 3;
    pub(super) const SACK_PERMITTED: u8 = 4;
    pub(super) const SACK: u8 = 5;
    pub(super) const TIMESTAMPS: u8 = 8;
    pub(super) const MD5: u8 = 19;
    pub(super) const AUTHENTICATION: u8 = 29;
    pub(super) const FAST_OPEN: u8 = 34;
    /// Shared by experiments, told apart by the next two bytes (RFC 6994).
    pub(super) const EXPERIMENT: u8 = 254;
}

/// Fast Open's number among the experiments (RFC 7413 section 4.1.1).
const EXPERIMENT_FAST_OPEN: [u8; 2] = [0xf9, 0x89];

/// Moves the TSval in the bytes of a header's options on to `value`, if it is older.
pub(crate) fn raise_timestamp(mut options: &mut [u8], value: u32) {
    loop {
        let len = match *options {
            [] | [kind::END, ..] => return,
            [kind::NOP, ..] => 1,
            [_, len, ..] if len >= 2 => usize::from(len),
            _ => return,
        };
        let Some((option, rest)) = options.split_at_mut_checked(len) else { return };
        if let [kind::TIMESTAMPS, 10, field @ ..] = option
            && let Some((old, _)) = field.split_first_chunk_mut::<4>()
            && value.wrapping_sub(u32::from_be_bytes(*old)).cast_signed() > 0
        {
            *old = value.to_be_bytes();
        }
        options = rest;
    }
}

impl Options {
    /// Reads the bytes between the fixed header and the payload; at most 40 in a real segment.
    ///
    /// As Linux does, the last of several equal options wins, and an option of known kind but wrong
    /// length is passed over. SACK blocks are an exception: those of several options count together,
    /// for which option a receiver reads differs, and no header has room for more than four.
    #[must_use]
    #[inline]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut options = Self::default();
        options.read(bytes);
        options
    }

    /// The same, into a value that says nothing yet.
    #[inline]
    pub fn read(&mut self, bytes: &[u8]) {
        match (bytes.is_empty(), Self::plain_timestamps(bytes)) {
            (true, _) => {}
            (false, Some(timestamps)) => self.timestamps = Some(timestamps),
            (false, None) => self.read_any(bytes),
        }
    }

    /// What nearly every segment has: NOP, NOP, timestamps, and nothing else.
    #[inline]
    pub(crate) const fn plain_timestamps(bytes: &[u8]) -> Option<Timestamps> {
        match *bytes {
            [1, 1, 8, 10, v0, v1, v2, v3, e0, e1, e2, e3] => Some(Timestamps {
                value: u32::from_be_bytes([v0, v1, v2, v3]),
                echo: u32::from_be_bytes([e0, e1, e2, e3]),
            }),
            _ => None,
        }
    }

    fn read_any(&mut self, mut bytes: &[u8]) {
        loop {
            bytes = match *bytes {
                [] | [kind::END, ..] => return,
                [kind::NOP, ref rest @ ..] => rest,
                [kind, len, ref rest @ ..] if len >= 2 => {
                    let Some((body, rest)) = rest.split_at_checked(usize::from(len) - 2) else {
                        self.malformed = true;
                        return;
                    };
                    self.take(kind, body);
                    rest
                }
                _ => {
                    self.malformed = true;
                    return;
                }
            };
        }
    }

    fn take(&mut self, kind: u8, body: &[u8]) {
        match (kind, body) {
            (kind::MSS, &[a, b]) => self.mss = Some(u16::from_be_bytes([a, b])),
            (kind::WINDOW_SCALE, &[shift]) => self.window_scale = Some(shift),
            (kind::SACK_PERMITTED, []) => self.sack_permitted = true,
            (kind::SACK, blocks) if blocks.len().is_multiple_of(8) => {
                let (blocks, _) = blocks.as_chunks::<8>();
                let free = self.sack.iter_mut().filter(|slot| slot.is_none());
                for (slot, &[a, b, c, d, e, f, g, h]) in free.zip(blocks) {
                    let edge = |bytes| Seq(u32::from_be_bytes(bytes));
                    *slot = Some((edge([a, b, c, d]), edge([e, f, g, h])));
                }
            }
            (kind::TIMESTAMPS, &[v0, v1, v2, v3, e0, e1, e2, e3]) => {
                self.timestamps = Some(Timestamps {
                    value: u32::from_be_bytes([v0, v1, v2, v3]),
                    echo: u32::from_be_bytes([e0, e1, e2, e3]),
                });
            }
            (kind::MD5 | kind::AUTHENTICATION, _) => self.signed = true,
            (kind::FAST_OPEN, _) => self.fast_open = true,
            (kind::EXPERIMENT, body) if body.starts_with(&EXPERIMENT_FAST_OPEN) => {
                self.fast_open = true;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_moves_on_and_never_back() {
        let options = |value: u8| [3, 3, 7, 1, 1, 8, 10, 0, 0, 0, value, 9, 9, 9, 9];
        for (value, becomes) in [(5, 6), (6, 6), (7, 7)] {
            let mut bytes = options(value);
            raise_timestamp(&mut bytes, 6);
            assert_eq!(bytes, options(becomes));
        }
        let mut short = [8, 9, 0, 0, 0, 1];
        raise_timestamp(&mut short, 6);
        assert_eq!(short, [8, 9, 0, 0, 0, 1]);
    }
}
