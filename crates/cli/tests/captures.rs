//! Every capture of other projects that the machine has, through the whole engine: no panic, every
//! frame accounted for, the same bytes out for any number of workers, and rules see the streams that
//! an independent first-wins script saw (`streams.json` beside the captures).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::sha256;
use serde_json::Value;
use tollgate::config::{Config, FastOpen, Midstream};
use tollgate::replay::{Stage, engine_config};
use tollgate_engine::Counters;
use tollgate_link::Port;
use tollgate_link::pcap::Reader;
use tollgate_policy::{Data, Flow, Interest, Policy, Reports, Verdict};
use tollgate_wire::{Direction, Endpoint, PerDirection, Timestamp, repair_checksums};

/// A stream that differs from what the script put together, and why. The script looks at sequence
/// numbers only; it has no judgement of what a receiver behind us would have been sent.
struct Exception {
    /// Part of the capture's path.
    capture: &'static str,
    /// Its number in `streams.json`.
    stream: u64,
    /// Bytes that rules see in each direction: from `n0`, from `n1`.
    seen: [u64; 2],
    why: &'static str,
}

const fn exception(
    capture: &'static str,
    stream: u64,
    seen: [u64; 2],
    why: &'static str,
) -> Exception {
    Exception { capture, stream, seen, why }
}

const SYN_DATA: &str = "data on a SYN or SYN-ACK is taken off and comes again after the handshake \
    (RFC 7413 section 4.2.2 has the client do so); this capture's ends acknowledge what we would not \
    have let through, so its handshake cannot complete";
const ONE_WAY: &str = "only the client's half was captured; data before the SYN-ACK is no stream yet \
    (RFC 9293 section 3.10.7.4 takes text in ESTABLISHED), and a wire sees both halves";
const UNSEEN: &str = "an end acknowledges bytes that the capture lacks; on a wire it cannot have had \
    them, so such segments are refused (RFC 9293 section 3.10.7.4; RFC 5961 section 5)";

/// Captures taken before the card had filled the checksums in. They are replayed with
/// `--checksums repair`, since otherwise we drop those packets, as a receiver does (RFC 1122 section
/// 3.2.1.2).
const REPAIRED: [&str; 2] = ["http-gap-whole-body", "one_http_stream_fin"];

/// Captures of Fast Open whose servers take the data on the SYN, replayed with `fast_open = "allow"`.
const EARLY: [&str; 2] = ["tcp-fastopen-01", "tcp-fastopen-06"];

/// Judged one by one. A stream that is not here must agree, and one that agrees must not be here.
const EXCEPTIONS: [Exception; 13] = [
    exception(
        "bug-3286-02-linux-evasion",
        0,
        [0, 0],
        "a forged FIN before the SYN-ACK, which we would have kept from the client, made it send a RST; \
         to us that RST ends the handshake",
    ),
    exception("dns-tcp-ts-gap", 0, [34, 226], UNSEEN),
    exception("http-gap-whole-body", 0, [40, 136], UNSEEN),
    exception("stream-async-6063-cli-01", 0, [0, 0], ONE_WAY),
    exception(
        "tcp-fastopen-10-syn-data-ignore",
        0,
        [839, 6068],
        "two SYN-ACKs with different numbers; we follow the one that the client acknowledged, which \
         is what its socket read (sequence numbers 1180489187 to 1180495255), the script the first",
    ),
    exception(
        "tcp-split-handshake-01-4whs",
        0,
        [0, 0],
        "a SYN answered by a SYN: the split handshake, which turns client and server round, is \
         refused; no stack opens like this",
    ),
    exception(
        "one_http_stream_rst",
        0,
        [0, 0],
        "TCP in PPPoE behind two VLAN tags: not TCP to the parser (`Other::Link`), so it crosses or \
         is dropped as the configuration says for other traffic",
    ),
    exception("unidirectional_tcp_stream_with_missing_packet", 0, [0, 0], ONE_WAY),
    exception("1000-requests-one-dropped-response", 0, [144, 0], UNSEEN),
    exception(
        "ipv4/fragmented-4",
        1,
        [0, 0],
        "two fragments overlap: the datagram is dropped, as RFC 5722 demands for IPv6 and Linux since \
         4.19 does for IPv4",
    ),
    exception(
        "tcp/handshake-reorder",
        0,
        [0, 0],
        "the SYN-ACK stands before the SYN, which cannot happen on a wire; it crosses without a \
         connection to complete, and nobody repeats it",
    ),
    exception("tcp/payload-synack", 0, [0, 0], SYN_DATA),
    exception(
        "tcp/reassembly.pcap",
        0,
        [274, 0],
        "TCP checksums are wrong where the capture was edited to disagree with itself; such segments \
         are dropped (RFC 9293 section 3.1), and what the ends acknowledge of them is unseen",
    ),
];
/// Where the captures are; they are other projects', so the repository does not hold them.
fn folder() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata/captures");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

fn captures(folder: &Path) -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(folder.join("streams.json")).unwrap();
    let all: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    assert!(all.len() >= 45, "streams.json has lost entries");
    all.into_iter().collect()
}

/// Remembers every byte that rules are shown.
#[derive(Debug, Default)]
struct Witness {
    flows: BTreeMap<u64, Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    client: Endpoint,
    server: Endpoint,
    bytes: PerDirection<Vec<u8>>,
}

impl Policy for Witness {
    fn interest(&self) -> Interest {
        Interest::RECEIVE_DATA
    }

    fn receive_data(
        &mut self,
        flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        direction: Direction,
        _: &mut Reports,
    ) -> Verdict {
        let seen = self.flows.entry(flow.id.0).or_insert_with(|| Seen {
            client: flow.client,
            server: flow.server,
            bytes: PerDirection::default(),
        });
        let bytes = &mut seen.bytes[direction];
        assert_eq!(data.offset(), u64::try_from(bytes.len()).unwrap(), "each byte exactly once");
        bytes.extend(data.to_vec());
        Verdict::Accept
    }
}

/// What a replay brought about.
#[derive(Debug)]
struct Outcome {
    counters: Counters,
    frames: Vec<(Timestamp, Port, Vec<u8>)>,
    flows: Vec<Seen>,
}

impl Outcome {
    /// What rules saw travel from one endpoint to the other, over all connections of the two.
    fn stream(&self, from: &str, to: &str) -> Vec<u8> {
        let mut stream = Vec::new();
        for Seen { client, server, bytes } in &self.flows {
            if (client.to_string(), server.to_string()) == (from.into(), to.into()) {
                stream.extend(&bytes[Direction::ToServer]);
            } else if (server.to_string(), client.to_string()) == (from.into(), to.into()) {
                stream.extend(&bytes[Direction::ToClient]);
            }
        }
        stream
    }
}

fn replay(path: &Path, workers: usize, midstream: Midstream) -> Outcome {
    let is_about = |names: &[&str]| names.iter().any(|it| path.to_string_lossy().contains(it));
    let fast_open = if is_about(&EARLY) { FastOpen::Allow } else { FastOpen::Strip };
    let config = engine_config(&Config { midstream, fast_open, ..Config::default() }, true);
    let policies = (0..workers).map(|_| Witness::default()).collect();
    let mut stage = Stage::new(&config, policies);
    let mut frames = Vec::new();
    let mut reader = Reader::open(path).unwrap();
    let repair = is_about(&REPAIRED);
    while let Some(packet) = reader.next().unwrap() {
        let time = packet.time;
        if repair {
            repair_checksums(packet.frame);
        }
        stage.packet(time, packet.port, packet.frame);
        stage.drain_frames(|port, time, frame| frames.push((time, port, frame.to_vec())));
    }
    stage.finish();
    stage.drain_frames(|port, time, frame| frames.push((time, port, frame.to_vec())));
    let counters = stage.counters();
    assert_eq!(counters.balance(), 0, "{}: {counters:?}", path.display());
    assert_eq!(stage.outstanding(), 0, "{}: a frame is lost", path.display());
    assert_eq!(counters.unbalanced_turns, 0);
    let flows = stage.policies_mut().flat_map(|witness| witness.flows.values().cloned()).collect();
    Outcome { counters, frames, flows }
}

#[test]
fn rules_see_the_streams_that_an_independent_script_saw() {
    let Some(folder) = folder() else { return };
    let (mut faults, mut used) = (Vec::new(), 0);
    for (name, expected) in captures(&folder) {
        let outcome = replay(&folder.join(&name), 1, Midstream::Pickup);
        for stream in expected["follow"].as_array().unwrap() {
            let (n0, n1) = (stream["n0"].as_str().unwrap(), stream["n1"].as_str().unwrap());
            let seen = [outcome.stream(n0, n1), outcome.stream(n1, n0)];
            let agrees = ["a", "b"].into_iter().zip(&seen).all(|(side, bytes)| {
                let len = stream[format!("{side}_firstwins_len")].as_u64().unwrap();
                let sum = stream[format!("{side}_firstwins_sha256")].as_str();
                bytes.len() as u64 == len && (len == 0 || sum == Some(&sha256(bytes)))
            });
            let seen = seen.map(|bytes| bytes.len() as u64);
            let number = stream["stream"].as_u64().unwrap();
            let exception = EXCEPTIONS
                .iter()
                .find(|exception| name.contains(exception.capture) && exception.stream == number);
            match (agrees, exception) {
                (true, None) => {}
                (true, Some(_)) => faults.push(format!("{name} agrees now: strike it from the list")),
                (false, Some(judged)) if judged.seen == seen => used += 1,
                (false, judged) => faults.push(format!(
                    "{name}, stream {number} {n0} {n1}: rules saw {seen:?} bytes, {}\n    judged: {}",
                    dropped(&outcome.counters),
                    judged.map_or("not yet", |exception| exception.why)
                )),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(used, EXCEPTIONS.len(), "an exception names no capture");
}

fn dropped(counters: &Counters) -> String {
    let reasons = counters
        .metrics()
        .filter(|metric| metric.value > 0 && metric.name == "tollgate_frames_dropped_total");
    let reasons: Vec<_> =
        reasons.map(|metric| format!("{} {}", metric.labels[1].1, metric.value)).collect();
    format!("dropped: {}", reasons.join(", "))
}

#[test]
fn any_number_of_workers_writes_the_same_bytes() {
    let Some(folder) = folder() else { return };
    for (name, _) in captures(&folder) {
        for midstream in [Midstream::Drop, Midstream::Pass, Midstream::Pickup] {
            let alone = replay(&folder.join(&name), 1, midstream);
            for workers in 2..=4 {
                let shared = replay(&folder.join(&name), workers, midstream);
                assert_eq!(alone.frames, shared.frames, "{name}, {workers} workers");
                assert_eq!(shared.counters.handed_out, shared.counters.handed_in);
            }
        }
    }
}

#[test]
fn what_is_refused_never_leaves_and_what_leaves_came_in_or_was_forged() {
    let Some(folder) = folder() else { return };
    for (name, _) in captures(&folder) {
        let Outcome { counters, frames, .. } = replay(&folder.join(&name), 1, Midstream::Drop);
        let [a, b] = &counters.ports;
        assert_eq!(frames.len() as u64, a.transmitted_frames + b.transmitted_frames, "{name}");
        let received = a.received_frames + b.received_frames;
        assert!(frames.len() as u64 <= received + counters.forged, "{name}");
    }
}

#[test]
fn the_checksum_of_this_test_is_sha_256() {
    // FIPS 180-4, examples of one and two blocks.
    let two = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    assert!(sha256(b"abc").starts_with("ba7816bf8f01cfea414140de5dae2223"));
    assert!(sha256(two).starts_with("248d6a61d20638b8e5c026930c3e6039"));
    assert!(sha256(b"").starts_with("e3b0c44298fc1c149afbf4c8996fb924"));
}
