//! The rewriter as a program: a header of another length, and everything else as it was.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "../../conversation.rs"]
mod conversation;

use assert_cmd::Command;
use conversation::{Conversation, read};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: x\r\nServer: mine\r\n\r\n";
const ANSWER: &str =
    "HTTP/1.1 200 OK\r\nServer: chatty/1.2.3 (Debian)\r\nContent-Length: 5\r\n\r\nhello";
const REWRITTEN: &str =
    "HTTP/1.1 200 OK\r\nServer: a server, like any other\r\nContent-Length: 5\r\n\r\nhello";

/// What server and client read when the answer comes in pieces that end at `cuts`.
fn replay(cuts: &[usize], workers: &str) -> [String; 2] {
    let mut conversation = Conversation::open(80);
    conversation.up(REQUEST.as_bytes());
    let mut from = 0;
    for to in cuts.iter().copied().chain([ANSWER.len()]) {
        conversation.down(&ANSWER.as_bytes()[from..to]);
        from = to;
    }
    conversation.down(b" and more");
    let directory = tempfile::tempdir().unwrap();
    let [input, output] = ["in.pcap", "out.pcap"].map(|name| directory.path().join(name));
    conversation.write(&input);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rewriter"));
    command.args(["-q", "replay", "--checksums", "repair", "--workers", workers, "-r"]);
    let done = command.arg(&input).arg("-w").arg(&output).output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    read(&output)
}

#[test]
fn a_header_is_rewritten_wherever_its_line_is_cut() {
    let wanted = [REQUEST.to_owned(), format!("{REWRITTEN} and more")];
    assert_eq!(replay(&[], "1"), wanted);
    for cut in 1..ANSWER.len() {
        assert_eq!(replay(&[cut], "1"), wanted, "cut at {cut}");
    }
    assert_eq!(replay(&[18, 20, 21, 30, 46, 47], "3"), wanted);
}
