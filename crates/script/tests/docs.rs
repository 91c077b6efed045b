//! Every example of docs/rules.md and docs/matching.md loads and runs.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;

use common::{Scene, load};
use tollgate_script::RuleErrors;
use tollgate_wire::Direction;

#[test]
fn every_example_of_the_rules_page_runs_without_an_error() {
    every_example_runs("rules.md", 7);
}

#[test]
fn every_example_of_the_page_about_matching_runs_without_an_error() {
    every_example_runs("matching.md", 5);
}

fn every_example_runs(page: &str, examples_min: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let page = std::fs::read_to_string(path).unwrap();
    let examples: Vec<&str> =
        page.split("```lua\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= examples_min, "{}", examples.len());
    for example in examples {
        let rules = load(example).unwrap_or_else(|error| unreachable!("{error}\n{example}"));
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
            let errors = scene.policy.rule_errors();
            assert_eq!(errors, RuleErrors::default(), "{:?}\n{example}", scene.said());
        }
    }
}
