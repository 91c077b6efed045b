//! Every example of docs/rules.md, docs/matching.md and docs/http.md loads and runs.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;

use common::frames::{datagram, tcp, udp};
use common::{Scene, load};
use tollgate_policy::Verdict;
use tollgate_script::RuleErrors;
use tollgate_wire::Direction;

#[test]
fn every_example_of_the_rules_page_runs_without_an_error() {
    every_example_runs("rules.md", 14);
}

#[test]
fn every_example_of_the_page_about_matching_runs_without_an_error() {
    every_example_runs("matching.md", 5);
}

#[test]
fn every_example_of_the_page_about_http_runs_without_an_error() {
    for example in examples("http.md", 3) {
        let rules = load(&example).unwrap_or_else(|error| unreachable!("{error}\n{example}"));
        for server in ["192.168.20.9:80", "[fd00::2]:8080"] {
            let client = server.replace("9:80", "5:4000").replace("2]:8080", "1]:4000");
            let mut scene = Scene::of(&rules).between(&client, server);
            scene.open();
            let request = b"GET /a HTTP/1.1\r\nUser-Agent: me\r\nCookie: a=b\r\n\r\n";
            let response = b"HTTP/1.1 500 Oh\r\nServer: s\r\nContent-Length: 10\r\n\r\nhellworldo";
            assert_eq!(scene.data(&[request], false), Verdict::Accept, "{example}");
            assert_eq!(scene.data_in(Direction::ToClient, &[response], true), Verdict::Accept);
            scene.end();
            let errors = scene.policy.rule_errors();
            assert_eq!(errors, RuleErrors::default(), "{:?}\n{example}", scene.said());
        }
    }
}

/// One page an event, and none for what is no event.
#[test]
fn every_event_has_a_page_whose_example_runs_without_an_error() {
    let library = tollgate_lint::Library::new();
    let mut events = Vec::new();
    for class in library.classes() {
        let Some(module) = class.strip_suffix(".events") else { continue };
        for event in library.fields(class) {
            // Other names of events of connections.
            if module != "tcp" || event.ends_with("_packet") {
                events.push(format!("{module}.{event}"));
            }
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules");
    let mut pages: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    events.sort();
    assert_eq!(pages, events.iter().map(|event| format!("{event}.md")).collect::<Vec<_>>());
    let index = std::fs::read_to_string(folder.join("../rules.md")).unwrap();
    for event in events {
        let page = format!("rules/{event}.md");
        assert!(index.contains(&format!("({page})")), "{page} is not in the table");
        let (module, name) = event.split_once('.').unwrap();
        let hook = format!("hook = {module}.events.{name},");
        assert!(examples(&page, 1)[0].contains(&hook), "{page}: {hook}");
        every_example_runs(&page, 1);
    }
}

fn examples(page: &str, least: usize) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let page = std::fs::read_to_string(path).unwrap();
    let parts = page.split("```lua\n").skip(1);
    let examples: Vec<_> = parts.map(|rest| rest.split("```").next().unwrap().to_owned()).collect();
    assert!(examples.len() >= least, "{}", examples.len());
    examples
}

fn every_example_runs(page: &str, examples_min: usize) {
    for example in examples(page, examples_min) {
        let rules = load(&example).unwrap_or_else(|error| unreachable!("{error}\n{example}"));
        for (client, server) in [
            ("192.168.20.5:4000", "192.168.20.9:80"),
            ("10.0.0.1:4000", "192.168.20.9:8080"),
            ("[fd00::1]:4000", "[fd00::2]:443"),
        ] {
            let mut scene = Scene::of(&rules).between(client, server);
            scene.open();
            for direction in Direction::BOTH {
                scene.packet(direction, b"an attack");
                scene.data_in(direction, &[b"an ", b"att"], false);
                scene.data_in(direction, &[b"ack"], true);
            }
            scene.end();
            for frame in packets() {
                scene.cross(&frame);
                scene.made();
            }
            let errors = scene.policy.rule_errors();
            assert_eq!(errors, RuleErrors::default(), "{:?}\n{example}", scene.said());
        }
    }
}

/// One of each protocol, and a question of DNS with its answer.
fn packets() -> Vec<Vec<u8>> {
    let (four, other) = ("192.168.20.9", "198.18.0.2");
    let question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x04evil\x07example\0\0\x01\0\x01";
    let answer = b"\0\x07\x81\x80\0\x01\0\x01\0\0\0\0\x04good\x07example\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\x01\0\0\0\x04\x0a\0\0\x01";
    let good = [&question[..12], b"\x04good", &question[17..]].concat();
    vec![
        vec![0; 60],
        tcp((four, 4000), (other, 23), b"hello"),
        tcp(("fd00::1", 4000), ("fd00::2", 80), &[b'x'; 1420]),
        udp((four, 4000), (other, 514), b"a line"),
        udp((four, 4000), (other, 53), &good),
        udp((other, 53), (four, 4000), answer),
        udp((four, 4001), (other, 53), question),
        datagram(four, other, 1, &[8, 0, 0, 0, 1, 2, 3]),
        datagram("fd00::1", "fd00::2", 58, &[128, 0, 0, 0, 1, 2, 3]),
    ]
}
