//! Several workers: where each event is asked.

use tollgate_engine::{Config, Worker, mesh};
use tollgate_link::Port;
use tollgate_policy::Interest;
use tollgate_wire::Timestamp;

use super::policy::{FRAMES, Looker};
use super::traffic::{cut, udp};
use crate::common::{ACK, Frame, SharedLink, handshake, small};

#[test]
fn frames_are_shown_where_they_arrive_and_connections_where_they_are_owned() {
    let interest = FRAMES | Interest::EVENTS;
    let mut workers: Vec<_> = SharedLink::siblings(3)
        .into_iter()
        .zip(mesh(3, 64))
        .enumerate()
        .map(|(worker, (link, mesh))| {
            let config = Config { workers: 3, worker, ..small() };
            Worker::new(config, link, Looker::accepting(interest), mesh)
        })
        .collect();
    let now = Timestamp::from_secs(1);
    let mut frames: Vec<_> =
        handshake().iter().map(|frame| (frame.port(), frame.bytes())).collect();
    frames.push((Port::A, Frame::client(1, 1, ACK, b"data").bytes()));
    frames.extend(
        cut(&udp(b"abcdefghijklmnopqrstuvwxyz"), &[8, 8], 3).into_iter().map(|f| (Port::A, f)),
    );
    for (number, (port, bytes)) in frames.iter().enumerate() {
        workers[number % 3].link_mut().inject(*port, bytes);
        for _ in 0..4 {
            workers.iter_mut().for_each(|worker| _ = worker.poll(now));
        }
    }
    let mut all = Vec::new();
    for (number, worker) in workers.iter_mut().enumerate() {
        let events = std::mem::take(&mut worker.policy_mut().events);
        let frames = events.iter().filter(|event| event.starts_with("frame"));
        assert_eq!(frames.count(), if number == 0 { 3 } else { 2 });
        all.extend(events);
    }
    for what in ["new", "data data", "datagram a udp abcdefghijklmnopqrstuvwxyz"] {
        assert_eq!(all.iter().filter(|event| *event == what).count(), 1, "{what}");
    }
    assert_eq!(all.iter().filter(|event| event.starts_with("send")).count(), frames.len());
    for worker in &mut workers {
        worker.finish(now);
        assert_eq!(worker.counters().unbalanced_turns, 0);
    }
    assert_eq!(workers[0].link().outstanding(), 0);
}
