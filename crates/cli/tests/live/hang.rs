//! The wire lives while the program hangs, and what it carries goes on when the program is back.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::lab::{Lab, Options, SERVER_V4, join};
use crate::program::Program;
use crate::{rules, traffic};

const MIB: u64 = 1 << 20;

/// Longer than the heartbeat allows.
const HUNG: Duration = Duration::from_millis(80);
const AWAKE: Duration = Duration::from_millis(120);

#[test]
fn transfers_go_on_through_and_after_hangs_of_the_program() {
    for workers in [1, 2] {
        let Some(lab) = Lab::up(Options::default()) else { return };
        let program = Program::start_configured(&lab, rules::ACCEPT, workers, "fail = 'wire'\n");
        let stop = Arc::new(AtomicBool::new(false));
        let hangs = hang_again_and_again(program.id(), &stop);
        for round in 1..=3 {
            let received = traffic::bulk(&lab, SocketAddr::new(SERVER_V4, 7000), 32 * MIB);
            assert_eq!(received, (32 * MIB, 32 * MIB), "{workers} workers, round {round}");
        }
        assert_eq!(traffic::short_connections(&lab, SERVER_V4, 2, 200), 200, "{workers} workers");
        stop.store(true, Ordering::Relaxed);
        join(hangs);
        let metrics = program.metrics(&lab);
        let bypassed = metrics.sum("tollgate_steered_frames_total", &["verdict=\"bypassed\""]);
        assert!(bypassed > 0.0, "the wire lived without the program");
        assert!(metrics.sum("tollgate_resumed_total", &[]) > 0.0, "and was told");
        assert_eq!(program.stop().code, Some(0));
    }
}

/// Stops the process and lets it go on, by signal, until told to stop.
fn hang_again_and_again(process: u32, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let stop = Arc::clone(stop);
    let signal = move |name: &str| {
        let status = Command::new("kill").args(["-s", name, &process.to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "it runs");
    };
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(AWAKE);
            signal("STOP");
            std::thread::sleep(HUNG);
            signal("CONT");
        }
    })
}
