//! Frames that rules make.

use std::time::Duration;

use tollgate_engine::{Config, Mesh, Worker};
use tollgate_link::{Frame, Link, Port};
use tollgate_policy::{Interest, Route, Side, Verdict};
use tollgate_wire::Timestamp;

use super::policy::{Booth, Event, FRAMES, Looker, made};
use super::traffic::{arp, ping, udp};
use crate::common::{self, ACK, SYN, handshake, small};

const MAKING: Interest = FRAMES.union(Interest::INJECT);

#[test]
fn what_is_sent_on_seeing_a_frame_leaves_before_it_and_by_the_other_port() {
    for event in [Event::Frame, Event::Datagram, Event::Send] {
        let policy = Looker::new(MAKING, move |now, frame, injected| {
            if now == event && frame.bytes().ends_with(b"own") {
                injected.push_back(made(&udp(b"first"), Side::A, Route::Send));
                injected.push_back(made(&udp(b"second"), Side::A, Route::Send));
                injected.push_back(made(&udp(b"back"), Side::B, Route::Send));
            }
            Verdict::Accept
        });
        let mut booth = Booth::new(policy);
        let out = booth.put(Port::A, &udp(b"own"));
        let to_b = [udp(b"first"), udp(b"second"), udp(b"own")].map(|frame| (Port::B, frame));
        assert_eq!(out[0], (Port::A, udp(b"back")));
        assert_eq!(out[1..], to_b, "{event:?}");
        let sent: Vec<_> =
            booth.events().into_iter().filter(|event| event.starts_with("send")).collect();
        let mut expected =
            vec!["send a udp first", "send a udp second", "send b udp back", "send a udp own"];
        if event == Event::Send {
            expected.insert(0, "send a udp own");
            expected.pop();
        }
        assert_eq!(sent, expected);
        let counters = booth.finish();
        assert_eq!((counters.injected, counters.forged, counters.injected_lost), (3, 3, 0));
    }
}

#[test]
fn what_is_received_on_seeing_a_frame_has_its_effect_before_it() {
    let policy = Looker::new(MAKING, |event, frame, injected| {
        if event == Event::Datagram && frame.bytes().ends_with(b"own") {
            injected.push_back(made(&udp(b"made"), Side::B, Route::Receive));
            return Verdict::DropPacket;
        }
        Verdict::Accept
    });
    let mut booth = Booth::new(policy);
    assert_eq!(booth.put(Port::A, &udp(b"own")), [(Port::A, udp(b"made"))]);
    let expected = [
        "frame a udp own",
        "datagram a udp own",
        "frame b udp made",
        "datagram b udp made",
        "send b udp made",
    ];
    assert_eq!(booth.events(), expected);
    booth.finish();
}

/// A link that remembers in which order frames left, whatever the port.
#[derive(Debug, Default)]
struct Ordered {
    arriving: Vec<(Port, OneFrame)>,
    left: Vec<(Port, Vec<u8>)>,
}

#[derive(Debug)]
struct OneFrame(Vec<u8>);

impl AsRef<[u8]> for OneFrame {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for OneFrame {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Frame for OneFrame {
    fn capacity(&self) -> usize {
        2048
    }

    fn set_len(&mut self, len: usize) -> bool {
        self.0.resize(len, 0);
        true
    }
}

impl Link for Ordered {
    type Frame = OneFrame;

    fn receive(&mut self, port: Port, batch: &mut Vec<OneFrame>) -> usize {
        let before = batch.len();
        batch.extend(self.arriving.extract_if(.., |(at, _)| *at == port).map(|(_, frame)| frame));
        batch.len() - before
    }

    fn transmit(&mut self, port: Port, batch: &mut Vec<OneFrame>) -> usize {
        let sent = batch.len();
        self.left.extend(batch.drain(..).map(|frame| (port, frame.0)));
        sent
    }

    fn release(&mut self, _: OneFrame) {}

    fn frame(&mut self) -> Option<OneFrame> {
        Some(OneFrame(Vec::new()))
    }
}

#[test]
fn in_a_replay_all_that_rules_make_leaves_in_order_whatever_the_port() {
    for interest in [MAKING, MAKING.difference(Interest::SEND_FRAME)] {
        let policy = Looker::new(interest, |event, frame, injected| {
            if event == Event::Frame && frame.bytes().ends_with(b"own") {
                injected.push_back(made(&udp(b"first"), Side::A, Route::Send));
                injected.push_back(made(&udp(b"second"), Side::B, Route::Send));
                injected.push_back(made(&udp(b"third"), Side::A, Route::Receive));
                injected.push_back(made(&udp(b"fourth"), Side::B, Route::Receive));
            }
            Verdict::Accept
        });
        let config = Config { in_order: true, ..small() };
        let mut worker = Worker::new(config, Ordered::default(), policy, Mesh::alone());
        worker.link_mut().arriving.push((Port::A, OneFrame(udp(b"own"))));
        worker.poll(Timestamp::from_secs(1));
        let left = &worker.link().left;
        let left: Vec<_> =
            left.iter().map(|(port, bytes)| (*port, super::traffic::name(bytes))).collect();
        let expected = [
            (Port::B, "udp first"),
            (Port::A, "udp second"),
            (Port::B, "udp third"),
            (Port::A, "udp fourth"),
            (Port::B, "udp own"),
        ];
        assert_eq!(left, expected.map(|(port, name)| (port, name.to_owned())));
        assert_eq!(worker.counters().balance(), 0);
    }
}

#[test]
fn a_connection_can_be_made_of_injected_packets() {
    let interest = MAKING | Interest::EVENTS;
    let mut frames = handshake().to_vec();
    frames.push(common::Frame::client(1, 1, ACK, b"forged"));
    let policy = Looker::new(interest, move |event, frame, injected| {
        if event == Event::Frame && frame.bytes()[13] == 6 {
            for frame in &frames {
                let side = if frame.from_client { Side::A } else { Side::B };
                injected.push_back(made(&frame.bytes(), side, Route::Receive));
            }
        }
        Verdict::Accept
    });
    let mut booth = Booth::new(policy);
    assert_eq!(booth.put(Port::A, &arp()).len(), 5);
    let events = booth.events();
    assert!(events.contains(&"data forged".to_owned()), "{events:?}");
    assert_eq!(events.last().unwrap(), "send a arp");
    booth.finish();
}

#[test]
fn events_of_a_connection_can_make_frames_too() {
    let interest = Interest::EVENTS | Interest::INJECT | Interest::RECEIVE_FRAME;
    let mut policy = Looker::accepting(interest);
    policy.makes = vec![
        ("new", made(&udp(b"new"), Side::A, Route::Send)),
        ("data", made(&udp(b"sent"), Side::A, Route::Send)),
        ("data", made(&udp(b"received"), Side::A, Route::Receive)),
        ("end", made(&udp(b"end"), Side::A, Route::Send)),
    ];
    let mut booth = Booth::new(policy);
    let mut out = Vec::new();
    for frame in handshake().into_iter().chain([common::Frame::client(1, 1, ACK, b"data")]) {
        out.extend(booth.put(frame.port(), &frame.bytes()));
    }
    let names: Vec<_> = out.iter().map(|(_, bytes)| super::traffic::name(bytes)).collect();
    // The SYN-ACK is the one that leaves by A.
    let expected = ["udp new", "tcp", "tcp", "tcp", "udp sent", "tcp data", "udp received"];
    assert_eq!(names, expected);
    let before = booth.worker.counters().ports[1].transmitted_frames;
    booth.worker.finish(booth.now);
    assert_eq!(booth.worker.counters().ports[1].transmitted_frames, before + 1);
    booth.finish();
}

#[test]
fn a_rule_that_answers_every_frame_with_another_is_stopped() {
    for route in [Route::Receive, Route::Send] {
        let policy = Looker::new(MAKING, move |event, frame, injected| {
            if event == if route == Route::Send { Event::Send } else { Event::Frame } {
                injected.push_back(made(frame.bytes(), frame.from(), route));
                injected.push_back(made(frame.bytes(), frame.from().other(), route));
            }
            Verdict::Accept
        });
        let mut booth = Booth::new(policy);
        let out = booth.put(Port::A, &ping());
        // Eight generations, each twice as many as the one before.
        assert_eq!(out.len(), 511);
        let counters = booth.finish();
        assert_eq!((counters.injected, counters.injected_lost), (510, 512));
    }
}

#[test]
fn a_rule_that_makes_frames_without_end_is_stopped() {
    let policy = Looker::new(MAKING, |event, _, injected| {
        if event == Event::Frame && injected.is_empty() {
            let frame = made(&ping(), Side::A, Route::Send);
            injected.extend(std::iter::repeat_n(frame, 10_000));
        }
        Verdict::Accept
    });
    let mut booth = Booth::new(policy);
    let out = booth.put(Port::A, &ping());
    // The memory link has that many frames, of which one is the packet itself.
    assert!(out.len() <= 4096, "{}", out.len());
    let counters = booth.finish();
    assert_eq!(counters.injected + counters.injected_lost, 10_000);
}

#[test]
fn frames_that_cannot_be_are_lost_and_counted() {
    let policy = Looker::new(MAKING, |event, _, injected| {
        if event == Event::Frame && injected.is_empty() {
            injected.push_back(made(&[1; 13], Side::A, Route::Send));
            injected.push_back(made(&[1; 2049], Side::A, Route::Receive));
        }
        Verdict::Accept
    });
    let mut booth = Booth::new(policy);
    assert_eq!(booth.put(Port::A, &arp()).len(), 1);
    let counters = booth.finish();
    assert_eq!((counters.injected, counters.injected_lost), (0, 2));
}

#[test]
fn time_is_told_once_a_second_and_may_make_frames() {
    let mut policy = Looker::accepting(Interest::TICK | Interest::INJECT | Interest::SEND_FRAME);
    policy.makes = vec![("tick", made(&udp(b"tick"), Side::B, Route::Receive))];
    let mut booth = Booth::new(policy);
    for _ in 0..4 {
        booth.turn();
        booth.now = booth.now + Duration::from_millis(400);
    }
    let expected = ["tick 1000000", "send b udp tick", "tick 1000001", "send b udp tick"];
    assert_eq!(booth.events(), expected);
    assert_eq!(booth.finish().ports[0].transmitted_frames, 2);
}

#[test]
fn nobody_is_asked_without_the_interest() {
    let mut policy = Looker::accepting(Interest::RECEIVE_FRAME);
    policy.injected.push_back(made(&udp(b"never"), Side::A, Route::Send));
    let mut booth = Booth::new(policy);
    let syn = common::Frame::client(0, 0, SYN, b"").bytes();
    assert_eq!(booth.put(Port::A, &syn).len(), 1);
    assert_eq!(booth.events(), ["frame a tcp"]);
    booth.finish();
}
