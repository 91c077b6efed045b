//! A half-open connection as it rests in the table: what nearly all of them say, in a third of the bytes.

use std::hint::black_box;

use bitflags::bitflags;
use tollgate_link::Port;
use tollgate_policy::FlowId;
use tollgate_tcp::{Brief, Handshake};
use tollgate_wire::{Direction, FlowKey, PerDirection, ShortKey, Side, Timestamp};

use super::HalfOpen;
use crate::identity::{Identity, Recent, Route, Way};
use crate::neighbours::Neighbour;
use crate::unanswered::Unanswered;

/// One over IPv4, in its plain course, with few packets so far. It says all that its [`HalfOpen`] does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Short {
    pub(super) key: ShortKey,
    last_seen: Timestamp,
    id: FlowId,
    handshake: Brief,
    tag: u32,
    mss: PerDirection<u16>,
    neighbours: PerDirection<Neighbour>,
    recent: PerDirection<Recent>,
    ttl: PerDirection<u8>,
    traffic_classes: PerDirection<u8>,
    marks: Marks,
}

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Marks: u16 {
        const CLIENT_HIGH = 1;
        /// The client's packets arrive at port B.
        const FROM_B = 1 << 1;
        const OVER = 1 << 2;
        const RELEASED = 1 << 3;
        const RESET = 1 << 4;
        const FORWARDED = 1 << 5;
        const CLIENT_SACKS = 1 << 6;
        const SERVER_SACKS = 1 << 7;
    }
}

impl Short {
    /// What is found by its key, and says nothing else yet.
    pub(super) fn bare(key: ShortKey) -> Self {
        Self {
            key,
            last_seen: Timestamp::default(),
            id: FlowId(0),
            handshake: Brief::default(),
            tag: 0,
            mss: PerDirection::default(),
            neighbours: each(|_| Neighbour::UNKNOWN),
            recent: PerDirection::default(),
            ttl: PerDirection::default(),
            traffic_classes: PerDirection::default(),
            marks: Marks::empty(),
        }
    }

    /// None if there is more to it.
    pub(super) fn of(record: &HalfOpen) -> Option<Self> {
        // Each field is named, so that a new one is thought of here.
        let HalfOpen {
            about,
            handshake,
            reset,
            forwarded,
            early: None,
            kept: None,
            unseen: None,
            below: None,
            unanswered,
            mss,
            sack_permitted,
        } = record
        else {
            return None;
        };
        let &Identity {
            routes,
            id,
            settled,
            zombie: None,
            long_key: None,
            tag,
            last_seen,
            recent,
            key,
            client,
            over,
            unseen: false,
            released,
            ttl,
            way: Way::Long,
        } = about
        else {
            return None;
        };
        let port = routes.to_server.port;
        let plain = routes.to_client.port == port.peer() && unanswered.is_unused();
        let labels = routes.to_server.flow_label | routes.to_client.flow_label;
        if !plain || labels != 0 || settled != PerDirection::default() {
            return None;
        }
        let mut marks = Marks::empty();
        marks.set(Marks::CLIENT_HIGH, client == Side::High);
        marks.set(Marks::FROM_B, port == Port::B);
        marks.set(Marks::OVER, over);
        marks.set(Marks::RELEASED, released);
        marks.set(Marks::RESET, *reset);
        marks.set(Marks::FORWARDED, *forwarded);
        marks.set(Marks::CLIENT_SACKS, sack_permitted.to_server);
        marks.set(Marks::SERVER_SACKS, sack_permitted.to_client);
        Some(Self {
            key,
            last_seen,
            id,
            handshake: handshake.brief()?,
            tag,
            mss: *mss,
            neighbours: each(|way| routes[way].neighbour),
            recent,
            ttl,
            traffic_classes: each(|way| routes[way].traffic_class),
            marks,
        })
    }

    /// Reads of both lines in which it lies, to have them loaded.
    pub(super) fn touch(&self) {
        black_box((self.key, self.marks));
    }

    pub(super) fn key(&self) -> FlowKey {
        self.key.full()
    }

    /// The record that it was.
    pub(super) fn full(&self) -> HalfOpen {
        let has = |mark| self.marks.contains(mark);
        let port = if has(Marks::FROM_B) { Port::B } else { Port::A };
        let route = |way: Direction| Route {
            neighbour: self.neighbours[way],
            port: if way == Direction::ToServer { port } else { port.peer() },
            traffic_class: self.traffic_classes[way],
            flow_label: 0,
        };
        let about = Identity {
            key: self.key,
            long_key: None,
            client: if has(Marks::CLIENT_HIGH) { Side::High } else { Side::Low },
            over: has(Marks::OVER),
            unseen: false,
            way: Way::Long,
            ttl: self.ttl,
            last_seen: self.last_seen,
            settled: PerDirection::default(),
            recent: self.recent,
            routes: each(route),
            id: self.id,
            tag: self.tag,
            released: has(Marks::RELEASED),
            zombie: None,
        };
        HalfOpen {
            about,
            handshake: Handshake::from(self.handshake),
            reset: has(Marks::RESET),
            forwarded: has(Marks::FORWARDED),
            early: None,
            kept: None,
            unseen: None,
            below: None,
            unanswered: Unanswered::default(),
            mss: self.mss,
            sack_permitted: PerDirection {
                to_server: has(Marks::CLIENT_SACKS),
                to_client: has(Marks::SERVER_SACKS),
            },
        }
    }
}

fn each<T>(of: impl Fn(Direction) -> T) -> PerDirection<T> {
    PerDirection { to_server: of(Direction::ToServer), to_client: of(Direction::ToClient) }
}
