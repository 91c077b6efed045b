//! What is kept of every connection, half-open or established: who, since when, how much, and how
//! to reach either end.

use std::time::Duration;

use tollgate_link::{Port, shunt};
use tollgate_policy::{self as policy, FlowId, Traffic};
use tollgate_tcp::{State, Timeouts};
use tollgate_wire::{Direction, Endpoint, Headers, Packet, PerDirection, Side, Timestamp};

use crate::key::Key;
use crate::neighbours::{Neighbour, Neighbours};
use crate::zombie::Zombie;

/// Ordered so that what every packet reads and writes comes first, up to `traffic`: 80 bytes.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Identity {
    pub(crate) key: Key,
    /// Which endpoint of the key sent the first SYN.
    pub(crate) client: Side,
    /// `end_connection` has been told; no event follows.
    pub(crate) over: bool,
    /// Rules see nothing more of it, though it lives.
    pub(crate) unseen: bool,
    /// Which way its packets may go.
    pub(crate) way: Way,
    /// The highest time to live that packets of each direction have shown.
    pub(crate) ttl: PerDirection<u8>,
    pub(crate) last_seen: Timestamp,
    pub(crate) traffic: PerDirection<Traffic>,
    pub(crate) routes: PerDirection<Route>,
    pub(crate) id: FlowId,
    pub(crate) tag: u32,
    /// Rules see no more of it than its end: it is shunted as soon as it can be, or is.
    pub(crate) released: bool,
    /// Since a rule refused the connection: what answers and absorbs its stragglers.
    pub(crate) zombie: Option<Box<Zombie>>,
}

/// Which way packets go that are as nearly all are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Long,
    /// Nothing is special about their connection.
    Short,
    /// Nor here, but bytes of it are remembered, which is of no use where nobody reads them.
    ShortForReaders,
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
            key: Key::new(&headers.key),
            client,
            over: false,
            unseen: false,
            way: Way::Long,
            ttl: PerDirection { to_server: TTL_UNKNOWN, to_client: TTL_UNKNOWN },
            last_seen: Timestamp::default(),
            traffic: PerDirection::default(),
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

    /// Which way a packet from `source` travels.
    pub(crate) fn direction(&self, source: Side) -> Direction {
        if source == self.client { Direction::ToServer } else { Direction::ToClient }
    }

    /// Its segments in `direction`, as they look where they arrive.
    pub(crate) fn arrivals(&self, direction: Direction) -> shunt::Way {
        let source = match direction {
            Direction::ToServer => self.client,
            Direction::ToClient => self.client.other(),
        };
        shunt::Way { port: self.routes[direction].port, key: self.key.full(), source }
    }

    /// Who sends, and to whom, in `direction`.
    pub(crate) fn ends(&self, direction: Direction) -> (Endpoint, Endpoint) {
        let client = self.key.endpoint(self.client);
        let server = self.key.endpoint(self.client.other());
        match direction {
            Direction::ToServer => (client, server),
            Direction::ToClient => (server, client),
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
            let ttl = if self.traffic[direction].packets > 0 { self.ttl[direction] } else { 0 };
            self.ttl[direction] = ttl.max(packet.headers().ttl);
            self.routes[direction] = Route::of(packet, port, neighbours);
        }
        self.count(direction, packet.ip_len(), now);
    }

    /// Whether the next packet of a direction is one whose route is looked at.
    #[inline]
    pub(crate) fn looks_at_route(&self, direction: Direction) -> bool {
        self.traffic[direction].packets.is_multiple_of(ROUTE_PACKETS)
    }

    /// Counts a packet.
    #[inline]
    pub(crate) fn count(&mut self, direction: Direction, ip_len: u32, now: Timestamp) {
        self.last_seen = now;
        let traffic = &mut self.traffic[direction];
        traffic.packets += 1;
        traffic.bytes += u64::from(ip_len);
    }

    /// The connection as rules see it.
    pub(crate) fn view(&mut self, state: State, now: Timestamp) -> policy::Flow<'_> {
        let (client, server) = self.ends(Direction::ToServer);
        policy::Flow {
            id: self.id,
            client,
            server,
            state: state.name(),
            traffic: self.traffic,
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

/// Packets of a direction between two looks at its route.
const ROUTE_PACKETS: u64 = 256;
/// What most systems send.
const TTL_UNKNOWN: u8 = 64;
