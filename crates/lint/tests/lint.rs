//! What is said of scripts: nothing of those that are good, and of the others what is wrong, where, and what was meant.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

use tollgate_lint::{Finding, Library, Severity, Text, lint};

fn found(texts: &[(&str, &[u8])], is_whole: bool) -> Vec<Finding> {
    let texts: Vec<_> =
        texts.iter().map(|(file, bytes)| Text { file: Path::new(*file), bytes }).collect();
    lint(&Library::new(), &texts, is_whole)
}

/// Findings as lines: a letter for how sure it is, the line, the message.
fn told(text: &str) -> Vec<String> {
    let letter = |severity| if severity == Severity::Fault { 'F' } else { 'W' };
    let found = found(&[("a.lua", text.as_bytes())], true);
    found.iter().map(|f| format!("{}{}: {}", letter(f.severity), f.line, f.message)).collect()
}

#[track_caller]
fn all_told(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(told(text).join(" / "), *expected, "{text}");
    }
}

#[test]
fn fields_that_what_a_rule_gets_does_not_have_are_found() {
    all_told(&[
        (
            "haka.rule{ hook = ipv4.events.receive_packet, eval = function(p)\n if p.ttl < 3 then p.tttl = 64 end end }",
            "F2: ipv4.Packet has no 'tttl'; did you mean ttl",
        ),
        (
            "haka.rule{ hook = tcp_connection.events.new_connection, eval = function(flow, pkt)\n print(pkt.ip.scr) end }",
            "F2: neither ipv4.Packet nor ipv6.Packet has 'scr'; did you mean src",
        ),
        (
            "haka.rule{ hook = tcp_connection.events.new_connection, eval = function(flow, pkt)\n if pkt.flags.sny then flow:rset() end end }",
            "F2: tcp.Flags has no 'sny'; did you mean syn / F2: haka.Flow has no 'rset'; did you mean reset",
        ),
        (
            "haka.rule{ hook = tcp_connection.events.end_connection, eval = function(flow)\n print(flow.conection.in_pkt) end }",
            "W2: nothing sets 'conection' of haka.Flow: it is nil; did you mean connection",
        ),
        (
            "haka.rule{ hook = tcp_connection.events.receive_data, eval = function(flow, data)\n data:asstrng() end }",
            "F2: vbuffer.Part has no 'asstrng'; did you mean asstring",
        ),
        (
            "haka.rule{ hook = tcp.events.receive_data, options = { streamed = true }, eval = function(flow, data)\n data:asstring() for part in data:foreach_available() do part:ersae() end end }",
            "F2: vbuffer.Iterator has no 'asstring' / F2: vbuffer.Part has no 'ersae'; did you mean erase",
        ),
        (
            "local http = require('protocol/http') http.install_tcp_rule(80)\nhaka.rule{ hook = http.events.request, eval = function(http, req)\n print(req.header['Host'], http.flow.srcprt, req.split_uri.hots) end }",
            "W3: nothing sets 'header' of http.Request: it is nil; did you mean headers / \
             W3: nothing sets 'srcprt' of haka.Flow: it is nil; did you mean srcport / F3: http.Uri has no 'hots'; did you mean host",
        ),
        (
            "dns.install_udp_rule(53) haka.rule{ hook = dns.events.query, eval = function(dns, query)\n for _, q in ipairs(query.question) do print(q.nane) end end }",
            "F2: dns.Record has no 'nane'; did you mean name",
        ),
        (
            "haka.rule{ hook = udp_connection.events.receive_data, eval = function(flow, data)\n print(data.srcport, data:asstring(), data.len) end }",
            "F2: udp_connection.Data has no 'len'; did you mean length",
        ),
        (
            "local seen\nlocal function look(text) return text end\nlook(('x'):uper())",
            "F3: string has no 'uper'; did you mean upper",
        ),
    ]);
}

#[test]
fn names_that_modules_and_what_calls_give_do_not_have_are_found() {
    all_told(&[
        (
            "local net = ipv4.network('10.0.0.0/8')\nlocal function f(a) return net:contain(a) end",
            "F2: haka.Network has no 'contain'; did you mean contains",
        ),
        (
            "local rem = require 'regexp/pcre'\nlocal re = rem.re:compile('a')\nfunction f(x) return re:macth(x) end",
            "F3: regexp.Expression has no 'macth'; did you mean match",
        ),
        (
            "if false then\nhaka.log.warnign('x') end",
            "F2: haka.Log has no 'warnign'; did you mean warning",
        ),
        (
            "function f()\nreturn tcp_connection.events.receive_date end",
            "F2: unknown event tcp_connection.events.receive_date; did you mean receive_data",
        ),
        (
            "function f()\nhaka.alert{ descripton = 'x', method = { refs = {} } } end",
            "F2: unknown key 'descripton' in haka.AlertFields; did you mean description / F2: unknown key 'refs' in haka.AlertMethod; did you mean ref",
        ),
        (
            "haka.rule{ hook = tcp_connection.events.receive_data,\nmatch = { dstprot = 80 }, eval = function() end }",
            "F2: unknown key 'dstprot' in haka.Match; did you mean dstport",
        ),
        (
            "haka.rule{ hook = tcp_connection.events.receive_data,\noptions = { streamd = true }, eval = function() end }",
            "F2: unknown key 'streamd' in haka.RuleOptions; did you mean streamed",
        ),
        (
            "http.options.ambigous = 'alert'",
            "F1: http.options has no 'ambigous'; did you mean ambiguous",
        ),
    ]);
}

#[test]
fn globals_that_nothing_sets_are_found() {
    all_told(&[
        ("function f() return hakka.rule end", "F1: unknown global 'hakka'; did you mean haka"),
        (
            "function f()\nprnit('x') return os.time(), io.open, string.dump end",
            "F2: unknown global 'prnit'; did you mean print / F2: unknown global 'os' / F2: unknown global 'io' / F2: string has no 'dump'",
        ),
        (
            "local limit = limmit or 3\nlimit_max = 4",
            "W1: nothing sets the global 'limmit': it is nil",
        ),
    ]);
}

#[test]
fn functions_of_a_group_get_what_its_event_gives() {
    all_told(&[(
        "local g = haka.rule_group{ hook = tcp_connection.events.new_connection,\n continue = function(ret, flow, pkt) return pkt.dport end }\n g:rule{ eval = function(flow, pkt)\n pkt:dorp() end }\n g:rule(function(flow, pkt) return pkt.sport end)",
        "F2: tcp.Packet has no 'dport'; did you mean dstport / F4: tcp.Packet has no 'dorp'; did you mean drop / F5: tcp.Packet has no 'sport'; did you mean srcport",
    )]);
}

#[test]
fn what_may_be_meant_is_let_be() {
    for text in [
        // Fields of one's own.
        "haka.rule{ hook = tcp_connection.events.new_connection, eval = function(flow) flow.seen = (flow.seen or 0) + 1 end }",
        "haka.rule{ hook = tcp_connection.events.new_connection, eval = function(flow) rawset(flow, 'kept', 1) return flow.kept end }",
        // A module of one's own, helpers in ours, globals that are made up.
        "local words = require('words') print(words.anything.at.all)",
        "function string.trim(s) return s end print(('x'):trim())",
        "function tcp.helper() end tcp.helper()",
        "_G.one = 1 for _, n in ipairs{'a'} do _G[n] = 2 end print(a, one.two)",
        // Locals and globals that change what they are.
        "local x = ipv4.addr('10.0.0.1') x = {} print(x.anything)",
        "x = ipv4.addr('10.0.0.1') if x then x = {} end print(x.anything)",
        // Parameters of functions that anyone calls.
        "local function f(pkt, flow) return pkt.anything, flow:goes() end",
        // Words of descriptions.
        "haka.grammar.new('x', function() line = record{ field('a', token('b')) } export(line) end)",
        "haka.state_machine.new('x', function() state_type(BidirectionalState) a = state(nil, nil) any:on{ event = events.fail, execute = function(self) self:drop() end } initial(a) end)",
        // LuaJIT's own words.
        "goto done ::done:: local x = 0x1p3 + 1LL local s = '\\z  \\x41' print(x, s)",
        "haka.rule{ hook = tcp_connection.events.receive_data, options = chosen or {}, eval = function(f, x) x:asstring() x:wait() end }\nchosen = {}",
        // What the script's author knows better.
        "haka.lgo('x') ---@diagnostic disable-line",
        "---@diagnostic disable-next-line: undefined-field\nhaka.lgo('x')",
        // Either version of IP.
        "haka.rule{ hook = udp.events.receive_packet, eval = function(p) print(p.ip.flow_label, p.ip.id) end }",
        "local class = require('class') local A = class.class('A') function A.method:b() end A:new():b()",
    ] {
        assert_eq!(told(text), [""; 0], "{text}");
    }
}

#[test]
fn without_all_files_nothing_is_said_of_globals() {
    let text = b"print(elsewhere.value) haka.log.inf('x')";
    let found = found(&[("a.lua", text)], false);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].message, "haka.Log has no 'inf'; did you mean info");
}

#[test]
fn files_of_one_script_know_each_other() {
    let main: &[u8] = b"local words = require('words') print(shared, words.x)";
    assert_eq!(found(&[("main.lua", main), ("words.lua", b"shared = 1")], true), []);
}

#[test]
fn what_cannot_be_followed_is_said_once_and_harms_nothing() {
    let deep = format!("return {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    let long = format!("return 1{}", " + 1".repeat(100_000));
    let calls = format!("f{}", "()".repeat(100_000));
    let blocks = format!("{}{}", "do ".repeat(10_000), "end ".repeat(10_000));
    let signs = format!("return {}1", "not ".repeat(100_000));
    for text in [&deep, &long, &calls, &blocks, "x = ", "'open", "local function"] {
        let told = told(text);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("W1: from here on nothing is checked"), "{told:?}");
    }
    assert_eq!(told(&signs), [""; 0]);
    let joined = format!("return ''{}", " .. ''".repeat(1_900));
    assert_eq!(told(&joined), [""; 0]);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "local", "x", "=", "function", "(", ")", "end", "{", "}", "[", "]", ".", ":", ",", "if", "then", "else",
            "haka", "rule", "'a'", "1", "..", "and", "for", "in", "do", "return", "\n", "--", "[[", "]]", "\"", "\\",
            "...", "::", "goto", "not", "-", "while", "repeat", "until", "\u{e9}", "hook", "eval", "tcp", "events",
        ]), 0..60)) {
        let text = words.join(" ");
        drop(found(&[("a.lua", text.as_bytes())], true));
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn lua_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            lua_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "lua") {
            found.push(path);
        }
    }
}

/// Everything here that is a rule, and meant to be one.
#[test]
fn nothing_is_said_of_the_scripts_of_this_project() {
    let mut files = Vec::new();
    for folder in [
        "bench",
        "crates/cli/src",
        "crates/cli/tests",
        "crates/script/tests",
        "deploy",
        "docs",
        "examples",
    ] {
        lua_files(&root().join(folder), &mut files);
    }
    assert!(files.len() > 40, "{}", files.len());
    let mut said = Vec::new();
    for file in files {
        let text = fs::read(&file).unwrap();
        let found = lint(&Library::new(), &[Text { file: &file, bytes: &text }], true);
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        said.extend(
            found.into_iter().map(|found| format!("{name}:{}: {}", found.line, found.message)),
        );
    }
    // A script that is there to fail.
    assert_eq!(said, ["errors.lua:8: ipv4.Packet has no 'nothing'"]);
}

#[test]
fn nothing_is_said_of_the_examples_in_the_documents() {
    let mut count = 0;
    let folders = ["docs", "docs/rules", "editors/luals"].map(|folder| root().join(folder));
    for entry in folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let page = fs::read_to_string(&path).unwrap();
        for example in page.split("```lua\n").skip(1).map(|rest| rest.split("```").next().unwrap())
        {
            count += 1;
            let text = Text { file: &path, bytes: example.as_bytes() };
            assert_eq!(lint(&Library::new(), &[text], true), [], "{}\n{example}", path.display());
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn a_dot_for_a_colon_and_a_colon_for_a_dot_are_found() {
    let rule = |eval: &str| {
        format!(
            "haka.rule{{ hook = tcp_connection.events.receive_data, eval = function(flow, data)\n {eval} end }}"
        )
    };
    for (eval, expected) in [
        ("flow.drop()", "F2: 'drop' is a method: call it with a colon, as in it:drop(…)"),
        ("data.sub(1, 2)", "F2: 'sub' is a method: call it with a colon, as in it:sub(…)"),
        ("flow.drop(flow) flow.drop(unpack{ flow }) local f = flow f.drop(f)", ""),
        (
            "print(ipv4:addr('1.2.3.4'))",
            "F2: 'addr' is no method: call it with a dot, as in ipv4.addr(…)",
        ),
        ("haka.log('x') print(('x'):rep(3), data:sub(1):asstring():upper())", ""),
        ("local net = ipv4.network('10.0.0.0/8') print(net.contains(flow.srcip))", ""),
        (
            "local net = ipv4.network('10.0.0.0/8') print(net.contains('10.0.0.1'))",
            "F2: 'contains' is a method: call it with a colon, as in it:contains(…)",
        ),
    ] {
        assert_eq!(told(&rule(eval)).join(" / "), expected, "{eval}");
    }
}

#[test]
fn a_comparison_that_is_never_true_is_told_with_what_is_meant() {
    let rule = |eval: &str| {
        format!(
            "haka.rule{{ hook = tcp_connection.events.receive_data, eval = function(flow, data)\n {eval} end }}"
        )
    };
    for (eval, expected) in [
        (
            "if flow.srcip == '10.0.0.1' then flow:drop() end",
            "W2: 'srcip' is never equal to a text; compare it with ipv4.addr(\"10.0.0.1\")",
        ),
        (
            "return 'fd00::/8' ~= flow.dstip",
            "W2: 'dstip' is never equal to a text; ask ipv6.network(\"fd00::/8\"):contains(it)",
        ),
        (
            "if flow.dstport == '80' then flow:drop() end",
            "W2: 'dstport' is never equal to a text; compare it with 80",
        ),
        (
            "if data == 'bad' then flow:drop() end",
            "W2: this is never equal to a text; compare its asstring()",
        ),
        ("local x = 'a' return data:asstring() == 'bad' and flow.name == 'x' and x == 'b'", ""),
        (
            "return flow.srcip == ipv4.addr('10.0.0.1') and flow.dstport == 80 and tostring(flow.srcip) == '10.0.0.1'",
            "",
        ),
    ] {
        assert_eq!(told(&rule(eval)).join(" / "), expected, "{eval}");
    }
}

#[test]
fn an_event_of_a_dissector_that_reads_nothing_is_told() {
    let rule = "haka.rule{ hook = http.events.request, eval = function(http, req) end }";
    let told_of = "nothing raises http.events.request: there is no http.install_tcp_rule(80), or http.dissect(flow) as a connection begins";
    assert_eq!(told(rule), [format!("W1: {told_of}")]);
    for good in [
        "http.install_tcp_rule(80)",
        "haka.rule{ hook = tcp_connection.events.new_connection, eval = function(flow) http.dissect(flow) end }",
        "local dissect = http.dissect",
    ] {
        assert_eq!(told(&format!("{rule}\n{good}")), [""; 0], "{good}");
    }
    let dns = "haka.rule{ hook = dns.events.query, eval = function() end }";
    assert_eq!(told(dns).len(), 1);
    assert_eq!(told(&format!("{dns} dns.install_udp_rule(53)")), [""; 0]);
}
