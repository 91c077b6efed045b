use std::collections::BTreeMap;

use tollgate_policy::{Data, Flow, FlowId, Interest, PacketView, Policy, Reports, Verdict};
use tollgate_wire::Direction;

/// A policy that writes down what it hears and answers what it was told to.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) interest: Interest,
    pub(crate) events: Vec<String>,
    /// Answers to the next events; `Accept` when there is none.
    pub(crate) on_new: Verdict,
    pub(crate) on_packet: Verdict,
    pub(crate) on_data: Verdict,
    /// Bytes shown, by connection and direction.
    pub(crate) streams: BTreeMap<(FlowId, &'static str), Vec<u8>>,
    pub(crate) opened: u64,
    pub(crate) ended: u64,
    /// Positions of the stream may be passed over: a connection is picked up in its middle.
    pub(crate) skips: bool,
    /// Set to false where a test is not about events and there are many.
    pub(crate) writes: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            interest: Interest::EVENTS,
            events: Vec::new(),
            on_new: Verdict::Accept,
            on_packet: Verdict::Accept,
            on_data: Verdict::Accept,
            streams: BTreeMap::new(),
            opened: 0,
            ended: 0,
            skips: false,
            writes: true,
        }
    }
}

impl Script {
    fn write(&mut self, event: impl FnOnce() -> String) {
        if self.writes {
            self.events.push(event());
        }
    }

    /// What was shown of the only connection in one direction.
    pub(crate) fn stream(&self, direction: Direction) -> &[u8] {
        let mut found = self.streams.iter().filter(|((_, way), _)| *way == direction.haka());
        found.next().map_or(&[], |(_, bytes)| bytes)
    }
}

impl Policy for Script {
    fn interest(&self) -> Interest {
        self.interest
    }

    fn new_connection(
        &mut self,
        flow: &mut Flow<'_>,
        _packet: &PacketView<'_>,
        _reports: &mut Reports,
    ) -> Verdict {
        self.opened += 1;
        assert_eq!(*flow.tag, 0, "a new connection has a new tag");
        *flow.tag = 7;
        self.write(|| format!("new {} > {}", flow.client, flow.server));
        std::mem::take(&mut self.on_new)
    }

    fn receive_packet(
        &mut self,
        flow: &mut Flow<'_>,
        packet: &PacketView<'_>,
        direction: Direction,
        _reports: &mut Reports,
    ) -> Verdict {
        assert_eq!(*flow.tag, 7);
        let client = direction == Direction::ToServer;
        assert_eq!(packet.source(), if client { flow.client } else { flow.server });
        self.write(|| format!("packet {} {}", direction.haka(), flow.state));
        std::mem::take(&mut self.on_packet)
    }

    fn receive_data(
        &mut self,
        flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        direction: Direction,
        _reports: &mut Reports,
    ) -> Verdict {
        assert_eq!(*flow.tag, 7);
        let stream = self.streams.entry((flow.id, direction.haka())).or_default();
        let next = stream.len() as u64 == data.offset();
        assert!(next || self.skips, "bytes come in order, each once");
        stream.extend(data.to_vec());
        let text = String::from_utf8_lossy(&data.to_vec()).into_owned();
        let end = if data.is_end() { " end" } else { "" };
        self.write(|| format!("data {} {text}{end}", direction.haka()));
        std::mem::take(&mut self.on_data)
    }

    fn end_connection(&mut self, flow: &mut Flow<'_>, _reports: &mut Reports) {
        assert_eq!(*flow.tag, 7);
        self.ended += 1;
        self.write(|| format!("end {}", flow.state));
    }
}
