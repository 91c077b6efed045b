//! The marker as a program: what it writes into packets, and what it answers.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "../../conversation.rs"]
mod conversation;

use std::path::Path;

use assert_cmd::Command;
use conversation::{Conversation, frames, read};

/// Sends a conversation through; gives what left, as frames and as the ends read it.
fn replay(conversation: &Conversation) -> (Vec<Vec<u8>>, [String; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name| directory.path().join(name).to_str().unwrap().to_owned();
    let (input, output) = (path("in.pcap"), path("out.pcap"));
    conversation.write(Path::new(&input));
    let mut command = Command::new(env!("CARGO_BIN_EXE_marker"));
    command.args(["replay", "-r", &input, "-w", &output, "--checksums", "repair"]);
    let ran = command.output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("TCP is not followed"), "{said}");
    (frames(Path::new(&output)), read(Path::new(&output)))
}

#[test]
fn what_is_typed_goes_before_what_is_fetched() {
    for (port, class) in [(22, 0xb8), (80, 0x04)] {
        let mut talk = Conversation::open(port);
        talk.up(b"question");
        talk.down(b"answer");
        let (frames, read) = replay(&talk);
        assert_eq!(frames.len(), 5);
        assert!(frames.iter().all(|frame| frame[15] == class), "port {port}");
        assert_eq!(read, ["question", "answer"]);
    }
}

#[test]
fn who_asks_another_server_for_names_is_told_that_there_is_none() {
    let mut talk = Conversation::open(80);
    talk.ask([198, 18, 0, 53], b"who is example.org?");
    talk.ask([198, 18, 0, 54], b"and who really?");
    let (frames, _) = replay(&talk);
    let udp: Vec<_> = frames.iter().filter(|frame| frame[23] == 17).collect();
    assert_eq!(udp.len(), 1);
    assert_eq!((udp[0][15], &udp[0][30..34]), (0xb8, &[198, 18, 0, 53][..]));
    let answers: Vec<_> = frames.iter().filter(|frame| frame[23] == 1).collect();
    assert_eq!(answers.len(), 1);
    // From the server that was asked, to who asked, quoting the question's header and ports.
    assert_eq!(answers[0][26..34], [198, 18, 0, 54, 198, 18, 0, 1]);
    assert_eq!(answers[0][34..36], [3, 3]);
    assert_eq!(answers[0][42 + 16..42 + 20], [198, 18, 0, 54]);
}
