//! Addresses, flows, packets and data.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Scene, load};
use tollgate_policy::Verdict;
use tollgate_wire::Direction::ToServer;

/// Runs `body` in a new_connection rule with `flow` and `pkt`; a failed assertion is an error.
#[track_caller]
fn holds(scene_of: (&str, &str), body: &str) {
    let text = format!(
        "haka.rule{{ hook = tcp_connection.events.new_connection, eval = function(flow, pkt)\n{body}\nend }}"
    );
    let mut scene = Scene::new(&text).between(scene_of.0, scene_of.1);
    let verdict = scene.open();
    assert_eq!((verdict, scene.said()), (Verdict::Accept, vec![]));
}

/// The message of the error that `body` raises, without its place.
#[track_caller]
fn fails(body: &str) -> String {
    let text = format!(
        "haka.rule{{ hook = tcp_connection.events.new_connection, eval = function(flow, pkt)\n{body}\nend }}"
    );
    let mut scene = Scene::new(&text);
    assert_eq!(scene.open(), Verdict::Drop);
    scene.said().remove(0).strip_prefix("error tcp: test.lua:2: ").unwrap().to_owned()
}

const V4: (&str, &str) = ("198.18.0.1:40000", "198.18.0.2:80");
const V6: (&str, &str) = ("[fd00::1]:40000", "[fd00::2]:80");

#[test]
fn addresses_compare_and_print() {
    load(
        "local a = ipv4.addr('10.0.0.1')
        assert(a == ipv4.addr(10, 0, 0, 1) and a == ipv4.addr(0x0a000001) and a ~= ipv4.addr('10.0.0.2'))
        assert(a < ipv4.addr('10.0.0.2') and a <= a and not (a < a) and ipv4.addr('9.255.255.255') < a)
        assert(ipv4.addr('200.0.0.0') > ipv4.addr('100.0.0.0'))
        assert(tostring(ipv4.addr('255.254.253.252')) == '255.254.253.252' and a.packed == 0x0a000001)
        assert(tostring(ipv6.addr('fd00:0::1')) == 'fd00::1')
        local b = ipv6.addr('fd00::1')
        assert(b == ipv6.addr('fd00:0:0::1') and b ~= a and a < b and b < ipv6.addr('fd00::2'))
        assert(ipv6.addr('ffff::') > ipv6.addr('7fff::'))",
    )
    .unwrap();
}

#[test]
fn networks_contain_what_they_should() {
    load(
        "local function net(text, inside, outside)
            local n = ipv4.network(text)
            assert(n:contains(ipv4.addr(inside)), text .. inside)
            assert(not n:contains(ipv4.addr(outside)), text .. outside)
            return n
        end
        local n = net('192.168.10.77/25', '192.168.10.127', '192.168.10.128')
        assert(tostring(n) == '192.168.10.0/25' and n.net == ipv4.addr('192.168.10.0') and n.mask == 25)
        net('10.0.0.7/32', '10.0.0.7', '10.0.0.8')
        net('128.0.0.0/1', '255.0.0.1', '127.255.255.255')
        assert(ipv4.network('0.0.0.0/0'):contains(ipv4.addr('255.255.255.255')))
        assert(ipv4.network(ipv4.addr('10.0.0.77'), 24):contains(ipv4.addr('10.0.0.77')))
        assert(ipv4.network('10.0.0.0/8'):contains('10.1.1.1'))
        local m = ipv6.network('fd00:1:2:3:4::/66')
        assert(tostring(m) == 'fd00:1:2:3::/66' and m:contains(ipv6.addr('fd00:1:2:3:3fff::')))
        assert(not m:contains(ipv6.addr('fd00:1:2:3:4000::')) and not m:contains(ipv4.addr('10.0.0.1')))
        assert(not ipv4.network('0.0.0.0/0'):contains(ipv6.addr('::1')))
        assert(ipv6.network('::/0'):contains(ipv6.addr('ffff::1')))
        assert(ipv6.network('fd00::1/128'):contains(ipv6.addr('fd00::1')))
        assert(not ipv6.network('fd00::1/128'):contains(ipv6.addr('fd00::2')))",
    )
    .unwrap();
}

#[test]
fn a_flow_has_its_fields_and_unknown_ones_are_nil() {
    holds(
        V4,
        "
        assert(flow.srcip == ipv4.addr('198.18.0.1') and tostring(flow.dstip) == '198.18.0.2')
        assert(flow.srcport == 40000 and flow.dstport == 80 and flow.name == 'tcp_connection')
        assert(flow.state.current == 'established' and flow.connection.id == 1)
        local c = flow.connection
        assert(c.in_pkts == 3 and c.in_bytes == 150 and c.out_pkts == 2 and c.out_bytes == 90)
        assert(flow.nothing == nil and c.nothing == nil)
        flow:send() flow:send('up') flow:send('down')",
    );
    holds(V6, "assert(flow.srcip == ipv6.addr('fd00::1') and tostring(flow.dstip) == 'fd00::2')");
}

#[test]
fn a_packet_has_its_fields() {
    holds(V4, "
        assert(pkt.srcport == 40000 and pkt.dstport == 80 and pkt.seq == 0xfffffff0 and pkt.ack_seq == 77)
        assert(pkt.hdr_len == 32 and pkt.res == 0 and pkt.window_size == 0x2000)
        assert(pkt.checksum == 0xbeef and pkt.urgent_pointer == 5 and #pkt.payload == 0)
        local f = pkt.flags
        assert(f.syn and not f.ack and not f.fin and not f.rst and not f.psh and not f.urg and not f.ecn and not f.cwr)
        assert(f.all == 2)
        local ip = pkt.ip
        assert(ip.version == 4 and ip.hdr_len == 20 and ip.tos == 0x12 and ip.len == 52 and ip.id == 0xabcd)
        assert(ip.flags.df and not ip.flags.mf and not ip.flags.rb and ip.flags.all == 2 and ip.frag_offset == 0)
        assert(ip.ttl == 61 and ip.proto == 6 and ip.checksum == 0x1234)
        assert(ip.src == flow.srcip and ip.dst == flow.dstip)");
    holds(V6, "
        local ip = pkt.ip
        assert(ip.version == 6 and ip.hdr_len == 40 and ip.tos == 0x12 and ip.len == 72 and ip.ttl == 61)
        assert(ip.flow_label == 0xabcde and ip.src == flow.srcip and ip.dst == flow.dstip)");
}

#[test]
fn what_a_packet_lacks_or_cannot_do_is_said() {
    for (body, wanted) in [
        ("local x = pkt.sport", "tcp: unknown field 'sport'"),
        ("local x = pkt.ip.sorce", "ipv4: unknown field 'sorce'"),
        ("local x = pkt.flags.sin", "tcp flags: unknown field 'sin'"),
        (
            "pkt.dstport = 81",
            "tcp: 'dstport' cannot be written in events of tcp_connection; tcp.events.receive_packet may",
        ),
        (
            "pkt.ip.ttl = 1",
            "ipv4: 'ttl' cannot be written in events of tcp_connection; tcp.events.receive_packet may",
        ),
        (
            "pkt:inject()",
            "tcp: 'inject' cannot be used in events of tcp_connection, which sends it itself",
        ),
        ("flow:send('left')", "flow: send: 'up', 'down' or nothing expected, got 'left'"),
        ("flow.connection.id = 3", "flow.connection is read-only"),
        ("http.dissect(pkt)", "http.dissect: a flow expected, got table"),
        ("local x = flow.srcip < 7", "an address can only be compared with an address"),
        ("local x = tcp_connection.events.nope", "unknown event tcp_connection.events.nope"),
    ] {
        assert_eq!(fails(body), wanted, "{body}");
    }
}

#[test]
fn the_payload_of_a_packet_is_there() {
    let mut scene = Scene::new(
        "haka.rule{ hook = tcp_connection.events.receive_packet, eval = function(flow, pkt, dir)
            print(dir, #pkt.payload, pkt.payload[1], pkt.payload:sub(1, 2):asstring(), tostring(pkt.payload))
        end }",
    );
    assert_eq!(scene.packet(ToServer, b"hello"), Verdict::Accept);
    assert_eq!(scene.said(), ["up\t5\t104\tel\thello"]);
}

#[test]
fn data_reads_across_its_segments() {
    let mut scene = Scene::new(
        "haka.rule{ hook = tcp_connection.events.receive_data, eval = function(flow, current, dir)
            assert(#current == 6 and current[1] == 97 and current[6] == 102)
            assert(current[0] == nil and current[7] == nil)
            assert(current:asstring() == 'abcdef' and tostring(current) == 'abcdef')
            local mid = current:sub(1, 4)
            assert(#mid == 4 and mid:asstring() == 'bcde' and mid:sub(1):asstring() == 'cde')
            assert(current:sub(4, 'all'):asstring() == 'ef' and current:sub(5, 99):asstring() == 'f')
            assert(#current:sub(6) == 0 and mid:sub(1, 2)[1] == 99)
            assert(current:sub(0, 2):asnumber() == 0x6162 and current:sub(0, 2):asnumber('little') == 0x6261)
            print(pcall(current.sub, current, 7))
            print(pcall(function() local i = 1 rawget(_G, 'set')(current, i) end))
        end }",
    );
    assert_eq!(scene.data(&[b"abc", b"d", b"ef"], false), Verdict::Accept);
    assert_eq!(
        scene.said(),
        [
            "false\ttest.lua:10: sub: offset or length out of range",
            "false\ttest.lua:11: attempt to call a nil value",
        ]
    );
}

#[test]
fn an_end_without_data_is_not_shown_to_a_plain_rule() {
    let mut scene = Scene::new(
        "haka.rule{ hook = tcp_connection.events.receive_data, eval = function() print('no') end }",
    );
    assert_eq!(scene.data(&[], true), Verdict::Accept);
    assert_eq!(scene.said(), [""; 0]);
}

#[test]
fn fields_of_the_scripts_own_live_as_long_as_the_flow() {
    let mut scene = Scene::new(
        "haka.rule{ hook = tcp_connection.events.receive_data, eval = function(flow)
            flow.mine = (flow.mine or 0) + 1 print(flow.mine) end }
        haka.rule{ hook = tcp_connection.events.end_connection, eval = function(flow) print('end', flow.mine) end }",
    );
    scene.data(&[b"x"], false);
    scene.data(&[b"x"], false);
    let tag = scene.tag;
    assert_ne!(tag, 0);
    scene.end();
    assert_eq!(scene.tag, 0);
    scene.next();
    scene.data(&[b"x"], false);
    assert_eq!(scene.tag, tag, "the number of an ended flow is used again");
    assert_eq!(scene.said(), ["1", "2", "end\t2", "1"]);
}

#[test]
fn objects_kept_beyond_their_event_say_so() {
    let keep = |what: &str, used: &str| {
        format!(
            "local kept
            haka.rule{{ hook = tcp_connection.events.new_connection, eval = function(flow, pkt) kept = {what} end }}
            haka.rule{{ hook = tcp_connection.events.receive_data, eval = function(flow, current)
                if not kept then kept = current return end
                local x = {used}
            end }}"
        )
    };
    for (what, used, wanted) in [
        ("pkt", "kept.srcport", "this packet belongs to an earlier event and is gone"),
        ("pkt", "kept:drop()", "this packet belongs to an earlier event and is gone"),
        ("pkt.ip", "kept.src", "this packet belongs to an earlier event and is gone"),
        ("nil", "#kept", "these bytes have gone on; keep a copy with :asstring()"),
        ("nil", "kept:asstring()", "these bytes have gone on; keep a copy with :asstring()"),
        ("nil", "kept:sub(0, 1)", "these bytes have gone on; keep a copy with :asstring()"),
    ] {
        let used = if used.ends_with("()") && used.contains("drop") {
            format!("nil {used}")
        } else {
            used.to_owned()
        };
        let mut scene = Scene::new(&keep(what, &used));
        scene.open();
        scene.data(&[b"first"], false);
        assert_eq!(scene.data(&[b"second"], false), Verdict::Drop, "{what} {used}");
        let said = scene.said().remove(0);
        assert!(said.ends_with(wanted), "{said}");
    }
}

#[test]
fn a_flow_kept_beyond_its_event_cannot_be_judged() {
    let mut scene = Scene::new(
        "local kept
        haka.rule{ hook = tcp_connection.events.receive_data, eval = function(flow)
            if kept then print(pcall(kept.drop, kept)) print(kept.srcport, pcall(function() return kept.state.current end)) end
            kept = kept or flow
        end }
        haka.rule{ hook = tcp_connection.events.end_connection, eval = function(flow) print(pcall(flow.reset, flow)) end }",
    );
    scene.data(&[b"x"], false);
    scene.next();
    assert_eq!(scene.data(&[b"x"], false), Verdict::Accept);
    scene.end();
    let said = scene.said();
    assert!(
        said[0].ends_with("flow: drop: this is not the connection of the running event"),
        "{said:?}"
    );
    assert!(said[1].starts_with("40000\tfalse\t"), "{said:?}");
    assert!(said[2].ends_with("flow: reset: the connection has ended already"), "{said:?}");
}

#[test]
fn the_payload_of_a_packet_that_has_gone_cannot_be_read() {
    let mut scene = Scene::new(
        "local kept
        haka.rule{ hook = tcp_connection.events.receive_packet, eval = function(flow, pkt)
            if kept then print(kept[1]) end
            kept = pkt.payload
        end }",
    );
    assert_eq!(scene.packet(ToServer, b"hello"), Verdict::Accept);
    assert_eq!(scene.packet(ToServer, b"again"), Verdict::Drop);
    assert!(scene.said()[0].ends_with("these bytes have gone on; keep a copy with :asstring()"));
}

#[test]
fn checksums_can_be_verified() {
    let mut scene = Scene::new(
        "haka.rule{ hook = tcp_connection.events.new_connection, eval = function(flow, pkt)
            print(pkt:verify_checksum(), pkt.ip:verify_checksum()) end }",
    );
    let mut say = |repair: bool| {
        let (mut bytes, headers) =
            common::frame(scene.client, scene.server, tollgate_wire::Flags::SYN, b"");
        bytes[12..14].copy_from_slice(&[8, 0]);
        if repair {
            tollgate_wire::repair_checksums(&mut bytes);
        }
        scene.open_with(&bytes, &headers);
        scene.said()
    };
    assert_eq!(say(true), ["true\ttrue"]);
    assert_eq!(say(false), ["false\tfalse"]);
}
