//! Streamed rules: coroutines over the bytes of a direction.
mod common;

use common::Scene;
use common::wire::Wire;
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

#[test]
fn a_word_cut_by_segments_is_replaced_without_a_mark() {
    let mut wire = Wire::new(&streamed(
        "while true do
            local word = iter:sub(5)
            if not word then return end
            if word:asstring() == 'world' then word:replace(haka.vbuffer_from('wire')) end
        end",
    ));
    for (bytes, held, got) in [
        ("hello", "", "hello"),
        ("wo", "wo", "hello"),
        ("r", "wor", "hello"),
        ("ldworl", "worl", "hellowire"),
        ("d", "", "hellowirewire"),
        ("end", "end", "hellowirewire"),
    ] {
        assert_eq!(wire.push(bytes.as_bytes(), false), Verdict::Accept);
        assert_eq!(wire.held(), held.as_bytes());
        wire.got(got);
    }
    wire.push(b"", true);
    wire.got("hellowirewireend");
}

#[test]
fn a_mark_holds_everything_behind_it_until_it_is_taken_back() {
    let mut wire = Wire::new(&streamed(
        "iter:advance(2)
        iter:mark()
        iter:advance(6)
        iter:unmark()
        iter:wait()",
    ));
    wire.push(b"abcd", false);
    wire.got("ab");
    wire.push(b"ef", false);
    wire.got("ab");
    wire.push(b"ghij", false);
    wire.got("abcdefghij");
}

#[test]
fn what_is_marked_can_still_be_changed_when_more_has_come() {
    let mut wire = Wire::new(&streamed(
        "local place = iter:copy()
        place:mark()
        iter:advance(6)
        place:sub(3):replace(haka.vbuffer_from('XXXXX'))
        place:unmark()
        iter:wait()",
    ));
    wire.push(b"abcd", false);
    wire.got("");
    wire.push(b"efgh", false);
    wire.got("XXXXXdefgh");
}

#[test]
fn a_read_only_mark_lets_bytes_go_and_keeps_a_copy() {
    let mut wire = Wire::new(&streamed(
        "local place = iter:copy()
        place:mark(true)
        iter:advance(6)
        local text = place:sub(6)
        print(text:asstring(), pcall(text.erase, text))
        place:unmark()
        iter:wait()",
    ));
    wire.push(b"abc", false);
    wire.got("abc");
    wire.push(b"defg", false);
    wire.got("abcdefg");
    assert_eq!(wire.said(), ["abcdef\tfalse\ttest.lua:7: read only buffer"]);
}

#[test]
fn a_part_outlives_its_bytes_but_cannot_be_changed_then() {
    let mut wire = Wire::new(&streamed(
        "local head = iter:sub(4)
        iter:advance(4)
        print(head:asstring(), #head, head[1], head:sub(1, 2):asstring(), head:sub(0, 2):asnumber())
        print(pcall(head.replace, head, 'x'))",
    ));
    wire.push(b"abcd", false);
    wire.push(b"efgh", false);
    assert_eq!(wire.said(), ["abcd\t4\t97\tbc\t24930", "false\ttest.lua:6: read only buffer"]);
    wire.got("abcdefgh");
}

#[test]
fn inserting_before_what_has_not_come_yet() {
    let mut wire = Wire::new(&streamed(
        "while iter:wait() do
            iter:insert(haka.vbuffer_from('<'))
            iter:sub('available')
            iter:insert(haka.vbuffer_from('>'))
        end
        iter:insert(haka.vbuffer_from('.'))",
    ));
    wire.push(b"ab", false);
    wire.push(b"c", false);
    wire.got("<ab><c>");
    wire.push(b"", true);
    wire.got("<ab><c>.");
}

#[test]
fn two_streamed_rules_see_each_others_changes() {
    let mut wire = Wire::new(&format!(
        "{}\n{}",
        streamed(
            "while iter:wait() do
                local part = iter:sub(1)
                if part[1] == 97 then part:setstring('AAA') end
            end"
        ),
        streamed(
            "while true do local t = iter:sub(4) if not t then return end print(t:asstring()) end"
        ),
    ));
    for byte in b"xaxaxa" {
        wire.push(&[*byte], false);
    }
    wire.push(b"", true);
    assert_eq!(wire.said(), ["xAAA", "xAAA", "xAAA"]);
    wire.got("xAAAxAAAxAAA");
}

#[test]
fn changes_of_bytes_that_had_to_go_on_are_the_rules_failure() {
    let mut wire = Wire::new(&streamed(
        "local place = iter:copy()
        place:mark()
        place:sub(1):setstring('XX')
        iter:advance(9)",
    ));
    assert_eq!(wire.push(b"abc", false), Verdict::Accept);
    wire.got("");
    wire.release();
    assert_eq!(wire.push(b"def", false), Verdict::Drop);
    assert!(wire.said()[0].contains("changes were lost"));
}

#[test]
fn bytes_that_passed_unseen_do_not_stop_a_streamed_rule() {
    let mut scene =
        Scene::new(&streamed("while iter:wait() do print(iter:sub('available'):asstring()) end"));
    scene.data(&[b"ab"], false);
    scene.offsets[0] = 1000;
    scene.data(&[b"cd"], false);
    assert_eq!(scene.said(), ["ab", "cd"]);
}

/// The same rule over the same bytes in random portions: the receiver always gets the same.
#[test]
fn how_segments_cut_the_stream_changes_nothing() {
    let text = streamed(
        "while true do
            local start = iter:copy()
            start:mark()
            local size = iter:sub(1)
            if not size then return end
            local body = iter:sub(size[1])
            if body and #body > 2 then
                body:sub(1, 1):replace(haka.vbuffer_from('--'))
                size[1] = #body
            elseif body then
                body:erase()
                size:erase()
            end
            start:unmark()
        end",
    );
    let stream: Vec<u8> = (0..60_u8)
        .flat_map(|n| [&[n % 7][..], &vec![b'a' + n % 26; usize::from(n % 7)]].concat())
        .collect();
    let mut wanted = Vec::new();
    for n in 0..60_u8 {
        if n % 7 > 2 {
            let byte = b'a' + n % 26;
            wanted.extend([n % 7 + 1, byte, b'-', b'-']);
            wanted.extend(vec![byte; usize::from(n % 7) - 2]);
        }
    }
    let mut state: u32 = 1;
    for _ in 0..50 {
        let mut wire = Wire::new(&text);
        let mut rest = stream.as_slice();
        while !rest.is_empty() {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            let len = (1 + (state >> 16) as usize % 9).min(rest.len());
            assert_eq!(wire.push(&rest[..len], false), Verdict::Accept, "{:?}", wire.said());
            rest = &rest[len..];
        }
        wire.push(b"", true);
        assert_eq!(wire.out, wanted);
    }
}

#[test]
fn places_survive_however_many_changes_a_connection_sees() {
    let mut wire = Wire::new(
        "haka.rule{ hook = tcp_connection.events.receive_data, options = { streamed = true },
        eval = function(flow, it)
            while true do
                local parts = {}
                for i = 1, 7 do
                    parts[i] = it:sub(1)
                    if not parts[i] then return end
                end
                for i = 1, 7 do parts[i]:replace(haka.vbuffer_from('xy')) end
            end
        end }",
    );
    wire.scene.open();
    for _ in 0..1500 {
        wire.push(b"1234567", false);
    }
    assert_eq!(wire.said(), [""; 0]);
    assert_eq!(wire.out.len(), 2 * 7 * 1500);
}
