//! Rules that take the place of others under the same connections.
#![expect(clippy::unwrap_used, reason = "tests: a panic is how they fail")]
mod common;

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use common::Scene;
use tollgate_policy::{Generations, Living, Verdict};
use tollgate_script::{LuaPolicy, Rules, Settings};

/// Rules that say their name, and how often a connection was shown to them.
fn named(name: &str) -> Rules {
    let text = "haka.rule{ hook = tcp_connection.events.receive_data,
        eval = function(flow) flow.seen = (flow.seen or 0) + 1 print(NAME, flow.seen) end }
        haka.rule{ hook = haka.events.started, eval = function() print(NAME, 'starts') end }
        haka.rule{ hook = haka.events.exiting, eval = function() print(NAME, 'exits') end }";
    rules(&text.replace("NAME", &format!("'{name}'")))
}

fn rules(text: &str) -> Rules {
    Rules::parse(Path::new("test.lua"), text, Settings::default()).unwrap()
}

fn show(scene: &mut Scene<Generations<LuaPolicy>>) -> Vec<String> {
    assert_eq!(scene.data(&[b"x"], false), Verdict::Accept);
    scene.said()
}

#[test]
fn a_connection_that_moves_begins_anew_and_keeps_a_number_of_its_own() {
    let mut scene = Scene::of(&named("old")).exchangeable();
    scene.open();
    assert_eq!(show(&mut scene), ["old\t1"]);
    assert_eq!(show(&mut scene), ["old\t2"]);
    let (offsets, tag) = (scene.offsets, scene.tag);
    scene.exchange(&named("new"), Living::Move);
    assert_eq!(scene.said(), ["old\texits"]);
    scene.next();
    scene.open();
    assert_eq!(show(&mut scene), ["new\t1"]);
    assert_ne!(scene.tag, tag, "or both would be one flow object");
    scene.end();

    (scene.id, scene.tag, scene.offsets) = (1, tag, offsets);
    assert_eq!(show(&mut scene), ["new\t1"]);
    assert_eq!(show(&mut scene), ["new\t2"]);
}

#[test]
fn a_connection_that_stays_keeps_what_its_rules_know() {
    let mut scene = Scene::of(&named("old")).exchangeable();
    scene.open();
    show(&mut scene);
    scene.exchange(&named("new"), Living::Keep);
    assert_eq!(show(&mut scene), ["old\t2"]);
    scene.end();
    assert_eq!(scene.said(), ["old\texits"]);
}

#[test]
fn a_streamed_rule_of_the_new_set_reads_on_from_where_the_connection_is() {
    let streamed = "haka.rule{ hook = tcp_connection.events.receive_data,
        options = { streamed = true },
        eval = function(flow, iter)
            while true do
                local word = iter:sub(4)
                if not word then return end
                print(word:asstring())
            end
        end }";
    let mut scene = Scene::of(&rules(streamed)).exchangeable();
    scene.open();
    scene.data(&[b"oneAtw"], false);
    assert_eq!(scene.said(), ["oneA"]);
    scene.exchange(&rules(streamed), Living::Move);
    scene.data(&[b"nextword"], false);
    assert_eq!(scene.said(), ["next", "word"]);
}

#[test]
fn errors_are_counted_over_all_rules_that_a_worker_had() {
    let failing = "haka.rule{ hook = tcp_connection.events.receive_data,
        eval = function() error('no') end }";
    let mut scene = Scene::of(&rules(failing)).exchangeable();
    scene.data(&[b"x"], false);
    scene.exchange(&rules(failing), Living::Move);
    scene.data(&[b"x"], false);
    assert_eq!(scene.policy.current().rule_errors().errors, 2);
}

#[test]
fn the_worker_breathes_while_a_long_script_loads() {
    let busy = rules("local sum = 0 for i = 1, 10000000 do sum = sum + i end");
    let first = rules("").policy().unwrap();
    let breaths = Rc::new(Cell::new(0));
    let counted = Rc::clone(&breaths);
    busy.successor(first.lineage(), move || counted.set(counted.get() + 1)).unwrap();
    // Every 5000 instructions: two a round, so some 4000.
    assert!(breaths.get() > 3_000, "{}", breaths.get());
}
