//! `protocol/tls`: what hellos say, before the server has heard them.

mod common;

use common::Scene;
use common::wire::Wire;
use tollgate_policy::Verdict;
use tollgate_script::RuleErrors;
use tollgate_wire::Direction::ToClient;

const TLS13: [&[u8]; 2] = [
    include_bytes!("../../inspect/tests/data/tls13.client"),
    include_bytes!("../../inspect/tests/data/tls13.server"),
];
const RETRY: [&[u8]; 2] = [
    include_bytes!("../../inspect/tests/data/retry.client"),
    include_bytes!("../../inspect/tests/data/retry.server"),
];

fn rules(body: &str) -> String {
    format!(
        "local tls = require('protocol/tls')
        tls.install_tcp_rule(443)
        haka.rule{{ hook = tls.events.client_hello, eval = function(flow, hello) {body} end }}
        haka.rule{{ hook = tls.events.server_hello, eval = function(flow, hello)
            print('server', hello.version, hello.cipher, hello.retry)
        end }}"
    )
}

fn scene(body: &str) -> Scene {
    let mut scene = Scene::new(&rules(body)).between("198.18.0.1:40000", "198.18.0.2:443");
    open(&mut scene);
    scene
}

/// Opens a connection, and takes what is said of its dissector.
fn open(scene: &mut Scene) {
    scene.open();
    assert_eq!(scene.said(), ["debug tcp: selecting tls dissector on flow"]);
}

const SHOW: &str = "print(hello.sni, table.concat(hello.alpn, ' '), hello.version,
    table.concat(hello.versions, ' '), #hello.ciphers, #hello.extensions, hello.ech, hello.ja4)";
const SHOWN: &str = "www.example.org\th2 http/1.1\t1.3\t1.3 1.2 1.1 1.0\t31\t11\tfalse\t\
    t13d3111h2_e8f1e7e78f70_1f22a2ca17c4";

#[test]
fn a_hello_is_shown_with_all_its_fields() {
    let mut scene = scene(SHOW);
    scene.data(&TLS13[..1], false);
    scene.data_in(ToClient, &TLS13[1..], false);
    assert_eq!(scene.said(), [SHOWN, "server\t1.3\t4866\tfalse"]);
    assert_eq!(scene.policy.rule_errors(), RuleErrors::default());
}

#[test]
fn a_cut_hello_is_held_until_it_is_whole_and_shown_the_same() {
    let hello = &TLS13[0][..5 + 334];
    // Every cut, for the reader, is a test of its own crate.
    for cut in [1, 4, 5, 6, 9, 10, 100, 200, hello.len() - 1] {
        let mut wire = Wire::of(scene(SHOW));
        wire.push(&hello[..cut], false);
        assert_eq!(wire.held(), &hello[..cut]);
        assert_eq!(wire.said(), [""; 0]);
        wire.push(&hello[cut..], false);
        assert_eq!(wire.said(), [SHOWN]);
        assert_eq!((wire.out.as_slice(), wire.held()), (hello, &b""[..]));
        wire.push(b"\x14\x03\x03\0\x01\x01\x17\x03\x03\0\x02..", false);
        assert_eq!(wire.held(), b"");
    }
}

#[test]
fn a_name_is_refused_before_the_server_has_heard_any_of_it() {
    let mut wire = Wire::of(scene("if hello.sni == 'www.example.org' then flow:reset() end"));
    let (head, tail) = TLS13[0].split_at(200);
    assert_eq!(wire.push(head, false), Verdict::Accept);
    assert_eq!(wire.push(tail, false), Verdict::Reset);
    wire.got("");
}

#[test]
fn a_later_rule_is_not_asked_about_a_dropped_connection() {
    let mut scene = scene("flow:drop() print('dropped')");
    assert_eq!(scene.data(&TLS13[..1], false), Verdict::Drop);
    assert_eq!(scene.said(), ["dropped"]);
}

#[test]
fn a_hello_that_the_server_asked_for_is_shown_too() {
    let mut scene = scene("print(hello.sni)");
    let first = 5 + usize::from(u16::from_be_bytes([RETRY[0][3], RETRY[0][4]]));
    let (one, two) = RETRY[0].split_at(first);
    scene.data(&[one], false);
    let asked = 5 + usize::from(u16::from_be_bytes([RETRY[1][3], RETRY[1][4]]));
    let (ask, answer) = RETRY[1].split_at(asked);
    scene.data_in(ToClient, &[ask], false);
    scene.data(&[two], false);
    scene.data_in(ToClient, &[answer], false);
    assert_eq!(
        scene.said(),
        [
            "www.example.org",
            "server\t1.3\t4866\ttrue",
            "www.example.org",
            "server\t1.3\t4866\tfalse"
        ]
    );
}

#[test]
fn what_is_no_tls_goes_on_with_one_alert() {
    let mut wire = Wire::of(scene("print('hello')"));
    for line in ["GET / HTTP/1.1\r\n", "Host: example\r\n\r\n"] {
        wire.push(line.as_bytes(), false);
    }
    wire.got("GET / HTTP/1.1\r\nHost: example\r\n\r\n");
    wire.scene.data_in(ToClient, &[b"HTTP/1.1 400"], false);
    assert_eq!(wire.said(), ["alert 1: tls: not TLS"]);
}

#[test]
fn a_stream_that_ends_in_a_hello_lets_go_of_it() {
    let mut wire = Wire::of(scene("print('hello')"));
    wire.push(&TLS13[0][..100], false);
    assert_eq!(wire.held().len(), 100);
    wire.push(&TLS13[0][100..110], true);
    assert_eq!((wire.out.as_slice(), wire.held()), (&TLS13[0][..110], &b""[..]));
    assert_eq!(wire.said(), [""; 0]);
}

#[test]
fn another_port_is_left_alone_unless_a_rule_says_otherwise() {
    let mut scene = Scene::new(&rules("print(hello.sni)"));
    scene.open();
    scene.data(&TLS13[..1], false);
    assert_eq!(scene.said(), [""; 0]);
    let text = "local tls = require('protocol/tls')
        haka.rule{ hook = tcp_connection.events.new_connection, eval = tls.dissect }
        haka.rule{ hook = tls.events.client_hello, eval = function(flow, hello) print(hello.sni) end }";
    let mut scene = Scene::new(text);
    open(&mut scene);
    scene.data(&TLS13[..1], false);
    assert_eq!(scene.said(), ["www.example.org"]);
}

#[test]
fn pass_through_shows_hellos_and_holds_nothing() {
    let settings = tollgate_script::Settings { pass_through: true, ..Default::default() };
    let mut scene = Scene::with(&rules("print(hello.sni)"), settings)
        .between("[fd00::1]:4000", "[fd00::2]:443");
    open(&mut scene);
    let (head, tail) = TLS13[0].split_at(50);
    scene.data(&[head], false);
    assert_eq!(scene.wishes.hold_from, None);
    scene.data(&[tail], false);
    assert_eq!(scene.said(), ["www.example.org"]);
}
