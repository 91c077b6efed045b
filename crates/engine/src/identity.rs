//! What is kept of every connection, half-open or established: who, since when, how much, and how
//! to reach either end.

use std::time::Duration;

use tollgate_link::{Port, shunt};
use tollgate_policy::{self as policy, FlowId, Traffic};
use tollgate_tcp::{State, Timeouts};
use tollgate_wire::{
    Direction, Endpoint, FlowKey, Headers, Packet, PerDirection, ShortKey, Side, Timestamp,
};

use crate::neighbours::{Neighbour, Neighbours};
use crate::zombie::Zombie;

/// Ordered so that what every packet reads and writes comes last, from `last_seen` on: 40 bytes; and first what the long
/// way asks for besides.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Identity {
    /// Since a rule refused the connection: what answers and absorbs its stragglers.
    pub(crate) zombie: Option<Box<Zombie>>,
    /// All of its key, where that is over IPv6.
    pub(crate) long_key: Option<Box<FlowKey>>,
    pub(crate) routes: PerDirection<Route>,
    pub(crate) id: FlowId,
    /// What has been counted, but for the last packets.
    pub(crate) settled: PerDirection<Traffic>,
    pub(crate) tag: u32,
    pub(crate) last_seen: Timestamp,
    pub(crate) recent: PerDirection<Recent>,
    pub(crate) key: ShortKey,
    /// Which endpoint of the key sent the first SYN.
    pub(crate) client: Side,
    /// `end_connection` has been told; no event follows.
    pub(crate) over: bool,
    /// Rules see nothing more of it, though it lives.
    pub(crate) unseen: bool,
    /// Rules see no more of it than its end: it is shunted as soon as it can be, or is.
    pub(crate) released: bool,
    /// The highest time to live that packets of each direction have shown.
    pub(crate) ttl: PerDirection<u8>,
    /// Which way its packets may go.
    pub(crate) way: Way,
}

/// Which way packets go that are as nearly all are.
///
/// In two bytes, for what tells a free record from one in use lies in what most values are not used of, and this
/// shall be where a packet looks anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Way {
    Long,
    /// Nothing is special about their connection.
    Short,
    /// Nor here, and it has timestamps.
    ShortWithClock,
    /// Nor here, but bytes of it are remembered, which is of no use where nobody reads them.
    ShortForReaders,
    /// Both.
    ShortForReadersWithClock,
}

impl Way {
    pub(crate) const fn short(for_readers: bool, with_clock: bool) -> Self {
        match (for_readers, with_clock) {
            (false, false) => Self::Short,
            (false, true) => Self::ShortWithClock,
            (true, false) => Self::ShortForReaders,
            (true, true) => Self::ShortForReadersWithClock,
        }
    }

    pub(crate) const fn has_clock(self) -> bool {
        matches!(self, Self::ShortWithClock | Self::ShortForReadersWithClock)
    }
}

/// The last packets of a direction, 255 at most, and their bytes: a short packet is counted here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recent(u32);

impl Recent {
    /// Counts a packet; gives what there is then to be settled, with nothing left here, now and then.
    #[inline]
    fn count(&mut self, ip_len: u32) -> Option<Traffic> {
        let Traffic { packets, bytes } = self.traffic();
        let (packets, bytes) = (packets + 1, bytes + u64::from(ip_len));
        match u32::try_from(bytes << 8 | packets) {
            Ok(recent) if packets < ROUTE_PACKETS => {
                self.0 = recent;
                None
            }
            _ => {
                self.0 = 0;
                Some(Traffic { packets, bytes })
            }
        }
    }

    #[inline]
    fn traffic(self) -> Traffic {
        Traffic { packets: u64::from(self.0 & 0xff), bytes: u64::from(self.0 >> 8) }
    }
}

/// How packets of one direction look and where they arrive, as last seen: enough to forge one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) neighbour: Neighbour,
    /// The port they arrive at; they leave through its peer.
    pub(crate) port: Port,
    pub(crate) traffic_class: u8,
    pub(crate) flow_label: u32,
}

/// What a record of a connection is doing, for timeouts and gauges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Live(State),
    /// Refused by a rule, and remembered for its stragglers.
    Zombie,
    /// It crosses, and no rule sees it.
    Bypassed(State),
    /// It crosses without being received.
    Shunted(State),
    /// Packets of one end have crossed; it is followed when the other speaks.
    OneSided,
}

impl Standing {
    /// How long it may be silent.
    pub(crate) const fn timeout(self, timeouts: &Timeouts) -> Duration {
        match self {
            Self::Live(state) | Self::Bypassed(state) | Self::Shunted(state) => timeouts.of(state),
            Self::Zombie => timeouts.zombie,
            // As long as one that waits for a SYN-ACK, for it may be as forged.
            Self::OneSided => timeouts.syn_sent,
        }
    }

    /// Places in arrays that have one for each state and one for each other standing.
    pub(crate) const PLACES: usize = State::ALL.len() + 4;

    /// A position in such an array.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Live(state) => state as usize,
            Self::Zombie => State::ALL.len(),
            Self::Bypassed(_) => State::ALL.len() + 1,
            Self::OneSided => State::ALL.len() + 2,
            Self::Shunted(_) => State::ALL.len() + 3,
        }
    }
}

impl Identity {
    /// A connection whose client sent a packet with these headers, at `port`.
    pub(crate) fn new(id: FlowId, headers: &Headers, client: Side, port: Port) -> Self {
        let (from_client, from_server) =
            if headers.source == client { (port, port.peer()) } else { (port.peer(), port) };
        Self {
            key: headers.key.short(),
            long_key: headers.key.is_ipv6().then(|| Box::new(headers.key)),
            client,
            over: false,
            unseen: false,
            way: Way::Long,
            ttl: PerDirection { to_server: TTL_UNKNOWN, to_client: TTL_UNKNOWN },
            last_seen: Timestamp::default(),
            settled: PerDirection::default(),
            recent: PerDirection::default(),
            routes: PerDirection {
                to_server: Route::unknown(from_client),
                to_client: Route::unknown(from_server),
            },
            id,
            tag: 0,
            released: false,
            zombie: None,
        }
    }

    /// The connection's key, as packets have it.
    pub(crate) fn key(&self) -> FlowKey {
        match &self.long_key {
            Some(long) if self.is_ipv6() => **long,
            _ => self.key.full(),
        }
    }

    /// Whether that is `key`.
    #[inline]
    pub(crate) fn is(&self, key: &FlowKey) -> bool {
        self.key == key.short() && (self.key.is_whole() || self.long_key.as_deref() == Some(key))
    }

    pub(crate) const fn is_ipv6(&self) -> bool {
        !self.key.is_whole()
    }

    /// Which way a packet from `source` travels.
    pub(crate) fn direction(&self, source: Side) -> Direction {
        if source == self.client { Direction::ToServer } else { Direction::ToClient }
    }

    /// Its segments in `direction`, as they look where they arrive.
    pub(crate) fn arrivals(&self, direction: Direction) -> shunt::Way {
        let source = self.source(direction);
        shunt::Way { port: self.routes[direction].port, key: self.key(), source }
    }

    /// Who sends, and to whom, in `direction`.
    #[inline]
    pub(crate) fn ends(&self, direction: Direction) -> (Endpoint, Endpoint) {
        let source = self.source(direction);
        (self.end(source), self.end(source.other()))
    }

    /// Which endpoint of the key sends in `direction`.
    #[inline]
    const fn source(&self, direction: Direction) -> Side {
        match direction {
            Direction::ToServer => self.client,
            Direction::ToClient => self.client.other(),
        }
    }

    #[inline]
    fn end(&self, side: Side) -> Endpoint {
        match &self.long_key {
            Some(long) if self.is_ipv6() => long.endpoint(side),
            _ => self.key.endpoint(side),
        }
    }

    /// Counts a packet, and now and then looks again at how packets of its direction travel: routers
    /// fail over, but not for every packet.
    pub(crate) fn received<F: AsRef<[u8]>>(
        &mut self,
        direction: Direction,
        packet: &Packet<F>,
        port: Port,
        neighbours: &mut Neighbours,
        now: Timestamp,
    ) {
        if self.looks_at_route(direction) {
            // The time to live only grows: what one short-lived packet shows must not be what a RST of
            // ours is sent with.
            let ttl = if self.traffic(direction).packets > 0 { self.ttl[direction] } else { 0 };
            self.ttl[direction] = ttl.max(packet.headers().ttl);
            self.routes[direction] = Route::of(packet, port, neighbours);
        }
        self.count(direction, packet.ip_len(), now);
    }

    /// Packets of both directions.
    pub(crate) fn packets(&self) -> u64 {
        self.traffics().to_server.packets + self.traffics().to_client.packets
    }

    /// Whether the next packet of a direction is one whose route is looked at.
    #[inline]
    pub(crate) fn looks_at_route(&self, direction: Direction) -> bool {
        self.recent[direction].traffic().packets == 0
    }

    /// Counts a packet.
    #[inline]
    pub(crate) fn count(&mut self, direction: Direction, ip_len: u32, now: Timestamp) {
        self.last_seen = now;
        if let Some(traffic) = self.recent[direction].count(ip_len) {
            self.settle(direction, traffic);
        }
    }

    /// Adds packets that were counted elsewhere.
    #[cold]
    pub(crate) fn settle(&mut self, direction: Direction, traffic: Traffic) {
        let settled = &mut self.settled[direction];
        settled.packets += traffic.packets;
        settled.bytes += traffic.bytes;
    }

    /// What has been received in `direction`.
    #[inline]
    pub(crate) fn traffic(&self, direction: Direction) -> Traffic {
        let (settled, recent) = (self.settled[direction], self.recent[direction].traffic());
        Traffic { packets: settled.packets + recent.packets, bytes: settled.bytes + recent.bytes }
    }

    /// In both.
    #[inline]
    pub(crate) fn traffics(&self) -> PerDirection<Traffic> {
        PerDirection {
            to_server: self.traffic(Direction::ToServer),
            to_client: self.traffic(Direction::ToClient),
        }
    }

    /// The connection as rules see it: put together where they are asked, so that what a rule in Rust does not
    /// look at is not put together at all.
    #[inline]
    pub(crate) fn view(&mut self, state: State, now: Timestamp) -> policy::Flow<'_> {
        let (client, server) = self.ends(Direction::ToServer);
        policy::Flow {
            id: self.id,
            client,
            server,
            state: state.name(),
            traffic: self.traffics(),
            now,
            tag: &mut self.tag,
        }
    }
}

impl Route {
    /// Nothing is known but the port.
    const fn unknown(port: Port) -> Self {
        Self { neighbour: Neighbour::UNKNOWN, port, traffic_class: 0, flow_label: 0 }
    }

    fn of<F: AsRef<[u8]>>(packet: &Packet<F>, port: Port, neighbours: &mut Neighbours) -> Self {
        Self {
            neighbour: neighbours.intern(&packet.link_header()),
            port,
            traffic_class: packet.traffic_class(),
            flow_label: packet.flow_label(),
        }
    }
}

/// Packets of a direction between two looks at its route, as many as [`Recent`] can count.
const ROUTE_PACKETS: u64 = 256;
/// What most systems send.
const TTL_UNKNOWN: u8 = 64;

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Over IPv6 when `upper` is given: the front of the client's address.
    fn identity(upper: Option<u8>, host: u8) -> Identity {
        let mut frame = vec![2; 12];
        match upper {
            None => {
                let sum: u32 = 0x4500 + 40 + 0x0906 + 2 * 0xc612 + 0x0100 + u32::from(host) + 2;
                let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
                let [high, low] = (!sum).to_be_bytes();
                frame.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 9, 6, high, low]);
                frame.extend([198, 18, 1, host, 198, 18, 0, 2]);
            }
            Some(upper) => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64]);
                frame.extend([0xfd, upper, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 198, 18, 1, host]);
                frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 198, 18, 0, 2]);
            }
        }
        frame.extend([15, 160, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0]);
        let packet = Packet::parse(frame).unwrap();
        let headers = packet.headers();
        Identity::new(FlowId(1), headers, headers.source, Port::A)
    }

    #[test]
    fn it_is_the_connection_of_its_own_key_and_of_no_other() {
        let ends = [(None, 1), (None, 3), (Some(1), 1), (Some(2), 1), (Some(1), 3)];
        let all = ends.map(|(upper, host)| identity(upper, host));
        for (at, one) in all.iter().enumerate() {
            let (key, (client, server)) = (one.key(), one.ends(Direction::ToServer));
            assert_eq!(
                (key.endpoint(one.client), key.endpoint(one.client.other())),
                (client, server)
            );
            assert_eq!(one.is_ipv6(), key.is_ipv6());
            for (other_at, other) in all.iter().enumerate() {
                assert_eq!(other.is(&key), at == other_at, "{key:?} and {:?}", other.key());
            }
        }
    }

    #[test]
    fn recent_and_settled_packets_come_to_all_of_them() {
        let mut rng = SmallRng::seed_from_u64(3);
        let (mut recent, mut settled) = (Recent::default(), Traffic::default());
        let (mut packets, mut bytes) = (0, 0);
        for _ in 0..100_000 {
            let len = if rng.random_bool(0.9) { 65_575 } else { rng.random_range(40..1 << 24) };
            if let Some(traffic) = recent.count(len) {
                settled.packets += traffic.packets;
                settled.bytes += traffic.bytes;
            }
            packets += 1;
            bytes += u64::from(len);
            let Traffic { packets: some, bytes: their } = recent.traffic();
            assert_eq!((settled.packets + some, settled.bytes + their), (packets, bytes));
        }
        let mut longest = Recent::default();
        assert!((0..255).all(|_| longest.count(65_575).is_none()), "none but the 256th");
        assert!(longest.count(65_575).is_some());
        assert_eq!(longest, Recent::default());
    }
}
