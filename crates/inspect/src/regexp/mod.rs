//! One expression, and its leftmost match in a stream that arrives in pieces.
//!
//! [`Regexp::compile`] takes an expression as PCRE knows it (`%` may stand for the backslash, as in Lua)
//! and refuses what no automaton can match. [`Scan::feed`] takes the pieces. What it finds is what
//! would be found in all pieces joined, wherever they are cut.
//!
//! # Why an automaton of our own
//!
//! `regex-automata` has automata that can be fed byte by byte, but they tell where a match *ends*; where
//! it begins they find by reading backwards, and a stream's bytes may have gone on by then. To hold
//! back no more than a possible match needs, its beginning must be known all the time. So the states
//! here carry it along (see `threads`), over NFAs and literal prefilters that are `regex-automata`'s.
//! Their rows are filled as they are needed, and any flow may forget them without harm to another,
//! because a search keeps the list that its state stands for, not only its number.
mod automaton;
mod dialect;
mod error;
mod pattern;
mod program;
mod scan;
mod threads;

use std::sync::Arc;

pub use automaton::{Automaton, Exhausted};
pub use error::PatternError;
pub use pattern::{Flags, parse};
pub(crate) use program::Goal;
pub use program::Program;
pub(crate) use scan::EveryScan;
pub use scan::{Found, Scan};

/// The most that one compiled expression may take.
const NFA_BYTES_MAX: usize = 1 << 20;
/// The most that its steps may take, in each worker. A guess: a thousand states.
const CACHE_BYTES_MAX: usize = 2 << 20;

/// A compiled expression: shared by all workers.
#[derive(Clone, Debug)]
pub struct Regexp(Arc<Program>);

impl Regexp {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn compile(pattern: &[u8], flags: Flags) -> Result<Self, PatternError> {
        let hir = parse(pattern, flags)?;
        Program::compile(&[hir], Goal::Leftmost, NFA_BYTES_MAX, CACHE_BYTES_MAX)
            .map(|program| Self(Arc::new(program)))
    }

    /// The machine that runs it: one for each worker.
    #[must_use]
    pub fn automaton(&self) -> Automaton {
        Automaton::new(Arc::clone(&self.0))
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }
}
