//! DNS from the wrong hands: what is refused, what it costs, and that what is written anew means the same.
#![expect(clippy::unwrap_used, reason = "tests")]
mod common;

use common::Scene;
use common::frames::{Stage, assert_intact, udp};
use tollgate_policy::Verdict;

const CLIENT: (&str, u16) = ("198.18.0.1", 5353);
const SERVER: (&str, u16) = ("198.18.0.2", 53);

/// A header: response or not, and the counts of the four sections.
fn header(is_response: bool, counts: [u16; 4]) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, if is_response { 0x80 } else { 0 }, 0];
    bytes.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    bytes
}

fn query(questions: u16, rest: &[u8]) -> Vec<u8> {
    [&header(false, [questions, 0, 0, 0]), rest].concat()
}

/// A script whose rules are called with queries and responses.
fn scene(of_query: &str, of_response: &str) -> Scene {
    Scene::new(&format!(
        "dns.install_udp_rule(53)
        haka.rule{{ hook = dns.events.query, eval = function(dns, query) {of_query} end }}
        haka.rule{{ hook = dns.events.response, eval = function(dns, response) {of_response} end }}"
    ))
}

const NAMES: &str = "for _, each in ipairs(query.question) do print(each.name) end";

fn up(scene: &mut Scene, message: &[u8]) -> (Verdict, Vec<u8>) {
    let (verdict, frame) = scene.show_frame(Stage::Datagram, &udp(CLIENT, SERVER, message));
    (verdict, frame.get(42..).unwrap().to_vec())
}

fn down(scene: &mut Scene, message: &[u8]) -> (Verdict, Vec<u8>) {
    let (verdict, frame) = scene.show_frame(Stage::Datagram, &udp(SERVER, CLIENT, message));
    if verdict == Verdict::Accept {
        assert_intact(&frame);
    }
    (verdict, frame.get(42..).unwrap().to_vec())
}

/// What rules have said, but for what tells that they were asked at all.
fn told(scene: &mut Scene) -> Vec<String> {
    let mut said = scene.said();
    said.retain(|line| line != "debug udp: selecting dns dissector on flow");
    said
}

const WWW: &[u8] = b"\x03www\x07example\0\0\x01\0\x01";

#[test]
fn what_is_no_message_is_refused() {
    let long = [&b"\x3f"[..], &[b'a'; 63]].concat();
    for (questions, rest) in [
        (1, &b""[..]),
        (2, WWW),
        (1, b"\x40a\0\0\x01\0\x01"),
        (1, b"\x80a\0\0\x01\0\x01"),
        (1, b"\x05abc\0"),
        // Pointers to themselves, to each other, forward, into nothing.
        (1, b"\xc0\x0c\0\x01\0\x01"),
        (2, b"\x01a\xc0\x11\0\x01\xc0\x0c\0\x01\0\x01"),
        (1, b"\xc0\x0e\x01a\0\0\x01\0\x01"),
        (1, b"\xff\xff\0\x01\0\x01"),
        // A name of 256 bytes.
        (1, &[&long.repeat(4)[..], b"\0\0\x01\0\x01"].concat()),
        (1025, &b"\0\0\x01\0\x01".repeat(1025)),
    ] {
        let mut scene = scene(NAMES, "");
        assert_eq!(up(&mut scene, &query(questions, rest)).0, Verdict::DropPacket, "{rest:?}");
        let said = told(&mut scene);
        assert!(said.last().unwrap().starts_with("alert 1: invalid dns "), "{rest:?} {said:?}");
    }
    // One of 255 is the longest.
    let name = [&long.repeat(3)[..], b"\x3d", &[b'b'; 61], b"\0\0\x01\0\x01"].concat();
    let mut scene = scene(NAMES, "");
    assert_eq!(up(&mut scene, &query(1, &name)).0, Verdict::Accept);
    assert_eq!(told(&mut scene)[0].len(), 253);
}

#[test]
fn a_dot_in_a_label_is_no_end_of_it() {
    let message =
        query(2, &[&b"\x0cevil.example\0\0\x01\0\x01\x03a\\b\xc0\x0c\0\x01\0\x01"[..]].concat());
    let mut quiet = scene(NAMES, "");
    assert_eq!(up(&mut quiet, &message), (Verdict::Accept, message.clone()));
    assert_eq!(told(&mut quiet), ["evil\\.example", "a\\\\b.evil\\.example"]);
    // What is written anew is the same message.
    let mut anew = scene("table.remove(query.question, 1)", "");
    let first = query(1, b"\x03a\\b\x0cevil.example\0\0\x01\0\x01");
    assert_eq!(up(&mut anew, &message), (Verdict::Accept, first));
}

#[test]
fn a_message_of_pointers_costs_no_more_than_its_length() {
    // A chain of pointers, each to the one before, and hundreds of names that begin at its end.
    let mut text = b"\x01a\0\0\x01\0\x01".to_vec();
    let mut last = 12_u16;
    for _ in 0..120 {
        let here = u16::try_from(12 + text.len()).unwrap();
        text.extend((0xc000 | last).to_be_bytes());
        text.extend([0, 1, 0, 1]);
        last = here;
    }
    for _ in 0..900 {
        text.extend((0xc000 | last).to_be_bytes());
        text.extend([0, 1, 0, 1]);
    }
    let mut cheap = scene("print(#query.question, query.question[1021].name)", "");
    assert_eq!(up(&mut cheap, &query(1021, &text)).0, Verdict::Accept);
    assert_eq!(told(&mut cheap), ["1021\ta"]);
    // And a long name, pointed at as often as there is room for.
    let label = [&b"\x01x"[..]].concat().repeat(126);
    let text = [&label[..], b"\0\0\x01\0\x01", &b"\xc0\x0c\0\x01\0\x01".repeat(1000)].concat();
    let mut cheap = scene("print(#query.question, #query.question[1001].name)", "");
    assert_eq!(up(&mut cheap, &query(1001, &text)).0, Verdict::Accept);
    assert_eq!(told(&mut cheap), ["1001\t251"]);
}

#[test]
fn questions_that_wait_fill_no_memory() {
    let mut scene = scene("", "");
    let many = query(280, &b"\0\0\x01\0\x01".repeat(280));
    for port in 1..=50 {
        for id in 0..40_u16 {
            let mut message = many.clone();
            message.splice(..2, id.to_be_bytes());
            let frame = udp((CLIENT.0, port), SERVER, &message);
            assert_eq!(scene.show_frame(Stage::Datagram, &frame).0, Verdict::Accept);
        }
    }
    let memory = scene.policy.used_memory_bytes();
    assert!(memory < 80 << 20, "{memory}");
    assert_eq!(told(&mut scene), [""; 0]);
    assert_eq!(up(&mut scene, &query(1, WWW)).0, Verdict::Accept);
    let answer = [&header(true, [1, 0, 0, 0])[..], WWW].concat();
    assert_eq!(down(&mut scene, &answer).0, Verdict::Accept);
    assert_eq!(
        down(&mut scene, &answer).0,
        Verdict::Accept,
        "what was asked twice is answered twice"
    );
}

#[test]
fn what_a_rule_asks_by_another_number_is_answered_by_that() {
    let mut scene = scene("query.id = 7", "print(response.id) response.id = 0x1234");
    let (_, sent) = up(&mut scene, &query(1, WWW));
    assert_eq!(sent.get(..2), Some(&[0, 7][..]));
    let mut answer = [&header(true, [1, 0, 0, 0])[..], WWW].concat();
    let right = answer.clone();
    answer.splice(..2, [0, 7]);
    assert_eq!(down(&mut scene, &answer), (Verdict::Accept, right));
    assert_eq!(told(&mut scene), ["7"]);
}

#[test]
fn a_message_written_anew_keeps_what_was_not_changed() {
    // Two texts, a name in the data of a type that nobody uses, and a record of an update without data.
    let records = [
        &b"\xc0\x0c\0\x10\0\x01\0\0\0\x3c\0\x05\x01a\x02bc"[..],
        b"\xc0\x0c\0\x09\0\x01\0\0\0\x3c\0\x02\xc0\x10",
        b"\xc0\x0c\0\x01\0\xff\0\0\0\0\0\0",
    ]
    .concat();
    let answer = [&header(true, [1, 3, 0, 0])[..], WWW, &records].concat();
    let show = "for _, each in ipairs(response.answer) do
        print(each.name, each.type, each.text or each.newname or each.data) end";
    let mut quiet = scene("", show);
    up(&mut quiet, &query(1, WWW));
    assert_eq!(down(&mut quiet, &answer), (Verdict::Accept, answer.clone()));
    let lines = ["www.example\tTXT\tabc", "www.example\tMR\texample", "www.example\tA\t"];
    assert_eq!(told(&mut quiet), lines);
    let mut anew = scene("", "response.question[1].name = 'a.example'");
    up(&mut anew, &query(1, WWW));
    let records = [
        &b"\x03www\xc0\x0e\0\x10\0\x01\0\0\0\x3c\0\x05\x01a\x02bc"[..],
        b"\xc0\x1b\0\x09\0\x01\0\0\0\x3c\0\x02\xc0\x0e",
        b"\xc0\x1b\0\x01\0\xff\0\0\0\0\0\0",
    ]
    .concat();
    let question = b"\x01a\x07example\0\0\x01\0\x01";
    let written = [&header(true, [1, 3, 0, 0])[..], question, &records].concat();
    assert_eq!(down(&mut anew, &answer), (Verdict::Accept, written));
}
