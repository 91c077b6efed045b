//! Where frames leave: towards a port, or back to the link. Every way out is counted here and
//! nowhere else.

use tollgate_link::{Frame, Link, Port};
use tollgate_policy::Injected;
use tollgate_tcp::reset::Rst;
use tollgate_wire::forge::{Ends, Forged, HEADER_LEN_MAX};
use tollgate_wire::fragment::Split;
use tollgate_wire::{Datagram, Direction, LinkHeader, Other, Packet};

use crate::Config;
use crate::buffer::Buffer;
use crate::counters::{Cause, Counters, Reason};
use crate::identity::Identity;
use crate::neighbours::Neighbours;
use crate::transit::{self, Made, Transit};

/// The link, what is on its way out through it, and the count.
#[derive(Debug)]
pub(crate) struct Ports<L: Link> {
    pub(crate) link: L,
    pub(crate) counters: Counters,
    pub(crate) neighbours: Neighbours,
    pub(crate) transit: Transit<L::Frame>,
    /// Frames to be sent at the end of the turn, by port.
    a: Outbox<L::Frame>,
    b: Outbox<L::Frame>,
    mtu: u32,
    identification: u32,
    recorded_ends: bool,
}

/// A port's batch. Its capacity never grows: when it is full it is sent before the turn's end.
#[derive(Debug)]
struct Outbox<F> {
    frames: Vec<F>,
    bytes: u64,
}

impl<L: Link> Ports<L> {
    pub(crate) fn new(link: L, neighbours: Neighbours, config: &Config) -> Self {
        let room = OUTBOX_BATCHES * config.batch_max.max(1);
        let outbox = || Outbox { frames: Vec::with_capacity(room), bytes: 0 };
        Self {
            link,
            counters: Counters::default(),
            neighbours,
            transit: Transit::new(config.in_order),
            a: outbox(),
            b: outbox(),
            mtu: config.mtu,
            recorded_ends: config.recorded_ends,
            identification: 0,
        }
    }

    /// Takes a batch in from a port, and counts it.
    pub(crate) fn receive(&mut self, port: Port, batch: &mut Vec<L::Frame>) -> usize {
        let received = self.link.receive(port, batch);
        let bytes = batch.iter().map(|frame| frame.as_ref().len() as u64).sum();
        self.counters.receive(port, received as u64, bytes);
        received
    }

    /// Sends a packet out of `port`.
    ///
    /// Bytes beyond its IP datagram that no minimal frame needs are cut off: they are what trimming
    /// has left behind, or a trailer that nobody has inspected.
    #[inline]
    pub(crate) fn forward(&mut self, packet: Packet<L::Frame>, port: Port) {
        let headers = packet.headers();
        let end = usize::try_from(headers.end).unwrap_or(usize::MAX);
        let padded = end.max(MINIMAL_PAYLOAD + usize::from(headers.ip));
        let too_long = headers.end - u32::from(headers.ip) > self.mtu;
        if too_long {
            return self.split(packet.into_frame(), port);
        }
        let mut frame = packet.into_frame();
        if frame.as_ref().len() > padded {
            // Shorter always fits.
            let fits = frame.set_len(end);
            debug_assert!(fits);
        }
        self.send(frame, port);
    }

    /// Clears the urgent pointer: stacks disagree on which byte it takes out of the stream, and no
    /// stack reads the same with it as without.
    #[cold]
    pub(crate) fn clear_urgent(&mut self, packet: &mut Packet<L::Frame>) {
        packet.clear_urgent();
        self.counters.urgent_cleared += 1;
    }

    /// Lets a packet live as long as its sender's other packets do: what ends the connection here, or
    /// was shown to rules, shall end it at its receiver, and be read there. Only for the first RST of a
    /// connection and for bytes that leave for the first time, or a packet that goes round in circles
    /// would live for ever.
    #[cold]
    pub(crate) fn raise_ttl(&mut self, packet: &mut Packet<L::Frame>, ttl: u8) {
        packet.set_ttl(ttl);
        self.counters.ttls_raised += 1;
    }

    /// Lets a frame that is not TCP cross.
    pub(crate) fn pass(&mut self, frame: L::Frame, port: Port, other: Other) {
        self.counters.pass(other);
        self.send_whole(frame, port);
    }

    /// Sends a frame of any protocol; a datagram that rules have made too long leaves in fragments.
    pub(crate) fn send_whole(&mut self, frame: L::Frame, port: Port) {
        if self.is_too_long(frame.as_ref()) {
            return self.split(frame, port);
        }
        self.send(frame, port);
    }

    /// Sends a packet that is too long for the port in fragments: as it came, if not in the same pieces.
    #[cold]
    fn split(&mut self, whole: L::Frame, port: Port) {
        let identification = self.next_identification();
        let mtu = usize::try_from(self.mtu).unwrap_or(usize::MAX);
        let cause = match Split::new(whole.as_ref(), identification, mtu) {
            Some(pieces) => self.send_pieces(pieces, port).err(),
            None => Some(Cause::FragmentBroken),
        };
        match cause {
            Some(cause) => self.drop(whole, Reason::Cause(cause)),
            None => self.merge(whole),
        }
    }

    /// Sends all pieces, or says why not.
    pub(crate) fn send_pieces(&mut self, mut pieces: Split<'_>, port: Port) -> Result<(), Cause> {
        while !pieces.is_done() {
            let mut frame = self.forge().ok_or(Cause::FrameShortage)?;
            let written = frame.set_len(frame.capacity())
                && pieces.write(frame.as_mut()).is_some_and(|len| frame.set_len(len));
            if !written {
                self.unforge(frame);
                return Err(Cause::FragmentTooLong);
            }
            self.send(frame, port);
        }
        Ok(())
    }

    #[inline]
    fn is_too_long(&self, frame: &[u8]) -> bool {
        let too_long = |link_len: usize| (frame.len() - link_len) as u64 > u64::from(self.mtu);
        frame.len() > LINK_HEADER_LEN
            && too_long(LINK_HEADER_LEN)
            && Datagram::of(frame) == Datagram::Whole
            && LinkHeader::of(frame).is_some_and(|link| too_long(link.as_bytes().len()))
    }

    /// Sends a frame, or lets it wait until rules have seen it.
    #[inline]
    pub(crate) fn send(&mut self, frame: L::Frame, port: Port) {
        if self.transit.is_direct() {
            self.post(frame, port);
        } else if self.transit.gated {
            self.transit.depart(frame, port);
        } else {
            self.post_in_order(frame, port);
        }
    }

    /// Puts a frame into a port's batch; one that a rule made leaves at once if the order matters.
    pub(crate) fn post_in_order(&mut self, frame: L::Frame, port: Port) {
        let at_once = self.transit.leaves_at_once();
        if at_once {
            self.flush();
        }
        self.post(frame, port);
        if at_once {
            self.flush();
        }
    }

    /// Sends a frame that a rule made, behind what is to leave already.
    pub(crate) fn send_made(&mut self, made: Made<L::Frame>) {
        let generation = std::mem::replace(&mut self.transit.generation, made.generation);
        self.send(made.frame, made.port.peer());
        self.transit.generation = generation;
    }

    /// Writes a frame that a rule made, if there may be another.
    #[cold]
    pub(crate) fn make(&mut self, injected: &Injected) -> Option<Made<L::Frame>> {
        let made = self.try_make(injected);
        match made {
            Some(_) => self.counters.injected += 1,
            None => self.counters.injected_lost += 1,
        }
        made
    }

    fn try_make(&mut self, injected: &Injected) -> Option<Made<L::Frame>> {
        let generation = self.transit.next_generation()?;
        let mut frame = self.forge()?;
        if injected.frame.len() < LINK_HEADER_LEN || !fill(&mut frame, &injected.frame) {
            self.unforge(frame);
            return None;
        }
        let port = transit::port(injected.from);
        Some(Made { frame, port, route: injected.route, generation })
    }

    /// Puts a frame into a port's batch.
    #[inline]
    fn post(&mut self, frame: L::Frame, port: Port) {
        if self.outbox(port).is_full() {
            self.flush_port(port);
        }
        let outbox = self.outbox(port);
        outbox.bytes += frame.as_ref().len() as u64;
        outbox.frames.push(frame);
    }

    /// Gives a frame back to the link, and counts why.
    pub(crate) fn drop(&mut self, frame: L::Frame, reason: Reason) {
        self.counters.drop(reason);
        self.link.release(frame);
    }

    /// The same for a buffer of the reassembler; the frame of a small one is gone already.
    pub(crate) fn drop_buffer(&mut self, buffer: Buffer<L::Frame>, reason: Reason) {
        if let Some(packet) = buffer.into_packet() {
            self.drop(packet.into_frame(), reason);
        }
    }

    /// Gives a frame back whose bytes went on in another.
    pub(crate) fn merge(&mut self, frame: L::Frame) {
        self.counters.merged += 1;
        self.link.release(frame);
    }

    /// An empty frame to write in, counted.
    pub(crate) fn forge(&mut self) -> Option<L::Frame> {
        let frame = self.link.frame()?;
        self.counters.forged += 1;
        Some(frame)
    }

    /// Gives a frame back in which nothing was written.
    pub(crate) fn unforge(&mut self, frame: L::Frame) {
        self.counters.forged -= 1;
        self.link.release(frame);
    }

    /// The identification for a datagram that is to be cut up.
    const fn next_identification(&mut self) -> u32 {
        self.identification = self.identification.wrapping_add(1);
        self.identification
    }

    /// Forges a RST as if it came from the other end: its addresses, VLANs, time to live and flow
    /// label, as far as they have been seen.
    pub(crate) fn rst(&mut self, about: &Identity, rst: &Rst) {
        if self.try_rst(about, rst).is_some() {
            self.counters.rsts += 1;
        } else {
            self.counters.rsts_failed += 1;
        }
    }

    fn try_rst(&mut self, about: &Identity, rst: &Rst) -> Option<()> {
        let mut ends = self.ends(about, rst.to)?;
        if self.recorded_ends {
            // As Haka writes it.
            ends = Ends { ttl: 64, traffic_class: 0, may_fragment: true, ..ends };
        }
        let frame = self.forge()?;
        self.write(about, rst.to, &Forged::rst(ends, rst.seq, rst.ack), [&[], &[]], frame)
    }

    /// Writes a segment that travels in `direction` into an empty frame, and sends it. None, and the
    /// frame is dropped, if it does not fit.
    pub(crate) fn write(
        &mut self,
        about: &Identity,
        direction: Direction,
        forged: &Forged,
        payload: [&[u8]; 2],
        mut frame: L::Frame,
    ) -> Option<()> {
        // Where it leaves is where the packets of its direction leave.
        let port = about.routes[direction].port.peer();
        let most = HEADER_LEN_MAX + payload[0].len() + payload[1].len();
        let written = frame.set_len(frame.capacity().min(most))
            && forged.write(payload, frame.as_mut()).is_some_and(|len| frame.set_len(len));
        if written {
            self.send(frame, port);
            Some(())
        } else {
            self.unforge(frame);
            None
        }
    }

    /// How a packet that travels in `direction` looks.
    pub(crate) fn ends(&self, about: &Identity, direction: Direction) -> Option<Ends> {
        let (from, to) = about.ends(direction);
        let route = &about.routes[direction];
        // An end that has not spoken yet is imitated from what was sent to it.
        let reversed = &about.routes[direction.reverse()];
        let link = match self.neighbours.get(route.neighbour) {
            Some(header) => *header,
            None => self.neighbours.get(reversed.neighbour)?.reversed(),
        };
        Some(Ends {
            link,
            from,
            to,
            ttl: about.ttl[direction],
            traffic_class: route.traffic_class,
            flow_label: route.flow_label,
            may_fragment: false,
        })
    }

    /// Sends what is waiting.
    pub(crate) fn flush(&mut self) {
        for port in Port::BOTH {
            self.flush_port(port);
        }
    }

    fn flush_port(&mut self, port: Port) {
        let outbox = match port {
            Port::A => &mut self.a,
            Port::B => &mut self.b,
        };
        if outbox.frames.is_empty() {
            return;
        }
        let sent = self.link.transmit(port, &mut outbox.frames);
        // Waiting for room would only move the loss, and add latency to it.
        let mut left_bytes = 0;
        for frame in outbox.frames.drain(..) {
            left_bytes += frame.as_ref().len() as u64;
            self.counters.drop(Reason::Cause(Cause::TransmitFull));
            self.link.release(frame);
        }
        self.counters.transmit(port, sent as u64, outbox.bytes.saturating_sub(left_bytes));
        outbox.bytes = 0;
    }

    const fn outbox(&mut self, port: Port) -> &mut Outbox<L::Frame> {
        match port {
            Port::A => &mut self.a,
            Port::B => &mut self.b,
        }
    }

    /// The longest IP packet that may leave.
    pub(crate) const fn mtu(&self) -> u32 {
        self.mtu
    }
}

/// Makes a frame hold these bytes; false, and it is as it was, if it cannot.
#[must_use]
pub(crate) fn fill(frame: &mut impl Frame, bytes: &[u8]) -> bool {
    let fits = frame.set_len(bytes.len());
    if fits {
        frame.as_mut().copy_from_slice(bytes);
    }
    fits
}

impl<F> Outbox<F> {
    fn is_full(&self) -> bool {
        self.frames.len() == self.frames.capacity()
    }
}

/// Both directions' batches may turn to one port, and gaps that close let more go at once.
const OUTBOX_BATCHES: usize = 4;
/// An Ethernet header without tags: a port may stop at what is shorter.
pub(crate) const LINK_HEADER_LEN: usize = 14;
/// IEEE 802.3 pads a frame's payload to 46 bytes.
const MINIMAL_PAYLOAD: usize = 46;
