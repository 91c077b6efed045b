//! Streamed rules that sleep in a search are woken only by what they would act upon, and never know.
#![expect(clippy::indexing_slicing, reason = "tests")]

mod common;

use common::Scene;
use common::wire::Wire;
use proptest::prelude::*;
use tollgate_policy::Verdict;
use tollgate_script::RuleErrors;
use tollgate_wire::Direction;

/// Of a second rule the first knows nothing, but beside it, it never sleeps.
const SLEEPLESS: &str =
    "haka.rule{ hook = tcp_connection.events.receive_data, options = { streamed = true },
    eval = function(flow, iter) for part in iter:foreach_available() do end end }";

const PATTERNS: [&str; 8] =
    ["[a-z]+@[a-z]+%.b", "ab", "a+b?", "%bab%b", "(a|ab)(c|bcd)?", "@$", "^a.*@", "b@a"];

/// What the rule does with the search.
const BODIES: [&str; 6] = [
    "while re:match(iter) do print('m', iter.meter) end",
    "while true do local m = re:match(iter, true) if not m then break end print(m, iter.meter) end",
    "while true do local m = re:match(iter, true) if not m then break end m:replace(haka.vbuffer_from('[x]')) end",
    "while true do local m = re:match(iter, true, true) if not m then break end print(m, iter.meter) end",
    "while true do local s = iter:sub(2) if not s then break end print(s) if not re:match(iter) then break end end",
    "if re:match(iter) then iter:insert(haka.vbuffer_from('!')) print(re:match(iter, true)) end",
];

fn script(pattern: &str, body: &str) -> String {
    format!(
        "local re = require('regexp/pcre').re:compile([[{pattern}]])
        haka.rule{{ hook = tcp_connection.events.receive_data, options = {{ streamed = true, edits = true }},
        eval = function(flow, iter, direction) {body} print('end', iter.meter, iter.iseof) end }}\n"
    )
}

/// Whatever can be seen from outside: after each piece what was said, has left and waits.
fn seen(text: &str, pieces: &[(String, u8)]) -> (Vec<String>, RuleErrors) {
    let mut wire = Wire::new(text);
    let mut seen = Vec::new();
    for (piece, gap) in pieces {
        if *gap == 0 {
            wire.pass_unseen(3);
        }
        let verdict = wire.push(piece.as_bytes(), false);
        seen.push(format!("{verdict:?} {:?} {:?} {:?}", wire.said(), wire.out, wire.held()));
    }
    let verdict = wire.push(b"", true);
    seen.push(format!("{verdict:?} {:?} {:?}", wire.said(), wire.out));
    (seen, wire.scene.policy.rule_errors())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn who_sleeps_says_and_does_what_who_is_woken_does(
        pattern in prop::sample::select(PATTERNS.to_vec()),
        body in prop::sample::select(BODIES.to_vec()),
        pieces in prop::collection::vec(("[ab@. \\n]{1,12}", 0..12_u8), 1..12),
    ) {
        let text = script(pattern, body);
        let sleepless = text.clone() + SLEEPLESS;
        prop_assert_eq!(seen(&text, &pieces), seen(&sleepless, &pieces));
    }
}

#[test]
fn lua_is_not_entered_where_nothing_is_found() {
    for body in [BODIES[0], BODIES[1]] {
        let mut scene = Scene::new(&script("[a-z]+@[a-z]+%.b", body));
        scene.data(&[b"nothing, nothing "], false);
        let used = scene.policy.used_memory_bytes();
        for _ in 0..1000 {
            scene.data(&[b"and ", b"nothing ", b"again "], false);
        }
        assert_eq!(scene.policy.used_memory_bytes(), used, "{body}");
        scene.data(&[b"a@b", b"c.bd"], false);
        scene.data_in(Direction::ToClient, &[b"x@y.b"], false);
        let said = scene.said();
        let at = 17 + 1000 * 18 + 6;
        let wanted = if body == BODIES[0] { format!("m\t{at}") } else { format!("a@bc.b\t{at}") };
        assert_eq!(said.first(), Some(&wanted));
        // Each direction counts for itself.
        assert_eq!(said.len(), 2, "{said:?}");
        scene.end();
        scene.next();
        scene.data(&[b"another connection begins anew: a@b.b"], false);
        assert_eq!(scene.said().len(), 1);
    }
}

#[test]
fn a_dissector_that_is_chosen_late_wakes_the_rule() {
    let text = script("ab@", BODIES[0])
        + "haka.rule{ hook = tcp_connection.events.receive_packet, eval = function(flow, pkt)
            if flow.late then flow:select_next_dissector({ receive = function(self, stream, current) print(current) end }) end
            flow.late = true end }";
    let mut scene = Scene::new(&text);
    for piece in [&b"one"[..], b"two", b"a", b"b@"] {
        scene.packet(Direction::ToServer, piece);
        scene.data(&[piece], false);
    }
    assert_eq!(scene.said(), ["two", "a", "m\t9", "b@"]);
}

/// The server's bytes, from what it may say to what it must not.
const RESPONSES: [&str; 9] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nraw",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "HTTP/1.1 200 OK\r\n\r\nuntil the end",
];

const REQUESTS: [&str; 4] = [
    "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
    "HEAD /b HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
    "GET /d HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\n\r\n",
];

/// Requests and responses, each with where it is cut, and how many bytes the server leaves out.
type Exchange = (usize, usize, prop::sample::Index, bool, u8);

fn exchanged(text: &str, exchanges: &[Exchange]) -> (Vec<String>, RuleErrors) {
    let mut scene = Scene::new(text);
    scene.open();
    let mut seen = Vec::new();
    for (request, response, cut, is_cut, gap) in exchanges {
        let response = RESPONSES[*response].as_bytes();
        let at = if *is_cut { cut.index(response.len()) } else { response.len() };
        let (head, tail) = response.split_at(at);
        scene.data(&[REQUESTS[*request].as_bytes()], false);
        for piece in [head, tail].into_iter().filter(|piece| !piece.is_empty()) {
            if *gap == 0 {
                scene.offsets[1] += 2;
            }
            let verdict = scene.data_in(Direction::ToClient, &[piece], false);
            seen.push(format!("{verdict:?} {:?}", scene.said()));
            if verdict.ends_flow() {
                return (seen, scene.policy.rule_errors());
            }
        }
    }
    let verdict = scene.data_in(Direction::ToClient, &[], true);
    seen.push(format!("{verdict:?} {:?}", scene.said()));
    scene.end();
    (seen, scene.policy.rule_errors())
}

const WEB: &str = "require('protocol/http').install_tcp_rule(80)
    haka.rule{ hook = http.events.request, eval = function(http, request) print(request.method, request.uri) end }\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn responses_that_no_rule_wants_mean_the_same_read_in_rust(
        exchanges in prop::collection::vec(
            (0..REQUESTS.len(), 0..RESPONSES.len(), any::<prop::sample::Index>(), any::<bool>(), 0..30_u8),
            1..10,
        ),
    ) {
        let wakeful = WEB.to_owned() + "haka.rule{ hook = http.events.response, eval = function() end }";
        prop_assert_eq!(exchanged(WEB, &exchanges), exchanged(&wakeful, &exchanges));
    }
}

#[test]
fn lua_is_not_entered_for_responses_that_no_rule_wants() {
    let mut scene = Scene::new(WEB);
    scene.open();
    let (first, second) = RESPONSES[0].as_bytes().split_at(41);
    for round in 0..100 {
        assert_eq!(scene.data(&[REQUESTS[0].as_bytes()], false), Verdict::Accept);
        let used = scene.policy.used_memory_bytes();
        scene.data_in(Direction::ToClient, &[first], false);
        // The first response chooses.
        assert!(round == 0 || scene.policy.used_memory_bytes() == used);
        scene.data_in(Direction::ToClient, &[second], false);
        assert!(round == 0 || scene.policy.used_memory_bytes() == used);
    }
    assert_eq!(scene.said().len(), 100 + 1);
}
