//! What the gate sends on, byte by byte: every copy of a byte must be the one byte that the receiver is
//! to get there, however the copies are cut.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::crowd::{Edit, FIRST_PORT, Speaker, speech};
use crate::raw_peer::{FIN, SYN};
use crate::road::Onlooker;

/// Faults that are kept; one is enough to fail.
const FAULTS_MAX: usize = 20;

/// What was seen on the way to one end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Testimony {
    /// Bytes of payload.
    pub(crate) bytes: u64,
    /// Of them, those that had left before.
    pub(crate) repeated: u64,
    /// What should not have left.
    pub(crate) faults: Vec<String>,
}

/// Looks at what one end of every connection is sent.
pub(crate) struct Witness {
    speaker: Speaker,
    edit: Edit,
    flows: HashMap<u16, Seen>,
    testimony: Arc<Mutex<Testimony>>,
}

/// One direction of a connection.
struct Seen {
    /// The sequence number of its first byte.
    first: u32,
    wanted: Vec<u8>,
    /// Bytes that have left, from the first on.
    left: usize,
}

impl Witness {
    /// Of what `speaker` says.
    pub(crate) fn watch(speaker: Speaker, edit: Edit) -> (Onlooker, Arc<Mutex<Testimony>>) {
        let testimony = Arc::new(Mutex::new(Testimony::default()));
        let flows = HashMap::new();
        let mut witness = Self { speaker, edit, flows, testimony: Arc::clone(&testimony) };
        let onlooker = move |frame: &[u8]| {
            let _ = witness.look(frame);
        };
        (Box::new(onlooker), testimony)
    }

    /// None for what is no segment of our connections.
    fn look(&mut self, frame: &[u8]) -> Option<()> {
        let segment = Segment::parse(frame)?;
        let number = match self.speaker {
            Speaker::Client => segment.ports[0],
            Speaker::Server => segment.ports[1],
        };
        let number = number.checked_sub(FIRST_PORT)?;
        if segment.flags & SYN != 0 {
            let first = segment.seq.wrapping_add(1);
            let (speaker, edit) = (self.speaker, self.edit);
            let seen = self.flows.entry(number).or_insert_with(|| Seen {
                first,
                wanted: edit(number, speaker, speech(number, speaker)),
                left: 0,
            });
            // A late copy of a SYN may open at an end that has done with the connection, on a bare wire, too.
            if seen.first != first && seen.left < seen.wanted.len() {
                self.fault(number, &segment, "another first number");
            }
            return Some(());
        }
        let seen = self.flows.get_mut(&number)?;
        let at = segment.seq.wrapping_sub(seen.first).cast_signed();
        // A keep-alive stands before what was acknowledged, a RST anywhere.
        let Ok(at) = usize::try_from(at) else { return Some(()) };
        let end = at + segment.payload.len();
        let is_right = seen.wanted.get(at..end) == Some(segment.payload);
        let ends_right = segment.flags & FIN == 0 || end == seen.wanted.len();
        let repeated = seen.left.clamp(at, end) - at;
        if at <= seen.left {
            seen.left = seen.left.max(end);
        }
        if !segment.payload.is_empty() && !is_right {
            self.fault(number, &segment, "bytes that are not those of this place");
        }
        if !ends_right {
            self.fault(number, &segment, "an end in the wrong place");
        }
        let mut testimony = self.testimony.lock().unwrap_or_else(PoisonError::into_inner);
        testimony.bytes += segment.payload.len() as u64;
        testimony.repeated += repeated as u64;
        Some(())
    }

    fn fault(&self, number: u16, segment: &Segment<'_>, what: &str) {
        let mut testimony = self.testimony.lock().unwrap_or_else(PoisonError::into_inner);
        if testimony.faults.len() < FAULTS_MAX {
            let seen = &self.flows[&number];
            testimony.faults.push(format!(
                "connection {number}, what the {:?} says: {what}: {} bytes at {} of {}, flags {:#x}, \
                 {} had left",
                self.speaker,
                segment.payload.len(),
                segment.seq.wrapping_sub(seen.first),
                seen.wanted.len(),
                segment.flags,
                seen.left
            ));
        }
    }
}

/// TCP over IPv4 or IPv6 without extension headers, whole.
struct Segment<'a> {
    ports: [u16; 2],
    seq: u32,
    flags: u8,
    payload: &'a [u8],
}

impl<'a> Segment<'a> {
    fn parse(frame: &'a [u8]) -> Option<Self> {
        let half = |bytes: &[u8], at| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let ip = frame.get(14..)?;
        // Short frames are padded: only the length in the header tells where they end.
        let tcp = match half(frame, 12)? {
            0x0800 => ip.get(usize::from(ip[0] & 15) * 4..usize::from(half(ip, 2)?))?,
            0x86dd => ip.get(40..40 + usize::from(half(ip, 4)?))?,
            _ => return None,
        };
        Some(Self {
            ports: [half(tcp, 0)?, half(tcp, 2)?],
            seq: u32::from_be_bytes(*tcp.get(4..)?.first_chunk()?),
            flags: *tcp.get(13)?,
            payload: tcp.get(usize::from(tcp[12] >> 4) * 4..)?,
        })
    }
}
