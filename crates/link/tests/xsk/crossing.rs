//! Frames cross: uncopied, by one worker and several, each once.

use std::{
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};
use tollgate_link::{
    Link, Port,
    xsk::{
        Census, LinkCounts, OtherFrames, Pair, PairConfig, QueueStatistics, Verdict, XskFrame,
        XskLink,
    },
};

use crate::lab::Lab;
use crate::{BATCH, lab, patient, until};

#[test]
fn a_frame_crosses_without_being_copied() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let config = PairConfig { other: OtherFrames::User, ..patient() };
    let (pair, mut links) = Pair::open(&config).unwrap();
    let mut link = links.pop().unwrap();

    // All that arrives at the server, whoever it is for.
    let (ready, is_ready) = mpsc::channel();
    let (seen, is_seen) = mpsc::channel();
    let sniffing = lab.at_server(move || {
        let protocol = SockProtocol::EthAll;
        let all = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), protocol);
        let all = all.unwrap();
        let timeout = nix::sys::time::TimeVal::new(5, 0);
        setsockopt(&all, sockopt::ReceiveTimeout, &timeout).unwrap();
        ready.send(()).unwrap();
        let mut bytes = vec![0; 4096];
        while let Ok(len) = recv(all.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
            if seen.send(bytes.get(..len).unwrap().to_vec()).is_err() {
                return;
            }
        }
    });
    is_ready.recv().unwrap();
    let asking = lab.at_client(|| {
        lab::know_server();
        let socket = std::net::UdpSocket::bind("198.18.7.1:0").unwrap();
        socket.send_to(b"the way of one frame", (lab::SERVER, 9)).unwrap();
    });
    asking.join().unwrap();

    let mut batch = Vec::with_capacity(BATCH);
    let mut crossing = Vec::new();
    until(|| {
        link.receive(Port::A, &mut batch);
        for frame in batch.drain(..) {
            if frame.as_ref().ends_with(b"the way of one frame") {
                crossing.push(frame);
            } else {
                link.release(frame);
            }
        }
        !crossing.is_empty()
    });
    let frame = crossing.first().unwrap();
    let (address, bytes) = (frame.address(), frame.as_ref().to_vec());

    assert_eq!(link.transmit(Port::B, &mut crossing), 1);
    until(|| {
        link.receive(Port::B, &mut batch);
        link.last_completed(Port::B).is_some()
    });
    assert_eq!(link.last_completed(Port::B), Some(address), "the chunk it was received into");
    until(|| is_seen.recv_timeout(Duration::from_secs(5)).unwrap() == bytes);

    drop(is_seen);
    for frame in batch.drain(..) {
        link.release(frame);
    }
    assert_eq!(pair.steer_counts(Port::A).unwrap().of(Verdict::NoSocketWire).frames, 0);
    assert!(pair.steer_counts(Port::A).unwrap().of(Verdict::OtherUser).frames > 0);
    pair.close().unwrap();
    assert!(link.census().balances());
    assert_eq!(link.census().held, 0);
    drop(lab);
    sniffing.join().unwrap();
}

/// What a worker did, once it has stopped.
pub(crate) struct Report {
    pub(crate) census: Census,
    pub(crate) counts: LinkCounts,
    pub(crate) queues: Vec<QueueStatistics>,
}

/// Workers that forward all they get, until told to stop. With `hand_off`, each sends what its
/// neighbour has received.
pub(crate) fn forward(
    links: Vec<XskLink>,
    stop: &Arc<AtomicBool>,
    hand_off: bool,
) -> Vec<thread::JoinHandle<Report>> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        links.iter().map(|_| mpsc::channel::<(Port, XskFrame)>()).unzip();
    let workers = links.len();
    links
        .into_iter()
        .zip(receivers)
        .map(|(mut link, handed)| {
            let next = senders.get((link.worker() + 1) % workers).unwrap().clone();
            let stop = Arc::clone(stop);
            thread::spawn(move || {
                let mut batch = Vec::with_capacity(BATCH);
                let mut leaving = [Vec::new(), Vec::new()];
                let mut spent = Instant::now();
                // After the signal, as long as anything is left on its way.
                while !stop.load(Ordering::Relaxed) || spent.elapsed() < Duration::from_millis(200)
                {
                    if !stop.load(Ordering::Relaxed) {
                        spent = Instant::now();
                    }
                    for (port, leaving) in Port::BOTH.into_iter().zip(&mut leaving) {
                        link.receive(port.peer(), &mut batch);
                        for frame in batch.drain(..) {
                            if hand_off {
                                next.send((port, frame)).unwrap();
                            } else {
                                leaving.push(frame);
                            }
                        }
                    }
                    while let Ok((port, frame)) = handed.try_recv() {
                        leaving.get_mut(port.index()).unwrap().push(frame);
                    }
                    for (port, leaving) in Port::BOTH.into_iter().zip(&mut leaving) {
                        link.transmit(port, leaving);
                    }
                    link.wait(Duration::from_millis(1));
                }
                for frame in leaving.into_iter().flatten() {
                    link.release(frame);
                }
                let queues = link.statistics().collect();
                Report { census: link.census(), counts: link.counts(), queues }
            })
        })
        .collect()
}

/// TCP crosses by so many workers and queues; the counters prove the way, and no frame is lost.
pub(crate) fn crosses(workers: usize, queues: u32, hand_off: bool) {
    let Some(lab) = Lab::new(queues) else { return };
    lab.enter_gate();
    let config = PairConfig { workers, ..patient() };
    let (pair, links) = Pair::open(&config).unwrap();
    assert_eq!(links.len(), workers);
    let dealt: Vec<_> =
        pair.queues().iter().map(|info| (info.port, info.queue, info.worker)).collect();
    let expected: Vec<_> = Port::BOTH
        .into_iter()
        .flat_map(|port| (0..queues).map(move |queue| (port, queue, queue as usize % workers)))
        .collect();
    assert_eq!(dealt, expected);
    assert!(pair.queues().iter().all(|info| !info.zero_copy), "veth copies");
    assert!(Port::BOTH.into_iter().all(|port| pair.is_native(port)));

    let stop = Arc::new(AtomicBool::new(false));
    let working = forward(links, &stop, hand_off);
    let echoed = lab.echo(7001, 8, 300_000).join().unwrap();
    stop.store(true, Ordering::Relaxed);
    let reports: Vec<_> = working.into_iter().map(|worker| worker.join().unwrap()).collect();
    assert!(echoed, "what came back is not what was sent");

    let mut census = Census::default();
    let mut received = [0; 2];
    for Report { census: each, counts, queues } in &reports {
        assert!(each.balances(), "{each:?}");
        assert_eq!(*counts, LinkCounts::default());
        census += *each;
        for queue in queues {
            let counts = queue.counts;
            received[queue.port.index()] += counts.received;
            assert_eq!(counts.rx_fill_ring_empty, 0, "the fill ring ran dry");
            assert_eq!(counts.rx_invalid + counts.tx_invalid + counts.rx_ring_full, 0);
            assert_eq!(counts.wakeup_failed + counts.fill_short, 0);
        }
    }
    assert_eq!(census.held, 0, "{census:?}");
    assert_eq!(census.given, pair.frames() as u64);
    for port in Port::BOTH {
        let steered = pair.steer_counts(port).unwrap();
        assert_eq!(steered.of(Verdict::ToSocket).frames, received[port.index()]);
        assert!(steered.of(Verdict::ToSocket).bytes > 2_400_000);
        assert!(steered.of(Verdict::OtherKernel).frames > 0, "ARP crosses in the kernel");
        let straight =
            steered.of(Verdict::ToSocket).frames + steered.of(Verdict::OtherKernel).frames;
        assert_eq!(steered.frames(), straight, "{steered:?}");
    }
    pair.close().unwrap();
}

#[test]
fn tcp_crosses_with_one_worker_and_one_queue() {
    crosses(1, 1, false);
}

#[test]
fn tcp_crosses_with_one_worker_and_three_queues() {
    crosses(1, 3, false);
}

#[test]
fn tcp_crosses_with_two_workers_and_two_queues() {
    crosses(2, 2, false);
}

#[test]
fn frames_handed_to_a_worker_without_queues_leave_through_its_sibling() {
    crosses(2, 1, true);
}

#[test]
fn one_queue_serves_four_workers() {
    crosses(4, 1, true);
}

#[test]
fn frames_handed_between_workers_with_queues_come_home() {
    crosses(2, 2, true);
}
