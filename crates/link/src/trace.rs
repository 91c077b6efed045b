//! A link around a link that writes one line for every frame.

use std::fmt;
use std::io::Write;

use tollgate_wire::{Checksum, Flags, Packet, Refusal, Timestamp};

use crate::shunt::{NoShunt, Shunt, Shunted, Way};
use crate::{Link, Port};

/// The link. What arrives is written as `a > …`, what is sent as `… > b`; frames that are released
/// or forged show only when they are sent.
///
/// A line that cannot be written is counted and forgotten: tracing must not stop the traffic.
#[derive(Debug)]
pub struct Trace<L, W> {
    inner: L,
    out: W,
    time: Option<Timestamp>,
    lost: u64,
}

impl<L, W: Write> Trace<L, W> {
    /// Writes to `out`; a buffered writer, if many frames are to come.
    pub const fn new(inner: L, out: W) -> Self {
        Self { inner, out, time: None, lost: 0 }
    }

    /// The time to be written in front of the lines that follow.
    pub const fn at(&mut self, now: Timestamp) {
        self.time = Some(now);
    }

    /// Lines that could not be written.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// The link inside.
    #[must_use]
    pub const fn inner(&self) -> &L {
        &self.inner
    }

    /// The link inside, to be changed.
    #[must_use]
    pub const fn inner_mut(&mut self) -> &mut L {
        &mut self.inner
    }

    /// Both parts.
    pub fn into_parts(self) -> (L, W) {
        (self.inner, self.out)
    }
}

impl<L: Link, W: Write> Link for Trace<L, W> {
    type Frame = L::Frame;

    fn receive(&mut self, port: Port, batch: &mut Vec<L::Frame>) -> usize {
        let before = batch.len();
        let count = self.inner.receive(port, batch);
        for frame in batch.get(before..).unwrap_or_default() {
            let line = format_args!("{} > {}", port.name(), Line(frame.as_ref()));
            self.lost += u64::from(write(&mut self.out, self.time, line).is_err());
        }
        count
    }

    fn transmit(&mut self, port: Port, batch: &mut Vec<L::Frame>) -> usize {
        // What was taken is gone afterwards, so the lines are made before; those of frames that did
        // not fit are thrown away.
        let lines: Vec<String> = batch
            .iter()
            .map(|frame| format!("{} > {}", Line(frame.as_ref()), port.name()))
            .collect();
        let count = self.inner.transmit(port, batch);
        for line in lines.iter().take(count) {
            let line = format_args!("{line}");
            self.lost += u64::from(write(&mut self.out, self.time, line).is_err());
        }
        count
    }

    fn release(&mut self, frame: L::Frame) {
        self.inner.release(frame);
    }

    fn frame(&mut self) -> Option<L::Frame> {
        self.inner.frame()
    }

    fn shunt(&mut self, shunt: &Shunt) -> Result<(), NoShunt> {
        self.inner.shunt(shunt)
    }

    fn shunted(&mut self, way: &Way) -> Option<Shunted> {
        self.inner.shunted(way)
    }

    fn unshunt(&mut self, way: &Way) -> Option<Shunted> {
        self.inner.unshunt(way)
    }
}

fn write(
    out: &mut impl Write,
    time: Option<Timestamp>,
    line: fmt::Arguments<'_>,
) -> std::io::Result<()> {
    match time {
        Some(time) => writeln!(out, "{time} {line}"),
        None => writeln!(out, "{line}"),
    }
}

/// One frame as one line:
/// `198.18.0.1:40000 > 198.18.0.2:80 [S.] seq 1 ack 2 win 512 len 0`.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a>(pub &'a [u8]);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packet = match Packet::parse(self.0) {
            Ok(packet) => packet,
            Err(rejected) => return refused(f, rejected.why, self.0.len()),
        };
        let headers = packet.headers();
        let from = headers.key.endpoint(headers.source);
        let to = headers.key.endpoint(headers.source.other());
        write!(f, "{from} > {to} [{}] seq {}", Letters(headers.flags), headers.seq)?;
        if headers.flags.contains(Flags::ACK) {
            write!(f, " ack {}", headers.ack)?;
        }
        write!(f, " win {} len {}", headers.window, headers.payload_len())?;
        if headers.flags.contains(Flags::URG) {
            write!(f, " urg {}", headers.urgent)?;
        }
        let vlans = headers.key.vlans();
        for id in [vlans.outer, vlans.inner].into_iter().filter(|id| *id != 0) {
            write!(f, " vlan {id}")?;
        }
        match packet.checksum() {
            Checksum::Good => Ok(()),
            Checksum::Partial => f.write_str(" checksum partial"),
            Checksum::Bad => f.write_str(" checksum BAD"),
        }
    }
}

fn refused(f: &mut fmt::Formatter<'_>, why: Refusal, len: usize) -> fmt::Result {
    match why {
        Refusal::Other(other) => write!(f, "{}, {len} bytes", other.name()),
        Refusal::Fragment => write!(f, "fragment, {len} bytes"),
        Refusal::Malformed(malformed) => write!(f, "malformed: {malformed}, {len} bytes"),
    }
}

/// Flags as capture tools write them: `S.` is SYN with ACK.
struct Letters(Flags);

impl fmt::Display for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [(Flags, &str); 9] = [
            (Flags::SYN, "S"),
            (Flags::FIN, "F"),
            (Flags::RST, "R"),
            (Flags::PSH, "P"),
            (Flags::URG, "U"),
            (Flags::ECE, "E"),
            (Flags::CWR, "W"),
            (Flags::AE, "e"),
            (Flags::ACK, "."),
        ];
        let mut set = LETTERS.iter().filter(|(flag, _)| self.0.contains(*flag));
        set.try_for_each(|(_, letter)| f.write_str(letter))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tollgate_wire::forge::{Ends, Forged, HEADER_LEN_MAX};
    use tollgate_wire::{Endpoint, LinkHeader, Seq};

    use super::*;
    use crate::memory::MemoryLink;

    fn reset() -> Vec<u8> {
        let ends = Ends {
            link: LinkHeader::new([2; 6], [4; 6], 0).tagged(0x8100, 7).unwrap(),
            from: Endpoint::new(Ipv4Addr::new(198, 18, 0, 1).into(), 40000),
            to: Endpoint::new(Ipv4Addr::new(198, 18, 0, 2).into(), 80),
            ttl: 64,
            traffic_class: 0,
            flow_label: 0,
            may_fragment: false,
        };
        let mut out = vec![0; HEADER_LEN_MAX];
        let rst = Forged::rst(ends, Seq(1), Some(Seq(2)));
        let len = rst.write([&[], &[]], &mut out).unwrap();
        out.truncate(len);
        out
    }

    #[test]
    fn every_frame_is_one_line_with_the_port_it_used() {
        let mut link = Trace::new(MemoryLink::new(), Vec::new());
        link.inner_mut().inject(Port::A, &reset());
        link.inner_mut().inject(Port::A, &[0; 5]);
        let mut batch = Vec::with_capacity(4);
        link.receive(Port::A, &mut batch);
        link.at(Timestamp::from_secs(3));
        link.inner_mut().limit(Port::B, 1);
        link.transmit(Port::B, &mut batch);
        link.release(batch.remove(0));
        let text = String::from_utf8(link.into_parts().1).unwrap();
        let packet = "198.18.0.1:40000 > 198.18.0.2:80 [R.] seq 1 ack 2 win 0 len 0 vlan 7";
        let expected = format!(
            "a > {packet}\na > malformed: frame shorter than its Ethernet header, 5 bytes\n\
             3.000000 {packet} > b\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_damaged_segment_says_so() {
        let mut bytes = reset();
        bytes[14 + 4 + 20 + 5] ^= 1;
        assert!(Line(&bytes).to_string().ends_with("vlan 7 checksum BAD"));
    }
}
