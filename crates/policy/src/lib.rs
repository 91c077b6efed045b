//! What a rule sees and decides.
//!
//! A [`Policy`] is told of four events (`new_connection`, `receive_packet`, `receive_data`,
//! `end_connection`) and answers with a [`Verdict`]. Each method defaults to "carry on", so a policy
//! implements only what it cares for, and says so in [`Policy::interest`]: an event without a
//! listener costs nothing. What a policy has to say to people goes into [`Reports`].
//!
//! The crate knows neither engine nor Lua, so rules are tested without an engine and the engine
//! without Lua.
#![forbid(unsafe_code)]

mod data;
mod flow;
mod frame;
mod generations;
mod report;
mod verdict;

use tollgate_wire::{Direction, Timestamp};

pub use data::{Data, Edit, EditError, Wishes};
pub use flow::{Flow, FlowId, PacketView, Traffic};
pub use frame::{FrameEdit, Injected, Route, Side};
pub use generations::{Generations, Living};
pub use report::{
    Alert, Completion, Confidence, Connection, Level, Log, Method, Phase, Report, Reports, Severity,
};
pub use verdict::Verdict;

bitflags::bitflags! {
    /// The events that a policy listens to, and whether it changes what it sees.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Interest: u16 {
        /// [`Policy::new_connection`]
        const NEW_CONNECTION = 1;
        /// [`Policy::receive_packet`]
        const RECEIVE_PACKET = 1 << 1;
        /// [`Policy::receive_data`]
        const RECEIVE_DATA = 1 << 2;
        /// [`Policy::end_connection`]
        const END_CONNECTION = 1 << 3;
        /// All four events of connections.
        const EVENTS = Self::NEW_CONNECTION.bits()
            | Self::RECEIVE_PACKET.bits()
            | Self::RECEIVE_DATA.bits()
            | Self::END_CONNECTION.bits();
        /// Not an event: the right to change and hold what `receive_data` shows. It has a price:
        /// segments that arrive early must wait for the gap before them, since bytes that have left
        /// cannot move any more.
        const EDIT_DATA = 1 << 4;
        /// [`Policy::receive_frame`]
        const RECEIVE_FRAME = 1 << 5;
        /// [`Policy::receive_datagram`]
        const RECEIVE_DATAGRAM = 1 << 6;
        /// [`Policy::send_frame`]
        const SEND_FRAME = 1 << 7;
        /// [`Policy::tick`]
        const TICK = 1 << 8;
        /// The policy makes frames of its own: [`Policy::take_injected`] is asked after each event.
        const INJECT = 1 << 9;
        /// Not an event: the policy looks at packets only, and no connection is to be followed for its
        /// sake. TCP goes from `receive_datagram` to `send_frame` like any other protocol, unless the
        /// configuration says that connections are followed always.
        const STATELESS = 1 << 10;
        /// All that shows or changes something of a connection between its beginning and its end.
        const CONTENT = Self::RECEIVE_PACKET.bits()
            | Self::RECEIVE_DATA.bits()
            | Self::EDIT_DATA.bits()
            | Self::RECEIVE_FRAME.bits()
            | Self::RECEIVE_DATAGRAM.bits()
            | Self::SEND_FRAME.bits();
    }
}

/// Rules: one value a worker, never shared.
///
/// Events of one connection come in order: `new_connection` before anything of it is sent on, then
/// for every packet `receive_packet`, then `receive_data` with the bytes that have become readable,
/// at last `end_connection`, once.
///
/// After a verdict of [`Verdict::Drop`] or more the connection has ended: only `end_connection`
/// follows.
pub trait Policy {
    /// The events wanted; asked once, before the first packet.
    fn interest(&self) -> Interest {
        Interest::EVENTS
    }

    /// A first SYN (or, where the configuration picks flows up in mid-stream, a first packet).
    /// Nothing has been sent on yet. [`Verdict::DropPacket`] here ends the flow as
    /// [`Verdict::Drop`] does: Haka's `pkt:drop()` in this event.
    fn new_connection(
        &mut self,
        flow: &mut Flow<'_>,
        packet: &PacketView<'_>,
        reports: &mut Reports,
    ) -> Verdict {
        let _ = (flow, packet, reports);
        Verdict::Accept
    }

    /// A packet of a connection, valid or not for the stream, before its bytes are looked at.
    fn receive_packet(
        &mut self,
        flow: &mut Flow<'_>,
        packet: &PacketView<'_>,
        direction: Direction,
        reports: &mut Reports,
    ) -> Verdict {
        let _ = (flow, packet, direction, reports);
        Verdict::Accept
    }

    /// Bytes that have become readable: in order, each exactly once, and the end of the stream
    /// ([`Data::is_end`]). They wait for this verdict; none can be read behind us before it.
    ///
    /// Who said [`Interest::EDIT_DATA`] may change them and hold them back ([`Data::replace`],
    /// [`Data::hold_from`]).
    fn receive_data(
        &mut self,
        flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        direction: Direction,
        reports: &mut Reports,
    ) -> Verdict {
        let _ = (flow, data, direction, reports);
        Verdict::Accept
    }

    /// The connection is over: closed, reset, dropped, expired, or the program stops.
    /// `flow.tag` is forgotten afterwards.
    fn end_connection(&mut self, flow: &mut Flow<'_>, reports: &mut Reports) {
        let _ = (flow, reports);
    }

    /// A frame of any protocol has arrived, and nobody has looked at it yet: each fragment of a
    /// datagram on its own. A verdict other than to accept drops this frame.
    fn receive_frame(&mut self, frame: &mut FrameEdit<'_>, reports: &mut Reports) -> Verdict {
        let _ = (frame, reports);
        Verdict::Accept
    }

    /// A whole IP datagram, put together if it came in fragments, before TCP looks at it. Without
    /// fragments it follows `receive_frame` at once. A verdict other than to accept drops it.
    fn receive_datagram(&mut self, frame: &mut FrameEdit<'_>, reports: &mut Reports) -> Verdict {
        let _ = (frame, reports);
        Verdict::Accept
    }

    /// A frame is about to leave, whoever made it: the last that is asked. A verdict other than to
    /// accept drops it.
    fn send_frame(&mut self, frame: &mut FrameEdit<'_>, reports: &mut Reports) -> Verdict {
        let _ = (frame, reports);
        Verdict::Accept
    }

    /// Time passes: called once for each second of network time in which the worker runs at all.
    fn tick(&mut self, now: Timestamp, reports: &mut Reports) {
        let _ = (now, reports);
    }

    /// Asked once a verdict has ended a connection: whether that was no decision of a rule, but its failure.
    /// What still comes of the connection is then told of, as packets are of which no connection is known.
    fn take_failure(&mut self) -> bool {
        false
    }

    /// Frames that the policy has made in the event that has just returned, the oldest first; asked
    /// until there is none, before the event's verdict is carried out. One made while another is on
    /// its way follows it.
    fn take_injected(&mut self) -> Option<Injected> {
        None
    }

    /// The program stops, whatever the interest: only `end_connection` of connections that are still
    /// open follows.
    fn exiting(&mut self, now: Timestamp, reports: &mut Reports) {
        let _ = (now, reports);
    }
}

/// No rules: everything is accepted, and no event is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptAll;

impl Policy for AcceptAll {
    fn interest(&self) -> Interest {
        Interest::empty()
    }
}
