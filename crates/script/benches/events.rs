//! What an event costs in Lua, from the engine's call to the verdict: `cargo bench -p tollgate-script`.
#![expect(clippy::unwrap_used, reason = "a bench")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate_policy::{Data, Flow, FlowId, PacketView, Policy, Reports, Verdict};
use tollgate_script::{LuaPolicy, Rules, Settings};
use tollgate_wire::{
    Direction, Flags, FlowKey, Headers, IpVersion, PerDirection, Seq, Timestamp, Vlans,
};

fn policy(text: &str) -> LuaPolicy {
    Rules::parse(Path::new("bench.lua"), text, Settings::default()).unwrap().policy().unwrap()
}

fn flow(tag: &mut u32) -> Flow<'_> {
    Flow {
        id: FlowId(1),
        client: "192.168.10.5:40000".parse::<SocketAddr>().unwrap().into(),
        server: "192.168.20.9:80".parse::<SocketAddr>().unwrap().into(),
        state: "established",
        traffic: PerDirection::default(),
        now: Timestamp(0),
        tag,
    }
}

fn receive_data(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("receive_data");
    let rules = [
        ("empty", "haka.rule{ hook = tcp_connection.events.receive_data, eval = function() end }"),
        (
            "trivial",
            "haka.rule{ hook = tcp_connection.events.receive_data, eval = function(flow, current, dir)
                if dir == 'up' and flow.dstport == 81 and #current > 4 then flow:drop() end
            end }",
        ),
        (
            "fields",
            "haka.rule{ hook = tcp_connection.events.receive_data, eval = function(flow, current, dir)
                if flow.dstport == 80 and #current > 4 and current[1] == 1 then flow:drop() end
            end }",
        ),
        (
            "find",
            "haka.rule{ hook = tcp_connection.events.receive_data, eval = function(flow, current)
                if current:asstring():find('attack', 1, true) then flow:drop() end
            end }",
        ),
        (
            "streamed",
            "haka.rule{ hook = tcp_connection.events.receive_data, options = { streamed = true },
            eval = function(flow, iter)
                for part in iter:foreach_available() do if #part == 1 then flow:drop() end end
            end }",
        ),
    ];
    let payload: Vec<u8> = (0..1460_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    for (name, text) in rules {
        let mut policy = policy(text);
        let (mut tag, mut reports) = (0, Reports::new(16));
        group.bench_function(format!("{name}, 1460 bytes"), |bencher| {
            bencher.iter(|| {
                let mut data = Data::new(0, false);
                data.push(black_box(&payload));
                let verdict = policy.receive_data(
                    &mut flow(&mut tag),
                    &mut data,
                    Direction::ToServer,
                    &mut reports,
                );
                assert_eq!(verdict, Verdict::Accept);
            });
        });
    }
}

fn new_connection(criterion: &mut Criterion) {
    let mut policy = policy(include_str!("../tests/data/firewall.lua"));
    let mut reports = Reports::new(16);
    let mut frame = [0; 74];
    frame[34..38].copy_from_slice(&[0x9c, 0x40, 0, 80]);
    let mut tag = 0;
    let (client, server) = (flow(&mut tag).client, flow(&mut tag).server);
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
    criterion.bench_function("new_connection, accepted by the seed's firewall", |bencher| {
        bencher.iter(|| {
            let packet =
                PacketView { frame: black_box(&frame), headers: &headers, received: Timestamp(0) };
            let verdict = policy.new_connection(&mut flow(&mut tag), &packet, &mut reports);
            reports.drain().for_each(drop);
            assert_eq!(verdict, Verdict::Accept);
        });
    });
}

criterion_group!(benches, receive_data, new_connection);
criterion_main!(benches);
