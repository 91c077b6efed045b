//! Opening, closing, dying, being taken over.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tollgate_link::{
    Port,
    xsk::{OpenError, Pair, Verdict},
};

use crate::crossing::forward;
use crate::lab::Lab;
use crate::{config, lab, patient, until};

/// Whether the next start cleans up after a process that died together with its interfaces.
#[test]
fn what_dead_processes_left_at_dead_interfaces_is_swept() {
    let Some(lab) = Lab::new(1) else { return };
    let mark = mark(&lab);
    drop(opened_by_a_child(&lab));
    assert!(!left_behind(&mark).is_empty(), "it was killed");
    drop(lab);
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    // The kernel takes its time to remove a namespace.
    until(|| {
        drop(Pair::open(&config()).unwrap());
        left_behind(&mark).is_empty()
    });
}

/// How the names of what belongs to the gate end.
pub(crate) fn mark(lab: &Lab) -> String {
    let namespace = std::fs::metadata(format!("/run/netns/{}", lab.gate())).unwrap();
    format!("-net{}", std::os::unix::fs::MetadataExt::ino(&namespace))
}

pub(crate) fn left_behind(mark: &str) -> Vec<String> {
    ["/sys/fs/bpf/tollgate", "/run/tollgate"]
        .into_iter()
        .filter_map(|directory| Path::new(directory).read_dir().ok())
        // Other tests remove the directories with their last entry, while they are read.
        .flat_map(Iterator::flatten)
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.contains(mark))
        .collect()
}

/// Nothing of ours is left at these interfaces.
pub(crate) fn assert_untouched(lab: &Lab, ports: &[&str]) {
    for port in ports {
        let shown = lab.ip_gate(&["-o", "link", "show", "dev", port]);
        assert!(!shown.contains("xdp"), "{shown}");
    }
    assert_eq!(left_behind(&mark(lab)), [""; 0]);
}

#[test]
fn opening_and_closing_twenty_times_under_traffic_leaves_nothing_behind() {
    let Some(lab) = Lab::new(2) else { return };
    lab.enter_gate();
    let over = Arc::new(AtomicBool::new(false));
    let knocking = {
        let over = Arc::clone(&over);
        lab.at_client(move || {
            lab::know_server();
            let address = format!("{}:7500", lab::SERVER).parse().unwrap();
            while !over.load(Ordering::Relaxed) {
                std::net::TcpStream::connect_timeout(&address, Duration::from_millis(5)).ok();
            }
        })
    };
    let mut seen = 0;
    for nth in 0..20 {
        let (pair, links) = Pair::open(&patient()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        if nth % 4 == 3 {
            let working = forward(links, &stop, false);
            thread::sleep(Duration::from_millis(50));
            stop.store(true, Ordering::Relaxed);
            for worker in working {
                assert!(worker.join().unwrap().census.balances());
            }
            seen += pair.steer_counts(Port::A).unwrap().of(Verdict::ToSocket).frames;
            pair.close().unwrap();
        } else if nth % 2 == 0 {
            // Either may go first.
            pair.close().unwrap();
            drop(links);
        } else {
            drop(links);
            drop(pair);
        }
        assert_untouched(&lab, &["a", "b"]);
    }
    over.store(true, Ordering::Relaxed);
    knocking.join().unwrap();
    assert!(seen > 0, "there was traffic");
}

#[test]
#[ignore = "what the next test starts as a process of its own"]
fn child_that_opens_and_waits_to_be_killed() {
    let Ok(gate) = std::env::var("TOLLGATE_TEST_GATE") else { return };
    lab::enter(&gate);
    let (_pair, mut links) = Pair::open(&config()).unwrap();
    println!("open");
    loop {
        for link in &mut links {
            link.wait(Duration::from_millis(1));
        }
    }
}

/// Killed when dropped.
pub(crate) struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that has opened the pair, and waits.
pub(crate) fn opened_by_a_child(lab: &Lab) -> Killed {
    let mut child = Killed(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "life::child_that_opens_and_waits_to_be_killed"])
            .args(["--ignored", "--nocapture"])
            .env("TOLLGATE_TEST_GATE", lab.gate())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let said = BufReader::new(child.0.stdout.take().unwrap()).lines();
    assert!(said.map_while(Result::ok).any(|line| line.ends_with("open")));
    child
}

#[test]
fn a_killed_process_fails_to_wire_and_is_taken_over() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    for round in 0..3 {
        let child = opened_by_a_child(&lab);
        match Pair::open(&config()) {
            Err(OpenError::Held { pid, .. }) => assert_eq!(pid, child.0.id()),
            other => panic!("{other:?}"),
        }
        drop(child);

        // Nobody is there, and the wire is not cut.
        assert!(lab.echo(7100 + round, 2, 20_000).join().unwrap());
    }

    let (pair, links) = Pair::open(&patient()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let working = forward(links, &stop, false);
    assert!(lab.echo(7110, 2, 20_000).join().unwrap());
    stop.store(true, Ordering::Relaxed);
    for worker in working {
        assert_eq!(worker.join().unwrap().census.held, 0);
    }
    assert!(pair.steer_counts(Port::A).unwrap().of(Verdict::ToSocket).frames > 20);
    pair.close().unwrap();
    assert_untouched(&lab, &["a", "b"]);
}
