//! What a script says about itself when it is loaded.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::Write;
use std::path::Path;

use common::{Scene, load};
use tollgate_script::{Limits, Rules, Settings};

/// The faults as text, one line each (tracebacks are cut).
fn faults(text: &str) -> Vec<String> {
    let error = load(text).map(|_| ()).unwrap_err();
    error.faults.iter().map(|fault| fault.to_string().lines().next().unwrap().to_owned()).collect()
}

#[test]
fn a_syntax_error_has_its_line() {
    assert_eq!(faults("local a = 1\nlocal = 2\n"), ["test.lua:2: '<name>' expected near '='"]);
}

#[test]
fn every_fault_is_found_in_one_go() {
    let text = r#"
haka.rule{ hook = tcp_connection.events.new_conection, eval = function() end }
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = "not a function" }
haka.rule{ hook = 7, eval = function() end }
haka.rule{ hook = tcp_connection.events.new_connection, evil = function() end }
haka.rule{ hook = tcp.events.send_packets, eval = function() end }
haka.rule{ hook = http.events.requests, eval = function() end }
haka.rule{ hook = tcp_connection.events.new_connection, options = { streamed = true }, eval = print }
local g = haka.rule_group{ on = tcp_connection.events.new_connection, init = 3 }
g:rule("x")
"#;
    assert_eq!(
        faults(text),
        [
            "test.lua:2: unknown event tcp_connection.events.new_conection; did you mean new_connection",
            "test.lua:3: haka.rule: eval must be a function, got string",
            "test.lua:6: haka.rule: hook must be an event, got number",
            "test.lua:7: haka.rule: unknown key 'evil'; did you mean eval",
            "test.lua:8: unknown event tcp.events.send_packets; did you mean send_packet",
            "test.lua:9: unknown event http.events.requests; did you mean request",
            "test.lua:10: haka.rule: tcp_connection.events.new_connection cannot be streamed",
            "test.lua:11: haka.rule_group: init must be a function, got number",
            "test.lua:12: group:rule: eval must be a function, got string",
        ]
    );
}

#[test]
fn a_runtime_error_has_its_line_and_a_traceback() {
    let error = load("local function f()\n  error('no luck')\nend\nf()\n").map(|_| ()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("test.lua:2: no luck\nstack traceback:\n"), "{text}");
    assert!(text.contains("test.lua:4: in main chunk"), "{text}");
    assert!(!text.contains("tollgate"), "{text}");
}

#[test]
fn faults_before_a_runtime_error_are_told_too() {
    let text = "haka.rule{ hook = raw.events.receive, eval = print }\nlocal x = nil + 1\n";
    let found = faults(text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[1].starts_with("test.lua:2: attempt to perform arithmetic on a nil"),
        "{found:?}"
    );
}

#[test]
fn errors_of_the_library_name_the_scripts_line() {
    for (text, wanted) in [
        ("\nipv4.network('10.0.0.0/33')", "ipv4.network: a mask of 0 to 32 bits expected"),
        ("\nipv4.network('10.0.0/8')", "ipv4.network: '10.0.0' is no IPv4 address"),
        (
            "\nipv4.addr('fd00::1')",
            "ipv4.addr: 'fd00::1' is no IPv4 address: that is what ipv6.addr is for",
        ),
        ("\nipv4.addr(1, 2, 3, 256)", "ipv4.addr: four numbers from 0 to 255 expected"),
        (
            "\nrequire('protocol/tpc')",
            "require 'protocol/tpc': no such module; did you mean protocol/tcp",
        ),
        ("\nlocal x = haka.ruel", "haka: unknown field 'ruel'; did you mean rule"),
        ("\nlocal x = haka.console", "haka.console is not supported yet"),
        (
            "\nhaka.alert{ descripton = 'x' }",
            "haka.alert: unknown key 'descripton'; did you mean description",
        ),
        (
            "\nhaka.alert{ severity = 'huge' }",
            "haka.alert: severity must be one of low, medium, high, got 'huge'",
        ),
    ] {
        assert_eq!(faults(text), [format!("test.lua:2: {wanted}")], "{text}");
    }
}

#[test]
fn every_module_can_be_required_and_is_a_global_too() {
    load(
        "for _, name in ipairs{'raw', 'ipv4', 'ipv6', 'tcp', 'tcp_connection', 'http'} do
            assert(require('protocol/' .. name) == _G[name], name)
        end",
    )
    .unwrap();
}

#[test]
fn a_script_has_no_way_out() {
    load(
        "for _, name in ipairs{'io', 'os', 'package', 'ffi', 'jit', 'load', 'loadstring', 'loadfile',
            'dofile', 'getfenv', 'setfenv', 'newproxy', 'gcinfo', 'module'} do
            assert(_G[name] == nil, name)
        end
        assert(string.dump == nil and ('').dump == nil)
        assert(debug.getinfo == nil and debug.sethook == nil and debug.traceback('x'):find('test.lua:6'))
        assert(getmetatable(ipv4.addr('1.2.3.4')) == false)",
    )
    .unwrap();
    let bytecode = faults("\u{1b}LJ\u{2}");
    assert!(bytecode[0].contains("attempt to load a binary chunk"), "{bytecode:?}");
}

#[test]
fn a_script_that_never_ends_or_fills_the_memory_is_refused() {
    let limits =
        Limits { load_instructions_max: 1_000_000, memory_bytes_max: 8 << 20, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    for (text, wanted) in [
        ("\nwhile true do end", "a rule ran for more than 1000000 instructions"),
        (
            "\nlocal t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
            "the rules' memory is exhausted",
        ),
    ] {
        let error = Rules::parse(Path::new("a.lua"), text, settings).map(|_| ()).unwrap_err();
        assert!(
            error.to_string().starts_with(&format!("a.lua:2: {wanted}"))
                || error.to_string().starts_with(&format!("a.lua: {wanted}")),
            "{error}"
        );
    }
}

#[test]
fn what_a_script_says_at_load_is_kept_once() {
    let rules = load("print('hello', 1)\nhaka.log('loaded %d%%', 100)").unwrap();
    let lines: Vec<_> = rules.messages().iter().map(|log| log.message.as_str()).collect();
    assert_eq!(lines, ["hello\t1", "loaded 100%"]);
}

#[test]
fn files_that_are_no_scripts_are_named() {
    let missing = Rules::load(Path::new("/nonexistent/x.lua")).map(|_| ()).unwrap_err();
    assert_eq!(missing.to_string(), "/nonexistent/x.lua: no such file");
    let dir = tempfile::tempdir().unwrap();
    let error = Rules::load(dir.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error.ends_with(": is a directory"), "{error}");
    let path = dir.path().join("long.lua");
    std::fs::File::create(&path).unwrap().write_all(&[b' '; 101]).unwrap();
    let limits = Limits { script_bytes_max: 100, ..Limits::default() };
    let error = Rules::load_with(&path, Settings { limits, ..Settings::default() });
    assert!(error.map(|_| ()).unwrap_err().to_string().ends_with("is longer than 100 bytes"));
}

#[test]
fn rules_cross_threads() {
    fn crosses<T: Send + Sync>(_: &T) {}
    let rules =
        load("haka.rule{ hook = tcp_connection.events.end_connection, eval = print }").unwrap();
    crosses(&rules);
    std::thread::spawn(move || rules.policy().map(|_| ()).unwrap()).join().unwrap();
}

#[test]
fn a_script_that_redefines_lua_confuses_only_itself() {
    let mut scene = Scene::new(
        "local say, _G = print, _G
        haka.rule{ hook = tcp_connection.events.receive_data, options = { streamed = true },
            eval = function(flow, iter) say(flow.srcip, iter:sub(2):asstring()) flow:drop() end }
        for name in pairs(_G) do _G[name] = nil end",
    );
    assert_eq!(scene.data(&[b"abc"], false), tollgate_policy::Verdict::Drop);
    assert_eq!(scene.said(), ["198.18.0.1\tab"]);
    let mut scene = Scene::new(
        "for _, library in ipairs{ string, table, math, bit, coroutine } do
            for name in pairs(library) do library[name] = function() error('mine') end end
        end
        haka.rule{ hook = tcp_connection.events.new_connection, eval = function(flow, pkt)
            haka.alert{ description = 'x', sources = haka.alert.address(pkt.ip.src) }
            if ipv4.network('198.18.0.0/15'):contains(flow.dstip) then flow:reset() end
        end }",
    );
    assert_eq!(scene.open(), tollgate_policy::Verdict::Reset);
    assert_eq!(scene.said(), ["alert 1: x"]);
}

#[test]
fn a_script_follows_connections_if_it_says_so() {
    let follows = |text: &str| load(text).unwrap().follows_connections();
    assert!(!follows("require('protocol/tcp') require('protocol/ipv4')"));
    assert!(!follows("haka.rule{ hook = tcp.events.receive_packet, eval = print }"));
    assert!(follows("require('protocol/tcp_connection')"));
    assert!(follows("require('protocol/http')"));
    assert!(follows("haka.rule{ hook = tcp.events.receive_data, eval = print }"));
    assert!(follows("http.install_tcp_rule(80)"));
}

#[test]
fn what_is_asked_for_in_vain_is_told_with_the_way_out() {
    let said = |text: &str| load(text).map(|_| ()).unwrap_err().to_string();
    for (text, wanted) in [
        (
            "tcp_connections.events.x()",
            "test.lua:1: attempt to index global 'tcp_connections' (a nil value); did you mean tcp_connection",
        ),
        ("pirnt('x')", "(a nil value); did you mean print"),
        (
            "io.open('x')",
            "attempt to index global 'io' (a nil value); scripts have no files, processes or code but their own",
        ),
        ("loadstring('x')", "scripts have no files"),
        (
            "haka.log.warning('%d', 'x')",
            "test.lua:1: haka.log: bad argument #2 to 'format' (number expected, got string)",
        ),
        (
            "ipv4.network('fd00::/8')",
            "'fd00::' is no IPv4 address: that is what ipv6.network is for",
        ),
        ("ipv6.addr('10.0.0.1')", "'10.0.0.1' is no IPv6 address: that is what ipv4.addr is for"),
        (
            "haka.vbuffer_from('x').sub(1)",
            "test.lua:1: a method is called with a colon, as in object:method(), and here it was a dot",
        ),
        ("nobody.knows = 1", "test.lua:1: attempt to index global 'nobody' (a nil value)\n"),
    ] {
        assert!(said(text).contains(wanted), "{text}: {}", said(text));
    }
    let mut scene = Scene::new(
        "haka.rule{ hook = tcp_connection.events.new_connection, eval = function(flow) flow.drop() end }",
    );
    scene.open();
    assert!(
        scene.said()[0]
            .starts_with("error tcp: test.lua:1: flow.drop: call it with a colon, as flow:drop()")
    );
}
