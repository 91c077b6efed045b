//! Bytes a second through rules that look into streams: `cargo bench -p tollgate-script --bench matching`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate_policy::{Data, Flow, FlowId, Policy, Reports, Verdict};
use tollgate_script::{Rules, Settings};
use tollgate_wire::{Direction, PerDirection, Timestamp};

/// Bytes of a segment.
const SEGMENT: usize = 1460;

/// Something like the text of a page: words of letters, spaces, lines, tags.
fn text() -> Vec<u8> {
    let mut random = 7_u32;
    let letters = b"etaoinshrdlucmfw e t a<p>=/\"\n0";
    std::iter::repeat_with(|| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        letters[(random >> 24) as usize % letters.len()]
    })
    .take(SEGMENT)
    .collect()
}

fn rules(criterion: &mut Criterion) {
    let streamed = |pattern: &str, match_: &str| {
        format!(
            "local re = require('regexp/pcre').re:compile([[{pattern}]])
            haka.rule{{ hook = tcp_connection.events.receive_data, options = {{ streamed = true }},
            eval = function(flow, iter) if re:match({match_}) then flow:drop() end end }}"
        )
    };
    let set = "local list = {}
        for i = 1, 1000 do list[i] = 'sig' .. i .. '/' .. i * 7919 end
        for i = 1, 50 do
            list[1000 + i] = { regexp = 'user-agent:[^\\n]*bot' .. i .. '|cmd' .. i .. '%.exe[?]%w+=' }
        end
        local bad = haka.patterns(list)
        haka.rule{ hook = tcp_connection.events.receive_data, eval = function(flow, current, direction)
            if bad:stream(flow, direction):feed(current) then flow:drop() end
        end }";
    let mut group = criterion.benchmark_group("rules that look into streams");
    let text = text();
    group.throughput(Throughput::Bytes(text.len() as u64));
    for (name, script) in [
        ("a literal", streamed("FORBIDDEN", "iter")),
        ("an expression", streamed("[a-z]+@[a-z]+%.com", "iter")),
        ("an expression, held", streamed("(?i)forbidden[a-z]*", "iter, true")),
        ("1000 literals, 50 expressions", set.to_owned()),
    ] {
        let rules = Rules::parse(Path::new("bench.lua"), script, Settings::default()).unwrap();
        let (mut policy, mut reports) = (rules.policy().unwrap(), Reports::new(16));
        let (mut tag, mut offset) = (0, 0);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut flow = Flow {
                    id: FlowId(1),
                    client: "192.168.10.5:40000".parse::<SocketAddr>().unwrap().into(),
                    server: "192.168.20.9:80".parse::<SocketAddr>().unwrap().into(),
                    state: "established",
                    traffic: PerDirection::default(),
                    now: Timestamp(0),
                    tag: &mut tag,
                };
                let mut data = Data::new(offset, false);
                data.push(black_box(&text));
                offset += text.len() as u64;
                let direction = Direction::ToServer;
                let verdict = policy.receive_data(&mut flow, &mut data, direction, &mut reports);
                assert_eq!(verdict, Verdict::Accept);
            });
        });
    }
}

criterion_group!(benches, rules);
criterion_main!(benches);
