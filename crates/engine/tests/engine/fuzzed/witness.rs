//! A policy that remembers what it was shown, by connection and by who sent it.

use std::collections::BTreeMap;

use tollgate_policy::{Data, Flow, FlowId, Interest, PacketView, Policy, Reports, Verdict};
use tollgate_wire::{Direction, Endpoint};

/// What rules have been shown of one connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Bytes of the first to send a SYN, and of the other.
    pub(crate) bytes: [Vec<u8>; 2],
    /// Whether the end of the stream was told.
    pub(crate) ended: [bool; 2],
    /// A verdict has ended it.
    pub(crate) condemned: bool,
    /// A verdict has let it go on unseen.
    pub(crate) bypassed: bool,
    pub(crate) over: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Witness {
    pub(crate) connections: BTreeMap<FlowId, Shown>,
    /// The latest connection between two endpoints, the lesser first, and who opened it.
    latest: BTreeMap<(Endpoint, Endpoint), (FlowId, Endpoint)>,
    /// Answers to the next events.
    pub(crate) on_packet: Verdict,
    pub(crate) on_data: Verdict,
    /// It does not want to see packets, so that those which are as nearly all are go the short way.
    pub(crate) hurries: bool,
    /// Events so far.
    pub(crate) events: u64,
}

impl Witness {
    /// The latest connection between two endpoints, and whether `one` opened it.
    pub(crate) fn latest(&self, one: Endpoint, other: Endpoint) -> Option<(FlowId, bool)> {
        let &(id, client) = self.latest.get(&(one.min(other), one.max(other)))?;
        Some((id, client == one))
    }

    fn shown(&mut self, flow: &Flow<'_>) -> &mut Shown {
        self.events += 1;
        assert_eq!(*flow.tag, 7, "the tag is kept");
        let shown = self.connections.get_mut(&flow.id).unwrap();
        assert!(!shown.condemned && !shown.over, "no event after the end");
        assert!(!shown.bypassed, "no event after a bypass");
        shown
    }
}

impl Policy for Witness {
    fn interest(&self) -> Interest {
        let packets = if self.hurries { Interest::empty() } else { Interest::RECEIVE_PACKET };
        Interest::EVENTS.difference(Interest::RECEIVE_PACKET) | packets
    }

    fn new_connection(
        &mut self,
        flow: &mut Flow<'_>,
        _packet: &PacketView<'_>,
        _reports: &mut Reports,
    ) -> Verdict {
        self.events += 1;
        assert_eq!(*flow.tag, 0, "a new connection has a new tag");
        *flow.tag = 7;
        let ends = (flow.client.min(flow.server), flow.client.max(flow.server));
        self.latest.insert(ends, (flow.id, flow.client));
        assert!(self.connections.insert(flow.id, Shown::default()).is_none());
        Verdict::Accept
    }

    fn receive_packet(
        &mut self,
        flow: &mut Flow<'_>,
        _packet: &PacketView<'_>,
        _direction: Direction,
        _reports: &mut Reports,
    ) -> Verdict {
        let verdict = std::mem::take(&mut self.on_packet);
        let shown = self.shown(flow);
        shown.condemned = verdict.ends_flow();
        shown.bypassed = verdict == Verdict::Bypass;
        verdict
    }

    fn receive_data(
        &mut self,
        flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        direction: Direction,
        _reports: &mut Reports,
    ) -> Verdict {
        let verdict = std::mem::take(&mut self.on_data);
        let shown = self.shown(flow);
        shown.condemned = !verdict.forwards();
        shown.bypassed = verdict == Verdict::Bypass;
        let way = usize::from(direction == Direction::ToClient);
        let stream = &mut shown.bytes[way];
        assert_eq!(stream.len() as u64, data.offset(), "bytes come in order, each once");
        assert!(!shown.ended[way], "nothing follows the end");
        assert!(!data.is_empty() || data.is_end(), "an event is about something");
        stream.extend(data.to_vec());
        shown.ended[way] = data.is_end();
        verdict
    }

    fn end_connection(&mut self, flow: &mut Flow<'_>, _reports: &mut Reports) {
        self.events += 1;
        let shown = self.connections.get_mut(&flow.id).unwrap();
        assert!(!std::mem::replace(&mut shown.over, true), "it ends once");
    }
}
