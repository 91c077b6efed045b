//! `regexp/pcre`: on strings, parts and streams, and what is held while a match may follow.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use common::wire::Wire;
use common::{Scene, load};
use tollgate_policy::Verdict;
use tollgate_script::{Limits, Settings};

/// What a script prints while it loads.
fn printed(text: &str) -> Vec<String> {
    let rules = load(text).unwrap_or_else(|error| unreachable!("{error}"));
    rules.messages().iter().map(|log| log.message.clone()).collect()
}

fn fault(text: &str) -> String {
    load(text).unwrap_err().to_string().lines().next().unwrap().to_owned()
}

/// A streamed rule with `re`, an expression, and `iter`.
fn streamed(pattern: &str, body: &str) -> Wire {
    Wire::new(&format!(
        "local rem = require('regexp/pcre')
        local re = rem.re:compile([[{pattern}]])
        haka.rule{{ hook = tcp_connection.events.receive_data,
            options = {{ streamed = true, edits = true }},
            eval = function(flow, iter, direction) {body} end }}"
    ))
}

#[test]
fn strings_give_the_text_and_its_offsets() {
    let said = printed(
        "local rem = require('regexp/pcre')
        local re = rem.re:compile('%d+')
        print(re:match('abc 123 def'))
        print(re:match('abc'))
        print(rem.re:match('B+', 'abbc', rem.re.CASE_INSENSITIVE))
        print(rem.re:match('b + # some', 'abbc', rem.re.EXTENDED))
        print(rem.re:match('^c$', 'ab\\nc\\nd'))
        print(rem.re:match('100%%', '100%'))",
    );
    assert_eq!(said, ["123\t4\t7", "nil", "bb\t1\t3", "bb\t1\t3", "c\t3\t4", "100%\t0\t4"]);
}

#[test]
fn parts_give_a_part_that_can_be_changed() {
    let said = printed(
        "local re = require('regexp/pcre').re:compile('w[a-z]+')
        local buffer = haka.vbuffer_from('hello world, wide')
        print(re:match(buffer))
        local part = re:match(buffer:sub(7))
        print(part, re:match(buffer:sub(0, 6)))
        part:replace(haka.vbuffer_from('y'))
        print(buffer)",
    );
    assert_eq!(said, ["world", "wide\tnil", "hello world, y"]);
}

#[test]
fn an_iterator_moves_to_the_end_of_the_match() {
    let said = printed(
        "local re = require('regexp/pcre').re:compile('%d+')
        local iter = haka.vbuffer_from('ab 12 cd 345'):pos('begin')
        print(re:match(iter), iter.meter)
        print(re:match(iter, true), iter.meter)
        print(re:match(iter, true), iter.meter, iter.iseof)",
    );
    assert_eq!(said, ["true\t5", "345\t12", "nil\t12\ttrue"]);
}

#[test]
fn sinks_are_fed_in_pieces() {
    let said = printed(
        "local re = require('regexp/pcre').re:compile('ab+')
        local sink = re:create_sink()
        print(sink:feed('xxa'), sink:ispartial())
        print(sink:feed(haka.vbuffer_from('bb')), sink:ispartial())
        print(sink:feed('c', true))
        print(re:create_sink():feed('none', true))",
    );
    assert_eq!(said, ["false\ttrue", "false\ttrue", "true\t2\t5", "false"]);
}

#[test]
fn a_match_across_segments_is_held_and_replaced() {
    let mut wire = streamed(
        "for[a-z]*den",
        "local found = re:match(iter, true)
        while found do
            found:replace(haka.vbuffer_from('allowed'))
            found = re:match(iter, true)
        end",
    );
    for (segment, out, held) in [
        ("this is for", "this is ", "for"),
        ("bid", "this is ", "forbid"),
        ("den, and fo", "this is allowed, and ", "fo"),
        ("od is not", "this is allowed, and food is not", ""),
    ] {
        wire.push(segment.as_bytes(), false);
        wire.got(out);
        assert_eq!(wire.held(), held.as_bytes());
    }
    assert_eq!(wire.said(), [""; 0]);
}

#[test]
fn without_a_part_nothing_waits_but_a_match_that_is_certain() {
    let mut wire = streamed("bad+", "if re:match(iter) then print('found', iter.meter) end");
    for (segment, out, held) in
        [("a b", "a b", ""), ("a", "a ba", ""), ("d", "a ba", "d"), ("d.", "a badd.", "")]
    {
        wire.push(segment.as_bytes(), false);
        wire.got(out);
        assert_eq!(wire.held(), held.as_bytes());
    }
    assert_eq!(wire.said(), ["found\t6"]);
}

#[test]
fn a_verdict_comes_before_the_last_byte_has_left() {
    let mut wire = streamed("FORBIDDEN", "if re:match(iter) then flow:drop() end");
    assert_eq!(wire.push(b"harmless FORB", false), Verdict::Accept);
    assert_eq!(wire.push(b"IDDEN", false), Verdict::Drop);
    wire.got("harmless FORB");
}

#[test]
fn readonly_lets_bytes_go_and_keeps_a_copy() {
    let mut wire = streamed(
        "wor[a-z]+d",
        "local found = re:match(iter, true, true)
        while found do print(found:asstring()) found = re:match(iter, true, true) end",
    );
    for (segment, out) in [
        ("hello wor", "hello wor"),
        ("ry, wo", "hello worry, wo"),
        ("rl", "hello worry, worl"),
        ("d; worked", "hello worry, world; worked"),
    ] {
        wire.push(segment.as_bytes(), false);
        wire.got(out);
    }
    wire.push(b"", true);
    assert_eq!(wire.said(), ["world", "worked"]);
}

#[test]
fn bytes_that_passed_unseen_complete_no_match() {
    let mut scene = Scene::new(
        "local re = require('regexp/pcre').re:compile('abc')
        haka.rule{ hook = tcp_connection.events.receive_data, options = { streamed = true },
            eval = function(flow, iter) print(re:match(iter, true)) end }",
    );
    scene.data(&[b"ab"], false);
    scene.offsets[0] += 10;
    scene.data(&[b"c"], false);
    scene.data(&[b"abc"], true);
    assert_eq!(scene.said(), ["abc"]);
}

#[test]
fn every_cut_of_a_stream_gives_the_same_matches() {
    let text = b"a1b22,,c333\nd4444";
    for cut in 1..text.len() {
        for second in cut..text.len() {
            let mut wire = streamed(
                "[a-z][0-9]+",
                "local found = re:match(iter, true)
                while found do print(found:asstring()) found = re:match(iter, true) end",
            );
            wire.push(&text[..cut], false);
            wire.push(&text[cut..second], false);
            wire.push(&text[second..], true);
            assert_eq!(wire.said(), ["a1", "b22", "c333", "d4444"]);
            assert_eq!(wire.out, text);
        }
    }
}

#[test]
fn a_bad_expression_is_a_fault_with_line_and_position() {
    let of = |pattern: &str| {
        fault(&format!("local rem = require('regexp/pcre')\nrem.re:compile('{pattern}')"))
    };
    assert_eq!(of("a(b"), "test.lua:2: regexp: 'a(b': unclosed group at position 2");
    assert_eq!(
        of("(a)%1"),
        "test.lua:2: regexp: '(a)%1': back-references cannot be matched in one pass and are not \
         supported at position 4"
    );
    assert!(of("x(?=y)").contains("look-around cannot be matched in one pass"));
    assert_eq!(
        of("((a{1000}){1000}){1000}"),
        "test.lua:2: regexp: '((a{1000}){1000}){1000}': too large: compiled, it would take more \
         than 1048576 bytes"
    );
    assert!(fault("require('regexp/pcre').re:compile(1)").contains("an expression expected"));
    assert!(fault("require('regexp/pcre').re:compile('a', 4)").contains("flags are"));
    assert!(fault("require('regexp/pcre').re:compile('a'):find('a')").contains("unknown field"));
}

#[test]
fn matching_without_end_costs_the_connection() {
    // Each byte makes a state that was never seen before.
    let text = "local rem = require('regexp/pcre')
        local re = rem.re:compile('(?s:a.{500}b.{500})c')
        haka.rule{ hook = tcp_connection.events.receive_data,
            eval = function(flow, current)
                while true do pcall(function() return re:match(current) end) end
            end }";
    let limits = Limits { instructions_max: 100_000, ..Limits::default() };
    let mut scene = Scene::with(text, Settings { limits, ..Settings::default() });
    let noise: Vec<u8> =
        (0..9000_u32).map(|at| b"ab"[(at.wrapping_mul(at) >> 5) as usize % 2]).collect();
    assert_eq!(scene.data(&[&noise], false), Verdict::Drop);
    assert_eq!(scene.policy.rule_errors().instructions, 1);
}
