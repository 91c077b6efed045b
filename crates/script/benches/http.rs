//! What HTTP costs in Lua: a request and its response, each in one event, as they lie in segments.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate_policy::{Data, Flow, FlowId, PacketView, Policy as _, Reports, Verdict};
use tollgate_script::{LuaPolicy, Rules, Settings};
use tollgate_wire::{
    Direction, Endpoint, Flags, FlowKey, Headers, IpVersion, PerDirection, Seq, Timestamp, Vlans,
};

const REQUEST: &[u8] = b"GET /index.html?x=1 HTTP/1.1\r\nHost: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\nAccept: text/html,*/*;q=0.8\r\n\
    Accept-Language: en\r\nAccept-Encoding: gzip, deflate\r\nCookie: id=0123456789abcdef\r\n\
    Connection: keep-alive\r\n\r\n";

const RESPONSE_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\n\
    Content-Type: text/html\r\nContent-Length: 612\r\nLast-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\n\
    Connection: keep-alive\r\nETag: \"5f0a-264\"\r\nAccept-Ranges: bytes\r\n\r\n";

const SETUP: &str = "local http = require('protocol/http') http.install_tcp_rule(80)";

/// A connection through the rules.
struct Line {
    policy: LuaPolicy,
    ends: [Endpoint; 2],
    tag: u32,
    reports: Reports,
    offsets: [u64; 2],
}

impl Line {
    fn open(rules: &str) -> Self {
        let text = format!("{SETUP}\n{rules}");
        let rules = Rules::parse(Path::new("bench.lua"), text, Settings::default()).unwrap();
        let ends = ["192.168.10.5:40000", "192.168.20.9:80"]
            .map(|text| text.parse::<SocketAddr>().unwrap().into());
        let (policy, reports) = (rules.policy().unwrap(), Reports::new(16));
        let mut line = Self { policy, ends, tag: 0, reports, offsets: [0; 2] };
        line.syn();
        line
    }

    fn syn(&mut self) {
        let mut frame = [0; 74];
        frame[34..38].copy_from_slice(&[0x9c, 0x40, 0, 80]);
        let [client, server] = self.ends;
        let (key, source) = FlowKey::new(client, server, Vlans::default());
        let headers = Headers {
            key,
            source,
            ip_version: IpVersion::V4,
            ttl: 64,
            ip: 14,
            tcp: 34,
            payload: 74,
            end: 74,
            flags: Flags::SYN,
            seq: Seq(1),
            ack: Seq(0),
            window: 1024,
            urgent: 0,
        };
        let packet = PacketView { frame: &frame, headers: &headers, received: Timestamp(0) };
        let mut flow = flow(self.ends, &mut self.tag);
        self.policy.new_connection(&mut flow, &packet, &mut self.reports);
    }

    fn say(&mut self, direction: Direction, bytes: &[u8]) {
        let offset = &mut self.offsets[usize::from(direction == Direction::ToClient)];
        let mut data = Data::new(*offset, false).writable();
        *offset += bytes.len() as u64;
        data.push(black_box(bytes));
        let mut flow = flow(self.ends, &mut self.tag);
        let verdict = self.policy.receive_data(&mut flow, &mut data, direction, &mut self.reports);
        assert_eq!(verdict, Verdict::Accept);
        black_box(data.into_wishes());
    }
}

fn flow(ends: [Endpoint; 2], tag: &mut u32) -> Flow<'_> {
    Flow {
        id: FlowId(1),
        client: ends[0],
        server: ends[1],
        state: "established",
        traffic: PerDirection::default(),
        now: Timestamp(0),
        tag,
    }
}

fn exchanges(criterion: &mut Criterion) {
    let response = [RESPONSE_HEAD, &[b'x'; 612]].concat();
    let mut group = criterion.benchmark_group("http");
    group.throughput(Throughput::Elements(1));
    let rules = [
        ("no rule", ""),
        (
            "request rule",
            "haka.rule{ hook = http.events.request, eval = function(http, req)
                if req.uri == '/forbidden' then http:drop() end
            end }",
        ),
        (
            "request rule, a header",
            "haka.rule{ hook = http.events.request, eval = function(http, req)
                if req.uri == '/forbidden' or req.headers['Host'] == 'evil' then http:drop() end
            end }",
        ),
        (
            "request and response rules",
            "haka.rule{ hook = http.events.request, eval = function(http, req)
                if req.uri == '/forbidden' then http:drop() end
            end }
            haka.rule{ hook = http.events.response, eval = function(http, resp)
                if resp.status == '500' then http:drop() end
            end }",
        ),
        (
            "a header rewritten",
            "haka.rule{ hook = http.events.request, eval = function(http, req)
                req.headers['User-Agent'] = 'none'
            end }",
        ),
    ];
    for (name, text) in rules {
        let mut line = Line::open(text);
        group.bench_function(format!("{name}: request and response"), |bencher| {
            bencher.iter(|| {
                line.say(Direction::ToServer, REQUEST);
                line.say(Direction::ToClient, &response);
            });
        });
    }
    group.finish();
}

fn body(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http body");
    let part = [b'x'; 1460];
    group.throughput(Throughput::Bytes(part.len() as u64));
    let rules = [
        ("nobody listens", ""),
        (
            "data rule",
            "haka.rule{ hook = http.events.response_data, eval = function(http, current)
            if #current == 1 then http:drop() end end }",
        ),
    ];
    for (name, text) in rules {
        let mut line = Line::open(text);
        line.say(Direction::ToServer, REQUEST);
        line.say(Direction::ToClient, b"HTTP/1.1 200 OK\r\n\r\n");
        group.bench_function(format!("{name}, 1460 bytes"), |bencher| {
            bencher.iter(|| line.say(Direction::ToClient, &part));
        });
    }
    group.finish();
}

criterion_group!(benches, exchanges, body);
criterion_main!(benches);
