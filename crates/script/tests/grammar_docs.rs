//! Every example of docs/grammar.md runs, over a conversation and over noise.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::Path;

use common::{Scene, load};
use tollgate_policy::Verdict;
use tollgate_script::RuleErrors;
use tollgate_wire::Direction::{ToClient, ToServer};

fn examples() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/grammar.md");
    let page = std::fs::read_to_string(path).unwrap();
    page.split("```lua\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_example_of_the_page_runs_without_an_error() {
    let examples = examples();
    assert!(examples.len() >= 3, "{}", examples.len());
    for example in examples {
        let rules = load(&example).unwrap_or_else(|error| panic!("{error}\n{example}"));
        for (up, down) in [("get all\r\n", "200 ok\r\n"), ("\0\u{1}", "500 no\r\n")] {
            let mut scene = Scene::of(&rules);
            scene.open();
            if scene.data_in(ToServer, &[up.as_bytes()], false) == Verdict::Accept {
                scene.data_in(ToClient, &[down.as_bytes()], false);
            }
            scene.end();
            let errors = scene.policy.rule_errors();
            assert_eq!(errors, RuleErrors::default(), "{:?}\n{example}", scene.said());
        }
    }
}

#[test]
fn the_first_example_does_what_it_says() {
    let mut wire = common::wire::Wire::new(&examples()[0]);
    wire.scene.open();
    wire.push(b"get al", false);
    wire.push(b"l\r\n", false);
    wire.got("get nothing\r\n");
    assert_eq!(
        wire.said(),
        ["debug tcp: selecting ask dissector on flow", "info external: 198.18.0.1 asks for all"]
    );
}
