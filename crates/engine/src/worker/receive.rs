//! Stages 1 to 3: frames in, parsed, verified, and brought to the worker that owns their flow.

use tollgate_link::{Link, Port};
use tollgate_policy::Policy;
use tollgate_wire::{Checksum, Malformed, Packet, Refusal, Rejected, Timestamp};

use super::icmp::Notice;
use super::{Arrival, Worker};
use crate::config::Sharding;
use crate::counters::{Cause, Reason};
use crate::flow_table::Foreseen;
use crate::fragments::Gathered;
use crate::mesh::Message;
use crate::rules::FrameEvent;

impl<L: Link, P: Policy> Worker<L, P> {
    /// 1. Takes a batch from each port.
    pub(super) fn receive(&mut self, now: Timestamp) {
        if self.rules.goes_one_by_one() {
            return self.line_up();
        }
        for port in Port::BOTH {
            let mut frames = std::mem::take(&mut self.frames);
            self.ports.receive(port, &mut frames);
            for frame in frames.drain(..) {
                self.admit(frame, port, now);
            }
            self.frames = frames;
        }
    }

    /// Parses one frame and decides where it goes.
    pub(super) fn admit(&mut self, frame: L::Frame, port: Port, now: Timestamp) {
        match Packet::parse(frame) {
            Ok(packet) if packet.checksum() == Checksum::Good => self.arrive(packet, port),
            Ok(packet) => self.verify(packet, port),
            Err(Rejected { frame, why }) => match why {
                Refusal::Other(other) => self.no_tcp(frame, port, other),
                Refusal::Fragment => self.fragment(frame, port, now),
                Refusal::Malformed(why) => self.ports.drop(frame, Reason::Malformed(why)),
            },
        }
    }

    /// Checks the TCP checksum, for what a receiver would not believe we must not either.
    pub(super) fn verify(&mut self, mut packet: Packet<L::Frame>, port: Port) {
        match packet.checksum() {
            Checksum::Good => {}
            Checksum::Partial => {
                packet.complete_checksum();
                self.ports.counters.checksums_completed += 1;
            }
            Checksum::Bad => {
                let why = Reason::Malformed(Malformed::TcpChecksum);
                return self.ports.drop(packet.into_frame(), why);
            }
        }
        self.arrive(packet, port);
    }

    /// Takes a packet that is whole, or hands it over.
    #[inline]
    fn arrive(&mut self, packet: Packet<L::Frame>, port: Port) {
        let hash = self.flows.hash(&packet.headers().key);
        let owner = self.owner(hash);
        if owner == self.config.worker {
            self.arrivals.push(Arrival { packet, port, hash });
        } else {
            self.hand_out(owner, Message::Packet { packet, port, hash });
        }
    }

    /// Brings a fragment to the worker that puts its datagram together, here or elsewhere.
    pub(super) fn fragment(&mut self, frame: L::Frame, port: Port, now: Timestamp) {
        match self.fragments.hash(frame.as_ref()) {
            Ok(hash) => {
                let owner = self.owner(hash);
                if owner == self.config.worker {
                    self.gather(frame, port, now);
                } else {
                    self.hand_out(owner, Message::Fragment { frame, port });
                }
            }
            Err(why) => self.ports.drop(frame, Reason::Malformed(why)),
        }
    }

    /// Keeps a fragment, and goes on with the datagram if it is whole now.
    pub(super) fn gather(&mut self, frame: L::Frame, port: Port, now: Timestamp) {
        let datagram = match self.fragments.push(frame, now, &mut self.ports) {
            Gathered::Whole(datagram) => datagram,
            Gathered::Waits => return,
            Gathered::Spoiled(key) => {
                return self.rules.alert_fragment(&key, now, &mut self.ports.counters);
            }
        };
        if self.rules.wants(FrameEvent::Datagram) {
            return self.show_gathered(datagram, port, now);
        }
        if let Some(whole) = datagram.join(&mut self.ports) {
            self.joined(whole, port);
        }
    }

    /// Goes on with a datagram that has been put together.
    pub(super) fn joined(&mut self, whole: L::Frame, port: Port) {
        match Packet::parse(whole) {
            Ok(packet) => self.verify(packet, port),
            // What is whole is no fragment, so this ends here.
            Err(Rejected { frame, why: Refusal::Malformed(why) }) => {
                self.ports.drop(frame, Reason::Malformed(why));
            }
            Err(Rejected { frame, .. }) => {
                self.ports.drop(frame, Reason::Cause(Cause::FragmentBroken));
            }
        }
    }

    pub(super) fn hand_out(&mut self, owner: usize, message: Message<L::Frame>) {
        match self.mesh.send(owner, message) {
            Ok(()) => self.ports.counters.handed_out += 1,
            Err(back) => self.ports.drop(back.into_frame(), Reason::Cause(Cause::HandOffFull)),
        }
    }

    /// 2. Takes a batch from each other worker.
    pub(super) fn exchange(&mut self, now: Timestamp) {
        if self.rules.goes_one_by_one() {
            return self.line_up_handed();
        }
        let (arrivals, fragments) = (&mut self.arrivals, &mut self.handed);
        let notices = &mut self.notices;
        let mut taken = 0;
        self.mesh.receive(self.config.batch_max, |message| {
            taken += 1;
            match message {
                Message::Packet { packet, port, hash } => {
                    arrivals.push(Arrival { packet, port, hash });
                }
                Message::Fragment { frame, port } => fragments.push((frame, port)),
                Message::IcmpError { frame, error, port, hash } => {
                    notices.push(Notice { frame, error, port, hash, after: arrivals.len() });
                }
            }
        });
        self.ports.counters.handed_in += taken;
        let mut handed = std::mem::take(&mut self.handed);
        for (frame, port) in handed.drain(..) {
            self.gather(frame, port, now);
        }
        self.handed = handed;
    }

    /// 3. Loads what stage 4 will read, for all packets before any.
    pub(super) fn look_ahead(&mut self) {
        for arrival in &self.arrivals {
            self.flows.touch_buckets(arrival.hash);
        }
        let foresee = |arrival: &Arrival<L::Frame>| self.flows.foresee(arrival.hash);
        self.foreseen.clear();
        self.foreseen.extend(self.arrivals.iter().map(foresee));
        self.foreseen_holds = true;
        for foreseen in &self.foreseen {
            if let Foreseen::Number(number) = *foreseen {
                self.flows.touch(number);
            }
        }
        if self.rules.wants_data() {
            for foreseen in &self.foreseen {
                if let Foreseen::Number(number) = *foreseen {
                    self.flows.touch_for_readers(number);
                }
            }
        }
    }

    /// Who owns what has this hash. Other bits than those that the flow table uses first, so that
    /// each worker's share is spread over all of its table.
    pub(super) fn owner(&self, hash: u64) -> usize {
        match self.config.sharding {
            Sharding::Queue => self.config.worker,
            Sharding::Hash => {
                let spread = (hash >> 16) & 0xffff_ffff;
                usize::try_from((spread * self.config.workers as u64) >> 32).unwrap_or(0)
            }
        }
    }
}
