//! Starting, stopping and starting again, whatever the way it ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::lab::{Lab, Options, SERVER_V4, Side, join};
use crate::program::Program;
use crate::rules;
use crate::traffic;

/// Where programs are pinned, in a folder for each interface.
const PINS: &str = "/sys/fs/bpf/tollgate";

/// What is pinned for the gate's interfaces: their folders end with the number of their namespace, so
/// that another lab beside this one does not count.
fn pins(lab: &Lab) -> Vec<String> {
    let suffix = format!("-net{}", lab.namespace(Side::Gate));
    let entries = std::fs::read_dir(PINS).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(&suffix))
        .collect()
}

/// The gate's interfaces as `ip` shows them; it names an XDP program where there is one.
fn interfaces(lab: &Lab) -> String {
    lab.run(Side::Gate, &["ip", "link", "show"])
}

#[test]
fn twenty_restarts_under_traffic_leave_nothing_behind() {
    let Some(lab) = Lab::up(Options { queues: 2, ..Options::default() }) else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients = knock_until(&lab, &stop, &answered);
    for round in 1..=20 {
        let program = Program::start(&lab, rules::ACCEPT, 2);
        assert!(interfaces(&lab).contains("xdp"), "round {round}: a program is attached");
        assert_eq!(pins(&lab).len(), 2, "round {round}: and pinned, at each port");
        let before = answered.load(Ordering::Relaxed);
        wait_for("connections of this round", || answered.load(Ordering::Relaxed) > before + 5);
        let ended = program.stop();
        assert_eq!(ended.code, Some(0), "round {round}: {}", ended.stderr);
        assert!(!interfaces(&lab).contains("xdp"), "round {round}: {}", interfaces(&lab));
        assert_eq!(pins(&lab), [""; 0], "round {round}");
        assert!(lab.is_whole(), "round {round}");
    }
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(join);
}

/// The kernel tidies up after a process that cannot: sockets, and what is attached through it.
#[test]
fn after_a_kill_it_starts_again() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    for round in 1..=3 {
        let program = Program::start(&lab, rules::ACCEPT, 1);
        assert_eq!(program.stop_by("KILL").code, None, "round {round}: by signal");
        let program = Program::start(&lab, rules::ACCEPT, 1);
        let received = traffic::bulk(&lab, SocketAddr::new(SERVER_V4, 7000), 1 << 18);
        assert_eq!(received, (1 << 18, 1 << 18), "round {round}");
        assert_eq!(program.stop().code, Some(0), "round {round}");
    }
}

/// Clients that try all the time, with a server that answers all the time.
fn knock_until(
    lab: &Lab,
    stop: &Arc<AtomicBool>,
    answered: &Arc<AtomicUsize>,
) -> Vec<std::thread::JoinHandle<()>> {
    let address = SocketAddr::new(SERVER_V4, 7000);
    let stopped = Arc::clone(stop);
    let serving = lab.spawn(Side::Server, move || {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        while !stopped.load(Ordering::Relaxed) {
            match listener.accept() {
                // Dropped at once: the client sees the end of the stream.
                Ok(_) => {}
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    });
    let (stopped, answered) = (Arc::clone(stop), Arc::clone(answered));
    let knocking = lab.spawn(Side::Client, move || {
        while !stopped.load(Ordering::Relaxed) {
            let patience = Duration::from_millis(300);
            if let Ok(mut stream) = std::net::TcpStream::connect_timeout(&address, patience)
                && traffic::next(&mut stream, patience) == traffic::End::Closed
            {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    vec![serving, knocking]
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("waited in vain for {what}");
}
