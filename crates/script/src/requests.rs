//! Requests that come whole: their rules are called without a stream around them.
use std::cell::Cell;

use tollgate_policy::{Data, Flow, Reports, Verdict};
use tollgate_wire::Direction;

use crate::ahead::{Asleep, Sleeper};
use crate::http::Plain;
use crate::policy::{About, LuaPolicy};

impl LuaPolicy {
    /// Tells the rules of the request that `data` begins with. They may want what takes the stream after all, and
    /// have then read `data` to its end.
    pub(crate) fn request(
        &mut self,
        flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        plain: Plain,
        reports: &mut Reports,
    ) -> Verdict {
        let tag = *flow.tag;
        // Whoever sleeps when they have returned was put by them.
        let sleeper = self.state.shared.sleepers.borrow_mut().take(tag, Direction::ToServer);
        self.enter(flow, reports);
        self.state.shared.event.borrow_mut().data(data);
        let stretch = (data.is_writable(), data.offset(), data.len());
        let has_passed = Cell::new(false);
        let verdict = self.run(About::of(flow), reports, |state, from| {
            let Plain { number, head_len, has_body, .. } = plain;
            let (is_writable, offset, len) = stretch;
            let given = (from, tag, number, head_len, has_body, is_writable, offset, len);
            has_passed.set(state.dispatch.request.call(given)?);
            Ok(())
        });
        if let Some(Sleeper { what: Asleep::Requests { talk, are_heard }, .. }) = sleeper
            && has_passed.get()
        {
            talk.borrow_mut().request_passed(plain, data.len());
            let what = Asleep::Requests { talk, are_heard };
            let sleeper = Sleeper { what, next: data.end_offset() };
            self.state.shared.sleepers.borrow_mut().put(tag, Direction::ToServer, sleeper);
        }
        self.carry_out(verdict, flow, data, reports)
    }
}
