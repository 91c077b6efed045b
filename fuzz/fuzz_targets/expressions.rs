//! An expression and a text of an attacker's choice: what is found in pieces is what is found in the
//! whole, and nothing that a match needs was let go. That it is what `regex` finds, a property of the
//! crate's tests shows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_inspect::regexp::{Flags, Found, Regexp, Scan};

fuzz_target!(|bytes: &[u8]| {
    let [options, len, bytes @ ..] = bytes else { return };
    let (pattern, text) = bytes.split_at(bytes.len().min(usize::from(options >> 2)));
    let flags = Flags { case_insensitive: options & 1 != 0, extended: options & 2 != 0 };
    let Ok(regexp) = Regexp::compile(pattern, flags) else { return };
    let Some(whole) = find(&regexp, [text]) else { return };
    if let Some(cut) = find(&regexp, text.chunks(usize::from(*len) + 1)) {
        assert_eq!(cut, whole);
    }
});

/// `None` if it takes too long for a fuzzer's patience.
fn find<'a>(regexp: &Regexp, pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Found> {
    let (mut automaton, mut scan, mut fuel) = (regexp.automaton(), Scan::default(), 1_000_000);
    let mut needed_from = u64::MAX;
    for piece in pieces.into_iter().chain([&[][..]]) {
        match scan.feed(&mut automaton, piece, false, &mut fuel).ok()? {
            Found::More { from, .. } => needed_from = from,
            Found::Match { start, .. } => assert!(needed_from == u64::MAX || needed_from <= start),
            Found::Nothing => {}
        }
    }
    scan.feed(&mut automaton, &[], true, &mut fuel).ok()
}
