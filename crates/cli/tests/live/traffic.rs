//! Real Linux clients and servers: what they send is known, so that every byte is compared.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Side, join};

/// How long a peer may be silent before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server in a thread of the server namespace: `serve` is called with each connection in turn.
/// It listens when this returns.
pub(crate) fn server<T: Send + 'static>(
    lab: &Lab,
    address: SocketAddr,
    connections: usize,
    mut serve: impl FnMut(TcpStream) -> T + Send + 'static,
) -> JoinHandle<Vec<T>> {
    let (ready, listening): (Sender<()>, Receiver<()>) = channel();
    let thread = lab.spawn(Side::Server, move || {
        let listener = listen(address);
        ready.send(()).expect("the test waits");
        (0..connections).map(|_| serve(patient(listener.accept().expect("a client").0))).collect()
    });
    listening.recv_timeout(PATIENCE).expect("the server listens");
    thread
}

/// Listens. Who listened there last may still seem to: a program that another thread starts has all that is open
/// until it is run.
fn listen(address: SocketAddr) -> TcpListener {
    let since = Instant::now();
    loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && since.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            listener => return listener.expect("the address is free"),
        }
    }
}

/// Connects, with patience on every later read and write.
pub(crate) fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&address, PATIENCE).map(patient)
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
    stream.set_nodelay(true).expect("it is TCP");
    stream
}

/// Sends `bytes` bytes each way at the same time, with a half-close at each end, and compares all of
/// them. Gives the bytes received by client and server.
pub(crate) fn bulk(lab: &Lab, address: SocketAddr, bytes: u64) -> (u64, u64) {
    let serving = server(lab, address, 1, move |stream| exchange(stream, 2, 1, bytes));
    let received = lab.within(Side::Client, move || {
        exchange(connect(address).expect("the connection is let through"), 1, 2, bytes)
    });
    (received, join(serving).into_iter().sum())
}

/// Writes one known stream, and reads and compares the other one to its end.
fn exchange(stream: TcpStream, mine: u64, theirs: u64, bytes: u64) -> u64 {
    let mut outward = stream.try_clone().expect("a second handle");
    let writer = std::thread::spawn(move || {
        let mut pattern = Pattern::new(mine);
        let mut left = bytes;
        while left > 0 {
            let piece = pattern.take(left.min(48_611));
            outward.write_all(&piece).expect("the peer reads");
            left -= piece.len() as u64;
        }
        outward.shutdown(Shutdown::Write).expect("still connected");
    });
    let received = compare(stream, theirs);
    join(writer);
    received
}

fn compare(mut stream: TcpStream, seed: u64) -> u64 {
    let mut pattern = Pattern::new(seed);
    let mut received = 0;
    let mut buffer = vec![0; 65_536];
    loop {
        let len = stream.read(&mut buffer).expect("the peer writes");
        if len == 0 {
            return received;
        }
        assert!(buffer[..len] == pattern.take(len as u64), "bytes differ after {received}");
        received += len as u64;
    }
}

/// Small questions and answers over one connection, as an interactive session has them; every
/// answer is the question backwards.
pub(crate) fn interactive(lab: &Lab, address: SocketAddr, rounds: u64) {
    let serving = server(lab, address, 1, |mut stream| {
        let mut buffer = [0; 256];
        loop {
            let len = stream.read(&mut buffer).expect("the client is there");
            if len == 0 {
                return;
            }
            buffer[..len].reverse();
            stream.write_all(&buffer[..len]).expect("the client reads");
        }
    });
    lab.within(Side::Client, move || {
        let mut stream = connect(address).expect("the connection is let through");
        let mut pattern = Pattern::new(7);
        for round in 0..rounds {
            let mut question = pattern.take(1 + round % 48);
            stream.write_all(&question).expect("the server reads");
            let mut answer = vec![0; question.len()];
            stream.read_exact(&mut answer).expect("the server answers");
            question.reverse();
            assert_eq!(answer, question, "round {round}");
        }
    });
    join(serving);
}

/// `count` connections of one question and one answer each, from `clients` threads. Gives how many
/// were answered right.
pub(crate) fn short_connections(lab: &Lab, address: IpAddr, clients: u16, count: usize) -> usize {
    let each = count / usize::from(clients);
    let pairs: Vec<_> = (0..clients)
        .map(|client| {
            let address = SocketAddr::new(address, 7000 + client);
            let serving = server(lab, address, each, |mut stream| {
                let mut question = [0; 32];
                stream.read_exact(&mut question).expect("a question");
                question.reverse();
                stream.write_all(&question).expect("it is waited for");
            });
            let asking = lab.spawn(Side::Client, move || {
                let mut pattern = Pattern::new(u64::from(client));
                (0..each)
                    .filter(|_| ask(address, pattern.take(32)).is_ok_and(|right| right))
                    .count()
            });
            (serving, asking)
        })
        .collect();
    pairs
        .into_iter()
        .map(|(serving, asking)| {
            let right = join(asking);
            // Connections that failed would leave the server waiting for ever.
            if right == each {
                join(serving);
            }
            right
        })
        .sum()
}

/// One short connection; whether the answer was right.
pub(crate) fn ask(address: SocketAddr, mut question: Vec<u8>) -> std::io::Result<bool> {
    let mut stream = connect(address)?;
    stream.write_all(&question)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    question.reverse();
    Ok(answer == question)
}

/// How a connection looked to one end after the other had said a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// `ECONNRESET`.
    Reset,
    /// End of stream.
    Closed,
    /// Nothing at all for as long as was waited.
    Silent,
    /// Bytes came.
    Data,
}

/// What the next read of an end gives within `wait`.
pub(crate) fn next(stream: &mut TcpStream, wait: Duration) -> End {
    stream.set_read_timeout(Some(wait)).expect("not zero");
    match stream.read(&mut [0; 4096]) {
        Ok(0) => End::Closed,
        Ok(_) => End::Data,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => End::Reset,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            End::Silent
        }
        Err(error) => panic!("neither data nor an end: {error}"),
    }
}

/// A stream of bytes that a seed tells (xorshift64*).
struct Pattern {
    state: u64,
}

impl Pattern {
    fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// The next `len` bytes. One byte a step, so that it does not matter how a stream is cut.
    fn take(&mut self, len: u64) -> Vec<u8> {
        (0..len)
            .map(|_| {
                self.state ^= self.state >> 12;
                self.state ^= self.state << 25;
                self.state ^= self.state >> 27;
                self.state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
            })
            .collect()
    }
}
