use tollgate_wire::{Endpoint, Headers, PerDirection, Timestamp};

/// A connection's number, unique in its worker for as long as the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u64);

/// What has been received in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes by the IP length field, headers included, as Haka counts.
    pub bytes: u64,
}

/// A connection as a rule sees it.
#[derive(Debug)]
pub struct Flow<'a> {
    /// Its number.
    pub id: FlowId,
    /// The sender of the first SYN.
    pub client: Endpoint,
    /// Its peer.
    pub server: Endpoint,
    /// Name of the TCP state, for people: "syn_sent", "established"…
    pub state: &'static str,
    /// Received so far, this packet included.
    pub traffic: PerDirection<Traffic>,
    /// The time of this event.
    pub now: Timestamp,
    /// A number of the policy's own that the engine keeps with the flow; 0 at first. Lua keeps
    /// the index of its flow object here.
    pub tag: &'a mut u32,
}

/// A packet as a rule sees it.
#[derive(Clone, Copy, Debug)]
pub struct PacketView<'a> {
    /// The whole frame, from the Ethernet header on.
    pub frame: &'a [u8],
    /// Where its headers are.
    pub headers: &'a Headers,
    /// When it was received.
    pub received: Timestamp,
}

impl<'a> PacketView<'a> {
    /// The TCP payload.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        let end = usize::try_from(self.headers.end).unwrap_or(usize::MAX);
        self.frame.get(usize::from(self.headers.payload)..end).unwrap_or_default()
    }

    /// Who sent it.
    #[must_use]
    pub fn source(&self) -> Endpoint {
        self.headers.key.endpoint(self.headers.source)
    }

    /// For whom it is.
    #[must_use]
    pub fn destination(&self) -> Endpoint {
        self.headers.key.endpoint(self.headers.source.other())
    }
}
