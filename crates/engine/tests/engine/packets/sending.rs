//! `send_frame`: everything that leaves, whoever made it.

use tollgate_engine::{Cause, Reason};
use tollgate_link::Port;
use tollgate_policy::{Interest, Verdict};

use super::policy::{Booth, FRAMES, Looker};
use super::traffic::{arp, fix, udp};
use crate::common::{ACK, Frame, RST, Seen, handshake};

const TTL: usize = 22;

#[test]
fn what_leaves_is_shown_last_and_may_be_changed() {
    let policy = Looker::new(Interest::SEND_FRAME | Interest::RECEIVE_DATA, |_, frame, _| {
        frame.bytes_mut()[TTL] = 3;
        fix(frame.bytes_mut());
        Verdict::Accept
    });
    let mut booth = Booth::new(policy);
    for frame in handshake() {
        let out = booth.put(frame.port(), &frame.bytes());
        assert_eq!(out.len(), 1);
        assert_eq!(Seen::read(out[0].0, &out[0].1), Seen { ttl: 3, ..frame.crossed() });
    }
    let data = Frame::client(1, 1, ACK, b"data");
    booth.events();
    booth.put(Port::A, &data.bytes());
    assert_eq!(booth.events(), ["data data", "send a tcp data"]);
    booth.finish();
}

#[test]
fn a_refused_frame_does_not_leave_and_is_counted() {
    let policy = Looker::new(FRAMES, |event, _, _| match event {
        super::policy::Event::Send => Verdict::DropPacket,
        _ => Verdict::Accept,
    });
    let mut booth = Booth::new(policy);
    for frame in [udp(b"u"), arp()] {
        assert_eq!(booth.put(Port::B, &frame), []);
    }
    assert_eq!(booth.events()[2], "send b udp u");
    assert_eq!(booth.finish().dropped_for(Reason::Cause(Cause::RuleSend)), 2);
}

#[test]
fn forged_resets_are_shown_too() {
    /// Resets connections whose data it sees.
    struct Resetting(Looker);
    impl tollgate_policy::Policy for Resetting {
        fn interest(&self) -> Interest {
            Interest::SEND_FRAME | Interest::RECEIVE_DATA
        }
        fn receive_data(
            &mut self,
            _: &mut tollgate_policy::Flow<'_>,
            _: &mut tollgate_policy::Data<'_>,
            _: tollgate_wire::Direction,
            _: &mut tollgate_policy::Reports,
        ) -> Verdict {
            Verdict::Reset
        }
        fn send_frame(
            &mut self,
            frame: &mut tollgate_policy::FrameEdit<'_>,
            reports: &mut tollgate_policy::Reports,
        ) -> Verdict {
            if frame.bytes()[47] & RST != 0 {
                return self.0.send_frame(frame, reports);
            }
            Verdict::Accept
        }
    }
    let policy = Resetting(Looker::accepting(Interest::SEND_FRAME));
    let link = tollgate_link::memory::MemoryLink::new();
    let config = crate::common::small();
    let mut worker =
        tollgate_engine::Worker::new(config, link, policy, tollgate_engine::Mesh::alone());
    let now = tollgate_wire::Timestamp::from_secs(1);
    for frame in handshake().into_iter().chain([Frame::client(1, 1, ACK, b"data")]) {
        worker.link_mut().inject(frame.port(), &frame.bytes());
        worker.poll(now);
    }
    let mut seen = worker.policy().0.events.clone();
    seen.sort();
    // Each comes as if from the other end.
    assert_eq!(seen, ["send a tcp", "send b tcp"]);
    worker.finish(now);
    assert_eq!(worker.counters().balance(), 0);
    assert_eq!(worker.counters().rsts, 2);
}

#[test]
fn another_length_leaves_if_a_frame_can_hold_it() {
    let mut lens = [60, 2048, 2049, 3].into_iter();
    let policy = Looker::new(Interest::SEND_FRAME, move |_, frame, _| {
        frame.replace(vec![1; lens.next().unwrap()]);
        Verdict::Accept
    });
    let mut booth = Booth::new(policy);
    let out = booth.put_all(&[(); 4].map(|()| (Port::A, arp())));
    let lens: Vec<_> = out.iter().map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(lens, [60, 2048]);
    assert_eq!(booth.finish().dropped_for(Reason::Cause(Cause::RuleTooLong)), 1);
}
