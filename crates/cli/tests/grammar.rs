//! The dissector of `examples/smtp`, over conversations cut where it hurts.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod common;

use std::fs;
use std::path::Path;

use common::{ACK, PSH, RST, Talk, capture, read_capture, say, tollgate};

const CLIENT: ([u8; 4], u16) = ([198, 18, 0, 1], 4242);
const SERVER: ([u8; 4], u16) = ([198, 18, 1, 1], 25);

/// What each end has sent, and what a replay under the rules of the example says and lets pass.
struct Session {
    talk: Talk,
    frames: Vec<Vec<u8>>,
}

impl Session {
    fn new() -> Self {
        let mut talk = Talk::new(CLIENT, SERVER);
        let frames = talk.open();
        Self { talk, frames }
    }

    /// One segment for each portion.
    fn up(&mut self, portions: &[&str]) {
        for portion in portions {
            self.frames.push(self.talk.up(PSH | ACK, portion.as_bytes()));
        }
        self.frames.push(self.talk.down(ACK, b""));
    }

    fn down(&mut self, portions: &[&str]) {
        for portion in portions {
            self.frames.push(self.talk.down(PSH | ACK, portion.as_bytes()));
        }
        self.frames.push(self.talk.up(ACK, b""));
    }

    /// What was printed; the text that reached the server and the client; how many RSTs left.
    fn replay(&self) -> (String, [String; 2], usize) {
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/smtp/rules.lua");
        let directory = tempfile::tempdir().unwrap();
        let (input, output) = (directory.path().join("in.pcap"), directory.path().join("out.pcap"));
        fs::write(&input, capture(&self.frames)).unwrap();
        let mut command = tollgate();
        command.args(["-q", "replay", "-r"]).arg(&input).arg("-w").arg(&output);
        let said = say(command.arg("--rules").arg(rules));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
        let mut text = [String::new(), String::new()];
        let mut resets = 0;
        for (_, frame) in read_capture(&output) {
            let is_up = frame[34..36] == CLIENT.1.to_be_bytes();
            resets += usize::from(frame[47] & RST != 0);
            let end = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
            text[usize::from(!is_up)] += &String::from_utf8_lossy(&frame[54..end]);
        }
        (said.out, text, resets)
    }
}

#[test]
fn commands_responses_and_mails_are_told_and_the_banner_is_hidden() {
    let mut session = Session::new();
    session.down(&["22", "0-mail.example\r\n220 ES", "MTP 3.1\r", "\n"]);
    session.up(&["EH", "LO me\r\n"]);
    session.down(&["250-mail.example\r\n", "250 SIZE\r\n"]);
    session.up(&["MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r", "\n"]);
    session.down(&["250 ok\r\n250 ok\r\n"]);
    session.up(&["data\r\n"]);
    session.down(&["354 go\r\n"]);
    session.up(&["Subject: x\r\n\r\nHello.\r\n", ".", "more\r\n.\r", "\nQUIT\r\n"]);
    session.down(&["250 queued\r\n", "221 bye\r\n"]);
    let (out, [up, down], resets) = session.replay();
    assert_eq!(
        out,
        "info  external: 198.18.0.1 says EHLO me\n\
         info  external: 198.18.0.1 says MAIL FROM:<a@b>\n\
         info  external: 198.18.0.1 says RCPT TO:<c@d>\n\
         info  external: 198.18.0.1 says data \n\
         info  external: a mail of 27 bytes\n\
         info  external: 198.18.0.1 says QUIT \n"
    );
    assert_eq!(
        up,
        "EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\ndata\r\n\
         Subject: x\r\n\r\nHello.\r\n.more\r\n.\r\nQUIT\r\n"
    );
    assert_eq!(
        down,
        "220-************\r\n220 ESMTP 3.1\r\n250-mail.example\r\n250 SIZE\r\n250 ok\r\n250 ok\r\n\
         354 go\r\n250 queued\r\n221 bye\r\n"
    );
    assert_eq!(resets, 0);
}

#[test]
fn who_looks_for_users_is_reset_before_the_server_hears_of_it() {
    let mut session = Session::new();
    session.down(&["220 hi\r\n"]);
    session.up(&["VRFY ro", "ot\r\n"]);
    let (out, [up, _], resets) = session.replay();
    assert!(out.contains("description = somebody looks for users\n"), "{out}");
    // One to each end; a packet that comes later may be told again.
    assert!(up.is_empty() && resets >= 2, "{up:?} {resets}");
}

#[test]
fn a_program_in_a_mail_does_not_arrive() {
    let mut session = Session::new();
    session.down(&["220 hi\r\n"]);
    session.up(&["DATA\r\n"]);
    session.down(&["354 go\r\n"]);
    session.up(&["Content-Disposition: attachment; filename=\"a.e", "xe\"\r\nMZ\r\n.\r\n"]);
    let (out, [up, _], _) = session.replay();
    assert!(out.contains("description = a program in a mail\n"), "{out}");
    assert_eq!(up, "DATA\r\nContent-Disposition: attachment; filename=\"a.e");
}

#[test]
fn what_is_no_smtp_is_alerted_and_dropped() {
    for (first, wanted) in
        [("HTTP/1.1 200\r\n", "invalid smtp line"), ("250-x\r\n25x\r\n", "invalid smtp line")]
    {
        let mut session = Session::new();
        session.down(&[first]);
        let (out, [_, down], _) = session.replay();
        assert!(out.contains(&format!("description = {wanted}\n")), "{out}");
        assert_eq!(down, "");
    }
    let mut session = Session::new();
    session.up(&["EHLO too early\r\n"]);
    let (out, [up, _], _) = session.replay();
    assert!(out.contains("description = smtp: unexpected data from client\n"), "{out}");
    assert_eq!(up, "");
}
