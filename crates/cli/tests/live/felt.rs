//! What ordinary traffic feels while something else goes on: an interactive session, short connections
//! one after the other, and a stream as fast as it goes.

use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Side, join};
use crate::traffic::connect;

/// Traffic under way; [`Traffic::stop`] tells what it felt.
pub(crate) struct Traffic {
    /// Its clients, and then its server, are told to stop.
    stop: [Arc<AtomicBool>; 2],
    began: Instant,
    server: JoinHandle<()>,
    session: JoinHandle<Times>,
    visits: JoinHandle<Times>,
    stream: JoinHandle<u64>,
}

/// How long each exchange took, and how many failed.
#[derive(Debug, Default)]
struct Times {
    took: Vec<Duration>,
    failed: usize,
}

impl Traffic {
    /// Begins to speak to `server` at `port`.
    pub(crate) fn begin(lab: &Lab, server: IpAddr, port: u16) -> Self {
        let stop = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let address = SocketAddr::new(server, port);
        let (ready, listening) = std::sync::mpsc::channel();
        let stopped = Arc::clone(&stop[1]);
        let server = lab.spawn(Side::Server, move || {
            let listener = TcpListener::bind(address).expect("the address is free");
            listener.set_nonblocking(true).expect("a socket");
            ready.send(()).expect("the test waits");
            echo_all(&listener, &stopped);
        });
        listening.recv().expect("the server listens");
        let [a, b, c] = [(); 3].map(|()| Arc::clone(&stop[0]));
        Self {
            began: Instant::now(),
            session: lab.spawn(Side::Client, move || session(address, &a)),
            visits: lab.spawn(Side::Client, move || visits(address, &b)),
            stream: lab.spawn(Side::Client, move || stream(address, &c)),
            server,
            stop,
        }
    }

    /// Ends it, and tells what it felt.
    pub(crate) fn stop(self) -> Felt {
        let [clients, server] = self.stop;
        clients.store(true, Ordering::Relaxed);
        let span = self.began.elapsed();
        let (session, visits) = (join(self.session), join(self.visits));
        let bytes = join(self.stream);
        server.store(true, Ordering::Relaxed);
        join(self.server);
        Felt {
            failed: session.failed + visits.failed,
            session: Spread::of(session.took),
            visits: Spread::of(visits.took),
            megabits: bytes as f64 * 8e-6 / span.as_secs_f64(),
        }
    }
}

/// What ordinary traffic felt.
pub(crate) struct Felt {
    pub(crate) failed: usize,
    session: Spread,
    visits: Spread,
    megabits: f64,
}

impl fmt::Display for Felt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failed, session, visits, megabits } = self;
        write!(
            f,
            "session {session}; short connections {visits}; stream {megabits:.0} Mbit/s; failed {failed}"
        )
    }
}

/// Times in order.
struct Spread(Vec<Duration>);

impl Spread {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    fn at(&self, percent: usize) -> f64 {
        let place = self.0.len().saturating_sub(1) * percent / 100;
        self.0.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, most, max] = [50, 99, 100].map(|percent| self.at(percent));
        write!(
            f,
            "{} times, median {median:.2} ms, 99 % {most:.2} ms, most {max:.2} ms",
            self.0.len()
        )
    }
}

/// Answers everybody with what they say, until told to stop and all are gone.
fn echo_all(listener: &TcpListener, stop: &AtomicBool) {
    let mut guests = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((guest, _)) => guests.push(std::thread::spawn(move || echo(guest))),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_micros(200));
            }
            Err(error) => panic!("accept: {error}"),
        }
        guests.retain(|guest| !guest.is_finished());
    }
    guests.into_iter().for_each(join);
}

/// The first byte says whether bytes are answered (`e`) or swallowed.
fn echo(mut guest: TcpStream) {
    guest.set_nonblocking(false).expect("a socket");
    guest.set_nodelay(true).expect("a socket");
    let (mut buffer, mut first) = (vec![0; 65_536], None);
    loop {
        let Ok(len @ 1..) = guest.read(&mut buffer) else { return };
        let kind = *first.get_or_insert(buffer[0]);
        if kind == b'e' && guest.write_all(&buffer[..len]).is_err() {
            return;
        }
    }
}

fn exchange(stream: &mut TcpStream) -> std::io::Result<()> {
    let said = [b'e'; 100];
    stream.write_all(&said)?;
    stream.read_exact(&mut [0; 100])
}

/// One connection, a question and an answer at a time.
fn session(address: SocketAddr, stop: &AtomicBool) -> Times {
    let mut times = Times::default();
    let mut stream = connect(address).expect("the connection is let through");
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        match exchange(&mut stream) {
            Ok(()) => times.took.push(began.elapsed()),
            Err(_) => {
                times.failed += 1;
                return times;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    times
}

/// A connection for each question.
fn visits(address: SocketAddr, stop: &AtomicBool) -> Times {
    let mut times = Times::default();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        match connect(address).and_then(|mut stream| exchange(&mut stream)) {
            Ok(()) => times.took.push(began.elapsed()),
            Err(_) => times.failed += 1,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    times
}

/// Bytes in one direction, for as long as it lasts; gives how many were taken.
fn stream(address: SocketAddr, stop: &AtomicBool) -> u64 {
    let mut stream = connect(address).expect("the connection is let through");
    let (piece, mut sent) = (vec![b's'; 65_536], 0);
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&piece).expect("the server reads");
        sent += piece.len() as u64;
    }
    sent
}
