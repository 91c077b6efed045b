//! Packet rules: what they read and write, and what leaves.
mod common;

use common::Scene;
use common::frames::{LINK, Stage, assert_intact, complete, datagram, tcp, udp};
use tollgate_policy::{Injected, Route, Side, Verdict};
use tollgate_script::{OnRuleError, Settings};

const A4: (&str, u16) = ("198.18.0.1", 40000);
const B4: (&str, u16) = ("198.18.0.2", 80);
const A6: (&str, u16) = ("fd00::1", 40000);
const B6: (&str, u16) = ("fd00::2", 80);

/// A rule of `event` with `body`, and its module asked for.
fn rule(event: &str, body: &str) -> String {
    let (module, _) = event.split_once('.').unwrap_or((event, ""));
    format!(
        "require('protocol/{module}')
        haka.rule{{ hook = {event}, eval = function(pkt)\n{body}\nend }}"
    )
}

fn stage_of(event: &str) -> Stage {
    match event {
        _ if event.ends_with("send_packet") => Stage::Send,
        _ if event.starts_with("raw") || event.starts_with("ip") => Stage::Receive,
        _ => Stage::Datagram,
    }
}

/// What `body` makes of `frame` in a rule of `event`; it must not fail.
#[track_caller]
fn run(event: &str, frame: &[u8], body: &str) -> Vec<u8> {
    let mut scene = Scene::new(&rule(event, body));
    let (verdict, after) = scene.show_frame(stage_of(event), frame);
    assert_eq!((verdict, scene.said()), (Verdict::Accept, vec![]), "{body}");
    after
}

/// The log line of the error that `body` raises; the frame is dropped.
#[track_caller]
fn fails(event: &str, frame: &[u8], body: &str) -> String {
    let mut scene = Scene::new(&rule(event, body));
    assert_eq!(scene.show_frame(stage_of(event), frame).0, Verdict::DropPacket, "{body}");
    let mut said = scene.said();
    assert_eq!(said.len(), 1, "no alert: {said:?}");
    said.remove(0)
}

#[test]
fn every_field_of_ipv4_is_read() {
    let frame = udp(A4, B4, b"hello");
    run(
        "ipv4.events.receive_packet",
        &frame,
        "
        assert(pkt.name == 'ipv4' and pkt.version == 4 and pkt.hdr_len == 20 and pkt.tos == 0x12)
        assert(pkt.len == 33 and pkt.id == 0xabcd and pkt.ttl == 61 and pkt.proto == 17)
        assert(pkt.flags.df and not pkt.flags.mf and not pkt.flags.rb and pkt.flags.all == 2)
        assert(pkt.frag_offset == 0 and pkt.checksum > 0 and pkt:verify_checksum())
        assert(pkt.src == ipv4.addr('198.18.0.1') and tostring(pkt.dst) == '198.18.0.2')
        assert(#pkt.payload == 13 and pkt.payload:sub(8):asstring() == 'hello')
        assert(pkt.raw.name == 'raw' and #pkt.raw.payload == 33 and pkt.raw.id == 1)
        assert(pkt:state() == 'normal' and pkt:continue() and pkt:can_continue())
        assert(pkt.next_dissector == 'udp' and pkt.raw.next_dissector == 'ipv4')
        local t = pkt.raw.timestamp
        assert(t.secs == 7 and t.nsecs == 0 and t.seconds == 7 and t == pkt.timestamp)
        assert(tostring(t) == 'Thu Jan  1 00:00:07 1970')",
    );
}

#[test]
fn every_field_of_ipv6_is_read() {
    let frame = udp(A6, B6, b"hello");
    run(
        "ipv6.events.receive_packet",
        &frame,
        "
        assert(pkt.name == 'ipv6' and pkt.version == 6 and pkt.hdr_len == 40 and pkt.tos == 0x12)
        assert(pkt.flow_label == 0xabcde and pkt.len == 53 and pkt.proto == 17 and pkt.ttl == 61)
        assert(pkt.src == ipv6.addr('fd00::1') and pkt.dst == ipv6.addr('fd00::2'))
        assert(pkt:verify_checksum() and #pkt.payload == 13 and pkt.raw.next_dissector == 'ipv6')",
    );
}

#[test]
fn every_field_of_tcp_udp_and_icmp_is_read() {
    run(
        "tcp.events.receive_packet",
        &tcp(A4, B4, b"hello"),
        "
        assert(pkt.name == 'tcp' and pkt.srcport == 40000 and pkt.dstport == 80)
        assert(pkt.seq == 0xfffffff0 and pkt.ack_seq == 77 and pkt.hdr_len == 32 and pkt.res == 0)
        assert(pkt.flags.psh and pkt.flags.ack and not pkt.flags.syn and pkt.flags.all == 0x18)
        assert(not pkt.flags.fin and not pkt.flags.rst and not pkt.flags.urg)
        assert(not pkt.flags.ecn and not pkt.flags.cwr)
        assert(pkt.window_size == 0x2000 and pkt.urgent_pointer == 5 and pkt:verify_checksum())
        assert(pkt.payload:asstring() == 'hello' and pkt.ip.ttl == 61 and pkt.ip.raw.id == 1)",
    );
    run(
        "udp.events.receive_packet",
        &udp(A6, B6, b"hello"),
        "
        assert(pkt.name == 'udp' and pkt.srcport == 40000 and pkt.dstport == 80)
        assert(pkt.length == 13 and pkt:verify_checksum() and tostring(pkt.payload) == 'hello')
        assert(pkt.ip.version == 6)",
    );
    for (frame, version) in [
        (datagram(A4.0, B4.0, 1, &[8, 3, 0, 0, 1, 2]), 4),
        (datagram(A6.0, B6.0, 58, &[8, 3, 0, 0, 1, 2]), 6),
    ] {
        run(
            "icmp.events.receive_packet",
            &frame,
            &format!(
                "
            assert(pkt.name == 'icmp' and pkt.type == 8 and pkt.code == 3 and pkt:verify_checksum())
            assert(#pkt.payload == 2 and pkt.payload[2] == 2 and pkt.ip.version == {version})"
            ),
        );
    }
}

#[test]
fn what_is_written_is_what_leaves_with_its_checksums() {
    let before = tcp(A4, B4, b"hello");
    let after = run("tcp.events.receive_packet", &before, "
        pkt.srcport = 1 pkt.dstport = 2 pkt.seq = 3 pkt.ack_seq = 0xfffffffe pkt.window_size = 5
        pkt.urgent_pointer = 6 pkt.res = 7 pkt.flags.syn = true pkt.flags.psh = false
        pkt.ip.src = ipv4.addr('10.0.0.1') pkt.ip.ttl = 9 pkt.ip.id = 10 pkt.ip.tos = 11
        assert(pkt.srcport == 1 and pkt.ack_seq == 0xfffffffe and pkt.flags.all == 0x12 and pkt.res == 7)
        assert(not pkt:verify_checksum() and not pkt.ip:verify_checksum())");
    assert_intact(&after);
    assert_eq!(after.len(), before.len());
    assert_eq!(after[34..38], [0, 1, 0, 2]);
    assert_eq!(after[46..48], [0x87, 0x12]);
    let rest = Scene::new(&rule("tcp.events.receive_packet", "
        assert(pkt.seq == 3 and pkt.window_size == 5 and pkt.urgent_pointer == 6)
        assert(pkt.ip.src == ipv4.addr('10.0.0.1') and pkt.ip.ttl == 9 and pkt.ip.id == 10 and pkt.ip.tos == 11)
        assert(pkt.payload:asstring() == 'hello')")).show_frame(Stage::Datagram, &after);
    assert_eq!(rest, (Verdict::Accept, after.clone()));

    let after = run(
        "ipv6.events.receive_packet",
        &udp(A6, B6, b"x"),
        "
        pkt.src = ipv6.addr('fd00::77') pkt.flow_label = 0xfffff pkt.tos = 255 pkt.ttl = 1
        assert(pkt.version == 6 and pkt.flow_label == 0xfffff and pkt.tos == 255)
        require('protocol/udp')",
    );
    assert_eq!(after[14..18], [0x6f, 0xff, 0xff, 0xff]);
}

#[test]
fn the_transports_checksum_follows_if_its_module_was_asked_for() {
    // Haka dissects only what a script asks for: the rest is payload, and is left as it is.
    let body = "pkt.dst = ipv4.addr('198.18.0.9')";
    let before = tcp(A4, B4, b"hello");
    let after = run("ipv4.events.receive_packet", &before, body);
    assert_eq!(after[50..52], before[50..52]);
    let mut scene = Scene::new(&format!(
        "require('protocol/tcp') {}",
        rule("ipv4.events.receive_packet", body)
    ));
    let (_, after) = scene.show_frame(Stage::Receive, &before);
    assert_intact(&after);
    assert_ne!(after[50..52], before[50..52]);
}

#[test]
fn a_payload_is_read_written_and_resized() {
    for (body, wanted) in [
        ("pkt.payload[1] = 0x4a", "Jello"),
        ("pkt.payload:sub(1, 3):erase()", "ho"),
        ("pkt.payload:erase()", ""),
        (
            "pkt.payload:append(haka.vbuffer_from(', world')) pkt.payload:append(haka.vbuffer_from('!'))",
            "hello, world!",
        ),
        ("pkt.payload:pos(5):insert(haka.vbuffer_from(', world'))", "hello, world"),
        ("pkt.payload:pos('begin'):insert(haka.vbuffer_from('> '))", "> hello"),
        ("pkt.payload:sub(0, 4):replace(haka.vbuffer_from('J'))", "Jo"),
        ("pkt.payload = 'all new'", "all new"),
        ("pkt.ip.payload:sub(pkt.name == 'tcp' and 32 or 8):setstring('below')", "below"),
        ("pkt.payload:sub(0, 2):setnumber(0x4142)", "ABllo"),
        ("local p = pkt.payload p[2] = 0x45 p:sub(4):setstring('OO') p[1] = 0x48", "HEllOO"),
    ] {
        for (event, frame, offset) in [
            ("tcp.events.receive_packet", tcp(A4, B4, b"hello"), 32),
            ("tcp.events.receive_packet", tcp(A6, B6, b"hello"), 32),
            ("udp.events.receive_packet", udp(A4, B4, b"hello"), 8),
            ("udp.events.send_packet", udp(A6, B6, b"hello"), 8),
        ] {
            let after = run(event, &frame, body);
            assert_intact(&after);
            let ip = if frame[12] == 8 { 20 } else { 40 };
            let payload = &after[14 + ip + offset..];
            assert_eq!(String::from_utf8_lossy(payload), wanted, "{body} {event}");
        }
    }
}

#[test]
fn what_fills_a_short_frame_goes_when_the_datagram_changes_its_length() {
    let mut frame = udp(A4, B4, b"hi");
    frame.resize(60, 0);
    let after =
        run("udp.events.receive_packet", &frame, "assert(#pkt.payload == 2) pkt.payload:erase()");
    assert_intact(&after);
    assert_eq!(after.len(), 42);
    let after = run("udp.events.receive_packet", &frame, "pkt.payload[1] = 0x48");
    assert_eq!((after.len(), after[42]), (60, b'H'));
    assert_intact(&after);
}

#[test]
fn an_untouched_packet_keeps_its_checksums_even_wrong_ones() {
    let mut frame = tcp(A4, B4, b"hello");
    frame[24..26].copy_from_slice(&[0xba, 0xad]);
    frame[50..52].copy_from_slice(&[0xbe, 0xef]);
    let mut scene = Scene::new(
        "
        for _, event in ipairs{ raw.events.receive_packet, ipv4.events.receive_packet,
            tcp.events.receive_packet, tcp.events.send_packet, ipv4.events.send_packet,
            raw.events.send_packet } do
            haka.rule{ hook = event, eval = function(pkt) print(pkt.name) end }
        end",
    );
    assert_eq!(scene.cross(&frame), Some(frame.clone()));
    assert_eq!(scene.said(), ["raw", "ipv4", "tcp", "tcp", "ipv4", "raw"]);
    // What was touched gets what depends on it, and no more.
    let after =
        run("ipv4.events.receive_packet", &frame, "assert(not pkt:verify_checksum()) pkt.ttl = 3");
    assert_eq!(after[50..52], [0xbe, 0xef]);
    assert!(tollgate_wire::Layers::of(&after).is_network_intact(&after));
    let after =
        run("tcp.events.receive_packet", &frame, "assert(not pkt:verify_checksum()) pkt.seq = 3");
    assert_eq!(after[24..26], [0xba, 0xad]);
    assert!(tollgate_wire::Layers::of(&after).is_transport_intact(&after));
}

#[test]
fn a_checksum_that_a_rule_sets_stays_until_something_else_is_written() {
    let frame = tcp(A4, B4, b"hello");
    let after = run(
        "tcp.events.receive_packet",
        &frame,
        "pkt.seq = 5 pkt.checksum = 0xdead pkt.ip.ttl = 2",
    );
    assert_eq!(after[50..52], [0xde, 0xad]);
    assert!(tollgate_wire::Layers::of(&after).is_network_intact(&after));
    let after = run("tcp.events.receive_packet", &frame, "pkt.checksum = 0xdead pkt.seq = 5");
    assert_intact(&after);
    let after =
        run("tcp.events.receive_packet", &frame, "pkt.checksum = 0xdead pkt.payload[1] = 1");
    assert_intact(&after);
    let after = run("ipv4.events.receive_packet", &frame, "pkt.checksum = 0xdead");
    assert_eq!(after[24..26], [0xde, 0xad]);
}

#[test]
fn checksums_are_computed_on_demand() {
    for event in ["tcp.events.receive_packet", "ipv4.events.receive_packet"] {
        let mut frame = tcp(A4, B4, b"hello");
        let right = frame.clone();
        frame[24..26].copy_from_slice(&[1, 2]);
        frame[50..52].copy_from_slice(&[3, 4]);
        let after = run(
            event,
            &frame,
            "
            local before = pkt.checksum
            assert(not pkt:verify_checksum())
            pkt:compute_checksum()
            assert(pkt:verify_checksum() and pkt.checksum ~= before)",
        );
        let field = if event.starts_with("tcp") { 50..52 } else { 24..26 };
        assert_eq!(after[field.clone()], right[field]);
    }
}

#[test]
fn flags_and_odd_fields_of_ipv4_are_written() {
    let after = run("ipv4.events.receive_packet", &udp(A4, B4, b"hello"), "
        pkt.flags.rb = true pkt.flags.df = false pkt.flags.mf = true
        assert(pkt.flags.all == 5) pkt.frag_offset = 80 assert(pkt.frag_offset == 80 and pkt.flags.all == 5)
        pkt.flags.all = 3 assert(pkt.flags.df and pkt.flags.mf and pkt.frag_offset == 80)
        pkt.version = 4 pkt.len = 1000 pkt.proto = 99 pkt.dst = '10.1.2.3'");
    assert_eq!(after[14..24], [0x45, 0x12, 0x03, 0xe8, 0xab, 0xcd, 0x60, 10, 61, 99]);
    assert!(tollgate_wire::Layers::of(&after).is_network_intact(&after));
    let after = run(
        "ipv4.events.receive_packet",
        &udp(A4, B4, b"hello"),
        "pkt.hdr_len = 24 assert(pkt.hdr_len == 24)",
    );
    assert_eq!(after[14], 0x46);
}

#[test]
fn a_fragment_is_shown_to_ipv4_only() {
    let mut frame = tcp(A4, B4, b"hello");
    frame[20..22].copy_from_slice(&[0x20, 5]);
    tollgate_wire::Layers::of(&frame).write_network_checksum(&mut frame);
    let mut scene = Scene::new("
        haka.rule{ hook = ipv4.events.receive_packet, eval = function(pkt)
            print(pkt.frag_offset, pkt.flags.mf, #pkt.payload) pkt.payload:pos('end'):insert(haka.vbuffer_from('..')) end }
        haka.rule{ hook = tcp.events.receive_packet, eval = print }
        haka.rule{ hook = tcp.events.send_packet, eval = print }");
    let after = scene.cross(&frame).unwrap();
    assert_eq!(scene.said(), ["40\ttrue\t37"]);
    assert_eq!(after[16..18], [0, 59]);
    assert_eq!(after[50..52], frame[50..52], "the checksum covers bytes that are elsewhere");
}

#[test]
fn drop_stops_later_rules_and_layers() {
    let mut scene = Scene::new("
        haka.rule{ hook = raw.events.receive_packet, eval = function(pkt) print(1) if pkt.payload[9] == 61 then pkt:drop() end end }
        haka.rule{ hook = raw.events.receive_packet, eval = function(pkt) print(2, pkt:state()) end }
        haka.rule{ hook = ipv4.events.receive_packet, eval = function(pkt) print(3) end }");
    assert_eq!(scene.show_frame(Stage::Receive, &udp(A4, B4, b"")).0, Verdict::DropPacket);
    assert_eq!(scene.said(), ["1"]);
    assert_eq!(scene.show_frame(Stage::Receive, &udp(A6, B6, b"")).0, Verdict::Accept);
    assert_eq!(scene.said(), ["1", "2\tnormal"]);
}

#[test]
fn frames_that_are_no_ip_are_raw_and_may_be_refused() {
    let mut arp = [&LINK[..], &[8, 6]].concat();
    arp.resize(60, 1);
    let mut scene = Scene::new(
        "haka.rule{ hook = raw.events.receive_packet, eval = function(pkt)
        print(#pkt.payload, pkt.next_dissector, pkt.payload[1]) pkt.payload[1] = 2 end }",
    );
    let (verdict, after) = scene.show_frame(Stage::Receive, &arp);
    assert_eq!(
        (verdict, after[14], scene.said()),
        (Verdict::Accept, 2, vec!["46\tnil\t1".to_owned()])
    );
    let mut scene = Scene::new("raw.options.drop_unknown_dissector = true");
    assert_eq!(scene.show_frame(Stage::Receive, &arp).0, Verdict::DropPacket);
    assert_eq!(scene.said(), ["warn raw: dropping a packet of an unknown protocol"]);
    assert_eq!(scene.show_frame(Stage::Receive, &udp(A6, B6, b"")).0, Verdict::Accept);
}

#[test]
fn a_packet_is_made_from_nothing() {
    let mut scene = Scene::new(&rule("udp.events.receive_packet", "
        local ip = ipv4.create(raw.create())
        ip.ttl = 64 ip.src = pkt.ip.dst ip.dst = pkt.ip.src
        local answer = udp.create(ip, { srcport = pkt.dstport, dstport = pkt.srcport, payload = 'pong' })
        assert(answer:state() == 'forged' and answer.ip.proto == 17 and answer.length == 8)
        answer:send()
        assert(answer:state() == 'sent' and not answer:can_continue())
        print(pcall(answer.send, answer))
        local t = tcp.create(ipv6.create(raw.create()))
        t.ip.src = ipv6.addr('fd00::5') t.ip.dst = ipv6.addr('fd00::6') t.flags.rst = true t.seq = 9
        assert(t.hdr_len == 20 and t.ip.version == 6)
        t:inject()
        local i = icmp.create(ipv4.create(raw.create()), { type = 8, payload = 'odd' })
        i:drop()"));
    let question = udp(A4, B4, b"ping");
    assert_eq!(scene.show_frame(Stage::Datagram, &question), (Verdict::Accept, question));
    assert_eq!(scene.said(), ["false\ttest.lua:10: send: this packet has been sent already"]);
    let made = scene.made();
    let [Injected { frame, from: Side::B, route: Route::Send }, second] = made.as_slice() else {
        panic!("{made:?}");
    };
    let mut wanted = udp(B4, A4, b"pong");
    wanted[..12].rotate_left(6);
    wanted[15] = 0;
    wanted[18..21].fill(0);
    wanted[22] = 64;
    complete(&mut wanted);
    assert_eq!(frame, &wanted);
    assert_eq!((second.from, second.route, second.frame.len()), (Side::A, Route::Receive, 74));
    assert_intact(&second.frame);
}

#[test]
fn a_received_packet_may_be_sent_at_once_or_received_anew() {
    for (call, route) in [("send", Route::Send), ("inject", Route::Receive)] {
        let mut scene = Scene::new(&rule(
            "tcp.events.receive_packet",
            &format!(
                "
            pkt.payload[1] = 0x4a pkt:{call}() print(pkt:state(), pkt:continue())"
            ),
        ));
        let frame = tcp(A4, B4, b"hello");
        assert_eq!(scene.show_frame(Stage::Datagram, &frame).0, Verdict::DropPacket);
        assert_eq!(scene.said(), ["sent\tfalse"]);
        let made = scene.made();
        assert_eq!((made.len(), made[0].from, made[0].route), (1, Side::A, route));
        assert_intact(&made[0].frame);
        assert!(made[0].frame.ends_with(b"Jello"));
    }
    // On its way out it goes by itself.
    let after = run("tcp.events.send_packet", &tcp(A4, B4, b"hello"), "pkt:send()");
    assert_eq!(after, tcp(A4, B4, b"hello"));
}

#[test]
fn errors_are_logged_by_their_dissector_and_cost_the_packet() {
    let frame = tcp(A4, B4, b"hello");
    for (event, body, wanted) in [
        ("raw.events.receive_packet", "error('no')", "raw: test.lua:3: no"),
        (
            "ipv4.events.receive_packet",
            "local x = pkt.sorce",
            "ipv4: test.lua:3: ipv4: unknown field 'sorce'",
        ),
        (
            "ipv4.events.send_packet",
            "pkt.sorce = 1",
            "ipv4: test.lua:3: ipv4: unknown field 'sorce'",
        ),
        (
            "tcp.events.receive_packet",
            "local x = pkt.flags.sin",
            "tcp: test.lua:3: tcp flags: unknown field 'sin'",
        ),
        (
            "tcp.events.send_packet",
            "pkt.dstport = 65536",
            "tcp: test.lua:3: tcp: 'dstport' must be a whole number from 0 to 65535",
        ),
        (
            "tcp.events.receive_packet",
            "pkt.flags.syn = 1",
            "tcp: test.lua:3: tcp: 'flags.syn' must be a boolean",
        ),
        (
            "tcp.events.receive_packet",
            "pkt.hdr_len = 21",
            "tcp: test.lua:3: tcp: 'hdr_len' must be a multiple of 4",
        ),
        (
            "tcp.events.receive_packet",
            "pkt.name = 'x'",
            "tcp: test.lua:3: tcp: 'name' cannot be written",
        ),
        (
            "ipv4.events.receive_packet",
            "pkt.src = 'nowhere'",
            "ipv4: test.lua:3: ipv4.addr: 'nowhere' is no IPv4 address",
        ),
        (
            "ipv4.events.receive_packet",
            "pkt.frag_offset = 7",
            "ipv4: test.lua:3: ipv4: 'frag_offset' must be a multiple of 8",
        ),
        (
            "ipv4.events.receive_packet",
            "tcp.create(pkt)",
            "ipv4: test.lua:3: tcp.create: a packet that was created and not yet sent expected",
        ),
        (
            "raw.events.receive_packet",
            "tcp.create(pkt)",
            "raw: test.lua:3: tcp.create: an IP packet expected",
        ),
    ] {
        assert_eq!(fails(event, &frame, body), format!("error lua: {wanted}"), "{body}");
    }
}

#[test]
fn a_failing_rule_is_passed_over_where_that_is_wished() {
    let settings = Settings { on_rule_error: OnRuleError::Pass, ..Settings::default() };
    let text = "haka.rule{ hook = ipv4.events.receive_packet, eval = function(pkt) pkt.ttl = 9 error('no') end }
        haka.rule{ hook = ipv4.events.receive_packet, eval = function(pkt) print(pkt.ttl) end }";
    let mut scene = Scene::with(text, settings);
    let (verdict, after) = scene.show_frame(Stage::Receive, &udp(A4, B4, b""));
    assert_eq!((verdict, after[22]), (Verdict::Accept, 9));
    assert_eq!(scene.said(), ["error lua: ipv4: test.lua:1: no", "9"]);
    assert_eq!(scene.policy.rule_errors().errors, 1);
}

#[test]
fn in_pass_through_nothing_is_written_and_verdicts_count() {
    let settings = Settings { pass_through: true, ..Settings::default() };
    for body in [
        "pkt.dstport = 1",
        "pkt.flags.fin = true",
        "pkt.payload[1] = 1",
        "pkt.payload:erase()",
        "pkt.ip.ttl = 1",
        "pkt:compute_checksum()",
    ] {
        let mut scene = Scene::with(&rule("tcp.events.receive_packet", body), settings);
        let (verdict, _) = scene.show_frame(Stage::Datagram, &tcp(A4, B4, b"hello"));
        assert_eq!(verdict, Verdict::DropPacket);
        assert_eq!(scene.said(), ["error lua: tcp: test.lua:3: read only buffer"], "{body}");
    }
    let mut scene = Scene::with(&rule("tcp.events.receive_packet", "pkt:drop()"), settings);
    assert_eq!(scene.show_frame(Stage::Datagram, &tcp(A4, B4, b"hello")).0, Verdict::DropPacket);
}

#[test]
fn a_packet_kept_beyond_its_event_says_so() {
    for used in ["kept.ttl", "kept.src", "kept.flags", "kept.raw", "#kept.payload", "kept:state()"]
    {
        let mut scene = Scene::new(&rule(
            "ipv4.events.receive_packet",
            &format!("if kept then local x = {used} end kept = pkt"),
        ));
        let frame = udp(A4, B4, b"hello");
        assert_eq!(scene.show_frame(Stage::Receive, &frame).0, Verdict::Accept);
        assert_eq!(scene.show_frame(Stage::Receive, &frame).0, Verdict::DropPacket, "{used}");
        assert!(scene.said()[0].ends_with("this packet belongs to an earlier event and is gone"));
    }
}

#[test]
fn cut_and_twisted_frames_neither_fail_nor_hang() {
    let text = "local function look(pkt)
            for _, key in ipairs(fields[pkt.name]) do local x = pkt[key] end
            pkt:verify_checksum() local x = tostring(pkt.payload)
        end
        fields = { raw = { 'payload', 'id' },
            ipv4 = { 'version', 'hdr_len', 'tos', 'len', 'id', 'ttl', 'proto', 'checksum', 'src', 'dst', 'frag_offset', 'flags' },
            ipv6 = { 'version', 'hdr_len', 'tos', 'len', 'flow_label', 'ttl', 'proto', 'src', 'dst' },
            tcp = { 'srcport', 'dstport', 'seq', 'ack_seq', 'hdr_len', 'res', 'window_size', 'checksum', 'urgent_pointer', 'flags' },
            udp = { 'srcport', 'dstport', 'length', 'checksum' }, icmp = { 'type', 'code', 'checksum' } }
        for name in pairs(fields) do
            local module = _G[name]
            for _, event in ipairs{ module.events.receive_packet, module.events.send_packet } do
                haka.rule{ hook = event, eval = function(pkt)
                    if name ~= 'raw' then look(pkt) end
                    pkt.payload:pos('end'):insert(haka.vbuffer_from('++'))
                    pkt.payload:pos('begin'):insert(haka.vbuffer_from('--'))
                end }
            end
        end
        dns.install_udp_rule(80)";
    let mut scene = Scene::new(text);
    let frames = [
        tcp(A4, B4, b"hello"),
        udp(A6, B6, b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x00\x00\x01\x00\x01"),
        udp(A4, B4, b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x00\x00\x01\x00\x01"),
        datagram(A4.0, B4.0, 1, &[8, 0, 0, 0, 1]),
        datagram(A6.0, B6.0, 58, &[128, 0, 0, 0, 1]),
    ];
    let mut seed = 1_u32;
    for frame in &frames {
        for len in 0..=frame.len() {
            let mut cut = frame[..len].to_vec();
            for _ in 0..6 {
                scene.cross(&cut);
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = usize::try_from(seed >> 8).unwrap() % cut.len().max(1);
                if let Some(byte) = cut.get_mut(at) {
                    *byte = seed.to_be_bytes()[0];
                }
            }
        }
    }
    let said = scene.said();
    let failed: Vec<_> = said.iter().filter(|line| line.starts_with("error")).collect();
    assert!(failed.is_empty(), "{failed:?}");
}
