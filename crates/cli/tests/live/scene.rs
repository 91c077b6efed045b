//! Connections between real Linux endpoints that a rule ends in a state of the test's choice, and what
//! the ends learn.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::lab::{Lab, Options, SERVER_V4, Side, join};
use crate::program::Program;
use crate::raw_peer::{ACK, ByHand, CLIENT, End, Fate, PSH, RST, SERVER, Segment, Wire};
use crate::traffic;

/// "At once": before a lost SYN would be sent again, which is after a second.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(900);
/// Long enough for retransmissions to have been tried, and answered if anyone would answer.
pub(crate) const QUIET: Duration = Duration::from_millis(1500);

/// When the rule acts is told by the server's port. It spares the second connection between the same
/// ports, so that this one can be seen to work; a half reset has no second one.
pub(crate) const RULES: &str = "
local spared = {}
local function act(flow)
    if flow.dstport >= 7100 then
        flow:halfreset()
    elseif not spared[flow.srcport] then
        spared[flow.srcport] = true
        flow:reset()
    end
end
local function at(flow, stage) return flow.dstport % 100 == stage end

haka.rule{
    hook = tcp_connection.events.new_connection,
    eval = function (flow) if at(flow, 1) then act(flow) end end
}
haka.rule{
    hook = tcp_connection.events.receive_packet,
    eval = function (flow, pkt, direction)
        if at(flow, 2) and pkt.flags.syn and pkt.flags.ack then act(flow) end
        if at(flow, 7) and direction == 'up' and not pkt.flags.syn then act(flow) end
        if at(flow, 6) and flow.fin_up and flow.fin_down then act(flow) end
        if pkt.flags.fin then
            flow['fin_' .. direction] = true
            if at(flow, 5) and flow.fin_up and flow.fin_down then act(flow) end
        end
    end
}
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function (flow, current, direction)
        if at(flow, 3) or at(flow, 8) then
            flow['len_' .. direction] = (flow['len_' .. direction] or 0) + #current
            local up, down = flow.len_up or 0, flow.len_down or 0
            if up > 300000 and down > 300000 then act(flow) end
            if at(flow, 8) and (up > 300000 or down > 300000) then act(flow) end
        elseif at(flow, 4) and current:asstring():find('now', 1, true) then
            act(flow)
        end
    end
}
";

/// Puts something into every long event of both directions, so that the ends no longer count alike.
const CHANGES: &str = "
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function (flow, current, direction)
        if #current > 1000 then current:pos('begin'):insert(haka.vbuffer_from('+++')) end
    end
}
";

/// The server's ports, by when the rule acts; 100 more for a half reset.
pub(crate) const AT_SYN: u16 = 7001;
pub(crate) const AT_SYN_ACK: u16 = 7002;
pub(crate) const AT_MUCH_DATA: u16 = 7003;
pub(crate) const AT_WORD: u16 = 7004;
pub(crate) const AT_SECOND_FIN: u16 = 7005;
pub(crate) const AT_LAST_ACK: u16 = 7006;
pub(crate) const AT_THIRD_PACKET: u16 = 7007;
pub(crate) const AT_MUCH_DATA_ONE_WAY: u16 = 7008;
pub(crate) const HALF: u16 = 100;

/// The client's port; a connection that follows has it too.
pub(crate) const LOCAL: u16 = 40_000;

/// What an end learns: the pending error of its socket, none if it heard of nothing.
pub(crate) type Learnt = Option<ErrorKind>;
pub(crate) const RESET: Learnt = Some(ErrorKind::ConnectionReset);
/// What Linux calls a RST to a socket that has read the end of the stream.
pub(crate) const RESET_AFTER_END: Learnt = Some(ErrorKind::BrokenPipe);

/// A lab with the program in it.
pub(crate) struct Scene {
    program: Program,
    pub(crate) lab: Lab,
}

impl Scene {
    pub(crate) fn new() -> Option<Self> {
        let lab = Lab::up(Options::default())?;
        let program = Program::start(&lab, RULES, 1);
        Some(Self { program, lab })
    }

    /// The same, with rules that change what is said before they act.
    pub(crate) fn changing() -> Option<Self> {
        let lab = Lab::up(Options::default())?;
        let program = Program::start(&lab, &[CHANGES, RULES].concat(), 1);
        Some(Self { program, lab })
    }

    /// Changes that were made.
    pub(crate) fn changes(&self) -> f64 {
        self.program.metrics(&self.lab).sum("tollgate_edits_total", &[])
    }

    /// One connection: what each end does, and what each learns.
    pub(crate) fn play(
        &self,
        port: u16,
        client: impl FnOnce(TcpStream) -> Learnt + Send + 'static,
        server: impl FnOnce(TcpStream) -> Learnt + Send + 'static,
    ) -> (Learnt, Learnt) {
        let mut server = Some(server);
        let serving = self.serve(port, move |stream| server.take().and_then(|play| play(stream)));
        let client = self
            .lab
            .within(Side::Client, move || client(connect_from(LOCAL, port).expect("let in")));
        (client, join(serving)[0])
    }

    pub(crate) fn serve(
        &self,
        port: u16,
        play: impl FnMut(TcpStream) -> Learnt + Send + 'static,
    ) -> JoinHandle<Vec<Learnt>> {
        traffic::server(&self.lab, SocketAddr::new(SERVER_V4, port), 1, play)
    }

    /// After a reset: nothing is left of the connection, each end's stragglers are answered with a
    /// RST at the number that they acknowledge, and the next connection between the ports works.
    pub(crate) fn ends_for_good(self, port: u16) {
        self.nothing_is_left(Side::Client, port);
        self.nothing_is_left(Side::Server, port);
        self.straggler_is_answered(Side::Client, (CLIENT, LOCAL), (SERVER, port));
        self.straggler_is_answered(Side::Server, (SERVER, port), (CLIENT, LOCAL));
        let ends = self.play(
            port,
            |mut stream| {
                stream.write_all(b"question").expect("connected");
                let mut answer = String::new();
                stream.read_to_string(&mut answer).expect("answered");
                assert_eq!(answer, "noitseuq");
                None
            },
            |mut stream| {
                let mut question = [0; 8];
                stream.read_exact(&mut question).expect("asked");
                question.reverse();
                stream.write_all(&question).expect("connected");
                None
            },
        );
        assert_eq!(ends, (None, None));
        self.ends_well();
    }

    pub(crate) fn ends_well(self) {
        let metrics = self.program.metrics(&self.lab);
        assert_eq!(metrics.sum("tollgate_unbalanced_turns_total", &[]), 0.0);
        let ended = self.program.stop();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    /// The sockets of a side that are connected, or were, over the server's port.
    pub(crate) fn sockets(&self, side: Side, port: u16) -> String {
        let (which, port) =
            (if side == Side::Client { "dport" } else { "sport" }, port.to_string());
        self.lab.run(side, &["ss", "-Htan", "state", "connected", which, "=", &port])
    }

    pub(crate) fn nothing_is_left(&self, side: Side, port: u16) {
        let deadline = Instant::now() + AT_ONCE;
        while !self.sockets(side, port).is_empty() {
            assert!(Instant::now() < deadline, "{side:?}: {}", self.sockets(side, port));
        }
    }

    pub(crate) fn straggler_is_answered(&self, side: Side, from: End, to: End) {
        let wire = Wire::open(&self.lab, side);
        let payload = b"still here".to_vec();
        let straggler = Segment { from, to, seq: 77_000, ack: 99_000, flags: PSH | ACK, payload };
        // Answers are rationed, and what was in flight at the reset may have had some of them. Besides, the
        // RSTs of the reset itself are sent again after a while.
        let answer = (0..5).find_map(|_| {
            wire.send(&straggler, Fate::Arrives);
            let answers = |segment: &Segment| {
                segment.to == from && segment.has(RST) && segment.seq == straggler.ack
            };
            wire.find(Duration::from_millis(250), answers)
        });
        let answer = answer.unwrap_or_else(|| panic!("no answer for {side:?}"));
        assert_eq!(answer.from, to, "{side:?}");
    }
}

/// Connects from a port of one's own choice, be it in use or not, with a second for it.
pub(crate) fn connect_from(local: u16, port: u16) -> std::io::Result<TcpStream> {
    let (family, kind) = (AddressFamily::Inet, SockType::Stream);
    let client = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&client, sockopt::ReuseAddr, &true)?;
    // Of `connect`, too.
    setsockopt(&client, sockopt::SendTimeout, &TimeVal::milliseconds(1500))?;
    let address = |(address, port)| SockaddrIn::from(SocketAddrV4::new(address, port));
    bind(client.as_raw_fd(), &address((CLIENT, local)))?;
    let started = Instant::now();
    connect(client.as_raw_fd(), &address((SERVER, port)))?;
    assert!(started.elapsed() < AT_ONCE, "{:?} is not at once", started.elapsed());
    let stream = TcpStream::from(client);
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Waits for the error that the network brings to a socket.
pub(crate) fn learn(stream: &TcpStream, wait: Duration) -> Learnt {
    let started = Instant::now();
    while started.elapsed() < wait {
        if let Some(error) = stream.take_error().expect("a socket") {
            return Some(error.kind());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

/// The same, where it is to come at once.
pub(crate) fn learn_soon(stream: TcpStream) -> Learnt {
    learn(&stream, AT_ONCE)
}

/// Reads and writes as fast as it can until that fails, or, without an error, until nothing could be
/// read or written for a while.
pub(crate) fn talk(mut stream: TcpStream) -> Learnt {
    stream.set_nonblocking(true).expect("a socket");
    let mut buffer = [0; 16_384];
    let mut progress = Instant::now();
    while progress.elapsed() < QUIET {
        for result in [stream.read(&mut buffer), stream.write(&buffer)] {
            match result {
                Ok(_) => progress = Instant::now(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Some(error.kind()),
            }
        }
    }
    None
}

/// Reads until that fails; none if the other end closes.
pub(crate) fn read_until_reset(mut stream: TcpStream) -> Learnt {
    std::io::copy(&mut stream, &mut std::io::sink()).err().map(|error| error.kind())
}

/// Writes as fast as it can until that fails.
pub(crate) fn write_until_reset(mut stream: TcpStream) -> Learnt {
    stream.set_write_timeout(Some(Duration::from_secs(10))).expect("not zero");
    let buffer = [0; 16_384];
    // Much more than may be in flight: without a reset it would come to an end.
    (0..1000).find_map(|_| stream.write_all(&buffer).err()).map(|error| error.kind())
}

pub(crate) fn read_to_end(stream: &mut TcpStream) -> usize {
    stream.read_to_end(&mut Vec::new()).expect("the other end closes its direction")
}

/// Listens until the channel is closed, and accepts nobody.
pub(crate) fn listen_until(lab: &Lab, port: u16, stop: Receiver<()>) -> JoinHandle<()> {
    let (ready, listens) = channel();
    let thread = lab.spawn(Side::Server, move || {
        let listener = TcpListener::bind((SERVER, port)).expect("the address is free");
        ready.send(()).expect("the test waits");
        let _ = stop.recv();
        drop(listener);
    });
    listens.recv().expect("the server listens");
    thread
}

/// What both ends do where each closes its direction, the server after the client.
pub(crate) fn close_both(scene: &Scene, port: u16, client_reads: bool) -> (Learnt, Learnt) {
    scene.play(
        port,
        move |mut stream| {
            stream.shutdown(Shutdown::Write).expect("connected");
            if client_reads {
                assert_eq!(read_to_end(&mut stream), 0);
            }
            learn_soon(stream)
        },
        |mut stream| {
            assert_eq!(read_to_end(&mut stream), 0);
            stream.shutdown(Shutdown::Write).expect("connected");
            learn_soon(stream)
        },
    )
}

/// A word that the rule knows, before two segments that came too early for it; what the client hears.
pub(crate) fn early_data_held(scene: &Scene, port: u16, wait: Duration) -> Option<u32> {
    let serving = scene.serve(port, |mut stream| {
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).expect("what came in order before");
        assert_eq!(&hello, b"hello");
        let learnt = stream.read(&mut [0; 64]);
        Some(learnt.expect_err("nothing more comes").kind())
    });
    let client = ByHand::connect(&scene.lab, port);
    client.say(0, ACK, b"hello");
    client.say(12, ACK, b"early");
    client.say(20, ACK, b"earlier");
    client.say(5, ACK, b"now");
    let heard = client.reset(wait).map(|rst| rst.seq.wrapping_sub(client.next.ack));
    assert_eq!(join(serving), [RESET]);
    scene.nothing_is_left(Side::Server, port);
    heard
}
