//! One step of all that a search is still following.
//!
//! A search is a list of threads, states of the NFA, the more wanted first, as in a `PikeVM`. Each has a
//! *group*: threads of a group began at the same place. Since an earlier start is always the more
//! wanted, groups are numbered along the list. The number stands for a register of the search that
//! holds the place; the last group has none: it began where the search is now.
//!
//! Where an assertion looks ahead (`$`, `\b`), what it leads to is not known before the next byte, and the
//! order in which a backtracking engine would try it depends on all of it. Programs with such
//! assertions (`Program::waits`) keep *seeds*, the states that the last byte led to, and follow them
//! only when the next byte is known; the others keep what the seeds lead to, so that a match shows at
//! its last byte.
//!
//! The list says nothing about places, so two searches at different places share it, and what follows
//! for a byte is worked out once (`automaton`). A step then is a lookup, and, seldom, some registers
//! that move.
use regex_automata::nfa::thompson::State;
use regex_automata::util::look::LookMatcher;
use regex_automata::util::primitives::StateID;

use super::program::{Goal, Program, looks_behind_only};

/// What the bytes so far mean to look-around assertions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Behind {
    Nothing,
    Lf,
    Cr,
    Word,
    Other,
}

impl Behind {
    /// How many kinds there are.
    pub(super) const ALL: usize = 5;

    pub(super) const fn of(byte: u8) -> Self {
        match byte {
            b'\n' => Self::Lf,
            b'\r' => Self::Cr,
            b'_' => Self::Word,
            _ if byte.is_ascii_alphanumeric() => Self::Word,
            _ => Self::Other,
        }
    }

    /// A byte of its kind.
    const fn byte(self) -> Option<u8> {
        match self {
            Self::Nothing => None,
            Self::Lf => Some(b'\n'),
            Self::Cr => Some(b'\r'),
            Self::Word => Some(b'a'),
            Self::Other => Some(b' '),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Thread {
    pub(super) state: StateID,
    pub(super) group: u32,
}

/// All threads of a search at a place between two bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct List {
    /// In order; no state twice. Leaves, or seeds if the program waits. Of leaves one that accepts is
    /// the last when the goal is the leftmost match: what is less wanted is no longer followed.
    pub(super) threads: Box<[Thread]>,
    /// How many registers the groups have; `threads` may name one group more.
    pub(super) registers: u32,
    pub(super) behind: Behind,
    /// Whether a match may still begin: not once there has been one, if the goal is the leftmost.
    pub(super) begins: bool,
}

/// What a step does beside leading to another list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Effect {
    /// The registers that stay, in order; `None` if all do.
    pub(super) keep: Option<Box<[u32]>>,
    /// Whether the place before the byte becomes a register.
    pub(super) push: bool,
    /// What matched up to the place before the byte, which only the byte could show: groups, or
    /// numbers of expressions if the goal is every match.
    pub(super) before: Box<[u32]>,
}

impl Effect {
    pub(super) fn is_none(&self) -> bool {
        self.keep.is_none() && !self.push && self.before.is_empty()
    }
}

/// Works out steps. It has room for one at a time.
#[derive(Debug)]
pub(super) struct Stepper {
    seen: Vec<u32>,
    /// Marks of this round in `seen`.
    round: u32,
    stack: Vec<StateID>,
    leaves: Vec<Thread>,
    next: Vec<Thread>,
    look: LookMatcher,
    /// States visited so far: the measure of work.
    pub(super) visits: u64,
}

impl Stepper {
    pub(super) fn new(program: &Program) -> Self {
        Self {
            seen: vec![0; program.nfa.states().len()],
            round: 0,
            stack: Vec::new(),
            leaves: Vec::new(),
            next: Vec::new(),
            look: program.nfa.look_matcher().clone(),
            visits: 0,
        }
    }

    /// The list of a search that has followed nothing so far, behind bytes that mean `behind`.
    pub(super) fn start(&mut self, program: &Program, behind: Behind) -> List {
        self.begin_round();
        let matched = self.add(program, program.nfa.start_anchored(), 0, behind);
        self.list(program, 0, behind, !matched)
    }

    /// What follows `list` at the next byte, or at the end of the stream if there is none.
    ///
    /// 1. What waited for the byte is decided.
    /// 2. The byte is taken by those who can.
    /// 3. Groups are numbered anew.
    /// 4. Another beginning is the least wanted.
    pub(super) fn step(
        &mut self,
        program: &Program,
        list: &List,
        byte: Option<u8>,
    ) -> (List, Effect) {
        // (1)
        let before = if program.waits { self.decide(program, list, byte) } else { Vec::new() };
        let mut leaves = std::mem::take(&mut self.leaves);
        if !program.waits {
            leaves.clear();
            leaves.extend_from_slice(&list.threads);
        }
        let leftmost = program.goal == Goal::Leftmost;
        let mut begins = list.begins && !(leftmost && accepts(program, leaves.last()));
        let behind = match byte {
            Some(byte) if !program.looks.is_empty() => Behind::of(byte),
            _ => Behind::Other,
        };
        // (2)
        self.begin_round();
        for thread in &leaves {
            self.visits += 1;
            let state = program.nfa.state(thread.state);
            let Some(to) = byte.and_then(|byte| after(state, byte)) else { continue };
            if self.add(program, to, thread.group, behind) {
                begins = false;
                break;
            }
        }
        self.leaves = leaves;
        // (3)
        let (keep, push) =
            if leftmost { self.renumber(list.registers) } else { (Vec::new(), false) };
        let kept = u32::try_from(keep.len()).unwrap_or(u32::MAX);
        let registers = kept + u32::from(push);
        // (4)
        if begins && byte.is_some() {
            let group = if leftmost { registers } else { 0 };
            begins = !self.add(program, program.nfa.start_anchored(), group, behind);
        }
        let keep = (kept != list.registers).then(|| keep.into());
        (
            self.list(program, registers, behind, begins),
            Effect { keep, push, before: before.into() },
        )
    }

    /// What a list leads to as far as the next byte is not needed: its leaves.
    pub(super) fn leaves(&mut self, program: &Program, list: &List) -> &[Thread] {
        self.follow(program, list, None)
    }

    fn follow(&mut self, program: &Program, list: &List, ahead: Option<Option<u8>>) -> &[Thread] {
        self.begin_round();
        let seeds = list.threads.iter();
        let mut matched = false;
        for thread in seeds {
            matched =
                matched || self.close(program, thread.state, thread.group, list.behind, ahead);
        }
        std::mem::swap(&mut self.leaves, &mut self.next);
        &self.leaves
    }

    /// Follows the seeds of a list, now that the next byte is known, to `leaves`. Gives what matches
    /// and could not be known before.
    fn decide(&mut self, program: &Program, list: &List, byte: Option<u8>) -> Vec<u32> {
        let matches = |leaves: &[Thread]| {
            let accepting = leaves.iter().filter(|thread| accepts(program, Some(thread)));
            accepting.map(|thread| mark(program, thread)).collect::<Vec<_>>()
        };
        let known = matches(self.follow(program, list, None));
        let mut all = matches(self.follow(program, list, Some(byte)));
        all.retain(|mark| !known.contains(mark));
        all
    }

    /// Adds a state that a byte has led to: as a seed, or what it leads to. True if that ends the list.
    fn add(&mut self, program: &Program, state: StateID, group: u32, behind: Behind) -> bool {
        if !program.waits {
            return self.close(program, state, group, behind, None);
        }
        if let Some(seen) = self.seen.get_mut(state.as_usize())
            && std::mem::replace(seen, self.round) != self.round
        {
            self.next.push(Thread { state, group });
        }
        false
    }

    /// Adds `state` and all that it leads to without a byte. True if that is the end of the list: a
    /// match, where the goal is the leftmost. `ahead` is the byte to come (within: none at the end of
    /// the stream), if it is known.
    fn close(
        &mut self,
        program: &Program,
        state: StateID,
        group: u32,
        behind: Behind,
        ahead: Option<Option<u8>>,
    ) -> bool {
        self.stack.push(state);
        while let Some(id) = self.stack.pop() {
            self.visits += 1;
            let Some(seen) = self.seen.get_mut(id.as_usize()) else { continue };
            if std::mem::replace(seen, self.round) == self.round {
                continue;
            }
            let leaf = match program.nfa.state(id) {
                State::Union { alternates } => {
                    self.stack.extend(alternates.iter().rev());
                    false
                }
                State::BinaryUnion { alt1, alt2 } => {
                    self.stack.extend([*alt2, *alt1]);
                    false
                }
                State::Capture { next, .. } => {
                    self.stack.push(*next);
                    false
                }
                State::Look { look, next } if ahead.is_some() || looks_behind_only(*look) => {
                    let bytes = [behind.byte(), ahead.flatten()];
                    let at = usize::from(behind.byte().is_some());
                    let text: smallvec::SmallVec<[u8; 2]> = bytes.into_iter().flatten().collect();
                    if self.look.matches(*look, &text, at) {
                        self.stack.push(*next);
                    }
                    false
                }
                State::Fail => false,
                _ => true,
            };
            if leaf {
                self.next.push(Thread { state: id, group });
            }
            let is_match = matches!(program.nfa.state(id), State::Match { .. });
            if is_match && program.goal == Goal::Leftmost {
                self.stack.clear();
                return true;
            }
        }
        false
    }

    /// Numbers the groups of `next` anew, and says which of the old registers stay and whether the
    /// group that had none needs one.
    fn renumber(&mut self, registers: u32) -> (Vec<u32>, bool) {
        let mut keep: Vec<u32> = Vec::new();
        let mut push = false;
        for thread in &mut self.next {
            let old = thread.group;
            if old == registers {
                push = true;
            } else if keep.last() != Some(&old) {
                keep.push(old);
            }
            let ahead = keep.len() - usize::from(!push);
            thread.group = u32::try_from(ahead).unwrap_or(u32::MAX);
        }
        (keep, push)
    }

    fn list(&mut self, program: &Program, registers: u32, behind: Behind, begins: bool) -> List {
        if program.goal == Goal::Every {
            // Nothing is more wanted than anything else, so that the same states are the same list.
            self.next.sort_unstable_by_key(|thread| thread.state);
        }
        List { threads: self.next.as_slice().into(), registers, behind, begins }
    }

    fn begin_round(&mut self) {
        self.next.clear();
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.seen.fill(0);
            self.round = 1;
        }
    }
}

fn accepts(program: &Program, thread: Option<&Thread>) -> bool {
    thread.is_some_and(|thread| matches!(program.nfa.state(thread.state), State::Match { .. }))
}

/// By what a match of this thread is told: its group, or the number of its expression.
pub(super) fn mark(program: &Program, thread: &Thread) -> u32 {
    match program.nfa.state(thread.state) {
        State::Match { pattern_id } if program.goal == Goal::Every => pattern_id.as_u32(),
        _ => thread.group,
    }
}

fn after(state: &State, byte: u8) -> Option<StateID> {
    match state {
        State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
        State::Sparse(sparse) => sparse.matches_byte(byte),
        State::Dense(dense) => dense.matches_byte(byte),
        _ => None,
    }
}
