//! Events, verdicts, order, groups, alerts, logs.

mod common;

use common::Scene;
use tollgate_policy::{Completion, Confidence, Interest, Policy, Severity, Verdict};
use tollgate_script::{OnRuleError, RuleErrors, Settings};
use tollgate_wire::Direction::{ToClient, ToServer};

const EVENTS: &str = "local e = tcp_connection.events\n";

fn scene(text: &str) -> Scene {
    Scene::new(&format!("{EVENTS}{text}"))
}

#[test]
fn all_four_events_reach_their_rules_in_order() {
    let mut scene = scene(
        "haka.rule{ hook = e.new_connection, eval = function(flow, pkt) print('new', pkt.flags.syn) end }
        haka.rule{ hook = e.receive_packet, eval = function(flow, pkt, dir) print('packet', dir) end }
        haka.rule{ on = e.receive_data, eval = function(flow, current, dir) print('data', #current, dir) end }
        haka.rule{ hook = e.end_connection, eval = function(flow) print('end', flow.srcport) end }",
    );
    assert_eq!(scene.policy.interest(), Interest::EVENTS);
    assert_eq!(scene.open(), Verdict::Accept);
    scene.packet(ToServer, b"ab");
    scene.data_in(ToClient, &[b"ab", b"c"], false);
    scene.end();
    assert_eq!(scene.said(), ["new\ttrue", "packet\tup", "data\t3\tdown", "end\t40000"]);
}

const RECEIVE: Interest = Interest::RECEIVE_FRAME;
const DATAGRAM: Interest = Interest::RECEIVE_DATAGRAM;

#[test]
fn an_event_without_a_listener_is_not_asked_for() {
    for (event, wanted) in [
        ("new_connection", Interest::NEW_CONNECTION),
        ("receive_packet", Interest::RECEIVE_PACKET | Interest::END_CONNECTION),
        ("receive_data", Interest::RECEIVE_DATA | Interest::END_CONNECTION),
        ("end_connection", Interest::END_CONNECTION),
    ] {
        let scene = scene(&format!("haka.rule{{ hook = e.{event}, eval = print }}"));
        assert_eq!(scene.policy.interest(), wanted, "{event}");
    }
    for (text, wanted) in [
        ("print('no rules')", Interest::STATELESS),
        ("require('protocol/tcp_connection')", Interest::empty()),
        ("require('protocol/ipv4')", Interest::STATELESS),
        ("local pkt = {} function pkt.inject() end", Interest::STATELESS | Interest::INJECT),
        ("raw.options.drop_unknown_dissector = true", RECEIVE | Interest::STATELESS),
        ("rule(raw.events.receive_packet)", RECEIVE | Interest::STATELESS),
        ("rule(ipv4.events.receive_packet)", RECEIVE | Interest::STATELESS),
        ("rule(ipv6.events.send_packet)", Interest::SEND_FRAME | Interest::STATELESS),
        ("rule(tcp.events.receive_packet)", DATAGRAM | Interest::STATELESS),
        ("rule(icmp.events.receive_packet)", DATAGRAM | Interest::STATELESS),
        ("rule(udp.events.send_packet)", Interest::SEND_FRAME | Interest::STATELESS),
        (
            "rule(udp_connection.events.end_connection)",
            DATAGRAM | Interest::TICK | Interest::STATELESS,
        ),
        ("dns.install_udp_rule(53)", DATAGRAM | Interest::TICK | Interest::STATELESS),
        (
            "rule(tcp.events.send_packet) rule(tcp_connection.events.new_connection)",
            Interest::SEND_FRAME | Interest::NEW_CONNECTION,
        ),
    ] {
        let text = format!(
            "local function rule(hook) haka.rule{{ hook = hook, eval = print }} end {text}"
        );
        assert_eq!(Scene::new(&text).policy.interest(), wanted, "{text}");
    }
}

#[test]
fn the_seeds_tcp_events_receive_data_is_the_connections() {
    let mut scene = Scene::new(
        "haka.rule{ hook = tcp.events.receive_data, eval = function(f, c) f:drop() end }",
    );
    assert_eq!(scene.data(&[b"x"], false), Verdict::Drop);
}

#[test]
fn listeners_run_in_order_and_an_ended_flow_stops_them() {
    for (act, verdict, said) in [
        ("", Verdict::Accept, "1 2 3"),
        ("pkt:drop()", Verdict::DropPacket, "1 2 3"),
        ("flow:drop()", Verdict::Drop, "1 2"),
        ("flow:halfreset()", Verdict::HalfReset, "1 2"),
        ("flow:reset()", Verdict::Reset, "1 2"),
        ("flow:reset() flow:drop()", Verdict::Reset, "1 2"),
        ("flow:drop() flow:halfreset()", Verdict::HalfReset, "1 2"),
        ("flow:shunt()", Verdict::Shunt, "1 2 3"),
        ("flow:shunt() pkt:drop()", Verdict::DropPacket, "1 2 3"),
        ("flow:reset() flow:shunt()", Verdict::Reset, "1 2"),
    ] {
        let mut scene = scene(&format!(
            "haka.rule{{ hook = e.new_connection, eval = function() print(1) end }}
            haka.rule{{ hook = e.new_connection, eval = function(flow, pkt) {act} print(2) end }}
            haka.rule{{ hook = e.new_connection, eval = function() print(3) end }}"
        ));
        scene.state = "syn_sent";
        assert_eq!(scene.open(), verdict, "{act}");
        assert_eq!(scene.said().join(" "), said, "{act}");
        // The verdict is this event's alone.
        scene.next();
        assert_eq!(scene.open(), verdict, "{act}");
    }
}

#[test]
fn a_dropped_packet_stops_later_listeners_of_receive_packet() {
    let mut scene = scene(
        "haka.rule{ hook = e.receive_packet, eval = function(flow, pkt) pkt:drop() end }
        haka.rule{ hook = e.receive_packet, eval = function() print('no') end }",
    );
    assert_eq!(scene.packet(ToServer, b"x"), Verdict::DropPacket);
    assert_eq!(scene.said(), [""; 0]);
}

#[test]
fn a_group_is_one_listener_where_it_was_made() {
    let group = |continues: &str| {
        format!(
            "local g = haka.rule_group{{ hook = e.new_connection,
                init = function(flow, pkt) print('init', pkt.dstport) end,
                continue = function(ret, flow, pkt) return {continues} end,
                final = function(flow, pkt) print('final') end }}
            haka.rule{{ hook = e.new_connection, eval = function() print('after') end }}
            g:rule{{ eval = function(flow, pkt) print('one') return 1 end, name = 'one' }}
            g:rule(function(flow, pkt) print('two') return 2 end)"
        )
    };
    for (continues, wanted) in [
        ("true", "init\t80 one two final after"),
        ("ret ~= 1", "init\t80 one after"),
        ("ret ~= 2", "init\t80 one two after"),
    ] {
        let mut scene = scene(&group(continues));
        scene.open();
        assert_eq!(scene.said().join(" "), wanted, "{continues}");
    }
}

#[test]
fn a_group_ends_with_its_flow() {
    let mut scene = scene(
        "local g = haka.rule_group{ hook = e.new_connection, final = function() print('final') end }
        g:rule(function(flow, pkt) pkt:drop() print('packet') end)
        g:rule(function(flow) flow:drop() print('flow') end)
        g:rule(function() print('never') end)",
    );
    assert_eq!(scene.open(), Verdict::Drop);
    assert_eq!(scene.said(), ["packet", "flow"]);
}

#[test]
fn a_failing_rule_drops_its_flow_with_an_alert_that_names_the_line() {
    let mut scene = scene(
        "local function check(current)\nreturn current.nonsense.more\nend
        haka.rule{ hook = e.receive_data, eval = function(flow, current) check(current) end }
        haka.rule{ hook = e.receive_data, eval = function() print('later') end }",
    );
    assert_eq!(scene.data(&[b"x"], false), Verdict::Drop);
    let message = "test.lua:3: vbuffer: unknown field 'nonsense'";
    let said = scene.said();
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(said[0], format!("error tcp: {message}"));
    assert!(
        said[1].starts_with(&format!("alert 1: a rule failed: {message}\nstack traceback:\n")),
        "{said:?}"
    );
    assert!(said[1].contains("\ttest.lua:5: in "), "{said:?}");
    assert!(!said[1].contains("tollgate"), "{said:?}");
    assert_eq!(scene.policy.rule_errors(), RuleErrors { errors: 1, ..RuleErrors::default() });
}

#[test]
fn a_failing_rule_may_be_passed_over() {
    let text = format!(
        "{EVENTS}haka.rule{{ hook = e.new_connection, eval = function() error('one') end }}
        haka.rule{{ hook = e.new_connection, eval = function() error(setmetatable({{}}, {{}})) end }}
        haka.rule{{ hook = e.new_connection, eval = function(flow) print('last') flow.n = 1 end }}"
    );
    let settings = Settings { on_rule_error: OnRuleError::Pass, ..Settings::default() };
    let mut scene = Scene::with(&text, settings);
    assert_eq!(scene.open(), Verdict::Accept);
    let said = scene.said();
    assert_eq!((said.len(), said[4].as_str()), (5, "last"), "{said:?}");
    assert_eq!(scene.policy.rule_errors().errors, 2);
}

#[test]
fn a_failing_rule_may_reset_its_connection_or_let_it_go() {
    let text = format!(
        "{EVENTS}haka.rule{{ hook = e.new_connection, eval = function() error('x') end }}
        haka.rule{{ hook = e.new_connection, eval = function(flow) print('later') end }}"
    );
    for (on_rule_error, verdict) in [
        (OnRuleError::Drop, Verdict::Drop),
        (OnRuleError::Reset, Verdict::Reset),
        (OnRuleError::Bypass, Verdict::Bypass),
    ] {
        let mut scene = Scene::with(&text, Settings { on_rule_error, ..Settings::default() });
        assert_eq!(scene.open(), verdict);
        assert_eq!(scene.said().len(), 2, "the log and the alert, no later rule");
    }
}

#[test]
fn a_verdict_given_before_the_error_is_kept() {
    let text = format!(
        "{EVENTS}haka.rule{{ hook = e.new_connection, eval = function(flow) flow:reset() error('x') end }}
        haka.rule{{ hook = e.new_connection, eval = function(flow) print('later') end }}"
    );
    for on_rule_error in [OnRuleError::Drop, OnRuleError::Pass] {
        let mut scene = Scene::with(&text, Settings { on_rule_error, ..Settings::default() });
        assert_eq!(scene.open(), Verdict::Reset);
        assert_eq!(scene.said().len(), 2, "the log and the alert, no later rule");
    }
}

#[test]
fn an_alert_has_all_its_fields_and_can_be_updated_later() {
    let mut scene = scene(
        "local alert
        haka.rule{ hook = e.new_connection, eval = function(flow, pkt)
            alert = haka.alert{
                start_time = 5, end_time = 6.5, description = 'bad', severity = 'high', confidence = 0.7,
                completion = 'failed', method = { description = 'how', ref = { 'cve-1', 'cve-2' } },
                sources = haka.alert.address(flow.srcip, flow.srcport),
                targets = { haka.alert.address(flow.dstip), haka.alert.service('tcp/80', 'http') },
                ref = 'http://example.com' }
        end }
        haka.rule{ hook = e.end_connection, eval = function(flow)
            alert:update{ completion = 'successful', confidence = 'low' }
            haka.alert{ ref = { alert } }
        end }",
    );
    scene.open();
    let first = scene.alerts().remove(0);
    assert_eq!((first.number, first.is_update), (1, false));
    assert_eq!((first.start_time, first.end_time), (Some(5.0), Some(6.5)));
    assert_eq!(first.description.as_deref(), Some("bad"));
    assert_eq!(first.severity, Some(Severity::High));
    assert_eq!(first.confidence, Some(Confidence::Number(0.7)));
    assert_eq!(first.completion, Some(Completion::Failed));
    let method = first.method.unwrap();
    assert_eq!(
        (method.description.as_deref(), method.refs),
        (Some("how"), vec!["cve-1".to_owned(), "cve-2".to_owned()])
    );
    assert_eq!(first.sources, ["address: 198.18.0.1, 40000"]);
    assert_eq!(first.targets, ["address: 198.18.0.2", "service: tcp/80, http"]);
    assert_eq!(first.refs, ["http://example.com"]);
    assert_eq!(first.time.nanos(), 7_000_000_000);
    scene.end();
    let later = scene.alerts();
    assert_eq!((later[0].number, later[0].is_update), (1, true));
    assert_eq!(
        (later[0].completion, later[0].confidence),
        (Some(Completion::Successful), Some(Confidence::Low))
    );
    assert_eq!((later[1].number, later[1].refs.as_slice()), (2, ["1".to_owned()].as_slice()));
}

#[test]
fn logs_have_levels_and_sections() {
    let mut scene = scene(
        "local own = haka.log_section('mine')
        haka.rule{ hook = e.new_connection, eval = function(flow)
            haka.log('%s %d', flow.srcip, 5)
            haka.log.debug('d') haka.log.info('100%') haka.log.warning('w') haka.log.warn('w')
            haka.log.error('e') haka.log.fatal('f') own.warning('%d%%', 7) own('o')
            print('a', nil, 1, flow)
        end }",
    );
    scene.open();
    assert_eq!(
        scene.said(),
        [
            "info external: 198.18.0.1 5",
            "debug external: d",
            "info external: 100%",
            "warn external: w",
            "warn external: w",
            "error external: e",
            "fatal external: f",
            "warn mine: 7%",
            "info mine: o",
            "a\tnil\t1\t198.18.0.1:40000 --> 198.18.0.2:80",
        ]
    );
}

#[test]
fn http_install_tcp_rule_selects_by_port() {
    let mut scene = Scene::new("http.install_tcp_rule(80)");
    scene.open();
    assert_eq!(scene.said(), ["debug tcp: selecting http dissector on flow"]);
    let mut scene = Scene::new("http.install_tcp_rule(8080)");
    scene.open();
    assert_eq!(scene.said(), [""; 0]);
}

#[test]
fn rules_cannot_be_made_in_an_event() {
    let mut scene = scene(
        "haka.rule{ hook = e.new_connection, eval = function()
            haka.rule{ hook = e.new_connection, eval = print }
        end }",
    );
    assert_eq!(scene.open(), Verdict::Drop);
    assert_eq!(
        scene.said()[0],
        "error tcp: test.lua:3: haka.rule: rules are made while the script loads, not in an event"
    );
}

#[test]
fn long_texts_are_cut() {
    let mut scene = scene(
        "haka.rule{ hook = e.new_connection, eval = function()
            local long, many = ('é'):rep(100000), {}
            for i = 1, 1000 do many[i] = haka.alert.service(i) end
            print(long) haka.alert{ description = long, sources = many }
        end }",
    );
    scene.open();
    let alert = scene.alerts().remove(0);
    assert_eq!(alert.description.unwrap().len(), (16 << 10) + '…'.len_utf8());
    assert_eq!(alert.sources.len(), 64);
}
