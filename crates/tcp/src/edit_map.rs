//! Two numberings of one direction: its sender's, and the one that its receiver sees.
//!
//! Where bytes are inserted or erased, the numbers behind part. [`EditMap`] says for each number of
//! one side which of the other it is, both ways, so that sequence numbers, acknowledgments, SACK
//! blocks and window edges can be written as each end knows them.
//!
//! An edit is opaque: so many of the sender's bytes have become so many others, and nothing is said of
//! which became which. A number inside one has no counterpart, so each question says which way it
//! is rounded. Two rules make its boundaries never ambiguous and the ends never wait for
//! each other:
//!
//! - every edit covers at least one byte (or the FIN) of the sender, so an insertion takes a
//!   neighbour in;
//! - an acknowledgment inside an edit acknowledges nothing of it, so that the sender keeps all that is
//!   needed to provoke what is missing.
//!
//! Edits are made at the edge only and forgotten as acknowledgments pass, so the map is a short queue
//! in which both numberings ascend: a binary search finds any number.

use std::collections::VecDeque;

use tollgate_wire::Seq;

/// The two numberings of one direction.
///
/// Numbers before `base` were acknowledged; they are mapped as if no edit had been made before, which
/// keeps them in order, and nobody uses them but to tell old from new. The same holds for numbers
/// beyond `edge`, which will be right if no edit follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditMap {
    /// Where the edits that are remembered begin.
    base: Place,
    /// Sorted; none overlaps the next; none begins before `base` or ends beyond `edge`, and those lie
    /// less than 2³¹ apart in both numberings.
    edits: VecDeque<Edit>,
    /// What was mapped so far ends here.
    edge: Place,
    edits_max: usize,
}

/// A place between two bytes, in both numberings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// As the sender counts.
    pub input: Seq,
    /// As the receiver counts.
    pub output: Seq,
}

/// An edit: what it took away and what it put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edit {
    start: Place,
    /// Never empty in the input.
    end: Place,
}

impl Place {
    fn after(self, input: u32, output: u32) -> Self {
        Self { input: self.input + input, output: self.output + output }
    }

    /// The input number that lies as far from here as `output` does.
    fn input_at(self, output: Seq) -> Seq {
        self.input + output.0.wrapping_sub(self.output.0)
    }

    fn output_at(self, input: Seq) -> Seq {
        self.output + input.0.wrapping_sub(self.input.0)
    }
}

impl EditMap {
    /// No edit yet: up to `edge` both numberings are the same.
    #[must_use]
    pub const fn new(edge: Seq) -> Self {
        Self::with_edits_max(edge, EDITS_MAX)
    }

    /// The same, but remembers `edits_max` edits one by one, at least 1. Those beyond are merged with
    /// the last one.
    #[must_use]
    pub const fn with_edits_max(edge: Seq, edits_max: usize) -> Self {
        let edge = Place { input: edge, output: edge };
        Self { base: edge, edits: VecDeque::new(), edge, edits_max }
    }

    /// The next `units` (bytes, or the FIN) stay as they are.
    pub fn keep(&mut self, units: u32) {
        self.edge = self.edge.after(units, units);
    }

    /// The next `taken` units, at least one, give way to `given`.
    pub fn replace(&mut self, taken: u32, given: u32) {
        debug_assert!(taken > 0, "an edit covers at least one unit");
        let start = self.edge;
        self.edge = start.after(taken, given);
        if taken == given {
            // Other bytes, but the numbers do not part.
            return;
        }
        if self.edits.len() < self.edits_max {
            self.edits.push_back(Edit { start, end: self.edge });
        } else if let Some(last) = self.edits.back_mut() {
            // Too many to tell apart: what lies between the two joins them. Acknowledgments get
            // coarser, nothing gets wrong.
            last.end = self.edge;
        }
    }

    /// The receiver has acknowledged up to `output`: edits before it are forgotten.
    pub fn acknowledged(&mut self, output: Seq) {
        if output.before(self.base.output) || output.after(self.edge.output) {
            return;
        }
        while let Some(first) =
            self.edits.front().filter(|first| first.end.output.at_or_before(output))
        {
            self.base = first.end;
            self.edits.pop_front();
        }
        let inside = self.edits.front().filter(|first| first.start.output.before(output));
        self.base = match inside {
            Some(first) => first.start,
            None => Place { input: self.base.input_at(output), output },
        };
    }

    /// What was mapped so far ends here.
    #[must_use]
    pub const fn edge(&self) -> Place {
        self.edge
    }

    /// Whether the two numberings are the same from here on and behind.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.edits.is_empty() && self.edge.input == self.edge.output
    }

    /// Edits that are remembered.
    #[must_use]
    pub fn edits(&self) -> usize {
        self.edits.len()
    }

    /// Where what begins at `input` begins for the receiver; inside an edit, where that begins.
    #[must_use]
    pub fn output_from(&self, input: Seq) -> Seq {
        match self
            .edit_before(self.offset(input), |found| found.start.input.distance(self.base.input))
        {
            None => self.base.output_at(input),
            Some(found) if found.end.input.after(input) => found.start.output,
            Some(found) => found.end.output_at(input),
        }
    }

    /// Where what ends at `input` ends for the receiver; inside an edit, where that ends.
    #[must_use]
    pub fn output_to(&self, input: Seq) -> Seq {
        match self
            .edit_before(self.offset(input), |found| found.start.input.distance(self.base.input))
        {
            None => self.base.output_at(input),
            Some(found) if found.start.input == input => found.start.output,
            Some(found) if found.end.input.after(input) => found.end.output,
            Some(found) => found.end.output_at(input),
        }
    }

    /// What the receiver has, who has everything before `output`: the last number of the sender whose
    /// counterpart is not beyond. For acknowledgments, and for right edges.
    #[must_use]
    pub fn input_to(&self, output: Seq) -> Seq {
        let offset = output.distance(self.base.output);
        match self.edit_before(offset, |found| found.start.output.distance(self.base.output)) {
            None => self.base.input_at(output),
            Some(found) if found.end.output.after(output) => found.start.input,
            Some(found) => found.end.input_at(output),
        }
    }

    /// The first number of the sender whose counterpart is not before `output`: for left edges.
    #[must_use]
    pub fn input_from(&self, output: Seq) -> Seq {
        let offset = output.distance(self.base.output);
        let ends = |found: &Edit| found.end.output.distance(self.base.output) < offset;
        let at = self.edits.partition_point(ends);
        match self.edits.get(at) {
            Some(found) if found.start.output.before(output) => found.end.input,
            Some(found) => found.start.input_at(output),
            None => match self.edits.back() {
                Some(last) if offset >= 0 => last.end.input_at(output),
                _ => self.base.input_at(output),
            },
        }
    }

    fn offset(&self, input: Seq) -> i32 {
        input.distance(self.base.input)
    }

    /// The last edit that begins at `offset` from the base or before it.
    fn edit_before(&self, offset: i32, start: impl Fn(&Edit) -> i32) -> Option<&Edit> {
        let after = self.edits.partition_point(|found| start(found) <= offset);
        after.checked_sub(1).and_then(|index| self.edits.get(index))
    }
}

/// A guess: 16 kB a direction at the worst; a window of 64 KiB with an edit every 64 bytes fits.
const EDITS_MAX: usize = 1024;
