//! Tokens of grammars: regular expressions that match where an iterator stands, over bytes that arrive in
//! portions.
//!
//! The longest match counts, as in the engine that Haka used, so that a token does not depend on where its
//! sender cuts it. The automaton's state is a number that Lua keeps between the portions; no byte is looked
//! at twice.
use std::rc::Rc;

use mlua::{Function, Integer, Lua, LuaString};
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::{Compiler, Config, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use tollgate_inspect::regexp::{Flags, parse};

use crate::event::Shared;

/// Bytes that an automaton may take, and its making ten times as many. Guesses: tokens are small.
const AUTOMATON_BYTES_MAX: usize = 1 << 20;

/// Adds `scanner`: of a pattern, the state to begin with and the functions `step`, `ends` and `finds`; or
/// nil and what is wrong.
pub(super) fn add(lua: &Lua, native: &mlua::Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    let shared = Rc::clone(shared);
    native.set(
        "scanner",
        lua.create_function(move |lua, pattern: LuaString| {
            match Scanner::new(&pattern.as_bytes()) {
                Ok(scanner) => functions(lua, &shared, scanner),
                Err(problem) => {
                    let problem = mlua::Value::String(lua.create_string(problem)?);
                    Ok((None, problem, None, None))
                }
            }
        })?,
    )
}

type Functions = (Option<Integer>, mlua::Value, Option<Function>, Option<Function>);

fn functions(lua: &Lua, shared: &Rc<Shared>, scanner: Scanner) -> mlua::Result<Functions> {
    let scanner = Rc::new(scanner);
    let start = number(scanner.start);
    let (of, charged) = (Rc::clone(&scanner), Rc::clone(shared));
    let step = lua.create_function(
        move |_, (text, from, to, state): (LuaString, usize, usize, Integer)| {
            let text = text.as_bytes();
            let text = text.get(..to).unwrap_or_default();
            let (state, end) = of.step(text, from, state_of(state));
            charged.budget.copied(text.len().saturating_sub(from) as u64);
            Ok((state.map(number), end))
        },
    )?;
    let of = Rc::clone(&scanner);
    let ends = lua.create_function(move |_, state: Integer| Ok(of.ends(state_of(state))))?;
    let charged = Rc::clone(shared);
    let finds = lua.create_function(
        move |_, (text, from, to, is_end): (LuaString, usize, usize, bool)| {
            let text = text.as_bytes();
            let (start, end, looked_at) =
                scanner.find(text.get(..to).unwrap_or_default(), from, is_end);
            charged.budget.copied(looked_at);
            Ok((start, end))
        },
    )?;
    Ok((Some(start), mlua::Value::Function(step), Some(ends), Some(finds)))
}

/// A state as Lua keeps it. It comes back as it was given: only the prelude has it.
fn number(state: StateID) -> Integer {
    Integer::from(state.as_i32())
}

fn state_of(number: Integer) -> StateID {
    usize::try_from(number).ok().and_then(|id| StateID::new(id).ok()).unwrap_or(StateID::ZERO)
}

struct Scanner {
    automaton: dense::DFA<Vec<u32>>,
    start: StateID,
}

impl Scanner {
    fn new(pattern: &[u8]) -> Result<Self, String> {
        let expression = parse(pattern, Flags::default()).map_err(|error| error.to_string())?;
        let nfa = Compiler::new()
            .configure(
                Config::new()
                    .utf8(false)
                    .which_captures(WhichCaptures::None)
                    .nfa_size_limit(Some(AUTOMATON_BYTES_MAX)),
            )
            .build_from_hir(&expression)
            .map_err(|error| error.to_string())?;
        let config = dense::Config::new()
            .match_kind(MatchKind::All)
            .start_kind(StartKind::Anchored)
            .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
            .determinize_size_limit(Some(10 * AUTOMATON_BYTES_MAX));
        let automaton = dense::Builder::new()
            .configure(config)
            .build_from_nfa(&nfa)
            .map_err(|error| error.to_string())?;
        let start = automaton
            .start_state(&start::Config::new().anchored(Anchored::Yes))
            .map_err(|error| error.to_string())?;
        Ok(Self { automaton, start })
    }

    /// Goes on from `state` over `text` from `from` on: the state after it, or none when no more bytes
    /// could change anything; and where the longest match ends that was seen, if any.
    fn step(
        &self,
        text: &[u8],
        from: usize,
        mut state: StateID,
    ) -> (Option<StateID>, Option<usize>) {
        let mut end = None;
        for (at, byte) in text.iter().enumerate().skip(from) {
            state = self.automaton.next_state(state, *byte);
            if self.automaton.is_special_state(state) {
                // A match is known with the byte behind it.
                if self.automaton.is_match_state(state) {
                    end = Some(at);
                } else if self.automaton.is_dead_state(state) || self.automaton.is_quit_state(state)
                {
                    return (None, end);
                }
            }
        }
        if self.leads_nowhere(state) {
            (None, end)
        } else if self.is_final(state) {
            (None, Some(text.len()))
        } else {
            (Some(state), end)
        }
    }

    /// Whether nothing matches any more, whatever follows.
    fn leads_nowhere(&self, state: StateID) -> bool {
        !self.ends(state)
            && self
                .bytes()
                .all(|byte| self.automaton.is_dead_state(self.automaton.next_state(state, byte)))
    }

    /// Whether what led to `state` is a match that no further byte makes longer, so that nobody has to
    /// wait for one.
    fn is_final(&self, state: StateID) -> bool {
        self.ends(state)
            && self.bytes().all(|byte| {
                let next = self.automaton.next_state(state, byte);
                self.automaton.is_dead_state(next)
                    || (self.automaton.is_match_state(next) && self.leads_nowhere(next))
            })
    }

    /// One byte of each class that the automaton tells apart.
    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.automaton.byte_classes().representatives(..).filter_map(|unit| unit.as_u8())
    }

    /// Whether what led to `state` is a match, if nothing follows.
    fn ends(&self, state: StateID) -> bool {
        self.automaton.is_match_state(self.automaton.next_eoi_state(state))
    }

    /// The first place from `from` on where there is a match, and its end; or where one might begin that the
    /// text is too short for, or the end of the text. Also how many bytes were looked at.
    fn find(&self, text: &[u8], from: usize, is_end: bool) -> (usize, Option<usize>, u64) {
        let mut looked_at = 0;
        for start in from..text.len() {
            let (state, end) = self.step(text, start, self.start);
            match state {
                None => {
                    looked_at += (end.unwrap_or(start) - start) as u64 + 1;
                    if end.is_some() {
                        return (start, end, looked_at);
                    }
                }
                Some(state) => {
                    looked_at += (text.len() - start) as u64;
                    if !is_end {
                        return (start, None, looked_at);
                    }
                    let end = if self.ends(state) { Some(text.len()) } else { end };
                    if end.is_some() {
                        return (start, end, looked_at);
                    }
                }
            }
        }
        (text.len(), None, looked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_that_cannot_grow_waits_for_no_byte() {
        let after = |pattern: &str, text: &str| {
            let scanner = Scanner::new(pattern.as_bytes()).unwrap();
            let (state, end) = scanner.step(text.as_bytes(), 0, scanner.start);
            (state.is_none(), end)
        };
        assert_eq!(after("\\r?\\n", "\r\n"), (true, Some(2)));
        assert_eq!(after("[0-9]{3}", "220"), (true, Some(3)));
        assert_eq!(after("[a-z]*", "ab\n"), (true, Some(2)));
        assert_eq!(after("ab|abc", "ab"), (false, None));
        assert_eq!(after("ab|abc", "abc"), (true, Some(3)));
        assert_eq!(after("[a-z]+", "abc"), (false, Some(2)));
        assert_eq!(after("\\r?\\n", "\r"), (false, None));
    }

    fn longest(pattern: &str, portions: &[&str]) -> Option<usize> {
        let scanner = Scanner::new(pattern.as_bytes()).unwrap();
        let (mut state, mut matched, mut done) = (scanner.start, None, 0);
        for portion in portions {
            let (next, end) = scanner.step(portion.as_bytes(), 0, state);
            matched = end.map(|end| done + end).or(matched);
            done += portion.len();
            match next {
                Some(next) => state = next,
                None => return matched,
            }
        }
        if scanner.ends(state) { Some(done) } else { matched }
    }

    #[test]
    fn the_longest_match_counts_wherever_the_text_is_cut() {
        let cases = [
            ("[0-9]+", "1234x", Some(4)),
            ("a|ab|abc", "abd", Some(2)),
            ("a|ab|abc", "abc", Some(3)),
            ("\\r?\\n", "\r\nx", Some(2)),
            ("[^\\r\\n]*", "", Some(0)),
            ("[^\\r\\n]*", "\r", Some(0)),
            ("[[:blank:]]+", " \tx", Some(2)),
            ("x", "y", None),
            ("ab+", "a", None),
            ("(?i)helo", "HeLo", Some(4)),
        ];
        for (pattern, text, wanted) in cases {
            assert_eq!(longest(pattern, &[text]), wanted, "{pattern} {text:?}");
            for cut in 0..text.len() {
                let (head, tail) = text.split_at(cut);
                assert_eq!(longest(pattern, &[head, tail]), wanted, "{pattern} {head:?} {tail:?}");
            }
        }
    }

    #[test]
    fn a_search_stops_at_the_match_or_where_one_might_begin() {
        let scanner = Scanner::new(b"%r%n%.%r%n").unwrap();
        let find = |text: &str, is_end| {
            let (start, end, _) = scanner.find(text.as_bytes(), 0, is_end);
            (start, end)
        };
        assert_eq!(find("ab\r\n.\r\ncd", false), (2, Some(7)));
        assert_eq!(find("ab\r\n.", false), (2, None));
        assert_eq!(find("ab\r\n.", true), (5, None));
        assert_eq!(find("\r\r\n.\r\n", false), (1, Some(6)));
        assert_eq!(find("abc", false), (3, None));
        assert_eq!(find("", false), (0, None));
    }

    #[test]
    fn a_pattern_that_is_wrong_or_too_large_is_refused() {
        assert!(Scanner::new(b"a(").is_err());
        assert!(Scanner::new(b"[ab]{0,200}[^a]{200}a{1000}").is_err());
    }
}
