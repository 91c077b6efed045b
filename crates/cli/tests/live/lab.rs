//! Three namespaces and two veth pairs, made by `bench/lab/lab.sh` and removed on drop.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, setns};

/// One of the lab's namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Gate,
    Server,
}

impl Side {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gate => "gate",
            Self::Server => "server",
        }
    }
}

/// What a lab may differ in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Receive and transmit queues of every interface.
    pub(crate) queues: u16,
    /// Leave checksums to a card that is not there, as a veth does unless told otherwise.
    pub(crate) keep_offloads: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { queues: 1, keep_offloads: false }
    }
}

pub(crate) const SERVER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 20, 1));
pub(crate) const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0x7011, 0, 0, 0, 0, 0x20, 1));

/// A lab of our own. One at a time in this process: two cores carry one honestly.
pub(crate) struct Lab {
    name: String,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());
static COUNT: AtomicU32 = AtomicU32::new(1);

impl Lab {
    /// None, with a line that says so, where namespaces cannot be made.
    pub(crate) fn up(options: Options) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: not root, so no network namespaces");
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let lab = Self { name: format!("tollgate-{}-{count}", std::process::id()), _alone: alone };
        let mut command = script();
        command.args(["up", "--name", &lab.name, "--queues", &options.queues.to_string()]);
        if options.keep_offloads {
            command.arg("--keep-offloads");
        }
        run(&mut command);
        Some(lab)
    }

    /// A thread whose sockets and children live in one of the namespaces.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        side: Side,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let path = self.path(side);
        std::thread::spawn(move || {
            let namespace = File::open(&path).expect("the lab's namespace is there");
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
            work()
        })
    }

    /// The same, waited for.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        side: Side,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        join(self.spawn(side, work))
    }

    /// Runs a command in a namespace, and gives what it printed; panics if it fails.
    pub(crate) fn run(&self, side: Side, command: &[&str]) -> String {
        run(script().args(["exec", &self.name, side.name()]).args(command))
    }

    /// What its namespaces' names begin with.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether all three namespaces are there.
    pub(crate) fn is_whole(&self) -> bool {
        [Side::Client, Side::Gate, Side::Server].iter().all(|&side| self.path(side).exists())
    }

    /// The kernel's number of a namespace.
    pub(crate) fn namespace(&self, side: Side) -> u64 {
        std::fs::metadata(self.path(side)).expect("the lab's namespace is there").ino()
    }

    fn path(&self, side: Side) -> PathBuf {
        PathBuf::from(format!("/run/netns/{}-{}", self.name, side.name()))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let status = script().args(["down", &self.name]).status();
        if !std::thread::panicking() {
            assert!(status.is_ok_and(|status| status.success()), "the lab came down");
            assert!(!self.path(Side::Gate).exists(), "and nothing of it is left");
        }
    }
}

/// The result of a thread, or its panic passed on.
pub(crate) fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn script() -> Command {
    let mut command = Command::new("bash");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/lab/lab.sh"));
    command
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("bash is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {text}{errors}");
    text
}
