//! Events of packets that belong to no connection, or to none yet, and what passes with time.
use mlua::Function;
use tollgate_policy::{FrameEdit, Interest, Level, Reports, Verdict};
use tollgate_wire::{Layers, Timestamp};

use crate::native::frame::places;
use crate::policy::{About, LuaPolicy};
use crate::state::State;

/// Each call ends many connections, or has an error: enough for all there can be.
const EXPIRE_CALLS_MAX: usize = 1 << 16;

/// The events of a frame, in their order: it gets its number in the first that anybody listens to.
const FRAMES: Interest =
    Interest::RECEIVE_FRAME.union(Interest::RECEIVE_DATAGRAM).union(Interest::SEND_FRAME);

impl LuaPolicy {
    /// Shows a frame to the rules behind `door`, and takes what they have made of it.
    pub(crate) fn frame(
        &mut self,
        frame: &mut FrameEdit<'_>,
        event: Interest,
        reports: &mut Reports,
        door: fn(&State) -> &Function,
    ) -> Verdict {
        let is_new = (self.state.interest & FRAMES).iter().next() == Some(event);
        self.state.shared.event.borrow_mut().frame(frame, is_new);
        self.state.shared.frame.take();
        self.open(reports);
        let (layers, len) = (places(&Layers::of(frame.bytes())), frame.bytes().len());
        let about = About { now: frame.received(), ends: None };
        let verdict = self.run(about, reports, |state, from| {
            let (network, version, transport, protocol, end, is_fragment) = layers;
            door(state).call((from, len, network, version, transport, protocol, end, is_fragment))
        });
        if verdict >= Verdict::DropPacket {
            return Verdict::DropPacket;
        }
        if let Some(changed) = self.state.shared.frame.take() {
            put(frame, changed);
        }
        Verdict::Accept
    }

    /// Calls every listener of an event that decides nothing: one that fails keeps no other from its
    /// turn.
    pub(crate) fn every(
        &self,
        now: Timestamp,
        reports: &mut Reports,
        call: impl Fn(&State, usize) -> mlua::Result<()>,
    ) {
        let shared = &self.state.shared;
        self.open(reports);
        let mut from = 1;
        loop {
            shared.budget.restart(self.settings.limits.instructions_max);
            let Err(error) = call(&self.state, from) else { break };
            let failure = self.state.failure(&error);
            let quiet = self.settings.quiet_failures;
            let mut told = shared.reports.borrow_mut();
            told.log(
                now,
                Level::Error,
                "lua",
                if quiet { failure.message.clone() } else { failure.text() },
            );
            if quiet {
                told.log(now, Level::Debug, "lua", failure.text());
            }
            drop(told);
            match self.state.dispatch.at.call::<usize>(()) {
                Ok(at) if at >= from => from = at + 1,
                _ => break,
            }
        }
        std::mem::swap(&mut *shared.reports.borrow_mut(), reports);
    }

    /// Ends the UDP connections that have been silent for too long, or all of them.
    pub(crate) fn expire(&self, now: Timestamp, all: bool, reports: &mut Reports) {
        let shared = &self.state.shared;
        self.open(reports);
        // A connection is forgotten before its rules are called, so one that fails is not met again.
        for _ in 0..EXPIRE_CALLS_MAX {
            shared.budget.restart(self.settings.limits.instructions_max);
            match self.state.dispatch.expire.call::<bool>(all) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    let failure = self.state.failure(&error);
                    shared.reports.borrow_mut().log(now, Level::Error, "udp", failure.message);
                    // Which step it was does not matter.
                    let _ = self.state.dispatch.at.call::<usize>(());
                }
            }
        }
        std::mem::swap(&mut *shared.reports.borrow_mut(), reports);
    }
}

/// In place where that will do.
fn put(frame: &mut FrameEdit<'_>, changed: Vec<u8>) {
    if frame.bytes().len() == changed.len() {
        frame.bytes_mut().copy_from_slice(&changed);
    } else {
        frame.replace(changed);
    }
}
