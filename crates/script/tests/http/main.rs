//! The dissector of HTTP.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod bodies;
#[path = "../common/mod.rs"]
mod common;
mod cuts;
mod oracle;
mod uri;

use common::pair::Pair;
use tollgate_policy::Verdict;
use tollgate_wire::Direction::{ToClient, ToServer};

const GET: &str = "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello";

/// A script that prints every request, response, and part of a body.
const SHOW: &str = "
    local http = require('protocol/http')
    http.install_tcp_rule(80)
    haka.rule{ hook = http.events.request, eval = function(http, req)
        print('request', req.method, req.uri, req.version, req.headers.host)
    end }
    haka.rule{ hook = http.events.response, eval = function(http, resp)
        print('response', resp.version, resp.status, resp.reason, http.request.uri)
    end }
";

const DATA: &str = "
    haka.rule{ hook = http.events.request_data, eval = function(http, current)
        print('up', current:asstring())
    end }
    haka.rule{ hook = http.events.response_data, eval = function(http, current)
        print('down', current:asstring())
    end }
";

fn show(more: &str) -> Pair {
    Pair::new(&format!("{SHOW}{DATA}{more}"))
}

/// A pair whose rule for requests is `eval`.
fn request_rule(eval: &str) -> Pair {
    Pair::new(&format!(
        "http.install_tcp_rule(80)
        haka.rule{{ hook = http.events.request, eval = function(http, req) {eval} end }}"
    ))
}

fn response_rule(eval: &str) -> Pair {
    let mut pair = Pair::new(&format!(
        "http.install_tcp_rule(80)
        haka.rule{{ hook = http.events.response, eval = function(http, resp) {eval} end }}"
    ));
    pair.up(GET);
    pair
}

#[test]
fn a_request_and_its_response_are_shown_and_pass_unchanged() {
    let mut pair = show("");
    pair.up(GET);
    pair.down(OK);
    assert_eq!(
        pair.said(),
        [
            "request\tGET\t/a?b=c\tHTTP/1.1\texample.com",
            "response\tHTTP/1.1\t200\tOK\t/a?b=c",
            "down\thello",
        ]
    );
    pair.got_up(GET);
    pair.got_down(OK);
}

#[test]
fn a_head_is_held_until_its_event_is_over() {
    let mut pair = show("");
    let (head, tail) = GET.split_at(GET.len() - 1);
    pair.up(head);
    assert_eq!((pair.said(), pair.held(ToServer)), (vec![], head.len()));
    pair.got_up("");
    pair.up(tail);
    assert_eq!(pair.said().len(), 1);
    pair.got_up(GET);
}

#[test]
fn fields_are_found_in_any_case_and_listed_in_order() {
    let mut pair = request_rule(
        "print(req.headers.HOST, req.headers['x-EMPTY'], req.headers.none)
        for name, value in pairs(req.headers) do print(name, value) end
        for name, value in pairs(req) do print(name, type(value)) end
        print(http.request == req, http.response, http.flow.dstport, http.connection.id, http.name)",
    );
    pair.up("POST / HTTP/1.0\r\nB:1\r\na:   2  \r\nX-Empty:\r\nhost: h\r\nb: 3\r\n\r\n");
    assert_eq!(
        pair.said(),
        [
            "h\t\tnil",
            "B\t1",
            "a\t2",
            "X-Empty\t",
            "host\th",
            "b\t3",
            "method\tstring",
            "uri\tstring",
            "version\tstring",
            "headers\ttable",
            "true\tnil\t80\t1\thttp",
        ]
    );
}

#[test]
fn what_is_changed_is_rewritten_and_nothing_else() {
    let mut pair = request_rule(
        "req.method = 'PUT'  req.uri = '/longer/than/before'
        req.headers.HOST = 'other'  req.headers['X-New'] = 7  req.headers.accept = nil
        print(req.uri, req.headers['x-new'], req.headers.accept)",
    );
    pair.up("GET  /".replace("  ", " ").as_str());
    pair.up(" HTTP/1.1\r\nhost:h\r\nAccept: a\r\nZ:  z \r\naccept: b\r\n\r\n");
    pair.got_up("PUT /longer/than/before HTTP/1.1\r\nhost:other\r\nZ:  z \r\nX-New: 7\r\n\r\n");
    assert_eq!(pair.said(), ["/longer/than/before\t7\tnil"]);

    let mut pair =
        response_rule("resp.status = '404' resp.reason = 'Gone' resp.version = 'HTTP/1.0'");
    pair.down(OK);
    pair.got_down("HTTP/1.0 404 Gone\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello");
}

#[test]
fn a_reason_is_put_where_there_was_none() {
    for line in ["HTTP/1.1 200", "HTTP/1.1 200 "] {
        let mut pair = response_rule("resp.status = '404' resp.reason = 'Not here'");
        pair.down(&format!("{line}\r\nContent-Length: 0\r\n\r\n"));
        pair.got_down("HTTP/1.1 404 Not here\r\nContent-Length: 0\r\n\r\n");
    }
}

#[test]
fn a_changed_head_before_a_body_and_another_request_leaves_both_where_they_belong() {
    let mut pair = request_rule("req.headers['X-Long'] = ('x'):rep(20) req.headers.Host = nil");
    let message = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    pair.up(&format!("{message}{message}"));
    let wanted = "POST / HTTP/1.1\r\nContent-Length: 3\r\nX-Long: xxxxxxxxxxxxxxxxxxxx\r\n\r\nabc";
    pair.got_up(&format!("{wanted}{wanted}"));
}

#[test]
fn values_that_would_be_two_headers_are_refused() {
    for (eval, wanted) in [
        ("req.headers.A = 'x\\r\\nB: y'", "http: A: this cannot be the value of a header"),
        ("req.headers['A: b'] = 'x'", "http: A: b: this cannot be the name of a header"),
        ("req.uri = '/ x'", "http: uri: this cannot stand in the first line of a message"),
        ("req.method = {}", "http: method must be a string, got table"),
        ("req.headers = {}", "http: headers can be changed, not replaced"),
        ("http.request.headers.a.b = 1", "attempt to index"),
    ] {
        let mut pair = request_rule(eval);
        pair.up(GET);
        assert_eq!(pair.over, Some(Verdict::Drop), "{eval}");
        let said = pair.said();
        assert!(said[0].contains(wanted), "{said:?}");
    }
}

#[test]
fn a_message_can_be_changed_in_its_own_event_only() {
    let mut pair = Pair::new(
        "http.install_tcp_rule(80)
        haka.rule{ hook = http.events.request, eval = function(http, req) kept = req end }
        haka.rule{ hook = http.events.response, eval = function(http, resp)
            print(kept.uri, kept == http.request)
            print(pcall(function() kept.uri = 'x' end))
        end }
        haka.rule{ hook = tcp_connection.events.end_connection, eval = function()
            print(pcall(function() return kept.uri end)) end }",
    );
    pair.up(GET);
    pair.down(OK);
    pair.scene.end();
    assert_eq!(
        pair.said(),
        [
            "/a?b=c\ttrue",
            "false\ttest.lua:5: http: uri: its head has gone on; it can be changed in its own event only",
            "false\ttest.lua:8: http: this message is long over",
        ]
    );
}

#[test]
fn http_drop_and_reset_end_the_connection_before_the_head_leaves() {
    for (call, verdict) in [("drop", Verdict::Drop), ("reset", Verdict::Reset)] {
        let mut pair = Pair::new(&format!(
            "{SHOW} haka.rule{{ hook = http.events.request, eval = function(http, req)
                http:{call}() end }}
            haka.rule{{ hook = http.events.request, eval = function() print('never') end }}"
        ));
        pair.up(GET);
        assert_eq!(pair.over, Some(verdict));
        assert_eq!(pair.said().len(), 1);
        pair.got_up("");
    }
}

#[test]
fn pipelined_requests_are_matched_with_their_responses() {
    let mut pair = show("");
    pair.up(&format!(
        "{GET}POST /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcHEAD /3 HTTP/1.1\r\n\r\n"
    ));
    pair.down("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 304 Not");
    pair.down(
        " Modified\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 Fine\r\nContent-Length: 7\r\n\r\n",
    );
    assert_eq!(
        pair.said(),
        [
            "request\tGET\t/a?b=c\tHTTP/1.1\texample.com",
            "request\tPOST\t/2\tHTTP/1.1\tnil",
            "up\tabc",
            "request\tHEAD\t/3\tHTTP/1.1\tnil",
            "response\tHTTP/1.1\t100\tContinue\t/a?b=c",
            "response\tHTTP/1.1\t200\tOK\t/a?b=c",
            "down\tx",
            "response\tHTTP/1.1\t304\tNot Modified\t/2",
            "response\tHTTP/1.1\t200\tFine\t/3",
        ]
    );
    assert_eq!(pair.over, None);
}

#[test]
fn a_body_that_ends_with_the_connection_is_shown_to_its_end() {
    let mut pair = show("");
    pair.up(GET);
    pair.down("HTTP/1.0 200\r\n\r\nab");
    pair.down("cd");
    pair.end(ToClient);
    assert_eq!(pair.said()[1..], ["response\tHTTP/1.0\t200\t\t/a?b=c", "down\tab", "down\tcd"]);
    pair.got_down("HTTP/1.0 200\r\n\r\nabcd");
}

#[test]
fn chunked_bodies_are_shown_without_their_framing() {
    let mut pair = show("");
    let body = "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: t\r\n\r\n";
    let head = "POST / HTTP/1.1\r\ntransfer-encoding: gzip, Chunked\r\n\r\n";
    pair.up(&format!("{head}{body}{GET}"));
    assert_eq!(
        pair.said(),
        [
            "request\tPOST\t/\tHTTP/1.1\tnil",
            "up\tabc",
            "up\tde",
            "request\tGET\t/a?b=c\tHTTP/1.1\texample.com",
        ]
    );
    pair.got_up(&format!("{head}{body}{GET}"));
}

#[test]
fn an_upgrade_and_a_tunnel_are_raw_from_there_on() {
    for (request, response) in [
        (
            "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
        ),
        ("CONNECT h:443 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 Established\r\nContent-Length: 4\r\n\r\n"),
    ] {
        let mut pair = show("");
        pair.up(request);
        pair.down(&format!("{response}\0raw"));
        pair.up("\u{1}no http\r\n\r\n");
        pair.down("HTTP/1.1 xxx");
        assert_eq!((pair.said().len(), pair.over), (2, None), "{request}");
        pair.got_up(&format!("{request}\u{1}no http\r\n\r\n"));
        pair.got_down(&format!("{response}\0rawHTTP/1.1 xxx"));
    }
    // A refused tunnel: requests go on.
    let mut pair = show("");
    pair.up("CONNECT h:443 HTTP/1.1\r\n\r\n");
    pair.down("HTTP/1.1 407 Auth\r\nContent-Length: 1\r\n\r\nx");
    pair.up(GET);
    assert_eq!(pair.said()[3], "request\tGET\t/a?b=c\tHTTP/1.1\texample.com");
}

#[test]
fn a_dissector_of_ones_own_takes_over_after_an_upgrade() {
    let mut pair = Pair::new(
        "local Raw = haka.dissector.new{ type = tcp_connection.helper.TcpFlowDissector, name = 'raw' }
        function Raw.method:receive_streamed(iter, direction)
            while true do
                local part = iter:sub(2)
                if not part then return end
                print(direction, part:asstring())
            end
        end
        http.install_tcp_rule(80)
        haka.rule{ hook = http.events.response, eval = function(http, resp)
            if resp.status == '101' then http:select_next_dissector(Raw:new(http.flow)) end
        end }",
    );
    pair.up("GET /ws HTTP/1.1\r\nUpgrade: raw\r\n\r\n");
    pair.down("HTTP/1.1 101 Yes\r\n\r\nab");
    pair.up("c");
    pair.up("de");
    pair.end(ToServer);
    assert_eq!(pair.said(), ["down\tab", "up\tcd", "up\te"]);
    assert_eq!(pair.over, None);
}

#[test]
fn nobody_speaks_out_of_turn() {
    let mut pair = show("");
    pair.down(OK);
    assert_eq!(pair.said(), ["alert 1: http: unexpected data from server"]);
    assert_eq!(pair.over, Some(Verdict::Drop));

    let mut pair = show("");
    pair.up("CONNECT h:443 HTTP/1.1\r\n\r\nearly");
    assert_eq!(pair.said()[1..], ["alert 1: http: unexpected data from client"]);

    let mut pair = show("");
    pair.up(&format!("GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n{GET}"));
    pair.down("HTTP/1.1 101 Yes\r\n\r\n");
    assert_eq!(pair.said()[2..], ["alert 1: http: unexpected data from client"]);
    pair.got_down("");
}

#[test]
fn what_is_no_http_is_alerted_and_dropped() {
    let mut pair = show("");
    pair.up("\u{16}\u{3}\u{1}");
    let alerts = pair.scene.alerts();
    let [alert] = &alerts[..] else { unreachable!("{alerts:?}") };
    assert_eq!(alert.description.as_deref(), Some("invalid http request"));
    assert_eq!(alert.severity, Some(tollgate_policy::Severity::Low));
    assert_eq!(pair.over, Some(Verdict::Drop));
    pair.got_up("");

    let mut pair = show("");
    pair.up("GET / HT");
    pair.end(ToServer);
    assert_eq!(pair.said(), ["alert 1: invalid http request: it ends in its head"]);
    let mut pair = show("");
    pair.up("GET / HTTP/1.1\r\n\r\n");
    pair.down("HTTP/1.1 200 OK\r\n");
    pair.end(ToClient);
    assert_eq!(pair.said()[1..], ["alert 1: invalid http response: it ends in its head"]);
}

#[test]
fn a_head_is_bounded() {
    for (text, wanted) in [
        (
            format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(1000)),
            "invalid http request: its head is too long",
        ),
        (
            format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(300)),
            "invalid http header: too many of them",
        ),
    ] {
        let mut pair =
            show(if wanted.contains("long") { "http.options.head_bytes_max = 500" } else { "" });
        pair.up(&text);
        assert_eq!(pair.said(), [format!("alert 1: {wanted}")]);
    }
    let mut pair = show("");
    for _ in 0..100 {
        pair.up(&format!("X: {}\r\n", "x".repeat(1000)).replace(
            "X: ",
            if pair.held(ToServer) == 0 { "GET / HTTP/1.1\r\nX: " } else { "X: " },
        ));
    }
    assert_eq!(pair.said(), ["alert 1: invalid http request: its head is too long"]);
}

#[test]
fn a_response_whose_body_nobody_wants_is_over_with_its_last_byte() {
    let mut pair = response_rule("print(http.request.uri)");
    pair.down("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nfirst part");
    pair.down(&"x".repeat(40));
    // More than may wait at once.
    for number in 0..300 {
        pair.up(&format!("GET /{number} HTTP/1.1\r\n\r\n"));
        pair.down("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nfirst part");
        pair.down("and second");
    }
    let said = pair.said();
    assert_eq!(
        (said.len(), &said[0][..], &said[1][..], &said[300][..]),
        (301, "/a?b=c", "/0", "/299")
    );
    pair.down(OK);
    assert_eq!(pair.said(), ["alert 1: http: unexpected data from server"]);
}

#[test]
fn requests_that_wait_are_bounded() {
    let mut pair = show("");
    for _ in 0..30 {
        pair.up(&"GET / HTTP/1.1\r\n\r\n".repeat(10));
    }
    assert_eq!(pair.said().last().unwrap(), "alert 1: http: too many requests wait for a response");
}

#[test]
fn what_smuggles_is_refused() {
    for text in [
        "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\nContent-Length: 4, 5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\nabcd",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 4_0\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;a\rb\r\nx\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nx\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nContent-Length: 0x4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nContent-Length:\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\n A: b\r\n\r\n",
        "GET / HTTP/1.1\nA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n\n",
        "\nGET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n",
        "GET / HTTP/1.1\r\nA\0: b\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET /\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "CONNECT h:1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz",
    ] {
        let mut pair = show("");
        pair.up(text);
        let said = pair.said();
        assert_eq!(pair.over, Some(Verdict::Drop), "{text:?} {said:?}");
        let last = said.last().unwrap();
        assert!(
            last.starts_with("alert 1: invalid http ")
                || last.starts_with("alert 1: ambiguous http "),
            "{said:?}"
        );
        pair.got_up("");
    }
}

#[test]
fn responses_that_two_clients_read_in_two_ways_are_refused() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\ncontent-length: 3\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\ncontent-length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\nA: b\n\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
    ] {
        let mut pair = show("");
        pair.up(GET);
        pair.said();
        pair.down(text);
        assert_eq!(pair.over, Some(Verdict::Drop), "{text:?}");
        pair.got_down("");
    }
}

#[test]
fn the_policy_for_what_is_ambiguous_can_be_chosen() {
    let text = "POST / HTTP/1.1\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n";
    let mut pair = show("http.options.ambiguous = 'alert'");
    pair.up(&format!("{text}{GET}"));
    assert_eq!(
        pair.said(),
        [
            "alert 1: ambiguous http message: Content-Length beside Transfer-Encoding",
            "request\tPOST\t/\tHTTP/1.1\tnil",
            "alert 2: ambiguous http message: a line of a chunked body that ends in LF alone",
            "up\tx",
            "request\tGET\t/a?b=c\tHTTP/1.1\texample.com",
        ]
    );
    pair.got_up(&format!("{text}{GET}"));
    let mut pair = show("http.options.ambiguous = 'pass'");
    pair.up(text);
    assert_eq!(pair.said().len(), 2);
    pair.down("HTTP/1.1 200 OK\r\nA : b\r\n c\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(pair.said()[1], "down\tx");
}

#[test]
fn cookies_and_targets_are_split() {
    let mut pair = request_rule(
        "print(req.split_uri.path, req.split_uri.args.b, req.split_cookies.id, req.split_cookies.x)",
    );
    pair.up("GET /a?b=c HTTP/1.1\r\nCookie: id=5; x = y=z\r\n\r\n");
    assert_eq!(pair.said(), ["/a\tc\t5\ty=z"]);
    let mut pair = response_rule("print(resp.split_cookies.id, resp.split_cookies.Path)");
    pair.down("HTTP/1.1 200 OK\r\nSet-Cookie: id=7; Path=/\r\n\r\n");
    assert_eq!(pair.said(), ["7\t/"]);
}

#[test]
fn a_script_that_fails_in_a_request_is_passed_over_and_the_rest_is_not_read() {
    let settings = tollgate_script::Settings {
        on_rule_error: tollgate_script::OnRuleError::Pass,
        ..tollgate_script::Settings::default()
    };
    let mut pair = Pair::of(common::Scene::with(
        &format!(
            "{SHOW} haka.rule{{ hook = http.events.request, eval = function() error('e', 0) end }}"
        ),
        settings,
    ));
    pair.scene.open();
    pair.up(GET);
    pair.up(GET);
    pair.down(OK);
    pair.got_up(&format!("{GET}{GET}"));
    pair.got_down(OK);
    let said = pair.said();
    assert!(said.iter().any(|line| line.contains("no longer read")), "{said:?}");
}

#[test]
fn a_rule_of_bytes_shows_the_dissector_what_it_has_made() {
    let mut pair = Pair::new(&format!(
        "haka.rule{{ hook = tcp_connection.events.receive_data, eval = function(flow, current, dir)
            if dir == 'up' then current:sub(0, 3):replace(haka.vbuffer_from('POST')) end end }} {SHOW}"
    ));
    pair.up(GET);
    pair.got_up(&GET.replace("GET", "POST"));
    assert_eq!(pair.said(), ["request\tPOST\t/a?b=c\tHTTP/1.1\texample.com"]);
}

#[test]
fn bodies_that_nobody_listens_to_are_not_looked_at() {
    let mut pair = Pair::new(SHOW);
    pair.up(&GET.replace("GET", "POST").replace("Accept: */*", "Content-Length: 300000"));
    for _ in 0..300 {
        pair.up(&"x".repeat(1000));
    }
    pair.up(GET);
    assert_eq!(pair.said().len(), 2);
    pair.down("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n");
    pair.down(&"x".repeat(999));
    pair.down("x\r\n0\r\n");
    pair.down("\r\n");
    pair.down("HTTP/1.1 200 Two\r\n\r\n");
    pair.down("until the end");
    pair.end(ToClient);
    assert_eq!(pair.said()[1], "response\tHTTP/1.1\t200\tTwo\t/a?b=c");
    assert_eq!(pair.over, None);
}

#[test]
fn a_body_that_nobody_sees_ends_its_response() {
    let rules = "local http = require('protocol/http') http.install_tcp_rule(80)
        haka.rule{ hook = http.events.response, eval = function(http, response) print(response.status, http.request.uri) end }";
    let mut pair = Pair::new(rules);
    for (asked, status) in [(1, 200), (2, 404), (3, 200)] {
        pair.up(&format!("GET /{asked} HTTP/1.1\r\n\r\n"));
        pair.down(&format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n"));
        // All of it, in segments of its own.
        pair.down("hel");
        pair.down("lo");
        assert_eq!(pair.said(), [format!("{status}\t/{asked}")]);
    }
    // What answers HEAD has no body, whatever it says: it is not taken for the answer to what was asked before.
    pair.up("HEAD /4 HTTP/1.1\r\n\r\nGET /5 HTTP/1.1\r\n\r\n");
    pair.down("HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\nHTTP/1.1 204 X\r\n\r\n");
    assert_eq!(pair.said(), ["200\t/4", "204\t/5"]);
    assert_eq!(pair.over, None);
}
