//! Whatever the expression and wherever the stream is cut, what is found is what `regex` finds in the
//! whole.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use proptest::prelude::*;
use regex::bytes::RegexBuilder;
use tollgate_inspect::regexp::{Flags, Found, Regexp, Scan};
use tollgate_inspect::signatures::{Hit, Signature, Signatures};

/// Expressions over a few letters, with everything that can make a step hard.
fn expressions() -> impl Strategy<Value = String> {
    let atoms = [
        "a", "b", "c", "ab", "abc", ".", "[ab]", "[^a]", r"\n", r"\b", r"\B", "^", "$", r"\A",
        r"\z", r"\w", r"(?s:.)", " ", "(?:)",
    ];
    let leaf = prop::sample::select(atoms.to_vec()).prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let repeats = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("(?:{})", parts.join("|"))),
            (inner, prop::sample::select(repeats.to_vec()))
                .prop_map(|(inner, repeat)| format!("(?:{inner}){repeat}")),
        ]
    })
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"aaabbbcc \n-".to_vec()), 0..24)
}

/// The pieces that cuts at these places leave.
fn pieces<'a>(text: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    places.extend([0, text.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

fn oracle(pattern: &str, text: &[u8]) -> Option<(u64, u64)> {
    let regex = RegexBuilder::new(pattern).unicode(false).multi_line(true).build().unwrap();
    regex.find(text).map(|found| (found.start() as u64, found.end() as u64))
}

fn streamed(pattern: &str, pieces: &[&[u8]]) -> Option<(u64, u64)> {
    let regexp = Regexp::compile(pattern.as_bytes(), Flags::default()).unwrap();
    let (mut automaton, mut scan) = (regexp.automaton(), Scan::default());
    let (mut fuel, mut place, mut froms) = (u64::MAX, 0, Vec::new());
    for (index, piece) in pieces.iter().enumerate() {
        let is_last = index + 1 == pieces.len();
        place += piece.len() as u64;
        match scan.feed(&mut automaton, piece, is_last, &mut fuel).unwrap() {
            Found::Match { start, end } => {
                assert!(end <= place);
                for from in froms {
                    assert!(from <= start, "bytes from {from} on were let go");
                }
                return Some((start, end));
            }
            Found::Nothing => return None,
            Found::More { from, is_certain } => {
                assert!(!is_last && from <= place);
                assert_eq!(scan.is_partial(), from < place || is_certain);
                froms.push(from);
            }
        }
    }
    unreachable!("the last piece decides");
}

/// Every end of a match of `pattern` in `text`, the slow way.
fn ends(pattern: &str, text: &[u8]) -> Vec<u64> {
    let is_match = |from: usize, to: usize| {
        let rest = text.len() - to;
        let whole = format!(r"\A(?s:.{{{from}}})(?:{pattern})(?s:.{{{rest}}})\z");
        RegexBuilder::new(&whole).unicode(false).multi_line(true).build().unwrap().is_match(text)
    };
    (0..=text.len())
        .filter(|to| (0..=*to).any(|from| is_match(from, *to)))
        .map(|to| to as u64)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn every_cut_finds_what_is_in_the_whole(
        pattern in expressions(),
        text in texts(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let wanted = oracle(&pattern, &text);
        prop_assert_eq!(streamed(&pattern, &[&text]), wanted, "in one piece");
        prop_assert_eq!(streamed(&pattern, &pieces(&text, &cuts)), wanted, "cut");
        let singles: Vec<_> = text.chunks(1).chain([&[][..]]).collect();
        prop_assert_eq!(streamed(&pattern, &singles), wanted, "in single bytes");
    }

    #[test]
    fn searches_that_share_an_automaton_do_not_disturb_each_other(
        pattern in expressions(),
        one in texts(),
        other in texts(),
    ) {
        let regexp = Regexp::compile(pattern.as_bytes(), Flags::default()).unwrap();
        let mut automaton = regexp.automaton();
        let mut found = [None; 2];
        let mut scans = [Scan::default(), Scan::default()];
        for at in 0..=one.len().max(other.len()) {
            for (index, text) in [&one, &other].into_iter().enumerate() {
                let is_end = at >= text.len();
                let piece = text.get(at..(at + 1).min(text.len())).unwrap_or_default();
                let result = scans[index].feed(&mut automaton, piece, is_end, &mut u64::MAX.clone());
                if let Found::Match { start, end } = result.unwrap() {
                    found[index] = Some((start, end));
                }
            }
        }
        prop_assert_eq!(found, [oracle(&pattern, &one), oracle(&pattern, &other)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_set_tells_every_end_of_every_match(
        patterns in prop::collection::vec(expressions(), 1..4),
        literals in prop::collection::vec("[abc]{1,3}", 0..3),
        text in prop::collection::vec(prop::sample::select(b"aabbc\n".to_vec()), 0..9),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let expression = |pattern: &String| Signature::Expression {
            pattern: pattern.clone().into_bytes(),
            flags: Flags::default(),
        };
        let literal = |text: &String| Signature::Literal {
            bytes: text.clone().into_bytes(),
            case_insensitive: false,
        };
        let list: Vec<_> = patterns.iter().map(expression).chain(literals.iter().map(literal)).collect();
        // Literals that expressions are in fact may match nothing at all.
        let Ok(set) = Signatures::compile(&list) else { return Ok(()) };
        let mut wanted: Vec<(u64, usize)> = patterns
            .iter()
            .chain(&literals)
            .enumerate()
            .flat_map(|(number, pattern)| ends(pattern, &text).into_iter().map(move |at| (at, number)))
            .collect();
        wanted.sort_unstable();
        let find = |every| {
            let (mut matcher, mut watch) = (set.matcher(), set.watch(every));
            let mut hits: Vec<Hit> = Vec::new();
            let pieces = pieces(&text, &cuts);
            for (index, piece) in pieces.iter().enumerate() {
                let is_end = index + 1 == pieces.len();
                watch.feed(&mut matcher, piece, is_end, &mut u64::MAX.clone(), &mut hits).unwrap();
            }
            hits.sort_unstable();
            hits.into_iter().map(|hit| (hit.end, hit.signature)).collect::<Vec<_>>()
        };
        prop_assert_eq!(find(true), wanted.clone());
        let firsts: Vec<_> = wanted
            .iter()
            .filter(|(at, number)| !wanted.iter().any(|(before, same)| same == number && before < at))
            .copied()
            .collect();
        prop_assert_eq!(find(false), firsts);
    }
}

/// Where bytes are to be held from, after each piece.
fn held(pattern: &str, pieces: &[&str]) -> Vec<u64> {
    let regexp = Regexp::compile(pattern.as_bytes(), Flags::default()).unwrap();
    let (mut automaton, mut scan) = (regexp.automaton(), Scan::default());
    pieces
        .iter()
        .map(|piece| {
            match scan.feed(&mut automaton, piece.as_bytes(), false, &mut u64::MAX.clone()).unwrap()
            {
                Found::More { from, .. } => from,
                found => panic!("{found:?}"),
            }
        })
        .collect()
}

#[test]
fn no_more_is_held_than_a_match_may_need() {
    // A word begins, goes on, and turns out to be another.
    assert_eq!(held("forbidden", &["a for", "bid", "en"]), [2, 2, 10]);
    // Five letters and an X: the last five letters, however many there were.
    assert_eq!(held("[a-z]{5}X", &["abcdefgh", "ijklmn", "-"]), [3, 9, 15]);
    // The state is that of a beginning, and yet a match has begun long ago.
    assert_eq!(held("(?:ab)*c", &["ab", "ab", "-"]), [0, 0, 5]);
    // What overlaps is not missed: Haka's restart was.
    assert_eq!(held("aabc|abd", &["aab"]), [0]);
    assert_eq!(streamed("aabc|abd", &[b"aab", b"d"]), Some((1, 4)));
}

#[test]
fn a_match_that_may_grow_is_certain_and_open() {
    let regexp = Regexp::compile(b"ab+", Flags::default()).unwrap();
    let (mut automaton, mut scan) = (regexp.automaton(), Scan::default());
    let mut feed = |text: &[u8], end| scan.feed(&mut automaton, text, end, &mut u64::MAX.clone());
    assert_eq!(feed(b"xa", false), Ok(Found::More { from: 1, is_certain: false }));
    assert_eq!(feed(b"b", false), Ok(Found::More { from: 1, is_certain: true }));
    assert_eq!(feed(b"b", true), Ok(Found::Match { start: 1, end: 4 }));
    assert_eq!(feed(b"ab", true), Ok(Found::Match { start: 1, end: 4 }));
}

#[test]
fn work_is_paid_from_the_callers_fuel_and_memory_is_bounded() {
    // Every byte of this makes a new state: one of two to the power of 300.
    let regexp = Regexp::compile(b"(?s:a.{300}b.{300})c", Flags::default()).unwrap();
    let (mut automaton, mut scan) = (regexp.automaton(), Scan::default());
    let mut random = 1_u32;
    let text: Vec<u8> = std::iter::repeat_with(|| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"ab"[(random >> 31) as usize]
    })
    .take(20_000)
    .collect();
    let mut fuel = 1_000_000_000;
    scan.feed(&mut automaton, &text, false, &mut fuel).unwrap();
    assert!(fuel < 999_000_000, "{fuel}");
    assert!(automaton.memory_bytes() < 4 << 20, "{}", automaton.memory_bytes());
    assert!(scan.feed(&mut automaton, &text, false, &mut 1000).is_err());
}

#[test]
fn flags_and_the_escape_of_lua_mean_what_they_mean_in_haka() {
    let find = |pattern: &str, case_insensitive, extended, text: &str| {
        let flags = Flags { case_insensitive, extended };
        let regexp = Regexp::compile(pattern.as_bytes(), flags).unwrap();
        let found = Scan::default().feed(
            &mut regexp.automaton(),
            text.as_bytes(),
            true,
            &mut u64::MAX.clone(),
        );
        match found.unwrap() {
            Found::Match { start, end } => Some((start, end)),
            _ => None,
        }
    };
    assert_eq!(find("%d+%s", false, false, "a12 "), Some((1, 4)));
    assert_eq!(find("HOST", true, false, "host"), Some((0, 4)));
    assert_eq!(find("HOST", false, false, "host"), None);
    assert_eq!(find("a b # and c\n c", false, true, "abc"), Some((0, 3)));
    assert_eq!(find("^b$", false, false, "a\nb\nc"), Some((2, 3)));
    assert_eq!(find(r"\xff\x{0}", false, false, "\0"), None);
}
