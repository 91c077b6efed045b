//! Workers that do not turn.

use std::{thread, time::Duration};

use tollgate_link::{
    Link, Port,
    xsk::{Fail, Pair, PairConfig, Verdict, XskFrame},
};

use crate::lab::Lab;
use crate::{BATCH, config, lab, until};

#[test]
fn a_hung_worker_is_bypassed_and_its_stale_frames_go_nowhere() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let (pair, mut links) = Pair::open(&config()).unwrap();
    let mut link = links.pop().unwrap();
    let mut batch: Vec<XskFrame> = Vec::with_capacity(BATCH);
    link.receive(Port::A, &mut batch);
    // This worker now takes no turn for as long as eight connections need.
    assert!(lab.echo(7200, 8, 20_000).join().unwrap());
    let bypassed = pair.steer_counts(Port::A).unwrap().of(Verdict::Bypassed).frames;
    assert!(bypassed > 20, "{bypassed}");

    let waiting = pair.steer_counts(Port::A).unwrap().of(Verdict::ToSocket).frames;
    assert_eq!(link.receive(Port::A, &mut batch), 0, "stale frames are not let out");
    let counts = link.counts();
    assert_eq!(counts.stale, waiting);
    assert!(counts.late >= 1, "more, if this machine was slow before");
    assert!(link.census().balances());
}

#[test]
fn a_late_worker_keeps_its_frames_if_none_was_bypassed() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let (pair, mut links) = Pair::open(&config()).unwrap();
    let mut link = links.pop().unwrap();
    let mut batch: Vec<XskFrame> = Vec::with_capacity(BATCH);
    let connecting = lab.at_client(|| {
        // Time for the turn before, so that the first SYN finds a fresh heartbeat.
        let address = format!("{}:7400", lab::SERVER).parse().unwrap();
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
    });
    until(|| {
        link.receive(Port::B, &mut batch);
        link.wait(Duration::from_millis(1));
        pair.steer_counts(Port::A).unwrap().of(Verdict::ToSocket).frames > 0
    });
    thread::sleep(Duration::from_millis(60));
    connecting.join().unwrap();
    let counts = pair.steer_counts(Port::A).unwrap();
    let received = link.receive(Port::A, &mut batch) as u64;
    assert!(link.counts().late > 0);
    if counts.of(Verdict::Bypassed).frames == 0 {
        assert_eq!(received, counts.of(Verdict::ToSocket).frames);
        assert_eq!(link.counts().stale, 0);
    } else {
        println!("not shown: this machine was too slow, and the kernel bypassed");
    }
    for frame in batch {
        link.release(frame);
    }
}

#[test]
fn failing_closed_a_hung_worker_keeps_its_frames() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let (pair, mut links) = Pair::open(&PairConfig { fail: Fail::Closed, ..config() }).unwrap();
    let connecting = lab.at_client(|| {
        let address = format!("{}:7300", lab::SERVER).parse().unwrap();
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_ok()
    });
    assert!(!connecting.join().unwrap());
    let mut batch: Vec<XskFrame> = Vec::with_capacity(BATCH);
    let mut link = links.pop().unwrap();
    assert!(link.receive(Port::A, &mut batch) > 0);
    let counts = pair.steer_counts(Port::A).unwrap();
    assert_eq!(counts.of(Verdict::Bypassed).frames + counts.of(Verdict::NoSocketWire).frames, 0);
    for frame in batch.drain(..) {
        link.release(frame);
    }

    drop(link);
    lab.at_client(|| {
        let address = format!("{}:7301", lab::SERVER).parse().unwrap();
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_ok()
    })
    .join()
    .unwrap();
    assert!(pair.steer_counts(Port::A).unwrap().of(Verdict::NoSocketClosed).frames > 0);
}
