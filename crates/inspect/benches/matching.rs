//! Bytes a second through an expression and through a set of signatures: `cargo bench -p tollgate-inspect`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate_inspect::regexp::{Flags, Regexp, Scan};
use tollgate_inspect::signatures::{Signature, Signatures};

/// Bytes of a segment.
const SEGMENT: usize = 1460;

/// Something like the text of a page: words of letters, spaces, lines, tags.
fn text(len: usize) -> Vec<u8> {
    let mut random = 7_u32;
    let mut text = Vec::with_capacity(len);
    while text.len() < len {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let letters = b"etaoinshrdlucmfw e t a<p>=/\"\n0";
        text.push(letters[(random >> 24) as usize % letters.len()]);
    }
    text
}

fn expressions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("streamed expression");
    let text = text(SEGMENT * 64);
    group.throughput(Throughput::Bytes(text.len() as u64));
    for (name, pattern) in [
        ("literal", "FORBIDDEN"),
        ("literal in any case", "(?i)forbidden"),
        ("no prefix", "[a-z]+@[a-z]+%.com"),
        ("word boundaries", "%b[0-9]{8,}%b"),
        ("lines", "^X-[A-Z]+:.*$"),
        ("window", "[a-z]{6}Z"),
    ] {
        let regexp = Regexp::compile(pattern.as_bytes(), Flags::default()).unwrap();
        let mut automaton = regexp.automaton();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut scan = Scan::default();
                for segment in black_box(&text).chunks(SEGMENT) {
                    scan.feed(&mut automaton, segment, false, &mut u64::MAX.clone()).unwrap();
                }
            });
        });
    }
}

fn signatures(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("set of signatures");
    let text = text(SEGMENT * 64);
    group.throughput(Throughput::Bytes(text.len() as u64));
    let literals = |count: u32| {
        (0..count).map(|number| Signature::Literal {
            bytes: format!("sig{number:x}/{}", number.wrapping_mul(2_654_435_761)).into_bytes(),
            case_insensitive: false,
        })
    };
    let expressions = |count: u32| {
        (0..count).map(|number| Signature::Expression {
            pattern: format!("user-agent:[^\n]*bot{number}|cmd{number}%.exe[?]%w+=").into_bytes(),
            flags: Flags::default(),
        })
    };
    for (name, list) in [
        ("1000 literals", literals(1000).collect::<Vec<_>>()),
        ("10000 literals", literals(10_000).collect()),
        ("50 expressions", expressions(50).collect()),
        ("1000 literals, 50 expressions", literals(1000).chain(expressions(50)).collect()),
    ] {
        let set = Signatures::compile(&list).unwrap();
        let mut matcher = set.matcher();
        let mut hits = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut watch = set.watch(false);
                for segment in black_box(&text).chunks(SEGMENT) {
                    watch
                        .feed(&mut matcher, segment, false, &mut u64::MAX.clone(), &mut hits)
                        .unwrap();
                }
                assert_eq!(hits, []);
            });
        });
    }
}

criterion_group!(benches, expressions, signatures);
criterion_main!(benches);
