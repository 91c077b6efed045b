//! Requests that come whole go a short way, and no script can tell: whatever is cut, said, changed or goes wrong, the
//! way of streams, which a rule for all data makes them go, has the same events, alerts and bytes.
#![expect(clippy::indexing_slicing, reason = "tests")]

mod common;

use common::Scene;
use common::pair::Pair;
use proptest::prelude::*;
use tollgate_policy::Verdict;
use tollgate_script::{OnRuleError, RuleErrors, Settings};
use tollgate_wire::Direction::{self, ToClient, ToServer};

/// Wants all data, so that every byte is a stream's.
const WAKEFUL: &str =
    "\nhaka.rule{ hook = tcp_connection.events.receive_data, eval = function() end }";

/// What the client may say; the first ones are what it mostly says.
const REQUESTS: [&str; 14] = [
    "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /bb HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nX-A: 1\r\nX-B: 2\r\n\r\n",
    "POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    "HEAD /d HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /e?drop HTTP/1.0\r\n\r\n",
    "POST /f HTTP/1.1\r\nContent-Length: 0\r\nX-A:\r\n\r\n",
    "PUT /g HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "GET /h HTTP/1.1\r\nUpgrade: x\r\n\r\n",
    "\r\nGET /i HTTP/1.1\r\nX-A: \t1 \r\nX-A: 2\r\n\r\n",
    "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /j HTTP/1.1\nHost: h\n\n",
    "POST /k HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "GET /l HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no request\r\n\r\n",
];

const RESPONSES: [&str; 9] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 204 No Content\r\nServer: s\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX:\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nraw",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "HTTP/1.1 200 OK\r\n\r\nuntil the end",
];

/// What rules do with a request; mostly nothing, depending on what it says.
const EVALS: [&str; 14] = [
    "print(http.request == req, http.response, req.method, req.uri, req.version, req.headers.host)
     for name, value in pairs(req.headers) do print(name, value) end",
    "if req.uri:find('b') then req.headers['X-A'] = 'longer than before' req.headers['X-B'] = nil end",
    "if req.uri:find('a') then req.uri = '/another' req.headers.Added = 'yes' end",
    "if req.method == 'HEAD' then req.method = 'GET' elseif req.method == 'GET' then req.headers.Upgrade = 'x' end",
    "if req.method == 'POST' then req:enable_data_modification() end",
    "if req.method == 'POST' then http:enable_data_modification() req.headers['X-A'] = 'y' end",
    "if req.uri:find('drop') then http:drop() print(http.flow) end",
    "if req.uri:find('d$') then http:reset() end",
    "if req.uri:find('c') then error('not c', 0) end if req.uri:find('a') then req.uri = 'a b' end",
    "kept = kept or {} kept[#kept + 1] = req
     for i, old in ipairs(kept) do print(i, old == req, pcall(function() return old.uri end)) end
     if kept[2] then print(pcall(function() kept[1].headers.X = 'y' end)) end",
    "if req.uri:find('b') then
        http.flow:select_next_dissector({ receive = function(self, stream, current, dir) print(dir, current) end })
     end",
    "if req.uri:find('e') then http:select_next_dissector({ receive = function(self, stream, current) print(current) end }) end",
    "count = (count or 0) + 1 req.number, http.count = count, count print(http.request.number, http.count)",
    "if req.uri:find('a') then http.flow:select_next_dissector(http) end",
];

#[derive(Clone, Debug)]
struct Saying {
    direction: Direction,
    /// Of the table of its direction.
    which: usize,
    cut: Option<prop::sample::Index>,
    /// It goes on together with what the same end says next.
    joins: bool,
    /// Bytes before it that nobody is shown.
    gap: bool,
}

fn saying() -> impl Strategy<Value = Saying> {
    let which = prop_oneof![4 => 0..3_usize, 3 => 0..7_usize, 1 => 0..14_usize];
    let cut = prop::option::weighted(0.2, any::<prop::sample::Index>());
    (any::<bool>(), which, cut, prop::bool::weighted(0.15), prop::bool::weighted(0.03)).prop_map(
        |(is_up, which, cut, joins, gap)| {
            let direction = if is_up { ToServer } else { ToClient };
            Saying { direction, which, cut, joins, gap }
        },
    )
}

fn text(saying: &Saying) -> &'static str {
    match saying.direction {
        ToServer => REQUESTS[saying.which % REQUESTS.len()],
        ToClient => RESPONSES[saying.which % RESPONSES.len()],
    }
}

/// All that can be seen from outside.
#[derive(Debug, PartialEq)]
struct Seen {
    said: Vec<(usize, Vec<String>, [usize; 2])>,
    out: [String; 2],
    over: Option<Verdict>,
    errors: RuleErrors,
}

fn run(script: &str, settings: Settings, sayings: &[Saying]) -> Seen {
    let mut pair = Pair::of(Scene::with(script, settings));
    pair.scene.open();
    let mut said = vec![(0, pair.said(), [0, 0])];
    let mut waiting = [Vec::new(), Vec::new()];
    for (at, saying) in sayings.iter().enumerate() {
        let direction = saying.direction;
        let text = text(saying).as_bytes();
        if saying.gap {
            pair.pass_unseen(direction, 3);
        }
        let piece = &mut waiting[usize::from(direction == ToClient)];
        let (head, tail) =
            text.split_at(saying.cut.map_or(text.len(), |cut| cut.index(text.len())));
        piece.extend(head);
        if !saying.joins {
            pair.push(direction, &std::mem::take(piece), false);
        }
        piece.extend(tail);
        if !saying.joins && !piece.is_empty() {
            pair.push(direction, &std::mem::take(piece), false);
        }
        said.push((at, pair.said(), [pair.held(ToServer), pair.held(ToClient)]));
    }
    for direction in [ToServer, ToClient] {
        pair.end(direction);
    }
    pair.scene.end();
    said.push((sayings.len(), pair.said(), [pair.held(ToServer), pair.held(ToClient)]));
    let errors = pair.scene.policy.rule_errors();
    Seen { said, out: [pair.out(ToServer), pair.out(ToClient)], over: pair.over, errors }
}

fn script(evals: &[&str], hears_responses: bool, ambiguous: &str) -> String {
    let mut text = format!(
        "local http = require('protocol/http')
        http.options.ambiguous = '{ambiguous}'
        http.install_tcp_rule(80)
        -- What edits is named: zero, insert.
        edits = {{ insert = 1 }}\n"
    );
    for eval in evals {
        text += &format!(
            "haka.rule{{ hook = http.events.request, eval = function(http, req) {eval}\nend }}\n"
        );
    }
    if hears_responses {
        text += "haka.rule{ hook = http.events.response, eval = function(http, resp)
            print(resp.status, http.request and http.request.uri, http.response == resp) end }\n";
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn plain_requests_mean_the_same_on_the_way_of_streams(
        evals in prop::collection::vec(prop::sample::select(EVALS.to_vec()), 0..4),
        hears_responses in any::<bool>(),
        ambiguous in prop::sample::select(vec!["refuse", "alert", "pass"]),
        (passes_errors, pass_through) in (any::<bool>(), prop::bool::weighted(0.2)),
        sayings in prop::collection::vec(saying(), 1..14),
    ) {
        let on_rule_error = if passes_errors { OnRuleError::Pass } else { OnRuleError::Drop };
        let settings = Settings { on_rule_error, pass_through, ..Settings::default() };
        let text = script(&evals, hears_responses, ambiguous);
        let quick = run(&text, settings, &sayings);
        prop_assert_eq!(quick, run(&(text + WAKEFUL), settings, &sayings));
    }
}

#[test]
fn a_plain_request_makes_no_stream() {
    let mut lengths = Vec::new();
    for wakeful in ["", WAKEFUL] {
        let mut scene = Scene::new(&(script(&["kept = req.uri"], false, "refuse") + wakeful));
        let mut connection = |round: u16| {
            scene.next();
            scene.client.port = 1000 + round;
            scene.open();
            let before = scene.policy.used_memory_bytes();
            scene.data(&[REQUESTS[0].as_bytes()], false);
            scene.data_in(ToClient, &[RESPONSES[0].as_bytes()], false);
            scene.policy.used_memory_bytes().saturating_sub(before)
        };
        lengths.push((0..20).map(&mut connection).min().unwrap_or_default());
    }
    // What is left is the message, and what the script made of it.
    assert!(lengths[0] < 500 && lengths[0] * 3 < lengths[1], "{lengths:?}");
}

#[test]
fn lua_is_not_entered_for_requests_that_no_rule_wants() {
    let mut scene = Scene::new(&script(&[], false, "refuse"));
    scene.open();
    let used = scene.policy.used_memory_bytes();
    for _ in 0..100 {
        scene.data(&[REQUESTS[2].as_bytes()], false);
        scene.data_in(ToClient, &[RESPONSES[0].as_bytes()], false);
        assert_eq!(scene.policy.used_memory_bytes(), used);
    }
    // What is wrong is told nevertheless.
    assert_eq!(scene.data(&[b"no request\r\n\r\n"], false), Verdict::Drop);
}

#[test]
fn a_body_that_comes_in_parts_is_passed_over() {
    let mut pair = Pair::new(&script(&["print(req.uri)"], false, "refuse"));
    let head = "POST /a HTTP/1.1\r\nContent-Length: 3000\r\n\r\n";
    pair.up(&format!("{head}{}", "x".repeat(1000)));
    let used = pair.scene.policy.used_memory_bytes();
    pair.up(&"y".repeat(1500));
    assert_eq!(pair.scene.policy.used_memory_bytes(), used);
    // The last part, with the next request behind it.
    pair.up(&format!("{}GET /b HTTP/1.1\r\n\r\n", "z".repeat(500)));
    pair.up("GET /c HTTP/1.1\r\n\r\n");
    assert_eq!(pair.said(), ["/a", "/b", "/c"]);
    assert_eq!(pair.held(ToServer), 0);
}
