//! What a rule says beforehand of its connections: the same as asking first thing in Lua, but Lua is not entered.
#![expect(clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{Scene, load};
use proptest::prelude::*;
use tollgate_policy::Verdict;
use tollgate_script::{OnRuleError, RuleErrors, Settings};
use tollgate_wire::{Direction, Timestamp};

const ADDRESSES: [&str; 5] = ["10.1.2.3", "10.1.2.4", "10.9.0.1", "fd00::1", "fd00:0:0:1::2"];
const PORTS: [u16; 5] = [0, 25, 80, 8080, 65535];

/// A value of `match` for a port, and the same in Lua.
fn ports() -> impl Strategy<Value = (String, String)> {
    let one = prop::sample::select(PORTS.to_vec())
        .prop_map(|port| (port.to_string(), format!("port == {port}")));
    let range = (0..70_u16, 70..9000_u16).prop_map(|(first, last)| {
        (format!("'{first}-{last}'"), format!("port >= {first} and port <= {last}"))
    });
    listed(prop_oneof![one, range].boxed())
}

/// A value of `match` for an address, and the same in Lua.
fn addresses() -> impl Strategy<Value = (String, String)> {
    let one =
        (prop::sample::select(ADDRESSES.to_vec()), any::<bool>()).prop_map(|(text, quoted)| {
            let module = if text.contains(':') { "ipv6" } else { "ipv4" };
            let made = format!("{module}.addr('{text}')");
            (if quoted { format!("'{text}'") } else { made.clone() }, format!("ip == {made}"))
        });
    let network = (prop::sample::select(ADDRESSES.to_vec()), 0..=32_u8, 0..3_u8).prop_map(
        |(text, bits, way)| {
            let (module, bits) =
                if text.contains(':') { ("ipv6", bits * 4) } else { ("ipv4", bits) };
            let made = match way {
                0 => format!("{module}.network({module}.addr('{text}'), {bits})"),
                _ => format!("{module}.network('{text}/{bits}')"),
            };
            let asked = if way == 2 { format!("'{text}/{bits}'") } else { made.clone() };
            (asked, format!("{made}:contains(ip)"))
        },
    );
    listed(prop_oneof![one, network].boxed())
}

/// One value, or a list of some.
fn listed(one: BoxedStrategy<(String, String)>) -> impl Strategy<Value = (String, String)> {
    let list = prop::collection::vec(one.clone(), 1..4).prop_map(|values| {
        let (asked, lua): (Vec<_>, Vec<_>) = values.into_iter().unzip();
        (format!("{{ {} }}", asked.join(", ")), format!("({})", lua.join(") or (")))
    });
    prop_oneof![one, list]
}

/// The text of `match`, and the condition in Lua.
fn head() -> impl Strategy<Value = (String, String)> {
    let some = |of: BoxedStrategy<(String, String)>| prop::option::weighted(0.4, of);
    let direction = prop::option::weighted(0.3, any::<bool>());
    let asked = (
        some(addresses().boxed()),
        some(addresses().boxed()),
        some(ports().boxed()),
        some(ports().boxed()),
        direction,
    );
    asked.prop_map(|(srcip, dstip, srcport, dstport, direction)| {
        let (mut keys, mut conditions) = (Vec::new(), vec!["true".to_owned()]);
        for (key, value) in
            [("srcip", srcip), ("dstip", dstip), ("srcport", srcport), ("dstport", dstport)]
        {
            let Some((asked, lua)) = value else { continue };
            keys.push(format!("{key} = {asked}"));
            let name = if key.ends_with("port") { "port" } else { "ip" };
            conditions.push(format!("(function({name}) return {lua} end)(flow.{key})"));
        }
        if let Some(is_up) = direction {
            let way = if is_up { "up" } else { "down" };
            keys.push(format!("direction = '{way}'"));
            conditions.push(format!("way == '{way}'"));
        }
        (format!("{{ {} }}", keys.join(", ")), conditions.join(" and "))
    })
}

#[derive(Clone, Debug)]
struct Rule {
    event: &'static str,
    head: Option<(String, String)>,
    fails: bool,
}

fn rule() -> impl Strategy<Value = Rule> {
    let events = vec!["new_connection", "receive_packet", "receive_data", "end_connection"];
    (prop::sample::select(events), prop::option::weighted(0.8, head()), prop::bool::weighted(0.1))
        .prop_map(|(event, head, fails)| {
            let is_directed = event.starts_with("receive");
            let head = head.filter(|(keys, _)| is_directed || !keys.contains("direction"));
            Rule { event, head, fails }
        })
}

/// The rules with their heads, or with the same asked in Lua.
fn script(before: &str, rules: &[Rule], is_lua: bool) -> String {
    let mut text = before.to_owned();
    for (number, Rule { event, head, fails }) in rules.iter().enumerate() {
        let (matched, condition) = match head {
            Some((_, condition)) if is_lua => (String::new(), condition.as_str()),
            Some((keys, _)) => (format!("match = {keys},"), "true"),
            None => (String::new(), "true"),
        };
        let then = if *fails { "error('oh')" } else { "" };
        text += &format!(
            "haka.rule{{ hook = tcp_connection.events.{event}, {matched}
            eval = function(flow, what, way)
                if {condition} then print({number}, flow, way) {then} end
            end }}\n"
        );
    }
    text
}

/// All that rules say in the life of some connections.
fn lives(text: &str, ends: &[(usize, usize, usize, usize)]) -> (Vec<String>, RuleErrors) {
    let settings = Settings { on_rule_error: OnRuleError::Pass, ..Settings::default() };
    let mut scene = Scene::with(text, settings);
    let mut said = Vec::new();
    for (from, to, client, server) in ends {
        let address = |of: &usize, port: &usize| {
            let (text, port) = (ADDRESSES[of % ADDRESSES.len()], PORTS[port % PORTS.len()]);
            if text.contains(':') { format!("[{text}]:{port}") } else { format!("{text}:{port}") }
        };
        // Both ends speak the same version.
        let to = if (from % 5 > 2) == (to % 5 > 2) { to } else { from };
        scene = scene.between(&address(from, client), &address(to, server));
        scene.next();
        scene.open();
        for direction in [Direction::ToServer, Direction::ToClient] {
            scene.packet(direction, b"GET");
            scene.data_in(direction, &[b"GET / HTTP/1.0\r\n"], false);
        }
        scene.data(&[], true);
        scene.end();
        said.extend(scene.said().into_iter().filter(|line| !line.contains("debug")));
    }
    (said, scene.policy.rule_errors())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_head_decides_as_the_same_condition_in_lua_does(
        rules in prop::collection::vec(rule(), 1..6),
        follows in any::<bool>(),
        ends in prop::collection::vec((0..5_usize, 0..5_usize, 0..5_usize, 0..5_usize), 1..8),
    ) {
        let before = if follows { "require('protocol/http').install_tcp_rule(80)\n" } else { "" };
        let (by_head, by_lua) = (script(before, &rules, false), script(before, &rules, true));
        prop_assert_eq!(lives(&by_head, &ends), lives(&by_lua, &ends), "{}", by_head);
    }
}

#[test]
fn lua_is_not_entered_for_a_connection_that_no_rule_is_for() {
    let text = "for _, event in ipairs{ 'new_connection', 'receive_packet', 'receive_data', 'end_connection' } do
        haka.rule{ hook = tcp_connection.events[event], match = { dstport = 25 },
        eval = function(flow) print(flow) end } end";
    let mut scene = Scene::new(text);
    let used = scene.policy.used_memory_bytes();
    for _ in 0..100 {
        scene.next();
        scene.open();
        scene.packet(Direction::ToServer, b"a");
        scene.data(&[b"a"], false);
        assert_eq!(scene.tag, 0);
        scene.end();
    }
    assert_eq!((scene.policy.used_memory_bytes(), scene.said()), (used, vec![]));
}

#[test]
fn a_streamed_rule_begins_for_its_direction_only_and_may_edit() {
    let text = "haka.rule{ hook = tcp_connection.events.receive_data, match = { direction = 'down' },
        options = { streamed = true }, eval = function(flow, iter, direction)
            print(direction) iter:insert(haka.vbuffer_from('x')) for part in iter:foreach_available() do print(part) end
        end }";
    let mut scene = Scene::new(text);
    scene.data(&[b"ab"], false);
    assert!(scene.wishes.edits.is_empty());
    scene.data_in(Direction::ToClient, &[b"cd"], false);
    assert_eq!(scene.wishes.edits.len(), 1);
    assert_eq!(scene.said(), ["down", "cd"]);
}

#[test]
fn a_group_has_a_head_too() {
    let text = "local group = haka.rule_group{ hook = tcp_connection.events.new_connection,
        match = { dstport = { 22, '8000-8080' } }, final = function(flow, pkt) pkt:drop() end }
        group:rule(function(flow) print(flow.dstport) end)";
    for (server, verdict) in [
        ("198.18.0.2:22", Verdict::DropPacket),
        ("198.18.0.2:8080", Verdict::DropPacket),
        ("198.18.0.2:8081", Verdict::Accept),
    ] {
        assert_eq!(Scene::new(text).between("198.18.0.1:4", server).open(), verdict, "{server}");
    }
}

/// What a timeout decides about a connection is done at its next event, whether rules are for it or not.
#[test]
fn a_timeout_reaches_a_connection_that_no_rule_is_for() {
    let text = "local class = require('class')
        local Plain = class.class('Plain', haka.state_machine.State)
        local machine = haka.state_machine.new('m', function()
            state_type(Plain)
            waits = state()
            waits:on{ event = events.timeout(1), execute = function(self) self.flow:drop() end, jump = finish }
            initial(waits)
        end)
        local events = tcp_connection.events
        haka.rule{ hook = events.new_connection, eval = function(flow) machine:instanciate({ flow = flow }) end }
        haka.rule{ hook = events.receive_data, match = { dstport = 25 }, eval = function() end }";
    let mut scene = Scene::new(text);
    scene.open();
    assert_eq!(scene.data(&[b"a"], false), Verdict::Accept);
    let tag = scene.tag;
    // Another connection lets time pass.
    scene.now = Timestamp::from_secs(9);
    scene.next();
    scene.open();
    scene.tag = tag;
    assert_eq!(scene.data(&[b"b"], false), Verdict::Drop, "{:?}", scene.said());
}

#[test]
fn what_is_wrong_with_a_head_is_a_fault_at_load() {
    for (hook, asked, wanted) in [
        (
            "tcp_connection.events.receive_data",
            "dstport = 65536",
            "match.dstport: a port or a range",
        ),
        (
            "tcp_connection.events.receive_data",
            "dstport = '90-80'",
            "match.dstport: a port or a range",
        ),
        ("tcp_connection.events.receive_data", "dstport = {}", "match.dstport: an empty list"),
        (
            "tcp_connection.events.receive_data",
            "dstport = 80.5",
            "match.dstport: a port or a range",
        ),
        (
            "tcp_connection.events.receive_data",
            "srcip = '10.0.0.0/33'",
            "match.srcip: an address or a network expected, got '10.0.0.0/33'",
        ),
        ("tcp_connection.events.receive_data", "srcip = { 5 }", "match.srcip: an address or"),
        (
            "tcp_connection.events.receive_data",
            "dstprot = 80",
            "match.dstprot: unknown; did you mean dstport",
        ),
        (
            "tcp_connection.events.receive_data",
            "direction = 'in'",
            "match.direction: 'up' or 'down'",
        ),
        ("tcp_connection.events.new_connection", "direction = 'up'", "has no direction"),
        (
            "tcp.events.receive_packet",
            "dstport = 80",
            "has no 'match': only events of tcp_connection",
        ),
    ] {
        let text = format!(
            "require('protocol/tcp')\nhaka.rule{{ hook = {hook}, match = {{ {asked} }}, eval = function() end }}"
        );
        let error = load(&text).unwrap_err().to_string();
        assert!(error.contains(wanted), "{asked}: {error}");
    }
    // All that is wrong, not whatever comes first.
    let text =
        "haka.rule{ hook = tcp_connection.events.receive_data, match = { dstprot = 80, srcip = 5 },
        eval = function() end }";
    let error = load(text).unwrap_err().to_string();
    assert!(error.contains("match.dstprot") && error.contains("match.srcip"), "{error}");
}

const WEB: &str = "require('protocol/http').install_tcp_rule(80)
    haka.rule{ hook = http.events.request, eval = function(http, req) print(req.uri) end }\n";

const GET: &[u8] = b"GET /a HTTP/1.1\r\n\r\n";

#[test]
fn a_dissector_of_a_port_enters_lua_for_no_other() {
    let mut scene = Scene::new(WEB).between("198.18.0.1:40000", "198.18.0.2:8080");
    let used = scene.policy.used_memory_bytes();
    for _ in 0..100 {
        scene.next();
        assert_eq!(scene.open(), Verdict::Accept);
        scene.data(&[GET], false);
        scene.data_in(Direction::ToClient, &[b"whatever"], true);
        assert_eq!(scene.policy.used_memory_bytes(), used);
        scene.end();
    }
    // Whoever gets the number of one that is over is heard all the same.
    let mut scene = scene.between("198.18.0.1:40000", "198.18.0.2:80");
    scene.next();
    scene.open();
    scene.data(&[GET], false);
    assert_eq!(scene.said(), ["debug tcp: selecting http dissector on flow", "/a"]);
}

#[test]
fn a_dissector_may_be_chosen_for_a_connection_of_another_port_later() {
    let text = WEB.to_owned()
        + "haka.rule{ hook = tcp_connection.events.receive_packet, eval = function(flow, pkt)
            if flow.late then flow:select_next_dissector({ receive = function(self, stream, current) print(current) end }) end
            flow.late = true end }";
    let mut scene = Scene::new(&text).between("198.18.0.1:40000", "198.18.0.2:8080");
    scene.open();
    for piece in [&b"one"[..], b"two", b"three"] {
        scene.packet(Direction::ToServer, piece);
        scene.data(&[piece], false);
    }
    assert_eq!(scene.said(), ["two", "three"]);
}
