use smallvec::SmallVec;

use super::automaton::{Automaton, Cursor, Exhausted, Run, Stepped};
use super::threads::Behind;

/// Leaps by the prefilter that are tried before they are judged.
const LEAPS_TRIED: usize = 32;
/// Bytes that a leap must bring on average to be worth it. A guess, as in `regex-automata`.
const LEAP_BYTES_MIN: usize = 16;

/// What a search has found. Places count bytes from the first that was fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The leftmost match, from `start` up to `end`.
    Match {
        /// Place of its first byte.
        start: u64,
        /// Place behind its last byte.
        end: u64,
    },
    /// There is none, and none can follow.
    Nothing,
    /// There is none yet, or one that may still grow.
    More {
        /// Where a match begins that is not decided: bytes before it are in none. The end of what was
        /// fed, if none has begun.
        from: u64,
        /// Whether there is a match already; where it ends is still open.
        is_certain: bool,
    },
}

/// A search for the leftmost match, between two pieces of its stream.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    cursor: Option<Cursor>,
    /// Where the threads of each group began, the earliest first.
    registers: SmallVec<[u64; 2]>,
    place: u64,
    best: Option<(u64, u64)>,
    done: Option<Found>,
}

impl Scan {
    /// The next bytes; `is_end` if none follow. Once it has found something, it stays with it.
    ///
    /// # Errors
    /// The work was more than `fuel`, counted in visits of states; this search cannot go on.
    pub fn feed(
        &mut self,
        automaton: &mut Automaton,
        bytes: &[u8],
        is_end: bool,
        fuel: &mut u64,
    ) -> Result<Found, Exhausted> {
        if let Some(found) = self.done {
            return Ok(found);
        }
        let base = self.place;
        let mut node = match &self.cursor {
            Some(cursor) => automaton.node_of(cursor),
            None => {
                let node = automaton.start(Behind::Nothing);
                self.enter(automaton, node);
                node
            }
        };
        let mut dead = automaton.node(node).is_none_or(|node| node.is_dead);
        let mut leaps = Leaps::default();
        let mut at = 0;
        while !dead && at < bytes.len() {
            (node, at) = leaps.leap(automaton, node, bytes, at);
            let run = automaton.run(node, bytes.get(at..).unwrap_or_default());
            self.follow_run(automaton, base + at as u64, run);
            (node, at) = (run.node, at + run.len);
            let Some(byte) = bytes.get(at) else { break };
            let stepped = automaton.step(node, Some(*byte), fuel)?;
            self.follow(base + at as u64, &stepped);
            (node, dead) = (stepped.node, stepped.is_dead);
            at += 1;
        }
        self.place = base + at as u64;
        if is_end && !dead {
            let stepped = automaton.step(node, None, fuel)?;
            self.follow(self.place, &stepped);
        }
        Ok(self.settle(automaton, node, dead || is_end))
    }

    /// Whether a match has begun that more bytes could complete.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.done.is_none() && (self.best.is_some() || !self.registers.is_empty())
    }

    fn settle(&mut self, automaton: &Automaton, node: u32, is_over: bool) -> Found {
        if is_over {
            let found = match self.best {
                Some((start, end)) => Found::Match { start, end },
                None => Found::Nothing,
            };
            *self = Self { done: Some(found), ..Self::default() };
            return found;
        }
        self.cursor = automaton.cursor(node);
        let live = self.registers.first().copied().unwrap_or(self.place);
        let from = self.best.map_or(live, |(start, _)| start.min(live));
        Found::More { from, is_certain: self.best.is_some() }
    }

    /// Takes in steps from `place` on that were mere lookups. How many registers there are, the node that they
    /// led to tells.
    fn follow_run(&mut self, automaton: &Automaton, place: u64, run: Run) {
        if run.len == 0 {
            return;
        }
        let count = automaton.node(run.node).map_or(0, |node| node.list.registers as usize);
        if let (1, Some(begun)) = (count, run.begun) {
            self.registers.clear();
            self.registers.push(place + begun as u64);
        }
        self.registers.truncate(count);
        debug_assert_eq!(self.registers.len(), count, "each register was set");
    }

    /// Takes in a step over the byte at `place`, or to the end of the stream there.
    fn follow(&mut self, place: u64, stepped: &Stepped<'_>) {
        if let Some(effect) = stepped.effect {
            for group in &effect.before {
                let start = self.registers.get(*group as usize).copied().unwrap_or(place);
                self.best = Some((start, place));
            }
            if let Some(keep) = &effect.keep {
                // In ascending order, so none is overwritten before it has moved.
                for (to, from) in keep.iter().enumerate() {
                    debug_assert!(to <= *from as usize, "registers only move to the front");
                    let start = self.registers.get(*from as usize).copied();
                    if let (Some(place), Some(start)) = (self.registers.get_mut(to), start) {
                        *place = start;
                    }
                }
                self.registers.truncate(keep.len());
            }
            if effect.push {
                self.registers.push(place);
            }
        }
        for group in stepped.matches {
            let end = place + 1;
            let start = self.registers.get(*group as usize).copied().unwrap_or(end);
            self.best = Some((start, end));
        }
    }

    /// An expression that matches nothing at all matches before the first byte.
    fn enter(&mut self, automaton: &Automaton, node: u32) {
        if automaton.node(node).is_some_and(|node| !node.matches.is_empty()) {
            self.best = Some((0, 0));
        }
    }
}

/// A search for every end of every match, between two pieces of its stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct EveryScan {
    cursor: Option<Cursor>,
    place: u64,
}

impl EveryScan {
    /// The next bytes; `is_end` if none follow. Calls `found` with the number of each expression that
    /// matches, and the place behind its last byte.
    pub(crate) fn feed(
        &mut self,
        automaton: &mut Automaton,
        bytes: &[u8],
        is_end: bool,
        fuel: &mut u64,
        found: &mut impl FnMut(u32, u64),
    ) -> Result<(), Exhausted> {
        let base = self.place;
        let mut node = match &self.cursor {
            Some(cursor) => automaton.node_of(cursor),
            None => automaton.start(Behind::Nothing),
        };
        if self.cursor.is_none() {
            let matches = automaton.node(node).map_or(&[][..], |node| &node.matches);
            matches.iter().for_each(|number| found(*number, 0));
        }
        let mut leaps = Leaps::default();
        let mut at = 0;
        while at < bytes.len() {
            (node, at) = leaps.leap(automaton, node, bytes, at);
            let run = automaton.run(node, bytes.get(at..).unwrap_or_default());
            (node, at) = (run.node, at + run.len);
            let Some(byte) = bytes.get(at) else { break };
            let stepped = automaton.step(node, Some(*byte), fuel)?;
            let place = base + at as u64;
            let before = stepped.effect.map_or(&[][..], |effect| &effect.before);
            before.iter().for_each(|number| found(*number, place));
            stepped.matches.iter().for_each(|number| found(*number, place + 1));
            node = stepped.node;
            at += 1;
        }
        self.place = base + at as u64;
        if is_end {
            let stepped = automaton.step(node, None, fuel)?;
            let before = stepped.effect.map_or(&[][..], |effect| &effect.before);
            before.iter().for_each(|number| found(*number, self.place));
        }
        self.cursor = automaton.cursor(node);
        Ok(())
    }
}

/// Leaps from places where nothing is followed to where a match may begin. They are given up, for a
/// piece, where they lead nowhere: then the automaton is faster.
#[derive(Default)]
struct Leaps {
    tried: usize,
    gained: usize,
}

impl Leaps {
    fn leap(
        &mut self,
        automaton: &mut Automaton,
        node: u32,
        bytes: &[u8],
        at: usize,
    ) -> (u32, usize) {
        let Some(prefilter) = &automaton.program.prefilter else { return (node, at) };
        let is_start = automaton.node(node).is_some_and(|node| node.is_start);
        let in_vain = self.tried >= LEAPS_TRIED && self.gained < self.tried * LEAP_BYTES_MIN;
        if !is_start || in_vain {
            return (node, at);
        }
        let to = match prefilter.find(bytes, (at..bytes.len()).into()) {
            Some(span) => span.start,
            // What begins here may end in the next piece.
            None => bytes.len().saturating_sub(prefilter.max_needle_len() - 1).max(at),
        };
        self.tried += 1;
        self.gained += to - at;
        match to.checked_sub(1).and_then(|before| bytes.get(before)) {
            Some(byte) if to > at => (automaton.start(Behind::of(*byte)), to),
            _ => (node, at),
        }
    }
}
