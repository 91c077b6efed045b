//! Three network namespaces in a row: client, gate, server. The gate's two interfaces, `a` and `b`,
//! are veth ends whose other ends are `eth` of the client and `eth` of the server.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::sched::{CloneFlags, setns};

pub(crate) const SERVER: &str = "198.18.7.2";

/// The namespaces, removed when dropped, also by a panic.
pub(crate) struct Lab {
    client: String,
    gate: String,
    server: String,
}

impl Lab {
    /// None, after a line that says so, without root.
    pub(crate) fn new(queues: u32) -> Option<Self> {
        static NTH: AtomicU32 = AtomicU32::new(0);
        if !nix::unistd::Uid::effective().is_root() {
            println!("skipped: network namespaces and AF_XDP need root");
            return None;
        }
        let nth = NTH.fetch_add(1, Ordering::Relaxed);
        let name = |role| format!("tg-{}-{nth}-{role}", std::process::id());
        let lab = Self { client: name("client"), gate: name("gate"), server: name("server") };
        lab.build(&queues.to_string());
        Some(lab)
    }

    fn build(&self, queues: &str) {
        for namespace in [&self.client, &self.gate, &self.server] {
            ip(&["netns", "add", namespace]);
            let quiet = "net.ipv6.conf.default.disable_ipv6=1";
            run("ip", &["netns", "exec", namespace, "sysctl", "-qw", quiet]);
        }
        for (end, port, address) in
            [(&self.client, "a", "198.18.7.1/24"), (&self.server, "b", "198.18.7.2/24")]
        {
            ip(&[
                "link",
                "add",
                "eth",
                "numtxqueues",
                queues,
                "numrxqueues",
                queues,
                "netns",
                end,
                "type",
                "veth",
                "peer",
                "name",
                port,
                "numtxqueues",
                queues,
                "numrxqueues",
                queues,
                "netns",
                &self.gate,
            ]);
            ip(&["-n", end, "address", "add", address, "dev", "eth"]);
            ip(&["-n", end, "link", "set", "dev", "eth", "up"]);
            ip(&["-n", &self.gate, "link", "set", "dev", port, "up"]);
            // Frames must carry whole checksums, and be taken when they cross in the kernel.
            run(
                "ip",
                &[
                    "netns", "exec", end, "ethtool", "-K", "eth", "tx", "off", "tso", "off", "gro",
                    "on",
                ],
            );
        }
    }

    /// Puts the calling thread into the gate, for good.
    pub(crate) fn enter_gate(&self) {
        enter(&self.gate);
    }

    pub(crate) fn gate(&self) -> &str {
        &self.gate
    }

    /// Runs `ip` in the gate.
    pub(crate) fn ip_gate(&self, arguments: &[&str]) -> String {
        let output = ip(&[&["-n", &self.gate], arguments].concat());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `work` in the client, on a thread of its own.
    pub(crate) fn at_client<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        at(self.client.clone(), work)
    }

    /// Runs `work` in the server, on a thread of its own.
    pub(crate) fn at_server<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        at(self.server.clone(), work)
    }

    /// Sends `bytes` over each of `connections` TCP connections, and has them back; true if they are
    /// what was sent. The frames cross the gate, or this fails within seconds.
    pub(crate) fn echo(&self, port: u16, connections: usize, bytes: usize) -> JoinHandle<bool> {
        let (ready, is_ready) = std::sync::mpsc::channel();
        self.at_server(move || {
            let listener = TcpListener::bind((SERVER, port)).unwrap();
            ready.send(()).unwrap();
            for stream in listener.incoming().take(connections) {
                let stream = stream.unwrap();
                thread::spawn(move || {
                    std::io::copy(&mut &stream, &mut &stream).ok();
                    stream.shutdown(std::net::Shutdown::Write).ok();
                });
            }
        });
        self.at_client(move || {
            is_ready.recv().unwrap();
            (0..connections).all(|nth| echo_once(port, nth, bytes))
        })
    }
}

fn echo_once(port: u16, nth: usize, bytes: usize) -> bool {
    use std::io::{Read, Write};
    let address: SocketAddr = format!("{SERVER}:{port}").parse().unwrap();
    let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(8)) else {
        return false;
    };
    stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    let sent: Vec<u8> = (0..bytes).map(|at| (at * 7 + at / 251 + nth).to_le_bytes()[0]).collect();
    let copy = sent.clone();
    let mut writer = stream.try_clone().unwrap();
    let writing = thread::spawn(move || {
        writer.write_all(&copy).ok();
        writer.shutdown(std::net::Shutdown::Write).ok();
    });
    let mut had = Vec::new();
    (&stream).take(bytes as u64 + 1).read_to_end(&mut had).ok();
    writing.join().unwrap();
    had == sent
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in [&self.client, &self.gate, &self.server] {
            let _ = Command::new("ip").args(["netns", "delete", namespace]).output();
        }
    }
}

/// Puts the calling thread into a namespace, for good.
pub(crate) fn enter(namespace: &str) {
    let file = File::open(format!("/run/netns/{namespace}")).unwrap();
    setns(file, CloneFlags::CLONE_NEWNET).unwrap();
}

/// Spares the calling thread's namespace, the client, from asking for the server's address first. No
/// frame that is sent now reaches the server's stack.
pub(crate) fn know_server() {
    ip(&["neighbour", "replace", SERVER, "lladdr", "02:00:00:00:00:07", "dev", "eth"]);
}

fn at<T: Send + 'static>(
    namespace: String,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::spawn(move || {
        enter(&namespace);
        work()
    })
}

fn ip(arguments: &[&str]) -> Output {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    output
}
