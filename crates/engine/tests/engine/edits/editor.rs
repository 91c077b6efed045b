//! Policies that change what they see.

use std::collections::VecDeque;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tollgate_policy::{Data, Flow, Interest, Policy, Reports, Verdict};
use tollgate_wire::Direction;

/// What a rule does with an event.
type Rule = Box<dyn FnMut(&mut Data<'_>, Direction) -> Verdict>;

/// Does with each event what it was told to, then nothing.
#[derive(Default)]
pub(crate) struct Scripted {
    pub(crate) rules: VecDeque<Rule>,
    /// What it was shown of each event, and where that began.
    pub(crate) shown: Vec<(Direction, u64, Vec<u8>)>,
}

impl Scripted {
    pub(crate) fn then(&mut self, mut rule: impl FnMut(&mut Data<'_>) + 'static) {
        self.rules.push_back(Box::new(move |data, _| {
            rule(data);
            Verdict::Accept
        }));
    }
}

impl Policy for Scripted {
    fn interest(&self) -> Interest {
        Interest::RECEIVE_DATA | Interest::EDIT_DATA
    }

    fn receive_data(
        &mut self,
        _flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        direction: Direction,
        _reports: &mut Reports,
    ) -> Verdict {
        self.shown.push((direction, data.offset(), data.to_vec()));
        self.rules.pop_front().map_or(Verdict::Accept, |mut rule| rule(data, direction))
    }
}

/// Changes and holds at random, and knows what should come of it. For one connection.
pub(crate) struct Random {
    rng: SmallRng,
    /// How often it does something, and how much it puts there at most.
    busy: f64,
    given_max: usize,
    sides: [Side; 2],
    pub(crate) edits: u64,
}

#[derive(Default)]
struct Side {
    input: Vec<u8>,
    output: Vec<u8>,
    /// Where the next event begins.
    next: u64,
    ended: bool,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let busy = [0.05, 0.5, 0.9][rng.random_range(0..3)];
        let given_max = [3, 100, 3000][rng.random_range(0..3)];
        Self { rng, busy, given_max, sides: Default::default(), edits: 0 }
    }

    fn side(&self, direction: Direction) -> &Side {
        &self.sides[usize::from(direction == Direction::ToClient)]
    }

    /// What it was shown.
    pub(crate) fn input(&self, direction: Direction) -> &[u8] {
        &self.side(direction).input
    }

    /// What the receiver should get.
    pub(crate) fn output(&self, direction: Direction) -> &[u8] {
        &self.side(direction).output
    }
}

impl Policy for Random {
    fn interest(&self) -> Interest {
        Interest::RECEIVE_DATA | Interest::EDIT_DATA
    }

    fn receive_data(
        &mut self,
        _flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        direction: Direction,
        _reports: &mut Reports,
    ) -> Verdict {
        assert!(data.is_writable());
        let Self { rng, busy, given_max, sides, edits } = self;
        let side = &mut sides[usize::from(direction == Direction::ToClient)];
        assert!(!side.ended, "nothing follows the end");
        if data.offset() > side.next && data.offset() == data.fresh_from() {
            // What was held had to go: its sender had no room for more.
            side.output.extend(&side.input[side.next as usize..]);
            side.next = data.offset();
        }
        assert_eq!(data.offset(), side.next, "events follow each other");
        let bytes = data.to_vec();
        let seen = (data.fresh_from() - data.offset()) as usize;
        assert_eq!(side.input.len() as u64, data.fresh_from());
        assert!(side.input.ends_with(&bytes[..seen]), "what was held is shown again");
        side.input.extend(&bytes[seen..]);

        let hold =
            (!data.is_end() && rng.random_bool(0.1)).then(|| rng.random_range(0..=bytes.len()));
        let (mut at, mut cursor) = (0, 0);
        while rng.random_bool(*busy) {
            let start = rng.random_range(cursor..=bytes.len());
            let erased = match rng.random_range(0..4) {
                0 => bytes.len() - start,
                1 => 0,
                _ => rng.random_range(0..=(bytes.len() - start).min(50)),
            };
            let given = if rng.random() { 0 } else { rng.random_range(0..*given_max) };
            let given: Vec<u8> = (0..given).map(|_| rng.random()).collect();
            let (from, to) =
                (data.offset() + start as u64, data.offset() + (start + erased) as u64);
            data.replace(from..to, given.clone()).unwrap();
            *edits += 1;
            if hold.is_none_or(|hold| start < hold || hold == bytes.len()) {
                side.output.extend(&bytes[at..start]);
                side.output.extend(given);
                at = start + erased;
            }
            cursor = start + erased;
        }
        if let Some(hold) = hold {
            data.hold_from(data.offset() + hold as u64).unwrap();
        }
        let end = hold.unwrap_or(bytes.len()).max(at);
        side.output.extend(&bytes[at..end]);
        side.next = data.offset() + end as u64;
        side.ended = data.is_end();
        Verdict::Accept
    }
}
