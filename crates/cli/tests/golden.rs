//! Small conversations, each with a script: the events printed and the frames that leave must be
//! those of `tests/golden/NAME.events` and `NAME.frames`, to the letter.
//!
//! When a change is meant, `TOLLGATE_BLESS=1 cargo test -p tollgate --test golden` writes them anew,
//! to be read before they are committed.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use common::{ACK, FIN, PSH, RST, SYN, Talk, capture, read_capture, say, segment, tollgate};

const CLIENT: ([u8; 4], u16) = ([198, 18, 0, 1], 4242);
const SERVER: ([u8; 4], u16) = ([198, 18, 1, 1], 80);
/// Nobody's peer.
const OTHER: ([u8; 4], u16) = ([198, 18, 1, 2], 9);

fn talk() -> Talk {
    Talk::new(CLIENT, SERVER)
}

/// Replays `frames` under `golden/NAME.lua` with one and with three workers, and compares.
#[track_caller]
fn golden(name: &str, frames: &[Vec<u8>]) {
    golden_with(name, frames, &["--events", "all"]);
}

/// The same with arguments of its own.
#[track_caller]
fn golden_with(name: &str, frames: &[Vec<u8>], arguments: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (directory.path().join("in.pcap"), directory.path().join("out.pcap"));
    fs::write(&input, capture(frames)).unwrap();
    for workers in ["1", "3"] {
        let mut command = tollgate();
        command.args(["-q", "replay", "--workers", workers]).args(arguments).arg("-r").arg(&input);
        command.arg("-w").arg(&output).arg("--rules").arg(folder.join(name).with_extension("lua"));
        let said = say(&mut command);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
        compare(&folder.join(name).with_extension("frames"), &frames_as_text(&output));
        // Alerts are numbered by worker, so the text of events is of one worker's.
        if workers == "1" {
            compare(&folder.join(name).with_extension("events"), &said.out);
        }
    }
}

#[track_caller]
fn compare(path: &Path, text: &str) {
    if std::env::var_os("TOLLGATE_BLESS").is_some() {
        fs::write(path, text).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text, expected, "{}", path.display());
}

/// One line a frame: time in ms, who to whom, flags, numbers, payload.
fn frames_as_text(path: &Path) -> String {
    let mut text = String::new();
    for (time, frame) in read_capture(path) {
        let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        let port = |at: usize| u16::from_be_bytes(frame[at..at + 2].try_into().unwrap());
        let (from, to) = ((frame[26..30].to_vec(), port(34)), (frame[30..34].to_vec(), port(36)));
        let arrow = if (from, to) == ((CLIENT.0.to_vec(), CLIENT.1), (SERVER.0.to_vec(), SERVER.1))
        {
            "client -> server"
        } else {
            "server -> client"
        };
        let names = [(SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (PSH, "PSH"), (ACK, "ACK")];
        let flags: Vec<_> =
            names.iter().filter(|(bit, _)| frame[47] & bit != 0).map(|(_, name)| *name).collect();
        let end = 14 + usize::from(port(16));
        let payload = String::from_utf8_lossy(&frame[54..end]);
        let ms = time / 1_000_000 % 60_000;
        let (seq, ack, flags) = (number(38), number(42), flags.join("|"));
        writeln!(text, "{ms:>2} {arrow} {flags:11} seq {seq} ack {ack} {payload:?}").unwrap();
    }
    text
}

#[test]
fn a_connection_that_rules_accept_passes_unchanged() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.push(talk.up(PSH | ACK, b"GET / HTTP/1.1\r\n\r\n"));
    frames.push(talk.down(PSH | ACK, b"HTTP/1.1 204 No Content\r\n\r\n"));
    frames.extend(talk.close());
    golden("accept", &frames);
}

#[test]
fn the_rest_of_a_connection_that_a_rule_shunts_passes_unseen_but_for_its_end() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.push(talk.up(PSH | ACK, b"GET /film"));
    frames.push(talk.down(PSH | ACK, b"unseen"));
    frames.push(talk.down(PSH | ACK, b"unseen as well"));
    frames.extend(talk.close());
    golden("shunt", &frames);
}

#[test]
fn a_syn_that_a_rule_refuses_is_dropped_and_nothing_follows() {
    let mut talk = talk();
    let frames = [talk.open(), vec![talk.up(PSH | ACK, b"hello")]].concat();
    golden("refuse", &frames);
}

#[test]
fn a_forbidden_word_resets_both_ends_before_it_leaves() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.push(talk.up(PSH | ACK, b"harmless"));
    // The word is cut by the segments.
    frames.push(talk.up(PSH | ACK, b"FORB"));
    frames.push(talk.up(PSH | ACK, b"IDDEN"));
    frames.push(talk.up(PSH | ACK, b"more"));
    golden("reset", &frames);
}

#[test]
fn halfreset_tells_the_server_only() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.push(talk.up(PSH | ACK, b"bad"));
    frames.push(talk.down(ACK, b""));
    golden("halfreset", &frames);
}

#[test]
fn resets_of_a_recording_look_as_haka_writes_them() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.push(talk.up(PSH | ACK, b"FORBIDDEN"));
    for frame in &mut frames {
        frame[22] = 200;
        frame[24..26].copy_from_slice(&[0, 0]);
        let sum: u32 = frame[14..34]
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        frame[24..26].copy_from_slice(&(!sum).to_be_bytes());
    }
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (directory.path().join("in.pcap"), directory.path().join("out.pcap"));
    fs::write(&input, capture(&frames)).unwrap();
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/reset.lua");
    let mut command = tollgate();
    command
        .args(["-q", "replay", "-r"])
        .arg(&input)
        .arg("-w")
        .arg(&output)
        .arg("--rules")
        .arg(rules);
    assert_eq!(say(&mut command).code, Some(0));
    let resets = read_capture(&output).split_off(3);
    assert_eq!(resets.len(), 2);
    for (_, frame) in resets {
        // Identification, fragment bits, time to live, protocol.
        assert_eq!(frame[18..24], [0, 0, 0, 0, 64, 6]);
        assert_eq!(frame[42..50], [0, 0, 0, 0, 0x50, RST, 0, 0]);
    }
}

#[test]
fn early_segments_are_shown_and_written_in_order_and_a_retransmission_passes_again() {
    let mut talk = talk();
    let mut frames = talk.open();
    let (one, two, three) =
        (talk.up(ACK, b"one "), talk.up(ACK, b"two "), talk.up(PSH | ACK, b"three"));
    frames.extend([three, two.clone(), one, two]);
    frames.extend(talk.close());
    golden("order", &frames);
}

#[test]
fn an_overlap_that_disagrees_leaves_as_the_first_copy() {
    let mut talk = talk();
    let mut frames = talk.open();
    let start = talk.client_next;
    // Bytes 4 to 8 come first, then 0 to 8 with other bytes for the second half.
    frames.push(segment(CLIENT, SERVER, start + 4, talk.server_next, ACK, b"GOOD"));
    frames.push(segment(CLIENT, SERVER, start, talk.server_next, ACK, b"onlyEVIL"));
    golden("overlap", &frames);
}

#[test]
fn who_leaves_its_checksums_to_its_card_is_believed_and_who_forges_one_is_not() {
    let mut talk = talk();
    let mut frames = talk.open();
    // Neither right nor partial.
    let spoil = |mut frame: Vec<u8>| {
        frame[50] ^= 0x55;
        frame
    };
    frames.push(talk.up(PSH | ACK, b"hello"));
    let forged = segment(SERVER, CLIENT, talk.server_next, talk.client_next, PSH | ACK, b"FORGED");
    frames.push(spoil(forged));
    frames.push(talk.down(PSH | ACK, b"honest"));
    frames.extend(talk.close());
    let from_client = |frame: &Vec<u8>| frame[26..30] == CLIENT.0;
    let frames: Vec<_> = frames
        .into_iter()
        .map(|frame| if from_client(&frame) { spoil(frame) } else { frame })
        .collect();
    golden("checksums", &frames);
}

#[test]
fn what_scripts_say_in_several_ways_means_the_same() {
    golden_with("spellings", &talk().open(), &[]);
}

#[test]
fn values_without_packets_are_hakas() {
    golden_with("values", &talk().open(), &[]);
}

#[test]
fn a_rule_that_fails_drops_its_connection_and_says_where() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.push(talk.up(PSH | ACK, b"x"));
    golden("error", &frames);
}

#[test]
fn a_connection_that_a_failed_rule_has_cost_is_nobodys_to_its_next_packets() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.push(talk.up(PSH | ACK, b"x"));
    frames.extend(talk.close());
    // The next one is new, and dropped without a word.
    frames.extend([talk.up(SYN, b""), talk.down(SYN | ACK, b"")]);
    // Of packets before any connection each is told of, however many there are.
    frames.extend((0..9).map(|_| segment(OTHER, CLIENT, 1, 1, ACK, b"")));
    golden_with("forgotten", &frames, &[]);
}

#[test]
fn what_a_script_says_is_printed_in_hakas_forms() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.push(talk.up(PSH | ACK, b"hello"));
    frames.extend(talk.close());
    golden_with("forms", &frames, &["-l", "warn,mine=debug,external=info"]);
}

#[test]
fn a_dissector_of_the_scripts_own_raises_its_events() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.push(talk.up(PSH | ACK, b"\x05hel"));
    frames.push(talk.down(PSH | ACK, b"\x02ok"));
    frames.push(talk.up(PSH | ACK, b"lo\x03bye\x04more"));
    golden_with("dissector", &frames, &["-l", "debug"]);
}

#[test]
fn in_pass_through_a_rule_that_writes_fails_and_verdicts_count() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.push(talk.up(PSH | ACK, b"look"));
    frames.push(talk.up(PSH | ACK, b"write"));
    golden_with("pass_through", &frames, &["--pass-through"]);
}

#[test]
fn a_script_of_packets_sees_those_of_a_connection_that_has_begun_before() {
    let mut talk = talk();
    let frames =
        [talk.up(PSH | ACK, b"middle"), talk.down(PSH | ACK, b"answer"), talk.up(ACK, b"")];
    golden("packets", &frames);
}

#[test]
fn a_word_of_another_length_is_put_in_and_both_ends_agree() {
    let mut talk = talk();
    let mut frames = talk.open();
    // The word is cut by the segments. The server of a recording has heard what was said then, and says so.
    frames.push(talk.up(PSH | ACK, b"say wor"));
    frames.push(talk.up(PSH | ACK, b"ld twice: world."));
    let again = segment(
        CLIENT,
        SERVER,
        talk.client_next - 16,
        talk.server_next,
        PSH | ACK,
        b"ld twice: world.",
    );
    // The client repeats its second segment: it leaves as it left.
    frames.push(again);
    frames.push(talk.down(PSH | ACK, b"heard the world"));
    frames.push(talk.up(ACK, b""));
    golden("replace", &frames);
}

#[test]
fn a_recording_goes_on_behind_what_a_rule_has_erased() {
    let mut talk = talk();
    let mut frames = talk.open();
    // The server acknowledges what was erased, too, and more than the client has sent as we tell it.
    frames.push(talk.up(PSH | ACK, b"the secret word"));
    frames.push(talk.down(ACK, b""));
    frames.push(talk.down(PSH | ACK, b"thanks"));
    frames.push(talk.up(PSH | ACK, b" and more"));
    frames.push(talk.down(ACK, b""));
    frames.extend(talk.close());
    golden("shrink", &frames);
}

#[test]
fn what_is_inserted_erased_and_marked_leaves_as_the_rule_says() {
    let mut talk = talk();
    let mut frames = talk.open();
    for line in ["keep\n", "secret\n", "par", "tial\n", "x"] {
        frames.push(talk.up(PSH | ACK, line.as_bytes()));
    }
    frames.push(talk.up(FIN | ACK, b""));
    golden("lines", &frames);
}

#[test]
fn expressions_match_strings_parts_and_streams_across_segments() {
    let mut talk = talk();
    let mut frames = talk.open();
    for piece in ["user=alice sec", "ret", "ive and sec", "ond id=0042 ", "se"] {
        frames.push(talk.up(PSH | ACK, piece.as_bytes()));
    }
    frames.push(talk.up(FIN | ACK, b""));
    golden("expressions", &frames);
}

#[test]
fn signatures_are_found_across_segments_and_told_once() {
    let mut talk = talk();
    let mut frames = talk.open();
    for piece in ["GET /?q=1 UNI", "ON  sele", "ct x /bi", "n/sh /bin/sh"] {
        frames.push(talk.up(PSH | ACK, piece.as_bytes()));
    }
    frames.push(talk.down(PSH | ACK, b"root:x:0:0"));
    golden("signatures", &frames);
}

#[test]
fn a_name_is_refused_before_the_server_hears_it_and_another_passes_as_it_was() {
    let hello = include_bytes!("../../inspect/tests/data/tls13.client");
    let answer = include_bytes!("../../inspect/tests/data/tls13.server");
    let mut talk = talk();
    let mut frames = talk.open();
    let (head, tail) = hello.split_at(170);
    frames.push(talk.up(ACK, head));
    frames.push(talk.down(ACK, b""));
    frames.push(talk.up(PSH | ACK, tail));
    frames.push(talk.down(ACK, &answer[..200]));
    frames.push(talk.down(PSH | ACK, &answer[200..]));
    golden("hello", &frames);
    golden("hello_refused", &frames);
    let mut plain = Talk::new(CLIENT, SERVER);
    let mut frames = plain.open();
    frames.push(plain.up(PSH | ACK, b"GET / HTTP/1.1\r\n"));
    frames.push(plain.up(PSH | ACK, b"\r\n"));
    golden("hello_none", &frames);
}

#[test]
fn a_pattern_that_cannot_be_compiled_is_told_with_line_and_position() {
    let directory = tempfile::tempdir().unwrap();
    for (script, wanted) in [
        (
            "local rem = require('regexp/pcre')\nrem.re:compile('(a')",
            ":2: regexp: '(a': unclosed group at position 1",
        ),
        (
            "haka.patterns{ x = { regexp = '(?=a)' } }",
            ":1: haka.patterns: 'x': look-around cannot be matched in one pass",
        ),
        (
            "require('regexp/pcre').re:compile('(((a{999}){999}){999}){999}')",
            "too large: compiled, it would take more than 1048576 bytes",
        ),
    ] {
        let path = directory.path().join("bad.lua");
        fs::write(&path, script).unwrap();
        let said = say(tollgate().arg("check").arg(&path));
        let text = format!("{}{}", said.out, said.err);
        assert!(said.code != Some(0) && text.contains(wanted), "{text}");
    }
}

#[test]
fn requests_responses_and_bodies_are_shown_and_pass_unchanged() {
    let mut talk = talk();
    let mut frames = talk.open();
    // A head that is cut is held until it is there as a whole.
    frames.push(talk.up(ACK, b"POST /a/%7Eb/../c?q=1 HTTP/1.1\r\nHost: h\r\nCook"));
    frames.push(talk.up(PSH | ACK, b"ie: id=5; x=y\r\nContent-Length:5\r\nEmpty:\r\n\r\nhel"));
    // The end of the first body, and a second request behind it.
    frames.push(talk.up(PSH | ACK, b"loHEAD /2 HTTP/1.1\r\n\r\n"));
    frames.push(talk.down(
        PSH | ACK,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: id=6; Path=/\r\n",
    ));
    frames.push(talk.down(PSH | ACK, b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r"));
    frames.push(talk.down(
        PSH | ACK,
        b"\nde\r\n0\r\nTrailer: t\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    ));
    frames.extend(talk.close());
    golden("http_show", &frames);
}

#[test]
fn what_a_recordings_ends_acknowledge_while_it_is_held_leaves_as_they_said() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.push(talk.up(PSH | ACK, b"GET / HTTP/1.1\r\nHo"));
    frames.push(talk.down(ACK, b""));
    frames.push(talk.up(PSH | ACK, b"st: h\r\n\r\n"));
    frames.push(talk.down(ACK, b""));
    frames.push(talk.down(PSH | ACK, b"HTTP/1.1 200 OK\r\nServer: s\r\nContent"));
    frames.push(talk.up(ACK, b""));
    frames.push(talk.down(PSH | ACK, b"-Length: 2\r\n\r\nb"));
    frames.push(talk.up(ACK, b""));
    frames.push(talk.down(PSH | ACK, b"y"));
    frames.extend(talk.close());
    golden("held", &frames);
}

#[test]
fn the_fields_of_requests_and_responses_are_rewritten() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.push(talk.up(PSH | ACK, b"GET / HTTP/1.1\r\nhost:h\r\nAccept: a\r\nKeep:  me \r\n\r\n"));
    frames.push(
        talk.down(PSH | ACK, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nServer: s\r\n\r\nbody"),
    );
    golden("http_change", &frames);
}

#[test]
fn a_word_of_a_body_changes_its_length_in_chunks() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.push(talk.up(PSH | ACK, b"POST / HTTP/1.1\r\nContent-Length: 15\r\n\r\nhellowor"));
    frames.push(talk.up(PSH | ACK, b"ldagain"));
    frames.push(talk.down(
        PSH | ACK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nhellowo\r\n3",
    ));
    frames.push(talk.down(PSH | ACK, b"\r\nrld\r\n0\r\nTrailer: t\r\n\r\n"));
    golden("http_body", &frames);
}

#[test]
fn http_ends_connections_that_rules_or_the_protocol_refuse() {
    let mut frames = Vec::new();
    for (port, request) in [
        (1, &b"GET /drop HTTP/1.1\r\n\r\n"[..]),
        (2, b"GET /reset HTTP/1.1\r\n\r\n"),
        (3, b"POST /tecl HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (4, b"POST /clcl HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n"),
        (5, b"GET /fold HTTP/1.1\r\nA: b\r\n c\r\n\r\n"),
        (6, b"SSH-2.0-OpenSSH\r\n"),
    ] {
        let mut talk = Talk::new((CLIENT.0, port), SERVER);
        frames.extend(talk.open());
        frames.push(talk.up(PSH | ACK, b"GET /fine HTTP/1.1\r\n\r\n"));
        frames.push(talk.up(PSH | ACK, request));
        frames.push(talk.down(PSH | ACK, b"HTTP/1.1 204 No\r\n\r\n"));
    }
    let mut talk = Talk::new((CLIENT.0, 7), SERVER);
    frames.extend(talk.open());
    frames.push(talk.down(PSH | ACK, b"HTTP/1.1 204 No\r\n\r\n"));
    golden("http_end", &frames);
}

#[test]
fn an_upgrade_hands_the_connection_on() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.push(talk.up(PSH | ACK, b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"));
    frames.push(talk.down(PSH | ACK, b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n\r\n\x81\x02hi"));
    frames.push(talk.up(PSH | ACK, b"\x81\x82no http"));
    golden("http_raw", &frames);
}
