//! What a replay writes is what Haka would: each packet of the recording that is let through, as itself, with
//! what became of its own bytes, whatever rules have held on the way.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod common;

use std::fs;

use common::{ACK, PSH, RST, Talk, capture, read_capture, say, tollgate};

const HTTP: &str = "
    local http = require('protocol/http')
    http.install_tcp_rule(80)
    haka.rule{ hook = http.events.request, eval = function(http, req) print(req.uri) end }
    haka.rule{ hook = http.events.response, eval = function(http, resp) print(resp.status) end }";

/// A script with a streamed rule for the client's bytes.
fn streamed(body: &str) -> String {
    format!(
        "haka.rule{{ hook = tcp_connection.events.receive_data, options = {{ streamed = true }},
            eval = function(flow, iter, dir) if dir == 'up' then {body} end end }}"
    )
}

fn talk() -> Talk {
    Talk::new(([198, 18, 0, 1], 4242), ([198, 18, 1, 1], 80))
}

/// What the script prints, and the frames that leave.
#[track_caller]
fn replay(script: &str, frames: &[Vec<u8>]) -> (String, Vec<Vec<u8>>) {
    let (said, left) = replay_timed(script, frames);
    (said, left.into_iter().map(|(_, frame)| frame).collect())
}

/// The same with the times of the frames.
#[track_caller]
fn replay_timed(script: &str, frames: &[Vec<u8>]) -> (String, Vec<(u64, Vec<u8>)>) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("in.pcap"), capture(frames)).unwrap();
    fs::write(path("rules.lua"), script).unwrap();
    let mut command = tollgate();
    command.args(["-q", "replay", "-r"]).arg(path("in.pcap"));
    command.arg("-w").arg(path("out.pcap")).arg("--rules").arg(path("rules.lua"));
    let said = say(&mut command);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    (said.out, read_capture(&path("out.pcap")))
}

/// The bytes of a frame's payload, and its sequence number.
fn payload(frame: &[u8]) -> (u32, String) {
    let end = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let seq = u32::from_be_bytes(frame[38..42].try_into().unwrap());
    (seq, String::from_utf8_lossy(&frame[54..end]).into_owned())
}

#[test]
fn what_is_only_looked_at_leaves_as_it_came_however_it_is_cut() {
    let request = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    for size in [1, 2, 7, 40, 100] {
        let mut talk = talk();
        let mut frames = talk.open();
        frames.extend(request.as_bytes().chunks(size).map(|part| talk.up(PSH | ACK, part)));
        frames.extend(response.as_bytes().chunks(size).map(|part| talk.down(PSH | ACK, part)));
        frames.extend(talk.close());
        let (said, left) = replay(HTTP, &frames);
        assert_eq!(said, "/a\n200\n");
        assert!(
            left == frames,
            "{size}: {:?}",
            left.iter().map(|f| payload(f)).collect::<Vec<_>>()
        );
    }
}

#[test]
fn checksums_that_were_left_to_a_card_are_written_as_they_were_but_where_something_changed() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.extend(["one ", "two ", "bad "].map(|part| talk.up(PSH | ACK, part.as_bytes())));
    frames.extend(talk.close());
    // The client's are all the same, and wrong.
    for frame in frames.iter_mut().filter(|frame| frame[26..30] == [198, 18, 0, 1]) {
        frame[50..52].copy_from_slice(&[0x12, 0x34]);
    }
    let rule = |body: &str| {
        format!(
            "haka.rule{{ hook = tcp_connection.events.receive_data, eval = function(flow, current)
                if current:asstring() == 'bad ' then {body} end end }}"
        )
    };
    assert!(replay(&rule("print(flow)"), &frames).1 == frames);
    let (_, left) = replay(&rule("current[1] = 66"), &frames);
    let sums: Vec<_> = left.iter().map(|frame| frame[50..52] == [0x12, 0x34]).collect();
    // The changed packet has its own, and so have those of the server.
    assert_eq!(sums, [true, false, true, true, true, false, true, false, true]);
}

#[test]
fn each_packet_takes_what_became_of_its_own_bytes() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames
        .extend(["one ", "two ", "three ", "four"].map(|part| talk.up(PSH | ACK, part.as_bytes())));
    let script = streamed(
        "iter:mark() iter:advance(4) local word = iter:sub(4) iter:advance(4)
         word:erase() iter:insert(haka.vbuffer_from('[in]')) iter:unmark()",
    );
    let (_, left) = replay(&script, &frames);
    let left: Vec<_> = left[3..].iter().map(|frame| payload(frame)).collect();
    let wanted = [(1001, "one "), (1005, "thre[in]e "), (1015, "four")];
    assert_eq!(left, wanted.map(|(seq, text)| (seq, text.to_owned())));
}

#[test]
fn what_waits_is_written_in_order_with_the_time_it_came_at() {
    let looks = "haka.rule{ hook = tcp_connection.events.receive_data, eval = function(flow, current) end }";
    for script in [looks.to_owned(), streamed("iter:mark() iter:sub('all')")] {
        let mut talk = talk();
        let mut frames = talk.open();
        let parts = ["one ", "two ", "three"].map(|part| talk.up(PSH | ACK, part.as_bytes()));
        frames.extend(parts.iter().rev().cloned());
        frames.extend(talk.close());
        let (_, left) = replay_timed(&script, &frames);
        // A packet a millisecond: the last of the three came first.
        let ms = |time: u64| time / 1_000_000 % 1000;
        let waited: Vec<_> =
            left[3..6].iter().map(|(time, frame)| (ms(*time), frame.clone())).collect();
        assert_eq!(waited, [5, 4, 3].into_iter().zip(parts).collect::<Vec<_>>());
        assert_eq!(left.len(), 9);
    }
}

#[test]
fn the_headers_of_packets_that_waited_stay_as_they_are() {
    let mut talk = talk();
    let mut frames = talk.open();
    let parts = ["one ", "two "].map(|part| talk.up(PSH | ACK, part.as_bytes()));
    // The first comes last, and with a lower time to live.
    let mut first = parts[0].clone();
    first[22] = 7;
    first[24..26].fill(0);
    let sum = first[14..34]
        .chunks(2)
        .fold(0_u32, |sum, two| sum + u32::from(u16::from_be_bytes([two[0], two[1]])));
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).map(|sum| !sum).unwrap();
    first[24..26].copy_from_slice(&sum.to_be_bytes());
    frames.extend([parts[1].clone(), first.clone()]);
    let (_, left) = replay(&streamed("iter:sub('all')"), &frames);
    assert_eq!(left.len(), 5);
    assert_eq!(left[3], first);
}

#[test]
fn one_rst_tells_each_end_the_clients_first() {
    let mut talk = talk();
    let mut frames = talk.open();
    frames.extend([talk.up(PSH | ACK, b"in flight"), talk.up(PSH | ACK, b"bad")]);
    let (_, left) = replay(&streamed("iter:advance(9) iter:sub(3) flow:reset()"), &frames);
    assert_eq!(left.len(), 6);
    let rsts: Vec<_> = left[4..].iter().map(|frame| (frame[47], payload(frame).0)).collect();
    assert_eq!(rsts, [(RST, 5_000_001), (RST, 1010)]);
}

#[test]
fn what_is_held_at_the_end_is_accounted_for() {
    let hold = streamed("iter:mark() iter:sub('all')");
    let begin = |count: u16| {
        let mut talk = talk();
        let mut frames = talk.open();
        frames.extend((0..count).map(|_| talk.up(PSH | ACK, b"held")));
        (talk, frames)
    };
    // The recording ends; a RST passes; a rule ends it. In a debug build the balance is checked each turn.
    let (_, frames) = begin(5);
    assert_eq!(replay(&hold, &frames).1.len(), 3);
    let (mut talk, mut frames) = begin(5);
    frames.extend([talk.down(RST, b""), talk.up(PSH | ACK, b"late")]);
    assert_eq!(replay(&hold, &frames).1.len(), 4);
    let drop = streamed("iter:mark() iter:advance(20) flow:drop()");
    assert_eq!(replay(&drop, &begin(6).1).1.len(), 3);
    // More packets than may be held, of which none is lost.
    let (mut talk, mut frames) = begin(600);
    frames.extend(talk.close());
    let (_, left) = replay(&hold, &frames);
    let sent: String = left.iter().map(|frame| payload(frame)).map(|(_, text)| text).collect();
    assert_eq!(sent, "held".repeat(600));
}
