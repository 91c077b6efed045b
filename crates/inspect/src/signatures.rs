//! Thousands of literals and expressions, looked for at once in a stream that arrives in pieces.
//!
//! Literals go to `aho-corasick`, whose state is a number that can be kept with a stream; expressions go
//! together into one automaton of ours, which follows all of them at once. Every end of every match is
//! told, or the first of each signature.
use std::sync::Arc;

use aho_corasick::automaton::{Automaton as Literals, StateID};
use aho_corasick::{Anchored, MatchKind, StartKind, dfa, nfa::contiguous};
use regex_syntax::hir::HirKind;

use crate::regexp::{Automaton, EveryScan, Exhausted, Flags, Goal, PatternError, Program, parse};

/// The most that all expressions of a set may take when compiled.
const NFA_BYTES_MAX: usize = 16 << 20;
/// The most that their steps may take, in each worker.
const CACHE_BYTES_MAX: usize = 8 << 20;
/// Literals of more bytes than this together become an automaton that is smaller and slower: a full
/// table has a row of up to 1 KiB for each byte. A guess: it is then 16 MiB.
const TABLE_LITERALS_BYTES_MAX: usize = 16 << 10;
/// Signatures in a set.
const SIGNATURES_MAX: usize = 1 << 16;
/// Bytes of all literals of a set.
const LITERALS_BYTES_MAX: usize = 16 << 20;

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signature {
    /// Exactly these bytes; ASCII letters in either case, if `case_insensitive`.
    Literal {
        /// At least one.
        bytes: Vec<u8>,
        /// Whether the case of letters counts.
        case_insensitive: bool,
    },
    /// What an expression matches.
    Expression {
        /// As [`Regexp::compile`](crate::regexp::Regexp::compile) takes it.
        pattern: Vec<u8>,
        /// How it is read.
        flags: Flags,
    },
}

/// Which signature cannot be compiled, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct SignatureError {
    /// Its number in the list that was given; absent if they are too much together.
    pub signature: Option<usize>,
    /// What is wrong.
    pub error: PatternError,
}

/// A match: which signature, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Place behind its last byte, counted from the first byte of the stream.
    pub end: u64,
    /// Number of the signature in the list that was given.
    pub signature: usize,
    /// Place of its first byte, if it is a literal: where an expression began is not followed.
    pub start: Option<u64>,
}

/// Signatures, compiled: shared by all workers.
#[derive(Clone, Debug)]
pub struct Signatures(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    /// Those whose case counts, and those whose case does not.
    literals: [Option<LiteralSet>; 2],
    expressions: Option<Arc<Program>>,
    /// Number of the signature, for each expression.
    expression_numbers: Vec<usize>,
    count: usize,
}

#[derive(Debug)]
struct LiteralSet {
    machine: Machine,
    /// Number of the signature, for each literal.
    numbers: Vec<usize>,
}

#[derive(Debug)]
enum Machine {
    Table(Box<dfa::DFA>),
    Compact(Box<contiguous::NFA>),
}

/// The machine of a worker that runs the expressions of a set.
#[derive(Debug)]
pub struct Matcher {
    set: Signatures,
    automaton: Option<Automaton>,
}

/// A stream that is looked through, between two pieces.
#[derive(Clone, Debug)]
pub struct Watch {
    literals: [Option<StateID>; 2],
    expressions: EveryScan,
    place: u64,
    /// A bit for each signature that was found; `None` if every match is to be told.
    seen: Option<Box<[u64]>>,
}

impl Signatures {
    /// Compiles a list. An expression that is a literal in fact is looked for as one.
    ///
    /// # Errors
    /// The first signature that is wrong.
    pub fn compile(list: &[Signature]) -> Result<Self, SignatureError> {
        let whole = |error| SignatureError { signature: None, error };
        if list.len() > SIGNATURES_MAX {
            return Err(whole(PatternError::whole(format!("more than {SIGNATURES_MAX}"))));
        }
        let mut literals = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
        let (mut hirs, mut expression_numbers) = (Vec::new(), Vec::new());
        for (number, signature) in list.iter().enumerate() {
            let fault = |error| SignatureError { signature: Some(number), error };
            let (bytes, case_insensitive) = match signature {
                Signature::Literal { bytes, case_insensitive } => {
                    (bytes.clone(), *case_insensitive)
                }
                Signature::Expression { pattern, flags } => {
                    let hir = parse(pattern, *flags).map_err(fault)?;
                    if let HirKind::Literal(literal) = hir.kind() {
                        (literal.0.to_vec(), false)
                    } else {
                        hirs.push(hir);
                        expression_numbers.push(number);
                        continue;
                    }
                }
            };
            if bytes.is_empty() {
                return Err(fault(PatternError::whole("an empty literal is everywhere")));
            }
            let [exact, folded] = &mut literals;
            let (texts, numbers) = if case_insensitive { folded } else { exact };
            texts.push(bytes);
            numbers.push(number);
        }
        let [exact, folded] = literals;
        let expressions = if hirs.is_empty() {
            None
        } else {
            let program = Program::compile(&hirs, Goal::Every, NFA_BYTES_MAX, CACHE_BYTES_MAX);
            Some(Arc::new(program.map_err(whole)?))
        };
        Ok(Self(Arc::new(Compiled {
            literals: [
                LiteralSet::compile(exact, false).map_err(whole)?,
                LiteralSet::compile(folded, true).map_err(whole)?,
            ],
            expressions,
            expression_numbers,
            count: list.len(),
        })))
    }

    /// The machine that runs them: one for each worker.
    #[must_use]
    pub fn matcher(&self) -> Matcher {
        let automaton =
            self.0.expressions.as_ref().map(|program| Automaton::new(Arc::clone(program)));
        Matcher { set: self.clone(), automaton }
    }

    /// A stream to be looked through from its first byte. `every` match is told, or the first of each
    /// signature.
    #[must_use]
    pub fn watch(&self, every: bool) -> Watch {
        Watch {
            literals: [None; 2],
            expressions: EveryScan::default(),
            place: 0,
            seen: (!every).then(|| vec![0; self.0.count.div_ceil(64)].into()),
        }
    }

    /// Bytes that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let literals =
            self.0.literals.iter().flatten().map(LiteralSet::memory_bytes).sum::<usize>();
        literals + self.0.expressions.as_ref().map_or(0, |program| program.memory_bytes())
    }
}

impl LiteralSet {
    fn compile(
        (texts, numbers): (Vec<Vec<u8>>, Vec<usize>),
        case_insensitive: bool,
    ) -> Result<Option<Self>, PatternError> {
        let bytes = texts.iter().map(Vec::len).sum::<usize>();
        if texts.is_empty() {
            return Ok(None);
        }
        if bytes > LITERALS_BYTES_MAX {
            let message = format!("literals of more than {LITERALS_BYTES_MAX} bytes");
            return Err(PatternError::whole(message));
        }
        let bad = |error: aho_corasick::BuildError| PatternError::whole(error.to_string());
        let machine = if bytes <= TABLE_LITERALS_BYTES_MAX {
            let built = dfa::Builder::new()
                .match_kind(MatchKind::Standard)
                .ascii_case_insensitive(case_insensitive)
                .prefilter(false)
                .start_kind(StartKind::Unanchored)
                .build(&texts);
            Machine::Table(Box::new(built.map_err(bad)?))
        } else {
            let built = contiguous::Builder::new()
                .match_kind(MatchKind::Standard)
                .ascii_case_insensitive(case_insensitive)
                .prefilter(false)
                .build(&texts);
            Machine::Compact(Box::new(built.map_err(bad)?))
        };
        Ok(Some(Self { machine, numbers }))
    }

    fn memory_bytes(&self) -> usize {
        match &self.machine {
            Machine::Table(table) => table.memory_usage(),
            Machine::Compact(compact) => compact.memory_usage(),
        }
    }

    /// Looks through `bytes`, which begin at `base`, on from `state`; gives the state behind them.
    fn feed(
        &self,
        state: Option<StateID>,
        base: u64,
        bytes: &[u8],
        found: &mut impl FnMut(Hit),
    ) -> Option<StateID> {
        match &self.machine {
            Machine::Table(table) => run(&**table, &self.numbers, state, base, bytes, found),
            Machine::Compact(compact) => run(&**compact, &self.numbers, state, base, bytes, found),
        }
    }
}

fn run<M: Literals>(
    machine: &M,
    numbers: &[usize],
    state: Option<StateID>,
    base: u64,
    bytes: &[u8],
    found: &mut impl FnMut(Hit),
) -> Option<StateID> {
    let start = || machine.start_state(Anchored::No).ok();
    let mut state = state.or_else(start)?;
    for (at, byte) in bytes.iter().enumerate() {
        state = machine.next_state(Anchored::No, state, *byte);
        if !machine.is_special(state) || !machine.is_match(state) {
            continue;
        }
        let end = base + at as u64 + 1;
        for index in 0..machine.match_len(state) {
            let literal = machine.match_pattern(state, index);
            let len = machine.pattern_len(literal) as u64;
            let Some(signature) = numbers.get(literal.as_usize()).copied() else { continue };
            found(Hit { end, signature, start: end.checked_sub(len) });
        }
    }
    Some(state)
}

impl Watch {
    /// The next bytes; `is_end` if none follow. Appends what is found to `hits`, in order of the ends.
    ///
    /// # Errors
    /// The work was more than `fuel`, counted in visits of states; this watch cannot go on.
    pub fn feed(
        &mut self,
        matcher: &mut Matcher,
        bytes: &[u8],
        is_end: bool,
        fuel: &mut u64,
        hits: &mut Vec<Hit>,
    ) -> Result<(), Exhausted> {
        let first = hits.len();
        let (base, compiled) = (self.place, &matcher.set.0);
        for (set, state) in compiled.literals.iter().zip(&mut self.literals) {
            let Some(set) = set else { continue };
            *state = set.feed(*state, base, bytes, &mut |hit| note(&mut self.seen, hits, hit));
        }
        if let Some(automaton) = &mut matcher.automaton {
            let (seen, numbers) = (&mut self.seen, &compiled.expression_numbers);
            let mut found = |number: u32, end| {
                if let Some(signature) = numbers.get(number as usize).copied() {
                    note(seen, hits, Hit { end, signature, start: None });
                }
            };
            self.expressions.feed(automaton, bytes, is_end, fuel, &mut found)?;
        }
        self.place += bytes.len() as u64;
        hits.get_mut(first..).unwrap_or_default().sort_unstable();
        Ok(())
    }
}

/// Appends a hit, unless its signature was found before and that is enough, or there are too many.
fn note(seen: &mut Option<Box<[u64]>>, hits: &mut Vec<Hit>, hit: Hit) {
    if let Some(word) = seen.as_mut().and_then(|seen| seen.get_mut(hit.signature / 64)) {
        let bit = 1 << (hit.signature % 64);
        if *word & bit != 0 {
            return;
        }
        *word |= bit;
    }
    if hits.len() < HITS_MAX {
        hits.push(hit);
    }
}

/// Hits that one piece may have: an attacker must not make a list of a million out of it. The rest
/// are not told.
pub const HITS_MAX: usize = 1 << 16;
