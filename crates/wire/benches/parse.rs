//! What the parser, the checksum and a forged RST cost, and what smoltcp's checksum costs beside it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate_wire::forge::{Ends, Forged, HEADER_LEN_MAX};
use tollgate_wire::{Endpoint, LinkHeader, Packet, Seq};

const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];

/// A segment with timestamps and `payload_len` bytes, and a good checksum.
fn frame(v6: bool, payload_len: usize) -> Vec<u8> {
    let address = |last: u8| -> std::net::IpAddr {
        if v6 {
            [0xfd, 0, 0, 0, 0, 0, 0, u16::from(last)].into()
        } else {
            [198, 18, 0, last].into()
        }
    };
    let ends = Ends {
        link: LinkHeader::new([2; 6], [4; 6], 0),
        from: Endpoint::new(address(1), 40000),
        to: Endpoint::new(address(2), 80),
        ttl: 64,
        traffic_class: 0,
        flow_label: 0,
        may_fragment: false,
    };
    let mut frame = vec![0; HEADER_LEN_MAX];
    let rst = Forged::rst(ends, Seq(1), Some(Seq(2)));
    let len = rst.write([&[], &[]], &mut frame).unwrap_or(0);
    frame.truncate(len);
    frame.extend(TIMESTAMPS);
    frame.extend((0..payload_len).map(|at| u8::try_from(at % 251).unwrap_or(0)));
    let (ip, tcp) = (14, len - 20);
    let total = u16::try_from(frame.len() - if v6 { tcp } else { ip }).unwrap_or(0);
    let at = if v6 { ip + 4 } else { ip + 2 };
    let mut put = |at: usize, bytes: [u8; 2]| {
        if let Some(field) = frame.get_mut(at..at + 2) {
            field.copy_from_slice(&bytes);
        }
    };
    put(at, total.to_be_bytes());
    put(tcp + 12, [8 << 4, 0x10]);
    if !v6 {
        put(ip + 10, [0, 0]);
        let header = frame.get(ip..ip + 20).unwrap_or_default();
        let sum = !smoltcp::wire::checksum::data(header);
        if let Some(field) = frame.get_mut(ip + 10..ip + 12) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
    }
    match Packet::parse(frame) {
        Ok(mut packet) => {
            packet.complete_checksum();
            packet.into_frame()
        }
        Err(rejected) => unreachable!("built well: {:?}", rejected.why),
    }
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (name, v6) in [("v4", false), ("v6", true)] {
        let frame = frame(v6, 1448);
        group.bench_function(name, |b| {
            b.iter(|| Packet::parse(black_box(&frame[..])).map(|packet| *packet.headers()).is_ok());
        });
        group.bench_function(format!("{name} and options"), |b| {
            b.iter(|| Packet::parse(black_box(&frame[..])).map(|packet| packet.options()).is_ok());
        });
    }
    group.finish();
}

fn checksum(c: &mut Criterion) {
    for len in [20, 64, 512, 1448, 65_000] {
        let mut group = c.benchmark_group(format!("checksum of {len} bytes"));
        group.throughput(Throughput::Bytes(u64::try_from(len).unwrap_or(0)));
        let bytes = vec![0x5a; len];
        group.bench_function("smoltcp", |b| {
            b.iter(|| smoltcp::wire::checksum::data(black_box(&bytes)));
        });
        let frame = frame(false, len.min(1448));
        if let (Ok(packet), true) = (Packet::parse(&frame[..]), len <= 1448) {
            group
                .bench_function("ours, of a segment", |b| b.iter(|| black_box(&packet).checksum()));
        }
        group.finish();
    }
}

fn edit(c: &mut Criterion) {
    let mut group = c.benchmark_group("edit");
    let ends = Ends {
        link: LinkHeader::new([2; 6], [4; 6], 0),
        from: Endpoint::new([198, 18, 0, 1].into(), 40000),
        to: Endpoint::new([198, 18, 0, 2].into(), 80),
        ttl: 64,
        traffic_class: 0,
        flow_label: 0,
        may_fragment: false,
    };
    let mut out = [0; HEADER_LEN_MAX];
    group.bench_function("forge an RST", |b| {
        b.iter(|| Forged::rst(black_box(ends), Seq(1), None).write([&[], &[]], &mut out));
    });
    group.finish();
}

criterion_group!(benches, parse, checksum, edit);
criterion_main!(benches);
