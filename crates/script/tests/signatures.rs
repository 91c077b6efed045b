//! `haka.patterns`: sets of signatures, on strings and on streams.

mod common;

use common::{Scene, load};
use tollgate_policy::Verdict;
use tollgate_wire::Direction;

fn fault(text: &str) -> String {
    let error = load(text).err().map(|error| error.to_string()).unwrap_or_default();
    error.lines().next().unwrap_or_default().to_owned()
}

/// A rule of `receive_data` over a set `bad`, with a function that shows hits.
fn scene(set: &str, body: &str) -> Scene {
    Scene::new(&format!(
        "local bad = haka.patterns{set}
        local function show(hits)
            if not hits then return end
            for _, hit in ipairs(hits) do
                print(hit.name .. ' ' .. tostring(hit.from) .. ' ' .. hit.to)
            end
        end
        haka.rule{{ hook = tcp_connection.events.receive_data,
            eval = function(flow, current, direction) {body} end }}"
    ))
}

const SET: &str = "{
    shell = '/bin/sh',
    query = { regexp = 'union%s+select', nocase = true },
    agent = { literal = 'EvilBot', nocase = true },
    [7] = 'seven',
}";

#[test]
fn a_part_gives_names_and_places() {
    let mut scene = scene(SET, "show(bad:match(current))");
    scene.data(&[b"evilbot /bin/sh UNION  SELECT /bin/sh seven"], false);
    assert_eq!(scene.said(), ["agent 0 7", "shell 8 15", "query nil 29", "7 38 43"]);
    scene.data(&[b"nothing"], false);
    assert_eq!(scene.said(), [""; 0]);
}

#[test]
fn a_stream_finds_what_segments_cut_and_tells_each_name_once() {
    let mut scene = scene(SET, "show(bad:stream(flow, direction):feed(current))");
    for segment in ["xx/bi", "n/sh /bin/sh un", "ion", " sele", "ct", "EVILBOT"] {
        scene.data(&[segment.as_bytes()], false);
    }
    assert_eq!(scene.said(), ["shell 2 9", "query nil 30", "agent 30 37"]);
    // The other direction is another stream, and so is another connection's.
    scene.data_in(Direction::ToClient, &[b"n/sh /bin/sh"], false);
    assert_eq!(scene.said(), ["shell 5 12"]);
    scene.next();
    scene.data(&[b"/bin/sh"], false);
    assert_eq!(scene.said(), ["shell 0 7"]);
}

#[test]
fn every_match_is_told_if_that_is_asked_for() {
    let mut scene = scene(
        "({ 'ab', x = { regexp = 'b+' } }, { every = true })",
        "show(bad:stream(flow, direction):feed(current))",
    );
    scene.data(&[b"abb"], false);
    scene.data(&[b"ab"], false);
    assert_eq!(scene.said(), ["1 0 2", "x nil 2", "x nil 3", "1 3 5", "x nil 5"]);
}

#[test]
fn streamed_rules_feed_a_stream_of_their_own() {
    let mut scene = Scene::new(
        "local bad = haka.patterns{ word = 'forbidden' }
        haka.rule{ hook = tcp_connection.events.receive_data, options = { streamed = true },
            eval = function(flow, iter)
                local stream = bad:stream()
                for part in iter:foreach_available() do
                    if stream:feed(part) then print('at', stream.found.word) flow:drop() end
                end
            end }",
    );
    assert_eq!(scene.data(&[b"this is forb"], false), Verdict::Accept);
    assert_eq!(scene.data(&[b"idden"], false), Verdict::Drop);
    assert_eq!(scene.said(), ["at\t17"]);
}

#[test]
fn bytes_that_passed_unseen_complete_no_match_and_places_are_the_streams() {
    let mut scene = scene("{ 'abc' }", "show(bad:stream(flow, direction):feed(current))");
    scene.data(&[b"ab"], false);
    scene.offsets[0] += 10;
    scene.data(&[b"c abc"], false);
    assert_eq!(scene.said(), ["1 14 17"]);
}

#[test]
fn a_change_by_a_rule_does_not_hide_what_is_cut() {
    let mut scene = Scene::new(
        "local bad = haka.patterns{ 'abcd' }
        haka.rule{ hook = tcp_connection.events.receive_data, options = { edits = true },
            eval = function(flow, current, direction)
                if bad:stream(flow, direction):feed(current) then print('found') end
            end }
        haka.rule{ hook = tcp_connection.events.receive_data,
            eval = function(flow, current) current:sub(0, 1):replace(haka.vbuffer_from('++')) end }",
    );
    scene.data(&[b"x", b"ab"], false);
    scene.data(&[b"cd"], false);
    assert_eq!(scene.said(), ["found"]);
}

#[test]
fn workers_share_what_was_compiled() {
    let rules = load("bad = haka.patterns{ 'a', { regexp = 'b+' } }");
    assert!(rules.is_ok_and(|rules| rules.policy().is_ok() && rules.policy().is_ok()));
}

#[test]
fn a_bad_signature_is_a_fault_that_names_it() {
    assert_eq!(
        fault("haka.patterns{ good = 'a', wrong = { regexp = 'a(' } }"),
        "test.lua:1: haka.patterns: 'wrong': unclosed group at position 2"
    );
    assert_eq!(
        fault("haka.patterns{ wrong = '' }"),
        "test.lua:1: haka.patterns: 'wrong': an empty literal is everywhere"
    );
    assert!(fault("haka.patterns{ wrong = 1 }").contains("a literal or a table expected"));
    assert!(fault("haka.patterns{ wrong = { regex = 'a' } }").contains("did you mean regexp"));
    assert!(fault("haka.patterns{ wrong = {} }").contains("either 'literal' or 'regexp'"));
    assert!(fault("haka.patterns({ 'a' }, { all = true })").contains("the only option is 'every'"));
    assert!(fault("haka.patterns('a')").contains("a table expected, got string"));
}
