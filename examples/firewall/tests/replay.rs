//! The firewall as a program: what it lets through, what it says, and how it is asked.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "../../conversation.rs"]
mod conversation;

use std::path::Path;

use assert_cmd::Command;
use conversation::{Conversation, read};

fn firewall(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firewall"));
    let output = command.args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Sends a conversation through; gives what it said, and what server and client read.
fn replay(conversation: &Conversation) -> (String, [String; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name| directory.path().join(name).to_str().unwrap().to_owned();
    let (input, output) = (path("in.pcap"), path("out.pcap"));
    conversation.write(Path::new(&input));
    let replay = ["-q", "replay", "--checksums", "repair", "-r", &input, "-w", &output];
    let (code, out, err) = firewall(&replay);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    (out, read(Path::new(&output)))
}

#[test]
fn what_is_permitted_passes() {
    let mut web = Conversation::open(80);
    web.up(b"GET / HTTP/1.0\r\n\r\n");
    web.down(b"HTTP/1.0 200 OK\r\n\r\nhello");
    let (said, [server, client]) = replay(&web);
    assert!(!said.contains("alert"), "{said}");
    assert_eq!(server, "GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client, "HTTP/1.0 200 OK\r\n\r\nhello");
}

#[test]
fn who_may_not_connect_is_refused_and_told_of() {
    // The office is elsewhere.
    let mut ssh = Conversation::open(22);
    ssh.up(b"SSH-2.0-x\r\n");
    let (said, read) = replay(&ssh);
    assert!(said.contains("nobody may connect there"), "{said}");
    assert_eq!(read, ["", ""]);
}

#[test]
fn a_word_in_pieces_ends_the_connection_before_its_end_has_left() {
    let mut web = Conversation::open(80);
    web.up(b"GET /plan HTTP/1.0\r\n\r\n");
    web.down(b"the plan, FOR-INTER");
    web.down(b"NAL-USE-ONLY: ");
    web.down(b"attack at dawn");
    let (said, [_, client]) = replay(&web);
    assert!(said.contains("that was not for you"), "{said}");
    assert_eq!(client, "the plan, FOR-INTER");
}

#[test]
fn its_help_and_its_check_are_of_a_program_that_takes_no_script() {
    let (code, help, _) = firewall(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(help.contains("Usage: firewall") && !help.contains("lua"), "{help}");
    let (code, help, _) = firewall(&["run", "--help"]);
    assert_eq!(code, Some(0));
    assert!(help.contains("--pair") && !help.contains("--rules"), "{help}");

    let directory = tempfile::tempdir().unwrap();
    let path = |name| directory.path().join(name).to_str().unwrap().to_owned();
    let (script, config) = (path("rules.lua"), path("tollgate.toml"));
    std::fs::write(&script, "haka.rule{}").unwrap();
    std::fs::write(&config, "workers = 2\n").unwrap();
    let (code, out, err) = firewall(&["check", &script, &config]);
    assert_eq!(code, Some(1));
    assert!(out.contains("configuration is good"), "{out}");
    assert!(err.contains("rules.lua: the rules of this program are built in"), "{err}");
    let (code, _, err) = firewall(&["replay", "-r", "none.pcap", "--rules", &script]);
    assert_eq!(code, Some(1));
    assert!(err.contains("built in"), "{err}");
}
