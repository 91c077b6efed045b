//! Streamed rules: coroutines over the bytes of a direction.
mod common;

use common::Scene;
use tollgate_policy::Verdict;
use tollgate_script::{Limits, OnRuleError, Settings};
use tollgate_wire::Direction::ToClient;

fn streamed(body: &str) -> String {
    format!(
        "haka.rule{{ hook = tcp_connection.events.receive_data, options = {{ streamed = true }},
        eval = function(flow, iter, dir)\n{body}\nend }}"
    )
}

#[test]
fn a_read_may_span_segments() {
    let mut scene = Scene::new(&streamed(
        "local head = iter:sub(5)
        print(dir, head:asstring(), #head, head[5], iter:available())
        print(iter:check_available(2))
        print(iter:sub(1):asstring(), iter:advance(3), iter.iseof)
        print(iter:sub(10):asstring(), iter.iseof, iter:sub(1), iter:wait(), iter:check_available(1))",
    ));
    for (chunk, end) in [
        (b"a".as_slice(), false),
        (b"bc", false),
        (b"def", false),
        (b"ghi", false),
        (b"jkl", false),
    ] {
        assert_eq!(scene.data(&[chunk], end), Verdict::Accept);
    }
    assert_eq!(scene.said(), ["up\tabcde\t5\t101\t1", "true\t4", "f\t3\tfalse"]);
    scene.data(&[], true);
    assert_eq!(scene.said(), ["jkl\ttrue\tnil\tfalse\tfalse\t0"]);
}

#[test]
fn wait_and_foreach_available_end_with_the_stream() {
    let mut scene = Scene::new(&streamed(
        "for part in iter:foreach_available() do print(part:asstring()) end print('over', iter:wait())",
    ));
    scene.data(&[b"ab", b"cd"], false);
    scene.data(&[b"e"], true);
    assert_eq!(scene.said(), ["abcd", "e", "over\tfalse"]);
    let mut scene = Scene::new(&streamed(
        "while iter:wait() do print(iter:sub('available'):asstring()) end print('over')",
    ));
    scene.data(&[b"ab"], false);
    scene.data(&[], true);
    assert_eq!(scene.said(), ["ab", "over"]);
}

#[test]
fn all_reads_to_the_end() {
    let mut scene = Scene::new(&streamed("print(iter:sub('all'):asstring())"));
    scene.data(&[b"ab"], false);
    scene.data(&[b"cd"], true);
    assert_eq!(scene.said(), ["abcd"]);
}

#[test]
fn an_empty_stream_still_starts_the_rule_at_its_end() {
    let mut scene = Scene::new(&streamed("print('started', iter:wait())"));
    scene.data(&[], true);
    assert_eq!(scene.said(), ["started\tfalse"]);
}

#[test]
fn each_direction_and_flow_has_its_own_coroutine() {
    let mut scene = Scene::new(&streamed("print(dir, iter:sub(4):asstring())"));
    scene.data(&[b"up"], false);
    scene.data_in(ToClient, &[b"down"], false);
    scene.data(&[b"up"], false);
    scene.next();
    scene.data(&[b"UPUP"], false);
    assert_eq!(scene.said(), ["down\tdown", "up\tupup", "up\tUPUP"]);
}

#[test]
fn a_rule_that_has_returned_is_not_called_again() {
    let mut scene = Scene::new(&streamed("print('once')"));
    scene.data(&[b"x"], false);
    scene.data(&[b"x"], false);
    assert_eq!(scene.said(), ["once"]);
}

#[test]
fn verdicts_and_errors_of_a_streamed_rule_count() {
    let mut scene = Scene::new(&streamed("iter:sub(3) flow:reset()"));
    assert_eq!(scene.data(&[b"xx"], false), Verdict::Accept);
    assert_eq!(scene.data(&[b"x"], false), Verdict::Reset);
    let mut scene = Scene::new(&streamed("iter:sub(3)\nerror('late')"));
    assert_eq!(scene.data(&[b"xx"], false), Verdict::Accept);
    assert_eq!(scene.data(&[b"x"], false), Verdict::Drop);
    let said = scene.said();
    assert_eq!(said[0], "error tcp: test.lua:4: late");
    assert!(said[1].contains("\ttest.lua:4: in function <test.lua:2>"), "{said:?}");
}

#[test]
fn a_streamed_rule_that_failed_and_was_passed_over_stays_dead() {
    let settings = Settings { on_rule_error: OnRuleError::Pass, ..Settings::default() };
    let mut scene = Scene::with(&streamed("error('once')"), settings);
    assert_eq!(scene.data(&[b"x"], false), Verdict::Accept);
    assert_eq!(scene.data(&[b"x"], false), Verdict::Accept);
    assert_eq!(scene.said().len(), 2);
}

#[test]
fn what_is_left_unread_is_bounded() {
    let limits = Limits { unread_bytes_max: 1000, ..Limits::default() };
    let mut scene =
        Scene::with(&streamed("iter:sub('all')"), Settings { limits, ..Settings::default() });
    assert_eq!(scene.data(&[&[0; 900]], false), Verdict::Accept);
    assert_eq!(scene.data(&[&[0; 101]], false), Verdict::Drop);
    assert!(scene.said()[0].contains("left more than 1000 bytes unread"));
    // Bytes passed over are not kept.
    let mut scene = Scene::with(
        &streamed("iter:advance(5000) print('there')"),
        Settings { limits, ..Settings::default() },
    );
    for _ in 0..6 {
        assert_eq!(scene.data(&[&[0; 900]], false), Verdict::Accept);
    }
    assert_eq!(scene.said(), ["there"]);
}

#[test]
fn a_pcall_in_a_streamed_rule_may_sleep() {
    let mut scene =
        Scene::new(&streamed("print(pcall(function() return iter:sub(4):asstring() end))"));
    scene.data(&[b"ab"], false);
    scene.data(&[b"cd"], false);
    assert_eq!(scene.said(), ["true\tabcd"]);
}

#[test]
fn a_stream_is_read_in_its_own_coroutine_only() {
    let mut scene = Scene::new(&streamed(
        "print(coroutine.resume(coroutine.create(function() iter:sub(9) end)))",
    ));
    scene.data(&[b"ab"], false);
    let said = scene.said();
    assert!(
        said[0].ends_with("a stream can only be read in the coroutine of its own rule"),
        "{said:?}"
    );
}

#[test]
fn plain_and_streamed_rules_share_an_event_in_order() {
    let mut scene = Scene::new(&format!(
        "{}\nhaka.rule{{ hook = tcp.events.receive_data, eval = function(flow, current) print('plain', #current) end }}",
        streamed("while iter:wait() do print('streamed', #iter:sub()) end")
    ));
    scene.data(&[b"ab"], false);
    scene.data(&[b"c"], false);
    assert_eq!(scene.said(), ["streamed\t2", "plain\t2", "streamed\t1", "plain\t1"]);
}
