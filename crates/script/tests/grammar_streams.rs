//! Grammars over streams: bytes that arrive in portions, and changes of what they parse.
mod common;

use common::Scene;
use common::wire::Wire;
use tollgate_policy::Verdict;
use tollgate_script::{Limits, Settings};

/// A dissector on port 80 whose `body` handles the iterator.
fn dissector(grammar: &str, body: &str) -> String {
    format!(
        "local g = haka.grammar.new('test', function() {grammar} end)
        local D = haka.dissector.new{{ type = tcp_connection.helper.TcpFlowDissector, name = 'd' }}
        function D.method:receive_streamed(iter, direction)
            {body}
        end
        D:install_tcp_rule(80)"
    )
}

fn opened(text: &str) -> Wire {
    let mut wire = Wire::new(text);
    wire.scene.open();
    wire.said();
    wire
}

const MESSAGES: &str = "
    CRLF = token('%r?%n')
    header = record{ field('name', token('[^:%r%n]+')), token(': ?'), field('value', token('[^%r%n]*')), CRLF }
    message = record{
        field('size', number(16)), field('verb', token('[a-z]+')), CRLF,
        field('headers', array(header):whilecond(function(_, ctx)
            local c = ctx:lookahead() return c ~= 13 and c ~= 10 end)), CRLF,
        field('body', bytes():count(function(self) return self.size end)),
    }
    export(message)";

const REWRITE: &str = "while iter:wait() do
    local m, err = g.message:parse(iter)
    if err then print(err) return end
    local names = {}
    for _, header in ipairs(m.headers) do names[#names + 1] = header.name .. '=' .. header.value end
    print(m.size, m.verb, table.concat(names, ' '), m.body:asstring())
    if m.verb == 'put' then m.verb = 'delete' end
    if m.headers[1] then m.headers[1].value = m.headers[1].value .. '!' end
    if m.headers[2] then m.headers:remove(2) end
end";

#[test]
fn how_segments_cut_a_message_changes_nothing() {
    let stream = b"\0\x03put\r\nHost: a\r\nX:y\n\nabc\0\0get\r\n\r\n\0\x01put\r\nA:\r\n\r\nz";
    let wanted = b"\0\x03delete\r\nHost: a!\r\n\nabc\0\0get\r\n\r\n\0\x01delete\r\nA:!\r\n\r\nz";
    let text = dissector(MESSAGES, REWRITE);
    for portion in 1..=stream.len() {
        let mut wire = opened(&text);
        for piece in stream.chunks(portion) {
            assert_eq!(wire.push(piece, false), Verdict::Accept, "{:?}", wire.said());
        }
        wire.push(b"", true);
        assert_eq!(
            wire.said(),
            ["3\tput\tHost=a X=y\tabc", "0\tget\t\t", "1\tput\tA=\tz"],
            "{portion}"
        );
        assert_eq!(String::from_utf8_lossy(&wire.out), String::from_utf8_lossy(wanted));
    }
}

#[test]
fn a_message_waits_until_it_is_whole_or_let_go() {
    let mut wire = opened(&dissector(MESSAGES, REWRITE));
    wire.push(b"\0\x02put\r\n", false);
    wire.push(b"\r\na", false);
    wire.got("");
    assert_eq!(wire.held(), b"\0\x02put\r\n\r\na");
    wire.push(b"bx", false);
    wire.got("\0\x02delete\r\n\r\nab");
    let released = MESSAGES.replace("field('headers'", "release, field('headers'");
    let mut wire = opened(&dissector(&released, REWRITE));
    wire.push(b"\0\x02put\r\n", false);
    wire.got("\0\x02put\r\n");
    // What has gone on can be read, and no longer changed.
    assert_eq!(wire.push(b"\r\nab", false), Verdict::Drop);
    let said = wire.said();
    assert!(said[0] == "2\tput\t\tab" && said[1].ends_with("read only buffer"), "{said:?}");
}

#[test]
fn portions_of_a_body_go_on_as_they_come() {
    let grammar = "chunked = sequence{ record{ field('n', number(8)), execute(function(self, ctx) ctx.n = self.n end) },
            bytes():count(function(_, ctx) return ctx.n end):chunked(function(self, part, last, ctx)
                print(part and part:asstring(), last) ctx.user.seen = (ctx.user.seen or 0) + (part and #part or 0) end) }
        export(chunked)";
    let mut wire = opened(&dissector(
        grammar,
        "while iter:wait() do local _, err = g.chunked:parse(iter, nil, self) print(err, self.seen) end",
    ));
    wire.push(b"\x06ab", false);
    wire.got("\x06ab");
    wire.push(b"cdef\x03x", false);
    wire.got("\x06abcdef\x03x");
    wire.push(b"", true);
    assert_eq!(
        wire.said(),
        [
            "ab\tfalse",
            "cdef\ttrue",
            "nil\t6",
            "x\tfalse",
            "parse error at byte 2 for field <unknown> in chunked: 2 bytes more expected\t7"
        ]
    );
}

#[test]
fn a_search_holds_only_what_might_be_the_token() {
    let grammar = "mail = sequence{ bytes():untiltoken('%r%n%.%r%n'):chunked(function(_, part, last)
            if part and part[1] == 97 then part[1] = 65 end end), token('%r%n%.%r%n') } export(mail)";
    let mut wire = opened(&dissector(
        grammar,
        "while iter:wait() do local _, err = g.mail:parse(iter) print(err, iter:available()) end",
    ));
    wire.push(b"abc\r", false);
    wire.got("Abc");
    wire.push(b"\n.a\r\n", false);
    wire.got("Abc\r\n.a");
    wire.push(b".\r\nab", false);
    assert_eq!(wire.said(), ["nil\t2"]);
    wire.got("Abc\r\n.a\r\n.\r\nAb");
}

#[test]
fn a_case_that_fails_late_is_tried_again_from_its_beginning() {
    let grammar = "
        either = try{ record{ field('a', token('[a-z]+')), text('!') }, record{ field('b', token('[a-z]+')), text('?') } }
        export(either)";
    let mut wire = opened(&dissector(
        grammar,
        "while iter:wait() do local r, err = g.either:parse(iter) print(err or r.a or 'b' .. r.b)
            if r and r.b then r.b = '<' .. r.b .. '>' end if err then return end end",
    ));
    for piece in [b"ab".as_slice(), b"c", b"?x", b"!?"] {
        assert_eq!(wire.push(piece, false), Verdict::Accept, "{:?}", wire.said());
    }
    assert_eq!(
        wire.said(),
        ["babc", "x", "parse error at byte 0 for field b in either: token /[a-z]+/ expected"]
    );
    wire.got("<abc>?x!?");
}

#[test]
fn retain_holds_and_release_lets_go() {
    let grammar = "pair = sequence{ retain(), field('a', number(8)), field('b', number(8)), release, field('c', number(8)) }
        export(pair)";
    let mut wire = opened(&dissector(
        grammar,
        "while iter:wait() do local r = g.pair:parse(iter) if r then print(r.a, r.b, r.c) end end",
    ));
    wire.push(b"\x01", false);
    wire.got("");
    wire.push(b"\x02", false);
    wire.got("\x01\x02");
    wire.push(b"\x03", false);
    assert_eq!(wire.said(), ["1\t2\t3"]);
}

#[test]
fn a_token_without_end_costs_its_connection_only() {
    let limits = Limits { unread_bytes_max: 1000, ..Limits::default() };
    let text = dissector("word = token('[a-z]+') export(word)", "g.word:parse(iter)");
    let mut scene = Scene::with(&text, Settings { limits, ..Settings::default() });
    scene.open();
    assert_eq!(scene.data(&[&[b'a'; 900]], false), Verdict::Accept);
    assert_eq!(scene.data(&[&[b'a'; 101]], false), Verdict::Drop);
    assert!(scene.said()[1].contains("left more than 1000 bytes unread"));
    scene.next();
    scene.open();
    assert_eq!(scene.data(&[b"abc."], false), Verdict::Accept);
}

#[test]
fn an_array_without_end_stops_at_its_bound() {
    let text = dissector(
        "all = array(number(8)):untilcond(function() return false end) export(all)",
        "print(select(2, g.all:parse(iter)))",
    );
    let limits = Limits { instructions_max: 50_000_000, ..Limits::default() };
    let scene = Scene::with(&text, Settings { limits, ..Settings::default() });
    let mut wire = Wire::of(scene);
    wire.scene.open();
    for _ in 0..9 {
        assert_eq!(wire.push(&[0; 8000], false), Verdict::Accept, "{:?}", wire.said());
    }
    assert_eq!(
        wire.said()[1],
        "parse error at byte 65537 for field <unknown> in all: more than 65536 elements"
    );
}

#[test]
fn an_error_in_a_function_of_a_grammar_names_its_line() {
    let text = dissector(
        "x = record{ execute(function(self)\nlocal y = self.a.b end) } export(x)",
        "g.x:parse(iter)",
    );
    let mut scene = Scene::new(&text);
    scene.open();
    assert_eq!(scene.data(&[b"abc"], false), Verdict::Drop);
    assert!(scene.said()[1].starts_with("error tcp: test.lua:2: attempt to index"));
}
