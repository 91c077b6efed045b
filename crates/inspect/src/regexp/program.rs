use regex_automata::MatchKind;
use regex_automata::nfa::thompson::{Compiler, NFA, WhichCaptures};
use regex_automata::util::look::{Look, LookSet};
use regex_automata::util::prefilter::Prefilter;
use regex_syntax::hir::Hir;

use super::error::PatternError;

/// What the search is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The leftmost match of the only expression, and where it begins and ends; of those that begin
    /// there, the one that a backtracking engine would try first.
    Leftmost,
    /// Every place where a match of any expression ends.
    Every,
}

/// Expressions, compiled: what all workers share. [`Automaton`](super::Automaton) runs it.
#[derive(Debug)]
pub struct Program {
    pub(super) nfa: NFA,
    pub(super) goal: Goal,
    /// Every look-around assertion that occurs.
    pub(super) looks: LookSet,
    /// Whether an assertion looks ahead.
    pub(super) waits: bool,
    /// Finds where a match may begin, faster than the automaton would.
    pub(super) prefilter: Option<Prefilter>,
    pub(super) cache_bytes_max: usize,
}

impl Program {
    pub(crate) fn compile(
        hirs: &[Hir],
        goal: Goal,
        nfa_bytes_max: usize,
        cache_bytes_max: usize,
    ) -> Result<Self, PatternError> {
        let config = NFA::config()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(nfa_bytes_max));
        let nfa =
            Compiler::new().configure(config).build_many_from_hir(hirs).map_err(
                |error| match error.size_limit() {
                    Some(_) => PatternError::whole(format!(
                        "too large: compiled, it would take more than {nfa_bytes_max} bytes"
                    )),
                    None => PatternError::whole(error.to_string()),
                },
            )?;
        let prefilter = Prefilter::from_hirs_prefix(MatchKind::LeftmostFirst, hirs)
            .filter(|prefilter| prefilter.is_fast() && prefilter.max_needle_len() > 0);
        let looks = nfa.look_set_any();
        let waits = looks.iter().any(|look| !looks_behind_only(look));
        Ok(Self { nfa, goal, looks, waits, prefilter, cache_bytes_max })
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.nfa.memory_usage() + self.prefilter.as_ref().map_or(0, Prefilter::memory_usage)
    }
}

/// Whether the byte before a place is all that an assertion there depends on.
pub(super) const fn looks_behind_only(look: Look) -> bool {
    matches!(look, Look::Start | Look::StartLF | Look::WordStartHalfAscii)
}

#[cfg(test)]
mod tests {
    use super::super::pattern::{Flags, parse};
    use super::*;

    #[test]
    fn nested_repeats_are_refused_before_they_fill_the_memory() {
        let hir = parse(b"((a{1000}){1000}){1000}", Flags::default()).expect("it reads well");
        let error = Program::compile(&[hir], Goal::Leftmost, 1 << 20, 1 << 20).err();
        let message = "too large: compiled, it would take more than 1048576 bytes";
        assert_eq!(error, Some(PatternError::whole(message)));
    }
}
