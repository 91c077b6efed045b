//! Steps, worked out once and looked up afterwards.
//!
//! Built as the bytes ask for it: a full automaton can be exponentially larger than its expression, and
//! traffic visits little of it. The memory is bounded: when it is full, all is forgotten and begun
//! again, which traffic made for it can bring about at every byte. A step then costs what it costs a
//! simulation of the NFA, time linear in the expression, and each such step is paid from the caller's
//! `fuel`.
use std::collections::HashMap;
use std::sync::Arc;

use regex_automata::nfa::thompson::State;

use super::program::{Goal, Program};
use super::threads::{Behind, Effect, List, Stepper, mark};

/// Bytes of a node beside its list and its row: a guess, on the high side.
const NODE_BYTES: usize = 160;
/// An entry that has not been worked out.
const UNKNOWN: u32 = u32::MAX;
/// Bit of an entry whose step is more than a lookup.
const SPECIAL: u32 = 1;
/// Bit of an entry after whose step the only register is the place before its byte.
const BEGINS: u32 = 2;
/// Bits of an entry that are none of the row's.
const BITS: u32 = 2;

/// A program with what has been worked out of its steps: one for each worker.
#[derive(Debug)]
pub struct Automaton {
    pub(super) program: Arc<Program>,
    stepper: Stepper,
    nodes: Vec<Node>,
    ids: HashMap<Arc<List>, u32>,
    /// For each node a row, with an entry for each class of bytes: where the next node's row begins, and
    /// [`BEGINS`] and [`SPECIAL`].
    table: Vec<u32>,
    /// Where the effect of each entry is, if it has one; [`UNKNOWN`] where not.
    effect_of: Vec<u32>,
    effects: Vec<Effect>,
    effect_ids: HashMap<Effect, u32>,
    /// The lists where searches begin, by what is behind, and their numbers in this epoch.
    starts: [Option<Arc<List>>; Behind::ALL],
    start_ids: [u32; Behind::ALL],
    classes: Box<[u8; 256]>,
    stride: usize,
    bytes_used: usize,
    /// How often all was forgotten; a number of a node is good in its own epoch only.
    epoch: u32,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) list: Arc<List>,
    /// What matches at this place: groups, or numbers of expressions.
    pub(super) matches: Box<[u32]>,
    /// No byte can lead to a match that is wanted more than what was found.
    pub(super) is_dead: bool,
    /// Nothing is followed but beginnings: a search may leap from here.
    pub(super) is_start: bool,
}

/// Where steps that are mere lookups have led.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) node: u32,
    /// How many bytes.
    pub(super) len: usize,
    /// Where among them the only register was set last.
    pub(super) begun: Option<usize>,
}

/// Where a search stands, kept between pieces: 16 bytes and a share of a list.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    list: Arc<List>,
    node: u32,
    epoch: u32,
}

/// What came of one step.
pub(super) struct Stepped<'a> {
    pub(super) node: u32,
    pub(super) effect: Option<&'a Effect>,
    pub(super) matches: &'a [u32],
    pub(super) is_dead: bool,
}

/// The caller's fuel is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl Automaton {
    /// Nothing is worked out yet.
    #[must_use]
    pub fn new(program: Arc<Program>) -> Self {
        let classes = program.nfa.byte_classes();
        let mut of = Box::new([0; 256]);
        for (byte, class) in (0..=u8::MAX).zip(of.iter_mut()) {
            *class = classes.get(byte);
        }
        Self {
            stepper: Stepper::new(&program),
            nodes: Vec::new(),
            ids: HashMap::new(),
            table: Vec::new(),
            effect_of: Vec::new(),
            effects: Vec::new(),
            effect_ids: HashMap::new(),
            starts: Default::default(),
            start_ids: [UNKNOWN; Behind::ALL],
            stride: classes.alphabet_len(),
            classes: of,
            bytes_used: 0,
            epoch: 0,
            program,
        }
    }

    /// Bytes that its steps take, at most the program's bound and one list.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        self.bytes_used
    }

    /// The node where searches stand that follow nothing, behind bytes that mean `behind`.
    pub(super) fn start(&mut self, behind: Behind) -> u32 {
        let behind = if self.program.looks.is_empty() { Behind::Other } else { behind };
        if let Some(id) = self.start_ids.get(behind as usize).copied()
            && id != UNKNOWN
        {
            return id;
        }
        let list = self.start_list(behind);
        let id = self.intern(List::clone(&list));
        if let Some(known) = self.start_ids.get_mut(behind as usize) {
            *known = id;
        }
        id
    }

    fn start_list(&mut self, behind: Behind) -> Arc<List> {
        if let Some(Some(list)) = self.starts.get(behind as usize) {
            return Arc::clone(list);
        }
        let list = Arc::new(self.stepper.start(&self.program, behind));
        if let Some(known) = self.starts.get_mut(behind as usize) {
            *known = Some(Arc::clone(&list));
        }
        list
    }

    pub(super) fn cursor(&self, node: u32) -> Option<Cursor> {
        let list = Arc::clone(&self.node(node)?.list);
        Some(Cursor { list, node, epoch: self.epoch })
    }

    /// The node of a cursor, worked out anew if it was forgotten.
    pub(super) fn node_of(&mut self, cursor: &Cursor) -> u32 {
        if cursor.epoch == self.epoch {
            return cursor.node;
        }
        match self.ids.get(&cursor.list) {
            Some(id) => *id,
            None => self.intern(List::clone(&cursor.list)),
        }
    }

    /// The number of the node whose row begins there.
    fn node_at(&self, row: usize) -> u32 {
        u32::try_from(row / self.stride).unwrap_or(UNKNOWN)
    }

    pub(super) fn node(&self, id: u32) -> Option<&Node> {
        self.nodes.get(id as usize)
    }

    /// Goes on while steps are mere lookups, up to a byte whose step is not, or to the end. Words that could
    /// be the beginning of a match come and go at every other byte of a text, so that it is a lookup, too,
    /// when the only register is set or forgotten: without a branch, for nobody could predict it.
    pub(super) fn run(&self, node: u32, bytes: &[u8]) -> Run {
        let (table, classes, stride) = (self.table.as_slice(), &self.classes, self.stride);
        let (mut row, mut len, mut begun) = (node as usize * stride, bytes.len(), usize::MAX);
        for (at, byte) in bytes.iter().enumerate() {
            let class = classes.get(usize::from(*byte)).copied().map_or(0, usize::from);
            let entry = table.get(row + class).copied().unwrap_or(UNKNOWN);
            if entry & SPECIAL != 0 {
                len = at;
                break;
            }
            begun = if entry & BEGINS == 0 { begun } else { at };
            row = (entry >> BITS) as usize;
        }
        Run { node: self.node_at(row), len, begun: (begun != usize::MAX).then_some(begun) }
    }

    /// One step, over a byte or to the end of the stream.
    pub(super) fn step(
        &mut self,
        node: u32,
        byte: Option<u8>,
        fuel: &mut u64,
    ) -> Result<Stepped<'_>, Exhausted> {
        let class = match byte {
            Some(byte) => self.classes.get(usize::from(byte)).copied().map_or(0, usize::from),
            None => self.stride - 1,
        };
        let at = node as usize * self.stride + class;
        let (next, effect) = match self.table.get(at).copied() {
            Some(entry) if entry != UNKNOWN => {
                let effect = self.effect_of.get(at).copied().unwrap_or(UNKNOWN);
                (self.node_at((entry >> BITS) as usize), effect)
            }
            _ => self.work_out(node, at, byte, fuel)?,
        };
        let effect = self.effects.get(effect as usize);
        let next_node = self.nodes.get(next as usize);
        Ok(Stepped {
            node: next,
            effect,
            matches: next_node.map_or(&[], |node| &node.matches),
            is_dead: next_node.is_none_or(|node| node.is_dead),
        })
    }

    /// Gives the next node and the number of the effect.
    fn work_out(
        &mut self,
        node: u32,
        at: usize,
        byte: Option<u8>,
        fuel: &mut u64,
    ) -> Result<(u32, u32), Exhausted> {
        let Some(list) = self.node(node).map(|node| Arc::clone(&node.list)) else {
            return Ok((node, UNKNOWN));
        };
        let before = self.stepper.visits;
        let (next, effect) = self.stepper.step(&self.program, &list, byte);
        let work = self.stepper.visits - before + 1;
        *fuel = fuel.checked_sub(work).ok_or(Exhausted)?;
        let epoch = self.epoch;
        if self.bytes_used > self.program.cache_bytes_max {
            self.forget();
        }
        let is_light = effect.is_none()
            || (effect.before.is_empty() && list.registers <= 1 && next.registers <= 1);
        let begins = if effect.push { BEGINS } else { 0 };
        let next = self.intern(next);
        let effect = self.note(effect);
        let is_special = !is_light
            || self
                .node(next)
                .is_none_or(|node| !node.matches.is_empty() || node.is_dead || node.is_start);
        let row = u32::try_from(next as usize * self.stride).unwrap_or(UNKNOWN >> BITS);
        // All may have been forgotten to make room, the row of `at` too.
        if self.epoch == epoch
            && let (Some(entry), Some(of)) = (self.table.get_mut(at), self.effect_of.get_mut(at))
        {
            *entry = row << BITS | begins | u32::from(is_special);
            *of = effect;
        }
        Ok((next, effect))
    }

    fn note(&mut self, effect: Effect) -> u32 {
        if effect.is_none() {
            return UNKNOWN;
        }
        if let Some(id) = self.effect_ids.get(&effect) {
            return *id;
        }
        let numbers = effect.keep.as_ref().map_or(0, |keep| keep.len()) + effect.before.len();
        self.bytes_used += 2 * (size_of::<Effect>() + numbers * size_of::<u32>());
        let id = u32::try_from(self.effects.len()).unwrap_or(UNKNOWN);
        self.effects.push(effect.clone());
        self.effect_ids.insert(effect, id);
        id
    }

    fn intern(&mut self, list: List) -> u32 {
        if let Some(id) = self.ids.get(&list) {
            return *id;
        }
        let row = self.stride * size_of::<u32>() * 2;
        let takes = size_of_val(&*list.threads) * 2 + row + NODE_BYTES;
        let is_full = self.bytes_used + takes > self.program.cache_bytes_max;
        if is_full || self.table.len() + self.stride >= (UNKNOWN >> BITS) as usize {
            self.forget();
        }
        self.bytes_used += takes;
        let id = u32::try_from(self.nodes.len()).unwrap_or(UNKNOWN);
        let list = Arc::new(list);
        let node = self.describe(&list);
        self.nodes.push(node);
        self.ids.insert(list, id);
        self.table.resize(self.table.len() + self.stride, UNKNOWN);
        self.effect_of.resize(self.effect_of.len() + self.stride, UNKNOWN);
        id
    }

    fn describe(&mut self, list: &Arc<List>) -> Node {
        let program = &self.program;
        let leaves = if program.waits { self.stepper.leaves(program, list) } else { &list.threads };
        let accepting = leaves
            .iter()
            .filter(|thread| matches!(program.nfa.state(thread.state), State::Match { .. }));
        let matches: Box<[u32]> = accepting.map(|thread| mark(program, thread)).collect();
        let follows_none = leaves.len() == matches.len();
        let has_won = program.goal == Goal::Leftmost && !matches.is_empty();
        let is_start = self.program.prefilter.is_some()
            && matches.is_empty()
            && *self.start_list(list.behind) == **list;
        let is_dead = follows_none && (has_won || !list.begins);
        Node { list: Arc::clone(list), matches, is_dead, is_start }
    }

    fn forget(&mut self) {
        self.nodes.clear();
        self.ids.clear();
        self.table.clear();
        self.effect_of.clear();
        self.effects.clear();
        self.effect_ids.clear();
        self.start_ids = [UNKNOWN; Behind::ALL];
        self.bytes_used = 0;
        self.epoch = self.epoch.wrapping_add(1);
    }
}
