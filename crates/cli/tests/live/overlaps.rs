//! Every way in which two or three segments can overlap, with conflicting bytes, through the program to
//! a real Linux socket: it reads what the rule saw, and both are the first bytes that were sent.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{Lab, Options, SERVER_V4, Side, join};
use crate::program::Program;
use crate::raw_peer::{ACK, FIN, Fate, PSH, RAW, SERVER, SYN, Segment, Wire};
use crate::traffic;

/// All 13 relations of two intervals, and all 409 consistent ones of three; `first_wins` has a dot for
/// a byte that no segment of the vector has.
const VECTORS: &str = include_str!("../../../tcp/tests/data/VECTORS_allen_pairs_triplets.json");

const PORT: u16 = 7000;
/// So many connections at once: their frames fit into the queues on the way.
const BATCH: usize = 32;
/// A connection that is not complete by then will never be.
const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(300);

/// Tells at the end of a connection all that it saw of it.
const TELL: &str = "
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function (flow, current, direction)
        if direction == 'up' then
            flow.seen = (flow.seen or '') .. current:asstring()
        end
    end
}
haka.rule{
    hook = tcp_connection.events.end_connection,
    eval = function (flow)
        local hex = (flow.seen or ''):gsub('.', function (c) return string.format('%02x', c:byte()) end)
        haka.log('saw %d %s', flow.srcport, hex)
    end
}
";

/// What precedes and what follows the segments of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Context {
    /// The byte before them is missing until all have been sent.
    OutOfOrder,
    /// Nothing is missing before them.
    InOrder,
    /// Nothing is missing before them, but what was sent is lost between the program and the server.
    /// Then all is sent again in the opposite order: what has left, but was not acknowledged, must still
    /// win over bytes that the server has never seen.
    Lost,
}

const CONTEXTS: [Context; 3] = [Context::OutOfOrder, Context::InOrder, Context::Lost];

/// One connection: a vector in a context.
#[derive(Debug)]
struct Play {
    id: String,
    context: Context,
    port: u16,
    /// The sequence number of the first byte; near the end of the number space.
    base: u32,
    script: Vec<(Fate, usize, Vec<u8>)>,
    expected: Vec<u8>,
    /// What the server sends next; none before its SYN-ACK.
    server_next: Option<u32>,
    acknowledged: bool,
    closed: bool,
}

impl Play {
    fn new(number: u16, vector: &Value, context: Context) -> Self {
        let first_wins = vector["first_wins"].as_str().unwrap().as_bytes();
        let hole = usize::from(context == Context::OutOfOrder);
        let expected = [&b"#"[..hole], first_wins].concat();
        let size = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        let segments: Vec<_> = vector["arrival"]
            .as_array()
            .unwrap()
            .iter()
            .map(|segment| {
                let fill = segment["fill"].as_str().unwrap();
                (hole + size(&segment["off"]), fill.repeat(size(&segment["len"])).into_bytes())
            })
            .collect();
        let fillers = (0..expected.len())
            .rev()
            .filter(|&at| matches!(expected[at], b'.' | b'#'))
            .map(|at| (at, expected[at..=at].to_vec()));
        let arrives = |(at, bytes)| (Fate::Arrives, at, bytes);
        let script = if context == Context::Lost {
            let lost = segments.iter().cloned().map(|(at, bytes)| (Fate::IsLost, at, bytes));
            let again = segments.iter().rev().cloned().chain(fillers).chain(segments.clone());
            lost.chain(again.map(arrives)).collect()
        } else {
            segments.into_iter().chain(fillers).map(arrives).collect()
        };
        Self {
            id: format!("{} {context:?}", vector["id"].as_str().unwrap()),
            context,
            port: 10_000 + number,
            base: u32::MAX - u32::from(number % 16),
            script,
            expected,
            server_next: None,
            acknowledged: false,
            closed: false,
        }
    }

    fn is_complete(&self) -> bool {
        self.acknowledged && self.closed
    }

    fn segment(&self, at: usize, flags: u8, payload: &[u8]) -> Segment {
        Segment {
            from: (RAW, self.port),
            to: (SERVER, PORT),
            seq: self.base.wrapping_add(u32::try_from(at).unwrap()),
            ack: self.server_next.unwrap_or(0),
            flags,
            payload: payload.to_vec(),
        }
    }

    /// Sends a SYN, or, once that was answered, everything, without a pause.
    fn speak(&self, wire: &Wire) {
        if self.server_next.is_none() {
            let syn = Segment { seq: self.base.wrapping_sub(1), ..self.segment(0, SYN, b"") };
            return wire.send(&syn, Fate::Arrives);
        }
        wire.send(&self.segment(0, ACK, b""), Fate::Arrives);
        for (fate, at, bytes) in &self.script {
            wire.send(&self.segment(*at, PSH | ACK, bytes), *fate);
        }
        wire.send(&self.segment(self.expected.len(), FIN | ACK, b""), Fate::Arrives);
    }

    fn hear(&mut self, segment: &Segment, wire: &Wire) {
        if segment.has(SYN) && self.server_next.is_none() {
            self.server_next = Some(segment.seq.wrapping_add(1));
            self.speak(wire);
        }
        let past_fin = self.segment(self.expected.len() + 1, ACK, b"").seq;
        self.acknowledged |= segment.ack == past_fin;
        if segment.has(FIN) && !segment.has(SYN) && self.acknowledged {
            self.closed = true;
            self.server_next = Some(segment.seq.wrapping_add(1));
            wire.send(&self.segment(self.expected.len() + 1, ACK, b""), Fate::Arrives);
        }
    }
}

/// Plays the connections through, some at once. Gives those that came to no end; there it stops.
fn play(wire: &Wire, plays: &mut [Play]) -> Vec<String> {
    for batch in plays.chunks_mut(BATCH) {
        let started = Instant::now();
        let mut due = started;
        while !batch.iter().all(Play::is_complete) && started.elapsed() < PATIENCE {
            if Instant::now() >= due {
                batch.iter().filter(|play| !play.is_complete()).for_each(|play| play.speak(wire));
                due = Instant::now() + AGAIN;
            }
            let Some(segment) = wire.receive() else { continue };
            let whose = batch.iter_mut().find(|play| (RAW, play.port) == segment.to);
            if let Some(play) = whose {
                play.hear(&segment, wire);
            }
        }
        let stalled = batch.iter().filter(|play| !play.is_complete());
        let stalled: Vec<_> = stalled.map(|play| play.id.clone()).collect();
        if !stalled.is_empty() {
            return stalled;
        }
    }
    Vec::new()
}

/// Everything that a client sends, and its port.
fn read_all(mut stream: TcpStream) -> (u16, Vec<u8>) {
    let port = stream.peer_addr().expect("connected").port();
    let mut bytes = Vec::new();
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    // What came before a failure is compared with what was expected, and that shows it.
    let _ = stream.read_to_end(&mut bytes);
    (port, bytes)
}

/// What the rule said it saw, by port.
fn seen_by_rule(events: &str) -> BTreeMap<u16, Vec<u8>> {
    let byte = |digits: &[u8]| {
        u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).expect("hexadecimal")
    };
    events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
        .filter(|event| event["event"] == "log")
        .filter_map(|event| {
            let (port, hex) = event["message"].as_str()?.strip_prefix("saw ")?.split_once(' ')?;
            Some((port.parse().ok()?, hex.as_bytes().chunks(2).map(byte).collect()))
        })
        .collect()
}

/// All vectors in all contexts.
fn all_plays() -> Vec<Play> {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = vectors["cases"].as_array().unwrap();
    assert_eq!(vectors.len(), 422);
    let cases = CONTEXTS.iter().flat_map(|&context| vectors.iter().map(move |v| (v, context)));
    (0..).zip(cases).map(|(number, (v, context))| Play::new(number, v, context)).collect()
}

/// Plays everything through, and gives it with what the server read, by port.
fn play_all(lab: &Lab) -> (Vec<Play>, BTreeMap<u16, Vec<u8>>) {
    let mut plays = all_plays();
    let wire = Wire::open(lab, Side::Client);
    wire.claim_raw_address(lab);
    let address = SocketAddr::new(SERVER_V4, PORT);
    let serving = traffic::server(lab, address, plays.len(), read_all);
    let (plays, stalled) = lab.within(Side::Client, move || {
        let stalled = play(&wire, &mut plays);
        (plays, stalled)
    });
    assert!(stalled.is_empty(), "no end of {stalled:?}");
    (plays, join(serving).into_iter().collect())
}

#[test]
fn a_linux_socket_reads_the_first_bytes_of_every_overlap_and_so_does_the_rule() {
    first_wins(1);
}

/// The same where packets may arrive at another worker than their connection's.
#[test]
fn two_workers_agree_on_the_first_bytes_of_every_overlap() {
    first_wins(2);
}

fn first_wins(workers: u16) {
    let Some(lab) = Lab::up(Options { queues: workers, ..Options::default() }) else { return };
    let program = Program::spawn(&lab, TELL, workers, &["--json"]);
    let (plays, read) = play_all(&lab);
    let metrics = program.metrics(&lab);
    let ended = program.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let seen = seen_by_rule(&ended.stdout);
    let text = |bytes: Option<&Vec<u8>>| {
        bytes.map_or_else(|| "nothing".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let wrong: Vec<_> = plays
        .iter()
        .map(|play| (play, read.get(&play.port), seen.get(&play.port)))
        .filter(|(play, read, seen)| {
            let expected = Some(&play.expected);
            *read != expected || *seen != expected
        })
        .map(|(play, read, seen)| {
            let [expected, read, seen] = [Some(&play.expected), read, seen].map(text);
            format!("{}: expected {expected}, the socket read {read}, the rule {seen}", play.id)
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), plays.len(), wrong.join("\n"));
    assert!(metrics.sum("tollgate_packets_rewritten_total", &[]) > 422.0);
    let handed_over = metrics.sum("tollgate_frames_handed_out_total", &[]);
    assert_eq!(handed_over > 1000.0, workers > 1, "{handed_over}");
    assert_eq!(metrics.sum("tollgate_unbalanced_turns_total", &[]), 0.0);
}

/// The same without the program: if nothing differed here, the test above would show nothing.
#[test]
fn a_linux_socket_by_itself_reads_other_bytes_in_every_context() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    lab.run(Side::Gate, &["ip", "link", "add", "br0", "type", "bridge"]);
    for interface in ["a0", "b0"] {
        lab.run(Side::Gate, &["ip", "link", "set", interface, "master", "br0"]);
    }
    lab.run(Side::Gate, &["ip", "link", "set", "br0", "up"]);
    let (plays, read) = play_all(&lab);
    for context in CONTEXTS {
        let of_context = plays.iter().filter(|play| play.context == context);
        let other = of_context.filter(|play| read.get(&play.port) != Some(&play.expected)).count();
        println!("{context:?}: {other} of 422 differ");
        assert!(other > 100, "{context:?}: {other} of 422 differ");
    }
}
