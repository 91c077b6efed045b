//! A connection that the link treats without asking: what it was told, and what it has said since.

use tollgate_link::Link;
use tollgate_link::shunt::{Edges, Fate, NoShunt, Shunt, Shunted, Way};
use tollgate_policy::Traffic;
use tollgate_tcp::{Crossed, Tracker};
use tollgate_wire::{Direction, PerDirection, Timestamp};

use crate::identity::Identity;
use crate::ports::Ports;
use crate::shunt_counters::{ShuntCounters, Unshunted};

/// A connection that is shunted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Below {
    ways: PerDirection<Way>,
    seen: PerDirection<Shunted>,
}

/// What has come of it since it was asked for last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    pub(crate) traffic: PerDirection<Traffic>,
    pub(crate) crossed: PerDirection<Crossed>,
}

impl Below {
    /// Shunts a connection, both ways or neither.
    pub(crate) fn open<L: Link>(
        link: &mut L,
        about: &Identity,
        tracker: Option<&Tracker>,
        fate: Fate,
    ) -> Result<Self, NoShunt> {
        let ways = PerDirection {
            to_server: about.arrivals(Direction::ToServer),
            to_client: about.arrivals(Direction::ToClient),
        };
        let mut seen = PerDirection::<Shunted>::default();
        for direction in Direction::BOTH {
            let edges = tracker.map_or_else(Edges::default, |tracker| edges(tracker, direction));
            let shift = tracker.map_or(0, |tracker| tracker.window_shift(direction));
            if let Err(why) = link.shunt(&Shunt { way: ways[direction], fate, edges, shift }) {
                for way in Direction::BOTH {
                    link.unshunt(&ways[way]);
                }
                return Err(why);
            }
            seen[direction].edges = edges;
        }
        Ok(Self { ways, seen })
    }

    /// Has the rest of a refused connection dropped.
    pub(crate) fn refuse<L: Link>(ports: &mut Ports<L>, about: &Identity) -> Option<Self> {
        let shunts = &mut ports.counters.shunts;
        match Self::open(&mut ports.link, about, None, Fate::Drop) {
            Ok(below) => {
                shunts.dropping += 1;
                return Some(below);
            }
            Err(NoShunt::Full) => shunts.refuse(Unshunted::Full),
            Err(NoShunt::Unable) => {}
        }
        None
    }

    /// What has come of it since the last look; none if the link has forgotten it.
    pub(crate) fn look<L: Link>(&mut self, link: &mut L) -> Option<Growth> {
        let now = PerDirection {
            to_server: link.shunted(&self.ways.to_server)?,
            to_client: link.shunted(&self.ways.to_client)?,
        };
        Some(self.grown(now))
    }

    /// Ends the shunt: from now on everything is received again.
    pub(crate) fn close<L: Link>(mut self, link: &mut L) -> Growth {
        let mut now = self.seen;
        for direction in Direction::BOTH {
            if let Some(last) = link.unshunt(&self.ways[direction]) {
                now[direction] = last;
            }
        }
        self.grown(now)
    }

    fn grown(&mut self, now: PerDirection<Shunted>) -> Growth {
        let before = std::mem::replace(&mut self.seen, now);
        let traffic = |way: Direction| Traffic {
            packets: now[way].packets.saturating_sub(before[way].packets),
            bytes: now[way].bytes.saturating_sub(before[way].bytes),
        };
        let crossed = |way: Direction| {
            let Edges { end, ack, window } = now[way].edges;
            Crossed { end, ack, window, moved: now[way].packets != before[way].packets }
        };
        let (up, down) = (Direction::ToServer, Direction::ToClient);
        Growth {
            traffic: PerDirection { to_server: traffic(up), to_client: traffic(down) },
            crossed: PerDirection { to_server: crossed(up), to_client: crossed(down) },
        }
    }
}

impl Growth {
    /// Anything at all.
    pub(crate) fn is_some(&self) -> bool {
        Direction::BOTH.iter().any(|&way| self.traffic[way].packets > 0)
    }

    /// So much that sequence numbers of then and now cannot be compared.
    pub(crate) fn is_far(&self) -> bool {
        Direction::BOTH.iter().any(|&way| self.traffic[way].bytes >= FAR)
    }
}

impl Identity {
    /// Takes what has come of it below into account.
    pub(crate) fn grow(&mut self, growth: &Growth, shunts: &mut ShuntCounters, now: Timestamp) {
        for direction in Direction::BOTH {
            let new = growth.traffic[direction];
            self.settle(direction, new);
            if self.zombie.is_some() {
                shunts.dropped += new.packets;
            } else {
                shunts.below += new.packets;
                shunts.below_bytes += new.bytes;
            }
        }
        if growth.is_some() {
            self.last_seen = now;
        }
    }
}

/// Where the segments of `direction` stand.
fn edges(tracker: &Tracker, direction: Direction) -> Edges {
    let peer = direction.reverse();
    Edges {
        end: tracker.edge(direction),
        ack: tracker.acknowledged(peer),
        window: tracker.window_edge(peer),
    }
}

/// Half of the numbers that can be compared.
const FAR: u64 = 1 << 30;
