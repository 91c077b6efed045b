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
mod report;
mod verdict;

use tollgate_wire::{Direction, Timestamp};

pub use data::{Data, Edit, EditError, Wishes};
pub use flow::{Flow, FlowId, PacketView, Traffic};
pub use report::{
    Alert, Completion, Confidence, Connection, Level, Log, Method, Phase, Report, Reports, Severity,
};
pub use verdict::Verdict;

bitflags::bitflags! {
    /// The events that a policy listens to, and whether it changes what it sees.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Interest: u8 {
        /// [`Policy::new_connection`]
        const NEW_CONNECTION = 1;
        /// [`Policy::receive_packet`]
        const RECEIVE_PACKET = 1 << 1;
        /// [`Policy::receive_data`]
        const RECEIVE_DATA = 1 << 2;
        /// [`Policy::end_connection`]
        const END_CONNECTION = 1 << 3;
        /// All four events.
        const EVENTS = Self::NEW_CONNECTION.bits()
            | Self::RECEIVE_PACKET.bits()
            | Self::RECEIVE_DATA.bits()
            | Self::END_CONNECTION.bits();
        /// Not an event: the right to change and hold what `receive_data` shows. It has a price:
        /// segments that arrive early must wait for the gap before them, since bytes that have left
        /// cannot move any more.
        const EDIT_DATA = 1 << 4;
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
