//! The annotations that editors and `tollgate check` read, held against what scripts really find: what they name is
//! there, and what is there they name.
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use common::frames::{datagram, tcp, udp};
use common::{Scene, load};
use tollgate_lint::Library;
use tollgate_wire::Direction;

/// Where an object of each class is to be had: a hook, what its rule does before, and the expression.
const OBJECTS: &[(&str, &str, &str)] = &[
    ("haka.Flow", OPEN, "flow"),
    ("haka.FlowState", OPEN, "flow.state"),
    ("haka.Traffic", OPEN, "flow.connection"),
    ("tcp.Packet", "hook = tcp.events.receive_packet, eval = function(pkt)", "pkt"),
    ("tcp.Flags", "hook = tcp.events.receive_packet, eval = function(pkt)", "pkt.flags"),
    ("ipv4.Packet", "hook = ipv4.events.receive_packet, eval = function(pkt)", "pkt"),
    ("ipv4.Flags", "hook = ipv4.events.receive_packet, eval = function(pkt)", "pkt.flags"),
    ("ipv6.Packet", "hook = ipv6.events.receive_packet, eval = function(pkt)", "pkt"),
    ("raw.Packet", "hook = ipv4.events.receive_packet, eval = function(pkt)", "pkt.raw"),
    ("udp.Packet", "hook = udp.events.receive_packet, eval = function(pkt)", "pkt"),
    ("icmp.Packet", "hook = icmp.events.receive_packet, eval = function(pkt)", "pkt"),
    ("vbuffer.Part", "hook = tcp.events.receive_packet, eval = function(pkt)", "pkt.payload"),
    ("vbuffer.Buffer", OPEN, "haka.vbuffer_from('x')"),
    ("vbuffer.Iterator", OPEN, "haka.vbuffer_from('x'):pos('begin')"),
    ("haka.Time", OPEN, "haka.network_time()"),
    ("haka.Alert", OPEN, "haka.alert{ description = 'x' }"),
    ("haka.Patterns", OPEN, "set"),
    ("haka.PatternStream", OPEN, "set:stream()"),
    ("haka.Hit", OPEN, "set:match('xx')[1]"),
    ("haka.Network", OPEN, "ipv4.network('10.0.0.0/8')"),
    ("ipv4.Addr", OPEN, "ipv4.addr('10.0.0.1')"),
    ("haka.Group", OPEN, "group"),
    ("regexp.Expression", OPEN, "expression"),
    ("regexp.Sink", OPEN, "expression:create_sink()"),
    ("regexp.Engine", OPEN, "require('regexp/pcre').re"),
    ("udp_connection.Flow", UDP, "flow"),
    ("udp_connection.State", UDP, "flow.state"),
    ("udp_connection.Data", UDP, "data"),
    ("dns.Message", "hook = dns.events.query, eval = function(dns, query)", "query"),
    ("dns.Dissector", "hook = dns.events.query, eval = function(dns, query)", "dns"),
    ("dns.Record", "hook = dns.events.query, eval = function(dns, query)", "query.question[1]"),
    ("http.Request", "hook = http.events.request, eval = function(http, req)", "req"),
    ("http.Dissector", "hook = http.events.request, eval = function(http, req)", "http"),
    ("http.Uri", "hook = http.events.request, eval = function(http, req)", "req.split_uri"),
    ("http.Response", "hook = http.events.response, eval = function(http, resp)", "resp"),
];
const OPEN: &str = "hook = tcp_connection.events.new_connection, eval = function(flow, pkt)";
const UDP: &str = "hook = udp_connection.events.receive_data, eval = function(flow, data)";

/// Names that an object shows and that are no business of scripts, by class.
const INTERNAL: &[(&str, &[&str])] = &[
    ("vbuffer.Part", PART),
    ("vbuffer.Buffer", PART),
    ("udp_connection.Data", PART),
    ("vbuffer.Iterator", &["store", "at", "epoch", "reader", "passed", "lent"]),
    ("haka.Patterns", &["compiled", "names", "every"]),
    ("haka.PatternStream", &["set", "every", "watch", "base", "fed", "store", "at", "epoch"]),
    ("haka.Network", &["width", "mask1", "net1"]),
    ("regexp.Expression", &["compiled"]),
    ("regexp.Sink", &["search"]),
    ("dns.Dissector", &["addproperty", "receive", "streamed", "waiting"]),
    (
        "http.Dissector",
        &[
            "addproperty",
            "asked",
            "begun",
            "down",
            "next_dissector",
            "receive",
            "receive_streamed",
            "streamed",
            "talk",
            "up",
        ],
    ),
];
const PART: &[&str] =
    &["store", "from", "to", "epoch", "grows", "snap", "snap_at", "lent", "packet"];

/// Every word in the prelude: what a script can find under a name, it finds under one of these.
fn words() -> BTreeSet<String> {
    fn gather(folder: &Path, words: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("the prelude") {
            let path = entry.expect("a file").path();
            if path.is_dir() {
                gather(&path, words);
                continue;
            }
            let text = fs::read_to_string(&path).expect("text");
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let all = text.split(|c| !is_part(c)).filter(|word| {
                word.len() > 1 && word.starts_with(|c: char| c.is_ascii_alphabetic())
            });
            words.extend(all.map(str::to_owned));
        }
    }
    let mut words = BTreeSet::new();
    gather(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/prelude"), &mut words);
    // Made in Rust.
    for word in
        ["sni", "alpn", "ja4", "ech", "early_data", "versions", "ciphers", "cipher", "extensions"]
    {
        words.insert(word.to_owned());
    }
    words
}

/// Which of the words give something in what `expression` is, in a rule.
fn found(words: &BTreeSet<String>, hook: &str, expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // A portion at a time, for the limit of instructions.
    let all: Vec<_> = words.iter().collect();
    for portion in all.chunks(500) {
        let list: String = portion.iter().map(|word| format!("'{word}',")).collect();
        let text = format!(
            "require('protocol/tcp') require('protocol/udp') require('protocol/http').install_tcp_rule(80)
            dns.install_udp_rule(53)
            set = haka.patterns{{ a = 'x' }} expression = require('regexp/pcre').re:compile('a')
            group = haka.rule_group{{ hook = haka.events.exiting }}
            haka.rule{{ {hook}
                local object = {expression}
                for _, word in ipairs{{ {list} }} do
                    local ok, value = pcall(function() return object[word] end)
                    if ok and value ~= nil then print('has ' .. word) end
                end
                print('done')
            end }}"
        );
        let rules = load(&text).unwrap_or_else(|error| unreachable!("{error}\n{text}"));
        let mut scene = Scene::of(&rules).between("192.168.20.5:4000", "192.168.20.9:80");
        play(&mut scene);
        let said = scene.said();
        assert!(said.iter().any(|line| line == "done"), "{expression}: {said:?}");
        found.extend(said.iter().filter_map(|line| line.strip_prefix("has ")).map(str::to_owned));
    }
    found
}

/// Something of everything.
fn play(scene: &mut Scene) {
    scene.open();
    let request = b"GET http://me:pw@h:80/a?b=c#d HTTP/1.1\r\nHost: h\r\n\r\n";
    scene.data(&[request], false);
    scene.data_in(Direction::ToClient, &[b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], false);
    let question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x04evil\x07example\0\0\x01\0\x01";
    for frame in [
        tcp(("192.168.20.9", 4000), ("198.18.0.2", 23), b"hello"),
        tcp(("fd00::1", 4000), ("fd00::2", 80), b"hello"),
        udp(("192.168.20.9", 4000), ("198.18.0.2", 514), b"a line"),
        udp(("192.168.20.9", 4000), ("198.18.0.2", 53), question),
        datagram("192.168.20.9", "198.18.0.2", 1, &[8, 0, 0, 0, 1, 2, 3]),
    ] {
        scene.cross(&frame);
    }
}

fn named(library: &Library, class: &str) -> BTreeSet<String> {
    library.fields(class).into_iter().map(str::to_owned).collect()
}

#[test]
fn objects_have_the_fields_that_are_annotated_and_no_others() {
    let (library, words) = (Library::new(), words());
    let internal: BTreeMap<_, _> = INTERNAL.iter().copied().collect();
    let mut faults = Vec::new();
    for (class, hook, expression) in OBJECTS {
        let named = named(&library, class);
        assert!(!named.is_empty(), "no class {class}");
        let has = found(&words.union(&named).cloned().collect(), hook, expression);
        let hidden = internal.get(class).copied().unwrap_or_default();
        for name in has.difference(&named).filter(|name| !hidden.contains(&name.as_str())) {
            faults.push(format!("{class} has '{name}', which is not annotated"));
        }
        // Some are there only if they say something.
        for name in named.difference(&has).filter(|name| !may_be_nil(class, name)) {
            faults.push(format!("{class}.{name} is annotated and not there"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Whether the annotation says that it may be nil.
fn may_be_nil(class: &str, name: &str) -> bool {
    let own = |text: &str| {
        let mut lines = text.lines().skip_while(|line| {
            line.strip_prefix("---@class ").is_none_or(|rest| rest.split(':').next() != Some(class))
        });
        lines.by_ref().next();
        lines
            .take_while(|line| !line.starts_with("---@class"))
            .any(|line| line.starts_with(&format!("---@field {name}? ")))
    };
    tollgate_lint::FILES.iter().any(|(_, text)| own(text))
}

#[test]
fn every_global_and_all_there_is_in_modules_is_annotated() {
    let (library, words) = (Library::new(), words());
    let mut faults = Vec::new();
    let mut globals: BTreeMap<String, Option<String>> = library
        .globals()
        .map(|(name, class)| (name.to_owned(), class.map(str::to_owned)))
        .collect();
    let has =
        found(&words.union(&globals.keys().cloned().collect()).cloned().collect(), OPEN, "_G");
    // What the test itself sets.
    let own = ["set", "expression", "group"];
    for name in
        has.iter().filter(|name| !globals.contains_key(*name) && !own.contains(&name.as_str()))
    {
        faults.push(format!("the global '{name}' is not annotated"));
    }
    for name in globals.keys().filter(|name| !has.contains(*name) && *name != "tls") {
        faults.push(format!("the global '{name}' is annotated and not there"));
    }
    globals.insert("require('class')".to_owned(), Some("class".to_owned()));
    globals.insert("require('protocol/tls')".to_owned(), Some("tls".to_owned()));
    globals.insert("require('regexp/pcre')".to_owned(), Some("regexp".to_owned()));
    globals.remove("tls");
    for inner in [
        "haka.alert",
        "haka.events",
        "haka.dissector",
        "haka.helper",
        "haka.grammar",
        "haka.state_machine",
    ] {
        globals.insert(inner.to_owned(), Some(inner.to_owned()));
    }
    globals.insert("haka.log".to_owned(), Some("haka.Log".to_owned()));
    for module in ["raw", "ipv4", "http"] {
        globals.insert(format!("{module}.options"), Some(format!("{module}.options")));
    }
    for module in ["tcp_connection", "udp_connection"] {
        globals.insert(format!("{module}.helper"), Some(format!("{module}.helper")));
    }
    globals.insert("http.uri".to_owned(), Some("http.uri".to_owned()));
    globals.insert("http.cookies".to_owned(), Some("http.cookies".to_owned()));
    for (expression, class) in globals {
        let Some(class) = class.filter(|_| expression != "_VERSION") else { continue };
        let named = named(&library, &class);
        let mut has = found(&words.union(&named).cloned().collect(), OPEN, &expression);
        if expression == "require('class')" {
            // A class's own machinery.
            has.remove("super_of");
        }
        compare(&expression, &has, &named, &mut faults);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Events, and the words of descriptions, are asked for at load: an event that is not there is a fault then.
#[test]
fn every_event_and_word_is_annotated() {
    let (library, words) = (Library::new(), words());
    let mut faults = Vec::new();
    let tables: Vec<_> = library.classes().filter(|class| class.ends_with(".events")).collect();
    assert!(tables.len() > 9, "{tables:?}");
    for table in tables {
        let named = named(&library, table);
        let module = table.trim_end_matches(".events");
        let path = if module == "haka" {
            "haka".to_owned()
        } else {
            format!("require('protocol/{module}')")
        };
        let asked: BTreeSet<_> = words.union(&named).cloned().collect();
        let list = quoted(&asked);
        let text = format!(
            "local events = {path}.events for _, name in ipairs{{ {list} }} do local e = events[name] end"
        );
        let told = load(&text).expect_err("most are no events").faults;
        let unknown: BTreeSet<_> = told
            .iter()
            .filter_map(|fault| {
                let (_, name) = fault.message.split_once(".events.")?;
                Some(name.split_once(';').map_or(name, |(name, _)| name).to_owned())
            })
            .collect();
        let has: BTreeSet<_> = asked.difference(&unknown).cloned().collect();
        compare(table, &has, &named, &mut faults);
    }
    for (class, what) in [
        ("haka.grammar.Words", "haka.grammar.new('x', function() BODY end)"),
        (
            "haka.state_machine.Words",
            "haka.state_machine.new('x', function() BODY local s = state() initial(s) end)",
        ),
    ] {
        let named = named(&library, class);
        let asked: BTreeSet<_> = words.union(&named).cloned().collect();
        // A word of theirs may hide a global of the same name, such as `error`.
        let each: String = asked
            .iter()
            .filter(|name| !KEYWORDS.contains(&name.as_str()))
            .map(|name| format!("is('{name}', {name})\n"))
            .collect();
        let text = format!(
            "local had = {{}} for name, value in pairs(_G) do had[name] = value end
            local function is(name, value)
                if value ~= nil and value ~= had[name] and name ~= 'is' and name ~= 'had' then print(name) end
            end\n{}",
            what.replace("BODY", &each)
        );
        let rules = load(&text).unwrap_or_else(|error| unreachable!("{error}"));
        let has: BTreeSet<_> = rules.messages().iter().map(|log| log.message.clone()).collect();
        compare(class, &has, &named, &mut faults);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

const KEYWORDS: [&str; 22] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
    "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

fn quoted(words: &BTreeSet<String>) -> String {
    words.iter().map(|word| format!("'{word}',")).collect()
}

fn compare(what: &str, has: &BTreeSet<String>, named: &BTreeSet<String>, faults: &mut Vec<String>) {
    faults.extend(
        has.difference(named).map(|name| format!("{what} has '{name}', which is not annotated")),
    );
    faults.extend(
        named.difference(has).map(|name| format!("{what}.{name} is annotated and not there")),
    );
}
