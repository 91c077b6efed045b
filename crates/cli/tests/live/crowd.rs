//! Many connections at once between real Linux ends, each end driven by one thread. What each sends is
//! known by its number, and so is what the other end must get, for an edit is a function of it.

use std::collections::HashMap;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, connect, listen, setsockopt,
    socket, sockopt,
};

use crate::lab::{Lab, SERVER_V4, SERVER_V6, Side, join};
use crate::road::Luck;

/// Connection n comes from this port and n more: whoever sees the port knows the connection.
pub(crate) const FIRST_PORT: u16 = 10_000;
/// More would run into the ports that Linux gives away.
pub(crate) const COUNT_MAX: u16 = 20_000;
const SERVER_PORT: u16 = 7000;
const CLIENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 10, 1));
const CLIENT_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0x7011, 0, 0, 0, 0, 0x10, 1));
/// How long a thread waits when nothing happens, before it looks at the time.
const TICK_MS: u16 = 20;

/// Which end of a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    Client,
    Server,
}

/// What the receiver gets of what was sent.
pub(crate) type Edit = fn(u16, Speaker, Vec<u8>) -> Vec<u8>;

/// Who has heard all: how many ends of each connection. An end that closed before the other has heard
/// everything would leave the rest to the kernel, which gives up on it sooner.
type Heard = Arc<[AtomicU8]>;

/// How many connections, and what becomes of their bytes.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) count: u16,
    pub(crate) at_once: usize,
    /// A connection in which nothing moves for so long has stalled.
    pub(crate) stall: Duration,
    pub(crate) edit: Edit,
}

/// What one end's connections came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Bytes received and found right.
    pub(crate) bytes: u64,
    /// The longest time without progress of each connection.
    pauses: Vec<Duration>,
    /// Connections that did not come to their end, and why.
    pub(crate) failures: Vec<String>,
}

impl Outcome {
    /// The longest pause of all but `of_thousand` in a thousand connections.
    fn pause(&self, of_thousand: usize) -> Duration {
        let mut pauses = self.pauses.clone();
        pauses.sort();
        let rest = pauses.len() * of_thousand / 1000;
        pauses.len().checked_sub(rest + 1).map_or(Duration::ZERO, |at| pauses[at])
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, pauses, failures } = self;
        let [median, most, longest] = [500, 10, 0].map(|of| self.pause(of));
        write!(
            f,
            "{} connections, {bytes} bytes as they must be, {} failures; longest pause {median:.1?} \
             in half of them, {most:.1?} in 99 %, {longest:.1?} in all",
            pauses.len(),
            failures.len(),
        )
    }
}

/// Lets the connections happen. Gives what the client saw, and what the server did.
pub(crate) fn gather(lab: &Lab, plan: Plan) -> [Outcome; 2] {
    let abandoned = Arc::new(AtomicBool::new(false));
    let heard: Heard = (0..plan.count).map(|_| AtomicU8::new(0)).collect();
    let (ready, listening) = channel();
    let theirs = Crowd::new(plan, Speaker::Server, &heard);
    let ours = Crowd::new(plan, Speaker::Client, &heard);
    let give_up = Arc::clone(&abandoned);
    let serving = lab.spawn(Side::Server, move || {
        let listeners = [SERVER_V4, SERVER_V6].map(|address| {
            let listener = TcpListener::bind(SocketAddr::new(address, SERVER_PORT));
            let listener = listener.expect("the address is free");
            listener.set_nonblocking(true).expect("a socket");
            // A queue that is half full makes Linux forget handshakes whose last ACK was lost after two
            // repeats, and a client that waits to be spoken to never notices.
            listen(&listener, Backlog::MAXCONN).expect("a socket");
            listener
        });
        ready.send(()).expect("the test waits");
        theirs.serve(&listeners, &give_up)
    });
    listening.recv().expect("the server listens");
    let client = lab.within(Side::Client, move || ours.call());
    abandoned.store(true, Ordering::Relaxed);
    [client, join(serving)]
}

/// The connections of one end that are open.
struct Crowd {
    plan: Plan,
    here: Speaker,
    heard: Heard,
    open: HashMap<u16, Talk>,
    ended: Outcome,
}

impl Crowd {
    fn new(plan: Plan, here: Speaker, heard: &Heard) -> Self {
        assert!(plan.count <= COUNT_MAX);
        Self {
            plan,
            here,
            heard: Arc::clone(heard),
            open: HashMap::new(),
            ended: Outcome::default(),
        }
    }

    fn call(mut self) -> Outcome {
        let mut next = 0;
        while next < self.plan.count || !self.open.is_empty() {
            while next < self.plan.count && self.open.len() < self.plan.at_once {
                self.open.insert(next, Talk::new(dial(next), next, self.here, self.plan.edit));
                next += 1;
            }
            self.turn(&[]);
        }
        self.ended
    }

    /// Until all have come and gone, or, when the client has ended, no more will come.
    fn serve(mut self, listeners: &[TcpListener], give_up: &AtomicBool) -> Outcome {
        while self.ended.pauses.len() < usize::from(self.plan.count) {
            if give_up.load(Ordering::Relaxed) && self.open.is_empty() {
                break;
            }
            self.turn(listeners);
            for listener in listeners {
                while let Ok((stream, from)) = listener.accept() {
                    stream.set_nonblocking(true).expect("a socket");
                    let number = from.port().wrapping_sub(FIRST_PORT);
                    let talk = Talk::new(stream, number, self.here, self.plan.edit);
                    let twin = self.open.insert(number, talk);
                    assert!(twin.is_none(), "connection {number} came twice");
                }
            }
        }
        self.ended
    }

    /// Waits for something to happen, and lets each connection go as far as it can.
    fn turn(&mut self, listeners: &[TcpListener]) {
        let readable = |listener| PollFd::new(AsFd::as_fd(listener), PollFlags::POLLIN);
        let mut fds: Vec<_> = listeners.iter().map(readable).collect();
        let numbers: Vec<_> = self.open.keys().copied().collect();
        fds.extend(numbers.iter().map(|number| self.open[number].wish()));
        let _ = poll(&mut fds, PollTimeout::from(TICK_MS));
        let stirred: Vec<_> =
            fds[listeners.len()..].iter().map(|fd| fd.any().unwrap_or(true)).collect();
        for (number, stirred) in numbers.into_iter().zip(stirred) {
            let talk = self.open.get_mut(&number).expect("just listed");
            let heard = &self.heard[usize::from(number)];
            let end = if stirred { talk.go_on(heard) } else { Ok(()) };
            let end = end.map(|()| talk.is_shut && heard.load(Ordering::Relaxed) == 2);
            let stalled = talk.progress.elapsed() > self.plan.stall;
            let end = match end {
                Ok(false) if stalled => Err(format!("nothing moves; {talk}")),
                Err(error) => Err(format!("{error}; {talk}")),
                end => end,
            };
            if end == Ok(false) {
                continue;
            }
            let talk = self.open.remove(&number).expect("just found");
            self.ended.bytes += talk.received as u64;
            self.ended.pauses.push(talk.pause);
            if let Err(error) = end {
                let here = self.here;
                self.ended.failures.push(format!("connection {number} at the {here:?}: {error}"));
            }
        }
    }
}

/// One end of one connection.
struct Talk {
    stream: TcpStream,
    to_send: Vec<u8>,
    sent: usize,
    wanted: Vec<u8>,
    received: usize,
    /// This end speaks only when it has heard all.
    is_polite: bool,
    is_shut: bool,
    has_heard_all: bool,
    progress: Instant,
    /// The longest time without progress.
    pause: Duration,
}

impl Talk {
    fn new(stream: TcpStream, number: u16, here: Speaker, edit: Edit) -> Self {
        let (mine, theirs) = match here {
            Speaker::Client => (Speaker::Client, Speaker::Server),
            Speaker::Server => (Speaker::Server, Speaker::Client),
        };
        let progress = Instant::now();
        Self {
            stream,
            to_send: speech(number, mine),
            sent: 0,
            wanted: edit(number, theirs, speech(number, theirs)),
            received: 0,
            is_polite: polite(number) == Some(mine),
            is_shut: false,
            has_heard_all: false,
            progress,
            pause: Duration::ZERO,
        }
    }

    fn may_speak(&self) -> bool {
        !self.is_shut && (!self.is_polite || self.has_heard_all)
    }

    fn wish(&self) -> PollFd<'_> {
        let mut wish = PollFlags::empty();
        wish.set(PollFlags::POLLIN, !self.has_heard_all);
        wish.set(PollFlags::POLLOUT, self.may_speak());
        PollFd::new(self.stream.as_fd(), wish)
    }

    fn go_on(&mut self, heard: &AtomicU8) -> Result<(), String> {
        if let Some(error) = self.stream.take_error().expect("a socket") {
            return Err(error.to_string());
        }
        let before = (self.sent, self.is_shut, self.received, self.has_heard_all);
        self.listen()?;
        self.speak()?;
        if before != (self.sent, self.is_shut, self.received, self.has_heard_all) {
            self.pause = self.pause.max(self.progress.elapsed());
            self.progress = Instant::now();
            heard.fetch_add(u8::from(self.has_heard_all && !before.3), Ordering::Relaxed);
        }
        Ok(())
    }

    fn listen(&mut self) -> Result<(), String> {
        let mut buffer = [0; 16_384];
        while !self.has_heard_all {
            match self.stream.read(&mut buffer) {
                Ok(0) if self.received < self.wanted.len() => return Err("it ended early".into()),
                Ok(0) => self.has_heard_all = true,
                Ok(len) => {
                    let wanted = self.wanted.get(self.received..self.received + len);
                    if wanted != Some(&buffer[..len]) {
                        return Err(format!("{len} bytes are not what they must be"));
                    }
                    self.received += len;
                }
                Err(error) if is_early(&error) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    fn speak(&mut self) -> Result<(), String> {
        while self.may_speak() {
            if self.sent == self.to_send.len() {
                match self.stream.shutdown(Shutdown::Write) {
                    Ok(()) => self.is_shut = true,
                    Err(error) if error.kind() == ErrorKind::NotConnected => break,
                    Err(error) => return Err(error.to_string()),
                }
                continue;
            }
            match self.stream.write(&self.to_send[self.sent..]) {
                Ok(len) => self.sent += len,
                Err(error) if is_early(&error) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}

impl fmt::Display for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to_send, sent, wanted, received, is_shut, has_heard_all, .. } = self;
        let [to_send, wanted] = [to_send, wanted].map(Vec::len);
        write!(f, "sent {sent} of {to_send} (shut: {is_shut}), ")?;
        write!(f, "received {received} of {wanted} (end: {has_heard_all})")
    }
}

fn is_early(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected)
}

/// Begins a connection from the port that tells its number: the odd ones over IPv6.
fn dial(number: u16) -> TcpStream {
    let (family, from, to) = match number % 2 {
        0 => (AddressFamily::Inet, CLIENT_V4, SERVER_V4),
        _ => (AddressFamily::Inet6, CLIENT_V6, SERVER_V6),
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let client = socket(family, SockType::Stream, flags, None).expect("a socket");
    setsockopt(&client, sockopt::ReuseAddr, &true).expect("a socket");
    let address = |ip, port| SockaddrStorage::from(SocketAddr::new(ip, port));
    bind(client.as_raw_fd(), &address(from, FIRST_PORT + number)).expect("a port of our own");
    match connect(client.as_raw_fd(), &address(to, SERVER_PORT)) {
        Ok(()) | Err(Errno::EINPROGRESS) => TcpStream::from(client),
        Err(error) => panic!("connection {number}: {error}"),
    }
}

/// Who waits until it has heard everything: of four connections one as question and answer, one the
/// other way round, and two where both speak at once.
const fn polite(number: u16) -> Option<Speaker> {
    match number / 2 % 4 {
        0 => Some(Speaker::Server),
        1 => Some(Speaker::Client),
        _ => None,
    }
}

/// All that an end says in a connection: most say little, some much, a few nothing.
pub(crate) fn speech(number: u16, speaker: Speaker) -> Vec<u8> {
    let mut luck =
        Luck(u64::from(number) * 2 + u64::from(speaker == Speaker::Client) + 0x1234_5678);
    for _ in 0..4 {
        luck.next();
    }
    let len = match luck.below(20) {
        0 => 0,
        1..=12 => 1 + luck.below(2000),
        13..=18 => 1 + luck.below(30_000),
        _ => 1 + luck.below(300_000),
    };
    // Words of few letters, so that rules that look for some find them.
    (0..len).map(|_| b'a' + luck.below(8).to_le_bytes()[0]).collect()
}
