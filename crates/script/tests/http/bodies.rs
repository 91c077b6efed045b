//! Events of bodies, and bodies that change their length.
use tollgate_policy::Verdict;
use tollgate_wire::Direction::{ToClient, ToServer};

use crate::common::pair::Pair;
use crate::oracle;

const SETUP: &str = "local http = require('protocol/http') http.install_tcp_rule(80)";

/// `hook` of `http.events` with `eval` for its body and parameters (http, it, dir).
fn rule(hook: &str, options: &str, eval: &str) -> String {
    format!(
        "haka.rule{{ hook = http.events.{hook}, options = {{ {options} }},
        eval = function(http, it, dir) {eval} end }}\n"
    )
}

fn streamed(hook: &str, eval: &str) -> String {
    rule(hook, "streamed = true", eval)
}

fn pair(rules: &[String]) -> Pair {
    Pair::new(&format!("{SETUP}\n{}", rules.concat()))
}

const LENGTH: &str = "POST / HTTP/1.1\r\nContent-Length: 11\r\nHost: h\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
const REPLACE_WORLD: &str = "
    while true do
        local word = it:sub(5)
        if not word then return end
        if word:asstring() == 'world' then word:replace(haka.vbuffer_from('tollgate')) end
        it:advance(1)
    end";
const ENABLE: &str = "it:enable_data_modification()";

#[test]
fn each_byte_of_a_body_is_shown_once_by_all_three_events() {
    let mut pair = pair(&[
        rule("request_data", "", "print('request', it:asstring())"),
        rule("response_data", "", "print('response', it:asstring())"),
        rule("receive_data", "", "print(dir, it:asstring())"),
        streamed("receive_data", "print('all', dir, it:sub('all'):asstring(), it.iseof)"),
    ]);
    pair.up(&format!("{LENGTH}hello "));
    pair.up("world");
    pair.down("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1");
    pair.down("\r\nc\r\n0\r\n\r\n");
    assert_eq!(
        pair.said(),
        [
            "request\thello ",
            "up\thello ",
            "request\tworld",
            "up\tworld",
            "all\tup\thello world\ttrue",
            "response\tab",
            "down\tab",
            "response\tc",
            "down\tc",
            "all\tdown\tabc\ttrue",
        ]
    );
}

#[test]
fn a_streamed_rule_begins_anew_with_each_body() {
    let mut pair = pair(&[streamed(
        "request_data",
        "local n = 0 for part in it:foreach_available() do n = n + #part end print(http.request.uri, n)",
    )]);
    pair.up("POST /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST /2 HTTP/1.1\r\nContent-Length: 2\r\n\r\nd");
    pair.up("eGET /3 HTTP/1.1\r\n\r\n");
    assert_eq!(pair.said(), ["/1\t3", "/2\t2"]);
}

#[test]
fn a_change_of_the_same_length_leaves_all_framing_as_it_is() {
    let eval = "local text = it:asstring():upper() it:setfixedstring(text)";
    for (head, body) in
        [(LENGTH, "hello world"), (CHUNKED, "4\r\nhell\r\n07;x\r\no world\r\n0\r\nT: t\r\n\r\n")]
    {
        let mut pair = pair(&[rule("request_data", "", eval)]);
        pair.up(head);
        for byte in body.chars() {
            pair.up(&byte.to_string());
        }
        let (mut wanted, mut is_data) = (body.to_owned(), body.starts_with('h'));
        if is_data {
            wanted = body.to_uppercase();
        } else {
            is_data = true;
            for word in ["hell", "o world"] {
                wanted = wanted.replace(word, &word.to_uppercase());
            }
        }
        assert!(is_data);
        pair.got_up(&format!("{head}{wanted}"));
    }
}

#[test]
fn the_content_length_changes_with_the_body_while_the_head_is_here() {
    let mut pair = pair(&[
        rule("request", "", "it.headers.Host = nil it.headers['X-Y'] = 'z'"),
        streamed("request_data", REPLACE_WORLD),
    ]);
    pair.up(&format!("{LENGTH}hello world{LENGTH}world "));
    pair.up("hello");
    let head = |n: usize| format!("POST / HTTP/1.1\r\nContent-Length: {n}\r\nX-Y: z\r\n\r\n");
    pair.got_up(&format!("{}hello tollgate{}tollgate hello", head(14), head(14)));
}

#[test]
fn a_length_that_changes_too_late_is_the_rules_error() {
    for (head, body) in [(LENGTH, "hello world"), (CHUNKED, "b\r\nhello world\r\n")] {
        let mut pair = pair(&[streamed("request_data", REPLACE_WORLD)]);
        pair.up(&format!("{head}{}", &body[..body.len() - 8]));
        pair.up(&body[body.len() - 8..]);
        assert_eq!(pair.over, Some(Verdict::Drop));
        let said = pair.said();
        assert!(said[0].contains("call enable_data_modification()"), "{said:?}");
    }
}

#[test]
fn the_size_of_a_chunk_changes_with_its_data() {
    let mut pair = pair(&[streamed("request_data", REPLACE_WORLD)]);
    pair.up(&format!("{CHUNKED}b;x=y\r\nhello world\r\n6\r\n world\r\n0\r\nT: t\r\n\r\n"));
    pair.got_up(&format!(
        "{CHUNKED}e;x=y\r\nhello tollgate\r\n9\r\n tollgate\r\n0\r\nT: t\r\n\r\n"
    ));
    // One word in two chunks.
    let mut pair = self::pair(&[streamed("request_data", REPLACE_WORLD)]);
    pair.up(&format!("{CHUNKED}2\r\nwo\r\n3\r\nrld\r\n0\r\n\r\n"));
    let messages = oracle::read(&pair.out(ToServer));
    assert_eq!(messages[0].body, "tollgate");
}

#[test]
fn enable_data_modification_makes_chunks_of_a_body_with_a_length() {
    let mut pair = pair(&[rule("request", "", ENABLE), streamed("request_data", REPLACE_WORLD)]);
    pair.up(&format!("{LENGTH}hello "));
    pair.up("wor");
    pair.got_up("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n");
    pair.up("ldGET / HTTP/1.1\r\n");
    pair.got_up(
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n8\r\ntollgate\r\n0\r\n\r\n",
    );
    pair.up("\r\n");
    assert!(pair.out(ToServer).ends_with("0\r\n\r\nGET / HTTP/1.1\r\n\r\n"));
    assert_eq!(pair.said(), [""; 0]);
}

#[test]
fn the_dissector_enables_it_for_the_message_of_the_running_event() {
    const BOTH: &str = "http:enable_data_modification()";
    let mut pair = pair(&[
        rule("request", "", BOTH),
        rule("response", "", BOTH),
        streamed("receive_data", REPLACE_WORLD),
    ]);
    pair.up(&format!("{LENGTH}hello world"));
    pair.down("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld");
    for direction in [ToServer, ToClient] {
        let out = pair.out(direction);
        assert!(out.contains("Transfer-Encoding: chunked\r\n\r\n"), "{out}");
        assert!(out.ends_with("tollgate\r\n0\r\n\r\n"), "{out}");
    }
    assert_eq!(pair.said(), [""; 0]);
}

#[test]
fn enable_data_modification_makes_new_chunks_of_old_ones_and_keeps_the_trailer() {
    let mut pair = pair(&[rule("request", "", ENABLE), streamed("request_data", REPLACE_WORLD)]);
    pair.up(&format!("{CHUNKED}7\r\nhello w\r\n"));
    pair.up("4;x\r\norld\r\n0");
    pair.up("\r\nT: t\r\n\r\n");
    pair.got_up(&format!("{CHUNKED}6\r\nhello \r\n8\r\ntollgate\r\n0\r\nT: t\r\n\r\n"));
}

#[test]
fn a_body_may_be_emptied_doubled_or_go_on_behind_its_end() {
    for (eval, wanted) in [
        ("it:sub('all'):erase()", ""),
        (
            "local all = it:sub('all') all:replace(haka.vbuffer_from(all:asstring():rep(2)))",
            "hello worldhello world",
        ),
        ("it:sub('all') it:insert(haka.vbuffer_from('!'))", "hello world!"),
        ("it:insert(haka.vbuffer_from('>'))", ">hello world"),
        (
            "for part in it:foreach_available() do part:erase() end it:insert(haka.vbuffer_from('new'))",
            "new",
        ),
        ("it:mark() local n = #it:sub('all') it:unmark()", "hello world"),
    ] {
        let chunked = format!("{CHUNKED}5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
        for text in [format!("{LENGTH}hello world"), chunked] {
            for cut in [text.len(), 30, text.len() - 3, text.len() - 9] {
                let mut pair = pair(&[rule("request", "", ENABLE), streamed("request_data", eval)]);
                pair.up(&text[..cut]);
                pair.up(&text[cut..]);
                pair.up("GET /next HTTP/1.1\r\n\r\n");
                let said = pair.said();
                assert_eq!(said, [""; 0], "{eval} {cut}");
                let messages = oracle::read(&pair.out(ToServer));
                assert_eq!(
                    (messages.len(), messages[0].body.as_str()),
                    (2, wanted),
                    "{eval} {text} {cut}"
                );
            }
        }
    }
}

#[test]
fn a_response_that_ends_with_the_connection_needs_no_framing() {
    let mut pair = pair(&[
        rule("response", "", ENABLE),
        streamed("response_data", &format!("{REPLACE_WORLD} ")),
    ]);
    pair.up("GET / HTTP/1.0\r\n\r\n");
    pair.down("HTTP/1.1 200 OK\r\n\r\nhello wor");
    pair.down("ld world");
    pair.end(ToClient);
    pair.got_down("HTTP/1.1 200 OK\r\n\r\nhello tollgate tollgate");
}

#[test]
fn http_1_0_has_no_chunks() {
    let mut pair = pair(&[rule("response", "", ENABLE)]);
    pair.up("GET / HTTP/1.0\r\n\r\n");
    pair.down("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    assert!(pair.said()[0].contains("HTTP/1.0 has no chunks"));
}

#[test]
fn messages_without_a_body_stay_as_they_are() {
    let mut pair = pair(&[rule("request", "", ENABLE), rule("response", "", ENABLE)]);
    pair.up("HEAD / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    pair.down("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
    pair.got_up("HEAD / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    pair.got_down("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
}

#[test]
fn without_listeners_to_its_body_a_message_can_still_be_made_chunked() {
    let mut pair = pair(&[rule("request", "", ENABLE)]);
    pair.up(&format!("{LENGTH}hello "));
    pair.up("world");
    let messages = oracle::read(&pair.out(ToServer));
    assert_eq!(messages[0].body, "hello world");
}
